#!/usr/bin/python3
"""bench/compare: what it makes of runs that fail, and what it says of figures. Nothing is measured here.

Usage: compare_test.py [unittest arguments]
"""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("compare", ROOT + "/bench/compare")
compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
loader.exec_module(compare)
systems = sys.modules["systems"]
merged_mail, signed_mail = sys.modules["merged_mail"], sys.modules["signed_mail"]


class Scripted:
    """A system whose tries take so many seconds, one after the other; None: it fails."""

    def __init__(self, *seconds):
        self.seconds = list(seconds)

    def run(self, case, size, messages, sink):
        seconds = self.seconds.pop(0)
        if seconds is None:
            raise systems.Failed("as told")
        return systems.Measured(seconds, 7.0 * messages, 1.5, 2048 * messages, 3)


class Measuring(unittest.TestCase):
    CASE = systems.Case("2k-1-domain", 1000, 2048, 1, False, False, compare.ALL)

    def measure(self, runs=3, **scripts):
        found = argparse.Namespace(runs=runs, messages_scale=1, postfix_scale=1, connections=10)
        said = io.StringIO()
        with mock.patch.object(compare, "Sink", lambda *_: contextlib.nullcontext()), \
                contextlib.redirect_stderr(said):
            rows = compare.measure([self.CASE], scripts, found, None)
        self.said = said.getvalue()
        return {row["system"]: row for row in rows}

    def test_a_failed_run_is_tried_once_more(self):
        slow, fast = Scripted(1, 1, 1), Scripted(0.1, None, 0.2, 0.3)
        rows = self.measure(bare=slow, veredus=fast)
        self.assertEqual((rows["veredus"]["runs"], rows["bare"]["runs"]), ("3/3", "3/3"))
        self.assertEqual(rows["veredus"]["msgs_per_s"], 5000)
        self.assertIn("veredus, run 2: as told; once more", self.said)
        self.assertEqual(fast.seconds + slow.seconds, [])

    def test_the_other_runs_count_when_one_is_lost(self):
        rows = self.measure(veredus=Scripted(0.1, None, None, 0.2))
        self.assertEqual(rows["veredus"]["runs"], "2/3")
        self.assertEqual(rows["veredus"]["msgs_per_s"], 7500)  # the median of 10,000 and 5,000
        self.assertIn("run 2: as told; this run is left out", self.said)
        out = io.StringIO()
        compare.print_table(list(rows.values()), out)
        self.assertRegex(out.getvalue(), r"(?m)^2k-1-domain +veredus .* 2/3$")

    def test_no_row_where_no_run_worked(self):
        rows = self.measure(2, veredus=Scripted(*[None] * 4), bare=Scripted(1, 1))
        self.assertEqual(list(rows), ["bare"])


class Ratios(unittest.TestCase):
    def judge(self, **cpu):
        """Rows from e.g. veredus_1=20: CPU per message of a system in the case with one or 1000 domains."""
        names = {"1": "2k-1-domain", "1000": "2k-1000-domains", "c": "2k-chunking",
                 "10": "2k-reuse-10", "tls": "2k-tls-reuse-10", "rsa": "10k-merge-rsa"}
        rows = []
        for key, value in cpu.items():
            system, case = key.split("_")
            rows.append({"case": names[case], "system": system, "cpu_us_per_msg": value,
                         "msgs_per_s": 1e6 / value})
        out = io.StringIO()
        return compare.print_ratios(rows, out), out.getvalue()

    def test_bounds(self):
        good = dict(bare_1=8, veredus_1=24, postfix_1=2400, bare_c=4, veredus_c=12)
        self.assertTrue(self.judge(**good)[0])
        for worse in (dict(veredus_1=24.1), dict(veredus_c=12.1), dict(postfix_1=2390)):
            self.assertFalse(self.judge(**dict(good, **worse))[0], worse)

    def test_many_domains_less_what_bare_loses(self):
        self.assertTrue(self.judge(bare_1=8, bare_1000=12, veredus_1=20, veredus_1000=30)[0])
        reached, text = self.judge(bare_1=8, bare_1000=9, veredus_1=20, veredus_1000=27.1)
        self.assertFalse(reached)
        self.assertIn("MISSED", text)

    def test_tls_costs_what_it_must(self):
        good = dict(veredus_10=30, veredus_tls=42.5, openssl_tls=10)
        self.assertTrue(self.judge(**good)[0])
        self.assertFalse(self.judge(**dict(good, veredus_tls=42.6))[0])
        self.assertFalse(self.judge(**dict(good, bare_10=20, bare_tls=29.9))[0])
        self.assertTrue(self.judge(**dict(good, bare_10=20, bare_tls=30))[0])

    def test_signatures_hide_what_is_around_them(self):
        good = dict(bare_rsa=100, veredus_rsa=115, postfix_rsa=920)
        self.assertTrue(self.judge(**good)[0])
        self.assertFalse(self.judge(**dict(good, postfix_rsa=919))[0])
        reached, text = self.judge(**dict(good, veredus_rsa=116, postfix_rsa=1000))
        self.assertFalse(reached)
        self.assertEqual((text.count("reached"), text.count("MISSED")), (2, 1))
        self.assertNotIn("throughput", text)

    def test_nothing_measured_says_nothing(self):
        self.assertEqual(self.judge(bare_1=8)[1], "")


class MergedMail(unittest.TestCase):
    MAIL = merged_mail.MergedMail(3000, lambda index: "u%d@d.test" % (index + 100))

    def test_renderings_have_one_size(self):
        for size in range(2500, 2600):
            mail = merged_mail.MergedMail(size, self.MAIL.recipient_of)
            text = mail.render(7)
            self.assertEqual(len(text), size)
            self.assertEqual(text.count("\r"), text.count("\r\n"))
            self.assertNotIn("\n.", text)
        self.assertEqual({len(self.MAIL.render(index)) for index in range(500)}, {3000})
        self.assertEqual(len({self.MAIL.render(index) for index in range(500)}), 500)
        with self.assertRaises(ValueError):
            merged_mail.MergedMail(500, self.MAIL.recipient_of)

    def test_ten_variables_are_filled_in(self):
        values = merged_mail.values(3)
        self.assertEqual(len(values), 10)
        text = self.MAIL.render(3)
        self.assertNotIn("{{", text)
        for name, value in values.items():
            self.assertIn("{{%s}}" % name, self.MAIL.template)
            self.assertIn(value.replace("&", "&amp;"), text)

    def test_constant_body(self):
        mail = merged_mail.MergedMail(3000, self.MAIL.recipient_of, constant_body=True)
        texts = [mail.render(index) for index in range(100)]
        self.assertEqual({len(text) for text in texts}, {3000})
        self.assertEqual(len({text.partition("\r\n\r\n")[0] for text in texts}), 100)
        self.assertEqual(len({text.partition("\r\n\r\n")[2] for text in texts}), 1)

    def test_variables_in_html_are_escaped(self):
        self.assertIn(" & ", merged_mail.values(0)["company"])
        self.assertIn(merged_mail.values(0)["company"].replace("&", "&amp;"), self.MAIL.render(0))


class Arrived(unittest.TestCase):
    """What is said of mail that has arrived, here from python3-dkim's own signer."""

    CASE = systems.Case("merge", 1000, 3000, 1, False, False, compare.ALL, merge="all", signed=True)

    def setUp(self):
        try:
            import dkim
        except ImportError:
            self.skipTest("python3-dkim is missing (tools/install-deps --bench)")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.world = systems.World({}, self.folder, 0, 1, 0, None, 1)
        self.key = signed_mail.SigningKey(self.folder)
        self.message = self.world.merged_mail(self.CASE, 2500).render(8).encode()
        with open(self.key.path, "rb") as key:
            self.field = dkim.sign(self.message, b"compare", b"bench.test", key.read(),
                                   canonicalize=(b"relaxed", b"relaxed"))

    def check(self, *messages, key=None):
        paths = ["%s/%d" % (self.folder, number) for number in range(len(messages))]
        for path, message in zip(paths, messages):
            with open(path, "wb") as file:
                file.write(message)
        signed_mail.check_arrived(self.world, self.CASE, paths, key)

    def test_good(self):
        self.check(self.message, self.field + self.message)
        self.check(self.field + self.message, self.field + self.message, key=self.key)
        self.check(b"Received: by x\r\n" + self.field + self.message, key=self.key)

    def test_otherwise_than_fed(self):
        for bad in (self.message.replace(b"Sons", b"Suns", 1), self.message.replace(b"&amp;", b"&", 1),
                    self.message.replace(b"<000000008@", b"<000000009@"), self.message + b"\r\n"):
            self.assertNotEqual(bad, self.message)
            with self.assertRaisesRegex(systems.Failed, "otherwise"):
                self.check(self.message, bad)

    def test_not_signed_as_it_should_be(self):
        for bad in (self.message, 2 * self.field + self.message,
                    self.field + self.message.replace(b"Subject: ", b"Subject: x")):
            with self.assertRaisesRegex(systems.Failed, "not valid"):
                self.check(self.field + self.message, bad, key=self.key)

    def test_nothing_to_look_at(self):
        with self.assertRaisesRegex(systems.Failed, "no message"):
            self.check()


if __name__ == "__main__":
    unittest.main()
