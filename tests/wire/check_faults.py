#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Protects the server against its own system: memory that is refused, calls that are
interrupted, cut or fail, clocks that jump, descriptors and memory that run out.

A server whose n-th call fails at its start either ends with a status and a message, or
serves. One whose calls fail while it serves goes on: clients may be told SERVER_ERROR or
lose their connection, but nobody waits for ever, nobody is given a wrong value, what was
acknowledged is there, and a fresh client finds everything as it should be.

By default a part of all n is tried, chosen by a seed, in about a minute;
LARDER_FAULTS=all tries all of them (scripts/faults).
"""
import contextlib
import errno
import os
import random
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

import certificates
import check_udp
import endpoint
import faults
import packets
import server

ALL = os.environ.get("LARDER_FAULTS") == "all"
SEED = int(os.environ.get("LARDER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
SOME = 25 if not server.sanitized() else 10 # of those n that are tried by default
MANY = 400
MEMORY = not server.sanitized()
WHY_NOT = "the sanitizer has an allocator of its own"


def some_of(count, salt, most=None):
    """All of 1 to count, or a part that the seed chooses; of very many, as OpenSSL makes
    them, always a part."""
    numbers = list(range(1, count + 1))
    most = MANY if ALL else most or SOME
    if count <= most:
        return numbers
    return sorted(random.Random("%d %s" % (SEED, salt)).sample(numbers, most))


# ---- A conversation that knows what it may hear ----------------------------------------


class Ledger:
    """What each key may hold: of writes that were not acknowledged nobody knows."""

    def __init__(self):
        self.may = {}

    def get(self, key):
        return self.may.get(key, {None})

    def trying(self, key, results):
        """A write of any of `results` begins; failing, it may leave nothing at all."""
        self.may[key] = self.get(key) | set(results) | {None}

    def done(self, key, results):
        self.may[key] = set(results)


class Lost(Exception):
    """The connection is gone, which is allowed while calls fail."""


class Client:
    """Speaks text on one connection and checks each answer."""

    def __init__(self, cache, ledger):
        self.cache, self.ledger = cache, ledger
        self.talk = None

    def close(self):
        if self.talk is not None:
            self.talk.close()
        self.talk = None

    def _exchange(self, data, read):
        try:
            if self.talk is None:
                self.talk = self.cache.connect(seconds=server.REPLY_SECONDS * 3)
            self.talk.send(data)
            return read(self.talk)
        except (ConnectionError, BrokenPipeError, ssl.SSLError):
            self.close()
            raise Lost()
        except server.Failure as failure:
            if "closed" not in str(failure):
                raise # silence
            self.close()
            raise Lost()

    def line(self, data):
        return self._exchange(data, lambda talk: talk.line())

    def write(self, data, key, results, answers):
        """Sends a write. `answers` are those that mean it was done; others that it was
        not, or nobody knows."""
        before = self.ledger.get(key)
        self.ledger.trying(key, results)
        answer = self.line(data)
        if answer in answers:
            self.ledger.done(key, results)
        elif answer.startswith(b"SERVER_ERROR"):
            pass
        elif answer in (b"NOT_STORED\r\n", b"NOT_FOUND\r\n", b"EXISTS\r\n"):
            self.ledger.done(key, before)
        else:
            raise server.Failure("%r was answered %r" % (data[:60], answer[:60]))

    def set(self, key, value):
        self.write(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), key, [value],
                   [b"STORED\r\n"])

    def delete(self, key):
        self.ledger.trying(key, [None])
        answer = self.line(b"delete %s\r\n" % key)
        if answer in (b"DELETED\r\n", b"NOT_FOUND\r\n"):
            self.ledger.done(key, [None])
        elif not answer.startswith(b"SERVER_ERROR"):
            raise server.Failure("delete was answered %r" % answer)

    def incr(self, key):
        before = self.ledger.get(key)
        sums = [b"%d" % (int(value) + 1) for value in before if value is not None]
        self.ledger.trying(key, set(sums) | before)
        answer = self.line(b"incr %s 1\r\n" % key)
        if answer.rstrip(b"\r\n") in sums:
            self.ledger.done(key, [answer.rstrip(b"\r\n")])
        elif answer == b"NOT_FOUND\r\n" and None in before:
            self.ledger.done(key, [None])
        elif not answer.startswith(b"SERVER_ERROR"):
            raise server.Failure("incr of %r was answered %r" % (before, answer))

    def append(self, key, tail):
        before = self.ledger.get(key)
        longer = {value + tail for value in before if value is not None}
        self.ledger.trying(key, longer | before)
        answer = self.line(b"append %s 0 0 %d\r\n%s\r\n" % (key, len(tail), tail))
        if answer == b"STORED\r\n":
            self.ledger.done(key, longer)
        elif answer == b"NOT_STORED\r\n": # also said for want of memory
            self.ledger.done(key, before)
        elif not answer.startswith(b"SERVER_ERROR"):
            raise server.Failure("append to %r was answered %r" % ([b and b[:9] for b in before], answer))

    def get(self, *keys):
        """What is there is what it may be; True if all of it was told."""

        def read(talk):
            found = {}
            while True:
                line = talk.line()
                if line == b"END\r\n":
                    return found
                if line.startswith(b"SERVER_ERROR"):
                    return None
                word, key, flags, size = line.split()
                if (word, flags) != (b"VALUE", b"0"):
                    raise server.Failure("get was answered %r" % line)
                found[key] = talk.exactly(int(size))
                talk.expect(b"\r\n")

        found = self._exchange(b"get %s\r\n" % b" ".join(keys), read)
        if found is None:
            return False
        for key in keys:
            value = found.get(key)
            if value not in self.ledger.get(key):
                raise server.Failure("%r is %r, not one of %r" % (
                    key, value and value[:60],
                    [may and may[:60] for may in self.ledger.get(key)]))
            self.ledger.done(key, [value])
        return True

    def report(self, line, end=b"END\r\n"):
        def read(talk):
            while True:
                got = talk.line()
                if got.endswith(end) or got.startswith((b"SERVER_ERROR", b"ERROR")):
                    return

        self._exchange(line, read)

    def pipeline(self):
        def read(talk):
            for _ in range(50):
                talk.expect(b"MN\r\n")

        self._exchange(50 * b"mn\r\n", read)

    def packet(self):
        def read(talk):
            got = talk.exactly(24)
            if got[:2] != b"\x81\x0a":
                raise server.Failure("a packet was answered %r" % got)

        self._exchange(packets.request("noop"), read)


SIZES = (0, 1, 100, 2000, 8000, 20000, 150000)


def value_of(draw, size):
    return (b"%d." % draw.randrange(1 << 60) * (size // 8 + 1))[:size]


def converse(cache, ledger, draw):
    """Every kind of thing that takes memory or moves bytes, with loss of connections
    allowed."""
    first, second, binary = (Client(cache, ledger) for _ in range(3))
    keys = [b"key%d" % i for i in range(len(SIZES))]

    def sets(client):
        for key, size in zip(keys, SIZES):
            yield lambda key=key, size=size: client.set(key, value_of(draw, size))

    steps = [*sets(first),
             lambda: second.get(*keys),
             lambda: first.write(b"set n 0 0 1\r\n5\r\n", b"n", [b"5"], [b"STORED\r\n"]),
             lambda: second.incr(b"n"), lambda: first.incr(b"n"), lambda: second.get(b"n"),
             lambda: first.set(b"a", b"aa"), lambda: first.append(b"a", b"bb"),
             lambda: first.append(b"a", 9000 * b"c"), lambda: second.get(b"a", b"n"),
             lambda: first.report(b"stats\r\n"), lambda: first.report(b"stats items\r\n"),
             lambda: second.report(b"stats conns\r\n"),
             lambda: second.report(b"lru_crawler metadump all\r\n"),
             lambda: first.delete(b"a"), lambda: second.delete(b"key5"),
             second.pipeline, binary.packet, binary.packet,
             lambda: second.get(*keys, b"a", b"n")]
    for step in steps:
        try:
            step()
        except Lost:
            pass
    for client in (first, second, binary):
        client.close()


REPORTS = (b"settings", b"slabs", b"sizes", b"latency", b"hotkeys", b"detail on", b"detail dump",
           b"cachedump 1 0", b"detail off", b"reset")


def look_around(cache, ledger):
    """What operators ask, over all that they may ask by."""
    client = Client(cache, ledger)
    for line in (*(b"stats %s\r\n" % name for name in REPORTS), b"lru_crawler mgdump all\r\n"):
        try:
            client.report(line, b"\r\n" if line.split()[-1] in (b"on", b"off", b"reset")
                          else b"EN\r\n" if b"mgdump" in line else b"END\r\n")
        except Lost:
            pass
    client.close()
    try:
        with cache.connect() as watcher:
            watcher.send(b"watch fetchers mutations connevents\r\n")
            watcher.line()
    except (OSError, server.Failure):
        pass


def verify(cache, ledger):
    """A fresh client finds everything: no fault is due any more."""
    client = Client(cache, ledger)
    keys = sorted(ledger.may)
    for at in range(0, len(keys), 20):
        if not client.get(*keys[at:at + 20]):
            raise server.Failure("a get is refused although nothing fails any more")
    client.set(b"fresh", b"1")
    client.incr(b"fresh")
    client.get(b"fresh")
    if ledger.get(b"fresh") != {b"2"}:
        raise server.Failure("a fresh client's write is not done")
    client.close()


# ---- At the start ------------------------------------------------------------------------


class Start:
    """One start with one rule."""

    def __init__(self, options, name, how, n):
        self.what = "%s %d of %s" % (name, n, " ".join(options))
        self.faults = faults.Faults()
        self.errors = tempfile.TemporaryFile()
        self.faults.fail(name, first=n, how=how)
        self.name = name
        user = ["-u", "root"] if os.geteuid() == 0 else []
        for _ in range(5):
            self.port = server.free_port()
            self.process = subprocess.Popen(
                [server.binary(), *user, "-p", str(self.port), "-m", "8", "-t", "2", *options],
                stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
                env=dict(os.environ, **faults.environment(self.faults)))
            if not self.is_taken():
                break

    def is_taken(self):
        """Waits until it serves or has ended. True: somebody else has the port."""
        end = time.monotonic() + 2 * server.START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return "already in use" in self.said()
            try:
                with server.Talk(self.port, 0.5) as talk:
                    talk.send(b"version\r\n")
                    if (talk.more() or b"").startswith(b"VERSION "):
                        return False
            except OSError:
                pass
            time.sleep(0.002)
        self.process.kill()
        self.process.wait()
        raise server.Failure("%s: it neither serves nor ends: %s" % (self.what, self.said()))

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")

    def finish(self):
        """True if the fault has struck."""
        try:
            if self.process.poll() is None:
                self.faults.stop()
                try:
                    converse(Served(self.port), Ledger(), random.Random(SEED))
                    self.process.terminate()
                    status = self.process.wait(server.STOP_SECONDS)
                except BaseException:
                    self.process.kill()
                    self.process.wait()
                    raise
                good = status == 0
            else:
                status = self.process.returncode
                good = 0 < status < 100 and self.said().strip() != ""
            if not good or server.REPORT.search(self.said().encode()):
                raise server.Failure("%s: ended with %d and %r" % (
                    self.what, status, self.said()))
            return self.faults.failed(self.name) > 0
        finally:
            self.faults.close()
            self.errors.close()


class Served:
    """What a Client wants of a server."""

    def __init__(self, port):
        self.port = port

    def connect(self, **options):
        return server.Talk(self.port, **options)


class TestStart(unittest.TestCase):
    def count(self, options, name):
        """How many such calls there are until it serves, and some more."""
        probe = Start(options, name, 1, 1 << 40)
        seen = probe.faults.seen(name)
        probe.finish()
        return seen

    def try_all(self, options, name, how=None, most=None):
        struck = 0
        for n in some_of(self.count(options, name), name + str(options), most):
            struck += Start(options, name, how, n).finish()
        self.assertGreater(struck, 0)

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_without_memory(self):
        self.try_all([], "memory")

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_without_memory_for_udp(self):
        self.try_all(["-U", "-1"], "memory")

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_without_memory_for_passwords(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"user:password\nother:word\n")
            file.flush()
            os.chmod(file.name, 0o644)
            options = ["-Y", file.name]
            for n in some_of(90, "passwords", 20):
                self.start_locked(options, n)

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_without_memory_for_tls(self):
        certificates.need_tls()
        with certificates.Certificates.of_server() as certs:
            more = "ssl_ca_cert=%s,ssl_verify_mode=1,ssl_session_cache" % certs.path("ca.pem")
            self.try_all(["-l", "notls:127.0.0.1", *certs.options("server", more)], "memory")

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_without_memory_for_all_that_may_be_opened(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o777)
            config = os.path.join(directory, "config")
            with open(config, "w") as file:
                file.write("-R 30\n-o idle_timeout=1000\n")
            self.try_all(["--config", config, "-e", directory + "/items",
                          "-o", "http=unix:%s/http,flush_prefix=a" % directory,
                          "--listener", "unix:%s/other,namespace=other,memory=2" % directory],
                         "memory")

    def start_locked(self, options, n):
        """As finish(), but nobody may do anything there without the password."""
        start = Start.__new__(Start)
        start.what = "memory %d with -Y" % n
        start.name = "memory"
        start.faults = faults.Faults()
        start.errors = tempfile.TemporaryFile()
        start.faults.fail("memory", first=n)
        user = ["-u", "root"] if os.geteuid() == 0 else []
        start.port = server.free_port()
        start.process = subprocess.Popen(
            [server.binary(), *user, "-p", str(start.port), "-m", "8", "-t", "1", *options],
            stdin=subprocess.DEVNULL, stdout=start.errors, stderr=start.errors,
            env=dict(os.environ, **faults.environment(start.faults)))
        try:
            end = time.monotonic() + 2 * server.START_SECONDS
            answer = b""
            while start.process.poll() is None and answer == b"":
                self.assertLess(time.monotonic(), end, start.what)
                try:
                    with server.Talk(start.port, 0.5) as talk:
                        talk.send(b"get a\r\n")
                        answer = talk.more() or b""
                except OSError:
                    time.sleep(0.002)
            if start.process.poll() is None:
                self.assertEqual(answer, b"CLIENT_ERROR unauthenticated\r\n")
                start.faults.stop()
                with server.Talk(start.port) as talk:
                    talk.ask(b"set u 0 0 13\r\nuser password\r\n", b"STORED\r\n")
                    talk.ask(b"get a\r\n", b"END\r\n")
                start.process.terminate()
                self.assertEqual(start.process.wait(server.STOP_SECONDS), 0)
            else:
                self.assertGreater(start.process.returncode, 0)
                self.assertNotEqual(start.said().strip(), "")
        finally:
            if start.process.poll() is None:
                start.process.kill()
                start.process.wait()
            start.faults.close()
            start.errors.close()

    def test_without_mappings(self):
        self.try_all([], "map")
        self.try_all([], "map", errno.EPERM)

    def test_without_threads(self):
        self.try_all([], "thread")

    def test_without_descriptors(self):
        self.try_all(["-U", "-1"], "files")
        self.try_all([], "files", errno.ENFILE)

    def test_without_what_a_listener_needs(self):
        for how in (errno.EACCES, errno.EADDRNOTAVAIL, errno.ENOBUFS):
            self.try_all(["-U", "-1"], "setup", how, 12)

    def test_without_room_to_wait_for_descriptors(self):
        self.try_all(["-U", "-1"], "watch")
        self.try_all([], "watch", errno.ENOSPC)

    def test_interrupted(self):
        self.try_all([], "wait")
        self.try_all([], "wake")


# ---- While it serves ---------------------------------------------------------------------


def ask_http(path):
    """What is answered before the connection ends; empty where it is refused."""
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(server.REPLY_SECONDS * 3)
        talk.connect(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            talk.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return endpoint.hear(talk)


class TestServing(unittest.TestCase):
    def each(self, name, how=None, options=("-m", "16", "-t", "2"), most=None, context=None,
             also=lambda cache, ledger: None):
        """The n-th call of a conversation fails, for every n."""
        draw = random.Random(SEED)
        with faults.FaultyServer(*options, context=context) as cache:
            ledger = Ledger()
            converse(cache, ledger, draw)
            also(cache, ledger)
            verify(cache, ledger)
            before = cache.faults.seen(name)
            converse(cache, ledger, draw)
            also(cache, ledger)
            calls = cache.faults.seen(name) - before
            struck = 0
            for n in some_of(calls, "%s %s" % (name, how), most):
                cache.faults.fail(name, first=n, how=how)
                converse(cache, ledger, draw)
                also(cache, ledger)
                struck += cache.faults.failed(name)
                cache.faults.stop()
                verify(cache, ledger)
            self.assertGreater(struck, 0)

    def every(self, name, how=None, options=("-m", "16", "-t", "2"),
              steps=(1, 2, 3, 7, 20), context=None):
        """Of all calls every k-th fails, up to a number that bounds the time it takes."""
        draw = random.Random(SEED)
        with faults.FaultyServer(*options, context=context) as cache:
            ledger = Ledger()
            for step in steps:
                cache.faults.fail(name, first=step, every=step, left=10000, how=how)
                converse(cache, ledger, draw)
                cache.faults.stop()
                self.assertGreater(cache.faults.failed(name), 0)
                verify(cache, ledger)

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_each_allocation_may_fail(self):
        self.each("memory")

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_each_allocation_for_operators_may_fail(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o777)
            config = os.path.join(directory, "config")

            def look(cache, ledger):
                with open(config, "w") as file:
                    file.write("-o idle_timeout=%d\n" % random.randrange(1000, 2000))
                cache.send_signal(signal.SIGHUP)
                look_around(cache, ledger)

            open(config, "w").close()
            os.chmod(config, 0o644)
            self.each("memory", also=look, options=(
                "-m", "16", "-t", "2", "--config", config, "-o", "hotkeys_sample=1,track_sizes",
                "-o", "latency_sample=1"))

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_each_allocation_for_tls_may_fail(self):
        certificates.need_tls()
        with certificates.Certificates.of_server() as certs:
            self.each("memory", options=("-m", "16", "-t", "2", *certs.options()),
                      context=certs.client())

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_each_allocation_for_who_asks_over_http_may_fail(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o777)
            path = directory + "/http"
            with faults.FaultyServer("-m", "16", "-o", "http=unix:" + path) as cache:
                ask_http(path)
                failed, n = 1, 0
                while failed > 0:
                    n += 1
                    cache.faults.fail("memory", first=n)
                    ask_http(path)  # libevent may leave out what it has no memory for
                    failed = cache.faults.rule("memory").failed
                    cache.faults.stop()
                    self.assertIsNone(cache.process.poll(), n)
                self.assertGreater(n, 20)
                self.assertEqual(ask_http(path)[:12], b"HTTP/1.1 200")

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_many_allocations_may_fail(self):
        self.every("memory", steps=(2, 3, 5, 11))

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_all_allocations_may_fail_for_a_while(self):
        draw = random.Random(SEED)
        with faults.FaultyServer("-m", "16", "-t", "2") as cache:
            ledger = Ledger()
            held = Client(cache, ledger)
            held.set(b"held", b"1")
            cache.faults.fail("memory", first=1, every=1)
            # One that is connected goes on; new ones are let go at once, or served where there is
            # memory for them that another has left.
            held.get(b"held")
            held.incr(b"held")
            held.get(b"held")
            for _ in range(20):
                with cache.connect() as talk:
                    talk.socket.settimeout(talk.seconds)
                    try:
                        talk.send(b"mn\r\n")
                        self.assertIn(talk.more(), (b"", b"MN\r\n"))
                    except ConnectionError:
                        pass
            cache.faults.stop()
            verify(cache, ledger)
            converse(cache, ledger, draw)
            verify(cache, ledger)

    def test_reads_may_be_interrupted_or_find_nothing(self):
        for how in (errno.EINTR, errno.EAGAIN):
            self.every("receive", how, steps=(2, 3, 7))

    def test_reads_may_be_short(self):
        self.every("receive", faults.SHORT)

    def test_reads_may_fail(self):
        for how in (errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOMEM):
            self.every("receive", how, steps=(2, 3, 7, 20))
        self.each("receive", errno.ECONNRESET)

    def test_writes_may_be_interrupted_or_find_no_room(self):
        for how in (errno.EINTR, errno.EAGAIN):
            self.every("send", how, steps=(2, 3, 7))

    def test_writes_may_be_short(self):
        self.every("send", faults.SHORT)

    def test_writes_may_fail(self):
        for how in (errno.ECONNRESET, errno.EPIPE, errno.ENOBUFS):
            self.every("send", how, steps=(2, 3, 7, 20))
        self.each("send", errno.EPIPE)

    def test_what_tls_reads_and_writes_may_be_interrupted_cut_or_fail(self):
        certificates.need_tls()
        with certificates.Certificates.of_server() as certs:
            for name in ("receive", "send"):
                for how in (errno.EINTR, errno.EAGAIN, faults.SHORT, errno.ECONNRESET):
                    self.every(name, how, options=("-m", "16", "-t", "2", *certs.options()),
                               context=certs.client(), steps=(2, 7))

    def test_clients_may_be_gone_before_they_are_accepted(self):
        self.every("accept", errno.ECONNABORTED, steps=(2, 3))
        self.every("accept", errno.EINTR, steps=(2, 3))

    def test_accepting_may_fail(self):
        for how in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            self.every("accept", how, steps=(2,))

    def test_waiting_may_be_interrupted(self):
        self.every("wait", steps=(2, 3))
        self.every("wake", steps=(2, 3))
        self.every("wake", errno.EAGAIN, steps=(2, 3))

    def test_waiting_for_a_descriptor_may_be_refused(self):
        self.each("watch")
        self.every("watch", errno.ENOSPC, steps=(1, 2, 3))

    def test_a_refused_listener_accepts_again(self):
        """Accepting is suspended when descriptors run out; coming back may fail, too."""
        with faults.FaultyServer("-m", "16", "-t", "2") as cache:
            ledger = Ledger()
            for n in (1, 2, 3):
                cache.faults.fail("accept", first=1)
                cache.faults.fail("watch", first=1, every=1, left=n)
                converse(cache, ledger, random.Random(SEED))
                cache.faults.stop()
                verify(cache, ledger)

    def test_memory_may_not_be_given_back(self):
        with faults.FaultyServer("-m", "16", "-t", "2") as cache:
            ledger = Ledger()
            cache.faults.fail("map", first=1, every=1, how=errno.ENOSPC)
            converse(cache, ledger, random.Random(SEED))
            client = Client(cache, ledger)
            for size in (100, 5000):
                for i in range(2000):
                    with_key = b"fill%d-%d" % (size, i)
                    self.assertEqual(
                        client.line(b"set %s 0 0 %d\r\n%s\r\n" % (
                            with_key, size, size * b"x")), b"STORED\r\n")
            client.line(b"cache_memlimit 8\r\n")
            client.line(b"cache_memlimit 16\r\n")
            client.close()
            cache.faults.stop()
            fresh = Client(cache, Ledger())
            fresh.set(b"fresh", b"value")
            self.assertTrue(fresh.get(b"fresh"))
            fresh.close()

    def test_datagrams_may_fail(self):
        for name, how in (("receive", errno.EINTR), ("receive", errno.EAGAIN),
                          ("receive", errno.ENOMEM), ("send", errno.EAGAIN),
                          ("send", errno.ENOBUFS), ("send", errno.EINTR)) + (
                              (("memory", errno.ENOMEM),) if MEMORY else ()):
            with faults.Faults() as sheet, check_udp.UdpServer(
                    "-m", "16", "-t", "1", more=faults.environment(sheet)) as cache:
                cache.put(b"one", b"1")
                with cache.udp() as udp:
                    sheet.fail(name, first=1, every=2, how=how)
                    for _ in range(100):
                        udp.send(check_udp.frame(b"get one\r\n"))
                        udp.send(check_udp.frame(b"set two 0 0 9000\r\n" + 9000 * b"x"
                                                 + b"\r\n"))
                    sheet.stop()
                    udp.until_answered()


# ---- Clocks ------------------------------------------------------------------------------


class TestClocks(unittest.TestCase):
    YEAR = 365 * 86400

    def has(self, talk, **expected):
        for key, there in expected.items():
            talk.send(b"get %s\r\n" % key.encode())
            answer = talk.until(b"END\r\n")
            self.assertEqual(answer != b"END\r\n", there, key)

    def test_setting_the_wall_clock_changes_no_life(self):
        for jump in (5 * self.YEAR, -20 * self.YEAR, 1, -1, 3 * 86400):
            with faults.FaultyServer("-t", "2") as cache, cache.connect() as talk:
                wall = int(time.time())
                talk.ask(b"set hour 0 3600 1\r\n1\r\n", b"STORED\r\n")
                talk.ask(b"set ever 0 0 1\r\n1\r\n", b"STORED\r\n")
                talk.ask(b"set date 0 %d 1\r\n1\r\n" % (wall + 3600), b"STORED\r\n")
                cache.faults.sheet.add_realtime = jump
                self.has(talk, hour=True, ever=True, date=True)
                # A date means what the clock says when it comes.
                talk.ask(b"set date 0 %d 1\r\n1\r\n" % (wall + jump + 3600), b"STORED\r\n")
                talk.ask(b"set gone 0 %d 1\r\n1\r\n" % (wall + jump - 3600), b"STORED\r\n")
                self.has(talk, hour=True, ever=True, date=True, gone=False)
                self.assertLess(abs(int(cache.stats()["time"]) - wall - jump), 600)
                cache.faults.sheet.add_realtime = 0
                self.has(talk, hour=True, ever=True)

    def test_a_wall_clock_before_1970_or_after_2106_is_borne(self):
        for jump in (-100 * self.YEAR, 200 * self.YEAR):
            with faults.FaultyServer("-t", "1") as cache, cache.connect() as talk:
                cache.faults.sheet.add_realtime = jump
                talk.ask(b"set hour 0 3600 1\r\n1\r\n", b"STORED\r\n")
                talk.ask(b"set ever 0 0 1\r\n1\r\n", b"STORED\r\n")
                self.has(talk, hour=True, ever=True)
                cache.stats()

    def test_time_asleep_counts(self):
        with faults.FaultyServer("-t", "2") as cache, cache.connect() as talk:
            talk.ask(b"set hour 0 3600 1\r\n1\r\n", b"STORED\r\n")
            talk.ask(b"set week 0 604800 1\r\n1\r\n", b"STORED\r\n")
            talk.ask(b"set ever 0 0 1\r\n1\r\n", b"STORED\r\n")
            cache.faults.sheet.add_boottime = 3700
            self.has(talk, hour=False, week=True, ever=True)
            talk.ask(b"set hour 0 3600 1\r\n1\r\n", b"STORED\r\n")
            self.has(talk, hour=True)
            cache.faults.sheet.add_boottime = 5 * 86400
            self.has(talk, hour=False, week=True, ever=True)
            self.assertGreaterEqual(int(cache.stats()["uptime"]), 5 * 86400)
            cache.faults.sheet.add_boottime = 10 * self.YEAR
            self.has(talk, week=False, ever=True)

    def test_a_clock_that_goes_back_harms_nobody(self):
        """CLOCK_BOOTTIME does not, unless a machine is restored from a snapshot."""
        with faults.FaultyServer("-t", "2", "-o", "idle_timeout=1000") as cache:
            with cache.connect() as talk:
                cache.faults.sheet.add_boottime = 86400
                talk.ask(b"set hour 0 3600 1\r\n1\r\n", b"STORED\r\n")
                talk.ask(b"set ever 0 0 1\r\n1\r\n", b"STORED\r\n")
                cache.faults.sheet.add_boottime = 82800
                self.has(talk, hour=True, ever=True)
            with cache.connect() as talk:
                self.has(talk, hour=True, ever=True)
                self.assertGreaterEqual(int(cache.stats()["uptime"]), 82800)

    def test_a_long_sleep_ends_idle_clients_and_no_others(self):
        with faults.FaultyServer("-t", "1", "-o", "idle_timeout=1000") as cache:
            with cache.connect() as idle:
                idle.ask(b"mn\r\n", b"MN\r\n")
                cache.faults.sheet.add_boottime = 2000
                self.assertEqual(idle.more(server.REPLY_SECONDS * 3), b"")
            with cache.connect() as talk:
                talk.ask(b"set a 0 0 1\r\n1\r\n", b"STORED\r\n")


# ---- Things that run out -----------------------------------------------------------------


class TestRunningOut(unittest.TestCase):
    def test_of_descriptors(self):
        """Those who are connected are served; the others wait until somebody leaves."""
        with server.Server("-m", "16", "-t", "2", "-c", "500") as cache:
            used = len(os.listdir("/proc/%d/fd" % cache.process.pid))
            limit = used + 20
            resource.prlimit(cache.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
            talks = [cache.connect() for _ in range(60)]
            try:
                for talk in talks:
                    talk.send(b"mn\r\n")
                for talk in talks[:20]:
                    talk.expect(b"MN\r\n")
                talks[0].ask(b"set a 0 0 1\r\n1\r\n", b"STORED\r\n")
                for at in range(20, 60):
                    talks[at - 20].close()
                    talks[at].expect(b"MN\r\n")
                talks[59].ask(b"get a\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n")
            finally:
                for talk in talks:
                    talk.close()

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_of_address_space(self):
        """No more can be mapped: RLIMIT_AS, at what is in use."""
        self.run_out(resource.RLIMIT_AS, "VmSize")

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_of_address_space_at_the_start(self):
        """Whatever the limit, it says why not, or it serves."""
        for limit in some_of(40, "address space", 10):
            self.start_limited(limit << 24)

    def start_limited(self, limit):
        errors = tempfile.TemporaryFile()
        user = ["-u", "root"] if os.geteuid() == 0 else []
        port = server.free_port()
        process = subprocess.Popen(
            [server.binary(), *user, "-p", str(port), "-m", "64", "-t", "2"],
            stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        try:
            end = time.monotonic() + 2 * server.START_SECONDS
            serves = False
            while process.poll() is None and not serves:
                self.assertLess(time.monotonic(), end, limit)
                try:
                    with server.Talk(port) as talk:
                        talk.ask(b"set a 0 0 1\r\n1\r\n", b"STORED\r\n")
                        talk.ask(b"get a\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n")
                        serves = True
                except (OSError, server.Failure):
                    time.sleep(0.005)
            if serves:
                process.terminate()
            status = process.wait(server.STOP_SECONDS)
            errors.seek(0)
            said = errors.read()
            if serves:
                self.assertEqual(status, 0, (limit, said))
            else: # 127 is the loader's, which says so as well
                self.assertIn(status, range(1, 128), (limit, said))
                self.assertNotEqual(said.strip(), b"")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            errors.close()

    def control_group(self, limit):
        """A group of our own below the limit, or None where we may not make one."""
        for top, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                          ("/sys/fs/cgroup", "memory.max")):
            group = os.path.join(top, "larder-%d" % os.getpid())
            try:
                os.mkdir(group)
            except OSError:
                continue
            self.addCleanup(os.rmdir, group)
            try:
                with open(os.path.join(group, name), "r+") as file:
                    file.write(str(limit))
                return group
            except OSError:
                continue
        return None

    @unittest.skipUnless(MEMORY, "a sanitizer needs more memory than that")
    def test_of_memory_of_a_control_group(self):
        """Full of items within the limit it evicts and serves; and where -m alone is more
        than the limit, it says so when it starts."""
        group = self.control_group(96 << 20)
        if group is None:
            self.skipTest("no control group can be made here")
        procs = os.path.join(group, "cgroup.procs")

        def enter():
            with open(procs, "w") as file:
                file.write("0")

        for size, warned in (("48", False), ("96", True), ("1024", True)):
            errors = tempfile.TemporaryFile()
            user = ["-u", "root"] if os.geteuid() == 0 else []
            port = server.free_port()
            process = subprocess.Popen(
                [server.binary(), *user, "-p", str(port), "-m", size, "-t", "2"],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, preexec_fn=enter)
            try:
                self.serve_in_group(process, port, fill=not warned)
                process.terminate()
                self.assertEqual(process.wait(server.STOP_SECONDS), 0)
                errors.seek(0)
                self.assertEqual(b"control group may use 96 MiB" in errors.read(), warned)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                errors.close()

    def serve_in_group(self, process, port, fill):
        end = time.monotonic() + 2 * server.START_SECONDS
        while True:
            self.assertLess(time.monotonic(), end)
            self.assertIsNone(process.poll())
            try:
                talk = server.Talk(port, server.REPLY_SECONDS * 3)
                break
            except OSError:
                time.sleep(0.01)
        with talk:
            if fill:
                for i in range(5000):
                    talk.ask(b"set k%d 0 0 20000\r\n%s\r\n" % (i, 20000 * b"x"),
                             b"STORED\r\n")
            talk.ask(b"set a 0 0 1\r\n1\r\n", b"STORED\r\n")
            talk.ask(b"get a\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n")

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_of_data(self):
        self.run_out(resource.RLIMIT_DATA, "VmData")

    def run_out(self, limit, field):
        draw = random.Random(SEED)
        with server.Server("-m", "16", "-t", "2") as cache:
            ledger = Ledger()
            converse(cache, ledger, draw)
            with open("/proc/%d/status" % cache.process.pid) as file:
                used = next(int(line.split()[1]) for line in file if line.startswith(field))
            resource.prlimit(cache.process.pid, limit, (used << 10, resource.RLIM_INFINITY))
            talks = []
            for _ in range(300):
                talks.append(cache.connect())
                talks[-1].send(b"set partial 0 0 100000\r\n" + 30000 * b"x")
            converse(cache, ledger, draw)
            for talk in talks:
                talk.close()
            resource.prlimit(cache.process.pid, limit,
                             (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            verify(cache, ledger)


# ---- From one process to the next --------------------------------------------------------


class TestHandingOver(unittest.TestCase):
    """SIGUSR2 with -o handover=process. The calls of both processes are counted together."""

    def pid(self, cache):
        """Of the process that serves; None: nobody does. A connection may be lost to the
        fault, but the listening socket outlives the processes."""
        end = time.monotonic() + 2 * server.START_SECONDS
        while time.monotonic() < end:
            try:
                return int(cache.stats()["pid"])
            except ConnectionRefusedError:
                return None
            except (OSError, KeyError, server.Failure):
                time.sleep(0.01)
        self.fail("it neither serves nor ends")

    def hand_over(self, cache, before):
        """Until the next process serves, or this one has said why not. The one that serves."""
        said = len(cache.stderr())
        os.kill(before, signal.SIGUSR2)
        end = time.monotonic() + 2 * server.START_SECONDS
        while True:
            pid = self.pid(cache)
            if pid != before or len(cache.stderr()) > said:
                return pid
            self.assertLess(time.monotonic(), end, "it neither hands over nor says why not")
            time.sleep(0.01)

    def until_said(self, cache):
        """Who ends says why."""
        end = time.monotonic() + server.STOP_SECONDS
        while not cache.stderr().strip():
            self.assertLess(time.monotonic(), end, "it ended without a word")
            time.sleep(0.01)

    def end(self, pid, cache):
        """Ends a process that may be nobody's child, and may have ended by itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + server.STOP_SECONDS
        while pid != cache.process.pid and os.path.exists("/proc/%d" % pid):
            self.assertLess(time.monotonic(), end, "it does not end")
            time.sleep(0.01)

    def verify_in_the_end(self, cache, ledger):
        """A word on standard error may come before the end of it: then a client of the old
        process may be lost with what failed, and so may both processes. False: nobody serves,
        and that was the reason."""
        for attempt in range(3):
            try:
                verify(cache, ledger)
                return True
            except Lost:
                if self.pid(cache) is None:
                    self.until_said(cache)
                    return False
                self.assertLess(attempt, 2, "clients are lost although nothing fails any more")
                time.sleep(1)

    def try_one(self, fault, name="memory", how=None):
        """How many such calls there were, and whether the next process serves."""
        with faults.FaultyServer("-m", "16", "-t", "2", "-o", "handover=process") as cache:
            ledger = Ledger()
            converse(cache, ledger, random.Random(SEED))
            before, seen = self.pid(cache), cache.faults.seen(name)
            cache.faults.fail(name, first=fault, how=how)
            pid = self.hand_over(cache, before)
            cache.faults.stop()
            seen = cache.faults.seen(name) - seen
            said = cache.stderr()
            if pid is None: # too late to go on without it
                self.until_said(cache)
                return seen, False
            try:
                if any(word in said for word in ("items are lost", "starting empty",
                                                 "gave nothing")):
                    for key in ledger.may:
                        ledger.done(key, ledger.get(key) | {None})
                serves = self.verify_in_the_end(cache, ledger)
                self.assertIsNone(server.REPORT.search(said.encode()))
            finally:
                self.end(pid, cache)
            return seen, serves and pid != before

    @unittest.skipUnless(MEMORY, WHY_NOT)
    def test_each_allocation_may_fail(self):
        calls, serves = self.try_one(1 << 40)
        self.assertTrue(serves)
        self.assertTrue(any([self.try_one(n)[1] for n in some_of(calls, "hand-over", 10)]))

    def count_calls(self):
        """Of each class, while one process follows the other."""
        with faults.FaultyServer("-m", "16", "-t", "2", "-o", "handover=process") as cache:
            before = self.pid(cache)
            seen = {name: cache.faults.seen(name) for name in faults.CLASSES}
            pid = self.hand_over(cache, before)
            seen = {name: cache.faults.seen(name) - seen[name] for name in seen}
            self.end(pid, cache)
            self.assertNotEqual(pid, before)
            return seen

    def test_calls_may_be_interrupted(self):
        """Which nobody sees: the next process serves."""
        calls = self.count_calls()
        for name in ("receive", "send", "wait", "wake"):
            for n in some_of(calls[name], "interrupted " + name, 2):
                self.assertTrue(self.try_one(n, name, errno.EINTR)[1], (name, n))

    def test_calls_may_fail(self):
        """The old process goes on, or the next one serves, or both have said why not."""
        calls = self.count_calls()
        for name, how in (("receive", errno.EAGAIN), ("receive", errno.ENOMEM),
                          ("send", errno.EAGAIN), ("send", errno.EPIPE),
                          ("map", errno.ENOMEM), ("files", errno.EMFILE),
                          ("thread", errno.EAGAIN), ("watch", errno.ENOSPC),
                          ("setup", errno.ENOBUFS)):
            for n in some_of(calls[name], "hand-over %s %d" % (name, how), 1):
                self.try_one(n, name, how)


if __name__ == "__main__":
    if server.peer():
        server.skip("makes Larder's own calls fail")
    faults.library()
    print("seed %d" % SEED, file=sys.stderr)
    unittest.main(verbosity=2, warnings="ignore")
