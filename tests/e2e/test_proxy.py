"""--proxy-protocol: who the client is says the proxy in front of echod.

Here the proxy is a Python client that writes the header itself; what HAProxy
does is in test_haproxy.py.
"""

import contextlib
import os
import random
import re
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import clients
import procfs
from clients import KIB, MIB
from echod import handing_over
from marks import needs_ipv4, needs_ipv6
from waiting import DEADLINE, wait_until

PROXY = "127.0.0.1"  # who is trusted
OTHER = "127.0.0.2"  # who is not

pytestmark = needs_ipv4

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXIED = 0x20, 0x21  # commands of version 2
UNSPEC, TCP4, UDP4, TCP6, UNIX = 0x00, 0x11, 0x12, 0x21, 0x31  # and families
ALPN, AUTHORITY, CRC32C, NOOP, UNIQUE_ID = 1, 2, 3, 4, 5  # and TLVs
NO_CRC = bytes(4)
HEADER_MAX = 16 * KIB

V4 = "192.0.2.7"
V6 = "2001:db8::7"
NAME4, NAME6 = f"{V4}:50312", f"[{V6}]:50312"


def line(source=V4, port=50312):
    """A header of version 1."""
    family, to = ("TCP6", "2001:db8::1") if ":" in source else ("TCP4", "198.51.100.1")
    return f"PROXY {family} {source} {to} {port} 7\r\n".encode()


def addresses(source=V4, port=50312):
    """Both addresses and both ports, as version 2 has them."""
    family, to = (
        (socket.AF_INET6, "2001:db8::1")
        if ":" in source
        else (socket.AF_INET, "198.51.100.1")
    )
    ips = socket.inet_pton(family, source) + socket.inet_pton(family, to)
    return ips + struct.pack("!HH", port, 7)


def tlv(kind, value=b""):
    return struct.pack("!BH", kind, len(value)) + value


def crc32c(data):
    """The checksum of RFC 9260, appendix A."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def header(rest=None, command=PROXIED, family=TCP4, length=None):
    """A header of version 2: its fixed part, and the rest."""
    rest = addresses() if rest is None else rest
    length = len(rest) if length is None else length
    return SIGNATURE + struct.pack("!BBH", command, family, length) + rest


def checked(before=b"", behind=b"", wrong=0):
    """A header of version 2 with a checksum between other TLVs."""
    parts = addresses() + before, tlv(CRC32C, NO_CRC), behind
    sum = crc32c(header(b"".join(parts))) ^ wrong
    return header(parts[0] + tlv(CRC32C, struct.pack("!I", sum)) + parts[2])


def padded(size):
    """A header of version 2 that is so long."""
    return header(addresses() + tlv(NOOP, bytes(size - 16 - 12 - 3)))


# The header, and the client as it is written then; None: the proxy itself.
GOOD = {
    "TCP4": (line(), NAME4),
    "TCP6": (line(V6), NAME6),
    "TCP6-mapped": (line(f"::ffff:{V4}"), NAME4),
    "TCP4-last": (line("255.255.255.255", 65535), "255.255.255.255:65535"),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "UNKNOWN-more": (b"PROXY UNKNOWN ffff::1 what ever\r\n", None),
    "UNKNOWN-longest": (b"PROXY UNKNOWN " + 91 * b"x" + b"\r\n", None),
    "v4": (header(), NAME4),
    "v6": (header(addresses(V6), family=TCP6), NAME6),
    "v6-mapped": (header(addresses(f"::ffff:{V4}"), family=TCP6), NAME4),
    "UDP": (header(family=UDP4), None),
    "UNIX": (header(bytes(216), family=UNIX), None),
    "LOCAL": (header(b"", LOCAL, UNSPEC), None),
    "LOCAL-v4": (header(command=LOCAL), None),
    "LOCAL-more": (header(b"\xff" * 100, LOCAL, UNSPEC), None),
    "UNSPEC": (header(b"", family=UNSPEC), None),
    "UNSPEC-more": (header(b"\xff" * 100, family=UNSPEC), None),
    "TLVs": (
        header(addresses() + tlv(ALPN, b"h2") + tlv(NOOP) + tlv(0xEE, bytes(300))),
        NAME4,
    ),
    "v6-TLVs": (
        header(addresses(V6) + tlv(AUTHORITY, b"echo.example"), family=TCP6),
        NAME6,
    ),
    "CRC": (checked(), NAME4),
    "CRC-between": (checked(tlv(UNIQUE_ID, bytes(64)), tlv(NOOP, b"x")), NAME4),
    "longest": (padded(HEADER_MAX), NAME4),
}
WRONG = {
    "HTTP": b"GET / HTTP/1.0\r\n\r\n",
    "lower-case": b"proxy TCP4 192.0.2.7 198.51.100.1 50312 7\r\n",
    "TCP5": b"PROXY TCP5 192.0.2.7 198.51.100.1 50312 7\r\n",
    "TCP4-of-v6": b"PROXY TCP4 2001:db8::7 2001:db8::1 50312 7\r\n",
    "TCP6-of-v4": b"PROXY TCP6 192.0.2.7 198.51.100.1 50312 7\r\n",
    "256": line("192.0.2.256"),
    "zeros": line("192.0.2.007"),
    "65536": line(port=65536),
    "no-port": b"PROXY TCP4 192.0.2.7 198.51.100.1\r\n",
    "two-blanks": line().replace(b" ", b"  "),
    "a-blank-more": line().replace(b"\r", b" \r"),
    "signature": header().replace(b"QUIT", b"QUIX"),
    "version-1": header(command=0x11),
    "version-3": header(command=0x31),
    "command-2": header(command=0x22),
    "family-4": header(family=0x41),
    "protocol-3": header(family=0x13),
    "short-for-v4": header(bytes(11)),
    "short-for-v6": header(family=TCP6),
    "short-for-UNIX": header(bytes(215), family=UNIX),
    "TLV-too-long": header(addresses() + tlv(NOOP, bytes(9))[:-1]),
    "half-a-TLV": header(addresses() + b"\4\0"),
    "CRC-wrong": checked(wrong=1),
    "CRC-wrong-in-front": checked(tlv(NOOP), tlv(ALPN, b"h2"), wrong=1 << 31),
    "CRC-of-nothing": header(addresses() + tlv(CRC32C)),
    "CRC-twice": header(addresses() + 2 * tlv(CRC32C, NO_CRC)),
}
CUT_SHORT = {
    "v1-first-byte": line()[:1],
    "v1-last-byte": line()[:-1],
    "v1-LF-only": line().replace(b"\r", b""),
    "UNKNOWN": b"PROXY UNKNOWN\r",
    "signature": SIGNATURE[:5],
    "v2-fixed-part": header()[:15],
    "v2-last-byte": header()[:-1],
    "CRC": checked()[:-1],
}
TOO_LONG = {
    "v1-without-end": b"PROXY UNKNOWN " + 93 * b"x",
    "v1-end-too-late": b"PROXY UNKNOWN " + 92 * b"x" + b"\r\n",
    "v2": padded(HEADER_MAX + 1),
    "v2-length-65535": header(length=65535),
    "LOCAL-length-65535": header(b"", LOCAL, UNSPEC, length=65535),
}


@pytest.fixture
def behind(start):
    """Start an echod behind PROXY: behind(*options)."""
    return lambda *options, **how: start(f"--proxy-protocol={PROXY}", *options, **how)


def introduced(server, head, **how):
    """A client of the proxy that has sent its header."""
    client = server.connect(PROXY, **how)
    client.sendall(head)
    return client


def unread(client):
    """How much of what it sent is not yet read; see proc_net_tcp in the kernel."""

    def written(host, port):
        [ip] = struct.unpack("=I", socket.inet_aton(host))
        return f"{ip:08X}:{port:04X}"

    ends = [written(*client.getpeername()), written(*client.getsockname())]
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, *both, _, queues = row.split()[:5]
        if both == ends:
            return int(queues.partition(":")[2], 16)
    return 0


def trickle(client, data):
    """Send it byte by byte, so slowly that most are read one by one."""
    for at in range(len(data)):
        client.sendall(data[at : at + 1])
        time.sleep(0.002)


@pytest.mark.parametrize("how", ["whole", "byte-by-byte"])
@pytest.mark.parametrize(("head", "name"), GOOD.values(), ids=GOOD)
def test_who_the_client_is(behind, head, name, how):
    """Log and title say it; what is behind the header is echoed, and it is not."""
    server = behind()
    with server.connect(PROXY) as client:
        peer = re.escape(name or clients.name(client))
        if how == "byte-by-byte":
            at = max(len(head) - 40, 1)  # of the longest, not all
            client.sendall(head[:at])
            trickle(client, head[at:-1])
            client.sendall(head[-1:] + b"hello")
        else:
            client.sendall(head + b"hello")
        assert clients.receive(client, 5) == b"hello"
        [child] = server.children()
        assert procfs.title(child) == f"echod: {name or clients.name(client)}"
        assert clients.exchange(client, head) == head
        server.wait_log(rf"^connected with {peer} \(pid {child}, 1 active\)$")
    size = 5 + len(head)
    what = rf"{size} bytes in \d+\.\d s, end of file"
    server.wait_log(rf"^closed {peer} \(pid {child}\): {what}$")
    server.wait_status(accepted=1, bytes=size)
    if name:
        assert not server.log.matching(PROXY.replace(".", r"\.") + r":\d+ \(pid")


@pytest.mark.parametrize("head", [line(), padded(HEADER_MAX)], ids=["v1", "v2"])
def test_megabytes_behind_a_header(behind, head):
    data = random.randbytes(8 * MIB + 1)
    server = behind()
    with server.connect(PROXY) as client:
        clients.assert_same(clients.transfer(client, [head + data]), data)
    peer = re.escape(NAME4)
    server.wait_log(rf"^closed {peer} .*: {len(data)} bytes in .*, end of file$")
    server.wait_status(accepted=1, bytes=len(data))


def test_a_header_and_no_more(behind):
    """Whoever closes its side right behind it gets an end of file."""
    server = behind("--verbose")
    with introduced(server, line()) as client:
        assert clients.transfer(client, []) == b""
    server.wait_log(rf"^closed {re.escape(NAME4)} .*: 0 bytes in .*, end of file$")


def assert_counted(server, client, reason):
    """The end of a session without a good header has its line, a warning."""
    peer = re.escape(clients.name(client))
    server.wait_log(rf"^echod: closed {peer} \(pid \d+\): 0 bytes in .* s, {reason}$")
    server.wait_status(accepted=1, refused=1, header=1)


@pytest.mark.parametrize("head", WRONG.values(), ids=WRONG)
def test_a_wrong_header(behind, head):
    """It is the end of it, at once: not a byte comes back."""
    server = behind()
    with introduced(server, head) as client:
        clients.assert_closed(client)
        assert_counted(server, client, "a wrong PROXY header")


@pytest.mark.parametrize("head", TOO_LONG.values(), ids=TOO_LONG)
def test_a_header_that_is_too_long(behind, head):
    server = behind()
    with introduced(server, head) as client:
        clients.assert_closed(client)
        assert_counted(server, client, "a PROXY header that is too long")


@pytest.mark.parametrize("head", CUT_SHORT.values(), ids=CUT_SHORT)
def test_a_header_that_is_cut_short(behind, head):
    server = behind()
    with introduced(server, head) as client:
        client.shutdown(socket.SHUT_WR)
        clients.assert_closed(client)
        assert_counted(server, client, "a wrong PROXY header")


def test_who_sends_much_behind_a_wrong_header(behind):
    """What nobody reads holds nobody up."""
    server = behind()
    with server.connect(PROXY) as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(WRONG["HTTP"] + bytes(64 * MIB))
        assert_counted(server, client, "a wrong PROXY header")


def test_the_wrong_ones_are_no_secret(behind):
    """Even --quiet tells of them."""
    server = behind("--quiet")
    with introduced(server, b"GET / HTTP/1.0\r\n\r\n") as client:
        peer = re.escape(clients.name(client))
        server.wait_log(f"^echod: closed {peer} .*, a wrong PROXY header$")


def keep_sending(client, data):
    """A byte now and then, until the connection has ended."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for at in range(len(data)):
            client.sendall(data[at : at + 1])
            if clients.readable(client, seconds=0.3):
                break
        clients.assert_closed(client)


def keep_poking(client, child):
    """Signals that mean nothing, until the connection has ended."""

    def poke():
        for number in signal.SIGHUP, signal.SIGUSR1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
        return clients.readable(client)

    wait_until(poke, "the connection to end")
    clients.assert_closed(client)


def test_a_header_that_does_not_come_in_time(behind, stay):
    """Nobody waits for ever, and meanwhile another client is served."""
    server = behind()
    before = procfs.cpu_seconds(server.pid)
    silent, half, slow, slow2, poked, poked_half = waiting = [
        stay(server.connect(PROXY)) for _ in range(6)
    ]
    half.sendall(line()[:-1])
    poked_half.sendall(header()[:-1])
    server.wait_for_children(6)
    child = {client: server.child_named(client) for client in waiting}
    with introduced(server, line()) as client, ThreadPoolExecutor(6) as pool:
        ends = [
            pool.submit(clients.assert_closed, silent),
            pool.submit(clients.assert_closed, half),
            pool.submit(keep_sending, slow, line("255.255.255.255", 65535)),
            pool.submit(keep_sending, slow2, checked(tlv(NOOP, bytes(100)))),
            pool.submit(keep_poking, poked, child[poked]),
            pool.submit(keep_poking, poked_half, child[poked_half]),
        ]

        def all_have_ended():
            assert clients.exchange(client, b"x") == b"x"
            return all(end.done() for end in ends)

        wait_until(all_have_ended, "those without a header to be closed")
        for end in ends:
            end.result()
    for client in waiting:
        peer = re.escape(clients.name(client))
        server.wait_log(
            rf"^echod: closed {peer} \(pid {child[client]}\): "
            "0 bytes in .* s, no PROXY header within 5 s$"
        )
    server.wait_for_children(0)
    assert procfs.cpu_seconds(server.pid) - before < 0.2


@pytest.mark.parametrize("leave", [socket.socket.close, clients.reset])
@pytest.mark.parametrize("head", [b"", GOOD["LOCAL"][0]], ids=["nothing", "LOCAL"])
@pytest.mark.parametrize("options", [(), ("--verbose",)], ids=["normal", "verbose"])
def test_a_probe_is_for_verbose_only(behind, options, head, leave):
    """A load balancer checks its hosts all day long, with a header or without."""
    server = behind(*options)

    def probe():
        """The first words of the lines about one."""
        sock = introduced(server, head)
        peer = re.escape(clients.name(sock))
        server.wait_for_children(1)
        wait_until(lambda: unread(sock) == 0, "the header to be read")
        leave(sock)
        server.wait_for_children(0)
        done = len(server.log.matching("^closed .*: 1 bytes"))
        with introduced(server, line()) as client:
            assert clients.transfer(client, [b"x"]) == b"x"
        server.wait_log("^closed .*: 1 bytes", done + 1)
        lines = [match.string for match in server.log.matching(peer)]
        return [line.partition(" ")[0] for line in lines]

    expected = ["connected", "closed"] if options else []
    wait_until(lambda: probe() == expected, f"a probe to log {expected}")


@pytest.mark.parametrize("head", [line(), checked()], ids=["v1", "v2"])
def test_others_are_not_believed(behind, head):
    """To those who are not trusted a header is bytes like any others."""
    server = behind()
    with server.connect(PROXY, source=OTHER) as client:
        assert clients.transfer(client, [head + b"hello"]) == head + b"hello"
        peer = re.escape(clients.name(client))
    server.wait_log(rf"^closed {peer} .*: {len(head) + 5} bytes in .*, end of file$")
    assert not server.log.matching(re.escape(NAME4))


def believed(server, host, source=None):
    """Whether a header from there is taken as one; else it must come back."""
    with server.connect(host, source=source) as client:
        data = clients.transfer(client, [line() + b"hello"])
    assert data in (b"hello", line() + b"hello")
    return data == b"hello"


def test_several_networks(start):
    """Each of the 16 that may be given; a network may be a single address."""
    nets = ["127.0.0.2", "127.0.1.0/24", "127.0.2.128/25", "127.0.3.1/32"]
    nets += [f"203.0.113.{number}" for number in range(11)] + ["127.0.4.0/31"]
    server = start(*(f"--proxy-protocol={net}" for net in nets))
    for source in "127.0.0.2 127.0.1.255 127.0.2.128 127.0.3.1 127.0.4.1".split():
        assert believed(server, PROXY, source), source
    for source in "127.0.0.1 127.0.2.127 127.0.3.2 127.0.4.2".split():
        assert not believed(server, PROXY, source), source


@needs_ipv6
def test_networks_of_ipv6(start, network):
    hosts = ["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:2::ffff"]
    network(*(f"{host}/128" for host in hosts))
    nets = ["2001:db8:0:1::/64", "2001:db8:0:2::1"]
    server = start(*(f"-x{net}" for net in nets))
    assert [believed(server, "::1", host) for host in hosts] == [True, True, False]
    assert not believed(server, "::1")
    assert not believed(server, PROXY)


@needs_ipv6
@pytest.mark.parametrize(
    ("net", "all_v4", "v6"),
    [("0.0.0.0/0", True, False), ("::/0", False, True), ("::1", False, True)],
)
def test_everybody_of_a_family(start, net, all_v4, v6):
    """However it is written: all of IPv6 is not all of IPv4."""
    server = start(f"--proxy-protocol={net}")
    assert believed(server, PROXY) == all_v4
    assert believed(server, "::1") == v6


@needs_ipv6
@pytest.mark.parametrize("net", ["127.0.0.0/30", "::ffff:127.0.0.0/126"])
def test_a_socket_of_both_families(start, net):
    """Such as systemd hands over: whoever comes by IPv4 has an IPv4-mapped address."""
    with socket.create_server(
        ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True
    ) as listener:
        port = listener.getsockname()[1]
        server = start(
            f"--proxy-protocol={net}", listen=None, port=port, **handing_over(listener)
        )
    assert believed(server, PROXY)
    assert believed(server, PROXY, "127.0.0.3")
    assert not believed(server, PROXY, "127.0.0.4")
    assert not believed(server, "::1")


def admitted(server, client, name):
    """Wait until it is decided: its client is announced, or else it has ended."""
    announced = rf"^connected with {re.escape(name)} \("

    def decided():
        return clients.readable(client) or server.log.matching(announced)

    wait_until(decided, f"{name} to be admitted or refused")
    return not clients.readable(client)


@pytest.mark.parametrize("source", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"])
def test_a_client_has_its_share(behind, stay, source):
    """The third of one client is refused; nobody else, nor the proxy, is counted."""
    host = source.removeprefix("::ffff:")
    known, host = ("2001:db8::/64", f"[{host}]") if ":" in host else (host, host)
    server = behind("--max-per-source=2")

    def come(source, host, port):
        client = stay(introduced(server, line(source, port)))
        return client if admitted(server, client, f"{host}:{port}") else None

    direct = stay(server.connect(PROXY, source=OTHER))
    others = [come(f"203.0.113.{n}", f"203.0.113.{n}", 1000) for n in range(5)]
    one, two = (come(source, host, port) for port in (1001, 1002))
    assert come(source, host, 1003) is None
    server.wait_log(
        rf"^refused {re.escape(host)}:1003: 2 clients from {re.escape(known)} already$"
    )
    assert all(clients.served(client) for client in [direct, one, two, *others])
    server.wait_for_children(8)
    server.wait_status(active=8, accepted=9, refused=1, many=1, bytes=8)
    assert not server.log.matching(rf"^closed {re.escape(host)}:1003 ")
    one.close()
    ports = iter(range(2000, 3000))
    wait_until(lambda: come(source, host, next(ports)), "its turn")
    assert clients.served(two)


def test_its_share_is_one_whichever_way_it_comes(behind, stay):
    """Directly, by version 1 or by version 2."""
    server = behind("--max-per-source=2")
    assert clients.served(stay(server.connect(PROXY, source=OTHER)))
    second = stay(introduced(server, header(addresses(OTHER))))
    assert admitted(server, second, f"{OTHER}:50312")
    with server.connect(PROXY, source=OTHER) as client:
        assert not clients.served(client)
    with introduced(server, line(OTHER, 1003)) as client:
        assert not admitted(server, client, f"{OTHER}:1003")
    server.wait_status(active=2, accepted=3, refused=2, many=2, bytes=1)


def test_a_refused_client_is_not_announced(behind, stay):
    """Whenever its header comes."""
    server = behind("--max-per-source=1")
    first = stay(introduced(server, line()))
    assert admitted(server, first, NAME4)
    late = [stay(server.connect(PROXY)) for _ in range(20)]
    for number, client in enumerate(late):
        client.sendall(line(V4, 1000 + number))
        time.sleep(0.01)  # so that some come just before they would be announced
    for client in late:
        clients.assert_closed(client)
    server.wait_for_children(1)
    server.wait_status(active=1, accepted=21, refused=20, many=20)
    assert len(server.log.matching("^connected with ")) == 1, server.log.lines


def test_details_tell_that_a_client_was_refused(behind, stay):
    """And not that it was connected, and killed."""
    server = behind("--max-per-source=1", "--verbose")
    first = stay(introduced(server, line()))
    assert admitted(server, first, NAME4)
    clients.assert_closed(stay(introduced(server, line(V4, 1000))))
    peer = re.escape(f"{V4}:1000")
    server.wait_log(rf"^closed {peer} .*: 0 bytes in .* s, refused$")
    assert not server.log.matching(f"^connected with {peer} ")


def test_nobody_is_served_who_is_then_refused(behind):
    """However quick: the first word of a client waits until it may come."""
    server = behind("--rate=1")
    answered = 0
    for port in range(1000, 1100):
        with server.connect(PROXY) as client, contextlib.suppress(ConnectionResetError):
            client.sendall(line(V4, port) + b"x")
            client.shutdown(socket.SHUT_WR)
            answered += clients.receive_all(client) == b"x"
    server.wait_for_children(0)
    refused = 100 - answered
    assert refused > 50
    server.wait_status(accepted=100, refused=refused, fast=refused, bytes=answered)


def test_who_it_seemed_to_be_is_not_limited(behind, stay):
    """Connections of the proxy itself, and those that have yet to say whose they are."""
    server = behind("--max-per-source=1", "--rate=1")
    for _ in range(5):
        stay(server.connect(PROXY))
        assert clients.served(stay(introduced(server, GOOD["LOCAL"][0])))
    server.wait_status(active=10, accepted=10, bytes=5)


def test_a_client_may_come_so_often(behind, stay):
    """Of many at once some are refused, and of another client none; then it may."""
    server = behind("--rate=2")
    ports = iter(range(1000, 2000))

    def come(source, port):
        client = stay(introduced(server, line(source, port)))
        return admitted(server, client, f"{source}:{port}")

    with ThreadPoolExecutor(20) as pool:
        came = list(pool.map(lambda _: come(V4, next(ports)), range(20)))
    assert 2 <= sum(came) < 20
    assert come("192.0.2.8", 1000)
    server.wait_log(rf"^refused {V4}:\d+: more than 2 a second from {V4}$")
    wait_until(lambda: come(V4, next(ports)), "a token")


def test_it_is_announced_once_it_is_known(behind):
    """Not as the proxy, however long its header takes."""
    server = behind()
    with server.connect(PROXY) as client:
        client.sendall(header()[:20])
        server.wait_for_children(1)
        with server.connect(PROXY, source=OTHER) as other:
            server.child_of(other)  # it came later, and has its line
        client.sendall(header()[20:])
        server.wait_log(rf"^connected with {re.escape(NAME4)} \(pid \d+, 1 active\)$")
        assert not server.log.matching(re.escape(clients.name(client)))


@pytest.mark.parametrize("waits", ["for-all", "for-half"])
def test_a_stop_while_it_waits_for_the_header(behind, waits):
    """Not even an hour of grace holds it up."""
    server = behind("--grace=3600")
    with server.connect(PROXY) as client:
        if waits == "for-half":
            client.sendall(header()[:-1])
        server.wait_for_children(1)
        wait_until(lambda: unread(client) == 0, "the header to be read")
        assert server.stop() == 0
        clients.assert_closed(client)
    assert not server.log.matching("wrong|no PROXY header|killed")


@pytest.mark.parametrize("first", [b"", header()[:20]], ids=["all", "half"])
def test_what_was_received_is_still_echoed(behind, first):
    """Its child learns of the stop before it has read the header that is there."""
    data = random.randbytes(32 * KIB)
    server = behind()
    with server.connect(PROXY) as client:
        client.sendall(first)
        [child] = wait_until(server.children, "a child")
        wait_until(lambda: unread(client) == 0, "the first bytes to be read")
        with procfs.standing_still(child):
            client.sendall(header()[len(first) :] + data)
            wait_until(lambda: unread(client) > len(data), "echod's host to have it all")
            server.kill(signal.SIGTERM)
            wait_until(lambda: signal.SIGTERM in procfs.pending(child), "its signal")
        clients.assert_same(clients.receive_all(client), data)
    assert server.process.wait(DEADLINE) == 0
    server.wait_log(rf"^closed {re.escape(NAME4)} .*: {len(data)} bytes .*, drained$")


def test_a_client_of_a_proxy_is_drained(behind):
    """8 MiB, much of it still in the client's own kernel, when echod is stopped."""
    data = random.randbytes(8 * MIB)
    server = behind()
    with introduced(server, checked()) as client, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.sendall, data)
        received = bytearray(clients.receive(client, 64 * KIB))
        while not sending.done():
            received += client.recv(64 * KIB)
        server.kill(signal.SIGTERM)
        server.wait_log("^stopping: ")
        received += clients.receive_all(client)
    clients.assert_same(received, data)
    assert server.stop() == 0
    server.wait_log(rf"^closed {re.escape(NAME4)} .*: {len(data)} bytes .*, drained$")


def test_a_silent_client_of_a_proxy_is_idle(behind):
    """The time for the header has nothing to do with it: that may take longer."""
    server = behind("--idle-timeout=1")
    with server.connect(PROXY) as slow, introduced(server, line()) as silent:
        slow.sendall(header(addresses(V6), family=TCP6)[:20])
        assert clients.exchange(silent, b"x") == b"x"
        assert clients.receive_all(silent) == b""  # after a second and more
        server.wait_log(rf"^closed {re.escape(NAME4)} .*: 1 bytes in .* s, idle$")
        slow.sendall(header(addresses(V6), family=TCP6)[20:])
        assert clients.exchange(slow, b"x") == b"x"
        assert clients.receive_all(slow) == b""
    server.wait_log(rf"^closed {re.escape(NAME6)} .*: 1 bytes in .* s, idle$")


def mutilated(dice):
    """Something like a header, perhaps a good one."""
    head = bytearray(dice.choice([head for head, _ in GOOD.values() if len(head) < KIB]))
    for _ in range(dice.choice([0, 1, 1, 1, 2, 5])):
        at = dice.randrange(len(head))
        how = dice.randrange(4)
        if how == 0:
            head[at] = dice.randrange(256)
        elif how == 1:
            head[at] ^= 1 << dice.randrange(8)
        elif how == 2:
            head[at:at] = dice.randbytes(dice.randrange(4))
        else:
            del head[at : at + dice.randrange(1, 4)]
    return bytes(head) if dice.randrange(10) else dice.randbytes(dice.randrange(300))


def test_a_thousand_headers_at_random(behind):
    """Each comes to an end: what comes back is what is behind a header, or nothing."""
    dice = random.Random(862)
    server = behind("--max-clients=16")
    sent = [mutilated(dice) + dice.randbytes(dice.randrange(50)) for _ in range(1000)]

    def visit(data):
        with server.connect(PROXY) as client:
            try:
                return clients.transfer(client, [data])
            except (ConnectionResetError, BrokenPipeError):
                return None

    with ThreadPoolExecutor(16) as pool:
        received = list(pool.map(visit, sent))
    server.wait_for_children(0)
    for data, back in zip(sent, received):
        assert back is None or data.endswith(back)
    assert any(received) and not all(received)
    assert not server.log.matching("killed|exit status|system call")
    ended = len(server.log.matching(", a wrong PROXY header$|that is too long$"))
    echoed = sum(len(back) for back in received if back)
    server.wait_status(accepted=1000, refused=ended, header=ended, bytes=echoed)
