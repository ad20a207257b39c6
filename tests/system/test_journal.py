"""Each line is in the journal once, as echod's, with its priority and no prefix."""

import re

import clients


def test_what_happens_is_information(machine, serving, journal):
    with machine.connect() as client:
        peer = re.escape(clients.name(client))
        assert clients.exchange(client, b"hello") == b"hello"
        journal.wait(rf"^connected with {peer} \(pid \d+, 1 active\)$")
    journal.wait(rf"^closed {peer} \(pid \d+\): 5 bytes in .* s, end of file$")
    serving.stop()
    journal.wait("^stopped$")
    lines = journal.matching("")
    assert {line["PRIORITY"] for line in lines} == {"6"}
    assert {line["SYSLOG_IDENTIFIER"] for line in lines} == {"echod"}


def test_quiet_leaves_the_warnings(machine, service, journal):
    service.set_options("--quiet")
    service.start()
    with machine.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        [child] = service.children()
        machine.run("kill", "-KILL", child)
        journal.wait("^closed ")
    service.stop()
    assert [line["PRIORITY"] for line in journal.matching("")] == ["4"]


def test_verbose_adds_what_is_for_debugging(service, journal):
    service.set_options("--verbose")
    service.start()
    service.stop()
    assert "7" in {line["PRIORITY"] for line in journal.matching("")}


def test_it_tells_its_status_when_asked(machine, serving, journal):
    """kill -USR1, as the page says."""
    serving.systemctl("kill", "--kill-whom=main", "--signal=USR1")
    line = journal.wait(r"^status: up \d+ s, 0 active, 0 accepted, ")
    assert line["PRIORITY"] == "6"
