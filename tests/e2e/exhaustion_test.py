#!/usr/bin/python3
"""What runs out for real: space, inodes, descriptors, memory. Feeders are told in time, deliveries
go on, what comes back is taken up without a restart, nothing acknowledged is lost.

Usage: exhaustion_test.py VEREDUS SINK [unittest arguments]    file systems need root: else skipped
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from walk_case import VEREDUS, Case, lines_of, recipients, walk

SIZE = 200
MIB = 1 << 20
# What must hold and does not yet, by name, each with the reason. A test that meets one of these
# goes on and is skipped with it at its end; once it holds, take it out here.
NOT_YET = {
    "taken_up_soon": "a journal that could not make a segment tries again after up to 256 flushes, "
                     "and an idle shard flushes once a second",
    "shrinks_after_a_start": "with more than limits.spool allows found by a start and all of it "
                             "settled since, no further checkpoint lets the old segments go",
}


def mounts_work():
    """None, or why not."""
    if os.geteuid() != 0:
        return "mounting needs root"
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory],
                              capture_output=True, text=True)
        if done.returncode != 0:
            return "no mounts here: " + done.stderr.strip()
        subprocess.run(["umount", directory], check=True)
    return None


class Exhausting(Case):
    """A walk whose engine meets limits that are set up before it starts."""
    settings = {"retry": {"initial": "1s", "cap": "1s"}, "in_doubt": {"delay": "1s"},
                "journal": {"segment": "1MiB"},
                "node": {"shards": 2}}
    padding = 0  # bytes of each recipient's own lines

    def setUp(self):
        self.missing = []
        self.acknowledged = []
        self.prepared = contextlib.ExitStack()
        self.addCleanup(self.prepared.close)
        self.prepare()
        super().setUp()

    def prepare(self):
        """Before anything starts."""

    def holds(self, name, true, message):
        """An assertion, unless it is known not to hold yet."""
        if not true and name in NOT_YET:
            self.missing.append("%s: %s (%s)" % (name, NOT_YET[name], message))
            return
        self.assertTrue(true, message)

    def tearDown(self):
        if self.missing:
            self.skipTest("; ".join(self.missing))

    def feed_one(self, timeout=60):
        """(status, answer, headers) of a batch; noted when it is acknowledged."""
        batch = "b%d" % len(self.acknowledged)
        lines = lines_of(batch, SIZE, meta={"padding": "x" * self.padding} if self.padding else {})
        if self.padding:
            for line in lines[1:]:
                line["meta"] = {"padding": "x" * self.padding}
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        status, text, headers = self.walk.request(
            "POST", "/v1/batches", body, {"Content-Type": "application/x-ndjson"}, timeout)
        if status == 200:
            self.acknowledged.append(batch)
        return status, json.loads(text), headers

    def feed_until_refused(self, batches_max):
        for _ in range(batches_max):
            status, answer, headers = self.feed_one()
            if status != 200:
                return status, answer, headers
        self.fail("never refused, after %d batches" % batches_max)

    def feed_until_taken(self, limit_s):
        end = time.monotonic() + limit_s
        while True:
            status, answer, _ = self.feed_one()
            if status == 200 or time.monotonic() > end:
                return status, answer
            time.sleep(0.1)

    def check_refusal(self, status, answer, headers):
        self.assertEqual(status, 503, answer)
        self.assertGreater(int(headers["Retry-After"]), 0)
        self.assertRegex(answer["error"]["reason"], r"\w+ \w+")

    def settled(self, limit_s):
        """How many batches are settled in time."""
        end = time.monotonic() + limit_s
        waiting = list(self.acknowledged)
        while waiting and time.monotonic() < end:
            waiting = [batch for batch in waiting if self.walk.tally(batch)["waiting"] > 0]
            time.sleep(0.05)
        return len(self.acknowledged) - len(waiting)

    def durable(self, count, limit_s):
        end = time.monotonic() + limit_s
        while True:
            found = len(self.walk.events("type=delivered"))
            if found >= count or time.monotonic() > end:
                return found
            time.sleep(0.1)

    def check_after_kill(self):
        """Killed and started again: all that was acknowledged is there, and arrives."""
        self.walk.kill_engine()
        self.walk.start_engine()
        self.check_all_arrive()

    def check_all_arrive(self):
        for batch in self.acknowledged:
            tally = self.walk.wait_settled(batch, 60)
            self.check_identity(tally)
            self.assertEqual((tally["accepted"], tally["delivered"]), (SIZE, SIZE), tally)
        self.walk.stop_engine()
        self.walk.stop_sink()
        stored = {to for _, to, _ in self.walk.ledger_lines()}
        fed = {to for batch in self.acknowledged for to in recipients(batch, SIZE)}
        self.assertEqual(sorted(fed - stored), [], "acknowledged and lost")


# --- the disk -------------------------------------------------------------------------------------

WHY_NO_MOUNTS = mounts_work()


class Full:
    """A spool on a small file system, and something else on it that goes when it is told to."""

    def mount(self, spool):
        raise NotImplementedError

    def fill(self, ballast):
        """Takes what is given back later."""
        with open(ballast, "wb") as file:
            file.write(b"\0" * self.ballast_bytes)

    ballast_bytes = 5 * MIB
    # Without reclaim every batch stays: so it is full soon.
    padding = 1000

    def prepare(self):
        self.spool = tempfile.mkdtemp(prefix="veredus-spool-", dir="/var/tmp")
        self.prepared.callback(shutil.rmtree, self.spool, True)
        self.mount(self.spool)
        self.settings = dict(self.settings, node={"shards": 2, "spool": self.spool})
        self.ballast = os.path.join(self.spool, "ballast")
        os.mkdir(self.ballast)
        self.fill(os.path.join(self.ballast, "0"))

    def unmount(self, spool):
        # The engine has ended: clean-ups run in reverse order.
        subprocess.run(["umount", spool], check=True)

    def check_taken_up(self):
        status, answer = self.feed_until_taken(30)
        self.holds("taken_up_soon", status == 200, "30 s after space came back: %s" % answer)

    def test_feeders_are_told_deliveries_go_on_and_space_that_comes_back_is_used(self):
        self.check_refusal(*self.feed_until_refused(200))
        count = len(self.acknowledged)
        self.assertGreater(count, 0)
        settled = self.settled(60)
        self.assertEqual(settled, count, "deliveries stand still while the disk is full")
        # Still refused, and still answering.
        self.check_refusal(*self.feed_until_refused(200))
        self.assertEqual(self.walk.get("/healthz")[0], 200)
        count = len(self.acknowledged)
        self.assertEqual(self.settled(60), count)
        # Outcomes had room: none of them is forgotten by a kill. (Events may be gone: files that are
        # kept for readers alone give way.)
        time.sleep(1)
        self.walk.kill_engine()
        self.walk.start_engine()
        waiting = sum(self.walk.tally(batch)["waiting"] for batch in self.acknowledged)
        self.holds("outcomes_have_room", waiting == 0,
                   "%d of %d outcomes were not durable on a full disk" % (waiting, count * SIZE))

        shutil.rmtree(self.ballast)
        self.check_taken_up()
        count = len(self.acknowledged)
        self.assertEqual(self.settled(60), count)
        self.check_after_kill()

    def test_killed_while_full_nothing_acknowledged_is_lost(self):
        self.check_refusal(*self.feed_until_refused(200))
        self.walk.kill_engine()
        # There may be no room for a new segment: it starts all the same, delivers and refuses, or
        # says what is wrong.
        try:
            self.walk.start_engine()
        except RuntimeError as error:
            self.assertRegex(str(error), "No space left|full")
            shutil.rmtree(self.ballast)
            self.walk.start_engine()
        for batch in self.acknowledged:
            self.assertEqual(self.walk.tally(batch)["accepted"], SIZE)
        shutil.rmtree(self.ballast, True)
        self.check_taken_up()
        self.check_all_arrive()


@unittest.skipIf(WHY_NO_MOUNTS, WHY_NO_MOUNTS)
class FullOfBytes(Full, Exhausting):
    def mount(self, spool):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", spool],
                       check=True)
        self.prepared.callback(self.unmount, spool)


@unittest.skipIf(WHY_NO_MOUNTS, WHY_NO_MOUNTS)
class FullOfInodes(Full, Exhausting):
    def mount(self, spool):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,nr_inodes=19,mode=0700", "tmpfs",
                        spool], check=True)
        self.prepared.callback(self.unmount, spool)

    def fill(self, ballast):
        for number in range(5):
            with open(os.path.join(self.ballast, "f%d" % number), "w"):
                pass


@unittest.skipIf(WHY_NO_MOUNTS or not shutil.which("mkfs.ext4"), WHY_NO_MOUNTS or "no mkfs.ext4")
class FullExt4(Full, Exhausting):
    def mount(self, spool):
        image = tempfile.NamedTemporaryFile(prefix="veredus-ext4-", dir="/var/tmp")
        self.prepared.enter_context(image)
        image.truncate(24 * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-J", "size=4", image.name], check=True)
        done = subprocess.run(["mount", "-o", "loop", image.name, spool], capture_output=True,
                              text=True)
        if done.returncode != 0:
            self.skipTest("no loop devices here: " + done.stderr.strip())
        self.prepared.callback(self.unmount, spool)


# --- what the spool is allowed -------------------------------------------------------------------

class SpoolLimit(Exhausting):
    """The disk has room, limits.spool has none."""
    settings = dict(Exhausting.settings, retry={"initial": "3s", "cap": "3s"},
                    smtp={"host_down": "1s"}, limits={"spool": "32MiB"})
    limit = 32 * MIB
    padding = 1000

    def spool_bytes(self):
        spool = os.path.join(self.directory, "spool")
        return sum(os.path.getsize(os.path.join(place, name))
                   for place, _, names in os.walk(spool) for name in names
                   if name.endswith(".vrj"))

    def fill(self):
        """With mail that nobody takes."""
        self.walk.stop_sink()
        status, answer, headers = self.feed_until_refused(200)
        self.check_named(status, answer, headers)
        self.assertGreater(len(self.acknowledged), 5)

    def check_named(self, status, answer, headers):
        self.check_refusal(status, answer, headers)
        self.assertIn("limits.spool", answer["error"]["reason"])

    def check_all_settled(self):
        count = len(self.acknowledged)
        self.assertEqual(self.settled(60), count, "deliveries stand still")

    def check_taken_up(self):
        status, answer = self.feed_until_taken(60)
        listed = self.run_veredus("spool", "list", "--segments").stdout
        self.assertEqual(status, 200, "%s\n%s" % (answer, listed))
        self.check_all_settled()

    def wait_shrunk(self, limit):
        """Outcomes and checkpoints may go beyond it for a while."""
        end = time.monotonic() + 30
        while self.spool_bytes() > limit and time.monotonic() < end:
            time.sleep(0.1)
        self.assertLessEqual(self.spool_bytes(), limit)

    def test_mail_is_refused_in_time_and_taken_again_without_a_start(self):
        self.fill()
        self.assertLessEqual(self.spool_bytes(), self.limit)
        self.assertEqual(self.walk.get("/healthz")[0], 200)
        self.walk.start_sink()
        self.check_all_settled()
        self.check_taken_up()
        self.wait_shrunk(self.limit)
        self.check_after_kill()

    def test_a_start_that_finds_more_says_so_and_delivers(self):
        self.fill()
        self.assertEqual(self.walk.stop_engine(), 0)
        # The least that may be set for two journals.
        self.walk.settings = dict(self.settings, limits={"spool": "16MiB"},
                                  journal={"segment": "1MiB"})
        self.walk.write_config()
        self.walk.start_engine()
        self.assertIn("limits.spool allows 16MiB", self.walk.engine_log())
        self.check_named(*self.feed_one())
        self.walk.start_sink()
        self.check_all_settled()
        status, answer = self.feed_until_taken(10)
        self.holds("shrinks_after_a_start", status == 200, str(answer))
        self.check_all_arrive()


# --- descriptors ----------------------------------------------------------------------------------

class FewDescriptors(Exhausting):
    """Sessions may use up the descriptors: dialling pauses, spool and feed socket go on."""
    sink_options = ("--delay", "dot=50")
    settings = dict(Exhausting.settings, cache={"pages": "1MiB", "contents": "1MiB"})
    padding = 500
    limit = 80

    def prepare(self):
        self.starter = tempfile.NamedTemporaryFile("w", prefix="veredus-limited-", delete=False,
                                                   dir="/var/tmp")
        self.starter.write('#!/bin/sh\nulimit -n %d\nexec %s "$@"\n' % (self.limit, VEREDUS))
        self.starter.close()
        os.chmod(self.starter.name, 0o755)
        self.prepared.callback(os.unlink, self.starter.name)

    def connections(self):
        return self.walk.sink_counters()["open"]

    def test_dialling_pauses_and_nothing_else(self):
        # It is there already, with the usual limit.
        self.assertEqual(self.walk.stop_engine(), 0)
        self.walk.veredus = self.starter.name
        self.walk.start_engine()
        most, refused = 0, []
        for _ in range(15):  # more than a segment, so that files are made while it is tight
            status, answer, _ = self.feed_one()
            if status != 200:
                refused.append(answer)
            most = max(most, self.connections())
            time.sleep(0.05)
        # More are wanted, and as many as possible are there.
        self.assertGreaterEqual(most, self.limit / 4)
        self.assertLess(most, self.limit)
        self.assertEqual(refused, [], "feeders were refused for want of descriptors")
        count = len(self.acknowledged)
        self.assertGreater(count, 0)
        self.assertEqual(self.settled(90), count, "deliveries stand still")
        # Sessions that cannot be opened are no fault of the far side, nor of the recipient; and
        # readers of events have their descriptors.
        self.assertEqual(self.walk.events("type=deferred,failed"), [])
        self.assertEqual(self.durable(count * SIZE, 20), count * SIZE)
        self.check_all_arrive()


# --- memory ---------------------------------------------------------------------------------------

def memory_group():
    """(directory to make groups in, file of the limit), or why there is none."""
    if os.geteuid() != 0:
        return None, "a memory cgroup needs root"
    for base, limit in (("/sys/fs/cgroup", "memory.max"),
                        ("/sys/fs/cgroup/unified", "memory.max"),
                        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = os.path.join(base, "veredus-test-%d" % os.getpid())
        try:
            os.mkdir(group)
        except OSError:
            continue
        try:
            if os.path.exists(os.path.join(group, limit)):
                return (base, limit), None
        finally:
            os.rmdir(group)
    return None, "no memory cgroup that can be written here"


MEMORY, WHY_NO_MEMORY = memory_group()


@unittest.skipIf(WHY_NO_MEMORY, WHY_NO_MEMORY)
class OutOfMemory(Exhausting):
    """The kernel's OOM killer ends it: as SIGKILL does."""
    sink_options = ("--delay", "dot=20")
    limit_bytes = 48 * MIB
    padding = 2000

    def prepare(self):
        base, limit = MEMORY
        self.group = os.path.join(base, "veredus-test-%d" % os.getpid())
        os.mkdir(self.group)
        self.prepared.callback(os.rmdir, self.group)
        with open(os.path.join(self.group, limit), "w") as file:
            file.write(str(self.limit_bytes))
        for swap in ("memory.swap.max", "memory.swappiness"):
            with contextlib.suppress(OSError):
                with open(os.path.join(self.group, swap), "w") as file:
                    file.write("0")
        self.starter = tempfile.NamedTemporaryFile("w", prefix="veredus-limited-", delete=False,
                                                   dir="/var/tmp")
        self.starter.write('#!/bin/sh\necho $$ > %s/cgroup.procs\nexec %s "$@"\n'
                           % (self.group, VEREDUS))
        self.starter.close()
        os.chmod(self.starter.name, 0o755)
        self.prepared.callback(os.unlink, self.starter.name)

    def test_killed_by_the_kernel_nothing_acknowledged_is_lost(self):
        self.assertEqual(self.walk.stop_engine(), 0)
        self.walk.veredus = self.starter.name
        self.walk.start_engine()
        for _ in range(400):
            try:
                self.feed_one(timeout=20)
            except (OSError, walk.http.client.HTTPException):
                break
            if self.walk.engine.poll() is not None:
                break
        try:
            status = self.walk.engine.wait(20)
        except subprocess.TimeoutExpired:
            self.skipTest("it lives within %d MiB" % (self.limit_bytes // MIB))
        self.assertEqual(status, -signal.SIGKILL, self.walk.engine_log())
        self.assertGreater(len(self.acknowledged), 0)
        self.walk.veredus = VEREDUS
        self.walk.start_engine()
        for batch in self.acknowledged:
            self.assertEqual(self.walk.tally(batch)["accepted"], SIZE)
        self.check_all_arrive()


if __name__ == "__main__":
    unittest.main(verbosity=2)
