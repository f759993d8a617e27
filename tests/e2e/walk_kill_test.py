#!/usr/bin/python3
"""The engine is killed again and again under load, at the moments that matter: nothing acknowledged
is lost, and only what had no durable outcome comes twice, and was said to be in doubt before.

Usage: walk_kill_test.py VEREDUS SINK [unittest arguments]
"""

import collections
import contextlib
import glob
import json
import os
import random
import signal
import threading
import time
import unittest

from walk_case import Case, lines_of, recipient, recipients, walk

SIZE = 400     # recipients a batch
FEEDERS = 2
BEHIND = 3     # batches that a feeder is ahead of the deliveries


class Feeder(threading.Thread):
    """Feeds batch after batch, each of them until it is acknowledged. Kills the engine itself where
    only it knows the moment: `trap` names one, `sprung` says that it has come."""

    def __init__(self, kill, one_walk, name):
        super().__init__(daemon=True)
        self.kill, self.walk, self.label = kill, one_walk, name
        self.trap, self.sprung, self.stop = None, threading.Event(), threading.Event()
        self.acknowledged = []

    def run(self):
        number = 0
        while not self.stop.is_set():
            number += 1
            batch = "%s%d" % (self.label, number)
            while not self.feed(batch):
                time.sleep(0.01)
            self.acknowledged.append(batch)
            while len(self.acknowledged) > BEHIND and not self.stop.is_set():
                with contextlib.suppress(OSError, RuntimeError, walk.http.client.HTTPException):
                    if self.walk.tally(self.acknowledged[-BEHIND])["waiting"] == 0:
                        break
                time.sleep(0.01)

    def moment(self, name):
        if self.trap == name:
            self.kill()
            self.trap = None
            self.sprung.set()

    def feed(self, batch):
        """Whether it is acknowledged."""
        body = "".join(json.dumps(line) + "\n" for line in lines_of(batch, SIZE)).encode()
        connection = walk.UnixConnection(self.walk.socket)
        try:
            connection.putrequest("POST", "/v1/batches")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            connection.send(body[:len(body) // 2])
            self.moment("half a batch is fed")
            connection.send(body[len(body) // 2:])
            self.moment("a batch is fed and not acknowledged")
            answer = connection.getresponse()
            said = json.loads(answer.read())
            if answer.status != 200:
                return False
            # An acknowledgement that came too early would show now.
            self.moment("a batch is acknowledged")
            return said["accepted"] == SIZE
        except (OSError, ValueError, walk.http.client.HTTPException):
            return False
        finally:
            connection.close()


class Killing(Case):
    MOMENTS = ("half a batch is fed", "messages leave", "a batch is acknowledged", "any",
               "a batch is fed and not acknowledged", "it starts again")
    ROUNDS = 3
    # Each start begins a new segment, and all of them are read at the next: small ones make it quick.
    settings = {"retry": {"initial": "1s", "cap": "1s"}, "journal": {"segment": "1MiB"},
                "in_doubt": {"delay": "1s"}}
    # The ledger is ahead of the reply. Slow enough that there is always something under way.
    sink_options = ("--ledger-sync", "--delay", "dot=10")

    def setUp(self):
        super().setUp()
        self.lives = []    # for each life of the engine what the sink has stored, in order
        self.durable = []  # and who had a durable outcome at its end; None: not known
        self.dice = random.Random(4711)

    def ledger_bytes(self):
        return os.path.getsize(self.walk.ledger)

    def end_life(self):
        """Kills the engine and notes what the sink has from this life."""
        self.walk.kill_engine()
        # What had arrived whole before the kill, the sink stores still.
        end = time.monotonic() + 60
        while self.walk.sink_counters()["open"] != 0:
            self.assertLess(time.monotonic(), end, "the sink does not see that the engine is gone")
        lines = self.walk.ledger_lines()
        self.lives.append([to for _, to, _ in lines[sum(map(len, self.lives)):]])
        self.durable.append(None)

    def begin_life(self):
        """Starts it again. While the sink stands still nothing can be delivered: the delivered events
        are what was durable when the last life ended."""
        self.walk.sink.send_signal(signal.SIGSTOP)
        try:
            self.walk.start_engine()
            delivered = [e["to"] for e in self.walk.events("type=delivered")]
        finally:
            self.walk.sink.send_signal(signal.SIGCONT)
        self.assertEqual(len(delivered), len(set(delivered)), "two final outcomes of a recipient")
        self.durable[-1] = set(delivered)

    def kill_when(self, moment, feeder):
        if moment in ("messages leave", "it starts again"):
            before, more = self.ledger_bytes(), self.dice.randrange(1, 10000)
            end = time.monotonic() + 60
            while self.ledger_bytes() < before + more:
                self.assertLess(time.monotonic(), end, "nothing is delivered")
                time.sleep(0.002)
        elif moment == "any":
            time.sleep(self.dice.random() * 0.5)
        else:
            time.sleep(self.dice.random() * 0.2)
            feeder.sprung.clear()
            feeder.trap = moment
            self.assertTrue(feeder.sprung.wait(60), moment)
        self.end_life()
        if moment == "it starts again":
            self.walk.spawn_engine()
            time.sleep(self.dice.random() * 0.15)
            self.end_life()

    def settle(self, batches):
        """Until nothing waits."""
        for batch in batches:
            tally = self.walk.wait_settled(batch, 120)
            self.assertEqual((tally["accepted"], tally["delivered"]), (SIZE, SIZE), tally)
            self.check_identity(tally)

    def check_lives(self):
        """What came twice had no durable outcome at the kill before."""
        known, stored = set(), set()
        for number, (life, durable) in enumerate(zip(self.lives, self.durable)):
            once = set(life)
            self.assertEqual(len(life), len(once), "stored twice in life %d, without a kill" % number)
            self.assertEqual(once & known, set(), "delivered again in life %d in spite of a durable "
                             "outcome" % number)
            stored |= once
            if durable is not None:
                self.assertLessEqual(known, durable, "outcomes are gone after life %d" % number)
                self.assertLessEqual(durable, stored, "outcomes of what the sink has never seen")
                known = durable
        return stored

    def test_sigkill_loses_nothing_acknowledged(self):
        kill = lambda: self.walk.engine.kill()
        feeders = [Feeder(kill, self.walk, "f%d-" % i) for i in range(FEEDERS)]
        for feeder in feeders:
            feeder.start()
        try:
            for number in range(self.ROUNDS):
                for moment in self.MOMENTS:
                    self.kill_when(moment, feeders[number % FEEDERS])
                    acknowledged = sum((feeder.acknowledged[:] for feeder in feeders), [])
                    self.begin_life()
                    for batch in acknowledged:  # all there, whatever became of its recipients
                        status, text = self.walk.get("/v1/batches/default/" + batch)
                        self.assertEqual(status, 200, "%s was acknowledged and is lost (kill: %s): %s"
                                         % (batch, moment, text))
                        self.assertEqual(json.loads(text)["accepted"], SIZE, text)
                        self.check_identity(json.loads(text))
        finally:
            for feeder in feeders:
                feeder.stop.set()
            for feeder in feeders:
                feeder.join(60)
        self.assertFalse(any(feeder.is_alive() for feeder in feeders))
        batches = sum((feeder.acknowledged for feeder in feeders), [])
        self.settle(batches)

        # Every batch was fed until it was acknowledged, so these are exactly all recipients.
        fed = sorted(to for batch in batches for to in recipients(batch, SIZE))
        for kind in ("accepted", "delivered"):
            events = self.settled_events("type=" + kind, len(fed))
            self.assertEqual(sorted(e["to"] for e in events), fed, kind)
        self.check_gap_free(self.walk.events())
        in_doubt = self.walk.events("type=in_doubt")
        self.assertEqual(self.walk.stop_engine(), 0)
        marks = glob.glob(os.path.join(self.directory, "spool", "journal-*", "marks-*"))
        shards = {os.path.dirname(path) for path in marks}
        self.assertEqual(len(marks), len(shards), "marks of earlier lives were not removed")
        self.walk.stop_sink()
        lines = self.walk.ledger_lines()
        self.lives.append([to for _, to, _ in lines[sum(map(len, self.lives)):]])
        self.durable.append(set(fed))
        self.assertEqual(sorted(self.check_lives()), fed)
        ids = {(message_id.strip("<>"), to) for message_id, to, _ in lines}
        self.assertEqual(ids, {("%s-%d@walk.test" % (batch, i), recipient(batch, i))
                               for batch in batches for i in range(SIZE)})
        # The test itself: kills came into deliveries, and something came twice by them.
        self.assertGreater(sum(1 for life in self.lives if life), len(self.MOMENTS) * self.ROUNDS / 2)
        counts = collections.Counter(to for _, to, _ in lines)
        again = {to: n - 1 for to, n in counts.items() if n > 1}
        self.assertGreater(len(again), 0)
        # And each time it was said before: by the life that found the mark.
        doubts = collections.Counter(e["to"] for e in in_doubt)
        self.assertEqual({to: n for to, n in again.items() if doubts[to] < n}, {}, "sent again, and "
                         "not said to be in doubt")
        self.assertEqual({e["rule"] for e in in_doubt}, {"crash"})
        print("%d lives, %d batches, %d recipients, %d in doubt, %d of them came again"
              % (len(self.lives), len(batches), len(fed), len(doubts), len(again)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
