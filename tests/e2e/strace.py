"""Faults that strace injects into a running process; see strace(1)."""

import contextlib
import os
import shutil
import signal
import subprocess

import pytest

from waiting import DEADLINE, Lines


@contextlib.contextmanager
def injecting(pid, calls, fault, follow=False):
    """Let calls of pid fail as fault says, as long as the context lasts.

    With follow, its future children's, too.

    Yields the lines of the trace: those of injected faults say (INJECTED).
    """
    if shutil.which("strace") is None:
        pytest.skip("needs Debian's package strace")
    # In place of a call, strace makes the one with number -1, which is not one that
    # echod's filter lets pass; getpid(2) is.
    what = f"{calls}:{fault}:syscall=getpid"
    with subprocess.Popen(
        ["strace", *(["-f"] if follow else []), f"-p{pid}", f"-etrace={calls}", f"-einject={what}"],
        stderr=subprocess.PIPE,
        env=dict(os.environ, LC_ALL="C"),
        text=True,
    ) as process:
        trace = Lines(process.stderr)
        trace.wait("attached|not permitted")
        if trace.matching("not permitted"):
            pytest.skip("strace may not attach to a process here")
        try:
            yield trace
        finally:
            detach(process, trace, pid)


def detach(process, trace, pid):
    """Let strace leave while pid is stopped, if it still is there.

    Within a call pid would go on with what strace had put into it: with the result of
    getpid(2) for a descriptor.  Before a signal's handler it would lose the signal.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    try:
        trace.wait(r"stopped by SIGSTOP|\+\+\+ (exited|killed)")
        process.terminate()
        process.wait(DEADLINE)
        trace.wait_for_end()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
