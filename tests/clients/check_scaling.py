#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Several servers as one: twemproxy (nutcracker) in front of three, and libmemcached's
ketama without it; one of them dies and comes back.

What it protects: what doc/scaling.md promises. Keys are spread over all servers, the death
of one takes its own keys only, those keys find another place without anybody's doing, and
the server is used again when it is back.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, "wire"))
import server as srv  # noqa: E402

PATIENCE = 60 * srv.SLOW
KEYS = [b"key:%d" % number for number in range(600)]

# The servers have no names: a name would be hashed in place of the address.
POOL = """pool:
  listen: 127.0.0.1:%d
  hash: md5
  distribution: ketama
  auto_eject_hosts: true
  server_retry_timeout: 500
  server_failure_limit: 1
  timeout: %d
  servers:
%s"""


def eventually(claim, what):
    end = time.monotonic() + PATIENCE
    while not claim():
        if time.monotonic() > end:
            raise srv.Failure("not in time: " + what)
        time.sleep(0.05)


class Cluster(unittest.TestCase):
    """Three servers, each on a port that it keeps over its death."""

    def setUp(self):
        self.servers = []
        for _ in range(3):
            server = srv.Server("-t", "2")
            server.__enter__()
            self.servers.append(server)
            self.addCleanup(self.dismiss, server)

    def dismiss(self, server):
        """Those that were not killed have to end well."""
        if server.process.poll() != -signal.SIGKILL:
            server.stop()
        server.errors.close()

    def kill(self, server):
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()

    def revive(self, server):
        server.process = subprocess.Popen(
            server.command(server.port), stdin=subprocess.DEVNULL,
            stdout=server.errors, stderr=server.errors)

        def answers():
            self.assertTrue(server.alive(), server.stderr())
            try:
                with server.connect() as talk:
                    talk.ask(b"mn\r\n", b"MN\r\n")
                return True
            except (OSError, srv.Failure):
                return False
        eventually(answers, "a revived server")

    def holders(self, server):
        """Those of KEYS that this server has."""
        with server.connect() as talk:
            return {key for key in KEYS if self.get(talk, key) is not None}

    def get(self, talk, key):
        talk.send(b"get " + key + b"\r\n")
        line = talk.line()
        if line == b"END\r\n":
            return None
        if not line.startswith(b"VALUE "):
            raise srv.Failure(line.decode())
        value = talk.line()
        talk.expect(b"END\r\n")
        return value[:-2]

    def set(self, talk, key, value):
        """The reply."""
        talk.send(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        return talk.line()


class Proxy(Cluster):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="larder-")
        self.addCleanup(shutil.rmtree, self.folder)
        for _ in range(5):
            if self.start():
                return
        self.fail("no nutcracker")

    def start(self):
        """False: somebody else took its port."""
        self.port = srv.free_port()
        config = os.path.join(self.folder, "nutcracker.yml")
        with open(config, "w") as file:
            file.write(POOL % (self.port, 20000 * srv.SLOW, "".join(
                "   - 127.0.0.1:%d:1\n" % server.port for server in self.servers)))
        self.proxy = subprocess.Popen(
            ["nutcracker", "-c", config, "-o", os.path.join(self.folder, "log"),
             "-a", "127.0.0.1", "-s", str(srv.free_port()),
             "-p", os.path.join(self.folder, "pid")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, self.proxy)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.proxy.poll() is None:
            try:
                srv.Talk(self.port).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def end(self, proxy):
        if proxy.poll() is None:
            proxy.terminate()
        proxy.wait(PATIENCE)

    def stored(self, key, value):
        """On a connection of its own: the proxy may close one after an error."""
        try:
            with srv.Talk(self.port) as talk:
                return self.set(talk, key, value) == b"STORED\r\n"
        except (OSError, srv.Failure):
            return False

    def test_the_death_of_one_takes_its_own_keys_only(self):
        with srv.Talk(self.port) as talk:
            for key in KEYS:
                self.assertEqual(self.set(talk, key, b"1"), b"STORED\r\n")
        parts = [self.holders(server) for server in self.servers]
        self.assertEqual(sum(len(part) for part in parts), len(KEYS))
        for part in parts:
            self.assertGreater(len(part), len(KEYS) // 10)

        # Whoever asks for its keys gets an error or two until it is put out of the ring.
        lost, kept = parts[1], parts[0] | parts[2]
        self.kill(self.servers[1])
        probe = min(lost)
        eventually(lambda: self.stored(probe, b"2"), "a place for a lost key")
        # Not one of the others has moved. The proxy tries the dead one again and again,
        # at the cost of an error; what is asserted is the answer when there is one.
        for key in sorted(kept):
            self.assertIn(self.ask(key), (b"1",), key)
        for key in sorted(lost):
            eventually(lambda key=key: self.stored(key, b"2"), "a place for a lost key")
        with self.servers[0].connect() as one, self.servers[2].connect() as two:
            for key in lost:
                self.assertIn(b"2", (self.get(one, key), self.get(two, key)))

        # Counters of a limiter go on where their server lives.
        self.assertEqual(self.count(min(kept), 50), 51)

        self.revive(self.servers[1])
        eventually(lambda: self.stored(probe, b"3") and self.holders(self.servers[1]),
                   "use of the revived server")

    def ask(self, key):
        """What the proxy answers, errors apart."""
        found = []

        def answered():
            try:
                with srv.Talk(self.port) as talk:
                    found.append(self.get(talk, key))
                return True
            except (OSError, srv.Failure):
                return False
        eventually(answered, "an answer")
        return found[0]

    def count(self, key, times):
        with srv.Talk(self.port) as talk:
            for _ in range(times):
                talk.send(b"incr " + key + b" 1\r\n")
                line = talk.line()
        return int(line)

    def test_clients_with_and_without_it_agree_where_a_key_lives(self):
        client = pylibmc.Client(["127.0.0.1:%d" % server.port for server in self.servers],
                                behaviors={"ketama_weighted": True})
        for key in KEYS:
            self.assertTrue(client.set(key.decode(), key))
        with srv.Talk(self.port) as talk:
            for key in KEYS:
                self.assertEqual(self.get(talk, key), key)
        client.disconnect_all()

    def test_many_gets_of_one_request_are_gathered_from_all(self):
        with srv.Talk(self.port) as talk:
            for key in KEYS[:90]:
                self.assertEqual(self.set(talk, key, key), b"STORED\r\n")
            talk.send(b"get " + b" ".join(KEYS[:90]) + b"\r\n")
            reply = talk.until(b"END\r\n")
        for key in KEYS[:90]:
            self.assertEqual(reply.count(b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(key), key)),
                             1)


class Ketama(Cluster):
    """pylibmc knows all servers itself: no proxy."""

    def client(self):
        client = pylibmc.Client(
            ["127.0.0.1:%d" % server.port for server in self.servers],
            behaviors={"ketama": True, "tcp_nodelay": True, "remove_failed": 1,
                       "retry_timeout": 1, "dead_timeout": 1,
                       "connect_timeout": 20000 * srv.SLOW})
        self.addCleanup(client.disconnect_all)
        return client

    def test_the_death_of_one_takes_its_own_keys_only(self):
        client = self.client()
        for key in KEYS:
            self.assertTrue(client.set(key.decode(), "1"))
        parts = [self.holders(server) for server in self.servers]
        self.assertEqual(sum(len(part) for part in parts), len(KEYS))
        for part in parts:
            self.assertGreater(len(part), len(KEYS) // 10)
        self.kill(self.servers[1])
        for key in sorted(parts[0] | parts[2]):
            self.assertEqual(client.get(key.decode()), "1", key)
        probe = min(parts[1]).decode()

        def stored():
            try:
                return client.set(probe, "2")
            except pylibmc.Error:
                return False
        eventually(stored, "a place for a lost key")
        for key in sorted(parts[0] | parts[2]):
            self.assertEqual(client.get(key.decode()), "1", key)


if __name__ == "__main__":
    if srv.peer():
        srv.skip("about this server's own fellows")
    if shutil.which("nutcracker") is None:
        srv.skip("nutcracker is not installed")
    try:
        import pylibmc
    except ImportError:
        srv.skip("pylibmc is not installed")
    unittest.main()
