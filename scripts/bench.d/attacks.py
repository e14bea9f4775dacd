# SPDX-License-Identifier: BSD-3-Clause
"""What a bad client does to the server and to everybody else, side by side.

While the attack goes on, a polite client in a process of its own asks for one small value
about a thousand times a second, on the same worker thread. It has real-time priority where that
may be had (as root), since it shares a processor with the attackers and is not to wait for
them there. Shown: the server's RSS before,
at its peak and two seconds after the attackers have gone; the polite client's latency; what
failed for it.
"""
import contextlib
import multiprocessing
import os
import socket
import time

from harness import LOAD_CORES, Failure, Server, more_files

COLUMNS = [("before_mib", "RSS before, MiB"), ("peak_mib", "peak"), ("after_mib", "after"),
           ("median_ms", "others: median ms"), ("p99_ms", "p99 ms"), ("max_ms", "max ms"),
           ("failures", "failures"), ("outcome", "attacker saw")]
PATIENCE = 5.0


def polite_client(server, stop, result):
    """Runs in its own process until told to stop; sends back latencies and failures."""
    if LOAD_CORES:
        os.sched_setaffinity(0, LOAD_CORES)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    latencies, failures = [], 0
    s = None
    while not stop.is_set():
        began = time.perf_counter()
        try:
            if s is None:
                s = server.connect(PATIENCE)
            s.sendall(b"get polite\r\n")
            reply = b""
            while not reply.endswith(b"\r\n") or (reply.startswith(b"VALUE") and
                                                  not reply.endswith(b"END\r\n")):
                more = s.recv(4096)
                if not more:
                    raise ConnectionError
                reply += more
            if not reply.startswith(b"VALUE"):
                failures += 1
        except OSError:
            failures += 1
            if s is not None:
                s.close()
            s = None
        latencies.append(time.perf_counter() - began)
        time.sleep(0.001)
    result.send((latencies, failures))


def ask(server, request, timeout=PATIENCE):
    with server.connect(timeout) as s:
        s.sendall(request)
        reply = b""
        with contextlib.suppress(OSError):
            while not reply.endswith(b"\r\n"):
                more = s.recv(65536)
                if not more:
                    break
                reply += more
        return reply


def observed(server, attack):
    """Runs attack(server) and returns its row. The attack returns what it saw."""
    reply = ask(server, b"set polite 0 0 6\r\nplease\r\n")
    if reply != b"STORED\r\n":
        raise Failure(f"{server.name}: {reply!r}")
    stop = multiprocessing.Event()
    mine, its = multiprocessing.Pipe()
    client = multiprocessing.Process(target=polite_client, args=(server, stop, its))
    time.sleep(0.3)
    row = {"before_mib": server.rss() / 1048576}
    server.forget_peak()
    client.start()
    try:
        time.sleep(0.5)
        row["outcome"] = attack(server)
        row["peak_mib"] = server.peak() / 1048576 if server.alive() else None
        time.sleep(0.2)
    finally:
        stop.set()
        latencies, failures = mine.recv() if mine.poll(3 * PATIENCE) else ([0], 1)
        client.join()
    latencies.sort()
    row["median_ms"] = latencies[len(latencies) // 2] * 1000
    row["p99_ms"] = latencies[int(len(latencies) * 0.99)] * 1000
    row["max_ms"] = latencies[-1] * 1000
    row["failures"] = failures
    time.sleep(2)
    row["after_mib"] = server.rss() / 1048576 if server.alive() else None
    if not server.alive():
        row["outcome"] = "THE SERVER ENDED"
    return row


def absent_keys(keys, lines):
    """One client sends lines with very many keys of which none is there."""
    line = b"get" + b"".join(b" no%06d" % i for i in range(keys)) + b"\r\n"

    def attack(server):
        replies = set()
        for _ in range(lines):
            began = time.monotonic()
            reply = ask(server, line, 150).decode().strip()[:60]
            seconds = time.monotonic() - began
            replies.add(reply or ("no reply" if seconds >= 150 else "closed"))
        return "; ".join(sorted(replies))
    return attack


def stalled_uploads(clients, announced, sent):
    """Many clients announce a large value, send some of it and stall; then others store."""
    def attack(server):
        held, stored, first, refused = [], 0, None, {}
        try:
            for i in range(clients):
                s = server.connect()
                held.append(s)
                s.sendall(b"set stalled%d 0 0 %d\r\n" % (i, announced) + b"x" * sent)
            time.sleep(0.5)
            body = b"y" * announced
            began = time.monotonic()
            for i in range(50):
                reply = ask(server, b"set other%d 0 0 %d\r\n%s\r\n" % (i, announced, body))
                if reply == b"STORED\r\n":
                    stored += 1
                    first = first or time.monotonic() - began
                else:
                    why = reply.decode().strip() or "no reply"
                    refused[why] = refused.get(why, 0) + 1
                time.sleep(max(0, began + 0.1 * (i + 1) - time.monotonic()))
        finally:
            for s in held:
                s.close()
        why = "".join(f", {n} × {text}" for text, n in refused.items())
        when = f", the first after {first:.1f} s" if first else ""
        return f"others stored {stored} of 50 in 5 s{when}{why}"
    return attack


def deaf_reader(requests):
    """One client asks for a large value over and over and reads nothing."""
    def attack(server):
        body = b"z" * 500000
        ask(server, b"set big 0 0 %d\r\n%s\r\n" % (len(body), body))
        sent = 0
        with server.connect(0.5) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(OSError):
                while sent < requests:
                    s.sendall(b"get big\r\n" * 1000)
                    sent += 1000
            time.sleep(2)
        return f"{sent} requests taken"
    return attack


def half_commands(connections, patience):
    """Clients fill all places with half a command each; when does a new one get in?"""
    def attack(server):
        held = []
        began = time.monotonic()
        try:
            for _ in range(connections):
                with contextlib.suppress(OSError):
                    s = server.connect(2)
                    s.sendall(b"get hal")
                    held.append(s)
            while time.monotonic() - began < patience:
                with contextlib.suppress(OSError):
                    if ask(server, b"get polite\r\n", 1).startswith(b"VALUE"):
                        return f"a new client got in after {time.monotonic() - began:.0f} s"
                time.sleep(0.5)
            return f"no new client got in for {patience} s"
        finally:
            for s in held:
                s.close()
    return attack


def slow_writers(clients, seconds):
    """Each announces a value and sends a byte of it a second."""
    def attack(server):
        held, closed = [], 0
        try:
            for i in range(clients):
                s = server.connect()
                held.append(s)
                s.sendall(b"set slow%d 0 0 1000\r\n" % i)
            for _ in range(seconds):
                time.sleep(1)
                for s in held:
                    try:
                        s.sendall(b"x")
                    except OSError:
                        closed += 1
        finally:
            for s in held:
                s.close()
        return f"{len(held)} wrote" + (f", {closed} closed" if closed else "")
    return attack


def silent_clients(clients, data, seconds):
    """So many connections, each with the same few bytes, and then nothing."""
    def attack(server):
        held = []
        try:
            for _ in range(clients):
                s = server.connect()
                held.append(s)
                if data:
                    s.sendall(data)
            time.sleep(seconds)
        finally:
            for s in held:
                s.close()
        return f"{len(held)} held"
    return attack


def comers_and_goers(seconds):
    """Connections that are closed as soon as they are there."""
    def attack(server):
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                server.connect().close()
                count += 1
        return f"{count} came"
    return attack


def curious(clients, question, crowd, seconds):
    """Clients that ask the same over and over and read what comes, with a crowd connected."""
    def attack(server):
        held, asked = [], 0
        try:
            for _ in range(crowd + clients):
                held.append(server.connect())
            for s in held[crowd:]:
                s.setblocking(False)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for s in held[crowd:]:
                    with contextlib.suppress(OSError):
                        asked += s.send(question) // len(question)
                    with contextlib.suppress(OSError):
                        s.recv(1 << 20)
                time.sleep(0.001)
        finally:
            for s in held:
                s.close()
        return f"{asked} questions taken"
    return attack


def deaf(clients, question, seconds):
    """Clients that ask the same over and over and read nothing."""
    def attack(server):
        held, asked = [], 0
        try:
            for _ in range(clients):
                s = server.connect(0.2)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                held.append(s)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for s in held:
                    s.setblocking(False)
                    with contextlib.suppress(OSError):
                        asked += s.send(question) // len(question)
                time.sleep(0.01)
        finally:
            for s in held:
                s.close()
        return f"{asked} questions taken"
    return attack


def run(report, load, options):
    more_files()
    attacks = [
        ("nothing, for comparison", [], lambda server: time.sleep(2) or "-"),
        ("10 gets of 10,000 absent keys", [], absent_keys(10000, 10)),
        ("10 gets of 200,000 absent keys", [], absent_keys(200000, 10)),
        ("160 stalled uploads, 400 kB announced, nothing sent", [],
         stalled_uploads(160, 400000, 0)),
        ("160 stalled uploads, all but a byte sent", [], stalled_uploads(160, 400000, 399999)),
        ("a client that never reads 500 kB replies", [], deaf_reader(400000)),
        ("500 clients that write a byte a second", [], slow_writers(500, 4)),
        ("3000 clients that say nothing", ["-c", "4000"], silent_clients(3000, b"", 2)),
        ("3000 clients with half a command", ["-c", "4000"],
         silent_clients(3000, b"get hal", 2)),
        ("clients that come and go", [], comers_and_goers(4)),
        ("20 clients that ask for stats and read nothing", [], deaf(20, b"stats\r\n" * 50, 4)),
        ("20 clients that ask for stats conns, 3000 connected", ["-c", "4000"],
         curious(20, b"stats conns\r\n", 3000, 4)),
        ("20 clients that watch and read nothing", [],
         deaf(20, b"watch fetchers mutations\r\n", 4)),
    ]
    if not options.quick:
        attacks.insert(3, ("a get of 2,400,000 absent keys", [], absent_keys(2400000, 1)))
        attacks.append(("200 of 200 places hold half a command", ["-c", "201"],
                        half_commands(200, 60)))
    report.table("Attacks; -m 64, one worker thread", COLUMNS)
    for name, extra, attack in attacks:
        if not options.wanted(name):
            continue
        results = {}
        for kind in options.kinds:
            with Server(kind, memory=64, options=extra) as server:
                results[kind.name] = [observed(server, attack)]
        report.add(name, results)
