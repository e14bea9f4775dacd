# SPDX-License-Identifier: BSD-3-Clause
"""A headless Chromium for a test, driven over its DevTools pipe: nothing listens.

    with Browser() as browser:
        page = browser.open("http://127.0.0.1:1234/")
        page.wait("document.title === 'Larder'")
        page.screenshot("page.png")

page.complaints collects what the browser complained about: scripts that failed, what the
page's policy forbade, requests that were refused. Every wait has an end.
"""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from server import SLOW, Failure, skip

WAIT_SECONDS = 60.0 * SLOW


def chromium():
    """The path of the browser; without one the test is skipped, or fails where everything
    must be there."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        skip("no chromium")
    return path


class Browser:
    def __init__(self, width=1280, height=900):
        self.size = (width, height)
        self.number = 0
        self.unread = b""
        self.events = []

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="larder-browser-")
        to_read, self.to = os.pipe()
        self.fro, from_write = os.pipe()

        def ends():
            # What it reads must be descriptor 3, what it writes 4; copies that are out of
            # the way first.
            a, b = os.dup(to_read), os.dup(from_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        # --no-sandbox: its own needs rights that a test in a container does not have.
        command = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu",
                   "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update",
                   "--disable-sync", "--disable-extensions", "--no-proxy-server",
                   "--user-data-dir=" + self.home, "--remote-debugging-pipe",
                   "--window-size=%d,%d" % self.size]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
            preexec_fn=ends, close_fds=False, start_new_session=True,
            env=dict(os.environ, HOME=self.home))
        os.close(to_read)
        os.close(from_write)
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.call("Browser.close")
        except (Failure, OSError):
            pass
        try:
            self.process.wait(30 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.fro)
        if kind is not None:
            self.errors.seek(0)
            print("the browser said:\n" + self.errors.read().decode("utf-8", "replace")[-3000:])
        self.errors.close()
        shutil.rmtree(self.home, ignore_errors=True)
        return False

    def call(self, method, session=None, **params):
        """Sends a command and returns its result; events that come first are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + WAIT_SECONDS
        while True:
            answer = self._message(end)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Failure("%s: %s" % (method, answer["error"]))
                return answer["result"]
            self.events.append(answer)

    def _message(self, end):
        while b"\0" not in self.unread:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fro], [], [], left)[0]:
                raise Failure("the browser is silent")
            data = os.read(self.fro, 1 << 16)
            if not data:
                raise Failure("the browser is gone")
            self.unread += data
        first, self.unread = self.unread.split(b"\0", 1)
        return json.loads(first)

    def open(self, url):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target,
                            flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(domain + ".enable")
        page.call("Page.navigate", url=url)
        return page


class Page:
    def __init__(self, browser, session):
        self.browser = browser
        self.session = session

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in answer:
            raise Failure("%s: %s" % (expression, answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, expression):
        """Until the expression is true; what it is in the end is returned."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                value = self.value(expression)
            except Failure:
                value = None  # the page is being loaded
            if value:
                return value
            if time.monotonic() > end:
                raise Failure("never came true: %s\n%s" % (
                    expression, self.value("document.body.innerText")))
            time.sleep(0.05)

    @property
    def complaints(self):
        self.value("1")  # whatever was said before has arrived then
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(str(params.get("args")))
            elif event["method"] == "Log.entryAdded":
                found.append(params["entry"].get("text", "") + " " +
                             params["entry"].get("url", ""))
        return found

    def requests(self):
        """Addresses of all that the page has asked for."""
        self.value("1")
        return [event["params"]["request"]["url"] for event in self.browser.events
                if event["method"] == "Network.requestWillBeSent"
                and event.get("sessionId") == self.session]

    def look(self, width, height, dark=False, scale=1, mobile=False):
        """A window of another size, or the other colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=scale, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, path=None):
        """All of the page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": size["width"],
                               "height": size["height"], "scale": 1})["data"]
        data = base64.b64decode(data)
        if path is not None:
            with open(path, "wb") as file:
                file.write(data)
        return data
