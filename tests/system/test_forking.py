"""echod -d under systemd: as a traditional daemon, and as one that notifies."""

import pytest

import clients
import procfs
from service import assert_is_served

PIDFILE = "/run/echod/echod.pid"
NOTIFY_AS_DAEMON = f"""
[Service]
NotifyAccess=all
ExecStart=
ExecStart=/usr/sbin/echod --daemon --pidfile={PIDFILE} $ECHOD_OPTS
"""


def pidfile(machine):
    return int(machine.run("cat", PIDFILE).stdout)


@pytest.fixture(params=["forking", "notify"])
def daemon(request, service):
    if request.param == "forking":
        service.example("forking.conf")
    else:
        service.drop_in(NOTIFY_AS_DAEMON)
    assert service.show("Type") == request.param
    return service


def test_systemd_knows_the_daemon(machine, daemon):
    """Not the process that it has started, which is gone."""
    daemon.start()
    assert daemon.state == "active"
    assert daemon.pid == pidfile(machine)
    status = procfs.status(machine.proc(daemon.pid))
    assert (status["Name"], status["PPid"]) == ("echod", "1")
    assert_is_served(machine)


def test_it_restarts(machine, daemon, journal):
    daemon.start()
    before = daemon.pid
    with machine.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        daemon.restart()
        assert clients.receive_all(client) == b""
    assert daemon.pid == pidfile(machine) != before
    assert_is_served(machine)
    assert [line["MESSAGE"] for line in journal.of_systemd(worst=4)] == []


def test_it_stops(machine, daemon):
    daemon.start()
    assert_is_served(machine)
    daemon.stop()
    assert (daemon.state, daemon.show("Result")) == ("inactive", "success")
    assert machine.run("ss", "-Hlnt").stdout == ""
    assert machine.run("pgrep", "-x", "echod", check=False).stdout == ""


def test_a_wrong_option_is_not_tried_again(daemon, journal):
    daemon.set_options("--frobnicate")
    assert daemon.start(check=False).returncode != 0
    assert daemon.state == "failed"
    assert daemon.show("NRestarts") == "0"
    assert journal.wait("frobnicate")["PRIORITY"] == "3"


def test_its_log_is_in_the_journal(machine, daemon, journal):
    """By way of syslog, under echod's name and with the priorities."""
    daemon.start()
    with machine.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        line = journal.wait("^connected with ")
    assert (line["PRIORITY"], line["SYSLOG_IDENTIFIER"]) == ("6", "echod")
    assert line["_TRANSPORT"] == "syslog"
