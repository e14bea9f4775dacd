#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""pymemcache, used directly: its stores are silent unless told otherwise.

What it protects: a client that sends a silent store and its next command in one piece
must never find a stray line between the replies it waits for.
"""
import os
import ssl
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "wire"))
import server as srv  # noqa: E402
from certificates import Certificates, has_tls  # noqa: E402

try:
    from pymemcache.client.base import Client
    from pymemcache import exceptions
except ImportError as missing:
    srv.skip("not installed: %s" % missing)


class Pymemcache(unittest.TestCase):
    tls = None  # an ssl.SSLContext

    @classmethod
    def setUpClass(cls):
        cls.server = srv.Server("-m", "64")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.client = Client(("127.0.0.1", self.server.port), timeout=srv.REPLY_SECONDS,
                             no_delay=True, tls_context=self.tls)
        self.client.flush_all(noreply=False)

    def tearDown(self):
        self.client.quit()

    def test_silent_stores_are_silent_whatever_their_outcome(self):
        client = self.client
        for number in range(200):
            client.set("k", "v%d" % number)
            client.add("k", "not stored")
            client.replace("none", "not stored")
            client.append("none", "not stored")
            client.prepend("k", "<")
            client.delete("none")
            client.set("large", b"x" * 1100000) if number == 7 else None
            self.assertEqual(client.get("k"), b"<v%d" % number)
            self.assertIsNone(client.get("none"))
            client.touch("k", 1000)
            client.incr("none", 1, noreply=True)
            self.assertEqual(client.get_many(["k", "none"]), {"k": b"<v%d" % number})

    def test_loud_stores_say_how_it_went(self):
        client = self.client
        self.assertTrue(client.set("k", "one", noreply=False))
        self.assertFalse(client.add("k", "two", noreply=False))
        self.assertTrue(client.replace("k", "three", noreply=False))
        self.assertFalse(client.replace("none", "x", noreply=False))
        self.assertTrue(client.append("k", ">", noreply=False))
        self.assertTrue(client.prepend("k", "<", noreply=False))
        self.assertEqual(client.get("k"), b"<three>")
        self.assertTrue(client.touch("k", 1000, noreply=False))
        self.assertFalse(client.touch("none", 1000, noreply=False))
        self.assertTrue(client.delete("k", noreply=False))
        self.assertFalse(client.delete("k", noreply=False))
        with self.assertRaises(exceptions.MemcacheServerError):
            client.set("large", b"x" * 1100000, noreply=False)

    def test_cas_counters_and_times(self):
        client = self.client
        client.set("n", "98")
        self.assertEqual(client.incr("n", 4), 102)
        self.assertEqual(client.decr("n", 3), 99)
        self.assertEqual(client.get("n"), b"99 ")
        self.assertIsNone(client.incr("none", 1))
        value, token = client.gets("n")
        self.assertEqual(value, b"99 ")
        self.assertTrue(client.cas("n", "1", token, noreply=False))
        self.assertFalse(client.cas("n", "2", token, noreply=False))
        self.assertIsNone(client.cas("none", "2", token, noreply=False))
        client.set("word", "abc")
        with self.assertRaises(exceptions.MemcacheClientError):
            client.incr("word", 1)
        self.assertEqual(client.get("word"), b"abc")
        client.touch("n", 1)
        client.set("word", "abc", expire=1)
        time.sleep(2.1)
        self.assertEqual(client.get_many(["n", "word"]), {})

    def test_many_and_the_rest(self):
        client = self.client
        many = {"key%d" % number: b"%d" % number * 100 for number in range(1000)}
        self.assertEqual(client.set_many(many), [])
        self.assertEqual(client.get_many(many), many)
        self.assertEqual({key: value for key, (value, _) in client.gets_many(many).items()}, many)
        client.delete_many(many)
        self.assertEqual(client.get_many(many), {})
        stats = client.stats()
        self.assertIn(b"version", stats)
        self.assertEqual(stats[b"threads"], 4)
        self.assertIn(b"num_threads", client.stats("settings"))
        self.assertTrue(client.version().startswith(b"1.6."))
        self.assertTrue(client.cache_memlimit(64))
        client.set("k", "v")
        client.flush_all(delay=1000)
        self.assertEqual(client.get("k"), b"v")
        client.flush_all()
        self.assertIsNone(client.get("k"))


@unittest.skipUnless(has_tls(), "built without TLS")
class OverTls(Pymemcache):
    """All of it again."""

    @classmethod
    def setUpClass(cls):
        cls.certs = Certificates()
        cls.certs.authority("ca")
        cls.certs.make("server", "ca")
        cls.tls = cls.certs.client()
        cls.server = cls.certs.start("-m", "64")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.certs.remove()

    def test_a_server_of_another_authority_is_not_trusted(self):
        self.certs.authority("other-ca")
        client = Client(("127.0.0.1", self.server.port), timeout=srv.REPLY_SECONDS,
                        tls_context=self.certs.client(ca="other-ca"))
        with self.assertRaises(ssl.SSLCertVerificationError):
            client.get("k")


if __name__ == "__main__":
    unittest.main(warnings="ignore")
