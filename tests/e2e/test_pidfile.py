"""--pidfile: who runs, and that only one does."""

import os
import signal
import subprocess

import pytest

import clients
import procfs


def test_it_has_the_pid_while_echod_runs(start, pidfile):
    """Afterwards it is empty: echod can remove nothing, but no stale pid remains."""
    server = start(f"--pidfile={pidfile}")
    assert pidfile.read_text() == str(server.pid)
    assert pidfile.stat().st_mode & 0o777 == 0o644
    server.stop()
    assert pidfile.read_text() == ""


def test_a_second_echod_names_the_first(start, run, pidfile):
    server = start(f"--pidfile={pidfile}")
    second = run(f"--pidfile={pidfile}", "--listen=127.0.0.1", "--port=1")
    assert second.returncode == os.EX_CANTCREAT
    assert f"already running, pid {server.pid}," in second.stderr
    assert pidfile.read_text() == str(server.pid)


def test_children_do_not_hold_it(start, pidfile):
    """A child's only descriptor is its client: no pidfile and no listener."""
    server = start(f"--pidfile={pidfile}")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        [child] = server.children()
        [(number, target)] = procfs.descriptors(child).items()
        assert number == 0
        assert target.startswith("socket:")


def ended_pid():
    with subprocess.Popen(["true"]) as process:
        return process.pid


@pytest.mark.parametrize(
    "content",
    [
        lambda: str(ended_pid()),
        lambda: str(os.getpid()),
        lambda: "",
        lambda: "no pid, but something long\n" * 100,
    ],
    ids=["dead", "alive", "empty", "garbage"],
)
def test_a_stale_one_does_not_stop_a_start(start, pidfile, content):
    """Its lock counts, not what is in it: not even the pid of another process."""
    pidfile.write_text(content())
    server = start(f"--pidfile={pidfile}")
    assert pidfile.read_text() == str(server.pid)


def test_one_of_a_killed_echod_does_not_stop_a_start(start, pidfile):
    start(f"--pidfile={pidfile}").stop(signal.SIGKILL)
    server = start(f"--pidfile={pidfile}")
    assert pidfile.read_text() == str(server.pid)


@pytest.mark.parametrize("name", ["no/such/directory/echod.pid", "."])
def test_one_that_cannot_be_made_is_named(run, directory, name):
    result = run(f"--pidfile={directory / name}", "--listen=127.0.0.1", "--port=1")
    assert result.returncode == os.EX_CANTCREAT
    assert f"cannot make the pidfile {directory / name}: " in result.stderr
