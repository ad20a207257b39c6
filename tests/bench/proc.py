"""What /proc tells, and tools that are watched; see proc(5)."""

import os
import subprocess
import time
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
PATIENCE = 5  # seconds; the same as load's
IDLE = 0.005  # who runs for less than this in that time makes no progress


class Failed(Exception):
    """Why there is no figure."""


class Stalled(Failed):
    def __init__(self):
        super().__init__("stalled")


def _stat(pid):
    """The fields of /proc/PID/stat from the third, the state, on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise Failed("died") from None


def cpu(pid):
    """Seconds of processor time of a process and of the children it has reaped.

    The kernel counts in nanoseconds and tells ticks: measure many connections.
    """
    return sum(int(field) for field in _stat(pid)[11:15]) * TICK


def child_faults(pid):
    """Page faults of the children it has reaped."""
    fields = _stat(pid)
    return int(fields[8]) + int(fields[10])


def children(pid):
    """The pids of a process's children, zombies too."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        raise Failed("died") from None


def family(pid):
    """The pids of a process, of its children, and of theirs."""
    found = [str(pid)]
    for parent in found:
        found += children(parent)
    return found


def family_cpu(pid):
    """Seconds of processor time of all of them."""
    return sum(cpu(member) for member in family(pid))


def mappings(pid):
    return len(Path(f"/proc/{pid}/maps").read_text().splitlines())


def datagrams():
    """What the kernel has counted in this network: the fields of snmp(5), by name."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, numbers = (line.split()[1:] for line in lines if line.startswith("Udp:"))
    return dict(zip(names, map(int, numbers)))


def _meminfo(*names):
    """The sum of these lines of /proc/meminfo, in KiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in names)


def available():
    """KiB of memory that the machine has to give."""
    return _meminfo("MemAvailable")


def accounted():
    """KiB of what processes and their sockets are made of.

    MemAvailable also has what the kernel keeps of the processes before.
    """
    return _meminfo("AnonPages", "Shmem", "Slab", "KernelStack", "PageTables")


def forget_the_past():
    """Have the kernel give back what it keeps of those who are gone, if we may."""
    for shrink in Path("/sys/kernel/slab").glob("*/shrink"):
        try:
            shrink.write_text("1")
        except OSError:
            return


def settled():
    """The same, once it stands still, or after a while if it does not."""
    seen = [available()]
    for _ in range(20):
        time.sleep(0.25)
        seen.append(available())
        last = seen[-3:]
        if len(last) == 3 and max(last) - min(last) < 512:
            break
    return seen[-1]


def _ran(pid):
    """Seconds that a process without threads has run."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0


def watched(command, limit=120):
    """What a tool writes, unless it stalls, or is not done in so many seconds."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tool:
        try:
            deadline = time.monotonic() + limit
            ran = 0
            while True:
                try:
                    out, complaint = tool.communicate(timeout=PATIENCE)
                    break
                except subprocess.TimeoutExpired:
                    before, ran = ran, _ran(tool.pid)
                    if ran - before < IDLE:
                        raise Stalled from None
                    if time.monotonic() > deadline:
                        raise Failed(f"not done in {limit} s") from None
        finally:
            tool.kill()
    if tool.returncode != 0:
        raise Failed(f"{command[0]}: {(complaint.strip() or out.strip()).splitlines()[-1]}")
    return out


class Load:
    """load, our own clients: load.c has its commands."""

    def __init__(self, program, port):
        self.tool = subprocess.Popen(
            [program, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tool.kill()
        self.tool.communicate()

    def __call__(self, *command):
        """The answer to a command, as a dict.  load itself gives up on who stalls."""
        try:
            print(*command, file=self.tool.stdin, flush=True)
            line = self.tool.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed((self.tool.stderr.read().strip() or "load died").splitlines()[-1])
        words = line.split()
        answer = dict(zip(words[::2], map(float, words[1::2])))
        if answer["wrong"]:
            raise Failed("wrong bytes")
        return answer
