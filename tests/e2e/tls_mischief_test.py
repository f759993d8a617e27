#!/usr/bin/python3
"""A server that does TLS wrong: refuses it, stalls, breaks it off, or says things in clear that are not its own.
Mail that need not be under TLS goes, where nobody has put his own bytes in; mail that must be does not go in
clear, however often the server fails.

Usage: tls_mischief_test.py VEREDUS SINK [unittest arguments]
"""

import unittest

from walk_case import Case, lines_of, testzone

WRONG = {"is_refused_for_now": ("--fail", "starttls=454"), "is_refused": ("--fail", "starttls=501"),
         "is_dropped_at_the_command": ("--drop", "starttls"), "is_dropped": ("--drop", "tls"),
         "is_reset": ("--reset", "tls"), "stalls": ("--delay", "tls=600000")}


class TlsCase(Case):
    smtp = {}
    domains = 5
    sink_options = ("--tls",)

    def setUp(self):
        self.settings = {"smtp": {"tls_limit": "1s", "host_down": "1s", **self.smtp},
                         "retry": {"initial": "1s", "cap": "1s"}}
        super().setUp()

    def counter(self, name):
        _, text = self.walk.get("/metrics")
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith("veredus_" + name))

    def misbehave(self, *options):
        self.walk.stop_sink()
        self.walk.start_sink(["--tls", *options])

    def lines(self, batch, count, **more):
        return lines_of(batch, count, **more)[:1] + [
            {"to": to, "id": "%s-%d" % (batch, i)} for i, to in enumerate(self.to(batch, count))]

    def to(self, batch, count):
        return ["%s-%d@%s" % (batch, i, testzone.domain(i % self.domains)) for i in range(count)]


class Opportunistic(TlsCase):
    def go_on_in_clear(self, options):
        self.misbehave(*options)
        self.walk.feed(self.lines("b", 50))
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 50)
        counters = self.walk.sink_counters()
        self.assertEqual((counters["messages"], counters["tls_messages"]), (50, 0))

    def test_not_to_whoever_puts_his_own_bytes_in(self):
        self.misbehave("--tls-inject", "1")
        self.walk.feed(self.lines("b", 50))
        self.settled_events("", 50, lambda e: e["type"] == "deferred" and e["attempt"] == 1)
        self.wait_until("another try", lambda: self.counter("tls_injected_total") > self.domains)
        counters = self.walk.sink_counters()
        self.assertEqual((counters["messages"], counters["tls"]), (0, 0))
        self.assertEqual(self.walk.tally("b")["waiting"], 50)


class Required(TlsCase):
    smtp = {"tls": "required"}

    def say_nothing_in_clear(self, options):
        self.misbehave(*options)
        self.walk.feed(self.lines("b", 20))
        self.settled_events("", 20, lambda e: e["type"] == "deferred" and e["attempt"] == 1)
        self.assertEqual(self.walk.tally("b")["waiting"], 20)
        self.assertEqual(self.walk.sink_counters()["messages"], 0)
        self.misbehave()  # and is well again
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 20)
        counters = self.walk.sink_counters()
        self.assertEqual((counters["messages"], counters["tls_messages"]), (20, 20))

    def test_all_of_it_now_and_then(self):
        self.misbehave("--fail", "starttls=454:0.1", "--drop", "tls:0.1", "--reset", "tls:0.1", "--tls-inject",
                       "0.1", "--fail", "rcpt=450:0.02")
        self.walk.feed(self.lines("b", 1000))
        tally = self.walk.wait_settled("b")
        self.assertEqual(tally["delivered"], 1000, tally)
        counters = self.walk.sink_counters()
        self.assertEqual((counters["messages"], counters["tls_messages"]), (1000, 1000))


class OnlyTls12(TlsCase):
    sink_options = ("--tls", "--tls-version", "1.2")
    smtp = {"messages_per_connection": 10}

    def test_goes_under_it_and_resumes(self):
        self.walk.feed(self.lines("b", 500))
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 500)
        for event in self.settled_events("", 500, lambda e: e["type"] == "delivered"):
            self.assertEqual(event["tls"]["version"], "TLSv1.2")
        counters = self.walk.sink_counters()
        self.assertEqual((counters["tls_messages"], counters["tls_broken"]), (500, 0))
        self.assertGreater(counters["tls_resumed"], 0)


def add_tests():
    for name, options in WRONG.items():
        setattr(Opportunistic, "test_in_clear_where_it_" + name,
                lambda self, options=options: self.go_on_in_clear(options))
    for name, options in {**WRONG, "is_injected_into": ("--tls-inject", "1")}.items():
        setattr(Required, "test_not_where_it_" + name,
                lambda self, options=options: self.say_nothing_in_clear(options))


add_tests()
if __name__ == "__main__":
    unittest.main()
