"""A spool from empty to settled, in which the engine is killed again and again; what was durable at
each death is read from the files, and judged at the end against the sink's ledger and the feeders'.
"""

import collections
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from walk_case import SINK, VEREDUS, lines_of, recipient, recipients, walk

SIZE = 300            # recipients a batch
FEEDERS = 3
BEHIND = 3            # batches that a feeder is ahead of the deliveries
PAUSE_S = 0.05        # between two batches: all that is fed is looked at after each kill
HELD_SENT = 2         # batches of which, at a start, the held ones are sent again by hand
PATIENCE_S = 60       # for what must come
START_S = 0.12        # a kill at the start comes within this time
# How often a point may be passed before it strikes; those not named: once or twice.
PASSES = {"group_written": 60, "group_synced": 60, "before_answer": 12, "outcome_gathered": 400,
          "outcomes_appended": 60, "reply_heard": 400, "content_leaves": 400, "content_left": 400,
          "carried_written": 4, "carried_durable": 4}
FINAL = {"delivered", "failed", "expired", "cancelled", "suppressed"}


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


class Segments(threading.Thread):
    """Holds on to each segment file, by a link of its own, until it was looked at: one that begins,
    is filled and is reclaimed within a life would be gone before anybody has read its outcomes."""

    def __init__(self, spool, directory):
        super().__init__(daemon=True)
        self.spool, self.directory = spool, directory
        self.gone = 0  # that were reclaimed
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.01):
            self.hold()

    def files(self, spool):
        with contextlib.suppress(FileNotFoundError):
            for journal in os.listdir(spool):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    for name in os.listdir(os.path.join(spool, journal)):
                        if name.endswith(".vrj"):
                            yield os.path.join(journal, name)

    def hold(self):
        for name in self.files(self.spool):
            link = os.path.join(self.directory, name)
            if os.path.exists(link):
                continue
            os.makedirs(os.path.dirname(link), exist_ok=True)
            # Either may have been done meanwhile, by the engine and by our other thread.
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.link(os.path.join(self.spool, name), link)

    def let_go(self):
        """Of those that the spool has no more."""
        for name in set(self.files(self.directory)) - set(self.files(self.spool)):
            os.unlink(os.path.join(self.directory, name))
            self.gone += 1


class Round:
    name = "events are kept"
    # Small segments: one begins often, and each start begins one.
    settings = {"retry": {"initial": "1s", "cap": "1s"}, "journal": {"segment": "1MiB"},
                # What is in doubt is held, and sent again by hand. The delay is for what was sent
                # again and killed once more: that is due so long after the next start.
                "in_doubt": {"policy": "hold", "delay": "1s"}}
    # The ledger is ahead of the reply. Slow enough that there is always something under way.
    sink_options = ("--ledger-sync", "--delay", "dot=10", "--fail", "rcpt=550:0.02", "--fail",
                    "mail=451:0.01")

    def __init__(self, test, dice, defect=None):
        self.test, self.dice = test, dice
        self.directory = tempfile.mkdtemp(prefix="veredus-crash-", dir="/var/tmp")
        test.addCleanup(shutil.rmtree, self.directory, True)
        self.walk = walk.Walk(self.directory, VEREDUS, SINK, settings=self.settings,
                              sink_options=self.sink_options, domains=50)
        test.addCleanup(self.walk.stop)
        self.usual = {"VEREDUS_PLANT": defect} if defect else {}
        self.walk.environment = self.usual
        self.walk.start()
        self.walk.stop_engine()
        self.spool = os.path.join(self.directory, "spool")
        self.feeders = [Feeder(self.walk, "f%d-" % i) for i in range(FEEDERS)]
        self.stored = []    # for each life of the engine what the sink has stored, in order
        self.ledger = []    # all that the sink has written down, and up to which byte
        self.ledger_bytes = 0
        self.outcomes = {}  # all that were ever durable, by stream and number
        self.final = [{}]   # before each life: recipient → its durable final outcome
        self.settled = [set()]  # likewise: who waits no more
        self.totals = collections.Counter()

    def acknowledged(self):
        return sum((feeder.acknowledged[:] for feeder in self.feeders), [])

    # --- lives -----------------------------------------------------------------------------------

    def life(self, plan):
        """One life, to its death by the plan, and what was durable then. Whether it came to it."""
        kind, what = plan
        self.walk.environment = dict(self.usual)
        if kind == "point":
            passes = self.dice.randrange(1, PASSES.get(what, 2) + 1)
            self.walk.environment["VEREDUS_KILL"] = "%s:%d" % (what, passes)
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
                status = self.walk.engine.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                return False
            self.test.assertEqual(status, -signal.SIGKILL, self.walk.engine_log())
        elif kind == "start":
            time.sleep(self.dice.random() * START_S)
        elif kind == "moment":
            feeder = self.dice.choice(self.feeders)
            time.sleep(self.dice.random() * 0.2)
            feeder.sprung.clear()
            feeder.trap = what
            self.test.assertTrue(feeder.sprung.wait(PATIENCE_S), what)
        else:
            before, more = os.path.getsize(self.walk.ledger), self.dice.randrange(1, 30000)
            end = time.monotonic() + PATIENCE_S
            while os.path.getsize(self.walk.ledger) < before + more:
                self.test.assertLess(time.monotonic(), end, "nothing is delivered")
                time.sleep(0.002)
        return True

    def end_life(self):
        """The engine is killed, if it lives; what the sink has from this life."""
        self.walk.kill_engine()
        # What had arrived whole before the kill, the sink stores still.
        end = time.monotonic() + PATIENCE_S
        while self.walk.sink_counters()["open"] != 0:
            self.test.assertLess(time.monotonic(), end, "the sink does not see that it is gone")
        self.note_stored()
        self.check_log()

    def check_log(self):
        """Nothing that was read back in a life was damaged or elsewhere."""
        with open(self.walk.log, errors="replace") as log:
            errors = [line for line in log if line.startswith(("veredus: error:", "<3>"))]
        self.test.assertEqual(errors, [], "in life %d" % len(self.stored))

    def note_stored(self):
        lines = walk.loopback.read_ledger(self.walk.ledger, self.ledger_bytes)
        self.ledger_bytes += sum(len("\t".join(line)) + 1 for line in lines)
        self.ledger += lines
        self.stored.append([to for _, to, _ in lines])

    # --- what is durable -------------------------------------------------------------------------

    def ask_files(self, *arguments):
        done = subprocess.run([VEREDUS, "--config", self.walk.config, *arguments],
                              capture_output=True, text=True, timeout=120)
        self.test.assertEqual(done.returncode, 0, "after life %d: veredus %s: %s%s" % (
            len(self.stored), " ".join(arguments), done.stdout[-4000:], done.stderr))
        return done.stdout

    def read_outcomes(self):
        return self.ask_files("spool", "outcomes", "--json")

    def note_durable(self):
        batches = self.acknowledged()  # before anything is read: these are there
        for line in self.read_outcomes().splitlines():
            outcome = json.loads(line)
            if outcome["type"] == "gap":
                continue
            # Its entry may be in a segment that was reclaimed.
            outcome.setdefault("to", recipient(outcome["batch"], outcome["index"]))
            told = (outcome["to"], outcome["type"], outcome.get("rule"))
            known = self.outcomes.setdefault((outcome["stream"], outcome["seq"]), told)
            self.test.assertEqual(known, told, "an outcome is another one now")
        finals = [(to, kind) for to, kind, _ in self.outcomes.values() if kind in FINAL]
        once = dict(finals)
        twice = [to for to, count in collections.Counter(to for to, _ in finals).items() if count > 1]
        self.test.assertEqual(twice, [], "two final outcomes of a recipient")
        seen = {to for life in self.stored for to in life}
        invented = [to for to, kind in finals if kind == "delivered" and to not in seen]
        self.test.assertEqual(invented, [], "called delivered, and the sink has never seen it")
        self.final.append(once)
        self.note_settled(batches, once)

    def note_settled(self, batches, once):
        """The journals account for everybody, and who was settled stays so."""
        self.ask_files("audit")
        waiting = [json.loads(line)["to"]
                   for line in self.ask_files("spool", "waiting", "--json").splitlines()]
        waits = set(waiting)
        self.test.assertEqual(len(waiting), len(waits), "somebody waits twice")
        settled = {to for batch in batches for to in recipients(batch, SIZE)} - waits
        again = sorted(self.settled[-1] - settled)
        self.test.assertEqual(again, [], "settled, and wait again after life %d" % len(self.stored))
        self.test.assertEqual(sorted(set(once) & waits), [], "have a final outcome, and wait")
        unsaid = sorted(settled - set(once))
        self.test.assertEqual(unsaid, [], "wait no more, and no outcome says why")
        self.settled.append(settled)

    # --- what the engine says --------------------------------------------------------------------

    def tallies(self):
        status, text = self.walk.get("/v1/batches?limit=1000000")
        self.test.assertEqual(status, 200, text)
        tallies = {tally["batch"]: tally for tally in json.loads(text)["batches"]}
        for tally in tallies.values():
            parts = sum(tally[part] for part in walk.TALLY_PARTS)
            self.test.assertEqual(tally["accepted"], parts, tally)
        return tallies

    def check_acknowledged(self):
        """All there, whatever became of their recipients."""
        acknowledged = self.acknowledged()
        tallies = self.tallies()
        lost = [batch for batch in acknowledged if batch not in tallies]
        self.test.assertEqual(lost, [], "were acknowledged and are lost")
        short = [batch for batch in acknowledged if tallies[batch]["accepted"] != SIZE]
        self.test.assertEqual(short, [], "were acknowledged with more recipients")
        return [tallies[batch] for batch in acknowledged]

    def send_held(self, batches):
        """Those that are in doubt are sent again: an operator says so."""
        for batch in batches:
            status, text, _ = self.walk.request(
                "POST", "/v1/in_doubt", json.dumps({"batch": batch, "action": "retry"}).encode())
            self.test.assertEqual(status, 200, text)
            self.totals["sent by hand"] += json.loads(text)["done"]

    # --- the end ---------------------------------------------------------------------------------

    def run(self, plans, on_kill):
        for feeder in self.feeders:
            feeder.start()
        try:
            for plan in plans:
                on_kill(plan, self.life(plan))
            self.walk.environment = self.usual
            self.walk.start_engine()
        finally:
            for feeder in self.feeders:
                feeder.stop.set()
        for feeder in self.feeders:
            feeder.join(PATIENCE_S)
            feeder.ledger.close()
        self.test.assertFalse(any(feeder.is_alive() for feeder in self.feeders), "a feeder hangs")
        self.settle()

    def settle(self):
        batches = self.acknowledged()
        for held in (True, False):
            end = time.monotonic() + 2 * PATIENCE_S
            while sum(tally["waiting"] for tally in self.check_acknowledged()) > 0:
                self.test.assertLess(time.monotonic(), end, "some wait without end")
                time.sleep(0.1)
            if held:
                self.send_held(batches)
        self.test.assertEqual(self.walk.stop_engine(), 0)
        self.walk.stop_sink()
        self.check_log()
        self.note_stored()
        self.note_durable()
        # Each batch was fed until it was acknowledged, so these are exactly all recipients.
        self.judge(sorted(to for batch in batches for to in recipients(batch, SIZE)))
        self.walk.stop()

    def judge(self, fed):
        test, final = self.test, self.final[-1]
        doubts = collections.Counter(
            to for to, kind, rule in self.outcomes.values()
            if kind == "in_doubt" and rule != "operator")  # that is our own decision
        stores = collections.Counter(to for life in self.stored for to in life)
        lost = sorted(set(fed) - set(final) - set(doubts))
        durable = [to for number, life in enumerate(self.stored)
                   for to in set(life) & (set(self.final[number]) | self.settled[number])]
        within = ["%s in life %d" % (to, number) for number, life in enumerate(self.stored)
                  for to, count in collections.Counter(life).items() if count > 1]
        repeats = {to: count - 1 for to, count in stores.items() if count > 1}
        unnamed = {to: count - doubts[to] for to, count in repeats.items() if count > doubts[to]}
        self.totals.update({
            "acknowledged": len(fed), "lost": len(lost), "durable repeated": len(durable),
            "repeats in doubt": sum(repeats.values()) - sum(unnamed.values()),
            "repeats not in doubt": sum(unnamed.values()), "in doubt": sum(doubts.values()),
            "lives with mail": sum(1 for life in self.stored if life)})
        test.assertEqual(lost, [], "acknowledged, and neither settled nor in doubt")
        test.assertEqual(durable, [], "sent to in spite of a durable outcome")
        test.assertEqual(within, [], "stored twice without a kill")
        test.assertEqual(unnamed, {}, "came again, and were not called in doubt before")
        test.assertEqual(sorted(set(stores) - set(fed)), [], "mail for nobody")
        test.assertEqual(sorted(set(final) - set(fed)), [], "outcomes of nobody")
        ids = {(message_id.strip("<>"), to) for message_id, to, _ in self.ledger}
        by_address = {recipient(batch, i): "%s-%d@walk.test" % (batch, i)
                      for batch in self.acknowledged() for i in range(SIZE)}
        test.assertTrue(all(by_address[to] == message_id for message_id, to in ids),
                        "somebody got another's message")


class KeepingRound(Round):
    """Events are kept to the end, so that all of them are there in the end, too: gap-free, and what
    the files said at each death."""

    def judge(self, fed):
        super().judge(fed)
        self.walk.start_sink()
        self.walk.environment = self.usual
        self.walk.start_engine()
        test, last = self.test, collections.Counter()
        told, accepted = {}, []
        for event in self.walk.events():
            stream, number = event["stream"], event["seq"]
            test.assertEqual(number, last[stream] + 1, "in stream %d" % stream)
            last[stream] = number
            if event["type"] == "accepted":
                accepted.append(event["to"])
            else:
                told[stream, number] = (event["to"], event["type"], event.get("rule"))
        test.assertEqual(sorted(accepted), fed, "accepted")
        test.assertEqual(told, self.outcomes, "events, and what was found durable after each life")


class ReclaimingRound(Round):
    """Events are not kept: segments go as soon as nothing in them is needed, and who waits in one
    that is nearly empty is carried forward."""

    name = "segments are reclaimed"
    settings = {**Round.settings, "retry": {"initial": "2s", "cap": "4s"}, "events": {"keep": "0s"}}
    # Some wait long enough to be left over.
    sink_options = Round.sink_options + ("--fail", "rcpt=451:0.05")

    def __init__(self, test, dice, defect=None):
        super().__init__(test, dice, defect)
        self.segments = Segments(self.spool, os.path.join(self.directory, "segments"))
        self.segments.start()

    def read_outcomes(self):
        self.segments.hold()
        outcomes = self.ask_files("spool", "outcomes", "--json", "--spool", self.segments.directory)
        self.segments.let_go()
        return outcomes

    def settle(self):
        super().settle()
        self.segments.ended.set()
        self.totals["segments reclaimed"] += self.segments.gone
        self.test.assertGreater(self.segments.gone, len(self.stored) / 2, "nothing is reclaimed")
