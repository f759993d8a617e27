"""A walk that is started for a test, and what the tests of the walk share.

The programs are the first two arguments: VEREDUS SINK [unittest arguments]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import testzone  # noqa: E402
import walk  # noqa: E402

if len(sys.argv) < 3:
    sys.exit(__doc__)
VEREDUS, SINK = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
DOMAINS = 50
WAIT_S = 60


def recipient(batch, i):
    return "%s-%d@%s" % (batch, i, testzone.domain(i % DOMAINS))


def recipients(batch, count):
    return [recipient(batch, i) for i in range(count)]


def lines_of(batch, count, **fields):
    """A batch whose messages tell their recipients apart."""
    raw = "Subject: {{id}}\r\nMessage-ID: <{{id}}@walk.test>\r\n\r\nHello {{to}},\r\n.dots\r\n"
    head = {"batch": batch, "sender": "bounce@walk.test", "merge": True, "message": {"raw": raw}}
    head.update(fields)
    return [head] + [{"to": recipient(batch, i), "id": "%s-%d" % (batch, i)} for i in range(count)]


class Case(unittest.TestCase):
    domains = DOMAINS
    settings = {}
    sink_options = ()

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="veredus-e2e-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.walk = walk.Walk(self.directory, VEREDUS, SINK, self.domains, self.settings,
                              self.sink_options)
        self.addCleanup(self.walk.stop)
        self.walk.start()

    def run_veredus(self, *arguments, stdin=None):
        return subprocess.run([VEREDUS, "--config", self.walk.config, *arguments], input=stdin,
                              capture_output=True, text=True, timeout=60)

    def check_identity(self, tally):
        self.assertEqual(tally["accepted"], sum(tally[part] for part in walk.TALLY_PARTS), tally)

    def wait_until(self, what, condition):
        end = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.05)

    def settled_events(self, query, count, wanted=lambda event: True):
        """The events, once there are so many: they wait for the disk, tallies do not."""
        end = time.monotonic() + 10
        while True:
            events = [e for e in self.walk.events(query) if wanted(e)]
            if len(events) >= count or time.monotonic() > end:
                self.assertEqual(len(events), count)
                return events
            time.sleep(0.05)

    def tls_results(self):
        """Of today: by domain, a set of (policy type, result type or "" of success, host)."""
        status, text = self.walk.get("/v1/tls_results")
        self.assertEqual(status, 200, text)
        found = {}
        for each in json.loads(text)["policies"]:
            policy, summary = each["policy"], each["summary"]
            results = found.setdefault(policy["policy-domain"], set())
            if summary["total-successful-session-count"]:
                results.add((policy["policy-type"], "", ""))
            failures = each.get("failure-details", [])
            self.assertEqual(sum(failure["failed-session-count"] for failure in failures),
                             summary["total-failure-session-count"])
            results.update((policy["policy-type"], failure["result-type"],
                            failure.get("receiving-mx-hostname", "")) for failure in failures)
        return found

    def check_stored(self, expected):
        """Ends engine and sink: it has these recipients' messages, each of them once."""
        self.walk.stop_engine()
        self.walk.stop_sink()
        self.assertEqual(sorted(to for _, to, _ in self.walk.ledger_lines()), sorted(expected))

    def check_gap_free(self, events):
        last = {}
        for event in events:
            stream = event["stream"]
            self.assertEqual(event["seq"], last.get(stream, 0) + 1, "in stream %d" % stream)
            last[stream] = event["seq"]
