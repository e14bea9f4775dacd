#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs larderctl as people and scripts do.

What it protects: every command does what its manual page says, prints JSON that is JSON,
and ends with the documented status; what a dump holds comes back byte for byte; a server
that sends garbage, or nothing, or no end of it, is survived in bounded time and memory; and
no byte that a server chooses reaches the terminal as a control.
"""
import base64
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402
from certificates import Certificates  # noqa: E402

CTL = os.environ.get("LARDERCTL") or os.path.join(
    os.path.dirname(os.path.abspath(srv.binary())), "larderctl")
MEMCACHED = shutil.which("memcached")
OK, REFUSED, UNREACHABLE, USAGE, IO = 0, 1, 2, 64, 74
# Patience with larderctl itself, and larderctl's with servers that answer.
SECONDS = 60 * srv.SLOW
PATIENT = [CTL, "--timeout", str(5 * SECONDS)]
# Safe on every terminal.
SAFE = re.compile(rb"[\x20-\x7e\n]*\Z")


def sanitized(program):
    with open(program, "rb") as file:
        image = file.read()
    return b"__asan_init" in image or b"__tsan_init" in image


def environment(**more):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("LARDER_") or name == "LARDER_SLOW_FACTOR"}
    return dict(env, **more)


class Done:
    """How a run of larderctl ended."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def text(self):
        return self.out.decode("ascii")

    def json(self):
        """One document for each line, each of them valid."""
        return [json.loads(line) for line in self.out.decode("ascii").splitlines()]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def ctl(self, *words, status=OK, server=None, stdin=b"", patience=30 * srv.SLOW,
            safe=True, **env):
        command = [CTL, "--timeout", str(patience)]
        if server is not None:
            command += ["--server", where(server)]
        done = subprocess.run(command + [str(word) for word in words], input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=5 * SECONDS, env=environment(**env), check=False)
        self.assertIsNone(srv.REPORT.search(done.stderr), done.stderr)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, SAFE)
        if safe:
            self.assertRegex(done.stdout, SAFE)
        return Done(done.returncode, done.stdout, done.stderr)

    def serve(self, *options, **more):
        server = srv.Server(*options, **more)
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server


def where(server):
    return server if isinstance(server, str) else "127.0.0.1:%d" % server.port


def caught(pid, number):
    """Has the process a handler for this signal?"""
    with open("/proc/%d/status" % pid) as file:
        mask = re.search(r"SigCgt:\s*([0-9a-f]+)", file.read()).group(1)
    return bool(int(mask, 16) >> (number - 1) & 1)


def wire_key(key):
    """How meta commands write a key, and the flag it needs."""
    if re.fullmatch(rb"[\x21-\x7e\x80-\xff]+", key):
        return key, b""
    return base64.b64encode(key), b" b"


def store(port, items):
    """items: key to (flags, ttl, value). Stores all and checks each answer."""
    with srv.Talk(port) as talk:
        for key, (flags, ttl, value) in items.items():
            name, flag = wire_key(key)
            if ttl > 30 * 86400:
                ttl += int(time.time())     # longer ones are dates
            talk.ask(b"ms %s %d F%d T%d%s\r\n%s\r\n"
                     % (name, len(value), flags, ttl, flag, value), b"HD\r\n")


def fetch(port, keys):
    """key to (flags, ttl, value) for those of `keys` that are there."""
    found = {}
    with srv.Talk(port) as talk:
        for key in keys:
            name, flag = wire_key(key)
            talk.send(b"mg %s v f t%s\r\n" % (name, flag))
            words = talk.line().split()
            if words[0] == b"VA":
                value = talk.exactly(int(words[1]))
                talk.expect(b"\r\n")
                found[key] = (int(words[2][1:]), int(words[3][1:]), value)
    return found


def random_items(rng, n):
    items = {}
    while len(items) < n:
        if rng.random() < 0.5:
            key = rng.randbytes(rng.randrange(1, 187))
        else:
            key = b"key:%d" % rng.randrange(10**12)
        size = rng.choice([0, 1, 10, 100, 1000, 10000])
        items[key] = (rng.randrange(2**32), rng.choice([0, 0, 5000, 10**6, 4000000]),
                      rng.randbytes(rng.randrange(size + 1)))
    return items


def parse_dump(data):
    """The form that larderctl(1) describes, read by somebody else."""
    items, at = {}, 0

    def line():
        nonlocal at
        end = data.index(b"\n", at)
        words, at = data[at:end].split(b" "), end + 1
        return words

    assert line()[:2] == [b"larder-dump", b"1"]
    while True:
        words = line()
        if words[0] == b"end":
            assert int(words[1]) == len(items) and at == len(data)
            return items
        assert words[0] == b"item" and len(words) == 5
        size = int(words[4])
        items[urllib.parse.unquote_to_bytes(words[1])] = (
            int(words[2]), int(words[3]), data[at:at + size])
        assert data[at + size:at + size + 1] == b"\n"
        at += size + 1


class Reports(Case):
    def test_stats_are_printed_as_the_server_has_them(self):
        server = self.serve()
        rows = dict(line.split(None, 1)
                    for line in self.ctl("stats", server=server).text().splitlines())
        self.assertEqual(rows["pid"], str(server.process.pid))
        self.assertGreater(len(rows), 50)

    def test_every_report_is_json(self):
        server = self.serve("-o", "track_sizes")
        store(server.port, {b"a:\x1b[2J": (1, 0, b"x"), b"b": (2, 0, b"y" * 5000)})
        with server.connect() as talk:
            talk.ask(b"stats detail on\r\n", b"OK\r\n")
            talk.ask(b"get a:1 b:%d\r\n" % 10**9, b"END\r\n")
        for report in ["", "items", "slabs", "sizes", "settings", "conns", "reset",
                       "detail dump", "detail off", "cachedump 1 0"]:
            documents = self.ctl("--json", "stats", *report.split(), server=server).json()
            self.assertEqual(len(documents), 1, report)
            self.assertEqual(documents[0]["server"], where(server))
            self.assertIn("stats", documents[0])
            self.ctl("stats", *report.split(), server=server)

    def test_json_has_numbers_and_strings(self):
        server = self.serve()
        stats = self.ctl("--json", "stats", server=server).json()[0]["stats"]
        self.assertEqual(stats["pid"], server.process.pid)
        self.assertTrue(stats["version"].startswith("1.6."))
        settings = self.ctl("-j", "settings", server=server).json()[0]["stats"]
        self.assertEqual(settings["maxbytes"], 67108864)

    def test_prefixes_are_json(self):
        server = self.serve()
        with server.connect() as talk:
            talk.ask(b"stats detail on\r\n", b"OK\r\n")
            talk.ask(b"get a\x1bb:1\r\n", b"END\r\n")
        document = self.ctl("--json", "stats", "detail", "dump", server=server).json()[0]
        self.assertEqual(document["prefixes"], [
            {"prefix": "a%1Bb", "get": 1, "hit": 0, "set": 0, "del": 0}])

    def test_a_report_that_is_not_there_is_refused(self):
        server = self.serve()
        done = self.ctl("stats", "nonsense", server=server, status=REFUSED)
        self.assertIn(b"ERROR", done.err)
        document = self.ctl("-j", "stats", "nonsense", server=server, status=REFUSED).json()
        self.assertEqual(document, [{"server": where(server), "error": "ERROR"}])

    def test_words_cannot_smuggle_commands(self):
        server = self.serve()
        self.ctl("stats", "items\r\nflush_all", server=server, status=USAGE)
        self.ctl("watch", "fetchers\nflush_all", server=server, status=USAGE)
        self.assertEqual(server.stats()["cmd_flush"], "0")

    def test_the_table_shows_each_class(self):
        server = self.serve()
        store(server.port, {b"small": (0, 0, b""), b"large": (0, 0, b"x" * 100000)})
        for command in ["items", "slabs"]:
            lines = self.ctl(command, server=server).text().splitlines()
            self.assertEqual(lines[0].split(), ["#", "Item_Size", "Max_age", "Pages",
                                                "Count", "Full?", "Evicted", "Evict_Time",
                                                "OOM"])
            rows = [line.split() for line in lines[1:]]
            self.assertTrue(all(len(row) == 9 for row in rows))
            self.assertEqual(sum(int(row[4]) for row in rows) >= 2, True)
            document = self.ctl(command, "--json", server=server).json()[0]
            self.assertEqual([str(row["class"]) for row in document["classes"]],
                             [row[0] for row in rows])
            self.assertGreater(document["total_malloced"], 0)

    def test_several_servers_answer_one_after_the_other(self):
        one, two = self.serve(), self.serve()
        both = ["--server", where(one), "--server", where(two)]
        documents = self.ctl(*both, "stats", "-j").json()
        self.assertEqual([document["stats"]["pid"] for document in documents],
                         [one.process.pid, two.process.pid])
        text = self.ctl(*both, "items").text()
        self.assertIn(where(one) + ":", text)
        self.assertIn(where(two) + ":", text)

    def test_one_that_is_gone_does_not_hide_the_others(self):
        server = self.serve()
        gone = "127.0.0.1:%d" % srv.free_port()
        done = self.ctl("-s", gone, "-s", where(server), "version", "-j", status=UNREACHABLE)
        documents = done.json()
        self.assertEqual(documents[0]["server"], gone)
        self.assertIn("error", documents[0])
        self.assertIn("version", documents[1])

    def test_events_are_watched(self):
        server = self.serve()
        for words in [[], ["--json"]]:
            watch = subprocess.Popen(
                [*PATIENT, *words, "-s", where(server), "watch", "mutations", "deletions",
                 "--count", "2"], stdout=subprocess.PIPE)
            end = time.monotonic() + SECONDS
            while server.stats()["log_watchers"] != "1":
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            store(server.port, {b"a \x1b": (0, 0, b"x")})
            with server.connect() as talk:
                talk.ask(b"md YSAb b\r\n", b"HD\r\n")
            out = watch.communicate(timeout=SECONDS)[0].decode("ascii")
            self.assertEqual(watch.returncode, OK)
            lines = out.splitlines()
            self.assertEqual(len(lines), 2)
            if words:
                events = [json.loads(line) for line in lines]
                self.assertEqual([event["type"] for event in events],
                                 ["item_store", "deleted"])
                self.assertEqual(events[0]["key"], "a %1B")
            else:
                self.assertIn(" type=item_store key=a%20%1B ", lines[0] + " ")
            while server.stats()["log_watchers"] != "0":
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)

    def test_hot_keys_are_escaped_once(self):
        server = self.serve("-o", "hotkeys_sample=1")
        store(server.port, {b"a \x1b:%": (0, 0, b"x")})
        with server.connect() as talk:
            for _ in range(10):
                talk.ask(b"mg YSAbOiU= b\r\n", b"HD\r\n")
        stats = self.ctl("--json", "stats", "hotkeys", server=server).json()[0]["stats"]
        self.assertEqual(stats["requests:1:key"], "a %1B:%25")
        self.ctl("stats", "hotkeys", server=server)
        self.ctl("stats", "latency", "-j", server=server).json()

    def test_ping_and_version(self):
        server = self.serve()
        self.assertIn("answered in", self.ctl("ping", server=server).text())
        self.assertRegex(self.ctl("version", server=server).text(), r": 1\.6\.\S+\n\Z")
        documents = self.ctl("ping", "--json", "--count", 3, "--interval", "0.001",
                             server=server).json()
        self.assertEqual(len(documents), 3)
        self.assertGreaterEqual(documents[0]["reply_ms"], 0)


class CommandLine(Case):
    def test_wrong_usage_is_64_and_says_what_is_wrong(self):
        for words, complaint in [
                ([], b"no command"), (["nonsense"], b"no command \"nonsense\""),
                (["stats", "--count", "1"], b"--count means nothing to stats"),
                (["ping", "--count", "0"], b"--count"), (["ping", "--count", "x"], b"--count"),
                (["--timeout", "0", "ping"], b"--timeout"),
                (["--timeout", "abc", "ping"], b"--timeout"),
                (["--server", "a:b", "ping"], b"port"), (["ping", "word"], b"too many words"),
                (["-s", "a", "-s", "b", "load"], b"one server"),
                (["--tls-ca", "x", "ping"], b"--tls"), (["top", "--sort", "x"], b"--sort"),
                (["--nonsense"], b"nonsense"), (["--auth-file", "", "ping"], b"empty"),
                (["dump", "-q", "--progress"], b"--quiet")]:
            done = self.ctl(*words, status=USAGE)
            self.assertIn(complaint, done.err, words)
            self.assertEqual(done.out, b"")

    def test_help_names_every_command_and_the_statuses(self):
        text = self.ctl("--help").text()
        for word in ["top", "stats", "items", "slabs", "settings", "dump", "load", "watch",
                     "upgrade", "ping", "version", "--server", "LARDER_SERVER", "Exit status"]:
            self.assertIn(word, text)
        self.assertTrue(all(len(line) <= 90 for line in text.splitlines()))
        self.assertRegex(self.ctl("--version").text(), r"\Alarderctl \d")

    def source(self, *names):
        """A file of the source tree."""
        top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        with open(os.path.join(top, *names), encoding="utf-8") as file:
            return file.read()

    def test_manual_and_completions_know_all_options_and_commands(self):
        text = self.ctl("--help").text()
        options = set(re.findall(r"--[a-z][a-z-]+", text.split("Options:")[1].split(
            "Environment:")[0]))
        commands = re.findall(r"^  ([a-z]+) ", text.split("Options:")[0], re.M)
        self.assertGreater(len(options), 20)
        self.assertEqual(len(commands), 11)
        manual = self.source("doc", "larderctl.1").replace("\\-", "-")
        for name in ["larderctl", "_larderctl"]:
            completion = self.source("scripts", "completion", name)
            for word in options:
                self.assertRegex(completion, re.escape(word) + r"(?![a-z-])", name)
                self.assertRegex(manual, re.escape(word) + r"(?![a-z-])")
            for word in commands:
                self.assertRegex(completion, r"\b%s\b" % word, name)
                self.assertRegex(manual, r"\n\.(B|BR) .*\b%s\b" % word)

    def complete(self, *words):
        """What bash offers for the last word."""
        top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '_larderctl; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(
            ["bash", "-c", script, "bash", os.path.join(
                top, "scripts", "completion", "larderctl"), "larderctl", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
            timeout=SECONDS, check=False)
        self.assertEqual(done.stderr, b"")
        return set(done.stdout.decode().split())

    def test_bash_completes(self):
        self.write("file.dump", b"")
        self.assertEqual(self.complete("st"), {"stats"})
        self.assertEqual(self.complete("--server", "top", "--json", "st"), {"stats"})
        self.assertEqual(len(self.complete("")), 11)
        self.assertEqual(self.complete("--tls-c"), {"--tls-ca", "--tls-cert"})
        self.assertIn("hotkeys", self.complete("stats", ""))
        self.assertEqual(self.complete("--json", "stats", "hot"), {"hotkeys"})
        self.assertEqual(self.complete("watch", "fetchers", "ev"), {"evictions"})
        self.assertEqual(self.complete("load", "f"), {"file.dump"})
        self.assertEqual(self.complete("--auth-file", "f"), {"file.dump"})
        self.assertEqual(self.complete("--auth-file", "=", "f"), {"file.dump"})
        self.assertEqual(self.complete("top", "--sort", "m"), {"memory"})
        self.assertEqual(self.complete("ping", "--count", ""), set())

    def test_the_environment_names_servers(self):
        one, two = self.serve(), self.serve()
        documents = self.ctl("ping", "-j", LARDER_SERVER=" %s  %s " % (
            where(one), where(two))).json()
        self.assertEqual([document["server"] for document in documents],
                         [where(one), where(two)])
        documents = self.ctl("ping", "-j", server=two, LARDER_SERVER=where(one)).json()
        self.assertEqual(len(documents), 1)
        self.ctl("ping", LARDER_SERVER="a:b", status=USAGE)

    def test_nobody_there_is_2(self):
        gone = "127.0.0.1:%d" % srv.free_port()
        for words in [["ping"], ["stats"], ["items"], ["dump"], ["load"], ["watch"]]:
            self.assertIn(b"refused", self.ctl(*words, server=gone, status=UNREACHABLE).err)
        self.ctl("ping", server="unix:" + self.path("nobody"), status=UNREACHABLE)
        self.ctl("ping", server="name.invalid", status=UNREACHABLE)

    def test_output_that_cannot_be_written_is_74(self):
        server = self.serve()
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*PATIENT, "-s", where(server), "stats"], stdout=full,
                                  stderr=subprocess.PIPE, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, IO)
        self.assertIn(b"cannot write", done.stderr)


class Ways(Case):
    """Of getting to a server, and in."""

    def test_unix_sockets(self):
        path = self.path("socket")
        process = subprocess.Popen(
            [srv.binary(), *(["-u", "root"] if os.geteuid() == 0 else []), "-s", path],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.until(lambda: self.ctl("ping", server="unix:" + path,
                                        status=None).status == OK)
            self.ctl("ping", server=path)
            self.ctl("stats", server="unix:" + path)
            dump = self.ctl("dump", server=path, safe=False).out
            self.ctl("load", server=path, stdin=dump)
        finally:
            process.terminate()
            process.wait(SECONDS)

    def until(self, condition):
        end = time.monotonic() + SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def test_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("this machine has no ::1")
        server = self.serve("-l", "::1")
        self.ctl("ping", server="[::1]:%d" % server.port)

    def secured(self):
        users = self.write("users", b"ann:secret word\nbob:other\n")
        return users, self.serve("-Y", users, hello=(
            b"version\r\n", b"CLIENT_ERROR unauthenticated"))

    def test_without_a_password_nothing_and_a_hint(self):
        _, server = self.secured()
        for words in [["ping"], ["stats"], ["items"], ["dump"], ["load"], ["watch"]]:
            done = self.ctl(*words, server=server, status=REFUSED)
            self.assertIn(b"--auth-file", done.err)

    def test_files_and_the_environment_have_passwords(self):
        users, server = self.secured()
        self.ctl("stats", "--auth-file", users, server=server)
        self.ctl("stats", "--auth-file", users, "--user", "bob", server=server)
        self.ctl("items", server=server, LARDER_AUTH="ann:secret word")
        dump = self.ctl("dump", server=server, LARDER_AUTH="ann:secret word").out
        self.ctl("load", "--auth-file", users, server=server, stdin=dump)
        self.ctl("watch", "nonsense", "--auth-file", users, server=server, status=REFUSED)

    def test_wrong_passwords_are_1_and_never_shown(self):
        users, server = self.secured()
        wrong = self.write("wrong", b"ann:hunter2\n")
        done = self.ctl("stats", "--auth-file", wrong, server=server, status=REFUSED)
        self.assertIn(b"authentication failure", done.err)
        self.assertNotIn(b"hunter2", done.err)
        self.ctl("stats", "--auth-file", users, "--user", "eve", server=server, status=USAGE)
        self.ctl("stats", "--auth-file", self.path("none"), server=server, status=USAGE)
        self.ctl("stats", server=server, LARDER_AUTH="nonsense", status=USAGE)

    def test_a_password_is_asked_for_on_the_terminal(self):
        _, server = self.secured()
        terminal = Terminal([*PATIENT, "-s", where(server), "--user", "bob", "version"])
        try:
            terminal.expect(b"Password of bob:")
            terminal.send(b"other\n")
            terminal.expect(b"1.6.")
            self.assertEqual(terminal.end(), OK)
            self.assertNotIn(b"other", terminal.seen)
        finally:
            terminal.close()


def has_tls():
    done = subprocess.run([CTL, "--tls", "--timeout", "0.001", "-s", "127.0.0.1:1", "ping"],
                          stderr=subprocess.PIPE, check=False)
    return b"built without" not in done.stderr


class Tls(Case):
    """Over TLS, and only to whom it should."""

    @classmethod
    def setUpClass(cls):
        if not has_tls():
            raise unittest.SkipTest("built without TLS")
        cls.certs = Certificates()
        cls.addClassCleanup(cls.certs.remove)
        cls.certs.authority("ca")
        cls.certs.authority("other")
        cls.certs.make("server", "ca")
        cls.certs.make("client", "ca")

    def start(self, *options, words=(), own=None):
        return self.serve(*self.certs.options("server", *words), *options,
                          context=self.certs.client(own=own))

    def trust(self, name="ca"):
        return ["--tls", "--tls-ca", self.certs.path(name + ".pem")]

    def test_every_command_speaks_it(self):
        server = self.start()
        with server.connect() as talk:
            talk.ask(b"set k 3 0 300000\r\n%s\r\n" % (b"v" * 300000), b"STORED\r\n")
        for words in [["ping"], ["stats"], ["items", "-j"], ["settings"],
                      ["top", "--plain", "-c", "1", "-i", "0.01"]]:
            self.ctl(*self.trust(), *words, server=server)
        dump = self.ctl(*self.trust(), "dump", server=server, safe=False).out
        self.assertEqual(parse_dump(dump)[b"k"], (3, 0, b"v" * 300000))
        self.ctl(*self.trust(), "load", server=server, stdin=dump)

    def test_names_and_addresses_are_compared(self):
        server = self.start()
        self.ctl(*self.trust(), "ping", server="localhost:%d" % server.port)
        self.ctl(*self.trust(), "--tls-servername", "localhost", "ping", server=server)
        for name in ["elsewhere", "127.0.0.2"]:
            done = self.ctl(*self.trust(), "--tls-servername", name, "ping", server=server,
                            status=UNREACHABLE)
            self.assertIn(b"certificate", done.err)

    def test_strangers_are_not_trusted_unless_one_says_so(self):
        server = self.start()
        for words in [["--tls"], self.trust("other")]:
            done = self.ctl(*words, "ping", server=server, status=UNREACHABLE)
            self.assertIn(b"certificate", done.err)
        self.ctl("--tls", "--tls-insecure", "ping", server=server)
        self.ctl("--tls", "--tls-ca", self.path("none"), "ping", server=server,
                 status=UNREACHABLE)

    def test_a_certificate_of_ones_own_is_shown(self):
        server = self.start(words=["ssl_verify_mode=2",
                                   "ssl_ca_cert=" + self.certs.path("ca.pem")], own="client")
        self.ctl(*self.trust(), "ping", server=server, status=UNREACHABLE)
        self.ctl(*self.trust(), "--tls-cert", self.certs.path("client.pem"), "--tls-key",
                 self.certs.path("client.key"), "ping", server=server)

    def test_a_server_that_does_not_speak_it_is_2(self):
        self.ctl(*self.trust(), "ping", server=self.serve(), status=UNREACHABLE)
        self.ctl("ping", server=self.start(), status=UNREACHABLE)
        with Liar(lambda talk: talk.say(os.urandom(10000))) as liar:
            self.ctl(*self.trust(), "ping", server=liar, status=UNREACHABLE)
        with Liar(lambda talk: talk.stop.wait(SECONDS)) as liar:
            self.ctl(*self.trust(), "ping", server=liar, status=UNREACHABLE, patience=0.3)

    def test_unix_sockets_are_plain(self):
        self.ctl("--tls", "ping", server="unix:/x", status=USAGE)


class Top(Case):
    """The live view. A pseudo terminal stands in for people."""

    def test_json_and_plain_rounds(self):
        server = self.serve()
        store(server.port, {b"k": (0, 0, b"v" * 1000)})
        documents = self.ctl("top", "--json", "--count", 2, "--interval", "0.01",
                             server=server).json()
        self.assertEqual(len(documents), 2)
        self.assertEqual(documents[1]["items"], 1)
        self.assertGreater(documents[1]["seconds"], 0)
        self.assertGreater(documents[1]["requests_per_second"] + 1, 0)
        text = self.ctl("top", "--plain", "--count", 2, "--interval", "0.01", "--sort",
                        "memory", server=server).text()
        self.assertEqual(text.count("larderctl top"), 2)
        for word in ["Requests", "Hits", "Memory", "Evictions", "Clients", "Latency",
                     "by memory", "Hot keys"]:
            self.assertIn(word, text)

    def screen(self, *words, rows=24, columns=80, term="xterm"):
        terminal = Terminal([CTL, *words], rows, columns, TERM=term)
        self.addCleanup(terminal.close)
        return terminal

    def test_the_screen_shows_sorts_resizes_and_quits(self):
        server = self.serve()
        store(server.port, {b"small": (0, 0, b""), b"large": (0, 0, b"x" * 100000)})
        terminal = self.screen("-s", where(server), "top", "-i", "0.2")
        for word in [where(server).encode(), b"Requests", b"Latency", b"by class", b"q quit"]:
            terminal.expect(word)
        for key, order in [(b"m", b"memory"), (b"i", b"items"), (b"e", b"evicted"),
                           (b"c", b"class")]:
            at = len(terminal.seen)
            terminal.send(key)
            terminal.expect(order[:1], after=at)
        at = len(terminal.seen)
        terminal.send(b"h")
        terminal.expect(b"bytes", after=at)
        at = len(terminal.seen)
        terminal.resize(40, 120)
        terminal.expect(b"Latency", after=at)
        at = len(terminal.seen)
        terminal.resize(5, 30)
        terminal.expect(b"Requests", after=at)
        terminal.resize(1, 1)
        terminal.resize(24, 80)
        terminal.send(b"q")
        self.assertEqual(terminal.end(), OK)
        # The screen that was there before comes back.
        self.assertIn(b"\x1b[?1049l", terminal.seen)

    def test_a_server_that_goes_is_said_and_tried_again(self):
        answered = threading.Event()

        def behave(talk):
            general = b"STAT version 1.6\x1b[31mevil\r\nSTAT curr_items 7\r\nEND\r\n"
            line = talk.line()
            while line is not None:
                if line == b"stats" and answered.is_set():
                    return
                talk.say(general if line == b"stats" else
                         b"ERROR\r\n" if b"hot" in line or b"lat" in line else b"END\r\n")
                if b"lat" in line:
                    answered.set()
                line = talk.line()
        with Liar(behave) as liar:
            terminal = self.screen("-s", where(liar), "top", "-i", "0.1")
            terminal.expect(b"closed the connection")
            answered.clear()
            terminal.expect(b"%1B[31mevil")
            at = len(terminal.seen)
            terminal.expect(b"closed the connection", after=at)
            terminal.send(b"q")
            self.assertEqual(terminal.end(), OK)
        self.assertNotIn(b"\x1b[31mevil", terminal.seen)

    def test_keys_are_heard_while_the_server_is_silent(self):
        rounds = []

        def behave(talk):
            line = talk.line()
            while line is not None:
                if line == b"stats":
                    rounds.append(line)
                if len(rounds) > 1:
                    talk.stop.wait(SECONDS)
                    return
                talk.say(b"STAT version 1\r\nEND\r\n" if line == b"stats" else b"END\r\n")
                line = talk.line()
        with Liar(behave) as liar:
            terminal = self.screen("-t", "86400", "-s", where(liar), "top", "-i", "0.01")
            terminal.expect(b"q quit")
            end = time.monotonic() + SECONDS
            while len(rounds) < 2:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            terminal.send(b"q")
            self.assertEqual(terminal.end(), OK)

    def test_hot_keys_are_harmless(self):
        def behave(talk):
            line = talk.line()
            while line is not None:
                talk.say({b"stats": b"STAT version 1\r\n",
                          b"stats hotkeys": b"STAT hotkeys_sample 1\r\nSTAT samples 4\r\n"
                          b"STAT requests:1:key a%1b[31mx\r\nSTAT requests:1:count 2\r\n"
                          b"STAT requests:2:key \x1b[32my\r\n"
                          b"STAT requests:33:key z\r\nSTAT requests:0:key z\r\n",
                          b"stats latency": b"STAT \x1b[33m:p50_us 1\r\n"
                          b"STAT \x1b[33m:samples 1\r\n",
                          }.get(line, b"") + b"END\r\n")
                line = talk.line()
        with Liar(behave) as liar:
            text = self.ctl("top", "--plain", "-c", 1, "-i", "0.01", server=liar).text()
            self.assertRegex(text, r"50\.0 %  a%1B\[31mx\n")
            self.assertIn("%1B[32my", text)
            document = self.ctl("top", "-j", "-c", 1, "-i", "0.01", server=liar).json()[0]
            self.assertEqual(document["hot_by_requests"][0],
                             {"key": "a%1B[31mx", "count": 2})

    def test_without_a_screen_it_prints(self):
        server = self.serve()
        for term in ["nonsense", ""]:
            terminal = self.screen("-s", where(server), "top", "-c", "1", "-i", "0.01",
                                   term=term)
            terminal.expect(b"Requests")
            self.assertEqual(terminal.end(), OK)


class Terminal:
    """A program on a pseudo terminal."""

    def __init__(self, command, rows=24, columns=80, **env):
        self.seen = b""
        self.pid, self.fd = os.forkpty()
        if self.pid == 0:
            # So that the size is set before it is asked for.
            os.read(0, 1)
            os.execve(command[0], command, environment(**dict({"TERM": "xterm"}, **env)))
        self.resize(rows, columns)
        self.send(b"\n")

    def resize(self, rows, columns):
        import fcntl
        import struct
        import termios
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data):
        os.write(self.fd, data)

    def expect(self, what, after=0):
        """Waits for bytes that come after position `after` of what was seen."""
        import select
        end = time.monotonic() + SECONDS
        while what not in self.seen[after:]:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise srv.Failure("no %r in %r" % (what, self.seen[-2000:]))
            if not self.more():
                raise srv.Failure("the end, and no %r in %r" % (what, self.seen[-2000:]))

    def more(self):
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.seen += data
        return data

    def end(self):
        """Waits for the end; its status."""
        while self.more():
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return os.waitstatus_to_exitcode(status)

    def close(self):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


class Dumps(Case):
    def test_random_items_come_back_byte_for_byte(self):
        one, two = self.serve("-m", "256"), self.serve("-m", "256")
        items = random_items(random.Random(7), 1500)
        items[b"million"] = (1, 0, random.Random(8).randbytes(1000000))
        items[b"nothing"] = (0, 0, b"")
        items[b"k" * 250] = (0, 0, b"longest")
        store(one.port, items)
        before = int(time.time())
        dump = self.ctl("dump", server=one, safe=False)
        after = int(time.time())
        self.assertIn(b"dumped %d items" % len(items), dump.err)
        read = parse_dump(dump.out)
        self.assertEqual(read.keys(), items.keys())
        for key, (flags, ttl, value) in items.items():
            self.assertEqual((read[key][0], read[key][2]), (flags, value))
            if ttl == 0:
                self.assertEqual(read[key][1], 0)
            else:
                self.assertLessEqual(read[key][1], after + ttl + 1)
                self.assertGreaterEqual(read[key][1], before - 600 * srv.SLOW + ttl)
        self.ctl("load", server=two, stdin=dump.out)
        copied = fetch(two.port, items)
        self.assertEqual(copied.keys(), items.keys())
        for key, (flags, ttl, value) in items.items():
            self.assertEqual((copied[key][0], copied[key][2]), (flags, value))
            if ttl == 0:
                self.assertEqual(copied[key][1], -1)
            else:
                self.assertLessEqual(copied[key][1], ttl + 2)
                self.assertGreaterEqual(copied[key][1], ttl - 600 * srv.SLOW)

    def test_json_dumps_are_whole_too(self):
        server = self.serve()
        items = random_items(random.Random(9), 300)
        store(server.port, items)
        documents = self.ctl("dump", "--json", server=server).json()
        self.assertEqual(
            {urllib.parse.unquote_to_bytes(item["key"]):
             (item["flags"], base64.b64decode(item["value"])) for item in documents},
            {key: (flags, value) for key, (flags, _, value) in items.items()})

    def test_an_empty_server_is_an_empty_dump(self):
        server = self.serve()
        dump = self.ctl("dump", server=server).out
        self.assertRegex(dump, rb"\Alarder-dump 1 \d+\nend 0\n\Z")
        self.assertIn(b"loaded 0 items", self.ctl("load", server=server, stdin=dump).err)

    def test_a_prefix_chooses(self):
        server = self.serve()
        store(server.port, {b"a:1": (0, 0, b"x"), b"b:1": (0, 0, b"y"), b"a:2": (0, 0, b"")})
        dump = self.ctl("dump", "--prefix", "a:", server=server, safe=False).out
        self.assertEqual(parse_dump(dump).keys(), {b"a:1", b"a:2"})

    def test_a_limit_is_kept(self):
        server = self.serve()
        store(server.port, {b"%d:%d" % (i % 2, i): (0, 0, b"x") for i in range(1000)})
        for words, count in ((("--limit", "7"), 7), (("--limit", "5000"), 1000),
                             (("--limit", "600", "--prefix", "1:"), 500),
                             (("--limit", "1", "--prefix", "1:"), 1)):
            dump = parse_dump(self.ctl("dump", *words, server=server, safe=False).out)
            self.assertEqual(len(dump), count)
            self.assertTrue("--prefix" not in words or all(
                key.startswith(b"1:") for key in dump))
        for limit in ("0", "-1", "x", "", "18446744073709551616"):
            self.ctl("dump", "--limit", limit, server=server, status=USAGE)
        self.ctl("stats", "--limit", "1", server=server, status=USAGE)

    def test_the_server_is_asked_for_no_more_than_is_wanted(self):
        asked = []

        def listen(talk):
            asked.append(talk.line())
            talk.say(b"OK\r\nEND\r\n")
        for words, line in (((), b"hash"), (("--limit", "3"), b"hash limit=3"),
                            (("--prefix", "a b%\n"), b"hash prefix=a%20b%25%0A"),
                            (("--prefix", "a", "--limit", "2"), b"hash prefix=a limit=2"),
                            (("--prefix", 300 * "x"), b"hash")):
            with Liar(listen) as liar:
                self.ctl("dump", *words, server=liar)
            self.assertEqual(asked.pop(), b"lru_crawler metadump " + line)

    def test_servers_that_cannot_choose_list_everything(self):
        asked = []

        def listen(talk):
            for reply in (b"ERROR\r\n", b"BADCLASS invalid class id\r\n",
                          b"".join(b"key=%s exp=-1 la=1 \n" % key for key in
                                   (b"b%3A", b"a%3A1", b"a%3A2", b"a%3A3")) + b"END\r\n"):
                asked.append(talk.line())
                talk.say(reply)
            for _ in range(2):
                asked.append(talk.line())
            talk.say(b"VA 1 f0 t-1\r\nx\r\n" * 2)
        with Liar(listen) as liar:
            dump = self.ctl("dump", "--prefix", "a:", "--limit", "2", server=liar, safe=False)
        self.assertEqual(list(parse_dump(dump.out)), [b"a:1", b"a:2"])
        self.assertEqual(asked, [b"lru_crawler metadump hash prefix=a: limit=2",
                                 b"lru_crawler metadump hash", b"lru_crawler metadump all",
                                 b"mg a:1 v f t u", b"mg a:2 v f t u"])

    def test_the_file_appears_when_it_is_whole(self):
        server = self.serve()
        store(server.port, {b"k": (0, 0, b"v")})
        path = self.path("dump")
        self.ctl("dump", "--output", path, server=server)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, "rb") as file:
            self.assertEqual(parse_dump(file.read())[b"k"][2], b"v")
        self.ctl("load", path, server=server)
        with Liar(lambda talk: talk.answer_dump(b"key=a exp=-1 la=1 \n", b"VA 9 f0 t-1\r\nab"),
                  ) as liar:
            self.ctl("dump", "-o", self.path("half"), server=liar, status=UNREACHABLE)
        self.assertEqual(os.listdir(self.folder), ["dump"])
        self.ctl("dump", "-o", self.path("no/such/place"), server=server, status=IO)

    def test_an_interrupted_dump_leaves_nothing(self):
        def behave(talk):
            talk.answer_dump(b"key=a exp=-1 la=1 \n", b"VA 9 f0 t-1\r\nab")
            talk.stop.wait(SECONDS)
        for number in [signal.SIGINT, signal.SIGTERM]:
            with Liar(behave) as liar:
                # A shell may have had it ignored for us, and what is ignored stays so.
                dump = subprocess.Popen(
                    [CTL, "-s", where(liar), "-t", "86400", "dump", "-o", self.path("dump")],
                    stderr=subprocess.DEVNULL,
                    preexec_fn=lambda n=number: signal.signal(n, signal.SIG_DFL))
                end = time.monotonic() + SECONDS
                while not os.listdir(self.folder):
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.01)
                # The file is there a moment before the handler is.
                while not caught(dump.pid, number):
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.01)
                dump.send_signal(number)
                self.assertEqual(dump.wait(SECONDS), -number)
            self.assertEqual(os.listdir(self.folder), [])

    def test_a_full_disk_for_keys_is_74(self):
        server = self.serve()
        store(server.port, {b"k": (0, 0, b"v")})
        done = self.ctl("dump", server=server, status=IO, TMPDIR=self.path("none"))
        self.assertIn(b"TMPDIR", done.err)

    def test_keep_leaves_what_is_there(self):
        server = self.serve()
        store(server.port, {b"k": (0, 0, b"new")})
        dump = b"larder-dump 1 1\nitem k 0 0 3\nold\nitem l 0 0 1\nx\nend 2\n"
        done = self.ctl("load", "--keep", "--json", server=server, stdin=dump)
        document = done.json()[0]
        self.assertEqual((document["loaded"], document["kept"]), (1, 1))
        self.assertEqual(fetch(server.port, [b"k"])[b"k"][2], b"new")
        self.ctl("load", server=server, stdin=dump)
        self.assertEqual(fetch(server.port, [b"k"])[b"k"][2], b"old")

    def test_what_has_expired_since_is_left_out(self):
        server = self.serve()
        dump = b"larder-dump 1 1\nitem k 0 1000 3\nold\nitem l 0 9999999999 1\nx\nend 2\n"
        document = self.ctl("load", "-j", server=server, stdin=dump).json()[0]
        self.assertEqual((document["loaded"], document["expired"]), (1, 1))
        self.assertEqual(fetch(server.port, [b"k", b"l"]).keys(), {b"l"})

    def test_stale_items_are_left_out(self):
        server = self.serve()
        store(server.port, {b"k": (0, 0, b"x"), b"l": (0, 0, b"y")})
        with server.connect() as talk:
            talk.ask(b"md k I T500\r\n", b"HD\r\n")
        done = self.ctl("dump", server=server, safe=False)
        self.assertEqual(parse_dump(done.out).keys(), {b"l"})
        self.assertIn(b"1 stale", done.err)

    def test_refusals_are_counted_and_the_rest_is_loaded(self):
        server = self.serve()
        big = 3000000
        dump = b"larder-dump 1 1\n"
        for i in range(20):
            dump += b"item big%%1B%d 0 0 %d\n%s\nitem k%d 0 0 1\nx\n" % (i, big, b"b" * big, i)
        dump += b"item %s 0 0 1\nx\n" % (b"%20" * 250)
        dump += b"end 41\n"
        done = self.ctl("load", "-j", server=server, stdin=dump, status=REFUSED)
        document = done.json()[0]
        self.assertEqual((document["loaded"], document["refused"]), (20, 21))
        self.assertIn(b"big%1B0: SERVER_ERROR object too large", done.err)
        self.assertLess(len(done.err.splitlines()), 12)

    def test_a_broken_dump_is_74_and_says_where(self):
        server = self.serve()
        good = b"larder-dump 1 1\nitem k 0 0 1\nx\n"
        for dump in [b"", b"nonsense\n", b"item k 0 0 1\nx\nend 1\n", good, good + b"item",
                     good + b"item l 0 0 5\nx", good + b"item l 0 0 5\nxxxxxx\nend 2\n",
                     good + b"end 2\n", good + good, good + b"end 1\nrest\n",
                     b"larder-dump 2 1\nend 0\n", b"x" * 100000, good + b"item x\nend 2\n"]:
            if dump == b"":
                self.ctl("load", server=server, stdin=dump)
                continue
            done = self.ctl("load", server=server, stdin=dump, status=IO)
            self.assertIn(b"the dump: ", done.err, dump[:100])
        self.ctl("load", self.path("none"), server=server, status=IO)

    def test_dumps_may_follow_one_another(self):
        one, two, three = self.serve(), self.serve(), self.serve()
        store(one.port, {b"a": (0, 0, b"1")})
        store(two.port, {b"b": (0, 0, b"2")})
        dump = self.ctl("dump", "-s", where(one), "-s", where(two), safe=False).out
        self.ctl("load", server=three, stdin=dump)
        self.assertEqual(fetch(three.port, [b"a", b"b"]).keys(), {b"a", b"b"})

    def test_progress_is_told_if_asked_for(self):
        server = self.serve()
        done = self.run_progress(server, "--progress")
        self.assertIn(b"loaded", done.stderr)
        self.assertIn(b"\r", done.stderr)
        self.assertEqual(self.run_progress(server, "--quiet").stderr, b"")

    def run_progress(self, server, option):
        dump = b"larder-dump 1 1\nitem k 0 0 1\nx\nend 1\n"
        done = subprocess.run([*PATIENT, "-s", where(server), "load", option], input=dump,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=SECONDS, env=environment(), check=False)
        self.assertEqual(done.returncode, OK)
        return done

    def test_dumping_that_is_forbidden_is_1(self):
        server = self.serve("-X")
        done = self.ctl("dump", server=server, status=REFUSED)
        self.assertIn(b"not allowed", done.err)

    def test_a_terminal_gets_no_values(self):
        server = self.serve()
        terminal = Terminal([CTL, "-s", where(server), "dump"])
        try:
            terminal.expect(b"not for terminals")
            self.assertEqual(terminal.end(), USAGE)
        finally:
            terminal.close()

    def test_memory_does_not_grow_with_the_dump(self):
        if sanitized(CTL):
            self.skipTest("sanitizers take memory of their own")
        server = self.serve("-m", "256")
        with server.connect() as talk:
            for start in range(0, 200000, 1000):
                talk.send(b"".join(b"ms %040d 100 T0 q\r\n%0100d\r\n" % (i, i)
                                   for i in range(start, start + 1000)))
            talk.ask(b"mn\r\n", b"MN\r\n")

        def limit():
            resource.setrlimit(resource.RLIMIT_DATA, (8 << 20, 8 << 20))
        dump = subprocess.Popen([*PATIENT, "-q", "-s", where(server), "dump"],
                                stdout=subprocess.PIPE, preexec_fn=limit)
        load = subprocess.Popen([*PATIENT, "-j", "-q", "-s", where(server), "load"],
                                stdin=dump.stdout, stdout=subprocess.PIPE, preexec_fn=limit)
        dump.stdout.close()
        out = load.communicate(timeout=SECONDS * 2)[0]
        self.assertEqual((dump.wait(SECONDS), load.returncode), (OK, OK))
        self.assertEqual(json.loads(out)["loaded"], 200000)


@unittest.skipUnless(MEMCACHED, "memcached is not installed")
class Migration(Case):
    """People come from memcached."""

    def memcached(self):
        port = srv.free_port()
        process = subprocess.Popen(
            [MEMCACHED, "-p", str(port), "-l", "127.0.0.1", "-m", "256", "-U", "0",
             *(["-u", "root"] if os.geteuid() == 0 else [])], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, SECONDS)
        self.addCleanup(process.terminate)
        end = time.monotonic() + SECONDS
        while self.ctl("ping", server="127.0.0.1:%d" % port, status=None).status != OK:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        return port

    def test_reports_work_with_memcached(self):
        port = self.memcached()
        store(port, {b"k": (0, 0, b"v")})
        server = "127.0.0.1:%d" % port
        for words in [["stats"], ["stats", "slabs"], ["settings"], ["items"], ["version"]]:
            self.ctl(*words, server=server)
            self.ctl("--json", *words, server=server).json()
        self.assertEqual(self.ctl("items", "-j", server=server).json()
                         [0]["classes"][0]["number"], 1)

    def test_everything_moves_from_memcached_to_larder_in_a_pipe(self):
        port, larder = self.memcached(), self.serve("-m", "256")
        items = random_items(random.Random(11), 3000)
        items[b"large"] = (5, 0, random.Random(12).randbytes(900000))
        store(port, items)
        dump = subprocess.Popen([*PATIENT, "--server", "127.0.0.1:%d" % port, "-q", "dump"],
                                stdout=subprocess.PIPE)
        load = subprocess.Popen([*PATIENT, "--server", where(larder), "-q", "load"],
                                stdin=dump.stdout)
        dump.stdout.close()
        self.assertEqual((load.wait(SECONDS), dump.wait(SECONDS)), (OK, OK))
        copied = fetch(larder.port, items)
        self.assertEqual(
            {key: (flags, value) for key, (flags, _, value) in copied.items()},
            {key: (flags, value) for key, (flags, _, value) in items.items()})

    def test_a_reader_that_stalls_stops_nobody(self):
        """memcached locks a part of its table while it waits for a list to be read."""
        port = self.memcached()
        keys = [b"%040d" % i for i in range(100000)]
        with srv.Talk(port) as talk:
            for start in range(0, len(keys), 1000):
                talk.send(b"".join(b"ms %s 10 T0 q\r\n0123456789\r\n" % key
                                   for key in keys[start:start + 1000]))
            talk.ask(b"mn\r\n", b"MN\r\n")
        dump = subprocess.Popen([*PATIENT, "--server", "127.0.0.1:%d" % port, "-q", "dump"],
                                stdout=subprocess.PIPE, bufsize=0)
        head = dump.stdout.read(1)      # and now nothing for a while
        self.assertEqual(len(fetch(port, keys[::100])), 1000)
        whole = head + dump.communicate(timeout=SECONDS)[0]
        self.assertEqual(dump.returncode, OK)
        self.assertEqual(parse_dump(whole).keys(), set(keys))

    def test_and_back(self):
        port, larder = self.memcached(), self.serve()
        items = {b"a": (7, 0, b"x"), b"b \xff": (8, 5000, b"y" * 100000)}
        store(larder.port, items)
        dump = self.ctl("dump", server=larder, safe=False).out
        self.ctl("load", server="127.0.0.1:%d" % port, stdin=dump)
        self.assertEqual(fetch(port, items).keys(), items.keys())


class Talking:
    """The hostile side of a connection."""

    def __init__(self, sock, stop):
        self.sock, self.stop, self.buffer = sock, stop, b""

    def line(self):
        while b"\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def say(self, data):
        self.sock.sendall(data)

    def answer_dump(self, keys, value):
        """Answers as a server that has items, and closes after the first value."""
        while True:
            line = self.line()
            if line is None:
                return
            if line.startswith(b"stats"):
                self.say(b"STAT curr_items 1\r\nEND\r\n")
            elif line.startswith(b"lru_crawler"):
                self.say(b"OK\r\n" + keys + b"END\r\n")
            elif line.startswith(b"mg"):
                self.say(value)
                return
            else:
                self.say(b"ERROR\r\n")


class Liar:
    """A server that does as it likes: `behave` gets each connection on a thread."""

    def __init__(self, behave):
        self.behave = behave
        self.stop = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = []

    def __enter__(self):
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()
        return self

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.run, args=(sock,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def run(self, sock):
        with sock:
            try:
                self.behave(Talking(sock, self.stop))
            except OSError:
                pass

    def __exit__(self, *_):
        self.stop.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.acceptor.join(SECONDS)
        for thread in self.threads:
            thread.join(SECONDS)


EVERYTHING = [["ping"], ["version"], ["stats"], ["items"], ["settings"], ["watch"],
              ["dump"], ["load"], ["top", "--plain", "--count", "1"],
              ["stats", "-j"], ["items", "-j"], ["watch", "-j"], ["dump", "-j"],
              ["load", "-j"], ["top", "-j", "--count", "1"]]
DUMP = b"larder-dump 1 1\nitem k 0 0 1\nx\nend 1\n"


class Hostile(Case):
    """Whatever a server does, larderctl ends, says so and stays harmless."""

    def everything(self, behave, statuses=(REFUSED, UNREACHABLE), patience=0.3):
        for words in EVERYTHING:
            with Liar(behave) as liar:
                begin = time.monotonic()
                done = self.ctl(*words, server=liar, status=None, stdin=DUMP,
                                patience=patience)
                self.assertIn(done.status, statuses, (words, done.out, done.err))
                self.assertLess(time.monotonic() - begin, 4 * SECONDS)
                if "-j" in words:
                    done.json()

    def test_silence(self):
        self.everything(lambda talk: talk.stop.wait(SECONDS), (UNREACHABLE,))

    def test_a_close_at_once(self):
        self.everything(lambda talk: None, (UNREACHABLE,))

    def test_bytes_that_come_slowly_without_end(self):
        def behave(talk):
            talk.line()
            while not talk.stop.wait(0.01):
                talk.say(b"S")
        self.everything(behave, (UNREACHABLE,))

    def test_one_line_without_end(self):
        def behave(talk):
            talk.line()
            while True:
                talk.say(b"x" * 65536)
        self.everything(behave, (REFUSED, UNREACHABLE), patience=SECONDS / 2)

    def test_lines_without_end(self):
        """Reports end by size, or by time; a watch is meant to go on."""
        def behave(talk):
            talk.line()
            while True:
                talk.say(b"STAT \x1b[31m%1b \x9b2J\x07\r\n" * 1000)
        for words in [["stats"], ["items"], ["top", "--plain", "--count", "1"],
                      ["top", "--json", "--count", "1"]]:
            with Liar(behave) as liar:
                done = self.ctl(*words, server=liar, patience=SECONDS / 2, status=None)
                self.assertIn(done.status, (REFUSED, UNREACHABLE))
        for words in [["watch", "--count", "1000"]]:
            with Liar(behave) as liar:
                self.ctl(*words, server=liar, status=REFUSED)

    def test_garbage(self):
        rng = random.Random(5)
        garbage = [rng.randbytes(5000) + b"\r\n" for _ in range(3)] + [
            b"\r\n", b"\0\r\n", b"STAT\r\n", b"VALUE a 0 1\r\n", b"\xff\xfe" * 100 + b"\n",
            b"\x1b]0;owned\x07\x1b[2J\r\n", b"VERSION\r\n", b"HD\r\n", b"key=\r\n",
            b"STAT a\r\nEND\r\nEND\r\nEND\r\n", b"VA 99999999999999999999\r\n"]
        for reply in garbage:
            def behave(talk, reply=reply):
                while talk.line() is not None:
                    talk.say(reply)
            self.everything(behave, (OK, REFUSED, UNREACHABLE))

    def test_escapes_in_events_are_harmless(self):
        def behave(talk):
            talk.line()
            talk.say(b"OK\r\nts=1.5 gid=1 type=x key=\x1b[2J%1b\n\x1b]0;t\x07\n")
            talk.stop.wait(SECONDS)
        with Liar(behave) as liar:
            text = self.ctl("watch", "--count", 2, server=liar).text()
            self.assertEqual(text, "ts=1.5 gid=1 type=x key=%1B[2J%1b\n%1B]0;t%07\n")
            documents = self.ctl("watch", "-j", "-c", 2, server=liar).json()
            self.assertEqual(documents[0]["key"], "%1B[2J%1B")
            self.assertEqual(documents[1], {"line": "%1B]0;t%07"})

    def test_a_huge_announcement_takes_no_memory(self):
        def behave(talk):
            talk.answer_dump(b"key=a exp=-1 \n", b"VA 2147483647 f0 t-1\r\nab")
        with Liar(behave) as liar:
            self.ctl("dump", server=liar, status=UNREACHABLE, safe=False)
        with Liar(behave) as liar:
            done = self.ctl("dump", "-j", server=liar, status=UNREACHABLE)
            self.assertIn("error", done.json()[0])

    def test_items_that_vanish_or_change_are_survived(self):
        def behave(talk):
            answers = iter([b"EN\r\n", b"VA 2 f1 t-1\r\nab\r\n", b"SERVER_ERROR out\x1b\r\n",
                            b"VA 1 f0 t0\r\nx\r\n"])
            while True:
                line = talk.line()
                if line is None:
                    return
                if line.startswith(b"mg"):
                    talk.say(next(answers))
                elif line.startswith(b"lru"):
                    talk.say(b"".join(b"key=k%d exp=-1 \n" % i for i in range(4)) + b"END\r\n")
                else:
                    talk.say(b"END\r\n")
        with Liar(behave) as liar:
            done = self.ctl("dump", server=liar, status=REFUSED, safe=False)
            self.assertEqual(parse_dump(done.out), {b"k1": (1, 0, b"ab")})
            self.assertIn(b"2 went meanwhile", done.err)
            self.assertIn(b"1 could not be read", done.err)

    def test_a_value_longer_than_announced_breaks_the_dump_off(self):
        def behave(talk):
            talk.answer_dump(b"key=a exp=-1 \n", b"VA 2 f0 t-1\r\nabcd\r\n")
        with Liar(behave) as liar:
            done = self.ctl("dump", server=liar, status=REFUSED, safe=False)
            self.assertNotIn(b"\nend ", done.out)

    def test_a_busy_crawler_is_waited_for(self):
        tries = []

        def behave(talk):
            while True:
                line = talk.line()
                if line is None:
                    return
                if line.startswith(b"lru"):
                    tries.append(line)
                    talk.say(b"BUSY currently processing crawler request\r\n"
                             if len(tries) < 3 else b"END\r\n")
                else:
                    talk.say(b"END\r\n")
        with Liar(behave) as liar:
            self.ctl("dump", server=liar)
        self.assertEqual(len(tries), 3)

    def test_a_server_that_stops_reading_is_given_up(self):
        def behave(talk):
            talk.line()
            talk.say(b"MN\r\n")
            talk.stop.wait(SECONDS)
        dump = b"larder-dump 1 1\n" + b"item k 0 0 100000\n%s\n" % (b"x" * 100000) * 300
        with Liar(behave) as liar:
            self.ctl("load", server=liar, stdin=dump, status=UNREACHABLE, patience=0.5)

    def test_a_server_without_meta_commands_gets_no_values(self):
        lines = []

        def behave(talk):
            while True:
                line = talk.line()
                if line is None:
                    return
                lines.append(line)
                talk.say(b"ERROR\r\n")
        with Liar(behave) as liar:
            done = self.ctl("load", server=liar, stdin=DUMP, status=REFUSED)
        self.assertIn(b"no meta commands", done.err)
        self.assertEqual([line.split() for line in lines], [[b"mn"]])


if __name__ == "__main__":
    if srv.peer():
        srv.skip("about larderctl, not about servers")
    if not os.access(CTL, os.X_OK):
        srv.skip("no larderctl beside the server")
    unittest.main()
