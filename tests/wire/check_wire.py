#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Plays the conversations of cases/*.txt and compares every byte of the replies.

What it protects: the protocol as clients see it, and that TCP may deliver a request in
any pieces without a difference. See cases/README.md for the format.

    check_wire.py [--peer] [--with NAME] [--mode MODE] [GROUP...]

MODE is plain, split:N (pieces of N bytes), join (as few sends as possible), or
random:SEED (joined, then cut at random places); the default is to run several of them.
"""
import argparse
import concurrent.futures
import glob
import os
import random
import re
import select
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import server as srv  # noqa: E402

MODES = ["plain", "split:1", "split:7", "join", "random:1", "random:2"]
SILENCE_SECONDS = 4.0 * srv.SLOW  # a reply that has stalled for so long will not come
QUIET_SECONDS = 0.03    # how long to listen where nothing may come
EDGE = 700              # bytes at each end of a long send that are cut finely

ESCAPE = re.compile(rb"\\(?:r|n|t|\\|x[0-9a-fA-F]{2})")
PLACE = re.compile(rb"\{(CAS|N|VERSION|NOW|~\d+)([+-]\d+)?\}")
REPEAT = re.compile(rb"\{(\\x[0-9a-fA-F]{2}|\\.|[^\\])\*(\d+)\}")
VERSION = re.compile(rb"1\.6\.45-larder\d+\.\d+\.\d+\Z")
VERSION_MAX = 23        # libmemcached copies it into 24 bytes


def unescape(text):
    plain = {b"\\r": b"\r", b"\\n": b"\n", b"\\t": b"\t", b"\\\\": b"\\"}
    return ESCAPE.sub(
        lambda m: plain.get(m.group()) or bytes([int(m.group()[2:], 16)]), text)


def parse_bytes(text):
    """A list of bytes and of (name, number) for placeholders."""
    parts, at = [], 0
    while at < len(text):
        place, repeat = PLACE.match(text, at), REPEAT.match(text, at)
        if place:
            name = place.group(1).decode()
            parts.append(("~", int(name[1:])) if name[0] == "~"
                         else (name, int(place.group(2) or 0)))
            at = place.end()
            continue
        if repeat:
            piece, at = unescape(repeat.group(1)) * int(repeat.group(2)), repeat.end()
        else:
            escape = ESCAPE.match(text, at)
            end = escape.end() if escape else at + 1
            piece, at = unescape(text[at:end]), end
        if parts and isinstance(parts[-1], bytes):
            parts[-1] += piece
        else:
            parts.append(piece)
    return parts


class Step:
    def __init__(self, name, where):
        self.name, self.where = name, where
        self.send, self.reply = b"", b""
        self.wait = 0.0
        self.closed = self.stops = self.alone = self.connect = False

    def needs_cas(self):
        return any(part[0] == "CAS" for part in self.send_parts if isinstance(part, tuple))

    def finish(self):
        self.send_parts, self.reply_parts = parse_bytes(self.send), parse_bytes(self.reply)


class Group:
    def __init__(self, name, title, where):
        self.name, self.title, self.where = name, title, where
        self.options, self.needs, self.steps = [], None, []


def load(path):
    groups, wait, connect = [], 0.0, False
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip(b"\n")
            where = "%s:%d" % (os.path.basename(path), number)
            word, _, rest = line.partition(b" ")
            step = groups[-1].steps[-1] if groups and groups[-1].steps else None
            if not line or line.startswith(b"#"):
                continue
            if word == b"group":
                name, _, title = rest.decode().partition(" ")
                groups.append(Group(name, title, where))
                wait, connect = 0.0, False
            elif word == b"options":
                groups[-1].options = rest.decode().split()
            elif word == b"needs":
                groups[-1].needs = rest.decode()
            elif word == b"wait":
                wait = float(rest)
            elif word == b"connect":
                connect = True
            elif word == b">":
                step.send += rest
            elif word == b"<":
                step.reply += rest
            elif word in (b"closed", b"stops", b"alone"):
                setattr(step, word.decode(), True)
            elif re.match(rb"[A-Z0-9]+-\d+(:|$)", line):
                step = Step(line.partition(b":")[0].decode(), where)
                step.wait, step.connect = wait, connect
                wait, connect = 0.0, False
                groups[-1].steps.append(step)
            else:
                raise SystemExit("%s: cannot read %r" % (where, line))
    for group in groups:
        for step in group.steps:
            step.finish()
    return groups


def match(parts, data, seen):
    """How far `data` is the reply: its length if complete, None if more must come,
    False if it is another one. Numbers in the place of CAS go to `seen`."""
    at = 0
    for part in parts:
        if isinstance(part, bytes):
            have = data[at:at + len(part)]
            if have != part:
                return None if len(have) < len(part) and part.startswith(have) else False
            at += len(part)
            continue
        kind, number = part
        found = re.compile(rb"[^\r\n ]*" if kind == "VERSION" else rb"-?\d*").match(data, at)
        if found.end() == len(data):
            return None
        word, at = found.group(), found.end()
        if kind == "VERSION":
            if not srv.peer() and (len(word) > VERSION_MAX or not VERSION.match(word)):
                return False
        elif not word.lstrip(b"-").isdigit():
            return False
        elif kind == "~" and int(word) not in (number, number - 1):
            return False
        elif kind == "CAS":
            seen["CAS"] = int(word)
    return at


def fill(parts, seen):
    """The bytes to send, placeholders replaced."""
    out = []
    for part in parts:
        if isinstance(part, bytes):
            out.append(part)
        else:
            base = int(time.time()) if part[0] == "NOW" else seen.get(part[0], 1)
            out.append(b"%d" % (base + part[1]))
    return b"".join(out)


def cut(data, size_of):
    """Pieces of `data`; size_of() gives the next one's length. The middle of long data
    is cut coarsely: a million sends would prove nothing more."""
    pieces, at = [], 0
    while at < len(data):
        fine = at < EDGE or at >= len(data) - EDGE
        end = at + size_of() if fine else len(data) - EDGE
        pieces.append(data[at:min(end, len(data))])
        at = end
    return pieces


def show(data):
    text = repr(data)[2:-1]
    text = re.sub(r"(.)\1{39,}", lambda m: "{%s*%d}" % (m.group(1), len(m.group())), text)
    return text if len(text) < 500 else text[:240] + " ... " + text[-240:]


def show_parts(parts):
    return "".join(show(part) if isinstance(part, bytes) else "{%s%+d}" % part
                   for part in parts)


class Player:
    """One group on one server in one mode."""

    def __init__(self, group, mode):
        self.group, self.mode = group, mode
        self.seen, self.failures, self.talk = {}, [], None
        kind, _, number = mode.partition(":")
        self.joins = kind in ("join", "random")
        self.size_of = None
        if kind == "split":
            self.size_of = lambda: int(number)
        elif kind == "random":
            dice = random.Random("%s %s" % (number, group.name))
            self.size_of = lambda: dice.choice((1, 2, 3, 5, 13, 40, 200, 600))

    def runs(self):
        """Lists of steps whose bytes go out together."""
        out = []
        for step in self.group.steps:
            fresh = (not self.joins or step.alone or step.wait or step.connect
                     or step.needs_cas() or not out or out[-1][-1].alone
                     or out[-1][-1].closed)
            if fresh:
                out.append([])
            out[-1].append(step)
        return out

    def pieces(self, run, data):
        return [data] if run[0].alone or not self.size_of else cut(data, self.size_of)

    def exchange(self, pieces, parts):
        """Sends and receives at the same time; what came, and whether it matched."""
        sock, got, pending = self.talk.socket, b"", list(pieces)
        sock.setblocking(False)
        last = time.monotonic()
        while True:
            state = match(parts, got, self.seen)
            if state is False:
                if pending:  # the rest would be taken for something else now
                    self.talk.half_close()
                return got, state
            if state is not None and not pending:
                return got, state
            if time.monotonic() - last > SILENCE_SECONDS:
                return got, False
            reads, writes, _ = select.select([sock], [sock] if pending else [], [], 0.5)
            try:
                if reads:
                    data = sock.recv(1 << 18)
                    if data == b"":
                        return got, match(parts, got, self.seen)
                    got, last = got + data, time.monotonic()
                if writes and not reads:
                    sent = sock.send(pending[0])
                    pending[0] = pending[0][sent:]
                    last = time.monotonic()
                    if not pending[0]:
                        pending.pop(0)
                        if pending and self.size_of:
                            time.sleep(0.0002)  # or the kernel joins them again
            except BlockingIOError:
                pass  # what came was TLS's own
            except ConnectionError:
                return got, match(parts, got, self.seen)

    def drain(self):
        """After a failure: wait until the server has said all it had to say."""
        rest = b""
        while True:
            data = self.talk.more(0.3)
            if not data:
                if data == b"":
                    self.talk = None
                return rest
            rest += data

    def play_run(self, run):
        first, last = run[0], run[-1]
        if first.wait:
            time.sleep(first.wait)
        if self.talk is None or first.connect:
            if self.talk:
                self.talk.close()
            self.talk = self.server.connect()
        parts = []
        for step in run:
            for part in step.reply_parts:
                if parts and isinstance(part, bytes) and isinstance(parts[-1], bytes):
                    parts[-1] += part
                else:
                    parts.append(part)
        data = b"".join(fill(step.send_parts, self.seen) for step in run)
        got, state = self.exchange(self.pieces(run, data), parts)
        extra = b""
        if state is False or state is None or state != len(got):
            extra = self.drain()
            problem = "expected %s\n    got      %s" % (show_parts(parts), show(got + extra))
        elif last.closed:
            closed = self.talk.more(SILENCE_SECONDS)
            problem = None if closed == b"" else "not closed; got %r" % closed
            self.talk.close()
            self.talk = None
        else:
            more = self.talk.more(0.0 if parts and not last.alone else QUIET_SECONDS)
            problem = None if more is None else "more than expected: %s" % (
                show(more + (self.drain() if more else b"")) or "closed")
            if more == b"":
                self.talk = None
        if problem:
            names = first.name if first is last else first.name + ".." + last.name
            self.failures.append("%s %s [%s]: %s" % (first.where, names, self.mode, problem))

    def play(self):
        try:
            with srv.Server(*self.group.options) as self.server:
                for run in self.runs():
                    self.play_run(run)
                if self.talk:
                    more = self.talk.more(QUIET_SECONDS)
                    if more:
                        self.failures.append("%s %s [%s]: left over: %s" % (
                            self.group.where, self.group.name, self.mode, show(more)))
                    self.talk.close()
                if self.group.steps[-1].stops:
                    self.server.wait()
        except (srv.Failure, OSError) as failure:
            self.failures.append("%s %s [%s]: %s" % (
                self.group.where, self.group.name, self.mode, failure))
        return self.failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", action="store_true", help="test memcached instead")
    parser.add_argument("--with", dest="extra", default="", help="what groups may need")
    parser.add_argument("--mode", action="append")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("groups", nargs="*")
    args = parser.parse_args()
    if args.peer:
        os.environ.setdefault("PEER", "1")
    begin = time.monotonic()
    extra = set(filter(None, args.extra.split(",")))
    if srv.TLS_DIRECTORY is None:
        extra.add("plain")

    groups = [group for path in sorted(glob.glob(os.path.join(HERE, "cases", "*.txt")))
              for group in load(path)]
    chosen = [group for group in groups
              if (group.name in args.groups if args.groups else True)
              and (group.needs is None or group.needs in extra)]
    if not chosen:
        raise SystemExit("no such group")
    jobs = []
    for mode in args.mode or MODES:
        for group in chosen:
            # Cutting the bytes differently shows nothing new about waiting.
            if mode == "plain" or args.mode or not any(s.wait for s in group.steps):
                jobs.append(Player(group, mode))
    # The slow ones first.
    jobs.sort(key=lambda player: -sum(s.wait for s in player.group.steps))
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        failures = [line for lines in pool.map(Player.play, jobs) for line in lines]
    for line in failures:
        print(line)
    # The form of unittest's last lines, which scripts/check counts.
    print("Ran %d tests in %.1fs" % (sum(len(player.group.steps) for player in jobs),
                                     time.monotonic() - begin))
    print("FAILED (failures=%d)" % len(failures) if failures else "OK")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
