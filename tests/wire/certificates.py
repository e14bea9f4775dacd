# SPDX-License-Identifier: BSD-3-Clause
"""Certificates for tests of TLS, made by the openssl command in a directory that goes.

    with Certificates() as certs:
        certs.authority("ca")                # ca.pem, ca.key
        certs.make("server", "ca")           # server.pem, server.key, for 127.0.0.1
        context = certs.client(ca="ca")      # an ssl.SSLContext
"""
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import server as srv  # noqa: E402

PATIENCE = 30.0 * srv.SLOW


def has_tls():
    """True if the server was built with TLS."""
    done = subprocess.run([srv.binary(), "-Z"], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, check=False)
    return b"not built" not in done.stderr


def need_tls():
    """Ends the test program if the server was built without TLS."""
    if srv.peer():
        srv.skip("these tests are about Larder")
    if not has_tls():
        print("built without TLS", file=sys.stderr)
        sys.exit(srv.SKIP)


def until(condition, what):
    """Waits for something that takes its time on a busy machine."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise srv.Failure("waited in vain: " + what)
        time.sleep(0.01)


class Certificates:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="larder-tls-")
        os.chmod(self.directory, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    @classmethod
    def usual(cls):
        """Two authorities; those of two servers and a client by "ca", a stranger's not."""
        certs = cls()
        for name in ("ca", "other-ca"):
            certs.authority(name)
        for name in ("server", "second", "client"):
            certs.make(name, "ca")
        certs.make("stranger", "other-ca")
        return certs

    @classmethod
    def of_server(cls):
        """One authority and its server, whose key a server that has changed its user can read."""
        certs = cls()
        certs.authority("ca")
        certs.make("server", "ca")
        os.chmod(certs.path("server.key"), 0o644)
        return certs

    def remove(self):
        shutil.rmtree(self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def _run(self, *words):
        done = subprocess.run(["openssl", *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise RuntimeError("openssl: " + done.stderr.decode())

    def _request(self, name, *words):
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-nodes", "-days", "30", "-subj", "/CN=" + name,
                  "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem"),
                  *words)

    def authority(self, name):
        self._request(name, "-addext", "keyUsage=critical,keyCertSign")

    def make(self, name, by):
        """A certificate, for either end, signed by an authority."""
        self._request(name, "-CA", self.path(by + ".pem"), "-CAkey", self.path(by + ".key"),
                      "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                      "-addext", "basicConstraints=critical,CA:FALSE")

    def der_key(self, name):
        """NAME.der from NAME.key."""
        self._run("pkey", "-in", self.path(name + ".key"), "-outform", "DER",
                  "-out", self.path(name + ".der"))

    def lock_key(self, name):
        """NAME.locked from NAME.key: the same, by a passphrase."""
        self._run("pkey", "-in", self.path(name + ".key"), "-aes128", "-passout", "pass:x",
                  "-out", self.path(name + ".locked"))

    def copy(self, name, to):
        """Puts a certificate and its key in the place of another's, each at once."""
        for end in (".pem", ".key"):
            shutil.copy(self.path(name + end), self.path(to + end + ".new"))
            os.replace(self.path(to + end + ".new"), self.path(to + end))

    def options(self, name="server", *words):
        """What a server with that certificate is started with."""
        return ["-Z", "-o", ",".join(["ssl_chain_cert=" + self.path(name + ".pem"),
                                      "ssl_key=" + self.path(name + ".key"), *words])]

    def client(self, ca="ca", own=None):
        """The rules of a client that trusts `ca` and shows the certificate `own`."""
        context = ssl.create_default_context(cafile=self.path(ca + ".pem"))
        if own is not None:
            context.load_cert_chain(self.path(own + ".pem"), self.path(own + ".key"))
        return context

    def start(self, *options, words=(), context=None, **more):
        """A server with the certificate `server`, which "ca" has signed."""
        return srv.Server(*self.options("server", *words), *options,
                          context=context or self.client(), **more)
