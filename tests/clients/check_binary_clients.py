#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Django over pylibmc with binary=True, without and with a password, and a monitor.

What it protects: sites that chose the binary protocol, mostly because SASL is part of it,
and agents that read statistics by it and know nothing else (Datadog's, for instance).
"""
import os
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "wire"))
import packets  # noqa: E402
import server as srv  # noqa: E402

try:
    import django
    import pylibmc
    from django.conf import settings
except ImportError as missing:
    srv.skip("not installed: %s" % missing)

HELLO = (packets.request("version"), b"\x81\x0b")
PROCESSES = 4
TRIES = 500
ALLOWED = 100


def cache_of(port, **options):
    """Django's cache for a server, made as settings.CACHES would."""
    from django.core.cache.backends.memcached import PyLibMCCache
    params = {"OPTIONS": dict({"binary": True}, **options), "KEY_PREFIX": "site"}
    return PyLibMCCache("127.0.0.1:%d" % port, params)


def in_processes(job, *args):
    """The results of job(*args) in so many processes at once."""
    pipes = []
    for _ in range(PROCESSES):
        read, write = os.pipe()
        if os.fork() == 0:
            status = 1
            try:
                os.write(write, b"%d" % job(*args))
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        pipes.append(read)
    results = []
    for pipe in pipes:
        with os.fdopen(pipe, "rb") as file:
            results.append(int(file.read() or -1))
        assert os.wait()[1] == 0
    return results


def tries_let_through(port, options):
    """What a limited login does, TRIES times."""
    cache = cache_of(port, **options)
    passed = 0
    for _ in range(TRIES):
        if cache.add("login:ann", 1, 65):
            count = 1
        else:
            count = cache.incr("login:ann")
        passed += count <= ALLOWED
    return passed


class Site:
    """What a site does; the servers differ."""

    options = {}

    def cache(self):
        return cache_of(self.server.port, **self.options)

    def test_values_of_every_kind_come_back(self):
        cache = self.cache()
        values = {"text": "grüße", "bytes": b"\0\x80\xff\r\n", "number": 12, "float": 1.5,
                  "none": None, "list": [1, {"a": (2, 3)}], "empty": "", "true": True}
        for key, value in values.items():
            cache.set(key, value)
            self.assertEqual(cache.get(key, "missing"), value)
        cache.set_many({"m%d" % i: i for i in range(500)})
        found = cache.get_many(["m%d" % i for i in range(0, 1000, 2)])
        self.assertEqual(found, {"m%d" % i: i for i in range(0, 500, 2)})
        cache.delete_many(["m%d" % i for i in range(500)])
        self.assertEqual(cache.get_many(["m1", "m2"]), {})
        for size in (1, 8000, 9000, 70000, 500000, 1000000):
            cache.set("large", os.urandom(16) * (size // 16))
            self.assertEqual(len(cache.get("large")), size // 16 * 16)

    def test_conditions_counting_and_times(self):
        cache = self.cache()
        cache.delete("k")
        self.assertIsNone(cache.get("k"))
        self.assertTrue(cache.add("k", 1))
        self.assertFalse(cache.add("k", 2))
        self.assertEqual(cache.incr("k"), 2)
        self.assertEqual(cache.incr("k", 40), 42)
        self.assertEqual(cache.decr("k", 2), 40)
        self.assertEqual(cache.get("k"), 40)
        self.assertTrue(cache.delete("k"))
        self.assertFalse(cache.delete("k"))
        with self.assertRaises(ValueError):
            cache.incr("k")
        self.assertEqual(cache.get_or_set("k", "new"), "new")
        cache.set("short", 1, 1)
        cache.set("long", 1, 4)
        self.assertTrue(cache.touch("long", 100))
        self.assertFalse(cache.touch("none", 100))
        time.sleep(2.1)
        self.assertIsNone(cache.get("short"))
        self.assertEqual(cache.get("long"), 1)
        cache.clear()
        self.assertIsNone(cache.get("long"))

    def test_a_limit_lets_exactly_so_many_through(self):
        self.cache().delete("login:ann")
        passed = in_processes(tries_let_through, self.server.port, self.options)
        self.assertEqual(sum(passed), ALLOWED)
        self.assertEqual(self.cache().get("login:ann"), PROCESSES * TRIES)

    def test_pylibmc_itself(self):
        client = pylibmc.Client(["127.0.0.1:%d" % self.server.port], binary=True,
                                **self.options)
        client.behaviors = {"cas": True, "tcp_nodelay": True}
        client.set("p", "a")
        value, unique = client.gets("p")
        self.assertEqual(value, "a")
        self.assertTrue(client.cas("p", "b", unique))
        self.assertFalse(client.cas("p", "c", unique))
        self.assertTrue(client.append("p", "c") and client.prepend("p", "a"))
        self.assertEqual(client.get("p"), "abc")
        ((_, stats),) = client.get_stats()
        self.assertEqual(int(stats["limit_maxbytes"]), 64 << 20)
        with self.assertRaises(pylibmc.Error):
            client.set("p", b"x" * (1 << 20) + os.urandom(32))
        self.assertIsNone(client.get("p"))


class WithoutPassword(Site, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = srv.Server("-m", "64")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_text_and_binary_see_the_same(self):
        text = pylibmc.Client(["127.0.0.1:%d" % self.server.port])
        binary = pylibmc.Client(["127.0.0.1:%d" % self.server.port], binary=True)
        text.set("shared", 41)
        self.assertEqual(binary.incr("shared"), 42)
        self.assertEqual(text.get("shared"), 42)

    def test_a_monitor_reads_numbers_and_an_end(self):
        """As Datadog's agent: three reports by STAT, each to the empty key."""
        self.cache().set("k", "v")
        with packets.Binary(self.server.connect()) as client:
            general, items, slabs = (client.stat(key) for key in (b"", b"items", b"slabs"))
        for name in ("curr_items total_items limit_maxbytes uptime bytes curr_connections "
                     "connection_structures threads pointer_size evictions cmd_get "
                     "cmd_set cmd_flush get_hits get_misses delete_hits cas_badval "
                     "bytes_read bytes_written rusage_user rusage_system "
                     "listen_disabled_num max_connections").split():
            self.assertGreaterEqual(float(general[name]), 0, name)
        self.assertTrue(any(name.endswith(":number") for name in items))
        self.assertTrue(all(name.startswith("items:") for name in items))
        for name in ("active_slabs", "total_malloced"):
            self.assertGreater(float(slabs[name]), 0)
        for name, value in list(items.items()) + list(slabs.items()):
            self.assertGreaterEqual(float(value), 0, name)


class WithPassword(Site, unittest.TestCase):
    options = {"username": "ann", "password": "s: ecret"}

    @classmethod
    def setUpClass(cls):
        cls.file = tempfile.NamedTemporaryFile("w")
        cls.file.write("bob:other\nann:s: ecret\n")
        cls.file.flush()
        cls.server = srv.Server("-m", "64", "-S", hello=HELLO,
                                env={"MEMCACHED_SASL_PWDB": cls.file.name})
        try:
            cls.server.__enter__()
        except srv.Failure as failure:
            if "not built" in str(failure):
                raise unittest.SkipTest("built without SASL")
            raise

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.file.close()

    def test_a_wrong_password_gets_nothing(self):
        for name, password in (("ann", "wrong"), ("nobody", "s: ecret")):
            client = pylibmc.Client(["127.0.0.1:%d" % self.server.port], binary=True,
                                    username=name, password=password)
            with self.assertRaises(pylibmc.Error):
                client.set("k", "v")


if __name__ == "__main__":
    settings.configure()
    django.setup()
    unittest.main(warnings="ignore")
