# SPDX-License-Identifier: BSD-3-Clause
"""Throughput, CPU time per operation and latency, by kind of traffic."""
import json
import os
import shutil
import subprocess

from harness import LOAD_CORES, Failure, all_running, pinned, turns

COLUMNS = [("ops_per_s", "ops/s"), ("worker_us_per_op", "worker CPU µs/op"),
           ("server_us_per_op", "all CPU µs/op"), ("p50_us", "p50 µs"), ("p99_us", "p99 µs"),
           ("p999_us", "p99.9 µs"), ("rss_mib", "RSS MiB")]

# Groups that share a filled server: title, server's options, how to fill it, rows. A row is
# its name, the generator's options, whether --quick leaves it out.
SMALL = ["-k", 100000, "-v", 32]
ONE = ["-k", 1, "-v", 32]
GROUPS = [
    ("32-byte values, 100,000 keys", {}, ["-o", "fill", *SMALL, "-c", 8, "-d", 64], [
        ("get, 50 connections", ["-o", "get", "-c", 50, *SMALL], True),
        ("set, 50 connections", ["-o", "set", "-c", 50, *SMALL], True),
        ("10 get : 1 set, 50 connections", ["-o", "mix:10", "-c", 50, *SMALL], False),
        ("get, 1 connection", ["-o", "get", "-c", 1, *SMALL], True),
        ("get, 500 connections", ["-o", "get", "-c", 500, *SMALL], True),
        ("get, 16 pipelined", ["-o", "get", "-c", 50, "-d", 16, *SMALL], True),
        ("set, 16 pipelined", ["-o", "set", "-c", 50, "-d", 16, *SMALL], True),
        ("10 get : 1 set, 16 pipelined", ["-o", "mix:10", "-c", 50, "-d", 16, *SMALL], True),
        ("get of 100 keys", ["-o", "mget:100", "-c", 50, *SMALL], True),
        ("meta get, 100 pipelined", ["-o", "mg", "-c", 50, "-d", 100, *SMALL], True),
        ("100 quiet binary gets", ["-o", "bgetq:100", "-c", 50, *SMALL], True),
        ("meta get, 16 pipelined", ["-o", "mg", "-c", 50, "-d", 16, *SMALL], False),
        ("meta set, 16 pipelined", ["-o", "ms", "-c", 50, "-d", 16, *SMALL], False),
        ("binary get, 50 connections", ["-o", "bget", "-c", 50, *SMALL], False),
        ("binary get, 16 pipelined", ["-o", "bget", "-c", 50, "-d", 16, *SMALL], False),
        ("binary set, 16 pipelined", ["-o", "bset", "-c", 50, "-d", 16, *SMALL], False),
        ("get, 20,000/s offered", ["-o", "get", "-c", 50, "-R", 20000, *SMALL], True),
    ]),
    ("5000 connections", {"options": ["-c", "6000"]},
     ["-o", "fill", *SMALL, "-c", 8, "-d", 64], [
        ("get, 50 of 6000 connections", ["-o", "get", "-c", 50, *SMALL], False),
        ("get, 5000 connections", ["-o", "get", "-c", 5000, *SMALL], True),
     ]),
    # All cores, which the load then shares: how much dearer a request becomes, if at all, is
    # the figure; two rows with one thread on as many cores stand beside them.
    ("one thread, any core", {"core": None}, ["-o", "fill", *SMALL, "-c", 8, "-d", 64], [
        ("get, 16 pipelined, 1 thread on any core",
         ["-o", "get", "-c", 50, "-d", 16, *SMALL], False),
        ("get of one key, 16 pipelined, 1 thread on any core",
         ["-o", "get", "-c", 50, "-d", 16, *ONE], False),
    ]),
    ("two threads, any core", {"core": None, "threads": 2},
     ["-o", "fill", *SMALL, "-c", 8, "-d", 64], [
        ("get, 16 pipelined, 2 threads", ["-o", "get", "-c", 50, "-d", 16, *SMALL], True),
        ("get of one key, 16 pipelined, 2 threads",
         ["-o", "get", "-c", 50, "-d", 16, *ONE], True),
        ("10 get : 1 set of one key, 16 pipelined, 2 threads",
         ["-o", "mix:10", "-c", 50, "-d", 16, *ONE], False),
        ("get, 2 threads", ["-o", "get", "-c", 50, *SMALL], False),
        ("get of one key, 2 threads", ["-o", "get", "-c", 50, *ONE], False),
     ]),
    ("counters, 10,000 keys", {}, ["-o", "fill", "-k", 10000, "-v", 2, "-c", 8, "-d", 64], [
        ("incr, 50 connections", ["-o", "incr", "-c", 50, "-k", 10000], True),
        ("incr, 16 pipelined", ["-o", "incr", "-c", 50, "-d", 16, "-k", 10000], False),
        ("add, present, 50 connections", ["-o", "add", "-c", 50, "-k", 10000, "-v", 2], False),
    ]),
    ("1 KiB values, 50,000 keys", {},
     ["-o", "fill", "-k", 50000, "-v", 1024, "-c", 8, "-d", 16], [
        ("get 1 KiB, 50 connections", ["-o", "get", "-c", 50, "-k", 50000, "-v", 1024], False),
        ("get 1 KiB, 16 pipelined",
         ["-o", "get", "-c", 50, "-d", 16, "-k", 50000, "-v", 1024], False),
     ]),
    ("16 KiB values, 5,000 keys", {},
     ["-o", "fill", "-k", 5000, "-v", 16384, "-c", 8, "-d", 2], [
        ("get 16 KiB", ["-o", "get", "-c", 10, "-k", 5000, "-v", 16384], True),
        ("set 16 KiB", ["-o", "set", "-c", 10, "-k", 5000, "-v", 16384], True),
     ]),
    ("1 MB values, 100 keys", {"options": ["-I", "2m"]},
     ["-o", "fill", "-k", 100, "-v", 1000000, "-c", 2], [
        ("get 1 MB", ["-o", "get", "-c", 4, "-k", 100, "-v", 1000000], True),
        ("set 1 MB", ["-o", "set", "-c", 4, "-k", 100, "-v", 1000000], True),
     ]),
    ("unix socket, 32-byte values", {"unix": True}, ["-o", "fill", *SMALL, "-c", 8, "-d", 64], [
        ("get, unix socket", ["-o", "get", "-c", 50, *SMALL], True),
        ("set, unix socket", ["-o", "set", "-c", 50, *SMALL], False),
        ("get, unix socket, 16 pipelined", ["-o", "get", "-c", 50, "-d", 16, *SMALL], True),
    ]),
]
MANY = ["-k", 5000000, "-v", 32]
MOST = ["-k", 20000000, "-v", 32]
BIG = ("5 million items", {"memory": 2048}, ["-o", "fill", *MANY, "-c", 8, "-d", 64], [
    ("get, 5 M items", ["-o", "get", "-c", 50, *MANY], True),
    ("set, 5 M items", ["-o", "set", "-c", 50, *MANY], True),
    ("get, 16 pipelined, 5 M items", ["-o", "get", "-c", 50, "-d", 16, *MANY], True),
    ("get of 100 keys, 5 M items", ["-o", "mget:100", "-c", 50, *MANY], True),
    ("meta get, 100 pipelined, 5 M items", ["-o", "mg", "-c", 50, "-d", 100, *MANY], True),
    ("100 quiet binary gets, 5 M items", ["-o", "bgetq:100", "-c", 50, *MANY], True),
])


HUGE = ("20 million items", {"memory": 4096}, ["-o", "fill", *MOST, "-c", 8, "-d", 64], [
    ("get of 100 keys, 20 M items", ["-o", "mget:100", "-c", 50, *MOST], True),
    ("meta get, 100 pipelined, 20 M items", ["-o", "mg", "-c", 50, "-d", 100, *MOST], True),
    ("100 quiet binary gets, 20 M items", ["-o", "bgetq:100", "-c", 50, *MOST], True),
])


def expected_hits(args, row):
    """A get that misses is cheaper: a row with misses must not pass for one of hits."""
    if args[1] in ("get", "mg", "bget") or args[1].startswith(("mget", "bgetq")):
        return row["hits"] >= 0.99 * row["keys"]
    return True


def measure(load, args, seconds):
    def body(server):
        row = load(server, *args, "-t", seconds)
        row["rss_mib"] = server.rss() / 1048576
        if not expected_hits(args, row):
            row["note"] = f"only {row['hits']} hits of {row['keys']}"
        return row
    return body


def run(report, load, options):
    groups = GROUPS + ([BIG] if options.big else []) + ([HUGE] if options.huge else [])
    report.table("Throughput, one worker thread", COLUMNS)
    for _, server_options, fill, rows in groups:
        rows = [r for r in rows if (r[2] or not options.quick) and options.wanted(r[0])]
        if not rows:
            continue
        with all_running(options.kinds, **server_options) as servers:
            for server in servers:
                load(server, *fill, timeout=1800)
            for server in servers:
                server.settle()
            for name, args, _ in rows:
                report.add(name, turns(servers, options.rounds,
                                       measure(load, args, options.seconds)))
    memtier = os.environ.get("MEMTIER") or shutil.which("memtier_benchmark")
    if memtier and options.wanted("memtier"):
        run_memtier(report, load, options, memtier)
    report.summary("server_us_per_op", ["worker_us_per_op", "ops_per_s", "p50_us", "p99_us"])


def memtier_row(program, server, protocol, pipeline, seconds, keys, more=()):
    """One run of memtier_benchmark; CPU time counted around the whole of it."""
    out = os.path.join(server.directory, "memtier.json")
    argv = [program, "-s", "127.0.0.1", "-p", str(server.port), "-P", protocol,
            "-t", "1", "-c", "50", "-d", "32", "--ratio", "1:10", "--key-pattern", "R:R",
            "--key-minimum", "1", "--key-maximum", str(keys), "--key-prefix", "memtier-",
            "--pipeline", str(pipeline), "--test-time", str(seconds),
            "--distinct-client-seed", "--hide-histogram", "--json-out-file", out,
            "-o", os.devnull, *more]
    before = server.cpu_seconds()
    done = subprocess.run(pinned(argv, LOAD_CORES), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=seconds + 60)
    cpu = server.cpu_seconds() - before
    try:
        with open(out) as f:
            totals = json.load(f)["ALL STATS"]["Totals"]
    except (OSError, ValueError, KeyError):
        raise Failure(f"memtier_benchmark: {done.stderr.decode()[-300:]}") from None
    latency = totals.get("Percentile Latencies", {})
    return {"ops_per_s": totals["Ops/sec"], "server_us_per_op": cpu * 1e6 / totals["Count"],
            "p50_us": latency.get("p50.00", 0) * 1000, "p99_us": latency.get("p99.00", 0) * 1000,
            "p999_us": latency.get("p99.90", 0) * 1000, "rss_mib": server.rss() / 1048576}


def run_memtier(report, load, options, program):
    keys = 100000
    with all_running(options.kinds) as servers:
        for server in servers:
            load(server, "-o", "fill", "-x", "memtier-", "-0", 1, "-k", keys, "-v", 32, "-c", 8,
                 "-d", 64)
            server.settle()
        seconds = max(1, int(options.seconds))
        for protocol in ("memcache_text", "memcache_binary"):
            for pipeline in (1, 16):
                name = f"memtier {protocol}, 50 connections" + (
                    f", {pipeline} pipelined" if pipeline > 1 else "")
                report.add(name, turns(servers, options.rounds, lambda s: memtier_row(
                    program, s, protocol, pipeline, seconds, keys)))
