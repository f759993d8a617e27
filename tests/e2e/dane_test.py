#!/usr/bin/python3
"""DANE (RFC 7672) with servers that are not ours: zones signed by ldns, served by nsd, validated by
unbound; aiosmtpd receives.

Usage: dane_test.py VEREDUS SINK [unittest arguments]
"""

import re
import shutil
import tempfile
import unittest

from signed_zone import SignedZones
from tls_receiver import Certificate, Receiver
from walk_case import Case, walk

loopback = walk.loopback
# By domain: the address of its host, whose TLSA record is %s.
SIGNED = {
    "good": "127.0.1.1",     # fits its certificate
    "wrong": "127.0.1.2",    # of another key
    "old": "127.0.1.3",      # of a usage that mail does not know (PKIX-EE)
    "clear": "127.0.1.4",    # fits, but the server has no TLS
    "without": "127.0.1.5",  # there is none
    "forged": "127.0.1.6",   # nobody has signed it like this
}
HEAD = [{"batch": "b", "sender": "", "message": {"raw": "Subject: a\r\n\r\nb\r\n"}}]


class Dane(Case):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.mkdtemp(prefix="veredus-dane-", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.scratch, True)
        cls.certificate = Certificate(cls.scratch, "any.test")  # self-signed, for another name
        digest = cls.certificate.key_digest()
        cls.receivers, cls.port = loopback.at_free_port(cls.receive)
        records = {"good": "3 1 1 " + digest, "wrong": "3 1 1 " + "ab" * 32,
                   "old": "1 1 1 " + digest, "clear": "3 1 1 " + digest,
                   "forged": "3 1 1 " + "cd" * 32}
        zone = ""
        for name, address in SIGNED.items():
            zone += "%s MX 10 mx.%s\nmx.%s A %s\n" % (name, name, name, address)
            if name in records:
                zone += "_%d._tcp.mx.%s TLSA %s\n" % (cls.port, name, records[name])
        # An MX record that nobody has signed leads to a host that somebody has.
        cls.zones = SignedZones(cls.scratch, {"signed": zone}, {"plain": "x MX 10 mx.wrong.signed.\n"},
                                {"signed": forge})
        cls.addClassCleanup(cls.zones.stop)

    @classmethod
    def receive(cls, port):
        started = {}
        try:
            for name, address in SIGNED.items():
                tls = None if name == "clear" else cls.certificate.context()
                started[name] = Receiver(address, port, tls)
                cls.addClassCleanup(started[name].controller.stop)
        except OSError:
            raise loopback.PortTaken(port)
        return started, port

    smtp = {}

    def setUp(self):
        for receiver in self.receivers.values():
            receiver.got.clear()
        self.settings = {"smtp": {"port": self.port, **self.smtp},
                         "dns": {"servers": [self.zones.resolver], "ipv6": False}}
        super().setUp()

    def send(self):
        """One to each; the first event of each, by domain."""
        self.walk.feed(HEAD + [{"to": "x@%s.signed" % name} for name in SIGNED])
        events = self.settled_events("", len(SIGNED),
                                     lambda e: e["type"] != "accepted" and e.get("attempt", 1) == 1)
        return {event["to"].split("@")[1].split(".")[0]: event for event in events}

    def arrived(self):
        return {name: receiver.got[0][2] for name, receiver in self.receivers.items()
                if receiver.got}


class Heeded(Dane):
    def test_who_gets_his_mail(self):
        events = self.send()
        self.assertEqual({name: event["type"] for name, event in events.items()},
                         {"good": "delivered", "wrong": "deferred", "old": "delivered",
                          "clear": "deferred", "without": "delivered", "forged": "deferred"})
        self.assertEqual(self.arrived(), {"good": "TLSv1.3", "old": "TLSv1.3", "without": "TLSv1.3"})
        self.assertEqual({name: event["tls"]["verified"] for name, event in events.items()
                          if "tls" in event and event["type"] == "delivered"},
                         {"good": True, "old": False, "without": False})
        self.assertEqual({name: (event["rule"], event["response"]["enhanced"])
                          for name, event in events.items() if event["type"] == "deferred"},
                         {"wrong": ("tls-untrusted", "4.7.5"), "clear": ("tls-missing", "4.7.4"),
                          "forged": ("tlsa-unknown", "4.7.5")})
        self.assertIn("_%d._tcp.mx.forged.signed" % self.port, events["forged"]["response"]["text"])

    def test_results_are_counted(self):
        self.send()
        self.assertEqual(self.tls_results(), {
            "good.signed": {("tlsa", "", "")},
            "old.signed": {("tlsa", "tlsa-invalid", "mx.old.signed")},
            "wrong.signed": {("tlsa", "validation-failure", "mx.wrong.signed")},
            "clear.signed": {("tlsa", "starttls-not-supported", "mx.clear.signed")},
            "forged.signed": {("tlsa", "dnssec-invalid", "mx.forged.signed")},
            "without.signed": {("no-policy-found", "", "")}})

    def test_it_is_the_hosts_whoever_names_it(self):
        self.walk.feed([*HEAD, {"to": "x@x.plain"}])
        event, = self.settled_events("", 1, lambda e: e["type"] == "deferred")
        self.assertEqual(event["rule"], "tls-untrusted")


class ResumedEachTime(Dane):
    smtp = {"messages_per_connection": 1}

    def test_it_stays_verified(self):
        for batch in ("a", "b", "c"):
            self.walk.feed([{**HEAD[0], "batch": batch}, {"to": "x@good.signed"}])
            self.assertEqual(self.walk.wait_settled(batch)["delivered"], 1)
        self.assertEqual([resumed for *_, resumed in self.receivers["good"].got], [False, True, True])
        events = self.settled_events("", 3, lambda e: e["type"] == "delivered")
        self.assertEqual([event["tls"]["verified"] for event in events], [True] * 3)


class NotHeeded(Dane):
    smtp = {"dane": False}

    def test_all_but_nobody_is_verified(self):
        events = self.send()
        self.assertEqual({event["type"] for event in events.values()}, {"delivered"})
        self.assertEqual(self.arrived()["clear"], None)
        self.assertNotIn(True, [event.get("tls", {}).get("verified") for event in events.values()])


def forge(zone):
    """Another TLSA record under the signature of the one that was signed."""
    forged, count = re.subn(r"(?i)cdcdcdcd", "cececece", zone)
    assert count
    return forged


if __name__ == "__main__":
    unittest.main()
