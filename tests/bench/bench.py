#!/usr/bin/python3
"""Measure echod and its peers, side by side, and say what the figures are worth.

    cmake --build --preset release --target bench
    cmake --build --preset release --target bench-smoke

build what this needs and run it.  All servers take turns in each round, so that what
else the machine does hits all of them; figures are medians of the rounds.  The results
are in build/bench: results.md, charts, and results.json for report.py.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import measures
import namespace
import peers
import report
import smoke
from proc import Failed

TOOLS = {"redis-benchmark": "redis-tools", "gnuplot": "gnuplot-nox"}
DATAGRAM_TOOLS = {"dnsperf": "dnsperf", "sockperf": "sockperf"}
SMOKE_TOOLS = {"strace": "strace"}
COMPARED = [*peers.ECHOD.values(), peers.FLOOR, "socat"]  # for heavy measures
SMOKE_SIZES = {
    "connections": 200,
    "lone": 100,
    "trips": ((1, 1000), (64, 4000)),
    "seconds": 0.5,
    "burst": 200,
    "levels": (1, 100),
    "per_level": 100,
    "flood": 1,
}


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--release", required=True, metavar="ECHOD", help="the dynamic echod")
    parser.add_argument("--static", required=True, metavar="ECHOD", help="the static echod")
    parser.add_argument(
        "--programs", required=True, type=Path, metavar="DIR", help="where floor, load and loop are"
    )
    parser.add_argument("--output", type=Path, default="build/bench", metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(5)")
    parser.add_argument("--only", default="", metavar="WORD,...", help="servers whose name has it")
    parser.add_argument("--measures", default="", metavar="NAME,...", help="only these")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the bench itself")
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="small sizes, then fail if a bound of smoke.py is passed",
    )
    return parser.parse_args()


def chosen(options, sizes):
    """What to measure, and whom."""
    words = [word for word in options.only.split(",") if word]
    names = [name for name in options.measures.split(",") if name]
    everything = measures.all_measures(sizes)
    if unknown := set(names) - {measure.name for measure in everything}:
        raise SystemExit(f"bench: no such measure: {', '.join(sorted(unknown))}")
    if not namespace.possible():
        say("bench: no datagrams: that needs root, and Debian's package iproute2")
        everything = [measure for measure in everything if not measure.datagrams]
    return (
        [measure for measure in everything if not names or measure.name in names],
        [peer for peer in peers.PEERS if not words or any(word in peer.name for word in words)],
    )


def find_all(measured, which, options):
    """The paths of the peers' programs; says which packages are missing."""
    own = {name: str(options.programs / name) for name in ("bench-floor", "bench-loop")}
    own |= {"static": options.static, "release": options.release}
    programs = {peer.name: peers.find(peer, own, options.output / "packages") for peer in which}
    tools = TOOLS | (SMOKE_TOOLS if options.smoke else {})
    if any(measure.datagrams for measure in measured):
        tools |= DATAGRAM_TOOLS
    lacking = [package for tool, package in tools.items() if shutil.which(tool) is None]
    missing = [peer.package for peer in which if peer.package and not programs[peer.name]]
    if lacking or missing:
        say(f"bench: not installed; this helps: apt-get install {' '.join(lacking + missing)}")
    if "libuv1-dev" in missing:
        say("bench: and after libuv1-dev: cmake --preset release")
    if lacking:
        raise SystemExit(1)
    return programs


def raise_limits():
    """Descriptors for 10,000 clients, and processes."""
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (hard, hard))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 12000:
        say("bench: ulimit -Hn is under 12000: not all clients will find a descriptor")


def plan(which, whom, rounds):
    """(round, measure, peer), so that the servers take turns."""
    for number in range(rounds):
        for measure in which:
            if measure.heavy and number % 2 == 1:
                continue
            able = [peer for peer in whom if not measure.datagrams or peer.datagrams]
            # Nobody is always the first, or always after the same one.
            at = number * 3 % len(able) if able else 0
            for peer in able[at:] + able[:at]:
                if number == 0 or not measure.heavy or peer.name in COMPARED:
                    yield number, measure, peer


def brief(figures):
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures.items()
    )


def measure_all(which, whom, programs, options, sizes):
    """{measure: {server: {"figures": [...], "problems": [...]}}}"""
    results = {measure.name: {} for measure in which}
    steps = list(plan(which, whom, options.rounds))
    start = time.monotonic()
    for done, (number, measure, peer) in enumerate(steps):
        cell = results[measure.name].setdefault(peer.name, {"figures": [], "problems": []})
        seconds = time.monotonic() - start
        left = f", {seconds / done * (len(steps) - done) / 60:.0f} min left" if done > 9 else ""
        label = (
            f"[{done + 1}/{len(steps)}, {seconds / 60:.1f} min{left}] "
            f"round {number + 1}/{options.rounds}, {measure.name}, {peer.name}"
        )
        if programs[peer.name] is None:
            cell["problems"] = ["not installed" if peer.package else "not built"]
            continue
        if cell["problems"].count("stalled") == 2:
            continue  # it will again, and take its time
        directory = options.output / "servers" / peer.program
        place = namespace.alone() if measure.datagrams else contextlib.nullcontext()
        kind = peers.DatagramServer if measure.datagrams else peers.Server
        try:
            with place, kind(peer, programs[peer.name], directory) as server:
                figures = measure.run(server, sizes)
            cell["figures"].append(figures)
            say(f"{label}: {brief(figures)}")
        except Failed as failure:
            cell["problems"].append(str(failure))
            say(f"{label}: {failure}")
    return results


def stop(number, _):
    raise SystemExit(128 + number)


def main():
    options = arguments()
    options.output = options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    small = SMOKE_SIZES if options.smoke or options.quick else {}
    sizes = measures.Sizes(load=str(options.programs / "bench-load"), **small)
    if options.smoke:
        options.rounds = 1
    which, whom = chosen(options, sizes)
    programs = find_all(which, whom, options)
    raise_limits()
    os.environ["LC_ALL"] = "C"
    signal.signal(signal.SIGTERM, stop)
    peers.adopt_orphans()
    try:
        results = measure_all(which, whom, programs, options, sizes)
        wrong = smoke.check(whom, programs, options.output, sizes) if options.smoke else []
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        peers.end_children()
    everything = {
        "machine": report.machine(options.output / "packages"),
        "rounds": options.rounds,
        "small": bool(small),
        "servers": [peer.name for peer in whom],
        "results": results,
    }
    (options.output / "results.json").write_text(json.dumps(everything, indent=1))
    report.write(everything, options.output)
    if options.smoke:
        wrong += [
            f"{measure}, {name}: {problem}"
            for measure, cells in results.items()
            for name in (*peers.ECHOD.values(), peers.ALL_ON, peers.FLOOR)
            for problem in cells.get(name, {"problems": []})["problems"]
        ]
    elif not small:
        print(report.bar(everything), report.beside(everything), sep="\n\n")
    print(f"bench: {options.output}/results.md has the results")
    for what in wrong:
        print(f"bench: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
