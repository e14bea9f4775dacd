# SPDX-License-Identifier: BSD-3-Clause
"""Servers with an HTTP endpoint, and plain requests to it, byte for byte.

    with TcpEndpoint("-m", "64") as server:
        reply = server.get("/metrics")
        reply.status, reply.headers["content-type"], reply.body
"""
import os
import shutil
import socket
import tempfile
import time

from server import REPLY_SECONDS, Failure, Server, free_port


class Reply:
    def __init__(self, raw):
        head, mark, self.body = raw.partition(b"\r\n\r\n")
        if not mark:
            raise Failure("no reply of HTTP: %r" % raw[:300])
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name.lower() in self.headers:
                raise Failure("header twice: " + line)
            self.headers[name.lower()] = value.strip()


class Endpoint(Server):
    """What the two kinds of endpoint share."""

    def dial(self, seconds=REPLY_SECONDS):
        raise NotImplementedError

    def say(self, data, seconds=REPLY_SECONDS):
        """All that is answered to `data` until the server closes."""
        with self.dial(seconds) as talk:
            try:
                talk.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of it was sent
            return hear(talk)

    def request(self, method, path, *headers, host="127.0.0.1"):
        lines = ["%s %s HTTP/1.1" % (method, path), "Connection: close", *headers]
        if host is not None:
            lines.append("Host: " + host)
        return Reply(self.say("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"))

    def get(self, path, *headers, **options):
        return self.request("GET", path, *headers, **options)

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))


def hear(talk):
    parts = []
    try:
        while True:
            data = talk.recv(1 << 18)
            if not data:
                break
            parts.append(data)
    except socket.timeout:
        raise Failure("silence after %r" % b"".join(parts)[-300:])
    except ConnectionResetError:
        pass
    return b"".join(parts)


class TcpEndpoint(Endpoint):
    def __init__(self, *options, place="127.0.0.1:%d", address="127.0.0.1"):
        super().__init__(*options)
        self.pattern = place
        self.address = address

    def command(self, port):
        # Anew at each try: somebody else may have taken it.
        self.http_port = free_port()
        self.place = self.pattern % self.http_port
        return [*super().command(port), "-o", "http=" + self.place]

    def dial(self, seconds=REPLY_SECONDS):
        talk = socket.create_connection((self.address, self.http_port), seconds)
        talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return talk


class UnixEndpoint(Endpoint):
    directory = None

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="larder-http-")
        self.path = self.directory + "/socket"
        return super().__enter__()

    def __exit__(self, *what):
        try:
            return super().__exit__(*what)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def command(self, port):
        return [*super().command(port), "-o", "http=unix:" + self.path]

    def dial(self, seconds=REPLY_SECONDS):
        talk = socket.socket(socket.AF_UNIX)
        talk.settimeout(seconds)
        end = time.monotonic() + seconds
        while True:
            try:
                talk.connect(self.path)
                return talk
            except BlockingIOError:  # as many wait to be accepted as can
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
