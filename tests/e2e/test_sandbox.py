"""Once it serves, echod can do next to nothing else; see seccomp(2)."""

import os
import re

import pytest

import clients
import procfs
from debugger import have_it_call
from marks import needs_filter

pytestmark = needs_filter


def test_the_filter_is_in_force(start):
    """For the parent and for each child; -v says so."""
    server = start("--verbose")
    server.wait_log(r"^in force: \d+ system calls allowed, no_new_privs, ")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        for pid in (server.pid, *server.children()):
            assert procfs.status(pid)["Seccomp"] == "2"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("2, 0, 0", id="open"),
        pytest.param("41, 2, 1, 0", id="socket"),
        pytest.param("59, 0, 0, 0", id="execve"),
        pytest.param("62, 1, 10", id="kill"),
        pytest.param("101, 16, 1, 0, 0", id="ptrace"),
        pytest.param("9, 0, 4096, 5, 0x22, -1, 0", id="mmap"),
    ],
)
def test_a_child_is_killed_for(server, call):
    """A debugger makes it call what it should not; nobody else notices."""
    with server.connect() as client, server.connect() as other:
        child = server.child_of(client)
        peer = re.escape(clients.name(client))
        have_it_call(child, call)
        server.wait_log(rf"closed {peer} .*, killed by signal 31 \(Bad system call\)$")
        assert clients.exchange(other, b"x") == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may trace any process")
def test_nobody_may_trace_it(server):
    """Not even its own user: the clients' bytes are in its memory."""
    with pytest.raises(PermissionError):
        procfs.mappings(server.pid)
