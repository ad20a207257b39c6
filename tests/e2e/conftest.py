"""The fixtures of all end-to-end tests."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

import procfs
from echod import BINARY, LOOPBACK, Echod, environment, free_port
from waiting import DEADLINE, wait_until

pytest_plugins = ["descriptors", "haproxy", "network"]  # which have fixtures, too
pytest.register_assert_rewrite("haproxy", "harmless")  # whoever imports them first

PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>


def pytest_configure():
    if not os.access(BINARY, os.X_OK):
        raise pytest.UsageError(f"no {BINARY}: build it, or set ECHOD to another")


def pytest_report_header():
    return f"echod: {BINARY}, uid {os.geteuid()}"


@pytest.fixture(scope="session", autouse=True)
def orphans_are_adopted():
    """Daemons, and children of a killed echod, become children of this process."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


@pytest.fixture(autouse=True)
def no_process_is_left(orphans_are_adopted):
    """After each test every process that it started must have ended."""
    yield

    def left():
        return [pid for pid in procfs.children(os.getpid()) if procfs.running(pid)]

    try:
        wait_until(lambda: not left(), "the processes of the test to end")
    finally:
        while pids := procfs.children(os.getpid()):
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


@pytest.fixture
def directory():
    """A directory that echod's user may write to; for pidfiles and the like.

    Whatever test it is for fails if a sanitizer has left a report in it.
    """
    with tempfile.TemporaryDirectory(prefix="echod-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path
        reports = [report.read_text() for report in path.glob("sanitizer.*")]
        assert not reports, "\n".join(reports)


@pytest.fixture
def start(directory):
    """Start an echod, to be stopped after the test: start(*options, ...)."""
    with contextlib.ExitStack() as stack:

        def start_one(*options, **kwargs):
            return stack.enter_context(Echod(directory, *options, **kwargs))

        yield start_one


@pytest.fixture
def server(start):
    """A running echod."""
    return start()


@pytest.fixture
def run(directory):
    """Run an echod that is to exit by itself: run(*options, ...)."""

    def run_to_its_end(*options, binary=BINARY, wrapper=(), env=None, **kwargs):
        settings = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        return subprocess.run(
            [*wrapper, binary, *options],
            cwd=directory,
            env=environment(directory) | (env or {}),
            text=True,
            timeout=DEADLINE,
            **settings | kwargs,
        )

    return run_to_its_end


@pytest.fixture
def public_binary(directory):
    """echod where any user may execute it."""
    copy = directory / "echod"
    shutil.copy(BINARY, copy)
    copy.chmod(0o755)
    return copy


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def pidfile(directory):
    return directory / "echod.pid"


@pytest.fixture
def background(run, pidfile, port):
    """Run echod --daemon with the given options; a daemon is stopped afterwards."""

    def run_in_background(*options, **kwargs):
        where = [f"--listen={LOOPBACK[0]}", f"--port={port}", f"--pidfile={pidfile}"]
        result = run("--daemon", *where, *options, **kwargs)
        if result.stderr:  # there may be no syslog daemon: see test_log.py
            result.stderr = re.sub("^echod: nobody reads /dev/log: .*\n", "", result.stderr)
        return result

    yield run_in_background
    if pidfile.exists() and (pid := pidfile.read_text()):
        os.kill(int(pid), signal.SIGTERM)
        _, status = os.waitpid(int(pid), 0)
        assert os.waitstatus_to_exitcode(status) == 0


@pytest.fixture
def stay():
    """stay(client) keeps it connected until the test ends."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context
