"""SIGTERM and SIGINT."""

import fcntl
import os
import random
import re
import signal
import struct
import termios

import pytest

import clients
import procfs
from clients import KIB, MIB
from waiting import DEADLINE, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_clients_do_not_hold_it_up(server, number):
    """They get an end of file, and need not be killed; exit status 0."""
    with server.connect() as one, server.connect() as other:
        assert clients.exchange(one, b"x") == b"x"
        assert clients.exchange(other, b"x") == b"x"
        assert server.stop(number) == 0
        for client in (one, other):
            assert clients.receive_all(client) == b""
            peer = re.escape(clients.name(client))
            assert server.log.matching(rf"^closed {peer} .*: 1 bytes .*, drained$")
    assert server.log.lines[-1] == "stopped"


def unsent(sock):
    """The bytes that the peer's host has not acknowledged: SIOCOUTQ of tcp(7)."""
    answer = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    return struct.unpack("i", answer)[0]


def test_what_was_received_is_still_echoed(server):
    """Its child learns of the stop before it has read what is there for it."""
    data = random.randbytes(32 * KIB)
    with server.connect() as client:
        [child] = wait_until(server.children, "a child")
        with procfs.standing_still(child):
            client.sendall(data)
            wait_until(lambda: unsent(client) == 0, "echod's host to have it all")
            server.kill(signal.SIGTERM)
            wait_until(lambda: signal.SIGTERM in procfs.pending(child), "its signal")
        clients.assert_same(clients.receive_all(client), data)
    assert server.process.wait(DEADLINE) == 0


def test_a_second_signal_stops_at_once(server):
    """A client that takes nothing is then cut off."""
    with server.connect() as client:
        peer = re.escape(clients.name(client))
        clients.send_until_blocked(client, bytes(64 * MIB))
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: ")
        assert server.stop() == 0
    assert server.log.matching(rf"closed {peer} .*, cut off$")


def test_a_flood_does_not_hold_it_up(start):
    """Thousands wait to be accepted when it is told to stop: they get no turn."""
    server = start("--verbose", "--max-clients=4000")
    with procfs.standing_still(server.pid):
        for _ in range(3000):
            server.connect().close()
    server.wait_log("^connected with ")
    assert server.stop() == 0
    assert len(server.log.matching("^connected with ")) < 3000


def test_a_child_of_another_does_not_hold_it_up(start):
    """One that whoever exec'ed echod left behind, as entry points do."""
    server = start(wrapper=["sh", "-c", 'sleep 1000 2>/dev/null & exec "$@"', "sh"])
    [stranger] = server.children()
    try:
        assert server.stop() == 0
    finally:
        os.kill(stranger, signal.SIGKILL)


def test_status_is_told_while_it_stops(start):
    server = start("--grace=3600")
    with server.connect() as client:
        clients.send_until_blocked(client, bytes(64 * MIB))
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: ")
        assert server.status()["active"] == 1
        assert server.stop() == 0
