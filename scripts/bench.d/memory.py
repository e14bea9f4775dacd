# SPDX-License-Identifier: BSD-3-Clause
"""Items held at equal RSS, bytes an item takes, bytes a connection takes."""
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


def run(report, load, options):
    if options.wanted("equal"):
        equal_rss(report, load, options)
    if options.wanted("item"):
        marginal(report, load, options)
    if options.wanted("connections"):
        connections(report, load, options)
