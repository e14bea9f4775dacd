#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""check_page.py - protects the status page, in a real browser (headless Chromium).

Figures appear and follow the server; keys that are scripts stay texts; the page's policy
lets its own script run and nothing else; another site's page learns nothing; it fits a
phone. With a name as argument a screenshot of a busy server is kept there:

    check_page.py --screenshot doc/status-page.png
"""
import base64
import http.server
import random
import sys
import threading
import time
import unittest

from browser import Browser, chromium
from endpoint import TcpEndpoint
from server import SLOW, Failure, peer, skip

HOSTILE = [b"<img src=x onerror=document.title='taken'>",
           b"<script>document.title='taken'</script>", b"\"><svg/onload=document.title='t'>",
           b"\xff\xfe<b>", b"a\nb"]


def url(server):
    return "http://127.0.0.1:%d/" % server.http_port


def text(name):
    return "document.getElementById('%s').textContent" % name


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.browser.__enter__()
        cls.addClassCleanup(cls.browser.__exit__, None, None, None)

    def fill(self, server, talk):
        for i in range(200):
            talk.ask(b"set page:%d 0 0 500\r\n%s\r\n" % (i, b"x" * 500), b"STORED\r\n")
        for i in range(100):
            talk.ask(b"get page:1\r\n", b"VALUE page:1 0 500\r\n" + b"x" * 500 + b"\r\nEND\r\n")
            talk.ask(b"get none:1\r\n", b"END\r\n")

    def test_figures_appear_and_follow_the_server(self):
        with TcpEndpoint("-m", "64", "-D", ":",
                         "-o", "hotkeys_sample=1,latency_sample=1") as server:
            with server.connect() as talk:
                self.fill(server, talk)
                page = self.browser.open(url(server))
                page.wait(text("t-items") + " === '200'")
                self.assertEqual(page.value("document.title"), "Larder")
                page.wait(text("state") + ".endsWith('workers, all well')")
                self.assertEqual(page.value(text("s-ratio")), "50.0\u202f% of 200")
                self.assertIn(server.stats()["version"], page.value(text("facts")))
                for table, word in (("latency", "get"), ("hot", "page:1"), ("heavy", "page:1"),
                                    ("prefix", "none"), ("classes", "\u202fB"),
                                    ("gone", "evicted")):
                    self.assertIn(word, page.value(text(table)), table)
                page.wait("document.querySelectorAll('#c-classes rect').length > 1")
                talk.ask(b"set another 0 0 1\r\n1\r\n", b"STORED\r\n")
                page.wait(text("t-items") + " === '201'")
                page.wait("document.querySelectorAll('#c-rate polygon').length === 5")
            self.assertEqual(page.complaints, [])
            asked = set(page.requests()) - {"about:blank"}
            asked = {one for one in asked if not one.startswith("data:")}
            self.assertEqual(asked, {url(server), url(server) + "stats.json"})

    def test_keys_that_are_scripts_are_texts(self):
        with TcpEndpoint("-D", ":", "-o", "hotkeys_sample=1") as server:
            with server.connect() as talk:
                for key in HOSTILE:
                    for part in (key, key + b":1"):
                        name = base64.b64encode(part)
                        talk.ask(b"ms %s 1 b\r\n1\r\n" % name, b"HD\r\n")
                        for _ in range(20):
                            talk.ask(b"mg %s v b\r\n" % name, b"VA 1\r\n1\r\n")
            page = self.browser.open(url(server))
            page.wait(text("prefix") + ".includes('<img src=x')")
            page.wait(text("hot") + ".includes('<script>')")
            self.assertIn("a%0Ab", page.value(text("prefix")))
            self.assertEqual(page.value(
                "document.querySelectorAll('table img, table script, table svg[onload], "
                "table b').length"), 0)
            self.assertEqual(page.value("document.title"), "Larder")
            self.assertEqual(page.complaints, [])

    def test_the_policy_stops_scripts_that_are_not_the_pages(self):
        with TcpEndpoint() as server:
            page = self.browser.open(url(server))
            page.wait(text("state") + ".endsWith('all well')")
            page.value("""(function () {
                var s = document.createElement('script');
                s.textContent = "document.title = 'taken'";
                document.body.appendChild(s);
                document.body.insertAdjacentHTML('beforeend',
                    '<img src="x" onerror="document.title = 1">');
            })()""")
            self.wait_for(lambda: sum("Content Security Policy" in complaint
                                      for complaint in page.complaints) >= 2)
            self.assertEqual(page.value("document.title"), "Larder")

    def test_ill_health_and_an_end_are_told(self):
        server = TcpEndpoint()
        with server:
            page = self.browser.open(url(server))
            page.wait(text("state") + ".endsWith('all well')")
        page.wait(text("state") + ".startsWith('No answer')")
        self.assertEqual(page.value("document.getElementById('state').className"), "bad")

    def test_another_sites_page_learns_nothing(self):
        with TcpEndpoint() as server, Site() as site:
            page = self.browser.open(site.url)
            page.wait("document.title === 'site'")
            for path in ("", "metrics", "stats.json", "healthz"):
                target = url(server) + path
                self.assertEqual(page.value(
                    "fetch('%s').then(function (r) { return r.text(); })"
                    ".catch(function () { return 'refused'; })" % target), "refused", path)
                self.assertEqual(page.value(
                    "fetch('%s', {mode: 'no-cors'}).then(function (r) { return r.text(); })"
                    ".then(function (t) { return t === '' ? 'refused' : t; })"
                    ".catch(function () { return 'refused'; })" % target), "refused", path)
            # Its name for our address is not ours.
            name = "http://rebound.localhost:%d/" % server.http_port
            rebound = self.browser.open(name)
            rebound.wait("document.body && document.body.innerText.includes('http_name')")

    def test_it_fits_a_phone_in_either_light(self):
        with TcpEndpoint("-D", ":", "-o", "hotkeys_sample=1,latency_sample=1") as server:
            with server.connect() as talk:
                self.fill(server, talk)
                talk.ask(b"set %s:1 0 0 1\r\n1\r\n" % (b"long" * 50), b"STORED\r\n")
            page = self.browser.open(url(server))
            for dark in (False, True):
                page.look(360, 740, dark=dark, scale=2, mobile=True)
                page.wait(text("prefix") + ".includes('long')")
                page.wait("document.documentElement.scrollWidth <= 360")
                lum = page.value("""(function () {
                    var c = getComputedStyle(document.body).backgroundColor.match(/\\d+/g);
                    return (+c[0] + +c[1] + +c[2]) / 3; })()""")
                self.assertEqual(lum < 128, dark)
            self.assertEqual(page.complaints, [])

    def test_everything_has_a_name_for_those_who_listen(self):
        with TcpEndpoint() as server:
            with server.connect() as talk:
                self.fill(server, talk)
            page = self.browser.open(url(server))
            page.wait(text("t-items") + " === '200'")
            self.assertEqual(page.value("document.documentElement.lang"), "en")
            self.assertEqual(page.value("""Array.from(document.querySelectorAll(
                '[role=img]')).filter(function (e) { return !e.getAttribute('aria-label'); }
                ).length"""), 0)
            self.assertEqual(page.value("""Array.from(document.querySelectorAll(
                'section')).filter(function (e) { return !document.getElementById(
                e.getAttribute('aria-labelledby')); }).length"""), 0)
            self.assertEqual(page.value(
                "document.querySelectorAll('th:not([scope])').length"), 0)
            self.check_contrast(page)

    def check_contrast(self, page):
        """Texts stand out by 4.5 to 1, as WCAG asks."""
        for dark in (False, True):
            page.look(1280, 900, dark=dark)
            page.wait("matchMedia('(prefers-color-scheme: dark)').matches === %s"
                      % ("true" if dark else "false"))
            poor = page.value("""(function () {
              function lum(c) { return c.match(/[\\d.]+/g).slice(0, 3).map(function (v) {
                v /= 255; return v <= .03928 ? v / 12.92 : Math.pow((v + .055) / 1.055, 2.4);
              }).reduce(function (s, v, i) { return s + v * [.2126, .7152, .0722][i]; }, 0); }
              function back(e) { for (; e; e = e.parentElement) {
                var c = getComputedStyle(e).backgroundColor;
                if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255,255,255)'; }
              return Array.from(document.querySelectorAll('body *')).filter(function (e) {
                return !e.closest('svg, noscript, script, style') && e.offsetParent &&
                  Array.from(e.childNodes).some(function (n) {
                    return n.nodeType === 3 && n.data.trim(); });
              }).map(function (e) {
                var a = lum(getComputedStyle(e).color), b = lum(back(e));
                var r = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
                return [e.tagName + '#' + e.id + ' ' + e.textContent.slice(0, 20), r];
              }).filter(function (p) { return p[1] < 4.5; }); })()""")
            self.assertEqual(poor, [])

    def wait_for(self, what):
        end = time.monotonic() + 30 * SLOW
        while not what():
            if time.monotonic() > end:
                raise Failure("it never came true")
            time.sleep(0.05)


class Site:
    """Another site: a page of its own origin."""

    def __enter__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = b"<!doctype html><title>site</title>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://localhost:%d/" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Visitors(threading.Thread):
    """What a site's servers ask of its cache, more or less, for the screenshot."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.talk = server.connect()
        self.random = random.Random(seed)
        self.over = False

    def run(self):
        while not self.over:
            for _ in range(self.random.randrange(1, 12)):
                self.visit()
            time.sleep(self.random.uniform(0.001, 0.012))

    def visit(self):
        r, talk = self.random, self.talk
        user = min(int(r.paretovariate(0.7)), 4000)
        kind, size = r.choice([(b"session", 400), (b"page", 9000), (b"page", 5000),
                               (b"query", 1500), (b"tile", 30000)])
        key = b"%s:%d" % (kind, user)
        talk.send(b"get %s\r\n" % key)
        if not talk.until(b"END\r\n").startswith(b"VALUE"):
            data = b"x" * int(size * r.lognormvariate(0, 0.7))
            talk.ask(b"set %s 0 %d %d\r\n%s\r\n" % (key, r.choice([60, 600, 0]), len(data), data),
                     b"STORED\r\n")
        if r.random() < 0.3:
            talk.send(b"add login:%d 0 60 1\r\n1\r\n" % (user % 90))
            talk.line()
            talk.send(b"incr login:%d 1\r\n" % (user % 90))
            talk.line()
        if r.random() < 0.04:
            talk.send(b"delete %s\r\n" % key)
            talk.line()


def shrink(png):
    """The same picture with a palette of 256 colours: a quarter of the size."""
    import io
    from PIL import Image
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True)
    return out.getvalue()


def screenshot(path, seconds):
    with Browser() as browser, \
            TcpEndpoint("-m", "24", "-t", "2", "-D", ":") as server:
        visitors = [Visitors(server, i) for i in range(8)]
        for visitor in visitors:
            visitor.start()
        page = browser.open(url(server))
        page.look(1240, 900)
        page.wait(text("prefix") + ".includes('page')")
        time.sleep(seconds)
        png = page.screenshot()
        with open(path, "wb") as file:
            file.write(shrink(png))
        for visitor in visitors:
            visitor.over = True
        for visitor in visitors:
            visitor.join()
            visitor.talk.close()


if __name__ == "__main__":
    if peer():
        skip("only Larder has this")
    if sys.argv[1:2] == ["--screenshot"]:
        screenshot(sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 90)
        sys.exit(0)
    chromium()
    unittest.main(warnings="ignore")
