#!/usr/bin/python3
"""The engine is killed again and again under full load, at random, at its start, and at points
marked in its code: nothing acknowledged is lost, nothing with a durable outcome is sent again, and
what is sent again was named first.

Usage: crash_test.py VEREDUS SINK [--kills N] [--point NAME] [--seed N] [--no-doubt]

  --kills N      so many kills (default: the short form)
  --point NAME   only kills at this point of the code (kill_point("NAME")), of which --kills
  --no-doubt     repeats need not have been called in doubt before: until attempt marks are written
"""

import argparse
import collections
import contextlib
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from walk_case import ROOT, SINK, VEREDUS, lines_of, recipient, recipients, walk

SIZE = 300            # recipients a batch
FEEDERS = 3
BEHIND = 3            # batches that a feeder is ahead of the deliveries
PAUSE_S = 0.05        # between two batches: all that is fed is looked at after each kill
KILLS_SHORT = 30
KILLS_A_ROUND = 60    # then everything settles, is judged, and begins anew in an empty spool
HELD_SENT = 2         # batches of which, at a start, the held ones are sent again by hand
MOMENTS = ("half a batch is fed", "a batch is fed and not acknowledged", "a batch is acknowledged")
START_SHARE = 0.25    # of the kills that are not at a point
POINT = re.compile(r'kill_point\(\s*"(\w+)"\s*\)')
# How often a point may be passed before it strikes; those not named: once or twice.
PASSES = {"group_written": 60, "group_synced": 60, "before_answer": 12, "outcome_gathered": 400,
          "outcomes_appended": 60, "reply_heard": 400, "content_leaves": 400, "content_left": 400}
# Events are kept here to the end, so nothing is reclaimed: these are not come to.
NOT_HERE = {"segments_removable", "carried_written", "carried_durable"}
FINAL = {"delivered", "failed", "expired", "cancelled", "suppressed"}


def points():
    """All that are marked in the sources."""
    found = set()
    for folder in ("engine", "queue"):
        for path in glob.glob(os.path.join(ROOT, folder, "**", "*.cc"), recursive=True):
            with open(path) as file:
                found.update(POINT.findall(file.read()))
    return sorted(found - NOT_HERE)


def has_points():
    """Whether this build knows of them: a release does not."""
    with open(VEREDUS, "rb") as file:
        return b"VEREDUS_KILL" in file.read()


class Feeder(threading.Thread):
    """Feeds batch after batch, each of them until it is acknowledged, and writes down which were, on
    the disk, before it goes on. Kills the engine itself where only it knows the moment: `trap` names
    one, `sprung` says that it has come."""

    def __init__(self, one_walk, name):
        super().__init__(daemon=True)
        self.walk, self.label = one_walk, name
        self.trap, self.sprung, self.stop = None, threading.Event(), threading.Event()
        self.acknowledged = []
        self.ledger = open(os.path.join(one_walk.directory, "acknowledged-" + name), "w")

    def run(self):
        number = 0
        while not self.stop.is_set():
            number += 1
            batch = "%s%d" % (self.label, number)
            while not self.feed(batch):
                time.sleep(0.01)
            self.ledger.write(batch + "\n")
            self.ledger.flush()
            os.fsync(self.ledger.fileno())
            self.acknowledged.append(batch)
            time.sleep(PAUSE_S)
            while len(self.acknowledged) > BEHIND and not self.stop.is_set():
                with contextlib.suppress(OSError, RuntimeError, ValueError,
                                         walk.http.client.HTTPException):
                    if self.walk.tally(self.acknowledged[-BEHIND])["waiting"] < SIZE / 2:
                        break
                time.sleep(0.01)

    def moment(self, name):
        if self.trap == name:
            self.walk.engine.kill()
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


# --- what is durable ------------------------------------------------------------------------------

def spool_outcomes(one_walk):
    """Read from the journals while nothing runs."""
    done = subprocess.run([VEREDUS, "--config", one_walk.config, "spool", "outcomes", "--json"],
                          capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError("veredus spool outcomes: " + done.stderr)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    for outcome in outcomes:
        if outcome["type"] != "gap":  # the entry may be in a segment that was reclaimed
            outcome.setdefault("to", recipient(outcome["batch"], outcome["index"]))
    return outcomes


def spool_waiting(one_walk):
    """Everybody who waits, likewise: of what was acknowledged all others are settled for good."""
    done = subprocess.run([VEREDUS, "--config", one_walk.config, "spool", "waiting", "--json"],
                          capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError("veredus spool waiting: " + done.stderr)
    return [json.loads(line)["to"] for line in done.stdout.splitlines()]


def event_outcomes(one_walk):
    """From the events of a life in which the sink stands still, so that nothing can be delivered."""
    one_walk.environment = {}
    one_walk.sink.send_signal(signal.SIGSTOP)
    try:
        one_walk.start_engine()
        events = one_walk.events("type=delivered,failed,expired,cancelled,suppressed,in_doubt")
        one_walk.kill_engine()
    finally:
        one_walk.sink.send_signal(signal.SIGCONT)
    return events


def durable_outcomes():
    known = subprocess.run([VEREDUS, "--help"], capture_output=True, text=True, timeout=60).stdout
    return spool_outcomes if re.search(r"^\s+spool\s", known, re.MULTILINE) else event_outcomes


# --- a spool, from empty to settled ---------------------------------------------------------------

class Round:
    # Small segments: one begins often, and each start begins one.
    settings = {"retry": {"initial": "1s", "cap": "1s"}, "journal": {"segment": "1MiB"},
                # What is in doubt would wait for ten minutes: it is held, and sent again by hand.
                "in_doubt": {"policy": "hold"}}
    # The ledger is ahead of the reply. Slow enough that there is always something under way.
    sink_options = ("--ledger-sync", "--delay", "dot=10", "--fail", "rcpt=550:0.02", "--fail",
                    "mail=451:0.01")

    def __init__(self, test, dice):
        self.test, self.dice = test, dice
        self.directory = tempfile.mkdtemp(prefix="veredus-crash-", dir="/var/tmp")
        test.addCleanup(shutil.rmtree, self.directory, True)
        self.walk = walk.Walk(self.directory, VEREDUS, SINK, settings=self.settings,
                              sink_options=self.sink_options, domains=50)
        test.addCleanup(self.walk.stop)
        self.walk.start()
        self.walk.stop_engine()
        self.feeders = [Feeder(self.walk, "f%d-" % i) for i in range(FEEDERS)]
        self.stored = []    # for each life of the engine what the sink has stored, in order
        self.final = [{}]   # before each life: recipient → its durable final outcome
        self.settled = [set()]  # likewise: who waits no more, though segments be reclaimed
        self.in_doubt = 0

    def acknowledged(self):
        return sum((feeder.acknowledged[:] for feeder in self.feeders), [])

    # --- lives -----------------------------------------------------------------------------------

    def life(self, plan):
        """One life, to its death by the plan, and what was durable then. The kind of kill."""
        kind, what = plan
        self.walk.environment = {}
        if kind == "point":
            passes = self.dice.randrange(1, PASSES.get(what, 2) + 1)
            self.walk.environment = {"VEREDUS_KILL": "%s:%d" % (what, passes)}
        if kind in ("point", "start"):
            self.walk.spawn_engine()
        else:
            self.walk.start_engine()
            self.check_acknowledged()
            batches = self.acknowledged()
            self.send_held(self.dice.sample(batches, min(len(batches), HELD_SENT)))
        hit = self.wait_for_death(kind, what)
        self.end_life()
        self.note_durable()
        return hit

    def wait_for_death(self, kind, what):
        if kind == "point":
            try:
                status = self.walk.engine.wait(30)
            except subprocess.TimeoutExpired:
                return False
            self.test.assertEqual(status, -signal.SIGKILL, self.walk.engine_log())
        elif kind == "start":
            time.sleep(self.dice.random() * 0.12)
        elif kind == "moment":
            feeder = self.dice.choice(self.feeders)
            time.sleep(self.dice.random() * 0.2)
            feeder.sprung.clear()
            feeder.trap = what
            self.test.assertTrue(feeder.sprung.wait(60), what)
        else:
            before, more = os.path.getsize(self.walk.ledger), self.dice.randrange(1, 30000)
            end = time.monotonic() + 60
            while os.path.getsize(self.walk.ledger) < before + more:
                self.test.assertLess(time.monotonic(), end, "nothing is delivered")
                time.sleep(0.002)
        return True

    def end_life(self):
        """The engine is killed, if it lives; what the sink has from this life."""
        self.walk.kill_engine()
        # What had arrived whole before the kill, the sink stores still.
        end = time.monotonic() + 60
        while self.walk.sink_counters()["open"] != 0:
            self.test.assertLess(time.monotonic(), end, "the sink does not see that it is gone")
        self.stored.append([to for _, to, _ in
                            self.walk.ledger_lines()[sum(map(len, self.stored)):]])

    def note_durable(self):
        batches = self.acknowledged()  # before anything is read: these are there
        outcomes = self.test.outcomes(self.walk)
        finals = [(o["to"], o["type"]) for o in outcomes if o["type"] in FINAL]
        once = dict(finals)
        self.test.assertEqual(len(finals), len(once), "two final outcomes of a recipient")
        offline = self.test.outcomes is spool_outcomes
        if offline:  # what was reclaimed is not listed any more
            once = {**self.final[-1], **once}
        gone = [to for to, kind in self.final[-1].items() if once.get(to) != kind]
        self.test.assertEqual(gone, [], "durable outcomes are gone after life %d" % len(self.stored))
        seen = {to for life in self.stored for to in life}
        invented = [to for to, kind in once.items() if kind == "delivered" and to not in seen]
        self.test.assertEqual(invented, [], "called delivered, and the sink has never seen it")
        self.final.append(once)
        if offline:
            self.note_settled(batches, once)

    def note_settled(self, batches, once):
        """The journals account for everybody, and who was settled stays so."""
        done = subprocess.run([VEREDUS, "--config", self.walk.config, "audit"],
                              capture_output=True, text=True, timeout=120)
        self.test.assertEqual(done.returncode, 0, "the audit after life %d: %s%s" % (
            len(self.stored), done.stdout[-4000:], done.stderr))
        waiting = spool_waiting(self.walk)
        waits = set(waiting)
        self.test.assertEqual(len(waiting), len(waits), "somebody waits twice")
        settled = {to for batch in batches for to in recipients(batch, SIZE)} - waits
        again = sorted(self.settled[-1] - settled)
        self.test.assertEqual(again, [], "settled, and wait again after life %d" % len(self.stored))
        self.test.assertEqual(sorted(set(once) & waits), [], "have a final outcome, and wait")
        self.settled.append(settled)

    def check_acknowledged(self):
        """All there, whatever became of their recipients."""
        for batch in self.acknowledged():
            status, text = self.walk.get("/v1/batches/default/" + batch)
            self.test.assertEqual(status, 200, "%s was acknowledged and is lost: %s" % (batch, text))
            tally = json.loads(text)
            self.test.assertEqual(tally["accepted"], SIZE, tally)
            self.check_identity(tally)

    def send_held(self, batches):
        """Those that are in doubt are sent again: an operator says so."""
        for batch in batches:
            status, text, _ = self.walk.request(
                "POST", "/v1/in_doubt", json.dumps({"batch": batch, "action": "retry"}).encode())
            if status != 200:
                return  # an engine that does not take such decisions
            self.test.totals["sent_by_hand"] += json.loads(text)["done"]

    def check_identity(self, tally):
        self.test.assertEqual(tally["accepted"], sum(tally[part] for part in walk.TALLY_PARTS), tally)

    # --- the end ---------------------------------------------------------------------------------

    def run(self, plans, counts):
        for feeder in self.feeders:
            feeder.start()
        try:
            for plan in plans:
                if self.life(plan):
                    counts[plan[0] if plan[0] != "point" else "point " + plan[1]] += 1
                else:
                    self.test.missed.append(plan[1])
            self.walk.environment = {}
            self.walk.start_engine()
        finally:
            for feeder in self.feeders:
                feeder.stop.set()
        for feeder in self.feeders:
            feeder.join(60)
            feeder.ledger.close()
        self.test.assertFalse(any(feeder.is_alive() for feeder in self.feeders), "a feeder hangs")
        self.settle()

    def settle(self):
        batches = self.acknowledged()
        for held in (True, False):
            for batch in batches:
                tally = self.walk.wait_settled(batch, 120)
                self.test.assertEqual((tally["accepted"], tally["waiting"]), (SIZE, 0), tally)
                self.check_identity(tally)
            if held:
                self.send_held(batches)
        # Each batch was fed until it was acknowledged, so these are exactly all recipients.
        fed = sorted(to for batch in batches for to in recipients(batch, SIZE))
        self.test.assertEqual(self.walk.stop_engine(), 0)
        self.walk.stop_sink()
        self.stored.append([to for _, to, _ in
                            self.walk.ledger_lines()[sum(map(len, self.stored)):]])
        self.walk.start_sink()
        self.note_durable()
        self.walk.start_engine()
        events = self.walk.events()
        self.judge(fed, events)

    def judge(self, fed, events):
        test = self.test
        of_type = collections.defaultdict(list)
        for event in events:
            if event.get("rule") != "operator":  # that is our own decision
                of_type[event["type"]].append(event["to"])
        test.assertEqual(sorted(of_type["accepted"]), fed, "accepted")
        settled = sorted(sum((of_type[kind] for kind in FINAL), []))
        doubts = collections.Counter(of_type["in_doubt"])
        held = sorted(set(doubts) - set(settled))
        test.assertEqual(sorted(settled + held), fed, "final outcomes, each once")
        self.check_gap_free(events)

        stores = collections.Counter(to for life in self.stored for to in life)
        test.assertEqual(sorted(set(stores) - set(fed)), [], "mail for nobody")
        test.assertEqual(sorted(set(of_type["delivered"]) - set(stores)), [],
                         "called delivered, and the sink never saw it")
        for number, life in enumerate(self.stored):
            test.assertEqual(len(life), len(set(life)),
                             "stored twice in life %d, without a kill" % number)
            again = sorted(set(life) & set(self.final[number]))
            test.assertEqual(again, [], "sent in life %d in spite of a durable outcome" % number)
        for number, life in enumerate(self.stored[:len(self.settled)]):
            again = sorted(set(life) & self.settled[number])
            test.assertEqual(again, [], "sent in life %d though durably settled" % number)
        repeats = {to: count - 1 for to, count in stores.items() if count > 1}
        unnamed = {to: count - doubts[to] for to, count in repeats.items() if count > doubts[to]}
        if test.doubt:
            test.assertEqual(unnamed, {}, "came again, and were not called in doubt before")
        ids = {(message_id.strip("<>"), to) for message_id, to, _ in self.walk.ledger_lines()}
        by_address = {recipient(batch, i): "%s-%d@walk.test" % (batch, i)
                      for batch in self.acknowledged() for i in range(SIZE)}
        test.assertTrue(all(by_address[to] == message_id for message_id, to in ids),
                        "somebody got another's message")
        test.totals.update(recipients=len(fed), repeats=sum(repeats.values()),
                           unnamed=sum(unnamed.values()), in_doubt=sum(doubts.values()),
                           lives_with_mail=sum(1 for life in self.stored if life))
        self.walk.stop()

    def check_gap_free(self, events):
        last = {}
        for event in events:
            stream = event["stream"]
            self.test.assertEqual(event["seq"], last.get(stream, 0) + 1, "in stream %d" % stream)
            last[stream] = event["seq"]


class Crash(unittest.TestCase):
    options = None

    def plans(self, dice):
        """(kind, what) of each kill: those at points first counted, then mixed."""
        known = points() if has_points() else []
        if self.options.point is not None:
            self.assertIn(self.options.point, known, "no such point, or a release")
            return [("point", self.options.point)] * (self.options.kills or 5)
        kills = self.options.kills or KILLS_SHORT
        each = 5 if kills >= 10 * len(known) else 1
        plans = [("point", name) for name in known for _ in range(each)]
        others = max(kills - len(plans), 10)
        at_start = max(round(others * START_SHARE), kills // 10)
        plans += [("start", None)] * at_start
        for number in range(others - at_start):
            plans.append(("moment", MOMENTS[number // 2 % 3]) if number % 2 else ("leaving", None))
        dice.shuffle(plans)
        return plans

    def test_nothing_acknowledged_is_lost_nothing_durable_repeats(self):
        seed = self.options.seed or random.SystemRandom().randrange(1 << 32)
        dice = random.Random(seed)
        print("seed %d; outcomes are listed %s" % (seed, "offline" if durable_outcomes() is
                                                   spool_outcomes else "by events"), flush=True)
        self.doubt = not self.options.no_doubt
        self.outcomes = durable_outcomes()
        self.totals, self.missed, counts = collections.Counter(), [], collections.Counter()
        plans = self.plans(dice)
        begin = time.monotonic()
        for first in range(0, len(plans), KILLS_A_ROUND):
            Round(self, dice).run(plans[first:first + KILLS_A_ROUND], counts)
        in_recovery = counts["start"] + sum(count for name, count in counts.items()
                                            if name.startswith("point recovery"))
        print("%d kills in %.0f s, %d of them while it started; %s" % (
            sum(counts.values()), time.monotonic() - begin, in_recovery,
            ", ".join("%s %d" % each for each in sorted(counts.items()))))
        print("%(recipients)d recipients: 0 lost, 0 durable ones repeated, %(repeats)d repeats, "
              "%(unnamed)d of them not called in doubt before, %(in_doubt)d times in doubt, "
              "%(sent_by_hand)d sent again by hand" % collections.defaultdict(int, self.totals))
        self.assertEqual(self.missed, [], "points that were never passed")
        # The test itself: kills came into deliveries.
        self.assertGreater(self.totals["lives_with_mail"], len(plans) / 4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--point")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--no-doubt", action="store_true")
    Crash.options, rest = parser.parse_known_args()
    unittest.main(verbosity=2, argv=sys.argv[:1] + rest)
