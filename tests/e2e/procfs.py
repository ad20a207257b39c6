"""What /proc tells about processes; see proc(5)."""

import contextlib
import os
import signal
from pathlib import Path

from waiting import wait_until


def _fields(pid):
    """The fields of /proc/PID/stat from the third, the state, on; or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()


def parent(pid):
    """The pid of a process's parent, None if it has been reaped."""
    fields = _fields(pid)
    return int(fields[1]) if fields else None


def _parents():
    """Each process's parent."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return {pid: parent(pid) for pid in pids}


def children(pid):
    """The pids of a process's children, the zombies included."""
    return [child for child, its in _parents().items() if its == pid]


def descendants(pid):
    """Children, theirs and so on."""
    parents, found = _parents(), [pid]
    for one in found:
        found += [child for child, its in parents.items() if its == one]
    return found[1:]


def running(pid):
    """Whether there is such a process, and not as a zombie."""
    fields = _fields(pid)
    return fields is not None and fields[0] not in "ZX"


def memory(pid):
    """What it has allocated itself, in KiB."""
    return int(status(pid)["RssAnon"].split()[0])


def session(pid):
    return int(_fields(pid)[3])


def terminal(pid):
    """The device number of the controlling terminal, 0 if there is none."""
    return int(_fields(pid)[4])


def cpu_seconds(pid):
    """The processor time it has used."""
    user, system = _fields(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def status(pid):
    """/proc/PID/status as a dict of strings."""
    text = Path(f"/proc/{pid}/status").read_text()
    pairs = [line.partition(":") for line in text.splitlines()]
    return {name: value.strip() for name, _, value in pairs}


def pending(pid):
    """The signals that wait for the process to run."""
    mask = int(status(pid)["ShdPnd"], 16)
    return {number for number in signal.Signals if mask >> (number - 1) & 1}


def title(pid):
    """The title that was set with setproctitle(3bsd); libbsd may append a blank.

    It is empty of a process that has ended, whether or not it was reaped.
    """
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return line.partition(b"\0")[0].decode().rstrip()


def descriptors(pid):
    """What the open descriptors are: number to the target of /proc/PID/fd/N."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            found[int(link.name)] = os.readlink(link)
    return found


def mappings(pid):
    """What is mapped into its memory, as text."""
    return Path(f"/proc/{pid}/maps").read_text()


@contextlib.contextmanager
def standing_still(pid):
    """Stop it; what comes meanwhile, signals too, it finds all at once when it goes on.

    Until it does stand still, it would take a signal that comes before it stops.
    """
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: not running(pid) or status(pid)["State"][0] == "T", f"{pid} to stop")
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
