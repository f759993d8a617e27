#!/usr/bin/python3
"""The engine is killed again and again under full load, at random, at its start, and at points
marked in its code: nothing acknowledged is lost, nothing with a durable outcome is sent again, and
what is sent again was named first.

Usage: crash_test.py VEREDUS SINK [--kills N] [--point NAME] [--seed N] [--jobs N] [--plant DEFECT]

  --kills N       so many kills (default: the short form)
  --point NAME    only kills at this point of the code (kill_point("NAME")), of which --kills
  --jobs N        rounds that run beside each other (2)
  --plant DEFECT  with this defect in the engine (engine/io/planted.h): must fail
"""

import argparse
import collections
import concurrent.futures
import glob
import os
import random
import re
import sys
import threading
import time
import unittest

from walk_case import ROOT, VEREDUS
from crash_round import KeepingRound, ReclaimingRound

KILLS_SHORT = 36
KILLS_A_ROUND = 50    # then everything settles, is judged, and begins anew in an empty spool
POINT_KILLS_LONG = 5  # at each point, when there are ten times as many kills as points
MOMENTS = ("half a batch is fed", "a batch is fed and not acknowledged", "a batch is acknowledged")
START_SHARE = 0.25    # of the kills that are not at a point
LIVES_BEFORE_RECLAIM = 2
SHOWN_EVERY_S = 15
POINT = re.compile(r'kill_point\(\s*"(\w+)"\s*\)')
# Come to only where segments are given back.
AT_RECLAIM = {"segments_removable", "carried_written", "carried_durable"}


def points():
    """All that are marked in the sources; none in a release, which does not know of them."""
    with open(VEREDUS, "rb") as file:
        if b"VEREDUS_KILL" not in file.read():
            return []
    found = set()
    for folder in ("engine", "queue"):
        for path in glob.glob(os.path.join(ROOT, folder, "**", "*.cc"), recursive=True):
            with open(path) as file:
                found.update(POINT.findall(file.read()))
    return sorted(found)


class Stopped(Exception):
    """Another round has failed."""


class Kills:
    """Which have come, told now and then."""

    def __init__(self, planned):
        self.planned, self.counts, self.missed = planned, collections.Counter(), []
        self.begin = self.shown = time.monotonic()
        self.totals = collections.Counter()  # of the rounds
        self.lock, self.stopping = threading.Lock(), False

    def add(self, plan, hit):
        kind, what = plan
        with self.lock:
            if self.stopping:
                raise Stopped()
            if not hit:
                self.missed.append(what)
                return
            self.counts["point " + what if kind == "point" else kind] += 1
            if time.monotonic() > self.shown + SHOWN_EVERY_S:
                self.shown = time.monotonic()
                print("%4d of %d kills, %4.0f s" % (sum(self.counts.values()), self.planned,
                                                    self.shown - self.begin), flush=True)

    def in_recovery(self):
        return sum(count for kind, count in self.counts.items()
                   if kind == "start" or kind.startswith("point recovery"))

    def table(self):
        totals = self.totals
        at_points = {kind: count for kind, count in self.counts.items() if kind.startswith("point")}
        total = sum(self.counts.values())
        rows = [("kills", total), ("  at random", total - sum(at_points.values())),
                ("  while it started", self.in_recovery())]
        rows += [("  at " + kind, at_points[kind]) for kind in sorted(at_points)]
        rows += [("recipients acknowledged", totals["acknowledged"])]
        rows += [(name, totals[name])
                 for name in ("lost", "durable repeated", "repeats in doubt", "repeats not in doubt",
                              "in doubt", "sent by hand", "segments reclaimed")]
        width = max(len(name) for name, _ in rows)
        return "\n".join("%-*s %8d" % (width, name, count) for name, count in rows)


class Crash(unittest.TestCase):
    options = None

    def plans(self, dice, known):
        """For each round its kind, and (kind, what) of each kill."""
        if self.options.point is not None:
            self.assertIn(self.options.point, known, "no such point, or a release")
            kind = ReclaimingRound if self.options.point in AT_RECLAIM else KeepingRound
            return [(kind, [("point", self.options.point)] * (self.options.kills or 5))]
        kills = self.options.kills or KILLS_SHORT
        each = POINT_KILLS_LONG if kills >= 10 * len(known) else 1
        at_reclaim = [("point", name) for name in known if name in AT_RECLAIM for _ in range(each)]
        plans = [("point", name) for name in known if name not in AT_RECLAIM for _ in range(each)]
        others = max(kills - len(plans) - len(at_reclaim), 10)
        at_start = max(round(others * START_SHARE), kills // 10)
        plans += [("start", None)] * at_start
        for number in range(others - at_start):
            plans.append(("moment", MOMENTS[number // 2 % 3]) if number % 2 else ("leaving", None))
        for some in (plans, at_reclaim):
            dice.shuffle(some)
        # As many rounds of either kind.
        pairs = max(1, round((len(plans) + len(at_reclaim)) / KILLS_A_ROUND / 2))
        rounds = []
        for number in range(pairs):
            of_pair = plans[number::pairs]
            special = at_reclaim[number::pairs]
            half = max(LIVES_BEFORE_RECLAIM, (len(of_pair) - len(special)) // 2)
            # Something must lie there before it can be reclaimed.
            before, beside = of_pair[:LIVES_BEFORE_RECLAIM], of_pair[LIVES_BEFORE_RECLAIM:half] + special
            dice.shuffle(beside)
            rounds += [(KeepingRound, of_pair[half:]), (ReclaimingRound, before + beside)]
        return rounds

    def test_nothing_acknowledged_is_lost_nothing_durable_repeats(self):
        seed = self.options.seed or random.SystemRandom().randrange(1 << 32)
        dice = random.Random(seed)
        rounds = self.plans(dice, points())
        planned = sum(len(plans) for _, plans in rounds)
        print("seed %d: %d kills in %d rounds" % (seed, planned, len(rounds)), flush=True)
        kills = Kills(planned)
        pool = concurrent.futures.ThreadPoolExecutor(self.options.jobs)
        running = [pool.submit(self.run_round, kind, dice.random(), plans, kills)
                   for kind, plans in rounds]
        try:
            for one in concurrent.futures.as_completed(running):
                one.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            print("%s\nin %.0f s" % (kills.table(), time.monotonic() - kills.begin), flush=True)
        self.assertEqual(kills.missed, [], "points that were never passed")
        # The test itself: kills came into deliveries.
        self.assertGreater(kills.totals["lives with mail"], planned / 4)

    def run_round(self, kind, dice_seed, plans, kills):
        one = None
        try:
            one = kind(self, random.Random(dice_seed), self.options.plant)
            one.run(plans, kills.add)
        except Stopped:
            pass
        except BaseException:
            kills.stopping = True
            raise
        finally:
            with kills.lock:
                kills.totals.update(one.totals if one else {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--point")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--plant")
    Crash.options, rest = parser.parse_known_args()
    unittest.main(verbosity=2, argv=sys.argv[:1] + rest)
