#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How the program starts, refuses to start, and ends.

What it protects: start scripts and units that work with memcached work here: the same
options, messages and exit statuses, signals, files and sockets. Differences are meant:
what is garbage is refused, and a unix socket's file goes with the server.
"""
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

ROOT = os.geteuid() == 0
USER = ["-u", "root"] if ROOT else []


class Case(unittest.TestCase):
    """A directory of its own; every server that was started is ended."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-")
        self.running = []

    def tearDown(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_to_end(self, *options, user=True, env=None, before=None):
        """Runs a command line that ends by itself: status, stdout, stderr."""
        done = subprocess.run(
            [srv.binary(), *(USER if user else []), *options], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=srv.START_SECONDS,
            env=dict(os.environ, **(env or {})), preexec_fn=before, check=False)
        self.assertIsNone(srv.REPORT.search(done.stderr), done.stderr)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def start(self, *options, user=True, port=True, env=None, wait=True, **more):
        """Starts a server that stays; with `port` on a free one, which is returned."""
        ports = self.path("ports-%d" % len(self.running))
        process = subprocess.Popen(
            [srv.binary(), *(USER if user else []), *(["-p", "-1"] if port else []),
             *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(os.environ, MEMCACHED_PORT_FILENAME=ports, **(env or {})), **more)
        self.running.append(process)
        if not wait:
            return process, None
        self.eventually(lambda: os.path.exists(ports) or process.poll() is not None)
        self.assertIsNone(process.poll(), "ended early")
        if not port:
            return process, None
        with open(ports) as file:
            lines = file.read().splitlines()
        self.assertTrue(lines, "no port in the file")
        return process, int(lines[0].rpartition(":")[2])

    def eventually(self, claim, seconds=srv.START_SECONDS):
        end = time.monotonic() + seconds
        while not claim():
            self.assertLess(time.monotonic(), end, "it did not happen in time")
            time.sleep(0.01)

    def end(self, process, number=signal.SIGTERM, status=0):
        """Sends a signal; the exit status and what was on stderr."""
        if number is not None:
            process.send_signal(number)
        self.assertEqual(process.wait(srv.STOP_SECONDS), status)
        said = process.stderr.read()
        self.assertIsNone(srv.REPORT.search(said), said)
        return said.decode()

    def talk(self, port):
        return srv.Talk(port)


class Refusals(Case):
    # Command line, status, text on stderr. CLI-nn: shared name of the case.
    CASES = (
        ("-m 1", 64, "Cannot set item size limit higher than 1/2 of memory max.\n"),
        ("-m lots", 64, "Cannot set item size limit higher than 1/2 of memory max.\n"),
        ("-c 0", 1, "Maximum connections must be greater than 0\n"),
        ("-t 0", 1, "Number of threads must be greater than 0\n"),
        ("-f 1", 1, "Factor must be greater than 1\n"),
        ("-n 0", 1, "Chunk size must be greater than 0\n"),
        ("-R 0", 1, "Number of requests per event must be greater than 0\n"),
        ("-B text", 64, "Invalid value for binding protocol: text\n"),
        ("-I 1000", 64, "Item max size cannot be less than 1024 bytes.\n"),
        ("-I 4k", 64, "slab_chunk_max (bytes: 524288) cannot be larger than -I "
                      "(item_size_max 4096)\n"),
        ("-I 700k", 64, "-I (item_size_max: 716800) must be evenly divisible by "
                        "slab_chunk_max (bytes: 524288)\n"),
        ("-I 40m", 64, "Cannot set item size limit higher than 1/2 of memory max.\n"),
        ("-p 70000", 64, "ERROR: Invalid port number 70000.\n"),
        ("-p -1 -l 127.0.0.1:xyz", 71, 'Invalid port number: "xyz"\n'),
        ("-p -1 -l 127.0.0.1:xyz", 71, "failed to listen on one of interface(s)"),
        ("-p -1 -l notls:127.0.0.1", 71,
         "'notls' option is valid only when SSL is enabled\n"),
        ("-p -1 -l tag[ninechars]:127.0.0.1", 71,
         'Listener tags must be between 1 and 8 characters: "ninechars"\n'),
        ("-p -1 -l proto[http]:127.0.0.1", 71, "http"),
        ("-p -1 -l [::1", 71, "[::1"),
        ("-p -1 -l name.invalid", 71, "getaddrinfo()"),
        ("-o turbo", 1, 'Illegal suboption "turbo"\n'),
        ("-o hashpower=11", 1, "Initial hashtable multiplier of 11 is too low\n"),
        ("-o hashpower=33", 1, "Initial hashtable multiplier of 33 is too high\n"),
        ("-o slab_automove=3", 1, "slab_automove must be between 0 and 2\n"),
        ("-o hot_lru_pct=45,warm_lru_pct=45", 64,
         "hot_lru_pct + warm_lru_pct cannot be more than 80% combined\n"),
        ("-o temporary_ttl=30,no_lru_maintainer", 64,
         "temporary_ttl requires lru_maintainer to be enabled\n"),
        ("-o slab_sizes=200-150", 64,
         "slab size 150 cannot be lower than or equal to a previous class size\n"),
        ("-o slab_chunk_max=4096", 1, "slab_chunk_max must be specified in kilobytes.\n"),
        ("-o idle_timeout", 1, "Missing numeric argument for idle_timeout\n"),
        ("--nonsense", 1, 'Illegal argument "?"\n'),
        ("-Z -p 0", 64, "ERROR: You cannot enable SSL without a TCP port.\n"),
        ("-Z", 64, ""),
    )

    def test_bad_options_are_refused_as_memcached_does(self):
        for line, status, text in self.CASES:
            with self.subTest(line):
                got, out, err = self.run_to_end(*line.split())
                self.assertEqual(got, status, err)
                self.assertIn(text, err)
                self.assertEqual(out, "")

    @unittest.skipUnless(ROOT, "needs root")
    def test_root_must_name_a_user_that_exists(self):
        self.assertEqual(self.run_to_end(user=False),
                         (64, "", "must add '-u root' to start as root\n"))
        status, _, err = self.run_to_end("-u", "nobodyhere", user=False)
        self.assertEqual((status, err),
                         (67, "can't find the user nobodyhere to switch to\n"))

    def test_a_port_that_is_taken_ends_the_start(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = str(other.getsockname()[1])
            status, _, err = self.run_to_end("-l", "127.0.0.1", "-p", port)
        self.assertEqual(status, 71)
        self.assertIn("failed to listen on one of interface(s) 127.0.0.1: "
                      "Address already in use\n", err)

    def test_version_help_and_licence_go_to_stdout(self):
        status, out, err = self.run_to_end("-V", user=False)
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^larder 1\.6\.45-larder\d+\.\d+\.\d+\n$")
        status, text, err = self.run_to_end("-h", user=False)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(text.splitlines()[0] + "\n", out)
        for word in ("-p, --port", "-m, --memory-limit", "-o, --extended",
                     "maxconns_fast", "(default: 11211)"):
            self.assertIn(word, text)
        status, text, err = self.run_to_end("-i", user=False)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("Redistribution", text)

    def test_the_manual_page_has_every_option(self):
        page = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            "../../doc/larder.1")
        with open(page) as file:
            text = file.read().replace("\\-", "-")
        _, out, _ = self.run_to_end("-h", user=False)
        for line in out.split("Environment")[0].splitlines():
            found = re.match(r"  -(\w), --([\w-]+)|      (\w+)", line)
            if found and not line.startswith(" " * 7):
                letter, option, word = found.groups()
                name = "--" + option if option else word
                self.assertRegex(text, r"\b%s\b" % re.escape(name.lstrip("-")), name)


class Starts(Case):
    def test_warnings_do_not_keep_it_from_starting(self):
        for line, said in (("-t 65", "WARNING"), ("-o modern,inline_ascii_resp,"
                           "no_drop_privileges", ""), ("-o hot_lru_pct=30", "hot_lru_pct"),
                           ("-o slab_chunk_max=256", "64 KiB")):
            with self.subTest(line):
                process, port = self.start(*line.split())
                with self.talk(port) as talk:
                    talk.ask(b"get k\r\n", b"END\r\n")
                text = self.end(process)
                self.assertEqual(said in text and bool(said), bool(text), text)

    # Sanitizers make mlockall() do nothing.
    @unittest.skipUnless(ROOT and not srv.sanitized(), "needs root")
    def test_a_limit_on_locked_memory_is_only_a_warning(self):
        os.chmod(self.folder, 0o777)

        def limit():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 << 20, 8 << 20))

        process, port = self.start("-k", "-u", "nobody", user=False, preexec_fn=limit)
        with self.talk(port) as talk:
            talk.ask(b"get k\r\n", b"END\r\n")
        self.assertIn("mlockall() failed", self.end(process))

    def test_without_an_address_only_this_machine_is_served(self):
        _, port = self.start()
        with open("/proc/net/tcp") as file:
            rows = [row.split()[1:4] for row in file.read().splitlines()[1:]]
        listening = [row[0] for row in rows
                     if row[2] == "0A" and int(row[0].split(":")[1], 16) == port]
        self.assertEqual(listening, ["0100007F:%04X" % port])

    def test_it_never_opens_udp_unasked(self):
        process, port = self.start()
        for name in ("udp", "udp6"):
            if os.path.exists("/proc/net/" + name):
                with open("/proc/net/" + name) as file:
                    self.assertNotIn(":%04X " % port, file.read())
        self.end(process)

    def test_a_list_of_addresses_is_served_with_one_free_port(self):
        process, port = self.start("-l", "127.0.0.1,127.0.0.2", "-l", "127.0.0.3")
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            with socket.create_connection((host, port), 5) as talk:
                talk.sendall(b"mn\r\n")
                self.assertEqual(talk.recv(10), b"MN\r\n")
        self.end(process)

    def test_every_address_and_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 here")
        process, port = self.start("-l", "*")
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 5).close()
        self.end(process)
        process, _ = self.start("-l", "[::1]:0")
        self.end(process)

    def test_the_port_file_says_which_ports(self):
        ports = self.path("ports-0")
        process, port = self.start("-l", "127.0.0.1,127.0.0.2")
        with open(ports) as file:
            self.assertEqual(file.read(), "TCP INET: %d\n" % port * 2)
        self.assertFalse(os.path.exists(ports + ".lck"))
        self.end(process)

    def test_without_a_port_there_is_no_listener(self):
        process, _ = self.start("-p", "0", port=False)
        self.assertFalse(self.sockets(process))
        self.end(process)

    def sockets(self, process):
        """Descriptors of sockets that `process` holds."""
        folder = "/proc/%d/fd" % process.pid
        links = [os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)]
        return [link for link in links if link.startswith("socket:")]

    def test_a_pid_file_stays_without_d_and_goes_with_it(self):
        pid = self.path("pid")
        process, port = self.start("-P", pid)
        self.eventually(lambda: os.path.exists(pid))
        with open(pid) as file:
            self.assertEqual(file.read(), "%d\n" % process.pid)
        self.assertFalse(os.path.exists(pid + ".tmp"))
        self.end(process)
        self.assertTrue(os.path.exists(pid))

    def test_an_unwritable_pid_file_is_only_a_message(self):
        process, _ = self.start("-P", self.path("none/pid"))
        self.assertIn("Could not open the pid file", self.end(process))

    def test_a_daemon_detaches(self):
        pid, ports = self.path("pid"), self.path("ports")
        status, out, err = self.run_to_end(
            "-d", "-P", pid, "-p", "-1", env={"MEMCACHED_PORT_FILENAME": ports})
        self.assertEqual((status, out, err), (0, "", ""))
        self.eventually(lambda: os.path.exists(pid) and os.path.exists(ports))
        with open(pid) as file:
            number = int(file.read())
        try:
            self.assertEqual(os.readlink("/proc/%d/cwd" % number), "/")
            self.assertEqual(os.readlink("/proc/%d/fd/1" % number), "/dev/null")
            self.assertEqual(os.getsid(number), number)
            with open(ports) as file:
                port = int(file.read().rpartition(":")[2])
            with self.talk(port) as talk:
                talk.ask(b"get k\r\n", b"END\r\n")
        finally:
            os.kill(number, signal.SIGTERM)
        self.eventually(lambda: not os.path.exists(pid))

    @unittest.skipUnless(ROOT, "needs root")
    def test_it_becomes_the_user_for_good(self):
        os.chmod(self.folder, 0o777)
        process, port = self.start("-u", "nobody", user=False)
        with open("/proc/%d/status" % process.pid) as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        import pwd
        entry = pwd.getpwnam("nobody")
        self.assertEqual(set(status["Uid"].split()), {str(entry.pw_uid)})
        self.assertEqual(set(status["Gid"].split()), {str(entry.pw_gid)})
        self.assertEqual(status["Groups"].split(), [])
        self.end(process)

    def test_more_clients_than_files_is_a_warning(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
        process, port = self.start("-c", "5000", preexec_fn=limit)
        with self.talk(port) as talk:
            talk.ask(b"get k\r\n", b"END\r\n")
            talk.send(b"stats\r\n")
            text = talk.until(b"END\r\n")
        # Root may raise the limit, unless it lacks the capability for it.
        raised = b"STAT max_connections 5000\r\n" in text
        self.assertEqual("WARNING" in self.end(process), not raised)

    def test_sockets_of_a_service_manager_are_taken(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            # The shell puts the socket where the protocol wants it and names the process.
            script = 'exec 3<&%d; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"' % (
                listener.fileno())
            process = subprocess.Popen(
                ["/bin/bash", "-c", script, "sh", srv.binary(), *USER, "-p", "1"],
                stderr=subprocess.PIPE, pass_fds=[listener.fileno()])
            self.running.append(process)
            with self.talk(port) as talk:
                talk.ask(b"get k\r\n", b"END\r\n")
        self.end(process)

    def test_the_service_manager_is_told(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(self.path("notify"))
            manager.settimeout(srv.START_SECONDS)
            process, port = self.start(env={"NOTIFY_SOCKET": self.path("notify")})
            self.assertIn(b"READY=1", manager.recv(4096))
            with self.talk(port) as talk:
                talk.ask(b"get k\r\n", b"END\r\n")
            self.end(process)
            self.assertIn(b"STOPPING=1", manager.recv(4096))


class Signals(Case):
    def test_terminate_and_interrupt_end_it_in_silence(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process, _ = self.start()
            self.assertEqual(self.end(process, number), "")

    def test_verbosely_it_says_so(self):
        process, _ = self.start("-v")
        self.assertIn("Exiting normally\n", self.end(process))

    def test_user_signal_ends_it_gracefully(self):
        process, _ = self.start()
        self.assertEqual(self.end(process, signal.SIGUSR1), "Gracefully stopping\n")

    def test_hangup_and_pipe_do_nothing(self):
        process, port = self.start()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGPIPE)
        time.sleep(0.1)
        with self.talk(port) as talk:
            talk.ask(b"get k\r\n", b"END\r\n")
        self.assertEqual(self.end(process), "")

    def test_clients_do_not_delay_the_end(self):
        process, port = self.start()
        talks = [self.talk(port) for _ in range(20)]
        talks[0].send(b"set k 0 0 500000\r\n" + b"v" * 500000 + b"\r\n" + b"get k\r\n" * 40)
        talks[1].send(b"set k 0 0 500000\r\nhalf")
        time.sleep(0.1)
        self.assertEqual(self.end(process), "")
        talks[5].expect_close()
        for talk in talks:
            talk.close()

    def test_the_shutdown_command(self):
        process, port = self.start("-A")
        with self.talk(port) as talk:
            talk.ask(b"shutdown later\r\n", b"CLIENT_ERROR invalid shutdown mode\r\n")
            talk.send(b"shutdown\r\n")
            talk.expect_close()
        self.assertEqual(self.end(process, None), "")
        process, port = self.start("-A")
        with self.talk(port) as talk:
            talk.send(b"shutdown graceful\r\n")
            talk.expect_close()
        self.assertEqual(self.end(process, None), "Gracefully stopping\n")


class UnixSocket(Case):
    def connect(self, path):
        talk = socket.socket(socket.AF_UNIX)
        talk.settimeout(srv.REPLY_SECONDS)
        try:
            talk.connect(path)
        except OSError:
            talk.close()
            raise
        return talk

    def start_at(self, path, *options):
        process, _ = self.start("-s", path, *options, port=False, wait=False)
        self.eventually(lambda: process.poll() is not None or self.answers(path))
        return process

    def answers(self, path):
        try:
            with self.connect(path) as talk:
                talk.sendall(b"mn\r\n")
                return talk.recv(10) == b"MN\r\n"
        except OSError:
            return False

    def mode(self, path):
        return stat.S_IMODE(os.stat(path).st_mode)

    def test_it_serves_with_the_mode_asked_for_and_no_port(self):
        path = self.path("s")
        process = self.start_at(path)
        self.assertEqual(self.mode(path), 0o700)
        self.end(process)
        process = self.start_at(path, "-a", "0755", "-p", "11999")
        self.assertEqual(self.mode(path), 0o755)
        with self.connect(path) as talk:
            talk.sendall(b"stats conns\r\n")
            text = b""
            while not text.endswith(b"END\r\n"):
                text += talk.recv(4096)
        self.assertIn(("listen_addr unix:" + path).encode(), text)
        self.assertNotIn(b"tcp", text)
        self.end(process)

    def test_its_file_goes_with_it_unless_it_is_another_servers(self):
        path = self.path("s")
        process = self.start_at(path)
        self.end(process)
        self.assertFalse(os.path.exists(path))
        first = self.start_at(path)
        second = self.start_at(path)
        time.sleep(0.1)
        self.end(first)
        self.assertTrue(self.answers(path))
        self.end(second)

    def test_a_file_left_behind_is_no_obstacle(self):
        path = self.path("s")
        process = self.start_at(path)
        process.kill()
        process.wait()
        self.assertTrue(os.path.exists(path))
        self.end(self.start_at(path))

    def test_another_kind_of_file_is(self):
        path = self.path("s")
        with open(path, "w") as file:
            file.write("precious")
        status, _, err = self.run_to_end("-s", path)
        self.assertEqual(status, 71)
        self.assertIn("bind(): Address already in use", err)
        with open(path) as file:
            self.assertEqual(file.read(), "precious")

    def test_a_path_that_is_too_long_is_refused(self):
        status, _, err = self.run_to_end("-s", self.path("x" * 120))
        self.assertEqual(status, 71)
        self.assertIn("--unix-socket", err)


if __name__ == "__main__":
    if srv.peer():
        srv.skip("about this server's own habits")
    unittest.main()
