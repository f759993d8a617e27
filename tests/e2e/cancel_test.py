#!/usr/bin/python3
"""Somebody asks to be forgotten: POST /v1/cancel, and what is left of him in the spool.

usage: cancel_test.py VEREDUS SINK [unittest arguments]
"""

import glob
import json
import os
import time
import unittest

from walk_case import Case, lines_of, recipient

FORGOTTEN = 7  # of each batch
LATER = "mail=451:1.0"


class Cancel(Case):
    """Nobody is delivered to: all of it waits."""
    settings = {"journal": {"segment": "1MiB"}, "retry": {"initial": "1h", "cap": "1h"},
                "limits": {"erase_within": "10s"}, "events": {"keep": "0s"}}
    sink_options = ("--fail", LATER)
    batches, size = 4, 3000

    @property
    def spool(self):
        return os.path.join(self.directory, "spool")

    def setUp(self):
        super().setUp()
        self.addresses = []
        for number in range(self.batches):
            name = "b%d" % number
            lines = lines_of(name, self.size)
            # As feeders spell it, and as it is refused at the door.
            lines.append({"to": "no address " + recipient(name, FORGOTTEN), "id": "wrong"})
            status, answer = self.walk.feed(lines)
            self.assertEqual((status, answer["refused"]), (200, 1), answer)
            self.assertIn(recipient(name, FORGOTTEN), json.dumps(answer))
            self.addresses.append(recipient(name, FORGOTTEN))
        self.repeated = lines

    def cancel(self, *addresses):
        return self.run_veredus("cancel", *sum((["--recipient", a] for a in addresses), []))

    def holding(self):
        """Segment files that hold one of the addresses, however it is spelled."""
        needles = [address.lower().encode() for address in self.addresses]
        found = []
        for path in glob.glob(os.path.join(self.spool, "journal-*", "seg-*")):
            try:
                with open(path, "rb") as file:
                    content = file.read().lower()
            except FileNotFoundError:
                continue
            if any(needle in content for needle in needles):
                found.append(os.path.relpath(path, self.spool))
        return found

    def wait_forgotten(self):
        end = time.monotonic() + 60
        while self.holding():
            self.assertLess(time.monotonic(), end, self.holding())
            time.sleep(0.2)

    def check_cancelled(self):
        for number in range(self.batches):
            tally = self.walk.tally("b%d" % number)
            self.check_identity(tally)
            self.assertEqual((tally["cancelled"], tally["waiting"]), (1, self.size - 1), tally)

    def test_cancelled_and_forgotten(self):
        self.assertTrue(self.holding())
        done = self.cancel(*[address.upper() for address in self.addresses])
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["cancelled"], answer["in_flight"]), (self.batches, 0), answer)
        self.check_cancelled()
        # The answer that a feeder gets again does not name him any more.
        status, again = self.walk.feed(self.repeated)
        self.assertEqual((status, again["replayed"], again["refused"]), (200, True, 1), again)
        self.assertNotIn(self.addresses[-1], json.dumps(again))
        self.wait_forgotten()
        _, refused = self.walk.get("/v1/batches/default/b0/refused")
        self.assertNotIn(self.addresses[0], refused)
        self.assertIn("*" * len(self.addresses[0]), refused)
        self.check_cancelled()
        self.assertEqual(self.run_veredus("audit", "--compare").returncode, 0)
        # A feeder may send to him again: that is no repeat of what was cancelled.
        status, answer = self.walk.feed([{"batch": "again", "sender": "bounce@walk.test",
                                          "message": {"raw": "A: b\r\n\r\nc\r\n"}},
                                         {"to": self.addresses[0]}])
        self.assertEqual((status, answer["accepted"]), (200, 1), answer)
        self.assertEqual(self.walk.tally("again")["waiting"], 1)

    def test_a_kill_puts_nothing_back(self):
        done = self.cancel(*self.addresses)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.walk.kill_engine()
        self.walk.start_engine()
        self.check_cancelled()
        self.wait_forgotten()
        self.check_cancelled()
        self.assertEqual(self.run_veredus("audit", "--compare").returncode, 0)

    def test_what_it_refuses(self):
        before = self.holding()
        for body, part in ((b"{", "no JSON object"), (b"{}", "missing"),
                           (b'{"recipient":7}', "no text"),
                           (b'{"recipient":["a@b.example",7]}', "no text"),
                           (b'{"recipient":"ada"}', "is no address"),
                           (b'{"recipient":[]}', "missing")):
            status, answer, _ = self.walk.request("POST", "/v1/cancel", body)
            self.assertEqual(status, 400, answer)
            self.assertIn(part, json.loads(answer)["error"]["reason"])
        many = json.dumps({"recipient": ["a%d@b.example" % i for i in range(1001)]}).encode()
        self.assertEqual(self.walk.request("POST", "/v1/cancel", many)[0], 413)
        self.assertEqual(self.walk.request("GET", "/v1/cancel")[0], 405)
        done = self.cancel("ada")
        self.assertEqual(done.returncode, os.EX_DATAERR)
        self.assertIn("is no address", done.stderr)
        # Nobody of that name: nothing to do.
        done = self.cancel("nobody@nowhere.example")
        self.assertEqual(json.loads(done.stdout)["cancelled"], 0)
        self.assertLessEqual(set(before), set(self.holding()))


if __name__ == "__main__":
    unittest.main()
