"""SIGUSR1: what echod has done so far."""

import os
import signal

import clients
from clients import KIB


def test_it_starts_with_nothing(server):
    assert set(server.status().values()) == {0}


def test_bytes_of_all_clients_are_counted(server):
    """Those of the ones that are gone, and of the ones that are there."""
    with server.connect() as gone:
        clients.assert_same(clients.transfer(gone, [bytes(100 * KIB)]), bytes(100 * KIB))
    server.wait_for_children(0)
    with server.connect() as one, server.connect() as two:
        for client, size in ((one, 1), (two, 1000)):
            assert clients.exchange(client, bytes(size)) == bytes(size)
        # A client may have its bytes before they are counted.
        server.wait_status(active=2, accepted=3, bytes=100 * KIB + 1001)
    server.wait_for_children(0)
    server.wait_status(accepted=3, bytes=100 * KIB + 1001)


def test_refusals_are_counted_by_reason(start):
    server = start("--max-per-source=1")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        with server.connect() as refused:
            assert clients.receive_all(refused) == b""
        server.wait_status(active=1, accepted=1, refused=1, many=1, bytes=1)


def test_a_child_does_not_mind(server):
    """pkill -USR1 echod reaches the children, too."""
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        [child] = server.children()
        os.kill(child, signal.SIGUSR1)
        assert clients.exchange(client, b"y") == b"y"
    assert len(server.log.matching("^status: ")) == 0
