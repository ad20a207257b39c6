"""Every byte comes back, whatever the client and the kernel do."""

import contextlib
import itertools
import os
import random
import re
import shutil
import signal
import socket
import subprocess

import pytest

import clients
import procfs
from clients import KIB, MIB
from echod import LOOPBACK, is_sanitized
from strace import injecting
from waiting import in_background, wait_until

ODD_SIZES = (1, 3, 7, 13, 97, 1021, 4093)


def cut(data, sizes):
    """data in pieces of these sizes, over and over."""
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def signal_if_any(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.mark.skipif(shutil.which("nc") is None, reason="needs netcat-openbsd")
def test_printf_hello_pipe_nc(server):
    """The one-liner that everybody tries first."""
    command = f"printf hello | nc -N localhost {server.port}"
    assert subprocess.check_output(command, shell=True) == b"hello"


@pytest.mark.parametrize("host", LOOPBACK)
def test_no_byte_is_an_echo_too(server, host):
    """A client that only closes its side gets a clean end of file."""
    with server.connect(host) as client:
        assert clients.transfer(client, []) == b""


@pytest.mark.parametrize("sizes", [(MIB,), ODD_SIZES], ids=["large", "odd"])
def test_16_mib_come_back_identical(server, sizes):
    """Also when they are written in small odd-sized pieces."""
    data = random.randbytes(16 * MIB)
    with server.connect() as client:
        received = clients.transfer(client, cut(data, sizes))
    clients.assert_same(received, data)


def test_a_client_may_read_byte_by_byte(server):
    data = random.randbytes(256 * KIB)
    with server.connect() as client:
        received = clients.transfer(client, [data], at_once=1)
    clients.assert_same(received, data)


def test_a_client_may_stop_reading_for_a_second(server):
    """Back-pressure stops it from sending more; then all goes on."""
    data = random.randbytes(32 * MIB)
    with server.connect(receive_buffer=64 * KIB) as client:
        sent = clients.send_until_blocked(client, data, seconds=1)
        received = clients.transfer(client, [data[sent:]])
    clients.assert_same(received, data)


def test_short_and_interrupted_writes_lose_nothing(start, directory):
    """A library of the test writes a few bytes at a time, or none but EINTR."""
    if is_sanitized():
        pytest.skip("a sanitizer's own write() comes before the test's")
    library = directory / "shortwrite.so"
    source = __file__.replace("test_echo.py", "shortwrite.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    server = start(env={"LD_PRELOAD": str(library)})
    if str(library) not in procfs.mappings(server.pid):
        pytest.skip("a static echod takes no other write()")

    data = random.randbytes(MIB)
    with server.connect() as client:
        received = clients.transfer(client, [data])
    clients.assert_same(received, data)


@pytest.mark.parametrize("call", ["read", "write"])
def test_eintr_is_no_error(server, call):
    """Every other call of the child is interrupted."""
    data = random.randbytes(MIB)
    with server.connect() as client:
        [child] = wait_until(server.children, "a child")
        with injecting(child, call, "error=EINTR:when=1+2") as trace:
            received = clients.transfer(client, [data])
            trace.wait(rf"^{call}.*EINTR.*\(INJECTED\)", count=2)
    clients.assert_same(received, data)


def test_signals_tear_writes_apart(server):
    """Real ones: they interrupt a write(2) that waits for a slow reader."""
    data = random.randbytes(16 * MIB)
    with server.connect(receive_buffer=64 * KIB) as client:
        [child] = wait_until(server.children, "a child")
        with in_background(lambda: signal_if_any(child, signal.SIGUSR1)):
            received = clients.transfer(client, [data])
    clients.assert_same(received, data)


def test_a_reset_concerns_its_own_client_only(server):
    """It is broken off in the middle of its data; another one is served on."""
    with server.connect() as other:
        assert clients.exchange(other, b"before") == b"before"
        client = server.connect()
        peer = re.escape(clients.name(client))
        clients.send_until_blocked(client, bytes(64 * MIB))
        clients.reset(client)
        assert clients.exchange(other, b"after") == b"after"
        server.wait_log(rf"^closed {peer} .* bytes in .* s, reset by the client$")
        data = random.randbytes(MIB)
        clients.assert_same(clients.transfer(other, [data]), data)


def test_urgent_bytes_are_bytes(server):
    """MSG_OOB of recv(2); telnet's interrupt is such a byte."""
    with server.connect() as client:
        client.sendall(b"abc")
        client.send(b"X", socket.MSG_OOB)
        client.sendall(b"def")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        client.shutdown(socket.SHUT_WR)
        assert clients.receive_all(client) == b"abcXdef"


def test_it_stays_until_the_client_has_it_all(start):
    """After a half-close, too: the kernel alone would give up on a late reader."""
    server = start("--max-clients=1")
    data = random.randbytes(MIB)
    with server.connect() as client, server.connect() as waiting:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        waiting.sendall(b"waiting")
        assert not clients.readable(waiting, seconds=1)
        clients.assert_same(clients.receive_all(client), data)
        assert clients.receive(waiting, 7) == b"waiting"
