"""What is written to syslog; see syslog(3)."""

import contextlib
import os
import socket

import pytest

from marks import needs_root
from waiting import DEADLINE

SOCKET = "/dev/log"


def needs_syslogd(test):
    """Decorate a test that makes a syslog daemon, or is sure that there is none."""
    for mark in (
        needs_root,
        pytest.mark.skipif(os.path.lexists(SOCKET), reason=f"{SOCKET} has an owner"),
        pytest.mark.xdist_group(SOCKET),  # there is one: not two tests at once
    ):
        test = mark(test)
    return test


@contextlib.contextmanager
def syslogd():
    """A syslog daemon; yields what returns the next message of an echod's pid.

    Echods of other tests may write, too.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(DEADLINE)
        sock.bind(SOCKET)
        try:
            os.chmod(SOCKET, 0o666)
            messages = iter(lambda: sock.recv(2048).decode(), None)
            yield lambda pid: next(line for line in messages if f" echod[{pid}]: " in line)
        finally:
            os.unlink(SOCKET)
