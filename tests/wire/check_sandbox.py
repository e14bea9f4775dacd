#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Serving under -o sandbox=strict, where a system call too many ends the server.

What it protects: the list of system calls and files that serving needs is complete, so
that the default, in which anything else is refused, refuses nothing that is needed; and
`stats settings` tells the truth. Each test ends with a server that stops with status 0:
one that had made a call outside the list would have died of SIGSYS. Conversations of
other test programs are played again here under it. And the other way round: a worker that
serves is made to try what an intruder would, which ends the server or is refused.
"""
import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import faults  # noqa: E402
import packets  # noqa: E402
import server as srv  # noqa: E402

LAYERS = "no_new_privs,capabilities,landlock,seccomp"
STRICT = ["-o", "sandbox=strict"]
PATIENCE = 30 * srv.SLOW


def settings(server):
    report = server.stats(b"settings")
    return report.get("sandbox"), report.get("sandbox_layers")


def in_force():
    """The layers that this machine and this build have."""
    with srv.Server() as server:
        return settings(server)[1]


AVAILABLE = in_force() if not srv.peer() else "none"
NEEDS_ALL = unittest.skipUnless(
    AVAILABLE == LAYERS, "only %s here" % AVAILABLE)


def eventually(claim):
    end = time.monotonic() + PATIENCE
    while not claim():
        if time.monotonic() > end:
            raise srv.Failure("it did not happen in time")
        time.sleep(0.02)


def status_of(server):
    with open("/proc/%d/status" % server.process.pid) as file:
        return dict(re.findall(r"(\w+):\s+(\S+)", file.read()))


@unittest.skipIf(srv.peer(), "Larder's own")
class Telling(unittest.TestCase):
    def test_it_is_on_unless_told_otherwise(self):
        with srv.Server() as server:
            self.assertEqual(settings(server), ("on", AVAILABLE))

    def test_it_can_be_turned_off(self):
        for words in ("sandbox=off", "no_drop_privileges"):
            with srv.Server("-o", words) as server:
                self.assertEqual(settings(server), ("off", "none"))
        with srv.Server("-o", "sandbox=off,drop_privileges") as server:
            self.assertEqual(settings(server)[0], "on")

    def test_logging_denies_no_files(self):
        with srv.Server("-o", "sandbox=log") as server:
            mode, layers = settings(server)
            self.assertEqual(mode, "log")
            self.assertNotIn("landlock", layers)

    def test_a_word_it_does_not_know_is_refused(self):
        done = subprocess.run([srv.binary(), "-o", "sandbox=maybe"], stderr=subprocess.PIPE,
                              timeout=srv.START_SECONDS, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"off, log, on, strict", done.stderr)

    @unittest.skipIf(AVAILABLE == LAYERS, "everything is there")
    def test_strictly_it_does_not_start_without_a_layer(self):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [srv.binary(), *user, "-p", "-1", *STRICT], stderr=subprocess.PIPE,
            timeout=srv.START_SECONDS, check=False)
        self.assertEqual(done.returncode, 71, done.stderr)
        self.assertIn(b"sandbox=strict", done.stderr)

    @NEEDS_ALL
    def test_the_kernel_says_so_too(self):
        with srv.Server("-t", "3") as server:
            status = status_of(server)
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(status["Seccomp"], "2")
            for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
                self.assertEqual(int(status[name], 16), 0, name)
            tasks = "/proc/%d/task" % server.process.pid
            for task in os.listdir(tasks):
                with open(os.path.join(tasks, task, "status")) as file:
                    text = file.read()
                self.assertRegex(text, r"Seccomp:\s+2\b")
                self.assertRegex(text, r"CapEff:\s+0+\b")


@NEEDS_ALL
class Strictly(unittest.TestCase):
    def write(self, path, text):
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def test_clients_come_and_go_while_memory_grows(self):
        value = b"x" * 300000 + b"\r\n"
        with srv.Server("-m", "64", "-I", "8m", "-t", "4", *STRICT) as server:
            talks = [server.connect() for _ in range(100)]
            for number, talk in enumerate(talks):
                for turn in range(5):
                    talk.ask(b"set k%d-%d 0 0 300000\r\n" % (number, turn) + value,
                             b"STORED\r\n")
                talk.ask(b"get k%d-4\r\n" % number,
                         b"VALUE k%d-4 0 300000\r\n" % number + value + b"END\r\n")
            for talk in talks:
                talk.close()
            with server.connect() as talk:
                talk.ask(b"cache_memlimit 100\r\n", b"OK\r\n")
                for number in range(300):
                    talk.ask(b"set more%d 0 0 300000\r\n" % number + value, b"STORED\r\n")
                talk.ask(b"cache_memlimit 16\r\n", b"OK\r\n")
                talk.ask(b"flush_all\r\n", b"OK\r\n")
                talk.ask(b"verbosity 1\r\nverbosity 0\r\n", b"OK\r\nOK\r\n")

    def test_every_report_is_answered(self):
        with srv.Server("-t", "2", *STRICT) as server:
            for what in (b"", b"settings", b"items", b"slabs", b"sizes", b"conns",
                         b"detail dump"):
                server.ask(b"stats " + what if what else b"stats")
            server.ask(b"lru_crawler metadump all")
            server.ask(b"stats reset", b"RESET\r\n")

    def test_the_password_file_is_read_again_and_may_be_replaced(self):
        with tempfile.TemporaryDirectory(prefix="larder-") as folder:
            path = os.path.join(folder, "passwords")
            self.write(path, "old:one\n")
            hello = (b"set a 0 0 7\r\nold one\r\n", b"STORED")
            with srv.Server("-Y", path, *STRICT, hello=hello) as server:
                self.write(path, "new:two\n")
                server.send_signal(signal.SIGHUP)

                def knows():
                    with server.connect() as talk:
                        talk.send(b"set a 0 0 7\r\nnew two\r\n")
                        return talk.line() == b"STORED\r\n"
                eventually(knows)
                os.unlink(path)  # and a failure is survived
                server.send_signal(signal.SIGHUP)
                eventually(lambda: "old passwords stay" in server.stderr())
                self.assertTrue(knows())

    def test_packets_and_their_passwords(self):
        with tempfile.TemporaryDirectory(prefix="larder-") as folder:
            path = os.path.join(folder, "passwords")
            self.write(path, "user:secret\n")
            hello = (packets.request("version"), b"\x81\x0b")
            try:
                opened = srv.Server("-S", *STRICT, hello=hello,
                                    env={"MEMCACHED_SASL_PWDB": path})
                server = opened.__enter__()
            except srv.Failure as failure:
                self.assertIn("SASL", str(failure))  # not built in
                return
            with packets.Binary(server.connect()) as client:
                reply = client.ask("sasl_auth", key=b"PLAIN", value=b"\0user\0secret")
                self.assertEqual(reply.status, 0)
                self.assertEqual(client.ask("set", key=b"k", extras=8 * b"\0",
                                            value=b"v").status, 0)
            opened.__exit__(None, None, None)

    def test_it_shuts_down_by_command_and_by_signals(self):
        for signals in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            with srv.Server(*STRICT) as server:
                server.stop(signals)
        for line in (b"shutdown\r\n", b"shutdown graceful\r\n"):
            with srv.Server("-A", *STRICT) as server:
                with server.connect() as talk:
                    talk.send(line)
                server.wait()

    def test_what_it_made_it_removes(self):
        with tempfile.TemporaryDirectory(prefix="larder-") as folder:
            path, pid_file = os.path.join(folder, "socket"), os.path.join(folder, "pid")
            user = ["-u", "root"] if os.geteuid() == 0 else []
            subprocess.run([srv.binary(), *user, "-d", "-s", path, "-P", pid_file, *STRICT],
                           check=True, timeout=srv.START_SECONDS)
            eventually(lambda: os.path.exists(pid_file) and os.path.exists(path))
            with open(pid_file) as file:
                pid = int(file.read())
            os.kill(pid, signal.SIGTERM)
            eventually(lambda: not os.path.exists(pid_file) and not os.path.exists(path))
            eventually(lambda: not os.path.exists("/proc/%d" % pid))

    def test_the_conversations_of_other_programs(self):
        """Run as they are, with every server of theirs under the strict sandbox."""
        env = dict(os.environ, LARDER_SERVER_OPTIONS=" ".join(STRICT))
        for name in ("check_wire.py", "check_binary.py", "check_auth.py", "check_matrix.py",
                     "check_counts.py", "check_udp.py", "check_namespaces.py",
                     "check_restart.py", "check_tls.py"):
            path = os.path.join(HERE, name)
            if not os.path.exists(path):
                continue
            done = subprocess.run(
                [sys.executable, path], env=env, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=600 * srv.SLOW, check=False)
            text = done.stdout.decode("utf-8", "replace")
            self.assertIn(done.returncode, (0, srv.SKIP), name + ": " + text[-3000:])


DEADLY = ("execve", "ptrace", "process_vm_readv", "bpf", "mount", "setuid", "unshare")
REFUSED = {**dict.fromkeys(("clone", "socket", "connect", "bind", "kill", "mmap", "prctl",
                            "getdents64"), errno.EPERM), "openat": errno.EACCES}


@NEEDS_ALL
class Intruders(unittest.TestCase):
    """A worker of a running server makes the call, amid the commands of a client."""

    def attempt(self, name, mode):
        """What came of it, an errno or 0; or minus the signal that the server died of."""
        cache = faults.FaultyServer("-t", "1", "-o", "sandbox=" + mode)
        try:
            with cache.__enter__().connect() as talk:
                talk.ask(b"set k 0 0 1\r\n1\r\n", b"STORED\r\n")
                cache.faults.intrude(name)
                try:
                    talk.ask(b"get k\r\n", b"VALUE k 0 1\r\n1\r\nEND\r\n")
                except (OSError, srv.Failure):
                    return cache.process.wait(PATIENCE)
            outcome = cache.faults.sheet.outcome
            self.assertGreater(outcome, faults.NO_OUTCOME, name)
            cache.stop()
            return outcome
        finally:
            cache.kill()
            cache.errors.close()
            cache.faults.close()

    def test_what_only_an_intruder_does_ends_the_server(self):
        for mode in ("on", "strict"):
            for name in DEADLY:
                self.assertEqual(self.attempt(name, mode), -signal.SIGSYS, (name, mode))

    def test_what_serving_does_not_need_is_refused_and_it_goes_on(self):
        for name, error in REFUSED.items():
            self.assertEqual(self.attempt(name, "on"), error, name)

    def test_strictly_that_ends_the_server_too(self):
        for name, error in REFUSED.items():
            self.assertEqual(self.attempt(name, "strict"),
                             -signal.SIGSYS if error == errno.EPERM else error, name)

    def test_without_the_sandbox_all_of_that_is_answered_by_the_kernel(self):
        """Which shows that the calls are made."""
        self.assertEqual(self.attempt("mmap", "off"), 0)
        self.assertEqual(self.attempt("socket", "off"), 0)
        self.assertEqual(self.attempt("openat", "off"), 0)
        self.assertEqual(self.attempt("connect", "off"), errno.EBADF)
        for name in DEADLY:
            self.assertGreaterEqual(self.attempt(name, "off"), 0, name)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
