#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Reads the statistics the way monitoring tools do.

What it protects: dashboards. Each reader below follows the rules of one tool, from what
is known of its format: which names it wants, how it splits lines, what it refuses.
"""
import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

COMMANDS = ("get", "delete", "incr", "decr", "cas", "touch")

# What the Prometheus exporter turns into numbers.
EXPORTER = """uptime time bytes limit_maxbytes curr_items total_items bytes_read
    bytes_written curr_connections total_connections rejected_connections conn_yields
    listen_disabled_num evictions reclaimed store_too_large store_no_memory
    lru_crawler_starts direct_reclaims crawler_items_checked crawler_reclaimed
    moves_to_cold moves_to_warm moves_within_lru accepting_conns cmd_get cmd_set cmd_flush
    cas_badval""".split() + ["%s_%s" % (command, result) for command in COMMANDS
                             for result in ("hits", "misses")]
EXPORTER_ITEMS = """number age hits_to_hot hits_to_warm hits_to_cold hits_to_temp evicted
    evicted_nonzero evicted_time evicted_unfetched expired_unfetched outofmemory reclaimed
    tailrepairs mem_requested crawler_reclaimed moves_to_cold moves_to_warm
    moves_within_lru number_hot number_warm number_cold age_hot age_warm""".split()
EXPORTER_SLABS = """chunk_size chunks_per_page total_pages total_chunks used_chunks
    free_chunks free_chunks_end cmd_set get_hits delete_hits incr_hits decr_hits cas_hits
    touch_hits cas_badval""".split()
TELEGRAF = """get_hits get_misses evictions limit_maxbytes bytes uptime curr_items
    total_items curr_connections total_connections connection_structures cmd_get cmd_set
    delete_hits delete_misses incr_hits incr_misses decr_hits decr_misses cas_hits
    cas_misses bytes_read bytes_written threads conn_yields""".split()
COLLECTD = """rusage_user rusage_system threads curr_items uptime bytes limit_maxbytes
    curr_connections listen_disabled_num total_connections cmd_get cmd_set cmd_flush
    cmd_touch incr_hits incr_misses decr_hits decr_misses get_hits get_misses delete_hits
    delete_misses evictions bytes_read bytes_written""".split()
LIBMEMCACHED = """pid uptime time version pointer_size rusage_user rusage_system curr_items
    total_items bytes curr_connections total_connections connection_structures cmd_get
    cmd_set get_hits get_misses evictions bytes_read bytes_written limit_maxbytes
    threads""".split()
DATADOG = """cmd_flush cas_badval listen_disabled_num max_connections
    pointer_size""".split()
SETTINGS_ON_OFF = """evictions""".split()
SETTINGS_YES_NO = """cas_enabled maxconns_fast slab_reassign lru_crawler flush_enabled
    dump_enabled lru_maintainer_thread lru_segmented temp_lru track_sizes
    shutdown_command detail_enabled""".split()


class Reports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = srv.Server("-m", "64")
        cls.server.__enter__()
        with cls.server.connect() as talk:
            for size in (1, 100, 1000, 5000, 20000, 300000):
                for number in range(20):
                    talk.ask(b"set k%d-%d 0 %d %d\r\n" % (size, number, number % 2 * 1000, size)
                             + b"1" * size + b"\r\n", b"STORED\r\n")
                    talk.send(b"get k%d-%d none\r\n" % (size, number))
                    talk.until(b"END\r\n")
            talk.ask(b"incr k1-1 1\r\ndecr k1-2 1\r\nincr none 1\r\ndecr none 1\r\n",
                     b"2\r\n0\r\nNOT_FOUND\r\nNOT_FOUND\r\n")
            talk.ask(b"touch k1-1 0\r\ntouch none 0\r\ndelete k1-1\r\ndelete none\r\n",
                     b"TOUCHED\r\nNOT_FOUND\r\nDELETED\r\nNOT_FOUND\r\n")
            talk.ask(b"cas none 0 0 1 1\r\n1\r\ncas k1-2 0 0 1 1\r\n1\r\n",
                     b"NOT_FOUND\r\nEXISTS\r\n")
            talk.send(b"gets k1-3\r\n")
            unique = talk.line().split()[-1]
            talk.expect(b"1\r\nEND\r\n")
            talk.ask(b"cas k1-3 0 0 1 " + unique + b"\r\n1\r\n", b"STORED\r\n")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def rows(self, command):
        """Every line must be STAT, a name and a value: Telegraf reads nothing else."""
        lines = self.server.ask(command).decode("ascii").split("\r\n")
        self.assertEqual(lines[-2:], ["END", ""])
        rows = {}
        for line in lines[:-2]:
            fields = line.split(" ")
            self.assertEqual(len(fields), 3, line)
            self.assertEqual(fields[0], "STAT", line)
            self.assertNotIn(fields[1], rows, "twice")
            self.assertTrue(fields[2], line)
            self.assertNotIn("0x", line)  # no addresses
            rows[fields[1]] = fields[2]
        return rows

    def numbers(self, rows, names):
        for name in names:
            self.assertIn(name, rows)
            self.assertRegex(rows[name], r"\A\d+\Z", name)

    def classes(self, rows, pattern):
        found = {}
        for name, value in rows.items():
            row = re.match(pattern, name)
            if row:
                self.assertGreaterEqual(int(row.group(1)), 1)
                self.assertLessEqual(int(row.group(1)), 63)
                found.setdefault(int(row.group(1)), {})[row.group(2)] = value
        self.assertGreaterEqual(len(found), 3)
        self.assertEqual(list(found), sorted(found))
        return found

    def test_the_exporter_finds_its_numbers(self):
        rows = self.rows(b"stats")
        self.numbers(rows, EXPORTER)
        for name in ("rusage_user", "rusage_system"):
            seconds, micros = rows[name].split(".")  # or the scrape counts as failed
            self.assertTrue(seconds.isdigit() and len(micros) == 6 and micros.isdigit())
        # `set` is what is left of cmd_set; it must not become negative.
        self.assertGreater(int(rows["cmd_set"]), int(rows["cas_hits"])
                           + int(rows["cas_misses"]) + int(rows["cas_badval"]))
        for command in COMMANDS:
            self.assertGreater(int(rows[command + "_hits"]), 0, command)
            self.assertGreater(int(rows[command + "_misses"]), 0, command)
        self.assertEqual(rows["curr_items"], "119")
        self.assertEqual(rows["cas_badval"], "1")

    def test_the_exporter_finds_the_settings(self):
        rows = self.rows(b"stats settings")
        self.numbers(rows, ["maxconns", "maxbytes", "tcpport", "num_threads", "item_size_max"])
        self.assertEqual(rows["maxbytes"], str(64 << 20))
        for name in SETTINGS_YES_NO:
            self.assertIn(rows[name], ("yes", "no"), name)
        for name in SETTINGS_ON_OFF:
            self.assertIn(rows[name], ("on", "off"), name)
        if rows["lru_crawler"] == "yes":
            self.numbers(rows, ["lru_crawler_sleep", "lru_crawler_tocrawl", "hot_lru_pct",
                                "warm_lru_pct"])
            for name in ("hot_max_factor", "warm_max_factor"):
                float(rows[name])

    def test_the_exporter_finds_its_classes(self):
        items = self.classes(self.rows(b"stats items"), r"items:(\d+):(.*)")
        for name, rows in items.items():
            self.numbers(rows, EXPORTER_ITEMS)
            self.assertGreater(int(rows["number"]), 0, name)
        self.assertEqual(sum(int(rows["number"]) for rows in items.values()), 119)

        rows = self.rows(b"stats slabs")
        slabs = self.classes(rows, r"(\d+):(.*)")
        for values in slabs.values():
            self.numbers(values, EXPORTER_SLABS)
            self.assertEqual(int(values["total_chunks"]),
                             int(values["total_pages"]) * int(values["chunks_per_page"]))
            self.assertEqual(int(values["used_chunks"]),
                             int(values["total_chunks"]) - int(values["free_chunks"]))
        self.numbers(rows, ["active_slabs", "total_malloced"])
        self.assertEqual(int(rows["active_slabs"]), len(slabs))
        # memcached-tool joins the two reports by class.
        self.assertLessEqual(set(items), set(slabs))
        for name in items:
            self.assertGreater(int(slabs[name]["chunk_size"]), 0)

    def test_telegraf_collectd_and_datadog_find_their_names(self):
        rows = self.rows(b"stats")
        self.numbers(rows, TELEGRAF)
        for name in COLLECTD + DATADOG:
            float(rows[name])

    def test_libmemcached_finds_its_names_behind_its_blank(self):
        self.rows(b"stats ")
        rows = self.rows(b"stats ")
        for name in LIBMEMCACHED:
            self.assertIn(name, rows)
        self.assertLessEqual(len(rows["version"]), 23)  # is copied into 24 bytes
        self.assertRegex(rows["version"], r"\A\d+\.\d+\.\d+")
        for part in re.match(r"(\d+)\.(\d+)\.(\d+)", rows["version"]).groups():
            self.assertLessEqual(int(part), 255)
        self.assertEqual(rows["pid"], str(self.server.process.pid))
        self.assertIn(rows["pointer_size"], ("32", "64"))

    def test_the_report_keeps_memcacheds_order_of_the_best_known_rows(self):
        names = list(self.rows(b"stats"))
        known = """pid uptime time version libevent pointer_size rusage_user rusage_system
            max_connections curr_connections total_connections rejected_connections
            cmd_get cmd_set cmd_flush cmd_touch get_hits get_misses delete_misses
            delete_hits incr_misses incr_hits bytes_read bytes_written limit_maxbytes
            accepting_conns threads bytes curr_items total_items evictions
            reclaimed""".split()
        self.assertEqual([name for name in names if name in known], known)

    def test_every_client_is_listed(self):
        with self.server.connect() as talk:
            talk.ask(b"get none\r\n", b"END\r\n")
            rows = self.rows(b"stats conns")
        clients = [name for name, value in rows.items()
                   if name.endswith(":addr") and value.startswith("tcp:127.0.0.1:")]
        self.assertGreaterEqual(len(clients), 3)  # listener, this one, the one that asks
        states = {value for name, value in rows.items() if name.endswith(":state")}
        self.assertIn("conn_listening", states)
        self.assertIn("conn_parse_cmd", states)
        for name, value in rows.items():
            if name.endswith(":secs_since_last_cmd"):
                self.assertLess(int(value), 1000)

    def test_reset_takes_counts_back_and_leaves_gauges(self):
        with srv.Server() as server, server.connect() as talk:
            talk.ask(b"set k 0 0 1\r\n1\r\nget k none\r\n",
                     b"STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n")
            talk.ask(b"stats reset\r\n", b"RESET\r\n")
            after = server.stats()
            for name in ("cmd_get", "cmd_set", "get_hits", "get_misses", "total_items"):
                self.assertEqual(after[name], "0", name)
            self.assertEqual(after["curr_items"], "1")
            self.assertGreater(int(after["bytes"]), 0)
            slabs = server.stats(b"slabs")
            self.assertEqual({value for name, value in slabs.items()
                              if name.endswith((":cmd_set", ":get_hits"))}, {"0"})


if __name__ == "__main__":
    unittest.main(warnings="ignore")
