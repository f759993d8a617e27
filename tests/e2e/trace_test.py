#!/usr/bin/python3
"""`veredus trace` and GET /v1/trace: what sessions to the sink, and to aiosmtpd, say and hear.

Usage: trace_test.py VEREDUS SINK [unittest arguments]
"""

import fcntl
import json
import os
import subprocess
import tempfile
import unittest

from next_hop_test import PASSWORD, SECRETS, USER, Relay
from tls_receiver import Certificate
from walk_case import VEREDUS, Case, lines_of, testzone


class Looking(Case):
    domains = 4

    def look_on(self, *options):
        """A trace that has begun; its lines, when it is ended."""
        process = subprocess.Popen(
            [VEREDUS, "--config", self.walk.config, "--json", "trace", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(json.loads(process.stdout.readline())["what"], "alive")
        return process

    def lines_until(self, process, last):
        """Up to the one that fits."""
        lines = []
        while not lines or not last(lines[-1]):
            line = process.stdout.readline()
            self.assertTrue(line, "ended: " + (process.stderr.read() if not line else ""))
            lines.append(json.loads(line))
        return [line for line in lines if line["what"] != "alive"]

    def deliver(self, batch, count, **fields):
        self.walk.feed(lines_of(batch, count, **fields))
        self.assertEqual(self.walk.wait_settled(batch)["delivered"], count)


def closed(line):
    return line["what"] == "closed"


class ToTheSink(Looking):
    settings = {"smtp": {"idle_close": "0s"}}

    def test_a_session(self):
        process = self.look_on("--domain", testzone.domain(1))
        self.deliver("b", 4)
        lines = self.lines_until(process, closed)
        self.assertEqual(lines[0]["what"], "dialled")
        self.assertEqual({line["host"] for line in lines}, {testzone.mx_name(1)})
        self.assertEqual({line["source"] for line in lines}, {"default"})
        said = [line["text"] for line in lines if line["what"] == "client"]
        self.assertEqual(said[0], "EHLO mail.walk.test")
        self.assertIn("RCPT TO:<b-1@%s>" % testzone.domain(1), said)
        self.assertIn("QUIT", said)
        heard = [line["text"] for line in lines if line["what"] == "server"]
        self.assertTrue(heard[0].startswith("220"), heard)
        text = json.dumps(lines)
        self.assertRegex(text, r"\d+ bytes of content")
        self.assertNotIn("Hello", text)

    def test_content_when_it_is_asked_for(self):
        process = self.look_on("--content")
        self.deliver("b", 1)
        content = [line["text"] for line in self.lines_until(process, closed)
                   if line["what"] == "content"]
        self.assertTrue(any(text.startswith("Hello b-0@") for text in content), content)

    def test_for_people(self):
        process = subprocess.Popen([VEREDUS, "--config", self.walk.config, "trace"],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        # It says nothing when it begins: the first session that it sees need not be the first.
        count = 0
        while count == 0 or not self.seen(process):
            self.deliver("b%d" % count, 4)
            count += 1
            self.assertLess(count, 20)
        self.assertRegex(self.shown, r"(?m)^\d\d:\d\d:\d\d\.\d{3} \d+/\d+ mx\S+ C: EHLO ")
        self.assertRegex(self.shown, r"(?m) -- dialled 127\.\d+\.\d+\.\d+:\d+ from default$")
        self.assertRegex(self.shown, r"(?m) S: 220 ")
        self.assertRegex(self.shown, r"(?m) -- closed$")

    def seen(self, process):
        descriptor = process.stdout.fileno()
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) |
                    os.O_NONBLOCK)
        try:
            self.shown = getattr(self, "shown", "") + os.read(descriptor, 1 << 20).decode()
        except BlockingIOError:
            pass
        return all(word in getattr(self, "shown", "")
                   for word in ("dialled", "EHLO", "S: 220", "-- closed"))

    def test_what_is_not_right(self):
        status, body = self.walk.get("/v1/trace?sites=x")
        self.assertEqual(status, 400, body)
        self.assertIn("there is no parameter sites", body)
        self.assertIn("--credentials", self.run_veredus("trace", "--help").stdout)

    def test_who_has_gone_is_forgotten(self):
        for i in range(20):  # more than may look on at a time
            process = self.look_on()
            process.kill()
            process.wait()
            self.deliver("b%d" % i, 4)
        self.look_on()


class Credentials(Looking):
    """To a relay that takes them under TLS: left out, unless they are asked for."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="veredus-trace-", dir="/var/tmp")
        self.addCleanup(scratch.cleanup)
        self.relay = Relay(implicit=Certificate(scratch.name, "mx.test").context())
        self.addCleanup(self.relay.controller.stop)
        self.settings = {
            "smtp": {"idle_close": "0s"},
            "routes.relay": {"domains": ["*"], "hosts": ["127.0.0.1:%d" % self.relay.port],
                             "tls": "implicit", "verify": "never"},
            "routes.relay.auth": {"user": USER, "password": PASSWORD}}
        super().setUp()

    def test_left_out(self):
        process, asked = self.look_on(), self.look_on("--credentials")
        self.deliver("b", 1)
        lines = self.lines_until(process, closed)
        text = json.dumps(lines)
        for secret in SECRETS:
            self.assertNotIn(secret, text)
        self.assertIn("AUTH PLAIN (credentials)", [line.get("text") for line in lines])
        self.assertTrue(any(line["what"] == "tls" and line["text"].startswith("TLSv1.")
                            for line in lines))
        self.assertIn(SECRETS[2], json.dumps(self.lines_until(asked, closed)))


if __name__ == "__main__":
    unittest.main()
