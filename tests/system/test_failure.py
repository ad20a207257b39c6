"""What systemd does when echod fails, and what it does not."""

import pytest

import clients
from service import assert_is_served
from waiting import wait_until

EX_USAGE = "64"


def wait_for_restart(service):
    wait_until(lambda: service.show("NRestarts") == "1", "systemd to restart it")
    wait_until(lambda: service.state == "active", "it to be active again")


def signal_parent(service, name):
    service.systemctl("kill", "--kill-whom=main", f"--signal={name}")


def test_a_crash_is_followed_by_a_new_start(machine, serving, journal):
    """Of the parent; the port is served again."""
    before = serving.pid
    with machine.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        signal_parent(serving, "SEGV")
        wait_for_restart(serving)
    assert serving.pid != before
    assert_is_served(machine)
    assert any("status=11/SEGV" in line["MESSAGE"] for line in journal.of_systemd())


def test_a_hung_parent_is_replaced(machine, service, journal):
    """The watchdog finds out."""
    service.drop_in("[Service]\nWatchdogSec=2s\n")
    service.start()
    before = service.pid
    signal_parent(service, "STOP")
    wait_for_restart(service)
    assert service.pid != before
    assert_is_served(machine)
    assert any("Watchdog timeout" in line["MESSAGE"] for line in journal.of_systemd())


def test_a_busy_parent_is_not_taken_for_a_hung_one(machine, service):
    """Nor is one with nothing to do: it says that it lives all the same."""
    service.drop_in("[Service]\nWatchdogSec=1s\n")
    service.start()
    before = service.pid
    seen = set()

    def three_pings():
        seen.add(service.show("WatchdogTimestampMonotonic"))
        return len(seen) > 3

    wait_until(three_pings, "three signs of life")
    assert (service.pid, service.show("NRestarts")) == (before, "0")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--frobnicate", "frobnicate"),
        ("--port=65536", "port"),
        ("--max-clients=no", "max-clients"),
    ],
)
def test_a_wrong_option_is_named_and_not_tried_again(service, journal, options, reason):
    """The reason is an error in the journal, under echod's name."""
    service.set_options(options)
    assert service.start(check=False).returncode != 0
    assert service.state == "failed"
    assert service.show("Result") == "exit-code"
    assert service.show("ExecMainStatus") == EX_USAGE
    assert service.show("NRestarts") == "0"
    line = journal.wait(reason)
    assert line["PRIORITY"] == "3"
    assert line["SYSLOG_IDENTIFIER"] == "echod"


def test_after_the_mistake_is_mended_it_starts(machine, service):
    service.set_options("--frobnicate")
    assert service.start(check=False).returncode != 0
    service.set_options("")
    service.start()
    assert_is_served(machine)


def test_a_child_that_is_killed_costs_one_client_only(machine, serving, journal):
    """That is a warning in the journal."""
    with machine.connect() as unlucky:
        assert clients.exchange(unlucky, b"x") == b"x"
        [child] = serving.children()
        with machine.connect() as other:
            assert clients.exchange(other, b"x") == b"x"
            machine.run("kill", "-KILL", child)
            line = journal.wait(r"^closed .* killed by signal 9 \(Killed\)$")
            assert line["PRIORITY"] == "4"
            assert clients.exchange(other, b"y") == b"y"
    assert serving.show("NRestarts") == "0"
