"""Messages with bytes over 127 in their bodies, at random, and what Python's email makes of them."""

import email
import email.policy

WORDS = ("Grüße", "naïve", "mail", "日本語", "=3D", "--", "-", "..", ".", "From ", "a b", "\t", " ",
         "=", "x" * 90, "ÿ" * 60, "--frontier", "0")


# As some write them, and all read them.
ODD_TYPES = ("text", "text/plain; charset=utf-8 x; format=flowed", "text/plain;; name=a/b; charset=utf-8",
             'TEXT/Plain;charset="utf-8" (of old);\r\n\tdelsp=yes;')


class Maker:
    """A message from one seeded random source."""

    def __init__(self, random):
        self.random = random
        self.boundaries = 0

    def text(self):
        lines = []
        for _ in range(self.random.choice((0, 1, 3, 40))):
            line = "".join(self.random.choice(WORDS) for _ in range(self.random.randrange(8)))
            lines.append(line.encode(self.random.choice(("utf-8", "utf-8", "latin-1")), "replace"))
        return b"\r\n".join(lines)

    def octets(self):
        """What may be in a message of lines: no NUL, no bare CR or LF, not too long."""
        some = bytes(self.random.choice(b"\x01\x7f\xff\xfe ~=\t-") for _ in range(300))
        return b"\r\n".join(some[i:i + 70] for i in range(0, len(some), 70))

    def header(self, kind, encoding):
        named = [b"Content-Type: " + kind.encode()] if kind else []
        if encoding:
            spelled = self.random.choice((encoding, encoding.upper(), encoding + " (so it is)"))
            named.append(b"Content-transfer-encoding:" + self.random.choice((b" ", b"", b"\r\n "))
                         + spelled.encode())
        self.random.shuffle(named)
        return b"".join(line + b"\r\n" for line in named)

    def leaf(self):
        kind = self.random.choice(("text/plain; charset=utf-8", "text/html", "", "image/png",
                                   'text/plain; charset="utf-8"; name="a;b"', *ODD_TYPES,
                                   "application/octet-stream"))
        if self.random.randrange(8) == 0:  # the line end of its last field is the delimiter's
            return self.header(kind, self.random.choice(("8bit", "7bit", "")))[:-2]
        body = self.text() if not kind or kind.startswith("text") else self.octets()
        ascii_only = all(c < 128 for c in body)
        encoding = self.random.choice(("8bit", "8bit", "7bit" if ascii_only else "8bit", ""))
        return self.header(kind, encoding) + b"\r\n" + body

    def multipart(self, depth):
        self.boundaries += 1
        boundary = "%s=_%d" % (self.random.choice(("frontier", "-", "b'()+_,./:=?")),
                               self.boundaries)
        kind = self.random.choice(("mixed", "alternative", "digest"))
        spelled = '"%s"' % boundary
        head = self.header("multipart/%s;%sboundary=%s" % (
            kind, self.random.choice((" ", "\r\n\t", "")), spelled),
            self.random.choice(("8bit", "")))
        parts = [self.header("", "") + b"\r\n" + self.message(depth + 1) if kind == "digest"
                 else self.part(depth + 1) for _ in range(self.random.randrange(1, 4))]
        mark = b"--" + boundary.encode()
        out = head + b"\r\n" + self.random.choice((b"", b"This is MIME.\r\n"))
        for part in parts:
            out += mark + self.random.choice((b"", b" ")) + b"\r\n" + part + b"\r\n"
        return out + mark + b"--" + self.random.choice((b"", b"\r\nThe end."))

    def part(self, depth):
        what = self.random.randrange(5)
        if depth < 4 and what == 0:
            return self.multipart(depth)
        if depth < 4 and what == 1:
            return self.header("message/rfc822", self.random.choice(("8bit", ""))) + b"\r\n" \
                + self.message(depth + 1)
        return self.leaf()

    def message(self, depth=0):
        front = b"From: a@walk.test\r\nSubject: s\r\n" + self.random.choice(
            (b"", b"MIME-Version: 1.0\r\n"))
        return front + self.part(depth)


def parts_of(raw):
    """Types and decoded bytes of all parts, as a reader of the message sees them. A part that does
    not say what it is may be told."""
    found = []
    for part in email.message_from_bytes(raw, policy=email.policy.compat32).walk():
        if part.is_multipart():
            found.append((part.get_content_type(), part.preamble, part.epilogue))
        else:
            found.append((part.get_content_type(), part.get_payload(decode=True)))
    return found


def types_of(raw):
    """Types of all parts with their parameters; None for what does not say what it is."""
    return [part.get_params() if "Content-Type" in part else None
            for part in email.message_from_bytes(raw, policy=email.policy.compat32).walk()]


def same_types(arrived, wanted):
    """Of two messages: whether each part that says what it is still says so, in every parameter."""
    pairs = list(zip(types_of(arrived), types_of(wanted), strict=True))
    return all(theirs in (None, ours) for ours, theirs in pairs)


def headers_of(raw):
    """Of all parts, without what may be changed."""
    changed = {"mime-version", "content-transfer-encoding", "content-type"}
    return [[(name, str(value)) for name, value in part.items() if name.lower() not in changed]
            for part in email.message_from_bytes(raw, policy=email.policy.compat32).walk()]
