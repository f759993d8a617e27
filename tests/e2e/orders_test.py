#!/usr/bin/python3
"""Orders of operators, from outside: suspend, resume, cancel, retry, expire, over kills, too.

usage: orders_test.py VEREDUS SINK [unittest arguments]
"""

import json
import os
import unittest

from walk_case import WAIT_S, Case, lines_of, recipient, recipients, testzone

SHARDS = 2
ORDERS_MAX = 1024
LATER = ("--fail", "mail=451:1.0")


class Orders(Case):
    settings = {"node": {"shards": SHARDS}, "journal": {"segment": "1MiB"},
                "retry": {"initial": "1h", "cap": "1h"},
                "providers.some": {"domains": [testzone.domain(1), testzone.domain(2)]}}

    def call(self, method, path, status=200, **body):
        got, answer, _ = self.walk.request(method, path,
                                           json.dumps(body).encode() if body else None)
        self.assertEqual(got, status, answer)
        return json.loads(answer)

    def order(self, kind, status=200, **body):
        """The order's number, once it is durable."""
        answer = self.call("POST", "/v1/" + kind, status, **body)
        if status != 200:
            return answer["error"]
        self.assertEqual(answer["state"], "given")
        return answer["order"]

    def lift(self, number, status=200):
        return self.call("DELETE", "/v1/suspend/%d" % number, status)

    def in_force(self):
        return {order["order"]: order for order in self.call("GET", "/v1/suspend")["orders"]}

    def wait_ended(self, number):
        self.wait_until("order %d has not ended" % number, lambda: number not in self.in_force())

    def feed(self, batch, count, **fields):
        status, answer = self.walk.feed(lines_of(batch, count, **fields))
        self.assertEqual((status, answer["accepted"]), (200, count), answer)

    def feed_deferred(self, batch, count, **fields):
        """All of it has been tried and waits for an hour; the sink refuses."""
        self.feed(batch, count, **fields)
        tenant = fields.get("tenant", "default")
        self.wait_until("not all of %s was deferred" % batch,
                        lambda: self.walk.tally(batch, tenant)["deferred"] == count)

    def heal_sink(self):
        self.walk.stop_sink()
        self.walk.start_sink(())

    def check_tally(self, batch, tenant="default", **parts):
        tally = self.walk.tally(batch, tenant)
        self.check_identity(tally)
        self.assertEqual({part: tally[part] for part in parts}, parts, tally)

    def check_settled(self, batch, tenant="default", **parts):
        tally = self.walk.wait_settled(batch, WAIT_S, tenant)
        self.assertEqual(tally["waiting"], 0, tally)
        self.check_tally(batch, tenant, **parts)

    def order_events(self, number):
        return [e for e in self.walk.events("type=order") if e["order"] == number]

    def check_order_events(self, number, *states):
        """It was given in every stream, and ended there so, after the last of its recipients."""
        self.wait_until("events of order %d" % number,
                        lambda: len(self.order_events(number)) == SHARDS * len(states))
        for stream in range(SHARDS):
            told = [e["state"] for e in self.order_events(number) if e["stream"] == stream]
            self.assertEqual(told, list(states))

    def check_audit(self):
        done = self.run_veredus("audit", "--compare")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Suspending(Orders):
    def test_a_tenant_waits_while_others_flow(self):
        number = self.order("suspend", tenant="acme", reason="complaints")
        self.feed("held", 300, tenant="acme")
        self.feed("free", 300)
        self.check_settled("free", delivered=300)
        self.check_tally("held", "acme", waiting=300, delivered=0)
        listed = self.in_force()[number]
        self.assertEqual((listed["kind"], listed["filter"], listed["reason"], listed["state"]),
                         ("suspend", {"tenant": "acme"}, "complaints", "given"))
        self.assertNotIn("until", listed)
        self.assertEqual(self.lift(number), {"order": number, "state": "lifted"})
        self.assertEqual(self.in_force(), {})
        self.assertEqual(self.lift(number, 404)["error"]["code"], "no_such_order")
        self.check_settled("held", "acme", delivered=300)
        self.check_order_events(number, "given", "lifted")
        self.check_audit()
        self.check_stored(recipients("held", 300) + recipients("free", 300))

    def test_by_where_it_goes_and_whom_it_is_for(self):
        at_provider = self.order("suspend", provider="some")
        at_domain = self.order("suspend", domain=testzone.domain(3))
        at_person = self.order("suspend", tenant="default", recipient=recipient("b", 4).upper())
        self.feed("b", 200)  # four for each domain
        self.wait_until("the others", lambda: self.walk.tally("b")["delivered"] == 200 - 13)
        events = self.settled_events("type=delivered&batch=b", 200 - 13)
        held = set(recipients("b", 200)) - {e["to"] for e in events}
        self.assertEqual(held, {recipient("b", i) for i in range(200) if i % 50 in (1, 2, 3)}
                         | {recipient("b", 4)})
        self.check_tally("b", waiting=13)
        for number in (at_provider, at_person, at_domain):
            self.lift(number)
        self.check_settled("b", delivered=200)

    def test_by_source(self):
        number = self.order("suspend", source="default", tenant="acme")
        self.feed("held", 100, tenant="acme")
        self.feed("free", 100)
        self.check_settled("free", delivered=100)
        self.check_tally("held", "acme", waiting=100)
        self.lift(number)
        self.check_settled("held", "acme", delivered=100)

    def test_it_ends_when_its_time_is_over(self):
        number = self.order("suspend", tenant="acme", until="2s")
        self.assertIn("until", self.in_force()[number])
        self.feed("held", 100, tenant="acme")
        self.check_settled("held", "acme", delivered=100)
        self.wait_ended(number)
        self.check_order_events(number, "given", "done")
        self.lift(number, 404)

    def test_a_kill_changes_nothing(self):
        number = self.order("suspend", tenant="acme", reason="over a kill")
        self.feed("held", 200, tenant="acme")
        other = self.order("suspend", domain="." + testzone.ZONE, tenant="acme", until="1d")
        before = self.in_force()
        self.assertEqual(list(before), [number, other])
        self.walk.kill_engine()
        self.walk.start_engine()
        self.assertEqual(self.in_force(), before)
        self.feed("free", 200)
        self.check_settled("free", delivered=200)
        self.check_tally("held", "acme", waiting=200, delivered=0)
        self.lift(number)
        self.walk.kill_engine()
        self.walk.start_engine()
        self.assertEqual(list(self.in_force()), [other])
        self.check_tally("held", "acme", waiting=200, delivered=0)
        self.lift(other)
        self.check_settled("held", "acme", delivered=200)
        self.check_order_events(number, "given", "lifted")
        self.check_order_events(other, "given", "lifted")
        self.check_audit()

    def test_numbers_are_not_given_again(self):
        """Not even when checkpoints say nothing any more of those that have ended."""
        number = self.order("suspend", tenant="nobody")
        self.lift(number)

        def checkpoints():
            text = self.walk.get("/metrics")[1]
            return [int(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                    if line.startswith("veredus_checkpoints_total")]
        fed = 0
        while min(checkpoints()) < 2:
            self.assertLess(fed, 100)
            self.feed("b%d" % fed, 1000)
            self.check_settled("b%d" % fed, delivered=1000)
            fed += 1
        for _ in range(2):
            self.walk.kill_engine()
            self.walk.start_engine()
        self.assertGreater(self.order("suspend", tenant="nobody"), number)


class Steering(Orders):
    """All that is fed waits for its next attempt."""
    sink_options = LATER

    def test_a_batch_is_paused_and_resumed(self):
        self.feed_deferred("one", 100, tenant="acme")
        self.feed_deferred("two", 100, tenant="acme")
        paused = self.call("POST", "/v1/batches/acme/one/pause", reason="look at it")["order"]
        self.assertEqual(self.in_force()[paused]["filter"], {"tenant": "acme", "batch": "one"})
        self.heal_sink()
        retried = self.order("retry", tenant="acme")
        self.check_settled("two", "acme", delivered=100)
        self.wait_ended(retried)
        self.check_tally("one", "acme", waiting=100, delivered=0)
        again = self.call("POST", "/v1/batches/acme/one/pause")["order"]
        self.assertEqual(self.call("POST", "/v1/batches/acme/one/resume"),
                         {"orders": [paused, again], "state": "lifted"})
        self.order("retry", batch="one", tenant="acme")
        self.check_settled("one", "acme", delivered=100)
        error = self.call("POST", "/v1/batches/acme/one/resume", 404)["error"]
        self.assertEqual(error["code"], "no_such_order")

    def test_a_campaign_is_cancelled(self):
        self.feed_deferred("a", 1000, campaign="spring")
        self.feed_deferred("b", 500, campaign="spring", tenant="acme")
        self.feed_deferred("c", 300, campaign="autumn")
        number = self.order("cancel", campaign="spring", reason="wrong link")
        self.check_settled("a", cancelled=1000, deferred=0)
        self.check_settled("b", "acme", cancelled=500)
        self.wait_ended(number)
        self.check_tally("c", waiting=300, cancelled=0)
        # What comes later is not meant.
        self.feed_deferred("d", 200, campaign="spring")
        self.check_tally("d", waiting=200, cancelled=0)
        events = self.settled_events("type=cancelled", 1500)
        self.assertEqual({e["to"] for e in events},
                         set(recipients("a", 1000)) | set(recipients("b", 500)))
        for event in events:
            self.assertEqual(event["rule"], "operator")
            self.assertEqual(event["response"]["text"],
                             "cancelled by order %d: wrong link" % number)
        self.check_order_events(number, "given", "done")
        done = {e["stream"]: e["seq"] for e in self.order_events(number) if e["state"] == "done"}
        for event in events:
            self.assertLess(event["seq"], done[event["stream"]])
        self.check_audit()
        self.walk.kill_engine()
        self.walk.start_engine()
        self.check_tally("a", cancelled=1000, waiting=0)
        self.check_tally("d", cancelled=0, waiting=200)

    def test_a_batch_is_cancelled_and_another_expires(self):
        for batch in ("a", "b", "c"):
            self.feed_deferred(batch, 200)
        self.call("POST", "/v1/batches/default/a/cancel", reason="stop")
        number = self.order("expire", batch="b")
        self.check_settled("a", cancelled=200)
        self.check_settled("b", expired=200)
        self.check_tally("c", waiting=200)
        event = self.settled_events("type=expired", 200)[0]
        self.assertEqual((event["rule"], event["response"]["text"]),
                         ("operator", "given up by order %d" % number))
        self.check_audit()

    def test_suspended_mail_is_cancelled(self):
        suspended = self.order("suspend", tenant="acme")
        self.feed("a", 200, tenant="acme")
        self.order("cancel", tenant="acme")
        self.check_settled("a", "acme", cancelled=200)
        self.lift(suspended)
        self.check_settled("a", "acme", cancelled=200)
        self.check_audit()

    def test_retry_makes_all_go_at_once(self):
        self.feed_deferred("a", 500)
        self.feed_deferred("b", 500, tenant="acme")
        self.heal_sink()
        self.wait_ended(self.order("retry", tenant="default"))
        self.check_settled("a", delivered=500)
        self.check_tally("b", "acme", waiting=500, delivered=0)

    def test_by_recipient(self):
        for batch in ("a", "b"):
            self.feed_deferred(batch, 100, tenant="acme")
        cancelled = self.order("cancel", tenant="acme", recipient=recipient("a", 3).upper())
        self.wait_ended(cancelled)
        expired = json.loads(self.run_veredus("--json", "expire", "--recipient",
                                              recipient("a", 4)).stdout)["order"]
        self.wait_ended(expired)
        self.heal_sink()
        done = self.run_veredus("--json", "retry", "--recipient", recipient("b", 5))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_ended(json.loads(done.stdout)["order"])
        self.wait_until("he has it", lambda: self.walk.tally("b", "acme")["delivered"] == 1)
        self.check_tally("a", "acme", cancelled=1, expired=1, waiting=98)
        self.check_tally("b", "acme", delivered=1, waiting=99)
        self.check_order_events(cancelled, "given", "done")
        # By source nobody is sent to: sites are tried again, and none is passed over here.
        self.wait_ended(self.order("retry", source="default"))
        self.check_tally("b", "acme", delivered=1, waiting=99)
        self.check_audit()
        self.check_stored([recipient("b", 5)])

    def test_by_site_after_a_kill(self):
        """Then nobody's site is known."""
        self.feed_deferred("a", 500)
        event = next(e for e in self.settled_events("type=deferred", 500)
                     if e["to"].endswith("@" + testzone.domain(7)))
        self.walk.kill_engine()
        self.walk.start_engine()
        number = self.order("cancel", site=event["site"])
        self.wait_ended(number)
        self.check_tally("a", cancelled=10, waiting=490)
        events = self.settled_events("type=cancelled", 10)
        self.assertEqual({e["to"] for e in events},
                         {recipient("a", i) for i in range(7, 500, 50)})
        self.wait_ended(self.order("expire", provider="some"))
        self.check_tally("a", expired=20, waiting=470)
        self.heal_sink()
        self.walk.kill_engine()
        self.walk.start_engine()
        self.wait_ended(self.order("retry", provider="some", site=event["site"]))
        self.wait_ended(self.order("retry", domain="." + testzone.ZONE))
        self.check_settled("a", delivered=470)

    def test_the_command(self):
        self.feed_deferred("a", 50, tenant="acme")
        self.feed_deferred("b", 50, tenant="acme")

        def run(*arguments, status=0):
            done = self.run_veredus(*arguments)
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            return done.stdout if status == 0 else done.stderr
        number = json.loads(run("--json", "suspend", "--tenant", "acme", "--domain", "Example.org",
                                "--until", "2h", "--reason", "a list of words"))["order"]
        table = run("suspend", "--list").splitlines()
        self.assertEqual(table[0].split(), ["order", "kind", "filter", "given", "until", "reason"])
        self.assertIn("tenant=acme domain=example.org", table[1])
        self.assertIn("a list of words", table[1])
        listed = json.loads(run("suspend", "--list", "--json"))["orders"]
        self.assertEqual([order["order"] for order in listed], [number])
        self.assertEqual(run("resume", str(number)), "order %d lifted\n" % number)
        self.assertIn("no suspension", run("resume", str(number), status=os.EX_NOINPUT))
        run("suspend", "--batch", "acme/a")
        self.assertIn("lifted", run("resume", "--batch", "acme/a"))
        self.assertIn("not suspended", run("resume", "--tenant", "acme", "--batch", "a",
                                           status=os.EX_NOINPUT))
        self.assertIn("given", run("cancel", "--batch", "acme/a"))
        self.check_settled("a", "acme", cancelled=50)
        self.assertIn("given", run("expire", "--tenant", "acme", "--batch", "b"))
        self.check_settled("b", "acme", expired=50)
        self.assertIn("given", run("retry", "--tenant", "acme"))
        self.assertIn("all mail would fit", run("suspend", status=os.EX_DATAERR))
        self.assertIn("leave one out", run("suspend", "--tenant", "x", "--batch", "acme/a",
                                           status=os.EX_USAGE))
        self.assertIn("did you mean", run("suspend", "--batch", "acme/aa", status=os.EX_NOINPUT))
        run("resume", status=os.EX_USAGE)
        self.walk.stop_engine()
        run("suspend", "--list", status=os.EX_UNAVAILABLE)


class InFlight(Orders):
    """The sink takes its time over everything, and one after the other at each site."""
    settings = {**Orders.settings, "smtp": {"connections_per_site": 1}}
    sink_options = ("--delay", "dot=500")

    def test_who_is_being_sent_to_gets_his_mail(self):
        self.feed("a", 500)
        self.wait_until("the first", lambda: self.walk.tally("a")["delivered"] > 0)
        number = self.order("cancel", batch="a")
        tally = self.walk.wait_settled("a", WAIT_S)
        self.wait_ended(number)
        self.check_identity(tally)
        self.assertEqual(tally["delivered"] + tally["cancelled"], 500, tally)
        self.assertGreater(tally["cancelled"], 250, tally)
        self.check_order_events(number, "given", "done")
        events = self.settled_events("type=delivered", tally["delivered"])
        for event in self.settled_events("type=cancelled", tally["cancelled"]):
            self.assertEqual(event["response"]["text"], "cancelled by order %d" % number)
        self.check_audit()
        self.check_stored([e["to"] for e in events])

    def test_they_expire_as_expired(self):
        self.feed("a", 500)
        self.wait_until("the first", lambda: self.walk.tally("a")["delivered"] > 0)
        self.order("expire", batch="a")
        tally = self.walk.wait_settled("a", WAIT_S)
        self.check_identity(tally)
        self.assertEqual(tally["delivered"] + tally["expired"], 500, tally)


class Refusing(Orders):
    def test_what_it_refuses(self):
        self.feed("spring-7", 1, tenant="acme")
        for path, body, status, code, part in (
                ("suspend", {}, 400, "bad_parameter", "no JSON object"),
                ("suspend", {"reason": "x"}, 400, "bad_filter", "all mail would fit"),
                ("suspend", {"tenat": "acme"}, 400, "bad_parameter", 'did you mean "tenant"'),
                ("suspend", {"tenant": ""}, 400, "bad_parameter", "is empty"),
                ("suspend", {"source": "default", "domain": "a.example"}, 400, "bad_filter", "domain"),
                ("suspend", {"tenant": "acme", "until": "2000-01-01T00:00:00Z"}, 400, "bad_parameter",
                 "over already"),
                ("suspend", {"tenant": "acme", "batch": "sprin-7"}, 404, "no_such_batch",
                 "did you mean spring-7"),
                ("suspend", {"batch": "spring-7"}, 404, "no_such_batch", "tenant acme has one"),
                ("retry", {"provider": "som"}, 404, "no_such_provider", 'did you mean "some"'),
                ("suspend", {"source": "defualt"}, 404, "no_such_source", 'did you mean "default"'),
                ("cancel", {"source": "default"}, 400, "bad_filter", "source"),
                ("cancel", {"recipient": "a@b.example", "reason": "x"}, 400, "bad_filter",
                 "leave the reason out"),
                ("expire", {"source": "default"}, 400, "bad_filter", "source"),
                ("retry", {"source": "default", "tenant": "acme"}, 400, "bad_filter", "tenant"),
                ("batches/acme/spring-8/pause", {}, 404, "no_such_batch", "did you mean spring-7"),
                ("batches/acme/spring-7/pause", {"tenant": "acme"}, 400, "bad_filter", "no place"),
                ("batches/acme/spring-8/resume", {}, 404, "no_such_batch", "spring-8")):
            error = self.order(path, status, **body)
            self.assertEqual(error["code"], code, error)
            self.assertIn(part, error["reason"] + " " + error.get("hint", ""))
        for method, path in (("GET", "/v1/cancel"), ("GET", "/v1/retry"), ("DELETE", "/v1/expire"),
                             ("DELETE", "/v1/suspend"), ("GET", "/v1/suspend/1"),
                             ("GET", "/v1/batches/acme/spring-7/pause")):
            self.call(method, path, 405)
        for name in ("0", "x", "7"):
            self.call("DELETE", "/v1/suspend/" + name, 404)
        number = self.order("cancel", tenant="acme")
        self.lift(number, 404)
        self.wait_ended(number)
        self.assertEqual(self.in_force(), {})

    def test_so_many_are_in_force(self):
        first = self.order("suspend", tenant="t0")
        for i in range(1, ORDERS_MAX):
            self.order("suspend", tenant="t%d" % i)
        self.assertEqual(len(self.in_force()), ORDERS_MAX)
        self.assertEqual(self.order("suspend", 409, tenant="more")["code"], "too_many_orders")
        self.feed("b", 500)
        self.check_settled("b", delivered=500)
        self.lift(first)
        self.order("suspend", tenant="more")


if __name__ == "__main__":
    unittest.main()
