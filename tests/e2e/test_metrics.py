"""--metrics: a file of counters, as node_exporter's textfile collector reads them."""

import contextlib
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import time
import urllib.request

import pytest

import clients
import packages
import procfs
from echod import LOOPBACK, free_port
from harmless import assert_harmless
from marks import needs_ipv4, needs_root
from strace import injecting, tracing
from waiting import DEADLINE, Lines, in_background, wait_until

HOST = LOOPBACK[0]
PROXY = "127.0.0.2"  # who has to send a header, where a test says so
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 50312 7\r\n"


def refused(reason):
    return f'echod_refused_total{{reason="{reason}"}}'


def exits(reason):
    return f'echod_child_exits_total{{reason="{reason}"}}'


def of_bytes(proto):
    return f'echod_bytes_total{{proto="{proto}"}}'


def lost(proto):
    return f'echod_lost_total{{proto="{proto}"}}'


TYPES = {
    "echod_connections_total": "counter",
    "echod_clients": "gauge",
    "echod_refused_total": "counter",
    "echod_bytes_total": "counter",
    "echod_datagrams_total": "counter",
    "echod_lost_total": "counter",
    "echod_backoffs_total": "counter",
    "echod_child_exits_total": "counter",
    "echod_start_time_seconds": "gauge",
    "echod_build_info": "gauge",
}
COUNTS = ["echod_connections_total", "echod_clients"]
COUNTS += ["echod_datagrams_total", "echod_backoffs_total"]
COUNTS += map(of_bytes, ["tcp", "udp"])
COUNTS += map(lost, ["tcp", "udp"])
COUNTS += map(
    refused, ["max_per_source", "rate", "proxy_header", "udp_rate", "udp_source"]
)
COUNTS += map(
    exits,
    ["eof", "idle", "reset", "vanished", "drained", "failed", "no_proxy_header"]
    + ["wrong_proxy_header", "long_proxy_header", "unadmitted"]
    + ["cut_off", "refused", "killed"],
)

ONE_VISIT = {"echod_connections_total": 1, of_bytes("tcp"): 1, exits("eof"): 1}
ONE_CLIENT = {"echod_connections_total": 1, "echod_clients": 1, of_bytes("tcp"): 1}


def read(file):
    """The samples of the file, which must be whole: a dict of numbers."""
    text = file.read_text()
    assert text.endswith("\n# EOF\n")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pairs = [line.rpartition(" ") for line in lines]
    return {name: int(value) for name, _, value in pairs}


def wait_for(file, expected):
    """Wait until the file says so; counts that are not named must be 0."""

    def right():
        samples = read(file)
        return all(samples[name] == expected.get(name, 0) for name in COUNTS)

    try:
        wait_until(right, "the right counts")
    except AssertionError:
        found = {name: n for name, n in read(file).items() if n and name in COUNTS}
        assert found == expected
        raise


def version(file):
    """What changes when it is written anew."""
    info = file.stat()
    return info.st_ino, info.st_mtime_ns


@pytest.fixture
def file(directory):
    """The file; afterwards it is gone, and so is the one that is to become it."""
    path = directory / "echod.prom"
    yield path
    assert not list(directory.glob("echod.prom*"))


@pytest.fixture
def watched(file, start):  # in this order: what was started ends first
    """Start an echod that keeps the file: watched(*options)."""
    return lambda *options, **how: start(f"--metrics={file}", *options, **how)


def children(server):
    """The pids of its clients' children and of the worker, and not the writer's."""
    return [pid for pid in server.children() if pid != writer_of(server)]


def writer_of(server):
    """The pid of the process that writes the file."""
    [pid] = server.titled("metrics to .*") or [None]
    return pid


def visit(server, data=b"x", **how):
    """A client that comes, gets its echo, and goes."""
    with server.connect(**how) as client:
        assert clients.transfer(client, [data]) == data


class Meanwhile:
    """Another echod whose file is written again and again, which takes its time."""

    def __init__(self, start, directory):
        self.file = directory / "other.prom"
        self._server = start(f"--metrics={self.file}")

    def passes(self, times=3):
        """Wait until it was written so often."""
        for _ in range(times):
            before = version(self.file)
            visit(self._server)
            wait_until(lambda: version(self.file) != before, "the other's file")


@pytest.fixture
def meanwhile(start, directory):
    return Meanwhile(start, directory)


def test_it_is_there_when_echod_serves(watched, file, run):
    """All that can be counted is, from 0 on."""
    before = int(time.time())
    watched()
    samples = read(file)
    birth = samples.pop("echod_start_time_seconds")
    assert before <= birth <= time.time()
    number = run("--version").stdout.split()[1]
    assert samples.pop(f'echod_build_info{{version="{number}"}}') == 1
    assert samples == dict.fromkeys(COUNTS, 0)
    assert not file.with_name("echod.prom.tmp").exists()


def test_each_has_its_type_and_its_help(watched, file):
    """In front of its samples, once."""
    watched()
    found = {}
    for line in file.read_text().splitlines()[:-1]:
        if match := re.fullmatch(r"# HELP (\w+) [A-Z][^\\]*\.", line):
            name = match[1]
        elif match := re.fullmatch(r"# TYPE (\w+) (\w+)", line):
            assert match[1] == name and name not in found
            found[name] = match[2]
        else:
            match = re.fullmatch(r'(\w+)(\{\w+="[\w.+~-]+"\})? \d+', line)
            assert match, line
            assert match[1] == name and name in found
    assert found == TYPES


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_everybody_may_read_it_and_nobody_else_write_it(watched, file, umask):
    """Whatever the umask of who starts it: systemd's unit has 0077."""
    server = watched(umask=umask)
    for connections in range(2):
        wait_until(
            lambda: read(file)["echod_connections_total"] == connections, "the file"
        )
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        visit(server)


def test_a_client_is_counted(watched, file):
    server = watched()
    with server.connect() as client:
        assert clients.exchange(client, b"hello") == b"hello"
        there = {"echod_connections_total": 1, "echod_clients": 1, of_bytes("tcp"): 5}
        wait_for(file, there)
        assert clients.exchange(client, b"again") == b"again"
        wait_for(file, {**there, of_bytes("tcp"): 10})
    gone = {"echod_connections_total": 1, of_bytes("tcp"): 10, exits("eof"): 1}
    wait_for(file, gone)
    data = bytes(100_000)
    visit(server, data)
    gone = {
        "echod_connections_total": 2,
        of_bytes("tcp"): len(data) + 10,
        exits("eof"): 2,
    }
    wait_for(file, gone)


def test_it_is_the_status_line(watched, file):
    """SIGUSR1 tells the same numbers."""
    server = watched("--max-per-source=1")
    with server.connect() as client:
        assert clients.exchange(client, b"hello") == b"hello"
        with server.connect() as other:
            assert clients.receive_all(other) == b""
        wait_for(
            file,
            {
                "echod_connections_total": 1,
                "echod_clients": 1,
                refused("max_per_source"): 1,
                of_bytes("tcp"): 5,
            },
        )
        server.kill(signal.SIGUSR1)
        server.wait_log(
            r"^status: .* 1 active, 1 accepted, 1 refused \(1 over .* 0 lost, 5 bytes"
        )


@needs_ipv4
def test_refusals_are_counted_by_reason(watched, file):
    server = watched("--max-per-source=1", f"--proxy-protocol={PROXY}")
    with server.connect() as client, contextlib.ExitStack() as stack:
        assert clients.exchange(client, b"x") == b"x"
        for _ in range(3):
            with server.connect() as other:
                clients.assert_closed(other)
        for head in b"GET / HTTP/1.0\r\n\r\n", b"PROXY UNKNOWN " + bytes(93):
            with server.connect(source=PROXY) as other:
                other.sendall(head)
                clients.assert_closed(other)
        first, second = (
            stack.enter_context(server.connect(source=PROXY)) for _ in range(2)
        )
        first.sendall(HEADER + b"x")
        assert clients.receive(first, 1) == b"x"
        server.wait_log(r"^connected with 192\.0\.2\.7:50312 ")
        second.sendall(HEADER)
        clients.assert_closed(second)
        wait_for(
            file,
            {
                "echod_connections_total": 5,
                "echod_clients": 2,
                of_bytes("tcp"): 2,
                refused("max_per_source"): 4,
                refused("proxy_header"): 2,
                exits("wrong_proxy_header"): 1,
                exits("long_proxy_header"): 1,
                exits("refused"): 1,
            },
        )


def test_a_rate_is_a_reason(watched, file):
    server = watched("--rate=1")
    answers = []
    for _ in range(10):
        with server.connect() as client:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                answers.append(clients.exchange(client, b"x"))
    good = answers.count(b"x")
    assert good < 10
    wait_for(
        file,
        {
            "echod_connections_total": good,
            of_bytes("tcp"): good,
            refused("rate"): 10 - good,
            exits("eof"): good,
        },
    )


def ask(sock, data, port):
    sock.sendto(data, (HOST, port))
    assert sock.recv(64 * clients.KIB) == data


@needs_ipv4
def test_datagrams_are_counted(watched, file):
    """Those that come back, their bytes, and those that get no answer."""
    server = watched("--udp")
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(DEADLINE)
        sock.bind((HOST, 0))
        for data in b"", b"hello", bytes(1000):
            ask(sock, data, server.port)
        answered = {"echod_datagrams_total": 3, of_bytes("udp"): 1005}
        wait_for(file, answered)
        [worker] = children(server)
        with injecting(worker, "sendmmsg", "error=EPERM:when=1") as trace:
            sock.sendto(b"lost", (HOST, server.port))
            trace.wait("INJECTED")
        wait_for(file, {**answered, lost("udp"): 1})


@needs_root
@needs_ipv4
def test_refused_datagrams_are_counted(watched, file):
    """From a port below 1024, and too many of one source."""
    server = watched("--udp", "--rate=1")
    with socket.socket(type=socket.SOCK_DGRAM) as low:
        port = next(port for port in range(1023, 512, -1) if bound(low, port))
        for _ in range(2):
            low.sendto(f"from {port}".encode(), (HOST, server.port))
    wait_for(file, {refused("udp_source"): 2})
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        for _ in range(10):
            sock.sendto(b"x", (HOST, server.port))

        def all_counted():
            samples = read(file)
            answered = samples["echod_datagrams_total"]
            assert samples[of_bytes("udp")] == answered
            return answered > 0 and answered + samples[refused("udp_rate")] == 10

        wait_until(all_counted, "all datagrams to be counted")
    assert read(file)[refused("udp_rate")] > 0


def bound(sock, port):
    """Whether the socket could have that port."""
    with contextlib.suppress(OSError):
        sock.bind((HOST, port))
        return True
    return False


def test_what_was_lost_and_put_off_is_counted(watched, file):
    """Connections that were gone when they were accepted; and a lack of resources."""
    server = watched()
    visits = 0

    def visit_while(call, fault, **expected):
        nonlocal visits
        visits += 1
        with injecting(server.pid, call, fault):
            visit(server)
        served = {"echod_connections_total": visits, of_bytes("tcp"): visits}
        wait_for(file, {**served, exits("eof"): visits, lost("tcp"): 1, **expected})

    visit_while("accept4", "error=ECONNABORTED:when=1")
    visit_while("accept4", "error=EMFILE:when=1..3", echod_backoffs_total=3)
    visit_while("clone", "error=EAGAIN:when=1", echod_backoffs_total=4)


def come(server, **how):
    """A client that is served, and the pid of its child."""
    known = children(server)
    client = server.connect(**how)
    wait_until(lambda: len(children(server)) > len(known), "its child")
    [child] = set(children(server)) - set(known)
    assert clients.exchange(client, b"x") == b"x"
    return client, child


def test_children_are_counted_by_how_they_end(watched, file):
    server = watched("--idle-timeout=1")
    counts = {"echod_connections_total": 0, of_bytes("tcp"): 0}

    def expect(reason):
        server.wait_for_children(1)  # the writer
        counts["echod_connections_total"] += 1
        counts[of_bytes("tcp")] += 1
        counts[exits(reason)] = counts.get(exits(reason), 0) + 1

    client, _ = come(server)
    client.close()
    expect("eof")

    client, _ = come(server)
    clients.reset(client)
    expect("reset")

    for number, reason in (signal.SIGTERM, "drained"), (signal.SIGKILL, "killed"):
        client, child = come(server)
        echoed = counts[of_bytes("tcp")] + 1  # it has its byte just before that counts
        wait_until(lambda: server.status()["bytes"] == echoed, "its byte to count")
        with client:
            os.kill(child, number)
            clients.assert_closed(client)
        expect(reason)

    client, _ = come(server)
    with client:
        assert clients.receive_all(client) == b""
    expect("idle")

    for error, reason in ("ETIMEDOUT", "vanished"), ("EIO", "failed"):
        client, child = come(server)
        with client, injecting(child, "read", f"error={error}:when=1"):
            # To attach interrupts the read that waits: it is made anew.
            clients.assert_closed(client)
        expect(reason)
    wait_for(file, counts)


@needs_ipv4
def test_a_header_that_does_not_come_is_counted(watched, file):
    server = watched(f"--proxy-protocol={PROXY}")
    with server.connect(source=PROXY) as client:
        wait_for(file, {"echod_connections_total": 1, "echod_clients": 1})
        clients.assert_closed(client)
    wait_for(
        file,
        {
            "echod_connections_total": 1,
            refused("proxy_header"): 1,
            exits("no_proxy_header"): 1,
        },
    )


def test_who_reads_it_never_sees_a_part(watched, file):
    """It is replaced as a whole: there is always one, and it always ends with # EOF."""
    server = watched()
    seen, wrong = set(), []

    def look():
        try:
            text = file.read_text()
            if not text.endswith("\n# EOF\n"):
                wrong.append(text)
            seen.add((file.stat().st_ino, text))
        except OSError as error:
            wrong.append(error)

    with in_background(look):
        while len({text for _, text in seen.copy()}) < 4:
            visit(server)
    assert not wrong
    assert len({inode for inode, _ in seen}) > 1


def test_it_is_written_once_a_second_at_most(watched, file):
    """However much changes; on a busy machine less often."""
    start = time.monotonic()
    server = watched()
    versions = {version(file)}
    while len(versions) < 4:
        visit(server)
        versions.add(version(file))
    assert len(versions) - 1 <= time.monotonic() - start


def test_it_is_written_if_something_has_changed(watched, file, meanwhile):
    """A client that is there but silent is no change; nor is a signal."""
    server = watched()
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        wait_for(file, ONE_CLIENT)
        before = version(file)
        for number in signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD:
            server.kill(number)
            meanwhile.passes(1)
        assert version(file) == before
        assert clients.exchange(client, b"x") == b"x"
        wait_until(lambda: version(file) != before, "the change")


def test_an_idle_one_costs_nothing(watched, file, meanwhile):
    """Not a single system call of any process, as long as nothing happens."""
    server = watched("--udp")
    visit(server)
    wait_for(file, ONE_VISIT)
    meanwhile.passes(2)  # whatever was to be done
    with tracing(server.pid, *server.children()) as trace:
        meanwhile.passes(1)
        before = len(trace.lines)  # to attach may have interrupted calls
        meanwhile.passes(2)
        assert trace.lines[before:] == []


def test_two_of_them_do_not_disturb_each_other(watched, file, meanwhile):
    """Each writes what it counts."""
    watched()
    meanwhile.passes(1)
    assert read(file)["echod_connections_total"] == 0
    assert read(meanwhile.file)["echod_connections_total"] > 0


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name
)
def test_it_is_removed_when_echod_ends(watched, file, number):
    """However it ends, and though a client is there: nobody is fooled by old numbers."""
    server = watched("--grace=0")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        wait_for(file, ONE_CLIENT)
        server.stop(number)
        if number == signal.SIGKILL:
            wait_until(lambda: not file.exists(), "the file to be removed")
        assert not file.exists()


def test_control_c_is_for_all_of_them(watched, file):
    """The writer gets it, too, and still removes the file."""
    server = watched(start_new_session=True)
    visit(server)
    os.killpg(server.pid, signal.SIGINT)
    assert server.process.wait(DEADLINE) == 0
    assert not file.exists()
    server.log.wait("^stopped$")
    assert not server.log.matching("writer")


def test_other_signals_do_not_end_the_writer(watched, file):
    """Those that mean nothing to echod, or that whoever stops it sends to all."""
    server = watched()
    writer = writer_of(server)
    ignored = [signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1]
    for number in [*ignored, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD]:
        os.kill(writer, number)
    visit(server)
    wait_for(file, ONE_VISIT)
    assert writer_of(server) == writer


def assert_no_file(result, file, why):
    """Exit status 73, and a line that names the file, which may have to be cut."""
    assert result.returncode == os.EX_CANTCREAT
    [line] = result.stderr.splitlines()
    uid = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    assert line.startswith(f"echod: cannot write {file} as uid {uid}: {why}"[:500])


@pytest.fixture
def cannot(run, background, request):
    """Run an echod that cannot write a file: cannot(file, why)."""

    def run_it(file, why):
        where = [f"--listen={HOST}", f"--port={free_port()}"]
        for result in (
            run(*where, f"--metrics={file}"),
            background(f"--metrics={file}"),
        ):
            assert_no_file(result, file, why)

    return run_it


def test_a_directory_of_somebody_else(cannot, directory):
    """echod's user could not make files there: it is told at the start, or never."""
    other = directory / "other"
    other.mkdir(mode=0o555)
    cannot(
        other / "echod.prom",
        "Permission denied; that user must be able to write to its directory",
    )
    assert not list(other.iterdir())


def test_a_directory_that_is_none(cannot, directory):
    cannot(
        directory / "nowhere/echod.prom",
        "No such file or directory; its directory must exist",
    )
    (directory / "file").touch()
    cannot(directory / "file/echod.prom", "Not a directory")


def test_a_file_that_is_a_directory(cannot, directory):
    (directory / "echod.prom").mkdir()
    cannot(directory / "echod.prom", "Is a directory; name a file in it")
    cannot("/tmp", "Is a directory; name a file in it")
    assert not (directory / "echod.prom.tmp").exists()


def test_a_name_that_is_too_long(cannot, directory):
    cannot(directory / ("n" * 255), "File name too long")
    cannot("/tmp/" + "n/" * 2100, "File name too long")


@pytest.mark.parametrize("plant", ["symlink", "hard-link", "dangling", "pipe"])
def test_what_is_planted_in_its_way(watched, file, directory, plant):
    """It is put aside, and nothing is written through it."""
    other = directory / "other"
    other.write_text("of somebody else")
    there = directory / "echod.prom.tmp"
    if plant == "symlink":
        there.symlink_to(other)
    elif plant == "hard-link":
        there.hardlink_to(other)
    elif plant == "dangling":
        there.symlink_to(directory / "new")
    else:
        os.mkfifo(there)
    watched()
    assert read(file)["echod_connections_total"] == 0
    assert stat.S_ISREG(file.lstat().st_mode)
    assert other.read_text() == "of somebody else"
    assert not (directory / "new").exists()


def test_a_link_in_its_place_is_replaced(watched, file, directory):
    other = directory / "other"
    other.write_text("of somebody else")
    file.symlink_to(other)
    watched()
    assert stat.S_ISREG(file.lstat().st_mode)
    assert other.read_text() == "of somebody else"


@needs_root
def test_what_is_planted_where_it_cannot_be_removed(cannot, directory):
    """As in /tmp: only its owner may remove it."""
    sticky = directory / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    (sticky / "other").write_text("of root")
    (sticky / "echod.prom.tmp").symlink_to(sticky / "other")
    cannot(sticky / "echod.prom", "File exists; the same name with .tmp is in the way")
    assert (sticky / "other").read_text() == "of root"


def test_what_an_earlier_one_left_is_replaced(watched, file):
    file.write_text("old")
    watched()
    assert read(file)["echod_connections_total"] == 0


@pytest.mark.parametrize("log", ["stderr", "syslog"])
def test_the_writer_has_next_to_nothing(watched, file, directory, log):
    """A process of its own, without rights, a client, a socket or the caller's terminal."""
    pidfile = directory / "echod.pid"
    server = watched("--udp", f"--pidfile={pidfile}", f"--log={log}")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        writer = writer_of(server)
        assert procfs.title(writer) == f"echod: metrics to {file}"
        status, parent = procfs.status(writer), procfs.status(server.pid)
        for name in "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp":
            assert status[name] == parent[name]
        assert_harmless(writer)
        descriptors = procfs.descriptors(writer)
        assert descriptors.pop(0).startswith("socket:")  # its texts come by that
        assert descriptors.pop(1) == "/dev/null"
        if log == "stderr":
            assert descriptors == {2: procfs.descriptors(server.pid)[2]}
        else:
            assert descriptors.pop(2) == "/dev/null"
            assert all(target.startswith("socket:") for target in descriptors.values())
            assert len(descriptors) <= 1
        child = server.child_named(client)
        assert list(procfs.descriptors(child)) == [0]


def test_a_killed_writer(watched, file, directory):
    """It is told, as an error; echod serves on, and ends as it should."""
    server = watched()
    with server.connect() as client:
        assert clients.exchange(client, b"before") == b"before"
        os.kill(writer_of(server), signal.SIGKILL)
        server.wait_log(
            rf"^echod: the writer of {re.escape(str(file))} ended: killed by signal 9 "
        )
        wait_until(lambda: writer_of(server) is None, "it to be reaped")
        assert clients.exchange(client, b"after") == b"after"
    visit(server)
    assert server.stop() == 0
    assert len(server.log.matching("writer")) == 1
    file.unlink(missing_ok=True)  # there was nobody to do it


def test_a_writer_that_is_stopped(watched, file):
    """Nobody waits for it to write; when it goes on, so does the file."""
    server = watched()
    writer = writer_of(server)
    with procfs.standing_still(writer):
        for _ in range(3):
            visit(server)
        assert read(file)["echod_connections_total"] == 0
    wait_for(
        file, {"echod_connections_total": 3, of_bytes("tcp"): 3, exits("eof"): 3}
    )


def test_a_stopped_writer_does_not_hold_up_the_end(watched, file):
    """Nor does one that waits for a disk which does not answer."""
    server = watched("--grace=1")
    writer = writer_of(server)
    with procfs.standing_still(writer):
        server.kill(signal.SIGTERM)
        assert server.process.wait(DEADLINE) == 0
        wait_until(lambda: not procfs.running(writer), "the writer to end")
        file.unlink(missing_ok=True)


def test_a_directory_that_goes_and_comes_back(start, directory):
    """A warning, once; and a line when it writes again."""
    place = directory / "place"
    place.mkdir()
    place.chmod(0o777)
    file = place / "echod.prom"
    server = start(f"--metrics={file}")
    place.rename(directory / "elsewhere")
    visit(server)
    server.wait_log(f"^echod: cannot write {re.escape(str(file))}: No such file")
    visit(server)
    (directory / "elsewhere").rename(place)

    def written():
        visit(server)
        return server.log.matching(f"^writing {re.escape(str(file))} again$")

    wait_until(written, "it to write again")
    connections = len(server.log.matching("^closed "))
    wait_until(
        lambda: read(file)["echod_connections_total"] >= connections, "the file"
    )
    assert len(server.log.matching("cannot write")) == 1
    assert server.stop() == 0
    assert not list(place.iterdir())


def test_a_full_disk(watched, file):
    """What cannot be written whole replaces nothing, and is written again by itself."""
    server = watched()
    writer = writer_of(server)
    with injecting(writer, "write", "error=ENOSPC:when=1"):
        visit(server)
        # The line about it is written by the same call.
        server.wait_log(f"^echod: cannot write {re.escape(str(file))}: No space left")
    assert read(file)["echod_connections_total"] == 0
    wait_for(file, ONE_VISIT)
    server.wait_log(f"^writing {re.escape(str(file))} again$")


def test_a_daemon_lets_its_caller_go(file, background, pidfile, port):
    """Who reads the command's output to its end has it when the command ends."""
    result = background(f"--metrics={file}")  # which reads both pipes to their ends
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert read(file)["echod_connections_total"] == 0
    with clients.connect(HOST, port) as client:
        assert clients.transfer(client, [b"x"]) == b"x"
    wait_for(file, ONE_VISIT)
    [writer] = procfs.children(int(pidfile.read_text()))
    os.kill(int(pidfile.read_text()), signal.SIGTERM)
    wait_until(lambda: not procfs.running(writer), "the writer to end")
    assert not file.exists()


def test_a_daemon_that_logs_to_standard_error(file, background, directory):
    """That stays open, for both; standard output does not."""
    with open(directory / "log", "w") as log:
        result = background(f"--metrics={file}", "--log=stderr", stderr=log)
    assert (result.returncode, result.stdout) == (0, "")


def program_of(package, name):
    """The path of a program that may have to be downloaded."""
    path = packages.find(package, name)
    if path is None:
        pytest.skip(f"needs Debian's package {package}")
    return path


@pytest.mark.parametrize("name", ["echod.prom", "echod-east@1.prom"])
def test_promtool_finds_nothing_to_say(start, directory, name):
    words = [program_of("prometheus", "promtool"), "check", "metrics"]
    server = start(f"--metrics={directory / name}")
    before = version(directory / name)
    visit(server)
    wait_until(lambda: version(directory / name) != before, "what is counted")
    with open(directory / name) as text:
        result = subprocess.run(words, stdin=text, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@contextlib.contextmanager
def node_exporter(directory):
    """A running one, which shows what is in the directory; yields its text."""
    port = free_port()
    with subprocess.Popen(
        [
            program_of("prometheus-node-exporter", "prometheus-node-exporter"),
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={directory}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            messages = Lines(process.stderr)
            messages.wait("[Ll]istening on")

            def fetch():
                url = f"http://127.0.0.1:{port}/metrics"
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                with opener.open(url, timeout=DEADLINE) as answer:
                    return answer.read().decode()

            yield fetch
        finally:
            process.terminate()
            process.wait(DEADLINE)
            messages.wait_for_end()


@pytest.mark.parametrize("link", [False, True], ids=["there", "by-a-symlink"])
def test_node_exporter_shows_it(watched, file, directory, link):
    """With types and numbers; also where a symlink leads to it, as under systemd."""
    shown = directory / "textfile"
    shown.mkdir()
    if link:
        (shown / "echod.prom").symlink_to(file)
    server = watched()
    visit(server, b"hello")
    wait_for(
        file, {"echod_connections_total": 1, of_bytes("tcp"): 5, exits("eof"): 1}
    )
    with node_exporter(shown if link else directory) as fetch:
        text = fetch()
        assert "node_textfile_scrape_error 0\n" in text
        found = dict(re.findall(r"^# TYPE (echod_\w+) (\w+)$", text, re.MULTILINE))
        assert found == TYPES
        samples = re.findall(r"^(echod_\S+) ([\d.e+]+)$", text, re.MULTILINE)
        assert {name: int(float(n)) for name, n in samples} == read(file)
        assert server.stop() == 0
        if not link:  # else there is an error, which it shows as such
            assert "echod_" not in fetch()


def test_node_exporter_tells_several_apart(start, directory):
    """By their files' names: of the same series it would show one, and drop all others."""
    names = ("east", "west")
    for name in names:
        visit(start(f"--metrics={directory}/echod-{name}.prom"), name.encode() * 3)
    with node_exporter(directory) as fetch:
        for name in names:
            series = f'echod_bytes_total{{name="{name}",proto="tcp"}} {len(name) * 3}\n'
            wait_until(lambda: series in fetch(), series)
        assert "node_textfile_scrape_error 0\n" in fetch()
