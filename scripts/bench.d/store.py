# SPDX-License-Identifier: BSD-3-Clause
"""The store without sockets: readers and writers against each other, and growth.

The store's sources are compiled as they are with a small driver (inside/storebench.c); nanoseconds
are CPU time of the threads. There is no peer: this shows whether reads that take no lock scale
and what a writer of the same key does to them, which over a network drowns in system calls.
"""
import json
import os
import subprocess

from harness import HERE, TOP, Failure

SOURCES = os.path.join(HERE, "inside")
BASE = ["hash.c", "clock.c", "num.c", "sum.c"]

RACE = [("read_ns", "ns/read"), ("write_ns", "ns/write"), ("reads_m", "M reads"),
        ("writes_m", "M writes"), ("looks_per_m", "lookups again per M reads"),
        ("copies_per_m", "copies again per M reads")]
GROWTH = [("p50_us", "p50 µs"), ("p999_us", "p99.9 µs"), ("max_us", "longest µs"),
          ("over_100_us", "over 100 µs"), ("over_1_ms", "over 1 ms")]
# Name, arguments, whether in --quick.
ROWS = [
    ("1 reader, uniform", ["-r", "1"], True),
    ("2 readers, uniform", ["-r", "2"], True),
    ("2 readers and a writer, uniform", ["-r", "2", "-w", "1"], True),
    ("2 writers, uniform", ["-r", "0", "-w", "2"], False),
    ("1 reader, one key", ["-r", "1", "-H"], True),
    ("2 readers, one key", ["-r", "2", "-H"], True),
    ("2 readers and a writer, one key", ["-r", "2", "-w", "1", "-H"], True),
    ("2 writers, one key", ["-r", "0", "-w", "2", "-H"], False),
]


def build(options):
    """config.h is that of the build the server comes from."""
    configured = os.path.dirname(os.path.abspath(options.larder))
    if not os.path.exists(os.path.join(configured, "config.h")):
        raise Failure(f"there is no config.h beside {options.larder}")
    program = os.path.join(options.output, "storebench")
    store = os.path.join(TOP, "src", "store")
    sources = [os.path.join(SOURCES, f) for f in sorted(os.listdir(SOURCES)) if f.endswith(".c")]
    sources += [os.path.join(store, f) for f in sorted(os.listdir(store)) if f.endswith(".c")]
    sources += [os.path.join(TOP, "src", "base", f) for f in BASE]
    subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-D_GNU_SOURCE", "-O2", "-pthread",
                    "-I", configured, "-I", os.path.join(TOP, "src"), "-I", HERE,
                    "-include", os.path.join(SOURCES, "probe.h"), "-o", program, *sources, "-lm"],
                   check=True)
    return program


def called(program, args, patience):
    run = subprocess.run([program, *map(str, args)], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, timeout=patience)
    if run.returncode != 0:
        raise Failure(f"storebench {args}: {run.stderr.decode().strip()}")
    return json.loads(run.stdout)


def race(program, args, seconds):
    row = called(program, [*args, "-t", seconds], seconds + 60)
    row["reads_m"], row["writes_m"] = row["reads"] / 1e6, row["writes"] / 1e6
    for what in ("looks", "copies"):
        row[what + "_per_m"] = row[what] * 1e6 / row["reads"] if row["reads"] else None
    for what in ("read", "write"):
        if not row[what + "s"]:
            row[what + "_ns"] = None
    return row


def run(report, load, options):
    program = build(options)
    name = options.kinds[0].name
    report.table("The store in one process: 100,000 keys of 30 bytes, values of 32", RACE)
    rows = [r for r in ROWS if (r[2] or not options.quick) and options.wanted(r[0])]
    results = {r[0]: [] for r in rows}
    # The rounds of all rows in turn, so that a row and its comparison meet the same machine.
    for _ in range(options.rounds):
        for what, args, _ in rows:
            results[what].append(race(program, args, options.seconds))
    for what, seen in results.items():
        report.add(what, {name: seen})
    if not options.wanted("growth"):
        return
    items = 2000000 if options.quick else 20000000
    row = called(program, ["-g", items], 900)
    report.table(f"One operation while growing from 1000 to {items:,} items, CPU time", GROWTH)
    for what, key in (("set of a new key", "set"), ("get", "get"),
                      ("looking at the clock, part of both", "nothing")):
        report.add(what, {name: [{k: row[f"{key}_{k}"] for k, _ in GROWTH}]})
