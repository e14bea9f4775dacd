#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""TLS: who gets in, and by which certificates.

What it protects: that versions, certificates and listeners are as the options say; that a
certificate is replaced while serving, and a bad one is not; that logins are asked for inside.
"""
import itertools
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import unittest
import warnings

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import packets  # noqa: E402
import server as srv  # noqa: E402
from certificates import PATIENCE, Certificates, need_tls, until  # noqa: E402


def setUpModule():
    global certs
    certs = Certificates.usual()


def tearDownModule():
    certs.remove()


def start(*options, **more):
    return certs.start(*options, **more)


class Rules(unittest.TestCase):
    """Versions, certificates, listeners."""

    def refused(self, port, context):
        """True if the client is turned away; also when it learns that after its part of the
        handshake, as with TLS 1.3."""
        try:
            with srv.Talk(port, context=context, seconds=PATIENCE) as talk:
                talk.send(b"version\r\n")
                return talk.more() == b""
        except (ssl.SSLError, ConnectionError):
            return True

    def served(self, port, context):
        with srv.Talk(port, context=context, seconds=PATIENCE) as talk:
            talk.ask(b"mn\r\n", b"MN\r\n")
        return True

    def version(self, low, high, own=None):
        context = certs.client(own=own)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = low, high
        return context

    def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(self):
        known = ssl.TLSVersion
        with start() as server:
            for version in (known.TLSv1_2, known.TLSv1_3):
                self.assertTrue(self.served(server.port, self.version(version, version)))
            old = self.version(known.TLSv1, known.TLSv1_1)
            old.set_ciphers("DEFAULT:@SECLEVEL=0")
            self.assertTrue(self.refused(server.port, old))
            self.assertEqual(server.stats(b"settings")["ssl_min_version"], "tlsv1.2")

    def test_the_lowest_version_can_be_moved(self):
        known = ssl.TLSVersion
        with start(words=["ssl_min_version=3"]) as server:
            self.assertTrue(
                self.refused(server.port, self.version(known.TLSv1_2, known.TLSv1_2)))
            self.assertTrue(
                self.served(server.port, self.version(known.TLSv1_3, known.TLSv1_3)))
            self.assertEqual(server.stats(b"settings")["ssl_min_version"], "tlsv1.3")
        words = ["ssl_min_version=0", "ssl_ciphers=DEFAULT:@SECLEVEL=0"]
        with start(words=words) as server:
            old = self.version(known.TLSv1_1, known.TLSv1_1)
            old.set_ciphers("DEFAULT:@SECLEVEL=0")
            self.assertTrue(self.served(server.port, old))

    def test_ciphers_are_those_of_the_option(self):
        known = ssl.TLSVersion
        with start(words=["ssl_ciphers=ECDHE-ECDSA-AES128-GCM-SHA256"]) as server:
            context = self.version(known.TLSv1_2, known.TLSv1_2)
            with server.connect(context=context) as talk:
                self.assertEqual(talk.socket.cipher()[0], "ECDHE-ECDSA-AES128-GCM-SHA256")
            context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
            self.assertTrue(self.refused(server.port, context))

    MODES = (  # mode, as shown, without a certificate, a good one, a stranger's
        (0, "0", True, True, True),
        (1, "1", True, True, False),
        (2, "3", False, True, False),
        (3, "7", False, True, False),
    )

    def test_certificates_of_clients_are_checked_by_the_mode(self):
        clients = (certs.client(), certs.client(own="client"), certs.client(own="stranger"))
        for mode, shown, *welcome in self.MODES:
            words = ["ssl_verify_mode=%d" % mode, "ssl_ca_cert=" + certs.path("ca.pem")]
            with self.subTest(mode=mode), start(words=words, context=clients[1]) as server:
                before = int(server.stats()["ssl_handshake_errors"])
                for context, good in zip(clients, welcome):
                    check = self.served if good else self.refused
                    self.assertTrue(check(server.port, context))
                self.assertEqual(server.stats(b"settings")["ssl_verify_mode"], shown)
                after = before + welcome.count(False)
                until(lambda s=server, n=after: int(s.stats()["ssl_handshake_errors"]) == n,
                      "handshakes that failed are counted")

    def test_without_authorities_no_certificate_is_good(self):
        with start("-l", "mtls:127.0.0.1:%d" % srv.free_port()) as server:
            self.assertIn("ssl_ca_cert", server.stderr())

    def test_listeners_have_rules_of_their_own(self):
        ports = {word: srv.free_port() for word in ("notls", "btls", "mtls")}
        listen = [part for word, port in ports.items()
                  for part in ("-l", "%s:127.0.0.1:%d" % (word, port))]
        words = ["ssl_verify_mode=1", "ssl_ca_cert=" + certs.path("ca.pem")]
        nobody, client = certs.client(), certs.client(own="client")
        stranger = certs.client(own="stranger")
        with start(*listen, words=words):
            with srv.Talk(ports["notls"]) as talk:
                talk.ask(b"mn\r\n", b"MN\r\n")
            for context in (nobody, client, stranger):
                self.assertTrue(self.served(ports["btls"], context))
            self.assertTrue(self.served(ports["mtls"], client))
            self.assertTrue(self.refused(ports["mtls"], nobody))
            self.assertTrue(self.refused(ports["mtls"], stranger))
            self.assertTrue(self.refused(ports["notls"], nobody))

    def test_a_session_opens_no_door_that_asks_for_a_certificate(self):
        ports = {word: srv.free_port() for word in ("btls", "mtls")}
        listen = [part for word, port in ports.items()
                  for part in ("-l", "%s:127.0.0.1:%d" % (word, port))]
        words = ["ssl_ca_cert=" + certs.path("ca.pem"), "ssl_session_cache"]
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.version(version, version)
            with self.subTest(version=version), start(*listen, words=words):
                with srv.Talk(ports["btls"], context=context) as talk:
                    talk.ask(b"mn\r\n", b"MN\r\n")
                    session = talk.socket.session
                sock = socket.create_connection(("127.0.0.1", ports["mtls"]), PATIENCE)
                try:
                    inside = context.wrap_socket(sock, server_hostname="127.0.0.1",
                                                 session=session)
                    inside.sendall(b"mn\r\n")
                    self.assertEqual(inside.recv(10), b"")
                except (ssl.SSLError, ConnectionError):
                    pass
                finally:
                    sock.close()

    def test_a_unix_socket_is_plain(self):
        path = certs.path("socket")
        words = [*certs.options(), "-s", path]
        process = subprocess.Popen([srv.binary(), "-u", "root", *words],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            until(lambda: os.path.exists(path), "the socket")
            with socket.socket(socket.AF_UNIX) as talk:
                talk.settimeout(PATIENCE)
                until(lambda: talk.connect_ex(path) == 0, "the server")
                talk.sendall(b"mn\r\n")
                self.assertEqual(talk.recv(10), b"MN\r\n")
        finally:
            process.terminate()
            _, said = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"without TLS", said)

    def test_a_session_is_resumed(self):
        for version, words in itertools.product(
                (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
                ([], ["ssl_session_cache"])):
            context = self.version(version, version)
            with self.subTest(version=version, words=words), \
                    start(words=words, context=context) as server:
                with server.connect() as talk:
                    talk.ask(b"mn\r\n", b"MN\r\n")
                    session = talk.socket.session
                    before = server.stats().get("ssl_new_sessions")
                sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                with context.wrap_socket(sock, server_hostname="127.0.0.1",
                                         session=session) as again:
                    again.sendall(b"mn\r\n")
                    self.assertEqual(again.recv(10), b"MN\r\n")
                    self.assertTrue(again.session_reused)
                after = server.stats().get("ssl_new_sessions")
                if words:  # one more, for the connection that asks
                    self.assertEqual(int(after), int(before) + 1)
                else:
                    self.assertIsNone(after)

    def test_a_server_remembers_sessions_of_clients_without_tickets(self):
        context = self.version(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
        context.options |= ssl.OP_NO_TICKET
        for words, resumed in (([], False), (["ssl_session_cache"], True)):
            with self.subTest(words=words), start(words=words, context=context) as server:
                with server.connect() as talk:
                    talk.ask(b"mn\r\n", b"MN\r\n")
                    session = talk.socket.session
                sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                with context.wrap_socket(sock, server_hostname="127.0.0.1",
                                         session=session) as again:
                    again.sendall(b"mn\r\n")
                    self.assertEqual(again.recv(10), b"MN\r\n")
                    self.assertEqual(again.session_reused, resumed)


class Options(unittest.TestCase):
    """What can't be used is said before anything is served."""

    def ended(self, *options):
        done = subprocess.run(
            [srv.binary(), "-u", "root", "-l", "127.0.0.1", "-p", str(srv.free_port()),
             *options], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
            timeout=PATIENCE)
        return done.returncode, done.stderr.decode().strip().split("\n")[-1]

    def test_files_that_cannot_be_used_are_named(self):
        chain = "ssl_chain_cert=" + certs.path("server.pem")
        key = "ssl_key=" + certs.path("server.key")
        none, text = certs.path("none"), certs.path("text")
        with open(text, "w", encoding="utf-8") as file:
            file.write("no certificate\n")
        certs.lock_key("server")
        cases = (
            ([], "Error loading the certificate chain: "),
            ([key], "Error loading the certificate chain: "),
            (["ssl_chain_cert=" + none, key],
             "Error loading the certificate chain: %s: No such file" % none),
            (["ssl_chain_cert=" + text, key], "Error loading the certificate chain: " + text),
            ([chain], "Error loading the key: "),
            ([chain, "ssl_key=" + none], "Error loading the key: %s: No such file" % none),
            ([chain, "ssl_key=" + certs.path("second.key")], "Error loading the key: "),
            ([chain, "ssl_key=" + certs.path("server.locked")], "Error loading the key: "),
            ([chain, key, "ssl_keyformat=2"], "Error loading the key: "),
            ([chain, key, "ssl_keyformat=3"], "Error loading the key: "),
            ([chain, key, "ssl_ca_cert=" + none], "Error loading the CA certificate: "),
            ([chain, key, "ssl_ca_cert=" + text], "Error loading the CA certificate: "),
            ([chain, key, "ssl_ciphers=FOO"], "Error setting the provided cipher(s): FOO"),
        )
        for words, said in cases:
            with self.subTest(words=words):
                options = ["-o", ",".join(words)] if words else []
                status, last = self.ended("-Z", *options)
                self.assertEqual((status, last[:len(said)]), (64, said))

    def test_a_key_may_be_in_the_file_of_the_certificate_or_in_der(self):
        both = certs.path("both.pem")
        with open(both, "wb") as file:
            for name in ("server.pem", "server.key"):
                with open(certs.path(name), "rb") as part:
                    file.write(part.read())
        with srv.Server("-Z", "-o", "ssl_chain_cert=" + both, context=certs.client()):
            pass
        certs.der_key("server")
        words = "ssl_chain_cert=%s,ssl_key=%s,ssl_keyformat=2" % (
            certs.path("server.pem"), certs.path("server.der"))
        with srv.Server("-Z", "-o", words, context=certs.client()) as server:
            self.assertEqual(server.stats(b"settings")["ssl_keyformat"], "2")

    def test_settings_show_what_was_asked_for(self):
        words = ["ssl_ca_cert=" + certs.path("ca.pem"), "ssl_wbuf_size=64",
                 "ssl_session_cache", "ssl_kernel_tls", "ssl_ciphers=HIGH"]
        with start(words=words) as server:
            settings = server.stats(b"settings")
            self.assertEqual(
                {name: text for name, text in settings.items() if name.startswith("ssl_")},
                {"ssl_enabled": "yes", "ssl_chain_cert": certs.path("server.pem"),
                 "ssl_key": certs.path("server.key"), "ssl_verify_mode": "0",
                 "ssl_keyformat": "1", "ssl_ciphers": "HIGH",
                 "ssl_ca_cert": certs.path("ca.pem"), "ssl_wbuf_size": "65536",
                 "ssl_session_cache": "yes", "ssl_kernel_tls": "yes",
                 "ssl_min_version": "tlsv1.2"})
        with srv.Server("-o", "ssl_chain_cert=none,ssl_key=none", context=None) as server:
            if srv.TLS_DIRECTORY is None:
                self.assertEqual(server.stats(b"settings")["ssl_enabled"], "no")
                self.assertNotIn("ssl_handshake_errors", server.stats())

    def test_secrets_are_in_no_message(self):
        with start("-vvv") as server:
            with server.connect() as talk:
                talk.ask(b"mn\r\n", b"MN\r\n")
            with open(certs.path("server.key"), encoding="utf-8") as file:
                secret = file.read().split("\n")[1]
            self.assertNotIn(secret, server.stderr())
            self.assertIn("TLSv1.3", server.stderr())


class Reload(unittest.TestCase):
    """refresh_certs and SIGHUP."""

    def setUp(self):
        certs.make("live", "ca")
        certs.copy("server", "live")

    def serial(self, server):
        """Which certificate a new connection is shown."""
        with server.connect() as talk:
            return talk.socket.getpeercert()["subject"][0][0][1]

    def start(self, *options):
        return srv.Server(*certs.options("live"), *options, context=certs.client())

    def test_the_command_reads_them_again(self):
        with self.start() as server, server.connect() as old:
            self.assertEqual(self.serial(server), "server")
            old.ask(b"refresh_certs\r\n", b"OK\r\n")
            certs.copy("second", "live")
            self.assertEqual(self.serial(server), "server")
            old.ask(b"refresh_certs\r\n", b"OK\r\n")
            self.assertEqual(self.serial(server), "second")
            old.ask(b"set k 0 0 1\r\n1\r\nget k\r\n", b"STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n")
            self.assertLess(int(server.stats()["time_since_server_cert_refresh"]), PATIENCE)

    def test_sighup_reads_them_again(self):
        with self.start("-v") as server:
            certs.copy("second", "live")
            server.send_signal(signal.SIGHUP)
            until(lambda: self.serial(server) == "second", "the new certificate")

    def broken(self):
        """Ways in which files can't be used, each with the beginning of the answer."""
        def write(name, text):
            with open(certs.path(name), "w", encoding="utf-8") as file:
                file.write(text)
        yield (lambda: os.unlink(certs.path("live.pem"))), b"certificate chain: "
        yield (lambda: write("live.pem", "")), b"certificate chain: "
        yield (lambda: write("live.key", "nonsense")), b"key: "
        yield (lambda: os.replace(certs.path("live.key"), certs.path("gone"))), b"key: "

    def test_what_cannot_be_used_leaves_the_old_in_force_and_is_said(self):
        with self.start() as server:
            for breaks, said in self.broken():
                certs.copy("server", "live")
                with server.connect() as talk:
                    talk.ask(b"refresh_certs\r\n", b"OK\r\n")
                    breaks()
                    talk.send(b"refresh_certs\r\n")
                    self.assertTrue(talk.line().startswith(b"Error loading the " + said))
                self.assertEqual(self.serial(server), "server")
                logged = server.stderr().count("the old certificates stay")
                server.send_signal(signal.SIGHUP)
                until(lambda: server.stderr().count("the old certificates stay") > logged,
                      "a word on stderr")
                self.assertEqual(self.serial(server), "server")
            certs.copy("server", "live")
            with server.connect() as talk:  # a certificate that is not the key's
                os.replace(certs.path("live.pem"), certs.path("gone"))
                with open(certs.path("second.pem"), "rb") as file:
                    text = file.read()
                with open(certs.path("live.pem"), "wb") as file:
                    file.write(text)
                talk.send(b"refresh_certs\r\n")
                self.assertTrue(talk.line().startswith(b"Error "))
            self.assertEqual(self.serial(server), "server")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_a_key_that_only_root_can_read_is_good_for_the_start(self):
        private = certs.path("private")
        os.mkdir(private, 0o700)
        for end in (".pem", ".key"):
            os.replace(certs.path("live" + end), os.path.join(private, "live" + end))
        with start() as other:
            layers = other.stats(b"settings")["sandbox_layers"]
        words = "ssl_chain_cert=%s/live.pem,ssl_key=%s/live.key" % (private, private)
        with srv.Server("-u", "nobody", "-Z", "-o", words, context=certs.client()) as server:
            self.assertEqual(self.serial(server), "server")
            self.assertEqual(server.stats(b"settings")["sandbox_layers"], layers)
            with server.connect() as talk:
                talk.send(b"refresh_certs\r\n")
                self.assertRegex(talk.line(), rb"\AError loading .*: Permission denied\r\n")
            self.assertEqual(self.serial(server), "server")

    def test_authorities_are_read_again_and_old_sessions_end(self):
        with open(certs.path("ca.pem"), "rb") as file:
            first = file.read()
        with open(certs.path("other-ca.pem"), "rb") as file:
            other = file.read()

        def trust(text):
            with open(certs.path("trusted.new"), "wb") as file:
                file.write(text)
            os.replace(certs.path("trusted.new"), certs.path("trusted.pem"))

        trust(first)
        plain = srv.free_port()
        words = ["ssl_verify_mode=2", "ssl_ca_cert=" + certs.path("trusted.pem")]
        context = certs.client(own="client")
        with start("-l", "notls:127.0.0.1:%d" % plain, words=words,
                   context=context) as server, \
                srv.Talk(plain) as inside:
            with server.connect() as talk:
                talk.ask(b"mn\r\n", b"MN\r\n")
                session = talk.socket.session
            trust(other)
            inside.ask(b"refresh_certs\r\n", b"OK\r\n")
            sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            try:
                again = context.wrap_socket(sock, server_hostname="127.0.0.1",
                                            session=session)
                again.sendall(b"mn\r\n")
                self.assertEqual(again.recv(10), b"")
            except (ssl.SSLError, ConnectionError):
                pass
            finally:
                sock.close()
            with server.connect(context=certs.client(own="stranger")) as talk:
                talk.ask(b"mn\r\n", b"MN\r\n")

    def test_reloads_while_others_come_and_go(self):
        stop, failures = threading.Event(), queue.Queue()

        def come_and_go(server):
            try:
                while not stop.is_set():
                    with server.connect() as talk:
                        talk.ask(b"mn\r\n", b"MN\r\n")
            except Exception as error:  # pylint: disable=broad-except
                failures.put(error)

        with self.start() as server, server.connect() as talk:
            threads = [threading.Thread(target=come_and_go, args=(server,))
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            for number in range(60):
                certs.copy(("server", "second")[number % 2], "live")
                if number % 3 == 0:
                    server.send_signal(signal.SIGHUP)
                talk.ask(b"refresh_certs\r\n", b"OK\r\n")
            stop.set()
            for thread in threads:
                thread.join()
            self.assertTrue(failures.empty(), failures.queue)


class Authentication(unittest.TestCase):
    """-Y and -S, asked for inside."""

    def setUp(self):
        self.path = certs.path("users")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("ann:secret\n")

    def test_a_token_is_asked_for_on_every_listener(self):
        ports = {word: srv.free_port() for word in ("notls", "btls")}
        listen = [part for word, port in ports.items()
                  for part in ("-l", "%s:127.0.0.1:%d" % (word, port))]
        hello = (b"version\r\n", b"CLIENT_ERROR unauthenticated\r\n")
        with start("-Y", self.path, *listen, hello=hello) as server:
            for talk in (server.connect(), srv.Talk(ports["notls"]),
                         srv.Talk(ports["btls"], context=certs.client())):
                with talk:
                    talk.ask(b"refresh_certs\r\n", b"CLIENT_ERROR unauthenticated\r\n")
                    talk.ask(b"set x 0 0 9\r\nann wrong\r\n",
                             b"CLIENT_ERROR authentication failure\r\n")
                    talk.ask(b"set x 0 0 10\r\nann secret\r\n", b"STORED\r\n")
                    talk.ask(b"refresh_certs\r\nget k\r\n", b"OK\r\nEND\r\n")

    def test_sasl(self):
        done = subprocess.run([srv.binary(), "-S", "-B", "ascii"], stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, check=False)
        if b"not built" in done.stderr:
            self.skipTest("built without SASL")
        hello = (packets.request("version"), b"\x81\x0b")
        with start("-S", env={"MEMCACHED_SASL_PWDB": self.path}, hello=hello) as server:
            with packets.Binary(server.connect()) as client:
                self.assertEqual(client.ask("noop").status, 0x20)
            with packets.Binary(server.connect()) as client:
                self.assertEqual(
                    client.ask("sasl_auth", key=b"PLAIN", value=b"\0ann\0secret").status, 0)
                self.assertEqual(client.ask("noop").status, 0)


if __name__ == "__main__":
    need_tls()
    unittest.main(verbosity=0, warnings="ignore")
