"""A network for one measure, in which servers have an address that is not loopback.

An inetd answers no datagram that comes from loopback.  And what the kernel counts
there is of this measure alone.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess

from proc import Failed

ADDRESS = "192.0.2.1"
CLONE_NEWNET = 0x40000000  # of <sched.h>


def _change(how, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, how)(*arguments) != 0:
        raise Failed(f"cannot change the network: {os.strerror(ctypes.get_errno())}")


def possible():
    return os.geteuid() == 0 and shutil.which("ip") is not None


@contextlib.contextmanager
def alone():
    """Be in a new network namespace, and so are the processes that are started then."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        _change("unshare", CLONE_NEWNET)
        for words in ("link set lo up", f"address add {ADDRESS}/32 dev lo"):
            if subprocess.run(["ip", *words.split()], check=False).returncode != 0:
                raise Failed(f"cannot: ip {words}")
        yield
    finally:
        _change("setns", before, CLONE_NEWNET)
        os.close(before)
