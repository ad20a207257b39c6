"""What goes wrong around echod, and ends neither it nor its other clients."""

import contextlib
import fcntl
import os
import random
import re
import resource
import select
import signal

import pytest

import clients
import procfs
from clients import KIB
from strace import injecting
from waiting import DEADLINE, Lines, wait_until

LACKS = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]  # of accept(2)


def assert_all_is_well(server):
    """A hundred clients at once, each with bytes of its own."""
    with contextlib.ExitStack() as stack:
        served = [stack.enter_context(server.connect()) for _ in range(100)]
        sent = [random.randbytes(4 * KIB) for _ in served]
        for client, data in zip(served, sent):
            client.sendall(data)
        for client, data in zip(served, sent):
            clients.assert_same(clients.receive(client, len(data)), data)
    server.wait_for_children(0)


@pytest.mark.parametrize("when", ["1", "1..5"], ids=["once", "burst"])
@pytest.mark.parametrize("error", ["ECONNABORTED", "EPROTO", *LACKS])
def test_accept_fails(server, error, when):
    """Who was connected is served on; who comes is served when it is over."""
    with server.connect() as before:
        assert clients.exchange(before, b"before") == b"before"
        fault = f"error={error}:when={when}"
        with injecting(server.pid, "accept4", fault) as trace:
            with server.connect() as client:
                assert clients.exchange(client, b"during") == b"during"
            trace.wait(rf"^accept4.*{error}.*\(INJECTED\)", count=int(when[-1]))
        assert clients.exchange(before, b"after") == b"after"
    assert_all_is_well(server)


def test_a_lasting_lack_does_not_make_it_spin(start):
    """It tries again now and then, while a client waits that is served at last."""
    server = start("--idle-timeout=1")
    with server.connect() as silent:
        server.wait_for_children(1)
        with injecting(server.pid, "accept4", "error=EMFILE") as trace:
            client = server.connect()
            client.sendall(b"at last")  # now: it, too, may not be idle
            assert clients.receive_all(silent) == b""  # after a while
            attempts = len(trace.matching("INJECTED"))
    with client:
        assert clients.receive(client, 7) == b"at last"
    assert 1 < attempts < 50
    assert len(server.log.matching("^echod: cannot accept: ")) == 1


@pytest.mark.parametrize("call", ["accept4", "ppoll", "wait4"])
def test_the_parent_is_interrupted(server, call):
    """EINTR, whatever it is about to do, five times in a row."""
    with injecting(server.pid, call, "error=EINTR:when=1..5") as trace:
        for _ in range(5):
            with server.connect() as client:
                assert clients.exchange(client, b"during") == b"during"
            server.wait_for_children(0)
        trace.wait(r"EINTR.*\(INJECTED\)", count=5)
    assert_all_is_well(server)


@pytest.mark.parametrize("when", ["1", "1..5"], ids=["once", "burst"])
@pytest.mark.parametrize("error", ["EAGAIN", "ENOMEM"])
def test_fork_fails(server, error, when):
    """The client waits; it is served later, and not refused."""
    fault = f"error={error}:when={when}"
    with injecting(server.pid, "clone,?clone3,?fork,?vfork", fault) as trace:
        with server.connect() as client, server.connect() as other:
            assert clients.exchange(client, b"first") == b"first"
            assert clients.exchange(other, b"second") == b"second"
        trace.wait(rf"{error}.*\(INJECTED\)", count=int(when[-1]))
    server.wait_log("^echod: cannot fork: .*; new clients wait")
    assert_all_is_well(server)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_is_killed(start, number):
    """It is logged, and disturbs nobody else."""
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"
    server = start(env={"ASAN_OPTIONS": sanitizer})
    with server.connect() as other, server.connect() as client:
        child = server.child_of(client)
        peer = re.escape(clients.name(client))
        os.kill(child, number)
        server.wait_log(rf"^echod: closed {peer} .*, killed by signal {number:d} ")
        assert clients.receive_all(client) == b""
        assert clients.exchange(other, b"other") == b"other"


def test_nobody_reads_the_log(start):
    """Clients do not notice; whoever reads on learns how many lines were lost."""
    reader, writer = os.pipe()
    with open(writer, "w") as pipe:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        server = start("--verbose", stderr=pipe)

        def visit():
            with server.connect() as client:
                assert clients.exchange(client, b"x") == b"x"

        while select.select([], [pipe], [], 0)[1]:  # until it is full
            visit()
        for _ in range(50):
            visit()
        server.wait_for_children(0)

        log = Lines(open(reader))

        def tells():
            visit()
            return log.matching(r"^echod: \d+ log lines were lost: ")

        wait_until(tells, "what was lost")


def test_the_reader_of_the_log_goes_away(start):
    """What would be a SIGPIPE."""
    reader, writer = os.pipe()
    with open(writer, "w") as pipe:
        server = start(stderr=pipe)
    os.close(reader)
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
    server.wait_for_children(0)
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGPIPE])
def test_signals_that_mean_nothing(server, number):
    """Neither the parent nor a child minds."""
    with server.connect() as client:
        assert clients.exchange(client, b"before") == b"before"
        for pid in (server.pid, *server.children()):
            os.kill(pid, number)
        assert clients.exchange(client, b"after") == b"after"
    with server.connect() as client:
        assert clients.exchange(client, b"new") == b"new"


def test_started_with_its_standard_descriptors_closed(start):
    """A socket must not become standard error, and a client not read the log."""
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    server = start("--verbose", wrapper=shell)
    descriptors = procfs.descriptors(server.pid)
    assert [descriptors[n] for n in (0, 1, 2)] == ["/dev/null"] * 3
    with server.connect() as client:
        assert clients.transfer(client, [b"all"]) == b"all"


def test_descriptors_of_the_caller_are_closed(start):
    """A pipe that was left open would never end for its reader."""
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe:
        start(pass_fds=[writer])
        os.close(writer)
        assert select.select([pipe], [], [], DEADLINE)[0], "it is still open"
        assert pipe.read() == b""


def test_the_log_may_grow_no_more(start, directory):
    """The signal for that, SIGXFSZ, would end it."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    with open(directory / "log", "w") as log:
        server = start("--verbose", stderr=log, preexec_fn=limit)
        for _ in range(20):
            with server.connect() as client:
                assert clients.exchange(client, b"x") == b"x"
        assert server.stop() == 0


def test_a_kernel_without_close_range(server):
    """Linux before 5.9: the child closes what it has one by one."""
    with injecting(server.pid, "close_range", "error=ENOSYS", follow=True) as trace:
        with server.connect() as client:
            assert clients.exchange(client, b"x") == b"x"
            trace.wait(r"close_range.*\(INJECTED\)")
            [child] = server.children()
            assert list(procfs.descriptors(child)) == [0]
