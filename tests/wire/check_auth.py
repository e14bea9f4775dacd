#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tries to get in without a password, and then with one.

What it protects: that a server with -Y or -S answers nobody who has not logged in, on any
listener, in any protocol, by any command, in any order of messages; that the files of
passwords are read, checked and read again as they should; that no password shows.
"""
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import packets  # noqa: E402
import server as srv  # noqa: E402
from certificates import Certificates, has_tls  # noqa: E402

BINARY_HELLO = (packets.request("version"), b"\x81\x0b")
TOKEN_HELLO = (b"version\r\n", b"CLIENT_ERROR unauthenticated\r\n")
UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"

TEXT = [b"version", b"get key", b"gets key", b"gat 0 key", b"gats 0 key", b"delete key",
        b"incr key 1", b"decr key 1", b"touch key 0", b"flush_all", b"flush_all 0",
        b"stats", b"stats items", b"stats reset", b"verbosity 1", b"slabs automove 0",
        b"lru tune 1 1", b"lru_crawler metadump all", b"cache_memlimit 8", b"shutdown",
        b"watch fetchers", b"refresh_certs", b"config get cluster", b"nonsense",
        b"add key 0 0 1", b"replace key 0 0 1", b"append key 0 0 1", b"prepend key 0 0 1",
        b"cas key 0 0 1 1", b"set key 0 0 x"]
META = [b"mg key v", b"ms key 1", b"md key", b"ma key", b"me key", b"mn    "]
LISTENERS = ("tcp", "tls", "unix")


def has_sasl():
    done = subprocess.run([srv.binary(), "-S", "-B", "ascii"], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, check=False)
    return b"not built" not in done.stderr


class Files(unittest.TestCase):
    """A directory with a password file."""

    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.path = os.path.join(self.directory, "users")
        self.write("ann:secret\nbob:p w\n")
        self.env = {"MEMCACHED_SASL_PWDB": self.path}

    def tearDown(self):
        shutil.rmtree(self.directory)

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def by_token(self, *options):
        return srv.Server("-Y", self.path, *options, hello=TOKEN_HELLO)

    def by_sasl(self, *options):
        return srv.Server("-S", *options, env=self.env, hello=BINARY_HELLO)


class UnixServer(srv.Server):
    """The same on a unix socket."""

    def __init__(self, path, *options, **more):
        super().__init__("-s", path, *options, **more)
        self.path = path

    def connect(self, **options):
        talk = srv.Talk.__new__(srv.Talk)
        talk.seconds, talk.unread = srv.REPLY_SECONDS, b""
        talk.socket = socket.socket(socket.AF_UNIX)
        talk.socket.settimeout(talk.seconds)
        talk.socket.connect(self.path)
        return talk

    def _start(self):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command(0), stdin=subprocess.DEVNULL, stdout=self.errors,
            stderr=self.errors, env=self.env)
        end = time.monotonic() + srv.START_SECONDS
        while time.monotonic() < end:
            try:
                with self.connect() as probe:
                    probe.send(self.hello[0])
                    if probe.more().startswith(self.hello[1]):
                        return True
            except OSError:
                time.sleep(0.01)
        self.kill()
        raise srv.Failure("the server does not answer: " + self.stderr())


def setUpModule():
    global certs, listeners
    certs = Certificates()
    certs.authority("ca")
    certs.make("server", "ca")
    listeners = [name for name in LISTENERS if name != "tls" or has_tls()]


def tearDownModule():
    certs.remove()


class Matrix(Files):
    """Listener x protocol x way to log in x command."""

    def server(self, listener, auth):
        options = {"none": [], "-Y": ["-Y", self.path], "-S": ["-S"]}[auth]
        more = {"none": {}, "-Y": {"hello": TOKEN_HELLO},
                "-S": {"hello": BINARY_HELLO, "env": self.env}}[auth]
        options = options + ["-A"]
        if listener == "tls":
            return certs.start(*options, **more)
        if listener == "unix":
            return UnixServer(os.path.join(self.directory, "socket"), *options, **more)
        return srv.Server(*options, **more)

    def text(self, server, auth):
        """Every line alone on a connection: refused, or closed without a word."""
        for line in TEXT + META:
            with server.connect() as talk:
                if auth == "-Y":
                    talk.ask(line + b"\r\n", UNAUTHENTICATED)
                else:  # a packet has 24 bytes
                    talk.send(line + b"\r\n" + b"{" * 24)
                    talk.expect_close()

    def binary(self, server, auth):
        for opcode in range(256):
            name = packets.name_of(opcode)
            if name in ("version", "sasl_list", "sasl_auth", "sasl_step"):
                continue
            with packets.Binary(server.connect()) as client:
                # Where text is spoken a packet is a strange line.
                client.talk.send(packets.request(name, key=b"key") + b"\r\n")
                if auth == "-S":
                    reply = client.hear()
                    self.assertEqual((reply.opcode, reply.status, reply.value),
                                     (name, 0x20, b"Auth failure."))
                    self.assertTrue(client.is_closed(), name)
                    continue
                said = client.talk.more()
                self.assertIn(said, (UNAUTHENTICATED, b"", 2 * UNAUTHENTICATED), name)

    def nothing_happened(self, server, auth):
        """Logs in and looks."""
        talk = server.connect()
        if auth == "-Y":
            talk.ask(b"set x 0 0 10\r\nann secret\r\n", b"STORED\r\n")
            talk.send(b"stats\r\n")
            rows = talk.until(b"END\r\n").decode().split("\r\n")
            stats = dict(row.split(" ", 2)[1:] for row in rows if row.startswith("STAT"))
        else:
            client = packets.Binary(talk)
            self.assertEqual(
                client.ask("sasl_auth", key=b"PLAIN", value=b"\0ann\0secret").status, 0)
            stats = client.stat()
        talk.close()
        for name in ("cmd_get", "cmd_set", "cmd_touch", "cmd_flush", "cmd_meta",
                     "get_misses", "delete_misses", "total_items", "auth_errors"):
            self.assertEqual(stats[name], "0", name)
        self.assertEqual(stats["auth_cmds"], "1")

    def test_nothing_is_answered_before_a_login(self):
        for listener in listeners:
            for auth in ("-Y", "-S"):
                if auth == "-S" and not has_sasl():
                    continue
                with self.subTest(listener=listener, auth=auth), \
                        self.server(listener, auth) as server:
                    self.text(server, auth)
                    self.binary(server, auth)
                    self.nothing_happened(server, auth)

    def test_without_a_password_file_everybody_is_answered(self):
        for listener in listeners:
            with self.subTest(listener=listener), self.server(listener, "none") as server:
                with server.connect() as talk:
                    talk.ask(b"get key\r\n", b"END\r\n")
                with packets.Binary(server.connect()) as client:
                    self.assertEqual(client.ask("noop").status, 0)

    def test_no_listener_is_a_way_around(self):
        port = srv.free_port()
        address = "proto[%s]:127.0.0.1:" + str(port)
        for auth, word, status in (("-Y", "binary", 71), ("-S", "ascii", 71)):
            if auth == "-S" and not has_sasl():
                continue
            words = ["-Y", self.path] if auth == "-Y" else ["-S"]
            done = subprocess.run(
                [srv.binary(), "-u", "root", "-l", address % word, *words], env=os.environ,
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, timeout=60)
            self.assertEqual(done.returncode, status, done.stderr)
        with self.by_token("-l", address % "negotiating") as server:
            self.assertIn("WARNING", server.stderr())
            with srv.Talk(port) as talk:
                talk.ask(b"version\r\n", UNAUTHENTICATED)
            with packets.Binary(srv.Talk(port)) as client:
                client.talk.send(packets.request("noop"))  # its opcode is a line's end
                self.assertTrue(client.is_closed())

    def test_each_listener_speaks_its_own_protocol(self):
        ports = {word: srv.free_port() for word in ("ascii", "binary", "negotiating")}
        options = [part for word, port in ports.items()
                   for part in ("-l", "proto[%s]:127.0.0.1:%d" % (word, port))]
        with srv.Server(*options):
            for word in ("ascii", "negotiating"):
                with srv.Talk(ports[word]) as talk:
                    talk.ask(b"mn\r\n", b"MN\r\n")
            for word in ("binary", "negotiating"):
                with packets.Binary(srv.Talk(ports[word])) as client:
                    self.assertEqual(client.ask("noop").status, 0)
            with srv.Talk(ports["ascii"]) as talk:
                talk.send(packets.request("noop"))
                talk.expect(b"CLIENT_ERROR bad command line format\r\n")
            with srv.Talk(ports["binary"]) as talk:
                talk.send(b"version\r\nversion\r\nversion\r\n")
                talk.expect_close()


class Token(Files):
    """-Y"""

    CASES = [
        (b"get anything\r\n", UNAUTHENTICATED, False),
        (b"set tok 0 0 10\r\nann secret\r\nget anything\r\n", b"STORED\r\nEND\r\n", False),
        (b"set tok 0 0 9\r\nann wrong\r\nset tok 0 0 10\r\nann secret\r\n",
         b"CLIENT_ERROR authentication failure\r\nSTORED\r\n", False),
        (b"set tok 0 0 9\r\nann wrong\r\nget key\r\nversion\r\n",
         b"CLIENT_ERROR authentication failure\r\n" + 2 * UNAUTHENTICATED, False),
        (b"set tok 0 0 7\r\nbob p w\r\nmn\r\n", b"STORED\r\nMN\r\n", False),
        (b"set tok 7 -1 10 noreply\r\nann secret\r\n", b"STORED\r\n", False),
        (b"set tok 0 0 10\r\nann:secret\r\n",
         b"CLIENT_ERROR bad authentication token format\r\n", False),
        (b"set tok 0 0 10\r\nann secretX\r\n",
         b"CLIENT_ERROR bad command line termination\r\n", False),
        (b"set tok 0 0 20000\r\n", b"CLIENT_ERROR auth token too long\r\n", False),
        (b"set tok 0 0\r\n", UNAUTHENTICATED, False),
        (b"add tok 0 0 10\r\n", UNAUTHENTICATED, False),
        (b"mn\r\n", b"", True),
        (b"quit\r\n", b"", True),
        (b"version\r\n", UNAUTHENTICATED, False),
        (b"x" * 2049, b"", True),
    ]

    def test_each_reply_is_right_however_it_is_cut(self):
        with self.by_token() as server:
            for ask, replies, closed in self.CASES:
                for size in (len(ask), 1, 3):
                    with self.subTest(ask=ask[:60], size=size), server.connect() as talk:
                        for at in range(0, len(ask) if size > 1 or len(ask) < 300 else 0,
                                        size):
                            talk.send(ask[at:at + size])
                            if size < len(ask):
                                time.sleep(0.0003)
                        if size == 1 and len(ask) >= 300:
                            continue
                        talk.expect(replies)
                        if closed:
                            talk.expect_close()
                        else:
                            talk.expect_silence(0.02)

    def test_a_login_is_one_connections(self):
        with self.by_token() as server:
            with server.connect() as talk, server.connect() as other:
                talk.ask(b"set tok 0 0 10\r\nann secret\r\n", b"STORED\r\n")
                other.ask(b"get key\r\n", UNAUTHENTICATED)
                talk.ask(b"set key 0 0 1\r\n1\r\nget tok key\r\n",
                         b"STORED\r\nVALUE key 0 1\r\n1\r\nEND\r\n")

    def login(self, server, token):
        with server.connect() as talk:
            talk.send(b"set tok 0 0 %d\r\n%s\r\n" % (len(token), token))
            return talk.line() == b"STORED\r\n"

    def reload(self, server, text, said):
        self.write(text)
        server.send_signal(signal.SIGHUP)
        end = time.monotonic() + srv.REPLY_SECONDS
        while said not in server.stderr():
            self.assertLess(time.monotonic(), end, server.stderr())
            time.sleep(0.01)

    def test_sighup_reads_the_file_again(self):
        with self.by_token("-v") as server:
            with server.connect() as inside:
                inside.ask(b"set tok 0 0 10\r\nann secret\r\n", b"STORED\r\n")
                self.reload(server, "ann:other\n", "read again")
                self.assertTrue(self.login(server, b"ann other"))
                self.assertFalse(self.login(server, b"ann secret"))
                self.assertFalse(self.login(server, b"bob p w"))
                inside.ask(b"get key\r\n", b"END\r\n")
                self.reload(server, "ann:third\nnonsense\n", "old passwords stay")
                self.assertTrue(self.login(server, b"ann other"))
                self.assertFalse(self.login(server, b"ann third"))
                os.unlink(self.path)
                server.send_signal(signal.SIGHUP)
                time.sleep(0.2)
                self.assertTrue(self.login(server, b"ann other"))

    def test_a_flood_of_reloads_leaves_no_gap(self):
        with self.by_token() as server:
            for _ in range(100):
                server.send_signal(signal.SIGHUP)
                self.assertTrue(self.login(server, b"ann secret"))
                self.assertFalse(self.login(server, b"ann secreT"))

    def test_attempts_are_counted_and_end(self):
        with self.by_token() as server:
            with server.connect() as talk:
                for _ in range(16):
                    talk.ask(b"set tok 0 0 9\r\nann wrong\r\n",
                             b"CLIENT_ERROR authentication failure\r\n")
                talk.expect_close()
            with server.connect() as talk:
                talk.ask(b"set tok 0 0 10\r\nann secret\r\n", b"STORED\r\n")
                talk.send(b"stats\r\n")
                stats = talk.until(b"END\r\n")
                self.assertIn(b"STAT auth_cmds 17\r\n", stats)
                self.assertIn(b"STAT auth_errors 16\r\n", stats)
                talk.send(b"stats settings\r\n")
                self.assertIn(b"STAT auth_enabled_ascii " + self.path.encode(),
                              talk.until(b"END\r\n"))

    def refused(self, *options):
        done = subprocess.run(
            [srv.binary(), "-u", "root", "-p", str(srv.free_port()), *options],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, timeout=60)
        return done.returncode, done.stderr.decode()

    def test_files_and_options_that_cannot_be(self):
        status, said = self.refused("-Y", self.path + "x")
        self.assertEqual(status, 1)
        self.assertIn("Could not open authfile [%sx] for reading, error" % self.path, said)
        self.write("justaword\n")
        status, said = self.refused("-Y", self.path)
        self.assertEqual(status, 1)
        self.assertEqual(said, "Authfile [%s] has a malformed entry. "
                         "Should be 'user:password'\n" % self.path)
        self.write("ann:secret\n")
        for options in (("-B", "binary"), ("-B", "auto"), ("-U", "11211"), ("-S",)):
            self.assertEqual(self.refused("-Y", self.path, *options)[0], 64, options)
        self.write("".join("u%d:p\n" % i for i in range(5000)))
        self.assertEqual(self.refused("-Y", self.path)[0], 1)

    def test_more_than_eight_users_get_in(self):
        self.write("\n".join("u%d:p%d" % (i, i) for i in range(300)) + "\n\n")
        with self.by_token() as server:
            self.assertTrue(self.login(server, b"u299 p299"))
            self.assertFalse(self.login(server, b"u299 p298"))

    def test_no_password_is_written_anywhere(self):
        self.write("ann:xyzzy-plugh\n")
        with self.by_token("-vvv") as server:
            self.login(server, b"ann xyzzy-plugh")
            self.login(server, b"ann xyzzy-wrong")
            self.reload(server, "ann:xyzzy-plugh\nxyzzy-oops\n", "old passwords stay")
            self.assertNotIn("xyzzy", server.stderr())


@unittest.skipUnless(has_sasl(), "built without SASL")
class Sasl(Files):
    """-S"""

    MESSAGES = {
        "good": ("sasl_auth", b"PLAIN", b"\0ann\0secret"),
        "bad": ("sasl_auth", b"PLAIN", b"\0ann\0wrong"),
        "begin": ("sasl_auth", b"PLAIN", b""),
        "step": ("sasl_step", b"any", b"\0bob\0p w"),
        "bad step": ("sasl_step", b"any", b"\0bob\0pw"),
        "list": ("sasl_list", b"", b""),
        "command": ("noop", b"", b""),
    }

    def say(self, client, message):
        name, key, value = self.MESSAGES[message]
        reply = client.ask(name, key=key, value=value)
        self.assertEqual(reply.opcode, name)
        self.assertEqual(reply.opaque, packets.OPAQUE)
        self.assertEqual(reply.cas, 0)
        self.assertEqual(reply.value, {
            0: b"PLAIN" if message == "list" else b"" if message == "command"
               else b"Authenticated", 0x20: b"Auth failure.", 0x21: b""}[reply.status])
        return reply.status

    @staticmethod
    def model(order):
        """The statuses that an order of messages must have. A connection that has logged
        in fails once before it may log in again."""
        inside = started = spent = False
        for message in order:
            if message == "command":
                yield 0 if inside else 0x20
                if not inside:
                    return
                continue
            inside = False
            if message == "list":
                yield 0
            elif message == "begin":
                started = True
                yield 0x21
            else:
                right = message == "good" or (message == "step" and started)
                started = False
                inside = spent = right and not spent
                yield 0 if inside else 0x20

    def test_every_order_of_messages_ends_as_it_must(self):
        orders = list(itertools.product(self.MESSAGES, repeat=3))
        dice = random.Random(3)
        orders += [tuple(dice.choice(list(self.MESSAGES)) for _ in range(4))
                   for _ in range(300)]
        with self.by_sasl() as server:
            for order in orders:
                with packets.Binary(server.connect()) as client:
                    expected = list(self.model(order))
                    heard = [self.say(client, message)
                             for message in order[:len(expected)]]
                    self.assertEqual(heard, expected, order)
                    if len(expected) < len(order) or \
                            (order[-1] == "command" and expected[-1]):
                        self.assertTrue(client.is_closed(), order)

    def test_the_cases_of_the_specification(self):
        with self.by_sasl() as server:
            with packets.Binary(server.connect()) as client:
                self.assertEqual(client.ask("sasl_list").value, b"PLAIN")
                self.assertEqual(client.ask("version").status, 0)
                ask = client.ask
                self.assertEqual(ask("sasl_auth", key=b"x" * 32, value=b"q").status, 0x20)
                self.assertEqual(ask("sasl_auth", key=b"x" * 33, value=b"q").status, 0x04)
                self.assertEqual(
                    ask("sasl_auth", key=b"PLAIN", value=b"q" * 20000).status, 0x20)
                self.assertEqual(
                    ask("sasl_auth", key=b"PLAIN", value=b"q" * 1048576).status, 0x82)
                self.assertEqual(
                    ask("sasl_auth", key=b"plain", value=b"\0bob\0p w").value,
                    b"Authenticated")
                self.assertEqual(ask("get", key=b"k").status, 1)
                stats = client.stat()
                self.assertEqual((stats["auth_cmds"], stats["auth_errors"]), ("3", "2"))
                self.assertEqual(client.stat(b"settings")["auth_enabled_sasl"], "yes")
            with packets.Binary(server.connect()) as client:
                client.talk.send(packets.request("get", key=b"long", body_len=2))
                self.assertEqual(client.hear().status, 0x81)  # before anything else
                self.assertTrue(client.is_closed())
            with packets.Binary(server.connect()) as client:
                self.assertEqual(client.ask("sasl_auth", value=b"x").status, 0x04)
                self.assertTrue(client.is_closed())

    def test_a_wrong_user_and_a_wrong_password_look_alike(self):
        with self.by_sasl() as server, packets.Binary(server.connect()) as client:
            for data in (b"\0ann\0wrong", b"\0nobody\0secret", b"\0\0", b"", b"\0ann",
                         b"\0ann\0secret\0", b"ann\0ann\0wrong", b"\0ann\0secretx"):
                if data:
                    reply = client.ask("sasl_auth", key=b"PLAIN", value=data)
                    self.assertEqual((reply.status, reply.value), (0x20, b"Auth failure."))

    def test_sighup_reads_the_passwords_again(self):
        with self.by_sasl("-v") as server:
            self.write("ann:other\n")
            server.send_signal(signal.SIGHUP)
            end = time.monotonic() + srv.REPLY_SECONDS
            while "read again" not in server.stderr():
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            with packets.Binary(server.connect()) as client:
                self.assertEqual(self.say(client, "good"), 0x20)
                reply = client.ask("sasl_auth", key=b"PLAIN", value=b"\0ann\0other")
                self.assertEqual(reply.status, 0)

    def test_no_password_is_written_anywhere(self):
        self.write("ann:xyzzy-plugh\n")
        with self.by_sasl("-vvv") as server:
            for password in (b"xyzzy-plugh", b"xyzzy-wrong"):
                with packets.Binary(server.connect()) as client:
                    client.ask("sasl_auth", key=b"PLAIN", value=b"\0ann\0" + password)
            self.assertNotIn("xyzzy", server.stderr())

    def test_many_log_in_at_once(self):
        with self.by_sasl() as server:
            clients = [packets.Binary(server.connect()) for _ in range(60)]
            for number, client in enumerate(clients):
                name, key, value = self.MESSAGES["bad" if number % 3 == 0 else "good"]
                client.talk.send(packets.request(name, key=key, value=value)
                                 + packets.request("noop"))
            for number, client in enumerate(clients):
                self.assertEqual(client.hear().status, 0x20 if number % 3 == 0 else 0)
                self.assertEqual(client.hear().status, 0x20 if number % 3 == 0 else 0)
                client.talk.close()

    def test_the_librarys_own_mechanisms_run_beside_the_workers(self):
        """Without a password file of ours everything is the library's: nobody is known to
        an empty database, and whoever asks does not hold up others."""
        conf = os.path.join(self.directory, "memcached.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write("pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                       "sasldb_path: %s/none\nmech_list: plain cram-md5\n" % self.directory)
        env = {"SASL_CONF_PATH": self.directory, "MEMCACHED_SASL_PWDB": ""}
        with srv.Server("-S", "-t", "1", env=env, hello=BINARY_HELLO) as server:
            clients = [packets.Binary(server.connect()) for _ in range(20)]
            self.assertEqual(sorted(clients[0].ask("sasl_list").value.split()),
                             [b"CRAM-MD5", b"PLAIN"])
            reply = clients[0].ask("sasl_auth", key=b"CRAM-MD5")
            self.assertEqual(reply.status, 0x21)
            self.assertTrue(reply.value.startswith(b"<"))
            for client in clients[:19]:
                client.talk.send(packets.request("sasl_auth", key=b"PLAIN",
                                                 value=b"\0ann\0secret"))
            self.assertEqual(clients[19].ask("version").status, 0)
            for client in clients[1:9]:
                client.talk.close()  # while it may be pending
            for client in clients[9:19]:
                self.assertEqual(client.hear().status, 0x20)

    def test_what_the_options_refuse(self):
        for options in (["-B", "ascii"], ["-B", "auto"], ["-U", "11211"]):
            done = subprocess.run([srv.binary(), "-u", "root", "-S", *options],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  check=False, timeout=60)
            self.assertEqual(done.returncode, 64, options)
        env = dict(os.environ, MEMCACHED_SASL_PWDB=self.path + "x")
        done = subprocess.run([srv.binary(), "-u", "root", "-S"], env=env,
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False, timeout=60)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    if srv.peer():
        srv.skip("these tests are about Larder")
    unittest.main(warnings="ignore")
