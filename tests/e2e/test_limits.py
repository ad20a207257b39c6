"""--max-clients and --idle-timeout."""

import random
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import clients
import procfs
from clients import KIB, MIB


def test_at_the_limit_a_client_waits(start):
    """The third is connected, and served when one of the others leaves."""
    server = start("--max-clients=2")
    with server.connect() as first, server.connect() as second:
        server.wait_for_children(2)
        with server.connect() as third:
            third.sendall(b"third")
            for _ in range(100):  # the others do not notice
                assert clients.exchange(first, b"first") == b"first"
                assert clients.exchange(second, b"second") == b"second"
            assert len(server.children()) == 2
            assert not clients.readable(third)
            first.close()
            assert clients.receive(third, 5) == b"third"


def test_at_the_limit_nobody_is_refused(start):
    """A hundred come at once; two at a time get all that they sent."""
    server = start("--max-clients=2", "--quiet")
    data = bytes(range(256)) * 100

    def visit(_):
        with server.connect() as client:
            return clients.transfer(client, [data])

    with ThreadPoolExecutor(100) as pool:
        assert all(received == data for received in pool.map(visit, range(100)))


def wait_for_idle_clients(server, meanwhile, count=3):
    """Do meanwhile() until so many silent clients, one by one, were closed."""
    for _ in range(count):
        with server.connect() as silent:
            while not clients.readable(silent, seconds=0.05):
                meanwhile()
            assert clients.receive_all(silent) == b""


def test_waiting_at_the_limit_costs_nothing(start):
    """The parent sleeps until the client that is served, a silent one, is closed."""
    server = start("--max-clients=1", "--idle-timeout=1")
    with server.connect() as silent:
        server.wait_for_children(1)
        before = procfs.cpu_seconds(server.pid)
        with server.connect() as waiting:
            assert clients.receive_all(silent) == b""
            assert procfs.cpu_seconds(server.pid) - before < 0.2
            assert clients.exchange(waiting, b"served") == b"served"


def test_a_silent_client_is_closed(start):
    """It gets an end of file, and the log says why."""
    server = start("--idle-timeout=1")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        peer = re.escape(clients.name(client))
        assert clients.receive_all(client) == b""
    server.wait_log(rf"^closed {peer} .*: 1 bytes in .* s, idle$")


def test_a_client_that_never_reads_is_closed(start):
    """It may send as much as it likes: nothing moves."""
    server = start("--idle-timeout=1")
    with server.connect() as client:
        peer = re.escape(clients.name(client))
        clients.send_until_blocked(client, bytes(64 * MIB))
        server.wait_log(rf"^closed {peer} .*, idle$")


def test_an_active_client_is_not_idle(start):
    """It outlives several silent ones."""
    server = start("--idle-timeout=1")
    with server.connect() as client:

        def stay_active():
            assert clients.exchange(client, b"active") == b"active"

        wait_for_idle_clients(server, stay_active)
        stay_active()


@pytest.mark.parametrize("all_sent", [True, False])
def test_a_client_that_takes_its_echo_slowly_is_not_idle(start, all_sent):
    """It sends no more, or cannot, and takes what is held for it little by little."""
    data = random.randbytes(MIB // 2 if all_sent else 64 * MIB)
    server = start("--idle-timeout=1")
    with server.connect(receive_buffer=4 * KIB) as client:
        if all_sent:
            client.sendall(data)
        else:
            clients.send_until_blocked(client, data)
        received = bytearray()

        def take():
            received.extend(clients.receive(client, 512))

        wait_for_idle_clients(server, take)
        take()
    clients.assert_same(received, data[: len(received)])


@pytest.mark.parametrize("pause", [0.1, 0.3, 0.6, 0.9])
def test_who_has_just_taken_the_last_of_its_echo_is_not_idle(start, pause):
    """From then on it has all of its time, whenever it was."""
    data = random.randbytes(100 * KIB)
    server = start("--idle-timeout=1")
    with server.connect(receive_buffer=4 * KIB) as client:
        client.sendall(data)
        time.sleep(pause)
        before = time.monotonic()
        clients.assert_same(clients.receive(client, len(data)), data)
        assert clients.receive_all(client) == b""
        assert time.monotonic() - before >= 1
