"""--inetd: a client that somebody else has accepted, or no client at all."""

import contextlib
import errno
import fcntl
import io
import os
import pty
import pwd
import random
import re
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable

import pytest

import clients
import packages
import procfs
from clients import KIB, MIB
from echod import BINARY, LOOPBACK, environment, free_port, handing_over
from harmless import assert_harmless
from marks import needs_ipv6, needs_root
from syslogd import needs_syslogd, syslogd
from waiting import DEADLINE, Lines, wait_until

HOST = LOOPBACK[0]
WORD = b"hello\r\n"


def name_of(pid):
    """What it has executed, or None if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return procfs.status(pid)["Name"]


#
# Behind a super-server.
#

XINETD_CONF = """\
service echod-test
{{
	type = UNLISTED
	flags = NOLIBWRAP
	socket_type = stream
	protocol = tcp
	bind = {host}
	port = {port}
	wait = no
	user = {user}
	server = {program}
	server_args = {arguments}
	instances = UNLIMITED
	per_source = UNLIMITED
	cps = 1000000 1
}}
"""


def inetd(service, port, user, directory):
    tcp = "tcp6" if ":" in HOST else "tcp4"
    words = [f"{HOST}:{port}", "stream", tcp, "nowait.1000000", user]
    conf = directory / "inetd.conf"
    conf.write_text(" ".join([*words, service[0], *service]) + "\n")
    return ["-i", "-R", "1000000", str(conf)]


def xinetd(service, port, user, directory):
    program, *arguments = service
    conf = directory / "xinetd.conf"
    conf.write_text(
        XINETD_CONF.format(
            host=HOST,
            port=port,
            user=user,
            program=program,
            arguments=" ".join(arguments),
        )
    )
    return ["-dontfork", "-f", str(conf)]


def tcpserver(service, port, *_):
    return ["-HRl0", "-c", "1000", HOST, str(port), *service]


def tcpsvd(service, port, *_):
    return ["-l0", "-c", "1000", "-b", "100", HOST, str(port), *service]


def systemd(service, port, *_):
    return ["--accept", "--inetd", "-l", f"{HOST}:{port}", *service]


def socat(how, patience=DEADLINE):
    """With -t, it waits so long for the rest of the echo, after the client's last byte.

    With -b, it writes what a pipe has room for: else it waits, and empties no other.
    """

    def arguments(service, port, *_):
        listen = f"TCP-LISTEN:{port},bind={HOST},fork,backlog=100"
        run = f"EXEC:{shlex.join(service)}{how}"
        return ["-b", "4096", "-t", str(patience), listen, run]

    return arguments


@dataclass(frozen=True)
class Kind:
    package: str  # Debian's
    program: str
    arguments: Callable  # (service, port, user, directory)
    is_stderr: bool = False  # whether the client's socket is the standard error, too
    is_client: bool = True  # whether it is the standard input


KINDS = {
    "openbsd-inetd": Kind("openbsd-inetd", "inetd", inetd, is_stderr=True),
    "xinetd": Kind("xinetd", "xinetd", xinetd, is_stderr=True),
    "tcpserver": Kind("ucspi-tcp", "tcpserver", tcpserver),
    "tcpsvd": Kind("ipsvd", "tcpsvd", tcpsvd),
    "systemd": Kind("systemd", "systemd-socket-activate", systemd),
    "socat": Kind("socat", "socat", socat(""), is_client=False),
    # It holds both ends of a pipe, so it never knows that it has got the last byte.
    "socat-pipes": Kind("socat", "socat", socat(",pipes", 2), is_client=False),
    "socat-nofork": Kind("socat", "socat", socat(",nofork")),
    "socat-stderr": Kind("socat", "socat", socat(",nofork,stderr"), is_stderr=True),
}


def those(condition=lambda kind: True):
    """Do the test behind each super-server for which the condition is true."""
    names = [name for name, kind in KINDS.items() if condition(kind)]
    return pytest.mark.parametrize("name", names)


class SuperServer:
    """A super-server that starts an echod for each client."""

    def __init__(self, name, directory, *options, binary=BINARY, user=None):
        kind = KINDS[name]
        program = packages.find(kind.package, kind.program)
        if program is None:
            pytest.skip(f"needs Debian's package {kind.package}")
        if missing := packages.missing_libraries(program):
            pytest.skip(f"{kind.package} is unpacked, but needs {', '.join(missing)}")
        self.port = free_port()
        self.name = BINARY.name
        user = user or pwd.getpwuid(os.geteuid()).pw_name
        service = [str(binary), "--inetd", *options]
        self.process = subprocess.Popen(
            [program, *kind.arguments(service, self.port, user, directory)],
            cwd=directory,
            env=environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self.pid = self.process.pid
        self.log = Lines(self.process.stderr)
        try:
            with wait_until(self._first_client, f"{name} to listen") as client:
                assert clients.exchange(client, WORD) == WORD
            self.wait_until_alone()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in [self.pid, *procfs.descendants(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.log.wait_for_end()

    def _first_client(self):
        assert self.process.poll() is None, f"it does not start: {self.log.lines}"
        with contextlib.suppress(ConnectionRefusedError):
            return self.connect()

    def connect(self):
        return clients.connect(HOST, self.port)

    def all_echods(self):
        """The pids of all, of children and of those that nobody has reaped."""
        return [pid for pid in procfs.descendants(self.pid) if name_of(pid) == self.name]

    def echods(self):
        """Those that the super-server has started: of a socket, each has a child."""
        pids = self.all_echods()
        return [pid for pid in pids if procfs.parent(pid) not in pids]

    def wait_until_alone(self):
        wait_until(lambda: not self.all_echods(), "each echod to end")


@pytest.fixture(autouse=True)
def no_signal_is_ignored():
    """As nohup does with SIGHUP, a shell in the background with the others."""
    numbers = signal.SIGHUP, signal.SIGINT, signal.SIGQUIT
    ignored = [number for number in numbers if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def behind(directory):
    """Start a super-server: behind(its name, *options of echod, ...)."""
    with contextlib.ExitStack() as stack:
        servers = []

        def start(name, *options, **how):
            server = SuperServer(name, directory, *options, **how)
            servers.append(stack.enter_context(server))
            return server

        yield start
        for server in servers:  # a sanitizer that is killed at its work reports it
            server.wait_until_alone()


@those()
def test_a_word_comes_back(behind, name):
    """Another, too, and then an end of file; not a word of the log is among them."""
    server = behind(name, "--verbose")
    with server.connect() as client:
        assert clients.exchange(client, WORD) == WORD
        assert clients.exchange(client, b"again") == b"again"
        client.shutdown(socket.SHUT_WR)
        assert clients.receive_all(client) == b""
    server.wait_until_alone()


@those()
def test_8_mib_come_back(behind, name):
    """To the last byte, and nothing else; the client sends on while it reads."""
    server = behind(name, "--verbose")
    data = random.randbytes(8 * MIB)
    with server.connect() as client:
        received = clients.transfer(client, [data])
    clients.assert_same(received, data)
    server.wait_until_alone()


@those()
def test_no_byte_is_an_echo_too(behind, name):
    """Whoever only closes his side has nothing but an end of file to read."""
    server = behind(name, "--verbose")
    with server.connect() as client:
        assert clients.transfer(client, []) == b""


@those()
def test_30_clients_at_once(behind, name):
    """Each has an echod of its own, and gets its own bytes."""
    server = behind(name)
    with contextlib.ExitStack() as stack:
        served = [stack.enter_context(server.connect()) for _ in range(30)]
        sent = [random.randbytes(32 * KIB) for _ in served]
        for client, data in zip(served, sent):
            client.sendall(data)
        for client, data in zip(served, sent):
            clients.assert_same(clients.receive(client, len(data)), data)
        assert len(server.echods()) == 30
    server.wait_until_alone()


@those()
def test_30_clients_in_a_row(behind, name):
    server = behind(name)
    for number in range(30):
        data = b"%d" % number
        with server.connect() as client:
            assert clients.exchange(client, data) == data
    server.wait_until_alone()


@those()
@pytest.mark.parametrize("leave", [socket.socket.close, clients.reset])
def test_it_ends_when_the_client_does(behind, name, leave):
    """One that is silent, and one that has not read what it gets."""
    server = behind(name)
    with server.connect() as silent, server.connect() as other:
        assert clients.exchange(silent, WORD) == WORD
        assert clients.exchange(other, WORD) == WORD
        clients.send_until_blocked(other, bytes(64 * MIB))
        assert len(server.echods()) == 2
        leave(silent)
        leave(other)
    server.wait_until_alone()


@those()
def test_it_has_no_rights(behind, name):
    """Neither root's, if it is started with those, nor more system calls than it needs."""
    server = behind(name)
    with server.connect() as client:
        assert clients.exchange(client, WORD) == WORD
        [_] = server.echods()
        for echod in server.all_echods():
            assert_harmless(echod)


@needs_root
@those(lambda kind: kind.package in packages.UNPACKED)
def test_the_super_server_gives_up_root(behind, name, public_binary):
    """For an echod that does not need to; what it cannot change is no obstacle."""
    server = behind(name, "--verbose", binary=public_binary, user="nobody")
    with server.connect() as client:
        assert clients.exchange(client, WORD) == WORD
        [echod] = server.echods()
        assert_harmless(echod)
        client.shutdown(socket.SHUT_WR)
        assert clients.receive_all(client) == b""


@those(lambda kind: kind.is_client and not kind.is_stderr)
def test_its_log_is_that_of_the_super_server(behind, name):
    server = behind(name)
    with server.connect() as client:
        assert clients.exchange(client, WORD) == WORD
        peer = re.escape(clients.name(client))
        [echod] = server.echods()
    what = r"7 bytes in \d+\.\d s, end of file"
    server.log.wait(rf"^closed {peer} \(pid {echod}\): {what}$")


@those(lambda kind: not kind.is_client)
def test_it_cannot_tell_whose_bytes_they_are(behind, name):
    """What the super-server holds in between has no address that could be logged."""
    server = behind(name, "--verbose")
    with server.connect() as client:
        assert clients.transfer(client, [WORD]) == WORD
    server.wait_until_alone()
    assert not server.log.matching("connected with|closed")


@needs_syslogd
@pytest.mark.parametrize("options", [[], ["--log=stderr"]], ids=["default", "stderr"])
@those(lambda kind: kind.is_stderr)
def test_the_log_goes_past_the_client(behind, name, options):
    """To syslog, where it would have gone to the client."""
    server = behind(name, *options)
    with syslogd() as message:
        with server.connect() as client:
            assert clients.exchange(client, WORD) == WORD
            peer = re.escape(clients.name(client))
            [echod] = server.echods()
            client.shutdown(socket.SHUT_WR)
            assert clients.receive_all(client) == b""
        stamp = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
        what = rf"closed {peer} \(pid {echod}\): 7 bytes in .* s, end of file"
        assert re.fullmatch(rf"<30>{stamp} echod\[{echod}\]: {what}", message(echod))


@pytest.mark.parametrize("name", ["openbsd-inetd", "systemd", "socat"])
def test_a_silent_client_is_closed(behind, name):
    server = behind(name, "--idle-timeout=1")
    with server.connect() as client:
        assert clients.exchange(client, WORD) == WORD
        assert clients.receive_all(client) == b""
    server.wait_until_alone()


#
# On a socket, without a super-server.
#


class One:
    """An echod that serves one client, or whatever its descriptors are."""

    def __init__(self, directory, *options, wrapper=(), stderr=subprocess.PIPE, **popen):
        self.process = subprocess.Popen(
            [*wrapper, BINARY, "--inetd", *options],
            cwd=directory,
            env=environment(directory),
            stderr=stderr,
            **popen,
        )
        self.pid = self.process.pid
        self.log = None
        if stderr == subprocess.PIPE:
            self.log = Lines(io.TextIOWrapper(self.process.stderr))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.status()

    def status(self):
        """Wait until it has ended, and return its exit status."""
        status = self.process.wait(DEADLINE)
        if self.log:
            self.log.wait_for_end()
        return status

    def is_at_rest(self):
        """Whether it waits, instead of asking again and again."""
        before = procfs.cpu_seconds(self.pid)
        time.sleep(0.5)
        return procfs.cpu_seconds(self.pid) - before < 0.1


@pytest.fixture
def one(directory):
    """Start one: one(*options, stdin=..., ...), as Popen() takes them."""
    with contextlib.ExitStack() as stack:
        yield lambda *o, **how: stack.enter_context(One(directory, *o, **how))


def tcp_pair(host=HOST, everywhere=False):
    """A client, and what a super-server has accepted; everywhere it listens on [::]."""
    family = socket.AF_INET6 if everywhere or ":" in host else socket.AF_INET
    listener = socket.create_server(
        ("::" if everywhere else host, 0), family=family, dualstack_ipv6=everywhere
    )
    with listener:
        return clients.connect(host, listener.getsockname()[1]), listener.accept()[0]


def unix_pair():
    client, served = socket.socketpair()
    client.settimeout(DEADLINE)
    return client, served


PAIRS = {"tcp": tcp_pair, "unix": unix_pair}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


@pytest.fixture
def serve(one):
    """Serve a client: serve(what makes it, *options, ...)."""
    with contextlib.ExitStack() as stack:

        def serve_one(pair, *options, **how):
            client, served = pair()
            stack.enter_context(client)
            with served:
                return client, one(*options, stdin=served, stdout=served, **how)

        yield serve_one


@pairs
def test_then_it_exits_with_0(serve, pair):
    client, echod = serve(pair)
    data = random.randbytes(8 * MIB)
    clients.assert_same(clients.transfer(client, [data]), data)
    assert echod.status() == 0


@pytest.mark.parametrize("host", LOOPBACK)
def test_what_it_logs(serve, host):
    """One line, at the end: who has accepted the client knows when it came."""
    client, echod = serve(lambda: tcp_pair(host))
    peer = re.escape(clients.name(client))
    assert clients.exchange(client, WORD) == WORD
    client.close()
    assert echod.status() == 0
    what = r"7 bytes in \d+\.\d s, end of file"
    [line] = echod.log.lines
    assert re.fullmatch(rf"closed {peer} \(pid {echod.pid}\): {what}", line)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda client, _: clients.reset(client), "reset by the client"),
        (lambda _, echod: echod.process.terminate(), "drained"),
        (lambda client, _: clients.receive_all(client), "idle"),
    ],
    ids=["reset", "drained", "idle"],
)
def test_it_logs_why_it_ended(serve, end, why):
    client, echod = serve(tcp_pair, "--idle-timeout=2")
    assert clients.exchange(client, WORD) == WORD
    end(client, echod)
    assert echod.status() == 0
    assert echod.log.matching(f"^closed .*, {why}$")


@needs_ipv6
def test_ipv4_on_a_socket_for_both(serve):
    """As systemd's and xinetd's are: the client has the address that it knows of."""
    client, echod = serve(lambda: tcp_pair("127.0.0.1", everywhere=True))
    peer = re.escape(clients.name(client))
    assert clients.transfer(client, [WORD]) == WORD
    echod.status()
    assert echod.log.matching(f"^closed {peer} ")


@pytest.mark.parametrize(
    ("pair", "options"),
    [(unix_pair, ["--verbose"]), (tcp_pair, ["--quiet"])],
    ids=["unix", "quiet"],
)
def test_no_line_is_logged_about(serve, pair, options):
    """A client without an address, and any with -q."""
    client, echod = serve(pair, *options)
    assert clients.transfer(client, [WORD]) == WORD
    assert echod.status() == 0
    assert not echod.log.matching("connected with|closed")


def test_who_was_silent_for_a_while_is_no_probe(serve):
    """Only a client that is gone within 0.2 s is not worth a line, as with the daemon."""
    client, echod = serve(tcp_pair)
    peer = re.escape(clients.name(client))
    time.sleep(0.3)
    client.close()
    assert echod.status() == 0
    assert echod.log.matching(rf"^closed {peer} .*: 0 bytes in .* s, end of file$")


def test_its_title_is_the_client(serve):
    client, echod = serve(tcp_pair)
    title = f"echod: {clients.name(client)}"
    wait_until(lambda: procfs.title(echod.pid) == title, "the title")


@pairs
def test_as_systemd_starts_it(one, pair):
    """With Accept=yes, the client is descriptor 3, too; it must not stay open there."""
    client, served = pair()
    with client:
        with served:
            echod = one(stdin=served, stdout=served, **handing_over(served))
        assert clients.exchange(client, WORD) == WORD
        echod.process.terminate()
        assert clients.receive_all(client) == b""
    assert echod.status() == 0
    assert not echod.log.matching("LISTEN_FDS|systemd")


def test_descriptors_of_the_caller_are_closed(serve):
    """A pipe that was left open would never end for its reader."""
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe:
        serve(unix_pair, pass_fds=[writer])
        os.close(writer)
        assert clients.readable(pipe, DEADLINE), "it is still open"
        assert pipe.read() == b""


@needs_root
@pytest.mark.parametrize("pair", [*PAIRS.values(), None], ids=[*PAIRS, "pipes"])
def test_root_becomes_another_user(one, serve, pair):
    """All of its ids change, and the supplementary groups go."""
    how = {"extra_groups": [1, 2, 3]}
    if pair:
        client, echod = serve(pair, "--user=12345:12346", **how)
        assert clients.exchange(client, WORD) == WORD
    else:
        pipe = subprocess.PIPE
        echod = one("--user=12345:12346", stdin=pipe, stdout=pipe, bufsize=0, **how)
        echod.process.stdin.write(WORD)
        assert echod.process.stdout.read(len(WORD)) == WORD
    assert_harmless(echod.pid)
    status = procfs.status(echod.pid)
    assert set(status["Uid"].split()) == {"12345"}
    assert set(status["Gid"].split()) == {"12346"}
    assert status["Groups"] == ""


@pairs
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_sent_comes_back_after_a_stop(serve, pair, number):
    """And then an end of file; it exits with 0."""
    client, echod = serve(pair)
    data = random.randbytes(64 * MIB)
    assert clients.exchange(client, data[:KIB]) == data[:KIB]
    sent = KIB + clients.send_until_blocked(client, data[KIB:])
    echod.process.send_signal(number)
    clients.assert_same(data[:KIB] + clients.receive_all(client), data[:sent])
    assert echod.status() == 0


@pairs
def test_a_stop_while_the_client_sends_on(serve, pair):
    """Of what it sends, it gets a prefix; and all that a socket of this host has taken."""
    client, echod = serve(pair, "--grace=2")
    data = random.randbytes(64 * KIB)
    sent = bytearray()

    def send():
        with contextlib.suppress(OSError):
            while True:
                sent.extend(data[: client.send(data)])

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        received = bytearray(clients.receive(client, 4 * MIB))
        echod.process.terminate()
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(64 * KIB):
                received += part
        client.close()  # TCP takes bytes for as long as nobody has said that it is over
        sending.result()
    clients.assert_same(received, sent[: len(received)])
    assert pair == tcp_pair or len(received) == len(sent)
    assert echod.status() == 0


@pairs
def test_who_never_reads_is_ended_by_the_grace(serve, pair):
    client, echod = serve(pair, "--grace=1")
    clients.send_until_blocked(client, bytes(64 * MIB))
    echod.process.terminate()
    assert echod.status() == 0


@pairs
def test_a_second_signal_ends_it_at_once(serve, pair):
    client, echod = serve(pair, "--grace=3600")
    assert clients.exchange(client, WORD) == WORD
    clients.send_until_blocked(client, bytes(64 * MIB))
    echod.process.terminate()
    wait_until(lambda: not procfs.pending(echod.pid), "it to have the signal")
    echod.process.terminate()
    echod.status()


@pairs
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1])
def test_signals_that_mean_nothing(serve, pair, number):
    client, echod = serve(pair)
    assert clients.exchange(client, WORD) == WORD
    echod.process.send_signal(number)
    assert clients.exchange(client, b"after") == b"after"
    client.close()
    assert echod.status() == 0


@pairs
def test_it_stays_until_the_client_has_it_all(serve, pair):
    """After a half-close, too: one that has not read for a while is not forgotten."""
    client, echod = serve(pair)
    data = random.randbytes(64 * MIB)
    sent = clients.send_until_blocked(client, data)
    client.shutdown(socket.SHUT_WR)
    assert echod.is_at_rest()
    clients.assert_same(clients.receive_all(client), data[:sent])
    assert echod.status() == 0


@pairs
def test_it_stays_no_longer(serve, pair):
    """The client goes without having read what it has got."""
    client, echod = serve(pair)
    client.sendall(WORD)
    client.shutdown(socket.SHUT_WR)
    assert clients.readable(client, DEADLINE)
    client.close()
    assert echod.status() == 0


@pairs
def test_it_can_be_suspended(serve, pair):
    """While it echoes, and while it waits for the client to have it all."""
    client, echod = serve(pair)
    data = random.randbytes(64 * MIB)
    sent = clients.send_until_blocked(client, data)
    for _ in range(2):
        with procfs.standing_still(echod.pid):
            pass
        client.shutdown(socket.SHUT_WR)
        clients.assert_same(clients.receive(client, sent // 4), data[: sent // 4])
        data, sent = data[sent // 4 :], sent - sent // 4
    clients.assert_same(clients.receive_all(client), data[:sent])
    assert echod.status() == 0


@pytest.mark.parametrize("leave", [socket.socket.close, clients.reset])
def test_a_client_that_is_gone_already(one, leave):
    """By the time that the super-server has started it, as a port scanner is."""
    client, served = tcp_pair()
    leave(client)
    with served:
        echod = one(stdin=served, stdout=served)
    assert echod.status() == 0
    assert echod.log.lines == []


@pairs
@pytest.mark.parametrize("leave", [socket.socket.close, clients.reset])
def test_a_client_that_goes_without_its_bytes(serve, pair, leave):
    """It is no error."""
    client, echod = serve(pair)
    assert clients.exchange(client, WORD) == WORD
    clients.send_until_blocked(client, bytes(64 * MIB))
    leave(client)
    assert echod.status() == 0
    assert not echod.log.matching("^echod: ")


@pairs
@pytest.mark.parametrize("reads", [False, True], ids=["stalled", "silent"])
def test_an_idle_client_is_closed(serve, pair, reads):
    """Whether it is silent, or does not take what it gets."""
    client, echod = serve(pair, "--idle-timeout=1")
    assert clients.exchange(client, WORD) == WORD
    if reads:
        assert clients.receive_all(client) == b""
    else:
        clients.send_until_blocked(client, bytes(64 * MIB))
    assert echod.status() == 0


@pairs
def test_a_client_that_is_not_idle_stays(serve, pair):
    """It says a word now and then, for longer than the timeout."""
    client, echod = serve(pair, "--idle-timeout=1")
    for _ in range(5):
        assert clients.exchange(client, WORD) == WORD
        time.sleep(0.4)
    assert echod.process.poll() is None


def set_nonblocking(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)


@pairs
@pytest.mark.parametrize("when", ["before", "later"])
@pytest.mark.parametrize("options", [[], ["--idle-timeout=3600"]], ids=["", "timeout"])
def test_a_socket_that_does_not_block(one, pair, when, options):
    """O_NONBLOCK, set before it starts or by another who has it, costs no byte."""
    client, served = pair()
    with client:
        with served:
            if when == "before":
                set_nonblocking(served)
            echod = one(*options, stdin=served, stdout=served)
            assert clients.exchange(client, WORD) == WORD
            if when == "later":
                set_nonblocking(served)
            assert clients.exchange(client, WORD) == WORD
        assert echod.is_at_rest()
        data = random.randbytes(64 * MIB)
        sent = clients.send_until_blocked(client, data)
        assert echod.is_at_rest()
        received = clients.transfer(client, [data[sent:]])
    clients.assert_same(received, data)
    assert echod.status() == 0


@pairs
@pytest.mark.parametrize("option", ["--nonsense", "--port=8007", "--user=no-such-user"])
def test_a_wrong_command_line_is_none_of_the_clients_business(one, pair, option):
    """Whose socket is the standard error, too."""
    client, served = pair()
    with client:
        with served:
            echod = one(option, stdin=served, stdout=served, stderr=served)
        assert clients.receive_all(client) == b""
    assert echod.status() == os.EX_USAGE


def test_a_proxy_is_believed(serve):
    """The client is the one that its PROXY header names."""
    client, echod = serve(tcp_pair, f"--proxy-protocol={HOST}")
    header = b"PROXY TCP4 203.0.113.9 192.0.2.1 50312 7\r\n"
    assert clients.transfer(client, [header + WORD]) == WORD
    assert echod.status() == 0
    assert echod.log.matching(r"^closed 203\.0\.113\.9:50312 .*: 7 bytes .*, end of file$")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: socket.create_server((HOST, 0)), "nowait"),
        (lambda: socket.socket(type=socket.SOCK_DGRAM), "no stream"),
    ],
    ids=["listening", "datagrams"],
)
def test_a_socket_that_it_cannot_serve(one, make, why):
    """What inetd hands over to a server that is to "wait"."""
    with make() as sock:
        echod = one(stdin=sock, stdout=sock)
        assert echod.status() == os.EX_UNAVAILABLE
    [line] = echod.log.lines
    assert line.startswith("echod: cannot serve standard input: ")
    assert why in line


#
# From one thing to another, as cat(1) does.
#


@pytest.fixture
def copy(directory):
    """Run an echod from a pipe to a pipe, to its end: copy(data, *options)."""

    def copy_all(data, *options, **how):
        return subprocess.run(
            [BINARY, "--inetd", *options],
            cwd=directory,
            env=environment(directory),
            input=data,
            timeout=DEADLINE,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how,
        )

    return copy_all


def test_printf_pipe_echod(directory):
    """The one-liner; -i is --inetd."""
    command = f"printf 'a\\nb' | {shlex.quote(str(BINARY))} -i | cat"
    run = subprocess.run(
        ["sh", "-c", command], env=environment(directory), capture_output=True, timeout=DEADLINE
    )
    assert (run.stdout, run.stderr) == (b"a\nb", b"")


@pytest.mark.parametrize("size", [0, 1, 64 * KIB + 1, 8 * MIB])
def test_from_pipe_to_pipe(copy, size):
    """Without a word of its own."""
    data = random.randbytes(size)
    result = copy(data, "--verbose")
    clients.assert_same(result.stdout, data)
    assert result.returncode == 0
    assert b"closed" not in result.stderr


def test_from_file_to_file(one, directory):
    data = random.randbytes(8 * MIB + 1)
    (directory / "input").write_bytes(data)
    (directory / "output").write_bytes(b"before")
    with open(directory / "input") as file, open(directory / "output", "a") as output:
        echod = one(stdin=file, stdout=output)
        assert echod.status() == 0
    clients.assert_same((directory / "output").read_bytes(), b"before" + data)
    assert echod.log.lines == []


def test_from_one_socket_to_another(one):
    """The end of one is the end."""
    [client, source], [target, sink] = unix_pair(), unix_pair()
    with client, target:
        with source, sink:
            echod = one(stdin=source, stdout=sink)
        client.sendall(WORD)
        assert clients.receive(target, len(WORD)) == WORD
        client.shutdown(socket.SHUT_WR)
        assert clients.receive_all(target) == b""
    assert echod.status() == 0


class Terminal:
    """What a person has: a pseudoterminal, with an echod in its foreground."""

    def __init__(self, one):
        self._master, slave = pty.openpty()
        try:
            self.echod = one(
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        finally:
            os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()

    def hang_up(self):
        if self._master is not None:
            os.close(self._master)
        self._master = None

    def type(self, keys):
        os.write(self._master, keys)

    def shows(self, text):
        """Wait for just this."""
        shown = b""
        while len(shown) < len(text):
            assert select.select([self._master], [], [], DEADLINE)[0], shown
            shown += os.read(self._master, len(text) - len(shown))
        return shown == text


@pytest.fixture
def terminal(one):
    with Terminal(one) as terminal:
        yield terminal


def test_lines_typed_come_back(terminal):
    """After the terminal has shown what is typed; Control-D is the end."""
    for word in (b"hello", b"again"):
        terminal.type(word + b"\n")
        assert terminal.shows(2 * (word + b"\r\n"))
    terminal.type(b"\x04")
    assert terminal.echod.status() == 0


@pytest.mark.parametrize(
    ("act", "number"),
    [
        (lambda terminal: terminal.type(b"\x03"), signal.SIGINT),
        (lambda terminal: terminal.type(b"\x1c"), signal.SIGQUIT),
        (lambda terminal: terminal.echod.process.terminate(), signal.SIGTERM),
        (lambda terminal: terminal.hang_up(), signal.SIGHUP),
    ],
    ids=["Control-C", "Control-backslash", "TERM", "hang up"],
)
def test_a_terminal_ends_it(terminal, act, number):
    """By the signal, as it does with any filter."""
    terminal.type(b"hello\n")
    assert terminal.shows(b"hello\r\nhello\r\n")
    act(terminal)
    assert terminal.echod.status() == -number


def exchange(echod, data):
    """Write a little into its pipe, and read as much as comes out of the other."""
    echod.process.stdin.write(data)
    answer = b""
    while len(answer) < len(data) and (part := echod.process.stdout.read(len(data))):
        answer += part
    return answer


@pytest.fixture
def piped(one):
    """Start one between pipes: piped(*options, ...)."""
    pipe = subprocess.PIPE
    return lambda *o, **how: one(*o, stdin=pipe, stdout=pipe, bufsize=0, **how)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it(piped, number):
    """Unless the caller ignores that: the shell does, for what it has in the background."""
    echod = piped()
    assert exchange(echod, WORD) == WORD
    echod.process.send_signal(number)
    assert echod.status() == -number

    echod = piped(preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    assert exchange(echod, WORD) == WORD
    echod.process.send_signal(number)
    assert exchange(echod, WORD) == WORD
    echod.process.stdin.close()
    assert echod.status() == 0


@pytest.mark.parametrize("ignored", [False, True], ids=["", "ignored"])
def test_the_reader_has_enough(one, ignored):
    """As head(1) has: it ends by SIGPIPE, or without, and in silence."""
    with open("/dev/zero", "rb") as zero:
        echod = one(stdin=zero, stdout=subprocess.PIPE, restore_signals=not ignored)
        assert echod.process.stdout.read(1) == b"\0"
        echod.process.stdout.close()
        status = echod.status()
    assert ignored or status == -signal.SIGPIPE
    assert echod.log.lines == []


@pytest.mark.parametrize("when", ["before", "later"])
@pytest.mark.parametrize("which", ["input", "output"])
def test_a_pipe_that_does_not_block(one, which, when):
    """O_NONBLOCK, set before it starts or by another who has the pipe, costs no byte."""
    with contextlib.ExitStack() as stack:

        def pipe():
            reader, writer = os.pipe()
            return (
                stack.enter_context(open(reader, "rb", buffering=0)),
                stack.enter_context(open(writer, "wb")),
            )

        (input, source), (sink, output) = pipe(), pipe()
        end = input if which == "input" else output
        if when == "before":
            set_nonblocking(end)
        echod = one(stdin=input, stdout=output)
        for _ in range(2):
            source.write(WORD)
            source.flush()
            assert clients.readable(sink, DEADLINE)
            assert sink.read(len(WORD)) == WORD
            if when == "later":
                set_nonblocking(end)
        assert echod.is_at_rest()
        input.close()
        output.close()

        data = random.randbytes(MIB)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(lambda: (source.write(data), source.close()))
            assert clients.readable(sink, DEADLINE)
            assert echod.is_at_rest()
            received = b"".join(iter(lambda: sink.read(64 * KIB), b""))
            writing.result()
    clients.assert_same(received, data)
    assert echod.status() == 0


def closing(redirections):
    """A wrapper that starts it without a descriptor."""
    return {"wrapper": ["sh", "-c", f'exec "$@" {redirections}', "sh"]}


def test_a_full_device(copy):
    with open("/dev/full", "wb") as full:
        result = copy(WORD, stdout=full)
    assert result.returncode == os.EX_OSERR
    [line] = result.stderr.decode().splitlines()
    assert os.strerror(errno.ENOSPC) in line


def test_a_directory_cannot_be_read(one, directory):
    fd = os.open(directory, os.O_RDONLY)
    try:
        echod = one(stdin=fd, stdout=subprocess.DEVNULL)
    finally:
        os.close(fd)
    assert echod.status() == os.EX_OSERR
    [line] = echod.log.lines
    assert os.strerror(errno.EISDIR) in line


def test_a_closed_output_is_an_error(piped):
    echod = piped(**closing(">&-"))
    echod.process.stdin.write(WORD)
    assert echod.status() == os.EX_OSERR
    [line] = echod.log.lines
    assert os.strerror(errno.EBADF) in line


def test_a_closed_input_is_an_empty_one(run):
    """As /dev/null is, which takes its place: the next file must not get its number."""
    result = run("--inetd", **closing("<&-"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pairs
def test_without_a_standard_error(serve, pair):
    """What takes its place is not the client."""
    client, echod = serve(pair, "--verbose", **closing("2>&-"))
    assert clients.exchange(client, WORD) == WORD
    if os.geteuid() == 0:  # others may not look
        assert procfs.descriptors(echod.pid)[2] == "/dev/null"
    client.shutdown(socket.SHUT_WR)
    assert clients.receive_all(client) == b""
    assert echod.status() == 0


def test_an_idle_pipe_is_not_closed(piped):
    """It is not known who is at its other end; a line says that the option is for sockets."""
    echod = piped("--idle-timeout=1")
    time.sleep(1.5)
    assert exchange(echod, WORD) == WORD
    echod.process.stdin.close()
    assert echod.status() == 0
    [line] = echod.log.lines
    assert "--idle-timeout" in line


#
# The command line.
#

ALLOWED = ["-t5", "-g5", "-x192.0.2.0/24", "-Lsyslog", "-Lstderr", "-q", "-v"]


@pytest.mark.parametrize("option", ALLOWED)
def test_what_is_for_one_client_too(copy, option):
    result = copy(WORD, option)
    assert (result.returncode, result.stdout) == (0, WORD)


@pytest.mark.parametrize("options", [[], ["-t5", "-g5", "-x192.0.2.0/24", "-v"]])
def test_check(run, options):
    """Nothing is read, and nothing is said of a port."""
    with tempfile.TemporaryFile("w+") as file:
        file.write("unread")
        file.seek(0)
        result = run("--inetd", "--check", *options, stdin=file)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 0
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("echod would ")
    assert "listen" not in result.stdout


def test_check_finds_a_wrong_user(run):
    result = run("--inetd", "--check", "--user=no-such-user")
    assert result.returncode == os.EX_USAGE
    assert "--user" in result.stderr
