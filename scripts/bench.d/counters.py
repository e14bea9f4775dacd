# SPDX-License-Identifier: BSD-3-Clause
"""Rate limiting as Django does it: are counts exact, and do counters survive other traffic?

exact   eight processes do add, then incr, on one key over pylibmc.
churn   two hundred counters with a TTL of a minute are bumped at intervals between 0.05 and
        15 s while 100,000 new keys a second are stored into a full cache, as many in either
        server. A counter that is gone before its TTL is a user locked out or let in.
used    one key for each way of using a key, used every 5 ms, while new keys of the same size
        turn the cache over every few seconds: which uses keep a key in the cache?
"""
import json
import multiprocessing
import random
import subprocess
import time

from harness import LOAD_CORES, Failure, Server, pinned


def bump(path, times, result):
    import pylibmc
    client = pylibmc.Client([path], behaviors={"tcp_nodelay": True})
    failures = 0
    key = ":1:rl:" + "a" * 64
    for _ in range(times):
        client.add(key, 0, time=600)
        try:
            client.incr(key)
        except pylibmc.Error:
            failures += 1
    result.put(failures)


def exact(report, load, options):
    import pylibmc
    processes, total = 8, 20000 if options.quick else 100000
    report.table(f"{total:,} add and incr on one key by {processes} processes",
                 [("count", "count"), ("failures", "failures"), ("calls_per_s", "calls/s")])
    results = {}
    for kind in options.kinds:
        with Server(kind, memory=64, threads=4, core=None) as server:
            path = f"127.0.0.1:{server.port}"
            queue = multiprocessing.Queue()
            began = time.monotonic()
            workers = [multiprocessing.Process(target=bump,
                                               args=(path, total // processes, queue))
                       for _ in range(processes)]
            for worker in workers:
                worker.start()
            failures = sum(queue.get() for _ in workers)
            for worker in workers:
                worker.join()
            seconds = time.monotonic() - began
            count = pylibmc.Client([path]).get(":1:rl:" + "a" * 64)
            if count != total:
                report.text(f"<!-- {kind.name} lost {total - count} increments -->")
            results[kind.name] = [{"count": count, "failures": failures,
                                   "calls_per_s": 2 * total / seconds}]
    report.add("exact", results)


# New keys a second: less than either server can take, so that both get as many.
STORM = 100000
# What is stored, how many of them beforehand so that the cache is full, how many a second.
SHAPES = {"same size": (["-l", 38, "-v", 2], 1500000, STORM),
          "10 to 2000 bytes": (["-l", 38, "-v", 10, "-V", 2000], 400000, STORM),
          "900 to 4000 bytes": (["-l", 38, "-v", 900, "-V", 4000], 400000, STORM),
          "tiles of 20 to 180 kB": (["-l", 38, "-v", 20000, "-V", 180000], 1500, 2000)}


def churn_once(server, load, shape, seconds):
    import pylibmc
    client = pylibmc.Client([f"127.0.0.1:{server.port}"], behaviors={"tcp_nodelay": True})
    chance = random.Random(7)
    shape, before, rate = shape
    load(server, "-o", "fill", "-x", "before-", "-k", before, "-c", 8, "-d", 16, *shape)
    keys = [f":1:rl:{i:032x}" for i in range(200)]
    mean = {k: 0.05 * 300 ** (i / (len(keys) - 1)) for i, k in enumerate(keys)}
    due = {k: time.monotonic() + chance.expovariate(1 / mean[k]) for k in keys}
    created, bumps, lost, refused = {}, 0, [], 0
    argv = [load.program, "-p", str(server.port), "-o", "set", "-x", "churn-", "-D", "seq",
            "-k", "2000000000", "-c", "8", "-d", "16", "-t", str(seconds), "-R", str(rate),
            *map(str, shape)]
    storm = subprocess.Popen(pinned(argv, LOAD_CORES), stdout=subprocess.PIPE)
    end = time.monotonic() + seconds - 0.5
    while time.monotonic() < end:
        now = time.monotonic()
        key = min(due, key=due.get)
        if due[key] > now:
            time.sleep(min(due[key] - now, 0.01))
            continue
        due[key] = now + chance.expovariate(1 / mean[key])
        bumps += 1
        try:
            if client.add(key, 1, time=60):
                if key in created and now - created[key] < 59:
                    lost.append(mean[key])
                created[key] = now
            else:
                client.incr(key)
        except pylibmc.NotFound:
            lost.append(mean[key])
        except pylibmc.Error:
            refused += 1
    stored = json.loads(storm.communicate()[0])["ops_per_s"]
    if not server.alive():
        raise Failure(f"{server.name} ended")
    stats = server.stats()
    # How long the cache lasts under this storm, and how often the lost were used.
    return {"bumps": bumps, "lost": len(lost), "refused": refused, "storm": stored,
            "turnover": int(stats["curr_items"]) / stored,
            "shortest": min(lost) if lost else None}


def churn(report, load, options):
    seconds, rounds = (10, 1) if options.quick else (20, min(options.rounds, 5))
    report.table(f"200 counters, {STORM:,} new keys/s (2,000 tiles), -m 64, {rounds} runs of "
                 f"{seconds} s each",
                 [("bumps", "bumps"), ("lost", "counters lost"), ("lost_least", "least"),
                  ("lost_most", "most"),
                  ("shortest", "used every s, most used of the lost"),
                  ("turnover", "s to replace all items"), ("storm", "new keys/s"),
                  ("refused", "refused")])
    for name, shape in SHAPES.items():
        if not options.wanted("churn, " + name):
            continue
        results = {kind.name: [] for kind in options.kinds}
        for turn in range(rounds):
            for kind in options.kinds if turn % 2 == 0 else reversed(options.kinds):
                with Server(kind, memory=64) as server:
                    results[kind.name].append(churn_once(server, load, shape, seconds))
        for rows in results.values():
            lost = [row["lost"] for row in rows]
            shortest = [row["shortest"] for row in rows if row["shortest"] is not None]
            for row in rows:
                row.update(lost_least=min(lost), lost_most=max(lost),
                           shortest=min(shortest, default=None))
        report.add(name, results)


USES = ("incr", "add", "get", "touch", "gat", "replace")


def use_key(ask, use, key):
    """Uses the key in one way; true: it was gone (and is stored again)."""
    requests = {"incr": (b"incr %s 1\r\n", b"NOT_FOUND"), "get": (b"get %s\r\n", b"END"),
                "add": (b"add %s 0 600 2\r\n10\r\n", b"STORED"),
                "touch": (b"touch %s 600\r\n", b"NOT_FOUND"),
                "gat": (b"gat 600 %s\r\n", b"END"),
                "replace": (b"replace %s 0 600 2\r\n10\r\n", b"NOT_STORED")}
    request, gone = requests[use]
    if not ask(request % key).startswith(gone):
        return False
    ask(b"set %s 0 600 2\r\n10\r\n" % key)
    return True


def used_once(server, load, seconds, rate):
    load(server, "-o", "fill", "-x", "before-", "-k", 1200000, "-l", 38, "-v", 2, "-c", 8,
         "-d", 16)
    keys = {use: b"hot-" + use.encode().ljust(34, b"p") for use in USES}
    lost = dict.fromkeys(USES, 0)
    with server.connect() as s, server.connect() as storm:
        def ask(request):
            s.sendall(request)
            reply = b""
            while not reply.endswith(b"\r\n") or (reply.startswith(b"VALUE") and
                                                  not reply.endswith(b"END\r\n")):
                reply += s.recv(4096)
            return reply
        for key in keys.values():
            ask(b"set %s 0 600 2\r\n10\r\n" % key)
        began, sent, turn = time.monotonic(), 0, 0
        while time.monotonic() - began < seconds:
            for use, key in keys.items():
                lost[use] += use_key(ask, use, key)
            wanted = min(int((time.monotonic() - began) * rate) - sent, 2000)
            if wanted > 0:
                storm.sendall(b"".join(b"set storm-%032d 0 0 2 noreply\r\n11\r\n" % (sent + i)
                                       for i in range(wanted)))
                sent += wanted
            turn += 1
            time.sleep(max(0, began + turn * 0.005 - time.monotonic()))
    return lost


def used(report, load, options):
    seconds = 15 if options.quick else 20
    report.table(f"Times a key was lost that was used every 5 ms, {seconds} s, 60,000 new keys/s, "
                 "-m 64", [(use, use) for use in USES])
    report.add("used by", {kind.name: [_used(kind, load, seconds)] for kind in options.kinds})


def _used(kind, load, seconds):
    with Server(kind, memory=64) as server:
        return used_once(server, load, seconds, 60000)


def run(report, load, options):
    if options.wanted("exact"):
        exact(report, load, options)
    if any(options.wanted("churn, " + name) for name in SHAPES):
        churn(report, load, options)
    if options.wanted("used"):
        used(report, load, options)
