"""What the tests do as clients."""

import contextlib
import select
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

from waiting import DEADLINE

KIB = 1024
MIB = 1024 * KIB


def connect(host, port, receive_buffer=None, source=None):
    """A connected socket, as small a receiver and from where it is said."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = addresses[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(DEADLINE)
        if receive_buffer is not None:  # before connect(2): it sets the window
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            sock.bind((source, 0))
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def name(sock):
    """A client as echod writes it in its log."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def receive(sock, size):
    """size bytes, or fewer if the stream ends before."""
    data = bytearray()
    while len(data) < size and (part := sock.recv(min(size - len(data), 64 * KIB))):
        data += part
    return bytes(data)


def receive_all(sock, at_once=64 * KIB):
    """Everything up to the end of file."""
    data = bytearray()
    while part := sock.recv(at_once):
        data += part
    return bytes(data)


def exchange(sock, data):
    """Send a little, and return as much as comes back."""
    sock.sendall(data)
    return receive(sock, len(data))


def served(sock, data=b"x"):
    """Whether what it sends comes back, or the connection is closed instead."""
    try:
        return exchange(sock, data) == data
    except (ConnectionResetError, BrokenPipeError):
        return False


def assert_closed(sock):
    """The end of the connection, whatever it is like: nothing comes before it."""
    with contextlib.suppress(ConnectionResetError):  # of what nobody read
        data = receive_all(sock)
        assert data == b"", data


def transfer(sock, pieces, at_once=64 * KIB):
    """Send pieces while reading, half-close, and return all that comes back."""

    def send():
        for piece in pieces:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        received = receive_all(sock, at_once)
        sent.result()
    return received


def send_until_blocked(sock, data, seconds=0.2):
    """Send without reading until nothing was taken for so long; how much went."""
    sent = 0
    sock.setblocking(False)
    while sent < len(data) and select.select([], [sock], [], seconds)[1]:
        sent += sock.send(data[sent : sent + 64 * KIB])
    sock.settimeout(DEADLINE)
    assert sent < len(data), "all of it was taken though nobody reads"
    return sent


def readable(sock, seconds=0.0):
    return bool(select.select([sock], [], [], seconds)[0])


def reset(sock):
    """Break the connection off with a RST."""
    linger = struct.pack("ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    sock.close()


def assert_same(received, sent):
    """Compare what is too long for pytest to explain."""
    if received == sent:
        return
    pairs = enumerate(zip(received, sent))
    at = next((i for i, (a, b) in pairs if a != b), min(len(received), len(sent)))
    raise AssertionError(
        f"{len(received)} bytes of {len(sent)}, different from byte {at} on"
    )


def datagram_socket(host, port, source=None):
    """A UDP socket that is connected to there, from where and which port it is said."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = addresses[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(DEADLINE)
        if source is not None:
            sock.bind(source)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def exchange_datagram(sock, data):
    """Send it, and return the next one that comes."""
    sock.send(data)
    return sock.recv(64 * KIB)


def receive_datagrams(sock):
    """All that are there."""
    datagrams = []
    while readable(sock):
        datagrams.append(sock.recv(64 * KIB))
    return datagrams
