# SPDX-License-Identifier: BSD-3-Clause
"""The longest pause while a server grows from a thousand items to twenty million.

New keys are stored at a fixed rate. A client of its own with one connection asks for a present
key a thousand times a second, due at fixed times, so that one pause of 50 ms shows as some
fifty late replies, the first of them 50 ms late. The row for comparison stores over
a thousand keys at the same rate for as long: what is seen there is the machine and the load,
not the growth; so is "waited", the part of the time in which threads of the server were ready to
run and had no processor. --quick grows to two million.
"""
import json
import subprocess

from harness import LOAD_CORES, Failure, Server, pinned

COLUMNS = [("p50_us", "p50 µs"), ("p999_us", "p99.9 µs"), ("max_us", "longest µs"),
           ("over_1ms", "over 1 ms"), ("over_10ms", "10 ms"), ("over_100ms", "100 ms"),
           ("ops", "gets"), ("batch_max_us", "longest batch of sets µs"), ("items", "items"),
           ("rss_mib", "RSS MiB"), ("seconds", "seconds"),
           ("waited_pc", "waited %")]
KNOWN = ["-k", 1000, "-v", 32]
PROBES_PER_S = 1000
SETS_PER_S = 150000


def probing(load, server):
    """Probes until it is told to end."""
    argv = [load.program, "-p", str(server.port), "-o", "get", *map(str, KNOWN), "-c", "1", "-R",
            str(PROBES_PER_S), "-t", "3600", "-S", str(server.pid)]
    return subprocess.Popen(pinned(argv, LOAD_CORES), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def watched(kind, load, items, grow):
    """One server from 1000 items on; grow: to `items`, or as many sets over those there are."""
    with Server(kind, memory=4096) as server:
        load(server, "-o", "fill", *KNOWN, "-c", 1)
        server.settle()
        probe = probing(load, server)
        try:
            keys = ["-x", "new-", "-k", items - 1000, "-v", 32] if grow else KNOWN
            sets = load(server, "-o", "set", "-D", "seq", *keys, "-c", 4, "-d", 16, "-n",
                        items - 1000, "-R", SETS_PER_S, timeout=1800)
            probe.terminate()
            out, err = probe.communicate(timeout=60)
        finally:
            if probe.poll() is None:
                probe.kill()
                probe.communicate()
        try:
            row = json.loads(out)
        except ValueError:
            raise Failure(f"loadgen: {err.decode()}{server.fate()}") from None
        row["waited_pc"] = 100 * row["waited"]
        row["over_1ms"], row["over_10ms"], row["over_100ms"] = (
            row["slow"][limit] for limit in ("1000", "10000", "100000"))
        row["batch_max_us"], row["seconds"] = sets["max_us"], sets["secs"]
        row["items"] = int(server.stats()["curr_items"])
        row["rss_mib"] = server.rss() / 1048576
        if row["hits"] != row["ops"] or sets["errors"]:
            row["note"] = f"{row['hits']} hits of {row['ops']}, {sets['errors']} errors of sets"
        return row


def run(report, load, options):
    items = 2000000 if options.quick else 20000000
    report.table(f"Gets of one client while {SETS_PER_S:,} keys a second are stored", COLUMNS)
    for name, grow in (("no growth, for comparison", False),
                       (f"growing from 1000 to {items:,} items", True)):
        if options.wanted(name):
            report.add(name, {kind.name: [watched(kind, load, items, grow)]
                              for kind in options.kinds})
