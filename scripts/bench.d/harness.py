# SPDX-License-Identifier: BSD-3-Clause
"""Servers to measure, ways to look at them, and tables of what was seen.

Every measurement runs two servers, the subject (Larder) and the peer (memcached), with the
same options and the same load, in turns: A B, B A, A B ... A figure is the median of the
rounds; the ratio is subject / peer.
"""
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROCESSORS = sorted(os.sched_getaffinity(0))
# With two processors or more, servers have the first to themselves and the load the rest.
SERVER_CORE = [PROCESSORS[0]] if len(PROCESSORS) > 1 else None
LOAD_CORES = PROCESSORS[1:] if len(PROCESSORS) > 1 else None


class Failure(Exception):
    """Something that makes the measurement worthless."""


def pinned(argv, cores):
    if cores is None:
        return argv
    return ["taskset", "-c", ",".join(map(str, cores))] + argv


def urgent(argv):
    """To run before all other work of its processor, where that may be had (as root)."""
    return ["chrt", "-f", "1", *argv] if os.geteuid() == 0 and shutil.which("chrt") else argv


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def more_files():
    """As many descriptors as allowed, for the thousands of connections of some tests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Kind:
    """A program that can be measured."""

    def __init__(self, name, program):
        self.name, self.program = name, program

    def version(self):
        try:
            out = subprocess.run([self.program, "-V"], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=10).stdout
            return out.decode().splitlines()[0].strip()
        except (OSError, IndexError, subprocess.TimeoutExpired):
            return "?"


class Server:
    """One running server; use as a context manager."""

    GREETING = b"version\r\n"

    def __init__(self, kind, memory=1024, threads=1, options=(), unix=False, core=SERVER_CORE,
                 wrap=(), patience=30):
        self.kind, self.name, self.threads = kind, kind.name, threads
        self.directory = tempfile.mkdtemp(prefix="larder-bench-")
        self.path = os.path.join(self.directory, "socket") if unix else None
        self.port = 0 if unix else free_port()
        argv = [kind.program, "-m", str(memory), "-t", str(threads), "-U", "0"]
        if unix:
            argv += ["-s", self.path, "-a", "0777"]
        else:
            argv += ["-l", "127.0.0.1", "-p", str(self.port)]
        if os.geteuid() == 0:
            argv += ["-u", "root"]
        argv += list(options)
        self.argv = list(wrap) + argv
        self.errors = open(os.path.join(self.directory, "stderr"), "w+b")
        self.process = subprocess.Popen(pinned(self.argv, core), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.errors)
        self.pid = self.process.pid
        try:
            self._wait(patience)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _wait(self, patience):
        end = time.monotonic() + patience
        while True:
            with contextlib.suppress(OSError):
                with self.connect(2) as s:
                    s.sendall(self.GREETING)
                    if s.recv(64):
                        return
            if self.process.poll() is not None:
                raise Failure(self.fate())
            if time.monotonic() > end:
                raise Failure(f"{self.name} does not answer: {' '.join(self.argv)}")
            time.sleep(0.005)

    def connect(self, timeout=10.0):
        if self.path:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(timeout)
            s.connect(self.path)
            return s
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def status(self, *fields):
        """Fields of /proc/PID/status in bytes."""
        found = {}
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                name, _, rest = line.partition(":")
                if name in fields:
                    found[name] = int(rest.split()[0]) * 1024
        return [found.get(name, 0) for name in fields]

    def rss(self):
        return self.status("VmRSS")[0]

    def forget_peak(self):
        """Makes VmHWM start again from the present RSS."""
        with contextlib.suppress(OSError):
            with open(f"/proc/{self.pid}/clear_refs", "w") as f:
                f.write("5")

    def peak(self):
        return self.status("VmHWM")[0]

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def settle(self, patience=30.0):
        """Waits until background work (growing an index, moving items) has died down."""
        end = time.monotonic() + patience
        quiet = 0
        while quiet < 2 and time.monotonic() < end:
            before = self.cpu_seconds()
            time.sleep(0.5)
            quiet = quiet + 1 if self.cpu_seconds() - before < 0.021 else 0

    def stats(self, what=b""):
        with self.connect() as s:
            s.sendall(b"stats" + (b" " + what if what else b"") + b"\r\n")
            data = b""
            while not data.endswith((b"END\r\n", b"RESET\r\n", b"ERROR\r\n")):
                more = s.recv(65536)
                if not more:
                    break
                data += more
        words = (line.split(" ", 2) for line in data.decode().split("\r\n"))
        return {w[1]: w[2] for w in words if len(w) == 3 and w[0] == "STAT"}

    def fate(self):
        """How the server ended, if it did, with its last words."""
        time.sleep(0.2)
        if self.alive():
            return f"{self.name} is alive"
        self.errors.seek(0)
        return (f"{self.name} ended with {self.process.returncode}: {' '.join(self.argv)}\n"
                f"{self.errors.read()[-2000:].decode(errors='replace')}")

    def alive(self):
        return self.process.poll() is None

    def stop(self, how=signal.SIGTERM):
        if self.alive():
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.errors.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Load:
    """The load generator, built when asked for."""

    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        self.program = os.path.join(directory, "loadgen")
        files = [os.path.join(HERE, f) for f in os.listdir(HERE)]
        sources = [f for f in files if f.endswith(".c")]
        newest = max(os.path.getmtime(f) for f in files if f.endswith((".c", ".h")))
        if not os.path.exists(self.program) or os.path.getmtime(self.program) < newest:
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-pthread", "-o", self.program,
                            *sources, "-lm"], check=True)

    def __call__(self, server, *args, timeout=300, core=LOAD_CORES, first=False):
        where = ["-U", server.path] if server.path else ["-p", str(server.port)]
        argv = [self.program, *where, "-S", str(server.pid), *map(str, args)]
        argv = pinned(argv, core)
        run = subprocess.run(urgent(argv) if first else argv, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=timeout)
        try:
            row = json.loads(run.stdout)
        except ValueError:
            raise Failure(f"{' '.join(argv)}: {run.stderr.decode()}{server.fate()}") from None
        if row["errors"]:
            row["note"] = run.stderr.decode().strip()[:200]
        # The workers are the busiest threads; a server's other threads keep its house.
        tasks = sorted(row.pop("tasks_us"), reverse=True)
        ops = max(1, row["ops"])
        row["worker_us_per_op"] = sum(tasks[:server.threads]) / ops
        row["server_us_per_op"] = sum(tasks) / ops
        row["server_busy"] = sum(tasks) / 1e6 / row["secs"]
        # How long the server's threads were ready and others had the processor.
        row["waited_pc"] = 100 * row["waited"]
        return row


def median(rows, key):
    values = [row[key] for row in rows if row.get(key) is not None]
    if values and isinstance(values[0], str):
        return values[0]
    return statistics.median(values) if values else None


def spread(rows, key):
    values = [row[key] for row in rows if row.get(key) is not None]
    middle = statistics.median(values) if values else 0
    return (max(values) - min(values)) / middle if middle else 0.0


def number(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if abs(value) >= 1000 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


class Report:
    """Prints Markdown tables as results come in and keeps the raw rows."""

    def __init__(self, kinds, path, facts):
        self.kinds, self.path = kinds, path
        self.raw = {"facts": facts, "tables": []}
        self.open = None

    def table(self, title, columns):
        """Begins a table. columns: (key of a row, heading) pairs."""
        self.open = {"title": title, "columns": [c[0] for c in columns], "rows": {}}
        self.columns = columns
        self.raw["tables"].append(self.open)
        print(f"\n### {title}\n")
        print("| | | " + " | ".join(c[1] for c in columns) + " |")
        print("|---|---|" + "---:|" * len(columns), flush=True)

    def add(self, what, results):
        """results: {server's name: [row of every round]}"""
        self.open["rows"][what] = results
        self.save()
        names = [k.name for k in self.kinds if results.get(k.name)]
        middles = {}
        for i, name in enumerate(names):
            middles[name] = [median(results[name], key) for key, _ in self.columns]
            cells = [number(v) for v in middles[name]]
            notes = [row["note"] for row in results[name] if row.get("note")]
            print(f"| {what if i == 0 else ''} | {name} | " + " | ".join(cells) + " |" +
                  (f" <!-- {notes[0]} -->" if notes else ""))
        if len(names) == 2:
            subject, peer = (middles[n] for n in names)
            cells = [f"**{a / b:.2f}**" if isinstance(a, (int, float)) and
                     isinstance(b, (int, float)) and b and a is not None else ""
                     for a, b in zip(subject, peer)]
            print("| | ratio | " + " | ".join(cells) + " |")
        sys.stdout.flush()

    def summary(self, key, others):
        """One line a row: the key of both servers, and ratios of it and of others."""
        if len(self.kinds) != 2:
            return
        a, b = (kind.name for kind in self.kinds)
        headings = dict(self.columns)
        print(f"\n### In short: {headings[key]}, and ratios {a} / {b}\n")
        print(f"| | {a} | {b} | ratio | " + " | ".join(headings[o] for o in others) + " |")
        print("|---|---:|---:|---:|" + "---:|" * len(others))
        for what, results in self.open["rows"].items():
            cells = []
            for name in [key, *others]:
                mine, theirs = median(results[a], name), median(results[b], name)
                if name == key:
                    cells += [number(mine), number(theirs)]
                cells.append(f"{mine / theirs:.2f}" if mine and theirs else "-")
            print(f"| {what} | " + " | ".join(cells) + " |")

    def text(self, line):
        print(line, flush=True)

    def save(self):
        if not self.path:
            return
        with open(self.path + ".new", "w") as f:
            json.dump(self.raw, f, indent=1)
        os.replace(self.path + ".new", self.path)


def turns(servers, rounds, body):
    """Runs body(server) for each in turn, order reversed every round."""
    results = {s.name: [] for s in servers}
    for r in range(rounds):
        for server in servers if r % 2 == 0 else reversed(servers):
            results[server.name].append(body(server))
    return results


@contextlib.contextmanager
def all_running(kinds, **options):
    """The servers of a comparison, started alike."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Server(kind, **options)) for kind in kinds]
