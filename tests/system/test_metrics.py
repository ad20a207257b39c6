"""--metrics under the units: a file in their directory in /run."""

import re

import pytest

from service import assert_is_served
from waiting import wait_until

FILE = "/run/echod/echod.prom"


def read(machine, file=FILE):
    """As another user, such as node_exporter's, reads it."""
    return machine.run("setpriv", "--reuid=nobody", "--clear-groups", "cat", file).stdout


def connections(machine, file=FILE):
    return re.search(r"^echod_connections_total (\d+)$", read(machine, file), re.MULTILINE)[1]


@pytest.fixture
def measured(service):
    service.set_options(f"--metrics={FILE}")
    service.start()
    return service


def test_others_can_read_it(machine, measured):
    """It is there as soon as echod serves, and counts who comes."""
    assert connections(machine) == "0"
    for _ in range(3):
        assert_is_served(machine)
    wait_until(lambda: connections(machine) == "3", "three connections in the file")
    assert machine.run("ls", "/run/echod").stdout == "echod.prom\n"


def test_it_goes_with_echod(machine, measured):
    """No other file remains, and a new start begins at 0."""
    assert_is_served(machine)
    wait_until(lambda: connections(machine) == "1", "the connection in the file")
    measured.stop()
    assert measured.show("Result") == "success"
    assert machine.run("sh", "-c", "ls /run | grep echod", check=False).stdout == ""
    measured.start()
    assert connections(machine) == "0"


def test_after_a_crash_it_is_another(machine, measured):
    assert_is_served(machine)
    wait_until(lambda: connections(machine) == "1", "the connection in the file")
    measured.systemctl("kill", "--kill-whom=main", "--signal=SEGV")
    wait_until(lambda: measured.show("NRestarts") == "1", "systemd to restart it")
    wait_until(lambda: measured.state == "active", "it to be active again")
    assert connections(machine) == "0"


def test_each_instance_has_its_own(machine, instance):
    for name, host in (("east", "127.0.0.2"), ("west", "127.0.0.3")):
        instance(name, f"--listen={host} --metrics=/run/echod-{name}/echod.prom").start()
    assert_is_served(machine, host="127.0.0.2")
    file = "/run/echod-east/echod.prom"
    wait_until(lambda: connections(machine, file) == "1", "the connection in the file")
    assert connections(machine, "/run/echod-west/echod.prom") == "0"


def test_it_works_without_a_network(machine, socket, service):
    """With the example that leaves echod nothing but its socket."""
    service.example("socket-only.conf")
    service.set_options(f"--metrics={FILE}")
    socket.start()
    assert_is_served(machine)
    wait_until(lambda: connections(machine) == "1", "the connection in the file")


def test_where_it_may_not_write_it_says_so(service, journal):
    """It is not tried again: that would not help."""
    service.set_options("--metrics=/var/lib/echod.prom")
    assert service.start(check=False).returncode != 0
    assert service.show("ExecMainStatus") == "73"
    line = journal.wait("/var/lib/echod.prom")
    assert line["PRIORITY"] == "3"
    assert "Read-only file system; systemd's units allow" in line["MESSAGE"]
    assert (service.state, service.show("NRestarts")) == ("failed", "0")
