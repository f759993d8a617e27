#!/usr/bin/python3
"""Mail that goes to a configured next hop: aiosmtpd, which wants to know who we are, under TLS from
the connection on, or by STARTTLS.

Usage: next_hop_test.py VEREDUS SINK [unittest arguments]
"""

import logging
import os
import tempfile
import unittest

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from signed_zone import SignedZones
from tls_receiver import Certificate
from walk_case import Case, lines_of, recipients, testzone, walk

loopback = walk.loopback
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
USER, PASSWORD = "relay-user", "hush, hush"
# As base64 has them, which a log might.
SECRETS = (PASSWORD, "aHVzaCwgaHVza", "AHJlbGF5LXVzZXIA")


class Relay:
    """Takes mail of who knows the password; notes who came, and what."""

    def __init__(self, implicit=None, starttls=None, **more):
        self.got = []     # (recipient, user, TLS or not)
        self.logins = []  # (mechanism, user, password)

        def at(port):
            controller = Controller(
                self, hostname="127.0.0.1", port=port, ssl_context=implicit, tls_context=starttls,
                authenticator=self.authenticate, auth_required=True,
                auth_require_tls=implicit is None and starttls is not None, **more)
            controller.start()
            return controller, port
        self.controller, self.port = loopback.at_free_port(at)

    def authenticate(self, server, session, envelope, mechanism, data):
        good = (isinstance(data, LoginPassword) and data.login == USER.encode() and
                data.password == PASSWORD.encode())
        self.logins.append((mechanism, good))
        return AuthResult(success=good, handled=False, auth_data=USER)

    async def handle_DATA(self, server, session, envelope):
        secured = session.ssl is not None or server._tls_protocol is not None or \
            server.transport.get_extra_info("ssl_object") is not None
        self.got += [(to, session.auth_data, secured) for to in envelope.rcpt_tos]
        return "250 2.0.0 taken"


class NextHopCase(Case):
    """`make_relay()` says to whom; `route` and `auth` are settings of [routes.relay]."""
    route = {}
    auth = {"password": PASSWORD}
    more = {}

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="veredus-hop-", dir="/var/tmp")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.relay = self.make_relay()
        self.addCleanup(self.relay.controller.stop)
        self.settings = {
            "routes.relay": {"domains": ["*"], "hosts": ["127.0.0.1:%d" % self.relay.port],
                             "verify": "never",
                             **self.route},
            "routes.relay.auth": {"user": USER, **self.auth}, **self.more}
        super().setUp()

    def check_all_arrived(self, batch, count, secured):
        tally = self.walk.wait_settled(batch)
        self.assertEqual(tally["delivered"], count, tally)
        self.assertEqual(sorted(self.relay.got),
                         sorted((to, USER, secured) for to in recipients(batch, count)))

    def put_off(self):
        """What became of those who were on their way when the relay said no; others wait for it."""
        found = []

        def look():
            found[:] = [e for e in self.walk.events("") if e["type"] != "accepted"]
            return found
        self.wait_until("somebody is put off", look)
        self.assertEqual({event["type"] for event in found}, {"deferred"})
        return found

    def check_nobody_tells(self, *more):
        """Of the password: not the log, not the events, not what is asked."""
        texts = [self.walk.engine_log(), self.run_veredus("check-config").stdout,
                 str(self.walk.events("")), str(self.walk.get("/v1/sites")), *more]
        for text in texts:
            for secret in SECRETS:
                self.assertNotIn(secret, text)


class ImplicitTls(NextHopCase):
    route = {"tls": "implicit"}

    def make_relay(self):
        return Relay(implicit=Certificate(self.scratch, "mx.test").context())

    def test_under_tls_and_known(self):
        self.walk.feed(lines_of("b", 200))
        self.check_all_arrived("b", 200, True)
        self.assertEqual({mechanism for mechanism, _ in self.relay.logins}, {"PLAIN"})
        for event in self.settled_events("", 200, lambda e: e["type"] == "delivered"):
            self.assertTrue(event["tls"]["version"].startswith("TLSv1."), event)
        self.check_nobody_tells()


class Verified(NextHopCase):
    """A password is told to whom a certificate shows to be the one, only."""
    route = {"tls": "implicit", "verify": "with-auth"}

    def make_relay(self):
        authority = Certificate(self.scratch, "authority.test")
        self.zones = SignedZones(self.scratch, {}, {"hop": "relay A 127.0.0.1\nother A 127.0.0.1\n"})
        self.addCleanup(self.zones.stop)
        self.more = {"dns": {"servers": [self.zones.resolver], "ipv6": False},
                     "smtp": {"authorities": authority.cert}}
        tls = Certificate(self.scratch, "relay", ["relay.hop"], authority).context()
        relay = Relay(implicit=tls)
        self.route = {**self.route, "hosts": ["relay.hop:%d" % relay.port]}
        return relay

    def test_who_shows_that_he_is_the_one(self):
        self.walk.feed(lines_of("b", 20))
        self.check_all_arrived("b", 20, True)
        for event in self.settled_events("", 20, lambda e: e["type"] == "delivered"):
            self.assertTrue(event["tls"]["verified"])


class NotVerified(Verified):
    """The same relay, by a name that its certificate does not have."""

    def make_relay(self):
        relay = super().make_relay()
        self.route["hosts"] = ["other.hop:%d" % relay.port]
        return relay

    def test_who_shows_that_he_is_the_one(self):
        self.walk.feed(lines_of("b", 20))
        for event in self.settled_events("", 20, lambda e: e["type"] == "deferred"):
            self.assertEqual((event["rule"], event["response"]["enhanced"]), ("tls-untrusted", "4.7.5"))
        self.assertEqual((self.relay.got, self.relay.logins), ([], []))


class StartTls(NextHopCase):
    route = {"tls": "required"}

    def make_relay(self):
        path = os.path.join(self.scratch, "password")
        with open(path, "w", encoding="ascii") as file:
            file.write(PASSWORD + "\n")
        self.auth = {"password_file": path}
        return Relay(starttls=Certificate(self.scratch, "mx.test").context(), require_starttls=True)

    def test_under_tls_and_known(self):
        self.walk.feed(lines_of("b", 200))
        self.check_all_arrived("b", 200, True)
        self.check_nobody_tells()


class ByLogin(NextHopCase):
    """PLAIN is not offered, and the operator allows the password in clear."""
    auth = {"password": PASSWORD, "allow_in_clear": True}

    def make_relay(self):
        return Relay(auth_exclude_mechanism=["PLAIN"])

    def test_in_clear_and_known(self):
        self.walk.feed(lines_of("b", 50))
        self.check_all_arrived("b", 50, False)
        self.assertEqual({mechanism for mechanism, _ in self.relay.logins}, {"LOGIN"})
        self.check_nobody_tells()


class NotInClear(NextHopCase):
    """A relay without TLS gets neither mail nor password."""

    def make_relay(self):
        return Relay()

    def test_waits(self):
        self.walk.feed(lines_of("b", 20))
        for event in self.put_off():
            self.assertEqual(event["response"]["enhanced"], "4.7.4", event)
        self.assertEqual((self.relay.got, self.relay.logins), ([], []))


class Refused(NextHopCase):
    """A password that is not right: nobody's mail bounces, and the operator hears which it is."""
    route = {"tls": "implicit"}
    auth = {"password": "not " + PASSWORD}

    def make_relay(self):
        return Relay(implicit=Certificate(self.scratch, "mx.test").context())

    def test_waits_until_it_is_put_right(self):
        self.walk.feed(lines_of("b", 20))
        for event in self.put_off():
            self.assertEqual(event["response"]["enhanced"], "4.7.8", event)
            self.assertEqual(event["response"]["command"], "AUTH", event)
            self.assertEqual(event["rule"], "credentials-refused", event)
            self.assertIn("credentials refused (routes.relay.auth)", event["response"]["text"])
        self.assertIn("credentials refused (routes.relay.auth)", self.walk.engine_log())
        site = "127.0.0.1:%d by route relay" % self.relay.port
        shown = self.run_veredus("sites", site).stdout
        self.assertIn("routes.relay.auth (", shown)
        self.assertRegex(shown, r"route +routes\.relay \(/.*:\d+\)")
        why = self.run_veredus("why", "--domain", testzone.domain(0)).stdout
        self.assertIn("goes there by routes.relay (", why)
        self.check_nobody_tells(shown, why)
        # Put right. Who waits for another attempt is tried when the operator says so.
        with open(self.walk.config, encoding="utf-8") as file:
            text = file.read()
        with open(self.walk.config, "w", encoding="utf-8") as file:
            file.write(text.replace("not " + PASSWORD, PASSWORD))
        reload = self.run_veredus("reload")
        self.assertEqual(reload.returncode, 0, reload.stderr)
        self.assertIn("routes.relay.auth.password", reload.stdout)
        retry = self.run_veredus("retry", "--site", site)
        self.assertEqual(retry.returncode, 0, retry.stderr)
        self.check_all_arrived("b", 20, True)
        self.check_nobody_tells(reload.stdout)


if __name__ == "__main__":
    unittest.main()
