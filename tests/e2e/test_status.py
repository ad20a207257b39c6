"""SIGUSR1: what echod has done so far."""

import os
import signal

import clients
from clients import KIB
from waiting import wait_until


def ask(server):
    """What one more status line says: a dict of numbers."""
    count = len(server.log.matching("^status: "))
    server.kill(signal.SIGUSR1)
    line = server.wait_log(
        r"^status: up \d+ s, (?P<active>\d+) active, (?P<accepted>\d+) accepted, "
        r"(?P<refused>\d+) refused \((?P<many>\d+) over --max-per-source, "
        r"(?P<fast>\d+) over --rate, (?P<header>\d+) for their PROXY header\), "
        r"(?P<lost>\d+) lost, (?P<bytes>\d+) bytes, (?P<backoffs>\d+) backoffs, "
        r"(?P<datagrams>\d+) datagrams, (?P<strays>\d+) datagrams refused$",
        count + 1,
    )
    return {name: int(number) for name, number in line.groupdict().items()}


def wait_for(server, **expected):
    """Wait until a status line says so; what is not named must be 0."""

    def right():
        return all(n == expected.get(name, 0) for name, n in ask(server).items())

    wait_until(right, f"the status {expected}")


def test_it_starts_with_nothing(server):
    assert set(ask(server).values()) == {0}


def test_bytes_of_all_clients_are_counted(server):
    """Those of the ones that are gone, and of the ones that are there."""
    with server.connect() as gone:
        clients.assert_same(clients.transfer(gone, [bytes(100 * KIB)]), bytes(100 * KIB))
    server.wait_for_children(0)
    with server.connect() as one, server.connect() as two:
        for client, size in ((one, 1), (two, 1000)):
            assert clients.exchange(client, bytes(size)) == bytes(size)
        # A client may have its bytes before they are counted.
        wait_for(server, active=2, accepted=3, bytes=100 * KIB + 1001)
    server.wait_for_children(0)
    wait_for(server, accepted=3, bytes=100 * KIB + 1001)


def test_refusals_are_counted_by_reason(start):
    server = start("--max-per-source=1")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        with server.connect() as refused:
            assert clients.receive_all(refused) == b""
        wait_for(server, active=1, accepted=1, refused=1, many=1, bytes=1)


def test_a_child_does_not_mind(server):
    """pkill -USR1 echod reaches the children, too."""
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        [child] = server.children()
        os.kill(child, signal.SIGUSR1)
        assert clients.exchange(client, b"y") == b"y"
    assert len(server.log.matching("^status: ")) == 0
