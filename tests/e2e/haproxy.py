"""HAProxy, as systemd/examples/haproxy.cfg has it, in front of two hosts.

What the example says of the hosts' addresses and of port 7 is so: each host is a
network namespace, and the balancer in the middle has a cable to each.
"""

import contextlib
import csv
import re
import socket
import subprocess

import pytest

import clients
import packages
from clients import MIB
from echod import LOOPBACK, ROOT
from waiting import DEADLINE, Lines, wait_until

HAPROXY = packages.installed("haproxy")
EXAMPLE = ROOT / "systemd/examples/haproxy.cfg"
BALANCER, BALANCER_IPV6 = "192.0.2.10", "2001:db8::10"
EAST, WEST = "192.0.2.11", "192.0.2.12"
SOURCES = [f"192.0.2.{number}" for number in range(101, 106)]
SOURCE_IPV6 = "2001:db8::101"


class Balancer:
    """A running HAProxy, of the example with some words replaced."""

    def __init__(self, directory, replaced):
        self._admin = f"{directory}/admin.sock"
        text = EXAMPLE.read_text()
        ours = {"/run/haproxy/admin.sock": self._admin}
        ours["/dev/log"] = "127.0.0.1"  # nobody is there
        for old, new in (ours | replaced).items():
            assert old in text
            text = text.replace(old, new)
        file = directory / "haproxy.cfg"
        file.write_text(text)
        self.process = subprocess.Popen(
            [HAPROXY, "-db", "-f", file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.messages = Lines(self.process.stderr)
        try:
            wait_until(self._knows_the_hosts, "HAProxy to have checked the hosts")
        except BaseException:
            self.stop()
            raise

    def _knows_the_hosts(self):
        assert self.process.poll() is None, self.messages.lines
        try:
            rows = self._rows()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return all(row["check_status"] == "L4OK" for row in rows)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.messages.wait_for_end()

    def tell(self, command):
        """Say something at the admin socket, and return what it answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(self._admin)
            sock.sendall(f"{command}\n".encode())
            return clients.receive_all(sock).decode()

    def _rows(self):
        table = self.tell("show stat echo 4 -1").strip().removeprefix("# ")
        return list(csv.DictReader(table.splitlines()))

    def stat(self, name, what):
        """What HAProxy knows of a host: status, or scur, the connections to it."""
        [value] = [row[what] for row in self._rows() if row["svname"] == name]
        return value


class Site:
    """The hosts, and the clients' one, with cables to the balancer."""

    def __init__(self, new_host, directory, start):
        self.hosts = {name: new_host(name) for name in ("balancer", "east", "west", "clients")}
        self.servers = {}
        self._directory = directory
        self._start = start
        self._balancer = self.hosts["balancer"]
        for host in self.hosts.values():
            host.limit_receive_buffers(4 * MIB)
        self._balancer.add("lo", f"{BALANCER}/32")
        for name, *addresses in ("east", EAST), ("west", WEST), ("clients", *SOURCES):
            host = self.hosts[name]
            self._balancer.plug(host)
            host.add("balancer", *(f"{address}/32" for address in addresses))
            host.ip("route", "add", "default", "dev", "balancer")
            for address in addresses:
                self._balancer.ip("route", "add", address, "dev", name)
        if "::1" in LOOPBACK:
            self._balancer.add("clients", f"{BALANCER_IPV6}/128")
            self._balancer.ip("route", "add", SOURCE_IPV6, "dev", "clients")
            self.hosts["clients"].add("balancer", f"{SOURCE_IPV6}/128")
            self.hosts["clients"].ip("route", "add", BALANCER_IPV6, "dev", "balancer")

    def start(self, name, *options):
        """Start echod on a host."""
        trust = f"--proxy-protocol={BALANCER}"
        address = {"east": EAST, "west": WEST}[name]
        with self.hosts[name].inside():
            self.servers[name] = self._start(
                trust, *options, listen=[address], port=7, start_new_session=True
            )
        return self.servers[name]

    def start_both(self, *options):
        return [self.start(name, *options) for name in ("east", "west")]

    @contextlib.contextmanager
    def balancer(self, replaced={}):
        with self._balancer.inside():
            balancer = Balancer(self._directory, replaced)
        try:
            yield balancer
        finally:
            balancer.stop()

    def connect(self, source=SOURCES[0], **how):
        host = BALANCER_IPV6 if ":" in source else BALANCER
        with self.hosts["clients"].inside():
            return clients.connect(host, 7, source=source, **how)

    def where(self, client):
        """The name of the host that serves a client, by its log."""
        peer = re.escape(clients.name(client))

        def found():
            for name, server in self.servers.items():
                if server.log.matching(f"^connected with {peer} "):
                    return name
            return None

        return wait_until(found, f"{peer} in a log")


@pytest.fixture
def site(new_host, directory, start):
    return Site(new_host, directory, start)
