"""echod@NAME: several on one machine, each with its options in /etc/default/echod-NAME."""

import re

import pytest

import clients
from service import Service, assert_is_served
from test_harmless import exposure


@pytest.fixture
def both(instance):
    """Two of them, as root types it, each with an address."""
    east = instance("east", "--listen=127.0.0.2")
    west = instance("west", "--listen=127.0.0.3")
    for each in (east, west):
        each.start()
    return east, west


def test_each_serves_its_address(machine, both, journal):
    """Each counts its clients, and has a log of its own."""
    for each, host, visits in zip(both, ("127.0.0.2", "127.0.0.3"), (1, 2)):
        for _ in range(visits):
            assert_is_served(machine, host=host)
        each.wait_for_status(f"0 clients, {visits} accepted, 0 refused")
        assert len(journal.matching("^connected with ", each.unit)) == visits
    assert both[0].pid != both[1].pid
    with pytest.raises(ConnectionRefusedError):
        machine.connect("127.0.0.1")


def test_one_is_restarted_and_the_other_does_not_notice(machine, both):
    east, west = both
    before = east.pid, west.pid
    with machine.connect("127.0.0.3") as client:
        assert clients.exchange(client, b"before") == b"before"
        east.restart()
        assert clients.exchange(client, b"after") == b"after"
    assert east.pid != before[0]
    assert west.pid == before[1]
    assert_is_served(machine, host="127.0.0.2")


def test_one_is_stopped_and_the_other_keeps_its_files(machine, both):
    """Each has a directory in /run."""
    directories = ["/run/echod-east", "/run/echod-west"]
    machine.run("ls", "-d", *directories)
    both[0].stop()
    left = machine.run("sh", "-c", "ls -d /run/echod*").stdout.split()
    assert left == directories[1:]
    assert_is_served(machine, host="127.0.0.3")


def test_one_may_run_beside_the_plain_service(machine, service, instance):
    service.set_options("--listen=127.0.0.1")
    service.start()
    instance("east", "--listen=127.0.0.2").start()
    for host in ("127.0.0.1", "127.0.0.2"):
        assert_is_served(machine, host=host)


@pytest.mark.parametrize("verb", ["start", "enable"])
def test_without_a_file_it_is_not_started(machine, journal, verb):
    """The journal says which file it wants, as does the status; it is not tried again."""
    nowhere = Service(machine, "echod@nowhere.service")
    result = nowhere.systemctl(verb, "--now", check=False)
    assert result.returncode != 0
    assert "Assertion failed on job for echod@nowhere.service" in result.stderr
    assert nowhere.state == "inactive"
    said = [line["MESSAGE"] for line in journal.of_systemd()]
    assert any(re.search("^Assertion failed .* /etc/default/echod-nowhere", line) for line in said)
    if verb == "enable":  # else systemd has forgotten it
        status = nowhere.systemctl("status", "--no-pager", check=False).stdout
        assert "AssertPathExists=/etc/default/echod-nowhere was not met" in status


def test_enabled_it_comes_with_the_system(machine, instance):
    east = instance("east", "--listen=127.0.0.2")
    east.systemctl("enable", "--now")
    assert_is_served(machine, host="127.0.0.2")
    wanted = machine.run("systemctl", "show", "-P", "Wants", "multi-user.target")
    assert "echod@east.service" in wanted.stdout.split()
    east.systemctl("disable", "--now")
    assert machine.run("ss", "-Hlnt").stdout == ""


def test_it_is_as_harmless_as_the_plain_service(both):
    for each in both:
        assert exposure(each) <= 1.4
