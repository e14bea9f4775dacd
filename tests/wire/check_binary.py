#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Plays the packets of cases/binary.packets and compares the replies.

What it protects: the binary protocol as clients see it, every field of every reply, and
that TCP may deliver packets in any pieces without a difference.

A case is a name, what is sent and what must come back:

    BGT-06: why
    > [get key="rye"] raw "\\x00"
    < [get:0x0000 ext=0000cafe body="grain" cas=nonzero]
    closed

Attributes of a request: key, val (text with \\xNN and {c*N}), ext (hexadecimal), cas (a
number, `good` for the last one heard, `bad` for another), dt, vb, bl (body length, to lie
about it), magic, o (opaque, hexadecimal). Of a reply: ext, key, body, cas (0 or nonzero);
what is not named must be empty. `{VERSION}` stands for the server's, `any` for whatever.
`group ID title`, `options ...` and `wait N` are as in the other cases; `fresh` gives each
case of the group a connection of its own.
"""
import concurrent.futures
import os
import re
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import packets  # noqa: E402
import server as srv  # noqa: E402

SILENCE_SECONDS = 0.05 * srv.SLOW
VERSION = re.compile(rb"1\.6\.45-larder\d+\.\d+\.\d+\Z")
QUOTED = r'"(?:[^"\\]|\\.)*"'
TOKEN = re.compile(r'raw "((?:[^"\\]|\\.)*)"|\[(\w+)((?: (?:[^\]"]|%s)*)?)\]|'
                   r'\[(\w+):0x([0-9a-f]{4})((?:[^\]"]|%s)*)\]' % (QUOTED, QUOTED))
ATTRIBUTE = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(hex [0-9a-f]+|[^\s"]+))')
ESCAPE = re.compile(rb"\\(?:r|n|t|0|\\|\"|x[0-9a-fA-F]{2})|\{(.)\*(\d+)\}")
HELLO = (packets.request("version"), b"\x81\x0b")


def text(source):
    plain = {b"\\r": b"\r", b"\\n": b"\n", b"\\t": b"\t", b"\\0": b"\0", b"\\\\": b"\\",
             b'\\"': b'"'}

    def one(match):
        if match.group(1):
            return match.group(1) * int(match.group(2))
        return plain.get(match.group()) or bytes([int(match.group()[2:], 16)])
    return ESCAPE.sub(one, source.encode("latin-1"))


def tokens(line):
    rest = TOKEN.sub("", line)
    if rest.strip():
        raise SystemExit("cannot read %r" % rest)
    return TOKEN.findall(line)


def attributes(source):
    found = {}
    for name, quoted, bare in ATTRIBUTE.findall(source):
        if bare.startswith("hex "):
            found[name] = bytes.fromhex(bare[4:])
        elif name in ("ext", "o"):
            found[name] = bytes.fromhex(bare)
        elif name in ("key", "val", "body"):
            found[name] = text(quoted or bare)
        else:
            found[name] = bare
    return found


class Case:
    def __init__(self, name):
        self.name, self.sends, self.replies = name, [], []
        self.closed, self.wait = False, 0.0

    def add_sends(self, line):
        for raw, name, rest, _, _, _ in tokens(line):
            self.sends.append((name, attributes(rest)) if name else text(raw))

    def add_replies(self, line):
        for raw, _, _, name, status, rest in tokens(line):
            self.replies.append((name, int(status, 16), attributes(rest)) if name
                                else text(raw))

    def bytes(self, cas):
        out = []
        for send in self.sends:
            if isinstance(send, bytes):
                out.append(send)
                continue
            name, given = send
            number = {"good": cas, "bad": cas + 1000000}.get(given.get("cas"))
            if number is None:
                number = int(given.get("cas", "0"), 0)
            out.append(packets.request(
                name, key=given.get("key", b""), extras=given.get("ext", b""),
                value=given.get("val", b""), cas=number,
                opaque=given.get("o", packets.OPAQUE),
                magic=int(given.get("magic", "0x80"), 0),
                data_type=int(given.get("dt", "0"), 0),
                reserved=int(given.get("vb", "0"), 0),
                body_len=int(given["bl"], 0) if "bl" in given else None))
        return b"".join(out)


class Group:
    def __init__(self, name):
        self.name, self.options, self.fresh, self.cases = name, [], False, []


def load(path):
    groups, wait = [], 0.0
    with open(path, encoding="latin-1") as file:
        for number, line in enumerate(file, 1):
            word, _, rest = line.rstrip("\n").partition(" ")
            case = groups[-1].cases[-1] if groups and groups[-1].cases else None
            if not line.strip() or word.startswith("#"):
                continue
            if word == "group":
                groups.append(Group(rest.partition(" ")[0]))
            elif word == "options":
                groups[-1].options = rest.split()
            elif word == "fresh":
                groups[-1].fresh = True
            elif word == "wait":
                wait = float(rest)
            elif word == ">":
                case.add_sends(rest)
            elif word == "<":
                case.add_replies(rest)
            elif word == "closed":
                case.closed = True
            elif re.match(r"[A-Z]+-\d+:?$", word):
                groups[-1].cases.append(Case(word.rstrip(":")))
                groups[-1].cases[-1].wait, wait = wait, 0.0
            else:
                raise SystemExit("%s:%d: cannot read %r" % (path, number, line))
    return groups


def differs(expected, reply):
    """What is wrong with a reply, or None."""
    name, status, given = expected
    if (reply.opcode, reply.status) != (name, status):
        return "expected %s:%04x" % (name, status)
    if reply.opaque != packets.OPAQUE and "o" not in given:
        return "another opaque"
    for part, heard in (("ext", reply.extras), ("key", reply.key), ("body", reply.value)):
        wanted = given.get(part, b"")
        if wanted == b"{VERSION}" and VERSION.match(heard):
            continue
        if wanted not in (heard, b"any"):
            return "%s: expected %r" % (part, wanted[:80])
    if "o" in given and reply.opaque != given["o"]:
        return "another opaque"
    if "cas" in given and (reply.cas != 0) != (given["cas"] == "nonzero"):
        return "cas: expected %s" % given["cas"]
    return None


class Player:
    def __init__(self, group, pieces):
        self.group, self.pieces = group, pieces
        self.cas, self.failures, self.talk = 0, [], None

    def send(self, data):
        """In pieces; the middle of long data at once."""
        size = self.pieces
        if not size:
            self.talk.send(data)
            return
        at = 0
        while at < len(data):
            fine = at < 200 or at >= len(data) - 200
            end = at + size if fine else len(data) - 200
            try:
                self.talk.send(data[at:end])
            except ConnectionError:
                return  # closed in the middle, as some must be
            at = end
            time.sleep(0.0001)

    def hear(self, case):
        """None, or what is wrong."""
        for expected in case.replies:
            if isinstance(expected, bytes):
                heard = self.talk.exactly(len(expected))
                if heard != expected:
                    return "expected %r, got %r" % (expected, heard)
                continue
            reply = packets.Binary(self.talk).hear()
            if reply is None:
                return "closed in place of %s" % (expected,)
            wrong = differs(expected, reply)
            if wrong:
                return "%s, got %s" % (wrong, str(reply)[:300])
            if reply.cas:
                self.cas = reply.cas
        if case.closed:
            return None if self.talk.more() == b"" else "not closed"
        more = self.talk.unread or self.talk.more(SILENCE_SECONDS)
        return None if more is None else "more than expected: %r" % more[:100]

    def play_case(self, case):
        if case.wait:
            time.sleep(case.wait)
        if self.talk is None:
            self.talk = self.server.connect()
        self.send(case.bytes(self.cas))
        try:
            wrong = self.hear(case)
        except (srv.Failure, ValueError) as failure:
            wrong = str(failure)
        if wrong:
            self.failures.append("%s, pieces of %d: %s" % (case.name, self.pieces, wrong))
        if wrong or case.closed or self.group.fresh:
            self.talk.close()
            self.talk = None

    def play(self):
        hello = None if "ascii" in self.group.options else HELLO
        with srv.Server(*self.group.options, hello=hello) as self.server:
            for case in self.group.cases:
                self.play_case(case)
            if self.talk:
                self.talk.close()
        return self.failures


def main():
    groups = load(os.path.join(HERE, "cases", "binary.packets"))
    wanted = sys.argv[1:]
    players = [Player(group, pieces) for group in groups for pieces in (0, 1, 7)
               if not wanted or group.name in wanted]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        failures = sum(pool.map(Player.play, players), [])
    for failure in failures:
        print(failure)
    count = sum(len(player.group.cases) for player in players)
    print("Ran %d tests in packets" % count)
    if failures:
        print("FAILED (failures=%d)" % len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
