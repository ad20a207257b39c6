#!/usr/bin/python3
"""Measure two echods side by side, so often that a small difference shows.

    compare.py --programs build/release/tests/bench /tmp/old/echod build/release/echod
    compare.py --programs ... build/release/echod 'build/release/echod --udp --rate=1000000'

Each may be given options of its own.  Both are measured in each round, and who comes
first changes; the ratio is the median of the rounds' ratios, and with a probability of
95% the true one is in the interval.
"""

import argparse
import math
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path
from statistics import median

import bench
import measures
import peers
from proc import Failed

FIGURES = {"connections": ("cpu", "faults", "rate", "p50"), "trips": ("rate", "p50", "p99")}
HELPERS = ("-u", "--udp", "-m", "--metrics")  # an option of these starts a child


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commands", nargs=2, metavar="ECHOD", help="'ECHOD [OPTION]...'")
    parser.add_argument("--programs", required=True, type=Path, metavar="DIR", help="where load is")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="(15)")
    parser.add_argument(
        "--measures", default="connections,trips1,trips64,trips1000", metavar="NAME,..."
    )
    return parser.parse_args()


def peer_of(name, command):
    program, *options = shlex.split(command)
    return peers.Peer(
        name,
        os.path.abspath(program),
        lambda *how: [*peers.echod(*how), *options],
        helpers=sum(option.partition("=")[0] in HELPERS for option in options),
    )


def interval(ratios):
    """The lowest and the highest that the true median may be, at 95%, or all there is.

    Of n values it is below the k lowest if that many of n tossed coins show heads.
    """
    count = len(ratios)
    outside, below = 0, 0.0
    while (below := below + math.comb(count, outside) / 2**count) <= 0.025:
        outside += 1
    at = max(outside - 1, 0)
    ordered = sorted(ratios)
    return ordered[at], ordered[-1 - at]


def rounds(which, both, sizes, count, directory):
    """{measure: [(figures of the one, of the other)]}, of the rounds without a failure."""
    found = {measure.name: [] for measure in which}
    for number in range(count):
        for measure in which:
            pair = {}
            for peer in both if number % 2 == 0 else both[::-1]:
                try:
                    with peers.Server(peer, peer.program, directory / peer.name) as server:
                        pair[peer.name] = measure.run(server, sizes)
                except Failed as failure:
                    bench.say(f"round {number + 1}, {measure.name}, {peer.name}: {failure}")
            if len(pair) == 2:
                found[measure.name].append(tuple(pair[peer.name] for peer in both))
        bench.say(f"round {number + 1} of {count}")
    return found


def tell(found):
    print(f"{'':18}{'one':>11}{'other':>11}  other / one, at 95%")
    for measure, pairs in found.items():
        for figure in FIGURES[measure.rstrip("0123456789")]:
            told = [(one[figure], other[figure]) for one, other in pairs if one.get(figure)]
            if not told:
                continue
            one, other = (median(column) for column in zip(*told))
            ratios = [second / first for first, second in told]
            low, high = interval(ratios)
            print(
                f"{measure + ' ' + figure:18}{one:11.5g}{other:11.5g}"
                f"  {median(ratios):.3f} ({low:.3f} to {high:.3f})"
            )


def main():
    options = arguments()
    sizes = measures.Sizes(load=str(options.programs / "bench-load"))
    names = options.measures.split(",")
    which = [measure for measure in measures.all_measures(sizes) if measure.name in names]
    if unknown := set(names) - {measure.name for measure in which}:
        raise SystemExit(f"compare: no such measure: {', '.join(sorted(unknown))}")
    both = [peer_of(name, text) for name, text in zip(("one", "other"), options.commands)]
    bench.raise_limits()
    os.environ["LC_ALL"] = "C"
    signal.signal(signal.SIGTERM, bench.stop)
    peers.adopt_orphans()
    try:
        with tempfile.TemporaryDirectory(prefix="echod-compare-") as directory:
            tell(rounds(which, both, sizes, options.rounds, Path(directory)))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        peers.end_children()


if __name__ == "__main__":
    sys.exit(main())
