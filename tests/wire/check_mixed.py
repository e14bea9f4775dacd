#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Random meta, classic and binary commands on the same keys, against one small model.

What it protects: that the three protocols mean the same items: their values, client flags,
expiry, CAS uniques, and the marks of stale items, which one protocol sets and another
one's stores clear. The seed is printed; give it as an argument to see the same talk again.
"""
import base64
import os
import random
import re
import struct
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

KEYS = [b"k%d" % number for number in range(8)] + [b"long-key-" + b"y" * 150]
SIZES = (0, 1, 1, 2, 10, 100, 4000, 8100, 8191, 8200, 70000)
NUMBER = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
DECIMAL = re.compile(rb"\s*\+?(\d+)(?=[\s\0]|\Z)")
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
LARGE = 8192 - 12       # key and value over this are kept in pieces: never a number
LONG, PAST = 5000, 0    # seconds left; None: for ever
SECONDS = 2.0


class Cas:
    """A unique that the server gave, whose number is known once it has been shown."""

    def __init__(self, number=None):
        self.number = number


class Left:
    """Seconds left, less those that may have passed."""

    def __init__(self, seconds):
        self.seconds = seconds


class Item:
    def __init__(self, value, flags=0, left=None, cas=None, binary=False, stale=False,
                 sent=False):
        self.value, self.flags, self.left = value, flags, left
        self.cas, self.binary, self.stale, self.sent = cas or Cas(), binary, stale, sent


class Model:
    """What all protocols agree on. Each method returns an outcome's name."""

    def __init__(self):
        self.items = {}

    def store(self, mode, key, value, flags, left, compare=None, cas=None, stale_ok=False,
              vivify=False, vivify_left=None, binary=False):
        old = self.items.get(key)
        joins = mode in "AP"
        if mode == "E" and old:
            return "NS"
        if not old and joins and not vivify or not old and mode == "R" and compare is None:
            return "NS"
        if not old and compare is not None and mode in "SR":
            return "NF"
        new = Item(value, flags, left, cas, binary)
        if old and compare is not None and mode != "E" and (
                compare == 0 or compare != old.cas.number):
            if not stale_ok or joins or compare > old.cas.number:
                return "EX"
            new.stale, new.sent, new.left = True, old.sent, old.left
        if joins:
            if old:
                new.value = old.value + value if mode == "A" else value + old.value
                new.flags, new.left = old.flags, old.left
            else:
                new.left = vivify_left
        self.put(key, new)
        return "HD"

    def put(self, key, item):
        self.items[key] = item
        if item.left == PAST and item.left is not None:
            del self.items[key]

    def arith(self, key, up, delta, compare=None, cas=None, touch=False, left=None):
        """An outcome, or the number."""
        old = self.items.get(key)
        if not old:
            return "NF"
        if not old.value or len(key) + len(old.value) > LARGE:
            return "NAN"
        if compare and compare != old.cas.number:
            return "EX"
        found = DECIMAL.match(old.value)
        if not found or int(found.group(1)) >= 2 ** 64:
            return "NAN"
        number = int(found.group(1))
        number = (number + delta) % 2 ** 64 if up else max(0, number - delta)
        text = b"%d" % number
        if len(text) > len(old.value):
            old.stale = old.sent = False
        old.value, old.cas = text.ljust(len(old.value)), cas or Cas()
        if touch:
            old.left = left
        self.put(key, old)
        return number


class Talk:
    """Makes commands and what they must be answered with."""

    def __init__(self, seed):
        self.dice, self.model = random.Random(seed), Model()
        self.unique = 10 ** 12

    def value(self):
        if self.dice.random() < 0.4:
            return b"%d" % self.dice.choice((0, 9, 99, 10 ** 9 - 1, 2 ** 64 - 1))
        size = self.dice.choice(SIZES)
        word = bytes(self.dice.choice(b"abcdefgh\r\n \x00\xff") for _ in range(13))
        return (word * (size // 13 + 1))[:size]

    def grown(self, key):
        """Has the value got so long that it should not be appended to?"""
        return key in self.model.items and len(self.model.items[key].value) > 300000

    def compare(self, key):
        """A unique to compare with: the right one, if it is known, or a wrong one."""
        item = self.model.items.get(key)
        if item and item.cas.number and self.dice.random() < 0.6:
            return item.cas.number
        if item and item.cas.number is None:
            return None
        return self.dice.choice((1, 2 ** 63))

    # ---- Classic

    def classic(self):
        dice, model, key = self.dice, self.model, self.dice.choice(KEYS)
        verb = dice.choice("set add replace append prepend cas incr decr delete touch "
                           "get gets gets gat".split())
        modes = {"set": "S", "add": "E", "replace": "R", "append": "A", "prepend": "P",
                 "cas": "S"}
        item = model.items.get(key)
        if verb in modes:
            if self.grown(key):
                verb = "set"
            value, flags = self.value(), dice.choice((0, 5))
            left = dice.choice((None, LONG))
            unique = self.compare(key) if verb == "cas" else None
            if verb == "cas" and unique is None:
                verb = "set"
            sent = b"%s %s %d %d %d%s\r\n%s\r\n" % (
                verb.encode(), key, flags, left or 0, len(value),
                b" %d" % unique if verb == "cas" else b"", value)
            outcome = model.store(modes[verb], key, value, flags, left, unique)
            return sent, [{"HD": b"STORED\r\n", "NS": b"NOT_STORED\r\n",
                           "EX": b"EXISTS\r\n", "NF": b"NOT_FOUND\r\n"}[outcome]]
        if verb in ("incr", "decr"):
            delta = dice.choice((0, 1, 7, 2 ** 64 - 1))
            outcome = model.arith(key, verb == "incr", delta)
            reply = {"NF": b"NOT_FOUND\r\n", "NAN": NUMBER}.get(outcome)
            return (b"%s %s %d\r\n" % (verb.encode(), key, delta),
                    [reply or b"%d\r\n" % outcome])
        if verb == "delete":
            gone = model.items.pop(key, None)
            return b"delete %s\r\n" % key, [b"DELETED\r\n" if gone else b"NOT_FOUND\r\n"]
        if verb == "touch":
            if item:
                item.left = LONG
            return (b"touch %s %d\r\n" % (key, LONG),
                    [b"TOUCHED\r\n" if item else b"NOT_FOUND\r\n"])
        word = verb.encode()
        if verb == "gat":
            word = b"gat 0"
            if item:
                item.left = None
        reply = []
        if item:
            reply = [b"VALUE %s %d %d" % (key, item.flags, len(item.value))]
            reply += [b" ", item.cas] if verb == "gets" else []
            reply += [b"\r\n" + item.value + b"\r\n"]
        return b"%s %s\r\n" % (word, key), reply + [b"END\r\n"]

    # ---- Meta

    def flags(self, **chances):
        """Letters to their arguments, in a random order."""
        letters = [letter for letter, chance in chances.items()
                   if self.dice.random() < chance]
        self.dice.shuffle(letters)
        out = {}
        for letter in letters:
            argument = b""
            if letter == "O":
                argument = b"%d" % self.dice.randrange(10 ** 6)
            elif letter in "TN":
                argument = self.dice.choice((b"0", b"%d" % LONG, b"%d" % LONG, b"-1"))
            elif letter == "R":
                argument = self.dice.choice((b"0", b"30", b"%d" % (LONG + 1000)))
            elif letter == "E":
                self.unique += self.dice.randrange(1, 1000)
                argument = b"%d" % self.unique
            elif letter == "F":
                argument = b"%d" % self.dice.choice((0, 7, 2 ** 32 - 1))
            elif letter in "DJ":
                argument = b"%d" % self.dice.choice((0, 1, 12, 2 ** 64 - 1))
            out[letter] = argument
        return out

    @staticmethod
    def left(argument):
        return {b"0": None, b"-1": PAST}.get(argument, LONG)

    def line(self, verb, key, flags, size=None):
        shown = base64.b64encode(key) if "b" in flags else key
        words = [verb, shown] + ([b"%d" % size] if size is not None else [])
        words += [letter.encode() + argument for letter, argument in flags.items()]
        return b" ".join(words) + b"\r\n"

    @staticmethod
    def echo(flags, letters, key, binary, item=None, size=0, cas=None, left=None,
             created=False, acts=True):
        out = []
        for letter, argument in flags.items():
            if letter == "T" and acts or letter == "N" and created:
                left = Talk.left(argument)
            if letter not in letters:
                continue
            out.append(b" " + letter.encode())
            if letter == "O":
                out.append(argument)
            elif letter == "k":
                out.append(base64.b64encode(key) + b" b" if binary else key)
            elif letter == "s":
                out.append(b"%d" % size)
            elif letter == "c":
                out.append(cas or b"0")
            elif letter == "f":
                out.append(b"%d" % item.flags)
            elif letter == "t":
                out.append(b"-1" if left is None else Left(left))
        return out

    def final_left(self, flags):
        left = None
        for letter, argument in flags.items():
            if letter in "TN":
                left = self.left(argument)
        return left

    def mg(self, key):
        model = self.model
        flags = self.flags(v=.7, k=.3, s=.3, f=.3, c=.5, t=.3, O=.3, q=.3, u=.1, b=.2,
                           N=.15, T=.15, R=.3, E=.2)
        item, created, won, sent = model.items.get(key), False, False, False
        unique = self.compare(key) if self.dice.random() < 0.1 else None
        if unique is not None:
            flags["C"] = b"%d" % unique
        line = self.line(b"mg", key, flags)
        if item is None and "N" not in flags:
            reply = [b"EN"] + self.echo(flags, "kO", key, "b" in flags) + [b"\r\n"]
            return line, [] if "q" in flags else reply
        before = item.left if item else None
        if item is None:
            item = Item(b"", sent=True)
            if "E" in flags:
                item.cas = Cas(int(flags["E"]))
            created = won = True
            item.left = self.final_left(flags)
        else:
            at = list(flags)
            compared = item.left
            if "T" in flags:
                item.left = self.left(flags["T"])
                if "R" in flags and at.index("T") < at.index("R"):
                    compared = item.left
            sent = item.sent
            renew = ("R" in flags and compared is not None
                     and compared < int(flags["R"]))
            won = not sent and (item.stale or renew)
            item.sent = sent or won
        with_value = "v" in flags and not (unique is not None and unique == item.cas.number)
        reply = [b"VA %d" % len(item.value) if with_value else b"HD"]
        reply += self.echo(flags, "kOscft", key, item.binary, item, len(item.value),
                           item.cas, before, created)
        reply += [b" Z"] * sent + [b" X"] * item.stale + [b" W"] * won + [b"\r\n"]
        if with_value:
            reply += [item.value + b"\r\n"]
        model.put(key, item)
        return line, reply

    def ms(self, key):
        flags = self.flags(c=.4, k=.3, s=.3, O=.3, q=.2, b=.2, F=.3, T=.3, E=.3, N=.3)
        mode = "S" if self.grown(key) else self.dice.choice("SSSERAP")
        if mode != "S" or self.dice.random() < .1:
            flags["M"] = mode.encode()
        unique = self.compare(key) if self.dice.random() < .4 else None
        if unique is not None:
            flags["C"] = b"%d" % unique
            if self.dice.random() < .5:
                flags["I"] = b""
        value = self.value()
        if self.dice.random() < .01:
            self.model.items.pop(key, None)
            size = 1100000
            return self.line(b"ms", key, flags, size) + b"z" * size + b"\r\n", [TOO_LARGE]
        outcome = self.model.store(
            mode, key, value, int(flags.get("F", 0)), self.left(flags.get("T", b"0")),
            unique, Cas(int(flags["E"])) if "E" in flags else None, "I" in flags,
            "N" in flags, self.left(flags.get("N", b"0")), "b" in flags)
        item = self.model.items.get(key)
        # What has expired with its store cannot be looked at; its unique is not compared.
        cas = item.cas if item else Cas(int(flags["E"]) if "E" in flags else None)
        size = len(value)
        if outcome == "HD" and item and mode in "AP":
            size = len(item.value)
        stored = outcome == "HD"
        reply = [outcome.encode()] + self.echo(
            flags, "Okcs", key, "b" in flags, size=size, cas=cas if stored else None)
        reply += [b"\r\n"]
        return (self.line(b"ms", key, flags, len(value)) + value + b"\r\n",
                [] if stored and "q" in flags else reply)

    def md(self, key):
        flags = self.flags(k=.3, O=.3, q=.3, b=.2, F=.3, T=.3, E=.3, I=.6, x=.3, c=.1)
        item, outcome = self.model.items.get(key), "HD"
        unique = self.compare(key) if self.dice.random() < .3 else None
        if unique is not None:
            flags["C"] = b"%d" % unique
        line = self.line(b"md", key, flags)
        if item is None:
            outcome = "NF"
        elif unique is not None and unique != item.cas.number:
            outcome = "EX"
        elif "I" not in flags and "x" not in flags:
            del self.model.items[key]
        else:
            cas = Cas() if "I" in flags else item.cas
            if "E" in flags:
                cas = Cas(int(flags["E"]))
            if "x" in flags:
                item = Item(b"", int(flags.get("F", 0)))
            if "T" in flags:
                item.left = self.left(flags["T"])
            item.cas, item.stale, item.sent = cas, "I" in flags, False
            self.model.put(key, item)
        reply = [outcome.encode()] + self.echo(flags, "kO", key, "b" in flags) + [b"\r\n"]
        return line, [] if outcome == "HD" and "q" in flags else reply

    def ma(self, key):
        flags = self.flags(v=.6, k=.3, O=.3, c=.4, t=.3, q=.2, b=.2, N=.4, J=.4, D=.5,
                           T=.2, E=.3)
        up = self.dice.random() < .6
        if not up or self.dice.random() < .2:
            flags["M"] = self.dice.choice((b"I", b"+") if up else (b"D", b"-"))
        unique = self.compare(key) if self.dice.random() < .2 else None
        if unique is not None:
            flags["C"] = b"%d" % unique
        line = self.line(b"ma", key, flags)
        old = self.model.items.get(key)
        before = old.left if old else None
        cas = Cas(int(flags["E"])) if "E" in flags else Cas()
        outcome = self.model.arith(key, up, int(flags.get("D", 1)), unique, cas,
                                   "T" in flags, self.left(flags.get("T", b"0")))
        created = outcome == "NF" and "N" in flags
        if created:
            outcome = int(flags.get("J", 0))
            self.model.put(key, Item(b"%d" % outcome, 0, self.final_left(flags), cas))
        if outcome == "NAN":
            return line, [NUMBER]
        if outcome in ("NF", "EX"):
            return line, [outcome.encode()] + self.echo(
                flags, "kO", key, "b" in flags) + [b"\r\n"]
        text = b"%d" % outcome
        reply = [b"VA %d" % len(text) if "v" in flags else b"HD"]
        reply += self.echo(flags, "kOct", key, "b" in flags, cas=cas, left=before,
                           created=created)
        reply += [b"\r\n" + text + b"\r\n" if "v" in flags else b"\r\n"]
        return line, [] if "q" in flags else reply

    def meta(self):
        key = self.dice.choice(KEYS)
        return self.dice.choice((self.mg, self.mg, self.mg, self.ms, self.ms, self.md,
                                 self.ma))(key)

    # ---- Binary

    def binary(self):
        """A packet, and (status, cas, body) of its answer, body None for any."""
        dice, model, key = self.dice, self.model, self.dice.choice(KEYS)
        name = dice.choice("get get set add replace append prepend delete incr decr".split())
        opcode = {"get": 0, "set": 1, "add": 2, "replace": 3, "delete": 4, "incr": 5,
                  "decr": 6, "append": 0x0e, "prepend": 0x0f}[name]
        unique = (self.compare(key) or 0) if dice.random() < .2 and name != "get" else 0
        extras, value, item = b"", b"", model.items.get(key)
        answer = (1, None, None)
        if name == "get":
            if item:
                answer = (0, item.cas, struct.pack(">I", item.flags) + item.value)
        elif name in ("set", "add", "replace", "append", "prepend"):
            mode = {"set": "S", "add": "E", "replace": "R", "append": "A", "prepend": "P"}[name]
            if self.grown(key):
                opcode, mode = 1, "S"
            if unique and mode in "ER":
                mode = "S"
            value, flags, left = self.value(), dice.choice((0, 9)), dice.choice((None, LONG))
            if mode not in "AP":
                extras = struct.pack(">II", flags, left or 0)
            outcome = model.store(mode, key, value, flags, left, unique or None)
            miss = 5 if mode in "AP" else 1 if mode == "R" else 2
            answer = {"HD": (0, item, b""), "EX": (2, None, None), "NF": (1, None, None),
                      "NS": (miss, None, None)}[outcome]
            if outcome == "HD":
                answer = (0, model.items[key].cas, b"")
        elif name == "delete":
            if item and unique and unique != item.cas.number:
                answer = (2, None, None)
            elif model.items.pop(key, None):
                answer = (0, None, b"")
        else:
            delta, initial = dice.choice((0, 1, 2 ** 64 - 1)), dice.choice((0, 77))
            left = dice.choice((None, LONG, "no"))
            extras = struct.pack(">QQI", delta, initial,
                                 0xffffffff if left == "no" else left or 0)
            outcome = model.arith(key, name == "incr", delta, unique)
            if outcome == "NF" and left != "no":
                outcome = initial
                model.put(key, Item(b"%d" % initial, 0, left))
            answer = {"NF": (1, None, None), "NAN": (6, None, None),
                      "EX": (2, None, None)}.get(outcome)
            if answer is None:
                answer = (0, model.items[key].cas, struct.pack(">Q", outcome))
        body = extras + key + value
        return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body),
                           opcode, unique) + body, answer


def learn(cas, number, what):
    if cas.number is None:
        cas.number = number
    if cas.number != number:
        raise srv.Failure("CAS unique %d, not %d, in %r" % (number, cas.number, what))


def match_text(parts, got, sent):
    """Compares one reply; returns what is behind it."""
    at = 0
    for part in parts:
        if isinstance(part, bytes):
            if got[at:at + len(part)] != part:
                raise srv.Failure("%r: expected %r, got %r, in %r" % (
                    sent[:200], part[:200], got[at:at + 200], got[:300]))
            at += len(part)
            continue
        word = re.compile(rb"\d*").match(got, at).group()
        at += len(word)
        if not word:
            raise srv.Failure("%r: no number in %r" % (sent[:200], got[:200]))
        if isinstance(part, Cas):
            learn(part, int(word), sent[:200])
        elif not max(0, part.seconds - 300) <= int(word) <= part.seconds:
            raise srv.Failure("%r: %r seconds, not %d" % (sent[:200], word, part.seconds))
    return got[at:]


def exchange_text(link, pairs, dice):
    link.socket.setblocking(True)
    sent = b"".join(pair[0] for pair in pairs) + b"mn\r\n"
    got, want = b"", sum(len(part) if isinstance(part, bytes) else 1
                         for pair in pairs for part in pair[1]) + 4
    # Replies are at most some hundred kB longer than what the sockets hold: send in turns.
    link.socket.setblocking(False)
    end = time.monotonic() + srv.REPLY_SECONDS
    while sent or len(got) < want or not got.endswith(b"MN\r\n"):
        moved = False
        try:
            if sent:
                sent = sent[link.socket.send(sent[:dice.choice((1, 30, 3000, 1 << 20))]):]
                moved = True
        except BlockingIOError:
            pass
        try:
            data = link.socket.recv(1 << 18)
            if data == b"":
                raise srv.Failure("closed")
            got, moved = got + data, True
        except BlockingIOError:
            pass
        if moved:
            end = time.monotonic() + srv.REPLY_SECONDS
        elif time.monotonic() > end:
            break
        else:
            time.sleep(0.0002)
    for sent, parts in pairs:
        got = match_text(parts, got, sent)
    match_text([b"MN\r\n"], got, b"mn")


def exchange_binary(link, pairs):
    link.socket.setblocking(True)
    for packet, (status, cas, body) in pairs:
        link.send(packet)
        head = struct.unpack(">BBHBBHIIQ", link.exactly(24))
        got = link.exactly(head[6])
        if (head[0], head[1], head[5]) != (0x81, packet[1], status):
            raise srv.Failure("%r: status %d, not %d: %r" % (packet[:100], head[5], status,
                                                             got[:100]))
        if body is not None and got != body:
            raise srv.Failure("%r: body %r, not %r" % (packet[:100], got[:100], body[:100]))
        if cas is not None:
            learn(cas, head[8], packet[:100])


class Mixed(unittest.TestCase):
    seed = int(time.time())

    def converse(self, depth, *options):
        print("seed %d" % self.seed, flush=True)
        talk = Talk("%d %d" % (self.seed, depth))
        end = time.monotonic() + SECONDS
        with srv.Server("-m", "128", *options) as server:
            links = [(kind, server.connect()) for kind in "cmbm"]
            links[0][1].ask(b"set used 0 0 1\r\nx\r\n" * 3 + b"delete used\r\n",
                            b"STORED\r\n" * 3 + b"DELETED\r\n")
            while time.monotonic() < end:
                for kind, link in links:
                    make = {"c": talk.classic, "m": talk.meta, "b": talk.binary}[kind]
                    pairs = [make() for _ in range(talk.dice.randrange(1, depth + 1))]
                    if kind == "b":
                        exchange_binary(link, pairs)
                    else:
                        exchange_text(link, pairs, talk.dice)
            for _, link in links:
                link.close()

    def test_one_command_at_a_time(self):
        self.converse(1)

    def test_pipelines(self):
        self.converse(40)

    def test_small_turns(self):
        self.converse(20, "-R", "1", "-t", "1")


class Elections(unittest.TestCase):
    """Many clients on several workers ask for the same items at the same time."""

    CLIENTS, KEYS = 24, 400

    def elect(self, prepare, flags):
        wins = [0] * self.KEYS
        sent = b"".join(b"mg e%d k s %s\r\n" % (number, flags)
                        for number in range(self.KEYS)) + b"mn\r\n"
        with srv.Server("-m", "64", "-t", "4") as server:
            with server.connect() as link:
                link.send(b"".join(prepare % {b"key": b"e%d" % number}
                                   for number in range(self.KEYS)) + b"mn\r\n")
                link.expect(b"MN\r\n")
            links = [server.connect() for _ in range(self.CLIENTS)]
            for link in links:
                link.send(sent)
            for link in links:
                for line in link.until(b"MN\r\n").split(b"\r\n"):
                    words = line.split()
                    if words and words[0] == b"HD":
                        self.assertIn(words[-1], (b"W", b"Z", b"X"))
                        wins[int(words[1][2:])] += words[-1] == b"W"
                link.close()
        self.assertEqual(wins, [1] * self.KEYS)

    def test_one_renews_a_stale_item(self):
        self.elect(b"ms %(key)s 1 q\r\nx\r\nmd %(key)s I q\r\n", b"")

    def test_one_renews_an_item_about_to_expire(self):
        self.elect(b"ms %(key)s 1 q T60\r\nx\r\n", b"R300")

    def test_one_fills_what_is_created(self):
        self.elect(b"", b"N60")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[-1].isdigit():
        Mixed.seed = int(sys.argv.pop())
    unittest.main(warnings="ignore")
