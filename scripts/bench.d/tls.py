# SPDX-License-Identifier: BSD-3-Clause
"""TLS: what encryption costs the server, by memtier_benchmark, which speaks it.

Both servers have the same certificate (P-256) and OpenSSL's choice of ciphers. The plain rows
are by the same generator over a listener of the same process without TLS, so that the
difference is what TLS costs.
"""
import contextlib
import os
import shutil
import subprocess

from harness import Server, free_port, turns
from throughput import memtier_row

KEYS = 100000
COLUMNS = [("ops_per_s", "ops/s"), ("server_us_per_op", "all CPU µs/op"),
           ("p50_us", "p50 µs"), ("p99_us", "p99 µs"), ("rss_mib", "RSS MiB")]
TLS = ["--tls", "--tls-skip-verify"]

# Name, bytes of a value, pipeline, further options of the generator, whether in --quick.
ROWS = [
    ("50 connections", 32, 1, [], True),
    ("50 connections, 16 pipelined", 32, 16, [], True),
    ("1 KiB, 50 connections", 1024, 1, [], False),
    ("1 KiB, 50 connections, 16 pipelined", 1024, 16, [], True),
    ("16 KiB, 50 connections", 16384, 1, [], False),
]
# Handshakes; there is nothing to compare them with in plain.
NEW = ("a handshake for every 10 requests", 32, 1, ["--reconnect-interval=10"], True)


def make_certificate(directory):
    """Paths of a certificate and its key."""
    paths = [os.path.join(directory, name) for name in ("bench.pem", "bench.key")]
    if not all(map(os.path.exists, paths)):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj",
                        "/CN=localhost", "-out", paths[0], "-keyout", paths[1]],
                       check=True, stderr=subprocess.DEVNULL)
    return paths


class TlsServer(Server):
    """Speaks TLS on tls_port; `port` is plain, for filling it and for its statistics."""

    def __init__(self, kind, certificate, words=(), **more):
        self.plain_port = free_port()
        options = ["-Z", "-o", ",".join([f"ssl_chain_cert={certificate[0]}",
                                         f"ssl_key={certificate[1]}", *words]),
                   "-l", f"notls:127.0.0.1:{self.plain_port}"]
        super().__init__(kind, options=options, **more)
        self.tls_port, self.port = self.port, self.plain_port

    def connect(self, timeout=10.0):
        port, self.port = self.port, self.plain_port
        try:
            return super().connect(timeout)
        finally:
            self.port = port


def row(program, server, tls, size, pipeline, more, seconds):
    more = ["-d", str(size), "--key-prefix", f"{size}-", *more, *(TLS if tls else [])]
    server.port = server.tls_port if tls else server.plain_port
    try:
        return memtier_row(program, server, "memcache_text", pipeline, seconds,
                           keys_of(size), more)
    finally:
        server.port = server.plain_port


def keys_of(size):
    return max(1000, min(KEYS, 100000000 // size))


def run(report, load, options):
    program = os.environ.get("MEMTIER") or shutil.which("memtier_benchmark")
    if program is None:
        report.text("\nTLS: skipped, there is no memtier_benchmark (in PATH, or MEMTIER=path)")
        return
    rows = [r for r in [*ROWS, NEW]
            if (r[4] or not options.quick) and options.wanted("tls, " + r[0])]
    seconds = max(1, int(options.seconds))
    report.table("TLS, one worker thread, 1 set : 10 get", COLUMNS)
    certificate = make_certificate(os.path.dirname(load.program))
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(TlsServer(kind, certificate))
                   for kind in options.kinds]
        for server in servers:
            for size in sorted({r[1] for r in rows}):
                load(server, "-o", "fill", "-x", f"{size}-", "-0", 1, "-k", keys_of(size),
                     "-v", size, "-c", 8, "-d", 16)
            server.settle()
        for name, size, pipeline, more, _ in rows:
            for tls in (True, False) if name != NEW[0] else (True,):
                report.add(("tls, " if tls else "plain, ") + name,
                           turns(servers, options.rounds, lambda s, t=tls: row(
                               program, s, t, size, pipeline, more, seconds)))
    report.summary("server_us_per_op", ["ops_per_s", "p50_us", "p99_us"])
