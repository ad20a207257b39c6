#!/usr/bin/python3
"""The results as Markdown, and as charts by gnuplot.

report.py results.json: write them again, beside it.
"""

import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median

import peers
from peers import ALL_ON, ECHOD, FLOOR, PEERS

STATIC, RELEASE = ECHOD["static"], ECHOD["release"]

# (title, [(heading, "measure.figure", digits)])
TABLES = [
    (
        "Connections: connect, send 64 bytes, get them back, leave",
        [
            ("CPU µs", "connections.cpu", 0),
            ("page faults of a child", "connections.faults", 1),
            ("connections/s", "connections.rate", 0),
            ("p50 ms", "connections.p50", 2),
            ("p99 ms", "connections.p99", 2),
        ],
    ),
    (
        "Round trips of 64 bytes",
        [
            (f"{clients} {heading}", f"trips{clients}.{figure}", digits)
            for clients in (1, 64, 1000)
            for heading, figure, digits in (
                ("/s", "rate", 0),
                ("p50 ms", "p50", 2),
                ("p99 ms", "p99", 2),
            )
        ],
    ),
    (
        "Bulk: clients write and read at once",
        [
            ("1 client MiB/s", "bulk1.rate", 0),
            ("CPU µs/MiB", "bulk1.cpu", 0),
            ("8 clients MiB/s", "bulk8.rate", 0),
            ("CPU µs/MiB", "bulk8.cpu", 0),
        ],
    ),
    (
        "Clients that stay, up to 10,000",
        [
            ("KiB for each", "crowd.memory", 1),
            ("KiB accounted for", "crowd.accounted", 1),
            ("seconds to seat all", "crowd.seconds", 2),
            ("served at once", "crowd.served", 0),
            ("refused", "crowd.refused", 0),
            ("late", "crowd.late", 0),
            *(
                (f"CPU µs for one more at {level:,}", f"crowd.cost{level}", 0)
                for level in (1, 100, 1000, 10000)
            ),
        ],
    ),
    (
        "4,000 clients that connect at once",
        [
            ("served within 1 s", "burst.prompt", 0),
            ("served", "burst.served", 0),
            ("refused", "burst.refused", 0),
            ("timed out", "burst.late", 0),
        ],
    ),
    (
        "Datagrams of 64 and 1,400 bytes, 64 of them under way",
        [
            (f"{size:,} bytes: {heading}", f"window{size}.{figure}", digits)
            for size in (64, 1400)
            for heading, figure, digits in (
                ("CPU µs", "cpu", 2),
                ("/s", "rate", 0),
                ("lost %", "lost", 2),
            )
        ],
    ),
    (
        "The same, more than can be answered",
        [
            (f"{size:,} bytes: {heading}", f"flood{size}.{figure}", digits)
            for size in (64, 1400)
            for heading, figure, digits in (
                ("CPU µs", "cpu", 2),
                ("answers per CPU s", "capacity", 0),
                ("lost %", "lost", 0),
            )
        ],
    ),
]

LEGEND = """\
CPU is the server's processor time, user and system, of the process and the children it has reaped;
it includes what the kernel does for its sockets, and not the clients. The rates are of 16
clients at once, by redis-benchmark; p50 and p99 of connections are of one client alone, from
connect(2) to close(2). Memory is what MemAvailable loses for each client, its own socket
included, which depends on what the kernel keeps of the processes before; what is accounted for
are AnonPages, Shmem, Slab, KernelStack and PageTables. Datagrams are from 16 sockets of dnsperf,
of which so many are under way all the time; lost are those without an answer within a second.
There dnsperf is slower than most servers, which then wake up for each few. So more than can be
answered are sent by sockperf, from one socket, and it reads none: it has a processor,
the server half of the other, and what is lost is what it could not do.
"All on" is echod with UDP, both limits, PROXY headers from others, and a file of metrics. A figure
is the median of the rounds, with the lowest and the highest in brackets; clients that stay are for
fewer rounds, and for most servers one.
Who did not answer for 5 seconds has stalled; who was not served then was late or timed out."""


# Figures


def values(everything, server, key):
    """The figures of all rounds."""
    measure, figure = key.split(".")
    cell = everything["results"].get(measure, {}).get(server, {})
    return [found[figure] for found in cell.get("figures", []) if figure in found]


def middle(everything, server, key):
    found = values(everything, server, key)
    return median(found) if found else None


def tried(everything, keys):
    """The servers that any of these was asked of."""
    results = [everything["results"].get(key.split(".")[0], {}) for key in keys]
    return [
        server for server in everything["servers"] if any(server in cells for cells in results)
    ]


def problems(everything, server, measure):
    return everything["results"].get(measure, {}).get(server, {}).get("problems", [])


# The table


def number(value, digits):
    return f"{value:,.{digits}f}"


def cell(everything, server, key, digits):
    found = values(everything, server, key)
    bad = problems(everything, server, key.split(".")[0])
    if not found:
        return "; ".join(sorted(set(bad))) or "–"
    text = number(median(found), digits)
    low, high = number(min(found), digits), number(max(found), digits)
    if low != high:
        text += f" ({low}–{high})"
    if bad:
        text += f"; {len(bad)} × {', '.join(sorted(set(bad)))}"
    return text


def markdown(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(everything):
    for title, columns in TABLES:
        rows = [
            [server, *(cell(everything, server, key, digits) for _, key, digits in columns)]
            for server in tried(everything, [key for _, key, _ in columns])
        ]
        if not rows:
            continue
        yield f"### {title}\n\n" + markdown(["", *(heading for heading, _, _ in columns)], rows)


# The bar

TRIPS = ("trips1.rate", "trips64.rate", "trips1000.rate")
BULK = ("bulk1.rate", "bulk8.rate")
SPENT = ("connections.cpu",)
MEMORY = ("crowd.memory",)
WINDOW = ("window64.cpu", "window1400.cpu")
FLOOD = ("flood64.capacity", "flood1400.capacity")

# (what, figures, against whom, the sense, the bounds of static and release)
BAR = [
    ("CPU per connection, against the floor", SPENT, FLOOR, "at most", (1.15, 1.45)),
    ("CPU per connection, against socat", SPENT, "socat", "at most", (0.29, 0.40)),
    ("page faults of a child", ("connections.faults",), None, "at most", (9, 13)),
    (
        "round trips at 1, 64, 1,000 clients, against the floor",
        TRIPS,
        FLOOR,
        "at least",
        (0.95, 0.90),
    ),
    ("round trips at 64, 1,000 clients, against socat", TRIPS[1:], "socat", "at least", (1.5, 1.4)),
    ("bulk with 1, 8 clients, against the floor", BULK, FLOOR, "at least", (0.95, 0.95)),
    ("bulk with 1, 8 clients, against the best forking peer", BULK, "best", "at least", (1.3, 1.3)),
    ("memory per client, against the floor", MEMORY, FLOOR, "at most", (1.1, 1.2)),
    (
        "the same, of what is accounted for",
        ("crowd.accounted",),
        FLOOR,
        "at most",
        (1.1, 1.2),
    ),
    ("memory per client, against socat", MEMORY, "socat", "at most", (0.7, 0.75)),
    ("10,000 clients at once: not served", ("crowd.unserved",), None, "at most", (0, 0)),
    (
        "cost per connect at 10,000, against that at 100",
        ("crowd.cost10000",),
        "itself",
        "at most",
        (1.5, 1.5),
    ),
    ("burst of 4,000: refused or timed out", ("burst.unserved",), None, "at most", (0, 0)),
    (
        "CPU per datagram of 64, 1,400 bytes, against the best peer",
        WINDOW,
        "best",
        "at most",
        (0.67, 0.67),
    ),
    (
        "datagrams of 64, 1,400 bytes answered per second of CPU, against the best peer",
        FLOOD,
        "best",
        "at least",
        (1.5, 1.5),
    ),
    (
        "% of datagrams lost, 64 under way",
        ("window64.lost", "window1400.lost"),
        None,
        "at most",
        (0.01, 0.01),
    ),
]


def figure_of(everything, server, key):
    """The median; of who was not served, the worst."""
    if key.endswith((".unserved", ".lost")):
        return max(values(everything, server, key), default=None)
    return middle(everything, server, key)


def reference(everything, server, key, against, sense):
    """What a figure is divided by."""
    if against is None:
        return 1
    if against == "itself":
        return middle(everything, server, "crowd.cost100")
    if against != "best":
        return middle(everything, against, key)
    rivals = [peer.name for peer in PEERS if peer.forks and peer.package]
    best = max if sense == "at least" else min
    return best(filter(None, (middle(everything, name, key) for name in rivals)), default=None)


def judged(everything, server, keys, against, sense, bound):
    """The ratios, and whether they are all within the bound."""
    ratios = []
    for key in keys:
        own = figure_of(everything, server, key)
        other = reference(everything, server, key, against, sense)
        if own is None or not other:
            return "not measured", "?"
        ratios.append(own / other)
    met = all(r <= bound if sense == "at most" else r >= bound for r in ratios)
    digits = 2 if against or bound % 1 else (1 if "faults" in keys[0] else 0)
    return ", ".join(number(r, digits) for r in ratios), "yes" if met else "**no**"


def bar(everything):
    rows = []
    for what, keys, against, sense, bounds in BAR:
        row = [what]
        for server, bound in zip((STATIC, RELEASE), bounds):
            ratios, met = judged(everything, server, keys, against, sense, bound)
            row += [f"{sense} {bound:g}", ratios, met]
        rows.append(row)
    return markdown(["", "static", "is", "met", "release", "is", "met"], rows)


# What is on, and off

NEARLY = 0.02
BESIDE = [
    ("CPU per connection", "connections.cpu"),
    *((f"round trips, {clients:,} at once", f"trips{clients}.rate") for clients in (1, 64, 1000)),
]


def beside(everything):
    """echod with all on against itself without, in each round."""
    rows = []
    for what, key in BESIDE:
        pairs = zip(*(values(everything, server, key) for server in (ALL_ON, RELEASE)))
        ratios = [on / off for on, off in pairs]
        if not ratios:
            rows.append([what, "not measured", "?"])
            continue
        near = abs(median(ratios) - 1) <= NEARLY
        spread = f"{number(min(ratios), 2)}–{number(max(ratios), 2)}"
        rows.append(
            [what, f"{number(median(ratios), 3)} ({spread})", "yes" if near else "**no**"]
        )
    return markdown(["All on, against the plain release", "is", f"within {NEARLY:.0%}"], rows)


# The machine


def first_line(path, prefix):
    for line in Path(path).read_text().splitlines():
        if line.startswith(prefix):
            return line[len(prefix) :].strip(' \t:="')
    return "unknown"


def machine(packages):
    """What was measured, and on what."""
    tools = ["redis-tools", "dnsperf", "sockperf", "libc6"]
    names = [peer.package for peer in PEERS if peer.package] + tools
    versions = {name: peers.version(name, packages) for name in names}
    memory = int(first_line("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)
    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True
    ).stdout.strip()
    return {
        "echod": commit or "not from git",
        "cpu": f"{os.cpu_count()} × {first_line('/proc/cpuinfo', 'model name')}",
        "memory": f"{memory:.0f} GiB",
        "system": first_line("/etc/os-release", "PRETTY_NAME"),
        "kernel": f"Linux {platform.release()}",
        "packages": ", ".join(f"{name} {text}" for name, text in versions.items() if text),
    }


# The charts

BARS = [
    ("cpu", "Processor time per connection", "µs, less is better", [("connections.cpu", "")]),
    (
        "trips",
        "Round trips of 64 bytes",
        "per second, more is better",
        [
            (f"trips{clients}.rate", f"{clients:,} client{'s' * (clients > 1)}")
            for clients in (1, 64, 1000)
        ],
    ),
    (
        "bulk",
        "Bulk, writing and reading at once",
        "MiB/s, more is better",
        [("bulk1.rate", "1 client"), ("bulk8.rate", "8 clients")],
    ),
    ("memory", "Memory per client that stays", "KiB, less is better", [("crowd.memory", "")]),
    (
        "datagrams",
        "Processor time per datagram, of more than can be answered",
        "µs, less is better",
        [("flood64.cpu", "64 bytes"), ("flood1400.cpu", "1,400 bytes")],
    ),
]
COLORS = {STATIC: "#1b5e9e", RELEASE: "#1b5e9e", ALL_ON: "#1b5e9e", FLOOR: "#999999"}
OTHERS = "#d9a441"
STYLES = {RELEASE: " dt 2", ALL_ON: " dt 3"}
FONT = "set terminal svg size {width},{height} font 'sans-serif,13' background 'white'\n"


def steps(top):
    """Ticks at two to five round numbers."""
    power = 10 ** math.floor(math.log10(top / 2))
    step = max(power * n for n in (1, 2, 5) if power * n <= top / 2)
    marks = (step * n for n in range(int(top / step) + 1))
    return ", ".join(f"'{mark:,g}' {mark}" for mark in marks)


def panel(everything, key, title, unit):
    """Horizontal bars, from the first server at the top, with their spread."""
    rows, names, top = [], [], 0
    for at, server in enumerate(tried(everything, [key])):
        found = values(everything, server, key)
        missing = "" if found else (problems(everything, server, key.split(".")[0]) or ["–"])[0]
        color = int(COLORS.get(server, OTHERS)[1:], 16)
        figures = (median(found), min(found), max(found)) if found else (0, 0, 0)
        top = max(top, figures[2])
        rows.append(
            f"{-at} {figures[0]} {figures[1]} {figures[2]} {color} {json.dumps(missing[:20])}"
        )
        names.append(f"{json.dumps(server, ensure_ascii=False)} {-at}")
    return (
        "$rows << END\n" + "\n".join(rows) + "\nEND\n"
        f"set title {json.dumps(title, ensure_ascii=False)}\n"
        f"set xlabel {json.dumps(unit, ensure_ascii=False)}\n"
        f"set xtics ({steps(top or 1)})\n"
        f"set ytics ({', '.join(names)})\n"
        f"set yrange [{-len(rows) + 0.4}:0.6]\n"
        "plot $rows using ($2/2):1:($2/2):(0.36):5 with boxxyerror fc rgb variable, "
        "$rows using 2:1:3:4 with xerrorbars lc rgb '#333333' pt 0, "
        "$rows using (0):1:6 with labels left offset 1,0 tc rgb '#666666'\n"
    )


def measured(everything, key):
    return any(values(everything, server, key) for server in everything["servers"])


def bars(everything, title, unit, panels):
    panels = [panel for panel in panels if measured(everything, panel[0])]
    if not panels:
        return None
    count = len(panels)
    height = max(90 + 26 * len(tried(everything, [key for key, _ in panels])), 230)
    head = FONT.format(width=620 if count == 1 else 380 * count, height=height)
    head += (
        "set encoding utf8\nunset key\nset xrange [0:*]\nset tics nomirror out\n"
        "set grid xtics\nset rmargin 4\nset style fill solid\nset border 3\n"
    )
    if count > 1:
        head += f"set multiplot layout 1,{count} title {json.dumps(title)}\n"
    return head + "".join(
        panel(everything, key, subtitle or title, unit) for key, subtitle in panels
    )


def growth(everything):
    """Lines: what one more connection costs, with more and more clients there."""
    blocks, plots = [], []
    for at, server in enumerate(everything["servers"]):
        points = [
            (level, middle(everything, server, f"crowd.cost{level}"))
            for level in (1, 100, 1000, 10000)
        ]
        points = [f"{level} {spent}" for level, spent in points if spent is not None]
        if not points:
            continue
        blocks.append(f"$s{at} << END\n" + "\n".join(points) + "\nEND\n")
        color = COLORS.get(server, "")
        style = (f"lw 3 lc rgb '{color}'" if color else "lw 1.5") + STYLES.get(server, "")
        plots.append(
            f"$s{at} using 1:2 with linespoints {style} pt {at + 1} ps 0.6 "
            f"title {json.dumps(server)}"
        )
    if not plots:
        return None
    return (
        FONT.format(width=760, height=420)
        + "set encoding utf8\nset logscale x\nset xtics (1, 100, '1,000' 1000, '10,000' 10000)\n"
        "set xlabel 'clients that are connected already'\nset ylabel 'µs'\n"
        "set title 'Processor time of one more connection'\nset yrange [0:*]\nset grid\n"
        "set key outside right\nset border 3\nset tics nomirror\n"
        + "".join(blocks)
        + "plot "
        + ", ".join(plots)
        + "\n"
    )


def charts(everything, directory):
    """Draw, and yield the title and the name of each file."""
    scripts = [
        (name, title, bars(everything, title, unit, panels)) for name, title, unit, panels in BARS
    ]
    scripts.append(("growth", "Processor time of one more connection", growth(everything)))
    for name, title, script in scripts:
        if script is None:
            continue
        file = f"{name}.svg"
        subprocess.run(
            ["gnuplot"],
            input=f"set output '{file}'\n{script}",
            text=True,
            cwd=directory,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            check=True,
        )
        yield title, file


# All of it


def write(everything, directory):
    about = everything["machine"]
    small = everything["small"]
    parts = [
        "# The bench",
        f"echod {about['echod']} on {about['cpu']}, {about['memory']}, {about['system']}, "
        f"{about['kernel']}; rounds: {everything['rounds']}. Versions: {about['packages']}.",
        LEGEND,
        *(["**Small sizes, to try the bench: no figure is worth anything.**"] if small else []),
        *([] if small else ["## The bar", bar(everything), beside(everything)]),
        "## The charts",
        *(f"![{title}]({file})" for title, file in charts(everything, directory)),
        "## The figures",
        *tables(everything),
    ]
    (directory / "results.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    source = Path(sys.argv[1])
    write(json.loads(source.read_text()), source.resolve().parent)
