#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""python-memcached, the oldest of Python's clients: reads replies line by line.

What it protects: scripts of many years' standing.
"""
import os
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "wire"))
import server as srv  # noqa: E402

try:
    import memcache
except ImportError as missing:
    srv.skip("not installed: %s" % missing)


class PythonMemcached(unittest.TestCase):
    def test_the_whole_interface(self):
        with srv.Server("-m", "64") as server:
            client = memcache.Client(["127.0.0.1:%d" % server.port], debug=0,
                                     socket_timeout=srv.REPLY_SECONDS)
            for value in ("text", 7, 2 ** 40, 1.5, [1, 2], {"a": None}, b"bytes", "ü"):
                self.assertTrue(client.set("k", value))
                self.assertEqual(client.get("k"), value)
            self.assertFalse(client.add("k", 1))
            self.assertTrue(client.add("k2", 1))
            self.assertFalse(client.replace("none", 1))
            self.assertEqual(client.incr("k2", 9), 10)
            self.assertEqual(client.decr("k2"), 9)
            self.assertEqual(client.get("k2"), 9)
            self.assertIsNone(client.incr("none"))
            client.set("s", "mid")
            client.append("s", ">")
            client.prepend("s", "<")
            self.assertEqual(client.get("s"), "<mid>")

            self.assertEqual(client.set_multi({"m%d" % n: n for n in range(300)}), [])
            self.assertEqual(client.get_multi(["m%d" % n for n in range(0, 600, 2)]),
                             {"m%d" % n: n for n in range(0, 300, 2)})
            self.assertTrue(client.delete_multi(["m%d" % n for n in range(300)]))
            self.assertIsNone(client.get("m1"))

            self.assertEqual(client.gets("s"), "<mid>")
            self.assertTrue(client.cas("s", "new"))
            self.assertTrue(client.set("k", "x", time=1))
            self.assertTrue(client.touch("s", 1))
            time.sleep(2.1)
            self.assertIsNone(client.get("k"))
            self.assertIsNone(client.get("s"))

            large = "x" * 900000
            self.assertTrue(client.set("large", large))
            self.assertEqual(client.get("large"), large)
            stats = client.get_stats()
            self.assertEqual(stats[0][1]["curr_items"], "2")
            client.flush_all()
            self.assertIsNone(client.get("large"))
            client.disconnect_all()


if __name__ == "__main__":
    unittest.main(warnings="ignore")
