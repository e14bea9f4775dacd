#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""TLS: what is said inside, and what clients that misbehave cost others.

What it protects: that every protocol says over TLS what it says without; that records cut
and joined anyhow lose nothing; that a client which stalls, lies or leaves in the middle of
anything holds up nobody and leaves nothing.
"""
import os
import queue
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import packets  # noqa: E402
import server as srv  # noqa: E402
from certificates import PATIENCE, Certificates, need_tls, until  # noqa: E402

MIB = 1 << 20


def value_of(size, seed):
    """Bytes of which no two parts are alike."""
    words = b"".join(b"%d:%d," % (seed, number) for number in range(size // 4 + 1))
    return words[:size]


def setUpModule():
    global certs
    certs = Certificates.usual()


def tearDownModule():
    certs.remove()


def start(*options, **more):
    return certs.start(*options, **more)


class TheSame(unittest.TestCase):
    """The tests of the protocols, played over TLS."""

    def play(self, name, *words):
        env = dict(os.environ, LARDER_WIRE_TLS=certs.directory)
        done = subprocess.run(["/usr/bin/python3", os.path.join(HERE, name), *words],
                              env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        said = done.stdout.decode("utf-8", "replace")
        self.assertEqual(done.returncode, 0, said[-3000:])

    def test_text_and_meta(self):
        self.play("check_wire.py", "--mode", "plain", "--mode", "join", "--mode", "random:1")

    def test_binary(self):
        self.play("check_binary.py")

    def test_errors(self):
        self.play("check_matrix.py")

    def test_pipelines(self):
        self.play("check_pipelines.py")

    def test_random_conversations(self):
        self.play("check_random.py")


class Bytes(unittest.TestCase):
    """Records, large values, slow readers."""

    @classmethod
    def setUpClass(cls):
        cls.server = start("-m", "256", "-I", "8m", "-t", "2")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_a_request_in_records_of_any_size(self):
        value = value_of(3000, 1)
        ask = b"set k 5 0 3000\r\n" + value + b"\r\nget k\r\nmg k v\r\n"
        replies = (b"STORED\r\nVALUE k 5 3000\r\n" + value + b"\r\nEND\r\nVA 3000\r\n" +
                   value + b"\r\n")
        for size in (1, 2, 7, 100, 1000, len(ask)):
            with self.subTest(size=size), self.server.connect() as talk:
                for at in range(0, len(ask), size):
                    talk.send(ask[at:at + size])
                talk.expect(replies)

    def test_records_cut_anywhere_by_the_network(self):
        """The bytes of TLS itself arrive in pieces of any size."""
        context = certs.client()
        for size in (1, 3, 5, 16, 1000):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            inside = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            with socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

                def exchange(call):
                    while True:
                        result = None
                        try:
                            result = call()
                        except ssl.SSLWantReadError:
                            pass
                        data = outgoing.read()
                        for at in range(0, len(data), size):
                            sock.sendall(data[at:at + size])
                        if result is not None:
                            return result
                        if call != inside.write:
                            more = sock.recv(1 << 16)
                            self.assertNotEqual(more, b"")
                            incoming.write(more)

                exchange(lambda: inside.do_handshake() or True)
                value = value_of(2000, size)
                exchange(lambda: inside.write(b"set c 0 0 2000\r\n" + value + b"\r\nget c\r\n"))
                want = b"STORED\r\nVALUE c 0 2000\r\n" + value + b"\r\nEND\r\n"
                got = b""
                while len(got) < len(want):
                    got += exchange(lambda: inside.read(1 << 16))
                self.assertEqual(got, want)

    def test_many_commands_in_one_record_and_in_many(self):
        with self.server.connect() as talk:
            talk.ask(b"set n 0 0 1\r\n0\r\n", b"STORED\r\n")
            numbers = range(1, 5001)
            talk.send(b"incr n 1\r\n" * len(numbers))
            talk.expect(b"".join(b"%d\r\n" % number for number in numbers))

    def test_large_values_both_ways(self):
        with self.server.connect() as talk:
            for size in (8191, 8193, 16384, 65536, 65537, MIB - 100, 7 * MIB):
                value = value_of(size, size)
                talk.ask(b"set big 1 0 %d\r\n" % size + value + b"\r\n", b"STORED\r\n")
                talk.ask(b"get big\r\n", b"VALUE big 1 %d\r\n" % size + value + b"\r\nEND\r\n")

    def test_a_reader_that_is_slow_gets_everything(self):
        value = value_of(3 * MIB, 7)
        with self.server.connect(receive_buffer=4096) as talk, \
                self.server.connect() as other:
            talk.ask(b"set slow 0 0 %d\r\n" % len(value) + value + b"\r\n", b"STORED\r\n")
            talk.send(b"get slow\r\nget none\r\n" * 4)
            # It is stuck now, or about to be; others are served, and change what it reads.
            for number in range(50):
                other.ask(b"set slow 0 0 1\r\n%d\r\n" % (number % 10), b"STORED\r\n")
            whole = b"VALUE slow 0 %d\r\n" % len(value) + value + b"\r\nEND\r\n"
            for _ in range(4):
                head = talk.line()
                size = int(head.split()[3])
                got = talk.exactly(size + len(b"\r\nEND\r\nEND\r\n"))
                if size == len(value):
                    self.assertEqual(head + got, whole + b"END\r\n")
                else:
                    self.assertRegex(got, rb"\A\d\r\nEND\r\nEND\r\n\Z")

    def test_a_client_that_sends_and_does_not_read_yet(self):
        """Both directions full at once: nobody may wait for the other for ever."""
        value = value_of(100000, 3)
        count = 300
        with self.server.connect() as talk:
            talk.ask(b"set both 0 0 100000\r\n" + value + b"\r\n", b"STORED\r\n")
            reply = b"VALUE both 0 100000\r\n" + value + b"\r\nEND\r\n"
            failures = queue.Queue()

            def read():
                try:
                    for _ in range(count):
                        talk.expect(reply)
                except Exception as error:  # pylint: disable=broad-except
                    failures.put(error)

            talk.socket.settimeout(PATIENCE)
            ask = b"get both\r\n" * count
            talk.socket.sendall(ask)
            reader = threading.Thread(target=read)
            reader.start()
            reader.join()
            self.assertTrue(failures.empty(), failures.queue)

    def test_small_staging_changes_nothing_that_is_seen(self):
        value = value_of(200000, 4)
        for size in (1, 16, 100):
            with self.subTest(size=size), \
                    start("-t", "1", words=["ssl_wbuf_size=%d" % size]) as server, \
                    server.connect() as talk:
                talk.ask(b"set a 0 0 200000\r\n" + value + b"\r\n", b"STORED\r\n")
                talk.ask(b"set b 0 0 5\r\nsmall\r\n", b"STORED\r\n")
                one = b"VALUE a 0 200000\r\n" + value + b"\r\n"
                two = b"VALUE b 0 5\r\nsmall\r\n"
                talk.send(b"get b a b a b b a\r\n" * 5)
                for _ in range(5):
                    talk.expect(two + one + two + one + two + two + one + b"END\r\n")

    def test_a_client_that_says_goodbye_gets_its_answers_first(self):
        """Its last commands, its close_notify and the end of its stream in one piece."""
        context = certs.client()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) as sock:
            while True:
                try:
                    inside.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(1 << 16))
            inside.write(b"version\r\n" * 200)
            try:
                inside.unwrap()
            except ssl.SSLWantReadError:
                pass
            sock.sendall(outgoing.read())
            sock.shutdown(socket.SHUT_WR)
            # What comes back can't be decrypted by a client that has said goodbye to its
            # library; that it is as much as the answers, and then the end, shows enough.
            got = 0
            while True:
                more = sock.recv(1 << 16)
                if more == b"":
                    break
                got += len(more)
            self.assertGreater(got, 200 * len(b"VERSION 1.6.45\r\n"))

    def test_quit_ends_with_a_goodbye(self):
        with self.server.connect() as talk:
            talk.socket.suppress_ragged_eofs = False
            talk.send(b"get none\r\nquit\r\n")
            talk.expect(b"END\r\n")
            # An end without close_notify would be an error here.
            self.assertEqual(talk.socket.recv(100), b"")

    def test_packets_too(self):
        with packets.Binary(self.server.connect()) as client:
            value = value_of(300000, 5)
            self.assertEqual(
                client.ask("set", key=b"bin", value=value, extras=bytes(8)).status, 0)
            self.assertEqual(client.ask("get", key=b"bin").value, value)


def errors(server):
    return int(server.stats()["ssl_handshake_errors"])


def unsent(port):
    """Bytes that clients of this port have written and its host has not acknowledged."""
    with open("/proc/net/tcp") as table:
        rows = [row.split() for row in table][1:]
    return sum(int(row[4].split(":")[0], 16) for row in rows
               if row[3] == "01" and int(row[2].split(":")[1], 16) == port)


class Trouble(unittest.TestCase):
    """Clients that are no clients, and those that leave."""

    def test_plain_bytes_end_in_a_refusal_and_are_counted(self):
        for bytes_ in (b"version\r\n", b"get a\r\n" * 100, bytes(100), b"\x16\x03\x01",
                       packets.request("noop"), b"GET / HTTP/1.1\r\n\r\n"):
            with self.subTest(bytes_=bytes_[:20]), start() as server:
                before = errors(server)
                with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock:
                    sock.sendall(bytes_)
                    if bytes_ == b"\x16\x03\x01":  # the beginning of a handshake
                        sock.shutdown(socket.SHUT_WR)
                    try:
                        said = sock.recv(1000)
                    except ConnectionResetError:
                        said = b""
                    self.assertNotIn(b"VERSION", said)
                until(lambda s=server, n=before + 1: errors(s) == n, "a count")

    def test_a_connection_without_a_byte_is_no_error(self):
        with start() as server:
            before = errors(server)
            for _ in range(20):
                socket.create_connection(("127.0.0.1", server.port), PATIENCE).close()
            # The connection that asks is the only one left.
            until(lambda: server.stats()["curr_connections"] == "1", "all to be gone")
            self.assertEqual(errors(server), before)

    def hello(self):
        """A client's first flight."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            certs.client().wrap_bio(incoming, outgoing,
                                    server_hostname="127.0.0.1").do_handshake()
        except ssl.SSLWantReadError:
            pass
        return outgoing.read()

    def test_clients_that_vanish_in_the_handshake_leave_nothing(self):
        flight = self.hello()
        with start() as server:
            for cut in list(range(1, 60, 7)) + [len(flight) - 1, len(flight)]:
                with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock:
                    sock.sendall(flight[:cut])
                    if cut == len(flight):
                        self.assertNotEqual(sock.recv(10), b"")
                    if cut % 2 == 0:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        b"\x01\0\0\0\0\0\0\0")
            until(lambda: server.stats()["curr_connections"] == "1", "all to be gone")
            with server.connect() as talk:
                talk.ask(b"mn\r\n", b"MN\r\n")

    def test_a_handshake_that_stalls_is_ended(self):
        flight = self.hello()
        plain = srv.free_port()
        with start("-o", "partial_timeout=2", "-l",
                   "notls:127.0.0.1:%d" % plain) as server:
            socks = []
            for part in (b"", flight[:1], flight[:50], flight):
                sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                sock.sendall(part)
                socks.append(sock)
            for sock in socks:
                while sock.recv(1 << 16) != b"":
                    pass
                sock.close()
            with srv.Talk(plain) as talk:
                talk.send(b"stats\r\n")
                kicks = re.search(rb"partial_kicks (\d+)", talk.until(b"END\r\n"))[1]
            self.assertGreaterEqual(int(kicks), 4)

    def test_a_client_after_its_handshake_may_be_idle(self):
        plain = srv.free_port()
        with start("-o", "partial_timeout=5", "-l", "notls:127.0.0.1:%d" % plain) as server:
            idle = until(lambda: self.try_connect(server), "a handshake in time")
            with idle, srv.Talk(plain) as talk:
                began = self.uptime(talk)
                until(lambda: self.uptime(talk) > began + 7, "seven seconds")
                idle.ask(b"mn\r\n", b"MN\r\n")

    def try_connect(self, server):
        """A connection, or None if the server was too slow or full."""
        try:
            return server.connect()
        except OSError:  # ssl.SSLError is one
            return None

    def uptime(self, talk):
        talk.send(b"stats\r\n")
        return int(re.search(rb"uptime (\d+)", talk.until(b"END\r\n"))[1])

    def test_half_open_clients_keep_nobody_waiting_and_are_bounded(self):
        flight = self.hello()
        with start("-c", "128", "-t", "1") as server:
            with server.connect() as talk:
                socks = []
                for number in range(60):
                    sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                    sock.sendall(flight[:number * len(flight) // 60])
                    socks.append(sock)
                    talk.ask(b"mn\r\n", b"MN\r\n")
                for sock in socks:
                    sock.close()

    def test_over_the_limit_a_client_is_closed_without_a_word(self):
        with start("-c", "4") as server:
            talks = [until(lambda: self.try_connect(server), "room") for _ in range(4)]
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock:
                self.assertEqual(sock.recv(100), b"")
            talks[0].send(b"stats\r\n")
            self.assertRegex(talks[0].until(b"END\r\n"),
                             rb"STAT rejected_connections [1-9]")
            talks.pop().close()
            talks.append(until(lambda: self.try_connect(server), "a place given up"))
            for talk in talks:
                talk.close()

    def test_many_clients_at_once(self):
        with start("-t", "4") as server:
            talks = [server.connect() for _ in range(200)]
            for number, talk in enumerate(talks):
                talk.send(b"set k%d 0 0 3\r\n%03d\r\n" % (number, number))
            for talk in talks:
                talk.expect(b"STORED\r\n")
            for number, talk in enumerate(talks):
                other = talks[-1 - number]
                other.ask(b"get k%d\r\n" % number,
                          b"VALUE k%d 0 3\r\n%03d\r\nEND\r\n" % (number, number))
            for talk in talks:
                talk.close()
            until(lambda: server.stats()["curr_connections"] == "1", "all to be gone")

    def test_a_flood_of_handshakes_and_those_who_are_in(self):
        """Every one of them is served, and so is the client that was there before."""
        with start("-t", "1") as server, server.connect() as inside:
            failures = queue.Queue()

            def storm():
                try:
                    for _ in range(10):
                        with server.connect() as talk:
                            talk.ask(b"mn\r\n", b"MN\r\n")
                except Exception as error:  # pylint: disable=broad-except
                    failures.put(error)

            threads = [threading.Thread(target=storm) for _ in range(16)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                inside.ask(b"mn\r\n", b"MN\r\n")
            self.assertTrue(failures.empty(), failures.queue)

    def raw_records(self, server, tamper):
        """Sends a record that `tamper` has changed after a good handshake."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = certs.client().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock:
            while True:
                try:
                    inside.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(1 << 16))
            sock.sendall(outgoing.read())
            inside.write(b"set evil 0 0 1\r\n1\r\n")
            sock.sendall(tamper(outgoing.read()))
            try:
                while sock.recv(1 << 16) != b"":
                    pass
            except ConnectionResetError:
                pass

    def test_a_record_that_was_changed_on_the_way_does_nothing(self):
        with start() as server:
            for place in (5, 20, -1):
                def tamper(record, place=place):
                    record = bytearray(record)
                    record[place] ^= 1
                    return bytes(record)
                self.raw_records(server, tamper)
            until(lambda: server.stats()["ssl_proto_errors"] == "3", "a count")
            with server.connect() as talk:
                talk.ask(b"get evil\r\n", b"END\r\n")
            # What was in order ahead of it is done.
            self.raw_records(server, lambda record: record + b"\x17\x03\x03\x00\x20" + bytes(32))
            until(lambda: server.stats()["ssl_proto_errors"] == "4", "a count")
            with server.connect() as talk:
                talk.ask(b"get evil\r\n", b"VALUE evil 0 1\r\n1\r\nEND\r\n")

    def talk_to_openssl(self, server, version, lines):
        """What `openssl s_client` has said by its end; its letters are commands."""
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, version,
             "-CAfile", certs.path("ca.pem"), "-crlf"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = b""
        try:
            for line, want in lines:
                process.stdin.write(line + b"\n")
                process.stdin.flush()
                end = time.monotonic() + PATIENCE
                while want is not None and not re.search(want, said):
                    self.assertLess(time.monotonic(), end, said)
                    if select.select([process.stdout], [], [], 0.1)[0]:
                        more = os.read(process.stdout.fileno(), 1 << 16)
                        if more == b"":
                            return said
                        said += more
        except BrokenPipeError:
            pass
        finally:
            process.stdin.close()
            process.stdout.close()
            process.kill()
            process.wait()
        return said

    def test_nobody_can_negotiate_anew(self):
        with start() as server:
            said = self.talk_to_openssl(server, "-tls1_2", [
                (b"version", rb"VERSION 1"), (b"R", rb"(?i)no renegotiation|closed|error")])
            self.assertRegex(said, rb"(?i)no renegotiation|closed|error")
            with server.connect() as talk:
                talk.ask(b"mn\r\n", b"MN\r\n")

    def test_keys_cannot_be_changed_without_end(self):
        """The server is stopped while they are sent, so that it finds them all at once."""
        with start() as server:
            before = server.stats()["ssl_proto_errors"]
            process = subprocess.Popen(
                ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, "-tls1_3",
                 "-CAfile", certs.path("ca.pem"), "-msg"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said = b""

            def tell(line, mark, count):
                nonlocal said
                process.stdin.write(line)
                process.stdin.flush()
                end = time.monotonic() + PATIENCE
                while len(re.findall(mark, said)) < count:
                    self.assertLess(time.monotonic(), end, said[-2000:])
                    if select.select([process.stdout], [], [], 0.1)[0]:
                        more = os.read(process.stdout.fileno(), 1 << 16)
                        self.assertNotEqual(more, b"", said[-2000:])
                        said += more

            try:
                tell(b"version\n", rb"VERSION 1", 1)
                server.send_signal(signal.SIGSTOP)
                sent = len(re.findall(rb">>> TLS 1.\d, RecordHeader", said))
                for number in range(50):
                    tell(b"k\n", rb"KEYUPDATE", number + 1)
                    # The update goes out with the next data: two records.
                    tell(b"mn\n", rb">>> TLS 1.\d, RecordHeader", sent + 2 * number + 2)
                # What is written may still wait at the client for an acknowledgement.
                until(lambda: not unsent(server.port), "all to be sent")
                server.send_signal(signal.SIGCONT)
                until(lambda: int(server.stats()["ssl_proto_errors"]) > int(before), "a count")
            finally:
                server.send_signal(signal.SIGCONT)
                process.stdin.close()
                process.stdout.close()
                process.kill()
                process.wait()

    def test_keys_can_be_changed_now_and_then(self):
        with start() as server:
            self.talk_to_openssl(server, "-tls1_3", [
                (b"version", rb"VERSION 1"), (b"K", rb"KEYUPDATE"),
                (b"mn", rb"MN\r"), (b"k", rb"(?s)KEYUPDATE.*KEYUPDATE"),
                (b"get nothing", rb"END\r")])


if __name__ == "__main__":
    need_tls()
    unittest.main(verbosity=0, warnings="ignore")
