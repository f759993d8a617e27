#!/usr/bin/python3
"""The whole walk with real processes: engine, mail server, name server, feeder, on loopback.

Usage: walk_test.py VEREDUS SINK [unittest arguments]
"""

import glob
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from no_io_uring import refuse_io_uring
from walk_case import VEREDUS, Case, lines_of, recipient, recipients, testzone, walk


class Delivery(Case):
    def test_every_recipient_gets_its_own_message_once(self):
        count = 5000
        status, answer = self.walk.feed(lines_of("b", count))
        self.assertEqual((status, answer["accepted"], answer["refused"]), (200, count, 0), answer)
        tally = self.walk.wait_settled("b")
        self.assertEqual(tally["delivered"], count, tally)
        self.check_identity(tally)
        self.assertEqual(self.walk.stop_engine(), 0)
        self.walk.stop_sink()
        expected = sorted(("<b-%d@walk.test>" % i, recipient("b", i), "ack") for i in range(count))
        got = sorted((i if i.startswith("<") else "<%s>" % i, r, a)
                     for i, r, a in self.walk.ledger_lines())
        self.assertEqual(got, expected)

    def test_events_tell_all_and_are_gap_free(self):
        self.walk.feed(lines_of("one", 300, campaign="spring", meta={"n": 1}))
        self.walk.feed(lines_of("two", 200, tenant="acme"))
        self.walk.wait_settled("one")
        self.walk.wait_settled("two", tenant="acme")
        events = self.settled_events("", 1000)
        self.check_gap_free(events)
        for batch, count in (("one", 300), ("two", 200)):
            for kind in ("accepted", "delivered"):
                seen = sorted(e["to"] for e in events if e["batch"] == batch and e["type"] == kind)
                self.assertEqual(seen, sorted(recipients(batch, count)), kind)
        delivered = next(e for e in events if e["type"] == "delivered" and e["batch"] == "one")
        self.assertEqual(delivered["campaign"], "spring")
        self.assertEqual(delivered["meta"], {"n": 1})
        self.assertEqual(delivered["response"]["code"], 250)
        self.assertTrue(delivered["mx"]["name"].startswith("mx."))
        self.assertTrue(delivered["mx"]["addr"].startswith("127.10."))
        # A cursor goes on where it was taken, also over a restart.
        _, text = self.walk.get("/v1/events?limit=100")
        first = [json.loads(line) for line in text.splitlines()]
        cursor = first[-1]["cursor"]
        self.walk.stop_engine()
        self.walk.start_engine()
        rest = self.walk.events("after=" + cursor)
        both = [e for e in first if e["type"] != "cursor"] + rest
        key = lambda e: (e["stream"], e["seq"])
        self.assertEqual(sorted(map(key, both)), sorted(map(key, events)))
        self.assertEqual(self.walk.get("/v1/events?after=nonsense")[0], 400)

    def test_following_shows_what_happens(self):
        seen = []
        follower = subprocess.Popen([VEREDUS, "--config", self.walk.config, "events", "--follow",
                                     "-n", "20"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(follower.kill)
        reader = threading.Thread(target=lambda: seen.extend(follower.stdout))
        reader.start()
        self.walk.feed(lines_of("b", 10))
        reader.join(20)
        self.assertFalse(reader.is_alive(), "the follower did not hear of 20 events")
        self.assertEqual(follower.wait(10), 0)
        follower.stdout.close()
        types = sorted(json.loads(line)["type"] for line in seen)
        self.assertEqual(types, ["accepted"] * 10 + ["delivered"] * 10)

    def test_the_feed_contract(self):
        lines = lines_of("b", 3)
        status, answer = self.walk.feed(lines)
        self.assertEqual((status, answer["replayed"]), (200, False))
        status, again = self.walk.feed(lines)
        self.assertEqual((status, again["replayed"], again["accepted"]), (200, True, 3))
        status, answer = self.walk.feed(lines_of("b", 4))
        self.assertEqual((status, answer["error"]["code"]), (409, "conflict"))
        # Nothing of a malformed batch is kept, and it is said where it is wrong.
        body = '{"batch":"bad","sender":"a@b.test","message":{"raw":"Subject: x\\r\\n\\r\\n"}}\n' \
               '{"to":"a@b.test"}\n{"to":}\n'
        status, text, _ = self.walk.request("POST", "/v1/batches", body.encode())
        error = json.loads(text)["error"]
        self.assertEqual((status, error["line"]), (400, 3), error)
        self.assertIn("byte", error)
        self.assertEqual(self.walk.get("/v1/batches/default/bad")[0], 404)
        # A bad recipient is refused alone, with its line.
        lines = lines_of("part", 3)
        lines[2]["to"] = "no address"
        status, answer = self.walk.feed(lines)
        self.assertEqual((status, answer["accepted"], answer["refused"]), (200, 2, 1), answer)
        self.assertEqual(answer["refusals"][0]["line"], 3)
        status, text = self.walk.get("/v1/batches/default/part/refused")
        self.assertEqual((status, json.loads(text)["line"]), (200, 3), text)
        limits = json.loads(self.walk.get("/v1/limits")[1])
        self.assertIn("1000000", json.dumps(limits))
        self.assertEqual(self.walk.get("/v1/nothing")[0], 404)
        self.assertEqual(self.walk.request("DELETE", "/v1/batches")[0], 405)
        self.walk.wait_settled("part")
        names = [b["batch"] for b in json.loads(self.walk.get("/v1/batches")[1])["batches"]]
        self.assertEqual(names, ["b", "part"])
        self.assertIn("veredus_delivered_total{shard=\"0\"}", self.walk.get("/metrics")[1])

    def test_answers_outlive_a_restart(self):
        lines = lines_of("b", 100)
        self.walk.feed(lines)
        self.walk.wait_settled("b")
        self.walk.stop_engine()
        self.walk.start_engine()
        status, answer = self.walk.feed(lines)
        self.assertEqual((status, answer["replayed"], answer["accepted"]), (200, True, 100))
        self.assertEqual(self.walk.feed(lines_of("b", 99))[0], 409)
        time.sleep(0.5)  # for what must not come: a second delivery
        self.check_stored(recipients("b", 100))

    def test_the_commands(self):
        path = os.path.join(self.directory, "batch")

        def write(lines):
            with open(path, "w") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        write(lines_of("cli", 50))
        done = self.run_veredus("send", "--wait", path)
        self.assertEqual((done.returncode, done.stdout), (0, "cli: 50 accepted, 0 refused\n"),
                         done.stderr)
        with open(path) as file:
            done = self.run_veredus("--json", "send", "-", stdin=file.read())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(json.loads(done.stdout)["replayed"])
        write(lines_of("cli", 51))
        done = self.run_veredus("send", path)
        self.assertEqual(done.returncode, os.EX_DATAERR, done.stderr)
        write(lines_of("refused", 1) + [{"to": "nobody"}])
        done = self.run_veredus("send", path)
        self.assertEqual(done.returncode, os.EX_DATAERR)
        self.assertIn("line 3", done.stderr)
        self.assertEqual(self.run_veredus("send", "/nonexistent").returncode, os.EX_NOINPUT)
        self.assertEqual(self.run_veredus("send").returncode, os.EX_USAGE)

        done = self.run_veredus("status")
        self.assertIn("default/cli", done.stdout)
        one = json.loads(self.run_veredus("--json", "status", "cli").stdout)
        self.assertEqual(one["delivered"], 50)
        self.assertEqual(self.run_veredus("status", "nothing").returncode, os.EX_NOINPUT)
        self.settled_events("batch=cli&type=delivered", 50)
        done = self.run_veredus("events", "--batch", "cli", "--type", "delivered")
        self.assertEqual(len(done.stdout.splitlines()), 50)
        state = os.path.join(self.directory, "state")
        first = self.run_veredus("events", "--state", state, "-n", "30").stdout.splitlines()
        second = self.run_veredus("events", "--state", state).stdout.splitlines()
        self.assertEqual(len(first), 30)
        self.assertEqual(len(set(first) | set(second)), len(first) + len(second))

        self.assertEqual(self.run_veredus("check-config").returncode, 0)
        with open(path, "w") as file:
            file.write("[smtp]\nprot = 25\n")
        done = self.run_veredus("check-config", path)
        self.assertEqual(done.returncode, os.EX_CONFIG)
        self.assertIn(path + ":2:1: ", done.stderr)
        report = json.loads(self.run_veredus("--json", "doctor").stdout)
        states = {check["check"]: check["state"] for check in report["checks"]}
        self.assertEqual((states["io_uring"], states["DNS"], states["spool"]), ("ok", "ok", "ok"))

        self.walk.stop_engine()
        done = self.run_veredus("send", "--retry-for", "0s", path)
        self.assertEqual(done.returncode, os.EX_UNAVAILABLE)
        self.assertIn("is `veredus serve` running", done.stderr)

    def test_one_engine_a_spool(self):
        second = subprocess.run([VEREDUS, "--config", self.walk.config, "--socket",
                                 os.path.join(self.directory, "other.sock"), "serve"],
                                capture_output=True, text=True, timeout=30)
        self.assertEqual(second.returncode, os.EX_CONFIG)
        self.assertIn("another engine uses the spool", second.stderr)

    def test_a_paused_feeder_is_not_cut_off_and_a_lost_one_leaves_nothing(self):
        body = "".join(json.dumps(line) + "\n" for line in lines_of("cut", 1000)).encode()
        connection = walk.UnixConnection(self.walk.socket)
        connection.putrequest("POST", "/v1/batches")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body[:len(body) // 2])
        time.sleep(0.2)
        status, answer = self.walk.feed(lines_of("cut", 1000))
        self.assertEqual((status, answer["error"]["code"]), (409, "in_progress"))
        connection.close()
        end = time.monotonic() + 10
        while True:
            status, answer = self.walk.feed(lines_of("cut", 1000))
            if status != 409 or time.monotonic() > end:
                break
            time.sleep(0.05)
        self.assertEqual((status, answer.get("replayed")), (200, False), answer)
        self.assertEqual(self.walk.wait_settled("cut")["delivered"], 1000)
        self.check_stored(recipients("cut", 1000))


class Refusing(Case):
    sink_options = ("--fail", "rcpt=550:0.2", "--fail", "rcpt=451:0.2", "--fail", "mail=421:0.02",
                    "--drop", "data:0.02")
    settings = {"retry": {"initial": "1s", "cap": "1s"}}

    def test_refusals_and_trouble_are_accounted_for(self):
        count = 2000
        self.walk.feed(lines_of("b", count))
        tally = self.walk.wait_settled("b", 90)
        self.check_identity(tally)
        self.assertEqual(tally["waiting"], 0, tally)
        self.assertEqual(tally["delivered"] + tally["failed"], count)
        self.assertGreater(tally["failed"], count * 0.1)
        self.assertGreater(tally["delivered"], count * 0.5)
        failed = self.settled_events("type=failed", tally["failed"])
        events = self.walk.events()
        self.check_gap_free(events)
        self.assertTrue(all(e["response"]["code"] == 550 and e["response"]["command"] == "RCPT"
                            and e["kind"] and e["class"] for e in failed), failed[:1])
        deferred = [e for e in events if e["type"] == "deferred"]
        self.assertTrue(deferred and all(e["next"] for e in deferred))
        delivered = [e["to"] for e in self.settled_events("type=delivered", tally["delivered"])]
        self.assertEqual(sorted(delivered + [e["to"] for e in failed]), sorted(recipients("b", count)))
        self.check_stored(delivered)


class InDoubt(Case):
    sink_options = ("--reset", "after-dot:0.3")

    def test_a_lost_reply_to_the_dot_is_in_doubt_and_not_sent_again_at_once(self):
        self.walk.feed(lines_of("b", 200))
        end = time.monotonic() + 60
        while True:
            tally = self.walk.tally("b")
            doubtful = [e for e in self.walk.events("type=in_doubt")]
            if tally["delivered"] + len(doubtful) == 200 or time.monotonic() > end:
                break
            time.sleep(0.1)
        self.check_identity(tally)
        self.assertEqual(tally["delivered"] + len(doubtful), 200, tally)
        self.assertGreater(len(doubtful), 0)
        delivered = [e["to"] for e in self.settled_events("type=delivered", tally["delivered"])]
        self.assertEqual(sorted(delivered + [e["to"] for e in doubtful]), sorted(recipients("b", 200)))
        self.check_stored(recipients("b", 200))  # none is sent again
        self.assertEqual({r for _, r, a in self.walk.ledger_lines() if a == "noreply"},
                         {e["to"] for e in doubtful})


class InDoubtHeld(Case):
    sink_options = ("--reset", "after-dot:0.3")
    # The first domain has a rule of its own.
    settings = {"in_doubt": {"policy": "hold"},
                "[in_doubt.rules]": {"domain": testzone.domain(0), "policy": "assume-delivered"}}

    def listed(self, query=""):
        status, text = self.walk.get("/v1/in_doubt" + query)
        self.assertEqual(status, 200, text)
        return [json.loads(line) for line in text.splitlines()]

    def decide(self, **fields):
        status, text, _ = self.walk.request("POST", "/v1/in_doubt", json.dumps(fields).encode())
        return status, json.loads(text)

    def test_held_ones_are_listed_and_an_operator_decides(self):
        count = 400
        self.walk.feed(lines_of("b", count))
        tally = self.walk.wait_settled("b")
        self.check_identity(tally)
        self.assertGreater(tally["in_doubt"], 30, tally)
        held = self.listed("?held=1")
        self.assertEqual(held, self.listed())
        self.assertEqual(held, self.listed("?batch=b&tenant=default"))
        self.assertEqual(len(held), tally["in_doubt"])
        self.assertEqual([line["to"] for line in held],
                         [recipient("b", line["index"]) for line in held])
        self.assertTrue(all(line["held"] and line["attempts"] == 1 for line in held), held[0])
        self.assertEqual(len(self.listed("?limit=7")), 7)
        self.assertEqual(self.listed("?tenant=acme"), [])
        self.assertEqual(self.walk.get("/v1/in_doubt?batch=none")[0], 404)
        self.assertEqual(self.walk.get("/v1/in_doubt?hold=1")[0], 400)
        # Of the domain with a rule none is held.
        self.assertFalse([line for line in held if line["to"].endswith(testzone.domain(0))])
        assumed = [e for e in self.settled_events("type=delivered", tally["delivered"])
                   if e.get("flags") == ["assumed"]]
        self.assertTrue(all(e["to"].endswith(testzone.domain(0)) for e in assumed), assumed[:1])

        # They stay held over a restart.
        self.walk.stop_engine()
        self.walk.start_engine()
        self.assertEqual(self.listed("?held=1"), held)
        first, second, third = (line["index"] for line in held[:3])
        self.assertEqual(self.decide(batch="b", index=first, action="delivered"), (200, {"done": 1}))
        self.assertEqual(self.decide(batch="b", index=first, action="failed"), (200, {"done": 0}))
        self.assertEqual(self.decide(batch="b", index=second, action="failed"), (200, {"done": 1}))
        self.assertEqual(self.decide(batch="none", action="failed")[0], 404)
        for wrong in ({"batch": "b"}, {"action": "retry"}, {"batch": "b", "action": "forget"},
                      {"batch": "b", "action": "retry", "index": "all"}):
            self.assertEqual(self.decide(**wrong)[0], 400, wrong)
        after = self.walk.tally("b")
        self.check_identity(after)
        self.assertEqual((after["in_doubt"], after["delivered"], after["failed"]),
                         (len(held) - 2, tally["delivered"] + 1, 1), after)
        self.walk.stop_sink()
        self.walk.start_sink(())
        self.assertEqual(self.decide(tenant="default", batch="b", action="retry"),
                         (200, {"done": len(held) - 2}))
        after = self.walk.wait_settled("b")
        self.check_identity(after)
        self.assertEqual((after["in_doubt"], after["delivered"], after["failed"]),
                         (0, count - 1, 1), after)
        self.assertEqual(self.listed(), [])
        decided = self.settled_events("", len(held), lambda e: e.get("rule") == "operator")
        by_hand = {e["index"]: e for e in decided}
        self.assertEqual(by_hand[first]["flags"], ["assumed"])
        self.assertEqual((by_hand[second]["type"], by_hand[third]["type"]), ("failed", "in_doubt"))
        # What was decided holds after a restart, too.
        self.walk.stop_engine()
        self.walk.start_engine()
        again = self.walk.tally("b")
        self.assertEqual((again["in_doubt"], again["delivered"], again["failed"]),
                         (0, count - 1, 1), again)


class Policy(Case):
    settings = {"addresses": {"allow": []}}

    def test_loopback_is_refused_unless_allowed(self):
        self.walk.feed(lines_of("b", 20))
        time.sleep(2)
        tally = self.walk.tally("b")
        self.assertEqual(tally["delivered"], 0)
        events = [e for e in self.walk.events() if e["type"] != "accepted"]
        self.assertTrue(events)
        self.assertIn("loopback", json.dumps(events))
        self.check_stored([])


class Quotas(Case):
    sink_options = ("--fail", "rcpt=451:1")  # everybody waits
    settings = {"tenants.acme": {"waiting": 100}, "tenants.tiny": {"waiting": 5},
                "limits": {"tenant_waiting": 1000}}

    def refusal(self, batch, count, tenant="acme"):
        body = "".join(json.dumps(line) + "\n" for line in lines_of(batch, count, tenant=tenant))
        status, text, headers = self.walk.request("POST", "/v1/batches", body.encode())
        self.assertEqual(self.walk.get("/v1/batches/%s/%s" % (tenant, batch))[0], 404, "it was kept")
        return status, json.loads(text)["error"], dict(headers)

    def test_a_tenant_at_its_quota_is_told_so_and_others_are_not(self):
        self.assertEqual(self.walk.feed(lines_of("a", 80, tenant="acme"))[0], 200)
        status, error, headers = self.refusal("b", 21)
        self.assertEqual((status, error["code"]), (429, "tenant_quota"), error)
        self.assertGreater(int(headers["Retry-After"]), 0)
        for word in ("acme", "100"):
            self.assertIn(word, error["reason"])
        self.assertIn("tenants.acme.waiting", error["hint"])
        self.assertEqual(self.walk.feed(lines_of("b", 500))[0], 200)
        metrics = self.walk.get("/metrics")[1]
        self.assertIn('veredus_tenant_waiting{tenant="acme"} 80\n', metrics)
        self.assertIn('veredus_tenant_waiting{tenant="default"} 500\n', metrics)
        limits = json.loads(self.walk.get("/v1/limits")[1])
        self.assertEqual((limits["tenant"]["waiting"], limits["tenants"]["acme"]["waiting"]),
                         (1000, 100), limits)
        # What is found at a start counts as what was fed.
        self.walk.stop_engine()
        self.walk.start_engine()
        self.assertEqual(self.refusal("b", 21)[0], 429)
        self.assertEqual(self.walk.feed(lines_of("b", 20, tenant="acme"))[0], 200)
        status, error, _ = self.refusal("c", 6, tenant="tiny")
        self.assertEqual((status, error["code"]), (413, "too_large"), error)
        self.check_identity(self.walk.tally("a", tenant="acme"))


class Users(Case):
    settings = {"feed": {"users": [54321]}}

    def setUp(self):
        # Health is asked over the very socket that refuses us.
        original = walk.Walk.get
        walk.Walk.get = lambda self, path, timeout=60: (
            (200, "") if original(self, path, timeout)[0] == 403 and path == "/healthz"
            else original(self, path, timeout))
        try:
            super().setUp()
        finally:
            walk.Walk.get = original

    def test_other_users_are_refused(self):
        status, answer = self.walk.feed(lines_of("b", 1))
        self.assertEqual((status, answer["error"]["code"]), (403, "not_allowed"))
        self.assertIn("refused uid", self.walk.engine_log())


class Stopping(Case):
    sink_options = ("--delay", "dot=30")

    def test_sigterm_lets_transactions_finish_and_the_rest_goes_on_later(self):
        count = 4000
        self.walk.feed(lines_of("b", count))
        while self.walk.tally("b")["delivered"] < 50:
            time.sleep(0.01)
        begin = time.monotonic()
        self.assertEqual(self.walk.stop_engine(), 0)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertIn("all is in the journal", self.walk.engine_log())
        self.assertFalse(os.path.exists(self.walk.socket))
        self.walk.start_engine()
        tally = self.walk.wait_settled("b")
        self.assertEqual((tally["delivered"], tally["in_doubt"]), (count, 0), tally)
        self.check_gap_free(self.walk.events())
        self.check_stored(recipients("b", count))


class OtherShards(Case):
    """A spool goes on with fewer shards than it was written with, and as a copy under another name."""
    settings = {"node": {"shards": 3}, "retry": {"initial": "1s", "cap": "1s"},
                "journal": {"segment": "1MiB"}}
    sink_options = ("--fail", "rcpt=451:0.3", "--delay", "dot=20")
    batches, size = 6, 400  # a small batch lies in one journal, the next one in the next

    def feed_and_stop(self, names):
        for name in names:
            self.assertEqual(self.walk.feed(lines_of(name, self.size))[0], 200)
        while sum(self.walk.tally(name)["delivered"] for name in names) < 50:
            time.sleep(0.01)
        self.assertEqual(self.walk.stop_engine(), 0)

    def go_on(self, **node):
        self.walk.settings = {**self.settings, "node": node}
        self.walk.write_config()
        self.walk.start_engine()

    def test_fewer_shards_and_a_copied_spool(self):
        names = ["a%d" % i for i in range(self.batches)]
        self.feed_and_stop(names)
        self.go_on(shards=1)
        waiting = {name: self.walk.tally(name)["waiting"] for name in names}
        self.assertGreater(sum(n > 0 for n in waiting.values()), 3, waiting)
        more = ["b%d" % i for i in range(self.batches)]
        self.feed_and_stop(more)
        copy = os.path.join(self.directory, "elsewhere", "spool")
        os.mkdir(os.path.dirname(copy))
        subprocess.run(["cp", "-r", os.path.join(self.directory, "spool"), copy], check=True)
        shutil.rmtree(os.path.join(self.directory, "spool"))
        self.go_on(shards=2, spool=copy, name="other", hostname="mail.other.test")
        self.assertEqual(self.walk.feed(lines_of("c", self.size))[0], 200)
        for name in names + more + ["c"]:
            tally = self.walk.wait_settled(name)
            self.assertEqual((tally["accepted"], tally["delivered"]), (self.size, self.size), tally)
            self.check_identity(tally)
        fed = [to for name in names + more + ["c"] for to in recipients(name, self.size)]
        for kind in ("accepted", "delivered"):
            events = self.settled_events("type=" + kind, len(fed))
            self.assertEqual(sorted(e["to"] for e in events), sorted(fed), kind)
        events = self.walk.events()
        self.check_gap_free(events)
        self.assertEqual({e["stream"] for e in events}, {0, 1, 2})
        self.check_stored(fed)


class Consumers(Case):
    """Segments go when events have been read, and not before; what is gone is told."""
    size, fed, acked = 300, 0, 0  # recipients a batch; events; acknowledged by the consumer
    settings = {"node": {"shards": 1}, "journal": {"segment": "1MiB"}, "events": {"keep": "0s"},
                "smtp": {"use_chunking": False}}

    def feed_batches(self, names):
        for name in names:
            lines = lines_of(name, self.size)
            for line in lines[1:]:
                line["meta"] = {"pad": "x" * 3000}  # a batch is about a segment
            self.assertEqual(self.walk.feed(lines)[0], 200)
        for name in names:
            self.assertEqual(self.walk.wait_settled(name)["delivered"], self.size)
        self.fed += len(names) * self.size * 2
        end = time.monotonic() + 10  # events wait for the disk, tallies do not
        while self.consumers()["slow"]["lag"] < self.fed - self.acked and time.monotonic() < end:
            time.sleep(0.05)

    def segments(self):
        return sorted(map(os.path.basename,
                          glob.glob(os.path.join(self.directory, "spool", "*", "seg-*.vrj"))))

    def lines(self, query):
        status, text = self.walk.get("/v1/events?" + query)
        self.assertEqual(status, 200, text)
        *events, last = map(json.loads, text.splitlines())
        return [e for e in events if e["type"] != "cursor"], last["cursor"]

    def ack(self, name, cursor):
        return self.walk.request("POST", "/v1/consumers/%s/ack" % name,
                                 json.dumps({"cursor": cursor}).encode())[:2]

    def consumers(self):
        return {c["consumer"]: c for c in json.loads(self.walk.get("/v1/consumers")[1])["consumers"]}

    def wait_gone(self, segment):
        end = time.monotonic() + 20
        while segment in (there := self.segments()):
            self.assertLess(time.monotonic(), end, "%s is still there: %s" % (segment, there))
            time.sleep(0.1)

    def check_all_told(self, events):
        """All there are from the first, each once; a gap stands for what it says."""
        at = 0
        for event in events:
            self.assertEqual(event.get("from_seq", event["seq"]), at + 1, event)
            at = event["seq"]
        return at

    def test_what_a_consumer_has_not_read_is_kept(self):
        self.assertEqual(self.lines("consumer=slow")[0], [])
        self.feed_batches(first := ["a%d" % i for i in range(8)])
        time.sleep(1)  # for what must not go
        self.assertIn("seg-00000001.vrj", self.segments())
        self.assertEqual(self.consumers()["slow"]["lag"], len(first) * self.size * 2)
        part, cursor = self.lines("consumer=slow&limit=1000")
        self.assertEqual(self.ack("slow", cursor)[0], 200)
        self.acked = 1000
        self.walk.stop_engine()
        self.walk.start_engine()
        self.assertEqual(self.consumers()["slow"]["lag"], len(first) * self.size * 2 - 1000)
        more = ["b%d" % i for i in range(4)]
        self.feed_batches(more)
        rest, end = self.lines("consumer=slow")
        told = part + rest
        self.assertEqual(self.check_all_told(told), len(first + more) * self.size * 2)
        fed = sorted(to for name in first + more for to in recipients(name, self.size))
        for kind in ("accepted", "delivered"):
            self.assertEqual(sorted(e["to"] for e in told if e["type"] == kind), fed, kind)
        timings = [e["timing"] for e in told if e["type"] == "delivered"]
        self.assertTrue(all({"queued", "mail", "data", "dot"} <= t.keys() for t in timings), timings[0])
        for phase in ("dns", "connect"):
            self.assertIn(sum(phase in t for t in timings), range(1, len(timings)), phase)
        # Read, but not acknowledged: all of it comes again.
        self.assertEqual(self.lines("consumer=slow")[0], rest)
        self.assertEqual(self.ack("slow", end)[0], 200)
        self.acked = self.fed
        self.assertEqual(self.consumers()["slow"]["lag"], 0)

        # From now on nobody wants them.
        self.feed_batches(["c%d" % i for i in range(4)])
        self.wait_gone("seg-00000004.vrj")
        events, _ = self.lines("")
        self.assertEqual(events[0]["type"], "gap", events[0])
        self.assertEqual((events[0]["from_seq"], events[0]["to_seq"]), (1, events[0]["seq"]))
        self.assertEqual(self.check_all_told(events), 16 * self.size * 2)
        late, _ = self.lines("after=" + cursor)
        self.assertEqual((late[0]["type"], late[0]["from_seq"]), ("gap", 1001), late[0])
        self.assertEqual(late[1:], events[1:])
        # The consumer itself misses nothing, also after a restart.
        before, _ = self.lines("consumer=slow")
        self.walk.stop_engine()
        self.walk.start_engine()
        again, _ = self.lines("consumer=slow")
        self.assertEqual(again[:len(before)], before)
        self.assertEqual(self.check_all_told(told + again), 16 * self.size * 2)

        done = self.run_veredus("events", "--consumer", "tool", "-n", "50")
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 50), done.stderr)
        rest = self.run_veredus("events", "--consumer", "tool").stdout.splitlines()
        self.assertEqual(len(rest) + 50, len(self.lines("")[0]))
        self.assertEqual(self.consumers()["tool"]["lag"], 0)
        self.assertEqual(self.walk.request("DELETE", "/v1/consumers/tool")[0], 200)
        self.assertEqual(self.walk.request("DELETE", "/v1/consumers/tool")[0], 404)
        self.assertEqual(sorted(self.consumers()), ["slow"])
        self.assertEqual(self.ack("slow", "nonsense")[0], 400)
        self.assertEqual(self.walk.get("/v1/events?consumer=a%20b")[0], 400)
        self.assertEqual(self.walk.request("PUT", "/v1/consumers/slow")[0], 405)


class WithoutIoUring(unittest.TestCase):
    def test_cause_and_remedy_and_status_78(self):
        with tempfile.TemporaryDirectory(prefix="veredus-e2e-") as directory:
            config = os.path.join(directory, "c.toml")
            with open(config, "w") as file:
                file.write(walk.to_toml({"node": {"spool": directory + "/spool"},
                                         "feed": {"socket": directory + "/s"},
                                         "http": {"listen": "off"}}))
            done = subprocess.run([VEREDUS, "--config", config, "serve"], capture_output=True,
                                  text=True, timeout=30, preexec_fn=refuse_io_uring)
            self.assertEqual(done.returncode, os.EX_CONFIG, done.stderr)
            self.assertIn("io_uring", done.stderr)
            self.assertRegex(done.stderr, "seccomp|io_uring_disabled")
            report = subprocess.run([VEREDUS, "--config", config, "--json", "doctor"],
                                    capture_output=True, text=True, timeout=30,
                                    preexec_fn=refuse_io_uring)
            checks = {c["check"]: c for c in json.loads(report.stdout)["checks"]}
            self.assertEqual(checks["io_uring"]["state"], "fail")
            self.assertEqual(report.returncode, os.EX_CONFIG)


if __name__ == "__main__":
    unittest.main(verbosity=2)
