"""Where echod listens."""

import re
import socket
from pathlib import Path

import pytest

import clients
from echod import LOOPBACK, free_port
from marks import needs_ipv6


def assert_serves(host, port):
    with clients.connect(host, port) as client:
        assert clients.exchange(client, b"hello") == b"hello"


def assert_does_not(host, port):
    with pytest.raises(ConnectionRefusedError):
        clients.connect(host, port).close()


@needs_ipv6
def test_by_default_everywhere(start):
    """IPv4 and IPv6 have a socket each, on the same port."""
    server = start(listen=[])
    port = server.port
    server.wait_log(rf"^listening on 0\.0\.0\.0:{port} and \[::\]:{port}$")
    assert server.title() == f"echod: listening on :{port}, 0 clients"
    for host in LOOPBACK:
        assert_serves(host, port)


@needs_ipv6
@pytest.mark.parametrize(
    ("option", "served", "refused"),
    [("-4", "127.0.0.1", "::1"), ("-6", "::1", "127.0.0.1")],
)
def test_only_one_family(start, option, served, refused):
    server = start(option, listen=[])
    assert_serves(served, server.port)
    assert_does_not(refused, server.port)


def test_several_addresses_and_ports(start):
    """Each with its own port, or the one of --port."""
    other = free_port()
    where = [LOOPBACK[0], f"127.0.0.1:{other}", "127.0.0.2"]
    server = start(listen=where)
    assert_serves(LOOPBACK[0], server.port)
    assert_serves("127.0.0.1", other)
    assert_serves("127.0.0.2", server.port)
    assert_does_not("127.0.0.2", other)


def test_one_address_twice_is_one(start):
    host = LOOPBACK[0]
    server = start(listen=[host, host, "localhost"])
    server.wait_log(rf"^listening on {host}:{server.port}( and \[::1\]:\d+)?$")
    assert_serves(host, server.port)


def test_a_name_is_all_its_addresses(start):
    server = start(listen=["localhost"])
    for info in socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM):
        assert_serves(info[4][0], server.port)


def link_local():
    """A link-local address of this host and the number of its interface, if any."""
    table = Path("/proc/net/if_inet6")
    for line in table.read_text().splitlines() if table.exists() else []:
        address, interface, _, scope, _, _ = line.split()
        if scope == "20":
            packed = bytes.fromhex(address)
            return socket.inet_ntop(socket.AF_INET6, packed), int(interface, 16)
    return None


@pytest.mark.skipif(link_local() is None, reason="no link-local address here")
@pytest.mark.parametrize("scope", [socket.if_indextoname, str], ids=["name", "number"])
def test_a_link_local_address(start, scope):
    """With its interface's name or number; packets to oneself do not leave."""
    address, interface = link_local()
    host = f"{address}%{scope(interface)}"
    server = start(listen=[host])
    where = re.escape(f"[{address}%{interface}]:{server.port}")
    server.wait_log(f"^listening on {where}$")
    assert_serves(host, server.port)
