# SPDX-License-Identifier: BSD-3-Clause
"""What the kernel alone costs on this machine: a server that answers every line with the same
bytes, beside real ones. Nothing that speaks TCP by a receive and a send gets below it."""
import os
import subprocess
import tempfile

from harness import HERE, SERVER_CORE, Kind, Server, all_running, free_port, median, pinned, turns

NAME = "fixed replies"
SMALL = ["-k", 100000, "-v", 32]
# Name, keys of a reply (0: it is to a set), length of a value, copies of the reply, options of the servers, the
# generator's to fill and to load.
ROWS = [
    ("get, 1 connection", 1, 32, 1, {}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "get", "-c", 1, *SMALL]),
    ("get, 50 connections", 1, 32, 1, {}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "get", "-c", 50, *SMALL]),
    ("set, 50 connections", 0, 32, 1, {}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "set", "-c", 50, *SMALL]),
    ("get, 500 connections", 1, 32, 1, {}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "get", "-c", 500, *SMALL]),
    ("get, 5000 connections", 1, 32, 1, {"options": ["-c", "6000"]}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "get", "-c", 5000, *SMALL]),
    ("get, 16 pipelined", 1, 32, 1, {}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "get", "-c", 50, "-d", 16, *SMALL]),
    ("set, 16 pipelined", 0, 32, 1, {}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "set", "-c", 50, "-d", 16, *SMALL]),
    ("get, unix socket", 1, 32, 1, {"unix": True}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "get", "-c", 50, *SMALL]),
    ("set, unix socket", 0, 32, 1, {"unix": True}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "set", "-c", 50, *SMALL]),
    ("get, unix socket, 16 pipelined", 1, 32, 1, {"unix": True}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "get", "-c", 50, "-d", 16, *SMALL]),
    ("get of 100 keys", 100, 32, 1, {}, [*SMALL, "-c", 8, "-d", 64],
     ["-o", "mget:100", "-c", 50, *SMALL]),
    ("get 16 KiB", 1, 16384, 5000, {}, ["-k", 5000, "-v", 16384, "-c", 8, "-d", 2],
     ["-o", "get", "-c", 10, "-k", 5000, "-v", 16384]),
    ("get 1 MB", 1, 1000000, 100, {"options": ["-I", "2m"]}, ["-k", 100, "-v", 1000000, "-c", 2],
     ["-o", "get", "-c", 4, "-k", 100, "-v", 1000000]),
]


def build(directory):
    program = os.path.join(directory, "fixed")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", program,
                    os.path.join(HERE, "fixed", "fixed.c")], check=True)
    return program


class Fixed(Server):
    """The server of fixed replies, as far as a load needs to know it."""

    GREETING = b"two\r\nlines\r\n"

    def __init__(self, program, keys, value, copies, unix=False):
        # pylint: disable=super-init-not-called
        self.name, self.threads = NAME, 1
        self.directory = tempfile.mkdtemp(prefix="larder-bench-")
        self.path = os.path.join(self.directory, "socket") if unix else None
        self.port = 0 if unix else free_port()
        self.argv = [program, self.path or str(self.port), str(keys), str(value), str(copies)]
        self.errors = open(os.path.join(self.directory, "stderr"), "w+b")
        self.process = subprocess.Popen(pinned(self.argv, SERVER_CORE),
                                        stdin=subprocess.DEVNULL, stderr=self.errors)
        self.pid = self.process.pid
        try:
            self._wait(30)
        except BaseException:
            self.stop()
            raise


def run(report, load, options):
    program = build(options.output)
    real = options.kinds
    report.kinds = [Kind(NAME, program), *real]
    report.table("What the kernel alone costs", [
        ("worker_us_per_op", "worker CPU µs/op"), ("over", "over the floor, µs"),
        ("of_peer", "of the last one's"), ("ops_per_s", "ops/s"), ("p50_us", "p50 µs")])
    for name, keys, value, copies, how, fill, args in ROWS:
        if not options.wanted(name):
            continue
        with Fixed(program, keys, value, copies, "unix" in how) as fixed, all_running(real, **how) as servers:
            for server in servers:
                load(server, "-o", "fill", *fill, timeout=600)
            for server in servers:
                server.settle()
            results = turns([fixed, *servers], options.rounds,
                            lambda s, args=args: load(s, *args, "-t", options.seconds))
        least, peers = (median(results[name], "worker_us_per_op")
                        for name in (NAME, real[-1].name))
        for rows in results.values():
            for row in rows:
                row["over"] = row["worker_us_per_op"] - least
                row["of_peer"] = row["worker_us_per_op"] / peers
        report.add(name, results)
