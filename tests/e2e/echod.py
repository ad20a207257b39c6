"""Start echod, watch it, and stop it."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import clients
import procfs
from waiting import DEADLINE, Lines, wait_until

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("ECHOD", ROOT / "build/debug/echod")).resolve()
WRAPPER = os.environ.get("ECHOD_WRAPPER", "").split()  # valgrind, say


def can_bind(host, port=0):
    """Whether host is an address of this host, and port is free on it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as sock:
            sock.bind((host, port))
    except OSError:
        return False
    return True


LOOPBACK = [host for host in ("127.0.0.1", "::1") if can_bind(host)]


def free_port():
    """A port for all loopback addresses, of none that clients get by chance."""
    while True:
        port = random.randrange(10000, 32768)
        if all(can_bind(host, port) for host in LOOPBACK):
            return port


STATUS = (
    r"^status: up \d+ s, (?P<active>\d+) active, (?P<accepted>\d+) accepted, "
    r"(?P<refused>\d+) refused \((?P<many>\d+) over --max-per-source, "
    r"(?P<fast>\d+) over --rate, (?P<header>\d+) for their PROXY header\), "
    r"(?P<lost>\d+) lost, (?P<bytes>\d+) bytes, (?P<backoffs>\d+) backoffs, "
    r"(?P<datagrams>\d+) datagrams, (?P<strays>\d+) datagrams refused$"
)


def is_sanitized():
    return b"__asan_init" in BINARY.read_bytes()


# What systemd does after the fork: the descriptors from 3 on, and whom they are for.
HAND_OVER = """
import fcntl, os, sys
fds, command = sys.argv[1], sys.argv[2:]
kept = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 200) for fd in fds.split()]
for number, fd in enumerate(kept, 3):
    os.dup2(fd, number)
for name, value in ("LISTEN_PID", os.getpid()), ("LISTEN_FDS", len(kept)):
    os.environ.setdefault(name, str(value))
os.execvp(command[0], command)
"""


def handing_over(*sockets):
    """How to start an echod with these sockets: a wrapper, and what it needs.

    LISTEN_PID and LISTEN_FDS of the environment, if there are any, are kept.
    """
    fds = [sock.fileno() for sock in sockets]
    numbers = " ".join(map(str, fds))
    wrapper = [sys.executable, "-I", "-S", "-c", HAND_OVER, numbers, *WRAPPER]
    return {"wrapper": wrapper, "pass_fds": fds}


def environment(directory):
    """For echod: no journal, no manager, and sanitizers report to files in directory.

    A client's child has no standard error that they could report to.
    """
    ours = ("JOURNAL_STREAM", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        env[name] = f"{env.get(name, '')}:log_path={directory}/sanitizer"
    return env


class Echod:
    """A running echod, on a free port of the loopback addresses by default."""

    def __init__(
        self,
        directory,
        *options,
        binary=BINARY,
        listen=LOOPBACK,
        port=None,
        env=None,
        stderr=subprocess.PIPE,
        wrapper=WRAPPER,
        **popen,
    ):
        self.port = port or free_port()
        where = []
        if listen is not None:  # else others have said where
            where = [f"--listen={host}" for host in listen] + [f"--port={self.port}"]
        self.process = subprocess.Popen(
            [*wrapper, binary, *where, *options],
            cwd=directory,
            env=environment(directory) | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            errors="replace",
            **popen,
        )
        self.pid = self.process.pid
        self._stopped = False
        self.log = Lines(self.process.stderr) if self.process.stderr else None
        try:
            wait_until(self._serves, "echod to serve")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self._stopped:
            assert self.stop() == 0

    def _serves(self):
        log = self.log.lines if self.log else []
        assert self.process.poll() is None, f"echod does not start: {log}"
        if WRAPPER:  # valgrind hides the title
            return log != []
        # The title tells it whatever echod logs, and wherever to.
        return self.title().startswith("echod: listening on ")

    def connect(self, host=LOOPBACK[0], **how):
        return clients.connect(host, self.port, **how)

    def wait_log(self, pattern, count=1):
        return self.log.wait(pattern, count)

    def status(self):
        """What one more status line says: a dict of numbers."""
        count = len(self.log.matching("^status: "))
        self.kill(signal.SIGUSR1)
        line = self.wait_log(STATUS, count + 1)
        return {name: int(number) for name, number in line.groupdict().items()}

    def wait_status(self, **expected):
        """Wait until a status line says so; what is not named must be 0."""

        def right():
            return all(n == expected.get(name, 0) for name, n in self.status().items())

        wait_until(right, f"the status {expected}")

    def child_of(self, sock):
        """Wait until the client is announced, and return its child's pid."""
        peer = re.escape(clients.name(sock))
        return int(self.wait_log(rf"connected with {peer} \(pid (\d+),")[1])

    def titled(self, pattern):
        """The pids of the children with such a title, after the program's name."""
        pattern = re.compile(f"echod: {pattern}")
        return [pid for pid in self.children() if pattern.fullmatch(procfs.title(pid))]

    def child_named(self, sock):
        """Wait until the client's child is named after it, and return its pid."""
        name = clients.name(sock)
        [child] = wait_until(lambda: self.titled(re.escape(name)), f"a child named {name}")
        return child

    def children(self):
        """The children, those that nobody reaped included."""
        return procfs.children(self.pid)

    def wait_for_children(self, count):
        wait_until(lambda: len(self.children()) == count, f"{count} children")

    def title(self):
        return procfs.title(self.pid)

    def kill(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Stop it if it still runs, and return its exit status."""
        self._stopped = True
        self.kill(number)
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.log:
                self.log.wait_for_end()
        return status
