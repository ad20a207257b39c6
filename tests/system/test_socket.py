"""echod.socket: systemd holds the port, and starts echod for the first client."""

from concurrent.futures import ThreadPoolExecutor
from socket import SHUT_WR

import pytest

import clients
from clients import KIB
from service import assert_is_served
from waiting import wait_until

CONNECTIONS = 200
RESTARTS = 4  # systemd would refuse the sixth start in ten seconds


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_first_client_starts_the_service(machine, socket, service, host):
    socket.start()
    assert machine.run("ss", "-Hlnt", "sport = :7").stdout != ""
    assert service.state == "inactive"
    assert_is_served(machine, host=host)
    assert service.state == "active"
    service.wait_for_status("0 clients, 1 accepted, 0 refused")


def test_who_comes_first_is_named_as_without_systemd(machine, socket, journal):
    """An IPv4 client has an IPv4 address, though the one socket is for both."""
    socket.start()
    with machine.connect() as four, machine.connect("::1") as six:
        for client in (four, six):
            assert clients.exchange(client, b"x") == b"x"
        names = {clients.name(client) for client in (four, six)}
        journal.wait("^connected with ", 2)
    lines = journal.matching("^connected with ")
    assert {line["MESSAGE"].split()[2] for line in lines} == names


def test_a_stopped_service_is_started_by_the_next_client(machine, socket, service):
    """A stop of the service alone does not close the port."""
    socket.start()
    assert_is_served(machine)
    service.stop()
    assert service.state == "inactive"
    assert_is_served(machine)


def test_both_stopped_the_port_is_closed(machine, socket, service):
    socket.start()
    assert_is_served(machine)
    machine.run("systemctl", "stop", "echod.socket", "echod.service")
    assert machine.run("ss", "-Hlnt").stdout == ""
    assert service.show("Result") == "success"
    with pytest.raises(ConnectionRefusedError):
        machine.connect()


def test_a_restart_loses_no_connection(machine, socket, service, journal):
    """Of 200 that are made meanwhile each gets all of its bytes, and an end of file."""
    data = bytes(range(251)) * (8 * KIB // 251)

    def visit():
        with machine.connect() as client:
            client.sendall(data)
            client.shutdown(SHUT_WR)
            return clients.receive_all(client)

    socket.start()
    visits = []
    with ThreadPoolExecutor(4) as pool:
        for _ in range(RESTARTS):
            visits += [pool.submit(visit) for _ in range(CONNECTIONS // RESTARTS)]
            visits[-CONNECTIONS // RESTARTS].result()  # the others are under way
            service.restart()
        for each in visits:
            clients.assert_same(each.result(), data)
    assert len(visits) == CONNECTIONS
    assert len(journal.matching("^stopped$")) == RESTARTS


def test_a_crash_loses_nobody_who_comes_after(machine, socket, service):
    """They wait at the port, which stays open."""
    socket.start()
    assert_is_served(machine)
    service.systemctl("kill", "--kill-whom=main", "--signal=SEGV")
    assert_is_served(machine)
    assert service.show("NRestarts") in ("0", "1")  # by the client, or by itself


def test_a_wrong_option_is_not_tried_for_ever(machine, socket, service, journal):
    """Each client would start it again, so systemd gives up on the socket."""
    service.set_options("--frobnicate")
    socket.start()
    with machine.connect() as client:
        wait_until(lambda: socket.state == "failed", "systemd to give up")
        clients.assert_closed(client)
    assert service.show("ExecMainStatus") == "64"
    assert journal.wait("frobnicate")["PRIORITY"] == "3"
