"""UDP: by an option of the service, and by a socket that systemd holds."""

import clients


def ask(machine, data, host="127.0.0.1", port=7):
    """Send a datagram from another address of loopback, and return what comes back."""
    source = ("::1" if ":" in host else "127.0.0.9", 0)
    with machine.in_network(clients.datagram_socket, host, port, source) as sock:
        return clients.exchange_datagram(sock, data)


def assert_answers(machine):
    """From each address of the machine, as it was asked there."""
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        assert ask(machine, b"hello", host) == b"hello"


def test_as_installed_there_is_none(machine, serving, socket):
    assert machine.run("ss", "-Hlnu").stdout == ""
    serving.stop()
    socket.start()
    assert machine.run("ss", "-Hlnu").stdout == ""


def test_the_service_has_an_option_for_it(machine, service, journal):
    service.set_options("--udp")
    service.start()
    assert_answers(machine)
    journal.wait(r"^listening on 0\.0\.0\.0:7, \[::\]:7, 0\.0\.0\.0:7/udp and \[::\]:7/udp$")
    service.stop()
    assert service.show("Result") == "success"
    assert machine.run("ss", "-Hlnu").stdout == ""


def test_the_first_datagram_starts_the_service(machine, socket, service):
    """And is answered by it."""
    socket.example("udp.conf")
    socket.start()
    assert service.state == "inactive"
    assert_answers(machine)
    assert service.state == "active"


def test_a_datagram_waits_for_the_next_echod(machine, socket, service):
    """systemd keeps the port, for datagrams as for connections."""
    socket.example("udp.conf")
    socket.start()
    assert_answers(machine)
    service.stop()
    assert service.state == "inactive"
    assert_answers(machine)
    with machine.connect() as client:
        assert clients.exchange(client, b"hello") == b"hello"


def test_it_takes_no_network_of_its_own(machine, socket, service):
    """Where all that echod has is the sockets."""
    socket.example("udp.conf")
    service.example("socket-only.conf")
    socket.start()
    assert_answers(machine)


def test_as_many_sockets_as_it_may_have(machine, service):
    """64: IPv4 and IPv6, TCP and UDP, of 16 ports."""
    ports = range(8001, 8017)
    service.set_options(" ".join(["--udp", *(f"--listen=:{port}" for port in ports)]))
    service.start()
    for port in ports:
        for host in "127.0.0.1", "::1":
            assert ask(machine, b"hello", host, port) == b"hello"
            with machine.connect(host, port) as client:
                assert clients.exchange(client, b"hello") == b"hello"
