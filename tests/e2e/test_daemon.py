"""--daemon: the background, and an exit status that is true."""

import os
import signal
import socket

import clients
import procfs
from echod import LOOPBACK
from waiting import wait_until

HOST = LOOPBACK[0]


def test_it_serves_as_soon_as_the_command_returns(background, port):
    result = background()
    assert (result.returncode, result.stderr) == (0, "")
    with clients.connect(HOST, port) as client:
        assert clients.transfer(client, [b"at once"]) == b"at once"


def test_it_has_left_the_callers_world(background, pidfile):
    """A session of its own, no terminal, /, and nothing open but what it needs."""
    assert background().returncode == 0
    pid = int(pidfile.read_text())
    assert procfs.session(pid) == pid
    assert procfs.terminal(pid) == 0
    assert os.readlink(f"/proc/{pid}/cwd") == "/"

    def nothing_else_is_open():
        """It closes the pipe by which it has told that it serves a little later."""
        descriptors = procfs.descriptors(pid)
        assert [descriptors.pop(n) for n in (0, 1, 2)] == ["/dev/null"] * 3
        others = list(descriptors.values())
        others.remove(str(pidfile))
        return all(other.startswith("socket:") for other in others)

    wait_until(nothing_else_is_open, "only sockets to be open")


def test_the_pidfile_is_of_the_daemon(background, pidfile, port):
    """Its pid stops it, and then the file is empty."""
    assert background().returncode == 0
    pid = int(pidfile.read_text())
    assert procfs.title(pid) == f"echod: listening on {HOST}:{port}, 0 clients"
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not procfs.running(pid), "the daemon to end")
    assert pidfile.read_text() == ""


def test_log_to_standard_error_keeps_it(background, directory):
    """--log=stderr is for one who asked for it: then it stays open."""
    path = directory / "log"
    with path.open("w") as log:
        assert background("--log=stderr", stderr=log).returncode == 0
    wait_until(lambda: path.read_text().startswith("listening on "), "a line")


def assert_failed(result, status, reason):
    """The caller learns that nothing serves, and why."""
    assert result.returncode == status
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_port_in_use_is_told(background, port):
    with socket.create_server((HOST, port)):
        assert_failed(background(), os.EX_UNAVAILABLE, f"{HOST}:{port}")


def test_an_address_of_another_host_is_told(background):
    result = background("--listen=192.0.2.1")
    assert_failed(result, os.EX_UNAVAILABLE, "192.0.2.1:")


def test_a_pidfile_that_cannot_be_made_is_told(background):
    result = background("--pidfile=/nonexistent/echod.pid")
    assert_failed(result, os.EX_CANTCREAT, "/nonexistent/echod.pid")


def test_an_unknown_user_is_told(background):
    assert_failed(background("--user=nosuchuser"), os.EX_USAGE, "nosuchuser")


def test_a_second_one_is_told_the_first(background, pidfile):
    assert background().returncode == 0
    reason = f"already running, pid {pidfile.read_text()},"
    assert_failed(background(), os.EX_CANTCREAT, reason)


def test_it_fails_as_it_should_though_sigchld_is_ignored(background, port):
    """Whoever starts it may ignore SIGCHLD; then there would be no status."""

    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    result = background("--listen=192.0.2.1", preexec_fn=ignore)
    assert result.returncode == os.EX_UNAVAILABLE
