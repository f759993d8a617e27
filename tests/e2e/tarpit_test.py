#!/usr/bin/python3
"""Servers that answer one octet every ten seconds, or not at all, beside healthy ones: the others' mail goes.
What it costs them: bench/tarpits.

Usage: tarpit_test.py VEREDUS SINK [unittest arguments]
"""

import os
import shutil
import tempfile
import time
import unittest

from walk_case import SINK, VEREDUS, WAIT_S, testzone, walk

loopback = walk.loopback
HEALTHY, TARPITS = 10, 100
EACH = 20  # messages


class WalkWithTarpits(walk.Walk):
    """The first domains' servers are the sink, the others' another one that misbehaves."""
    tarpit_options = ()

    def start_sink(self, options=None):
        def listen(first, count, port):
            return [word for i in range(first, first + count)
                    for word in ("--listen", "%s:%d" % (testzone.address(i), port))]

        def at(port):
            for name, first, count, more in (("ledger", 0, HEALTHY, ()),
                                             ("tarpits", HEALTHY, TARPITS, self.tarpit_options)):
                path = os.path.join(self.directory, name)
                process, _ = loopback.start_sink(
                    SINK, "--ledger", path, "--status-file", path + ".status", *more,
                    listen=listen(first, count, port), own=self.started.append)
                setattr(self, "sink" if name == "ledger" else "tarpits", process)
            return port
        self.sink_port = loopback.at_free_port(at)

    def held(self):
        return loopback.sink_counters(self.tarpits, os.path.join(self.directory, "tarpits.status"))["open"]


class Tarpits(unittest.TestCase):
    def deliver(self, *options):
        directory = tempfile.mkdtemp(prefix="veredus-e2e-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, directory, True)
        engine = WalkWithTarpits(directory, VEREDUS, SINK, HEALTHY + TARPITS)
        engine.tarpit_options = options
        self.addCleanup(engine.stop)
        engine.start()
        engine.feed([{"batch": "stuck", "sender": "b@walk.test", "message": {"raw": "Subject: s\r\n\r\n"}}] +
                    [{"to": "u%d@%s" % (i, testzone.domain(HEALTHY + i % TARPITS))}
                     for i in range(EACH * TARPITS)])
        self.wait_until(lambda: engine.held() >= TARPITS)
        # Both kinds in one batch: those behind a tarpit hold nobody up.
        engine.feed([{"batch": "mixed", "sender": "b@walk.test", "message": {"raw": "Subject: s\r\n\r\n"}}] +
                    [{"to": "u%d@%s" % (i, testzone.domain(i % (HEALTHY + TARPITS)))}
                     for i in range(EACH * (HEALTHY + TARPITS))])
        self.wait_until(lambda: engine.tally("mixed")["delivered"] == EACH * HEALTHY)
        self.assertEqual(engine.tally("mixed")["waiting"], EACH * TARPITS)
        self.assertEqual(engine.tally("stuck")["waiting"], EACH * TARPITS)
        self.assertGreaterEqual(engine.held(), TARPITS)
        engine.kill_engine()  # a stop in order would wait for them

    def wait_until(self, condition):
        end = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_an_octet_every_ten_seconds(self):
        self.deliver("--byte-delay", "10000")

    def test_mail_is_not_answered(self):
        self.deliver("--delay", "mail=3600000")

    def test_the_handshake_stalls(self):
        self.deliver("--tls", "--delay", "tls=3600000")


if __name__ == "__main__":
    unittest.main()
