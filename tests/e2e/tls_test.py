#!/usr/bin/python3
"""TLS with a server that is not ours: aiosmtpd, on loopback, which all mail is redirected to.

Usage: tls_test.py VEREDUS SINK [unittest arguments]
"""

import ssl
import tempfile
import unittest

from tls_receiver import Certificate, Receiver
from walk_case import Case, lines_of, recipients, testzone, walk

loopback = walk.loopback


class TlsCase(Case):
    """`receiver()` says to whom; settings are those of [smtp]."""
    smtp = {}
    providers = None

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="veredus-tls-", dir="/var/tmp")
        self.addCleanup(scratch.cleanup)
        self.receiver = self.receive(scratch.name)
        self.addCleanup(self.receiver.controller.stop)
        self.settings = {"smtp": {"redirect": "127.0.0.1:%d" % self.receiver.port, **self.smtp},
                         "addresses": {"allow": ["127.0.0.0/8"]}}
        super().setUp()

    def receive(self, directory):
        return self.receiver_with(Certificate(directory, "mx.test").context())

    @staticmethod
    def receiver_with(tls):
        return loopback.at_free_port(lambda port: Receiver("127.0.0.1", port, tls))

    def counter(self, name):
        _, text = self.walk.get("/metrics")
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith("veredus_" + name))

    def versions(self):
        return {version for _, _, version, _ in self.receiver.got}

    def check_all_arrived(self, batch, count):
        tally = self.walk.wait_settled(batch)
        self.assertEqual(tally["delivered"], count, tally)
        self.assertEqual(sorted(to for tos, _, _, _ in self.receiver.got for to in tos),
                         sorted(recipients(batch, count)))

    def check_put_off(self, batch, count, status):
        """Nobody got anything, and each says why."""
        for event in self.settled_events("", count, lambda e: e["type"] == "deferred"
                                         and e["batch"] == batch):
            self.assertEqual(event["response"]["enhanced"], status, event)
        self.assertEqual(self.receiver.got, [])


class Opportunistic(TlsCase):
    smtp = {"messages_per_connection": 10}

    def test_under_tls_and_resumed(self):
        self.walk.feed(lines_of("b", 300))
        self.check_all_arrived("b", 300)
        self.assertEqual(self.versions(), {"TLSv1.3"})
        for tos, content, _, _ in self.receiver.got:
            self.assertIn(b"\r\n\r\nHello %s,\r\n.dots\r\n" % tos[0].encode(), content)
        events = self.settled_events("", 300, lambda e: e["type"] == "delivered")
        self.assertTrue(any("tls" in event["timing"] for event in events))
        for event in events:
            self.assertEqual(event["tls"]["version"], "TLSv1.3")
            self.assertTrue(event["tls"]["cipher"].startswith("TLS_"))
            self.assertIs(event["tls"]["verified"], False)
        self.assertEqual(self.counter("tls_failures_total"), 0)

    def test_the_next_connection_resumes(self):
        lines = lines_of("b", 300)
        for line in lines[1:]:
            line["to"] = line["to"].split("@")[0] + "@" + testzone.domain(0)
        self.walk.feed(lines)
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 300)
        resumed = sum(resumed for _, _, _, resumed in self.receiver.got)
        self.assertGreater(resumed, 150)

    def test_large_messages(self):
        raw = "Subject: large\r\n\r\n" + "".join("line %d\r\n.\r\n" % i for i in range(60000))
        self.walk.feed([{"batch": "b", "sender": "", "message": {"raw": raw}}] +
                       [{"to": to} for to in recipients("b", 4)])
        self.check_all_arrived("b", 4)
        self.assertEqual(self.versions(), {"TLSv1.3"})
        for _, content, _, _ in self.receiver.got:
            self.assertTrue(content.endswith(raw.split("\r\n\r\n", 1)[1].encode()))


class InClear(TlsCase):
    """A server without TLS."""

    def receive(self, directory):
        return self.receiver_with(None)

    def test_what_need_not_be_under_tls_goes(self):
        self.walk.feed(lines_of("secret", 20, tls="required"))
        self.check_put_off("secret", 20, "4.7.4")
        self.walk.feed(lines_of("b", 100))
        self.check_all_arrived("b", 100)
        self.assertEqual(self.versions(), {None})
        for event in self.settled_events("", 100, lambda e: e["type"] == "delivered"):
            self.assertNotIn("tls", event)


class Required(TlsCase):
    smtp = {"tls": "required"}

    def test_under_tls(self):
        self.walk.feed(lines_of("b", 100))
        self.check_all_arrived("b", 100)
        self.assertEqual(self.versions(), {"TLSv1.3"})


class RequiredInVain(TlsCase):
    smtp = {"tls": "required"}

    def receive(self, directory):
        return self.receiver_with(None)

    def test_put_off(self):
        self.walk.feed(lines_of("b", 50))
        self.check_put_off("b", 50, "4.7.4")


class Broken(TlsCase):
    """Offers STARTTLS, and has no certificate."""

    def receive(self, directory):
        return self.receiver_with(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def test_goes_on_in_clear(self):
        self.walk.feed(lines_of("secret", 20, tls="required"))
        self.check_put_off("secret", 20, "4.7.4")
        self.walk.feed(lines_of("b", 100))
        self.check_all_arrived("b", 100)
        self.assertEqual(self.versions(), {None})
        self.assertGreaterEqual(self.counter("tls_failures_total"), 1)


class RefusedLate(TlsCase):
    """Wants a certificate of the client: with TLS 1.3 it says so when the handshake is over for that."""

    def receive(self, directory):
        context = Certificate(directory, "mx.test").context()
        context.verify_mode = ssl.CERT_REQUIRED
        return self.receiver_with(context)

    def test_goes_on_in_clear(self):
        self.walk.feed(lines_of("b", 100))
        self.check_all_arrived("b", 100)
        self.assertEqual(self.versions(), {None})


class BrokenAndRequired(TlsCase):
    smtp = {"tls": "required"}

    def receive(self, directory):
        return self.receiver_with(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def test_put_off(self):
        self.walk.feed(lines_of("b", 50))
        events = self.settled_events("", 50, lambda e: e["type"] == "deferred")
        self.assertIn("in the TLS handshake", events[0]["response"]["text"])
        self.assertEqual(self.receiver.got, [])


if __name__ == "__main__":
    unittest.main()
