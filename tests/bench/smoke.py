"""What does not depend on the machine, and so can be asserted: counts."""

import re
import socket
import subprocess
import time
from collections import Counter
from dataclasses import replace

import proc
from peers import ECHOD, HOST, Server
from proc import Failed, Load

# At most.  Figures are per connection of a client that sends 64 bytes, gets them
# back, and leaves before the next one comes; and without the random layout of
# memory, which is worth a page fault or two.
BOUNDS = {
    "page faults of the child": {"static": 7, "release": 9},
    "system calls of the parent": {"static": 12, "release": 12},
    "system calls of the child": {"static": 9, "release": 9},
    "mappings of the parent": {"static": 15, "release": 44},
}
TRACED = 50  # connections


def faults(server, sizes):
    before = proc.child_faults(server.pid)
    with Load(sizes.load, server.port) as load:
        load("churn", sizes.lone, 1)
    server.wait_for_children(0)
    return (proc.child_faults(server.pid) - before) / sizes.lone


def visit(server):
    """A client comes, and the server is done with it."""
    message = b"." * 64
    with socket.create_connection((HOST, server.port)) as client:
        client.sendall(message)
        if client.recv(64, socket.MSG_WAITALL) != message:
            raise Failed("wrong bytes")
    server.wait_for_children(0)


def calls(server, directory):
    """System calls of the parent and of a child per connection."""
    trace = directory / f"{server.peer.program}.strace"
    with subprocess.Popen(
        ["strace", "-f", "-p", str(server.pid), "-o", trace], stderr=subprocess.PIPE, text=True
    ) as strace:
        try:
            if "attached" not in strace.stderr.readline():
                raise Failed("strace cannot attach")
            visit(server)  # what only the first one costs
            time.sleep(0.2)
            first = len(trace.read_text().splitlines())
            for _ in range(TRACED):
                visit(server)
            time.sleep(0.2)
        finally:
            strace.terminate()
            strace.wait()
    # A call that strace sees in two pieces is "<unfinished ...>", then "<... resumed>".
    made = re.compile(r"^(\d+) +\w+\(")
    lines = trace.read_text().splitlines()[first:]
    count = Counter(found[1] for line in lines if (found := made.match(line)))
    parent = count.pop(str(server.pid), 0)
    return parent / TRACED, sum(count.values()) / TRACED


def figures(server, directory, sizes):
    yield "page faults of the child", faults(server, sizes)
    yield "mappings of the parent", proc.mappings(server.pid)
    parent, child = calls(server, directory)
    yield "system calls of the parent", parent
    yield "system calls of the child", child


def check(whom, programs, directory, sizes):
    """Print the figures, and return those that are out of bounds."""
    wrong = []
    builds = {name: build for build, name in ECHOD.items()}
    for peer in whom:
        if peer.name not in builds:
            continue
        fixed = replace(peer, command=lambda *how: ["setarch", "-R", *peer.command(*how)])
        with Server(fixed, programs[peer.name], directory / "servers" / peer.program) as server:
            for what, figure in figures(server, directory, sizes):
                bound = BOUNDS[what][builds[peer.name]]
                line = f"{peer.name}: {what}: {figure:.2f}, at most {bound}"
                print(line, flush=True)
                if figure > bound:
                    wrong.append(line)
    return wrong
