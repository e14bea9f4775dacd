#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The server makes no system call that its units forbid.

What it protects: the filter of a unit is not in force in any other test, and what it
refuses ends a service on somebody's machine only. Here the unit's SystemCallFilter= is put
before the server, with an end for whatever is not on the list, and the server serves,
confines itself, reads its files again and stops.
"""
import ctypes
import ctypes.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

UNITS = os.environ.get("LARDER_UNITS", "scripts/systemd")
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000


def group(name):
    """The calls of one of systemd's groups, those of groups in it included."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True,
                          stdout=subprocess.PIPE).stdout.decode()
    calls = set()
    for line in text.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            calls |= group(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


def allowed(unit):
    """What the lines SystemCallFilter= of a unit come to."""
    calls = group("@default")
    with open(os.path.join(UNITS, unit)) as file:
        lines = [line.strip() for line in file]
    for line in lines:
        if not line.startswith("SystemCallFilter="):
            continue
        words = line.partition("=")[2]
        less = words.startswith("~")
        for word in words.lstrip("~").split():
            some = group(word) if word.startswith("@") else {word}
            calls = calls - some if less else calls | some
    return calls


def confine(calls):
    """For preexec_fn: from here on only these calls are possible."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2",
                          use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                                         ctypes.c_uint]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    numbers = [library.seccomp_syscall_resolve_name(name.encode()) for name in calls]

    def enter():
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
        rules = library.seccomp_init(KILL_PROCESS)
        for number in numbers:
            if number >= 0:  # others are of other machines
                library.seccomp_rule_add(rules, ALLOW, number, 0)
        if library.seccomp_load(rules) != 0:
            os._exit(99)
    return enter


class Calls(unittest.TestCase):
    def serve_under(self, unit):
        calls = allowed(unit)
        self.assertNotIn("ptrace", calls)
        self.assertNotIn("setuid", calls)
        folder = tempfile.mkdtemp(prefix="larder-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o777)
        config, ports = os.path.join(folder, "conf"), os.path.join(folder, "ports")
        larder = os.path.join(folder, "larder")  # nobody may read it there
        shutil.copy(srv.binary(), larder)
        with open(config, "w") as file:
            file.write("-m 256\n-I 8m\n-v\n")
        process = subprocess.Popen(
            [larder, "--config", config, "-p", "-1"], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, preexec_fn=confine(calls),
            env=dict(os.environ, MEMCACHED_PORT_FILENAME=ports,
                     NOTIFY_SOCKET=os.path.join(folder, "notify")))
        try:
            end = time.monotonic() + srv.START_SECONDS
            while not os.path.exists(ports) and process.poll() is None:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            self.assertIsNone(process.poll(), "ended by a system call that is forbidden")
            with open(ports) as file:
                port = int(file.readline().rpartition(":")[2])
            with srv.Talk(port) as talk:
                value = b"v" * 2000000
                talk.ask(b"set k 0 0 2000000\r\n" + value + b"\r\n", b"STORED\r\n")
                talk.ask(b"get k\r\n", b"VALUE k 0 2000000\r\n" + value + b"\r\nEND\r\n")
                talk.send(b"stats\r\nstats settings\r\nstats conns\r\nstats items\r\n")
                for _ in range(4):
                    talk.until(b"END\r\n")
                process.send_signal(signal.SIGHUP)
                talk.ask(b"mn\r\n", b"MN\r\n")
            said = b""
            while b"nothing new" not in said:
                line = process.stderr.readline()
                self.assertTrue(line, "no word about the reload: %r" % said)
                said += line
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(srv.STOP_SECONDS), 0)
            self.assertNotIn(b"WARNING: sandbox: no seccomp", said)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()

    def test_under_the_filter_of_each_unit(self):
        for unit in ("larder.service", "larder@.service", "larder-activated.service"):
            with self.subTest(unit):
                self.serve_under(unit)


if __name__ == "__main__":
    if srv.peer():
        srv.skip("about this server's own units")
    if srv.sanitized():
        print("sanitizers make calls of their own", file=sys.stderr)
        sys.exit(srv.SKIP)
    if shutil.which("systemd-analyze") is None:
        srv.skip("systemd-analyze is not installed")
    if ctypes.util.find_library("seccomp") is None:
        srv.skip("libseccomp is not installed")
    unittest.main()
