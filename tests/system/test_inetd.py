"""An echod for each client: by systemd with Accept=yes, by inetd and by xinetd."""

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import clients
from base import UNPACKED
from clients import KIB, MIB
from service import EXAMPLES, Service, assert_is_served
from waiting import wait_until

UNITS = ["echod-inetd.socket", "echod-inetd@.service"]
LOG = "echod-inetd@*"  # the units that it comes from
DATA = bytes(range(251)) * (4 * MIB // 251)


@pytest.fixture
def accepting(machine):
    """The example's socket, started as the example says."""
    machine.run("cp", *(f"{EXAMPLES}/{name}" for name in UNITS), "/etc/systemd/system/")
    machine.run("systemctl", "daemon-reload")
    socket = Service(machine, UNITS[0])
    socket.systemctl("enable", "--now")
    return socket


def serving(machine):
    """The services of clients."""
    units = ["list-units", "--plain", "--no-legend", "--all", "echod-inetd@*"]
    lines = machine.run("systemctl", *units).stdout.splitlines()
    return [line.split()[0] for line in lines]


def wait_for_none(machine):
    wait_until(lambda: serving(machine) == [], "the services of clients to be gone")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_systemd_starts_one_for_each_client(machine, accepting, journal, host):
    """Whose real address is in the journal, and of whose stream is nothing but its own."""
    with machine.connect(host) as one, machine.connect(host) as two:
        for client in (one, two):
            assert clients.exchange(client, b"x") == b"x"
        assert len(serving(machine)) == 2
        names = {clients.name(client) for client in (one, two)}
        clients.assert_same(clients.transfer(one, [DATA]), DATA)
        assert clients.transfer(two, [b"hello"]) == b"hello"
    journal.wait("^closed ", 2, LOG)
    lines = journal.matching("", LOG)
    assert {re.match(r"closed (\S+) ", line["MESSAGE"])[1] for line in lines} == names
    assert {line["PRIORITY"] for line in lines} == {"6"}
    wait_for_none(machine)
    assert [line["MESSAGE"] for line in journal.of_systemd(worst=4)] == []


def test_who_does_not_send_gets_no_line_of_the_log(machine, accepting):
    with machine.connect() as client:
        client.shutdown(clients.socket.SHUT_WR)
        assert clients.receive_all(client) == b""
    wait_for_none(machine)


def test_they_have_no_rights(machine, accepting):
    with machine.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        [unit] = serving(machine)
        service = Service(machine, unit)
        status = machine.run("cat", f"/proc/{service.pid}/status").stdout
        for what in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert re.search(rf"^{what}:\s0+$", status, re.MULTILINE)
        assert re.search(r"^Uid:\s(6\d{4})\s\1\s\1\s\1$", status, re.MULTILINE)
        assert re.search(r"^Seccomp:\s2$", status, re.MULTILINE)


def test_a_stop_loses_nothing(machine, accepting, journal):
    """Of a client, which gets all that it has sent, and an end of file."""
    with machine.connect(receive_buffer=4 * KIB) as client:
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(client.sendall, DATA)
            received = bytearray(clients.receive(client, 64 * KIB))
            while not sending.done():
                received += client.recv(64 * KIB)
        machine.run("systemctl", "stop", "--no-block", "echod-inetd.socket", LOG)
        received += clients.receive_all(client)
    clients.assert_same(received, DATA)
    assert journal.wait("^closed ", 1, LOG)["MESSAGE"].endswith(", drained")


def test_a_rush_does_not_cost_the_port(machine, accepting):
    """Of 250 at once, ten of one source are served; afterwards all is as before."""
    with contextlib.ExitStack() as stack:
        rush = [stack.enter_context(machine.connect()) for _ in range(250)]
        served = 0
        for client in rush:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                served += clients.exchange(client, b"x") == b"x"
        assert served == 10
    wait_for_none(machine)
    assert accepting.state == "active"
    assert_is_served(machine)


# What makes of the examples a running super-server.
INETD = f"exec /opt/openbsd-inetd/usr/sbin/inetd -i {EXAMPLES}/inetd.conf"
XINETD = f"""
mkdir -p /run/test-xinetd
cp {EXAMPLES}/xinetd.conf /run/test-xinetd/echo
echo "includedir /run/test-xinetd" >/run/test-xinetd.conf
exec /opt/xinetd/usr/sbin/xinetd -dontfork -f /run/test-xinetd.conf
"""


@pytest.mark.parametrize(
    ("package", "script"),
    [("openbsd-inetd", INETD), ("xinetd", XINETD)],
    ids=["openbsd-inetd", "xinetd"],
)
def test_another_super_server_does_as_well(machine, journal, package, script):
    """The log is syslog's, and so the journal's, under echod's name."""
    program = f"/opt/{package}/usr/sbin/{UNPACKED[package]}"
    if machine.run("test", "-x", program, check=False).returncode != 0:
        pytest.skip(f"the machine's base has no {package}")
    unit = f"test-{UNPACKED[package]}"
    machine.run("systemd-run", f"--unit={unit}", "sh", "-c", script)
    wait_until(lambda: machine.run("ss", "-Hlnt").stdout, f"{package} to listen")
    names = set()
    for host in ("127.0.0.1", "::1"):
        with machine.connect(host) as client:
            names.add(clients.name(client))
            clients.assert_same(clients.transfer(client, [DATA]), DATA)

    def log():
        """journald may not know the unit of a process that has ended meanwhile."""
        return journal.read(SYSLOG_IDENTIFIER="echod", _TRANSPORT="syslog")

    wait_until(lambda: len(log()) >= 2, "two lines of the log")
    found = [re.match(r"closed (\S+) ", line["MESSAGE"]) for line in log()]
    assert {match[1] for match in found} == names
