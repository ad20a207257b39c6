"""What systemd hands over, and what it is told: with a service manager of the test."""

import collections
import contextlib
import itertools
import os
import random
import re
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import clients
import procfs
from clients import KIB, MIB
from echod import LOOPBACK, WRAPPER, handing_over
from marks import needs_root
from strace import injecting
from waiting import DEADLINE, in_background, wait_until

SO_TIMESTAMPNS = 35  # of <asm/socket.h>
UCRED = struct.Struct("3i")
TIMESPEC = struct.Struct("2l")
WATCHDOG = 1.0  # seconds
# As systemd does: the watchdog is for the process that it starts.
WATCHED = ["sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh", *WRAPPER]

Message = collections.namedtuple("Message", "time pid text")


class Manager:
    """A service manager, and the messages that it has received so far."""

    def __init__(self, name):
        self.name = name
        self.env = {"NOTIFY_SOCKET": name}
        self.messages = []
        self._address = re.sub("^@", "\0", name)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._sock.bind(self._address)
        if name[0] == "/":
            os.chmod(name, 0o666)

    def watching(self):
        """The environment of a service with WatchdogSec=."""
        return self.env | {"WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}

    def readable(self, seconds=0.0):
        return clients.readable(self._sock, seconds)

    def receive(self):
        """The next message, with who has sent it and when it did."""
        assert self.readable(DEADLINE), f"no message after {self.messages}"
        text, control, _, _ = self._sock.recvmsg(4 * KIB, KIB)
        of = {kind: data for _, kind, data in control}
        pid, _, _ = UCRED.unpack(of[socket.SCM_CREDENTIALS])
        seconds, nanoseconds = TIMESPEC.unpack(of[SO_TIMESTAMPNS])
        message = Message(seconds + nanoseconds / 1e9, pid, text.decode())
        self.messages.append(message)
        return message

    def wait(self, pattern):
        """Receive until a message matches, and return it."""
        deadline = time.monotonic() + DEADLINE
        while not re.search(pattern, (message := self.receive()).text):
            assert time.monotonic() < deadline, f"no {pattern} in {self.messages}"
        return message

    def receive_all(self):
        while self.readable():
            self.receive()

    def fill(self):
        """Let no more messages fit into the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.sendto(b"filling", self._address)

    def close(self):
        self._sock.close()
        if self.name[0] == "/":
            Path(self.name).unlink(missing_ok=True)


@pytest.fixture
def manage(directory):
    """Be a service manager until the test ends: manage(kind)."""
    with contextlib.ExitStack() as stack:

        def be(kind="path"):
            name = f"{directory}/notify" if kind == "path" else f"@{directory}"
            return stack.enter_context(contextlib.closing(Manager(name)))

        yield be


@pytest.fixture
def manager(manage):
    return manage()


def visit(server):
    with server.connect() as client:
        assert clients.transfer(client, [b"visit"]) == b"visit"


#
# READY.
#


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_it_is_ready_when_it_can_be_connected_to(start, manage, port, kind):
    """READY waits for a manager that is busy; a client can connect before that."""
    manager = manage(kind)
    manager.fill()
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start, port=port, env=manager.env)

        def connect():
            assert not starting.done() or starting.exception() is None
            with contextlib.suppress(ConnectionRefusedError):
                return clients.connect(LOOPBACK[0], port)

        with wait_until(connect, "a connection") as client:
            ready = manager.wait("READY")
            assert clients.transfer(client, [b"x"]) == b"x"
        server = starting.result()
    assert (ready.pid, ready.text) == (server.pid, "READY=1")
    assert server.log.matching("systemd") == []


def test_a_manager_that_is_too_busy_is_not_waited_for(start, manager):
    """After five seconds echod serves without being READY, and says so."""
    manager.fill()
    server = start(env=manager.env)
    server.wait_log("^echod: cannot tell systemd that echod serves: Resource ")
    visit(server)


def test_a_daemon_tells_who_it_is(background, manager, pidfile):
    """Before the process that systemd started ends: it would be the main one."""
    result = background(env=manager.env)
    assert (result.returncode, result.stderr) == (0, "")
    assert manager.readable()
    pid = int(pidfile.read_text())
    assert manager.receive()[1:] == (pid, f"MAINPID={pid}\nREADY=1")


def test_nothing_is_said_by_a_check_or_a_failure(run, manager):
    assert run("--check", "--port=8007", env=manager.env).returncode == 0
    assert run("--listen=192.0.2.1", env=manager.env).returncode == os.EX_UNAVAILABLE
    assert not manager.readable()


#
# STATUS.
#


def test_status_tells_who_is_there(start, manager):
    server = start("--max-per-source=1", env=manager.env)
    manager.wait("^READY=1$")
    manager.wait("^STATUS=0 clients, 0 accepted, 0 refused$")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        manager.wait("^STATUS=1 client, 1 accepted, 0 refused$")
        with server.connect() as refused:
            assert clients.receive_all(refused) == b""
        manager.wait("^STATUS=1 client, 1 accepted, 1 refused$")
    manager.wait("^STATUS=0 clients, 1 accepted, 1 refused$")


def test_status_is_told_once_a_second(start, manager):
    """However many come and go."""
    server = start(env=manager.env)
    with in_background(lambda: visit(server)):
        times = [manager.wait("^STATUS=").time for _ in range(4)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) > 0.9, gaps


def test_status_tells_that_it_is_full(start, manager):
    server = start("--max-clients=1", env=manager.env)
    why = "--max-clients is reached"
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        manager.wait(f"^STATUS=1 client, 1 accepted, 0 refused; new ones wait: {why}$")
    manager.wait("^STATUS=0 clients, 1 accepted, 0 refused$")


def test_status_tells_that_it_cannot_fork(start, manager):
    """For as long as that lasts."""
    server = start(env=manager.env)
    fault = "error=EAGAIN"
    with injecting(server.pid, "clone,?clone3,?fork,?vfork", fault):
        client = server.connect()
        why = "cannot fork: Resource temporarily unavailable"
        manager.wait(f"^STATUS=.* 0 accepted, 0 refused; new ones wait: {why}$")
    with client:
        assert clients.exchange(client, b"x") == b"x"
        manager.wait("^STATUS=1 client, 1 accepted, 0 refused$")


#
# WATCHDOG.
#


def assert_fed(manager, count=4):
    """Signs of life come at half the interval, and none of them too late."""
    times = [manager.wait("^WATCHDOG=1$").time for _ in range(count + 1)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) < WATCHDOG, gaps
    assert sum(gaps) > 0.9 * count * WATCHDOG / 2, gaps


def test_the_watchdog_is_fed_while_nothing_happens(start, manager):
    start(wrapper=WATCHED, env=manager.watching())
    assert_fed(manager)
    # What has not changed is not told again.
    assert len([m for m in manager.messages if m.text.startswith("STATUS=")]) == 1


def test_the_watchdog_is_fed_while_clients_come_and_go(start, manager):
    server = start(wrapper=WATCHED, env=manager.watching())
    with in_background(lambda: visit(server)):
        assert_fed(manager)


def test_the_watchdog_is_fed_while_it_stops(start, manager):
    """A client that never reads is waited for."""
    server = start("--grace=3600", wrapper=WATCHED, env=manager.watching())
    with server.connect() as client:
        clients.send_until_blocked(client, bytes(64 * MIB))
        server.kill(signal.SIGTERM)
        manager.wait("^STOPPING=1\n")
        assert_fed(manager)
        assert server.stop() == 0


def test_the_watchdog_notices_a_stopped_parent(start, manager):
    """Children that run on do not feed it."""
    server = start(wrapper=WATCHED, env=manager.watching())
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        manager.wait("^WATCHDOG=1$")
        with procfs.standing_still(server.pid):
            manager.receive_all()
            assert not manager.readable(2 * WATCHDOG)
            assert clients.exchange(client, b"y") == b"y"
        assert_fed(manager, count=1)


def test_the_watchdog_of_another_process_is_not_fed(start, manager):
    """A service's main process may have started this echod."""
    server = start(env=manager.watching() | {"WATCHDOG_PID": str(os.getpid())})
    visit(server)
    manager.wait("^STATUS=0 clients, 1 accepted, 0 refused$")  # after a second
    assert not [m for m in manager.messages if "WATCHDOG" in m.text]


def test_a_daemon_feeds_the_watchdog(background, manager, pidfile):
    """Though its process is another than the one that WATCHDOG_PID named."""
    result = background(wrapper=WATCHED, env=manager.watching())
    assert result.returncode == 0
    assert manager.wait("^WATCHDOG=1$").pid == int(pidfile.read_text())
    assert_fed(manager, count=1)


#
# STOPPING, and who says all that.
#


def test_a_stop_is_told_with_how_long_it_may_take(start, manager):
    server = start("--grace=100", env=manager.env)
    server.kill(signal.SIGTERM)
    stopping = manager.wait("^STOPPING=1\n")
    assert stopping.pid == server.pid
    fields = dict(line.split("=") for line in stopping.text.splitlines())
    assert int(fields["EXTEND_TIMEOUT_USEC"]) >= 100 * 1_000_000
    assert server.process.wait(DEADLINE) == 0
    manager.receive_all()
    last = manager.messages[-1].text
    assert last == "STATUS=stopping: clients have 100 s to finish"


@needs_root
def test_children_tell_nothing_and_have_nothing(start, manager):
    """Neither the notify socket nor the listening one is theirs."""
    with listening() as sock:
        server = start_on(start, sock, env=manager.watching())
        with server.connect() as one, server.connect() as other:
            for client in one, other:
                assert clients.exchange(client, b"x") == b"x"
            for child in server.children():
                assert list(procfs.descriptors(child)) == [0]
        manager.wait("^STATUS=0 clients, 2 accepted")
        assert server.stop() == 0
    manager.receive_all()
    assert {message.pid for message in manager.messages} == {server.pid}


#
# A manager that is not there.
#


def test_a_manager_may_go_and_return(start, manage):
    """As systemd does when it is executed anew."""
    manager = manage()
    server = start(wrapper=WATCHED, env=manager.watching())
    manager.close()
    server.wait_log("^echod: cannot give systemd a sign of life: No such file")
    visit(server)
    manager = manage()
    assert_fed(manager, count=1)
    visit(server)
    manager.wait("^STATUS=0 clients, 2 accepted")


def test_a_manager_that_is_gone_does_not_hold_up_a_stop(start, manager):
    server = start(env=manager.env)
    os.rename(manager.name, f"{manager.name}.gone")
    try:
        with server.connect() as client:
            assert clients.exchange(client, b"x") == b"x"
            assert server.stop() == 0
            assert clients.receive_all(client) == b""
    finally:
        os.rename(f"{manager.name}.gone", manager.name)
    assert server.log.matching("^echod: cannot tell systemd that echod stops: No such")


def test_a_manager_that_does_not_read_holds_nobody_up(start, manager):
    """Where anything but READY waited for it, that would be five seconds."""
    server = start(wrapper=WATCHED, env=manager.watching())
    manager.wait("^READY=1$")
    manager.fill()
    server.wait_log("^echod: cannot give systemd a sign of life: Resource ")
    before = time.monotonic()
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        for _ in range(10):
            visit(server)
        server.wait_log("^echod: cannot give systemd a sign of life: ", count=3)
        assert server.stop() == 0
    assert time.monotonic() - before < 5
    assert server.log.matching("^echod: cannot tell systemd that echod stops: Resource ")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "Address family not supported"),
        ("vsock:2:1234", "Address family not supported"),
        ("notify", "Address family not supported"),
        ("/" + "x" * 107, "File name too long"),
    ],
)
def test_a_name_that_cannot_be_used_is_no_reason_not_to_serve(start, name, why):
    server = start(env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000"})
    visit(server)
    server.wait_log("^closed ")
    assert server.stop() == 0
    [warning] = server.log.matching("^echod: (.*)")
    assert warning[1].startswith(f"cannot notify systemd by NOTIFY_SOCKET '{name}': {why}")


#
# LISTEN_FDS.
#


def listening(host=LOOPBACK[0], **how):
    """A listening socket that echod did not make."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, **how)


def port_of(sock):
    return sock.getsockname()[1]


def start_on(start, *sockets, options=(), **kwargs):
    """Start an echod on these sockets, whose clients connect to the first."""
    port = port_of(sockets[0])
    handed_over = handing_over(*sockets)
    return start(*options, listen=None, port=port, **handed_over, **kwargs)


def run_on(run, *sockets, options=(), **kwargs):
    return run(*options, **handing_over(*sockets), **kwargs)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_socket_is_served(start, host):
    with listening(host) as sock:
        where = clients.name(sock)
        server = start_on(start, sock)
        with server.connect(host) as client:
            assert clients.transfer(client, [b"x"]) == b"x"
        assert server.stop() == 0
    assert server.log.lines[0] == f"listening on {where}"


def test_a_dual_stack_socket_is_served(start):
    """ListenStream=7 of a socket unit is one."""
    if len(LOOPBACK) < 2:
        pytest.skip("needs IPv4 and IPv6")
    with listening("::", dualstack_ipv6=True) as sock:
        server = start_on(start, sock)
        for host in LOOPBACK:
            with server.connect(host) as client:
                peer = re.escape(clients.name(client))
                assert clients.transfer(client, [b"x"]) == b"x"
            server.wait_log(f"^connected with {peer} ")
        assert server.title().startswith(f"echod: listening on :{server.port}, ")


def test_two_sockets_are_served(start):
    with listening() as one, listening() as other:
        server = start_on(start, one, other)
        for sock in one, other:
            with clients.connect(*sock.getsockname()[:2]) as client:
                assert clients.transfer(client, [b"x"]) == b"x"
        where = f"{clients.name(one)} and {clients.name(other)}"
        server.wait_log(f"^listening on {re.escape(where)}$")


def test_the_sockets_are_all_that_is_kept(start):
    """A pipe that systemd or its wrapper left open would never end for its reader."""
    reader, writer = os.pipe()
    with listening() as sock, open(reader, "rb") as pipe:
        handed_over = handing_over(sock)
        handed_over["pass_fds"].append(writer)
        server = start(listen=None, port=port_of(sock), **handed_over)
        os.close(writer)
        assert clients.readable(pipe, DEADLINE), "it is still open"
        assert pipe.read() == b""
        visit(server)


def test_a_daemon_serves_the_socket(background, pidfile, port):
    """That of -d, and of options that have no effect, which is worth a warning."""
    with listening() as sock:
        result = background(**handing_over(sock))
        assert result.returncode == 0
        assert re.fullmatch("echod: the sockets come from systemd: .*\n", result.stderr)
        with clients.connect(LOOPBACK[0], port_of(sock)) as client:
            assert clients.transfer(client, [b"x"]) == b"x"
        with pytest.raises(ConnectionRefusedError):
            clients.connect(LOOPBACK[0], port)


@pytest.mark.parametrize("option", ["-p80", "--listen=::1", "-4", "--backlog=9"])
def test_options_without_effect_are_told(start, option):
    with listening() as sock:
        server = start_on(start, sock, options=[option])
        visit(server)
    warning = "^echod: the sockets come from systemd: --listen, --port, .* have no effect$"
    assert re.search(warning, server.log.lines[0])
    server.wait_log(f"^listening on .*:{server.port}$")


def test_a_check_tells_the_sockets_and_leaves_them(start, run):
    with listening() as sock:
        result = run_on(run, sock, options=["--check"])
        assert (result.returncode, result.stderr) == (0, "")
        where = result.stdout.partition(" as user ")[0].rstrip()
        assert where == f"echod would listen on {clients.name(sock)}"
        visit(start_on(start, sock))


def unconnected(family=socket.AF_INET, kind=socket.SOCK_STREAM):
    return socket.socket(family, kind)


def accepted():
    """What a unit with Accept=yes hands over."""
    with listening() as sock, clients.connect(*sock.getsockname()[:2]):
        return sock.accept()[0]


WRONG = {
    "udp": (
        lambda: unconnected(kind=socket.SOCK_DGRAM),
        "it is not bound to a port",
    ),
    "unix": (lambda: unconnected(socket.AF_UNIX), "it is neither IPv4 nor IPv6"),
    "silent": (unconnected, "it does not listen"),
    "accepted": (accepted, "it does not listen; for a unit with Accept=yes there is --inetd"),
    "file": (lambda: open(os.devnull), "Socket operation on non-socket"),
}


@pytest.mark.parametrize("options", [[], ["--check"]], ids=["serve", "check"])
@pytest.mark.parametrize("which", WRONG)
def test_a_wrong_descriptor_is_named(run, manager, which, options):
    """The second of two; nothing serves, and systemd is not told that it does."""
    make, why = WRONG[which]
    with listening() as good, make() as wrong:
        result = run_on(run, good, wrong, options=options, env=manager.env)
    assert result.returncode == os.EX_UNAVAILABLE
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith(f"echod: LISTEN_FDS: cannot serve descriptor 4: {why}")
    assert not manager.readable()


def test_a_daemon_names_a_wrong_descriptor(background):
    with unconnected() as wrong:
        result = background(**handing_over(wrong))
    assert result.returncode == os.EX_UNAVAILABLE
    assert "LISTEN_FDS: cannot serve descriptor 3: it does not" in result.stderr


@pytest.mark.parametrize("handed_over", [0, 1], ids=["first", "second"])
def test_a_closed_descriptor_is_told(run, handed_over):
    """LISTEN_FDS promises more than there are."""
    with listening() as sock:
        sockets = [sock] * handed_over
        env = {"LISTEN_FDS": str(handed_over + 1)}
        result = run_on(run, *sockets, env=env)
    assert result.returncode == os.EX_UNAVAILABLE
    [line] = result.stderr.splitlines()
    assert line == "echod: LISTEN_FDS must be a number of open descriptors"


def test_65_sockets_are_too_many(run):
    with listening() as sock:
        result = run_on(run, *[sock] * 65)
    assert result.returncode == os.EX_UNAVAILABLE
    assert result.stderr == "echod: LISTEN_FDS: 65 sockets are more than 64\n"


@pytest.mark.parametrize("number", ["", "two", "-1", "1x", "9" * 30])
def test_a_wrong_number_of_sockets_is_told(run, number):
    """To open others instead would be to serve where nobody asks."""
    with listening() as sock:
        result = run_on(run, sock, env={"LISTEN_FDS": number})
    assert result.returncode == os.EX_UNAVAILABLE
    assert result.stderr == "echod: LISTEN_FDS must be a number of open descriptors\n"


@pytest.mark.parametrize("pid", ["1", "0", "", "x"])
def test_the_sockets_of_another_process_are_closed(start, pid):
    """Whoever has exec'ed echod forgot them: it opens its own."""
    with listening() as sock:
        address = sock.getsockname()[:2]
        server = start(env={"LISTEN_PID": pid}, **handing_over(sock))
        visit(server)
    with pytest.raises(ConnectionRefusedError):
        clients.connect(*address)
    assert server.log.matching("systemd") == []


def test_no_sockets_are_no_sockets(start):
    server = start(env={"LISTEN_FDS": "0"}, **handing_over())
    visit(server)
    assert server.log.matching("systemd") == []


#
# All of it together.
#


def test_a_restart_on_the_same_socket_loses_nobody(start):
    """Clients keep connecting all the while: each gets its bytes and its end of file."""
    data = random.randbytes(16 * KIB)
    served = []

    with listening(backlog=1000) as sock:
        address = sock.getsockname()[:2]

        def come():
            with clients.connect(*address) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                clients.assert_same(clients.receive_all(client), data)
            served.append(address)

        server = start_on(start, sock)
        with in_background(come, threads=4):
            for _ in range(3):
                enough_of_them = len(served) + 20
                wait_until(lambda: len(served) > enough_of_them, "clients to be served")
                assert server.stop() == 0
                server = start_on(start, sock)
