"""Batches of random shape, and who must get what of them, signed by whom."""

import base64
import collections
import email
import email.policy
import random

import merge_rules
import mime_messages
import random_merge
import random_parts
import varied_mail
from mime_messages import headers_of, parts_of, same_types
from signature_judges import dkim, fields_of

# ours, theirs: marks of who must have signed it, here and before it was fed. added: fields put in front of it by us, in order. judge(rest, seven_bit):
# what is wrong with the rest. needs: whether its host must know
# SMTPUTF8.
Wanted = collections.namedtuple("Wanted", "batch ours theirs added judge needs")
FORMS = ("plain", "unclean", "mime", "utf8", "fed_signed", "merged", "merged", "merged", "merged_own", "own", "parts",
         "parts", "parts_own", "mended")
VARIED = (varied_mail.plain, varied_mail.plain, varied_mail.eight_bit, varied_mail.dots, varied_mail.long_lines,
          varied_mail.only_header, varied_mail.without_body, varied_mail.only_empty_lines, varied_mail.long_header)


class Fixed:
    """A message that arrives as it was fed."""

    def __init__(self, content, author, marks=(), needs=False):
        self.content, self.author, self.marks, self.needs = content, author, list(marks), needs
        names = {name.lower() for name, _ in fields_of(content)[0]}
        self.has_date, self.has_id = b"date" in names, b"message-id" in names

    def faults(self, content, seven_bit):
        if seven_bit and not self.content.isascii():
            same = content.isascii() and parts_of(content) == parts_of(self.content) and \
                headers_of(content) == headers_of(self.content) and same_types(content, self.content)
        else:
            same = content == self.content
        return [] if same else ["%r, not %r" % (content[:2000], self.content[:2000])]


class Mended:
    """A message that the admission check mends: long lines, no charset, no MIME-Version."""
    author, marks, needs = "walk.test", [], False

    def __init__(self, dice, name):
        self.has_date, self.has_id = True, True
        lines = ["Gr\u00fc\u00dfe " * dice.choice((1, 20)), ".", "x" * dice.choice((10, 999, 3000)), ". ", "=20"]
        dice.shuffle(lines)
        self.text = "".join(line + "\r\n" for line in lines)
        self.fed = varied_mail.header(name, "List-Unsubscribe: <https://walk.test/u>") + self.text.encode()

    def faults(self, content, seven_bit):
        message = email.message_from_bytes(content, policy=email.policy.default)
        # Whether one click is enough only the feeder knows.
        wanted = {"MIME-Version": ["1.0"], "List-Unsubscribe": ["<https://walk.test/u>"], "List-Unsubscribe-Post": None}
        found = ["%s: %r" % (name, message.get_all(name)) for name, values in wanted.items()
                 if message.get_all(name) != values]
        charset, text = message.get_content_charset(), message.get_payload(decode=True)
        return found if (charset, text) == ("utf-8", self.text.encode()) else \
            found + ["%s: %r, not %r" % (charset, content[:600], self.text[:300])]


class Batches:
    """`identities`: of the engine. `feeder`: one more, by which messages are signed before they are fed.
    `domains`: of recipients; `takes_utf8` those of them whose hosts know SMTPUTF8."""

    def __init__(self, seed, identities, feeder, domains, takes_utf8):
        self.dice = random.Random(seed)
        self.identities, self.feeder, self.domains, self.takes_utf8 = identities, feeder, domains, takes_utf8
        self.authors = sorted({each.domain for each in identities}) + ["news.walk.test", "elsewhere.test"]
        self.merge = random_merge.Maker(self.dice, self.authors)
        self.mime = mime_messages.Maker(self.dice)
        self.number = 0

    def signers(self, named, author):
        """Those that are named, else those of the author's domain, else of one above it."""
        if named is not None:
            return [each.mark() for name in named for each in self.identities if each.name == name]
        while author and not (found := [each.mark() for each in self.identities if each.domain == author]):
            author = author.partition(".")[2]
        return found if author else []

    # --- messages --------------------------------------------------------------------------------

    def fixed(self, form, name):
        """What must arrive, and the bytes to feed."""
        dice = self.dice
        if form == "mime":
            front = dice.choice((b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n", b"")) + \
                dice.choice((b"Message-ID: <%s@walk.test>\r\n" % name.encode(), b""))
            content = front + b"X-Name: %s\r\n" % name.encode() + self.mime.message() + b"\r\n"
            return Fixed(content, "walk.test"), content
        if form == "utf8":
            content = varied_mail.plain(dice, name).replace(b"Subject: ", "Subject: Gr\u00fc\u00dfe, ".encode(), 1)
            return Fixed(content, "walk.test", needs=True), content
        if form == "fed_signed":
            content = varied_mail.plain(dice, name)
            signature = dkim.sign(content, self.feeder.settings["selector"].encode(), self.feeder.domain.encode(),
                                  self.feeder.key(), canonicalize=(b"relaxed", b"relaxed"))
            # An author whom nobody here signs for, but by name.
            return Fixed(signature + content, "elsewhere.test", [self.feeder.mark()]), signature + content
        if form == "mended":
            made = Mended(dice, name)
            return made, made.fed
        content = dice.choice(VARIED)(dice, name)
        if form == "unclean" and content.isascii():
            end = dice.choice((b"\n", b"\r"))
            # A bare CR is a line end in the body only.
            head, empty, body = content.partition(b"\r\n\r\n")
            if end == b"\n":
                head, empty = head.replace(b"\r\n", end), end + end
            fed = head + empty + body.replace(b"\r\n", end)
            if not body:
                return Fixed(content, "walk.test"), content
            return Fixed(content, "walk.test"), fed[:-1] if fed[-2] not in b"\r\n" and dice.random() < 0.5 else fed
        return Fixed(content, "walk.test"), content

    def template(self, form):
        """What makes messages, and how it is fed."""
        if form.startswith("parts"):
            made = random_parts.Parts(self.merge, self.dice)
            return made, made.fed
        made = self.merge.message()
        return made, {"raw": made.fed()}

    def merged(self, template, line, index, head):
        """For a recipient with these variables, which it gets here; None: it must be refused."""
        while True:
            line["vars"] = self.merge.variables()
            line.pop("name", None)
            if self.dice.random() < 0.6:
                line["name"] = self.dice.choice(random_merge.FIT_FOR_HEADERS)
            try:
                return template.rendered(merge_rules.Values(line, index, head))
            except merge_rules.LineTooLong:
                if "raw" in line.get("message", head.get("message")):
                    return None
                # Of parts lines may be encoded: whether that is a fault is not for us to say.
            except merge_rules.Refused:
                return None

    # --- batches ---------------------------------------------------------------------------------

    def recipients(self, count):
        for index in range(count):
            domain = self.dice.choice(self.domains)
            odd = domain in self.takes_utf8 and self.dice.random() < 0.05
            yield index, "%s%d-%d@%s" % ("\u00fc" if odd else "r", self.number, index, domain)

    def wanted(self, batch, rendered, named):
        own = getattr(rendered, "marks", [])
        author = None if own and named is None else rendered.author
        added = ["Received"] + [name for name, has in (("Date", rendered.has_date), ("Message-ID", rendered.has_id))
                                if not has]
        return Wanted(batch, self.signers(named, author), own, added, rendered.faults, rendered.needs)

    def next(self):
        """(lines to feed, {recipient: Wanted}, the lines that must be refused)"""
        dice = self.dice
        self.number += 1
        form = FORMS[self.number % len(FORMS)]
        name = "%s-%d" % (form, self.number)
        names = [each.name for each in self.identities]
        named = dice.choice((None, None, None, [], dice.sample(names, 1), dice.sample(names, dice.randint(2, 4))))
        head = {"batch": name, "sender": "bounce@walk.test", "vars": {"more": "of the batch", "empty": "x"}}
        if named is not None:
            head["dkim"] = named
        if form == "mended":
            head["tenant"] = "mended"
        merged, own = form.startswith(("merged", "parts")), form.endswith("own")
        if not form.startswith("parts"):  # which are merged unless the batch says otherwise
            head["merge"] = merged
        template = None
        if merged and not own:
            template, head["message"] = self.template(form)
        elif not own:
            message, content = self.fixed(form, name)
            head["message"] = as_message(content)
        lines, wanted, refused = [head], {}, set()
        for index, to in self.recipients(dice.choice((1, 2, 3, 8, 8, 30 if form == "plain" else 12))):
            line = {"to": to}
            lines.append(line)
            if merged:
                if own:
                    template, line["message"] = self.template(form)
                message = self.merged(template, line, index, head)
                if message is None:
                    refused.add(index + 2)
                    continue
            elif own:
                message, content = self.fixed(dice.choice(("plain", "mime", "unclean")), "%s-%d" % (name, index))
                line["message"] = as_message(content)
            wanted[to] = self.wanted(name, message, named)
        return lines, wanted, refused


def as_message(content):
    return {"raw_base64": base64.b64encode(content).decode()}
