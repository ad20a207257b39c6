"""Networks of a test's own: hosts, each a network namespace, and cables between them."""

import contextlib
import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000  # of <sched.h>
TCP_RMEM = Path("/proc/sys/net/ipv4/tcp_rmem")


class Host:
    """A network namespace with a loopback; it ends with the last process in it."""

    def __init__(self, name):
        self.name = name
        with _keeping_the_namespace():
            _change_namespace("unshare", CLONE_NEWNET)
            self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def close(self):
        os.close(self._namespace)

    @contextlib.contextmanager
    def inside(self):
        """Be there with this thread: the sockets and the processes that it makes are."""
        with _keeping_the_namespace():
            _change_namespace("setns", self._namespace, CLONE_NEWNET)
            yield self

    def limit_receive_buffers(self, size):
        """Those of TCP: they grow up to 32 MiB, on each host of the way, if they may."""
        with self.inside(), contextlib.suppress(OSError):  # /proc/sys may be read-only
            TCP_RMEM.write_text(f"4096 131072 {size}")

    def ip(self, *words):
        """Run ip(8) there."""
        with self.inside():
            subprocess.run(["ip", *words], check=True)

    def add(self, device, *addresses):
        """Give it addresses, which can be used at once."""
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            self.ip("address", "add", address, "dev", device, *nodad)

    def plug(self, other):
        """Lay a cable; at both ends its device is called like who is at the other."""
        there = f"/proc/{os.getpid()}/fd/{other._namespace}"
        peer = ["peer", "name", self.name, "netns", there]
        self.ip("link", "add", other.name, "type", "veth", *peer)
        self.ip("link", "set", other.name, "up")
        other.ip("link", "set", self.name, "up")


@contextlib.contextmanager
def _keeping_the_namespace():
    """Be back, whatever this thread does, in the namespace that it is in now."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield
    finally:
        _change_namespace("setns", before, CLONE_NEWNET)
        os.close(before)


def _change_namespace(how, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), how)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), "cannot change the network namespace")


@contextlib.contextmanager
def _hosts():
    """What makes them; when this context ends, so do they."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a network namespace")
    if shutil.which("ip") is None:
        pytest.skip("needs Debian's package iproute2")

    with contextlib.ExitStack() as stack:

        def make(name):
            host = stack.enter_context(contextlib.closing(Host(name)))
            try:
                host.ip("link", "set", "lo", "up")
            except subprocess.CalledProcessError:
                pytest.skip("needs CAP_NET_ADMIN, which this container does not give")
            return host

        yield make


@pytest.fixture
def new_host():
    """Make a host for the test: new_host(name)."""
    with _hosts() as make:
        yield make


@pytest.fixture
def network():
    """Be in a network of its own for the test; network(*addresses) adds some to it."""
    with _hosts() as make, make("host").inside() as host:
        yield lambda *addresses: host.add("lo", *addresses)
