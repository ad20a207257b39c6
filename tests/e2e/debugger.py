"""Let a process do what it never would; see gdb(1)."""

import platform
import shutil
import subprocess

import pytest

from waiting import DEADLINE


def have_it_call(pid, call):
    """Let a process make a system call: its number and its arguments.

    By number: not every function is in a static echod, syscall(2) is.  No strings: for
    them gdb has the process allocate memory, which it cannot on every processor.
    """
    if platform.machine() != "x86_64":
        pytest.skip("knows x86-64's calls only")
    if shutil.which("gdb") is None:
        pytest.skip("needs Debian's package gdb")
    result = subprocess.run(
        ["gdb", "-nx", "-batch", "-p", str(pid), "-ex", f"print (long)syscall({call})"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    if "ptrace: Operation not permitted" in result.stderr:
        pytest.skip("needs root, to trace a process that forbids it")
