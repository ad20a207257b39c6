"""What not every host has, nor every build of echod, and some tests need."""

import os

import pytest

from echod import BINARY, LOOPBACK

has_filter = b"seccomp_init" in BINARY.read_bytes()  # not without libseccomp

needs_filter = pytest.mark.skipif(not has_filter, reason="built without libseccomp")
needs_ipv4 = pytest.mark.skipif("127.0.0.1" not in LOOPBACK, reason="needs IPv4")
needs_ipv6 = pytest.mark.skipif("::1" not in LOOPBACK, reason="needs IPv6")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
