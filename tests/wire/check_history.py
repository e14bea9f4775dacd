#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What has gone wrong in memcached's history must be impossible here.

What it protects: each test is named for a root cause of a published defect and repeats the
request that showed it, widened to its neighbours. The server must answer or close, keep
what others stored, keep its memory, and serve on. The table in doc/reliability.md says
which defect is covered where; those that other tests cover are not repeated here.
"""
import os
import re
import socket
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import packets  # noqa: E402
import server as srv  # noqa: E402

MIB = 1 << 20
SENTINEL = b"s" * 300
# Lengths around every edge that an integer type has.
LENGTHS = [str(n).encode() for n in (
    -1, -2, -250, 2**15, 2**16, 2**31 - 24, 2**31 - 1, 2**31, 2**32 - 24, 2**32 - 3,
    2**32 - 2, 2**32 - 1, 2**32, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 3, 2**64 - 2,
    2**64 - 1, 2**64, 2**64 + 5, 10**30)]
WORDS = [b"+5", b"0x10", b"5.0", b"5e3", b"", b"- 5", b"five", b"5;", b"\x005"]


def plant(server):
    """Something of somebody else's, which must be there at the end as it was."""
    with server.connect() as talk:
        talk.ask(b"set sentinel 7 0 300\r\n" + SENTINEL + b"\r\n", b"STORED\r\n")


def untouched(server):
    with server.connect() as talk:
        talk.ask(b"get sentinel\r\n",
                 b"VALUE sentinel 7 300\r\n" + SENTINEL + b"\r\nEND\r\n")


def last_words(talk):
    """Sends no more; everything the server says until it closes."""
    talk.half_close()
    parts = []
    while True:
        data = talk.more()
        if data is None:
            raise srv.Failure("the server does not close")
        if not data:
            return b"".join(parts)
        parts.append(data)


def say(server, data):
    with server.connect() as talk:
        try:
            talk.send(data)
            return last_words(talk)
        except (ConnectionError, BrokenPipeError):
            return b""


class Lengths(unittest.TestCase):
    def test_no_length_of_a_value_in_text_is_believed(self):
        with srv.Server("-m", "64", "-vv") as server:
            plant(server)
            for length in LENGTHS + WORDS:
                for line in (b"set k 0 0 " + length, b"append sentinel 0 0 " + length,
                             b"prepend sentinel 0 0 " + length,
                             b"cas sentinel 0 0 " + length + b" 1", b"ms k " + length,
                             b"ms k " + length + b" MA"):
                    with self.subTest(line):
                        heard = say(server, line + b"\r\nxxxxx\r\n")
                        self.assertNotIn(b"STORED", heard)
                        self.assertFalse(heard.startswith(b"HD"), heard)
                if not srv.sanitized():
                    self.assertLess(server.rss() / MIB, 80)
            untouched(server)

    def test_no_body_length_of_a_packet_is_believed(self):
        lies = (0x7fffffff, 0x80000000, 0x80000001, 0xfffffff0, 0xffffffff, 0xffffffe8)
        with srv.Server("-m", "64", "-vv") as server:
            plant(server)
            for opcode in range(0x26):
                for lie in lies:
                    heard = say(server, packets.request(
                        "op_%02x" % opcode, key=b"sentinel", extras=8 * b"\0",
                        value=b"12345", body_len=lie))
                    self.assertNotIn(SENTINEL[:50], heard)
                    if heard:
                        self.assertNotEqual(packets.read_reply(heard)[0].status, 0)
            if not srv.sanitized():
                self.assertLess(server.rss() / MIB, 80)
            untouched(server)

    def test_no_key_or_extras_reach_beyond_the_body(self):
        with srv.Server("-m", "64", "-vvv") as server:
            plant(server)
            for opcode in list(range(0x26)) + [0x30, 0x7f, 0x80, 0xff]:
                for key_len in (0, 1, 250, 251, 65535):
                    for extras_len in (0, 1, 4, 8, 20, 21, 255):
                        for body_len in {0, 1, max(key_len + extras_len - 1, 0)}:
                            if body_len >= key_len + extras_len:
                                continue
                            head = packets.HEADER.pack(
                                0x80, opcode, key_len, extras_len, 0, 0, body_len,
                                packets.OPAQUE, 0)
                            self.one_refusal(server, opcode, head + b"k" * body_len)
            untouched(server)

    def test_extras_of_any_length_are_refused_but_the_right_one(self):
        with srv.Server("-m", "64") as server:
            plant(server)
            for name in ("set", "add", "append", "incr", "touch", "gat", "flush", "get",
                         "version", "sasl_auth", "verbosity", "stat"):
                for extras_len in range(256):
                    heard = say(server, packets.request(
                        name, key=b"x", extras=extras_len * b"\xff", value=b"v"))
                    self.assertNotIn(SENTINEL[:50], heard)
            untouched(server)

    def one_refusal(self, server, opcode, data):
        heard = say(server, data)
        if heard:
            reply, end = packets.read_reply(heard)
            self.assertNotEqual(reply.status, 0, (opcode, heard))
            self.assertEqual(end, len(heard), heard)

    def test_values_cannot_be_appended_beyond_the_limit(self):
        part = b"p" * 400000
        with srv.Server("-m", "64") as server, server.connect() as talk:
            talk.ask(b"set k 0 0 400000\r\n" + part + b"\r\n", b"STORED\r\n")
            talk.ask(b"append k 0 0 400000\r\n" + part + b"\r\n", b"STORED\r\n")
            for verb in (b"append", b"prepend"):
                talk.send(verb + b" k 0 0 400000\r\n" + part + b"\r\n")
                self.assertEqual(talk.line(), b"NOT_STORED\r\n")
            talk.send(b"ms k 400000 MA\r\n" + part + b"\r\n")
            self.assertIn(talk.line()[:2], (b"NS", b"SE"))
            talk.ask(b"get k\r\n", b"VALUE k 0 800000\r\n" + part + part + b"\r\nEND\r\n")

    def test_numbers_of_any_length_stay_numbers(self):
        huge = b"9" * 100000
        with srv.Server("-m", "64") as server, server.connect() as talk:
            for value in (huge, b"9" * 21, str(2**64).encode(), b"-1", b"",
                          b"0x10"):
                talk.ask(b"set k 0 0 %d\r\n" % len(value) + value + b"\r\n", b"STORED\r\n")
                for verb in (b"incr", b"decr"):
                    for by in (b"1", str(2**64 - 1).encode(), str(2**64).encode(),
                               b"9" * 200, b"-1", b"x"):
                        talk.send(verb + b" k " + by + b"\r\n")
                        self.assertTrue(talk.line().startswith(b"CLIENT_ERROR"), (value, by))
                talk.ask(b"get k\r\n", b"VALUE k 0 %d\r\n" % len(value) + value +
                         b"\r\nEND\r\n")
            talk.ask(b"set k 0 0 20\r\n18446744073709551615\r\n", b"STORED\r\n")
            talk.ask(b"incr k 1\r\n", b"0\r\n")
            talk.ask(b"decr k 18446744073709551615\r\n", b"0\r\n")
            talk.ask(b"set k 0 0 1\r\n9\r\nincr k 18446744073709551615\r\n",
                     b"STORED\r\n8\r\n")


class References(unittest.TestCase):
    """Whatever holds an item while it is sent lets it go."""

    VALUE = b"v" * 100000

    def all_memory_can_be_had(self, server):
        """More than fits is stored, and what is there then fills the memory: none of it is
        held by anything else. Which items those are is the eviction's business."""
        with server.connect() as talk:
            for n in range(200):
                talk.ask(b"set fill%d 0 0 100000\r\n" % n + self.VALUE + b"\r\n", b"STORED\r\n")
            found = 0
            for n in range(200):
                talk.send(b"get fill%d\r\n" % n)
                if talk.line() != b"END\r\n":
                    talk.expect(self.VALUE + b"\r\nEND\r\n")
                    found += 1
            self.assertGreater(found, 40)
            talk.ask(b"delete hot\r\n", b"NOT_FOUND\r\n")

    def hold(self, request):
        """Many ask 70000 times for one value and read nothing; it is changed meanwhile."""
        with srv.Server("-m", "8", "-t", "2") as server:
            with server.connect() as talk:
                talk.ask(b"set hot 0 0 100000\r\n" + self.VALUE + b"\r\n", b"STORED\r\n")
            talks = [server.connect(receive_buffer=4096) for _ in range(4)]
            for talk in talks:
                talk.socket.settimeout(0.3)
                try:
                    talk.socket.sendall(request)
                except (socket.timeout, BlockingIOError):
                    pass  # the server has stopped to read, as it should
                self.assertIn(b"v" * 1000, talk.exactly(2000))
            with server.connect() as talk:
                talk.ask(b"set hot 0 0 3\r\nnew\r\nget hot\r\n",
                         b"STORED\r\nVALUE hot 0 3\r\nnew\r\nEND\r\n")
                talk.ask(b"delete hot\r\n", b"DELETED\r\n")
            for talk in talks:
                talk.expect(b"v" * 50000) # still what it was when it was asked for
                talk.reset()
            self.all_memory_can_be_had(server)

    def test_one_key_asked_for_70000_times_by_those_who_do_not_read(self):
        self.hold(b"get" + b" hot" * 70000 + b"\r\n")

    def test_the_same_by_many_lines(self):
        self.hold(b"get hot\r\n" * 70000)

    def test_the_same_by_meta_commands(self):
        self.hold(b"mg hot v\r\n" * 70000)

    def test_the_same_by_packets(self):
        self.hold(packets.request("getkq", key=b"hot") * 70000)

    def test_what_is_refused_half_way_holds_nothing(self):
        long_opaque = b"O" + b"x" * 40
        lines = [b"mg hot v " + long_opaque, b"mg hot v v", b"mg hot s v " + b"t " * 300,
                 b"mg hot v q !", b"ms hot S2 MX", b"ma hot MX", b"ma hot v " + long_opaque,
                 b"md hot " + long_opaque, b"mg hot b v", b"mg hot E1x v", b"mg hot Nx v",
                 b"gat x hot", b"touch hot x", b"incr hot x", b"incr hot 1"]
        with srv.Server("-m", "8", "-t", "1") as server:
            with server.connect() as talk:
                talk.ask(b"set hot 0 0 100000\r\n" + self.VALUE + b"\r\n", b"STORED\r\n")
                for line in lines:
                    for _ in range(10):
                        talk.send((line + b"\r\n") * 50 + b"mn\r\n")
                        heard = talk.until(b"MN\r\n")
                        self.assertIn(b"ERROR", heard, line)
                        self.assertNotIn(b"VA ", heard, line)
                talk.ask(b"delete hot\r\n", b"DELETED\r\n")
            self.all_memory_can_be_had(server)


class Lines(unittest.TestCase):
    def test_flags_of_meta_commands_bad_twice_and_without_end(self):
        flags = bytes(range(0x21, 0x7f))
        with srv.Server("-m", "64", "-vv") as server:
            plant(server)
            with server.connect() as talk:
                for verb in (b"mg sentinel", b"ms k 1", b"md none", b"ma none", b"me none"):
                    body = b"\r\nx" if verb.startswith(b"ms") else b""
                    for flag in flags:
                        one = bytes([flag])
                        for words in (one, one + b" " + one, one + b"9" * 30,
                                      one + b"\xff\xfe"):
                            talk.send(verb + b" " + words + body + b"\r\nmn\r\n")
                            heard = talk.until(b"MN\r\n")
                            self.assertLess(len(heard), 700, (verb, words))
                for count in (1, 20, 100, 256, 257, 500):
                    talk.send(b"mg sentinel" + b" t" * count + b"\r\nmn\r\n")
                    self.assertLess(len(talk.until(b"MN\r\n")), 100)
            untouched(server)

    def test_blanks_and_line_ends_of_every_kind(self):
        with srv.Server("-m", "64", "-vv") as server:
            plant(server)
            with server.connect() as talk:
                for blanks in [*range(0, 40), 200, 249, 250, 251, 1000, 2000, 2040]:
                    for end in (b"\r\n", b"\n"):
                        for line in (b"get" + b" " * blanks, b" " * blanks,
                                     b"gets" + b" " * blanks + b"nokey",
                                     b"mg" + b" " * blanks, b"touch nokey" + b" " * blanks,
                                     b"incr nokey 1" + b" " * blanks):
                            talk.send(line + end + b"mn\r\n")
                            self.assertLess(len(talk.until(b"MN\r\n")), 120, line)
            untouched(server)

    def test_keys_of_control_characters_forge_no_line(self):
        evil = [b"a\r\nEND\r\n", b"b\r\nkey=forged exp=0", b"c\0d", b"e f", b"\x1b[2Jg",
                b"STAT x 1\r\n", b"h:\r\nPREFIX forged get 1"]
        with srv.Server("-D", ":") as server:
            with packets.Binary(server.connect()) as client:
                for key in evil:
                    self.assertEqual(client.ask("set", key=key, extras=8 * b"\0",
                                                value=b"v").status, 0)
            for line, end, form in (
                    (b"lru_crawler metadump all", b"END\r\n", rb"key=[!-~]+ exp=-?\d+ .*"),
                    (b"stats cachedump 1 0", b"END\r\n", rb"ITEM [!-~]+ \[\d+ b; \d+ s\]"),
                    (b"stats detail dump", b"END\r\n", rb"PREFIX [!-~]+ get \d+ .*"),
                    (b"stats conns", b"END\r\n", rb"STAT [!-~ ]+")):
                for row in server.ask(line, end).splitlines()[:-1]:
                    if row == b"OK": # metadump begins so
                        continue
                    self.assertRegex(row, rb"\A" + form + rb"\Z", line)


class Reports(unittest.TestCase):
    def test_no_report_tells_where_anything_is_in_memory(self):
        with srv.Server("-m", "64", "-D", ":") as server:
            with server.connect() as talk:
                for n in range(100):
                    talk.ask(b"set a:%d 0 0 2\r\nxx\r\n" % n, b"STORED\r\n")
                talk.ask(b"set large 0 0 100000\r\n" + b"x" * 100000 + b"\r\n", b"STORED\r\n")
            said = b"".join(server.ask(line) for line in (
                b"stats", b"stats settings", b"stats items", b"stats slabs",
                b"stats sizes", b"stats conns", b"stats detail dump",
                b"stats cachedump 1 0", b"lru_crawler metadump all", b"me a:1\r\nget a:1"))
            with open("/proc/%d/maps" % server.process.pid) as file:
                ranges = [[int(end, 16) for end in line.split()[0].split("-")]
                          for line in file]
            numbers = [int(n) for n in re.findall(rb"(?<![\w.])\d{7,}", said)]
            numbers += [int(n, 16) for n in re.findall(rb"0x[0-9a-fA-F]+", said)]
            for number in numbers:
                # Below 2^40 nothing of a position-independent program is mapped.
                self.assertFalse(number >= 2**40 and any(
                    first <= number < last for first, last in ranges), hex(number))
            for line in (b"stats malloc", b"stats maps"):
                with server.connect() as talk:
                    talk.send(line + b"\r\nmn\r\n")
                    self.assertNotIn(b"STAT", talk.until(b"MN\r\n"))

    def test_dumps_to_clients_that_vanish_or_do_not_read(self):
        with srv.Server("-m", "64") as server:
            with server.connect() as talk:
                for base in range(0, 20000, 1000):
                    talk.send(b"".join(b"set key%d 0 0 2 noreply\r\nxx\r\n" % n
                                       for n in range(base, base + 1000)))
                talk.ask(b"mn\r\n", b"MN\r\n")
            asks = (b"lru_crawler metadump all\r\n", b"lru_crawler mgdump all\r\n",
                    b"stats cachedump 1 0\r\n", b"stats conns\r\n")
            held = []
            for number in range(24):
                talk = server.connect(receive_buffer=4096)
                talk.send(asks[number % len(asks)])
                way = number % 5
                if way == 0:
                    talk.reset()
                elif way == 1:
                    talk.close()
                elif way == 2:
                    talk.half_close()
                    held.append(talk)
                else:
                    held.append(talk)
            with server.connect() as talk:
                talk.ask(b"get key19999\r\n", b"VALUE key19999 0 2\r\nxx\r\nEND\r\n")
            for talk in held:
                talk.reset()
            # And nobody stands in the way of the next.
            self.assertEqual(server.ask(b"lru_crawler metadump all").count(b"key="), 20000)

    def test_clients_of_a_unix_socket_with_names_of_any_length(self):
        with tempfile.TemporaryDirectory(prefix="larder-") as folder:
            path = os.path.join(folder, "s")
            with UnixServer(path) as server:
                talks = []
                for name in (None, b"\0abstract", b"\0" + b"a" * 107,
                             os.path.join(folder, "n" * (107 - len(folder) - 1))):
                    talk = socket.socket(socket.AF_UNIX)
                    talk.settimeout(srv.REPLY_SECONDS)
                    if name is not None:
                        talk.bind(name)
                    talk.connect(path)
                    talk.sendall(b"mn\r\n")
                    self.assertEqual(talk.recv(16), b"MN\r\n")
                    talks.append(talk)
                talks[0].sendall(b"stats conns\r\n")
                heard = b""
                while not heard.endswith(b"END\r\n"):
                    data = talks[0].recv(65536)
                    self.assertTrue(data)
                    heard += data
                for row in heard.splitlines():
                    self.assertRegex(row, rb"\A[!-~ ]{3,250}\Z")
                for talk in talks:
                    talk.close()
                self.assertTrue(server.alive())


class UnixServer(srv.Server):
    """The same on a unix socket, at `path`."""

    def __init__(self, path, *options):
        super().__init__(*options)
        self.path = path

    def command(self, port):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return [srv.binary(), *user, "-s", self.path, *self.options,
                *os.environ.get("LARDER_SERVER_OPTIONS", "").split()]

    def _start(self):
        end = srv.time.monotonic() + srv.START_SECONDS
        self.errors = tempfile.TemporaryFile()
        self.process = srv.subprocess.Popen(
            self.command(0), stdin=srv.subprocess.DEVNULL, stdout=self.errors,
            stderr=self.errors, env=self.env)
        while not os.path.exists(self.path):
            if self.process.poll() is not None or srv.time.monotonic() > end:
                raise srv.Failure("it does not start: " + self.stderr())
            srv.time.sleep(0.01)
        return True


class Restrictions(unittest.TestCase):
    """What an option forbids is forbidden in every protocol."""

    def test_datagrams_and_logins_exclude_each_other(self):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        with tempfile.NamedTemporaryFile(prefix="larder-", mode="w") as file:
            file.write("user:password\n")
            file.flush()
            for options in (["-Y", file.name], ["-S"]):
                done = srv.subprocess.run(
                    [srv.binary(), *user, "-p", "-1", "-U", str(srv.free_port()), *options],
                    stdout=srv.subprocess.PIPE, stderr=srv.subprocess.PIPE,
                    timeout=srv.START_SECONDS, check=False)
                self.assertEqual(done.returncode, 64, (options, done.stderr))

    def test_what_is_switched_off_is_off_in_text_and_in_packets(self):
        with srv.Server("-F", "-X", "-W") as server:
            plant(server)
            with server.connect() as talk:
                for line in (b"flush_all", b"flush_all 0", b"stats cachedump 1 0",
                             b"stats detail dump", b"stats detail on",
                             b"lru_crawler metadump all", b"lru_crawler mgdump all",
                             b"watch", b"watch fetchers", b"shutdown", b"shutdown graceful"):
                    talk.send(line + b"\r\nmn\r\n")
                    heard = talk.until(b"MN\r\n")
                    self.assertIn(b"ERROR", heard, line)
                    self.assertNotIn(b"sentinel", heard, line)
            with packets.Binary(server.connect()) as client:
                for extras in (b"", 4 * b"\0"):
                    self.assertNotEqual(client.ask("flush", extras=extras).status, 0)
                for key in (b"cachedump 1 0", b"detail dump", b"detail on", b"detail"):
                    reply = client.ask("stat", key=key)
                    self.assertNotEqual(reply.status, 0, key)
                    self.assertNotIn(b"sentinel", reply.key + reply.value)
            say(server, packets.request("flushq") + packets.request("noop"))
            untouched(server)


class Documented(unittest.TestCase):
    def test_every_test_that_the_table_names_is_there(self):
        top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
        with open(os.path.join(top, "doc/reliability.md")) as file:
            text = file.read()
        for path, names in re.findall(r"(tests/[\w/]+\.(?:py|c)): ((?:\w+(?:, )?)+)", text):
            with open(os.path.join(top, path)) as file:
                source = file.read()
            for name in names.split(", "):
                self.assertTrue(re.search(r"\b%s\b" % name, source), path + ": " + name)
        for path in re.findall(r"(?:tests|scripts|src)/[\w/-]+(?:\.\w+)?", text):
            self.assertTrue(os.path.exists(os.path.join(top, path)), path)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
