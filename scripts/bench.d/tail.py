# SPDX-License-Identifier: BSD-3-Clause
"""Latency at equal offered load: half of what the peer takes at most, in four situations.

The load is an open loop: requests are due at fixed times and latency counts from then, so
that a server which stalls can't hide what it kept waiting. Both servers get the same rate,
in turns; its generator has real-time priority where that may be had (as root), since it shares
a processor with the others. Beside it, in a process of its own, goes what the situation asks for:

steady      nothing
growing     a fresh server takes new keys, so that its index has to grow several times
moving      pages are moved between two classes by `slabs reassign`, 50 a second asked for
expiring    most of the items end within the measurement, and are swept away

"work done" is what came of it: items, pages moved, items gone. "waited" is how much of the
time threads of the server were ready to run and had no processor: where that is more than a
few per cent, latencies are those of the scheduler and of other jobs; "least" is that of the
best round and the one to look at there.
"""
import contextlib
import json
import os
import subprocess
import threading
import time

from harness import LOAD_CORES, Failure, Server, median, pinned, turns

COLUMNS = [("p50_us", "p50 µs"), ("p99_us", "p99 µs"), ("p999_us", "p99.9 µs"),
           ("p999_least", "p99.9 least"), ("max_us", "longest µs"),
           ("ops_per_s", "ops/s"), ("server_us_per_op", "all CPU µs/op"), ("work", "work done"),
           ("waited_pc", "waited %")]
KEYS = 100000
PROBE = ["-o", "mix:10", "-c", 50, "-k", KEYS, "-v", 32]
SEED = ["-o", "fill", "-k", KEYS, "-v", 32, "-c", 8, "-d", 64]
# New keys a second, pipelined: about a fifth of what either server takes.
NEW_RATE = 100000
MOVES_PER_S = 50
EXPIRING = 500000
LIFE_S = 6


@contextlib.contextmanager
def beside(load, server, *args):
    """A second generator for as long as the block lasts."""
    argv = [load.program, "-p", str(server.port), *map(str, args)]
    process = subprocess.Popen(pinned(["nice", "-n", "5", *argv], LOAD_CORES),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    result = {}
    try:
        yield result
        out, err = process.communicate(timeout=120)
        try:
            result.update(json.loads(out))
        except ValueError:
            raise Failure(f"loadgen: {err.decode()}") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def saturation(load, kinds, seconds):
    """Requests a second that the last of the kinds (the peer) takes at most."""
    with Server(kinds[-1]) as server:
        load(server, *SEED)
        server.settle()
        rows = [load(server, *PROBE, "-t", seconds) for _ in range(3)]
    return median(rows, "ops_per_s")


def probe(load, server, rate, seconds):
    return load(server, *PROBE, "-R", rate, "-t", seconds, first=True)


def growing(kind, load, rate, seconds):
    with Server(kind) as server:
        load(server, *SEED)
        server.settle()
        with beside(load, server, "-o", "set", "-D", "seq", "-x", "new-", "-k", 10**9, "-v", 32,
                    "-c", 4, "-d", 16, "-R", NEW_RATE, "-t", seconds):
            row = probe(load, server, rate, seconds)
        row["work"] = int(server.stats()["curr_items"]) - KEYS
    return row


def classes_by_pages(server):
    """Ids of the classes that have pages, those with most of them first."""
    pages = {}
    for name, value in server.stats(b"slabs").items():
        which, _, what = name.partition(":")
        if what == "total_pages":
            pages[int(which)] = int(value)
    return sorted(pages, key=pages.get, reverse=True)


def aside():
    """Keeps the calling thread off the server's processor."""
    if LOAD_CORES:
        os.sched_setaffinity(threading.get_native_id(), LOAD_CORES)


def mover(server, stop, seen):
    """Moves pages there and back; a server that is still at the last one says BUSY."""
    aside()
    there, back = classes_by_pages(server)[:2]
    with server.connect() as s:
        while not stop.wait(1 / MOVES_PER_S):
            s.sendall(b"slabs reassign %d %d\r\n" % (there, back))
            reply = s.recv(256).split(b"\r\n")[0]
            seen[reply] = seen.get(reply, 0) + 1
            there, back = back, there


def moving(kind, load, rate, seconds):
    with Server(kind, memory=128) as server:
        load(server, *SEED)
        # Two classes with tens of pages each; what the probe asks for is in neither.
        for prefix, value in (("a-", 300), ("b-", 700)):
            load(server, "-o", "fill", "-x", prefix, "-k", 60000, "-v", value, "-c", 8, "-d", 16)
        server.settle()
        stop, seen = threading.Event(), {}
        before = int(server.stats()["slabs_moved"])
        thread = threading.Thread(target=mover, args=(server, stop, seen))
        thread.start()
        try:
            row = probe(load, server, rate, seconds)
        finally:
            stop.set()
            thread.join()
        row["work"] = int(server.stats()["slabs_moved"]) - before
        row["replies"] = {k.decode(): v for k, v in seen.items()}
    return row


def sweeper(server, stop):
    """Asks twice a second that what has expired be swept away."""
    aside()
    with server.connect() as s:
        while not stop.wait(0.5):
            s.sendall(b"lru_crawler crawl all\r\n")
            s.recv(256)


def expiring(kind, load, rate, seconds):
    with Server(kind) as server:
        load(server, *SEED)
        began = time.monotonic()
        load(server, "-o", "fill", "-x", "brief-", "-k", EXPIRING, "-v", 32, "-e", LIFE_S, "-c",
             8, "-d", 64)
        filling = time.monotonic() - began
        before = int(server.stats()["curr_items"])
        time.sleep(max(0, LIFE_S - 0.5 - filling))
        stop = threading.Event()
        thread = threading.Thread(target=sweeper, args=(server, stop))
        thread.start()
        try:
            row = probe(load, server, rate, seconds + filling + 1)
        finally:
            stop.set()
            thread.join()
        row["work"] = before - int(server.stats()["curr_items"])
    return row


SITUATIONS = [("growing", growing), ("pages moving", moving), ("items expiring", expiring)]


def with_least(results):
    for rows in results.values():
        for row in rows:
            row["p999_least"] = min(r["p999_us"] for r in rows)
    return results


def run(report, load, options):
    rate = round(saturation(load, options.kinds, options.seconds) / 2)
    report.table(f"Latency at {rate:,}/s offered, 10 get : 1 set, 50 connections", COLUMNS)
    if options.wanted("steady"):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server(kind)) for kind in options.kinds]
            for server in servers:
                load(server, *SEED)
            for server in servers:
                server.settle()
            report.add("steady", with_least(turns(
                servers, options.rounds, lambda s: probe(load, s, rate, options.seconds))))
    for name, measured in SITUATIONS:
        if options.wanted(name):
            report.add(name, with_least(turns(
                options.kinds, options.rounds,
                lambda kind, measured=measured: measured(kind, load, rate, options.seconds))))
