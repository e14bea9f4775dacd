#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Protects the datagrams (-U): frames, answers of many datagrams, and above all that nobody
can use the server to send others more than he sent himself.

That nothing is answered is never concluded from silence for a while: behind each question
comes a probe on the same socket, and answers keep their order, so what has not come before
the probe's answer does not come.
"""
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import packets
import server

FACTOR = 3              # the default of -o udp_amplification
OVERHEAD = 28           # IP and UDP
PAYLOAD = 1392
ANSWER_MAX = 448 * 1024
SEED = int(os.environ.get("LARDER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
PROBE = 0xbeef


def packet(opcode, opaque=0, **options):
    return packets.request("op_%02x" % opcode, opaque=struct.pack(">I", opaque), **options)


def frame(body, number=1, sequence=0, count=1, rest=0):
    return struct.pack(">HHHH", number, sequence, count, rest) + body


class Udp:
    """A socket that talks to one server."""

    def __init__(self, port, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.settimeout(server.REPLY_SECONDS * 3)
        self.socket.connect((host, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def room(self):
        """What the kernel keeps for us until we read it, each datagram taking about 2304."""
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) * 1400 // 2304

    def send(self, datagram):
        self.socket.send(datagram)

    def receive(self):
        return self.socket.recv(65536)

    def all(self, datagram):
        """Every datagram that is sent for this one, in order."""
        self.send(datagram)
        self.send(frame(b"mn\r\n", PROBE))
        got = []
        while True:
            answer = self.receive()
            if answer == frame(b"MN\r\n", PROBE):
                return got
            got.append(answer)

    def until_answered(self):
        """Asks again and again: of datagrams that come too fast the kernel drops some."""
        end = time.monotonic() + server.START_SECONDS * 2
        self.socket.settimeout(0.2)
        while time.monotonic() < end:
            self.send(frame(b"get one\r\n"))
            try:
                if self.receive() == frame(b"VALUE one 0 1\r\n1\r\nEND\r\n"):
                    return
            except socket.timeout:
                pass
        raise server.Failure("no answer to any of many datagrams")

    def ask(self, body, number=1, **options):
        """The messages that answer a request, each put together from its datagrams."""
        messages, parts = [], []
        for datagram in self.all(frame(body, number, **options)):
            got, sequence, count, rest = struct.unpack(">HHHH", datagram[:8])
            assert (got, rest) == (number, 0), datagram[:8]
            assert sequence == len(parts) and sequence < count, datagram[:8]
            assert len(datagram) <= 1400
            parts.append(datagram[8:])
            if len(parts) == count:
                assert all(len(part) == PAYLOAD for part in parts[:-1])
                messages.append(b"".join(parts))
                parts = []
        assert not parts, "a message without an end"
        return messages


class UdpServer(server.Server):
    """A server with a UDP port of its own."""

    def __init__(self, *options, everywhere=False, more=None):
        self.everywhere = everywhere
        self.folder = tempfile.TemporaryDirectory()
        os.chmod(self.folder.name, 0o777)
        self.ports = os.path.join(self.folder.name, "ports")
        super().__init__("-U", "-1", *options,
                         env=dict({"MEMCACHED_PORT_FILENAME": self.ports}, **(more or {})))

    def __exit__(self, *what):
        try:
            return super().__exit__(*what)
        finally:
            self.errors.close()
            self.folder.cleanup()

    def command(self, port):
        words = super().command(port)
        return ["*" if self.everywhere and word == "127.0.0.1" else word for word in words]

    def udp_ports(self):
        with open(self.ports) as file:
            return [line.split(":") for line in file.read().split("\n") if "UDP" in line]

    def udp(self, host="127.0.0.1"):
        return Udp(int(self.udp_ports()[0][1]), host)

    def put(self, key, value):
        with self.connect() as talk:
            talk.ask(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n")

    def count(self, name):
        return int(self.stats()["udp_" + name])


# Requests of all kinds, each as small as it can be.
KEYS = (b"one", b"kilo", b"large", b"huge", b"none", b"number")
TEXT = [line + b"\r\n" for line in (
    b"stats", b"stats settings", b"stats items", b"stats slabs", b"stats sizes",
    b"stats conns", b"stats detail on", b"stats detail dump", b"stats cachedump 1 0",
    b"stats cachedump 5 100", b"stats reset", b"version", b"verbosity 0", b"mn",
    b"lru_crawler metadump all", b"lru_crawler metadump hash", b"lru_crawler mgdump all",
    b"lru_crawler mgdump hash", b"lru_crawler crawl all", b"lru_crawler enable",
    b"slabs automove 0", b"slabs reassign 1 2", b"lru mode flat", b"lru tune 10 25 0.1 2.0",
    b"cache_memlimit 64", b"watch", b"watch fetchers", b"shutdown", b"refresh_certs",
    b"extstore recache_rate 1", b"quit", b"get", b"gets", b"gat 0", b"set", b"mg", b"me",
    b"GET one", b"ERROR", b"nonsense", b"", b"get " + 251 * b"k",
    b"set one 0 0 -1", b"incr one 1", b"touch one 0", b"ms one x", b"ms one S1",
    b"get one kilo large huge none number", b"gets " + 100 * b"one ",
    b"gat 0 huge", b"gats 0 large huge", b"incr number 1", b"decr number 1",
    b"delete none", b"delete none noreply", b"touch one 0 noreply",
    b"mg huge v", b"mg huge v k O123456 c f s t h l", b"mg none v N30 T0",
    b"mg large v q", b"ma number", b"ma number v t c k", b"md none", b"me huge", b"me one",
    b"ms tiny 1 c k b\r\n1", b"set tiny 0 0 1\r\n1", b"set tiny 0 0 1 noreply\r\n1",
    b"append tiny 0 0 1\r\n1", b"prepend tiny 0 0 1\r\n1", b"add tiny 0 0 1\r\n1",
    b"replace tiny 0 0 1\r\n1", b"cas tiny 0 0 1 1\r\n1", b"set tiny 0 0 2000000\r\n",
    b"lru_crawler metadump all prefix=h", b"lru_crawler mgdump all prefix=filler limit=9",
    b"flush_prefix filler", b"flush_prefix", b"flush_prefix a noreply",
    b"flush_all 1000000", b"flush_all -1", b"flush_all noreply 1")
] + [verb + b" " + key + b"\r\n" for verb in (b"get", b"gets", b"gat 0", b"mg", b"me")
     for key in KEYS]


def binary_requests():
    yield from (packet(opcode, opaque=7) for opcode in range(0x30))
    for key in KEYS:
        for opcode in (0x00, 0x09, 0x0c, 0x0d, 0x04, 0x1c):
            extras = b"\0\0\0\0" if opcode == 0x1c else b""
            if opcode != 0x04:
                yield packet(opcode, key=key, extras=extras)
    for report in (b"", b"settings", b"items", b"slabs", b"sizes", b"detail dump"):
        yield packet(0x10, key=report)
    yield packet(0x01, key=b"tiny", extras=8 * b"\0", value=b"1")
    yield packet(0x11, key=b"tiny", extras=8 * b"\0", value=b"1")
    yield packet(0x05, key=b"number", extras=struct.pack(">QQI", 1, 0, 0))
    yield packet(0x01, key=b"tiny", extras=8 * b"\0", value=b"1")[:-1]


REQUESTS = TEXT + list(binary_requests())


def fill(cache):
    cache.put(b"one", b"1")
    cache.put(b"kilo", 1000 * b"k")
    cache.put(b"large", 3000 * b"l")
    cache.put(b"huge", 100000 * b"h")
    cache.put(b"number", b"10")
    for i in range(200):
        cache.put(b"filler-%d" % i, 50 * b"f")


class TestFrames(unittest.TestCase):
    def setUp(self):
        self.cache = UdpServer("-o", "udp_amplification=0")
        self.cache.__enter__()
        self.addCleanup(self.cache.__exit__, None, None, None)
        self.udp = self.cache.udp()
        self.addCleanup(self.udp.socket.close)
        self.cache.put(b"a", b"1")

    def test_a_get_is_answered_with_its_number(self):
        self.assertEqual(self.udp.all(bytes.fromhex("1234000000010000") + b"get a\r\n"),
                         [bytes.fromhex("1234000000010000") + b"VALUE a 0 1\r\n1\r\nEND\r\n"])

    def test_a_long_answer_is_cut_and_numbered(self):
        self.cache.put(b"big", 3000 * b"x")
        got = self.udp.all(frame(b"get big\r\n", 9))
        whole = b"VALUE big 0 3000\r\n" + 3000 * b"x" + b"\r\nEND\r\n"
        self.assertEqual([len(datagram) for datagram in got],
                         [1400, 1400, len(whole) - 2 * PAYLOAD + 8])
        for i, datagram in enumerate(got):
            self.assertEqual(datagram[:8], struct.pack(">HHHH", 9, i, 3, 0))
        self.assertEqual(b"".join(datagram[8:] for datagram in got), whole)

    def test_an_answer_of_one_full_datagram_stays_one(self):
        for length in (PAYLOAD - 1, PAYLOAD, PAYLOAD + 1):
            head = b"VALUE full 0 1370\r\n"
            value = (length - len(head) - 7) * b"f"
            self.cache.put(b"full", value)
            got = self.udp.all(frame(b"get full\r\n"))
            self.assertEqual(sum(len(datagram) - 8 for datagram in got), length)
            self.assertEqual(len(got), 1 if length <= PAYLOAD else 2)

    def test_requests_of_several_datagrams_are_dropped(self):
        before = self.cache.count("malformed")
        for count in (0, 2, 256, 65535):
            self.assertEqual(self.udp.all(frame(b"get a\r\n", count=count)), [])
        self.assertEqual(self.cache.count("malformed"), before + 4)

    def test_sequence_and_last_field_do_not_matter(self):
        self.assertEqual(self.udp.ask(b"get a\r\n", sequence=5, rest=7),
                         [b"VALUE a 0 1\r\n1\r\nEND\r\n"])

    def test_each_command_has_a_message_of_its_own(self):
        self.assertEqual(self.udp.ask(b"get a\r\nmn\r\nget b\r\n"),
                         [b"VALUE a 0 1\r\n1\r\nEND\r\n", b"MN\r\n", b"END\r\n"])

    def test_all_keys_of_a_get_are_one_message(self):
        one = b"VALUE a 0 1\r\n1\r\n"
        self.assertEqual(self.udp.ask(b"get a a\r\n"), [2 * one + b"END\r\n"])
        self.assertEqual(self.udp.ask(b"get" + 3000 * b" a" + b"\r\n"),
                         [3000 * one + b"END\r\n"])
        self.assertEqual(self.udp.ask(b"get" + 9000 * b" b" + b"\r\n"), [b"END\r\n"])

    def test_what_has_no_end_is_dropped_and_leaves_nothing(self):
        for cut in (b"get a", b"set a 0 0 5\r\n12", b"set a 0 0 30000\r\n" + 9999 * b"x",
                    b"m", b"\x80", packet(0x01, key=b"a", extras=8 * b"\0", value=b"9")[:-1]):
            before = self.cache.count("malformed")
            self.assertEqual(self.udp.all(frame(cut)), [])
            self.assertEqual(self.cache.count("malformed"), before + 1)
            self.assertEqual(self.udp.ask(b"\r\n"), [])
            self.assertEqual(self.udp.ask(b"get a\r\n"), [b"VALUE a 0 1\r\n1\r\nEND\r\n"])

    def test_what_is_too_short_is_dropped(self):
        for size in range(9):
            self.assertEqual(self.udp.all(frame(b"")[:size]), [])

    def test_packets_are_answered_by_packets(self):
        hello = packet(0x0a, opaque=0x01020304)
        (got,) = self.udp.ask(hello, number=7)
        self.assertEqual(got[:2] + got[12:16], b"\x81\x0a\x01\x02\x03\x04")
        got = self.udp.ask(packet(0x01, key=b"k", extras=b"\0\0\0\5" + 4 * b"\0", value=b"v")
                           + packet(0x00, key=b"k") + packet(0x0a), number=7)
        self.assertEqual([message[1] for message in got], [0x01, 0x00, 0x0a])
        self.assertEqual(got[1][24:], b"\0\0\0\5v")

    def test_the_protocol_is_chosen_anew_for_each_datagram(self):
        for _ in range(3):
            self.assertEqual(self.udp.ask(b"mn\r\n"), [b"MN\r\n"])
            self.assertEqual(self.udp.ask(packet(0x0a))[0][:1], b"\x81")

    def test_values_come_with_their_command(self):
        for size in (0, 1, 2000, 8191, 8192, 8193, 16384, 65000):
            value = bytes(random.randrange(32, 127) for _ in range(97)) * 700
            value = value[:size]
            self.assertEqual(self.udp.ask(b"set v 3 0 %d\r\n%s\r\n" % (size, value)),
                             [b"STORED\r\n"])
            self.assertEqual(self.udp.ask(b"get v\r\n"),
                             [b"VALUE v 3 %d\r\n%s\r\nEND\r\n" % (size, value)])

    def test_noreply_and_quiet_commands_are_run_and_not_answered(self):
        self.assertEqual(self.udp.ask(b"set n 0 0 1 noreply\r\n5\r\n"), [])
        self.assertEqual(self.udp.ask(b"incr n 2 noreply\r\n"), [])
        self.assertEqual(self.udp.ask(packet(0x11, key=b"m", extras=8 * b"\0", value=b"8")),
                         [])
        self.assertEqual(self.udp.ask(b"ms q 1 q\r\n9\r\n"), [])
        self.assertEqual(self.udp.ask(b"get n m q\r\n"),
                         [b"VALUE n 0 1\r\n7\r\nVALUE m 0 1\r\n8\r\nVALUE q 0 1\r\n9\r\nEND\r\n"])

    def test_what_is_no_command_ends_the_datagram_unanswered(self):
        before = self.cache.count("malformed")
        self.assertEqual(self.udp.ask(b"nonsense\r\nset a 0 0 1\r\n2\r\n"), [])
        self.assertEqual(self.udp.ask(b"mn\r\nnonsense\r\nmn\r\n"), [b"MN\r\n"])
        self.assertEqual(self.udp.ask(b"watch\r\nmn\r\n"), [])
        self.assertEqual(self.udp.ask(b"quit\r\nmn\r\n"), [])
        self.assertEqual(self.udp.ask(b"get a\r\n"), [b"VALUE a 0 1\r\n1\r\nEND\r\n"])
        self.assertEqual(self.cache.count("malformed"), before + 4)

    def test_bad_lines_of_commands_are_answered(self):
        self.assertEqual(self.udp.ask(b"incr a\r\n"),
                         [b"CLIENT_ERROR bad command line format\r\n"])
        self.assertEqual(self.udp.ask(b"set a 0 0 x\r\n"),
                         [b"CLIENT_ERROR bad command line format\r\n"])

    def test_the_longest_answer_is_448_kib(self):
        if self.udp.room() > 2 * ANSWER_MAX: # else the kernel drops some of it here
            self.cache.put(b"big", 440 * 1024 * b"x")
            (got,) = self.udp.ask(b"get big\r\n")
            self.assertEqual(
                len(got), 440 * 1024 + len(b"VALUE big 0 450560\r\n\r\nEND\r\n"))
        self.cache.put(b"big", 450 * 1024 * b"x")
        self.assertEqual(self.udp.ask(b"get big\r\nmn\r\n"),
                         [b"SERVER_ERROR reply too long\r\n"])
        self.assertEqual(self.cache.count("limited"), 1)

    def test_reports_come_whole(self):
        (report,) = self.udp.ask(b"stats\r\n")
        self.assertIn(b"STAT udp_requests ", report)
        self.assertTrue(report.endswith(b"\r\nEND\r\n"))
        (dump,) = self.udp.ask(b"lru_crawler metadump all\r\n")
        self.assertIn(b"key=a ", dump)
        self.assertTrue(dump.endswith(b"END\r\n"))


class TestBound(unittest.TestCase):
    def check(self, factor, requests, udp):
        """No request gets more than `factor` times what it was, counted in both ways."""
        answers = 0
        for request in requests:
            datagram = frame(request)
            got = udp.all(datagram)
            answers += len(got)
            self.assertLessEqual(sum(map(len, got)), factor * len(datagram), request[:80])
            self.assertLessEqual(sum(len(one) + OVERHEAD for one in got),
                                 factor * (len(datagram) + OVERHEAD), request[:80])
        return answers

    def run_bound(self, factor, requests, *options):
        with UdpServer("-o", "udp_amplification=%d" % factor, *options) as cache:
            fill(cache)
            with cache.udp() as udp:
                return self.check(factor, requests, udp)

    def test_no_command_amplifies(self):
        with UdpServer("-A") as cache:
            fill(cache)
            with cache.udp() as udp:
                requests = [one for one in REQUESTS if one != b"shutdown\r\n"]
                self.assertGreater(self.check(FACTOR, requests, udp), len(requests) // 2)
            self.assertGreater(cache.count("limited"), 20)

    def test_no_command_amplifies_with_other_factors(self):
        for factor in (1, 2, 10):
            self.run_bound(factor, REQUESTS)

    def test_no_pipeline_amplifies(self):
        draw = random.Random(SEED)
        pipelines = []
        for _ in range(300):
            kind = draw.choice((TEXT, list(binary_requests()), REQUESTS))
            body = b"".join(draw.choice(kind) for _ in range(draw.randrange(1, 30)))
            pipelines.append(body)
        pipelines += [n * b"mn\r\n" for n in (1, 2, 10, 100)]
        pipelines += [n * b"get one\r\n" for n in (2, 10, 100)]
        pipelines += [b"get" + n * b" huge" + b"\r\n" for n in (2, 10, 100, 1000)]
        print("seed %d" % SEED, file=sys.stderr)
        self.run_bound(FACTOR, pipelines)

    def test_what_may_not_be_sent_is_refused_in_few_bytes(self):
        with UdpServer() as cache:
            fill(cache)
            with cache.udp() as udp:
                limited = cache.count("limited")
                self.assertEqual(udp.ask(b"get large\r\nmn\r\n"),
                                 [b"SERVER_ERROR reply too long\r\n"])
                (got,) = udp.ask(packet(0x00, key=b"large", opaque=0x01020304))
                self.assertEqual(got[:2] + got[6:8] + got[12:16],
                                 b"\x81\0\0\3\1\2\3\4")
                self.assertEqual(cache.count("limited"), limited + 2)
                # What was refused has left nothing behind.
                self.assertEqual(udp.ask(b"get one\r\n"), [b"VALUE one 0 1\r\n1\r\nEND\r\n"])
            self.assertEqual(cache.stats()["pinned_bytes"], "0")

    def test_a_client_that_sends_more_is_answered_more(self):
        with UdpServer() as cache:
            fill(cache)
            with cache.udp() as udp:
                whole = b"VALUE large 0 3000\r\n" + 3000 * b"l" + b"\r\nEND\r\n"
                self.assertEqual(udp.ask(b"get large" + 1024 * b" " + b"\r\n"), [whole])

    def test_an_answer_is_not_answered(self):
        """Else two servers could be set to talk to each other for ever."""
        with UdpServer("-o", "udp_amplification=0") as cache:
            fill(cache)
            cache.put(b"echo", b"get echo\r\nmn\r\n")
            cache.put(b"large", b"get echo\r\n" * 500)
            with cache.udp() as udp:
                for request in REQUESTS + [b"get echo\r\n", b"mg echo v\r\n"]:
                    mgdump = b"mgdump" in request # whose rows are commands
                    for answer in udp.all(frame(request)):
                        again = udp.all(answer)
                        for third in again if mgdump else []:
                            self.assertEqual(udp.all(third), [], (request, third))
                        if not mgdump:
                            self.assertEqual(again, [], (request, answer[:80]))

    def test_flooded_with_questions_it_does_not_grow(self):
        """The answers go to a socket that nobody reads."""
        with UdpServer("-o", "udp_amplification=0") as cache:
            fill(cache)
            with cache.udp() as flood, cache.udp() as other, cache.connect() as talk:
                flood.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                for _ in range(50):
                    flood.send(frame(b"get huge\r\n"))
                other.until_answered()
                before = cache.rss()
                for _ in range(500):
                    flood.send(frame(b"get huge\r\n"))
                talk.ask(b"mn\r\n", b"MN\r\n")
                other.until_answered()
                if not server.sanitized():
                    self.assertLess(cache.rss() - before, 8 << 20)


class TestRubbish(unittest.TestCase):
    def test_any_datagrams_leave_it_serving(self):
        draw = random.Random(SEED)
        print("seed %d" % SEED, file=sys.stderr)
        with UdpServer("-o", "udp_amplification=0") as cache, cache.udp() as udp:
            cache.put(b"keep", b"safe")
            for turn in range(1500):
                body = draw.choice(REQUESTS)
                if b"flush_all" in body or body[:2] in (b"\x80\x08", b"\x80\x18"):
                    continue
                way = turn % 4
                if way == 0:
                    datagram = draw.randbytes(draw.randrange(0, 200))
                elif way == 1:
                    datagram = frame(body)[:draw.randrange(0, len(body) + 8)]
                elif way == 2:
                    datagram = bytearray(frame(body))
                    for _ in range(draw.randrange(1, 4)):
                        datagram[draw.randrange(len(datagram))] = draw.randrange(256)
                else:
                    datagram = frame(b"\x80" + draw.randbytes(draw.randrange(0, 100)))
                udp.send(bytes(datagram))
                if turn % 10 == 9:
                    self.drain(udp, turn)
            # A changed byte may have made a flush of what was none; but it serves. From a port
            # of its own: a late answer to rubbish, by another thread, is none of this one.
            cache.put(b"keep", b"safe")
            with cache.udp() as fresh:
                self.assertEqual(fresh.ask(b"get keep\r\n"),
                                 [b"VALUE keep 0 4\r\nsafe\r\nEND\r\n"])

    def drain(self, udp, turn):
        udp.send(frame(b"mg probe%d k\r\n" % turn, PROBE))
        while True:
            answer = udp.receive()
            if answer == frame(b"EN kprobe%d\r\n" % turn, PROBE):
                return

    def test_figures_add_up(self):
        with UdpServer() as cache, cache.udp() as udp:
            udp.ask(b"mn\r\n")                   # 2 datagrams, 2 answers
            udp.ask(b"get none\r\n")             # 2, 2
            udp.all(b"short")                    # 2, 1, malformed
            cache.put(b"large", 3000 * b"x")
            udp.ask(b"get large\r\n")            # 2, 2, limited
            rows = cache.stats()
            self.assertEqual([int(rows["udp_" + name]) for name in (
                "requests", "replies", "malformed", "limited", "drops")], [8, 7, 1, 1, 0])


class TestSockets(unittest.TestCase):
    def test_the_reports_show_it(self):
        with UdpServer("-t", "3") as cache, cache.udp() as udp:
            port = int(cache.udp_ports()[0][1])
            rows = cache.stats(b"conns")
            fds = [name.split(":")[0] for name in rows if name.endswith(":UDP")]
            self.assertEqual(len(fds), 3)
            for fd in fds:
                self.assertEqual(rows[fd + ":UDP"], "UDP")
                self.assertEqual(rows[fd + ":addr"], "udp:127.0.0.1:%d" % port)
                self.assertEqual(rows[fd + ":state"], "conn_read")
                self.assertNotIn(fd + ":listen_addr", rows)
            settings = cache.stats(b"settings")
            self.assertEqual(settings["udpport"], "-1")
            self.assertEqual(settings["num_threads_per_udp"], "3")
            self.assertEqual(settings["udp_amplification"], "3")
            with cache.connect() as talk: # datagrams are no connections
                counts = []
                for _ in range(2):
                    talk.send(b"stats\r\n")
                    counts.append([line for line in talk.until(b"END\r\n").split(b"\r\n")
                                   if b"total_connections" in line])
                    udp.ask(b"mn\r\n")
                self.assertEqual(counts[0], counts[1])

    def test_every_worker_answers(self):
        with UdpServer("-t", "4") as cache:
            for _ in range(64):
                with cache.udp() as udp:
                    self.assertEqual(udp.ask(b"mn\r\n"), [b"MN\r\n"])

    def test_a_list_of_addresses_has_a_socket_each(self):
        with UdpServer("-l", "127.0.0.2") as cache:
            ports = cache.udp_ports()
            self.assertEqual(len(ports), 2)
            self.assertEqual(cache.stats(b"settings")["num_threads_per_udp"], "1")
            for host, (_, port) in zip(("127.0.0.1", "127.0.0.2"), ports):
                with Udp(int(port), host) as udp:
                    self.assertEqual(udp.ask(b"mn\r\n"), [b"MN\r\n"])

    def test_it_answers_from_the_address_that_was_asked(self):
        with UdpServer(everywhere=True) as cache:
            for name, port in cache.udp_ports():
                hosts = ["::1"] if "INET6" in name else ["127.0.0.1", "127.0.0.3"]
                for host in hosts:
                    with Udp(int(port), host) as udp: # connected: takes from there alone
                        self.assertEqual(udp.ask(b"mn\r\n"), [b"MN\r\n"])

    def test_without_a_tcp_port_it_serves_udp_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            ports = os.path.join(folder, "ports")
            process = subprocess.Popen(
                [server.binary(), *(["-u", "root"] if os.geteuid() == 0 else []),
                 "-p", "0", "-U", "-1"], env=dict(os.environ, MEMCACHED_PORT_FILENAME=ports))
            try:
                self.wait_for(lambda: os.path.exists(ports))
                with open(ports) as file:
                    text = file.read()
                self.assertNotIn("TCP", text)
                with Udp(int(text.split(":")[1])) as udp:
                    self.assertEqual(udp.ask(b"mn\r\n"), [b"MN\r\n"])
            finally:
                process.terminate()
                self.assertEqual(process.wait(server.STOP_SECONDS), 0)

    def wait_for(self, condition):
        end = time.monotonic() + server.START_SECONDS * 2
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_a_port_that_is_taken_is_not_shared(self):
        with UdpServer() as cache:
            port = cache.udp_ports()[0][1].strip()
            done = subprocess.run(
                [server.binary(), *(["-u", "root"] if os.geteuid() == 0 else []),
                 "-p", "0", "-U", port], stderr=subprocess.PIPE,
                timeout=server.START_SECONDS)
            self.assertEqual(done.returncode, 71)
            self.assertIn(b"Address already in use", done.stderr)
            with cache.udp() as udp:
                self.assertEqual(udp.ask(b"mn\r\n"), [b"MN\r\n"])

    def test_with_a_unix_socket_there_is_none(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            path = os.path.join(folder, "socket")
            process = subprocess.Popen(
                [server.binary(), *(["-u", "root"] if os.geteuid() == 0 else []),
                 "-s", path, "-U", "-1"])
            try:
                self.wait_for(lambda: os.path.exists(path))
                with socket.socket(socket.AF_UNIX) as talk:
                    talk.settimeout(server.REPLY_SECONDS)
                    self.wait_for(lambda: talk.connect_ex(path) in (0, 106))
                    talk.sendall(b"stats conns\r\n")
                    text = b""
                    while not text.endswith(b"END\r\n"):
                        text += talk.recv(65536)
                self.assertNotIn(b"UDP", text)
            finally:
                process.terminate()
                self.assertEqual(process.wait(server.STOP_SECONDS), 0)

    def test_it_stops_while_datagrams_come(self):
        for _ in range(3):
            with UdpServer("-t", "2") as cache, cache.udp() as udp:
                for _ in range(200):
                    udp.send(frame(b"get none\r\n"))


class TestClient(unittest.TestCase):
    def test_libmemcached_writes_by_datagrams(self):
        program = os.path.join(os.path.dirname(os.path.abspath(server.binary())),
                               "tests/clients/libmemcached_udp")
        if not os.path.exists(program) and os.environ.get("LARDER_CHECK_ALL") != "1":
            self.skipTest("not built: libmemcached_udp.c")
        with UdpServer("-t", "2") as cache:
            before = cache.count("requests")
            done = subprocess.run(
                [program, "127.0.0.1", str(cache.port), cache.udp_ports()[0][1].strip()],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertGreaterEqual(cache.count("requests"), before + 8)


if __name__ == "__main__":
    if server.peer():
        server.skip("tells of Larder's own bounds")
    unittest.main(verbosity=2)
