"""The mail of bench/compare's merge cases: one HTML template with ten variables, and what it becomes for
each recipient."""

import hashlib
import html
import random
import re

# A recipient's values are as long as every other's: each rendering has the same size.
WORDS = {
    "first": ("Alice", "Bruno", "Carla", "Diego", "Elena", "Felix", "Greta", "Henry", "Irene", "Jonas"),
    "last": ("Archer", "Becker", "Conway", "Duarte", "Engels", "Fraser", "Garcia", "Hughes", "Ibarra"),
    "city": ("London", "Madrid", "Vienna", "Lisbon", "Dublin", "Prague", "Athens"),
    "company": ("Hill & Sons", "Reed & Sons", "Wood & Sons"),
    "product": ("lantern", "bicycle", "teapots", "cameras", "sandals"),
}

HEAD = """\
From: Bench <news@bench.test>
To: {{first}} {{last}} <{{to}}>
Subject: {{first}}, your {{product}} and {{points}} points
Date: Mon, 02 Jun 2025 10:00:00 +0000
Message-ID: <{{id}}@bench.test>
List-Unsubscribe: <https://bench.test/leave/{{token}}>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
MIME-Version: 1.0
Content-Type: text/html; charset=us-ascii

<!DOCTYPE html>
<html><head><title>News of the comparison</title></head>
<body>
"""
GREETING = """\
<p>Dear {{first}} {{last}} in {{city}},</p>
"""
MIDDLE = """\
<p>Those of {{company}} have chosen the {{product}} for you, at {{price}} EUR.</p>
<p>It is kept under {{code}} until {{until}}; your points are {{points}} now.</p>
"""
END = """\
<p><a href="https://bench.test/order/{{token}}">To the order, {{first}}</a>.
<a href="https://bench.test/leave/{{token}}">No more of this to {{to}}</a></p>
"""
FOOT = """\
</body></html>
"""
LINE = 78  # with CR LF
TAG = re.compile(r"{{(\w+)}}")


def values(index):
    """The ten variables of a recipient."""
    found = {name: words[index % len(words)] for name, words in WORDS.items()}
    digest = hashlib.sha256(b"%d" % index).hexdigest()
    found.update(price="%03d.%02d" % (index % 900 + 100, index % 100), points="%05d" % (index % 100_000),
                 code=digest[:12], until="2026-%02d-%02d" % (index % 12 + 1, index % 28 + 1), token=digest[-32:])
    return found


class MergedMail:
    """A template whose renderings have `size` octets. recipient_of(index) is an address. With a constant
    body, variables are in the header only."""

    def __init__(self, size, recipient_of, constant_body=False):
        self.recipient_of = recipient_of
        greeting, middle, end = ("", "", FOOT) if constant_body else (GREETING, MIDDLE, END + FOOT)
        self._cut(HEAD, greeting, middle, end)
        missing = size - len(self.render(0))
        if missing < 4:
            raise ValueError("%d octets are too few for this mail" % size)
        dice = random.Random(7)
        before = missing // 2 if missing // 2 >= 2 else 0
        self._cut(HEAD, greeting, filler(before, dice), middle, filler(missing - before, dice), end)

    def _cut(self, *parts):
        self.template = "".join(parts).replace("\r\n", "\n").replace("\n", "\r\n")
        body = self.template.index("\r\n\r\n")
        self._pieces, end = [], 0  # (text, name of the variable behind it, whether it is in HTML)
        for tag in TAG.finditer(self.template):
            self._pieces.append((self.template[end:tag.start()], tag[1], tag.start() > body))
            end = tag.end()
        self._rest = self.template[end:]

    def header_octets(self):
        """Of each rendering, with the empty line."""
        return self.render(0).index("\r\n\r\n") + 4

    def render(self, index):
        plain = dict(values(index), to=self.recipient_of(index), id="%09d" % index)
        escaped = {name: html.escape(value) for name, value in plain.items()}
        text = [part for before, name, in_html in self._pieces
                for part in (before, (escaped if in_html else plain)[name])]
        return "".join(text) + self._rest

    def write_contents(self, path, messages):
        """A file as `bare --contents` wants it."""
        with open(path, "w", newline="") as file:
            for index in range(messages):
                file.write(self.render(index) + ".\r\n")


def filler(octets, dice):
    """Lines of words, some of them indented as HTML is; `octets` is none, or 2 at least."""
    text = []
    while octets > 0:
        line = octets if octets < LINE + 3 else LINE
        text.append(words(line - 2, dice) + "\r\n")
        octets -= line
    return "".join(text)


def words(octets, dice):
    """As many octets; neither the first nor the last of a line's own text is a blank."""
    indent = min(dice.choice((0, 0, 0, 2, 4)), max(octets - 1, 0))
    letters = dice.choices("abcdefghijklmnopqrstuvwxyz", k=octets - indent)
    at = dice.randint(2, 9)
    while at < len(letters) - 1:
        letters[at] = " "
        at += dice.randint(3, 10)
    return " " * indent + "".join(letters)
