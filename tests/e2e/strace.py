"""System calls of running processes, and faults that are injected into them; see strace(1)."""

import contextlib
import os
import shutil
import signal
import subprocess

import pytest

from waiting import DEADLINE, Lines


@contextlib.contextmanager
def tracing(*pids, options=()):
    """The system calls of processes, as lines, as long as the context lasts."""
    if shutil.which("strace") is None:
        pytest.skip("needs Debian's package strace")
    with subprocess.Popen(
        ["strace", *options, *(f"-p{pid}" for pid in pids)],
        stderr=subprocess.PIPE,
        env=dict(os.environ, LC_ALL="C"),
        text=True,
    ) as process:
        trace = Lines(process.stderr)
        trace.wait("attached|not permitted", len(pids))
        if trace.matching("not permitted"):
            pytest.skip("strace may not attach to a process here")
        try:
            yield trace
        finally:
            detach(process, trace, pids)


def injecting(pid, calls, fault, follow=False):
    """Let calls of pid fail as fault says, as long as the context lasts.

    With follow, its future children's, too.

    Yields the lines of the trace: those of injected faults say (INJECTED).
    """
    # In place of a call, strace makes the one with number -1, which is not one that
    # echod's filter lets pass; getpid(2) is.
    what = f"{calls}:{fault}:syscall=getpid"
    options = [*(["-f"] if follow else []), f"-etrace={calls}", f"-einject={what}"]
    return tracing(pid, options=options)


def detach(process, trace, pids):
    """Let strace leave while the processes are stopped, those that still are there.

    Within a call one would go on with what strace had put into it: with the result of
    getpid(2) for a descriptor.  Before a signal's handler it would lose the signal.
    """
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        for pid in pids:  # of a single one strace does not say which it is
            which = rf"^(\[pid +{pid}\] )?"
            trace.wait(which + r"(--- stopped by SIGSTOP|\+\+\+ (exited|killed))")
        process.terminate()
        process.wait(DEADLINE)
        trace.wait_for_end()
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
