#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""TLS by the kernel (-o ssl_kernel_tls), with a library in the kernel's place.

What it protects: that the kernel is asked only if the operator wants it; that a kernel
which can't do it, or not this cipher, is done without; that the figures say what is; and
that a client which reads slowly gets its own bytes and nobody else's. OpenSSL remembers the
address of bytes that the kernel did not take and sends from there later (its issue 21202),
when another client's reply may lie there.

The library ($KERNEL_TLS_LIBRARY, tests/support/kernel_tls.c) takes the keys and does not
encrypt, so that what is sent can be read here.
"""
import os
import socket
import ssl
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import server as srv  # noqa: E402
from certificates import Certificates, need_tls  # noqa: E402

LIBRARY = os.environ.get("KERNEL_TLS_LIBRARY", "")
READERS = 4
VALUE = 8000  # copied into the worker's outbox, which all its clients share
PIPELINE = 1000
ROOM = 4096 # of a client's socket, so that replies have to wait


def setUpModule():
    global certs
    certs = Certificates()
    certs.authority("ca")
    certs.make("server", "ca")


def tearDownModule():
    certs.remove()


class Server(srv.Server):
    """One that encrypts by the library, and has a plain listener to be asked at."""

    def __init__(self, how="", words=("ssl_kernel_tls",), library=LIBRARY):
        self.plain = srv.free_port()
        # -t 1: all clients share one outbox. No sandbox: the library uses what it likes.
        super().__init__(*certs.options("server", *words, "sandbox=off"), "-t", "1",
                         "-l", "notls:127.0.0.1:%d" % self.plain,
                         env={"LD_PRELOAD": library, "KERNEL_TLS": how})

    def connect(self, **options):
        return srv.Talk(self.plain, **options)

    def ask_by_tls(self):
        with srv.Talk(self.port, context=certs.client()) as talk:
            talk.ask(b"set a 0 0 1\r\nx\r\n", b"STORED\r\n")
            talk.ask(b"get a\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n")


def shake(server):
    """A socket behind a handshake, and what was read beyond it."""
    s = socket.socket()
    s.settimeout(srv.REPLY_SECONDS)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    s.connect(("127.0.0.1", server.port))
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = certs.client().wrap_bio(arrived, leaving, server_hostname="localhost")
    while True:
        try:
            talk.do_handshake()
            break
        except ssl.SSLWantReadError:
            s.sendall(leaving.read())
            more = s.recv(65536)
            if not more:
                raise srv.Failure("closed in the handshake") from None
            arrived.write(more)
    s.sendall(leaving.read())
    return s, talk, leaving


class Reader:
    """A client that sends by TLS and reads what the kernel did not encrypt."""

    def __init__(self, server, number):
        self.socket, self.talk, self.leaving = shake(server)
        self.key = b"value-%d" % number
        self.value = (b"%d." % number * VALUE)[:VALUE]
        self.read = b""

    def say(self, data):
        self.talk.write(data)
        self.socket.sendall(self.leaving.read())

    def hear(self, length):
        while len(self.read) < length:
            more = self.socket.recv(65536)
            if not more:
                raise srv.Failure("closed after %d bytes of %d" % (len(self.read), length))
            self.read += more
        said, self.read = self.read[:length], self.read[length:]
        return said

    def store(self):
        self.say(b"set %s 0 0 %d\r\n%s\r\n" % (self.key, VALUE, self.value))
        return self.hear(len(b"STORED\r\n"))


class KernelTls(unittest.TestCase):
    def test_slow_readers_get_their_own_bytes(self):
        with Server() as server:
            readers = [Reader(server, number) for number in range(READERS)]
            for reader in readers:
                self.assertEqual(reader.store(), b"STORED\r\n")
            for reader in readers: # for more than sockets hold
                reader.say(b"get %s\r\n" % reader.key * PIPELINE)
            for _ in range(PIPELINE):
                for reader in readers:
                    reply = b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (
                        reader.key, VALUE, reader.value)
                    self.assertTrue(reader.hear(len(reply)) == reply,
                                    "bytes of others, or out of order")
            for reader in readers:
                reader.socket.close()

    def test_what_the_kernel_does_is_counted(self):
        with Server() as server:
            reader = Reader(server, 1)
            self.assertEqual(reader.store(), b"STORED\r\n")
            self.assertEqual(server.stats()["ssl_kernel_sessions"], "1")
            reader.socket.close()

    def test_a_kernel_that_refuses_the_cipher_is_done_without(self):
        with Server("refuse") as server:
            server.ask_by_tls()
            self.assertEqual(server.stats()["ssl_kernel_sessions"], "0")

    def test_it_is_not_asked_unless_told_so(self):
        with Server(words=()) as server:
            server.ask_by_tls() # which would not understand plain bytes
            self.assertNotIn("ssl_kernel_sessions", server.stats())


class ThisKernel(unittest.TestCase):
    def test_it_serves_whether_or_not_this_kernel_can(self):
        with Server(library="") as server:
            server.ask_by_tls()
            self.assertIn("ssl_kernel_sessions", server.stats())


if __name__ == "__main__":
    need_tls()
    if not os.path.exists(LIBRARY):
        srv.skip("KERNEL_TLS_LIBRARY names no library")
    if srv.sanitized(): # which is no want of a tool: it wants to be the library loaded first
        sys.exit(srv.SKIP)
    unittest.main(verbosity=2)
