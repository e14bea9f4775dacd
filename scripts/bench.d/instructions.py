# SPDX-License-Identifier: BSD-3-Clause
"""Instructions a request costs, counted by callgrind.

A server is run twice under callgrind, with N and with 2N requests; the difference over N is
the cost of a request, with start-up and filling cancelled out. The same on a busy machine as
on a quiet one, so it shows changes that timings hide; blind to cache misses and to the
kernel, so it is no substitute for them.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile

from harness import Failure, Server

# Here every set needs memory that another item has to give.
EVICTING = "set of a new key, all full, 16 pipelined"
ROWS = [
    ("get, one at a time", ["-o", "get"], 32, 1),
    ("get, 16 pipelined", ["-o", "get", "-d", 16], 32, 1),
    ("get that misses, 16 pipelined", ["-o", "get", "-d", 16, "-x", "none-"], 32, 1),
    ("get of 50 keys, each key", ["-o", "mget:50"], 32, 50),
    ("set, one at a time", ["-o", "set"], 32, 1),
    ("set, 16 pipelined", ["-o", "set", "-d", 16], 32, 1),
    (EVICTING, ["-o", "fill", "-d", 16], 32, 1),
    ("add that finds it, 16 pipelined", ["-o", "add", "-d", 16], 2, 1),
    ("meta get, one at a time", ["-o", "mg"], 32, 1),
    ("meta get, 16 pipelined", ["-o", "mg", "-d", 16], 32, 1),
    ("meta get, 100 pipelined", ["-o", "mg", "-d", 100], 32, 1),
    ("binary get, one at a time", ["-o", "bget"], 32, 1),
    ("binary get, 16 pipelined", ["-o", "bget", "-d", 16], 32, 1),
    ("100 quiet binary gets, each", ["-o", "bgetq:100"], 32, 100),
    ("incr, one at a time", ["-o", "incr"], 2, 1),
    ("incr, 16 pipelined", ["-o", "incr", "-d", 16], 2, 1),
]
KEYS = 1000
# So many keys are more than twice what fits into the least memory that a server of slabs works with.
FULL_MIB, FULL_KEYS = 4, 150000


def unconfined(kind):
    """valgrind makes the system calls of its own that a sandbox refuses."""
    text = subprocess.run([kind.program, "-h"], stdout=subprocess.PIPE, check=False).stdout
    return ["-o", "sandbox=off"] if b" sandbox=" in text else []


def counted(kind, load, args, value, requests, full):
    """Instructions by thread. `full`: of a server that evicts, and requests are of new keys."""
    memory, present = (FULL_MIB, FULL_KEYS) if full else (64, KEYS)
    asked = ["-k", requests, "-0", FULL_KEYS] if full else ["-k", KEYS, "-n", requests]
    directory = tempfile.mkdtemp(prefix="larder-callgrind-")
    # valgrind keeps twelve descriptors to itself and lets no program change the limit, so
    # what is left must be what the server will ask for.
    wrap = ["prlimit", "--nofile=1036", "valgrind", "--tool=callgrind", "--separate-threads=yes",
            f"--callgrind-out-file={directory}/out"]
    try:
        server = Server(kind, memory=memory, options=["-c", "1024", *unconfined(kind)],
                        wrap=wrap, core=None, patience=90)
        try:
            load(server, "-o", "fill", "-k", present, "-v", value, "-l", 16, "-c", 1, "-d", 16,
                 core=None)
            load(server, *asked, "-c", 1, "-v", value, "-l", 16, *args, core=None)
        finally:
            server.stop(signal.SIGINT)
        threads = {}
        for name in os.listdir(directory):
            which = re.search(r"-(\d+)$", name)
            if which is None:
                continue
            with open(os.path.join(directory, name), errors="replace") as f:
                for line in f:
                    if line.startswith(("summary:", "totals:")):
                        seen = int(line.split()[1])
                        threads[which[1]] = max(threads.get(which[1], 0), seen)
        if not threads:
            raise Failure(f"{kind.name}: callgrind left no counts")
        return threads
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run(report, load, options):
    if not shutil.which("valgrind"):
        raise Failure("valgrind is not installed")
    report.table("Instructions per request (user space)",
                 [("worker", "worker thread"), ("all", "all threads")])
    for name, args, value, keys in ROWS:
        if not options.wanted(name):
            continue
        requests = (1000 if options.quick else 5000) // (5 if keys > 1 else 1)
        full = name == EVICTING
        requests *= 4 if full else 1
        results = {}
        for kind in options.kinds:
            once = counted(kind, load, args, value, requests, full)
            twice = counted(kind, load, args, value, 2 * requests, full)
            grown = [twice[t] - once.get(t, 0) for t in twice]
            results[kind.name] = [{"worker": max(grown) / requests / keys,
                                   "all": sum(grown) / requests / keys}]
        report.add(name, results)
