#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Small versions of attacks that bring other caches down; each takes seconds.

What it protects: memory for replies grows with hits not yet written and never with the
keys of a request; one client's long command does not keep another waiting; an upload that
was announced and never comes does not hold memory that others need; and half a command
does not hold a connection for ever. The attackers share the worker with their victims.
"""
import os
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

MIB = 1 << 20


class Neighbour:
    """Another client on the same worker: asks all the time, remembers its waits."""

    def __init__(self, server):
        self.talk = server.connect()
        self.talk.ask(b"set n 0 0 2\r\nhi\r\n", b"STORED\r\n")
        self.waits, self.problem, self.stopping = [], None, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.stopping:
                begin = time.monotonic()
                self.talk.ask(b"get n\r\n", b"VALUE n 0 2\r\nhi\r\nEND\r\n")
                self.waits.append(time.monotonic() - begin)
                time.sleep(0.001)
        except (srv.Failure, OSError) as problem:
            self.problem = problem

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.talk.close()


class LongLines(unittest.TestCase):
    def warm(self, server):
        with server.connect() as talk:
            talk.ask(b"set k 0 0 100\r\n" + b"v" * 100 + b"\r\n", b"STORED\r\n")
            for _ in range(50):
                talk.ask(b"get " + b"none " * 100 + b"\r\n", b"END\r\n")

    def bounded(self, server, before, limit):
        if not srv.sanitized():
            self.assertLess((server.rss() - before) / MIB, limit)

    def served(self, neighbour):
        self.assertIsNone(neighbour.problem)
        self.assertGreater(len(neighbour.waits), 5)
        # Python's own pauses are part of this; a blocked worker shows as far more.
        self.assertLess(max(neighbour.waits), 0.5 * srv.SLOW)

    def test_absent_keys_cost_no_memory_and_nobody_waits_for_them(self):
        line = b"get " + b" ".join(b"absent%d" % n for n in range(200000)) + b"\r\n"
        with srv.Server("-t", "1") as server:
            self.warm(server)
            before = server.rss()
            with Neighbour(server) as neighbour:
                for _ in range(3):
                    with server.connect() as talk:
                        talk.ask(line, b"END\r\n")
                self.bounded(server, before, 6)
                talks = [server.connect() for _ in range(4)]
                for talk in talks:
                    talk.send(line)
                for talk in talks:
                    talk.expect(b"END\r\n")
            self.served(neighbour)
            self.bounded(server, before, 16)

    def test_hits_that_nobody_reads_wait_in_the_store(self):
        count = 150000
        line = b"get" + b" k" * count + b"\r\n"
        reply = b"VALUE k 0 100\r\n" + b"v" * 100 + b"\r\n"
        with srv.Server("-t", "1") as server:
            self.warm(server)
            before = server.rss()
            with Neighbour(server) as neighbour, \
                    server.connect(receive_buffer=65536) as talk:
                talk.send(line)
                time.sleep(0.3)
                self.bounded(server, before, 6)
                for _ in range(count // 1000):
                    talk.expect(reply * 1000)
                talk.expect(b"END\r\n")
            self.served(neighbour)

    def test_a_pipeline_without_end_leaves_room_for_others(self):
        with srv.Server("-t", "1") as server:
            self.warm(server)
            before = server.rss()
            with Neighbour(server) as neighbour, server.connect() as talk:
                end = time.monotonic() + 1
                burst = b"get " + b"k none " * 20 + b"\r\n"
                reply = (b"VALUE k 0 100\r\n" + b"v" * 100 + b"\r\n") * 20 + b"END\r\n"
                while time.monotonic() < end:
                    talk.ask(burst * 100, reply * 100)
            self.served(neighbour)
            self.bounded(server, before, 6)


class StalledUploads(unittest.TestCase):
    VALUE = b"y" * 400000 + b"\r\n"

    def stored(self, talk, number):
        talk.send(b"set k%d 0 0 400000\r\n" % number + self.VALUE)
        return talk.line() == b"STORED\r\n"

    def check(self, sent, patience):
        """160 clients announce 400 kB, send some of it and no more. Others must be able
        to store as much, at once or after so many seconds."""
        with srv.Server("-t", "1", "-m", "64") as server:
            stalled = []
            for number in range(160):
                stalled.append(server.connect())
                stalled[-1].send(b"set s%d 0 0 400000\r\n" % number + b"x" * sent)
            time.sleep(0.2)
            with server.connect() as talk:
                end = time.monotonic() + patience
                while not self.stored(talk, 0) and time.monotonic() < end:
                    time.sleep(0.1)
                for number in range(60):
                    self.assertTrue(self.stored(talk, number), number)
                talk.ask(b"get k59\r\n", b"VALUE k59 0 400000\r\n" + self.VALUE + b"END\r\n")
                talk.ask(b"set small 0 0 1\r\n1\r\n", b"STORED\r\n")
                talk.ask(b"get s1 s2\r\n", b"END\r\n")
            if not srv.sanitized():
                self.assertLess(server.rss() / MIB, 64 + 20)
            for talk in stalled:
                talk.close()

    def test_announced_uploads_hold_no_memory_that_others_need(self):
        self.check(0, 0)

    def test_nor_do_those_that_stop_after_a_few_bytes(self):
        self.check(100, 0)

    def test_those_that_stop_half_way_are_given_up_when_memory_is_short(self):
        self.check(200000, 6 * srv.SLOW)

    def test_nor_does_a_byte_now_and_then_keep_what_they_hold(self):
        with srv.Server("-t", "1", "-m", "64") as server:
            stalled = [server.connect() for _ in range(160)]
            for number, talk in enumerate(stalled):
                talk.send(b"set s%d 0 0 400000\r\n" % number + b"x" * 200000)
            stop = threading.Event()

            def trickle():
                while not stop.wait(0.5):
                    for talk in stalled:
                        try:
                            talk.send(b"x" * 100)
                        except (srv.Failure, OSError):
                            pass

            thread = threading.Thread(target=trickle)
            thread.start()
            try:
                with server.connect() as talk:
                    end = time.monotonic() + 12 * srv.SLOW
                    while not self.stored(talk, 0) and time.monotonic() < end:
                        time.sleep(0.1)
                    for number in range(60):
                        self.assertTrue(self.stored(talk, number), number)
            finally:
                stop.set()
                thread.join()
                for talk in stalled:
                    talk.close()


@unittest.skipIf(srv.peer(), "the other server does not promise this")
class HalfCommands(unittest.TestCase):
    def test_half_commands_give_their_connections_back(self):
        with srv.Server("-c", "30", "-o", "partial_timeout=1") as server:
            time.sleep(0.1)
            held = []
            for _ in range(30):
                held.append(server.connect())
                held[-1].send(b"get k")
            time.sleep(0.2)
            with server.connect() as talk:
                talk.expect(b"ERROR Too many open connections\r\n")
            end = time.monotonic() + 6 * srv.SLOW
            reply = None
            while reply != b"END\r\n" and time.monotonic() < end:
                time.sleep(0.2)
                try:
                    with server.connect() as talk:
                        talk.send(b"get k\r\n")
                        reply = talk.line()
                except (srv.Failure, OSError):
                    pass
            self.assertEqual(reply, b"END\r\n")


if __name__ == "__main__":
    unittest.main(warnings="ignore")
