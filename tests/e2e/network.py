"""A network of the test's own: loopback with as many addresses as it likes."""

import ctypes
import os
import shutil
import subprocess

import pytest

CLONE_NEWNET = 0x40000000  # of <sched.h>


@pytest.fixture
def network():
    """Be in a new network namespace for the test; network(*addresses) adds some."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a network namespace")
    if shutil.which("ip") is None:
        pytest.skip("needs Debian's package iproute2")
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(how, *arguments):
        if how(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "cannot change the network namespace")

    def add(*addresses):
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            ip("address", "add", address, "dev", "lo", *nodad)

    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        enter(libc.unshare, CLONE_NEWNET)
        if subprocess.run(["ip", "link", "set", "lo", "up"]).returncode != 0:
            pytest.skip("needs CAP_NET_ADMIN, which this container does not give")
        yield add
    finally:
        enter(libc.setns, before, CLONE_NEWNET)
        os.close(before)
