"""The measures: each is a function that takes a running server and returns figures."""

import csv
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
    before = proc.cpu(server.pid)
    rate = redis_benchmark(server, AT_ONCE, count, keep=False)["rate"]
    server.wait_for_children(held)
    # One more connection: it asks for the configuration first.
    return (proc.cpu(server.pid) - before) / (count + 1) * 1e6, rate


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
        before = proc.cpu(server.pid)
        with Load(sizes.load, server.port) as load:
            answer = load("bulk", clients, sizes.seconds)
        if answer["stalled"]:
            raise proc.Stalled
        server.wait_for_children(0)
        spent = proc.cpu(server.pid) - before
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
            held = len(proc.children(server.pid))
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


@dataclass(frozen=True)
class Measure:
    name: str
    run: Callable
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
    ]
