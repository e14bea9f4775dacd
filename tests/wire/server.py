# SPDX-License-Identifier: BSD-3-Clause
"""Starts a server for a test, talks to it, and makes sure that it ends well.

    with Server("-m", "64") as server:
        talk = server.connect()
        talk.send(b"version\r\n")
        talk.expect(b"VERSION 1.6.45-larder1.0.0\r\n")

The binary is $LARDER (default ./larder); what $LARDER_SERVER_OPTIONS has comes behind a
test's own options. With $PEER set another memcached-protocol server is run in its place
($PEER names it; a plain 1 means memcached), to tell a wrong test from a wrong server.
Leaving the block stops the server with SIGTERM and asserts that it exits with status 0 and
without a sanitizer's report. Every wait has an end.
"""
import collections
import errno
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

# Ends of patience, for a busy machine; a build with sanitizers gets more.
SLOW = int(os.environ.get("LARDER_SLOW_FACTOR", "1"))
START_SECONDS = 60.0 * SLOW
STOP_SECONDS = 60.0 * SLOW
REPLY_SECONDS = 60.0 * SLOW

SKIP = 77
REPORT = re.compile(
    rb"(ERROR|WARNING|SUMMARY): (Address|Leak|Memory|Thread|UndefinedBehavior)Sanitizer"
    rb"|runtime error:|[Aa]ssertion .*failed")


def peer():
    """The path of another server to test, or None."""
    name = os.environ.get("PEER", "")
    return {"": None, "0": None, "1": "memcached"}.get(name, name)


def binary():
    return peer() or os.environ.get("LARDER", "./larder")


def sanitized():
    """True if the binary carries a sanitizer: its memory use and speed say nothing."""
    try:
        with open(binary(), "rb") as file:
            image = file.read()
    except OSError:
        return False
    return b"__asan_init" in image or b"__tsan_init" in image


def skip(reason):
    """Ends the test program as skipped, or as failed where everything must be there."""
    print(reason, file=sys.stderr)
    sys.exit(1 if os.environ.get("LARDER_CHECK_ALL") == "1" else SKIP)


# Sockets whose names say which ports this program has been given, for as long as it lives.
claims = collections.deque()
CLAIMS_MAX = 256


def free_port():
    """A port that nobody has, TCP and UDP, that no client is given by the kernel and no other
    test program by this function: there may be time until a server takes it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        end = int(file.read().split()[0])
    ports = range(10000, end) if end > 12000 else range(20000, 60000)
    for port in random.sample(ports, 1000):
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as stream, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            try:
                claim.bind("\0larder-test-port-%d" % port)
                stream.bind(("127.0.0.1", port))
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        claims.append(claim.detach())
        if len(claims) > CLAIMS_MAX:
            os.close(claims.popleft())
        return port
    raise Failure("no free port found")


class TlsSocket(ssl.SSLSocket):
    """One whose recv() and send() without waiting fail as a plain socket's do."""

    def recv(self, *args):
        try:
            return super().recv(*args)
        except ssl.SSLWantReadError as error:
            raise BlockingIOError("nothing yet") from error

    def send(self, *args):
        try:
            return super().send(*args)
        except ssl.SSLWantWriteError as error:
            raise BlockingIOError("no room yet") from error


class Failure(AssertionError):
    """The server did not do what it must."""


# With LARDER_WIRE_TLS a directory that holds ca.pem, server.pem and server.key, all servers
# are started with TLS and spoken to by it: how check_tls.py plays the tests of the others.
TLS_DIRECTORY = os.environ.get("LARDER_WIRE_TLS")


def tls_options():
    if TLS_DIRECTORY is None:
        return []
    return ["-Z", "-o", "ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key"
            % (TLS_DIRECTORY, TLS_DIRECTORY)]


def tls_context():
    if TLS_DIRECTORY is None:
        return None
    return ssl.create_default_context(cafile=TLS_DIRECTORY + "/ca.pem")


class Server:
    """A running server on a port of its own at 127.0.0.1. With an ssl.SSLContext it is spoken
    to by TLS, for which the options are to ask."""

    def __init__(self, *options, env=None, hello=None, context=None):
        self.options = [*tls_options(), *[str(option) for option in options]]
        self.context = context or tls_context()
        self.env = dict(os.environ, **(env or {}))
        # What shows that it serves: what to say, and how the answer begins.
        self.hello = hello or (b"version\r\n", b"VERSION ")
        self.process = None
        self.errors = None
        self.port = None

    def __enter__(self):
        for _ in range(5):
            if self._start():
                return self
        raise Failure("no free port found: " + self.stderr())

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.kill()
            text = self.stderr()
            if text:
                print("the server's stderr:\n" + text, file=sys.stderr)
        else:
            self.stop()
        return False

    def command(self, port):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return [binary(), *user, "-l", "127.0.0.1", "-p", str(port), "-U", "0",
                *self.options, *os.environ.get("LARDER_SERVER_OPTIONS", "").split()]

    def _start(self):
        """True once it answers; False if somebody else took the port."""
        self.port = free_port()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command(self.port), stdin=subprocess.DEVNULL,
            stdout=self.errors, stderr=self.errors, env=self.env)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                if b"already in use" in self._read_errors():
                    return False
                raise Failure("the server ended with %d: %s"
                              % (self.process.returncode, self.stderr()))
            try:
                with self.connect(seconds=1) as probe:
                    probe.send(self.hello[0])
                    if (probe.more() or b"").startswith(self.hello[1]):
                        return True
            except OSError:
                pass
            time.sleep(0.01)
        self.kill()
        raise Failure("the server does not answer: " + self.stderr())

    def _read_errors(self):
        self.errors.seek(0)
        return self.errors.read()

    def stderr(self):
        return self._read_errors().decode("utf-8", "replace") if self.errors else ""

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.alive():
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Ends it; it must end in time, with status 0 and no sanitizer's report."""
        if self.alive():
            self.send_signal(number)
        self.wait()

    def wait(self):
        """Waits for an end that something else brought about; as clean as stop()."""
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure("the server did not stop: " + self.stderr())
        if status != 0 or REPORT.search(self._read_errors()):
            raise Failure("the server ended with %d: %s" % (status, self.stderr()))

    def connect(self, **options):
        return Talk(self.port, **{"context": self.context, **options})

    def ask(self, line, end=b"END\r\n"):
        """Sends one line over a connection of its own; the reply up to `end`."""
        with self.connect() as talk:
            talk.send(line + b"\r\n")
            return talk.until(end)

    def stats(self, what=b""):
        """A report of `stats` as a dict of str."""
        text = self.ask(b"stats " + what if what else b"stats").decode("latin-1")
        rows = [row.split(" ", 2) for row in text.split("\r\n") if row.startswith("STAT ")]
        return {row[1]: row[2] if len(row) > 2 else "" for row in rows}

    def rss(self):
        """Resident memory in bytes."""
        with open("/proc/%d/statm" % self.process.pid) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Talk:
    """One connection. Nothing here waits for longer than `seconds`."""

    def __init__(self, port, seconds=REPLY_SECONDS, receive_buffer=None, context=None):
        self.seconds = seconds
        self.unread = b""
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = context or tls_context()
        if context is not None:
            raw = self.socket
            context.sslsocket_class = TlsSocket
            try:
                self.socket = context.wrap_socket(raw, server_hostname="127.0.0.1")
            except BaseException:
                raw.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Goes away with a RST, as a crashed client's machine may."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.settimeout(self.seconds)
        try:
            self.socket.sendall(data)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise BrokenPipeError("closed by the server") from error

    def half_close(self):
        # Not SSLSocket's, which would end TLS in both directions.
        try:
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the server was faster
                raise

    def more(self, seconds=None):
        """Whatever comes next: bytes, b"" at the end, None if nothing came in time."""
        self.socket.settimeout(self.seconds if seconds is None else seconds)
        try:
            return self.socket.recv(1 << 18)
        except (socket.timeout, BlockingIOError):
            return None
        except (ConnectionResetError, ssl.SSLEOFError):
            return b""

    def until(self, end):
        """Everything up to the first `end`, which is included."""
        parts, tail = [self.unread], self.unread
        self.unread = b""
        while end not in tail:
            data = self.more()
            if not data:
                raise Failure("%s after %r" % ("closed" if data == b"" else "silence",
                                               b"".join(parts)[-200:]))
            parts.append(data)
            tail = tail[-len(end):] + data
        whole = b"".join(parts)
        cut = whole.index(end) + len(end)
        self.unread = whole[cut:]
        return whole[:cut]

    def line(self):
        return self.until(b"\r\n")

    def exactly(self, size):
        while len(self.unread) < size:
            data = self.more()
            if not data:
                raise Failure("%d of %d bytes, then %s" % (
                    len(self.unread), size, "closed" if data == b"" else "silence"))
            self.unread += data
        whole, self.unread = self.unread[:size], self.unread[size:]
        return whole

    def expect(self, reply):
        got = self.exactly(len(reply))
        if got != reply:
            raise Failure("expected %r, got %r" % (reply[:300], got[:300]))

    def ask(self, data, reply):
        self.send(data)
        self.expect(reply)

    def expect_silence(self, seconds=0.1):
        data = self.unread or self.more(seconds)
        if data is not None:
            raise Failure("expected nothing, got %r" % data[:300])

    def expect_close(self, seconds=None):
        """The server closes, having sent nothing more."""
        data = self.unread or self.more(seconds)
        if data != b"":
            raise Failure("expected a close, got %r" % (data[:300] if data else data))


def main():
    """Runs `server.py PROGRAM ARGS...` with @HOST and @PORT in ARGS replaced by those of
    a fresh server: how shell scripts and C programs get one. --binary before all else: it
    speaks no text."""
    options, args, hello = [], sys.argv[1:], None
    if args and args[0] == "--binary":
        args.pop(0)
        hello = (b"\x80\x0b" + 22 * b"\0", b"\x81\x0b")
    while args and args[0].startswith("--server="):
        options += args.pop(0)[len("--server="):].split()
    with Server(*options, hello=hello) as server:
        words = [word.replace("@HOST", "127.0.0.1").replace("@PORT", str(server.port))
                 for word in args]
        status = subprocess.run(words, check=False).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
