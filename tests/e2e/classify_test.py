#!/usr/bin/python3
"""`veredus classify`: replies on standard input, verdicts as JSON lines.

Usage: classify_test.py VEREDUS [unittest arguments]
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

VEREDUS = ""

OWN = """
[[rules]]
name = "mine"
stages = ["rcpt"]
text = 'computer says no'
result = "later"
scope = "recipient"
kind = "soft"
class = "other"
"""


class Classify(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def run_it(self, text, *arguments, config=None):
        config = config or self.write("empty.toml", "")
        done = subprocess.run([VEREDUS, "--config", config, "classify", *arguments], text=True,
                              input=text, capture_output=True, timeout=60)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def test_raw_replies_are_joined(self):
        status, out, errors = self.run_it(
            "550-5.1.1 The email account that you tried to reach\r\n550 5.1.1 does not exist\r\n"
            "\n# a comment\n450 4.2.0 Greylisted, try again in 5 minutes\n")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(out, [
            {"line": 1, "result": "never", "scope": "recipient", "kind": "hard", "class": "bad-mailbox",
             "rule": "no-such-mailbox", "stage": "RCPT", "code": 550, "enhanced": "5.1.1"},
            {"line": 5, "result": "later", "scope": "recipient", "kind": "soft", "class": "policy-related",
             "rule": "greylisted", "stage": "RCPT", "code": 450, "enhanced": "4.2.0",
             "greylisted": True, "retry_after": 300}])

    def test_stages(self):
        text = "550 spam\nend-of-data 550 spam\nGREETING 554-go\n554 away\nend-of-data 250 OK\n"
        status, out, errors = self.run_it(text, "--stage", "mail")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual([(one["stage"], one["result"], one["scope"]) for one in out],
                         [("MAIL", "never", "source"), ("end of data", "never", "message"),
                          ("greeting", "later", "host"), ("end of data", "delivered", "recipient")])
        status, out, errors = self.run_it("550 x\n", "--stage", "dot")
        self.assertEqual((status, out), (64, []))
        self.assertIn('there is no "dot"; write one of connect, greeting,', errors)

    def test_bad_lines_are_named_and_passed_over(self):
        status, out, errors = self.run_it(
            "hello\n550 no\n99 x\n550-a\n551 b\n550 no\n550-open\nmail 550 no\n550-end\n")
        self.assertEqual(status, 65)
        self.assertEqual([one["code"] for one in out], [550, 550, 550])
        lines = errors.splitlines()
        self.assertEqual([line.split(":")[1] for line in lines],
                         [" line %d" % number for number in (1, 3, 5, 7, 9)], errors)
        self.assertIn("no code and no stage", lines[0])
        self.assertIn("no last line", lines[3])

    def test_rules_of_an_operator(self):
        path = self.write("own.toml", OWN)
        text = "550 Computer says no\n"
        self.assertEqual(self.run_it(text)[1][0]["rule"], "mailbox-code")
        status, out, errors = self.run_it(text, "--rules", path)
        self.assertEqual((status, errors, out[0]["rule"], out[0]["result"]),
                         (0, "", "mine", "later"))
        config = self.write("veredus.toml", '[verdict]\nrules = "%s"\n' % path)
        self.assertEqual(self.run_it(text, config=config)[1][0]["rule"], "mine")

    def test_bad_rules_are_refused(self):
        path = self.write("own.toml", OWN.replace('"later"', '"delivered"'))
        status, out, errors = self.run_it("550 x\n", "--rules", path)
        self.assertEqual((status, out), (78, []))
        self.assertIn(path + ':6:10: "delivered" is no result; write one of later, never', errors)
        status, out, errors = self.run_it("550 x\n", "--rules", path + ".absent")
        self.assertEqual((status, out), (66, []))
        self.assertIn("cannot be read: No such file", errors)
        config = self.write("veredus.toml", '[verdict]\nrules = "%s"\n' % path)
        done = subprocess.run([VEREDUS, "check-config", config], text=True, capture_output=True,
                              timeout=60)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn(path + ":6:10: ", done.stderr)

    def test_what_is_shipped_is_printed(self):
        done = subprocess.run([VEREDUS, "classify", "--print-rules"], text=True,
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0)
        copy = self.write("copy.toml", done.stdout)
        self.assertEqual(self.run_it("550 x\n", "--rules", copy)[0], 0)


if __name__ == "__main__":
    VEREDUS = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
