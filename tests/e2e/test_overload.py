"""Where something runs out: nobody is refused, and nothing spins."""

import contextlib
import os
import resource
import subprocess
import time

import clients
import procfs
from echod import LOOPBACK
from marks import needs_root
from waiting import wait_until


def assert_uses_no_cpu(server):
    """At most one percent of two seconds."""
    before = procfs.cpu_seconds(server.pid)
    time.sleep(2)
    assert procfs.cpu_seconds(server.pid) - before <= 0.02


def limit_descriptors(server, number):
    """Change the soft limit of a running echod, as the user that it runs as."""
    status = procfs.status(server.pid)
    uid, gid = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    user = {"user": uid, "group": gid, "extra_groups": []}
    subprocess.run(
        ["prlimit", f"--pid={server.pid}", f"--nofile={number}:"],
        check=True,
        **user if os.geteuid() == 0 else {},
    )


@contextlib.contextmanager
def connected(server, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(server.connect()) for _ in range(count)]


def test_with_32_descriptors_a_hundred_are_served(start):
    """The parent keeps none of its clients'."""

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))

    server = start(preexec_fn=few)
    with connected(server, 100) as served:
        for client in served:
            assert clients.exchange(client, b"x") == b"x"


def test_no_descriptor_is_left(server):
    """Clients wait, without a turn of the loop; with room again they are served."""
    with server.connect() as before:
        assert clients.exchange(before, b"x") == b"x"
        limit_descriptors(server, max(procfs.descriptors(server.pid)) + 1)
        with connected(server, 10) as waiting:
            for client in waiting:
                client.sendall(b"waiting")
            server.wait_log("^echod: cannot accept: Too many open files; ")
            assert_uses_no_cpu(server)
            assert clients.exchange(before, b"y") == b"y"
            assert not any(clients.readable(client) for client in waiting)
            limit_descriptors(server, 100)
            for client in waiting:
                assert clients.receive(client, 7) == b"waiting"
    server.wait_log("^accepting clients as before$")
    assert len(server.log.matching("Too many open files")) == 1


@needs_root
def test_no_process_is_left(start):
    """Those that fit are served; of the others each gets its turn."""

    def few():
        resource.setrlimit(resource.RLIMIT_NPROC, (9, 9))

    user = 100_000 + os.getpid()  # that has no other process
    server = start(f"--user={user}:{user}", preexec_fn=few)
    with connected(server, 24) as served:
        for client in served:
            client.sendall(b"x")
        server.wait_log("^echod: cannot fork: Resource temporarily unavailable; ")
        wait_until(lambda: len(server.children()) == 8, "as many children as fit")
        assert_uses_no_cpu(server)
        while served:
            answered = wait_until(
                lambda: [client for client in served if clients.readable(client)],
                "somebody's turn",
            )
            for client in answered:
                assert clients.receive(client, 1) == b"x"
                client.close()
                served.remove(client)
    server.wait_for_children(0)
    with server.connect(LOOPBACK[-1]) as client:
        assert clients.exchange(client, b"x") == b"x"
