"""Messages that are fed in parts, at random, with variables, and what a reader must find in what arrives, by
merge_rules and Python's email."""

import base64
import email
import email.policy
import re

import merge_rules
from random_merge import BODY_NAMES, HEADER_NAMES, Field, field_faults, wanted_field
from signature_judges import fields_of

LONG = "wide" * 19  # again and again: a line that is encoded
BODY_FIT = tuple(name for name in BODY_NAMES if name != "lines")


def text_of(html):
    """A text of HTML as random_merge makes it; blanks and line ends do not count. Tags stay."""
    html = re.sub(r'<a href="([^"]*)" title="[^"]*">x</a>', r"x(\1)", html)
    return re.sub("</?[pb]>", "", html).replace("&amp;", "&")


def without_blanks(text):
    return "".join(text.split())


class Parts:
    """`maker`: a random_merge.Maker. The message to feed is .fed."""

    def __init__(self, maker, dice):
        domain = dice.choice(maker.authors)
        self.author = domain
        self.fields = [self._mailbox(maker, dice, "From", "news", domain),
                       Field("text", "Subject", maker.text(HEADER_NAMES, dice.randint(0, 4)).replace("\t", " ").strip())]
        self.fed = {"from": self.fields[0].template, "subject": self.fields[1].template, "headers": {}}
        if dice.random() < 0.5:
            self.fields.append(maker.mailbox("To", "{{to}}"))
            self.fed["to"] = self.fields[-1].template
        else:
            self.fields.append(Field("mailbox", "To", "{{name}} <{{to}}>", "{{name}}", "{{to}}"))
        if dice.random() < 0.4:
            self.fields.append(self._mailbox(maker, dice, "Reply-To", "answers", "walk.test"))
            self.fed["reply_to"] = self.fields[-1].template
        for name, kind, value in (("X-Campaign", "text", "spr\u00efng {{index}} {{city}}"), ("Comments", "text", "for {{first}}"),
                                  ("Message-ID", "exact", "<{{batch}}.{{index}}@walk.test>"),
                                  ("Date", "exact", "Mon, 02 Jan 2023 03:04:05 +0000")):
            if dice.random() < 0.4:
                self.fields.append(Field(kind, name, value))
                self.fed["headers"][name] = value
        self._unsubscribe(dice)
        self._bodies(maker, dice)
        self.attachments = [self._attachment(dice, number) for number in range(dice.choice((0, 0, 1, 3)))]
        if self.attachments:
            self.fed["attachments"] = self.attachments

    @staticmethod
    def _mailbox(maker, dice, name, local, domain):
        """Names without variables of their own, too, in front of addresses with and without."""
        address = local + dice.choice(("@", "+{{index}}@", "+{{index}}@")) + domain
        if dice.random() < 0.6:
            return maker.mailbox(name, address)
        shown = dice.choice(("M\u00fcller", "Gr\u00fc\u00dfe von uns allen, " * 4 + "bald", "Walk & Co."))
        quoted = '"%s"' % shown if "," in shown or "." in shown else shown
        return Field("mailbox", name, "%s <%s>" % (quoted, address), shown, address)

    def _unsubscribe(self, dice):
        if dice.random() < 0.5:
            return
        self.fed["unsubscribe"] = {"url": "https://walk.test/u?t={{token}}&c={{city|x}}"}
        value = "<https://walk.test/u?t={{token}}&c={{city|x}}>"
        if dice.random() < 0.5:
            self.fed["unsubscribe"]["mailto"] = "u@walk.test?subject={{token}}"
            value += ",\r\n <mailto:u@walk.test?subject={{token}}>"
        self.fields.append(Field("uri", "List-Unsubscribe", value))
        self.fields.append(Field("exact", "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))

    def _bodies(self, maker, dice):
        ends = dice.choice(("\n", "\r\n"))
        self.bodies = {}
        for kind in dice.choice((("text",), ("html",), ("text", "html"))):
            body = maker.body(kind == "html", BODY_FIT) or "x\r\n"
            if dice.random() < 0.5:  # else all HTML is quoted-printable
                body = body.replace("{{{", "{{").replace("}}}", "}}")
            if dice.random() < 0.3:
                body += LONG * dice.choice((1, 8, 13, 26, 60)) + "\r\n"
            self.bodies[kind] = body
            self.fed[kind] = body.replace("\r\n", ends)

    @staticmethod
    def _attachment(dice, number):
        content = bytes(dice.randrange(256) for _ in range(dice.choice((0, 1, 57, 58, 3000))))
        made = {"name": dice.choice(("a%d.bin", "Gr\u00fc\u00dfe %d.pdf", 'the "%d".txt', "x" * 70 + "-%d.png")) % number,
                "type": dice.choice(("application/octet-stream", "application/pdf", "image/png")),
                "base64": base64.b64encode(content).decode()}
        if dice.random() < 0.3:
            made["cid"] = "picture%d@walk.test" % number
        return made

    def rendered(self, values):
        return RenderedParts(self, values)


class RenderedParts:
    """What must arrive."""

    def __init__(self, parts, values):
        self.fields = [wanted_field(field, values) for field in parts.fields]
        self.attachments, self.author = parts.attachments, parts.author
        self.bodies = {}
        for kind, template in parts.bodies.items():
            self.bodies[kind] = merge_rules.in_body(template, values, kind == "html")
            merge_rules.check_lines(self.bodies[kind].replace(LONG, ""), [])
        self.derived = None
        if "text" not in parts.bodies:
            self.derived = merge_rules.in_body(text_of(parts.bodies["html"]), values)
        names = {name for _, name, _ in self.fields}
        self.has_date, self.has_id = "Date" in names, "Message-ID" in names
        self.needs = any(kind == "mailbox" and not wanted[1].isascii() for kind, _, wanted in self.fields)

    def faults(self, content, seven_bit):
        found = ["8-bit"] if seven_bit and not content.isascii() else []
        fields = {}
        for name, value in fields_of(content)[0]:
            fields.setdefault(name.decode(), []).append(value)
        for kind, name, wanted in self.fields:
            there = fields.pop(name, [])
            found += field_faults(kind, name, wanted, there[0]) if len(there) == 1 else ["%s: %s" % (name, there)]
        more = set(fields) - {"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
        if more:
            found.append("more fields: %s" % more)
        message = email.message_from_bytes(content, policy=email.policy.default)
        leaves = [part for part in message.walk() if not part.is_multipart()]
        texts = {"text": [], "html": []}
        attached = []
        for leaf in leaves:
            if leaf.get_content_disposition() in ("attachment", "inline"):
                attached.append(leaf)
            else:
                texts[{"text/plain": "text", "text/html": "html"}[leaf.get_content_type()]].append(leaf)
        if self.derived is not None:
            read = [part.get_payload(decode=True).decode() for part in texts.pop("text")]
            if [without_blanks(text) for text in read] != [without_blanks(self.derived)]:
                found.append("derived: %r, not %r" % (read, self.derived))
        for kind, parts in texts.items():
            read = [part.get_payload(decode=True).decode(part.get_content_charset("us-ascii")) for part in parts]
            wanted = [self.bodies[kind]] if kind in self.bodies else []
            if [text.rstrip("\r\n") for text in read] != [text.rstrip("\r\n") for text in wanted]:
                found.append("%s: %r, not %r" % (kind, read, wanted))
        return found + self.attachment_faults(attached)

    def attachment_faults(self, attached):
        read = [(part.get_filename(), part.get_content_type(), part.get_payload(decode=True),
                 (part["Content-ID"] or "").strip()) for part in attached]
        wanted = [(each["name"], each["type"], base64.b64decode(each["base64"]),
                   "<%s>" % each["cid"] if "cid" in each else "") for each in self.attachments]
        return [] if sorted(read) == sorted(wanted) else ["attachments: %r, not %r" % (read, wanted)]
