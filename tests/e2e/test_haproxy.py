"""Two hosts behind a load balancer: HAProxy, as systemd/examples/haproxy.cfg has it."""

import contextlib
import os
import random
import re
import selectors
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import clients
from clients import KIB, MIB
from echod import LOOPBACK
from haproxy import BALANCER, EXAMPLE, HAPROXY, SOURCE_IPV6, SOURCES
from waiting import DEADLINE, wait_until

CROWD = 500
QUICK = {"inter 1s": "inter 300ms"}  # the checks; three that are late take a host out
IMPATIENT = QUICK | {
    "timeout connect 2s": "timeout connect 1s",
    "srvtcpka-idle 10s": "srvtcpka-idle 1s",
    "srvtcpka-intvl 3s": "srvtcpka-intvl 1s",
    "srvtcpka-cnt 3": "srvtcpka-cnt 1",
}

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="needs Debian's package haproxy")


def test_the_example_is_flawless():
    words = [HAPROXY, "-c", "-f", EXAMPLE]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0
    assert (result.stdout, result.stderr) == ("Configuration file is valid\n", "")


class Visit:
    """A client's connection: some questions, each after the last one's answer."""

    DATA = random.Random(7).randbytes(64 * KIB)

    def __init__(self, source):
        self.started = time.monotonic()
        self.error = None
        self._questions = random.randrange(1, 6)
        self._due = None  # of the answer
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.bind((source, 0))
        self.sock.connect_ex((BALANCER, 7))

    def go_on(self):
        """Do what can be done now; whether it was the last thing to do."""
        try:
            if self._due is None:  # now it is connected
                self._ask()
                return False
            data = self.sock.recv(64 * KIB)
            if not data:
                if self._due or self._questions:
                    self.error = "ended early"
                return True
            if not self._due.startswith(data):
                self.error = "wrong bytes"
                return True
            self._due = self._due[len(data) :]
            if not self._due:
                self._ask()
        except OSError as error:
            self.error = error.strerror
            return True
        return False

    def _ask(self):
        if self._questions == 0:
            self._due = b""
            self.sock.shutdown(socket.SHUT_WR)
            return
        self._questions -= 1
        at = random.randrange(len(self.DATA) - 4 * KIB)
        self._due = self.DATA[at : at + random.randrange(1, 4 * KIB)]
        assert self.sock.send(self._due) == len(self._due)


class Crowd:
    """Clients that come, ask and go, and come again; a context."""

    def __init__(self, site):
        self.visits = []  # that are over
        self._site = site
        self._stopping = threading.Event()

    def __enter__(self):
        self._pool = ThreadPoolExecutor(1)
        self._run = self._pool.submit(self._serve)
        try:
            self.wait_for(CROWD)  # all are there
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._stopping.set()
        with self._pool:
            self._run.result()

    def _serve(self):
        with self._site.hosts["clients"].inside(), selectors.DefaultSelector() as those:

            def come(source):
                visit = Visit(source)
                those.register(visit.sock, selectors.EVENT_WRITE, (visit, source))

            def leave(visit):
                those.unregister(visit.sock)
                visit.sock.close()
                self.visits.append(visit)

            for number in range(CROWD):
                come(SOURCES[number % len(SOURCES)])
            while those.get_map():
                ready = those.select(DEADLINE)
                if not ready:
                    for visit, _ in [key.data for key in those.get_map().values()]:
                        visit.error = "hangs"
                        leave(visit)
                for key, events in ready:
                    visit, source = key.data
                    if visit.go_on():
                        leave(visit)
                        if not self._stopping.is_set():
                            come(source)
                    elif events & selectors.EVENT_WRITE:
                        those.modify(visit.sock, selectors.EVENT_READ, key.data)

    def wait_for(self, count):
        """Wait until so many have come, from now on, and have got all that was theirs."""
        now, known = time.monotonic(), len(self.visits)

        def enough():
            assert not self._run.done(), self._run.result()
            new = self.visits[known:]
            return sum(v.started > now and not v.error for v in new) >= count

        wait_until(enough, f"{count} visits")

    def errors(self, since=0.0):
        return [v.error for v in self.visits if v.error and v.started > since]


def test_the_log_is_about_the_clients(site):
    """Each is named as it is, on the one host or the other; nobody else is."""
    servers = site.start_both()
    names = set()
    with site.balancer(QUICK):
        for source in SOURCES + [SOURCE_IPV6] * ("::1" in LOOPBACK):
            with site.connect(source) as client:
                assert clients.exchange(client, b"hello") == b"hello"
                names.add(clients.name(client))
                site.where(client)
    for server in servers:
        assert server.stop() == 0
    lines = [line for server in servers for line in server.log.lines]
    for what in ("connected with", "closed"):
        found = [re.match(rf"{what} (\S+) \(pid", line) for line in lines]
        assert {match[1] for match in found if match} == names
    assert [line for line in lines if re.search(rf"\b{re.escape(BALANCER)}\b", line)] == []


def test_the_checks_log_nothing(site):
    server, other = site.start_both()
    with site.balancer(QUICK) as balancer:
        wait_until(lambda: server.status()["accepted"] >= 10, "ten checks")
        assert balancer.stat("east", "chkfail") == "0"
    for each in (server, other):
        each.wait_for_children(0)  # of the last check
        assert each.stop() == 0
        rest = [line for line in each.log.lines if not line.startswith("status: ")]
        assert [line.split()[0] for line in rest] == ["listening", "stopped"], rest


def test_nc_gets_it_all_back(site):
    """It closes its side after the last byte, which may be before the first comes back."""
    if shutil.which("nc.openbsd") is None:
        pytest.skip("needs Debian's package netcat-openbsd")
    words = ["nc.openbsd", "-N", BALANCER, "7"]
    site.start_both()
    with site.balancer(), site.hosts["clients"].inside():
        for size in (0, 1, 64 * KIB, 16 * MIB):
            data = random.randbytes(size)
            result = subprocess.run(words, input=data, capture_output=True, timeout=DEADLINE)
            clients.assert_same(result.stdout, data)


def test_who_reads_late_gets_it_all_back(site):
    """It has closed its side, and reads nothing until all buffers are full."""
    data = random.randbytes(64 * MIB)
    site.start_both()
    with site.balancer(), site.connect(receive_buffer=4 * KIB) as client:
        sent = clients.send_until_blocked(client, data)
        client.shutdown(socket.SHUT_WR)
        clients.assert_same(clients.receive_all(client), data[:sent])


def test_a_source_has_its_share_on_each_host(site):
    """Each echod counts for itself, but the clients and not the balancer."""
    site.start_both("--max-per-source=2")
    with site.balancer(), contextlib.ExitStack() as stack:
        for source in SOURCES[:2]:
            places = []
            for _ in range(4):
                client = stack.enter_context(site.connect(source))
                assert clients.exchange(client, b"x") == b"x"
                places.append(site.where(client))
            assert sorted(places) == ["east", "east", "west", "west"]
            with site.connect(source) as client:
                client.sendall(b"x")
                clients.assert_closed(client)

            def refused():
                pattern = rf"^refused {source}:\d+: 2 clients from {source} already$"
                return any(s.log.matching(pattern) for s in site.servers.values())

            wait_until(refused, "the refusal in a log")


def test_a_host_is_taken_out_and_comes_back(site, plenty_of_descriptors):
    """Among 500 clients nobody loses a byte, and nobody is not served."""
    east, _ = site.start_both("--grace=20")
    with site.balancer() as balancer, contextlib.ExitStack() as stack:
        staying = {"east": [], "west": []}
        for _ in range(6):
            client = stack.enter_context(site.connect(receive_buffer=64 * KIB))
            assert clients.exchange(client, b"before") == b"before"
            staying[site.where(client)].append(client)
        late = staying["east"][0]
        data = random.randbytes(64 * MIB)
        sent = clients.send_until_blocked(late, data)

        with Crowd(site) as crowd:
            balancer.tell("set server echo/east state drain")
            left = f"{len(staying['east'])}"
            wait_until(lambda: balancer.stat("east", "scur") == left, "visits to end")
            crowd.wait_for(CROWD)
            east.kill(signal.SIGTERM)
            received = clients.receive_all(late)
            for client in staying["east"]:
                assert clients.receive_all(client) == b""
            assert east.process.wait(DEADLINE) == 0
            crowd.wait_for(CROWD)
            site.start("east")
            balancer.tell("set server echo/east state ready")
            wait_until(lambda: int(balancer.stat("east", "scur")) > CROWD / 4, "visits")
            crowd.wait_for(CROWD)

        clients.assert_same(received, data[:sent])
        for client in staying["west"]:
            assert clients.exchange(client, b"after") == b"after"
    assert crowd.errors() == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["crashes", "stops"])
def test_a_host_that_goes_costs_nobody_who_comes(site, plenty_of_descriptors, how):
    """Of 500 clients; the checks need not have found out, and nobody has told HAProxy."""
    _, west = site.start_both("--quiet", "--grace=1")
    with site.balancer() as balancer, Crowd(site) as crowd:
        if how == signal.SIGKILL:
            os.killpg(west.pid, how)
            west.process.wait(DEADLINE)
        else:
            west.kill(how)
            wait_until(lambda: west.title() == "echod: stopping", "west to stop")
        gone = time.monotonic()
        crowd.wait_for(2 * CROWD)
        assert int(balancer.stat("west", "wredis")) > 0
        assert west.stop(how) == (-how if how == signal.SIGKILL else 0)
        site.start("west", "--quiet")
        wait_until(lambda: int(balancer.stat("west", "scur")) > CROWD / 4, "visits")
    assert crowd.errors(since=gone) == []


def test_a_host_that_vanishes_holds_nobody(site):
    """Its cable is pulled: who is on it is told, and who comes is served by the other."""
    site.start_both("--grace=0")
    with site.balancer(IMPATIENT) as balancer, contextlib.ExitStack() as stack:
        there = {}
        for _ in range(2):
            client = stack.enter_context(site.connect())
            assert clients.exchange(client, b"before") == b"before"
            there[site.where(client)] = client
        site.hosts["west"].ip("link", "set", "balancer", "down")

        def visit():
            with site.connect() as client:
                return [clients.exchange(client, word) for word in (b"one", b"two")]

        # Those that come before the checks find out wait for the one after them.
        visits = []
        with ThreadPoolExecutor(20) as pool:
            while balancer.stat("west", "status") != "DOWN" or len(visits) < 20:
                visits.append(pool.submit(visit))
                time.sleep(0.05)
            for each in visits:
                assert each.result() == [b"one", b"two"]
        assert int(balancer.stat("west", "wredis")) > 0
        assert clients.receive_all(there["west"]) == b""
        assert clients.exchange(there["east"], b"after") == b"after"
