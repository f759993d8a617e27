#!/usr/bin/python3
"""Signatures of a running engine: the same message at every attempt, keys that are replaced or spoilt,
identities that go and come back.

Usage: signing_keys_test.py VEREDUS SINK [unittest arguments]
"""

import json
import os
import re
import tempfile
import time
import unittest

import signature_judges
from offering_receiver import Receiver
from signature_judges import Identity, Judges, fields_of, marks_of, tables_of
from walk_case import Case, testzone

RAW = ("From: news@walk.test\r\nTo: {{name}} <{{to}}>\r\nSubject: Hello {{first}}\r\n"
       "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
       ".{{first}}\r\n.\r\n{{#more}}{{{more}}}{{/more}}\r\n")
KEY_READ_WITHIN_S = 5  # after it was replaced


def damaged(pem):
    """With another modulus: a key that can be read, and signs what nobody can verify."""
    lines = pem.splitlines()
    lines[3] = lines[3].swapcase()
    return b"\n".join(lines) + b"\n"


def setUpModule():
    reason = signature_judges.why_not()
    if reason:
        raise unittest.SkipTest(reason)


class FirstRefusing(Receiver):
    """Takes a message at its second end of data; keeps both."""

    async def handle_DATA(self, server, session, envelope):
        again = envelope.rcpt_tos[0] in self.got
        taken = await super().handle_DATA(server, session, envelope)
        return taken if again else "451 4.3.0 not yet"


class KeysCase(Case):
    offers = ("8BITMIME", "CHUNKING")
    receiver_class = Receiver
    more = {}

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="veredus-keys-", dir="/var/tmp")
        self.addCleanup(scratch.cleanup)
        self.receiver = self.receiver_class(self.offers)
        self.addCleanup(self.receiver.controller.stop)
        self.identities = [Identity(scratch.name, "rsa", "walk.test"),
                           Identity(scratch.name, "ed", "walk.test", "ed25519")]
        self.settings = self.settings_with(self.identities)
        super().setUp()

    def settings_with(self, identities):
        return {"smtp": {"redirect": "127.0.0.1:%d" % self.receiver.port}, **self.more, **tables_of(identities)}

    def feed(self, batch, count=1, **fields):
        head = {"batch": batch, "sender": "bounce@walk.test", "merge": True, "message": {"raw": RAW}, **fields}
        lines = [{"to": "%s-%d@%s" % (batch, i, testzone.domain(i % 5)), "name": "J\u00f6rg, %d" % i,
                  "vars": {"first": "J\u00f6rg\u00df \"%d\"" % i, "more": ".\r\n.\n" * i}} for i in range(count)]
        status, answer = self.walk.feed([head] + lines)
        self.assertEqual((status, answer.get("refused")), (200, 0), answer)
        return [line["to"] for line in lines]

    def deliver(self, batch, **fields):
        """The message of a batch for one."""
        to, = self.feed(batch, **fields)
        self.assertEqual(self.walk.wait_settled(batch)["delivered"], 1)
        content, = self.receiver.got[to]
        return content

    def judges(self):
        return Judges({each.published(): each.record for each in self.identities})

    def check_valid(self, contents, marks):
        for content in contents:
            self.assertEqual(sorted(marks_of(content)), sorted(marks))
        faults, _ = self.judges().faults(contents)
        self.assertEqual(faults, [])

    def check_broken(self, content):
        self.assertTrue(self.judges().faults([content])[0])

    def both(self):
        return [each.mark() for each in self.identities]

    def wait_logged(self, text):
        self.wait_until(text, lambda: text in self.walk.engine_log())


class Attempts(KeysCase):
    receiver_class = FirstRefusing
    more = {"retry": {"initial": "2s", "cap": "2s"}}
    count = 40

    def test_the_same_at_each_but_for_trace_and_signatures(self):
        self.check_attempts(lambda: None)

    def test_so_over_a_restart(self):
        def restart():
            self.assertEqual(self.walk.stop_engine(), 0)
            self.walk.start_engine()
        self.check_attempts(restart)

    def check_attempts(self, between):
        merged = self.feed("merged", self.count)
        raw = "From: news@walk.test\r\n\r\nfor all\r\n.\r\n"
        alike = self.feed("alike", self.count, merge=False, message={"raw": raw})
        parts = self.feed("parts", self.count, message={
            "from": "News <news@walk.test>", "subject": "Gr\u00fc\u00dfe, {{first}}", "html": "<p>{{first}}</p>\n{{{more|}}}",
            "attachments": [{"name": "a.bin", "type": "application/octet-stream", "base64": "AAEC/w=="}]})
        self.wait_until("all were tried", lambda: all(to in self.receiver.got for to in merged + alike + parts))
        between()
        for batch in ("merged", "alike", "parts"):
            tally = self.walk.wait_settled(batch)
            self.assertEqual(tally["delivered"], self.count, tally)
        contents = []
        for to in merged + alike + parts:
            first, second = self.receiver.got[to]
            self.assertEqual(self.without_trace(first), self.without_trace(second))
            for name in (b"Date", b"Message-ID"):
                self.assertEqual([name for name, _ in fields_of(second)[0]].count(name), 1)
            contents += [first, second]
        self.check_valid(contents, self.both())
        for batch in (merged, parts):
            self.assertEqual(len({self.message_id(self.receiver.got[to][1]) for to in batch}), self.count)
        times = [{t for t in re.findall(rb"\bt=(\d+);", content)} for content in contents]
        self.assertTrue(any(times[i] != times[i + 1] for i in range(0, len(times), 2)), "signed anew")

    @staticmethod
    def without_trace(content):
        fields, body = fields_of(content)
        return [each for each in fields if each[0] not in (b"Received", b"DKIM-Signature")], body

    @staticmethod
    def message_id(content):
        return dict(fields_of(content)[0])[b"Message-ID"]


class KeyFiles(KeysCase):
    def test_replaced_while_it_runs(self):
        before = self.deliver("before")
        self.check_valid([before], self.both())
        old = {each.name: each.record for each in self.identities}
        for each in self.identities:
            each.make_key()
        begin = time.monotonic()
        self.wait_logged("signing keys have changed, and were read again")
        self.assertLess(time.monotonic() - begin, KEY_READ_WITHIN_S)
        after = self.deliver("after")
        self.check_valid([after], self.both())
        self.check_broken(before)
        for each in self.identities:
            each.record = old[each.name]
        self.check_broken(after)

    def test_spoilt_while_it_runs(self):
        rsa = self.identities[0]
        path, good = rsa.settings["key_file"], rsa.key()
        spoilings = {"garbage": lambda: rsa.put(b"-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----\n"),
                     "empty": lambda: rsa.put(b""), "cut": lambda: rsa.put(good[:len(good) // 2]),
                     "damaged": lambda: rsa.put(damaged(good)), "gone": lambda: os.unlink(path), "open": lambda: (rsa.put(good), os.chmod(path, 0o644))}
        for name, spoil in spoilings.items():
            with self.subTest(name):
                log_size = os.path.getsize(self.walk.log)
                spoil()
                said = "a signing key has changed and cannot be used, the one before stays in use: "

                def logged():
                    with open(self.walk.log) as file:
                        file.seek(log_size)
                        return [line for line in file if said in line]
                self.wait_until(said, logged)
                line, = logged()
                self.assertRegex(line, re.escape(self.walk.config) + r":\d+")
                self.assertIn(path, line)
                self.check_valid([self.deliver(name)], self.both())
                rsa.put(good)
                self.wait_until("read again", lambda: "read again" in self.log_from(log_size))
                self.check_valid([self.deliver(name + "-mended")], self.both())

    def test_a_bad_one_does_not_hold_up_others(self):
        rsa, ed = self.identities
        good = rsa.key()
        log_size = os.path.getsize(self.walk.log)
        rsa.put(b"no key\n")
        ed.make_key()
        self.wait_until("read again", lambda: "read again" in self.log_from(log_size))
        self.check_valid([self.deliver("other")], self.both())
        rsa.put(good)
        rsa.make_key()
        self.wait_until("the mended one, too", lambda: self.log_from(log_size).count("read again") >= 2)
        self.check_valid([self.deliver("mended")], self.both())
        self.assertEqual(self.log_from(log_size).count("cannot be used"), 1)

    def log_from(self, offset):
        with open(self.walk.log) as file:
            file.seek(offset)
            return file.read()

    def test_a_start_is_refused(self):
        self.walk.stop_engine()
        path = self.identities[1].settings["key_file"]
        good = self.identities[1].key()
        with open(self.walk.config) as file:
            line = 1 + [each.strip() for each in file].index('key_file = "%s"' % path)

        def check(*words):
            """By both who read the configuration."""
            for command in ("serve", "check-config"):
                done = self.run_veredus(command)
                self.assertEqual(done.returncode, os.EX_CONFIG, (command, done.stderr))
                self.assertIn("%s:%d:" % (self.walk.config, line), done.stderr)
                self.assertIn("dkim.ed", done.stderr)
                for word in (path,) + words:
                    self.assertIn(word, done.stderr)
                self.assertNotIn(good.splitlines()[1].decode(), done.stderr + done.stdout)
        os.chmod(path, 0o644)
        check("everybody may read", "chmod 0640")
        os.chmod(path, 0o640)
        self.identities[1].put(b"no key\n")
        check()
        os.unlink(path)
        check()
        self.identities[1].put(good)
        self.walk.start_engine()
        self.check_valid([self.deliver("b")], self.both())


class Reloaded(KeysCase):
    more = {"retry": {"initial": "1s", "cap": "1s"}}

    def reload_with(self, identities):
        self.walk.settings = self.settings_with(identities)
        self.walk.write_config()
        done = self.run_veredus("reload")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_named_identity_that_goes_and_comes_back(self):
        to, = self.feed("b", dkim=["rsa"], not_before="3s")
        self.assertIn("dkim.rsa", self.reload_with(self.identities[1:]))
        deferred, = self.settled_events("type=deferred&batch=b", 1, lambda e: e["attempt"] == 1)
        self.assertEqual((deferred["rule"], deferred["response"]["enhanced"]), ("dkim-identity", "4.3.5"), deferred)
        self.assertIn('"rsa"', deferred["response"]["text"])
        self.assertNotIn(to, self.receiver.got)
        # Who is named is asked for; whoever is not signs as it is now.
        self.check_valid([self.deliver("by-author")], [self.identities[1].mark()])
        status, answer = self.walk.feed([{"batch": "c", "sender": "", "dkim": ["rsa"], "message": {"raw": RAW}},
                                         {"to": "x@d0.test"}])
        self.assertEqual((status, answer["error"]["code"]), (400, "unknown_identity"), answer)
        self.assertIn("dkim.rsa", self.reload_with(self.identities))
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 1)
        self.check_valid(self.receiver.got[to], [self.identities[0].mark()])

    def test_what_keygen_says_is_all_that_is_needed(self):
        records, marks = {}, []
        for algorithm, signs in (("rsa2048", "rsa-sha256"), ("ed25519", "ed25519-sha256")):
            path = os.path.join(self.directory, algorithm + ".pem")
            done = self.run_veredus("--json", "dkim", "keygen", "--domain", "made.test", "--selector", algorithm,
                                    "--algorithm", algorithm, "--out", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            made = json.loads(done.stdout)
            with open(self.walk.config, "a") as file:
                file.write(made["config"])
            records[made["dns_name"]] = made["record"]
            marks.append(("made.test", algorithm, signs, "relaxed/relaxed"))
        self.assertEqual(self.run_veredus("reload").returncode, 0)
        content = self.deliver("made", message={"raw": RAW.replace("news@walk.test", "x@mail.made.test")})
        self.assertEqual(sorted(marks_of(content)), sorted(marks))
        self.assertEqual(Judges(records).faults([content])[0], [])

    def test_nobody_and_others_than_the_authors(self):
        self.assertEqual(marks_of(self.deliver("none", dkim=[])), [])
        self.check_valid([self.deliver("one", dkim=["ed"])], [self.identities[1].mark()])
        other = RAW.replace("news@walk.test", "news@other.test")
        self.assertEqual(marks_of(self.deliver("other", message={"raw": other})), [])
        self.check_valid([self.deliver("named", message={"raw": other}, dkim=["rsa", "ed"])], self.both())


if __name__ == "__main__":
    unittest.main()
