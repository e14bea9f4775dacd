# SPDX-License-Identifier: BSD-3-Clause
"""A server whose calls to the system fail on command: the other side of
tests/support/faults.c.

    with FaultyServer("-m", "16") as cache:
        cache.faults.fail("memory", first=3)        # the third allocation from now on
        ...
        cache.faults.stop()

The library is $FAULTS; without it there is nothing to test.
"""
import ctypes
import errno
import mmap
import os
import tempfile

import server

CLASSES = ("memory", "map", "thread", "files", "receive", "send", "accept", "wait", "watch",
           "wake", "setup")
INTRUSIONS = ("execve", "ptrace", "process_vm_readv", "bpf", "mount", "setuid", "unshare",
              "clone", "socket", "connect", "bind", "kill", "mmap", "prctl", "getdents64",
              "openat")
NO_OUTCOME = -1
SHORT = 1000  # as if less had come or gone: one byte
EVER = 1 << 62

# How calls of a class fail unless it is said.
USUAL = {"memory": errno.ENOMEM, "map": errno.ENOMEM, "thread": errno.EAGAIN,
         "files": errno.EMFILE, "receive": errno.EINTR, "send": errno.EINTR,
         "accept": errno.EMFILE, "wait": errno.EINTR, "watch": errno.ENOMEM,
         "wake": errno.EINTR, "setup": errno.EACCES}


class Rule(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64)
                for name in ("seen", "failed", "first", "every", "left", "how")]


class Sheet(ctypes.Structure):
    _fields_ = [("rules", Rule * len(CLASSES)), ("add_realtime", ctypes.c_int64),
                ("add_boottime", ctypes.c_int64), ("intrusion", ctypes.c_int64),
                ("outcome", ctypes.c_int64)]


class Faults:
    """The rules of one server."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="faults-")
        self.file.truncate(mmap.PAGESIZE)
        os.chmod(self.file.name, 0o666)
        self.map = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.sheet = Sheet.from_buffer(self.map)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        del self.sheet
        self.map.close()
        self.file.close()

    def rule(self, name):
        return self.sheet.rules[CLASSES.index(name)]

    def fail(self, name, first=1, every=0, left=None, how=None):
        """Fails the first-th call from now on and then each every-th, `left` times."""
        rule = self.rule(name)
        rule.left = 0
        rule.failed = 0
        rule.first = rule.seen + first
        rule.every = every
        rule.how = USUAL[name] if how is None else how
        rule.left = left if left is not None else EVER if every else 1

    def stop(self):
        for rule in self.sheet.rules:
            rule.left = 0

    def intrude(self, name):
        """The next recv() makes this call first; what came of it is in sheet.outcome."""
        self.sheet.outcome = NO_OUTCOME
        self.sheet.intrusion = INTRUSIONS.index(name) + 1

    def failed(self, name):
        return self.rule(name).failed

    def seen(self, name):
        return self.rule(name).seen


def library():
    """The library for this build, or the end of the test. Sanitizers have allocators of
    their own, so for them there is one that leaves memory alone."""
    path = os.environ.get("FAULTS", "")
    if server.sanitized():
        path = path.replace("faults.so", "faults_io.so")
    if not os.path.exists(path):
        server.skip("no library in $FAULTS")
    return path


def environment(faults):
    asan = os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": library(), "FAULTS_FILE": faults.file.name,
            "ASAN_OPTIONS": asan + ":verify_asan_link_order=0"}


class FaultyServer(server.Server):
    def __init__(self, *options, env=None, context=None):
        self.faults = Faults()
        super().__init__(*options, env=dict(environment(self.faults), **(env or {})),
                         context=context)

    def __exit__(self, *what):
        try:
            self.faults.stop()
            return super().__exit__(*what)
        finally:
            self.errors.close()
            self.faults.close()
