#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""check_http.py - protects the HTTP endpoint from strangers, and the server from it.

Every route, every refusal, and what bad clients try: too much, too slowly, too many of
them, keys that are made to be taken for something else, pages of other sites. What metrics
say is check_metrics.py's, what the page looks like check_page.py's.
"""
import base64
import ctypes
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
import unittest

from endpoint import Reply, TcpEndpoint, UnixEndpoint, hear
from server import SLOW, Failure, Server, binary, free_port, peer, sanitized, skip

WAIT_SECONDS = 30 * SLOW
PATIENCE = 20    # HTTP_PATIENCE
PLACES = 32      # HTTP_CONNECTIONS_MAX
ROUTES = {
    "/": "text/html; charset=utf-8",
    "/metrics": "text/plain; version=0.0.4; charset=utf-8",
    "/stats.json": "application/json",
    "/healthz": "text/plain; charset=utf-8",
}
SAFE = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def wait_for(what):
    """Until what() is true; its value."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure("it never came true")
        time.sleep(0.02)


class Routes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = TcpEndpoint("-m", "64")
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.__exit__, None, None, None)

    def check_safe(self, reply):
        for name, value in SAFE.items():
            self.assertEqual(reply.headers.get(name), value, name)
        policy = reply.headers["content-security-policy"]
        for part in ("default-src 'none'", "base-uri 'none'", "form-action 'none'",
                     "frame-ancestors 'none'"):
            self.assertIn(part, policy)
        self.assertNotIn("unsafe", policy)
        for name in reply.headers:
            self.assertFalse(name.startswith("access-control"), name)

    def test_every_route_answers_in_its_type_with_the_headers_of_safety(self):
        for path, kind in ROUTES.items():
            reply = self.server.get(path)
            self.assertEqual((reply.status, reply.headers["content-type"]), (200, kind))
            self.assertEqual(int(reply.headers["content-length"]), len(reply.body))
            self.assertTrue(reply.body)
            self.check_safe(reply)

    def test_head_is_get_without_the_body(self):
        for path in ROUTES:
            full, head = self.server.get(path), self.server.request("HEAD", path)
            self.assertEqual((head.status, head.body), (full.status, b""))
            self.assertEqual(head.headers["content-type"], full.headers["content-type"])
            self.assertGreater(int(head.headers["content-length"]), 0)
            self.check_safe(head)
        self.assertEqual(self.server.request("HEAD", "/nothing").status, 404)

    def test_a_connection_is_kept_for_the_next_request(self):
        with self.server.dial() as talk:
            for _ in range(3):
                for method, body in ((b"HEAD", b""), (b"GET", b"ok\n")):
                    talk.sendall(method + b" /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    got = b""
                    while not got.endswith(b"\r\n\r\n" + body):
                        data = talk.recv(4096)
                        self.assertTrue(data, got)
                        got += data
                    self.assertTrue(got.startswith(b"HTTP/1.1 200 OK\r\n"), got)

    def test_an_old_client_and_one_without_a_host_are_answered(self):
        self.assertEqual(Reply(self.server.say(b"GET /healthz HTTP/1.0\r\n\r\n")).body, b"ok\n")
        self.assertEqual(self.server.get("/healthz", host=None).status, 200)

    def test_a_query_is_not_looked_at(self):
        self.assertEqual(self.server.get("/healthz?a=b&c").status, 200)

    def test_other_paths_are_not_found(self):
        for path in ("/x", "/metrics/", "//metrics", "/METRICS", "/healthz/x", "/../healthz",
                     "/%2e%2e/etc/passwd", "/stats", "/index.html", "/%00", "/<script>",
                     "/metrics%0d%0aX:y", "*"):
            reply = self.server.get(path)
            self.assertIn(reply.status, (400, 404, 421), path)  # //host/... names a host
            self.assertNotIn(b"script", reply.body)
            self.assertNotIn("x", reply.headers)

    def test_only_get_and_head_are_allowed(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
            for path in ("/", "/metrics", "/nothing"):
                reply = self.server.request(method, path, "Content-Length: 0")
                self.assertEqual(reply.status, 405, method)
                self.assertEqual(reply.headers["allow"], "GET, HEAD")
                self.check_safe(reply)
        for method in ("CONNECT", "BREW", "get", "G\x00T", "A" * 300):
            raw = self.server.say(("%s / HTTP/1.1\r\nHost: localhost\r\n"
                                   "Connection: close\r\n\r\n" % method).encode("latin-1"))
            self.assertNotIn(b" 200 ", raw[:20], method)

    def test_a_preflight_of_another_site_is_refused(self):
        reply = self.server.request("OPTIONS", "/stats.json", "Origin: http://evil.example",
                                    "Access-Control-Request-Method: GET")
        self.assertEqual(reply.status, 405)
        self.check_safe(reply)
        self.check_safe(self.server.get("/stats.json", "Origin: http://evil.example"))

    def test_requests_for_other_hosts_are_misdirected(self):
        for host in ("evil.example", "evil.example:%d" % self.server.http_port,
                     "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1"):
            for path in ROUTES:
                reply = self.server.get(path, host=host)
                self.assertEqual(reply.status, 421, host)
                self.assertIn(b"http_name", reply.body)
                self.check_safe(reply)
        reply = Reply(self.server.say(
            b"GET http://evil.example/stats.json HTTP/1.1\r\nHost: localhost\r\n"
            b"Connection: close\r\n\r\n"))
        self.assertEqual(reply.status, 421)

    def test_hosts_that_are_ours_are_answered(self):
        for host in ("localhost", "LocalHost:%d" % self.server.http_port, "127.0.0.1",
                     "192.0.2.1:80", "[::1]:%d" % self.server.http_port, "localhost.",
                     socket.gethostname()):
            self.assertEqual(self.server.get("/healthz", host=host).status, 200, host)

    def test_the_page_has_a_nonce_of_its_own_each_time(self):
        seen = set()
        for _ in range(5):
            reply = self.server.get("/")
            policy = reply.headers["content-security-policy"]
            nonces = set(re.findall(r"'nonce-([0-9a-f]{32})'", policy))
            self.assertEqual(len(nonces), 1, policy)
            nonce = nonces.pop()
            self.assertEqual(reply.body.count(nonce.encode()), 2)
            self.assertNotIn(b"@NONCE@", reply.body)
            self.assertIn("connect-src 'self'", policy)
            seen.add(nonce)
        self.assertEqual(len(seen), 5)

    def test_the_page_asks_nothing_of_other_places(self):
        body = self.server.get("/").body.decode()
        body = body.replace("http://www.w3.org/2000/svg", "").replace(
            "http://www.w3.org/2000/svg", "")
        self.assertNotRegex(body, r"(https?:)?//[a-z0-9]+\.[a-z]")
        self.assertNotRegex(body, r"\son[a-z]+\s*=\s*[\"']")
        self.assertNotIn("innerHTML", body)
        self.assertNotIn("eval(", body)

    def test_headers_have_a_bound(self):
        good = self.server.get("/healthz", "X: " + "y" * 4000)
        self.assertEqual(good.status, 200)
        for lines in (["X: " + "y" * 9000], ["X%d: y" % i for i in range(2000)],
                      ["X: " + "y" * 1000000]):
            raw = self.server.say(("GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n"
                                   % "\r\n".join(lines)).encode())
            self.assertNotIn(b" 200 ", raw[:20])
        raw = self.server.say(b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n")
        self.assertNotIn(b" 200 ", raw[:20])
        self.assertEqual(self.server.get("/healthz").status, 200)

    def test_bodies_have_a_bound(self):
        for head in (b"Content-Length: 1000000", b"Content-Length: 99999999999999999999",
                     b"Content-Length: -1", b"Content-Length: x"):
            raw = self.server.say(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n"
                                  b"Connection: close\r\n" + head + b"\r\n\r\n" + b"z" * 5000)
            self.assertNotIn(b" 200 ", raw[:20])
        raw = self.server.say(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                              b"Transfer-Encoding: chunked\r\n\r\n" +
                              200 * (b"400\r\n" + b"z" * 1024 + b"\r\n") + b"0\r\n\r\n")
        self.assertNotIn(b" 200 ", raw[:20])
        self.assertEqual(self.server.get("/healthz").status, 200)

    def test_noise_does_no_harm(self):
        for noise in (b"\0" * 100, b"\r\n" * 50, b"\x16\x03\x01\x02\x00\x01", b"\xff" * 9000,
                      b"get a\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                      b"GET / FTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n",
                      b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
                      b"GET / HTTP/1.1\r\n folded\r\n\r\n"):
            with self.server.dial() as talk:
                talk.sendall(noise)
                talk.shutdown(socket.SHUT_WR)
                hear(talk)
        self.assertEqual(self.server.get("/healthz").status, 200)

    def test_everything_is_in_the_document(self):
        document = json.loads(self.server.get("/stats.json").body)
        for report, name in ((b"", "general"), (b"settings", "settings")):
            fields = self.server.stats(report)
            self.assertEqual(set(document[name]), set(fields))
        self.assertIs(document["settings"]["cas_enabled"], True)
        self.assertEqual(document["settings"]["umask"], "700")
        self.assertEqual(document["general"]["version"], self.server.stats()["version"])
        self.assertEqual(set(document["latency"]),
                         {"get", "set", "delete", "arith", "touch", "other"})


class Keys(unittest.TestCase):
    """Keys are whatever clients make them."""
    HOSTILE = [b"<script>alert(1)</script>", b"\"};alert(1);//", b"'\"><img/src=x>",
               b"\xff\xfe\xfd", b"\xc0\xaf", b"\xed\xa0\x80", b"a\nb", b"\x00\x01\x7f",
               b"\xe2\x80\xae" + b"txt.exe", b"%3Cscript%3E", b"\\u003c", b"x" * 170,
               "Grüße".encode(), bytes(range(1, 180)), bytes(range(80, 256))]

    def fill(self, server):
        with server.connect() as talk:
            for key in self.HOSTILE:
                for part in (key, key[:160] + b":1"):
                    name = base64.b64encode(part)
                    talk.ask(b"ms %s 3 b\r\nabc\r\n" % name, b"HD\r\n")
                    for _ in range(40):
                        talk.ask(b"mg %s v b\r\n" % name, b"VA 3\r\nabc\r\n")

    def test_hostile_keys_are_shown_as_text(self):
        with TcpEndpoint("-D", ":", "-o", "hotkeys_sample=1") as server:
            self.fill(server)
            raw = server.get("/stats.json").body
            for byte in b"<>&":
                self.assertNotIn(bytes([byte]), raw)
            document = json.loads(raw.decode("utf-8"))
            hot = {row["key"]: row for row in document["hotkeys"]["requests"]}
            self.assertTrue(hot)
            known = {self.shown(part) for key in self.HOSTILE
                     for part in (key, key[:160] + b":1")}
            self.assertLessEqual({(key, "encoded" in row) for key, row in hot.items()}, known)
            prefixes = {(row["key"], "encoded" in row) for row in document["prefixes"]}
            self.assertLessEqual(
                {self.shown(key[:160].split(b":")[0]) for key in self.HOSTILE}, prefixes)
            for text in (server.get("/").body, server.get("/metrics").body):
                self.assertNotIn(b"alert(1)", text)

    def shown(self, key):
        try:
            text = key.decode("utf-8")
            plain = all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in text)
        except UnicodeDecodeError:
            plain = False
        if plain:
            return text, False
        safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
        return "".join(chr(c) if c in safe else "%%%02X" % c for c in key), True

    def test_keys_are_kept_to_oneself_where_dumps_are_forbidden(self):
        with TcpEndpoint("-X", "-D", ":", "-o", "hotkeys_sample=1") as server:
            self.fill(server)
            document = json.loads(server.get("/stats.json").body)
            self.assertIs(document["keys_shown"], False)
            self.assertEqual(document["prefixes"], [])
            self.assertEqual(document["hotkeys"]["requests"], [])
            self.assertEqual(document["hotkeys"]["bytes"], [])


class Crowds(unittest.TestCase):
    def test_who_asks_is_answered_however_many_sit_and_wait(self):
        with TcpEndpoint() as server:
            before = server.descriptors()
            sitters = [server.dial() for _ in range(8 * PLACES)]
            try:
                for i, sitter in enumerate(sitters):
                    try:
                        sitter.sendall(b"GET /metrics HTTP/1.1\r\nX: "[:i % 30])
                    except (BrokenPipeError, ConnectionResetError):
                        pass  # made to leave by others
                for path in list(ROUTES) * 3:
                    self.assertEqual(server.get(path).status, 200)
                    self.assertLessEqual(server.descriptors() - before, PLACES + 4)
            finally:
                for sitter in sitters:
                    sitter.close()
            wait_for(lambda: server.get("/healthz").status == 200 and
                     server.descriptors() - before <= 4)

    def test_a_place_is_free_again_when_a_connection_ends(self):
        with UnixEndpoint() as server:
            for _ in range(10 * PLACES):
                self.assertEqual(server.get("/healthz").status, 200)

    def test_one_who_sends_a_byte_now_and_then_is_sent_away_in_time(self):
        with UnixEndpoint() as server:
            begin = time.monotonic()
            with server.dial() as slow:
                slow.setblocking(False)
                self.send_slowly(slow)
            # In time and not before it: that is what idle clients are promised.
            self.assertGreaterEqual(time.monotonic() - begin, PATIENCE - 1)
            self.assertEqual(server.get("/healthz").status, 200)

    def send_slowly(self, slow):
        end = time.monotonic() + PATIENCE + WAIT_SECONDS
        slow.send(b"GET /healthz HTTP/1.1\r\nX: ")
        while time.monotonic() < end:
            try:
                slow.send(b"y")
                if slow.recv(100) == b"":
                    return
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                return
            time.sleep(0.2)
        raise Failure("it was never sent away")

    def test_one_who_does_not_read_holds_little(self):
        with UnixEndpoint() as server:
            for _ in range(3):
                server.get("/metrics")
            before = server.rss()
            deaf = [server.dial() for _ in range(20)]
            ask = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            for talk in deaf:
                talk.setblocking(False)
                try:
                    while True:
                        talk.send(200 * ask)
                except (BlockingIOError, BrokenPipeError):
                    pass
            self.assertEqual(server.get("/healthz").status, 200)
            if not sanitized():
                self.assertLess(server.rss() - before, 24 << 20)
            for talk in deaf:
                talk.close()

    def test_workers_serve_while_the_endpoint_is_besieged(self):
        with TcpEndpoint() as server, server.connect() as client:
            sitters = [server.dial() for _ in range(2 * PLACES)]
            for i in range(200):
                client.ask(b"set k 0 0 3\r\nabc\r\nget k\r\n",
                           b"STORED\r\nVALUE k 0 3\r\nabc\r\nEND\r\n")
                if i % 20 == 0:
                    self.assertEqual(server.get("/stats.json").status, 200)
            for sitter in sitters:
                sitter.close()


class Health(unittest.TestCase):
    ATTACH, DETACH = 16, 17

    def worker(self, server):
        directory = "/proc/%d/task" % server.process.pid
        for task in os.listdir(directory):
            with open("%s/%s/comm" % (directory, task)) as file:
                if file.read().startswith("worker-"):
                    return int(task)
        raise Failure("no worker")

    def test_a_worker_that_hangs_makes_it_ill(self):
        trace = ctypes.CDLL(None, use_errno=True).ptrace
        with UnixEndpoint("-o", "sandbox=off") as server:
            self.assertEqual(server.get("/healthz").body, b"ok\n")
            worker = self.worker(server)
            if trace(self.ATTACH, worker, 0, 0) != 0:
                self.skipTest("threads can't be stopped here; tests/http/check_http does "
                              "without")
            os.waitpid(worker, 0x40000000)  # __WALL
            reply = wait_for(lambda: self.ill(server))
            self.assertEqual(reply.body, b"1 worker stalled\n")
            self.assertIn(b"\nlarder_stalled_threads 1\n", server.get("/metrics").body)
            self.assertEqual(trace(self.DETACH, worker, 0, 0), 0)
            wait_for(lambda: server.get("/healthz").status == 200)

    def ill(self, server):
        reply = server.get("/healthz")
        return reply if reply.status == 503 else None


class Options(unittest.TestCase):
    def refused(self, *options, status):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [binary(), *user, "-l", "127.0.0.1", "-p", str(free_port()), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=WAIT_SECONDS, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr.decode()

    def test_there_is_no_endpoint_unless_asked_for(self):
        with Server() as server:
            names = {open("/proc/%d/task/%s/comm" % (server.process.pid, task)).read().strip()
                     for task in os.listdir("/proc/%d/task" % server.process.pid)}
            self.assertIn("worker-0", names)
            self.assertNotIn("http", names)

    def test_places_that_are_none_are_named(self):
        for place in ("", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                      "127.0.0.1:-1", "::1:80", "unix:", "unix:relative", "[::1]", "80x"):
            self.assertIn("http", self.refused("-o", "http=" + place, status=1), place)
        self.refused("-o", "http", status=1)
        for name in ("", "a b", "a/b", "a:1", "*"):
            self.assertIn("http_name", self.refused("-o", "http_name=" + name, status=1))

    def test_a_place_that_is_taken_ends_the_start(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            place = "127.0.0.1:%d" % taken.getsockname()[1]
            said = self.refused("-o", "http=" + place, status=71)
            self.assertIn("http=%s: failed to listen: Address already in use" % place, said)
        self.assertIn("No such file", self.refused(
            "-o", "http=unix:/nonexistent/larder/socket", status=71))

    def test_a_place_that_others_can_reach_is_warned_of(self):
        for place, warned in (("*:%d", True), ("127.0.0.1:%d", False), ("%d", False)):
            with TcpEndpoint(place=place) as server:
                self.assertEqual(
                    "WARNING: -o http=%s:" % server.place in server.stderr(), warned)
                self.assertEqual(server.get("/healthz").status, 200)

    def test_names_can_be_added(self):
        with TcpEndpoint("-o", "http_name=cache.example.org",
                         "-o", "http_name=other.example.org") as server:
            for host, status in (("cache.example.org", 200), ("OTHER.example.org:1", 200),
                                 ("example.org", 421), ("x.cache.example.org", 421)):
                self.assertEqual(server.get("/healthz", host=host).status, status, host)

    def test_a_unix_socket_has_permissions_and_answers_under_any_host(self):
        with UnixEndpoint("-a", "770") as server:
            mode = os.stat(server.path).st_mode
            self.assertTrue(stat.S_ISSOCK(mode))
            self.assertEqual(stat.S_IMODE(mode), 0o770)
            for path, kind in ROUTES.items():
                reply = server.get(path, host="whatever.example")
                self.assertEqual((reply.status, reply.headers["content-type"]), (200, kind))
            server.stop()
            self.assertFalse(os.path.exists(server.path))

    def test_a_socket_left_behind_is_replaced_and_anything_else_is_not(self):
        directory = tempfile.mkdtemp(prefix="larder-http-")
        self.addCleanup(shutil.rmtree, directory)
        path = directory + "/socket"
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(path)
        with Server("-o", "http=unix:" + path) as server:
            talk = socket.socket(socket.AF_UNIX)
            talk.settimeout(WAIT_SECONDS)
            with talk:
                talk.connect(path)
                talk.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                self.assertEqual(Reply(hear(talk)).status, 200)
            # Another server takes the place over: its socket is not ours to remove.
            os.unlink(path)
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(path)
            server.stop()
            self.assertTrue(os.path.exists(path))
        os.unlink(path)
        with open(path, "w") as file:
            file.write("precious")
        self.assertIn("already in use", self.refused("-o", "http=unix:" + path, status=71))
        with open(path) as file:
            self.assertEqual(file.read(), "precious")

    def test_it_serves_on_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 here")
        with TcpEndpoint(place="[::1]:%d", address="::1") as server:
            host = "[::1]:%d" % server.http_port
            self.assertEqual(server.get("/healthz", host=host).status, 200)

    def test_it_stops_with_clients_that_stay(self):
        with UnixEndpoint() as server:
            talks = [server.dial() for _ in range(PLACES - 2)]  # none has to leave for others
            for talk in talks[::2]:
                talk.sendall(b"GET / HTTP/1.1\r\n")
            server.stop()
            for talk in talks:
                talk.close()


if __name__ == "__main__":
    if peer():
        skip("only Larder has this")
    unittest.main(warnings="ignore")
