"""What anybody on the network can do to echod; nobody else notices."""

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor

import clients
import procfs
from clients import KIB, MIB
from echod import is_sanitized
from waiting import in_background, wait_until


@contextlib.contextmanager
def a_normal_client(server):
    """One that exchanges bytes all the time, and is right about each."""
    with server.connect() as client:

        def exchange():
            data = random.randbytes(random.randrange(1, 8 * KIB))
            clients.assert_same(clients.exchange(client, data), data)

        with in_background(exchange):
            yield


@contextlib.contextmanager
def nothing_is_left(server):
    """Descriptors and memory are afterwards as before, and no child is there."""
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
    server.wait_for_children(0)
    before = procfs.descriptors(server.pid)
    memory = procfs.memory(server.pid)
    yield
    # Of those that have gone some may still be in the backlog.
    wait_until(lambda: procfs.descriptors(server.pid) == before, "all to be closed")
    server.wait_for_children(0)
    assert is_sanitized() or procfs.memory(server.pid) <= memory + 512
    wait_until(lambda: server.title().strip().endswith(", 0 clients"), "the title")


def test_10000_resets(start):
    """Before the first byte, within the echo, or after it."""
    server = start("--quiet")
    with nothing_is_left(server), a_normal_client(server):
        for _ in range(10_000):
            client = server.connect()
            action = random.randrange(3)
            if action > 0:
                client.sendall(bytes(random.randrange(1, 4 * KIB)))
            if action > 1:
                client.recv(KIB)
            clients.reset(client)


def test_1000_say_nothing(start, plenty_of_descriptors):
    """They have their children, and others are served beside them."""
    server = start("--quiet")
    with nothing_is_left(server), contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(server.connect())
        with a_normal_client(server):
            wait_until(lambda: len(server.children()) == 1001, "all of them")


def test_a_flood_of_probes(start):
    """Connect and close, as fast as it goes, from several at once."""
    server = start("--quiet")
    with nothing_is_left(server), a_normal_client(server), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: server.connect().close(), range(4000)))


def test_one_trickles_and_one_never_reads(start):
    """The buffers of the one fill, the other takes its time."""
    server = start("--quiet")
    with nothing_is_left(server), server.connect() as slow, server.connect() as deaf:
        clients.send_until_blocked(deaf, bytes(64 * MIB))
        with a_normal_client(server):
            for byte in b"a byte now and then":
                slow.sendall(bytes([byte]))
                assert clients.receive(slow, 1) == bytes([byte])
