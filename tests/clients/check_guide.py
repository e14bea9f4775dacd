#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""doc/django.md, followed to the letter.

What it protects: whoever copies the guide's text into a new project gets what it promises.
The blocks that begin with the name of a file become that file; nothing else is added but
where the server listens and a clock that stands still.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "wire"))
import server as srv  # noqa: E402

GUIDE = os.path.join(HERE, os.pardir, os.pardir, "doc", "django.md")

# What a visitor sees; the test client needs no port. time.time() stands still, so that no
# window ends between two tries.
VISIT = """
import time
now = time.time()
time.time = lambda: now
from django.core.cache import cache
from django.test import Client
cache.set("answer", 42)
print(cache.get("answer"))
visitor = Client()
for name in ("me", "you"):
    print([visitor.post("/login", {"username": name}).status_code for _ in range(7)])
first = visitor.get("/").content
print(first.startswith(b"made at"), visitor.get("/").content == first)
session = visitor.session
session["basket"] = "apples"
session.save()
print(visitor.session["basket"])
"""


class Guide(unittest.TestCase):
    def test_from_nothing_to_a_limited_login(self):
        with open(GUIDE) as file:
            blocks = re.findall(r"```python\n# (mysite/\w+\.py)\n(.*?)```", file.read(), re.S)
        self.assertEqual(sorted(name for name, _ in blocks),
                         ["mysite/" + name for name in
                          ("limits.py", "pages.py", "settings.py", "urls.py")])
        folder = tempfile.mkdtemp(prefix="larder-")
        self.addCleanup(shutil.rmtree, folder)

        def run(*words):
            done = subprocess.run([sys.executable, *words], cwd=folder, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=600 * srv.SLOW)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            return done.stdout.decode()

        run("-m", "django", "startproject", "mysite", ".")
        with srv.Server() as server:
            for name, text in blocks:
                if name.endswith("settings.py"):
                    self.assertIn("127.0.0.1:11211", text)
                    text = text.replace(":11211", ":%d" % server.port)
                    text += 'ALLOWED_HOSTS = ["testserver"]\n'
                with open(os.path.join(folder, name),
                          "a" if name.endswith("settings.py") else "w") as file:
                    file.write(text)
            run("manage.py", "migrate", "-v", "0")
            said = run("manage.py", "shell", "-c", VISIT)
            limit = [200] * 5 + [429] * 2
            self.assertEqual(said.splitlines(),
                             ["42", str(limit), str(limit), "True True", "apples"])
            self.assertGreater(int(server.stats()["incr_hits"]), 0)


if __name__ == "__main__":
    if srv.peer():
        srv.skip("about this server's own guide")
    try:
        import django  # noqa: F401
        import pylibmc  # noqa: F401
    except ImportError as missing:
        srv.skip("not installed: %s" % missing)
    unittest.main()
