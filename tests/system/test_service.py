"""systemctl start, status, reload, restart and stop; and what is typed at the port."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import clients
from clients import KIB, MIB
from container import ENVIRONMENT
from service import assert_is_served
from waiting import Lines

HOSTS = ["127.0.0.1", "::1"]
DATA = bytes(range(251)) * (4 * MIB // 251)


@pytest.mark.parametrize("host", HOSTS)
def test_start_opens_port_7(machine, serving, host):
    assert serving.state == "active"
    assert_is_served(machine, host=host)


@pytest.mark.parametrize("host", HOSTS)
def test_nc_gets_its_word_back(machine, serving, host):
    assert machine.run("nc", "-N", host, "7", input="hello\n").stdout == "hello\n"


@pytest.mark.parametrize("host", HOSTS)
def test_telnet_gets_each_line_back(machine, serving, host):
    pipe = subprocess.PIPE
    with subprocess.Popen(
        machine.command("telnet", host, "7"),
        env=ENVIRONMENT,
        stdin=pipe,
        stdout=pipe,
        text=True,
    ) as telnet:
        output = Lines(telnet.stdout)
        for word in ("hello", "again"):
            print(word, file=telnet.stdin, flush=True)
            output.wait(rf"^{word}\r?$")
        telnet.stdin.close()
        output.wait_for_end()


def test_the_status_tells_of_the_clients(machine, serving):
    """Who comes, who goes and who is refused changes it."""
    serving.wait_for_status("0 clients, 0 accepted, 0 refused")
    with machine.connect() as one:
        assert clients.exchange(one, b"x") == b"x"
        serving.wait_for_status("1 clients?, 1 accepted, 0 refused")
        with machine.connect("::1") as two:
            assert clients.exchange(two, b"x") == b"x"
            serving.wait_for_status("2 clients, 2 accepted, 0 refused")
    serving.wait_for_status("0 clients, 2 accepted, 0 refused")


def test_the_status_tells_of_refusals(machine, service):
    service.set_options("--max-per-source=1")
    service.start()
    with machine.connect() as one:
        assert clients.exchange(one, b"x") == b"x"
        with machine.connect() as two:
            assert clients.receive_all(two) == b""
        service.wait_for_status("1 clients?, 1 accepted, 1 refused")


def test_stop_closes_the_port(machine, serving):
    with machine.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        serving.stop()
        assert clients.receive_all(client) == b""
    assert (serving.state, serving.show("Result")) == ("inactive", "success")
    assert machine.run("ss", "-Hlnt").stdout == ""
    with pytest.raises(ConnectionRefusedError):
        machine.connect()


def test_restart_loses_nothing_of_a_client(machine, serving, journal):
    """All that it has sent comes back, then the end of file; then it may come again."""
    before = serving.pid
    with machine.connect(receive_buffer=4 * KIB) as client:
        with ThreadPoolExecutor(2) as pool:
            sending = pool.submit(client.sendall, DATA)
            received = bytearray(clients.receive(client, 64 * KIB))
            while not sending.done():
                received += client.recv(64 * KIB)
            restarting = pool.submit(serving.restart)
            journal.wait("^stopping: ")
            received += clients.receive_all(client)
            restarting.result()
    clients.assert_same(received, DATA)
    [closed] = journal.matching("^closed ")
    assert closed["MESSAGE"].endswith(", drained")
    assert serving.pid != before
    assert serving.show("NRestarts") == "0"
    assert_is_served(machine)


def test_reload_disturbs_nobody(machine, serving):
    """It is refused, as there is nothing to read anew; or it is harmless."""
    before = serving.pid
    with machine.connect() as client:
        assert clients.exchange(client, b"before") == b"before"
        serving.systemctl("reload", check=False)
        assert clients.exchange(client, b"after") == b"after"
    assert (serving.pid, serving.state) == (before, "active")


def test_the_defaults_say_which_port(machine, service):
    service.set_options("--port=1007")
    service.start()
    assert_is_served(machine, port=1007)
    with pytest.raises(ConnectionRefusedError):
        machine.connect(port=7)


def test_a_grace_longer_than_the_timeout_is_granted(machine, service, journal):
    """echod asks systemd for the time that it has promised to its clients."""
    service.drop_in("[Service]\nTimeoutStopSec=1\n")
    service.set_options("--grace=4")
    service.start()
    with machine.connect() as client:
        clients.send_until_blocked(client, bytes(64 * MIB))
        service.stop()
        assert service.show("Result") == "success"
        [closed] = journal.matching("^closed ")
    assert closed["MESSAGE"].endswith(", cut off")  # by echod, at the end of the grace
    assert not any("timed out" in line["MESSAGE"] for line in journal.of_systemd())


def test_without_clients_a_stop_needs_no_grace(service):
    """An hour of it is not used: the command would fail."""
    service.set_options("--grace=3600")
    service.start()
    service.stop()
    assert service.show("Result") == "success"
