"""What echod could do to the system, were it taken over: as good as nothing."""

import re

import pytest

import clients
import procfs

# Not CapInh: what can be inherited only is worth nothing under NoNewPrivs.
CAPABILITIES = ("CapPrm", "CapEff", "CapAmb")
NONE = "0" * 16


@pytest.fixture
def processes(machine):
    """The pids of a service and of a child that serves a client."""

    def ask(service):
        with machine.connect() as client:
            assert clients.exchange(client, b"x") == b"x"
            [child] = service.children()
            yield from (service.pid, child)

    return ask


@pytest.fixture
def fed_by_socket(socket, service):
    """The service with no right and no network, as the example has it."""
    service.example("socket-only.conf")
    socket.start()
    service.start()
    return service


def exposure(service):
    """The verdict of systemd-analyze, from 0 to 10."""
    report = service.machine.run(
        "systemd-analyze", "security", "--no-pager", service.unit
    ).stdout
    return float(re.search(r"Overall exposure level for \S+: ([\d.]+) ", report)[1])


def test_no_process_has_a_capability(machine, serving, processes):
    """Or can get one. The user is nobody's, and made for the occasion."""
    for pid in processes(serving):
        status = procfs.status(machine.proc(pid))
        assert {status[which] for which in CAPABILITIES} == {NONE}
        assert status["NoNewPrivs"] == "1"
        [uid] = set(status["Uid"].split())
        assert 61184 <= int(uid) <= 65519  # systemd's range for DynamicUser=
        [gid] = set(status["Gid"].split())
        assert gid == uid
        assert status["Seccomp"] == "2"


def test_systemd_finds_little_to_reproach(serving):
    assert exposure(serving) <= 1.4


def test_fed_by_the_socket_it_needs_no_right_at_all(machine, fed_by_socket, processes):
    """Not even one that it could give up later."""
    for pid in processes(fed_by_socket):
        status = procfs.status(machine.proc(pid))
        assert {status[which] for which in (*CAPABILITIES, "CapInh", "CapBnd")} == {NONE}


def test_fed_by_the_socket_it_sees_no_network(machine, fed_by_socket, processes):
    outside = machine.run("readlink", "/proc/1/ns/net").stdout
    for pid in processes(fed_by_socket):
        inside = machine.run("readlink", f"/proc/{pid}/ns/net").stdout
        assert inside != outside


def test_fed_by_the_socket_it_serves_as_well(machine, fed_by_socket):
    for host in ("127.0.0.1", "::1"):
        with machine.connect(host) as client:
            assert clients.transfer(client, [b"hello"]) == b"hello"
    fed_by_socket.wait_for_status("0 clients, 2 accepted, 0 refused")


def test_fed_by_the_socket_systemd_finds_next_to_nothing(fed_by_socket):
    assert exposure(fed_by_socket) <= 0.5
