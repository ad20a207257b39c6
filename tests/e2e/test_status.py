"""SIGUSR1: what echod has done so far."""

import os
import signal

import clients
from clients import KIB
from waiting import wait_until


def ask(server):
    """The numbers of one more status line."""
    count = len(server.log.matching("^status: "))
    server.kill(signal.SIGUSR1)
    line = server.wait_log(
        r"^status: up \d+ s, (\d+) active, (\d+) accepted, (\d+) refused "
        r"\((\d+) over --max-per-source, (\d+) over --rate\), (\d+) lost, "
        r"(\d+) bytes, (\d+) backoffs$",
        count + 1,
    )
    return [int(number) for number in line.groups()]


def test_it_starts_with_nothing(server):
    assert ask(server) == [0] * 8


def test_bytes_of_all_clients_are_counted(server):
    """Those of the ones that are gone, and of the ones that are there."""
    with server.connect() as gone:
        clients.assert_same(clients.transfer(gone, [bytes(100 * KIB)]), bytes(100 * KIB))
    server.wait_for_children(0)
    with server.connect() as one, server.connect() as two:
        for client, size in ((one, 1), (two, 1000)):
            assert clients.exchange(client, bytes(size)) == bytes(size)
        # A client may have its bytes before they are counted.
        expected = [2, 3, 0, 0, 0, 0, 100 * KIB + 1001, 0]
        wait_until(lambda: ask(server) == expected, f"the status {expected}")
    server.wait_for_children(0)
    assert ask(server) == [0, 3, 0, 0, 0, 0, 100 * KIB + 1001, 0]


def test_refusals_are_counted_by_reason(start):
    server = start("--max-per-source=1")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        with server.connect() as refused:
            assert clients.receive_all(refused) == b""
        active, accepted, refusals, many, fast, *_ = ask(server)
    assert (active, accepted, refusals, many, fast) == (1, 1, 1, 1, 0)


def test_a_child_does_not_mind(server):
    """pkill -USR1 echod reaches the children, too."""
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        [child] = server.children()
        os.kill(child, signal.SIGUSR1)
        assert clients.exchange(client, b"y") == b"y"
    assert len(server.log.matching("^status: ")) == 0
