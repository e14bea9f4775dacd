# SPDX-License-Identifier: BSD-3-Clause
"""Items held at equal RSS, bytes an item takes, bytes a connection takes, and whether the
memory of the whole stays within what is stated (doc/operations.md, "Size")."""
import contextlib
import time

from harness import Failure, Server, more_files

KEY, VALUE = 30, 32
ITEM = ["-l", KEY, "-v", VALUE, "-x", "item-"]
STEP = 250000


def fill_until_full(server, load):
    """Stores new keys until the server evicts, then as many again; returns how many."""
    stored = 0
    target = None
    while target is None or stored < target:
        load(server, "-o", "fill", *ITEM, "-0", stored, "-k", STEP, "-c", 8, "-d", 64)
        stored += STEP
        if target is None and int(server.stats().get("evictions", 0)) > 0:
            target = 2 * stored
        if stored > 60000000:
            raise Failure(f"{server.name} never evicts")
    return stored


def count_items(server, load, stored):
    """Asks for every key ever stored, so as not to depend on the server's own count."""
    return load(server, "-o", "mget:50", *ITEM, "-k", stored, "-D", "seq", "-n", stored // 50,
                "-c", 1)["hits"]


def when_full(kind, load, memory):
    with Server(kind, memory=memory) as server:
        stored = fill_until_full(server, load)
        server.settle()
        items = count_items(server, load, stored)
        return {"memory_mib": memory, "rss": server.rss(), "items": items,
                "curr_items": int(server.stats()["curr_items"])}


def at_rss(kind, load, memory, rss):
    """A full server whose RSS is about `rss`: adjusts -m until it is within 1 %."""
    for _ in range(5):
        row = when_full(kind, load, memory)
        if abs(row["rss"] / rss - 1) < 0.01:
            break
        memory = max(16, round(memory * rss / row["rss"]))
    return row


def show(row):
    row["rss_mib"] = row["rss"] / 1048576
    row["bytes_per_item"] = row["rss"] / row["items"]
    return row


def equal_rss(report, load, options):
    report.table(f"Items held at equal RSS: keys of {KEY} bytes, values of {VALUE}",
                 [("memory_mib", "-m MiB"), ("rss_mib", "RSS MiB"), ("items", "items held"),
                  ("bytes_per_item", "RSS bytes/item")])
    subject, peer = options.kinds[0], options.kinds[-1]
    for memory in (64, 256) if options.quick else (64, 128, 256, 512, 1024):
        theirs = when_full(peer, load, memory)
        results = {peer.name: [show(theirs)]}
        if subject is not peer:
            ours = at_rss(subject, load, memory, theirs["rss"])
            # What is left of the difference in RSS is taken out in proportion.
            ours["items_at_equal_rss"] = ours["items"] * theirs["rss"] / ours["rss"]
            results[subject.name] = [show(ours)]
        report.add(f"memcached -m {memory}", results)
        if subject is not peer:
            report.text(f"| | **items at equal RSS** | | | "
                        f"**{ours['items_at_equal_rss'] / theirs['items']:.2f}** | |")


def marginal(report, load, options):
    report.table("RSS for each item, memory to spare (-m 2048, a million items)",
                 [("bytes_per_item", "bytes/item"), ("overhead", "beyond key and value")])
    items = 300000 if options.quick else 1000000
    for value in (2, 32, 100, 300, 1000):
        results = {}
        for kind in options.kinds:
            with Server(kind, memory=2048) as server:
                before = server.rss()
                load(server, "-o", "fill", "-l", KEY, "-v", value, "-k", items, "-c", 8,
                     "-d", 64)
                server.settle()
                each = (server.rss() - before) / items
                results[kind.name] = [{"bytes_per_item": each, "overhead": each - KEY - value}]
        report.add(f"value of {value}", results)


def connections(report, load, options):
    """User-space memory only: the kernel's part of a connection is the same for both."""
    wanted = 1000 if options.quick else 10000
    count = min(wanted, more_files() - 200)
    report.table(f"RSS for each of {count} connections",
                 [("idle", "idle, used once"), ("partial_line", "12 bytes of a line"),
                  ("partial_value", "half of a 1000-byte value"), ("start_mib", "RSS at start, MiB")])
    results = {}
    for kind in options.kinds:
        row = {}
        for what, begin in (("idle", None), ("partial_line", b"get abcdefgh"),
                            ("partial_value", b"set k 0 0 1000\r\n" + b"x" * 500)):
            with Server(kind, memory=64, options=["-c", str(count + 100)]) as server:
                load(server, "-o", "version", "-n", 1000, "-c", 10)
                time.sleep(0.3)
                before = server.rss()
                row["start_mib"] = before / 1048576
                held = []
                try:
                    for _ in range(count):
                        s = server.connect()
                        held.append(s)
                        s.sendall(b"version\r\n")
                        if not s.recv(64).startswith(b"VERSION"):
                            raise Failure(f"{kind.name} refused connection {len(held)}")
                        if begin:
                            s.sendall(begin)
                    time.sleep(0.5)
                    row[what] = (server.rss() - before) / count
                finally:
                    for s in held:
                        s.close()
        results[kind.name] = [row]
    report.add("bytes", results)


# ---- The bound ----------------------------------------------------------------------------

MIB = 1048576


def within(server, memory):
    """RSS now and at most since forget_peak(), against the bound that the server states."""
    row = {"memory_mib": memory, "rss_mib": server.rss() / MIB,
           "peak_mib": server.peak() / MIB}
    bound = server.stats().get("memory_bound")
    if bound is not None:
        row["bound_mib"] = int(bound) / MIB
        row["holds"] = "yes" if row["peak_mib"] <= row["bound_mib"] else "NO"
    return row


@contextlib.contextmanager
def held_connections(server, count, begin):
    """So many clients, each of which has been served once and has then sent `begin`."""
    held = []
    try:
        for _ in range(count):
            held.append(server.connect(60))
            held[-1].sendall(b"version\r\n")
            if not held[-1].recv(64).startswith(b"VERSION"):
                raise Failure(f"{server.name} refused connection {len(held)}")
            held[-1].sendall(begin)
        time.sleep(1)
        yield
    finally:
        for s in held:
            s.close()


def while_connected(server, memory, begin):
    count = server.crowd
    server.forget_peak()
    with held_connections(server, count, begin):
        return within(server, memory)


def while_full(server, load, memory):
    """From empty to full and as much again: the index grows all the way."""
    server.forget_peak()
    fill_until_full(server, load)
    server.settle()
    return within(server, memory)


def while_sizes_shift(server, load, memory):
    """Values of other sizes into the full cache, as many bytes as it holds and half of that."""
    server.forget_peak()
    for value, most in ((200, 400), (2000, 7000), (30000, 200000)):
        count = memory * MIB * 3 // (value + most)
        load(server, "-o", "fill", "-x", f"v{value}-", "-l", KEY, "-v", value, "-V", most,
             "-k", count, "-c", 4, "-d", 4)
    server.settle()
    return within(server, memory)


def while_shrinking(server, memory):
    """cache_memlimit while full: the RSS two minutes later at the latest."""
    with server.connect() as s:
        s.sendall(b"cache_memlimit %d\r\n" % memory)
        s.recv(64)
    row, end = within(server, memory), time.monotonic() + 120
    while time.monotonic() < end:
        time.sleep(1)
        server.forget_peak()
        before, row = row["rss_mib"], within(server, memory)
        if row["rss_mib"] > before * 0.999 and row.get("holds") == "yes":
            break
    return row


SITUATIONS = ("nothing stored", "filled with small items, index growing",
              "sizes shift", "idle connections", "12 bytes of a line on each",
              "half of a 1,000-byte value on each", "7,900 of an 8,000-byte value on each",
              "half a minute after they left", "cache_memlimit to a quarter")


def situations(kind, load, memory, crowd):
    """One server through all of them: a row each, in the order of SITUATIONS."""
    with Server(kind, memory=memory, threads=4, options=["-c", str(crowd + 100)]) as server:
        server.crowd = crowd
        time.sleep(0.5)
        yield within(server, memory)
        yield while_full(server, load, memory)
        yield while_sizes_shift(server, load, memory)
        yield while_connected(server, memory, b"")
        yield while_connected(server, memory, b"get abcdefgh")
        yield while_connected(server, memory, b"set k 0 0 1000\r\n" + b"x" * 500)
        yield while_connected(server, memory, b"set k 0 0 8000\r\n" + b"x" * 7900)
        time.sleep(30)
        server.forget_peak()
        yield within(server, memory)
        yield while_shrinking(server, memory // 4)


def bounded(report, load, options):
    memory = 64
    crowd = min(1000 if options.quick else 10000, more_files() - 200)
    report.table(f"Resident memory against the stated bound: 4 workers, {crowd} connections",
                 [("memory_mib", "-m MiB"), ("bound_mib", "bound MiB"), ("rss_mib", "RSS MiB"),
                  ("peak_mib", "peak MiB"), ("holds", "within")])
    rows = [dict(zip(SITUATIONS, situations(kind, load, memory, crowd)))
            for kind in options.kinds]
    for what in SITUATIONS:
        report.add(what, {kind.name: [row[what]] for kind, row in zip(options.kinds, rows)})
    broken = [what for row in rows for what in SITUATIONS if row[what].get("holds") == "NO"]
    if broken:
        raise Failure(f"beyond the bound: {', '.join(broken)}")


def run(report, load, options):
    if options.wanted("equal"):
        equal_rss(report, load, options)
    if options.wanted("item"):
        marginal(report, load, options)
    if options.wanted("connections"):
        connections(report, load, options)
    if options.wanted("bound"):
        bounded(report, load, options)
