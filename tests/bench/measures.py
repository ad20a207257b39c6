"""The measures: each is a function that takes a running server and returns figures."""

import contextlib
import csv
import os
import re
import struct
import subprocess
from dataclasses import dataclass
from typing import Callable

import proc
from peers import HOST
from proc import Failed, Load, watched

MIB = 1 << 20

# With what redis-benchmark makes of it, 64 bytes.  An echo of a request, which is
# an array of strings, is a valid reply, too.
REQUEST = ["ECHO", "0123456789012345678901234567890123456789012"]
AT_ONCE = 16  # clients that connect at the same time
LEVELS = (1, 100, 1000, 10000)  # clients that are connected already

OUTSTANDING = 64  # datagrams that are under way; any socket has room for so many


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    load: str  # the path of load
    connections: int = 4000
    lone: int = 500
    trips: tuple = ((1, 15000), (64, 60000), (1000, 40000))
    seconds: float = 1.5
    burst: int = 4000
    levels: tuple = LEVELS
    per_level: int = 2000
    datagrams: tuple = (64, 1400)  # bytes in each
    flood: int = 2  # seconds


def redis_benchmark(server, clients, requests, keep):
    """The rate per second and, in milliseconds, the percentiles."""
    out = watched(
        ["redis-benchmark", "-h", HOST, "-p", str(server.port), "-c", str(clients)]
        + ["-n", str(requests), "-k", str(int(keep)), "--csv", "--precision", "3", *REQUEST]
    )
    row = next(csv.DictReader(out[out.find('"test"') :].splitlines()), None)
    if row is None:
        raise Failed("redis-benchmark tells nothing")
    return {
        "rate": float(row["rps"]),
        "p50": float(row["p50_latency_ms"]),
        "p99": float(row["p99_latency_ms"]),
    }


def cost(server, count, held=0):
    """Microseconds of the server's processor time for a connection, and the rate."""
    before = server.cpu()
    rate = redis_benchmark(server, AT_ONCE, count, keep=False)["rate"]
    server.wait_for_children(held)
    # One more connection: it asks for the configuration first.
    return (server.cpu() - before) / (count + 1) * 1e6, rate


def connections(server, sizes):
    """Connect, ask, get the answer, leave: 16 clients at once, then a single one.

    The rate is from redis-benchmark; its clock starts only when a connection is
    there, so the percentiles, of one client alone, are from load.
    """
    spent, rate = cost(server, sizes.connections)
    faults = proc.child_faults(server.pid)
    with Load(sizes.load, server.port) as load:
        lone = load("churn", sizes.lone, 1)
    if lone["served"] < sizes.lone:
        raise Failed(f"served {lone['served']:.0f} of {sizes.lone}")
    server.wait_for_children(0)
    figures = {"cpu": spent, "rate": rate, "p50": lone["p50"] * 1e3, "p99": lone["p99"] * 1e3}
    if server.peer.forks:
        figures["faults"] = (proc.child_faults(server.pid) - faults) / sizes.lone
    return figures


def trips(clients, requests):
    """Round trips of clients that stay connected."""
    return lambda server, _: redis_benchmark(server, clients, requests, keep=True)


def bulk(clients):
    """Clients that write as much as they can, and read it at the same time."""

    def measure(server, sizes):
        before = server.cpu()
        with Load(sizes.load, server.port) as load:
            answer = load("bulk", clients, sizes.seconds)
        if answer["stalled"]:
            raise proc.Stalled
        server.wait_for_children(0)
        spent = server.cpu() - before
        mib = answer["bytes"] / MIB
        return {"rate": mib / answer["seconds"], "cpu": spent / mib * 1e6}

    return measure


def crowd(server, sizes):
    """More and more clients that stay: what each costs, and what one more does."""
    figures = {"refused": 0, "late": 0, "seconds": 0}
    seated = 0
    proc.forget_the_past()
    start, begun = proc.settled(), proc.accounted()
    with Load(sizes.load, server.port) as load:
        for level in sizes.levels:
            used = start - proc.available()
            if seated >= 100 and used / seated * level > 0.8 * start:
                figures["note"] = f"memory for {level} clients is not there"
                break
            answer = load("seat", level - seated, min(64, level - seated))
            seated = level
            for key in ("refused", "late", "seconds"):
                figures[key] += answer[key]
            if answer["refused"] or answer["late"]:
                break
            if level >= 1000:  # of few, it is lost in the noise
                figures["memory"] = (start - proc.settled()) / level
                figures["accounted"] = (proc.accounted() - begun) / level
            held = server.children()
            figures[f"cost{level}"], _ = cost(server, sizes.per_level, held)
        figures["served"] = load("ask", 64)["served"]
    figures["unserved"] = sizes.levels[-1] - figures["served"]
    if figures["unserved"]:
        figures.pop("seconds")  # of others than all: no figure
    return figures


def burst(server, sizes):
    """Clients that all connect at the same time."""
    with Load(sizes.load, server.port) as load:
        answer = load("seat", sizes.burst, sizes.burst)
    figures = {key: answer[key] for key in ("prompt", "served", "refused", "late")}
    return figures | {"unserved": sizes.burst - answer["served"]}


def number_after(text, words):
    found = re.search(rf"{words}:?\s+([\d.]+)", text)
    if found is None:
        raise Failed(f"no '{words}' is told")
    return float(found[1])


def window(size):
    """Datagrams, of which so many are under way all the time, by dnsperf.

    An echo of a query is a valid reply to it: it has its number.
    """

    def measure(server, sizes):
        # As they go through TCP: the length comes first.  No code of an error is in it.
        query = server.directory / "query"
        query.write_bytes(struct.pack(">H", size) + bytes(12) + b"." * (size - 12))
        before = server.cpu()
        out = watched(
            ["dnsperf", "-s", server.host, "-p", str(server.port), "-B", "-d", str(query)]
            + ["-c", str(AT_ONCE), "-q", str(OUTSTANDING), "-l", str(sizes.seconds), "-t", "1"]
        )
        spent = server.cpu() - before
        sent, answered = (number_after(out, f"Queries {what}") for what in ("sent", "completed"))
        if not answered:
            raise Failed("answers nothing")
        if f"request {size}, response {size}\n" not in out:
            raise Failed("answers of another size")
        return {
            "rate": number_after(out, "Queries per second"),
            "cpu": spent / answered * 1e6,
            "lost": (1 - answered / sent) * 100,
        }

    return measure


@contextlib.contextmanager
def busy(processor):
    """Somebody else wants all of a processor, and so gets half of it."""
    with subprocess.Popen(
        ["taskset", "-c", str(processor), "sh", "-c", "while :; do :; done"]
    ) as other:
        try:
            yield
        finally:
            other.kill()


def flood(size):
    """Datagrams as fast as sockperf sends them, whatever becomes of them.

    sockperf has a processor, and the server half of the other: so it always has more to
    do than it can, and how many it answers in a second of its processor time tells what
    it can, not what the generator can.
    """

    def measure(server, sizes):
        processors = sorted(os.sched_getaffinity(0))
        if len(processors) < 2:
            raise Failed("needs two processors")
        server.pin(processors[1])
        before, spent = proc.datagrams(), server.cpu()
        with busy(processors[1]):
            out = watched(
                ["taskset", "-c", str(processors[0])]
                + ["sockperf", "throughput", "-i", server.host, "-p", str(server.port)]
                + ["-m", str(size), "-t", str(sizes.flood)]
            )
        spent = server.cpu() - spent
        counted = {name: number - before[name] for name, number in proc.datagrams().items()}
        sent, seconds = number_after(out, "Total of"), number_after(out, "sent in")
        # Requests are received, or dropped for want of room.  sockperf reads no
        # answers: those that its socket has no room for are dropped, too.
        answered = counted["InDatagrams"] + counted["RcvbufErrors"] - sent
        if answered <= 0 or spent <= 0:
            raise Failed("answers nothing")
        return {
            "cpu": spent / answered * 1e6,
            "capacity": answered / spent,
            "rate": answered / seconds,
            "lost": (1 - answered / sent) * 100,
        }

    return measure


@dataclass(frozen=True)
class Measure:
    name: str
    run: Callable
    datagrams: bool = False  # for who serves UDP
    # Some peers need minutes: in every other round, and after the first one only
    # for those that the bar is about.
    heavy: bool = False


def all_measures(sizes):
    return [
        Measure("connections", connections),
        *(Measure(f"trips{clients}", trips(clients, count)) for clients, count in sizes.trips),
        Measure("bulk1", bulk(1)),
        Measure("bulk8", bulk(8)),
        Measure("burst", burst),
        Measure("crowd", crowd, heavy=True),
        *(Measure(f"window{size}", window(size), datagrams=True) for size in sizes.datagrams),
        *(Measure(f"flood{size}", flood(size), datagrams=True) for size in sizes.datagrams),
    ]
