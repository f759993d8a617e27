#!/usr/bin/python3
"""Extensions of SMTP with Postfix as the receiver.

Usage: extensions_postfix_test.py VEREDUS SINK [unittest arguments]
"""

import base64
import email
import email.policy
import random
import re
import smtplib
import tempfile
import time
import unittest

from mime_messages import Maker, parts_of
from receiving_postfix import Postfix, missing
from walk_case import Case, testzone, walk

loopback = walk.loopback


@unittest.skipIf(missing(), missing())
class PostfixCase(Case):
    discard = ""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="veredus-extensions-", dir="/var/tmp")
        self.addCleanup(scratch.cleanup)
        self.postfix = Postfix(scratch.name, loopback.free_port(), self.discard)
        self.addCleanup(self.postfix.stop)
        self.wait_until("Postfix answers", self.greets)
        self.settings = {"smtp": {"redirect": "127.0.0.1:%d" % self.postfix.port}}
        super().setUp()

    def greets(self):
        try:
            with smtplib.SMTP("127.0.0.1", self.postfix.port, timeout=5):
                return True
        except OSError:
            time.sleep(0.1)
            return False

    def deliver(self, batch, lines, **fields):
        head = {"batch": batch, "sender": "bounce@walk.test", **fields}
        status, answer = self.walk.feed([head] + lines)
        self.assertEqual((status, answer.get("refused")), (200, 0), answer)
        tally = self.walk.wait_settled(batch)
        self.assertEqual(tally["delivered"], len(lines), (tally, self.postfix.log()))

    def check_log(self):
        wrong = re.findall(r".*(?:warning|error|fatal|reject|improper|lost connection).*",
                           self.postfix.log())
        # Clocks of a virtual machine are none of ours.
        clock = re.compile("file system clock is|resetting file time stamps")
        self.assertEqual([line for line in wrong if not clock.search(line)], [])


PLAIN = {"raw": "Subject: plain\r\n\r\nplain\r\n"}


class Offered(PostfixCase):
    def test_what_dsn_asks_for_comes_back(self):
        to = {"ada@d0.test": "rfc822;ada@d0.test", "a+b=c@d0.test": "rfc822;a+b=c@d0.test",
              "j\u00f6rg@d0.test": "utf-8;j\u00f6rg@d0.test"}
        self.deliver("b", [{"to": each} for each in to], message=PLAIN,
                     dsn={"notify": ["success"], "ret": "hdrs", "envid": "spring 7+1=8"})
        self.deliver("never", [{"to": "bob@d0.test"}], message=PLAIN, dsn={"notify": ["never"]})
        told = set()
        # One report for each transaction; how many there were is ours to decide.
        for count in range(5, 8):
            for content in self.postfix.wait_for(count):
                if b"multipart/report" in content:
                    told |= self.told_by(content)
            if len(told) == len(to):
                break
        self.assertEqual(told, set(to.values()))
        self.check_log()

    def told_by(self, content):
        envelope, *of_recipients = self.fields_of(
            email.message_from_bytes(content, policy=email.policy.default))
        self.assertEqual(envelope["Original-Envelope-Id"], "spring 7+1=8")
        self.assertEqual({fields["Action"] for fields in of_recipients}, {"delivered"})
        return {fields["Original-Recipient"] for fields in of_recipients}

    def fields_of(self, report):
        """Of the message and of its recipients, as text: RFC 3464, RFC 6533."""
        for part in report.walk():
            if part.get_content_type() in ("message/delivery-status",
                                           "message/global-delivery-status"):
                raw = part.as_bytes().split(b"\n\n", 1)[1] if part.is_multipart() \
                    else part.get_payload(decode=True)
                blocks = raw.decode().replace("\r\n", "\n").strip().split("\n\n")
                return [dict(re.findall(r"^([\w-]+): (.*)$", block, re.M)) for block in blocks]
        return self.fail("no delivery status: " + report.as_string())

    def test_addresses_headers_and_chunks(self):
        self.deliver("b", [{"to": "ada@b\u00fccher.test"}, {"to": "j\u00f6rg@b\u00fccher.test"}],
                     message={"raw": "Subject: Gr\u00fc\u00dfe\r\n\r\n.\r\n.dot \u00e4\r\n"})
        contents = self.postfix.wait_for(2)
        self.assertEqual(len(contents), 2)
        for content in contents:
            self.assertIn("Subject: Gr\u00fc\u00dfe\n".encode(), content)
            self.assertTrue(content.endswith("\n\n.\n.dot \u00e4\n".encode()), content)
        delivered = re.findall("Delivered-To: (.*)", b"".join(contents).decode())
        self.assertEqual(sorted(delivered), ["ada@xn--bcher-kva.test", "j\u00f6rg@xn--bcher-kva.test"])
        self.check_log()


class SevenBit(PostfixCase):
    discard = "8bitmime, smtputf8, chunking, dsn"

    def test_all_forms(self):
        sent = {}
        for seed in range(60):
            front = b"Message-ID: <%d@walk.test>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n" % seed
            sent["<%d@walk.test>" % seed] = front + Maker(random.Random(seed)).message() + b"\r\n"
        self.deliver("b", [{"to": "r%d@%s" % (n, testzone.domain(n % 20)), "message":
                            {"raw_base64": base64.b64encode(raw).decode()}}
                           for n, raw in enumerate(sent.values())], dsn={"ret": "full"})
        contents = self.postfix.wait_for(len(sent))
        self.assertEqual(len(contents), len(sent))
        for content in contents:
            self.assertTrue(content.isascii())
            raw = sent.pop(re.search(rb"^Message-ID: (.*)$", content, re.M).group(1).decode())
            self.assertEqual(parts_of(content.replace(b"\n", b"\r\n")), parts_of(raw))
        self.check_log()


if __name__ == "__main__":
    unittest.main()
