#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The configuration file, reading it again, and what the service manager hears.

What it protects: an operator who edits the file and reloads gets what can change, is told
what can't, and never loses a running server to a slip in the file; the manager restarts a
server of which one worker hangs, and no other.
"""
import ctypes
import os
import re
import signal
import socket
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_cli  # noqa: E402
import server as srv  # noqa: E402


class Case(check_cli.Case):
    """Servers whose stderr goes to a file, so that it can be read while they serve."""

    def write(self, text, name="conf"):
        """In one step, as editors do it."""
        path = self.path(name)
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)
        return path

    def serve(self, text, *options, env=None):
        path = self.write(text)
        process, port = self.start("--config", path, *options, env=env)
        self.log = b""
        os.set_blocking(process.stderr.fileno(), False)
        return process, port

    def said(self, process):
        """All of its stderr so far."""
        self.log += process.stderr.read() or b""
        return self.log.decode()

    def hang_up(self, process, text):
        """Reloads, and waits until `text` is on the log."""
        process.send_signal(signal.SIGHUP)
        self.eventually(lambda: text in self.said(process))

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(srv.STOP_SECONDS), 0, self.said(process))
        said = self.said(process)
        self.assertIsNone(srv.REPORT.search(said.encode()), said)

    def settings(self, port):
        with self.talk(port) as talk:
            talk.send(b"stats settings\r\n")
            lines = talk.until(b"END\r\n").decode().split("\r\n")
        return {line.split(" ", 2)[1]: line.split(" ", 2)[2]
                for line in lines if line.startswith("STAT ")}


class Files(Case):
    def test_a_file_is_obeyed_and_the_command_line_overrides_it(self):
        process, port = self.serve("-m 100\n-I 2m # large pages\nthreads = 3\n", "-t", "2")
        settings = self.settings(port)
        self.assertEqual(settings["maxbytes"], str(100 << 20))
        self.assertEqual(settings["item_size_max"], str(2 << 20))
        self.assertEqual(settings["num_threads"], "2")
        self.stop(process)

    def test_a_bad_line_keeps_it_from_starting_and_is_named(self):
        path = self.write("-m 64\nmemory-limt 64\n")
        self.assertEqual(self.run_to_end("--config", path), (
            64, "", path + ':2: unknown option "memory-limt"\nNearest: --memory-limit\n'))
        path = self.write("-c none\n")
        status, _, err = self.run_to_end("--config", path)
        self.assertEqual(status, 1)
        self.assertIn(path + ":1: refused: conn-limit none\n", err)
        status, _, err = self.run_to_end("--config", self.path("absent"))
        self.assertEqual(status, 64)
        self.assertIn("absent: No such file or directory\n", err)

    def test_no_shell_reads_the_file(self):
        mark = self.path("mark")
        for line in ("; touch %s", "$(touch %s)", "-m 64; touch %s", "`touch %s`",
                     "-u $(touch %s)"):
            path = self.write(line % mark + "\n-p x")
            self.assertNotEqual(self.run_to_end("--config", path, user=False)[0], 0)
        self.assertFalse(os.path.exists(mark))

    def test_wrong_names_get_the_nearest(self):
        for words, near in ((("--memory-limti=5",), "--memory-limit"),
                            (("-o", "idle_timeuot=5"), "-o idle_timeout"),
                            (("--idle-timeout=5",), "-o idle_timeout"),
                            (("-o", "threads=5"), "--threads")):
            status, _, err = self.run_to_end(*words)
            self.assertEqual(status, 1)
            self.assertTrue(err.endswith("Nearest: %s\n" % near), err)
            self.assertIn(re.split("[= ]", words[-1].lstrip("-"))[0], err)
        self.assertNotIn("Nearest", self.run_to_end("--zzzzzz")[2])


class CheckConfig(Case):
    def test_it_prints_a_file_that_says_the_same_and_binds_nothing(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            path = self.write("-m 100\n-p %d\n-o idle_timeout=9\n-M\n"
                              % taken.getsockname()[1])
            status, out, err = self.run_to_end("--check-config", "--config", path)
            self.assertEqual((status, err), (0, ""))
            for line in ("memory-limit 100", "port %d" % taken.getsockname()[1],
                         "-o idle_timeout=9", "disable-evictions", "# threads 4"):
                self.assertIn("\n%s\n" % line, out)
            again = self.run_to_end("--config", self.write(out, "printed"),
                                    "--check-config")
            self.assertEqual(again, (0, out, ""))

    def test_whatever_is_wrong_has_one_status(self):
        for words in (("-c", "0"), ("--zzz",), ("-p", "70000"), ("--config", "/none"),
                      ("-Y", "/none"), ("-Z",), ("stray",)):
            for order in (("--check-config", *words), (*words, "--check-config")):
                status, out, err = self.run_to_end(*order)
                self.assertEqual((status, out), (64, ""), err)
                self.assertNotEqual(err, "")


class Reload(Case):
    def test_what_can_change_does(self):
        process, port = self.serve("-m 100\n-v\n")
        path = self.write("-m 64\n-vv\n-o idle_timeout=300\n")
        self.hang_up(process, "idle_timeout is 300 now, was 0")
        said = self.said(process)
        self.assertIn("SIGHUP: memory-limit is 64 now, was 100\n", said)
        self.assertIn("SIGHUP: verbose is 2 now, was 1\n", said)
        settings = self.settings(port)
        self.assertEqual(settings["maxbytes"], str(64 << 20))
        self.assertEqual(settings["verbosity"], "2")
        self.assertEqual(settings["idle_timeout"], "300")
        self.write("-m 64\n-v\n")
        self.hang_up(process, "idle_timeout is 0 now")
        self.hang_up(process, path + ": nothing new")
        self.stop(process)

    def test_a_new_idle_time_closes_those_who_were_idle_before(self):
        process, port = self.serve("-v\n")
        with self.talk(port) as talk:
            talk.ask(b"mn\r\n", b"MN\r\n")
            self.write("-v\n-o idle_timeout=1\n")
            self.hang_up(process, "idle_timeout is 1 now")
            talk.expect_close(srv.START_SECONDS)
        self.stop(process)

    def test_what_cannot_change_stays_and_is_named(self):
        process, port = self.serve("-m 64\n-t 2\n")
        self.write("-m 64\n-t 3\n-I 2m\n-o no_maxconns_fast\n-l ::1\n")
        self.hang_up(process, "maxconns_fast stays on until a restart, not off")
        said = self.said(process)
        for line in ("listen stays 127.0.0.1 until a restart, not ::1",
                     "threads stays 2 until a restart, not 3",
                     "max-item-size stays 1048576 until a restart, not 2097152"):
            self.assertIn("SIGHUP: %s\n" % line, said)
        settings = self.settings(port)
        self.assertEqual(settings["num_threads"], "2")
        self.assertEqual(settings["item_size_max"], str(1 << 20))
        self.stop(process)

    def test_a_broken_file_changes_nothing(self):
        users = self.write("me:old\n", "users")
        process, port = self.serve("-m 64\n-Y %s\n" % users)
        self.write("me:new\n", "users")
        path = self.write("-m 128\nnonsense\n-vv\n")
        self.hang_up(process, path + ": refused; nothing was changed")
        self.assertIn(path + ':2: unknown option "nonsense"\n', self.said(process))
        with self.talk(port) as talk:
            talk.ask(b"set a 0 0 6\r\nme old\r\n", b"STORED\r\n")
            talk.send(b"stats settings\r\n")
            settings = talk.until(b"END\r\n")
        self.assertIn(b"STAT maxbytes %d\r\n" % (64 << 20), settings)
        self.assertIn(b"STAT verbosity 0\r\n", settings)
        self.write("-m 128\n-Y %s\n-v\n" % users)
        self.hang_up(process, "passwords read again")
        with self.talk(port) as talk:
            talk.ask(b"set a 0 0 6\r\nme new\r\n", b"STORED\r\n")
        self.stop(process)

    def test_a_value_set_by_a_command_stays_until_the_file_says_another(self):
        process, port = self.serve("-v\n-m 100\n")
        with self.talk(port) as talk:
            talk.ask(b"cache_memlimit 50\r\n", b"OK\r\n")
        self.hang_up(process, ": nothing new")
        self.assertEqual(self.settings(port)["maxbytes"], str(50 << 20))
        self.write("-v\n-m 90\n")
        self.hang_up(process, "memory-limit is 90 now, was 100")
        self.assertEqual(self.settings(port)["maxbytes"], str(90 << 20))
        self.stop(process)

    def test_the_command_line_goes_on_to_override(self):
        process, port = self.serve("-v\n-m 100\n", "-m", "77")
        self.write("-v\n-m 90\n")
        self.hang_up(process, ": nothing new")
        self.assertEqual(self.settings(port)["maxbytes"], str(77 << 20))
        self.stop(process)


class Manager(Case):
    """Type=notify: a socket in place of systemd."""

    def setUp(self):
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(self.path("notify"))
        self.manager.settimeout(srv.START_SECONDS + 60)

    def tearDown(self):
        self.manager.close()
        super().tearDown()

    def hear(self, start, other=None):
        """The next message that begins with `start`; those with `other` are counted."""
        others = 0
        while True:
            message = self.manager.recv(4096)
            if message.startswith(start):
                return message, others
            others += other is not None and message.startswith(other)

    def forget(self):
        """Drops what has been said and not heard."""
        seconds = self.manager.gettimeout()
        self.manager.settimeout(0)
        try:
            while True:
                self.manager.recv(4096)
        except BlockingIOError:
            self.manager.settimeout(seconds)

    def serve(self, text, *options, **env):
        return super().serve(text, *options,
                             env=dict(env, NOTIFY_SOCKET=self.path("notify")))

    def test_it_says_how_it_does(self):
        process, port = self.serve("-m 64\n")
        self.hear(b"READY=1")
        message, _ = self.hear(b"STATUS=")
        self.assertRegex(message, rb"^STATUS=0 items, \d+ of 64 MiB, no gets yet, "
                                  rb"\d+ clients$")
        with self.talk(port) as talk:
            talk.ask(b"set k 0 0 1\r\nv\r\n", b"STORED\r\n")
            talk.ask(b"get k\r\nget k\r\nget k\r\nget x\r\n",
                     b"VALUE k 0 1\r\nv\r\nEND\r\n" * 3 + b"END\r\n")
            while b"75.0 % hits" not in message:
                message, _ = self.hear(b"STATUS=")
            self.assertRegex(message, rb"^STATUS=1 items, .* 75.0 % hits, 1 clients$")
        self.stop(process)
        self.hear(b"STOPPING=1")

    def test_a_reload_has_a_beginning_and_an_end(self):
        process, _ = self.serve("-m 64\n")
        self.hear(b"READY=1")
        process.send_signal(signal.SIGHUP)
        message, _ = self.hear(b"RELOADING=1")
        self.assertRegex(message, rb"^RELOADING=1\nMONOTONIC_USEC=\d+$")
        self.hear(b"READY=1")
        self.stop(process)

    def test_nobody_is_fed_who_did_not_ask(self):
        process, _ = self.serve("-m 64\n", WATCHDOG_USEC="30000000", WATCHDOG_PID="1")
        self.hear(b"STATUS=", b"WATCHDOG=1")
        self.assertEqual(self.hear(b"STATUS=", b"WATCHDOG=1")[1], 0)
        self.stop(process)

    def freeze(self, process):
        """Stops one worker, alone. Returns what lets it go on."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                                ctypes.c_void_p]
        seize, interrupt, detach = 0x4206, 0x4207, 17
        folder = "/proc/%d/task" % process.pid
        for task in sorted(os.listdir(folder)):
            with open(os.path.join(folder, task, "comm")) as file:
                if file.read() == "worker-1\n":
                    thread = int(task)
        if libc.ptrace(seize, thread, None, None) != 0:
            self.skipTest("ptrace: " + os.strerror(ctypes.get_errno()))
        self.assertEqual(libc.ptrace(interrupt, thread, None, None), 0)
        os.waitpid(thread, 0x40000000)  # __WALL
        return lambda: libc.ptrace(detach, thread, None, None)

    def test_the_watchdog_is_fed_only_while_every_worker_ticks(self):
        process, port = self.serve("-m 64\n-t 3\n", WATCHDOG_USEC="30000000")
        for _ in range(2):
            self.hear(b"WATCHDOG=1")
        go_on = self.freeze(process)
        self.forget()
        # What it had ticked before may count once.
        fed = sum(self.hear(b"STATUS=", b"WATCHDOG=1")[1] for _ in range(3))
        self.assertLessEqual(fed, 1)
        go_on()
        self.hear(b"WATCHDOG=1")
        self.stop(process)


if __name__ == "__main__":
    if srv.peer():
        srv.skip("about this server's own habits")
    unittest.main()
