# SPDX-License-Identifier: BSD-3-Clause
"""How long a client waits while one server takes over from another.

A server started with -o handover=process is filled, and then upgraded (SIGUSR2) several times
while one client sends a get every millisecond over one connection, the next when the answer
is there. The longest wait is the pause; "usual" is the longest without a restart, over as
many seconds. Larder only: memcached hands over nothing. --quick does without the 8 GB.
"""
import os
import signal
import statistics
import threading
import time

from harness import Failure, Server

COLUMNS = [("items", "items"), ("bytes_mib", "MiB of items"), ("usual_ms", "usual ms"),
           ("pause_ms", "median pause ms"), ("worst_ms", "longest ms"), ("errors", "errors")]
SIZES = (("100 MB", 100, 1000), ("1 GB", 1000, 1000), ("1 GB, small items", 1000, 100),
         ("8 GB", 8000, 1000))
UPGRADES = 5
STEP_S = 0.001


class Asker(threading.Thread):
    """Asks on and on; `longest` is the longest wait since it was last set to 0."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.socket = server.connect(60)
        self.longest, self.errors, self.over = 0.0, 0, False

    def run(self):
        while not self.over:
            began = time.monotonic()
            try:
                self.socket.sendall(b"mn\r\n")
                if self.socket.recv(16) != b"MN\r\n":
                    raise OSError("another answer")
            except OSError:
                self.errors += 1
                return
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(STEP_S)


def upgraded(server, takeovers):
    """Upgrades once; the number of the new process."""
    before = int(server.stats()["pid"])
    os.kill(before, signal.SIGUSR2)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        time.sleep(0.05)
        stats = server.stats()
        if int(stats["pid"]) != before:
            if stats["takeovers"] != str(takeovers):
                raise Failure("the cache was not taken over")
            return int(stats["pid"])
    raise Failure("no other process serves: " + server.fate())


def measured(kind, load, megabytes, value):
    keys = megabytes * 1000000 // (value + 60)
    with Server(kind, memory=megabytes * 5 // 4 + 64,
                options=("-o", "handover=process"), core=None) as server:
        load(server, "-o", "fill", "-k", keys, "-v", value, "-c", 4, "-d", 16, timeout=1800)
        asker = Asker(server)
        asker.start()
        time.sleep(2)
        usual, pauses, pid = asker.longest, [], server.pid
        try:
            for number in range(1, UPGRADES + 1):
                asker.longest = 0.0
                pid = upgraded(server, number)
                time.sleep(0.5)
                pauses.append(asker.longest)
            stats = server.stats()
        finally:
            asker.over = True
            asker.join()
            if pid != server.pid:
                os.kill(pid, signal.SIGTERM)
        return {"items": int(stats["curr_items"]), "usual_ms": 1000 * usual,
                "bytes_mib": int(stats["bytes"]) / 1048576,
                "pause_ms": 1000 * statistics.median(pauses),
                "worst_ms": 1000 * max(pauses), "errors": asker.errors}


def run(report, load, options):
    report.table("A client's wait while the next server takes over", COLUMNS)
    larder = options.kinds[0]
    for name, megabytes, value in SIZES:
        if options.wanted(name) and not (options.quick and megabytes > 1000):
            report.add(name, {larder.name: [measured(larder, load, megabytes, value)]})
