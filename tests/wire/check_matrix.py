#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every command with every number of words, every storage command with every error.

What it protects: whether an error is heard under noreply, whether the data block behind a
refused line is skipped, and whether the old value survives, are three separate questions
for each error; a client that gets one of them wrong answer is out of step for good. And no
command, however cut short or filled with nonsense, may do more than answer with an error.
"""
import itertools
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

BAD = b"CLIENT_ERROR bad command line format\r\n"
CHUNK = b"CLIENT_ERROR bad data chunk\r\n"
LARGE = b"SERVER_ERROR object too large for cache\r\n"
STORAGE = (b"set", b"add", b"replace", b"append", b"prepend", b"cas")
# Words that are not a length, flags, an exptime, a token.
NO_LENGTH = (b"-1", b"x", b"3x", b"+3", b"1.5", b"2147483646", b"4294967296",
             b"18446744073709551615", b"000000000003")
NO_FLAGS = (b"-1", b"x", b"1x", b"1.5", b"4294967296", b"18446744073709551616")
NO_EXPTIME = (b"x", b"1x", b"1.5", b"--1", b"-")
NO_TOKEN = (b"x", b"-5", b"+5", b"1x", b"18446744073709551616")
ODD = (b"-1", b"0", b"1", b"x", b"255", b"65536", b"2147483648", b"4294967295",
       b"99999999999999999999", b"-99999999999999999999", b"1e9", b"nan", b"\x01\xff",
       b"y" * 240, b",", b"1,,2", b"%n%s")


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = srv.Server("-t", "1")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.talk = self.server.connect()
        self.talk.send(b"version\r\n")
        self.version = self.talk.line()
        self.talk.ask(b"set k 3 0 3\r\nold\r\n", b"STORED\r\n")

    def tearDown(self):
        self.talk.close()

    def check(self, sent, reply, kept=True):
        """The reply, the next command understood, and the old value there or gone."""
        value = b"VALUE k 3 3\r\nold\r\nEND\r\n" if kept else b"END\r\n"
        try:
            self.talk.ask(sent + b"version\r\nget k\r\n", reply + self.version + value)
        except srv.Failure as failure:
            self.fail("%r: %s" % (sent[:120], failure))
        if not kept:
            self.talk.ask(b"set k 3 0 3\r\nold\r\n", b"STORED\r\n")

    def line(self, command, key=b"k", flags=b"1", exptime=b"0", length=b"2", token=b"1",
             noreply=False):
        words = [command, key, flags, exptime, length]
        if command == b"cas":
            words.append(token)
        if noreply:
            words.append(b"noreply")
        return b" ".join(words) + b"\r\n"

    def test_a_line_without_a_length_is_refused_aloud_and_skips_nothing(self):
        for command, noreply in itertools.product(STORAGE, (False, True)):
            words = [command, b"k", b"0", b"0"]
            for count in range(1, 5):
                line = words[:count] + [b"noreply"] * noreply
                self.check(b" ".join(line) + b"\r\n", BAD)

    def test_an_unreadable_length_is_refused_aloud_and_skips_nothing(self):
        for command, length, noreply in itertools.product(STORAGE, NO_LENGTH, (False, True)):
            self.check(self.line(command, length=length, noreply=noreply), BAD)

    def refused(self, command, noreply, **words):
        self.check(self.line(command, noreply=noreply, **words) + b"ab\r\n",
                   b"" if noreply else BAD)

    def test_a_key_that_is_too_long_is_refused_and_its_block_skipped(self):
        for command, noreply in itertools.product(STORAGE, (False, True)):
            self.refused(command, noreply, key=b"k" * 251)

    def test_unreadable_flags_are_refused_and_their_block_skipped(self):
        for command, flags, noreply in itertools.product(STORAGE, NO_FLAGS, (False, True)):
            self.refused(command, noreply, flags=flags)

    def test_an_unreadable_exptime_is_refused_and_its_block_skipped(self):
        for command, time, noreply in itertools.product(STORAGE, NO_EXPTIME, (False, True)):
            self.refused(command, noreply, exptime=time)

    def test_an_unreadable_token_is_refused_and_its_block_skipped(self):
        for token, noreply in itertools.product(NO_TOKEN, (False, True)):
            self.refused(b"cas", noreply, token=token)

    def test_a_broken_block_is_taken_to_its_announced_end(self):
        for command, noreply in itertools.product(STORAGE, (False, True)):
            for block in (b"abXY", b"ab\n\n", b"ab\rX", b"\r\n\r\r"):
                self.check(self.line(command, noreply=noreply) + block,
                           b"" if noreply else CHUNK)

    def test_a_value_that_is_too_large_is_skipped_and_only_set_loses_the_old_one(self):
        block = b"x" * 1100000 + b"\r\n"
        for command, noreply in itertools.product(STORAGE, (False, True)):
            self.check(self.line(command, length=b"1100000", noreply=noreply) + block,
                       b"" if noreply else LARGE, kept=command != b"set")

    def test_conditions_that_fail(self):
        replies = {b"add": b"NOT_STORED\r\n", b"cas": b"EXISTS\r\n"}
        for command, reply in replies.items():
            for noreply in (False, True):
                self.check(self.line(command, noreply=noreply) + b"ab\r\n",
                           b"" if noreply else reply)
        replies = dict.fromkeys((b"replace", b"append", b"prepend"), b"NOT_STORED\r\n")
        replies[b"cas"] = b"NOT_FOUND\r\n"
        for command, reply in replies.items():
            for noreply in (False, True):
                self.check(self.line(command, key=b"none", noreply=noreply) + b"ab\r\n",
                           b"" if noreply else reply)

    def test_surplus_words_are_ignored_in_storage_lines(self):
        for count in (1, 2, 10, 16):
            self.talk.ask(b"set k 3 0 3" + b" more" * count + b"\r\nold\r\n", b"STORED\r\n")
            self.check(b"set k 3 0 3" + b" more" * count + b" noreply\r\nold\r\n", b"")

    def test_every_command_with_every_number_of_words(self):
        cases = {
            b"get": (BAD, b"END\r\n", b"END\r\n", b"END\r\n"),
            b"gets": (BAD, b"END\r\n", b"END\r\n", b"END\r\n"),
            b"gat": (BAD, BAD, b"END\r\n", b"END\r\n", b"END\r\n"),
            b"gats": (BAD, BAD, b"END\r\n", b"END\r\n", b"END\r\n"),
            b"delete": (BAD,) + (b"NOT_FOUND\r\n",) * 4,
            b"touch": (BAD, BAD) + (b"NOT_FOUND\r\n",) * 3,
            b"incr": (BAD, BAD) + (b"NOT_FOUND\r\n",) * 3,
            b"decr": (BAD, BAD) + (b"NOT_FOUND\r\n",) * 3,
            b"verbosity": (BAD, b"OK\r\n"),
            b"version": (self.version,) * 4,
            b"unheard": (b"ERROR\r\n",) * 6,
            b"config": (b"ERROR\r\n",) * 6,
            b"misbehave": (b"ERROR\r\n",) * 2,
            b"debugitem": (b"ERROR\r\n",) * 2,
        }
        for command, replies in cases.items():
            for count, reply in enumerate(replies):
                self.check(command + b" 0" * count + b"\r\n", reply)

    def test_noreply_silences_every_command_that_knows_it(self):
        for words in (b"delete none", b"touch none 1", b"touch none x", b"incr none 1",
                      b"incr k x", b"incr k 1", b"decr none 1", b"verbosity 0",
                      b"verbosity x", b"verbosity", b"cache_memlimit 64", b"slabs automove 1",
                      b"slabs reassign 1 1", b"slabs", b"lru mode segmented", b"lru",
                      b"lru_crawler sleep 100", b"lru_crawler", b"shutdown",
                      b"unheard", b"unheard of"):
            self.check(words + b" noreply\r\n", b"")

    def test_noreply_is_a_key_or_a_mistake_elsewhere(self):
        self.check(b"get noreply\r\n", b"END\r\n")
        self.check(b"gets none noreply\r\n", b"END\r\n")
        self.check(b"gat 0 none noreply\r\n", b"END\r\n")
        self.check(b"version noreply\r\n", self.version)
        self.check(b"stats noreply\r\n", b"ERROR\r\n")

    def test_operators_commands_survive_every_truncation_and_nonsense(self):
        commands = (b"slabs reassign 1 2", b"slabs automove 1", b"slabs automove ratio 0.8",
                    b"slabs automove window 10", b"slabs automove freeratio 0.01",
                    b"lru tune 20 40 0.2 2.0", b"lru mode segmented", b"lru temp_ttl 60",
                    b"lru_crawler enable", b"lru_crawler crawl 1,2",
                    b"lru_crawler tocrawl 0", b"lru_crawler sleep 100",
                    b"lru_crawler metadump all", b"lru_crawler mgdump all",
                    b"lru_crawler metadump all prefix=a%20 limit=1", b"flush_prefix a:",
                    b"cache_memlimit 64", b"verbosity 0", b"stats items", b"stats detail on",
                    b"stats cachedump 1 1", b"stats conns", b"stats sizes", b"extstore item_size 1",
                    b"refresh_certs", b"shutdown graceful", b"debugtime p")
        lines = set()
        for command in commands:
            words = command.split()
            for count in range(1, len(words) + 1):
                lines.add(b" ".join(words[:count]))
                for odd in ODD:
                    lines.add(b" ".join(words[:count] + [odd]))
                    lines.add(b" ".join(words[:count - 1] + [odd]) if count > 1 else command)
            for at, odd in itertools.product(range(1, len(words)), ODD):
                lines.add(b" ".join(words[:at] + [odd] + words[at + 1:]))
        for line in sorted(lines):
            self.talk.send(line + b"\r\n")
            first = self.talk.until(b"\n")
            self.talk.send(b"version\r\n")
            reply = first + self.talk.until(self.version)
            self.assertNotIn(b"VERSION", reply[:-len(self.version)], line)
        self.talk.send(b"lru_crawler enable\r\nstats detail off\r\n")
        self.talk.line()
        self.talk.line()


if __name__ == "__main__":
    unittest.main(warnings="ignore")
