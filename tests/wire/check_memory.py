#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How much memory the server takes, and what it keeps when it is full.

What it protects: --memory-total bounds the process, not only its items; -m understands
shares of memory; what clients and evicted items took goes back to the system, so that the
bound holds which the server states; and through the protocol, as a site would notice it, limits that count in
a counter outlive any flood, while values of every size find room.
"""
import contextlib
import os
import resource
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

ONLY_HERE = unittest.skipIf(srv.peer(), "the other server has no such option")
MIB = 1 << 20


def fill(talk, name, count, size):
    """Sets `count` items, quietly, and waits until all have been read."""
    value = b"v" * size
    for start in range(0, count, 500):
        talk.send(b"".join(b"set %s-%d 0 0 %d noreply\r\n%s\r\n" % (name, i, size, value)
                           for i in range(start, min(start + 500, count))))
    talk.ask(b"mn\r\n", b"MN\r\n")


@ONLY_HERE
class Bounds(unittest.TestCase):
    def test_memory_total_bounds_the_process(self):
        with srv.Server("--memory-total", "64", "-t", "2") as server:
            self.assertEqual(int(server.stats(b"settings")["memory_total"]), 64 * MIB)
            with server.connect() as talk:
                # Small items make the largest index beside them.
                for turn in range(6):
                    fill(talk, b"key%d" % turn, 150000, 10)
                    time.sleep(0.3)
            end = time.monotonic() + 20 * srv.SLOW
            while not srv.sanitized() and server.rss() > 66 * MIB:
                self.assertLess(time.monotonic(), end, server.rss())
                time.sleep(0.1)
            stats = server.stats()
            self.assertLess(int(stats["limit_maxbytes"]), 60 * MIB)
            self.assertGreater(int(stats["curr_items"]), 50000)

    def _within_its_bound(self, server, what):
        """Memory goes back some seconds later; a busy machine takes its time."""
        end = time.monotonic() + 60 * srv.SLOW
        while server.rss() > int(server.stats()["memory_bound"]):
            self.assertLess(time.monotonic(), end,
                            (what, server.rss(), server.stats()["memory_bound"]))
            time.sleep(0.2)

    @unittest.skipIf(srv.sanitized(), "its allocator keeps what is freed")
    def test_what_was_taken_goes_back(self):
        clients = 800
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with srv.Server("-m", "32", "-t", "2", "-c", str(clients + 50)) as server:
            with server.connect() as talk:
                for turn in range(3):
                    fill(talk, b"key%d" % turn, 150000, 10)
            self._within_its_bound(server, "full")
            full = int(server.stats()["memory_bound"])
            with contextlib.ExitStack() as held:
                for _ in range(clients):
                    talk = held.enter_context(server.connect())
                    talk.send(b"set part 0 0 8000\r\n" + b"x" * 7900)
                end = time.monotonic() + 60 * srv.SLOW
                while int(server.stats()["memory_bound"]) < full + clients * 7900:
                    self.assertLess(time.monotonic(), end, server.stats())
                    time.sleep(0.1)
                self._within_its_bound(server, "holding parts of values")
            self._within_its_bound(server, "left by its clients")
            with server.connect() as talk:
                talk.ask(b"cache_memlimit 8\r\n", b"OK\r\n")
            self._within_its_bound(server, "with a quarter of its memory")
            self.assertLess(int(server.stats()["memory_bound"]), full - 20 * MIB)

    def test_m_takes_a_share_of_memory(self):
        limits = {}
        for text in "20%", "40%", "auto":
            with srv.Server("-m", text) as server:
                limits[text] = int(server.stats()["limit_maxbytes"])
        self.assertGreater(limits["20%"], MIB)
        self.assertLess(abs(limits["40%"] - 2 * limits["20%"]), 2 * MIB)
        self.assertLess(abs(limits["auto"] - 3.5 * limits["20%"]), 4 * MIB)


class Kept(unittest.TestCase):
    @ONLY_HERE
    def test_idle_counters_outlive_floods_of_their_own_size(self):
        with srv.Server("-m", "4") as server, server.connect() as talk:
            for i in range(50):
                talk.ask(b"add login-%d 0 3000 1\r\n7\r\n" % i, b"STORED\r\n")
            for turn in range(5):
                fill(talk, b"flood%d" % turn, 60000, 1)
                fill(talk, b"tile%d" % turn, 60, 100000)
            for i in range(50):
                talk.ask(b"incr login-%d 1\r\n" % i, b"8\r\n")
            self.assertGreater(int(server.stats()["evictions"]), 100000)

    @ONLY_HERE
    def test_every_eviction_mode_serves_every_size(self):
        for options in [], ["-o", "eviction=lru"], ["-o", "object_bias=0"], [
                "-o", "counter_reserve=0"]:
            with self.subTest(options=options):
                with srv.Server("-m", "4", *options) as server, server.connect() as talk:
                    for size in 10, 1000, 100000, 900000, 3000, 1:
                        value = b"x" * size
                        for i in range(min(3000, 12 * MIB // (size + 100))):
                            talk.send(b"set k%d-%d 0 0 %d\r\n%s\r\n" % (size, i, size, value))
                            talk.expect(b"STORED\r\n")
                        talk.ask(b"get k%d-%d\r\n" % (size, i), b"VALUE k%d-%d 0 %d\r\n%s\r\n"
                                 b"END\r\n" % (size, i, size, value))


if __name__ == "__main__":
    unittest.main(warnings="ignore")
