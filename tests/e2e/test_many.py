"""Many clients, at once and one after another, and nothing of them remains."""

import random

import pytest

import clients
import procfs
from clients import KIB
from echod import LOOPBACK, is_sanitized


def test_500_at_once(start, plenty_of_descriptors):
    """Each has a child of its own and gets its own bytes; then all are gone."""
    server = start("--quiet")
    served = [server.connect(LOOPBACK[i % len(LOOPBACK)]) for i in range(500)]
    try:
        for _ in range(2):
            sent = [random.randbytes(4 * KIB) for _ in served]
            for client, data in zip(served, sent):
                client.sendall(data)
            for client, data in zip(served, sent):
                clients.assert_same(clients.receive(client, len(data)), data)
        assert len(server.children()) == 500
    finally:
        for client in served:
            client.close()
    server.wait_for_children(0)
    assert server.title().endswith(", 0 clients")


def serve(server, count):
    """Let so many clients come and go, and wait until none is left."""
    for i in range(count):
        with server.connect() as client:
            data = b"%d" % i
            assert clients.exchange(client, data) == data
    server.wait_for_children(0)


def test_20000_in_a_row(start):
    """The parent's descriptors and memory are then what they were."""
    server = start("--quiet")
    serve(server, 500)  # it has done everything once
    descriptors = procfs.descriptors(server.pid)
    memory = procfs.memory(server.pid)
    serve(server, 2_000 if is_sanitized() else 20_000)
    assert procfs.descriptors(server.pid) == descriptors
    if is_sanitized():
        pytest.skip("descriptors are well; memory is not told: a sanitizer's grows")
    assert procfs.memory(server.pid) <= memory + 64
