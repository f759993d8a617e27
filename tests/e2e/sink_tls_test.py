#!/usr/bin/python3
"""The sink under TLS, with Python's ssl as the client.

Usage: sink_tls_test.py SINK [unittest arguments]
"""
import ssl
import subprocess
import time
import unittest

from sink_peer import DOTTED, SINK, SinkTest, envelope, stuff


class TlsPeer:
    """Turns a peer's connection into one under TLS; knows nothing of certificates."""

    def __init__(self, version=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        if version:
            self.context.minimum_version = self.context.maximum_version = version

    def shake_hands(self, peer, session=None):
        peer.file.close()
        peer.socket = self.context.wrap_socket(peer.socket, session=session)
        peer.file = peer.socket.makefile("rb")

    def start(self, peer, session=None):
        code = peer.ask("STARTTLS")
        if code == 220:
            self.shake_hands(peer, session)
        return code


class TlsTest(SinkTest):
    def under_tls(self, sink, session=None, **more):
        peer = self.peer(sink, **more)
        self.assertEqual(TlsPeer().start(peer, session), 220)
        self.assertEqual(peer.ask("EHLO client.test"), 250)
        return peer

    def counted(self, sink):
        counters = sink.stop()
        return tuple(counters[name] for name in ("tls", "tls_resumed", "tls_broken", "tls_messages",
                                                 "messages"))


class Session(TlsTest):
    def test_only_with_the_option(self):
        peer = self.peer(self.sink())
        self.assertEqual(peer.ask("STARTTLS"), 502)

    def test_offered_in_clear_and_not_again(self):
        peer = self.peer(self.sink("--tls", "--offer", "pipelining"), greeted=False)
        peer.reply()

        def offered():
            peer.send("EHLO x\r\n")
            lines = [peer.file.readline()]
            while lines[-1][3:4] == b"-":
                lines.append(peer.file.readline())
            return [line[4:-2] for line in lines[1:]]
        self.assertEqual(offered(), [b"PIPELINING", b"STARTTLS"])
        self.assertEqual(TlsPeer().start(peer), 220)
        self.assertEqual(peer.ask("MAIL FROM:<a@b.test>"), 503)  # what came before is forgotten
        self.assertEqual(offered(), [b"PIPELINING"])
        self.assertEqual(peer.ask("STARTTLS"), 503)

    def test_mail_of_both_kinds_is_told_apart(self):
        sink = self.sink("--tls")
        self.assertEqual(self.deliver(self.peer(sink)), 250)
        peer = self.under_tls(sink)
        for _ in range(3):
            self.assertEqual(self.deliver(peer, DOTTED), 250)
        self.assertEqual(peer.ask("QUIT"), 221)
        self.assertEqual(peer.reply(), 0)
        self.assertEqual(self.counted(sink), (1, 0, 0, 3, 4))
        self.assertEqual(sink.messages()[1:], [DOTTED] * 3)

    def test_versions(self):
        for version, words in ((ssl.TLSVersion.TLSv1_2, ()), (ssl.TLSVersion.TLSv1_3, ()),
                               (ssl.TLSVersion.TLSv1_2, ("--tls-version", "1.2"))):
            peer = self.peer(self.sink("--tls", *words))
            TlsPeer(version).start(peer)
            self.assertEqual(peer.socket.version(), "TLSv1.%d" % (version - 0x301))
            self.assertEqual(peer.ask("EHLO x"), 250)
        sink = self.sink("--tls", "--tls-version", "1.3")
        with self.assertRaises(ssl.SSLError):
            TlsPeer(ssl.TLSVersion.TLSv1_2).start(self.peer(sink))
        sink.wait_for("open", 0)
        self.assertEqual(self.counted(sink), (0, 0, 1, 0, 0))

    def test_resumed_at_any_thread(self):
        sink = self.sink("--tls", "--threads", "2")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            tls, session = TlsPeer(version), None
            for number in range(20):
                peer = self.peer(sink)
                tls.start(peer, session)
                self.assertEqual(peer.socket.session_reused, number > 0)
                self.assertEqual(peer.ask("EHLO x"), 250)
                session = peer.socket.session
                peer.close()
        self.assertEqual(self.counted(sink)[:3], (40, 38, 0))

    def test_ciphertext_octet_by_octet(self):
        """Both ways: what a record's end is, only TLS knows."""
        sink = self.sink("--tls")
        peer = self.peer(sink)
        self.assertEqual(peer.ask("STARTTLS"), 220)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = TlsPeer().context.wrap_bio(incoming, outgoing)
        heard = b""
        wanted = [envelope() + stuff(DOTTED) + b".\r\nQUIT\r\n", b"EHLO x\r\n"]
        established = False
        while not heard.endswith(b"bye\r\n"):
            try:
                if not established:
                    client.do_handshake()
                    established = True
                if wanted:
                    client.write(wanted.pop())
                heard += client.read(1 << 16)
            except ssl.SSLWantReadError:
                for octet in outgoing.read():
                    peer.send(bytes([octet]))
                incoming.write(peer.socket.recv(1))
        self.assertEqual(self.counted(sink), (1, 0, 0, 1, 1))
        self.assertEqual(sink.messages(), [DOTTED])

    def test_large_message(self):
        sink = self.sink("--tls")
        content = b"".join(b".%d line\r\n" % i for i in range(100000))
        self.assertEqual(self.deliver(self.under_tls(sink), content), 250)
        sink.stop()
        self.assertEqual(sink.messages(), [content])

    def test_a_pause_under_tls_loses_nothing(self):
        sink = self.sink("--tls", "--delay", "rcpt=30", "--delay", "dot=30")
        peer = self.under_tls(sink)
        peer.send(b"".join(envelope("r%d@b.test" % i) + b"Message-ID: <%d@t>\r\n\r\n.\r\n" % i
                           for i in range(5)))
        peer.send(b"QUIT\r\n")
        self.assertEqual(peer.replies(22), [250, 250, 354, 250] * 5 + [221, 0])
        self.assertEqual(self.counted(sink)[3:], (5, 5))

    def test_octets_of_replies_one_by_one(self):
        peer = self.under_tls(self.sink("--tls", "--byte-delay", "1"))
        self.assertEqual(self.deliver(peer), 250)


class Mischief(TlsTest):
    def test_refused_and_still_served_in_clear(self):
        for code in (454, 501):
            sink = self.sink("--tls", "--fail", "starttls=%d" % code)
            peer = self.peer(sink)
            self.assertEqual(peer.ask("STARTTLS"), code)
            self.assertEqual(self.deliver(peer), 250)
            self.assertEqual(self.counted(sink), (0, 0, 0, 0, 1))

    def test_injected_behind_the_220(self):
        peer = self.peer(self.sink("--tls", "--tls-inject", "1"))
        peer.send("STARTTLS\r\n")
        self.assertEqual(peer.replies(2), [220, 250])
        TlsPeer().shake_hands(peer)
        self.assertEqual(peer.ask("EHLO x"), 250)

    def test_stall_in_the_handshake(self):
        sink = self.sink("--tls", "--delay", "tls=300000")
        peer = self.peer(sink)
        peer.socket.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            TlsPeer().start(peer)
        self.assertEqual(sink.counters()["tls"], 0)
        peer.close()
        sink.wait_for("open", 0)
        self.assertEqual(sink.counters()["tls_broken"], 1)

    def test_late_handshake(self):
        self.under_tls(self.sink("--tls", "--delay", "tls=50"))

    def test_dropped_or_reset_in_the_handshake(self):
        for kind, counter in (("drop", "drops"), ("reset", "resets")):
            sink = self.sink("--tls", "--%s" % kind, "tls")
            peer = self.peer(sink)
            with self.assertRaises(OSError):
                TlsPeer().start(peer)
            sink.wait_for("open", 0)
            self.assertEqual(sink.counters()[counter], 1)

    def test_clear_octets_that_came_with_starttls_are_not_read(self):
        sink = self.sink("--tls")
        peer = self.peer(sink)
        peer.send(b"STARTTLS\r\n" + envelope())
        self.assertEqual(peer.reply(), 220)
        time.sleep(0.05)
        TlsPeer().shake_hands(peer)
        self.assertEqual(peer.ask("NOOP"), 250)  # and not the reply to MAIL
        self.assertEqual(peer.ask("RCPT TO:<a@b.test>"), 503)
        self.assertEqual(sink.stop()["early"], 1)

    def test_nonsense_instead_of_tls(self):
        sink = self.sink("--tls")
        peer = self.peer(sink)
        self.assertEqual(peer.ask("STARTTLS"), 220)
        peer.send(b"\x16\x03\x01\x00\x05nonse")  # a record of the handshake, with no message of it
        self.assertEqual(peer.socket.recv(1)[0], 21)  # an alert
        while peer.socket.recv(100):
            pass
        peer.close()
        sink.wait_for("open", 0)
        self.assertEqual(self.counted(sink), (0, 0, 1, 0, 0))

    def test_wrong_use(self):
        for bad in (["--fail", "tls=450"], ["--tls-version", "1.1"], ["--tls-inject", "2"]):
            result = subprocess.run([SINK, "--listen", "127.0.0.1:0", "--tls", *bad],
                                    capture_output=True, timeout=10)
            self.assertEqual(result.returncode, 64, bad)


if __name__ == "__main__":
    unittest.main()
