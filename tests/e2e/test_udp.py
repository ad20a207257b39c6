"""--udp: datagrams come back, and none that could go round or harm others."""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

import clients
import procfs
from clients import KIB, MIB
from debugger import have_it_call
from echod import LOOPBACK, free_port, handing_over, is_sanitized
from harmless import assert_harmless
from marks import needs_filter, needs_ipv6, needs_root
from waiting import DEADLINE, in_background, wait_until

LONGEST = {"127.0.0.1": 65507, "::1": 65527}  # what the length of IP leaves for data
RATE = 100  # replies a second for a source that may have them by default


def socket_to(server, host=LOOPBACK[0], source=None, source_port=0):
    where = None if source is None else (source, source_port)
    return clients.datagram_socket(host, server.port, where)


def ask(server, data, *where):
    """What comes back from a socket of its own."""
    with socket_to(server, *where) as sock:
        return clients.exchange_datagram(sock, data)


def worker_of(server, other_than=None):
    """The pid of the worker, once there is one, or another."""

    def find():
        for pid in server.titled("datagrams on .*"):
            if pid != other_than:
                return pid

    return wait_until(find, "a worker")


def forge(source, source_port, host, port, data=b"forged"):
    """Send an IPv4 datagram with a false source; the kernel adds what is 0 here."""
    udp = struct.pack("!4H", source_port, port, 8 + len(data), 0) + data
    addresses = socket.inet_aton(source) + socket.inet_aton(host)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(ip + udp, (host, 0))


#
# What comes back.
#


@pytest.mark.parametrize("host", LOOPBACK)
def test_datagrams_of_all_sizes_come_back(start, host):
    """The empty one, too; and those that do not fit into a packet of Ethernet."""
    server = start("--udp")
    longest = LONGEST[host]
    with socket_to(server, host) as sock:
        for size in (0, 1, 1471, 1472, 1473, 65506, 65507, longest - 1, longest):
            data = random.randbytes(size)
            clients.assert_same(clients.exchange_datagram(sock, data), data)
        assert not clients.readable(sock)
    server.wait_status(datagrams=9)


def test_many_at_once_come_back_each_to_its_own(start):
    """More than the worker takes at a time, of several clients."""
    server = start("--udp", "--rate=1000000")
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket_to(server)) for _ in range(10)]
        sent = {sock: [random.randbytes(1 + n) for n in range(20)] for sock in socks}
        with procfs.standing_still(worker_of(server)):
            for number in range(20):
                for sock in socks:
                    sock.send(sent[sock][number])
        for sock in socks:
            assert [sock.recv(KIB) for _ in range(20)] == sent[sock]
            assert not clients.readable(sock)


@pytest.mark.parametrize("mtu", [1300, 1500, 9000])
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_many_of_one_size_come_back(start, network, host, mtu):
    """However they are sent: those that fit into a packet of the way back, or do not."""
    network("192.0.2.1/32", "2001:db8::1/128")
    subprocess.run(["ip", "link", "set", "lo", "mtu", str(mtu)], check=True)
    server = start("--udp", "--rate=1000000", listen=[host])
    sizes = (0, 1, mtu - 49, mtu - 48, mtu - 47, mtu - 28, mtu - 27, 1300, 1452, 1453, 1472, 9000)
    for size in sizes:
        sent = [random.randbytes(size) for _ in range(9)]
        with socket_to(server, host) as one, socket_to(server, host) as other:
            with procfs.standing_still(worker_of(server)):
                for number, data in enumerate(sent):
                    (one if number % 3 else other).send(data)
            for number, data in enumerate(sent):
                clients.assert_same((one if number % 3 else other).recv(64 * KIB), data)
            assert not clients.readable(one) and not clients.readable(other)
    server.wait_status(datagrams=9 * len(sizes))


@pytest.mark.skipif(shutil.which("nc") is None, reason="needs netcat-openbsd")
@pytest.mark.parametrize("host", LOOPBACK)
def test_nc(start, host):
    server = start("--udp")
    command = f"printf hello | nc -u -W 1 {host} {server.port}"
    assert subprocess.check_output(command, shell=True) == b"hello"


@pytest.mark.skipif(shutil.which("socat") is None, reason="needs socat")
@pytest.mark.parametrize("host", LOOPBACK)
def test_socat(start, host):
    server = start("--udp")
    where = f"UDP:[{host}]:{server.port}" if ":" in host else f"UDP:{host}:{server.port}"
    with subprocess.Popen(
        ["socat", "STDIO", where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as socat:
        try:
            for word in (b"hello", b"again"):
                socat.stdin.write(word)
                assert clients.readable(socat.stdout, DEADLINE)
                assert socat.stdout.read(KIB) == word
        finally:
            socat.kill()


def test_only_if_it_is_told_to(server):
    with socket_to(server) as sock, pytest.raises(ConnectionRefusedError):
        clients.exchange_datagram(sock, b"x")


@needs_ipv6
@pytest.mark.parametrize(
    ("option", "served", "other"), [("-4", "127.0.0.1", "::1"), ("-6", "::1", "127.0.0.1")]
)
def test_only_one_family(start, option, served, other):
    server = start("--udp", option, listen=[])
    assert ask(server, b"hello", served) == b"hello"
    with socket_to(server, other) as sock, pytest.raises(ConnectionRefusedError):
        clients.exchange_datagram(sock, b"x")


#
# Where it listens.
#


def test_the_addresses_are_those_of_tcp(start, run, port):
    """The log says so, and so does a check."""
    tcp = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in LOOPBACK]
    udp = [f"{where}/udp" for where in tcp]
    *others, last = tcp + udp
    text = re.escape(f"{', '.join(others)} and {last}")
    where = [f"--listen={host}" for host in LOOPBACK]
    checked = run("-u", "--check", f"--port={port}", *where)
    assert re.search(rf"^echod would listen on {text}( |$)", checked.stdout, re.MULTILINE)
    server = start("-u", port=port)
    server.wait_log(f"^listening on {text}$")


@needs_ipv6
def test_titles(start):
    """The parent's is as without UDP."""
    server = start("--udp", listen=[])
    port = server.port
    tcp = rf"0\.0\.0\.0:{port}, \[::\]:{port}"
    udp = rf"0\.0\.0\.0:{port}/udp and \[::\]:{port}/udp"
    server.wait_log(f"^listening on {tcp}, {udp}$")
    assert server.title() == f"echod: listening on :{port}, 0 clients"
    assert procfs.title(worker_of(server)).startswith(f"echod: datagrams on :{port}")


def test_a_port_that_another_has(run, port):
    """It is told which of the two, and TCP is not served alone."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        result = run("--udp", "--listen=127.0.0.1", f"--port={port}")
    assert result.returncode == os.EX_UNAVAILABLE
    assert re.search(
        rf"^echod: cannot listen on 127\.0\.0\.1:{port}/udp: Address already in use; .*ss -uanp",
        result.stderr,
        re.MULTILINE,
    )


def test_two_do_not_share_a_port(start, run):
    """Though UDP would let them: one would have the datagrams of both."""
    server = start("--udp")
    result = run("--udp", f"--listen={LOOPBACK[0]}", f"--port={server.port}")
    assert result.returncode == os.EX_UNAVAILABLE
    assert ask(server, b"x") == b"x"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.255.255.254"])
def test_the_reply_comes_from_where_was_asked(start, host):
    """A connected socket takes none from elsewhere."""
    server = start("--udp", "-4", listen=[])
    assert ask(server, b"hello", host) == b"hello"


def test_the_reply_comes_from_where_was_asked_ipv6(start, network):
    network("2001:db8::1/128", "2001:db8::2/128", "192.0.2.1/32")
    server = start("--udp", listen=[])
    for host in ("2001:db8::1", "2001:db8::2", "::1", "192.0.2.1"):
        for source in ("2001:db8::2", "::1") if ":" in host else ("127.0.0.1", "192.0.2.1"):
            assert ask(server, b"hello", host, source) == b"hello"


def test_a_link_local_address(start, new_host):
    """It is on two cables: the reply goes out where the request came from."""
    here, east, west = (new_host(name) for name in ("here", "east", "west"))
    for other in (east, west):
        here.plug(other)
        here.add(other.name, "fe80::1/64")
        other.add("here", "fe80::2/64")
    with here.inside():
        server = start("--udp", "-6", listen=[])
    for other in (east, west):
        with other.inside():
            assert ask(server, other.name.encode(), "fe80::1%here") == other.name.encode()


#
# Sockets that are handed over.
#


def inherited(host, port, kind=socket.SOCK_DGRAM, dual=False):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if ":" in host:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual))
    sock.bind((host, port))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


@needs_ipv6
def test_one_for_both_families(start, port):
    """As systemd makes it of a port alone; and nothing but UDP, without --udp."""
    with inherited("::", port, dual=True) as sock:
        server = start(listen=None, port=port, **handing_over(sock))
    server.wait_log(rf"^listening on \[::\]:{port}/udp$")
    assert server.title().startswith("echod: listening on ")
    for host in ("::1", "127.0.0.1", "127.0.0.2"):
        assert ask(server, b"hello", host) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    server.wait_status(datagrams=3)


@needs_ipv6
@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_what_came_before_it_started(start, port, bound):
    """The datagram that had a service manager start it, and those behind it."""
    hosts = ["127.0.0.1", "127.0.0.2", *(["::1"] if bound == "::" else [])]
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(inherited(bound, port, dual=True))
        early = [stack.enter_context(clients.datagram_socket(host, port)) for host in hosts]
        for client in early:
            client.send(b"early")
        start(listen=None, port=port, **handing_over(sock))
        for client in early:
            assert client.recv(KIB) == b"early"
            assert clients.exchange_datagram(client, b"late") == b"late"


@needs_ipv6
def test_several_are_served_at_once(start, port):
    """Of TCP and of UDP, and of whatever port."""
    other = free_port()
    with contextlib.ExitStack() as stack:
        socks = [
            stack.enter_context(inherited(host, number, kind))
            for host, number, kind in (
                ("127.0.0.1", port, socket.SOCK_DGRAM),
                ("127.0.0.1", port, socket.SOCK_STREAM),
                ("127.0.0.2", other, socket.SOCK_DGRAM),
                ("::1", port, socket.SOCK_DGRAM),
            )
        ]
        server = start(listen=None, port=port, **handing_over(*socks))
    with server.connect("127.0.0.1") as client:
        assert clients.exchange(client, b"tcp") == b"tcp"
    for host, number in (("127.0.0.1", port), ("127.0.0.2", other), ("::1", port)):
        with clients.datagram_socket(host, number) as sock:
            assert clients.exchange_datagram(sock, b"udp") == b"udp"


def test_the_others_are_served_while_one_is_flooded(start, port):
    other = free_port()
    with inherited("127.0.0.1", port) as one, inherited("127.0.0.1", other) as two:
        server = start(listen=None, port=port, **handing_over(one, two))
    with flooded(server), clients.datagram_socket("127.0.0.1", other, ("127.0.0.3", 0)) as sock:
        for number in range(50):
            assert clients.exchange_datagram(sock, b"%d" % number) == b"%d" % number


#
# Who is not answered.
#


def assert_unanswered(sock, server, refused=1):
    """Whoever asks after it has been answered; and so many were refused until then."""
    with socket_to(server, source="127.0.0.9") as marker:
        assert clients.exchange_datagram(marker, b"marker") == b"marker"
    assert not clients.readable(sock)
    server.wait_status(datagrams=1, strays=refused)


@pytest.mark.parametrize("service", [1, 7, 19, 53, 1023])
def test_ports_of_services_are_not_answered(start, network, service):
    """They might be an echo's, or answer whatever comes; CVE-1999-0103."""
    server = start("--udp", listen=["127.0.0.1"])
    with socket_to(server, source="127.0.0.2", source_port=service) as sock:
        sock.send(b"x")
        assert_unanswered(sock, server)
    server.wait_log(rf"^refused datagram from 127\.0\.0\.2:{service}: ")


def test_the_first_port_that_is_answered(start, network):
    server = start("--udp", listen=["127.0.0.1"])
    assert ask(server, b"x", "127.0.0.1", "127.0.0.2", 1024) == b"x"


def test_its_own_port_is_not_answered(start):
    """Of whatever host: an echod there would answer the answer."""
    server = start("--udp", listen=["127.0.0.1"])
    with socket_to(server, source="127.0.0.2", source_port=server.port) as sock:
        sock.send(b"x")
        assert_unanswered(sock, server)
    server.wait_log(rf"^refused datagram from 127\.0\.0\.2:{server.port}: ")


def test_each_of_its_ports_is_its_own(start):
    other = free_port()
    server = start("--udp", f"--listen=127.0.0.3:{other}", listen=["127.0.0.1"])
    with socket_to(server, source="127.0.0.2", source_port=other) as sock:
        sock.send(b"x")
        assert_unanswered(sock, server)


@pytest.mark.parametrize("source", ["127.0.0.2", "224.0.0.1", "239.1.2.3", "255.255.255.255"])
def test_sources_that_nobody_is_are_not_answered(start, network, source):
    """Groups, and a port that nobody has; an answer would leave this host."""
    source_port = 0 if source.startswith("127.") else 4711
    server = start("--udp", listen=["127.0.0.1"])
    forge(source, source_port, "127.0.0.1", server.port)
    with socket_to(server) as sock:
        assert_unanswered(sock, server)
    server.wait_log(rf"^refused datagram from {re.escape(source)}:{source_port}: ")


@needs_root
def test_two_echods_do_not_answer_each_other(start, port):
    """On the same port, as two of them usually are: a forged datagram starts nothing."""
    one = start("--udp", listen=["127.0.0.1"], port=port)
    two = start("--udp", listen=["127.0.0.2"], port=port)
    forge("127.0.0.1", port, "127.0.0.2", port)
    two.wait_status(strays=1)
    assert set(one.status().values()) == {0}


@needs_root
def test_what_goes_round_between_two_ports_ends(start):
    """Neither knows of the other; but the rate is more than they may."""
    one = start("--udp", listen=["127.0.0.1"])
    two = start("--udp", listen=["127.0.0.2"])
    forge("127.0.0.1", one.port, "127.0.0.2", two.port)
    pattern = r"^refused datagram from .*: more than 100 a second from "
    wait_until(lambda: one.log.matching(pattern) + two.log.matching(pattern), "an end")
    # What had arrived there is told at most a second later.
    for each in one, two:
        wait_until(lambda: each.status()["datagrams"] >= RATE, "the counts")
    before, same = one.status(), two.status()
    with socket_to(one, source="127.0.0.3") as sock:
        assert clients.exchange_datagram(sock, b"x") == b"x"
    one.wait_status(**before | {"datagrams": before["datagrams"] + 1})
    assert two.status() == same


def test_broadcasts_are_not_answered(start, new_host):
    here, there = new_host("here"), new_host("there")
    here.plug(there)
    here.add("there", "192.0.2.1/24")
    there.add("here", "192.0.2.2/24")
    there.ip("route", "add", "255.255.255.255", "dev", "here")
    with here.inside():
        server = start("--udp", listen=[])
    with there.inside(), socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for host in ("192.0.2.255", "255.255.255.255"):
            sock.sendto(b"to all", (host, server.port))
        sock.sendto(b"to one", ("192.0.2.1", server.port))
        assert sock.recvfrom(KIB) == (b"to one", ("192.0.2.1", server.port))
        assert not clients.readable(sock)
    server.wait_status(datagrams=1, strays=2)
    server.wait_log(r"^refused datagram from 192\.0\.2\.2:\d+: ")


def join(host, interface):
    """A socket that has its host join the multicast group."""
    index = socket.if_nametoindex(interface)
    if ":" in host:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        group = struct.pack("@16si", socket.inet_pton(socket.AF_INET6, host), index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    else:
        sock = socket.socket(type=socket.SOCK_DGRAM)
        group = struct.pack("4s4si", socket.inet_aton(host), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    return sock


@pytest.mark.parametrize(
    ("host", "groups"),
    [("192.0.2.1", ("224.0.0.1", "233.252.0.1")), ("2001:db8::1", ("ff02::1", "ff05::4711"))],
    ids=["ipv4", "ipv6"],
)
def test_multicasts_are_not_answered(start, new_host, host, groups):
    """Of the group that all are in, and of one that a socket of another has joined."""
    here, there = new_host("here"), new_host("there")
    here.plug(there)
    here.add("there", "192.0.2.1/24", "2001:db8::1/64")
    there.add("here", "192.0.2.2/24", "2001:db8::2/64")
    for group in groups:
        there.ip("route", "add", "multicast", group, "dev", "here", "table", "local")
    with here.inside(), join(groups[1], "there"):
        server = start("--udp", listen=[])
        with there.inside(), socket_to(server, host) as one:
            with socket.socket(one.family, socket.SOCK_DGRAM) as all_of_them:
                for group in groups:
                    all_of_them.sendto(b"to all", (group, server.port))
                assert clients.exchange_datagram(one, b"to one") == b"to one"
                assert not clients.readable(all_of_them)
        server.wait_status(datagrams=1, strays=2)


#
# How many are answered.
#


def burst(server, source, count=1000):
    """How many of so many at once are answered, and how many may be by the rate.

    Whoever asks after them has an answer after all of theirs.
    """
    with socket_to(server, "127.0.0.1", source) as sock:
        begun = time.monotonic()
        for _ in range(count):
            sock.send(b"x")
        assert ask(server, b"another", "127.0.0.1", "127.0.0.9") == b"another"
        seconds = time.monotonic() - begun
        return len(clients.receive_datagrams(sock)), seconds


@pytest.mark.parametrize("given", [None, 10, 0])
def test_a_source_has_so_many_replies(start, given):
    """A second; others do not notice, and later it has more."""
    rate = given or RATE  # never without
    options = [] if given is None else [f"--rate={given}"]
    server = start("--udp", *options, listen=["127.0.0.1"])
    answered, seconds = burst(server, "127.0.0.2")
    assert rate <= answered <= rate + seconds * rate + 1
    server.wait_log(
        rf"^refused datagram from 127\.0\.0\.2:\d+: more than {rate} a second from 127\.0\.0\.2$"
    )
    with socket_to(server, "127.0.0.1", "127.0.0.2") as sock:

        def answers():
            sock.send(b"x")
            return clients.readable(sock, 0.05)

        wait_until(answers, "a token")


def test_clients_of_tcp_have_a_rate_of_their_own(start):
    """Whoever has used up that of datagrams may still connect."""
    server = start("--udp", "--rate=5", listen=["127.0.0.1"])
    burst(server, "127.0.0.2", 100)
    for _ in range(5):
        with server.connect("127.0.0.1", source="127.0.0.2") as client:
            assert clients.exchange(client, b"x") == b"x"


def test_a_network_of_ipv6_is_a_source(start, network):
    """As for TCP: nobody gets more by changing the address."""
    network("2001:db8:0:1::1/128", "2001:db8:0:1::2/128", "2001:db8:0:2::1/128")
    server = start("--udp", "--rate=1", listen=["::1"])
    sources = "2001:db8:0:1::1", "2001:db8:0:1::2"
    one, other = (socket_to(server, "::1", source) for source in sources)
    with one, other:
        with procfs.standing_still(worker_of(server)):  # so that no time passes between them
            one.send(b"x")
            other.send(b"refused")
        assert one.recv(KIB) == b"x"
        assert ask(server, b"x", "::1", "2001:db8:0:2::1") == b"x"
        assert not clients.readable(other)
    server.wait_log(
        r"^refused datagram from \[2001:db8:0:1::2\]:\d+: more than 1 a second "
        r"from 2001:db8:0:1::/64$"
    )


def test_refusals_do_not_flood_the_log(start):
    """The first has its line, then a line per second counts the others."""
    server = start("--udp", "--rate=1", listen=["127.0.0.1"])
    with socket_to(server) as sock:
        for _ in range(500):
            sock.send(b"x")

        def count():
            status = server.status()
            return status["datagrams"] + status["strays"] == 500 and status["strays"]

        refused = wait_until(count, "all to be counted")

    def told():
        lines = server.log.matching(r"^refused (\d+) more datagrams in the meantime$")
        return len(server.log.matching("^refused datagram ")) + sum(int(line[1]) for line in lines)

    wait_until(lambda: told() == refused, "all refusals to be told")
    assert len(server.log.matching("^refused")) < 30


def test_many_sources_need_no_more_memory(start, network):
    """Those of forged datagrams, 4096 of which are remembered."""
    network("192.0.2.1/32")
    # The answers stay here.
    subprocess.run(["ip", "route", "add", "local", "198.18.0.0/15", "dev", "lo"], check=True)
    server = start("--udp", "--rate=1000000", listen=["192.0.2.1"])
    worker = worker_of(server)

    def come(numbers):
        with socket_to(server, "192.0.2.1") as sock:
            for number in numbers:
                forge(f"198.18.{number >> 8}.{number & 255}", 4711, "192.0.2.1", server.port)
                if number % 100 == 0:  # so that the queue does not run over
                    assert clients.exchange_datagram(sock, b"x") == b"x"

    come(range(5_000))
    with procfs.standing_still(worker):  # what waits is a whole batch, with all of its buffers
        come(range(1, 100))
    come(range(5_000))
    memory = procfs.memory(worker)
    come(range(5_000, 20_000))
    assert is_sanitized() or procfs.memory(worker) <= memory + 64
    server.wait_status(datagrams=25_349)
    assert worker_of(server) == worker


#
# The worker.
#


@needs_root
def test_what_the_worker_keeps_open(start):
    """/dev/null, the pipe to the parent, and its sockets."""
    server = start("--udp")
    worker = worker_of(server)
    kinds = sorted(re.sub(":.*", "", what) for what in procfs.descriptors(worker).values())
    assert kinds == ["/dev/null", "pipe", *["socket"] * len(LOOPBACK)]


def test_the_worker_is_confined(start):
    """As the clients' children are."""
    server = start("--udp")
    with server.connect() as client:
        child = server.child_of(client)
        names = ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "NoNewPrivs", "Seccomp")
        worker, other = procfs.status(worker_of(server)), procfs.status(child)
        assert {name: worker[name] for name in names} == {name: other[name] for name in names}
    assert_harmless(worker_of(server))


@needs_root
def test_a_child_has_no_socket_of_udp(start):
    server = start("--udp")
    with server.connect() as client:
        theirs = set(procfs.descriptors(server.child_of(client)).values())
        assert not theirs & {
            what
            for what in procfs.descriptors(worker_of(server)).values()
            if not what.startswith("/dev/")
        }


@needs_root
@needs_filter
def test_a_worker_that_does_what_it_should_not_is_killed(start):
    server = start("--udp")
    have_it_call(worker_of(server), "59, 0, 0, 0")
    server.wait_log(r"^echod: the UDP worker .*killed by signal 31 \(Bad system call\)")
    assert ask(server, b"x") == b"x"


def test_a_worker_that_is_killed_has_a_successor(start):
    """What came in between is served, too: the parent keeps the sockets."""
    server = start("--udp")
    worker = worker_of(server)
    with server.connect() as client, socket_to(server) as sock:
        assert clients.exchange(client, b"before") == b"before"
        with procfs.standing_still(worker):
            sock.send(b"in between")
            os.kill(worker, signal.SIGKILL)
        server.wait_log(
            r"^echod: the UDP worker .*killed by signal 9 \(Killed\); starting another$"
        )
        assert sock.recv(KIB) == b"in between"
        assert worker_of(server) != worker
        assert clients.exchange(client, b"after") == b"after"


def test_successors_do_not_come_without_a_pause(start):
    """From 10 ms on, each time twice as long."""
    server = start("--udp", "--quiet")
    begun = time.monotonic()
    worker = None
    for _ in range(6):
        worker = worker_of(server, other_than=worker)
        os.kill(worker, signal.SIGKILL)
    worker_of(server, other_than=worker)
    assert time.monotonic() - begun >= 0.010 + 0.020 + 0.040 + 0.080 + 0.160 + 0.320
    assert ask(server, b"x") == b"x"


def test_the_worker_goes_when_the_parent_is_killed(start):
    """And its port is free."""
    server = start("--udp")
    worker = worker_of(server)
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not procfs.running(worker), "the worker to end")
    again = start("--udp", port=server.port)
    assert ask(again, b"x") == b"x"


def test_on_term_what_has_arrived_is_answered(start):
    server = start("--udp")
    worker = worker_of(server)
    sent = [b"%d" % number for number in range(80)]
    with socket_to(server) as sock:
        with procfs.standing_still(worker):
            for data in sent:
                sock.send(data)
            server.kill(signal.SIGTERM)
            wait_until(lambda: signal.SIGTERM in procfs.pending(worker), "the worker to be told")
        assert [sock.recv(KIB) for _ in sent] == sent
    assert server.stop() == 0
    assert not server.log.matching("UDP worker")


def needs_long_queue(name):
    """Where the kernel gives less than echod asks for, there is not room for so many."""
    limit = int(Path(f"/proc/sys/net/core/{name}").read_text())
    return pytest.mark.skipif(limit < 4 * MIB, reason=f"net.core.{name} is {limit}")


@needs_long_queue("rmem_max")
def test_on_term_all_of_a_full_queue_is_answered(start):
    server = start("--udp", "--rate=1000000", "--grace=3600")
    worker = worker_of(server)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket_to(server)) for _ in range(60)]
        with procfs.standing_still(worker):
            for sock in socks:
                for number in range(150):
                    sock.send(b"%d" % number)
            server.kill(signal.SIGTERM)
            wait_until(lambda: signal.SIGTERM in procfs.pending(worker), "the worker to be told")
        for sock in socks:
            assert [sock.recv(KIB) for _ in range(150)] == [b"%d" % n for n in range(150)]
    assert server.stop() == 0


def test_a_second_term_waits_for_nobody(start):
    server = start("--udp", "--grace=3600")
    worker = worker_of(server)
    with procfs.standing_still(worker):
        server.kill(signal.SIGTERM)
        wait_until(lambda: signal.SIGTERM in procfs.pending(worker), "the worker to be told")
        assert server.stop() == 0
        assert not procfs.running(worker)


def test_datagrams_are_counted(start):
    """Beside the clients, and those that are refused apart."""
    server = start("--udp", listen=["127.0.0.1"])
    assert set(server.status().values()) == {0}
    for number in range(17):
        assert ask(server, b"%d" % number) == b"%d" % number
    server.wait_status(datagrams=17)
    with socket_to(server, "127.0.0.1", "127.0.0.2", server.port) as sock:
        sock.send(b"refused")
    server.wait_status(datagrams=17, strays=1)


#
# What does not disturb it.
#


@contextlib.contextmanager
def flooded(server):
    """Somebody sends datagrams as fast as it goes, and reads none."""
    with socket_to(server, "127.0.0.1", "127.0.0.2") as sock:

        def send():
            with contextlib.suppress(ConnectionRefusedError):  # it may be stopped meanwhile
                sock.send(bytes(64))

        with in_background(send, threads=2):
            yield


@pytest.mark.parametrize("options", [[], ["--rate=1000000"]], ids=["refused", "answered"])
def test_a_flood_does_not_disturb_tcp(start, options):
    """Neither those that come nor those that are there, nor the parent."""
    server = start("--udp", *options)
    with server.connect() as there:
        assert clients.exchange(there, b"before") == b"before"
        with flooded(server):
            for _ in range(100):
                with server.connect() as client:
                    data = random.randbytes(KIB)
                    assert clients.exchange(client, data) == data
            assert clients.exchange(there, b"meanwhile") == b"meanwhile"
            server.status()
        assert clients.exchange(there, b"after") == b"after"
    assert server.stop() == 0


def test_a_flood_can_be_stopped(start):
    """TERM is heeded while datagrams come."""
    server = start("--udp", "--rate=1000000", "--grace=3600", listen=["127.0.0.1"])
    with flooded(server):
        wait_until(lambda: server.status()["datagrams"] > 1000, "the flood")
        assert server.stop() == 0


def test_who_is_gone_does_not_matter(start):
    """The kernel tells the worker's socket nothing, and others are served."""
    server = start("--udp", listen=["127.0.0.1"])
    for _ in range(50):
        with socket_to(server) as sock:
            with procfs.standing_still(worker_of(server)):
                sock.send(b"good-bye")
                sock.close()
    assert ask(server, b"x") == b"x"
    server.wait_status(datagrams=51)


def test_a_reply_that_cannot_be_sent_does_not_hold_others(start, network):
    """There is no way back to the forged ones."""
    server = start("--udp", listen=["127.0.0.1"])
    with socket_to(server) as sock:
        with procfs.standing_still(worker_of(server)):
            for number in range(3):
                forge("192.0.2.99", 4711, "127.0.0.1", server.port)
                sock.send(b"%d" % number)
        assert [sock.recv(KIB) for _ in range(3)] == [b"0", b"1", b"2"]
    server.wait_status(datagrams=3)


@needs_long_queue("wmem_max")
def test_neighbours_that_are_not_there_do_not_hold_others(start, new_host):
    """Replies to them wait for ARP, for seconds, in the queue that all replies go through."""
    server_host, client_host = new_host("server"), new_host("client")
    server_host.plug(client_host)
    server_host.add("client", "192.0.2.1/24")
    client_host.add("server", "192.0.2.2/24")
    with server_host.inside():
        server = start("--udp", "--rate=1000000", listen=["192.0.2.1"])
    with client_host.inside():
        with socket_to(server, "192.0.2.1") as sock:
            assert clients.exchange_datagram(sock, b"before") == b"before"
            for number in range(600):
                forge(f"192.0.2.{100 + number % 3}", 4711, "192.0.2.1", server.port, bytes(1400))
            assert clients.exchange_datagram(sock, b"after") == b"after"
