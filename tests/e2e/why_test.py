#!/usr/bin/python3
"""Why mail waits, as a running engine says: the call, the commands, and the list of sites.

Usage: why_test.py VEREDUS SINK [unittest arguments]
"""

import datetime
import json
import time
import unittest

from walk_case import Case, testzone


def seconds(rfc3339):
    return datetime.datetime.fromisoformat(rfc3339.replace("Z", "+00:00")).timestamp()


def batch(name, domain, count, **fields):
    head = {"batch": name, "sender": "bounce@walk.test",
            "message": {"raw": "Subject: x\r\n\r\nHello\r\n"}}
    head.update(fields)
    return [head] + [{"to": "r%d@%s" % (i, domain), "id": "%s-%d" % (name, i)}
                     for i in range(count)]


class WhyCase(Case):
    domains = 4

    def feed(self, *arguments, **fields):
        status, answer = self.walk.feed(batch(*arguments, **fields))
        self.assertEqual(status, 200, answer)

    def ask(self, query):
        status, text = self.walk.get("/v1/why?" + query)
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def await_cause(self, query, what, limit_s=30):
        """The recipient, once it waits on that first."""
        end = time.monotonic() + limit_s
        while True:
            answer = self.ask(query)
            for item in answer["waiting"]:
                if item["conditions"] and item["conditions"][0]["what"] == what:
                    return item
            self.assertLess(time.monotonic(), end, "does not wait on %s: %s" % (what, answer))
            time.sleep(0.05)

    def line_of(self, heading, key):
        """Where a setting stands in the configuration."""
        here = False
        with open(self.walk.config) as file:
            for number, line in enumerate(file, 1):
                if line.startswith("["):
                    here = line.strip() == "[%s]" % heading
                elif here and line.split(" = ")[0] == key:
                    return number
        return self.fail("%s.%s is not set" % (heading, key))


class Working(WhyCase):
    settings = {"providers.slow": {"domains": [testzone.domain(1)], "message_rate": "60/min"},
                "node": {"shards": 2}}

    def test_a_limit_is_named_with_its_place_and_clears_when_it_says(self):
        self.feed("b", testzone.domain(1), 40)
        item = self.await_cause("batch=b&index=12", "message_rate")
        self.assertEqual((item["to"], item["id"], item["index"], item["state"]),
                         ("r12@" + testzone.domain(1), "b-12", 12, "ready"))
        first = item["conditions"][0]
        self.assertEqual((first["setting"], first["file"], first["line"]),
                         ("providers.slow.message_rate", self.walk.config,
                          self.line_of("providers.slow", "message_rate")), first)
        self.assertTrue(first["estimate"])
        end = time.time() + 60
        while self.ask("batch=b&index=12")["recipients"] and time.time() < end:
            time.sleep(0.1)
        self.assertAlmostEqual(time.time(), seconds(first["clears"]), delta=3)
        # The same by the commands, by the address.
        done = self.run_veredus("why", "R30@" + testzone.domain(1))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("message_rate", done.stdout)
        self.assertIn(self.walk.config + ":%d" % first["line"], done.stdout)
        done = self.run_veredus("--json", "why", "--to", "r30@" + testzone.domain(1))
        self.assertEqual(json.loads(done.stdout)["waiting"][0]["index"], 30)
        # The batch as a whole, and its site.
        groups = self.ask("batch=b")["groups"]
        self.assertEqual(groups[0]["what"], "message_rate", groups)
        site = groups[0]["example"]["site"]
        self.assertIn(testzone.mx_name(1), site)
        self.assertIn("message_rate", self.run_veredus("why", "--site", site).stdout)
        done = self.run_veredus("sites", site)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("60/min", done.stdout)
        sites = json.loads(self.run_veredus("--json", "sites").stdout)["sites"]
        one = next(each for each in sites if each["site"] == site)
        self.assertEqual((one["provider"], one["state"]), ("slow", "limited"), one)
        self.assertGreater(one["delivered"], 0)
        providers = json.loads(self.walk.get("/v1/sites?by=provider&limit=1")[1])["providers"]
        slow = next(each for each in providers if each["provider"] == "slow")
        self.assertEqual(slow["waiting"] + slow["delivered"], 40, slow)
        self.assertEqual(self.walk.get("/v1/sites?by=tenant")[0], 400)
        done = self.run_veredus("sites", "--providers")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^slow ")
        self.assertEqual(self.run_veredus("sites", "--providers", site).returncode, 64)
        done = self.run_veredus("top", "--rounds", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("delivered/s", done.stdout)
        done = self.run_veredus("--json", "top", "--providers", "--rounds", "2", "--every", "2s")
        rates = [next(p["delivered_per_s"] for p in json.loads(line)["providers"]
                      if p["name"] == "slow") for line in done.stdout.splitlines()]
        self.assertEqual(len(rates), 2)
        self.assertTrue(all(0.3 < rate < 3 for rate in rates), rates)

    def test_no_route(self):
        self.feed("b", "nowhere.broken.test", 3)
        item = self.await_cause("to=r1@nowhere.broken.test", "retry")
        self.assertIn("no_route", [each["what"] for each in item["conditions"]], item)
        sites = json.loads(self.walk.get("/v1/sites")[1])["sites"]
        lost = next(each for each in sites if each["site"] == "")
        self.assertEqual((lost["waiting"], lost["state"], lost["deferred"], lost["failed"]),
                         (3, "no_site", 3, 0), lost)
        providers = json.loads(self.walk.get("/v1/sites?by=provider")[1])["providers"]
        lost = next(each for each in providers if each.get("state") == "no_site")
        self.assertEqual((lost["provider"], lost["waiting"], lost["deferred"]), ("", 3, 3), lost)
        self.assertRegex(self.run_veredus("sites", "--providers").stdout, r"(?m)^\(no site\) ")

    def test_a_dead_host(self):
        self.walk.stop_sink()
        self.feed("b", testzone.domain(2), 300)
        item = self.await_cause("batch=b&index=299", "site_down")
        clears = seconds(item["conditions"][0]["clears"])
        self.assertTrue(time.time() + 30 < clears < time.time() + 90, item)
        self.assertIn("refused", item["conditions"][0]["text"])
        state = json.loads(self.walk.get("/v1/sites/" + item["site"])[1])
        self.assertEqual((state["state"], state["waiting"]), ("down", 300), state)
        # A hot site has a lane on each shard, with a clock of its own: it may be another one's.
        self.assertLess(abs(seconds(state["next_try"]) - clears), 30, state)
        self.assertEqual(sum(group["recipients"] for group in self.ask("batch=b")["groups"]), 300)

    def test_what_is_asked_wrongly(self):
        self.feed("b", testzone.domain(0), 1)
        for query, status in (("", 400), ("index=3", 400), ("batch=b&index=x", 400), ("to=me", 400),
                              ("batch=b&what=1", 400), ("batch=c", 404), ("batch=b&index=1", 404)):
            self.assertEqual(self.walk.get("/v1/why?" + query)[0], status, query)
        self.walk.wait_settled("b")
        self.assertEqual(self.ask("batch=b&index=0"), {"recipients": 0, "waiting": []})
        self.assertEqual(self.ask("domain=.bench.test"), {"recipients": 0, "groups": []})
        self.assertEqual(self.walk.get("/v1/sites/nothing")[0], 404)
        self.assertEqual(self.run_veredus("why").returncode, 64)
        self.assertEqual(self.run_veredus("why", "nothing").returncode, 66)
        self.assertIn("nobody", self.run_veredus("why", "b").stdout)


class Deferring(WhyCase):
    sink_options = ("--fail", "rcpt=451")

    def test_who_was_put_off_waits_for_his_next_attempt(self):
        self.feed("b", testzone.domain(0), 3, tenant="acme")
        item = self.await_cause("tenant=acme&batch=b&index=1", "retry")
        first = item["conditions"][0]
        self.assertEqual((item["state"], item["attempts"], first["setting"]),
                         ("waiting", 1, "retry.initial"), item)
        self.assertIn("451", first["text"])
        event = next(e for e in self.settled_events("type=deferred", 3) if e["index"] == 1)
        self.assertAlmostEqual(seconds(first["clears"]), seconds(event["next"]), delta=0.1)
        groups = self.ask("tenant=acme&batch=b")["groups"]
        self.assertEqual((len(groups), groups[0]["recipients"], groups[0]["what"]), (1, 3, "retry"))
        # Over a restart, too.
        self.walk.stop_engine()
        self.walk.start_engine()
        again = self.await_cause("tenant=acme&batch=b&index=1", "retry")["conditions"][0]
        self.assertAlmostEqual(seconds(first["clears"]), seconds(again["clears"]), delta=1)


if __name__ == "__main__":
    unittest.main()
