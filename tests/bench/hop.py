"""What a hop through HAProxy costs: direct and behind it by turns, in one run.

    ECHOD=build/release/echod /usr/bin/python3 -m pytest -q -s tests/bench/hop.py

The hosts are network namespaces, HAProxy has the example's configuration; needs root.
"""

import csv
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1] / "e2e"))

from conftest import *  # noqa: E402,F403, its fixtures and its plugins
from haproxy import BALANCER, EAST, SOURCES  # noqa: E402
from proc import cpu  # noqa: E402

ROUNDS = 5
REQUEST = ["ECHO", "0123456789012345678901234567890123456789012"]  # as in measures.py
BULK = 256  # MiB


def redis_benchmark(host, clients, requests, keep):
    """How many per second."""
    command = ["redis-benchmark", "-h", host, "-p", "7", "-c", str(clients), "--csv"]
    command += ["-n", str(requests), "-k", str(int(keep)), *REQUEST]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(next(csv.DictReader(out[out.find('"test"') :].splitlines()))["rps"])


def bulk(host):
    """MiB per second there and back."""
    start = time.monotonic()
    command = f"head -c {BULK}M /dev/zero | nc -N {host} 7 >/dev/null"
    subprocess.run(command, shell=True, check=True)
    return BULK / (time.monotonic() - start)


def test_what_a_hop_costs(site):
    east, _ = (site.start(name, "--quiet") for name in ("east", "west"))
    visitors, host = site.hosts["clients"], site.hosts["east"]
    visitors.plug(host)  # past the balancer
    visitors.ip("route", "add", EAST, "dev", "east")
    for source in SOURCES:
        host.ip("route", "add", source, "dev", "clients")
    figures = {}
    with site.balancer() as balancer, visitors.inside():
        balancer.tell("set server echo/west state maint")
        for _ in range(ROUNDS):
            for way, where in ("direct", EAST), ("by HAProxy", BALANCER):
                before = cpu(east.pid), cpu(balancer.process.pid)
                redis_benchmark(where, 16, 6000, keep=False)
                east.wait_for_children(0)
                after = cpu(east.pid), cpu(balancer.process.pid)
                row = {
                    "echod, us a connection": (after[0] - before[0]) / 6001 * 1e6,
                    "HAProxy, us a connection": (after[1] - before[1]) / 6001 * 1e6,
                    "round trips/s, 1 client": redis_benchmark(where, 1, 15000, keep=True),
                    "round trips/s, 64 clients": redis_benchmark(where, 64, 60000, keep=True),
                    "bulk, MiB/s": bulk(where),
                }
                for name, value in row.items():
                    figures.setdefault(name, {}).setdefault(way, []).append(value)
    print()
    for name, ways in figures.items():
        direct, hop = (median(ways[way]) for way in ("direct", "by HAProxy"))
        ratio = f", {hop / direct:.2f} times" if direct else ""
        print(f"{name}: {direct:.0f} direct, {hop:.0f} by HAProxy{ratio}")
