#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients that store and read at the same time in a cache that is far too small.

What it protects: that a value which comes back is one that was stored under this key,
whole, whatever was evicted, moved, replaced or deleted while it was being read or sent;
and that no store fails for want of memory while something can be evicted. Every value
says by itself what it must look like.
"""
import os
import random
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

SECONDS = 4.0
CLIENTS = 4
KEYS = 3000
# Kinds of data, each for a while: memory has to go from one to the next.
SHAPES = ((10, 60), (500, 3000), (8000, 8400), (30, 100), (60000, 140000), (10, 200000))


def value_of(key, number, size):
    """Begins with what it is, goes on with a pattern of it, and ends in an end."""
    head = b"<%s %d %d>" % (key, number, size)
    fill = b"%d," % (number * 2654435761 % 2 ** 32)
    return (head + fill * (size // len(fill) + 1))[:size - 1] + b"." if size > len(head) + 1 \
        else head + b"."


def is_good(key, value):
    if not value.startswith(b"<" + key + b" "):
        return False
    words = value[1:value.index(b">")].split(b" ")
    return value == value_of(key, int(words[1]), int(words[2]))


def read_reply(talk, verb):
    """One reply of storing or of reading; the values in it, or the line."""
    line = talk.line()
    if verb != b"get":
        return line, []
    values = []
    while line != b"END\r\n":
        word, key, _, size = line.split()
        if word != b"VALUE":
            return line, values
        values.append((key, talk.exactly(int(size))))
        talk.expect(b"\r\n")
        line = talk.line()
    return line, values


def client(number, port, seconds):
    """One client's life; the number of hits, or the first thing that was wrong."""
    dice = random.Random(number)
    begin, hits, count = time.monotonic(), 0, 0
    talk = srv.Talk(port)
    while time.monotonic() - begin < seconds:
        part = (time.monotonic() - begin) / seconds
        low, high = SHAPES[min(len(SHAPES) - 1, int(part * len(SHAPES)))]
        verbs, sent = [], []
        for _ in range(dice.choice((1, 5, 30))):
            count += 1
            key = b"key%d" % dice.randrange(KEYS)
            verb = dice.choice((b"set", b"set", b"add", b"replace", b"delete", b"get", b"get",
                                b"get", b"get"))
            verbs.append(verb)
            if verb == b"get":
                more = b"".join(b" key%d" % dice.randrange(KEYS)
                                for _ in range(dice.choice((0, 0, 3, 20))))
                sent.append(b"get " + key + more + b"\r\n")
            elif verb == b"delete":
                sent.append(b"delete " + key + b"\r\n")
            else:
                value = value_of(key, count, dice.randrange(low, high))
                sent.append(b"%s %s 0 %d %d\r\n%s\r\n" % (
                    verb, key, dice.choice((0, 0, 1, 1000)), len(value), value))
        for at in range(0, len(sent), 6):  # replies of what is under way fit the sockets
            talk.send(b"".join(sent[at:at + 6]))
            for verb in verbs[at:at + 6]:
                line, values = read_reply(talk, verb)
                for key, value in values:
                    if not is_good(key, value):
                        return "%r holds %r" % (key, value[:100])
                hits += len(values)
                if line not in (b"END\r\n", b"STORED\r\n", b"NOT_STORED\r\n", b"DELETED\r\n",
                                b"NOT_FOUND\r\n"):
                    return "%r after %.1f s" % (line, time.monotonic() - begin)
    talk.close()
    return hits


class Churn(unittest.TestCase):
    def check(self, *options):
        with srv.Server(*options) as server:
            pipes, children = [], []
            for number in range(CLIENTS):
                read, write = os.pipe()
                child = os.fork()
                if child == 0:
                    result = "broke off"
                    try:
                        result = client(number, server.port, SECONDS)
                    except Exception as problem:  # pylint: disable=broad-except
                        result = repr(problem)
                    finally:
                        os.write(write, str(result).encode())
                        os._exit(0)
                os.close(write)
                pipes.append(read)
                children.append(child)
            results = []
            for read, child in zip(pipes, children):
                results.append(os.read(read, 4096).decode())
                os.close(read)
                os.waitpid(child, 0)
            for result in results:
                self.assertTrue(result.isdigit(), results)
            stats = server.stats()
            self.assertGreater(sum(map(int, results)), 0)
            self.assertGreater(int(stats["evictions"]), 0)
            self.assertLessEqual(int(stats["bytes"]), int(stats["limit_maxbytes"]))
            self.assertEqual(stats["store_no_memory"], "0")

    def test_what_comes_back_was_stored_in_a_small_cache(self):
        self.check("-m", "16", "-t", "4")

    def test_and_in_the_smallest(self):
        self.check("-m", "4", "-t", "2")


if __name__ == "__main__":
    unittest.main(warnings="ignore")
