#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What each command adds to the statistics, and what it must leave alone.

What it protects: hit rates. A counter that moves with the wrong command, or twice, is not
noticed by anybody who looks at it, and everybody who looks at it is misled.
"""
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

COUNTERS = """cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired
    get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits
    cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory
    auth_cmds auth_errors curr_items total_items evictions""".split()

# What is sent, what comes back, what is counted. The state carries over.
STEPS = (
    (b"set k 0 0 1\r\n5\r\n", b"STORED\r\n", "cmd_set curr_items total_items"),
    (b"set k 0 0 1\r\n5\r\n", b"STORED\r\n", "cmd_set total_items"),
    (b"add k 0 0 1\r\n5\r\n", b"NOT_STORED\r\n", "cmd_set"),
    (b"replace none 0 0 1\r\n5\r\n", b"NOT_STORED\r\n", "cmd_set"),
    (b"append none 0 0 1\r\n5\r\n", b"NOT_STORED\r\n", "cmd_set"),
    (b"set bad x 0 1\r\n5\r\n", b"CLIENT_ERROR bad command line format\r\n", ""),
    (b"get k\r\n", b"VALUE k 0 1\r\n5\r\nEND\r\n", "cmd_get get_hits"),
    (b"get none\r\n", b"END\r\n", "cmd_get get_misses"),
    (b"get k none k\r\n", b"VALUE k 0 1\r\n5\r\n" * 2 + b"END\r\n",
     "cmd_get*3 get_hits*2 get_misses"),
    (b"gat 0 k none\r\n", b"VALUE k 0 1\r\n5\r\nEND\r\n", "cmd_touch*2 touch_hits touch_misses"),
    (b"touch k 0\r\n", b"TOUCHED\r\n", "cmd_touch touch_hits"),
    (b"touch none 0\r\n", b"NOT_FOUND\r\n", "cmd_touch touch_misses"),
    (b"incr k 1\r\n", b"6\r\n", "incr_hits"),
    (b"incr none 1\r\n", b"NOT_FOUND\r\n", "incr_misses"),
    (b"decr k 1\r\n", b"5\r\n", "decr_hits"),
    (b"decr none 1\r\n", b"NOT_FOUND\r\n", "decr_misses"),
    (b"incr k x\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n", ""),
    (b"cas none 0 0 1 1\r\n5\r\n", b"NOT_FOUND\r\n", "cmd_set cas_misses"),
    (b"cas k 0 0 1 1\r\n5\r\n", b"EXISTS\r\n", "cmd_set cas_badval"),
    (b"delete none\r\n", b"NOT_FOUND\r\n", "delete_misses"),
    (b"set l 0 0 2000000\r\n" + b"x" * 2000000 + b"\r\n",
     b"SERVER_ERROR object too large for cache\r\n", "store_too_large"),
    (b"set l 0 0 500000\r\n" + b"x" * 500000 + b"\r\n", b"STORED\r\n",
     "cmd_set curr_items total_items"),
    (b"get l\r\n", b"VALUE l 0 500000\r\n" + b"x" * 500000 + b"\r\nEND\r\n",
     "cmd_get get_hits"),
    (b"delete l\r\n", b"DELETED\r\n", "delete_hits curr_items*-1"),
    (b"set e 0 -1 1\r\n5\r\n", b"STORED\r\n", None),  # whether it is linked is not said
    (b"get e\r\n", b"END\r\n", "cmd_get get_misses get_expired"),
    (b"set f 0 0 1\r\n5\r\n", b"STORED\r\n", None),
    (b"flush_all\r\n", b"OK\r\n", None),
    (b"get f\r\n", b"END\r\n", "cmd_get get_misses get_flushed"),
    # What was flushed may be reclaimed meanwhile.
    (b"set q 0 0 1 noreply\r\n5\r\nversion\r\n", None, "cmd_set total_items"),
    (b"verbosity 0\r\n", b"OK\r\n", ""),
    (b"unheard of\r\n", b"ERROR\r\n", ""),
)


class Counts(unittest.TestCase):
    def counters(self, talk):
        talk.send(b"stats\r\n")
        rows = dict(row.split(" ")[1:] for row in
                    talk.until(b"END\r\n").decode().split("\r\n") if row.startswith("STAT"))
        return {name: int(rows[name]) for name in COUNTERS if name in rows}

    def test_each_command_counts_what_it_did_and_nothing_else(self):
        with srv.Server("-t", "2") as server, server.connect() as talk:
            before = self.counters(talk)
            for sent, reply, counted in STEPS:
                if reply is None:
                    talk.send(sent)
                    talk.line()
                else:
                    talk.ask(sent, reply)
                after = self.counters(talk)
                if counted is not None:
                    expected = dict(before)
                    for word in counted.split():
                        name, _, times = word.partition("*")
                        expected[name] += int(times or 1)
                    wrong = {name: (after[name] - before[name]) for name in before
                             if after[name] != expected[name] and name != "curr_items"
                             or name == "curr_items" and name in counted
                             and after[name] != expected[name]}
                    self.assertEqual(wrong, {}, sent[:60])
                before = after

    def test_bytes_and_connections_are_counted(self):
        with srv.Server() as server, server.connect() as talk:
            talk.ask(b"get k\r\n", b"END\r\n")
            before = server.stats()
            for _ in range(100):
                talk.ask(b"get " + b"k" * 100 + b"\r\n", b"END\r\n")
            after = server.stats()
            read = int(after["bytes_read"]) - int(before["bytes_read"])
            written = int(after["bytes_written"]) - int(before["bytes_written"])
            self.assertGreaterEqual(read, 10600)
            self.assertLess(read, 10700)
            self.assertGreaterEqual(written, 500)
            self.assertLess(written, 10000)
            self.assertEqual(int(after["total_connections"]),
                             int(before["total_connections"]) + 1)
            self.assertEqual(after["max_connections"], "1024")
            self.assertGreaterEqual(int(after["curr_connections"]), 2)
            for name in ("uptime", "time", "pid"):
                self.assertGreater(int(after[name]), 0)

    def test_classes_count_their_own(self):
        with srv.Server() as server, server.connect() as talk:
            talk.ask(b"set s 0 0 1\r\n1\r\nset m 0 0 2000\r\n" + b"m" * 2000 + b"\r\n",
                     b"STORED\r\nSTORED\r\n")
            for _ in range(3):
                talk.send(b"get s\r\nincr s 1\r\n")
                talk.line(), talk.line(), talk.line(), talk.line()
            talk.ask(b"delete m\r\n", b"DELETED\r\n")
            rows = server.stats(b"slabs")
            classes = sorted({int(name.split(":")[0]) for name in rows if ":" in name})
            small = "%d:" % classes[0]
            self.assertEqual(rows[small + "get_hits"], "3")
            self.assertEqual(rows[small + "incr_hits"], "3")
            self.assertEqual(rows[small + "cmd_set"], "1")
            self.assertEqual(sum(int(value) for name, value in rows.items()
                                 if name.endswith(":delete_hits")), 1)
            self.assertEqual(rows[small + "delete_hits"], "0")


if __name__ == "__main__":
    unittest.main(warnings="ignore")
