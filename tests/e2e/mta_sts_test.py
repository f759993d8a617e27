#!/usr/bin/python3
"""MTA-STS (RFC 8461) with servers that are not ours: an HTTPS server of Python's for policies,
aiosmtpd for mail, nsd and unbound for names.

Usage: mta_sts_test.py VEREDUS SINK [unittest arguments]
"""

import http.server
import json
import shutil
import ssl
import tempfile
import threading
import unittest

from signed_zone import SignedZones
from tls_receiver import Certificate, Receiver
from walk_case import Case, walk

loopback = walk.loopback
HEAD = [{"batch": "b", "sender": "", "message": {"raw": "Subject: a\r\n\r\nb\r\n"}}]
POLICY_ADDRESS = "127.0.2.1"


def policy(mode, *hosts):
    return "version: STSv1\r\nmode: %s\r\n%smax_age: 86400\r\n" % (
        mode, "".join("mx: %s\r\n" % host for host in hosts))


# By domain of .sts: what its policy host answers (status, text), the kind of its mail host's
# certificate (none: without TLS), and what becomes of mail to it (event, rule).
DOMAINS = {
    "right": ((200, policy("enforce", "mx.right.sts")), "right", ("delivered", None)),
    "wild": ((200, policy("enforce", "*.wild.sts")), "right", ("delivered", None)),
    "untrusted": ((200, policy("enforce", "mx.untrusted.sts")), "own", ("deferred", "tls-untrusted")),
    "misnamed": ((200, policy("enforce", "mx.misnamed.sts")), "misnamed", ("deferred", "tls-untrusted")),
    "clear": ((200, policy("enforce", "mx.clear.sts")), None, ("deferred", "tls-missing")),
    "outside": ((200, policy("enforce", "mx.elsewhere.sts")), "right", ("deferred", "mta-sts-no-host")),
    "testing": ((200, policy("testing", "mx.testing.sts")), "own", ("delivered", None)),
    "retired": ((200, policy("none")), None, ("delivered", None)),
    # Without a policy that can be had.
    "moved": ((301, policy("enforce", "mx.moved.sts")), "own", ("delivered", None)),
    "huge": ((200, policy("enforce", "mx.huge.sts") + "x: y\r\n" * 12000), "own", ("delivered", None)),
    "broken": ((200, "version: STSv2\r\n"), "own", ("delivered", None)),
    "missing": ((404, "not here"), "own", ("delivered", None)),
    "badcert": ((200, policy("enforce", "mx.badcert.sts")), "own", ("delivered", None)),
    # No record; the host is another domain's, whose policy it does not keep.
    "neighbour": (None, "own", ("delivered", None)),
}
SHARED = {"neighbour": "untrusted"}


def host_of(name):
    return "mx.%s.sts" % SHARED.get(name, name)


class Policies(http.server.BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        name = self.headers["Host"].split(".")[1]
        self.asked.append((name, self.path))
        status, text = DOMAINS[name][0]
        self.send_response(status)
        if status == 301:
            self.send_header("Location", "https://mta-sts.right.sts/.well-known/mta-sts.txt")
        self.send_header("Content-Type", "text/plain; charset=us-ascii")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


class PolicyServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that hang up are meant to


class MtaSts(Case):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.mkdtemp(prefix="veredus-sts-", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.scratch, True)
        cls.authority = Certificate(cls.scratch, "authority.test")
        own = Certificate(cls.scratch, "own.test")

        def certificate(kind, host):
            if kind == "own":
                return own
            return Certificate(cls.scratch, host, [host if kind == "right" else "a.test"], cls.authority)
        contexts = {name: certificate(kind, host_of(name)).context()
                    for name, (_, kind, _) in DOMAINS.items() if kind and name not in SHARED}

        def receive(port):
            receivers = {}
            try:
                for number, name in enumerate(DOMAINS):
                    if name not in SHARED:
                        receivers[name] = Receiver("127.0.1.%d" % (number + 1), port, contexts.get(name))
                        cls.addClassCleanup(receivers[name].controller.stop)
            except OSError:
                raise loopback.PortTaken(port)
            return receivers, port
        cls.receivers, cls.port = loopback.at_free_port(receive)
        cls.policies, cls.policy_port = loopback.at_free_port(cls.serve_policies)
        zone = ""
        for number, (name, (answer, _, _)) in enumerate(DOMAINS.items()):
            zone += "%s MX 10 %s.\n" % (name, host_of(name))
            if name not in SHARED:
                zone += "mx.%s A 127.0.1.%d\n" % (name, number + 1)
            if answer:
                zone += '_mta-sts.%s TXT "v=STSv1; id=1;"\nmta-sts.%s A %s\n' % (name, name, POLICY_ADDRESS)
        cls.zones = SignedZones(cls.scratch, {}, {"sts": zone})
        cls.addClassCleanup(cls.zones.stop)

    @classmethod
    def serve_policies(cls, port):
        names = ["mta-sts.%s.sts" % name for name in DOMAINS if name != "badcert"]
        context = Certificate(cls.scratch, "policies", names, cls.authority).context()
        try:
            server = PolicyServer((POLICY_ADDRESS, port), Policies)
        except OSError:
            raise loopback.PortTaken(port)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def stop():
            server.shutdown()
            server.server_close()
        cls.addClassCleanup(stop)
        return stop, port

    smtp = {}

    def setUp(self):
        Policies.asked.clear()
        for receiver in self.receivers.values():
            receiver.got.clear()
        self.settings = {"smtp": {"port": self.port, "mta_sts_port": self.policy_port,
                                  "authorities": self.authority.cert, **self.smtp},
                         "dns": {"servers": [self.zones.resolver], "ipv6": False}}
        super().setUp()

    def send(self, batch, names):
        """One to each; the first event of each, by domain."""
        self.walk.feed([{**HEAD[0], "batch": batch}] + [{"to": "x@%s.sts" % name} for name in names])
        events = self.settled_events("", len(names), lambda e: e["type"] != "accepted"
                                     and e["batch"] == batch and e.get("attempt", 1) == 1)
        return {event["to"].split("@")[1].split(".")[0]: event for event in events}


class Heeded(MtaSts):
    def test_each_domain_by_its_own_policy(self):
        events = self.send("b", DOMAINS)
        self.assertEqual({name: (event["type"], event["rule"] if event["type"] == "deferred" else None)
                          for name, event in events.items()},
                         {name: expected for name, (_, _, expected) in DOMAINS.items()})
        self.assertEqual({name for name, event in events.items() if event.get("tls", {}).get("verified")},
                         {"right", "wild"})
        for name in ("untrusted", "misnamed", "clear", "outside"):
            enhanced = "4.7.4" if name == "clear" else "4.7.5"
            self.assertEqual(events[name]["response"]["enhanced"], enhanced, events[name])
            arrived = [to for tos, *_ in self.receivers[name].got for to in tos]
            self.assertNotIn("x@%s.sts" % name, arrived)
        self.assertEqual([tos for tos, *_ in self.receivers["untrusted"].got], [["x@neighbour.sts"]])
        # Once each, and nobody was followed elsewhere.
        self.assertEqual(sorted(Policies.asked),
                         sorted((name, "/.well-known/mta-sts.txt") for name, (answer, _, _)
                                in DOMAINS.items() if answer and name != "badcert"))

    def test_results_are_counted(self):
        self.send("b", DOMAINS)
        results = self.tls_results()
        fetch = "sts-policy-fetch-error"
        self.assertEqual(results, {
            "right.sts": {("sts", "", "")}, "wild.sts": {("sts", "", "")},
            "untrusted.sts": {("sts", "certificate-not-trusted", "mx.untrusted.sts")},
            "misnamed.sts": {("sts", "certificate-host-mismatch", "mx.misnamed.sts")},
            "clear.sts": {("sts", "starttls-not-supported", "mx.clear.sts")},
            "testing.sts": {("sts", "certificate-not-trusted", "mx.testing.sts")},
            "retired.sts": {("no-policy-found", "starttls-not-supported", "mx.retired.sts")},
            "outside.sts": {("sts", "validation-failure", "")},
            "moved.sts": {("sts", fetch, ""), ("no-policy-found", "", "")},
            "huge.sts": {("sts", fetch, ""), ("no-policy-found", "", "")},
            "missing.sts": {("sts", fetch, ""), ("no-policy-found", "", "")},
            "broken.sts": {("sts", "sts-policy-invalid", ""), ("no-policy-found", "", "")},
            "badcert.sts": {("sts", "sts-webpki-invalid", ""), ("no-policy-found", "", "")},
            "neighbour.sts": {("no-policy-found", "", "")}})
        policies = {each["policy"]["policy-domain"]: each["policy"]
                    for each in json.loads(self.walk.get("/v1/tls_results")[1])["policies"]}
        self.assertEqual(policies["wild.sts"]["policy-string"],
                         ["version: STSv1", "mode: enforce", "mx: *.wild.sts", "max_age: 86400"])
        self.assertEqual(policies["wild.sts"]["mx-host"], ["*.wild.sts"])
        self.assertEqual(self.walk.get("/v1/tls_results?day=2001-01-01")[0], 404)
        self.assertEqual(self.walk.get("/v1/tls_results?day=x")[0], 400)

    def test_it_outlives_a_restart(self):
        self.assertEqual(self.send("b", ["untrusted", "right"])["untrusted"]["type"], "deferred")
        self.walk.kill_engine()
        asked = len(Policies.asked)
        self.walk.start_engine()
        events = self.send("c", ["untrusted", "right"])
        self.assertEqual((events["untrusted"]["type"], events["right"]["type"]), ("deferred", "delivered"))
        self.assertTrue(events["right"]["tls"]["verified"])
        self.assertEqual(len(Policies.asked), asked, "it was known")


class NotHeeded(MtaSts):
    smtp = {"mta_sts": False}

    def test_all_but_nobody_is_verified(self):
        events = self.send("b", DOMAINS)
        self.assertEqual({event["type"] for event in events.values()}, {"delivered"})
        self.assertEqual(Policies.asked, [])


if __name__ == "__main__":
    unittest.main()
