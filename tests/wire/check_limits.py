#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What happens at the limits: of connections, of time, of lines, of a client's patience.

What it protects: a limit must hold exactly, be announced as clients expect, and touch
nobody but the client that met it; a client that goes away in the middle of anything must
leave nothing behind.
"""
import os
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

FULL = b"ERROR Too many open connections\r\n"
ONLY_HERE = unittest.skipIf(srv.peer(), "the other server does not promise this")


def eventually(claim, seconds=5.0 * srv.SLOW):
    """Waits until claim() holds; its last value."""
    end = time.monotonic() + seconds
    value = claim()
    while not value and time.monotonic() < end:
        time.sleep(0.02)
        value = claim()
    return value


class ConnectionLimit(unittest.TestCase):
    def settled(self, server, count):
        """Connections that are closed at this end are gone at the other, too."""
        with server.connect() as talk:
            def claim():
                talk.send(b"stats\r\n")
                text = talk.until(b"END\r\n")
                return b"STAT curr_connections %d\r\n" % (count + 1) in text
            eventually(claim, 2)

    def test_exactly_as_many_clients_as_allowed_are_served(self):
        with srv.Server("-c", "60") as server:
            self.settled(server, 0)
            time.sleep(0.1)
            talks, served, refused = [], [], 0
            for _ in range(70):
                talk = server.connect()
                talks.append(talk)
                try:
                    talk.send(b"get k\r\n")
                    reply = talk.line()
                except (srv.Failure, OSError):
                    reply = FULL  # the refusal was lost: we had written to a closed socket
                if reply == b"END\r\n":
                    served.append(talk)
                else:
                    self.assertEqual(reply, FULL)
                    refused += 1
            if srv.peer():
                self.assertLessEqual(len(served), 60)
            else:
                self.assertEqual(len(served), 60)
            served[0].send(b"stats\r\n")
            text = served[0].until(b"END\r\n")
            self.assertIn(b"STAT rejected_connections %d\r\n" % refused, text)
            self.assertIn(b"STAT max_connections 60\r\n", text)

            served.pop().close()
            self.assertTrue(eventually(lambda: self.is_served(server)))
            for talk in talks:
                talk.close()

    def is_served(self, server):
        with server.connect() as talk:
            try:
                talk.send(b"get k\r\n")
                return talk.line() == b"END\r\n"
            except (srv.Failure, OSError):
                return False

    def test_a_refused_client_hears_why_and_is_sent_away(self):
        with srv.Server("-c", "40") as server:
            self.settled(server, 0)
            talks = [server.connect() for _ in range(45)]
            time.sleep(0.3)
            talks[-1].expect(FULL)
            talks[-1].expect_close()
            for talk in talks:
                talk.close()
            self.assertTrue(eventually(lambda: self.is_served(server)))

    @ONLY_HERE
    def test_surplus_clients_wait_their_turn_if_told_so(self):
        with srv.Server("-c", "40", "-o", "no_maxconns_fast") as server:
            self.settled(server, 0)
            time.sleep(0.1)
            served, replies = [], []

            def surplus():
                with server.connect() as talk:  # this may have to wait as well
                    talk.send(b"get k\r\n")
                    replies.append(talk.line())

            for _ in range(40):
                served.append(server.connect())
                served[-1].ask(b"get k\r\n", b"END\r\n")
            threads = [threading.Thread(target=surplus) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            self.assertEqual(replies, [])
            served[0].send(b"stats\r\n")
            text = served[0].until(b"END\r\n")
            self.assertIn(b"STAT accepting_conns 0\r\n", text)
            self.assertIn(b"STAT listen_disabled_num 1\r\n", text)
            for talk in served:
                talk.close()
            for thread in threads:
                thread.join()
            self.assertEqual(replies, [b"END\r\n"] * 3)


class Time(unittest.TestCase):
    def test_an_idle_client_is_sent_away_and_a_busy_one_stays(self):
        with srv.Server("-o", "idle_timeout=1") as server:
            idle, busy = server.connect(), server.connect()
            idle.ask(b"get k\r\n", b"END\r\n")
            begin = time.monotonic()
            idle.socket.setblocking(False)
            gone = None
            while gone is None and time.monotonic() - begin < 8:
                busy.ask(b"get k\r\n", b"END\r\n")
                time.sleep(0.1)
                gone = idle.more(0.0)
            self.assertEqual(gone, b"")
            self.assertGreater(time.monotonic() - begin, 0.9)
            busy.send(b"stats\r\n")
            self.assertIn(b"STAT idle_kicks 1\r\n", busy.until(b"END\r\n"))

    @ONLY_HERE
    def test_a_command_that_stalls_on_its_way_is_given_up(self):
        halves = (b"get k", b"set k 0 0 10", b"set k 0 0 10\r\nabc", b"set k 0 0 10\r\n0123456789",
                  b"set k 0 0 400000\r\n" + b"x" * 100000, b"set k 0 0 9000000\r\n" + b"x" * 100,
                  b"get " + b"k " * 5000)
        with srv.Server("-o", "partial_timeout=1") as server:
            patient = server.connect()
            patient.ask(b"get k\r\n", b"END\r\n")
            talks = []
            for half in halves:
                talks.append(server.connect())
                talks[-1].send(half)
            begin = time.monotonic()
            for half, talk in zip(halves, talks):
                while True:  # a refusal may be said before the end
                    data = talk.more(8 * srv.SLOW)
                    if not data:
                        break
                self.assertEqual(data, b"", half[:40])
            self.assertGreater(time.monotonic() - begin, 0.9)
            time.sleep(1.5)
            patient.ask(b"get k\r\n", b"END\r\n")  # was idle, not midway
            self.assertEqual(server.stats()["curr_items"], "0")

    @ONLY_HERE
    def test_a_slow_upload_is_no_stalled_one(self):
        with srv.Server("-o", "partial_timeout=2") as server:
            talk = server.connect()
            talk.send(b"set k 0 0 400000\r\n")
            for _ in range(8):
                talk.send(b"x" * 50000)
                time.sleep(0.1)
            talk.ask(b"\r\n", b"STORED\r\n")


class Lines(unittest.TestCase):
    def test_twenty_thousand_keys_in_one_line(self):
        with srv.Server("-t", "1") as server, server.connect() as talk:
            keys = [b"key-%06d" % number for number in range(20000)]
            talk.send(b"".join(b"set %s 0 0 6 noreply\r\n%s\r\n" % (key, key[4:])
                               for key in keys) + b"version\r\n")
            talk.line()
            expected = b"".join(b"VALUE %s 0 6\r\n%s\r\n" % (key, key[4:]) for key in keys)
            talk.ask(b"get " + b" ".join(keys) + b"\r\n", expected + b"END\r\n")
            # Every second one absent, in pieces that end anywhere.
            line = b"get " + b" none ".join(keys) + b"\r\n"
            for at in range(0, len(line), 7001):
                talk.send(line[at:at + 7001])
            talk.expect(expected + b"END\r\n")

    def test_a_line_of_a_hundred_kilobytes(self):
        with srv.Server() as server, server.connect() as talk:
            talk.ask(b"set k 0 0 1\r\n1\r\ngets k\r\n", b"STORED\r\n")
            hit = talk.line() + b"1\r\n"
            talk.expect(b"1\r\nEND\r\n")
            count = 100000 // 2
            talk.ask(b"gets" + b" k" * count + b"\r\nversion\r\n",
                     hit * count + b"END\r\nVERSION ")

    def test_long_lines_without_an_end_are_closed_whatever_they_begin_with(self):
        with srv.Server() as server:
            for begin in (b"", b"set ", b"gat 0 ", b"gats 0 ", b"delete ", b"get\t", b"gett "):
                with server.connect() as talk:
                    talk.send(begin + b"y" * 3000)
                    talk.expect_close()
            with server.connect() as talk:
                talk.ask(b"get k\r\n", b"END\r\n")

    def test_deep_pipelines(self):
        with srv.Server("-t", "1") as server, server.connect() as talk:
            talk.ask(b"set k 0 0 1\r\n1\r\n" + b"get k\r\n" * 200,
                     b"STORED\r\n" + b"VALUE k 0 1\r\n1\r\nEND\r\n" * 200)
            talk.send(b"set k 0 0 2 noreply\r\n22\r\n" * 50 + b"version\r\n")
            self.assertTrue(talk.line().startswith(b"VERSION "))
            talk.ask(b"incr k 1\r\n" * 5000,
                     b"".join(b"%d\r\n" % (23 + number) for number in range(5000)))

    def test_a_set_in_single_bytes(self):
        with srv.Server() as server, server.connect() as talk:
            for byte in b"set k 7 0 10\r\n0123456789\r\n":
                talk.send(bytes([byte]))
                time.sleep(0.002)
            talk.expect(b"STORED\r\n")
            talk.ask(b"get k\r\n", b"VALUE k 7 10\r\n0123456789\r\nEND\r\n")


class Ends(unittest.TestCase):
    def test_a_half_closed_client_gets_its_replies(self):
        with srv.Server() as server:
            with server.connect() as talk:
                talk.send(b"set k 0 0 1\r\n1\r\nget k\r\nget k\r\n")
                talk.half_close()
                talk.expect(b"STORED\r\n" + b"VALUE k 0 1\r\n1\r\nEND\r\n" * 2)
                talk.expect_close()
            with server.connect() as talk:  # many, and large
                value = b"x" * 300000
                talk.ask(b"set k 0 0 300000\r\n" + value + b"\r\n", b"STORED\r\n")
                talk.send(b"get k\r\n" * 30 + b"get nothing")
                talk.half_close()
                talk.expect((b"VALUE k 0 300000\r\n" + value + b"\r\nEND\r\n") * 30)
                talk.expect_close()

    def test_an_upload_that_breaks_off_leaves_nothing(self):
        with srv.Server("-m", "64") as server:
            with server.connect() as talk:
                talk.ask(b"set old 0 0 3\r\nold\r\n", b"STORED\r\n")
            before = server.stats()
            for size in (10, 3000, 100000, 400000):
                command = b"set k 0 0 %d\r\n" % size
                whole = command + b"x" * size + b"\r\n"
                cuts = {1, len(command) - 1, len(command), len(command) + 1,
                        len(command) + size // 2, len(whole) - 3, len(whole) - 2,
                        len(whole) - 1}
                for end in sorted(cuts):
                    for key, leave in ((b"k", srv.Talk.close), (b"old", srv.Talk.close),
                                       (b"k", srv.Talk.reset)):
                        talk = server.connect()
                        talk.send(whole[:end].replace(b"k", key, 1))
                        leave(talk)
            for verb in (b"append", b"add", b"cas"):
                for end in (0, 1, 60000):
                    talk = server.connect()
                    talk.send(verb + b" old 0 0 100000" + (b" 1" if verb == b"cas" else b"")
                              + b"\r\n" + b"x" * end)
                    talk.close()

            def unchanged():
                after = server.stats()
                return all(before[name] == after[name] for name in
                           ("bytes", "curr_items", "total_items")) \
                    and after["curr_connections"] <= before["curr_connections"]
            self.assertTrue(eventually(unchanged), server.stats())
            with server.connect() as talk:
                talk.ask(b"get k old\r\n", b"VALUE old 0 3\r\nold\r\nEND\r\n")

    def test_broken_uploads_do_not_use_memory_up(self):
        with srv.Server("-m", "16", "-M") as server:
            for _ in range(200):  # 80 MB if any were kept
                talk = server.connect()
                talk.send(b"set k 0 0 400000\r\n" + b"x" * 200000)
                talk.close()
            eventually(lambda: int(server.stats()["curr_connections"]) <= 1)
            with server.connect() as talk:
                for number in range(30):  # of 38 that fit
                    talk.ask(b"set k%d 0 0 400000\r\n" % number + b"y" * 400000 + b"\r\n",
                             b"STORED\r\n")


class SlowReaders(unittest.TestCase):
    def check(self, size, count, options=()):
        """A client asks `count` times for `size` bytes and reads nothing for a while."""
        with srv.Server("-t", "1", *options) as server:
            value = bytes(range(65, 91)) * (size // 26 + 1)
            reply = b"VALUE k 0 %d\r\n%s\r\nEND\r\n" % (size, value[:size])
            other = server.connect()
            other.ask(b"set k 0 0 %d\r\n%s\r\nget k\r\n" % (size, value[:size]),
                      b"STORED\r\n" + reply)
            before = server.rss()
            slow = server.connect(receive_buffer=65536)
            slow.send(b"get k\r\n" * count)
            for _ in range(20):
                other.ask(b"get k\r\n", reply)
                time.sleep(0.02)
            if not srv.sanitized():
                self.assertLess(server.rss() - before, 6 << 20)
            # What was asked is answered, to the last byte.
            left = count
            while left:
                batch = min(left, max(1, (8 << 20) // len(reply)))
                slow.expect(reply * batch)
                left -= batch
            slow.ask(b"get none\r\n", b"END\r\n")

    def test_unread_large_values_do_not_pile_up(self):
        self.check(100000, 1000)

    def test_unread_small_values_do_not_pile_up(self):
        self.check(700, 60000)

    def test_one_who_never_reads_is_no_burden(self):
        with srv.Server("-t", "1") as server:
            other = server.connect()
            other.ask(b"set k 0 0 500000\r\n" + b"x" * 500000 + b"\r\n", b"STORED\r\n")
            before = server.rss()
            talks = [server.connect(receive_buffer=65536) for _ in range(30)]
            for talk in talks:
                talk.send(b"get k\r\n" * 100)
            time.sleep(0.2)
            # The value that is being sent is replaced and deleted meanwhile.
            for _ in range(20):
                other.ask(b"set k 0 0 500000\r\n" + b"y" * 500000 + b"\r\n", b"STORED\r\n")
                other.ask(b"delete k\r\n", b"DELETED\r\n")
            if not srv.sanitized():
                self.assertLess(server.rss() - before, 60 << 20)
            for talk in talks:
                talk.reset()
            other.ask(b"get k\r\n", b"END\r\n")


@unittest.skipIf(srv.peer(), "about our own reservation of addresses")
class LockedMemory(unittest.TestCase):
    def test_locking_memory_does_not_take_what_is_only_reserved(self):
        with srv.Server("-k", "-m", "64") as server:
            server.ask(b"set k 0 0 1\r\n1\r\n", b"STORED\r\n")
            if not srv.sanitized():
                self.assertLess(server.rss() / 1048576, 64)

    @unittest.skipIf(srv.sanitized(), "measures memory")
    def test_locked_memory_is_given_back_too(self):
        with srv.Server("-k", "-m", "100") as server:
            with server.connect() as talk:
                for n in range(1300):
                    talk.ask(b"set k%d 0 0 65536\r\n" % n + bytes(65536) + b"\r\n",
                             b"STORED\r\n")
                full = server.rss()
                talk.ask(b"cache_memlimit 16\r\n", b"OK\r\n")
            deadline = time.monotonic() + 20
            while server.rss() > full / 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertLess(server.rss(), full / 2)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
