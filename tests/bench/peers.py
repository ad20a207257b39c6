"""The servers: a table of them, and how one is found, started and stopped."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import proc
from namespace import ADDRESS
from proc import Failed

sys.path.append(str(Path(__file__).resolve().parents[1] / "e2e"))
import packages  # noqa: E402, how tests find programs

HOST = "127.0.0.1"
PORTS = range(20000, 30000)  # none that a client could be given
DEADLINE = 10  # seconds to start in
PR_SET_CHILD_SUBREAPER = 36

INETD_CONF = f"{HOST}:echo stream tcp nowait.10000000 root internal\n"
INETD_DATAGRAMS_CONF = f"{ADDRESS}:echo dgram udp wait root internal\n"
XINETD_CONF = """\
service echo
{{
	type = INTERNAL UNLISTED
	id = echo-stream
	socket_type = stream
	protocol = tcp
	bind = {host}
	port = {port}
	user = root
	wait = no
	disable = no
	instances = UNLIMITED
	per_source = UNLIMITED
	cps = 10000000 1
}}
"""


def _write(path, text):
    path.write_text(text)
    return str(path)


# What each is started with: the program, the port, and a directory for its files.


def echod(program, port, _):
    return [program, "-l", HOST, "-p", str(port), "-c", "20000"]


def _echod_all_on(program, port, directory):
    """Everything that clients do not ask for, with limits that nobody reaches."""
    file = directory / "metrics" / "echod.prom"
    file.parent.mkdir(exist_ok=True)
    file.parent.chmod(0o777)  # for the user that echod becomes
    limits = ["--rate=1000000", "--max-per-source=1000000"]
    others = ["--proxy-protocol=192.0.2.0/24", f"--metrics={file}"]
    return [*echod(program, port, directory), "--udp", *limits, *others]


def _echod_datagrams(program, port, _):
    return [program, "-l", ADDRESS, "-p", str(port), "--udp", "--rate=1000000"]


def _of_ours(program, port, _):
    return [program, str(port)]


def _socat(program, port, _):
    return [program, f"TCP-LISTEN:{port},bind={HOST},fork,backlog=4096", "PIPE"]


def _socat_datagrams(program, port, _):
    """The fastest that is right: in a PIPE, datagrams that come together become one."""
    where = f"UDP-LISTEN:{port},bind={ADDRESS},fork,reuseaddr"
    return [program, where, f"EXEC:cat,socktype={int(socket.SOCK_DGRAM)}"]


def _in_etc(name, file, command):
    """A command that sees the file as /etc/NAME; nobody else does."""
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *root, "--mount", "sh", "-c", script, "sh", file, f"/etc/{name}", *command]


def _inetd(program, port, directory):
    """Its echo has the port that /etc/services says."""
    services = _write(directory / "services", f"echo {port}/tcp\n")
    conf = _write(directory / "inetd.conf", INETD_CONF)
    return _in_etc("services", services, [program, "-i", "-q", "4096", "-R", "10000000", conf])


def _inetd_datagrams(program, port, directory):
    services = _write(directory / "services", f"echo {port}/udp\n")
    conf = _write(directory / "inetd.conf", INETD_DATAGRAMS_CONF)
    return _in_etc("services", services, [program, "-i", "-q", "4096", "-R", "10000000", conf])


def _xinetd(program, port, directory):
    """It asks for the name of each client: /etc/hosts has it, so DNS has no part in this."""
    hosts = _write(
        directory / "hosts", "".join(f"127.0.0.{n} loopback{n}\n" for n in range(1, 255))
    )
    conf = _write(directory / "xinetd.conf", XINETD_CONF.format(host=HOST, port=port))
    return _in_etc("hosts", hosts, [program, "-dontfork", "-f", conf])


def _ncat(program, port, _):
    return [program, "-l", "-k", "-m", "20000", "-e", "/bin/cat", HOST, str(port)]


def _tcpserver(program, port, _):
    return [program, "-HRDl0", "-b", "4096", "-c", "20000", HOST, str(port), "cat"]


def _systemd(program, port, _):
    return [program, "--accept", "--inetd", "-l", f"{HOST}:{port}", "cat"]


@dataclass(frozen=True)
class Peer:
    name: str
    program: str  # or what it is called among our own
    command: Callable
    package: str = ""  # of Debian; our own have none
    forks: bool = True
    datagrams: Callable = None  # the command for UDP, of who has it
    helpers: int = 0  # children that are not for clients


ECHOD = {"static": "echod (static)", "release": "echod (release)"}
ALL_ON = "echod (release, all on)"
FLOOR, LOOP = "the floor", "libuv event loop"

PEERS = [
    Peer(ECHOD["static"], "static", echod, datagrams=_echod_datagrams),
    Peer(ECHOD["release"], "release", echod, datagrams=_echod_datagrams),
    Peer(ALL_ON, "release", _echod_all_on, helpers=2),
    Peer(FLOOR, "bench-floor", _of_ours),
    Peer("socat", "socat", _socat, "socat", datagrams=_socat_datagrams),
    Peer("openbsd-inetd", "inetd", _inetd, "openbsd-inetd", datagrams=_inetd_datagrams),
    Peer("xinetd", "xinetd", _xinetd, "xinetd"),
    Peer("ncat -k + cat", "ncat", _ncat, "ncat"),
    Peer("tcpserver + cat", "tcpserver", _tcpserver, "ucspi-tcp"),
    Peer("systemd + cat", "systemd-socket-activate", _systemd, "systemd"),
    Peer(LOOP, "bench-loop", _of_ours, "libuv1-dev", forks=False),
]


def find(peer, own, directory):
    """The path of a peer's program, or None.  own has the paths of our own."""
    if peer.program in own:
        return own[peer.program] if os.access(own[peer.program], os.X_OK) else None
    return packages.find(peer.package, peer.program, directory)


def version(package, directory=None):
    """Of an installed package, or of one that was unpacked."""
    for deb in (directory / package).glob("*.deb") if directory else []:
        return _output("dpkg-deb", "-f", deb, "Version")
    return _output("dpkg-query", "-W", "-f", "${Version}", package)


def _output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


_ports = iter(())


def _free_port(host, kind):
    """The ports by turns: one that was just used may still have old connections."""
    global _ports
    for _ in PORTS:
        port = next(_ports, None)
        if port is None:
            _ports = iter(PORTS)
            continue
        with socket.socket(type=kind) as probe:
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue
    raise Failed("no free port")


def adopt_orphans():
    """Let what the children leave behind become ours, so that we can end it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children():
    """Kill and reap every child, and theirs, until there are none."""
    while pids := proc.children(os.getpid()):
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)
            except (ProcessLookupError, ChildProcessError):
                pass


class Server:
    """A running peer."""

    host, kind = HOST, socket.SOCK_STREAM

    def __init__(self, peer, program, directory):
        directory.mkdir(parents=True, exist_ok=True)
        self.peer = peer
        self.directory = directory
        self.port = _free_port(self.host, self.kind)
        self.log = directory / "log"
        with self.log.open("w") as log:
            command = self.command()(program, self.port, directory)
            try:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            except OSError as error:
                raise Failed(f"does not start: {error.strerror}") from None
        self.pid = self.process.pid
        self.helpers = []

    def command(self):
        return self.peer.command

    def __enter__(self):
        try:
            self._wait_until_ready()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        end_children()

    def _wait_until_ready(self):
        """It is, when it sends back what it gets."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                lines = self.log.read_text(errors="replace").strip().splitlines()
                raise Failed(f"does not start: {lines[-1] if lines else 'it says nothing'}")
            try:
                if self._answers(b"ready?"):
                    break
            except OSError:
                time.sleep(0.02)
        else:
            raise Failed("does not start: it sends nothing back")
        self._settle()

    def _answers(self, message):
        with socket.create_connection((self.host, self.port), 1) as client:
            client.sendall(message)
            return client.recv(len(message), socket.MSG_WAITALL) == message

    def _settle(self):
        self.wait_for_children(0)
        self.helpers = proc.children(self.pid)

    def cpu(self):
        """Seconds of its processor time, with that of the children it has reaped."""
        return proc.cpu(self.pid) + sum(proc.cpu(helper) for helper in self.helpers)

    def children(self):
        """How many are for clients."""
        return len(proc.children(self.pid)) - self.peer.helpers

    def wait_for_children(self, count):
        """Until it has reaped all others: what they used is counted only then."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if self.children() <= count:
                return
            time.sleep(0.01)
        raise Failed(f"has not reaped {self.children() - count} children")


class DatagramServer(Server):
    """The same for UDP, in a network of its own."""

    host, kind = ADDRESS, socket.SOCK_DGRAM

    def command(self):
        return self.peer.datagrams

    def _answers(self, message):
        with socket.socket(type=self.kind) as client:
            client.settimeout(0.1)
            client.connect((self.host, self.port))
            client.send(message)
            return client.recv(2 * len(message)) == message

    def _settle(self):
        """Its children stay; who they are for cannot be told."""

    def cpu(self):
        return proc.family_cpu(self.pid)

    def pin(self, processor):
        """Let it run on this one only, and so the children that it will have."""
        for pid in proc.family(self.pid):
            os.sched_setaffinity(int(pid), {processor})
