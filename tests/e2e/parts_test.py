#!/usr/bin/python3
"""Messages that are fed in parts, of random shape, read by what is not ours: Python's email package.

Usage: parts_test.py VEREDUS SINK [--messages N] [--seed N] [unittest arguments]
"""

import base64
import email
import email.policy
import html
import random
import re
import unittest

from extensions_test import Receiver
from varied_mail import number_after
from walk_case import Case

MESSAGES = number_after("--messages", 150)
SEED = number_after("--seed", 1)

WORDS = ("Hello", "Grüße", "日本語", "naïve", "=3D", "=", "--", ".", "..", "From ", "a  b", "\t", "?",
         "{", "}", "x" * 90, "ÿ" * 60, "{{who}}", "{{who}}", "{{{who}}}", "{{gone|none}}", "{{text}}",
         "{{#who}}yes {{who}}{{/who}}", "{{^gone}}no{{/gone}}", '{{"{{"}}')
HEADER_WORDS = tuple(w for w in WORDS if "{{text}}" not in w and w != "\t") + ("spring", "sale", "of")
PEOPLE = (("ada", "Ada Lovelace"), ("joerg", "Jörg Müller"), ("lee", 'Lee "O\'Hara", <jr.>'), ("noname", ""))
VALUES = {
    "ada": {"who": "Ada & <b>Co</b>", "text": "one\ntwo\r\n.\nthree"},
    "joerg": {"who": "Jörg", "text": "--\n" + "Grüße " * 20},
    "lee": {"who": "O'Lee \"x\" = {{who}}", "text": "="},
    "noname": {"who": "日本" * 9, "text": ""},
}


def merged(text, values, escape=False):
    """What a template says for somebody: sections are not nested here."""
    def section(match):
        there = bool(values.get(match[2]))
        return match[3] if there == (match[1] == "#") else ""

    def value(match):
        if match[0] == '{{"{{"}}':
            return "{{"
        raw = match[0].startswith("{{{")
        name, _, fallback = match[0].strip("{}").partition("|")
        found = values.get(name, fallback)
        return found if raw or not escape else html.escape(found).replace("&#x27;", "&#39;")
    text = re.sub(r"\{\{([#^])(\w+)\}\}(.*?)\{\{/\2\}\}", section, text)
    return re.sub(r'\{\{"\{\{"\}\}|\{\{\{[^{}]+\}\}\}|\{\{[^{}]+\}\}', value, text)


def lines(text):
    return text.replace("\r\n", "\n").replace("\r", "\n")


class Maker:
    """The parts of a message, from one seeded random source."""

    def __init__(self, number):
        self.dice = random.Random(SEED * 1000003 + number)

    def text(self, html_part=False):
        made = []
        for _ in range(self.dice.choice((1, 1, 3, 30))):
            words = self.dice.choices(WORDS, k=self.dice.randrange(9))
            if self.dice.random() < 0.1:
                words += ["long-" * 250]
            if html_part:
                words = ["&amp;" if w == "?" else w for w in words] + ["<br>"]
            made.append(" ".join(words))
        return self.dice.choice(("\n", "\r\n")).join(made) + self.dice.choice(("", "\n"))

    def header(self):
        words = self.dice.choices(HEADER_WORDS, k=self.dice.randrange(1, 12))
        return " ".join(words).strip()

    def attachment(self, number, shown):
        content = self.dice.randbytes(self.dice.choice((0, 1, 2, 56, 57, 58, 3000)))
        made = {"base64": base64.b64encode(content).decode()}
        if self.dice.random() < 0.8:
            made["name"] = self.dice.choice(("report.pdf", 'a "b" \\c;=.txt', "Übersicht 日本.xlsx", "ü" * 100))
        if self.dice.random() < 0.8:
            made["type"] = self.dice.choice(("image/png", "application/pdf", "text/csv; charset=utf-8"))
        if shown:
            made["cid"] = "part%d@walk.test" % number
        return made

    def parts(self):
        made = {"from": self.dice.choice(("News <news@walk.test>", "Jörg Müller <j@bücher.test>", "n@walk.test",
                                          '"Müller, {{who}}" <n@walk.test>', "Team of {{who}} <n+{{id}}@walk.test>",
                                          "Müller <n+{{id}}@walk.test>"))}
        if self.dice.random() < 0.7:
            made["text"] = self.text()
        if self.dice.random() < 0.7 or "text" not in made:
            made["html"] = "<p>Dear {{who}},</p>" + self.text(html_part=True)
        if self.dice.random() < 0.9:
            made["subject"] = self.header()
        if self.dice.random() < 0.3:
            made["reply_to"] = "Hilfe für alle <help%s@walk.test>, other@walk.test" % self.dice.choice(("", "+{{id}}"))
        if self.dice.random() < 0.5:
            made["headers"] = {"X-Note": self.header(), "X-Second": self.header(),
                               "Message-ID": "<{{id}}@walk.test>"}
        if self.dice.random() < 0.5:
            made["unsubscribe"] = {"url": "https://walk.test/u?who={{id}}&x=1", "mailto": "u+{{id}}@walk.test"}
        if self.dice.random() < 0.5:
            made["attachments"] = [self.attachment(i, self.dice.random() < 0.4)
                                   for i in range(self.dice.randrange(1, 5))]
            for each in made["attachments"]:
                if "cid" in each and "html" in made and self.dice.random() < 0.7:
                    made["html"] += '<img src="cid:%s">' % each["cid"]
        return made


class PartsCase:
    def setUp(self):
        self.receiver = Receiver(self.offers)
        self.addCleanup(self.receiver.controller.stop)
        self.settings = {"smtp": {"redirect": "127.0.0.1:%d" % self.receiver.port},
                         "content": {"feedback_id": "walk-test"}}
        super().setUp()

    def feed(self, batch, lines, **fields):
        status, answer = self.walk.feed([{"batch": batch, "sender": "bounce@walk.test", **fields}] + lines)
        self.assertEqual((status, answer.get("refused")), (200, 0), (answer, fields))

    def check_defects(self, message):
        for part in message.walk():
            self.assertEqual(part.defects, [])
            for name, value in part.items():
                self.assertEqual(list(value.defects), [], (name, str(value)))

    def check_lines(self, content):
        whole = content.split(b"\r\n")
        self.assertNotIn(b"\n", b"".join(whole))
        self.assertNotIn(b"\r", b"".join(whole))
        self.assertLessEqual(max(map(len, whole)), 998)

    def check_encoded(self, part):
        if part["Content-Transfer-Encoding"] in ("quoted-printable", "base64"):
            self.assertLessEqual(max(map(len, part.get_payload().splitlines()), default=0), 76)

    def check_header(self, message, parts, who, values):
        def says(name, template):
            got = message.get_all(name, [])
            self.assertEqual([" ".join(str(value).split()) for value in got],
                             [" ".join(merged(template, values).split())])
        if "subject" in parts:
            says("Subject", parts["subject"])
        for name, template in parts.get("headers", {}).items():
            says(name, template)
        name = dict(PEOPLE)[who]
        to, = message["To"].addresses
        self.assertEqual((to.display_name, to.addr_spec), (name, "%s@d0.test" % who))
        sender, = message["From"].addresses
        wanted = merged(parts["from"], values).replace("bücher", "xn--bcher-kva")
        phrase, _, address = wanted.rpartition(" ")
        self.assertEqual(sender.addr_spec, address.strip("<>"))
        if "{{" not in parts["from"] or '"' not in values["who"]:
            # Python 3.11 keeps the blank between two encoded words of a phrase, against RFC 2047 §6.2.
            self.assertEqual(sender.display_name.replace(" ", ""), phrase.strip('"').replace(" ", ""))
        if "reply_to" in parts:
            self.assertEqual([(a.display_name, a.addr_spec) for a in message["Reply-To"].addresses],
                             [("Hilfe für alle", merged(parts["reply_to"], values).partition("<")[2].partition(">")[0]),
                              ("", "other@walk.test")])
        if "unsubscribe" in parts:
            says("List-Unsubscribe", "<%(url)s>, <mailto:%(mailto)s>" % parts["unsubscribe"])
            says("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
        says("Feedback-ID", "spring:default:%s:walk-test" % values["batch"])
        for name in ("Date", "Message-ID", "MIME-Version", "Content-Type"):
            self.assertEqual(len(message.get_all(name)), 1, name)

    def check_body(self, message, parts, values):
        leaves = [part for part in message.walk() if not part.is_multipart()]
        for part in leaves:
            self.check_encoded(part)

        def check_text(kind, wanted):
            part = leaves.pop(0)
            self.assertEqual(part.get_content_type(), kind)
            got, wanted = (lines(t) for t in (part.get_payload(decode=True).decode(), wanted))
            if not message.is_multipart():
                got, wanted = got.rstrip("\n"), wanted.rstrip("\n")
            self.assertEqual(got, wanted)
        if parts.get("text") or ("text" in parts and "html" not in parts):
            check_text("text/plain", merged(parts["text"], values))
        elif "text" not in parts:
            text = leaves.pop(0)
            self.assertEqual(text.get_content_type(), "text/plain")
            wanted = merged(re.sub("<[^>]*>", "", parts["html"]).replace("&amp;", "&"), values)
            self.assertEqual("".join(text.get_payload(decode=True).decode().split()), "".join(wanted.split()))
        if "html" in parts:
            check_text("text/html", merged(parts["html"], values, escape=True))
        attachments = parts.get("attachments", [])
        shown = [a for a in attachments if "cid" in a and '"cid:%s"' % a["cid"] in parts.get("html", "")]
        beside = [a for a in attachments if a not in shown]
        self.assertEqual(len(leaves), len(attachments))
        for part, wanted in zip(leaves, shown + beside):
            self.assertEqual(part.get_payload(decode=True), base64.b64decode(wanted["base64"]))
            self.assertEqual(part.get_filename(), wanted.get("name"))
            self.assertEqual(part.get_content_type(),
                             wanted.get("type", "application/octet-stream").partition(";")[0])
            self.assertEqual(part.get_content_disposition(), "inline" if wanted in shown else "attachment")
            if "cid" in wanted:
                self.assertEqual(str(part["Content-ID"]), "<%s>" % wanted["cid"])

    def test_random_parts(self):
        fed = {}
        for number in range(MESSAGES):
            batch = "b%d" % number
            parts = fed[batch] = Maker(number).parts()
            recipients = [{"to": who + "@d0.test", "id": "%s-%s" % (batch, who), "vars": VALUES[who],
                           **({"name": name} if name else {})} for who, name in PEOPLE]
            # A recipient's own message is made in the same way.
            if number % 3 == 0:
                recipients = [{**line, "message": parts} for line in recipients]
                self.feed(batch, recipients, campaign="spring")
            else:
                self.feed(batch, recipients, campaign="spring", message=parts)
        for batch in fed:
            self.assertEqual(self.walk.wait_settled(batch)["delivered"], len(PEOPLE), fed[batch])
        seen = 0
        for who, _ in PEOPLE:
            for content in self.receiver.got[who + "@d0.test"]:
                message = email.message_from_bytes(content, policy=email.policy.SMTP)
                batch = str(message["Feedback-ID"]).split(":")[2]
                values = {**VALUES[who], "id": "%s-%s" % (batch, who), "to": who + "@d0.test", "batch": batch}
                with self.subTest(batch=batch, who=who, seed=SEED):
                    if "8BITMIME" not in self.offers:
                        self.assertTrue(content.isascii())
                    self.check_lines(content)
                    self.check_defects(message)
                    self.check_header(message, fed[batch], who, values)
                    self.check_body(message, fed[batch], values)
                seen += 1
        self.assertEqual(seen, MESSAGES * len(PEOPLE))


class EightBit(PartsCase, Case):
    offers = ("8BITMIME",)


class SevenBit(PartsCase, Case):
    offers = ()


if __name__ == "__main__":
    unittest.main()
