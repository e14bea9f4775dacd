# SPDX-License-Identifier: BSD-3-Clause
"""A stand-in for the service manager: starts a server, keeps descriptors for it.

It speaks what systemd speaks (sd_notify(3), sd_listen_fds(3)): READY=1, FDSTORE=1 with
FDNAME=, FDSTOREREMOVE=1, BARRIER=1, MAINPID is the process it started; and like systemd it
lets go of a kept descriptor when its other end has gone.

    with Manager("-m", "64") as manager:
        manager.talk()            # a connection
        manager.restart()         # as `systemctl restart` does it
"""
import array
import fcntl
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as srv  # noqa: E402

FDS_MAX = 253
# Kept descriptors have numbers from here on: out of the way of those of a service, from 3 on.
KEPT_FROM = 4000


def passed(ancillary):
    """Descriptors that came with a message."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    return list(fds)


class Manager:
    def __init__(self, *options, env=None, handover=True):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.options = [str(option) for option in options]
        if handover:
            self.options += ["-o", "handover=manager"]
        self.env = dict(os.environ, **(env or {}))
        self.folder = tempfile.TemporaryDirectory()
        self.port = srv.free_port()
        self.errors = tempfile.TemporaryFile()
        self.kept = []  # (name, fd)
        self.lock = threading.Lock()
        self.ready = threading.Event()
        self.words = []
        self.pid = None
        path = os.path.join(self.folder.name, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(0.2)
        self.env["NOTIFY_SOCKET"] = path
        self.over = False
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def __enter__(self):
        for _ in range(5):
            try:
                self.start()
                return self
            except srv.Failure:
                if "already in use" not in self.stderr():
                    raise
                self.port = srv.free_port()  # somebody else was faster
        raise srv.Failure("no free port found: " + self.stderr())

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            else:
                self.kill()
                print("the server's stderr:\n" + self.stderr(), file=sys.stderr)
        finally:
            self.kill()
            self.over = True
            self.thread.join()
            self.socket.close()
            self.forget()
            self.folder.cleanup()
        return False

    # ---- The service -------------------------------------------------------------------

    def command(self):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return [srv.binary(), *user, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0",
                *self.options, *os.environ.get("LARDER_SERVER_OPTIONS", "").split()]

    def start(self, wait=True):
        """Starts it with all that is kept, and waits until it says that it is ready."""
        self._settle()
        self.ready.clear()
        with self.lock:
            self._drop_gone()
            kept = list(self.kept)
        env = dict(self.env)
        if kept:
            env["LISTEN_FDS"] = str(len(kept))
            env["LISTEN_FDNAMES"] = ":".join(name for name, _ in kept)
        command = self.command()
        fds = [fd for _, fd in kept]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become(command, env, fds)
            finally:
                os._exit(127)
        if wait:
            self.wait_ready()

    def _settle(self):
        """Waits until all that was sent so far has been worked off."""
        read, write = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                             array.array("i", [write]))], 0,
                           self.env["NOTIFY_SOCKET"])
        os.close(write)
        if os.read(read, 1) != b"":
            raise srv.Failure("somebody wrote into a barrier")
        os.close(read)

    def _become(self, command, env, fds):
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(self.errors.fileno(), 1)
        os.dup2(self.errors.fileno(), 2)
        for i, fd in enumerate(fds):  # which are KEPT_FROM and above
            os.dup2(fd, 3 + i)
        os.closerange(3 + len(fds), 65536)
        if fds:
            env["LISTEN_PID"] = str(os.getpid())
        os.execve(command[0], command, env)

    def wait_ready(self):
        end = time.monotonic() + srv.START_SECONDS
        while not self.ready.wait(0.05):
            if not self.alive():
                raise srv.Failure("the server ended: " + self.stderr())
            if time.monotonic() > end:
                raise srv.Failure("the server is not ready: " + self.stderr())

    def alive(self):
        if self.pid is None:
            return False
        pid, self.status = os.waitpid(self.pid, os.WNOHANG)
        if pid != 0:
            self.pid = None
        return pid == 0

    def end(self, number=signal.SIGTERM, statuses=(0,)):
        """Ends the process; what it gave is kept."""
        os.kill(self.pid, number)
        end = time.monotonic() + srv.STOP_SECONDS
        while self.alive():
            if time.monotonic() > end:
                raise srv.Failure("the server did not stop: " + self.stderr())
            time.sleep(0.002)
        status = os.waitstatus_to_exitcode(self.status)
        if status not in statuses or srv.REPORT.search(self.stderr().encode()):
            raise srv.Failure("the server ended with %d: %s" % (status, self.stderr()))

    def restart(self, number=signal.SIGTERM, statuses=(0,)):
        self.end(number, statuses)
        self.start()

    def stop(self):
        """As `systemctl stop`: nothing is kept."""
        if self.alive():
            self.end(statuses=(0,))
        self.forget()

    def kill(self):
        if self.pid is not None and self.alive():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.pid = None

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")

    def talk(self, **options):
        return srv.Talk(self.port, **options)

    def stats(self, what=b""):
        with self.talk() as talk:
            talk.send(b"stats " + what + b"\r\n" if what else b"stats\r\n")
            text = talk.until(b"END\r\n").decode("latin-1")
        rows = [row.split(" ", 2) for row in text.split("\r\n") if row.startswith("STAT ")]
        return {row[1]: row[2] if len(row) > 2 else "" for row in rows}

    # ---- What is kept --------------------------------------------------------------------

    def names(self):
        with self.lock:
            self._drop_gone()
            return [name for name, _ in self.kept]

    def forget(self, name=None):
        with self.lock:
            for kept in [k for k in self.kept if name in (None, k[0])]:
                os.close(kept[1])
                self.kept.remove(kept)

    def _drop_gone(self):
        """Kept sockets whose other end has gone, and broken ones."""
        poll = select.poll()
        for _, fd in self.kept:
            poll.register(fd, 0)  # POLLHUP and POLLERR come anyway
        gone = {fd for fd, what in poll.poll(0)
                if what & (select.POLLHUP | select.POLLERR)}
        for kept in [k for k in self.kept if k[1] in gone]:
            os.close(kept[1])
            self.kept.remove(kept)

    def _keep(self, name, fds):
        with self.lock:
            for fd in fds:
                high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT_FROM)
                os.close(fd)
                self.kept.append((name, high))

    def _listen(self):
        while not self.over:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(
                    4096, socket.CMSG_SPACE(FDS_MAX * 4), socket.MSG_CMSG_CLOEXEC)
            except socket.timeout:
                continue
            fds = passed(ancillary)
            fields = dict(line.partition("=")[::2]
                          for line in data.decode().split("\n"))
            self.words.append(data.decode())
            if fields.get("FDSTORE") == "1":
                self._keep(fields.get("FDNAME", "stored"), fds)
                fds = []
            if fields.get("FDSTOREREMOVE") == "1":
                self.forget(fields["FDNAME"])
            for fd in fds:  # BARRIER=1: closing it is the answer
                os.close(fd)
            if fields.get("READY") == "1":
                self.ready.set()
