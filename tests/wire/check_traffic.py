#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""`stats latency` and `stats hotkeys`, over all protocols.

What it protects: that each command is measured once and in its class, that the keys that are
asked for are the keys that are shown, and that both can be switched off. With a sample of 1
everything is measured, so that counts are exact; no figure of time is judged but by what
must hold between figures.
"""
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import packets  # noqa: E402
import server as srv  # noqa: E402

CLASSES = ("get", "set", "delete", "arith", "touch", "other")
LARGE = b"x" * 300000

# What is sent, what comes back, and how many commands of which class that was.
STEPS = (
    (b"set k 0 0 1\r\n5\r\n", b"STORED\r\n", {"set": 1}),
    (b"get k none k\r\n", b"VALUE k 0 1\r\n5\r\n" * 2 + b"END\r\n", {"get": 1}),
    (b"get k\r\n" * 3, b"VALUE k 0 1\r\n5\r\nEND\r\n" * 3, {"get": 3}),
    (b"gat 0 k\r\n", b"VALUE k 0 1\r\n5\r\nEND\r\n", {"get": 1}),
    (b"incr k 1\r\ndecr k 1\r\n", b"6\r\n5\r\n", {"arith": 2}),
    (b"touch k 0\r\n", b"TOUCHED\r\n", {"touch": 1}),
    (b"mg k v\r\nma k\r\n", b"VA 1\r\n5\r\nHD\r\n", {"get": 1, "arith": 1}),
    (b"ms m 1\r\nx\r\nmd m\r\n", b"HD\r\nHD\r\n", {"set": 1, "delete": 1}),
    (b"add k 0 0 1 noreply\r\nx\r\nmn\r\n", b"MN\r\n", {"set": 1, "other": 1}),
    (b"set l 0 0 300000\r\n" + LARGE + b"\r\n", b"STORED\r\n", {"set": 1}),
    (b"get l\r\n", b"VALUE l 0 300000\r\n" + LARGE + b"\r\nEND\r\n", {"get": 1}),
    (b"delete k\r\ndelete k\r\n", b"DELETED\r\nNOT_FOUND\r\n", {"delete": 2}),
    (b"nonsense\r\n", b"ERROR\r\n", {"other": 1}),
)


def read_packet(talk):
    head = talk.exactly(24)
    return head, talk.exactly(int.from_bytes(head[8:12], "big"))


class Latency(unittest.TestCase):
    def samples(self, server):
        stats = server.stats(b"latency")
        return {name: int(stats[name + ":samples"]) for name in CLASSES}

    def test_each_command_is_measured_once_in_its_class(self):
        with srv.Server("-t", "2", "-o", "latency_sample=1") as server, \
                server.connect() as talk:
            before = self.samples(server)
            for data, reply, counted in STEPS:
                talk.send(data)
                talk.expect(reply)
                # A command is counted when its reply has been sent: the next one, on the
                # same connection, comes behind that.
                talk.send(b"version\r\n")
                talk.line()
                counted = dict(counted, other=counted.get("other", 0) + 1)
                after = self.wait_samples(server, before, counted)
                self.assertEqual({name: after[name] - before[name] for name in CLASSES
                                  if name != "other"},
                                 {name: counted.get(name, 0) for name in CLASSES
                                  if name != "other"}, data[:40])
                before = after

    def wait_samples(self, server, before, counted):
        """The last command's own figure may be a moment late."""
        for _ in range(200):
            after = self.samples(server)
            if all(after[name] - before[name] >= counted.get(name, 0) for name in CLASSES):
                return after
        self.fail("%r after %r, want %r" % (after, before, counted))

    def test_packets_are_measured_alike(self):
        with srv.Server("-t", "1", "-o", "latency_sample=1") as server:
            with server.connect() as talk:
                talk.send(packets.request("set", b"k", bytes(8), b"5"))
                talk.send(packets.request("get", b"k"))
                talk.send(packets.request("delete", b"k"))
                talk.send(packets.request("noop"))
                for _ in range(4):
                    read_packet(talk)
                self.wait_samples(server, dict.fromkeys(CLASSES, 0),
                                  {"set": 1, "get": 1, "delete": 1, "other": 1})

    def test_figures_ascend_and_are_reset(self):
        with srv.Server("-t", "1", "-o", "latency_sample=1") as server:
            with server.connect() as talk:
                for _ in range(500):
                    talk.send(b"get none\r\n")
                    talk.expect(b"END\r\n")
            stats = server.stats(b"latency")
            self.assertGreaterEqual(int(stats["get:samples"]), 499)
            figures = [float(stats["get:" + name]) for name in
                       ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")]
            self.assertEqual(figures, sorted(figures))
            self.assertGreater(figures[0], 0)
            self.assertLessEqual(float(stats["get:mean_us"]), figures[-1])
            self.assertEqual(server.ask(b"stats reset", b"RESET\r\n"), b"RESET\r\n")
            self.assertLessEqual(int(server.stats(b"latency")["get:samples"]), 1)

    def test_some_are_measured_by_default(self):
        with srv.Server("-t", "1") as server:
            self.assertEqual(server.stats(b"latency")["latency_sample"], "16")
            with server.connect() as talk:
                # Of 31 turns in a row one is measured for certain.
                for _ in range(310):
                    talk.send(b"get none\r\n")
                    talk.expect(b"END\r\n")
            samples = int(server.stats(b"latency")["get:samples"])
            self.assertGreaterEqual(samples, 9)
            self.assertLess(samples, 310)

    def test_it_can_be_switched_off(self):
        with srv.Server("-t", "1", "-o", "latency_sample=0") as server:
            with server.connect() as talk:
                for _ in range(100):
                    talk.send(b"get none\r\n")
                    talk.expect(b"END\r\n")
            stats = server.stats(b"latency")
            self.assertEqual(stats["latency_sample"], "0")
            self.assertEqual({stats[name + ":samples"] for name in CLASSES}, {"0"})
            self.assertEqual(server.stats(b"settings")["latency_sample"], "0")


class HotKeys(unittest.TestCase):
    def test_keys_are_ranked_by_requests_and_by_bytes(self):
        with srv.Server("-t", "2", "-o", "hotkeys_sample=1") as server:
            for _ in range(2):  # two connections, two workers
                with server.connect() as talk:
                    talk.send(b"set page 0 0 5000\r\n" + b"x" * 5000 + b"\r\n")
                    talk.expect(b"STORED\r\n")
                    talk.send(b"incr limit:1 1\r\n" * 40)
                    talk.expect(b"NOT_FOUND\r\n" * 40)
                    talk.send(b"get page %s\r\n" % (b"a b " * 5))
                    talk.until(b"END\r\n")
            stats = server.stats(b"hotkeys")
            self.assertEqual(stats["requests:1:key"], "limit%3A1")
            self.assertEqual(stats["requests:1:count"], "80")
            self.assertEqual(stats["requests:1:error"], "0")
            self.assertEqual({stats["requests:2:key"], stats["requests:3:key"]}, {"a", "b"})
            self.assertEqual(stats["requests:2:count"], "10")
            self.assertEqual(stats["requests:4:key"], "page")
            self.assertEqual(stats["bytes:1:key"], "page")
            self.assertEqual(stats["bytes:1:count"], "20000")
            self.assertNotIn("bytes:2:key", stats)
            self.assertEqual(stats["samples"], "104")
            server.ask(b"stats reset", b"RESET\r\n")
            self.assertNotIn("requests:1:key", server.stats(b"hotkeys"))

    def test_meta_and_packets_count_too(self):
        with srv.Server("-t", "1", "-o", "hotkeys_sample=1") as server:
            with server.connect() as talk:
                talk.send(b"ms k 1\r\nx\r\nmg k v\r\nma k\r\nmd k\r\n")
                talk.expect(b"HD\r\nVA 1\r\nx\r\nCLIENT_ERROR cannot increment or decrement "
                            b"non-numeric value\r\nHD\r\n")
            with server.connect() as talk:
                talk.send(packets.request("get", b"k"))
                read_packet(talk)
            self.assertEqual(server.stats(b"hotkeys")["requests:1:count"], "5")

    def test_the_hot_one_is_found_among_many_by_default(self):
        with srv.Server("-t", "1") as server, server.connect() as talk:
            # In 511 turns of 20 commands, half of them for this key, one is looked at for
            # certain.
            for i in range(2000):
                talk.send(b"".join(b"get hot\r\nget cold-%d\r\n" % (50 * i + k)
                                   for k in range(50)))
                talk.expect(b"END\r\n" * 100)
            stats = server.stats(b"hotkeys")
            self.assertEqual(stats["requests:1:key"], "hot")
            self.assertEqual(stats["hotkeys_sample"], "256")

    def test_x_keeps_keys_secret(self):
        with srv.Server("-X") as server, server.connect() as talk:
            talk.send(b"stats hotkeys\r\n")
            talk.expect(b"CLIENT_ERROR stats hotkeys not allowed\r\n")

    def test_it_can_be_switched_off(self):
        with srv.Server("-t", "1", "-o", "hotkeys_sample=0") as server:
            with server.connect() as talk:
                talk.send(b"get k\r\n" * 1000)
                talk.expect(b"END\r\n" * 1000)
            self.assertEqual(server.stats(b"hotkeys"),
                             {"hotkeys_sample": "0", "seconds": "0", "samples": "0"})


if __name__ == "__main__":
    unittest.main()
