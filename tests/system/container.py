"""A machine: a container with systemd in it, booted from the base and driven by root.

It changes nothing of the base, and leaves nothing behind: what it writes is in
memory, and goes with it. Its network is a loopback of its own.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clients
import procfs
from waiting import DEADLINE, Lines, wait_until

CLONE_NEWNET = 0x40000000  # of <sched.h>
PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>

PROGRAMS = {"systemd-nspawn": "systemd-container", "nsenter": "util-linux"}

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

# Of version 1, nspawn mounts the controllers read-only, and systemd then thinks
# that it has none: TasksMax= would do nothing.
INIT = """
[ ! -d /sys/fs/cgroup/pids ] || mount -o remount,bind,rw /sys/fs/cgroup/pids
exec /lib/systemd/systemd
"""


class NoBoot(Exception):
    """The environment does not let a container boot; the text says what it said."""


def lacking():
    """What a machine needs and this host does not have, as text; or None."""
    if os.geteuid() != 0:
        return "needs root, to boot a container"
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"needs Debian's package {package}, for {program}"
    return None


class Machine:
    """A booted one, as a context: Machine(base)."""

    def __init__(self, base):
        self.name = f"echod-system-{os.getpid()}"
        self.leader = None  # its PID 1, as it is called out here
        self.failed_units = ""
        self._base = base
        self._cleanup = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as cleanup:
            groups = cleanup.enter_context(control_groups(self.name))
            process = cleanup.enter_context(self._nspawn(groups))
            console = Lines(process.stdout)
            cleanup.callback(console.wait_for_end)
            cleanup.callback(self._kill, process)
            try:
                self.leader = wait_until(lambda: leader(process, console), "its PID 1")
                wait_until(lambda: self._has_booted(process, console), "it to boot")
            except AssertionError as error:
                raise NoBoot(f"{error}: {last_lines(console)}") from None
            self._pool = cleanup.enter_context(
                ThreadPoolExecutor(1, initializer=enter_network, initargs=(self.leader,))
            )
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_):
        self._cleanup.close()

    def _nspawn(self, groups):
        def become():
            """It is in its groups from the start, and does not outlive the tests."""
            for group in groups:
                (group / "cgroup.procs").write_text("0")
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

        options = ["--volatile=overlay", "--read-only"]
        options += ["--private-network", "--register=no"]
        options += ["--kill-signal=SIGRTMIN+3", "--console=pipe", "--link-journal=no"]
        options += ["--resolv-conf=off", "--timezone=off"]
        if groups:
            options += ["--keep-unit"]
        return subprocess.Popen(
            ["systemd-nspawn", f"--directory={self._base}", f"--machine={self.name}"]
            + ["--hostname=echod-test", *options, "/bin/sh", "-c", INIT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a Control-C is for pytest, which cleans up
            preexec_fn=become,
        )

    def _has_booted(self, process, console):
        assert_runs(process, console)
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        if state == "degraded":  # that may be as the environment wants it
            self.failed_units = self.run(
                "systemctl", "--failed", "--no-legend", "--plain"
            ).stdout
        return state in ("running", "degraded")

    def _kill(self, process):
        """At once: there is nothing in it that would have to be saved."""
        if self.leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
                process.wait(DEADLINE)  # nspawn tidies up after it
        process.kill()

    def command(self, *words):
        """What runs words inside when it is run here, in ENVIRONMENT."""
        return ["/usr/bin/nsenter", "--all", f"--target={self.leader}", "--", *map(str, words)]

    def run(self, *words, input=None, check=True, timeout=DEADLINE):
        """Run a command inside; it fails if its exit status is not 0, or too late."""
        result = subprocess.run(
            # From inside: nobody outside could end what the command has started.
            self.command("timeout", "--kill-after=5", timeout, *words),
            env=ENVIRONMENT,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
        )
        assert not check or result.returncode == 0, (
            f"{' '.join(map(str, words))}: exit status {result.returncode}\n"
            f"{result.stdout}{result.stderr}"
        )
        return result

    def write(self, path, text):
        """Make a file, and the directory that it is in."""
        self.run("mkdir", "-p", Path(path).parent)
        self.run("tee", path, input=text)

    def in_network(self, function, *arguments, **how):
        """Call it where the sockets that it makes are of the machine's network."""
        return self._pool.submit(function, *arguments, **how).result()

    def connect(self, host="127.0.0.1", port=7, **how):
        """A connected socket of the machine's network, for this process."""
        return self.in_network(clients.connect, host, port, **how)

    def proc(self, pid):
        """What procfs.py is to be asked about the process that is pid inside."""
        return f"{self.leader}/root/proc/{pid}"


def assert_runs(process, console):
    if process.poll() is not None:
        console.wait_for_end()
        raise NoBoot(f"systemd-nspawn: {last_lines(console)}")


def last_lines(console):
    return " | ".join(console.lines[-5:])


def leader(process, console):
    """The pid of the systemd that nspawn has started, once it is one."""
    assert_runs(process, console)
    for pid in procfs.children(process.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = procfs.status(pid)
            if status["Name"] == "systemd" and status["NSpid"].split()[1:] == ["1"]:
                return pid
    return None


def enter_network(pid):
    """Be in the network of a process, with this thread only."""
    with open(f"/proc/{pid}/ns/net") as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter the machine's network")


@contextlib.contextmanager
def control_groups(name):
    """Groups of the machine's own, one in each hierarchy that its systemd changes.

    Where systemd runs the host, nspawn asks it for one, and the list is empty.
    """
    made = []
    try:
        if not Path("/run/systemd/system").is_dir():
            for hierarchy in hierarchies():
                group = hierarchy / name
                group.mkdir(exist_ok=True)  # what a killed one has left
                made.append(group)
        yield made
    finally:
        for group in made:
            wait_until(lambda: is_removed(group), f"the end of {group}")


def hierarchies():
    """Where this process is in them."""
    root = Path("/sys/fs/cgroup")
    unified = root / "unified" if (root / "unified").is_dir() else root
    roots = {"": unified, "name=systemd": root / "systemd", "pids": root / "pids"}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        group = roots.get(controllers, root) / path.lstrip("/")
        if controllers in roots and (group / "cgroup.procs").exists():
            yield group


def is_removed(group):
    """Remove a group with those in it, if its processes have ended by now."""
    try:
        for directory, _, _ in os.walk(group, topdown=False):
            os.rmdir(directory)
    except OSError:
        return False
    return True
