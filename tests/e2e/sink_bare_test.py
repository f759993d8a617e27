#!/usr/bin/python3
"""bare, the lower bound of bench/compare, against the sink: what it measures is mail that arrived.

Usage: sink_bare_test.py SINK BARE [unittest arguments]
"""

import glob
import importlib.machinery
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "bench")]

import testzone  # noqa: E402

SINK, BARE = sys.argv.pop(1), sys.argv.pop(1)


class BareTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="bare-test-")
        self.addCleanup(directory.cleanup)
        self.path = directory.name

    def start(self, *options, listen):
        self.sink = subprocess.Popen(
            [SINK, *listen, "--ledger", self.path + "/ledger", "--content-dir", self.path + "/content",
             "--status-file", self.path + "/status", *options], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, self.sink)
        self.port = self.sink.stdout.readline().rsplit(":", 1)[1].strip()

    def end(self, sink):
        if sink.poll() is None:
            sink.terminate()
            sink.wait(10)
            sink.stdout.close()

    def stop(self):
        self.end(self.sink)
        with open(self.path + "/status") as f:
            return json.load(f)

    def bare(self, *options):
        result = subprocess.run([BARE, "--port", self.port, "--json", *options], capture_output=True,
                                text=True, timeout=60)
        return result.returncode, (json.loads(result.stdout) if result.stdout else {}), result.stderr

    def contents(self):
        texts = []
        for name in glob.glob(self.path + "/content/*"):
            with open(name, newline="") as f:
                texts.append(f.read())
        return sorted(texts)

    def expected(self, messages, domains, template):
        def one(i):
            to = "u%09d@%s" % (i, testzone.domain(i % domains))
            return template.replace("{{id}}", "%09d" % i).replace("{{to}}", to)
        return sorted(one(i) for i in range(messages))

    def template(self, size):
        return subprocess.run([BARE, "--print-template", "--size", str(size)], capture_output=True,
                              check=True).stdout.decode()

    def check(self, messages, domains, size, *options, sink=("--chunking",), connections=5):
        self.start(*sink, listen=("--listen-loopback", "0"))
        code, found, errors = self.bare("--messages", str(messages), "--domains", str(domains), "--size",
                                        str(size), "--connections", str(connections), *options)
        self.assertEqual((code, errors), (0, ""))
        counters = self.stop()
        self.assertEqual((counters["messages"], found["messages"]), (messages, messages))
        self.assertEqual(counters["bytes"], messages * size)
        self.assertEqual((counters["early"], counters["after_dot"]), (0, 0))
        with open(self.path + "/ledger") as f:
            lines = sorted(line.split("\t")[:2] for line in f)
        self.assertEqual(lines, [["<%09d@bench.test>" % i, "u%09d@%s" % (i, testzone.domain(i % domains))]
                                 for i in range(messages)])
        return counters

    def test_one_domain(self):
        counters = self.check(203, 1, 2048)
        self.assertEqual(counters["connections"], 5)
        self.assertEqual(self.contents(), self.expected(203, 1, self.template(2048)))

    def test_chunking(self):
        self.check(203, 1, 2048, "--chunking")
        self.assertEqual(self.contents(), self.expected(203, 1, self.template(2048)))

    def test_large(self):
        for options in ((), ("--chunking",)):
            self.setUp()
            self.check(30, 3, 102400, *options)
            self.assertEqual(self.contents(), self.expected(30, 3, self.template(102400)))

    def test_distinct(self):
        for options in ((), ("--chunking",)):
            self.setUp()
            self.check(100, 1, 2048, "--distinct", *options)
            bodies = {text.split("\r\n\r\n", 1)[1].split("\r\n", 1)[1] for text in self.contents()}
            self.assertEqual(len(bodies), 100)

    def test_a_connection_for_each_domain_at_its_address(self):
        self.start(listen=("--listen", testzone.address(0) + ":0"))
        self.stop()
        self.start(listen=[word for i in range(253) for word in
                           ("--listen", "%s:%s" % (testzone.address(i), self.port))])
        code, _, errors = self.bare("--messages", "600", "--domains", "253", "--connections", "30")
        self.assertEqual((code, errors), (0, ""))
        counters = self.stop()
        self.assertEqual((counters["connections"], counters["messages"], counters["lost"]), (253, 600, 0))
        self.assertEqual(self.contents(), self.expected(600, 253, self.template(2048)))

    def test_addresses_far_out(self):
        self.assertEqual([testzone.address(i) for i in (0, 249, 250, 62499, 62500)],
                         ["127.10.0.1", "127.10.0.250", "127.10.1.1", "127.10.249.250", "127.11.0.1"])

    def test_elsewhere_with_a_template(self):
        self.start(listen=("--listen", "127.0.0.1:0"))
        template = "To: {{to}}\r\nMessage-ID: <{{id}}>\r\n\r\n{{id}} {{to}}\r\n"
        with open(self.path + "/template", "w", newline="") as f:
            f.write(template)
        code, _, errors = self.bare("--messages", "50", "--domains", "7", "--connect", "127.0.0.1",
                                    "--template", self.path + "/template")
        self.assertEqual((code, errors), (0, ""))
        self.stop()
        self.assertEqual(self.contents(), self.expected(50, 7, template))

    def test_trouble_is_told(self):
        for options, word in ((("--fail", "rcpt=450:0.05"), "450"), (("--drop", "dot:0.1"), "closed"),
                              (("--fail", "connect=554"), "554")):
            self.setUp()
            self.start(*options, listen=("--listen-loopback", "0"))
            code, found, errors = self.bare("--messages", "500", "--connections", "4")
            self.assertEqual(code, 1)
            self.assertIn(word, errors)
            self.assertLess(found["messages"], 500)
            self.stop()


class RatioTest(unittest.TestCase):
    """What compare says of figures."""

    def setUp(self):
        loader = importlib.machinery.SourceFileLoader("compare", ROOT + "/bench/compare")
        self.compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
        loader.exec_module(self.compare)

    def judge(self, **cpu):
        """Rows from e.g. veredus_1=20: CPU per message of a system in the case with one or 1000 domains."""
        names = {"1": "2k-1-domain", "1000": "2k-1000-domains", "c": "2k-chunking"}
        rows = []
        for key, value in cpu.items():
            system, case = key.split("_")
            rows.append({"case": names[case], "system": system, "cpu_us_per_msg": value,
                         "msgs_per_s": 1e6 / value})
        out = io.StringIO()
        return self.compare.print_ratios(rows, out), out.getvalue()

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

    def test_nothing_measured_says_nothing(self):
        self.assertEqual(self.judge(bare_1=8)[1], "")


if __name__ == "__main__":
    unittest.main()
