#!/usr/bin/python3
"""bare, the lower bound of bench/compare, against the sink: what it measures is mail that arrived.

Usage: sink_bare_test.py SINK BARE [unittest arguments]
"""

import json
import os
import subprocess
import sys
import unittest

from sink_peer import SinkTest, loopback, testzone

BARE = os.path.abspath(sys.argv.pop(1))


class BareTest(SinkTest):
    def start(self, *options, listen=("--listen-loopback", "0")):
        self.server = self.sink(*options, listen=listen)

    def stop(self):
        return self.server.stop()

    def bare(self, *options):
        result = subprocess.run([BARE, "--port", str(self.server.port), "--json", *options], capture_output=True,
                                text=True, timeout=60)
        return result.returncode, (json.loads(result.stdout) if result.stdout else {}), result.stderr

    def contents(self):
        return sorted(content.decode() for content in self.server.messages())

    def expected(self, messages, domains, template):
        def one(i):
            to = "u%09d@%s" % (i, testzone.domain(i % domains))
            return template.replace("{{id}}", "%09d" % i).replace("{{to}}", to)
        return sorted(one(i) for i in range(messages))

    def template(self, size):
        return subprocess.run([BARE, "--print-template", "--size", str(size)], capture_output=True,
                              check=True).stdout.decode()

    def check(self, messages, domains, size, *options, sink=("--chunking",), connections=5):
        self.start(*sink)
        code, found, errors = self.bare("--messages", str(messages), "--domains", str(domains), "--size",
                                        str(size), "--connections", str(connections), *options)
        self.assertEqual((code, errors), (0, ""))
        counters = self.stop()
        self.assertEqual((counters["messages"], found["messages"]), (messages, messages))
        self.assertEqual(counters["bytes"], messages * size)
        self.assertEqual((counters["early"], counters["after_dot"]), (0, 0))
        self.assertEqual(sorted(self.server.ledger()),
                         [("<%09d@bench.test>" % i, "u%09d@%s" % (i, testzone.domain(i % domains)), "ack")
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
            self.check(30, 3, 102400, *options)
            self.assertEqual(self.contents(), self.expected(30, 3, self.template(102400)))

    def test_distinct(self):
        for options in ((), ("--chunking",)):
            self.check(100, 1, 2048, "--distinct", *options)
            bodies = {text.split("\r\n\r\n", 1)[1].split("\r\n", 1)[1] for text in self.contents()}
            self.assertEqual(len(bodies), 100)

    def test_a_connection_for_each_domain_at_its_address(self):
        loopback.at_free_port(lambda port: self.start(listen=[
            word for i in range(253) for word in ("--listen", "%s:%d" % (testzone.address(i), port))]))
        code, _, errors = self.bare("--messages", "600", "--domains", "253", "--connections", "30")
        self.assertEqual((code, errors), (0, ""))
        counters = self.stop()
        self.assertEqual((counters["connections"], counters["messages"], counters["lost"]), (253, 600, 0))
        self.assertEqual(self.contents(), self.expected(600, 253, self.template(2048)))

    def test_some_messages_a_connection(self):
        counters = self.check(203, 1, 2048, "--per-connection", "10", connections=5)
        self.assertGreaterEqual(counters["connections"], 21)
        self.check(203, 3, 2048, "--per-connection", "10", connections=2)

    def test_under_tls(self):
        for options, size in (((), 2048), (("--chunking",), 102400), (("--distinct",), 2048)):
            counters = self.check(203, 1, size, "--tls", "--per-connection", "10", *options,
                                  sink=("--tls", "--chunking", "--tls-version", "1.3"), connections=5)
            self.assertEqual((counters["tls_messages"], counters["tls"]), (203, counters["connections"]))
            self.assertEqual((counters["tls_resumed"], counters["tls_broken"]), (counters["tls"] - 5, 0))

    def test_addresses_far_out(self):
        self.assertEqual([testzone.address(i) for i in (0, 249, 250, 62499, 62500)],
                         ["127.10.0.1", "127.10.0.250", "127.10.1.1", "127.10.249.250", "127.11.0.1"])

    def test_elsewhere_with_a_template(self):
        self.start(listen=("--listen", "127.0.0.1:0"))
        template = "To: {{to}}\r\nMessage-ID: <{{id}}>\r\n\r\n{{id}} {{to}}\r\n"
        with open(self.server.path + "/template", "w", newline="") as f:
            f.write(template)
        code, _, errors = self.bare("--messages", "50", "--domains", "7", "--connect", "127.0.0.1",
                                    "--template", self.server.path + "/template")
        self.assertEqual((code, errors), (0, ""))
        self.stop()
        self.assertEqual(self.contents(), self.expected(50, 7, template))

    def write(self, name, text):
        path = "%s/%s" % (self.server.path, name)
        with open(path, "w", newline="") as f:
            f.write(text)
        return path

    def test_contents_out_of_a_file(self):
        self.start("--chunking")
        contents = ["Message-ID: <%d>\r\n\r\ntext %d\r\n" % (i, 9 - i) for i in range(8)]
        path = self.write("contents", "".join(content + ".\r\n" for content in contents))
        key = self.server.path + "/key.pem"
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-out", key], check=True)
        for options in ((), ("--chunking",), ("--sign", key)):
            code, found, errors = self.bare("--messages", "8", "--contents", path, *options)
            self.assertEqual((code, errors, found["messages"]), (0, "", 8))
        self.stop()
        self.assertEqual(self.contents(), sorted(3 * contents))

    def test_contents_that_cannot_be_used(self):
        self.start()
        path = self.write("contents", "a: b\r\n\r\n.\r\n")
        unlike = self.write("unlike", "a: b\r\n\r\n.\r\na: bcd\r\n\r\n.\r\n")
        for options, word in ((("--messages", "2", "--contents", path), "2 messages of one size"),
                              (("--messages", "2", "--contents", unlike), "2 messages of one size"),
                              (("--messages", "1", "--contents", path + "?"), "1 messages of one size"),
                              (("--messages", "1", "--contents", path, "--sign", path), "no private RSA key")):
            code, found, errors = self.bare(*options)
            self.assertEqual((code, found["messages"]), (1, 0), errors)
            self.assertIn(word, errors)
        self.stop()

    def test_trouble_is_told(self):
        for options, word in ((("--fail", "rcpt=450:0.05"), "450"), (("--drop", "dot:0.1"), "closed"),
                              (("--fail", "connect=554"), "554")):
            self.start(*options)
            code, found, errors = self.bare("--messages", "500", "--connections", "4")
            self.assertEqual(code, 1)
            self.assertIn(word, errors)
            self.assertLess(found["messages"], 500)
            self.stop()


if __name__ == "__main__":
    unittest.main()
