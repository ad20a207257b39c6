"""The log: one event a line."""

import os
import re
import signal
import socket

import pytest

import clients
from echod import LOOPBACK
from syslogd import needs_syslogd, syslogd
from waiting import Lines, wait_until


def test_where_it_listens(server):
    hosts = [f"[{host}]" if ":" in host else host for host in LOOPBACK]
    where = " and ".join(f"{host}:{server.port}" for host in hosts)
    server.wait_log(f"^listening on {re.escape(where)}$")


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_connection(server, host):
    """Who it is, by whose child it is served, and how it went."""
    with server.connect(host) as client:
        peer = re.escape(clients.name(client))
        assert clients.exchange(client, b"hello") == b"hello"
        [child] = server.children()
        server.wait_log(rf"^connected with {peer} \(pid {child}, 1 active\)$")
    what = r"5 bytes in \d+\.\d s, end of file"
    server.wait_log(rf"^closed {peer} \(pid {child}\): {what}$")


def test_it_counts_who_is_active(server):
    with server.connect() as first:
        server.wait_log(r"^connected with .*, 1 active\)$")
        with server.connect():
            server.wait_log(r"^connected with .*, 2 active\)$")
        server.wait_log(r"^closed ")
        assert clients.exchange(first, b"x") == b"x"
        with server.connect():
            server.wait_log(r"^connected with .*, 2 active\)$", count=2)


@pytest.mark.parametrize("leave", [socket.socket.close, clients.reset])
@pytest.mark.parametrize("options", [(), ("--verbose",)], ids=["normal", "verbose"])
def test_a_probe_is_for_verbose_only(start, options, leave):
    """A load balancer connects, sends nothing and leaves, all day long.

    On a busy machine one may be there for longer than a probe's 0.2 s.
    """
    server = start(*options)

    def probe():
        """The first words of the lines about one."""
        sock = server.connect()
        peer = re.escape(clients.name(sock))
        server.wait_for_children(1)
        leave(sock)
        server.wait_for_children(0)
        done = len(server.log.matching("^closed .*: 1 bytes"))
        with server.connect() as client:
            assert clients.transfer(client, [b"x"]) == b"x"
        server.wait_log("^closed .*: 1 bytes", done + 1)
        lines = [match.string for match in server.log.matching(peer)]
        return [line.partition(" ")[0] for line in lines]

    expected = ["connected", "closed"] if options else []
    wait_until(lambda: probe() == expected, f"a probe to log {expected}")


def test_quiet_says_nothing_about_clients(start):
    server = start("--quiet")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        server.wait_for_children(1)
    server.wait_for_children(0)
    server.stop()
    assert server.log.lines == []


@pytest.mark.parametrize("journal", [True, False])
def test_the_journal_gets_priorities(start, journal):
    """Where standard error is the one that JOURNAL_STREAM names, and only there."""
    reader, writer = os.pipe()
    log = Lines(open(reader))
    with open(writer, "w") as pipe:
        stream = os.fstat(writer)
        inode = stream.st_ino + (not journal)
        env = {"JOURNAL_STREAM": f"{stream.st_dev}:{inode}"}
        server = start(env=env, stderr=pipe)
    info, warning = ("<6>", "<4>") if journal else ("", "echod: ")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        [child] = server.children()
        os.kill(child, signal.SIGKILL)
        log.wait(f"^{warning}closed .*, killed by signal 9 ")
    log.wait(f"^{info}listening on ")
    log.wait(f"^{info}connected with ")


def test_the_journal_gets_the_priority_of_a_wrong_command_line(run, directory):
    """No option that it could not read is needed to know the journal."""
    with open(directory / "log", "w+") as log:
        stream = os.fstat(log.fileno())
        env = {"JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}
        assert run("--nonsense", stderr=log, env=env).returncode == os.EX_USAGE
        log.seek(0)
        assert re.fullmatch("<3>unknown .* --nonsense; .*\n", log.read())


@needs_syslogd
def test_syslog(start):
    """Datagrams as syslog(3) sends them; a syslogd may go and return."""
    with syslogd() as message:
        server = start("--log=syslog")
        stamp = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
        sender = rf"^<30>{stamp} echod\[{server.pid}\]: "
        assert re.match(f"{sender}listening on ", message(server.pid))
    with server.connect() as client:
        assert clients.transfer(client, [b"unheard"]) == b"unheard"
    # Its child is gone a little before the line about it.
    wait_until(lambda: server.title().endswith(", 0 clients"), "it to be forgotten")
    with syslogd() as message:
        with server.connect() as client:
            assert clients.transfer(client, [b"heard"]) == b"heard"
        assert "log lines were lost" in message(server.pid)
        assert re.match(f"{sender}connected with ", message(server.pid))
        assert re.match(rf"{sender}closed .*: 5 bytes", message(server.pid))
    assert server.log.lines == []


@needs_syslogd
def test_nobody_reads_syslog(start):
    """Who chose it, or -d, is told where it can still be seen."""
    server = start("--log=syslog")
    server.wait_log("^echod: nobody reads /dev/log: No such file .*--log=stderr$")
