"""TasksMax=: how many clients' processes the unit may have."""

import contextlib

import pytest

import clients

MAX_CLIENTS = 1024  # the default of --max-clients


@pytest.fixture
def limited(service):
    """The service, where the number of its tasks can be limited.

    A container may have no controller for that, on a host that keeps it to itself.
    """
    service.start()
    if service.show("TasksCurrent") == "[not set]":
        pytest.skip("needs the pids controller, which this host does not give away")
    service.stop()
    return service


@contextlib.contextmanager
def connected(machine, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(machine.connect()) for _ in range(count)]


def test_more_clients_than_tasks_wait(machine, limited, journal):
    """The status says for what; and when somebody leaves they are served."""
    limited.drop_in("[Service]\nTasksMax=5\n")  # the parent and four clients
    limited.start()
    with connected(machine, 4) as served:
        for client in served:
            assert clients.exchange(client, b"x") == b"x"
        with connected(machine, 3) as waiting:
            for client in waiting:
                client.sendall(b"waiting")
            line = journal.wait("^cannot fork: Resource temporarily unavailable; ")
            assert line["PRIORITY"] == "4"
            limited.wait_for_status(
                "4 clients, 4 accepted, 0 refused; "
                "new ones wait: cannot fork: Resource temporarily unavailable"
            )
            assert not any(clients.readable(client) for client in waiting)
            for client in served:
                assert clients.exchange(client, b"y") == b"y"
                client.close()
            for client in waiting:
                assert clients.receive(client, 7) == b"waiting"
            assert journal.wait("^accepting clients as before$")["PRIORITY"] == "6"
            limited.wait_for_status("3 clients, 7 accepted, 0 refused")
    assert len(journal.matching("^cannot fork: ")) == 1


def test_the_unit_has_room_for_as_many_clients_as_echod(
    machine, limited, journal, plenty_of_descriptors
):
    """All 1,024 are served at once, beside UDP and metrics, and nothing is lacking."""
    limited.set_options("--udp --metrics=/run/echod/echod.prom")
    limited.start()
    with connected(machine, MAX_CLIENTS) as served:
        for client in served:
            assert clients.exchange(client, b"x") == b"x"
        limited.wait_for_status(
            f"{MAX_CLIENTS} clients, {MAX_CLIENTS} accepted, 0 refused; "
            "new ones wait: --max-clients is reached"
        )
        assert limited.show("TasksCurrent") == str(MAX_CLIENTS + 3)
        for client in served:
            assert clients.exchange(client, b"y") == b"y"
    limited.wait_for_status(f"0 clients, {MAX_CLIENTS} accepted, 0 refused")
    assert [line for line in journal.matching("") if line["PRIORITY"] <= "4"] == []


def test_all_that_have_come_are_drained(machine, limited, plenty_of_descriptors):
    """A stop of the unit at its fullest is a success, and each gets its end of file."""
    limited.start()
    with connected(machine, MAX_CLIENTS) as served:
        for client in served:
            assert clients.exchange(client, b"x") == b"x"
        limited.stop()
        assert limited.show("Result") == "success"
        for client in served:
            assert clients.receive_all(client) == b""
