#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A Django site goes on through restarts of its cache.

What it protects: page views, sessions and limited logins through pylibmc, from several
processes, and a pipelining client beside them, while the server is restarted twenty times by
a stand-in for the service manager: no call fails, nothing that was acknowledged is lost, no
limit lets one too many through.
"""
import os
import signal
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, os.pardir, "wire")]
import server as srv  # noqa: E402
from check_django import in_processes  # noqa: E402
from check_restart import Load  # noqa: E402
from manager import Manager  # noqa: E402

import django  # noqa: E402

RESTARTS = 20 // srv.SLOW + 1
LIMIT, WINDOW = 5, 1
PAGE = 30000
OVER = None  # a pipe whose other end is closed when all is over


def is_over():
    return os.path.exists(OVER)


def views_pages(number):
    """Fragments of pages: what was stored is found, until it is stored anew."""
    from django.core.cache import cache
    turn = 0
    while not is_over():
        turn += 1
        key = "page:%d:%d" % (number, turn % 50)
        body = ("%d." % turn) * (PAGE // len("%d." % turn))
        cache.set(key, body, timeout=600)
        if cache.get(key) != body:
            raise AssertionError("a page is lost")
        many = cache.get_many(["page:%d:%d" % (number, i) for i in range(50)])
        if len(many) != min(turn, 50):
            raise AssertionError("%d of %d pages" % (len(many), min(turn, 50)))
    return turn


def has_sessions(number):
    from django.contrib.sessions.backends.cache import SessionStore
    keys, turn = [], 0
    while not is_over():
        turn += 1
        session = SessionStore()
        session["user"] = "user %d of %d" % (turn, number)
        session.save()
        keys.append((session.session_key, session["user"]))
        key, user = keys[(turn * 7) % len(keys)]
        if SessionStore(key).get("user") != user:
            raise AssertionError("a session is lost")
    for key, user in keys:
        if SessionStore(key).get("user") != user:
            raise AssertionError("a session is lost in the end")
    return turn


def logs_in(number):
    """As check_django.hammer, until it is over: {window: (passed, tried)}."""
    from django.test import RequestFactory
    import views
    requests, outcome = RequestFactory(), {}
    while not is_over():
        reply = views.login(requests.post("/login?cache=default", {"username": "magda"}))
        end = int(reply.content.split()[0])
        passed, tried = outcome.get(end, (0, 0))
        outcome[end] = (passed + (reply.status_code == 200), tried + 1)
        time.sleep(0.01)
    return outcome


JOBS = (views_pages, has_sessions, logs_in, logs_in, logs_in)


def one_of_them(number):
    return JOBS[number](number)


class Restarts(unittest.TestCase):
    def setUp(self):
        global OVER
        self.manager = Manager("-m", "256", "-I", "8m", "-t", "4")
        self.manager.__enter__()
        OVER = os.path.join(self.manager.folder.name, "over")
        os.environ["SITE_CACHE"] = "127.0.0.1:%d" % self.manager.port
        django.setup()
        from django.conf import settings
        settings.LOGIN_LIMIT, settings.LOGIN_WINDOW = LIMIT, WINDOW

    def tearDown(self):
        self.manager.__exit__(*sys.exc_info())

    def restart(self, problems):
        try:
            time.sleep(1)
            for turn in range(RESTARTS):
                if turn % 4 == 3:
                    self.manager.restart(signal.SIGUSR2, statuses=(75,))
                else:
                    self.manager.restart()
                time.sleep(0.3)
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(problem)
        finally:
            with open(OVER, "w"):
                pass

    def test_nobody_notices(self):
        problems = []
        load = Load(self.manager.port)
        restarts = threading.Thread(target=self.restart, args=(problems,))
        restarts.start()
        try:
            results = in_processes(one_of_them, count=len(JOBS))
        finally:
            restarts.join()
        load.end(self)
        self.assertEqual(problems, [])
        stats = self.manager.stats()
        self.assertEqual(stats["takeovers"], str(RESTARTS))
        self.assertEqual(stats["evictions"], "0")
        self.assertGreater(results[0], 0)
        self.assertGreater(results[1], 0)
        windows = {}
        for outcome in results[2:]:
            for end, (passed, tried) in outcome.items():
                had = windows.get(end, (0, 0))
                windows[end] = (had[0] + passed, had[1] + tried)
        for end, (passed, tried) in windows.items():
            self.assertEqual(passed, min(LIMIT, tried), windows)
        self.assertTrue(any(tried > LIMIT for _, tried in windows.values()), windows)


if __name__ == "__main__":
    if srv.peer() is not None:
        srv.skip("no other server hands over")
    unittest.main(warnings="ignore")
