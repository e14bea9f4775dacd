#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Long random conversations, each reply compared with that of a model in twenty lines.

What it protects: all that single cases cannot reach: commands looked up ahead of each
other's effects, values that change size between the ways in which they are kept, several
clients' interleaving, requests cut and joined at random. The seed is printed; give it as
an argument to see the same conversation again.
"""
import os
import random
import re
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

KEYS = [b"k%d" % number for number in range(12)] + [b"long-key-" + b"y" * 200]
# Around the sizes at which servers change their ways.
SIZES = (0, 1, 1, 2, 10, 40, 100, 1000, 4000, 8100, 8190, 8191, 8192, 8193, 8200, 16000,
         65400, 65512, 65536, 70000, 131072, 200000)
NUMBER = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
# What counts as a number: as C reads one, then the end, a blank or a NUL.
DECIMAL = re.compile(rb"\s*\+?(\d+)(?=[\s\0]|\Z)")
SECONDS = 2.0


class Model:
    """Key to [flags, value, version]. What a CAS token is called is learnt as it is seen."""

    def __init__(self):
        self.items, self.version = {}, 0

    def put(self, key, flags, value):
        self.version += 1
        self.items[key] = [flags, value, self.version]
        return b"STORED\r\n"

    def store(self, verb, key, flags, value):
        item = self.items.get(key)
        if verb == b"set" or (verb == b"add") == (item is None) and verb in (b"add", b"replace"):
            return self.put(key, flags, value)
        if verb in (b"append", b"prepend") and item:
            joined = item[1] + value if verb == b"append" else value + item[1]
            return self.put(key, item[0], joined)
        return b"NOT_STORED\r\n"

    def arith(self, verb, key, delta):
        item = self.items.get(key)
        if item is None:
            return b"NOT_FOUND\r\n"
        found = DECIMAL.match(item[1])
        if not found or int(found.group(1)) >= 2 ** 64:
            return NUMBER
        number = int(found.group(1))
        number = (number + delta) % 2 ** 64 if verb == b"incr" else max(0, number - delta)
        text = b"%d" % number
        self.put(key, item[0], text.ljust(len(item[1])))
        return text + b"\r\n"

    def get(self, keys):
        return b"".join(b"VALUE %s %d %d\r\n%s\r\n" % (key, self.items[key][0],
                                                      len(self.items[key][1]),
                                                      self.items[key][1])
                        for key in keys if key in self.items) + b"END\r\n"


class Conversation:
    def __init__(self, seed):
        self.dice, self.model = random.Random(seed), Model()

    def value(self):
        if self.dice.random() < 0.35:
            return b"%d" % self.dice.choice((0, 9, 99, 10 ** 9 - 1, 2 ** 64 - 1))
        size = self.dice.choice(SIZES)
        word = bytes(self.dice.choice(b"abcdefgh\r\n \x00\xff") for _ in range(13))
        return (word * (size // 13 + 1))[:size]

    def command(self):
        """One random command, and its reply."""
        dice, model, key = self.dice, self.model, self.dice.choice(KEYS)
        verb = dice.choice((b"set", b"set", b"add", b"replace", b"append", b"prepend",
                            b"incr", b"decr", b"delete", b"touch", b"get", b"get", b"get",
                            b"get", b"gat", b"bad", b"broken", b"version", b"flush"))
        quiet = dice.random() < 0.2
        tail = b" noreply" if quiet else b""
        old = model.items[key][1] if key in model.items else b""
        if verb in (b"append", b"prepend") and len(old) > 400000:
            verb = b"set"
        if verb in (b"incr", b"decr") and len(old) > 8000:
            verb = b"get"  # from some size on a value is never a number
        if verb in (b"set", b"add", b"replace", b"append", b"prepend"):
            flags, value = dice.choice((0, 0, 1, 2 ** 32 - 1)), self.value()
            time_word = dice.choice((b"0", b"1000", b"%d" % (int(time.time()) + 9999)))
            sent = b"%s %s %d %s %d%s\r\n%s\r\n" % (verb, key, flags, time_word, len(value),
                                                  tail, value)
            reply = model.store(verb, key, flags, value)
        elif verb in (b"incr", b"decr"):
            delta = dice.choice((0, 1, 1, 7, 10 ** 9, 2 ** 64 - 1))
            sent = b"%s %s %d%s\r\n" % (verb, key, delta, tail)
            reply = model.arith(verb, key, delta)
        elif verb == b"delete":
            sent = b"delete %s%s\r\n" % (key, tail)
            reply = b"DELETED\r\n" if model.items.pop(key, None) else b"NOT_FOUND\r\n"
        elif verb == b"touch":
            sent = b"touch %s 1000%s\r\n" % (key, tail)
            reply = b"TOUCHED\r\n" if key in model.items else b"NOT_FOUND\r\n"
        elif verb in (b"get", b"gat"):
            keys = [dice.choice(KEYS) for _ in range(dice.choice((1, 1, 2, 5)))]
            word = b"get " if verb == b"get" else b"gat 1000 "
            sent, reply, quiet = word + b" ".join(keys) + b"\r\n", model.get(keys), False
        elif verb == b"bad":
            sent = b"set %s x 0 5%s\r\nget k\r\n" % (key, tail)
            reply = b"CLIENT_ERROR bad command line format\r\n"
        elif verb == b"broken":
            size = dice.choice((3, 100, 9000, 70000))
            sent = b"set %s 0 0 %d%s\r\n%s" % (key, size, tail, b"z" * (size + 2))
            reply = b"CLIENT_ERROR bad data chunk\r\n"
        elif verb == b"flush" and dice.random() < 0.05:
            sent, reply = b"flush_all%s\r\n" % tail, b"OK\r\n"
            model.items.clear()
        else:
            sent, reply, quiet = b"unheard of\r\n", b"ERROR\r\n", False
        return sent, b"" if quiet else reply


def exchange(talk, sent, reply, dice):
    """Sends in random pieces while receiving; compares."""
    at, got = 0, []
    received = 0
    talk.socket.setblocking(False)
    end = time.monotonic() + srv.REPLY_SECONDS
    while at < len(sent) or received < len(reply):
        moved = False
        if at < len(sent):
            size = dice.choice((1, 7, 100, 3000, 70000, 1 << 20))
            try:
                at += talk.socket.send(sent[at:at + size])
                moved = True
            except BlockingIOError:
                pass
        try:
            data = talk.socket.recv(1 << 18)
            if data == b"":
                raise srv.Failure("closed")
            got.append(data)
            received += len(data)
            moved = True
        except BlockingIOError:
            pass
        if moved:
            end = time.monotonic() + srv.REPLY_SECONDS
        elif time.monotonic() > end:
            break
        else:
            time.sleep(0.0002)
    whole = b"".join(got)
    if whole != reply:
        first = next((at for at, (one, two) in enumerate(zip(whole, reply)) if one != two),
                     min(len(whole), len(reply)))
        raise srv.Failure("replies differ at byte %d of %d (%d came): expected %r, got %r" % (
            first, len(reply), len(whole), reply[max(0, first - 60):first + 60],
            whole[max(0, first - 60):first + 60]))


class Random(unittest.TestCase):
    seed = int(time.time())

    def converse(self, clients, depth, options):
        print("seed %d" % self.seed, flush=True)
        talk = Conversation("%d %d %d" % (self.seed, clients, depth))
        end = time.monotonic() + SECONDS
        with srv.Server(*options) as server:
            talks = [server.connect() for _ in range(clients)]
            while time.monotonic() < end:
                for link in talks:  # one after the other: the model has one order
                    pairs = [talk.command() for _ in range(talk.dice.randrange(1, depth + 1))]
                    # A last word that is always heard tells that all has been done.
                    sent = b"".join(pair[0] for pair in pairs) + b"unheard of\r\n"
                    reply = b"".join(pair[1] for pair in pairs) + b"ERROR\r\n"
                    exchange(link, sent, reply, talk.dice)
            for link in talks:
                link.close()

    def test_one_command_at_a_time(self):
        self.converse(1, 1, ("-m", "128"))

    def test_deep_pipelines(self):
        self.converse(1, 200, ("-m", "128"))

    def test_several_clients_in_turn_on_several_workers(self):
        self.converse(8, 20, ("-m", "128", "-t", "4"))

    def test_a_small_batch_of_requests_for_each_turn(self):
        self.converse(3, 100, ("-m", "128", "-R", "1", "-t", "1"))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[-1].isdigit():
        Random.seed = int(sys.argv.pop())
    unittest.main(warnings="ignore")
