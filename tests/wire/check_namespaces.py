#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Protects --listener: what is served in different namespaces of one server is apart (keys,
flush_all, statistics, eviction, watchers), what a listener does without is refused in every
protocol and changes nothing, and a unix socket lets in whom it is to let in.
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import packets
import server
from check_udp import Udp

if server.peer():
    server.skip("another server has no namespaces")

REFUSED = b"CLIENT_ERROR not allowed on this listener\r\n"
MIB = 1 << 20


class UnixTalk(server.Talk):
    """A server.Talk over a unix socket."""

    def __init__(self, path):  # pylint: disable=super-init-not-called
        self.seconds, self.unread = server.REPLY_SECONDS, b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(self.seconds)
        self.socket.connect(path)


class Listeners(server.Server):
    """A server whose further listeners are on free ports, which it tells in a file; @ in an
    option is a folder."""

    def __init__(self, *options, env=None, hello=None):
        self.folder = tempfile.TemporaryDirectory()
        os.chmod(self.folder.name, 0o777)
        super().__init__(*[str(option).replace("@", self.folder.name) for option in options],
                         env=dict(env or {}, MEMCACHED_PORT_FILENAME=self.path("ports")),
                         hello=hello)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def __exit__(self, *what):
        try:
            return super().__exit__(*what)
        finally:
            self.errors.close()
            self.folder.cleanup()

    def ports(self, protocol="TCP"):
        """In the order of the listeners, that of -p first."""
        with open(self.path("ports"), encoding="ascii") as file:
            return [int(line.split()[-1]) for line in file if line.startswith(protocol)]

    def talk(self, index):
        return server.Talk(self.ports()[index])

    def binary(self, index):
        return packets.Binary(self.talk(index))

    def stats_of(self, index, what=b""):
        with self.talk(index) as talk:
            talk.send(b"stats " + what + b"\r\n" if what else b"stats\r\n")
            rows = talk.until(b"END\r\n").decode("latin-1").split("\r\n")
        return dict(row.split(" ", 2)[1:] for row in rows if row.count(" ") > 1)

    def said(self, text):
        """Waits until it has said so on stderr."""
        end = time.monotonic() + server.REPLY_SECONDS
        while text not in self.stderr():
            if time.monotonic() > end:
                raise server.Failure("%r not in %r" % (text, self.stderr()))
            time.sleep(0.02)


TWO = ("-t", "2", "--listener", "127.0.0.1:0,namespace=perm,memory=8")


class Apart(unittest.TestCase):
    def test_keys_in_all_protocols(self):
        with Listeners(*TWO) as it, it.talk(0) as one, it.talk(1) as two:
            one.ask(b"set k 1 0 3\r\none\r\n", b"STORED\r\n")
            two.ask(b"get k\r\n", b"END\r\n")
            two.ask(b"add k 2 0 3\r\ntwo\r\n", b"STORED\r\n")
            one.ask(b"mg k v f\r\n", b"VA 3 f1\r\none\r\n")
            two.ask(b"mg k v f\r\n", b"VA 3 f2\r\ntwo\r\n")
            two.ask(b"ms other 1\r\nx\r\n", b"HD\r\n")
            one.ask(b"mg other v\r\n", b"EN\r\n")
            one.ask(b"md k\r\n", b"HD\r\n")
            two.ask(b"get k\r\n", b"VALUE k 2 3\r\ntwo\r\nEND\r\n")
            with it.binary(0) as first, it.binary(1) as second:
                self.assertEqual(first.ask("get", key=b"k").status, 1)
                self.assertEqual(second.ask("get", key=b"k").value, b"two")
                first.ask("set", key=b"n", extras=8 * b"\0", value=b"7")
                self.assertEqual(second.ask("get", key=b"n").status, 1)

    def test_datagrams(self):
        with Listeners(*TWO, "-U", "-1") as it:
            first, second = [Udp(port) for port in it.ports("UDP")]
            with first, second:
                self.assertEqual(first.ask(b"set k 0 0 1\r\n1\r\n"), [b"STORED\r\n"])
                self.assertEqual(second.ask(b"get k\r\n"), [b"END\r\n"])
                self.assertEqual(second.ask(b"set k 0 0 1\r\n2\r\n"), [b"STORED\r\n"])
                self.assertEqual(first.ask(b"get k\r\n"), [b"VALUE k 0 1\r\n1\r\nEND\r\n"])
            with it.talk(1) as talk:
                talk.ask(b"get k\r\n", b"VALUE k 0 1\r\n2\r\nEND\r\n")

    def test_large_values_of_many_at_once(self):
        """Values that are sent from where they lie, of both at the same time."""
        with Listeners(*TWO) as it:
            talks = [it.talk(number % 2) for number in range(8)]
            for number, talk in enumerate(talks[:2]):
                talk.ask(b"set big 0 0 500000\r\n" + b"%d" % number * 500000 + b"\r\n",
                         b"STORED\r\n")
            for talk in talks:
                talk.send(b"get big\r\n" * 20)
            for number, talk in enumerate(talks[:6]):  # two leave without having read
                for _ in range(20):
                    talk.expect(b"VALUE big 0 500000\r\n" + b"%d" % (number % 2) * 500000
                                + b"\r\nEND\r\n")
            for talk in talks:
                talk.close()

    def test_flush_all(self):
        with Listeners(*TWO) as it, it.talk(0) as one, it.talk(1) as two:
            for talk in (one, two):
                talk.ask(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
            two.ask(b"flush_all\r\nget k\r\n", b"OK\r\nEND\r\n")
            one.ask(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
            two.ask(b"set k 0 0 1\r\ny\r\n", b"STORED\r\n")
            with it.binary(0) as first:
                self.assertEqual(first.ask("flush").status, 0)
            one.ask(b"get k\r\n", b"END\r\n")
            two.ask(b"get k\r\n", b"VALUE k 0 1\r\ny\r\nEND\r\n")

    def test_statistics(self):
        with Listeners(*TWO) as it, it.talk(0) as one, it.talk(1) as two:
            two.ask(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
            two.ask(b"get k no\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
            first, second = it.stats_of(0), it.stats_of(1)
            for name, value in (("curr_items", "1"), ("get_hits", "1"), ("get_misses", "1"),
                                ("cmd_set", "1"), ("limit_maxbytes", str(8 * MIB))):
                self.assertEqual(second[name], value, name)
            for name in ("curr_items", "get_hits", "get_misses", "cmd_set"):
                self.assertEqual(first[name], "0", name)
            self.assertEqual(first["limit_maxbytes"], str(64 * MIB))
            self.assertEqual(it.stats_of(1, b"settings")["namespace"], "perm")
            self.assertNotIn("namespace", it.stats_of(0, b"settings"))
            one.ask(b"set a 0 0 1\r\nx\r\n", b"STORED\r\n")
            two.ask(b"stats reset\r\n", b"RESET\r\n")
            self.assertEqual(it.stats_of(1)["cmd_set"], "0")
            self.assertEqual(it.stats_of(0)["cmd_set"], "1")
            two.send(b"lru_crawler metadump all\r\n")
            dump = two.until(b"END\r\n")
            self.assertIn(b"key=k ", dump)
            self.assertNotIn(b"key=a ", dump)

    def test_the_memory_limit_and_who_is_evicted(self):
        with Listeners(*TWO) as it, it.talk(0) as one, it.talk(1) as two:
            for number in range(200):
                one.ask(b"set keep%d 0 0 10\r\n0123456789\r\n" % number, b"STORED\r\n")
            for start in range(0, 4000, 100):
                two.send(b"".join(b"set fill%d 0 0 10000 noreply\r\n%s\r\n"
                                  % (number, b"x" * 10000)
                                  for number in range(start, start + 100)) + b"mn\r\n")
                two.expect(b"MN\r\n")
            self.assertGreater(int(it.stats_of(1)["evictions"]), 0)
            self.assertLessEqual(int(it.stats_of(1)["bytes"]), 8 * MIB)
            self.assertEqual(it.stats_of(0)["evictions"], "0")
            for number in range(200):
                one.ask(b"mg keep%d s\r\n" % number, b"HD s10\r\n")
            one.ask(b"cache_memlimit 32\r\n", b"OK\r\n")
            self.assertEqual(it.stats_of(0)["limit_maxbytes"], str(32 * MIB))
            self.assertEqual(it.stats_of(1)["limit_maxbytes"], str(8 * MIB))

    def test_those_who_watch(self):
        with Listeners(*TWO) as it, it.talk(0) as one, it.talk(1) as two, \
                it.talk(1) as watcher:
            two.ask(b"mn\r\n", b"MN\r\n")
            watcher.ask(b"watch mutations connevents\r\n", b"OK\r\n")
            one.ask(b"set secret 0 0 1\r\nx\r\n", b"STORED\r\n")
            two.ask(b"set mine 0 0 1\r\nx\r\n", b"STORED\r\n")
            with it.talk(0):
                pass
            with it.talk(1) as talk:
                talk.ask(b"set last 0 0 1\r\nx\r\n", b"STORED\r\n")
            told = b""
            while b"key=last" not in told:
                told += watcher.until(b"\n")
            self.assertIn(b"key=mine", told)
            self.assertNotIn(b"secret", told)
            self.assertEqual(told.count(b"type=conn_new"), 1)

    def test_listeners_can_share_one(self):
        with Listeners(*TWO, "--listener", "unix:@/s,namespace=perm") as it, \
                it.talk(1) as tcp, UnixTalk(it.path("s")) as local:
            tcp.ask(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
            local.ask(b"get k\r\nflush_all\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\nOK\r\n")
            tcp.ask(b"get k\r\n", b"END\r\n")

    def test_a_whole_server_of_namespaces(self):
        options = []
        for number in range(15):
            options += ["--listener", "127.0.0.1:0,namespace=n%d,memory=%d"
                        % (number, 2 + number)]
        with Listeners("-t", "3", *options) as it:
            for number in range(16):
                with it.talk(number) as talk:
                    talk.ask(b"add k 0 0 2\r\n%02d\r\n" % number, b"STORED\r\n")
            for number in range(16):
                with it.talk(number) as talk:
                    talk.ask(b"get k\r\n", b"VALUE k 0 2\r\n%02d\r\nEND\r\n" % number)
            self.assertEqual(it.stats_of(15)["limit_maxbytes"], str(16 * MIB))

    def test_all_of_memory_together(self):
        with Listeners("--memory-total", "64", *TWO) as it, it.talk(1) as two:
            self.assertLessEqual(int(it.stats_of(0)["limit_maxbytes"]), 56 * MIB)
            self.assertEqual(it.stats_of(1)["limit_maxbytes"], str(8 * MIB))
            two.ask(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")

    def test_metrics_and_json(self):
        http = server.free_port()
        with Listeners(*TWO, "-o", "http=%d" % http) as it, it.talk(1) as two:
            two.ask(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
            two.ask(b"get k no1 no2\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
            address = "http://127.0.0.1:%d/" % http
            with urllib.request.urlopen(address + "metrics") as reply:
                lines = reply.read().decode().split("\n")
            for line in ('items{namespace="perm"} 1', 'get_hits_total{namespace="perm"} 1',
                         'get_misses_total{namespace="perm"} 2',
                         'evictions_total{namespace="perm"} 0',
                         'limit_bytes{namespace="perm"} %d' % (8 * MIB)):
                self.assertIn("larder_namespace_" + line, lines)
            self.assertIn("memcached_current_items 0", lines)
            with urllib.request.urlopen(address + "stats.json") as reply:
                self.assertIn('"namespaces":{"perm":{', reply.read().decode())

    def test_nothing_of_them_is_shown_without_them(self):
        http = server.free_port()
        with Listeners("-o", "http=%d" % http):
            for page in ("metrics", "stats.json"):
                address = "http://127.0.0.1:%d/%s" % (http, page)
                with urllib.request.urlopen(address) as reply:
                    self.assertNotIn("namespace", reply.read().decode())


# ---- Rights --------------------------------------------------------------------------

DENIALS = ("", "admin", "flush", "write", "admin+flush+write")
ADMIN, FLUSH, WRITE = "admin", "flush", "write"

# A command, and which denials refuse it.
TEXT = [
    (b"get k", ()), (b"gets k", ()), (b"version", ()), (b"stats", ()),
    (b"mg k v", ()), (b"mg k s t c h l f", ()), (b"mg k v E5", ()), (b"mn", ()),
    (b"mg a2V5 b v", ()), (b"nonsense", ()), (b"set", ()), (b"ms k S1 x y", ()),
    (b"get " + b"k " * 2000 + b"k", ()),
    (b"set k 0 0 3\r\nnew", WRITE), (b"add new 0 0 3\r\nnew", WRITE),
    (b"replace k 0 0 3\r\nnew", WRITE), (b"append k 0 0 3\r\nnew", WRITE),
    (b"prepend k 0 0 3\r\nnew", WRITE), (b"cas k 0 0 3 1\r\nnew", WRITE),
    (b"set k 0 0 0\r\n", WRITE), (b"set k 0 0 600000\r\n" + b"y" * 600000, WRITE),
    (b"set k 0 0 2000000\r\n" + b"y" * 2000000, WRITE),
    (b"incr n 1", WRITE), (b"decr n 1", WRITE), (b"delete k", WRITE),
    (b"touch k 100", WRITE), (b"gat 100 k", WRITE), (b"gats 100 k n", WRITE),
    (b"ms k 3\r\nnew", WRITE), (b"ms k 3 I T9 MA\r\nnew", WRITE), (b"ms a2V5 1 b\r\nx", WRITE),
    (b"ms k 600000\r\n" + b"y" * 600000, WRITE),
    (b"md k", WRITE), (b"md k I T3", WRITE), (b"md k x", WRITE), (b"ma n", WRITE),
    (b"ma new N0 J5", WRITE), (b"mg k v T100", WRITE), (b"mg new v N9", WRITE),
    (b"mg k R30 v", WRITE), (b"mg a2V5 b N9 v", WRITE),
    (b"flush_all", (FLUSH, WRITE)), (b"flush_all 100", (FLUSH, WRITE)),
    (b"flush_prefix p:", (FLUSH, WRITE)),
    (b"me k", ADMIN), (b"stats settings", ADMIN), (b"stats items", ADMIN),
    (b"stats conns", ADMIN), (b"stats reset", ADMIN), (b"stats detail on", ADMIN),
    (b"stats detail off", ADMIN), (b"stats sizes", ADMIN), (b"stats cachedump 1 1", ADMIN),
    (b"stats hotkeys", ADMIN), (b"stats latency", ADMIN), (b"stats nothing", ADMIN),
    (b"slabs reassign 1 2", ADMIN), (b"slabs automove 1", ADMIN),
    (b"lru mode segmented", ADMIN), (b"lru_crawler metadump all", ADMIN),
    (b"lru_crawler enable", ADMIN), (b"cache_memlimit 64", ADMIN), (b"verbosity 0", ADMIN),
    (b"shutdown", ADMIN), (b"shutdown graceful", ADMIN), (b"refresh_certs", ADMIN),
    (b"extstore free_memchunks 1 1", ADMIN),
]
NOREPLY = [
    (b"set k 0 0 3 noreply\r\nnew", WRITE), (b"append k 0 0 3 noreply\r\nnew", WRITE),
    (b"incr n 1 noreply", WRITE), (b"delete k noreply", WRITE),
    (b"touch k 9 noreply", WRITE), (b"flush_all noreply", (FLUSH, WRITE)),
    (b"verbosity 0 noreply", ADMIN), (b"cache_memlimit 64 noreply", ADMIN),
]
# In the meta protocol q is silent about success and not about errors.
QUIET = [(b"ms k 3 q\r\nnew", WRITE), (b"md k q", WRITE), (b"ma n q", WRITE),
         (b"mg new q N9", WRITE)]

SET = {"extras": 8 * b"\0"}
COUNT = {"extras": 7 * b"\0" + b"\1" + 12 * b"\0"}
TIME = {"extras": b"\0\0\0\x64"}
BINARY = [
    ("get", {"key": b"k"}, ()), ("getq", {"key": b"k"}, ()), ("getk", {"key": b"k"}, ()),
    ("getkq", {"key": b"k"}, ()), ("version", {}, ()), ("noop", {}, ()), ("stat", {}, ()),
    ("set", dict(SET, key=b"k", value=b"new"), WRITE),
    ("setq", dict(SET, key=b"k", value=b"new"), WRITE),
    ("set", dict(SET, key=b"k", value=b"y" * 600000), WRITE),
    ("set", dict(SET, key=b"k", value=b"y" * 2000000), WRITE),
    ("add", dict(SET, key=b"new", value=b"new"), WRITE),
    ("addq", dict(SET, key=b"new", value=b"new"), WRITE),
    ("replace", dict(SET, key=b"k", value=b"new"), WRITE),
    ("replaceq", dict(SET, key=b"k", value=b"new"), WRITE),
    ("append", {"key": b"k", "value": b"new"}, WRITE),
    ("appendq", {"key": b"k", "value": b"new"}, WRITE),
    ("prepend", {"key": b"k", "value": b"new"}, WRITE),
    ("prependq", {"key": b"k", "value": b"new"}, WRITE),
    ("delete", {"key": b"k"}, WRITE), ("deleteq", {"key": b"k"}, WRITE),
    ("incr", dict(COUNT, key=b"n"), WRITE), ("incrq", dict(COUNT, key=b"n"), WRITE),
    ("decr", dict(COUNT, key=b"n"), WRITE), ("decrq", dict(COUNT, key=b"n"), WRITE),
    ("touch", dict(TIME, key=b"k"), WRITE), ("gat", dict(TIME, key=b"k"), WRITE),
    ("gatq", dict(TIME, key=b"k"), WRITE), ("gatk", dict(TIME, key=b"k"), WRITE),
    ("gatkq", dict(TIME, key=b"k"), WRITE),
    ("flush", {}, (FLUSH, WRITE)), ("flushq", {}, (FLUSH, WRITE)),
    ("flush", {"extras": b"\0\0\0\x64"}, (FLUSH, WRITE)),
    ("stat", {"key": b"settings"}, ADMIN), ("stat", {"key": b"reset"}, ADMIN),
    ("stat", {"key": b"items"}, ADMIN), ("stat", {"key": b"detail on"}, ADMIN),
    ("stat", {"key": b"nothing"}, ADMIN),
]


def refuses(denial, needs):
    needs = (needs,) if isinstance(needs, str) else needs
    return any(need in denial.split("+") for need in needs)


class Rights(unittest.TestCase):
    """One server; its listeners share a namespace and differ in what they do without."""
    options = ("-o", "flush_prefix=p:")

    def setUp(self):
        words = []
        for denial in DENIALS[1:]:
            words += ["--listener", "127.0.0.1:0,deny=" + denial]
        self.server = Listeners("-t", "2", *self.options, *words)
        self.server.__enter__()
        self.operator = self.server.talk(0)

    def tearDown(self):
        self.operator.close()
        self.server.__exit__(None, None, None)

    def begin(self):
        """What there is, in a known state."""
        self.operator.ask(b"flush_all\r\ncache_memlimit 64\r\nset k 5 0 3\r\nold\r\n"
                          b"set key 5 0 3\r\nold\r\nset n 0 0 2\r\n10\r\n",
                          b"OK\r\nOK\r\nSTORED\r\nSTORED\r\nSTORED\r\n")

    def is_untouched(self):
        self.operator.ask(b"mg k v f t\r\nmg key v f t\r\nmg n v t\r\nmg new v\r\n",
                          b"VA 3 f5 t-1\r\nold\r\nVA 3 f5 t-1\r\nold\r\n"
                          b"VA 2 t-1\r\n10\r\nEN\r\n")

    def every(self, table):
        """Each command on each listener that is not to say no."""
        for index, denial in enumerate(DENIALS):
            for row in table:
                yield index, denial, row, refuses(denial, row[-1])

    def test_text_and_meta(self):
        for index, denial, (command, _), refused in self.every(TEXT + QUIET):
            with self.subTest(denial=denial, command=command[:60]):
                self.begin()
                with self.server.talk(index) as talk:
                    talk.send(command + b"\r\nmn\r\n")
                    if refused:
                        talk.expect(REFUSED + b"MN\r\n")
                        self.is_untouched()
                    elif command != b"shutdown":
                        self.assertNotIn(REFUSED, talk.until(b"MN\r\n"))

    def test_a_command_in_pieces_is_swallowed_as_well(self):
        index = DENIALS.index("write")
        self.begin()
        with self.server.talk(index) as talk:
            for piece in (b"set k 0 0 10", b"\r", b"\nget ", b"k\r\n", b"end\r", b"\nmn\r\n"):
                talk.send(piece)
                time.sleep(0.01)
            talk.expect(REFUSED + b"MN\r\n")
        self.is_untouched()

    def test_nothing_is_said_to_those_who_want_no_reply(self):
        for index, denial, (command, _), refused in self.every(NOREPLY):
            with self.subTest(denial=denial, command=command):
                self.begin()
                with self.server.talk(index) as talk:
                    talk.ask(command + b"\r\nmn\r\n", b"MN\r\n")
                if refused:
                    self.is_untouched()

    def test_watching(self):
        for index, denial, _, refused in self.every([("watch", ADMIN)]):
            with self.subTest(denial=denial), self.server.talk(index) as talk:
                talk.ask(b"watch fetchers\r\n", REFUSED if refused else b"OK\r\n")

    def test_binary(self):
        for index, denial, (name, parts, _), refused in self.every(BINARY):
            with self.subTest(denial=denial, opcode=name), \
                    self.server.binary(index) as talk:
                self.begin()
                talk.talk.send(packets.request(name, **parts)
                               + packets.request("noop", opaque=b"last"))
                replies = [talk.hear()]
                while replies[-1].opaque != b"last":
                    replies.append(talk.hear())
                if refused:
                    self.assertEqual([(reply.status, reply.value) for reply in replies],
                                     [(0x20, b"Not allowed on this listener"), (0, b"")])
                    self.assertEqual(replies[0].opcode, name)
                    self.is_untouched()
                else:
                    self.assertNotIn(0x20, [reply.status for reply in replies])

    def test_who_may_not_write_is_not_the_one_who_makes_it_anew(self):
        with self.server.talk(DENIALS.index("write")) as talk:
            self.begin()
            self.operator.ask(b"md k I T30\r\n", b"HD\r\n")
            talk.ask(b"mg k v\r\n", b"VA 3 X\r\nold\r\n")
            self.operator.ask(b"mg k v\r\n", b"VA 3 X W\r\nold\r\n")
            talk.ask(b"mg k v\r\n", b"VA 3 Z X\r\nold\r\n")

    def test_blanks_are_no_word(self):
        with self.server.talk(DENIALS.index("admin")) as talk:
            talk.send(b"stats  \r\nmn\r\n")
            self.assertTrue(talk.until(b"MN\r\n").startswith(b"STAT pid "))

    def test_nothing_of_what_is_refused_is_counted(self):
        with self.server.talk(DENIALS.index("admin+flush+write")) as talk:
            before = self.server.stats_of(0)
            talk.ask(b"set k 0 0 1\r\nx\r\nflush_all\r\ndelete k\r\nincr n 1\r\n",
                     4 * REFUSED)
            after = self.server.stats_of(0)
            for name in ("cmd_set", "cmd_flush", "delete_misses", "incr_misses"):
                self.assertEqual(after[name], before[name], name)


class Logins(unittest.TestCase):
    def test_a_login_is_no_write_and_no_way_around(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("magda:secret\n")
            file.flush()
            os.chmod(file.name, 0o644)
            with Listeners("-Y", file.name, "--listener",
                           "127.0.0.1:0,deny=write,namespace=a,memory=4",
                           hello=(b"version\r\n", b"CLIENT_ERROR")) as it, \
                    it.talk(1) as talk:
                talk.ask(b"get k\r\n", b"CLIENT_ERROR unauthenticated\r\n")
                talk.ask(b"set auth 0 0 12\r\nmagda secret\r\n", b"STORED\r\n")
                talk.ask(b"set k 0 0 1\r\nx\r\nget k\r\n", REFUSED + b"END\r\n")


class RightsOfDatagrams(Rights):
    """The same over UDP, and all of the above with it on."""
    options = ("-U", "-1", "-o", "udp_amplification=0,flush_prefix=p:")

    def test_datagrams(self):
        short = [(command, needs) for command, needs in TEXT + QUIET
                 if len(command) < 1000 and command not in (b"nonsense", b"mn")
                 and not command.startswith(b"shutdown")]
        for index, denial, (command, _), refused in self.every(short):
            with self.subTest(denial=denial, command=command):
                self.begin()
                with Udp(self.server.ports("UDP")[index]) as udp:
                    answers = udp.ask(command + b"\r\n")
                if refused:
                    self.assertEqual(answers, [REFUSED])
                    self.is_untouched()
                else:
                    self.assertNotIn(REFUSED, answers)


# ---- Unix sockets, and what can be wrong ------------------------------------------------

class Sockets(unittest.TestCase):
    def test_mode_and_group(self):
        group = os.getgid() if os.geteuid() != 0 else 1
        with Listeners("--listener", "unix:@/a,mode=0660,group=%d" % group,
                       "--listener", "unix:@/b,mode=0666", "--listener", "unix:@/c",
                       "-a", "0711") as it:
            for name, mode in (("a", 0o660), ("b", 0o666), ("c", 0o711)):
                self.assertEqual(os.stat(it.path(name)).st_mode & 0o777, mode, name)
                with UnixTalk(it.path(name)) as talk:
                    talk.ask(b"mn\r\n", b"MN\r\n")
            self.assertEqual(os.stat(it.path("a")).st_gid, group)
            it.stop()
            self.assertEqual(os.listdir(it.folder.name), ["ports"])

    def test_users(self):
        me = os.geteuid()
        with Listeners("-v", "--listener", "unix:@/mine,users=%d+%d" % (me + 1, me),
                       "--listener", "unix:@/other,users=%d" % (me + 1)) as it:
            with UnixTalk(it.path("mine")) as talk:
                talk.ask(b"mn\r\n", b"MN\r\n")
            with UnixTalk(it.path("other")) as talk:
                talk.expect_close()
            self.assertEqual(it.stats_of(0)["rejected_connections"], "1")
            it.said("unix:%s: user %d may not connect" % (it.path("other"), me))
            with it.talk(0) as talk:
                talk.ask(b"mn\r\n", b"MN\r\n")

    def test_only_these_listeners(self):
        port = server.free_port()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            user = ["-u", "root"] if os.geteuid() == 0 else []
            process = subprocess.Popen(
                [server.binary(), *user, "-p", "0", "--listener", "unix:" + path,
                 "--listener", "127.0.0.1:%d" % port], stderr=subprocess.DEVNULL)
            try:
                end = time.monotonic() + server.START_SECONDS
                while not os.path.exists(path) and time.monotonic() < end:
                    time.sleep(0.02)
                end = time.monotonic() + server.START_SECONDS
                while True:
                    try:
                        with server.Talk(port) as talk, UnixTalk(path) as local:
                            talk.ask(b"mn\r\n", b"MN\r\n")
                            local.ask(b"mn\r\n", b"MN\r\n")
                        break
                    except OSError:
                        if time.monotonic() > end:
                            raise
                        time.sleep(0.02)
            finally:
                process.terminate()
                self.assertEqual(process.wait(server.STOP_SECONDS), 0)


class Wrong(unittest.TestCase):
    def refused(self, said, *options):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        run = subprocess.run([server.binary(), *user, "-p", "0", *options],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                             timeout=server.START_SECONDS)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn(said, run.stdout.decode())

    def test_what_is_wrong_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = "unix:" + os.path.join(folder, "s")
            self.refused("--listener %s: group=no-such: there is no such group" % path,
                         "--listener", path + ",group=no-such")
            self.refused("--listener %s: users=no-such: there is no such user" % path,
                         "--listener", path + ",users=0+no-such")
            self.assertEqual(os.listdir(folder), [])
            self.refused("failed to listen on UNIX socket: %s/no/s: No such file"
                         % folder, "--listener", "unix:%s/no/s" % folder)
        self.refused('--listener: no port, and -p is 0: "127.0.0.1"',
                     "--listener", "127.0.0.1")
        self.refused('--listener: Invalid port number: "99999"',
                     "--listener", "127.0.0.1:99999")
        self.refused("--listener: Unknown protocol of a listener",
                     "--listener", "proto[x]:127.0.0.1:1")
        self.refused("getaddrinfo", "--listener", "no.such.invalid:1")
        self.refused("Nearest: --listener", "--lisener", "127.0.0.1:1")
        with Listeners() as it:
            self.refused("Address already in use",
                         "--listener", "127.0.0.1:%d" % it.port)

    def test_check_config_and_sighup(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            os.chmod(file.name, 0o644)
            line = "listener 127.0.0.1:%d,namespace=a,memory=8\n" % server.free_port()
            file.write(line)
            file.flush()
            run = subprocess.run([server.binary(), "--config", file.name, "--check-config"],
                                 stdout=subprocess.PIPE, check=True)
            self.assertIn("\n" + line, run.stdout.decode())
            with Listeners("--config", file.name) as it:
                file.write("listener 127.0.0.1:1,deny=flush\n")
                file.flush()
                it.send_signal(signal.SIGHUP)
                it.said("SIGHUP: listener stays none until a restart, not "
                        "127.0.0.1:1,deny=flush")
                with it.talk(1) as talk:
                    talk.ask(b"mn\r\n", b"MN\r\n")


if __name__ == "__main__":
    sys.exit(unittest.main())
