#!/usr/bin/python3
"""Extensions of SMTP, used when offered and right when not, with a server that is not ours: aiosmtpd.

Usage: extensions_test.py VEREDUS SINK [unittest arguments]
"""

import base64
import random
import unittest

from mime_messages import Maker, headers_of, parts_of, same_types
from offering_receiver import Receiver
from walk_case import Case, testzone


class ExtensionsCase(Case):
    offers = ()

    def setUp(self):
        self.receiver = Receiver(self.offers)
        self.addCleanup(self.receiver.controller.stop)
        self.settings = {"smtp": {"redirect": "127.0.0.1:%d" % self.receiver.port}}
        super().setUp()

    def feed(self, batch, lines, **fields):
        head = {"batch": batch, "sender": "bounce@walk.test", **fields}
        status, answer = self.walk.feed([head] + lines)
        self.assertEqual((status, answer.get("refused")), (200, 0), answer)

    def check_failed(self, batch, to, status, text):
        events = self.settled_events("", 1, lambda e: e["type"] == "failed"
                                     and e["batch"] == batch and e["to"] == to)
        self.assertEqual(events[0]["response"]["enhanced"], status)
        self.assertIn(text, events[0]["response"]["text"])


PLAIN = {"raw": "Subject: plain\r\n\r\nplain\r\n"}
DSN = {"notify": ["failure", "delay"], "ret": "hdrs", "envid": "spring 7"}


class Dsn(ExtensionsCase):
    offers = ("8BITMIME", "DSN")

    def test_asked_for_also_after_a_crash(self):
        to = ["ada@d0.test", "bob@d0.test"]
        self.feed("b", [{"to": each} for each in to], message=PLAIN, dsn=DSN, not_before="1s")
        self.walk.kill_engine()
        self.walk.start_engine()
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 2)
        mails = [c for c in self.receiver.commands if c.startswith("FROM:")]
        for command in mails:
            self.assertIn(" RET=HDRS ENVID=spring+207", command)
        self.assertEqual(sorted(c for c in self.receiver.commands if c.startswith("TO:")),
                         ["TO:<%s> NOTIFY=FAILURE,DELAY ORCPT=rfc822;%s" % (each, each)
                          for each in to])
        del self.receiver.commands[:]
        self.feed("never", [{"to": "ada@d0.test"}], message=PLAIN, dsn={"notify": ["never"]})
        self.feed("none", [{"to": "ada@d0.test"}], message=PLAIN)
        for batch in ("never", "none"):
            self.assertEqual(self.walk.wait_settled(batch)["delivered"], 1)
        rcpts = sorted(c for c in self.receiver.commands if c.startswith("TO:"))
        self.assertEqual(rcpts, ["TO:<ada@d0.test>",
                                 "TO:<ada@d0.test> NOTIFY=NEVER ORCPT=rfc822;ada@d0.test"])


class NoDsn(ExtensionsCase):
    offers = ("8BITMIME",)

    def test_left_out(self):
        self.feed("b", [{"to": "ada@d0.test"}], message=PLAIN, dsn=DSN)
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 1)
        self.assertIn("TO:<ada@d0.test>", self.receiver.commands)


def own_message(raw):
    return {"raw_base64": base64.b64encode(raw).decode()}


class EightBit(ExtensionsCase):
    """Many messages with bytes over 127, of all forms, to a host that takes them or does not."""
    offers = ("8BITMIME",)
    count = 200

    def messages(self):
        made = {}
        for seed in range(self.count):
            front = b"Message-ID: <%d@walk.test>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n" % seed
            made["r%d@%s" % (seed, testzone.domain(seed % 20))] = \
                front + Maker(random.Random(seed)).message() + b"\r\n"
        return made

    def deliver(self):
        """What was sent and what arrived, without our trace field."""
        sent = self.messages()
        self.feed("b", [{"to": to, "message": own_message(raw)} for to, raw in sent.items()])
        tally = self.walk.wait_settled("b")
        self.assertEqual(tally["delivered"], len(sent), tally)
        for to, raw in sent.items():
            contents = self.receiver.got[to]
            self.assertEqual(len(contents), 1)
            self.assertTrue(contents[0].startswith(b"Received: "), contents[0][:200])
            yield raw, contents[0][contents[0].index(b"Message-ID: "):]

    def test_all_forms(self):
        declared = 0
        for raw, arrived in self.deliver():
            self.assertEqual(arrived, raw)
            declared += not raw.isascii()
        self.assertEqual(sum("BODY=8BITMIME" in c for c in self.receiver.commands), declared)


class SevenBit(EightBit):
    offers = ("SIZE 10000000",)

    def test_all_forms(self):
        changed = 0
        for raw, arrived in self.deliver():
            self.assertTrue(arrived.isascii())
            self.assertLessEqual(max(map(len, arrived.split(b"\r\n"))), 998)
            self.assertEqual(parts_of(arrived), parts_of(raw))
            self.assertEqual(headers_of(arrived), headers_of(raw))
            self.assertTrue(same_types(arrived, raw), (arrived, raw))
            changed += arrived != raw
        self.assertGreater(changed, self.count / 2)
        self.assertFalse([c for c in self.receiver.commands if "BODY=" in c])

    def test_size_is_that_of_what_is_sent(self):
        raw = ("Subject: x\r\n\r\n" + ".\u00e4\u00f6\u00fc.\r\n" * 500).encode()
        self.feed("b", [{"to": "ada@d0.test", "message": own_message(raw)}])
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 1)
        content = self.receiver.got["ada@d0.test"][0]
        self.assertIn("FROM:<bounce@walk.test> SIZE=%d" % len(content), self.receiver.commands)

    def test_merged(self):
        raw = ("Subject: {{who}}\r\nMessage-ID: <{{id}}@x>\r\nDate: today\r\n\r\n"
               ".Dear {{who}},\r\n{{text}}\r\n.end\r\n")
        self.feed("b", [{"to": "ada@d0.test", "id": "1", "vars": {"who": "Ada", "text": "."}},
                        {"to": "joerg@d0.test", "id": "2",
                         "vars": {"who": "J\u00f6rg", "text": ".\n.\u00e4"}}],
                  message={"raw": raw}, merge=True)
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 2)
        bodies = {to: parts_of(contents[0]) for to, contents in self.receiver.got.items()}
        self.assertEqual(bodies["ada@d0.test"], [("text/plain", b".Dear Ada,\r\n.\r\n.end\r\n")])
        self.assertEqual(bodies["joerg@d0.test"], [
            ("text/plain", ".Dear J\u00f6rg,\r\n.\r\n.\u00e4\r\n.end\r\n".encode())])

    def test_what_cannot_be_changed_fails(self):
        signed = "DKIM-Signature: v=1; d=x\r\nSubject: x\r\n\r\n\u00e4\r\n".encode()
        binary = "Content-Transfer-Encoding: binary\r\n\r\n\u00e4\r\n".encode()
        self.feed("b", [{"to": "signed@d0.test", "message": own_message(signed)},
                        {"to": "binary@d0.test", "message": own_message(binary)},
                        {"to": "header@d0.test", "message":
                         own_message("Subject: \u00e4\r\n\r\nx\r\n".encode())}])
        self.assertEqual(self.walk.wait_settled("b")["failed"], 3)
        self.check_failed("b", "signed@d0.test", "5.6.3", "its DKIM signature would break")
        self.check_failed("b", "binary@d0.test", "5.6.3", "a part is called binary")
        self.check_failed("b", "header@d0.test", "5.6.7", "SMTPUTF8")
        self.assertEqual(self.receiver.commands, [])


UTF8_HEADER = {"raw": "Subject: Gr\u00fc\u00dfe\r\n\r\nplain\r\n"}
IDN = "b\u00fccher.test"
A_LABEL = "xn--bcher-kva.test"


class Utf8(ExtensionsCase):
    offers = ("8BITMIME", "SMTPUTF8")

    def test_addresses_and_headers(self):
        self.feed("b", [{"to": "ada@" + IDN}, {"to": "j\u00f6rg@" + IDN}], message=PLAIN)
        self.feed("h", [{"to": "bob@" + IDN}], message=UTF8_HEADER, sender="s@" + IDN)
        self.feed("m", [{"to": "\u00e4@" + IDN}], merge=True,
                  message={"raw": "To: <{{to}}>\r\nSubject: {{to}}\r\n\r\nx\r\n"})
        for batch, count in (("b", 2), ("h", 1), ("m", 1)):
            self.assertEqual(self.walk.wait_settled(batch)["delivered"], count)
        self.assertEqual(sorted(self.receiver.got),
                         sorted(name + "@" + A_LABEL for name in ("ada", "bob", "j\u00f6rg", "\u00e4")))
        mails = [c for c in self.receiver.commands if c.startswith("FROM:")]
        self.assertIn("FROM:<s@%s> BODY=8BITMIME SMTPUTF8" % A_LABEL, mails)
        # The address with an ASCII local part may share the transaction of the other, or not.
        self.assertGreaterEqual(sum("SMTPUTF8" in c for c in mails), 3)
        self.assertIn("Subject: Gr\u00fc\u00dfe\r\n".encode(), self.receiver.got["bob@" + A_LABEL][0])
        self.assertIn(("To: <\u00e4@%s>\r\n" % A_LABEL).encode(),
                      self.receiver.got["\u00e4@" + A_LABEL][0])
        events = self.settled_events("", 4, lambda e: e["type"] == "delivered")
        self.assertIn("j\u00f6rg@" + A_LABEL, {event["to"] for event in events})


class NoUtf8(ExtensionsCase):
    offers = ("8BITMIME",)

    def test_only_what_is_ascii_goes(self):
        self.feed("b", [{"to": "ada@" + IDN}, {"to": "j\u00f6rg@" + IDN}], message=PLAIN)
        self.feed("h", [{"to": "bob@d0.test"}], message=UTF8_HEADER)
        self.feed("s", [{"to": "bob@d0.test"}], message=PLAIN, sender="j\u00f6rg@walk.test")
        self.assertEqual(self.walk.wait_settled("b")["delivered"], 1)
        self.assertEqual(list(self.receiver.got), ["ada@" + A_LABEL])
        self.check_failed("b", "j\u00f6rg@" + A_LABEL, "5.6.7", "does not offer SMTPUTF8")
        for batch in ("h", "s"):
            self.assertEqual(self.walk.wait_settled(batch)["failed"], 1)
            self.check_failed(batch, "bob@d0.test", "5.6.7", "does not offer SMTPUTF8")
        for command in self.receiver.commands:
            self.assertTrue(command.isascii() and "SMTPUTF8" not in command, command)

    def test_questions_in_either_form(self):
        self.feed("b", [{"to": "ada@" + IDN}, {"to": "bob@d0.test"}], message=PLAIN,
                  not_before="1h")
        status, text = self.walk.get("/v1/why?to=ada@b%C3%BCcher.test")
        self.assertEqual(status, 200, text)
        self.assertIn('"recipients":1', text)
        status, text, _ = self.walk.request("POST", "/v1/cancel",
                                            ('{"recipient":"ada@%s"}' % IDN).encode())
        self.assertEqual(status, 200, text)
        self.assertEqual(self.walk.tally("b")["cancelled"], 1)


class Limits(Case):
    """RFC 9422, with the sink, to which what is beyond a stated limit is a command out of place."""
    sink_options = ("--offer", "pipelining,enhancedstatuscodes,mailmax=3,rcptmax=4")

    def test_obeyed(self):
        lines = [{"batch": "b", "sender": "bounce@walk.test", "message": PLAIN}]
        lines += [{"to": "r%d@%s" % (i, testzone.domain(0))} for i in range(100)]
        self.walk.feed(lines)
        tally = self.walk.wait_settled("b")
        self.assertEqual(tally["delivered"], 100, tally)
        counters = self.walk.sink_counters()
        self.check_stored([line["to"] for line in lines[1:]])
        self.assertEqual(counters["refused"], 0)
        self.assertGreaterEqual(counters["messages"], 25)
        self.assertLessEqual(counters["messages"], 3 * counters["connections"])


if __name__ == "__main__":
    unittest.main()
