"""What ps(1) shows."""

import pytest

import clients
import procfs
from echod import LOOPBACK
from waiting import wait_until


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_child_is_named_after_its_client(server, host):
    with server.connect(host) as client:
        assert clients.exchange(client, b"x") == b"x"
        [child] = server.children()
        assert procfs.title(child) == f"echod: {clients.name(client)}"


def test_the_parent_counts_its_clients(server):
    hosts = [f"[{host}]" if ":" in host else host for host in LOOPBACK]
    where = " and ".join(f"{host}:{server.port}" for host in hosts)

    def wait_for(count):
        title = f"echod: listening on {where}, {count}"
        wait_until(lambda: server.title() == title, title)

    wait_for("0 clients")
    with server.connect():
        wait_for("1 client")
        with server.connect():
            wait_for("2 clients")
        wait_for("1 client")
    wait_for("0 clients")
