#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Reads the server's statistics as the monitors do that people have for memcached.

What it protects: graphs and alerts. Each reader here is a few lines that follow one tool's
rules: which reports it asks for, in which protocol, how it cuts lines, which names it must
find and what makes it give up. (Prometheus' exporter has its own test, check_metrics.py;
its rules of parsing are here as well, because one bad number costs it the whole scrape.)
libmemcached's `memcstat` is run as it is, and so are collectd's and Munin's plugins where
they are installed.

The server is used first, so that every report has something in it.
"""
import glob
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "wire"))
import server as srv  # noqa: E402

# What was done, and what every monitor has to say about it.
GETS, HITS, SETS = 7, 4, 3
TRAFFIC = (b"set a 0 0 5\r\nhello\r\nset n 0 0 1\r\n5\r\nset big 0 0 100000\r\n"
           + b"x" * 100000 + b"\r\n" + b"get a\r\nget a n none\r\nget none\r\nget big\r\n"
           b"get gone\r\n"
           b"incr n 1\r\ndecr n 1\r\nincr none 1\r\ntouch a 0\r\ndelete none\r\n"
           b"cas a 0 0 1 1\r\nx\r\nmn\r\n")


def text_lines(port, command, trailing=b""):
    """The lines of a report, as they come."""
    with socket.create_connection(("127.0.0.1", port), srv.REPLY_SECONDS) as sock:
        sock.sendall(command + trailing + b"\r\n")
        data = b""
        while not data.endswith(b"END\r\n"):
            more = sock.recv(65536)
            if not more:
                raise srv.Failure("closed in %r" % command)
            data += more
    return data.decode("ascii").split("\r\n")[:-2]


# ---- Telegraf: every line must have exactly three fields ----------------------------------

TELEGRAF = """get_hits get_misses evictions limit_maxbytes bytes uptime curr_items total_items
    curr_connections total_connections connection_structures cmd_get cmd_set delete_hits
    delete_misses incr_hits incr_misses decr_hits decr_misses cas_hits cas_misses bytes_read
    bytes_written threads conn_yields""".split()


def telegraf(port):
    values = {}
    for line in text_lines(port, b"stats"):
        fields = line.split(" ")
        if len(fields) != 3 or fields[0] != "STAT":
            raise srv.Failure("Telegraf gives up at %r" % line)
        values[fields[1]] = fields[2]
    return {name: int(values[name]) for name in TELEGRAF}


# ---- collectd: blanks divide, three fields or the line is passed over ----------------------

COLLECTD = """rusage_user rusage_system threads curr_items uptime bytes limit_maxbytes
    curr_connections listen_disabled_num total_connections cmd_get cmd_set cmd_flush cmd_touch
    incr_hits incr_misses decr_hits decr_misses get_hits get_misses delete_hits delete_misses
    evictions bytes_read bytes_written""".split()


def collectd(port):
    found = {}
    for line in text_lines(port, b"stats"):
        fields = line.split()
        if len(fields) == 3 and fields[1] in COLLECTD:
            # atoll() and atof(): digits up to the first other character.
            number = re.match(r"-?\d+(\.\d+)?", fields[2])
            found[fields[1]] = float(number[0])
    return found


# ---- Munin: words and whole numbers, from four reports ------------------------------------

MUNIN = """bytes limit_maxbytes curr_items total_items curr_connections total_connections
    cmd_get cmd_set get_hits get_misses delete_hits incr_hits decr_hits touch_hits evictions
    bytes_read bytes_written time uptime pointer_size""".split()


def munin(port):
    stats = {}
    for line in text_lines(port, b"stats"):
        found = re.match(r"STAT\s(\w+)\s(\d+(\.\d+)?)", line)
        if found:
            stats[found[1]] = float(found[2])
    chunks, items = {}, {}
    for line in text_lines(port, b"stats slabs"):
        found = re.match(r"STAT\s(\d+):(\w+)\s(\d+)", line)
        if found:
            chunks.setdefault(int(found[1]), {})[found[2]] = int(found[3])
    for line in text_lines(port, b"stats items"):
        found = re.match(r"STAT\sitems:(\d+):(\w+)\s(\d+)", line)
        if found:
            items.setdefault(int(found[1]), {})[found[2]] = int(found[3])
    settings = dict(line.split(" ", 2)[1:3] for line in text_lines(port, b"stats settings")
                    if line.count(" ") >= 2)
    return {name: stats[name] for name in MUNIN}, chunks, items, settings


# ---- Datadog: the binary protocol, every known value a float -------------------------------

DATADOG = """total_items curr_items limit_maxbytes uptime bytes curr_connections
    connection_structures threads pointer_size rusage_user rusage_system cmd_get cmd_set
    cmd_flush get_hits get_misses delete_misses delete_hits evictions bytes_read bytes_written
    cas_misses cas_hits cas_badval total_connections listen_disabled_num""".split()
DATADOG_ITEMS = """number age evicted evicted_nonzero evicted_time outofmemory tailrepairs
    reclaimed expired_unfetched evicted_unfetched crawler_reclaimed crawler_items_checked
    lrutail_reflocked""".split()
DATADOG_SLABS = """chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks
    free_chunks_end get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval
    touch_hits""".split()


def binary_stat(port, key):
    """Pairs of a report; it ends with a packet that has neither key nor value."""
    def exactly(size):
        data = b""
        while len(data) < size:
            more = sock.recv(size - len(data))
            if not more:
                raise srv.Failure("closed")
            data += more
        return data
    pairs = {}
    with socket.create_connection(("127.0.0.1", port), srv.REPLY_SECONDS) as sock:
        sock.sendall(struct.pack(">BBHBBHIIQ", 0x80, 0x10, len(key), 0, 0, 0, len(key), 7, 0)
                     + key)
        while True:
            magic, opcode, key_len, extras, _, status, body, opaque, _ = struct.unpack(
                ">BBHBBHIIQ", exactly(24))
            if (magic, opcode, extras, status, opaque) != (0x81, 0x10, 0, 0, 7):
                raise srv.Failure("not a STAT reply")
            text = exactly(body).decode("ascii")
            if not text:
                return pairs
            pairs[text[:key_len]] = text[key_len:]


def datadog(port):
    general = binary_stat(port, b"")
    values = {name: float(general[name]) for name in DATADOG}
    items, slabs = {}, {}
    for name, value in binary_stat(port, b"items").items():
        kind, slab, field = name.split(":")
        assert kind == "items"
        items.setdefault(int(slab), {})[field] = float(value)
    for name, value in binary_stat(port, b"slabs").items():
        if ":" in name:
            slab, field = name.split(":")
            slabs.setdefault(int(slab), {})[field] = float(value)
        else:
            values[name] = float(value)
    return values, items, slabs


# ---- Prometheus' exporter: what can't be parsed spoils the whole -----------------------------

def exporter(port):
    general = dict(line.split(" ", 2)[1:] for line in text_lines(port, b"stats"))
    for name in ("rusage_user", "rusage_system"):
        seconds, micros = general[name].split(".")  # exactly one point
        int(seconds), int(micros)
    settings = dict((line.split(" ", 2) + [""])[1:3]
                    for line in text_lines(port, b"stats settings"))
    int(settings["maxconns"])
    if settings["lru_crawler"] == "yes":
        for name in ("lru_crawler_sleep", "lru_crawler_tocrawl", "hot_lru_pct",
                     "warm_lru_pct", "hot_max_factor", "warm_max_factor"):
            float(settings[name])
        assert settings["lru_maintainer_thread"] in ("yes", "no")
    for report, cut in ((b"stats items", 1), (b"stats slabs", 0)):
        for line in text_lines(port, report):
            name, value = line.split(" ")[1:]
            float(value)
            if ":" in name:
                int(name.split(":")[cut])
    return general


class Monitors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = srv.Server("-m", "64")
        cls.server.__enter__()
        with cls.server.connect() as talk:
            talk.send(TRAFFIC)
            talk.until(b"MN\r\n")
        cls.port = cls.server.port

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def check(self, values):
        """What was done is what is said."""
        self.assertEqual(values["cmd_get"], GETS)
        self.assertEqual(values["get_hits"], HITS)
        self.assertEqual(values["get_misses"], GETS - HITS)
        self.assertEqual(values["limit_maxbytes"], 64 << 20)
        self.assertEqual(values["curr_items"], SETS)
        self.assertGreater(values["bytes"], 100000)
        self.assertGreater(values["bytes_read"], 100000)
        self.assertGreaterEqual(values["bytes_written"], 100000)
        self.assertGreaterEqual(values["uptime"], 2)

    def test_telegraf(self):
        values = telegraf(self.port)
        self.check(values)
        self.assertEqual((values["incr_hits"], values["incr_misses"], values["decr_hits"]),
                         (1, 1, 1))
        self.assertEqual((values["delete_hits"], values["delete_misses"]), (0, 1))

    def test_collectd(self):
        values = collectd(self.port)
        self.assertEqual(sorted(values), sorted(COLLECTD))
        self.check(values)

    def test_munin(self):
        values, slabs, items, settings = munin(self.port)
        self.check(values)
        self.assertEqual(sum(row["number"] for row in items.values()), SETS)
        for number, row in slabs.items():
            self.assertGreaterEqual(number, 1)
            self.assertEqual(row["total_chunks"], row["used_chunks"] + row["free_chunks"])
            self.assertEqual(row["total_chunks"], row["total_pages"] * row["chunks_per_page"])
        self.assertEqual(settings["maxbytes"], str(64 << 20))

    def test_datadog(self):
        values, items, slabs = datadog(self.port)
        self.check(values)
        self.assertGreater(values["active_slabs"], 0)
        self.assertGreater(values["total_malloced"], 100000)
        for row in items.values():
            self.assertLessEqual(set(DATADOG_ITEMS), set(row))
        for row in slabs.values():
            self.assertLessEqual(set(DATADOG_SLABS), set(row))

    def test_exporter_parses_everything(self):
        values = exporter(self.port)
        self.assertEqual(int(values["cmd_set"]), SETS + 1)  # the cas, refused

    def test_a_report_asked_for_with_a_blank_behind_is_the_same(self):
        """pylibmc asks for "stats "."""
        names = [line.split(" ")[1] for line in text_lines(self.port, b"stats")]
        blank = [line.split(" ")[1] for line in text_lines(self.port, b"stats", b" ")]
        self.assertEqual(names, blank)

    def test_no_report_shows_an_address_of_memory(self):
        for report in (b"", b" settings", b" items", b" slabs", b" conns", b" latency",
                       b" hotkeys", b" sizes"):
            for line in text_lines(self.port, b"stats" + report):
                self.assertNotIn("0x", line)

    def test_memcstat(self):
        if not shutil.which("memcstat"):
            if os.environ.get("LARDER_CHECK_ALL") == "1":
                self.fail("memcstat is not installed")
            self.skipTest("memcstat is not installed")
        text = subprocess.run(["memcstat", "--servers=127.0.0.1:%d" % self.port],
                              stdout=subprocess.PIPE, timeout=60 * srv.SLOW,
                              check=True).stdout.decode()
        values = dict(re.findall(r"^\s*(\w+): (\S*)\s*$", text, re.M))
        for name in """pid uptime time version pointer_size rusage_user rusage_system
                curr_items total_items bytes curr_connections total_connections
                connection_structures cmd_get cmd_set get_hits get_misses evictions bytes_read
                bytes_written limit_maxbytes threads""".split():
            self.assertIn(name, values, text)
        self.assertEqual(values["get_hits"], str(HITS))
        self.assertTrue(values["version"].startswith("1.6.45"), values["version"])

    def test_collectd_itself(self):
        plugins = glob.glob("/usr/lib/collectd") + glob.glob("/usr/lib/*/collectd")
        plugins = [path for path in plugins if os.path.exists(path + "/memcached.so")]
        if not shutil.which("collectd") or not plugins:
            self.skipTest("collectd is not installed")
        with tempfile.TemporaryDirectory() as work:
            with open(work + "/conf", "w") as conf:
                conf.write('Hostname "h"\nFQDNLookup false\nInterval 1\nBaseDir "%s"\n'
                           'PIDFile "%s/pid"\nPluginDir "%s"\nTypesDB '
                           '"/usr/share/collectd/types.db"\nLoadPlugin csv\n'
                           'LoadPlugin memcached\n<Plugin csv>\nDataDir "%s/csv"\n'
                           'StoreRates false\n</Plugin>\n<Plugin memcached>\n'
                           '<Instance "x">\nAddress "127.0.0.1"\nPort "%d"\n</Instance>\n'
                           '</Plugin>\n' % (work, work, plugins[0], work, self.port))
            daemon = subprocess.Popen(["collectd", "-f", "-C", work + "/conf"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wanted = ("memcached_command-get", "memcached_items-current",
                          "memcached_octets", "memcached_ops-hits", "memcached_ops-misses",
                          "ps_count", "df-cache", "percent-hitratio")
                end = time.monotonic() + 60 * srv.SLOW
                missing = wanted
                while missing and time.monotonic() < end:
                    time.sleep(0.05)
                    names = " ".join(glob.glob(work + "/csv/h/memcached-x/*"))
                    missing = [name for name in wanted if name not in names]
                self.assertFalse(missing, names)
                self.assertEqual(self.last(work, "memcached_ops-hits", end), HITS)
                self.assertEqual(self.last(work, "memcached_items-current", end), SETS)
            finally:
                daemon.terminate()
                daemon.wait(60 * srv.SLOW)

    def last(self, work, name, end):
        """The number in a file of collectd's, once it has one: first comes a title."""
        while time.monotonic() < end:
            for path in glob.glob("%s/csv/h/memcached-x/%s*" % (work, name)):
                with open(path) as file:
                    lines = file.read().splitlines()
                if len(lines) >= 2 and lines[1].count(",") >= 1:
                    return float(lines[1].split(",")[1])
            time.sleep(0.05)
        self.fail(name)

    def test_munins_plugin_itself(self):
        plugin = "/usr/share/munin/plugins/memcached_"
        if not os.path.exists(plugin) or subprocess.run(
                ["perl", "-MCache::Memcached", "-e", "1"], stderr=subprocess.DEVNULL,
                check=False).returncode != 0:
            self.skipTest("Munin's plugin or Cache::Memcached is not installed")
        with tempfile.TemporaryDirectory() as work:
            env = dict(os.environ, host="127.0.0.1", port=str(self.port),
                       MUNIN_LIBDIR="/usr/share/munin", MUNIN_PLUGSTATE=work)
            for graph, value in (("rates", "cache_hits.value %d" % HITS),
                                 ("counters", "curr_items.value %d" % SETS),
                                 ("bytes", "bytes")):
                link = work + "/memcached_" + graph
                os.symlink(plugin, link)
                text = subprocess.run([link], env=env, stdout=subprocess.PIPE,
                                      timeout=60 * srv.SLOW, check=True).stdout.decode()
                self.assertIn(value, text)


if __name__ == "__main__":
    unittest.main()
