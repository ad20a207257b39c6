"""What a stop owes to those who are connected."""

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import clients
import procfs
from clients import KIB, MIB
from echod import LOOPBACK
from waiting import DEADLINE, wait_until

DATA = bytes(range(251)) * (8 * MIB // 251)


@pytest.mark.parametrize("buffer", [None, 4 * KIB], ids=["wide", "narrow"])
def test_all_that_was_sent_comes_back(server, buffer):
    """8 MiB, much of it still in the client's own kernel, when echod is stopped."""
    with server.connect(receive_buffer=buffer) as client, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.sendall, DATA)
        received = bytearray(clients.receive(client, 64 * KIB))
        while not sending.done():
            received += client.recv(64 * KIB)
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: ")
        received += clients.receive_all(client)  # to its end of file, no reset
        peer = re.escape(clients.name(client))
    clients.assert_same(received, DATA)
    assert server.stop() == 0
    assert server.log.matching(rf"^closed {peer} .*: {len(DATA)} bytes .*, drained$")


def test_who_has_not_read_for_a_while_gets_it_all_too(server):
    """Its window was shut for so long that nothing has come in the meantime."""
    data = 8 * DATA
    with server.connect() as client:
        sent = clients.send_until_blocked(client, data, seconds=1)
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: ")
        received = clients.receive_all(client)
    clients.assert_same(received, data[:sent])
    assert server.stop() == 0


def send_until_refused(client):
    """Send a sequence that never repeats, as long as somebody takes it; all of it."""
    sent = bytearray()
    try:
        while True:
            first = len(sent) // 8
            piece = b"".join(b"%08d" % n for n in range(first, first + KIB))
            client.sendall(piece)
            sent += piece
    except OSError:
        return sent + piece


def receive_until_reset(client):
    received = bytearray()
    try:
        while part := client.recv(64 * KIB):
            received += part
    except ConnectionResetError:
        pass
    return received


def test_who_never_stops_sending_gets_a_prefix(start):
    """What it gets back is what it sent, up to some byte."""
    server = start("--grace=2")
    with server.connect() as client, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_until_refused, client)
        received = bytearray(clients.receive(client, 4 * MIB))
        server.kill(signal.SIGTERM)
        received += receive_until_reset(client)
        sent = sending.result()
    clients.assert_same(received, sent[: len(received)])
    assert server.stop() == 0


def test_who_asks_and_waits_for_the_answer_gets_each(start):
    """A client is never cut off between a question and its answer."""
    server = start("--grace=2")
    with server.connect() as client:
        peer = re.escape(clients.name(client))
        server.child_of(client)
        server.kill(signal.SIGTERM)
        try:
            while clients.exchange(client, b"question") == b"question":
                pass
        except OSError:
            pass  # the one that came too late
    assert server.stop() == 0
    assert server.log.matching(rf"^closed {peer} .*, drained$"), server.log.lines


def test_who_has_just_come_has_time_to_send(server):
    """A second since it was accepted: it may not yet have got round to it."""
    with server.connect() as client:
        wait_until(server.children, "a child")
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: ")
        time.sleep(0.4)
        client.sendall(b"not too late")
        assert clients.receive_all(client) == b"not too late"
    assert server.stop() == 0


def test_who_has_just_come_by_a_proxy_has_it_too(start):
    """Its header may be on its way, and what it says."""
    server = start("--proxy-protocol=127.0.0.0/8")
    with server.connect("127.0.0.1") as client:
        wait_until(server.children, "a child")
        client.sendall(b"PROXY TCP4 192.0.2.7 ")
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: ")
        time.sleep(0.2)
        client.sendall(b"192.0.2.1 50312 7\r\nnot too late")
        assert clients.receive_all(client) == b"not too late"
    assert server.stop() == 0


def test_who_has_been_silent_for_long_is_not_waited_for(start):
    """It is gone while the newcomer still has time; both get an end of file."""
    server = start("--grace=3600")
    with server.connect() as silent:
        server.child_of(silent)
        time.sleep(1.1)
        with server.connect() as newcomer:
            server.wait_for_children(2)
            server.kill(signal.SIGTERM)
            assert clients.receive_all(silent) == b""
            assert not clients.readable(newcomer)
            assert clients.receive_all(newcomer) == b""
    assert server.process.wait(DEADLINE) == 0


def test_who_never_reads_is_ended_by_the_grace(start):
    """Not before it is over."""
    server = start("--grace=1")
    with server.connect() as client, server.connect() as other:
        assert clients.exchange(other, b"other") == b"other"
        clients.send_until_blocked(client, bytes(64 * MIB))
        peer = re.escape(clients.name(client))
        told = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - told >= 1
        assert clients.receive_all(other) == b""
    assert server.log.matching(rf"^closed {peer} .*, cut off$")
    assert server.log.lines[-1] == "stopped"


def test_a_stopped_child_does_not_hold_it_up(start):
    """Not even SIGSTOP outlives the grace."""
    server = start("--grace=1")
    with server.connect() as client:
        with procfs.standing_still(server.child_of(client)):
            assert server.stop() == 0


def test_500_idle_clients_end_without_the_grace(start, plenty_of_descriptors):
    """An hour of grace is not used; each gets an end of file."""
    server = start("--quiet", "--grace=3600")
    served = [server.connect(LOOPBACK[i % len(LOOPBACK)]) for i in range(500)]
    try:
        for client in served:
            assert clients.exchange(client, b"x") == b"x"
        assert server.stop() == 0
        for client in served:
            assert clients.receive_all(client) == b""
    finally:
        for client in served:
            client.close()


@pytest.mark.parametrize(("grace", "end"), [(0, "cut off"), (3600, "drained")])
def test_no_grace_ends_all_at_once(start, grace, end):
    """To read on, once echod stops, is too late; if there is any grace it is not."""
    server = start(f"--grace={grace}")
    with server.connect() as client:
        peer = re.escape(clients.name(client))
        clients.send_until_blocked(client, bytes(64 * MIB))
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: ")
        receive_until_reset(client)
    assert server.process.wait(DEADLINE) == 0
    server.wait_log(rf"closed {peer} .*, {end}$")


def test_nobody_new_is_accepted_while_it_drains(start):
    server = start("--grace=3600")
    with server.connect() as client:
        clients.send_until_blocked(client, bytes(64 * MIB))
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: clients have 3600 s to finish: 1$")
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        wait_until(lambda: server.title().strip() == "echod: stopping", "the title")
        assert server.stop() == 0  # a second signal
