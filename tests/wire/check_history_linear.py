#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What clients of all protocols see together of a few keys is what one map would have shown.

Protects the promise that an acknowledged write is there for everybody until it is replaced,
deleted, flushed or evicted, while the index grows, items are evicted, pages move, and the
memory limit goes up and down. Each operation's times and reply are recorded, and
histories.py looks for an order in which they can have happened. Each value repeats all over
who wrote it and ends in a checksum, so a value of two writes is seen at once.

How much is done is counted in operations, not in time. What is drawn depends on a seed,
which a failure prints; the server's threads are not bound by it.

    LARDER_HISTORY_SEED=7         another seed than 1
    LARDER_HISTORY_SECONDS=3600   goes on with further seeds for so long
    LARDER_HISTORY_OPERATIONS=N   of each scenario, 20000 otherwise
"""
import collections
import os
import random
import re
import selectors
import socket
import struct
import sys
import time
import unittest
import zlib

from histories import (Op, contradiction, DONE, EXISTS, FAILED, MISS, NO_NUMBER, STORED)
from packets import read_reply, request
from server import Failure, REPLY_SECONDS, Server

SEED = int(os.environ.get("LARDER_HISTORY_SEED", "1"))
SECONDS = float(os.environ.get("LARDER_HISTORY_SECONDS", "0"))
OPERATIONS = int(os.environ.get("LARDER_HISTORY_OPERATIONS", "20000"))
KEYS = [b"history:%d" % i for i in range(8)]
PROTOCOLS = ("text", "binary", "meta") * 3 + ("text",)
PIPELINE_MAX = 4
DEADLINE_SECONDS = 4 * REPLY_SECONDS

NUMBER_FLAGS = 7
NUMBER_BASE = 10 ** 18
TAG = re.compile(rb"<(\d+)\.(\d+)\.(\d+)>")


class Mixed(Failure):
    """A value that nobody has written."""


def make_value(client, sequence, size):
    """The bytes and flags of a write. A checksum follows as many tags as there is room for."""
    tag = b"<%d.%d.%d>" % (client, sequence, size)
    body = (tag * (size // len(tag) + 1))[:size]
    return body + b"%08x" % zlib.crc32(body), zlib.crc32(tag)


def value_name(data, flags):
    """What the bytes are called in a history: a number, or (client, sequence)."""
    if data.isdigit() and len(data) == 19:
        if flags != NUMBER_FLAGS:
            raise Mixed("flags %d of %r" % (flags, data))
        return int(data)
    tag = TAG.match(data)
    if tag is None:
        raise Mixed("%d bytes %r" % (len(data), data[:60]))
    client, sequence, size = (int(part) for part in tag.groups())
    if size > 1 << 20 or make_value(client, sequence, size) != (data, flags):
        raise Mixed("%d bytes with flags %d, not what begins with %r"
                    % (len(data), flags, tag.group()))
    return client, sequence


class Wish:
    """An operation before it has a reply."""

    def __init__(self, name, key, argument=None, data=b"", flags=0, exptime=0, gets=True):
        self.name, self.key, self.argument = name, key, argument
        self.data, self.flags, self.exptime, self.gets = data, flags, exptime, gets
        self.begin = 0


class Classic:
    """The text protocol: bytes of a wish, result and end of its reply."""

    @staticmethod
    def bytes_of(wish):
        key, name = wish.key, wish.name.encode()
        if name == b"flush":
            return b"flush_all\r\n"
        if name == b"get":
            if wish.exptime:
                return b"%s %d %s\r\n" % (b"gats" if wish.gets else b"gat", wish.exptime, key)
            return b"%s %s\r\n" % (b"gets" if wish.gets else b"get", key)
        if name == b"delete":
            return b"delete %s\r\n" % key
        if name == b"touch":
            return b"touch %s %d\r\n" % (key, wish.exptime)
        if name == b"incr":
            return b"incr %s %d\r\n" % (key, wish.argument)
        unique = b" %d" % wish.argument[0] if name == b"cas" else b""
        return b"%s %s %d %d %d%s\r\n%s\r\n" % (name, key, wish.flags, wish.exptime,
                                                len(wish.data), unique, wish.data)

    WORDS = {b"STORED": (STORED, None), b"NOT_STORED": EXISTS, b"EXISTS": EXISTS,
             b"NOT_FOUND": MISS, b"DELETED": DONE, b"TOUCHED": DONE, b"OK": DONE,
             b"CLIENT_ERROR cannot increment or decrement non-numeric value": NO_NUMBER}

    @classmethod
    def read(cls, wish, data):
        end = data.find(b"\r\n")
        if end < 0:
            return None
        line, end = bytes(data[:end]), end + 2
        if wish.name == "get":
            if line == b"END":
                return MISS, end
            words = line.split(b" ")
            if words[0] != b"VALUE" or words[1] != wish.key:
                raise Failure("%r after %s" % (line, wish.name))
            size = int(words[3])
            if len(data) < end + size + 7:
                return None
            if data[end + size:end + size + 7] != b"\r\nEND\r\n":
                raise Mixed("%r does not end where it says" % line)
            name = value_name(bytes(data[end:end + size]), int(words[2]))
            return (name, int(words[4]) if wish.gets else None), end + size + 7
        if wish.name == "incr" and line.isdigit():
            return (int(line), None), end
        if line.startswith(b"SERVER_ERROR") and wish.name in (
                "set", "add", "cas", "incr"):
            return FAILED, end
        if line not in cls.WORDS:
            raise Failure("%r after %s" % (line, wish.name))
        return cls.WORDS[line], end


class Meta:
    """Meta commands, and flush_all, which has none."""

    @staticmethod
    def bytes_of(wish):
        key = wish.key
        if wish.name == "get":
            touch = b" T%d" % wish.exptime if wish.exptime else b""
            return b"mg %s v f c%s\r\n" % (key, touch)
        if wish.name == "touch":
            return b"mg %s T%d\r\n" % (key, wish.exptime)
        if wish.name == "delete":
            return b"md %s\r\n" % key
        if wish.name == "incr":
            return b"ma %s v c D%d\r\n" % (key, wish.argument)
        if wish.name == "flush":
            return b"flush_all\r\n"
        more = {"add": b" ME", "set": b""}.get(wish.name)
        if more is None:
            more = b" C%d" % wish.argument[0]
        return b"ms %s %d c F%d T%d%s\r\n%s\r\n" % (key, len(wish.data), wish.flags,
                                                    wish.exptime, more, wish.data)

    @staticmethod
    def read(wish, data):
        end = data.find(b"\r\n")
        if end < 0:
            return None
        words, end = bytes(data[:end]).split(b" "), end + 2
        if words[0] != b"VA" and wish.name in ("flush", "incr") \
                and words[0] not in (b"NF", b"HD"):
            return Classic.read(wish, data)
        flags = {word[:1]: int(word[1:]) for word in words[1:] if word[1:].isdigit()}
        if words[0] == b"VA":
            size = int(words[1])
            if len(data) < end + size + 2:
                return None
            value, end = bytes(data[end:end + size]), end + size + 2
            if data[end - 2:end] != b"\r\n":
                raise Mixed("%r does not end where it says" % words)
            if wish.name == "incr":
                return (int(value), flags[b"c"]), end
            return (value_name(value, flags[b"f"]), flags[b"c"]), end
        if words[0] == b"HD":
            return ((STORED, flags[b"c"]) if wish.data else DONE), end
        if words[0] == b"SERVER_ERROR" and wish.data:
            return FAILED, end
        words = {b"EN": MISS, b"NF": MISS, b"NS": EXISTS, b"EX": EXISTS}
        code = bytes(data[:2])
        if code not in words:
            raise Failure("%r after %s" % (bytes(data[:end]), wish.name))
        return words[code], end


class Packets:
    """The binary protocol."""

    @staticmethod
    def bytes_of(wish):
        key = wish.key
        if wish.name == "get":
            if wish.exptime:
                return request("gat", key=key, extras=struct.pack(">I", wish.exptime))
            return request("get", key=key)
        if wish.name == "touch":
            return request("touch", key=key, extras=struct.pack(">I", wish.exptime))
        if wish.name == "delete":
            return request("delete", key=key)
        if wish.name == "flush":
            return request("flush")
        if wish.name == "incr":
            return request("incr", key=key,
                           extras=struct.pack(">QQI", wish.argument, 0, 0xffffffff))
        unique = wish.argument[0] if wish.name == "cas" else 0
        return request("set" if wish.name == "cas" else wish.name, key=key, cas=unique,
                       extras=struct.pack(">II", wish.flags, wish.exptime), value=wish.data)

    @staticmethod
    def read(wish, data):
        got = read_reply(data)
        if got is None:
            return None
        reply, end = got
        if reply.status == 0:
            if wish.name == "get":
                name = value_name(bytes(reply.value), struct.unpack(">I", reply.extras)[0])
                return (name, reply.cas), end
            if wish.name == "incr":
                return (struct.unpack(">Q", reply.value)[0], reply.cas), end
            return ((STORED, reply.cas) if wish.data else DONE), end
        words = {1: MISS, 2: EXISTS, 6: NO_NUMBER, 0x82: FAILED}
        if reply.status not in words:
            raise Failure("status %d after %s" % (reply.status, wish.name))
        return words[reply.status], end


SPEAKERS = {"text": Classic, "meta": Meta, "binary": Packets}


class Line:
    """A connection that is never waited for."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), REPLY_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.unsent, self.unread = memoryview(b""), bytearray()

    def events(self):
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)

    def write(self):
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent):]
        except BlockingIOError:
            pass

    def read(self):
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        if not data:
            raise Failure("the server closed a connection")
        self.unread += data


class Client(Line):
    """Sends a few random operations at once, waits for their replies, and so on."""

    def __init__(self, port, number, protocol, run):
        super().__init__(port)
        self.number, self.speaker, self.run = number, SPEAKERS[protocol], run
        self.random = random.Random("%d %d" % (run.seed, number))
        self.sequence = 0
        self.waiting = collections.deque()

    def busy(self):
        return bool(self.waiting)

    def size(self):
        draw = self.random.random()
        low, high = (30, 200) if draw < 0.75 else (1000, 9000) if draw < 0.95 \
            else (20000, 70000) if draw < 0.99 else (530000, 700000)
        return self.random.randint(low, high)

    def written(self):
        """A new value: what it is called, its bytes, its flags."""
        self.sequence += 1
        if self.random.random() < 0.4:
            number = NUMBER_BASE + (self.number * 10 ** 6 + self.sequence) * 10 ** 6
            return number, b"%d" % number, NUMBER_FLAGS
        data, flags = make_value(self.number, self.sequence, self.size())
        return (self.number, self.sequence), data, flags

    def wish(self):
        draw, key = self.random.random(), self.random.choice(KEYS)
        exptime = self.random.choice((0, 0, 100000))
        for share, name in ((0.40, "get"), (0.57, "incr"), (0.63, "touch"), (0.70, "delete"),
                            (0.701, "flush")):
            if draw < share:
                if name == "flush" and not self.run.flushes():
                    break
                delta = self.random.randint(1, 9) if name == "incr" else None
                return Wish(name, key, delta, exptime=exptime,
                            gets=self.speaker is not Classic or draw < 0.3)
        name = "set" if draw < 0.80 else "add" if draw < 0.88 else "cas"
        if name == "cas" and key not in self.run.uniques:
            name = "set"
        value, data, flags = self.written()
        if name == "cas":
            return Wish(name, key, (self.run.uniques[key], value), data, flags, exptime)
        return Wish(name, key, value, data, flags, exptime)

    def begin(self):
        wishes = [self.wish() for _ in range(self.random.randint(1, PIPELINE_MAX))]
        self.unsent = memoryview(b"".join(self.speaker.bytes_of(wish) for wish in wishes))
        now = time.monotonic_ns()
        for wish in wishes:
            wish.begin = now
        self.waiting.extend(wishes)
        self.write()

    def take(self):
        self.read()
        now = time.monotonic_ns()
        while self.waiting:
            got = self.speaker.read(self.waiting[0], self.unread)
            if got is None:
                return
            result, end = got
            del self.unread[:end]
            self.run.record(self.number, self.waiting.popleft(), now, result)
        if self.unread:
            raise Failure("%r, which nobody asked for" % bytes(self.unread[:100]))


class Weather(Line):
    """What goes on beside: a connection that fills, moves pages and changes the limit."""

    END = b"MN\r\n"

    def __init__(self, port, run, storm):
        super().__init__(port)
        self.run, self.storm = run, storm
        self.random = random.Random("%d weather" % run.seed)
        self.filled = self.rounds = 0
        self.stats = {}
        self.limits = set()  # that the reports have shown
        self.waiting = False

    def busy(self):
        return self.waiting

    def fill(self, number, size):
        for _ in range(number):
            self.filled += 1
            yield b"set fill:%d 0 0 %d noreply\r\n%s\r\n" % (self.filled, size, size * b"x")

    def lump(self):
        yield from self.fill(300, 30)
        if self.storm:
            yield from self.fill(60, self.random.choice((200, 2000, 9000, 30000)))
            for _ in range(4):
                yield b"slabs reassign %d %d\r\n" % (self.random.choice((-1, 1, 5, 20, 30)),
                                                     self.random.randint(1, 40))
            yield b"cache_memlimit %d\r\n" % self.random.choice((8, 10, 12, 16, 24))

    def begin(self):
        self.rounds += 1
        asks = b"stats\r\n" if self.rounds % 8 == 0 else b""
        self.unsent = memoryview(b"".join(self.lump()) + asks + b"mn\r\n")
        self.waiting = True
        self.write()

    def take(self):
        self.read()
        if self.unread.endswith(self.END):
            words = [line.split() for line in bytes(self.unread).split(b"\r\n")]
            self.stats.update((word[1], word[2]) for word in words
                              if len(word) == 3 and word[0] == b"STAT")
            self.limits.add(self.stats.get(b"limit_maxbytes"))
            self.unread.clear()
            self.waiting = False

    def seen(self):
        """Has everything happened that it is there for? How much, from the last report."""
        wanted = {b"evictions": 1, b"slabs_moved": 1} if self.storm \
            else {b"hash_power_level": 13}
        return all(int(self.stats.get(name, 0)) >= least for name, least in wanted.items()) \
            and (not self.storm or len(self.limits) > 2)


class Run:
    """One server, its clients, and what they have seen."""

    def __init__(self, server, seed, storm):
        self.server, self.seed = server, seed
        self.histories = {key: [] for key in KEYS}
        self.uniques = {}      # the last that any client has read of a key
        self.recorded = 0
        self.clients = [Client(server.port, number, protocol, self)
                        for number, protocol in enumerate(PROTOCOLS)]
        self.weather = Weather(server.port, self, storm)

    def flushes(self):
        """Not before the index has grown: flushed in time, it would never have to."""
        return self.weather.seen()

    def record(self, client, wish, end, result):
        self.recorded += 1
        op = Op(client, wish.begin, end, wish.name, wish.argument, result)
        for key in KEYS if wish.name == "flush" else (wish.key,):
            self.histories[key].append(op)
        if isinstance(result, tuple) and result[1] is not None:
            self.uniques[wish.key] = result[1]

    def turn(self, selector, more):
        """Lets everybody who is idle begin, waits for one, lets all read and write."""
        lines = [*self.clients, self.weather]
        for line in lines:
            if more and not line.busy():
                line.begin()
            selector.modify(line.socket, line.events(), line)
        ready = selector.select(REPLY_SECONDS)
        if not ready:
            raise Failure("no reply")
        for key, events in ready:
            if events & selectors.EVENT_WRITE:
                key.data.write()
            if events & selectors.EVENT_READ:
                key.data.take()

    def close(self):
        for line in (*self.clients, self.weather):
            line.socket.close()

    def go(self):
        lines = [*self.clients, self.weather]
        deadline = time.monotonic() + DEADLINE_SECONDS
        with selectors.DefaultSelector() as selector:
            for line in lines:
                selector.register(line.socket, line.events(), line)
            more = True
            while more or any(line.busy() for line in lines):
                more = self.recorded < OPERATIONS or not self.weather.seen()
                if more and time.monotonic() > deadline and self.recorded >= OPERATIONS:
                    raise Failure("after %d operations: %r" % (
                        self.recorded, self.weather.stats))
                if more or any(line.busy() for line in lines):
                    self.turn(selector, more)


def again(seed, begin):
    """Further seeds, as long as it was asked for."""
    return time.monotonic() - begin < SECONDS or seed == SEED


class Histories(unittest.TestCase):
    def play(self, storm, *options):
        begin, seed = time.monotonic(), SEED
        while again(seed, begin):
            try:
                self.play_once(seed, storm, *options)
            except Exception:
                print("LARDER_HISTORY_SEED=%d" % seed, file=sys.stderr)
                raise
            seed += 1

    def play_once(self, seed, storm, *options):
        with Server("-t", "4", "-o", "hashpower=12", *options) as server:
            run = Run(server, seed, storm)
            try:
                run.go()
            finally:
                run.close()
            lost = int(server.stats()["evictions"])
        if not storm:
            self.assertEqual(lost, 0)
        for key, ops in run.histories.items():
            words = contradiction(ops, evict=storm)
            if words is not None:
                self.fail("%s of seed %d: %s" % (key.decode(), seed, words))
        results = collections.Counter(
            "%s %s" % (op.name, "hit" if isinstance(op.result, tuple) else op.result)
            for ops in run.histories.values() for op in ops)
        print("seed %d: %d operations, %d keys beside, %s, %s" % (
            seed, run.recorded, run.weather.filled,
            {name.decode(): run.weather.stats[name].decode() for name in
             (b"evictions", b"slabs_moved", b"hash_power_level")
             if name in run.weather.stats}, dict(results)), file=sys.stderr)

    def test_nothing_is_lost_or_mixed_while_the_index_grows(self):
        self.play(False, "-m", "512", "-o", "slab_automove=0")

    def test_nothing_is_mixed_while_items_go_pages_move_and_the_limit_changes(self):
        self.play(True, "-m", "16")


def op(client, begin, end, name, argument=None, result=DONE):
    return Op(client, begin, end, name, argument, result)


A, B, N = (1, 1), (2, 1), 100


class Checker(unittest.TestCase):
    """The checker refuses what can't be and accepts what can."""

    def refused(self, *ops, evict=False):
        self.assertIsNotNone(contradiction(ops, evict))

    def accepted(self, *ops, evict=False):
        self.assertIsNone(contradiction(ops, evict))

    def test_a_lost_update_is_refused(self):
        history = (op(1, 0, 1, "set", A, (STORED, 5)), op(1, 2, 3, "get", None, MISS))
        self.refused(*history)
        self.accepted(*history, evict=True)

    def test_an_update_lost_to_a_compare_and_swap_is_refused_also_with_evictions(self):
        first = (op(1, 0, 1, "set", A, (STORED, 5)),
                 op(1, 2, 9, "cas", (5, (1, 2)), (STORED, 6)))
        self.refused(*first, op(2, 3, 8, "cas", (5, B), (STORED, 7)), evict=True)
        self.accepted(*first, op(2, 3, 8, "cas", (5, B), EXISTS))

    def test_a_stale_read_is_refused_also_with_evictions(self):
        writes = (op(1, 0, 1, "set", A, (STORED, None)),
                  op(1, 2, 5, "set", (1, 2), (STORED, None)))
        self.refused(*writes, op(2, 6, 7, "get", None, (A, None)), evict=True)
        self.accepted(*writes, op(2, 3, 7, "get", None, (A, None)))
        self.accepted(*writes, op(2, 3, 7, "get", None, ((1, 2), None)))
        self.refused(*writes, op(2, 3, 6, "get", None, ((1, 2), None)),
                     op(2, 7, 8, "get", None, (A, None)), evict=True)

    def test_reads_of_two_clients_in_different_orders_are_refused(self):
        writes = (op(1, 0, 9, "set", A, (STORED, None)),
                  op(2, 0, 9, "set", B, (STORED, None)))
        forth = (op(3, 1, 2, "get", None, (A, None)), op(3, 3, 4, "get", None, (B, None)))
        back = (op(4, 1, 2, "get", None, (B, None)), op(4, 3, 4, "get", None, (A, None)))
        self.refused(*writes, *forth, *back, evict=True)
        self.accepted(*writes, *forth)
        self.accepted(*writes, *back)

    def test_two_adds_that_both_win_are_refused_unless_the_item_may_go(self):
        history = (op(1, 0, 9, "add", A, (STORED, None)),
                   op(2, 0, 9, "add", B, (STORED, None)))
        self.refused(*history)
        self.accepted(*history, evict=True)
        self.accepted(*history, op(3, 0, 9, "delete"))
        self.accepted(*history, op(3, 0, 9, "flush"))
        self.refused(*history, op(3, 10, 11, "flush"))

    def test_an_add_that_loses_to_nothing_is_refused(self):
        self.refused(op(1, 0, 1, "add", A, EXISTS), evict=True)

    def test_a_lost_increment_is_refused_also_with_evictions(self):
        history = (op(1, 0, 1, "set", N, (STORED, None)), op(1, 2, 9, "incr", 1, (N + 1, None)))
        self.refused(*history, op(2, 2, 9, "incr", 1, (N + 1, None)), evict=True)
        self.accepted(*history, op(2, 2, 9, "incr", 1, (N + 2, None)))

    def test_an_increment_of_what_is_no_number_is_refused(self):
        self.refused(op(1, 0, 1, "set", A, (STORED, None)), op(1, 2, 3, "incr", 1, (1, None)),
                     evict=True)
        self.accepted(op(1, 0, 1, "set", A, (STORED, None)), op(1, 2, 3, "incr", 1, NO_NUMBER))

    def test_a_value_that_nobody_wrote_is_refused(self):
        self.refused(op(1, 0, 1, "set", A, (STORED, None)), op(1, 2, 3, "get", None, (B, None)),
                     evict=True)

    def test_what_is_deleted_or_flushed_stays_away(self):
        for gone in ("delete", "flush"):
            history = (op(1, 0, 1, "set", A, (STORED, None)), op(1, 2, 3, gone))
            self.refused(*history, op(2, 4, 5, "get", None, (A, None)), evict=True)
            self.accepted(*history, op(2, 2, 5, "get", None, (A, None)))
            self.accepted(*history, op(2, 4, 5, "touch", None, MISS))
            self.refused(*history, op(2, 4, 5, "touch", None, DONE), evict=True)

    def test_a_change_that_meets_a_flush_comes_before_it_or_after(self):
        history = (op(1, 0, 1, "set", N, (STORED, 5)), op(2, 2, 9, "flush"))
        for change, seen in ((op(1, 4, 11, "incr", 1, (N + 1, None)), N + 1),
                             (op(1, 4, 11, "cas", (5, B), (STORED, 6)), B)):
            self.accepted(*history, change, op(3, 12, 13, "get", None, MISS))
            self.refused(*history, change, op(3, 12, 13, "get", None, (seen, None)),
                         evict=True)
            self.refused(*history, change._replace(begin=10), evict=True)
            self.accepted(*history, change._replace(result=MISS),
                          op(3, 12, 13, "get", None, MISS))
        self.accepted(*history, op(1, 4, 11, "set", A, (STORED, 6)),
                      op(3, 12, 13, "get", None, (A, 6)))
        self.refused(*history, op(3, 10, 11, "get", None, (N, None)), evict=True)

    def test_two_deletes_of_one_item_are_refused(self):
        self.refused(op(1, 0, 1, "set", A, (STORED, None)), op(1, 2, 9, "delete"),
                     op(2, 2, 9, "delete"), evict=True)

    def test_a_unique_of_two_values_is_refused(self):
        self.refused(op(1, 0, 1, "set", A, (STORED, 5)), op(2, 2, 3, "set", B, (STORED, 5)))
        self.refused(op(1, 0, 1, "set", A, (STORED, 5)), op(1, 2, 3, "get", None, (A, 6)),
                     evict=True)

    def test_one_clients_commands_of_one_pipeline_keep_their_order(self):
        self.refused(op(1, 0, 9, "set", A, (STORED, None)), op(1, 0, 9, "get", None, MISS))
        self.accepted(op(1, 0, 9, "get", None, MISS), op(1, 0, 9, "set", A, (STORED, None)))

    def test_a_refused_write_counts_only_where_memory_may_be_short(self):
        history = (op(1, 0, 1, "set", A, (STORED, None)), op(1, 2, 3, "set", (1, 2), FAILED))
        self.refused(*history)
        self.accepted(*history, op(1, 4, 5, "get", None, MISS), evict=True)
        self.accepted(*history, op(1, 4, 5, "get", None, (A, None)), evict=True)
        self.refused(*history, op(1, 4, 5, "get", None, ((1, 2), None)), evict=True)

    def test_a_mixed_value_is_seen_at_once(self):
        (one, flags), (other, _) = make_value(1, 1, 300), make_value(2, 1, 300)
        self.assertEqual(value_name(one, flags), (1, 1))
        for cut in range(1, len(one)):
            if one[cut:] != other[cut:]:
                with self.assertRaises(Mixed):
                    value_name(one[:cut] + other[cut:], flags)
        with self.assertRaises(Mixed):
            value_name(one, flags + 1)
        with self.assertRaises(Mixed):
            value_name(one[:-1], flags)

    def test_one_false_reply_in_a_long_history_is_refused(self):
        ops, value = [], N
        for i in range(1500):
            ops.append(op(i % 5, 10 * i, 10 * i + 25, "incr", 1, (value + 1 + i, None)))
        first = op(9, -2, -1, "set", N, (STORED, None))
        self.accepted(first, *ops)
        ops[1200] = ops[1200]._replace(result=(value + 1200, None))
        self.refused(first, *ops, evict=True)


if __name__ == "__main__":
    unittest.main()
