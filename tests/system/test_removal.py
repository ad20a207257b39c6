"""Taking the package away again."""

import pytest

from service import DEFAULTS

UNITS = "/etc/systemd/system"


@pytest.fixture
def apt(machine, installation):
    """Run apt-get on echod; whatever it does, echod is installed after the test."""
    yield lambda verb: machine.run("apt-get", verb, "--yes", "echod")
    # What is left of the defaults goes, too; the installation is to bring them.
    machine.run("dpkg", "--purge", "echod")
    installation.install()


def listening(machine):
    return machine.run("ss", "-Hlnt").stdout


def test_remove_stops_it_and_keeps_what_root_wrote(machine, serving, apt):
    """Nothing listens any more, and no process of it is left."""
    assert listening(machine) != ""
    serving.set_options("--quiet")
    apt("remove")
    assert listening(machine) == ""
    assert machine.run("pgrep", "-x", "echod", check=False).stdout == ""
    assert machine.run("cat", DEFAULTS).stdout == 'ECHOD_OPTS="--quiet"\n'


def test_remove_closes_the_port_that_systemd_holds(machine, socket, apt):
    socket.start()
    assert listening(machine) != ""
    apt("remove")
    assert listening(machine) == ""


def test_remove_stops_instances(machine, instance, apt):
    instance("east", "--port=1008").start()
    assert listening(machine) != ""
    apt("remove")
    assert listening(machine) == ""


def test_purge_forgets_instances(machine, instance, apt):
    """But what root has written for them is root's."""
    instance("east", "--port=1008").systemctl("enable", "--now")
    apt("purge")
    assert listening(machine) == ""
    assert machine.run("find", UNITS, "-name", "echod@*").stdout == ""
    assert machine.run("cat", "/etc/default/echod-east").stdout != ""
    units = machine.run("systemctl", "list-units", "--all", "--no-legend", "echod*")
    assert units.stdout == ""


def test_purge_leaves_nothing(machine, installation, service, socket, apt):
    """Even of an echod that was enabled, configured and running."""
    machine.run("systemctl", "enable", "--now", "echod.socket", "echod.service")
    service.set_options("--quiet")
    service.restart()
    apt("purge")
    assert installation.names() == installation.names_before
    assert machine.run("find", UNITS, "-xtype", "l").stdout == ""  # dangling
    told = machine.run("grep", "-rl", "echod", "/var/lib/systemd", UNITS, check=False)
    assert told.stdout == ""
    units = machine.run("systemctl", "list-units", "--all", "--no-legend", "echod*")
    assert units.stdout == ""
