#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A Django site with its cache on the server, configured as installation guides say.

What it protects: the main job. Every call of Django's cache does what it does on
memcached, on both of its clients; and a limited login lets exactly the allowed number
through, from however many processes the tries come and whatever else fills the cache.
"""
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
SITE = os.path.join(HERE, "site")
sys.path[:0] = [SITE, os.path.join(HERE, os.pardir, "wire")]
import server as srv  # noqa: E402

try:
    import django
    import pylibmc
    import pymemcache
except ImportError as missing:
    srv.skip("not installed: %s" % missing)

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
PROCESSES = 8
INCREMENTS = 100000
TTL = 600


def in_processes(job, *args, count=PROCESSES):
    """Runs job(number, *args) in processes of their own, all at the same moment; what
    they return. They are forked before any of them has a connection."""
    pipes, children = [], []
    go_read, go_write = os.pipe()
    for number in range(count):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(go_write)
                os.read(go_read, 1)
                os.write(write, repr(job(number, *args)).encode())
                status = 0
            except BaseException:  # pylint: disable=broad-except
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(write)
        pipes.append(read)
        children.append(child)
    os.close(go_read)
    os.close(go_write)
    results = []
    for read, child in zip(pipes, children):
        text = b""
        while True:
            data = os.read(read, 65536)
            if not data:
                break
            text += data
        os.close(read)
        if os.waitpid(child, 0)[1] != 0:
            raise AssertionError("a process failed")
        results.append(eval(text.decode(), {}))
    return results


class Churn:
    """A client that fills the cache as fast as it is let, on a thread and no Django."""

    def __init__(self, port, total):
        self.port, self.total, self.sent, self.stopping = port, total, 0, False
        self.problem = None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            self.fill()
        except (srv.Failure, OSError) as problem:
            self.problem = problem

    def fill(self):
        sizes = (40, 100, 700, 3000, 20000, 100000)
        with srv.Talk(self.port) as talk:
            number = 0
            while self.sent < self.total and not self.stopping:
                batch = []
                for size in sizes:
                    for _ in range(max(1, 60000 // size)):
                        number += 1
                        batch.append(b"set churn%d 0 600 %d noreply\r\n" % (number, size)
                                     + b"x" * size + b"\r\n")
                data = b"".join(batch)
                talk.send(data + b"version\r\n")
                talk.line()
                self.sent += len(data)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()


def hammer(number, alias, name, rounds, pause):
    """One process of a web server: posts the login form again and again."""
    from django.test import RequestFactory
    import views
    requests = RequestFactory()
    outcome = {}
    for _ in range(rounds):
        reply = views.login(requests.post("/login?cache=" + alias, {"username": name}))
        end = int(reply.content.split()[0])
        passed, tried = outcome.get(end, (0, 0))
        outcome[end] = (passed + (reply.status_code == 200), tried + 1)
        if pause:
            time.sleep(pause)
    return outcome


def increment(number, alias, key, times):
    """Counts as the login does; how many failed, and the numbers it got."""
    from django.core.cache import caches
    import views
    cache, failed, best, ones = caches[alias], 0, 0, 0
    for _ in range(times):
        got = views.count(cache, key, TTL)
        if got is None:
            failed += 1
        else:
            best, ones = max(best, got), ones + (got == 1)
    return failed, best, ones


class Site(unittest.TestCase):
    """A server, and the site told where it is. No connection is open yet."""
    options = ("-m", "64")

    def setUp(self):
        self.server = srv.Server(*self.options)
        self.server.__enter__()
        os.environ["SITE_CACHE"] = "127.0.0.1:%d" % self.server.port
        django.setup()
        from django.conf import settings
        from django.test.signals import setting_changed
        for alias in settings.CACHES:
            settings.CACHES[alias]["LOCATION"] = os.environ["SITE_CACHE"]
        setting_changed.send(sender=None, setting="CACHES", value=None, enter=True)
        self.settings = settings

    def tearDown(self):
        self.server.stop()


class Checks(Site):
    def test_djangos_own_checks_and_the_sites_see_a_supported_cache(self):
        run = subprocess.run(
            [sys.executable, os.path.join(SITE, "manage.py"), "check", "--deploy"],
            env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"), cwd=SITE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        text = run.stdout.decode()
        self.assertEqual(run.returncode, 0, text)
        self.assertNotIn("site.W001", text)
        self.assertIn("no issues", text)


class RateLimit(Site):
    # The churn below turns these over several times.
    options = ("-m", "64", "-t", "4")

    def limited(self, alias, name="magda"):
        """Windows of a second; the first and the last one are cut short by the test."""
        self.settings.LOGIN_LIMIT, self.settings.LOGIN_WINDOW = 50, 1
        outcomes = in_processes(hammer, alias, name, 70, 0.04)
        windows = {}
        for outcome in outcomes:
            for end, (passed, tried) in outcome.items():
                had = windows.get(end, (0, 0))
                windows[end] = (had[0] + passed, had[1] + tried)
        self.assertGreaterEqual(len(windows), 2)
        for end, (passed, tried) in windows.items():
            self.assertEqual(passed, min(50, tried), windows)
        self.assertTrue(any(tried > 100 for _, tried in windows.values()), windows)

    def test_exactly_the_allowed_number_of_logins_pass_in_every_window(self):
        self.limited("default")

    def test_the_same_through_pymemcache(self):
        self.limited("pymemcache")

    def test_the_same_while_others_fill_the_cache(self):
        with Churn(self.server.port, 64 << 30) as churn:
            for turn in range(20):
                self.limited("default", "magda%d" % turn)
                if churn.sent > 4 * (64 << 20) or churn.problem is not None:
                    break
        self.assertIsNone(churn.problem)
        self.assertGreater(int(self.server.stats()["evictions"]), 0)

    def exact(self, alias, total, key):
        each = total // PROCESSES
        results = in_processes(increment, alias, key, each)
        self.assertEqual(sum(failed for failed, _, _ in results), 0)
        self.assertEqual(sum(ones for _, _, ones in results), 1)  # added exactly once
        self.assertEqual(max(best for _, best, _ in results), each * PROCESSES)

    def test_a_hundred_thousand_increments_lose_none(self):
        self.exact("default", INCREMENTS // srv.SLOW, "rl:exact")

    def test_none_are_lost_through_pymemcache(self):
        self.exact("pymemcache", INCREMENTS // 10 // srv.SLOW, "rl:exact")

    def test_none_are_lost_while_others_fill_the_cache(self):
        with Churn(self.server.port, 64 << 30) as churn:
            self.exact("default", INCREMENTS // 4 // srv.SLOW, "rl:exact")
            while churn.sent < 4 * (64 << 20) and churn.problem is None:
                time.sleep(0.05)
        self.assertIsNone(churn.problem)
        self.assertGreater(int(self.server.stats()["evictions"]), 0)

    def test_many_counters_survive_a_churn_until_their_time_is_up(self):
        client = pylibmc.Client(["127.0.0.1:%d" % self.server.port])
        keys = [":1:rl:%064x" % number for number in range(500)]
        for key in keys:
            self.assertTrue(client.add(key, 1, time=TTL))
        expected = 1
        with Churn(self.server.port, 4 * (64 << 20)) as churn:
            while churn.thread.is_alive():
                expected += 1
                for key in keys:
                    self.assertFalse(client.add(key, 1, time=TTL))
                    self.assertEqual(client.incr(key), expected)
        self.assertIsNone(churn.problem)


class CacheApi(Site):
    alias = "default"
    too_large = pylibmc.TooBig

    @property
    def cache(self):
        from django.core.cache import caches
        return caches[self.alias]

    def test_values_come_back_as_they_went(self):
        for value in ("text", b"bytes\x00\xff", 7, -7, 2 ** 70, 1.5, None, True, [1, "zwei"],
                      {"a": {"b": (1, 2)}}, "ünïcödé €", ""):
            self.cache.set("value", value)
            self.assertEqual(self.cache.get("value", "absent"), value)
        self.assertEqual(self.cache.get("nothing", "absent"), "absent")
        self.assertIsNone(self.cache.get("nothing"))
        self.assertIn("value", self.cache)
        self.assertNotIn("nothing", self.cache)

    def test_add_stores_only_once(self):
        self.assertTrue(self.cache.add("once", "first"))
        self.assertFalse(self.cache.add("once", "second"))
        self.assertEqual(self.cache.get("once"), "first")
        self.assertTrue(self.cache.delete("once"))
        self.assertFalse(self.cache.delete("once"))
        self.assertTrue(self.cache.add("once", "third"))
        self.assertEqual(self.cache.get_or_set("once", "fourth"), "third")
        self.assertEqual(self.cache.get_or_set("other", lambda: "fifth"), "fifth")

    def test_many_at_a_time(self):
        many = {"key%d" % number: "value %d" % number * 20 for number in range(500)}
        self.assertEqual(self.cache.set_many(many), [])
        self.assertEqual(self.cache.get_many(list(many) + ["nothing"]), many)
        self.cache.delete_many(["key%d" % number for number in range(250)])
        self.assertEqual(len(self.cache.get_many(many)), 250)

    def test_counters(self):
        self.cache.set("counter", 41)
        self.assertEqual(self.cache.incr("counter"), 42)
        self.assertEqual(self.cache.incr("counter", 958), 1000)
        self.assertEqual(self.cache.decr("counter"), 999)  # stored as "999 "
        self.assertEqual(self.cache.get("counter"), 999)
        self.assertEqual(self.cache.decr("counter", 99), 900)
        self.assertEqual(self.cache.incr("counter", -1), 899)
        self.assertEqual(self.cache.decr("counter", 1000), 0)
        self.assertRaises(ValueError, self.cache.incr, "nothing")
        self.assertRaises(ValueError, self.cache.decr, "nothing")

    def test_timeouts(self):
        # A second of the server's clock may end at any moment, so 1 could be over at once.
        self.cache.set("short", "x", timeout=4)
        self.cache.set("long", "x", timeout=1000)
        self.cache.set("month", "x", timeout=60 * 60 * 24 * 30 + 1)  # becomes a date
        self.cache.set("ever", "x", timeout=None)
        self.cache.set("touched", "x", timeout=4)
        self.cache.set("shortened", "x", timeout=1000)
        self.assertTrue(self.cache.touch("touched", 1000))
        self.assertTrue(self.cache.touch("shortened", 1))
        self.assertFalse(self.cache.touch("nothing", 1000))
        self.assertEqual(self.cache.get("short"), "x")
        time.sleep(4.2)
        found = self.cache.get_many(["short", "long", "month", "ever", "touched", "shortened"])
        self.assertEqual(sorted(found), ["ever", "long", "month", "touched"])

    def test_a_timeout_of_nothing_is_no_time_at_all(self):
        self.cache.set("never", "x", timeout=0)
        self.assertIsNone(self.cache.get("never"))
        self.cache.set("past", "x", timeout=-5)
        self.assertIsNone(self.cache.get("past"))
        self.cache.set("there", "x")
        self.cache.set("there", "y", timeout=0)
        self.assertIsNone(self.cache.get("there"))
        self.assertTrue(self.cache.add("there", "z"))
        self.cache.touch("there", 0)
        self.assertIsNone(self.cache.get("there"))
        self.cache.set_many({"a": 1, "b": 2}, timeout=0)
        self.assertEqual(self.cache.get_many(["a", "b"]), {})

    def test_versions_and_prefixes_are_apart(self):
        self.cache.set("key", "one")
        self.cache.set("key", "two", version=2)
        self.assertEqual(self.cache.get("key"), "one")
        self.assertEqual(self.cache.get("key", version=2), "two")
        self.cache.delete("key", version=2)
        self.assertEqual(self.cache.incr_version("key"), 2)
        self.assertIsNone(self.cache.get("key"))
        self.assertEqual(self.cache.get("key", version=2), "one")
        self.assertEqual(self.cache.decr_version("key", version=2), 1)
        self.assertEqual(self.cache.get("key"), "one")

    def test_large_values(self):
        for size in (5000, 50000, 500000, 1000000):
            self.cache.set("large", os.urandom(8) + b"x" * size)
            self.assertEqual(len(self.cache.get("large")), size + 8)
        with self.assertRaises(self.too_large):
            self.cache.set("large", os.urandom(1100000))
        # The client heard the refusal and both are in step.
        self.cache.set("small", "x")
        self.assertEqual(self.cache.get("small"), "x")

    def test_keys_in_other_scripts(self):
        keys = ["ключ", "鍵", "clé-é", "κλειδί" * 10, "k" * 240, "a:b/c?d=e%20f#g"]
        for key in keys:
            self.cache.set(key, key + "!")
        self.assertEqual(self.cache.get_many(keys), {key: key + "!" for key in keys})
        for key in keys:
            self.assertEqual(self.cache.get(key), key + "!")

    def test_clear_empties(self):
        self.cache.set("key", "value")
        self.cache.clear()
        self.assertIsNone(self.cache.get("key"))
        self.cache.set("key", "value")
        self.assertEqual(self.cache.get("key"), "value")

    def test_threads_have_connections_of_their_own(self):
        problems = []

        def work(number):
            try:
                for turn in range(100):
                    self.cache.set("thread%d" % number, turn)
                    self.cache.incr("thread%d" % number)
                    if self.cache.get("thread%d" % number) != turn + 1:
                        problems.append((number, turn))
            except Exception as problem:  # pylint: disable=broad-except
                problems.append(problem)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])

    def test_sessions_live_in_it(self):
        from django.contrib.sessions.backends.cache import SessionStore
        session = SessionStore()
        session["user"] = "magda"
        session.save()
        again = SessionStore(session.session_key)
        self.assertEqual(again["user"], "magda")
        again.delete()
        self.assertFalse(SessionStore().exists(session.session_key))


class CacheApiOfPymemcache(CacheApi):
    alias = "pymemcache"
    too_large = pymemcache.exceptions.MemcacheServerError


class TwoCaches(Site):
    """Sessions and counters in one cache, permissions in another: two namespaces of one
    server, the second of which has a port and a unix socket."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        os.chmod(self.folder.name, 0o777)
        ports = os.path.join(self.folder.name, "ports")
        self.options = ("-m", "64", "-t", "2",
                        "--listener", "127.0.0.1:0,namespace=permissions,memory=8",
                        "--listener", "unix:%s/s,namespace=permissions" % self.folder.name)
        os.environ["MEMCACHED_PORT_FILENAME"] = ports
        try:
            super().setUp()
        finally:
            del os.environ["MEMCACHED_PORT_FILENAME"]
        with open(ports, encoding="ascii") as file:
            self.second = [int(line.split()[-1]) for line in file][1]
        where = {"permissions": ("PyLibMCCache", "127.0.0.1:%d" % self.second),
                 "permissions_local": ("PyLibMCCache", self.folder.name + "/s"),
                 "permissions_pymemcache": ("PyMemcacheCache", "127.0.0.1:%d" % self.second)}
        self.others = list(where)
        for alias, (backend, location) in where.items():
            self.settings.CACHES[alias] = {
                "BACKEND": "django.core.cache.backends.memcached." + backend,
                "LOCATION": location}
        self.tell()

    def tell(self):
        from django.test.signals import setting_changed
        setting_changed.send(sender=None, setting="CACHES", value=None, enter=True)

    def tearDown(self):
        for alias in self.others:
            del self.settings.CACHES[alias]
        self.tell()
        super().tearDown()
        self.folder.cleanup()

    def test_clear_of_one_leaves_the_other_whole(self):
        from django.contrib.sessions.backends.cache import SessionStore
        from django.core.cache import caches
        import views
        default = caches["default"]
        session = SessionStore()
        session["user"] = "magda"
        session.save()
        self.assertEqual(views.count(default, "rl:login", TTL), 1)
        default.set_many({"key%d" % number: number for number in range(200)}, TTL)
        for turn, alias in enumerate(self.others):
            other = caches[alias]
            other.set_many({"key%d" % number: "may" for number in range(200)}, TTL)
            self.assertEqual(other.get("key7"), "may")
            other.clear()
            self.assertEqual(other.get_many("key%d" % n for n in range(200)), {})
            self.assertEqual(SessionStore(session.session_key)["user"], "magda")
            self.assertEqual(views.count(default, "rl:login", TTL), turn + 2)
            self.assertEqual(len(default.get_many("key%d" % n for n in range(200))), 200)
        other.set("key7", "may")
        default.clear()
        self.assertIsNone(default.get("key7"))
        self.assertFalse(SessionStore().exists(session.session_key))
        self.assertEqual(caches["permissions"].get("key7"), "may")

    def test_permissions_without_end_evict_no_counter(self):
        from django.core.cache import caches
        import views
        default = caches["default"]
        for number in range(300):
            self.assertEqual(views.count(default, "rl:%d" % number, TTL), 1)
        with Churn(self.second, 5 * (8 << 20)) as churn:
            churn.thread.join()
        self.assertIsNone(churn.problem)
        for number in range(300):
            self.assertEqual(views.count(default, "rl:%d" % number, TTL), 2)
        self.assertEqual(self.server.stats()["evictions"], "0")


if __name__ == "__main__":
    unittest.main(warnings="ignore")
