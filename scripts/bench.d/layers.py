# SPDX-License-Identifier: BSD-3-Clause
"""Where the time of a request goes: user space by layer, the kernel by system call.

instructions   callgrind, with N and with 2N requests, the difference by source file; inlined
               functions count where they are written. Repeats to about 1 %.
system calls   strace, for every batch of requests, again as a difference
time           samples of the processor's clock by perf, where it may: user space by program
               and library, the kernel by the system call it is in
"""
import collections
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from harness import SERVER_CORE, Failure, Server
from instructions import unconfined

KEYS = 1000
# Name, generator's options, keys a request, value's length.
ROWS = [
    ("get, one at a time", ["-o", "get", "-c", 50], 1),
    ("get, 16 pipelined", ["-o", "get", "-c", 50, "-d", 16], 1),
    ("set, 16 pipelined", ["-o", "set", "-c", 50, "-d", 16], 1),
    ("get of 100 keys, each key", ["-o", "mget:100", "-c", 50], 100),
]
LAYERS = ["base", "store", "proto", "cmd", "net", "libc", "libevent", "rest"]
CALLS = {"read": "receive", "recvfrom": "receive", "recvmsg": "receive", "readv": "receive",
         "sendto": "send", "sendmsg": "send", "write": "send", "writev": "send",
         "epoll_wait": "wait", "epoll_pwait": "wait", "epoll_pwait2": "wait",
         "epoll_ctl": "watch"}
KINDS = ["receive", "send", "wait", "watch", "other"]


def depth(args):
    return args[args.index("-d") + 1] if "-d" in args else 1


# ---- Instructions by layer --------------------------------------------------------------


def layer_of(path, obj):
    found = re.search(r"src/(base|store|proto|cmd|net|main|admin|http)/", path)
    if found:
        return found[1] if found[1] in LAYERS else "rest"
    if "libevent" in obj:
        return "libevent"
    if re.search(r"/(libc|libm|ld-linux|libpthread)\b", obj) or "vdso" in obj:
        return "libc"
    return "rest"


def self_costs(path):
    """{layer: instructions}, {function: instructions} of one of callgrind's files."""
    layers, functions = collections.Counter(), collections.Counter()
    obj = source = function = ""
    calls = False
    with open(path, errors="replace") as f:
        for line in f:
            if line[0].isdigit() or line[0] in "+-*":
                if calls:  # what a call cost inclusively belongs to the function called
                    calls = False
                    continue
                cost = int(line.split()[1]) if len(line.split()) > 1 else 0
                layers[layer_of(source, obj)] += cost
                functions[function] += cost
            elif line.startswith("calls="):
                calls = True
            else:
                what, _, rest = line.rstrip("\n").partition("=")
                if what in ("fl", "fi", "fe"):
                    source = rest
                elif what == "ob":
                    obj = rest
                elif what == "fn":
                    function = rest
    return layers, functions


def run_counted(kind, load, args, requests):
    """Costs of the busiest thread of a server that answers so many requests."""
    directory = tempfile.mkdtemp(prefix="larder-callgrind-")
    wrap = ["prlimit", "--nofile=1036", "valgrind", "--tool=callgrind", "--separate-threads=yes",
            "--compress-strings=no", "--compress-pos=no",
            f"--callgrind-out-file={directory}/out"]
    try:
        server = Server(kind, memory=64, options=["-c", "1024", *unconfined(kind)], wrap=wrap,
                        core=None, patience=90)
        try:
            load(server, "-o", "fill", "-k", KEYS, "-v", 32, "-l", 16, "-c", 1, core=None)
            # One connection: how many are ready together, and so share a turn, is chance.
            load(server, "-n", requests, "-k", KEYS, "-v", 32, "-l", 16, *args, "-c", 1,
                 core=None)
        finally:
            server.stop(signal.SIGINT)
        seen = [self_costs(os.path.join(directory, name)) for name in os.listdir(directory)
                if re.search(r"-\d+$", name)]
        if not seen:
            raise Failure(f"{kind.name}: callgrind left no counts")
        return max(seen, key=lambda costs: sum(costs[0].values()))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def instructions(report, load, options, rows):
    report.table("Instructions of the worker for each request, by layer",
                 [(layer, layer) for layer in LAYERS] + [("all", "all")])
    tops = {}
    kind = options.kinds[0]
    for name, args, keys in rows:
        requests = (1000 if options.quick else 4000) // (5 if keys > 1 else 1)
        once, _ = first = run_counted(kind, load, args, requests)
        twice, _ = second = run_counted(kind, load, args, 2 * requests)
        row = {layer: (twice[layer] - once[layer]) / requests / keys for layer in LAYERS}
        row["all"] = sum(row.values())
        tops[name] = {f: (n - first[1][f]) / requests / keys for f, n in second[1].items()}
        report.add(name, {kind.name: [row]})
    report.text("\nThe functions with most of them:\n")
    for name, costs in tops.items():
        named = [f for f in costs if not f.startswith("0x")]
        best = sorted(named, key=costs.get, reverse=True)[:8]
        report.text(f"* {name}: " + ", ".join(f"`{f}` {costs[f]:.0f}" for f in best))


# ---- System calls -----------------------------------------------------------------------


def traced(server, load, args, requests):
    """Calls of each kind while `requests` are answered, by strace."""
    out = os.path.join(server.directory, "strace")
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out, "-p", str(server.pid)],
                              stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        load(server, *args, "-k", KEYS, "-v", 32, "-l", 16, "-n", requests, core=None)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(30)
    calls = collections.Counter()
    with open(out) as f:
        for line in f:
            words = line.split()
            if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total":
                calls[CALLS.get(words[-1], "other")] += int(words[3])
    return calls


def system_calls(report, load, options, rows):
    if not shutil.which("strace"):
        report.text("\nSystem calls: skipped, there is no strace.")
        return
    report.table("System calls for each batch, one of every 50 connections in flight",
                 [(kind, kind) for kind in KINDS])
    for name, args, _ in rows:
        results = {}
        for kind in options.kinds:
            with Server(kind, memory=64, options=unconfined(kind)) as server:
                load(server, "-o", "fill", "-k", KEYS, "-v", 32, "-l", 16, "-c", 1)
                # Connecting and hanging up are in both and cancel out.
                batches = 1000 if options.quick else 4000
                once, twice = (traced(server, load, args, n * batches * depth(args))
                               for n in (1, 2))
                results[kind.name] = [{k: (twice[k] - once[k]) / batches for k in KINDS}]
        report.add(name, results)


# ---- Samples ----------------------------------------------------------------------------


def place_of(stack):
    """What a sample belongs to; stack: (function, object) pairs, innermost first."""
    for function, obj in stack:
        found = re.match(r"_*(?:x64|arm64|do|se|k)?_*sys_(\w+)", function)
        if found and "kernel" in obj and found[1] in CALLS:
            return CALLS[found[1]]
    if stack and "kernel" in stack[0][1]:
        return "other"
    obj = stack[0][1] if stack else ""
    return layer_of("", obj) if "lib" in obj or "vdso" in obj else "program"


PLACES = ["program", "libc", "libevent", "receive", "send", "wait", "watch", "other"]


def sampled(server, load, args, seconds):
    """Share of samples by place, or None where perf is not allowed."""
    data = os.path.join(server.directory, "perf.data")
    perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-g", "-o",
                             data, "-p", str(server.pid)], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        row = load(server, *args, "-k", KEYS, "-v", 32, "-l", 16, "-t", seconds)
    finally:
        perf.send_signal(signal.SIGINT)
        perf.wait(30)
    text = subprocess.run(["perf", "script", "-i", data, "-F", "ip,sym,dso"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    places, stack = collections.Counter(), []
    for line in text.split("\n"):
        found = re.match(r"\s+[0-9a-f]+ (.+?) \((.+)\)$", line)
        if found:
            stack.append((found[1].split("+")[0], found[2]))
        elif stack:
            places[place_of(stack)] += 1
            stack = []
    total = sum(places.values())
    if total == 0:
        return None
    share = {place: 100 * places[place] / total for place in PLACES}
    share["us"] = row["server_us_per_op"]
    return share


def samples(report, load, options, rows):
    if not shutil.which("perf"):
        report.text("\nSamples: skipped, there is no perf.")
        return
    report.table("Per cent of the process's time; calls are the kernel's part",
                 [(p, "kernel, other" if p == "other" else p) for p in PLACES] +
                 [("us", "all CPU µs/request")])
    for name, args, _ in rows:
        results = {}
        for kind in options.kinds:
            with Server(kind, memory=64, core=SERVER_CORE) as server:
                load(server, "-o", "fill", "-k", KEYS, "-v", 32, "-l", 16, "-c", 1)
                server.settle()
                seen = [sampled(server, load, args, options.seconds)
                        for _ in range(options.rounds)]
                results[kind.name] = [row for row in seen if row]
        if not any(results.values()):
            report.text("<!-- perf may not sample here -->")
            return
        report.add(name, results)


def run(report, load, options):
    rows = [row for row in ROWS if options.wanted(row[0])]
    if shutil.which("valgrind"):
        instructions(report, load, options, rows)
    else:
        report.text("\nInstructions: skipped, there is no valgrind.")
    system_calls(report, load, options, rows)
    samples(report, load, options, rows)
