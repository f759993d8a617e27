#!/usr/bin/python3
"""The configuration is read again while the engine runs: `veredus reload`, SIGHUP.

usage: reload_test.py VEREDUS SINK [unittest arguments]
"""

import json
import os
import signal
import time
import unittest

from walk_case import Case, lines_of
import testzone


class Reload(Case):
    domains = 5

    def write(self, *more, settings=None):
        """The walk's own configuration with other settings, and some lines behind it."""
        self.walk.settings = settings or {}
        self.walk.write_config()
        with open(self.walk.config, "a") as file:
            file.write("\n".join(more) + "\n")

    def line_of(self, text):
        with open(self.walk.config) as file:
            return 1 + [line.strip() for line in file].index(text)

    def reload(self, *arguments):
        return self.run_veredus(*arguments, "reload")

    def pools(self):
        return json.loads(self.walk.get("/v1/limits")[1])["pools"]

    def feed_to(self, name, pool):
        return self.walk.feed(lines_of(name, 3, pool=pool))

    def wait_logged(self, text):
        end = time.monotonic() + 20
        while text not in self.walk.engine_log():
            self.assertLess(time.monotonic(), end, self.walk.engine_log())
            time.sleep(0.02)

    def test_what_changed_is_said_and_holds(self):
        status, answer = self.feed_to("early", "news")
        self.assertEqual((status, answer["error"]["code"]), (400, "unknown_pool"), answer)
        self.assertIn("known are default", answer["error"]["reason"])
        done = self.reload()
        self.assertEqual((done.returncode, done.stdout),
                         (0, "reloaded: nothing has changed that could\n"), done.stderr)

        self.write("[pools.news]", 'sources = ["default"]', "[providers.gmail]", "connections = 7",
                   'windows = "00:00-24:00"', 'retry.cap = "2h"',
                   "[tenants.acme]", "waiting = 2", 'windows = ["Mo-Su 00:00-24:00 Europe/Berlin"]',
                   settings={"smtp": {"host_down": "2m"}, "node": {"shards": 3}})
        done = self.reload()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout,
                         "reloaded: smtp.host_down, pools.news, providers.gmail.connections, "
                         "providers.gmail.windows, providers.gmail.retry.cap, "
                         "tenants.acme\nneeds a restart: node.shards\n")
        self.wait_logged("needs a restart: node.shards")
        self.assertIn("reloaded %s: smtp.host_down, pools.news" % self.walk.config,
                      self.walk.engine_log())
        self.assertEqual(self.pools(), ["default", "news"])
        self.assertEqual(self.feed_to("later", "news")[0], 200)
        status, answer = self.walk.feed(lines_of("much", 3, tenant="acme"))
        self.assertEqual(status, 413, answer)
        self.assertIn("tenants.acme.waiting", answer["error"]["hint"])
        # A recipient that names a pool that there is not is refused alone.
        lines = lines_of("one", 3)
        lines[2]["pool"] = "gone"
        status, answer = self.walk.feed(lines)
        self.assertEqual((status, answer["accepted"], answer["refused"]), (200, 2, 1), answer)
        self.assertEqual((answer["refusals"][0]["line"], answer["refusals"][0]["status"]),
                         (3, "5.3.5"), answer)
        self.assertEqual(self.walk.wait_settled("later")["delivered"], 3)

        # What needs a restart goes on needing it; what was applied is not applied again.
        done = self.reload("--json")
        self.assertEqual(json.loads(done.stdout), {"applied": [], "needs_restart": ["node.shards"]})

    def test_a_wrong_file_changes_nothing(self):
        self.write("[pools.news]", 'sources = ["default"]')
        self.assertEqual(self.reload().returncode, 0)
        self.write("[pools.other]", 'sources = ["default"]', "[providers.gmail]",
                   "connections = many")
        # The engine says where it is wrong …
        line = self.line_of("connections = many")
        for body, place in ((("connections = many",), ": not TOML: "),
                            (("conections = 7",), ": there is no setting in [providers.gmail] "
                             '"conections": did you mean "connections"?'),
                            (('connections = "7"',), ": providers.gmail.connections: write a whole "
                             "number from 0 to 100000")):
            self.write("[pools.other]", 'sources = ["default"]', "[providers.gmail]", *body)
            done = self.reload("--socket", self.walk.socket)
            self.assertEqual(done.returncode, os.EX_CONFIG)
            self.assertIn("%s:%d:" % (self.walk.config, line), done.stderr)
            self.assertIn(place, done.stderr)
            self.assertIn("all stays as it was", done.stderr)
            self.assertIn("not reloaded, all stays as it was: %s:%d:" % (self.walk.config, line),
                          self.walk.engine_log())
            self.assertEqual(self.pools(), ["default", "news"])
        # … and so does the program that asks it, which looks for the socket in the same file.
        done = self.reload()
        self.assertEqual(done.returncode, os.EX_CONFIG)
        self.assertIn("%s:%d:15: " % (self.walk.config, line), done.stderr)
        self.assertEqual(self.feed_to("b", "news")[0], 200)
        os.unlink(self.walk.config)
        done = self.reload("--socket", self.walk.socket)
        self.assertEqual(done.returncode, os.EX_CONFIG)
        self.assertIn("cannot be read", done.stderr)
        self.assertEqual(self.pools(), ["default", "news"])
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 3)

    def test_by_signal(self):
        self.write("[pools.news]", 'sources = ["default"]')
        os.kill(self.walk.engine.pid, signal.SIGHUP)
        self.wait_logged("reloaded %s: pools.news" % self.walk.config)
        self.assertEqual(self.pools(), ["default", "news"])
        self.write("[pools.news]", 'sources = ["defualt"]')
        os.kill(self.walk.engine.pid, signal.SIGHUP)
        self.wait_logged('there is no source "defualt": did you mean "default"?')
        self.assertEqual(self.pools(), ["default", "news"])
        self.assertEqual(self.walk.stop_engine(), 0)

    def test_staging_is_said_loudly(self):
        self.write(settings={"smtp": {"redirect": "127.0.0.1:%d" % self.walk.sink_port}})
        line = self.line_of('redirect = "127.0.0.1:%d"' % self.walk.sink_port)
        said = 'ALL mail goes to "127.0.0.1:%d", none to its recipients\' hosts: smtp.redirect, %s:%d' \
            % (self.walk.sink_port, self.walk.config, line)
        done = self.reload()
        self.assertEqual((done.returncode, done.stdout), (0, "reloaded: smtp.redirect\n"))
        self.assertIn(said, done.stderr)
        self.wait_logged("warning: " + said)
        self.assertIn("# %s\n" % said, self.run_veredus("check-config").stdout[:1000])
        self.walk.stop_engine()
        os.unlink(self.walk.log)
        self.walk.start_engine()
        self.wait_logged("warning: " + said)

    def test_what_it_refuses(self):
        self.assertEqual(self.walk.request("GET", "/v1/reload")[0], 405)
        self.walk.stop_engine()
        self.assertEqual(self.reload().returncode, os.EX_UNAVAILABLE)


class InDoubt(Case):
    """What becomes of those whose reply is lost is said anew while the engine runs."""
    domains = 5
    sink_options = ("--reset", "after-dot:1.0")

    def wait_tally(self, name, part):
        """Until all of the batch are that."""
        end = time.monotonic() + 60
        while self.walk.tally(name)[part] != 5:
            self.assertLess(time.monotonic(), end, self.walk.tally(name))
            time.sleep(0.05)

    def reload_with(self, *more):
        self.walk.settings = {"in_doubt": {"policy": "hold"}}
        self.walk.write_config()
        with open(self.walk.config, "a") as file:
            file.write("\n".join(more) + "\n")
        done = self.run_veredus("reload", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_for_who_comes_in_doubt_from_then_on(self):
        self.walk.feed(lines_of("first", 5))
        self.settled_events("type=in_doubt", 5)
        self.assertEqual(self.reload_with(), {"applied": ["in_doubt.policy"], "needs_restart": []})
        self.walk.feed(lines_of("second", 5))
        self.wait_tally("second", "in_doubt")
        # A provider's own goes before that of all.
        domains = json.dumps([testzone.domain(i) for i in range(5)])
        self.assertEqual(self.reload_with("[providers.own]", "domains = " + domains,
                                          'in_doubt = "assume-delivered"'),
                         {"applied": ["providers.own"], "needs_restart": []})
        self.walk.feed(lines_of("third", 5))
        self.wait_tally("third", "delivered")
        self.assertEqual(self.walk.tally("first")["waiting"], 5)
        self.assertEqual(self.walk.tally("second")["in_doubt"], 5)


class ReplyRules(Case):
    """Rules for replies: a file beside the configuration, taken up with it."""
    domains = 3
    sink_options = ("--fail", "rcpt=550")

    def write(self, rules):
        path = os.path.join(self.directory, "replies.toml")
        with open(path, "w") as file:
            file.write(rules)
        self.walk.write_config()
        with open(self.walk.config, "a") as file:
            file.write('[verdict]\nrules = "%s"\n' % path)
        return path

    def reload(self):
        return self.run_veredus("--socket", self.walk.socket, "reload")

    def rule_of(self, name, type):
        self.assertEqual(self.walk.feed(lines_of(name, 1))[0], 200)
        return self.settled_events("type=%s&batch=%s" % (type, name), 1)[0]["rule"]

    def test_a_file_is_taken_up(self):
        text = ("[[rules]]\nname = '%s'\ncode = 550\n%sscope = 'recipient'\nkind = 'soft'\n"
                "class = 'other'\n")
        shipped = self.rule_of("a", "failed")
        path = self.write(text % ("mine", ""))
        self.assertEqual(self.reload().stdout, "reloaded: verdict.rules\n")
        self.assertEqual(self.rule_of("b", "failed"), "mine")
        # Under the same name something else.
        self.write(text % ("gentle", "result = 'later'\n"))
        self.assertEqual(self.reload().stdout, "reloaded: verdict.rules\n")
        self.assertEqual(self.rule_of("c", "deferred"), "gentle")
        self.assertIn("nothing has changed", self.reload().stdout)
        # A wrong one changes nothing.
        self.write(text % ("wrong", "result = 'delivered'\n"))
        done = self.reload()
        self.assertEqual(done.returncode, os.EX_CONFIG)
        self.assertIn('%s:4:10: "delivered" is no result' % path, done.stderr)
        self.assertEqual(self.rule_of("d", "deferred"), "gentle")
        self.walk.write_config()
        self.assertEqual(self.reload().stdout, "reloaded: verdict.rules\n")
        self.assertEqual(self.rule_of("e", "failed"), shipped)


if __name__ == "__main__":
    unittest.main()
