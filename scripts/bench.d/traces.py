# SPDX-License-Identifier: BSD-3-Clause
"""Misses on traces, at equal RSS: what a policy is worth.

The traces (traces/README.md) are made or unpacked, then replayed against both servers. The peer
gets a tenth and three tenths of the trace's footprint (keys and values of all its keys) as
-m; Larder's -m is then chosen so that its RSS at the end of the replay is within 2 % of the
peer's. Where whole MiB are too coarse for that the two nearest runs are interpolated. Of long
traces the first three million requests are replayed; --whole replays all.

full    as fast as the server answers, times to live off
fixed   the same at certain sizes; "same -m" is Larder with the peer's -m, and with more RSS
paced   with times to live, many seconds of the trace in one; both servers at once, at the
        -m found for equal RSS at full speed
"""
import json
import math
import os
import subprocess
import threading

from harness import HERE, LOAD_CORES, TOP, Failure, Server, pinned

SOURCES = os.path.join(HERE, "traces")
RAW = {"oltp": "OLTP.lis.zst", "web07": "web07.trace.xz", "web12": "web12.trace.xz",
       "orm-busy": "orm-busy.trace.xz", "cphys": "cloudPhysicsIO.oracleGeneral.bin.xz",
       "metakv": "metakv.txt"}
NAMES = ["oltp", "web07", "web12", "orm-busy", "cphys", "metakv", "django", "flood", "flood2",
         "shift", "tw52", "tw19", "tw29", "scan", "zipf08", "zipf10", "zipf12", "zipf10L",
         "looping", "pure_loop"]
QUICK = ["oltp", "orm-busy", "web12", "tw52", "metakv", "flood"]
SHARES = (0.1, 0.3)
# MiB.
FIXED = {"oltp": 64, "django": 96, "tw52": 32, "scan": 128, "metakv": 128, "orm-busy": 48,
         "web12": 32, "flood": 64}
# Of a longer trace so many requests are replayed, of these others.
REQUESTS = 3000000
REQUESTS_OF = {"oltp": 0, "shift": 0, "flood": 3500000, "flood2": 3500000}
# Seconds of the trace in one, requests (0: all), MiB.
PACED = {"flood": (30, 0, 64), "flood2": (30, 0, 64), "django": (30, 3000000, 96),
         "shift": (50, 0, 46), "tw52": (400, 3000000, 32), "web12": (2500, 0, 32)}
TOLERANCE = 0.02
MIB = 1048576
KEYS = ("miss", "byte_miss", "late_miss", "lost", "us_per_request", "rss")


class Traces:
    """Builds the tools and, when asked for one, a trace."""

    def __init__(self, directory, whole):
        self.directory = os.path.join(directory, "traces")
        self.whole = whole
        os.makedirs(self.directory, exist_ok=True)
        self.replay = self._build("replay", ["replay.c"])
        self.generate = self._build("generate", ["generate.c", "chance.c", "synthetic.c",
                                                 "imported.c"])
        self.facts = {}

    def _build(self, name, files):
        program = os.path.join(self.directory, name)
        subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-D_GNU_SOURCE", "-O2", "-o",
                        program, *(os.path.join(SOURCES, f) for f in files), "-lm"], check=True)
        return program

    def path(self, name):
        """The trace's file; made unless it is there from another run."""
        path, facts = (os.path.join(self.directory, name + end) for end in (".trace", ".json"))
        if not os.path.exists(facts):
            self._make(name, path, facts)
        with open(facts) as f:
            self.facts[name] = json.load(f)
        return path

    def _make(self, name, path, facts):
        argv = [self.generate, name, path]
        raw = os.path.join(self.directory, name + ".raw")
        if name in RAW:
            packed = os.path.join(SOURCES, "raw", RAW[name])
            if not os.path.exists(packed):
                raise Failure(f"{packed} is missing: release archives come without it, the "
                              "repository has it")
            unpack = {".zst": ["zstd", "-dqc"], ".xz": ["xz", "-dc"], ".txt": ["cat"]}
            with open(raw, "wb") as f:
                subprocess.run([*unpack[os.path.splitext(packed)[1]], packed], stdout=f,
                               check=True)
            argv.append(raw)
        out = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout
        if name in RAW:
            os.unlink(raw)
        with open(facts, "wb") as f:
            f.write(out)

    def run(self, kind, name, memory, speed=0, requests=None, pin=True):
        """One replay against a fresh server: a row of figures."""
        path = self.path(name)
        if requests is None:
            requests = 0 if self.whole else REQUESTS_OF.get(name, REQUESTS)
        with Server(kind, memory=memory, **({} if pin else {"core": None})) as server:
            argv = [self.replay, "-p", str(server.port), "-S", str(server.pid), "-s",
                    str(speed), "-n", str(requests), path]
            out = subprocess.run(pinned(argv, LOAD_CORES if pin else None),
                                 stdout=subprocess.PIPE, check=False)
            if out.returncode != 0:
                raise Failure(f"{' '.join(argv)}: {server.fate()}")
            row = json.loads(out.stdout)
            row["memory_mib"] = memory
            row["evictions"] = int(server.stats().get("evictions", 0))
        return row


def near(row, rss):
    return abs(row["rss"] / rss - 1) <= TOLERANCE


def between(low, high, rss):
    """What a server of that RSS would have shown, from one below and one above."""
    share = (rss - low["rss"]) / (high["rss"] - low["rss"])
    row = {key: low[key] + share * (high[key] - low[key]) for key in KEYS}
    row["memory_mib"] = f"{low['memory_mib']}-{high['memory_mib']}"
    return dict(low, **row)


def at_rss(traces, kind, name, rss, rows):
    """A run whose RSS is within the tolerance; `rows`: those made so far, added to."""
    for _ in range(5):
        rows.sort(key=lambda row: row["rss"])
        best = min(rows, key=lambda row: abs(row["rss"] - rss), default=None)
        if best is not None and near(best, rss):
            return best
        low = max((row for row in rows if row["rss"] < rss), default=None,
                  key=lambda row: row["rss"])
        high = min((row for row in rows if row["rss"] > rss), default=None,
                   key=lambda row: row["rss"])
        if low and high and high["memory_mib"] - low["memory_mib"] <= 1:
            return between(low, high, rss)
        if low and high:
            share = (rss - low["rss"]) / (high["rss"] - low["rss"])
            memory = low["memory_mib"] + share * (high["memory_mib"] - low["memory_mib"])
            memory = min(max(round(memory), low["memory_mib"] + 1), high["memory_mib"] - 1)
        elif best:
            # About one MiB more of RSS for one more of -m.
            memory = best["memory_mib"] + round((rss - best["rss"]) / MIB * 0.95)
            memory += (1 if rss > best["rss"] else -1) if memory == best["memory_mib"] else 0
        else:
            memory = round((rss / MIB - 6.5) / 1.08)  # what it was in earlier runs
        rows.append(traces.run(kind, name, max(4, memory)))
    return min(rows, key=lambda row: abs(row["rss"] - rss))


COLUMNS = [("memory_mib", "-m MiB"), ("rss_mib", "RSS MiB"), ("miss", "miss ratio"),
           ("byte_miss", "byte miss ratio"), ("late_miss", "miss ratio, second half"),
           ("lost_percent", "increments lost, %"), ("us_per_request", "CPU, µs/request")]


def show(row):
    row["rss_mib"] = row["rss"] / MIB
    row["lost_percent"] = 100 * row["lost"] if row["increments"] else None
    return row


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def ratio(results, options, key):
    ours, theirs = (results[kind.name][0][key] for kind in options.kinds)
    return ours / theirs if ours and theirs else None


def summary(report, options, done, title):
    """Ratios of every trace, their mean and the worst."""
    if len(options.kinds) != 2 or not done:
        return
    report.text(f"\n{title}, Larder / peer: geometric means over {len(done)} traces")
    for key, what in (("miss", "misses"), ("byte_miss", "byte misses"),
                      ("us_per_request", "CPU")):
        ratios = {name: ratio(results, options, key) for name, results in done.items()}
        ratios = {name: r for name, r in ratios.items() if r}
        if ratios:
            worst = max(ratios, key=ratios.get)
            report.text(f"- {what}: **{geometric_mean(list(ratios.values())):.3f}**, "
                        f"worst {ratios[worst]:.3f} ({worst})")


def compare(report, traces, options, name, memory, label):
    subject, peer = options.kinds[0], options.kinds[-1]
    theirs = traces.run(peer, name, memory)
    results = {peer.name: [show(theirs)]}
    if subject is not peer:
        rows = traces.ours.setdefault(name, [])
        results[subject.name] = [show(at_rss(traces, subject, name, theirs["rss"], rows))]
    report.add(label, results)
    return results


def full(report, traces, options):
    for share in SHARES:
        title = f"RAM = {share:.0%} of the footprint, full speed, no times to live"
        report.table(title, COLUMNS)
        done = {}
        for name in options.traces:
            traces.path(name)
            memory = max(4, round(traces.facts[name]["footprint"] * share / MIB))
            done[name] = compare(report, traces, options, name, memory, name)
        summary(report, options, done, title)


def fixed(report, traces, options):
    report.table("At fixed sizes, full speed, no times to live", COLUMNS)
    subject, peer = options.kinds[0], options.kinds[-1]
    for name in options.traces:
        if name not in FIXED:
            continue
        memory, rows = FIXED[name], traces.ours.setdefault(name, [])
        same = next((row for row in rows if row["memory_mib"] == memory), None)
        if same is None:
            same = traces.run(subject, name, memory)
            rows.append(same)
        if subject is not peer:
            compare(report, traces, options, name, memory, f"{name}, {memory} MiB")
        report.add(f"{name}, same -m", {subject.name: [show(same)]})


def paced(report, traces, options):
    wanted = [name for name in options.traces if name in PACED]
    if options.quick_traces:
        wanted = wanted[-1:]
    if not wanted:
        return
    report.table("Paced, with times to live", COLUMNS)
    subject, peer = options.kinds[0], options.kinds[-1]
    for name in wanted:
        speed, requests, memory = PACED[name]
        sizes = {peer: memory}
        if subject is not peer:
            rss = traces.run(peer, name, memory)["rss"]
            ours = at_rss(traces, subject, name, rss, traces.ours.setdefault(name, []))
            sizes[subject] = int(str(ours["memory_mib"]).split("-", maxsplit=1)[0])
        results, failures = {}, []

        def body(kind):
            try:
                row = traces.run(kind, name, sizes[kind], speed, requests, pin=False)
                results[kind.name] = [show(row)]
            except (Failure, OSError) as failure:
                failures.append(failure)

        threads = [threading.Thread(target=body, args=(kind,)) for kind in sizes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise Failure(str(failures[0]))
        report.add(f"{name}, {speed} s in one", results)


def run(report, load, options):
    del load
    subprocess.run([os.path.join(TOP, "scripts", "install-missing"), "gcc", "libc6-dev", "zstd",
                    "xz-utils"], check=True)
    options.quick_traces = not options.traces
    options.traces = {"all": NAMES}.get(" ".join(options.traces or []), options.traces) or QUICK
    for name in options.traces:
        if name not in NAMES:
            raise Failure(f"no trace {name}; there are: {' '.join(NAMES)}, all")
    traces = Traces(options.output, options.whole)
    traces.ours = {}
    for part in (full, fixed, paced):
        if options.wanted(part.__name__):
            part(report, traces, options)
