#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What `watch` shows, and what those who watch cost.

What it protects: lines that tools for memcached read, and everybody else's service from a
watcher that stalls, leaves, or sends what it likes. Nothing is judged by time: events are
waited for, and who was made to wait is told by counts.
"""
import os
import re
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

HEAD = re.compile(r"ts=(\d+)\.(\d{6}) gid=(\d+) (type=.*)")
WATCHERS_MAX = 20
PATIENCE = 60 * srv.SLOW  # seconds; what is waited for comes long before


def wait_for(server, is_so):
    """Asks for statistics until they are as they must become."""
    end = time.monotonic() + PATIENCE
    while True:
        stats = server.stats()
        if is_so(stats):
            return stats
        if time.monotonic() > end:
            raise srv.Failure("never: %r" % {k: stats[k] for k in stats if "log_" in k})
        time.sleep(0.01)


class Watcher:
    """A connection that watches; its lines without time and number."""

    def __init__(self, server, *streams, receive_buffer=None):
        self.talk = server.connect(seconds=PATIENCE, receive_buffer=receive_buffer)
        self.talk.send(b" ".join([b"watch", *[s.encode() for s in streams]]) + b"\r\n")
        self.talk.expect(b"OK\r\n")
        self.numbers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.talk.close()

    def line(self):
        text = self.talk.until(b"\n").decode()
        assert "\r" not in text, text
        parts = HEAD.fullmatch(text[:-1])
        if parts is None:
            return text[:-1]
        self.numbers.append(int(parts[3]))
        return parts[4]

    def lines(self, n):
        return [self.line() for _ in range(n)]


def without_numbers(line):
    """Class, descriptor and port are the server's to choose."""
    return re.sub(r"(clsid|cfd|rport|fd)=\d+", r"\1=N", line)


class Streams(unittest.TestCase):
    def setUp(self):
        self.server = srv.Server("-t", "1", "-m", "64")
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def say(self, talk, data, reply):
        talk.send(data)
        talk.expect(reply)

    def watched(self, streams, steps):
        """What these commands, one after the other, show."""
        with Watcher(self.server, *streams) as watcher, self.server.connect() as talk:
            for data, reply, expected in steps:
                self.say(talk, data, reply)
                got = [without_numbers(line) for line in watcher.lines(len(expected))]
                self.assertEqual(got, expected, data)
            # Nothing else was shown: what comes next is the next event.
            self.say(talk, b"get end-of-test\r\n", b"END\r\n")
            self.say(talk, b"set end-of-test 0 0 1\r\nx\r\n", b"STORED\r\n")
            self.say(talk, b"delete end-of-test\r\n", b"DELETED\r\n")
            self.assertIn("end-of-test", watcher.line())

    def test_fetchers(self):
        self.watched(["fetchers"], [
            (b"get none\r\n", b"END\r\n",
             ["type=item_get key=none status=not_found clsid=N cfd=N size=0"]),
            (b"set a%b 0 0 3\r\nabc\r\n", b"STORED\r\n", []),
            (b"get a%b none\r\n", b"VALUE a%b 0 3\r\nabc\r\nEND\r\n",
             ["type=item_get key=a%25b status=found clsid=N cfd=N size=3",
              "type=item_get key=none status=not_found clsid=N cfd=N size=0"]),
            (b"gat 0 a%b\r\n", b"VALUE a%b 0 3\r\nabc\r\nEND\r\n",
             ["type=item_get key=a%25b status=found clsid=N cfd=N size=3"]),
            (b"mg YSUgYg== b v\r\n", b"EN\r\n",
             ["type=item_get key=a%25%20b status=not_found clsid=N cfd=N size=0"]),
            (b"mg a%b v\r\n", b"VA 3\r\nabc\r\n",
             ["type=item_get key=a%25b status=found clsid=N cfd=N size=3"]),
            (b"touch a%b 0\r\n", b"TOUCHED\r\n",
             ["type=item_get key=a%25b status=found clsid=N cfd=N size=0"]),
            (b"incr none 1\r\n", b"NOT_FOUND\r\n",
             ["type=item_get key=none status=not_found clsid=N cfd=N size=0"]),
            (b"flush_all\r\nget a%b\r\n", b"OK\r\nEND\r\n",
             ["type=item_get key=a%25b status=flushed clsid=N cfd=N size=0"]),
        ])

    def test_no_word_is_fetchers(self):
        self.watched([], [
            (b"get none\r\n", b"END\r\n",
             ["type=item_get key=none status=not_found clsid=N cfd=N size=0"])])

    def test_mutations(self):
        def stored(status, cmd, size, key="k", ttl=0):
            return ["type=item_store key=%s status=%s cmd=%s ttl=%d clsid=N cfd=N size=%d"
                    % (key, status, cmd, ttl, size)]
        large = b"x" * 100000
        self.watched(["mutations"], [
            (b"set k 0 0 1\r\n1\r\n", b"STORED\r\n", stored("stored", "set", 1)),
            (b"add k 0 0 1\r\n1\r\n", b"NOT_STORED\r\n", stored("not_stored", "add", 1)),
            (b"replace none 0 0 1\r\n1\r\n", b"NOT_STORED\r\n",
             stored("not_stored", "replace", 1, "none")),
            (b"append k 0 0 2\r\n23\r\n", b"STORED\r\n", stored("stored", "append", 3)),
            (b"prepend k 0 0 1\r\n0\r\n", b"STORED\r\n", stored("stored", "prepend", 4)),
            (b"cas k 0 0 1 1\r\n1\r\n", b"EXISTS\r\n", stored("exists", "cas", 1)),
            (b"cas none 0 0 1 1\r\n1\r\n", b"NOT_FOUND\r\n",
             stored("not_found", "cas", 1, "none")),
            (b"set k 0 1000 1\r\n1\r\n", b"STORED\r\n",
             stored("stored", "set", 1, ttl=1000)),
            (b"get k\r\n", b"VALUE k 0 1\r\n1\r\nEND\r\n", []),
            (b"ms m 2\r\nhi\r\n", b"HD\r\n", stored("stored", "set", 2, "m")),
            (b"ms m 2 ME\r\nhi\r\n", b"NS\r\n", stored("not_stored", "add", 2, "m")),
            (b"ms m 2 C1\r\nhi\r\n", b"EX\r\n", stored("exists", "cas", 2, "m")),
            (b"set l 0 0 100000\r\n" + large + b"\r\n", b"STORED\r\n",
             stored("stored", "set", 100000, "l")),
            (b"set l 0 0 1100000\r\n" + large * 11 + b"\r\n",
             b"SERVER_ERROR object too large for cache\r\n",
             stored("too_large", "set", 1100000, "l")),
        ])

    def test_deletions(self):
        self.watched(["deletions"], [
            (b"set k 0 0 5\r\nabcde\r\n", b"STORED\r\n", []),
            (b"delete k\r\n", b"DELETED\r\n",
             ["type=deleted key=k cmd=delete clsid=N size=5"]),
            (b"delete k\r\n", b"NOT_FOUND\r\n", []),
            (b"set k 0 0 1\r\n1\r\nmd k\r\n", b"STORED\r\nHD\r\n",
             ["type=deleted key=k cmd=md clsid=N size=1"]),
        ])

    @staticmethod
    def line_about(watcher, port):
        """An earlier connection may still be on its way out."""
        while True:
            line = watcher.line()
            if " rport=%d " % port in line:
                return line

    def test_connevents(self):
        with Watcher(self.server, "connevents") as watcher:
            with self.server.connect() as talk:
                port = talk.socket.getsockname()[1]
                line = self.line_about(watcher, port)
                self.assertRegex(
                    line, r"type=conn_new rip=127.0.0.1 rport=%d transport=tcp cfd=\d+$"
                    % port)
                fd = line.split("cfd=")[1]
            self.assertEqual(
                self.line_about(watcher, port), "type=conn_close rip=127.0.0.1 rport=%d transport=tcp "
                "reason=normal cfd=%s" % (port, fd))

    def test_silent_streams_are_accepted(self):
        with Watcher(self.server, "rawcmds", "proxyreqs", "proxyevents", "proxyuser"):
            self.assertEqual(self.server.stats()["log_watchers"], "1")

    def test_a_pipeline_shows_all_of_its_commands(self):
        with Watcher(self.server, "fetchers", "mutations") as watcher, \
                self.server.connect() as talk:
            talk.send(b"".join(b"set p%d 0 0 1\r\nx\r\nget p%d\r\n" % (i, i)
                               for i in range(300)))
            keys = [line.split(" ")[1] for line in watcher.lines(600)]
            self.assertEqual(keys, ["key=p%d" % (i // 2) for i in range(600)])
            # All of one worker, so their numbers are in order too.
            self.assertEqual(watcher.numbers, sorted(set(watcher.numbers)))

    def test_input_of_a_watcher_is_ignored_and_its_end_is_seen(self):
        with Watcher(self.server, "mutations") as watcher, self.server.connect() as talk:
            watcher.talk.send(b"set ignored 0 0 1\r\nx\r\n" * 5000 + b"rubbish")
            talk.send(b"set k 0 0 1\r\n1\r\nget ignored\r\n")
            talk.expect(b"STORED\r\nEND\r\n")
            self.assertIn("key=k ", watcher.line())
        wait_for(self.server, lambda stats: stats["log_watchers"] == "0")

    def test_the_twenty_first_is_told_so(self):
        watchers = [Watcher(self.server) for _ in range(WATCHERS_MAX)]
        with self.server.connect() as talk:
            talk.send(b"watch\r\n")
            talk.expect(b"WATCHER_TOO_MANY log watcher limit reached\r\n")
            # It is no watcher, so it is served.
            talk.send(b"version\r\n")
            self.assertTrue(talk.line().startswith(b"VERSION "))
        for watcher in watchers:
            watcher.talk.close()
        wait_for(self.server, lambda stats: stats["log_watchers"] == "0")
        with Watcher(self.server):
            pass

    def test_connections_that_watch_say_so(self):
        with Watcher(self.server):
            states = [value for name, value in self.server.stats(b"conns").items()
                      if name.endswith(":state")]
            self.assertIn("conn_watch", states)

    def test_every_watcher_gets_every_line(self):
        with Watcher(self.server) as one, Watcher(self.server) as two, \
                self.server.connect() as talk:
            talk.send(b"get k\r\n" * 100)
            self.assertEqual(one.lines(100), two.lines(100))


class Store(unittest.TestCase):
    """What the cache does by itself."""

    def test_evictions_are_those_that_are_counted(self):
        with srv.Server("-t", "1", "-m", "2", "-I", "512k") as server, \
                Watcher(server, "evictions") as watcher, server.connect() as talk:
            for i in range(600):
                talk.send(b"set k%d 0 %d 20000\r\n" % (i, 0 if i % 2 else 3000)
                          + b"x" * 20000 + b"\r\n")
                talk.expect(b"STORED\r\n")
            evictions = int(server.stats()["evictions"])
            self.assertGreater(evictions, 400)
            keys = set()
            for _ in range(evictions):
                line = watcher.line()
                found = re.fullmatch(r"type=eviction key=k(\d+) fetch=no ttl=(-1|\d+) la=\d+ "
                                     r"clsid=\d+ size=20000", line)
                self.assertIsNotNone(found, line)
                self.assertEqual(found[2] == "-1", int(found[1]) % 2 == 1, line)
                keys.add(found[1])
            self.assertEqual(len(keys), evictions, "each went once")

    def test_moved_pages_and_sweeps_are_sysevents(self):
        with srv.Server("-t", "1", "-m", "64") as server, \
                Watcher(server, "sysevents") as watcher, server.connect() as talk:
            for i in range(400):
                talk.send(b"set k%d 0 0 4000\r\n" % i + b"x" * 4000 + b"\r\n")
                talk.expect(b"STORED\r\n")
            source = max((int(name.split(":")[0]) for name in server.stats(b"slabs")
                          if name.endswith(":total_pages")))
            talk.send(b"slabs reassign %d 0\r\n" % source)
            talk.expect(b"OK\r\n")
            seen = set()
            while len(seen) < 2:  # each line of the other kind comes once a second at most
                line = watcher.line()
                if line == "type=slab_move src=%d dst=0 state=done" % source:
                    seen.add("move")
                else:
                    self.assertRegex(
                        line, r"type=(lru_crawler crawler=0 lru=cold .* examined=\d+ "
                        r"reclaimed=\d+|slab_move src=\d+ dst=\d+ state=done)$")
                    seen.add(line.split(" ")[0])


class Stalled(unittest.TestCase):
    """Watchers that don't read."""

    def test_a_stalled_watcher_holds_up_nobody_and_takes_no_memory(self):
        with srv.Server("-t", "1", "-m", "64", "-o", "watcher_logbuf_size=64") as server:
            stalled = [Watcher(server, "fetchers", "mutations", receive_buffer=4096)
                       for _ in range(10)]
            with server.connect() as talk:
                before, asked, stats = server.rss(), 0, {"log_watcher_skipped": "0"}
                end = time.monotonic() + PATIENCE
                # Until sockets and buffers are full of lines, and then as much again.
                while int(stats["log_watcher_skipped"]) < 10000:
                    talk.send(b"get %s\r\n" % (b"k" * 200) * 500)
                    talk.expect(b"END\r\n" * 500)
                    asked += 500
                    stats = server.stats()
                    self.assertLess(time.monotonic(), end, "nothing is skipped")
                if not srv.sanitized():
                    # Ten buffers, ten backlogs of an outbox, and rings of the workers.
                    self.assertLess(server.rss() - before, 8 << 20)
            # Each event was told to each of the ten, or skipped, unless it was dropped.
            stats = wait_for(server, lambda stats: 10 * int(stats["log_worker_written"]) ==
                             int(stats["log_watcher_sent"]) + int(stats["log_watcher_skipped"]))
            self.assertEqual(stats["cmd_get"], str(asked))
            self.assertEqual(stats["log_watchers"], "10")
            self.assertEqual(
                int(stats["log_worker_written"]) + int(stats["log_worker_dropped"]), asked)
            self.read_on(server, stalled[0])
            for watcher in stalled:
                watcher.talk.reset()
            with Watcher(server) as watcher, server.connect() as talk:
                talk.send(b"get k\r\n")
                talk.expect(b"END\r\n")

    def read_on(self, server, watcher):
        """It learns how many it has missed as soon as there is something to tell."""
        with server.connect() as talk:
            for i in range(1000000):
                if i % 500 == 0:
                    talk.send(b"get again\r\n")
                    talk.expect(b"END\r\n")
                text = watcher.talk.until(b"\n")
                if text.startswith(b"skipped="):
                    self.assertRegex(text, rb"^skipped=[1-9]\d*\n$")
                    return
        self.fail("it was not told")

    def test_watchers_that_come_and_go_leave_nothing_behind(self):
        with srv.Server("-t", "2", "-m", "64") as server:
            for i in range(100):
                watcher = Watcher(server, "fetchers")
                with server.connect() as talk:
                    talk.send(b"get k\r\n" * 20)
                    talk.expect(b"END\r\n" * 20)
                if i % 2 == 0:
                    watcher.talk.reset()
                else:
                    watcher.talk.close()
            wait_for(server, lambda stats: stats["log_watchers"] == "0")

    def test_the_server_ends_while_somebody_watches(self):
        with srv.Server("-t", "2", "-m", "64") as server:
            watchers = [Watcher(server, "fetchers", "connevents") for _ in range(5)]
            server.stop()
            for watcher in watchers:
                watcher.talk.close()


class Rights(unittest.TestCase):
    def test_w_forbids_it(self):
        with srv.Server("-W") as server, server.connect() as talk:
            talk.send(b"watch fetchers\r\n")
            talk.expect(b"CLIENT_ERROR watch commands not allowed\r\n")

    def test_nothing_is_told_while_nobody_watches(self):
        with srv.Server("-t", "1") as server:
            with server.connect() as talk:
                talk.send(b"set k 0 0 1\r\n1\r\nget k\r\ndelete k\r\n")
                talk.expect(b"STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\nDELETED\r\n")
            self.assertEqual(server.stats()["log_worker_written"], "0")

    def test_an_idle_watcher_is_not_idle(self):
        with srv.Server("-t", "1", "-o", "idle_timeout=5") as server, \
                Watcher(server) as watcher:
            with server.connect(seconds=PATIENCE) as idle:
                self.assertEqual(idle.more(), b"", "it has been idle for too long")
            with server.connect() as talk:
                talk.send(b"get still-here\r\n")
                talk.expect(b"END\r\n")
            self.assertIn("still-here", watcher.line())


if __name__ == "__main__":
    unittest.main()
