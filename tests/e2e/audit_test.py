#!/usr/bin/python3
"""`veredus audit` and `veredus spool` on real spools: at rest, damaged, under load, after a SIGKILL.

Usage: audit_test.py VEREDUS SINK [unittest arguments]
"""

import collections
import contextlib
import glob
import json
import os
import struct
import threading
import time
import unittest

from walk_case import Case, lines_of, recipient, recipients, walk

OUTCOMES = ("delivered", "deferred", "failed", "expired", "cancelled", "in_doubt", "suppressed")
PARTS = walk.TALLY_PARTS + ("accepted", "deferred", "in_doubt_waiting")


def crc32c(data):
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
        table.append(value)
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


class SpoolCase(Case):
    settings = {"journal": {"segment": "1MiB"}, "retry": {"initial": "1h", "cap": "1h"}}

    @property
    def spool(self):
        return os.path.join(self.directory, "spool")

    def ask(self, *arguments, status=0):
        """What a command says as JSON, and that it ends so."""
        done = self.run_veredus("--json", *arguments)
        self.assertEqual(done.returncode, status, done.stdout[-3000:] + done.stderr)
        return json.loads(done.stdout)

    def lines(self, *arguments, status=0):
        done = self.run_veredus("--json", *arguments)
        self.assertEqual(done.returncode, status, done.stdout[-3000:] + done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def audit_of(self, batch, **more):
        return next(b for b in self.ask("audit", **more)["batches"] if b["batch"] == batch)

    def segment(self, line):
        """The file in which somebody waits."""
        return os.path.join(self.spool, "journal-%d" % line["stream"],
                            "seg-%08d.vrj" % line["segment"])

    def flip(self, path, what):
        """One byte of `what`, where it stands first."""
        with open(path, "r+b") as file:
            at = file.read().index(what)
            file.seek(at)
            file.write(bytes([what[0] ^ 1]))
        return at


class Rest(SpoolCase):
    sink_options = ("--fail", "mail=451:0.7", "--fail", "rcpt=550:0.1")

    def setUp(self):
        super().setUp()
        self.count = 2000
        for batch in ("one", "two"):
            lines = lines_of(batch, self.count)
            # So large that what waits is not carried out of its segment.
            for line in lines[1:]:
                line["meta"] = {"pad": "x" * 1000}
            self.walk.feed(lines)
        end = time.monotonic() + 60
        while True:  # each was tried once, and the others wait for an hour
            self.tallies = {batch: self.walk.tally(batch) for batch in ("one", "two")}
            if all(t["waiting"] == t["deferred"] for t in self.tallies.values()):
                break
            self.assertLess(time.monotonic(), end, self.tallies)
            time.sleep(0.05)
        self.assertGreater(self.tallies["one"]["waiting"], 100)

    def restarted(self):
        """Twice: the second start needs nothing that lies before the checkpoint of the first."""
        for _ in range(2):
            self.walk.start_engine()
            time.sleep(1)
            self.assertEqual(self.walk.stop_engine(), 0)

    def check_books(self):
        said = self.ask("audit")
        self.assertTrue(said["holds"])
        self.assertFalse(said["live"])
        for batch in said["batches"]:
            tally = self.tallies[batch["batch"]]
            self.assertEqual({part: batch[part] for part in PARTS},
                             {part: tally[part] for part in PARTS})
            self.assertEqual((batch["marked"], batch["unreadable"], batch["faults"]), (0, 0, []))

    def test_at_rest(self):
        events = self.settled_events("type=" + ",".join(OUTCOMES), 2 * self.count)
        said = self.ask("audit", "--compare")
        self.assertTrue(said["holds"] and said["live"] and said["compared"], said)
        self.assertEqual(self.walk.stop_engine(), 0)
        self.check_books()
        self.assertEqual(self.ask("spool", "verify")["damage"], [])

        listed = self.ask("spool", "list")
        waiting = sum(tally["waiting"] for tally in self.tallies.values())
        self.assertEqual((listed["total"]["waiting"], listed["total"]["batches"]), (waiting, 2))
        self.assertEqual(listed["total"]["segments"],
                         len(glob.glob(os.path.join(self.spool, "journal-*", "seg-*"))))

        # Outcomes as the events had them, and who waits is who has no final one.
        told = self.lines("spool", "outcomes")
        key = lambda e: (e["stream"], e["seq"], e["type"], e["batch"], e["index"], e["to"],
                         e["attempt"])
        self.assertEqual(sorted(map(key, told)), sorted(map(key, events)))
        final = {e["to"] for e in told if e["type"] not in ("deferred", "in_doubt")}
        self.assertEqual(final, {e["to"] for e in self.lines("spool", "outcomes", "--final")})
        lines = self.lines("spool", "waiting")
        everybody = set(recipients("one", self.count) + recipients("two", self.count))
        self.assertEqual(sorted(line["to"] for line in lines), sorted(everybody - final))
        self.assertTrue(all(line["attempts"] == 1 and not line["held"] and "due" in line
                            and line["to"] == recipient(line["batch"], line["index"])
                            for line in lines))
        one = self.lines("spool", "waiting", "--batch", "default/one")
        self.assertEqual(len(one), self.tallies["one"]["waiting"])

        self.restarted()
        self.check_books()
        self.assertEqual(self.ask("spool", "verify")["damage"], [])
        self.assertEqual(len(self.lines("spool", "waiting")), waiting)

        # For people, and for one batch.
        done = self.run_veredus("audit", "two")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("default/two", done.stdout)
        self.assertNotIn("default/one", done.stdout)
        self.assertEqual(self.run_veredus("audit", "three").returncode, os.EX_NOINPUT)
        self.assertEqual(self.run_veredus("audit", "--spool", "/nowhere").returncode,
                         os.EX_NOINPUT)
        for what in ("list", "verify", "outcomes", "waiting"):
            done = self.run_veredus("spool", what)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertNotIn("{", done.stdout)

    def check_damaged(self, line, at=None):
        said = self.ask("audit", status=os.EX_DATAERR)
        self.assertFalse(said["holds"])
        # The batch itself may be in what is damaged.
        faulty = [b["batch"] for b in said["batches"] if not b["holds"]]
        self.assertTrue(line["batch"] in faulty or said["damage"], said)
        damage = self.ask("spool", "verify", status=os.EX_DATAERR)["damage"]
        here = [d for d in damage if (d["journal"], d["segment"]) ==
                (line["stream"], line["segment"])]
        self.assertTrue(here, damage)
        if at is not None:
            self.assertTrue(any(d["offset"] <= at for d in here), damage)
        done = self.run_veredus("audit")
        self.assertEqual(done.returncode, os.EX_DATAERR)
        self.assertIn("journal %d, segment %d, byte" % (line["stream"], line["segment"]),
                      done.stdout)

    def test_a_flipped_byte_in_what_is_replayed(self):
        self.assertEqual(self.walk.stop_engine(), 0)
        line = self.lines("spool", "waiting")[0]
        self.check_damaged(line, self.flip(self.segment(line), line["to"].encode()))

    def test_a_flipped_byte_before_the_checkpoint(self):
        self.assertEqual(self.walk.stop_engine(), 0)
        self.restarted()
        line = self.not_in_the_last(self.lines("spool", "waiting"))
        self.check_damaged(line, self.flip(self.segment(line), line["to"].encode()))
        # Who waits is known all the same, though not by address.
        lines = self.lines("spool", "waiting", status=os.EX_DATAERR)
        self.assertEqual(len(lines), sum(t["waiting"] for t in self.tallies.values()))
        self.assertTrue(any("to" not in line for line in lines))

    def not_in_the_last(self, lines):
        """Who waits in a segment with another behind it: a journal that ends earlier looks as it
        looked then."""
        last = {}
        for line in lines:
            last[line["stream"]] = max(last.get(line["stream"], 0), line["segment"])
        for journal in self.ask("spool", "list")["journals"]:
            for segment in journal["segments"]:
                if segment["state"] == "last":
                    last[journal["journal"]] = segment["number"]
        return next(line for line in lines if line["segment"] < last[line["stream"]])

    def test_a_segment_is_gone(self):
        self.assertEqual(self.walk.stop_engine(), 0)
        line = self.not_in_the_last(self.lines("spool", "waiting"))
        os.unlink(self.segment(line))
        said = self.ask("audit", status=os.EX_DATAERR)
        self.assertFalse(said["holds"], said)
        self.ask("spool", "verify", status=os.EX_DATAERR)

    def test_a_segment_before_the_checkpoint_is_gone(self):
        self.assertEqual(self.walk.stop_engine(), 0)
        self.restarted()
        line = self.not_in_the_last(self.lines("spool", "waiting"))
        os.unlink(self.segment(line))
        self.check_damaged(line)

    def test_the_message_of_a_batch_that_is_not_finished(self):
        self.assertEqual(self.walk.stop_engine(), 0)
        self.restarted()
        for path in glob.glob(os.path.join(self.spool, "journal-*", "seg-*")):
            with contextlib.suppress(ValueError):
                self.flip(path, b"Hello {{to}}")
        damage = self.ask("spool", "verify", status=os.EX_DATAERR)["damage"]
        self.assertTrue(any(d["what"].startswith("the message of batch ") for d in damage), damage)

    def test_a_newer_version_is_named(self):
        self.assertEqual(self.walk.stop_engine(), 0)
        path = sorted(glob.glob(os.path.join(self.spool, "journal-0", "seg-*")))[0]
        with open(path, "r+b") as file:
            head = bytearray(file.read(4096))
            version = struct.unpack_from("<I", head, 8)[0]
            struct.pack_into("<II", head, 8, 99, 0)
            struct.pack_into("<I", head, 12, crc32c(head))
            file.seek(0)
            file.write(head)
        for arguments in (("audit",), ("spool", "list"), ("spool", "verify"), ("spool", "waiting"),
                          ("spool", "outcomes")):
            done = self.run_veredus(*arguments)
            self.assertEqual(done.returncode, os.EX_CONFIG, done.stderr)
            for part in (os.path.basename(path), "version 99", "version %d" % version):
                self.assertIn(part, done.stderr)


class Load(SpoolCase):
    """While mail comes and goes, segments are made and reclaimed."""
    settings = {"journal": {"segment": "1MiB"}, "retry": {"initial": "1s", "cap": "1s"},
                "in_doubt": {"policy": "hold"}}
    sink_options = ("--fail", "mail=451:0.05", "--fail", "rcpt=550:0.02")
    size = 3000

    def setUp(self):
        super().setUp()
        self.stop = threading.Event()
        self.acknowledged, self.fed = [], 0
        self.feeder = threading.Thread(target=self.feed_on, daemon=True)
        self.feeder.start()
        self.addCleanup(self.feeder.join, 60)
        self.addCleanup(self.stop.set)

    def feed_on(self):
        """Until the engine dies."""
        with contextlib.suppress(OSError, ValueError, walk.http.client.HTTPException):
            self.feed_batches()

    def feed_batches(self):
        while not self.stop.is_set():
            self.fed += 1
            number = self.fed
            status, answer = self.walk.feed(lines_of("b%d" % number, self.size))
            if status == 200 and answer["accepted"] == self.size:
                self.acknowledged.append("b%d" % number)
            while number > 3 and not self.stop.is_set():
                behind = "b%d" % (number - 2)
                if behind not in self.acknowledged:  # lost with a kill, or not
                    break
                if self.walk.tally(behind)["waiting"] < self.size / 2:
                    break
                time.sleep(0.02)

    def wait_for(self, batches):
        end = time.monotonic() + 60
        while len(self.acknowledged) < batches:
            self.assertLess(time.monotonic(), end, self.walk.engine_log())
            time.sleep(0.02)

    def check_known(self, said, before):
        self.assertTrue(said["holds"], said)
        accepted = collections.Counter({b["batch"]: b["accepted"] for b in said["batches"]})
        self.assertEqual([b for b in before if accepted[b] != self.size], [])

    def test_under_load(self):
        self.wait_for(2)
        for number in range(12):
            before = list(self.acknowledged)
            said = self.ask("audit", *(["--compare"] if number % 2 else []))
            self.assertTrue(said["live"])
            self.check_known(said, before)
            if number % 4 == 0:
                verified = self.ask("spool", "verify")
                self.assertEqual((verified["damage"], verified["live"]), ([], True))
                self.assertTrue(self.ask("spool", "list")["live"])
                self.lines("spool", "waiting")
        # It was under load.
        self.assertGreater(len(self.acknowledged), 10)
        self.stop.set()
        self.feeder.join(60)
        for batch in self.acknowledged:
            self.walk.wait_settled(batch)
        said = self.ask("audit", "--compare")
        self.check_known(said, self.acknowledged)
        self.assertEqual(sum(b["waiting"] for b in said["batches"]), 0)

    def test_after_a_kill(self):
        for kills in range(1, 5):
            self.wait_for(len(self.acknowledged) + 2)
            self.walk.kill_engine()
            self.feeder.join(60)
            said = self.ask("audit")
            self.assertFalse(said["live"])
            self.check_known(said, self.acknowledged)
            self.assertEqual(self.ask("spool", "verify")["damage"], [])
            waiting = collections.Counter(line["batch"] for line in self.lines("spool", "waiting"))
            for batch in said["batches"]:
                self.assertEqual(waiting[batch["batch"]], batch["waiting"] + batch["in_doubt"])
            self.walk.start_engine()
            if kills == 4:
                break
            self.feeder = threading.Thread(target=self.feed_on, daemon=True)
            self.feeder.start()
        for batch in self.acknowledged:
            self.walk.wait_settled(batch)
        self.check_known(self.ask("audit", "--compare"), self.acknowledged)


if __name__ == "__main__":
    unittest.main(verbosity=2)
