#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""check_metrics.py - protects dashboards and alerts that were made for memcached_exporter.

What /metrics says is compared with what that exporter would make of the same server's
`stats`, by its own table of names, which is written down here once more. Where the exporter
itself is installed it is run against the server and compared as well. Prometheus' promtool
checks the text, and a Prometheus scrapes the server, which it does in the OpenMetrics form.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

from endpoint import TcpEndpoint
from server import SLOW, Failure, free_port, peer, skip

WAIT_SECONDS = 60 * SLOW
ACCEPT_OPEN = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"

# Names without "memcached_", and the fields of `stats` that they are made of.
GENERAL = {
    "uptime_seconds": "uptime", "time_seconds": "time", "current_bytes": "bytes",
    "limit_bytes": "limit_maxbytes", "current_items": "curr_items",
    "items_total": "total_items", "read_bytes_total": "bytes_read",
    "written_bytes_total": "bytes_written", "current_connections": "curr_connections",
    "connections_total": "total_connections",
    "connections_rejected_total": "rejected_connections",
    "connections_yielded_total": "conn_yields",
    "connections_listener_disabled_total": "listen_disabled_num",
    "items_evicted_total": "evictions", "items_reclaimed_total": "reclaimed",
    "item_too_large_total": "store_too_large", "item_no_memory_total": "store_no_memory",
    "lru_crawler_starts_total": "lru_crawler_starts",
    "direct_reclaims_total": "direct_reclaims",
    "lru_crawler_items_checked_total": "crawler_items_checked",
    "lru_crawler_reclaimed_total": "crawler_reclaimed",
    "lru_crawler_moves_to_cold_total": "moves_to_cold",
    "lru_crawler_moves_to_warm_total": "moves_to_warm",
    "lru_crawler_moves_within_lru_total": "moves_within_lru",
    "accepting_connections": "accepting_conns",
    "process_user_cpu_seconds_total": "rusage_user",
    "process_system_cpu_seconds_total": "rusage_system",
}
CRAWLER = {
    "enabled": "lru_crawler", "sleep": "lru_crawler_sleep", "to_crawl": "lru_crawler_tocrawl",
    "maintainer_thread": "lru_maintainer_thread", "hot_percent": "hot_lru_pct",
    "warm_percent": "warm_lru_pct", "hot_max_factor": "hot_max_factor",
    "warm_max_factor": "warm_max_factor",
}
ITEMS = {
    "current_items": "number", "items_age_seconds": "age",
    "items_crawler_reclaimed_total": "crawler_reclaimed", "items_evicted_total": "evicted",
    "items_evicted_nonzero_total": "evicted_nonzero",
    "items_evicted_time_seconds": "evicted_time",
    "items_evicted_unfetched_total": "evicted_unfetched",
    "items_expired_unfetched_total": "expired_unfetched",
    "items_outofmemory_total": "outofmemory", "items_reclaimed_total": "reclaimed",
    "items_tailrepairs_total": "tailrepairs", "mem_requested_bytes": "mem_requested",
    "items_moves_to_cold": "moves_to_cold", "items_moves_to_warm": "moves_to_warm",
    "items_moves_within_lru": "moves_within_lru", "hot_items": "number_hot",
    "warm_items": "number_warm", "cold_items": "number_cold",
    "temporary_items": "number_temp", "hot_age_seconds": "age_hot",
    "warm_age_seconds": "age_warm",
}
HITS = {"hot": "hits_to_hot", "warm": "hits_to_warm", "cold": "hits_to_cold",
        "temporary": "hits_to_temp"}
SLABS = {
    "chunk_size_bytes": "chunk_size", "chunks_per_page": "chunks_per_page",
    "current_pages": "total_pages", "current_chunks": "total_chunks",
    "chunks_used": "used_chunks", "chunks_free": "free_chunks",
    "chunks_free_end": "free_chunks_end",
}
COMMANDS = ("get", "delete", "incr", "decr", "cas", "touch")
# What changes between two looks at an idle server.
MOVING = re.compile(
    r"^memcached_(uptime_seconds|time_seconds|process_\w+_cpu_seconds_total|read_bytes_total|"
    r"written_bytes_total|current_connections|connections_total|lru_crawler_starts_total|"
    r"lru_crawler_items_checked_total|slab_items_age_seconds.*)$")


def number(text):
    return {"yes": 1.0, "no": 0.0}[text] if text in ("yes", "no") else float(text)


def groups(report, front):
    """Fields of a report by class."""
    found = {}
    for name, value in report.items():
        match = re.match(front + r"(\d+):(.*)$", name)
        if match:
            found.setdefault(match[1], {})[match[2]] = value
    return found


def as_exporter(server):
    """The samples that the exporter would make, by name and labels."""
    stats, settings = server.stats(), server.stats(b"settings")
    items, slabs = server.stats(b"items"), server.stats(b"slabs")
    out = {"memcached_up": 1.0, 'memcached_version{version="%s"}' % stats["version"]: 1.0,
           "memcached_max_connections": number(settings["maxconns"]),
           "memcached_malloced_bytes": number(slabs["total_malloced"])}

    def put(name, fields, field, **labels):
        if field in fields:
            shown = ",".join('%s="%s"' % pair for pair in labels.items())
            out["memcached_" + name + ("{%s}" % shown if shown else "")] = \
                number(fields[field])

    for name, field in GENERAL.items():
        put(name, stats, field)
    for name, field in CRAWLER.items():
        if settings["lru_crawler"] == "yes":
            put("lru_crawler_" + name, settings, field)
    for name in COMMANDS:
        put("commands_total", stats, name + "_hits", command=name, status="hit")
        put("commands_total", stats, name + "_misses", command=name, status="miss")
    put("commands_total", stats, "cas_badval", command="cas", status="badval")
    put("commands_total", stats, "cmd_flush", command="flush", status="hit")
    out['memcached_commands_total{command="set",status="hit"}'] = (
        number(stats["cmd_set"]) - number(stats["cas_hits"]) -
        number(stats["cas_misses"]) - number(stats["cas_badval"]))
    for slab, fields in groups(items, "items:").items():
        for name, field in ITEMS.items():
            put("slab_" + name, fields, field, slab=slab)
        for name, field in HITS.items():
            put("slab_lru_hits_total", fields, field, slab=slab, lru=name)
    for slab, fields in groups(slabs, "").items():
        for name, field in SLABS.items():
            put("slab_" + name, fields, field, slab=slab)
        for name in COMMANDS:
            put("slab_commands_total", fields, name + "_hits", slab=slab, command=name,
                status="hit")
        put("slab_commands_total", fields, "cas_badval", slab=slab, command="cas",
            status="badval")
        out['memcached_slab_commands_total{slab="%s",command="set",status="hit"}' % slab] = (
            number(fields["cmd_set"]) - number(fields["cas_hits"]) -
            number(fields["cas_badval"]))
    return out


def samples(text):
    """All samples of a text in either form, by name and labels. It must be well formed."""
    out, types, seen, family = {}, {}, set(), None
    for line in text.decode().splitlines():
        match = re.match(r"# (HELP|TYPE) ([a-z_]+) (.+)$", line)
        if match:
            if match[1] == "TYPE":
                types[match[2]] = match[3]
            elif match[2] in seen:
                raise Failure("%s comes in two parts" % match[2])
            family = match[2]
            seen.add(family)
            continue
        if line == "# EOF":
            continue
        match = re.match(r'([a-z_]+)((?:\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})?) (\S+)$',
                         line)
        if not match or not match[1].startswith(family):
            raise Failure("not a sample of %s: %r" % (family, line))
        if match[1] + match[2] in out:
            raise Failure("twice: " + line)
        out[match[1] + match[2]] = float(match[3])
    return out, types


def use(server):
    """A little of everything."""
    with server.connect() as talk:
        for i in range(300):
            talk.ask(b"set k%d 0 0 %d\r\n%s\r\n" % (i, 10 * i, b"x" * 10 * i), b"STORED\r\n")
        talk.ask(b"get k1 none\r\n", b"VALUE k1 0 10\r\nxxxxxxxxxx\r\nEND\r\n")
        talk.ask(b"set n 0 0 1\r\n1\r\n", b"STORED\r\n")
        talk.ask(b"incr n 1\r\nincr m 1\r\ndecr n 1\r\ndecr m 1\r\n",
                 b"2\r\nNOT_FOUND\r\n1\r\nNOT_FOUND\r\n")
        talk.send(b"gets n\r\n")
        unique = talk.until(b"END\r\n").split()[4]
        talk.ask(b"cas n 0 0 1 999999999\r\n7\r\n", b"EXISTS\r\n")
        talk.ask(b"cas n 0 0 1 %s\r\n7\r\n" % unique, b"STORED\r\n")
        talk.ask(b"cas none 0 0 1 1\r\n7\r\n", b"NOT_FOUND\r\n")
        talk.ask(b"touch n 0\r\ntouch none 0\r\n", b"TOUCHED\r\nNOT_FOUND\r\n")
        talk.ask(b"delete k2\r\ndelete none\r\n", b"DELETED\r\nNOT_FOUND\r\n")


class Names(unittest.TestCase):
    def check(self, server, *headers):
        """Two looks that agree, and between them the metrics: the sweep and the page balance
        may change figures at any time."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            before = as_exporter(server)
            text = server.get("/metrics", *headers).body
            if still(before) == still(as_exporter(server)):
                return self.compare(before, text)
            if time.monotonic() > end:
                raise Failure("its figures never rest")

    def compare(self, wanted, text):
        got, _ = samples(text)
        names = {name for name in got if name.startswith("memcached_")}
        self.assertEqual(names, set(wanted))
        wrong = {name: (got[name], value) for name, value in wanted.items()
                 if got[name] != value and not MOVING.match(name)}
        self.assertEqual(wrong, {})

    def test_metrics_are_those_of_the_exporter(self):
        with TcpEndpoint("-m", "64") as server:
            use(server)
            self.check(server)
            self.check(server, ACCEPT_OPEN)

    def test_fields_that_are_not_there_make_no_metrics(self):
        with TcpEndpoint("-o", "no_lru_crawler,no_maxconns_fast,no_lru_maintainer") as server:
            use(server)
            wanted = as_exporter(server)
            self.assertNotIn("memcached_lru_crawler_enabled", wanted)
            self.assertNotIn("memcached_connections_rejected_total", wanted)
            self.check(server)

    def test_an_empty_server_has_metrics(self):
        with TcpEndpoint() as server:
            self.check(server)

    def test_the_exporter_itself_agrees(self):
        exporter = shutil.which("prometheus-memcached-exporter") or \
            shutil.which("memcached_exporter")
        if exporter is None:
            self.skipTest("Debian 12 has no exporter; its rules are applied above")
        with TcpEndpoint() as server:
            use(server)
            port = free_port()
            process = subprocess.Popen(
                [exporter, "--memcached.address=127.0.0.1:%d" % server.port,
                 "--web.listen-address=127.0.0.1:%d" % port],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                text = fetch("http://127.0.0.1:%d/metrics" % port)
            finally:
                process.kill()
                process.wait()
            theirs = {}
            for line in text.splitlines():
                match = re.match(r"(memcached_(?!exporter)[a-z_]+(?:\{.*\})?) (\S+)$", line)
                if match:
                    theirs[by_name(match[1])] = float(match[2])
            ours = {by_name(name): value for name, value
                    in samples(server.get("/metrics").body)[0].items()}
            self.assertEqual(theirs["memcached_up"], 1.0)
            self.assertLessEqual(set(theirs), set(ours))
            wrong = {name: (ours[name], value) for name, value in theirs.items()
                     if ours[name] != value and not MOVING.match(name)}
            self.assertEqual(wrong, {})


def still(figures):
    return {name: value for name, value in figures.items() if not MOVING.match(name)}


def by_name(sample):
    """With labels in the order of the alphabet."""
    match = re.match(r"([a-z_]+)\{(.*)\}$", sample)
    return sample if not match else "%s{%s}" % (match[1], ",".join(sorted(match[2].split(","))))


def fetch(url):
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as reply:
                return reply.read().decode()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def tool(name):
    """Of Debian's package prometheus, which scripts/check unpacks and does not install."""
    directory = os.environ.get("LARDER_TOOLS", "")
    path = shutil.which(name, path=directory + os.pathsep + os.environ.get("PATH", ""))
    if path is None and os.environ.get("LARDER_CHECK_ALL") == "1":
        raise Failure("no " + name)
    if path is None:
        raise unittest.SkipTest("no " + name)
    return path


class Forms(unittest.TestCase):
    def test_promtool_has_nothing_to_say(self):
        promtool = tool("promtool")
        with TcpEndpoint("-m", "64") as server:
            for _ in range(2):
                done = subprocess.run(
                    [promtool, "check", "metrics"], input=server.get("/metrics").body,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
                self.assertEqual((done.returncode, done.stdout), (0, b""))
                use(server)

    def test_the_form_is_negotiated(self):
        with TcpEndpoint() as server:
            for accept, kind in (
                    (None, "text/plain; version=0.0.4; charset=utf-8"),
                    ("Accept: */*", "text/plain; version=0.0.4; charset=utf-8"),
                    (ACCEPT_OPEN,
                     "application/openmetrics-text; version=1.0.0; charset=utf-8")):
                reply = server.get("/metrics", *([accept] if accept else []))
                self.assertEqual(reply.headers["content-type"], kind)
                self.assertEqual(reply.headers["vary"], "Accept")
                self.assertEqual(reply.body.endswith(b"\n# EOF\n"), accept == ACCEPT_OPEN)

    def test_both_forms_have_the_same_samples_under_types_of_their_own(self):
        with TcpEndpoint() as server:
            use(server)
            text, types = samples(server.get("/metrics").body)
            openly, open_types = samples(server.get("/metrics", ACCEPT_OPEN).body)
            self.assertEqual(set(text), set(openly))
            self.assertEqual(types["memcached_items_total"], "counter")
            self.assertEqual(open_types["memcached_items"], "counter")
            self.assertEqual(types["memcached_uptime_seconds"], "untyped")
            self.assertEqual(open_types["memcached_uptime_seconds"], "unknown")
            for name, kind in types.items():
                self.assertEqual(name.endswith("_total"), kind == "counter", name)
            for name, kind in open_types.items():
                self.assertFalse(name.endswith("_total"), name)

    def test_histograms_add_up(self):
        with TcpEndpoint("-o", "latency_sample=1") as server:
            use(server)
            text, types = samples(server.get("/metrics").body)
            self.assertEqual(types["larder_command_duration_seconds"], "histogram")
            counts = {}
            for command in ("get", "set", "delete", "arith", "touch", "other"):
                label = 'command="%s"' % command
                name = "larder_command_duration_seconds_bucket{%s,le=" % label
                buckets = [(float(key[len(name) + 1:-2]), value) for key, value in text.items()
                           if key.startswith(name)]
                bounds = [bound for bound, _ in buckets]
                self.assertEqual(bounds, sorted(set(bounds)))
                self.assertEqual(bounds[-1], float("inf"))
                self.assertEqual([n for _, n in buckets], sorted(n for _, n in buckets))
                counts[command] = text["larder_command_duration_seconds_count{%s}" % label]
                self.assertEqual(buckets[-1][1], counts[command])
                self.assertEqual(
                    text["larder_command_duration_seconds_sum{%s}" % label] > 0,
                    counts[command] > 0)
            self.assertGreater(counts["set"], 0)
            self.assertGreater(counts["get"], 0)

    def test_prometheus_scrapes_it(self):
        prometheus = tool("prometheus")
        with TcpEndpoint() as server, tempfile.TemporaryDirectory() as home:
            use(server)
            with open(home + "/prometheus.yml", "w") as file:
                file.write("global: {scrape_interval: 4s, scrape_timeout: 4s}\n"
                           "scrape_configs:\n- job_name: larder\n  static_configs:\n"
                           "  - targets: ['localhost:%d']\n" % server.http_port)
            port = free_port()
            process = subprocess.Popen(
                [prometheus, "--config.file=" + home + "/prometheus.yml",
                 "--storage.tsdb.path=" + home + "/data",
                 "--web.listen-address=127.0.0.1:%d" % port],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
            try:
                base = "http://127.0.0.1:%d/api/v1/" % port
                fetch(base + "status/buildinfo")
                for query, value in (("up", "1"), ("memcached_up", "1"),
                                     ("memcached_items_total", server.stats()["total_items"]),
                                     ("memcached_commands_total%7Bcommand=%22get%22,"
                                      "status=%22miss%22%7D", "1")):
                    self.until(base + "query?query=" + query, value)
                # It asks for OpenMetrics by itself and has understood it.
                self.until_healthy(base + "targets")
            finally:
                process.terminate()
                try:
                    process.wait(WAIT_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def until_healthy(self, url):
        end = time.monotonic() + WAIT_SECONDS
        while True:
            target = json.loads(fetch(url))["data"]["activeTargets"][0]
            if (target["health"], target["lastError"]) == ("up", ""):
                return
            if time.monotonic() > end:
                raise Failure(str(target))
            time.sleep(0.2)

    def until(self, url, value):
        end = time.monotonic() + WAIT_SECONDS
        while True:
            result = json.loads(fetch(url))["data"]["result"]
            if result and result[0]["value"][1] == value:
                return
            if time.monotonic() > end:
                raise Failure("%s: %s" % (url, result))
            time.sleep(0.2)


if __name__ == "__main__":
    if peer():
        skip("only Larder has this")
    unittest.main(warnings="ignore")
