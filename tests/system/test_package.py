"""What installing the package does, and what it does not do without being asked."""

import pytest

from service import DEFAULTS, EXAMPLES, assert_is_served


def test_installing_opens_no_port(installation):
    assert installation.listening == ""


def test_installing_starts_and_enables_nothing(installation):
    assert installation.enabled == ["disabled", "disabled"]
    assert installation.active == ["inactive", "inactive"]


def test_the_page_can_be_read(machine):
    page = machine.run("man", "echod").stdout
    assert "echod — echo daemon with a process per client" in page


def test_the_units_are_flawless(machine):
    """And so are those that are there to be copied."""
    files = machine.run("dpkg-query", "--listfiles", "echod").stdout.splitlines()
    units = [path for path in files if path.endswith((".service", ".socket"))]
    names = [path.rpartition("/")[2] for path in units if not path.startswith(EXAMPLES)]
    assert sorted(names) == ["echod.service", "echod.socket", "echod@.service"]
    result = machine.run("systemd-analyze", "--man=yes", "verify", *units, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def warnings(journal):
    return [line["MESSAGE"] for line in journal.of_systemd(worst=4)]


def test_systemd_has_nothing_to_object_to(machine, service, socket, journal):
    """Neither when it reads the units nor when it starts and stops them."""
    machine.run("systemctl", "daemon-reload")
    service.start()
    service.stop()
    socket.start()
    socket.stop()
    assert warnings(journal) == []


def test_the_binary_needs_what_is_there(machine):
    """It is the installed one, in root's PATH, and its libraries are, too."""
    assert machine.run("echod", "--version").stdout.startswith("echod ")


def test_enabled_it_comes_with_the_system(machine, service):
    """multi-user.target wants it; disabled again, no link remains."""
    try:
        service.systemctl("enable")
        wanted = machine.run("systemctl", "show", "-P", "Wants", "multi-user.target")
        assert "echod.service" in wanted.stdout.split()
    finally:
        service.systemctl("disable")
    assert service.systemctl("is-enabled", check=False).stdout == "disabled\n"


def test_systemd_understands_each_example(machine, service, socket, journal):
    """Those that are drop-ins; the others are for other programs."""
    names = machine.run("ls", EXAMPLES).stdout.split()
    others = {"haproxy.cfg", "inetd.conf", "xinetd.conf"}
    units = {"echod-inetd.socket", "echod-inetd@.service"}
    drop_ins = {"forking.conf": service, "socket-only.conf": service, "udp.conf": socket}
    assert set(names) == others | units | set(drop_ins)
    for name, unit in drop_ins.items():
        unit.example(name)
        assert warnings(journal) == [], name
        machine.run("rm", "-r", f"/etc/systemd/system/{unit.unit}.d")


@pytest.fixture
def newer(machine, installation):
    """The package once more, with a higher version; what is there again after the test."""
    directory, deb = "/srv/newer", "/srv/newer.deb"
    machine.run("dpkg-deb", "--raw-extract", installation.deb, directory)
    machine.run("sed", "-i", "s/^Version: .*/&+newer/", f"{directory}/DEBIAN/control")
    machine.run("dpkg-deb", "--build", "--root-owner-group", directory, deb)
    yield deb
    installation.install("--allow-downgrades")
    machine.run("rm", "-r", directory, deb)


def test_a_running_service_is_upgraded(machine, serving, newer):
    """The new echod takes over, and what root wrote into the defaults stays and counts."""
    serving.set_options("--port=1007")
    serving.restart()
    before = serving.pid
    machine.run("apt-get", "install", "--yes", newer)
    assert "+newer" in machine.run("dpkg-query", "--show", "echod").stdout
    assert machine.run("cat", DEFAULTS).stdout == 'ECHOD_OPTS="--port=1007"\n'
    assert serving.state == "active"
    assert serving.pid != before
    assert_is_served(machine, port=1007)


def test_running_instances_are_upgraded(machine, instance, newer):
    """Those that do not run are not started."""
    east, west = instance("east", "--port=1008"), instance("west", "--port=1009")
    east.start()
    before = east.pid
    machine.run("apt-get", "install", "--yes", newer)
    assert (east.state, west.state) == ("active", "inactive")
    assert east.pid != before
    assert_is_served(machine, port=1008)


def test_a_running_service_survives_a_new_installation(machine, serving, installation):
    """Of the same version; the defaults are kept here, too."""
    serving.set_options("--port=1007")
    serving.restart()
    installation.install("--reinstall")
    assert machine.run("cat", DEFAULTS).stdout == 'ECHOD_OPTS="--port=1007"\n'
    assert serving.state == "active"
    assert_is_served(machine, port=1007)


def test_an_upgrade_starts_and_enables_nothing(machine, service, newer):
    machine.run("apt-get", "install", "--yes", newer)
    assert service.state == "inactive"
    assert service.systemctl("is-enabled", check=False).stdout == "disabled\n"
    assert machine.run("ss", "-Hlntu").stdout == ""


def test_an_upgrade_leaves_the_port_with_systemd(machine, socket, newer):
    """A client that comes afterwards is served by the new echod."""
    socket.start()
    machine.run("apt-get", "install", "--yes", newer)
    assert socket.state == "active"
    assert_is_served(machine)
