"""Messages with variables, at random: raw ones with text and HTML in parts, and what each recipient must
get of them, by merge_rules."""

import collections
import email.header
import email.utils
import re
from email.errors import NonASCIILocalPartDefect
from email.headerregistry import HeaderRegistry

import merge_rules
from mime_messages import parts_of, same_types
from signature_judges import fields_of

# kind: "text", "mailbox", "uri", "exact"; template: of what stands behind the colon; of a mailbox also
# shown: of the name that is shown, and of its address.
Field = collections.namedtuple("Field", "kind name template shown address", defaults=(None, None))

WORDS = ("mail", "spring", "offer", "a", "of", "Gr\u00fc\u00dfe", "\u65e5\u672c\u8a9e", "na\u00efve", "..", ".", "--", "-- ",
         "From ", "&amp;", "<b>", "=3D", "=", "x" * 70, "\t", "50 %", "{ ", "}", "QUIT", "\U0001f600")
# What people write into databases, and what would harm if it were taken for more than a text.
FIT_FOR_HEADERS = ("Ada", "Ada Lovelace", "J\u00f6rg M\u00fcller", "\u65e5\u672c\u8a9e", "O'Hara", 'the "great"', "a, b; c", "back\\slash",
                   "<b>bold</b>", "R&D", "<x@evil.test>", "Bcc: victim@evil.test", "(comment", "@", ".", "..",
                   "DATA", "{{id}}", "{{", "\u00e9" * 120, "name " * 12 + "end", "a  b", "100%", "\U0001f600 smile", "-")
FIT_FOR_BODIES = FIT_FOR_HEADERS + (
    ".", ".\n.", "\n.\n", "\r\n.\r\nMAIL FROM:<x@evil.test>\r\n", ".\r.\r", "\n\n", "a\nb\rc\r\nd",
    "\nBcc: victim@evil.test\n", "two\n..\nlines\n.", "<script>alert('x')</script>\n", "tab\there", "\x7f\x01",
    "w\u00f6rter " * 40, "RSET\r\nQUIT\r\n", ".\u00e4")
UNFIT_FOR_HEADERS = ("x\nBcc: victim@evil.test", "x\r\n\r\nbody", "a\rb", "nul\0", "bell\a", "\x7f")
HEADER_NAMES, BODY_NAMES = ("first", "last", "city", "token"), ("lines", "quote", "more", "first", "city")


class Part:
    """A leaf of text: its header is constant."""

    def __init__(self, head, template, html):
        self.head, self.template, self.html = head, template, html

    def fed(self):
        return self.head + "\r\n" + self.template

    def rendered(self, values, boundaries):
        """boundaries: of all multiparts that variables are in, for no line that a value makes may look like one."""
        text = merge_rules.in_body(self.template, values, self.html)
        merge_rules.check_lines(text, boundaries)
        return self.head + "\r\n" + text

    def boundaries(self):
        return []


class Multipart:
    def __init__(self, head, boundary, parts):
        self.head, self.boundary, self.parts = head, boundary, parts

    def _joined(self, texts):
        mark = "--" + self.boundary
        return self.head + "\r\n" + "".join(mark + "\r\n" + text + "\r\n" for text in texts) + mark + "--\r\n"

    def fed(self):
        return self._joined([part.fed() for part in self.parts])

    def rendered(self, values, boundaries):
        return self._joined([part.rendered(values, boundaries) for part in self.parts])

    def boundaries(self):
        """Of those that variables are in: into others nobody looks, and none of their parts can be ended."""
        if "{{" not in self.fed():
            return []
        return [self.boundary] + [each for part in self.parts for each in part.boundaries()]


class Maker:
    """`authors`: domains of From."""

    def __init__(self, dice, authors):
        self.dice, self.authors = dice, authors
        self.boundaries = []  # of all multiparts that were made

    # --- templates -------------------------------------------------------------------------------

    def tag(self, names, raw):
        name = self.dice.choice(names)
        forms = ["{{%s}}", "{{ %s }}", "{{%s|friend}}", "{{gone%s|}}", "{{gone%s|nobody, \u00fc}}", '{{"{{"}}%s', "{{index}}",
                 "{{%s}}"]
        if raw:
            forms.append("{{{%s}}}")
        form = self.dice.choice(forms)
        return form % name if "%s" in form else form

    def section(self, names, inside, raw):
        name = self.dice.choice(names + ("gone", "empty", "name", "maybe"))
        return "{{%s%s}}%s{{/%s}}" % (self.dice.choice("#^"), name, inside, name)

    def text(self, names, count, raw=False, depth=0):
        out = ""
        for _ in range(count):
            pick = self.dice.random()
            if pick < 0.25:
                out += self.tag(names, raw)
            elif pick < 0.35 and depth < 3:
                out += self.section(names, self.text(names, self.dice.randint(0, 3), raw, depth + 1), raw)
            else:
                out += self.dice.choice(WORDS) + self.dice.choice((" ", " ", ""))
        return out

    def body(self, html, names=BODY_NAMES):
        lines = [self.dice.choice((".", "", "", "..")) + self.text(names, self.dice.randint(0, 8), html)
                 for _ in range(self.dice.choice((0, 1, 5, 30)))]
        lines = [line if len(line.encode()) < 800 else "short" for line in lines]
        if self.dice.random() < 0.3:  # a section over lines
            lines = ["{{#maybe}}"] + lines + ["{{/maybe}}.", "{{^maybe}}none", ".{{/maybe}}"]
        if self.dice.random() < 0.1:
            lines.append("{{rare}}")
        if html:
            lines = ["<p>%s</p>" % line if self.dice.random() < 0.5 else line for line in lines]
            lines.append('<a href="https://walk.test/?q={{token}}&amp;t=\'{{{token}}}\'" title="{{quote}}">x</a>')
        return "".join(line + "\r\n" for line in lines)

    def leaf(self, inner):
        html = self.dice.random() < 0.5
        kind = "text/html; charset=utf-8" if html else self.dice.choice(
            ("text/plain; charset=utf-8", "text/plain;\r\n\tcharset=\"UTF-8\"; format=flowed"))
        head = "Content-Type: %s\r\nContent-Transfer-Encoding: 8bit\r\n" % kind
        template = self.body(html)
        return Part(head, template[:-2] if inner and template else template, html)

    def tree(self, depth=0):
        if depth == 2 or self.dice.random() < (0.4, 0.7)[depth]:
            return self.leaf(depth > 0)
        boundary = self.dice.choice(("frontier_%d", "=_%d_x", "b %d'()+_,./:=?")) % len(self.boundaries)
        self.boundaries.append(boundary)
        head = 'Content-Type: multipart/%s; boundary="%s"\r\n' % (
            self.dice.choice(("alternative", "mixed", "related")), boundary)
        return Multipart(head, boundary, [self.tree(depth + 1) for _ in range(self.dice.randint(1, 3))])

    # --- fields ----------------------------------------------------------------------------------

    def mailbox(self, name, address):
        shown = self.dice.choice(("", "{{first}}", "Dear {{first}} {{last}}", "{{#name}}{{name}}{{/name}}{{^name}}You{{/name}}",
                                  "{{name}}", "M\u00fcller {{last|x}}", "Walk"))
        quoted = shown and self.dice.random() < 0.3 and not shown.startswith("M")
        template = ('"%s" ' % shown if quoted else shown + " " if shown else "") + "<%s>" % address
        if not shown and self.dice.random() < 0.5:
            template = address
        return Field("mailbox", name, template, shown, address)

    def fields(self):
        domain = self.dice.choice(self.authors)
        vary = self.dice.random() < 0.3
        made = [self.mailbox("From", "news@{{domain}}" if vary else "news@" + domain),
                self.mailbox("To", "{{to}}"),
                Field("text", "Subject", self.text(HEADER_NAMES, self.dice.randint(0, 4)).replace("\t", " ").strip())]
        self.author = None if vary else domain
        if self.dice.random() < 0.5:
            made.append(Field("exact", "Message-ID", "<{{batch}}.{{index}}@walk.test>"))
        if self.dice.random() < 0.5:
            made.append(Field("exact", "Date", "Mon, 02 Jan 2023 03:04:05 +0000"))
        if self.dice.random() < 0.5:
            made.append(Field("uri", "List-Unsubscribe", "<https://walk.test/u?t={{token}}&c={{city|x}}>,\r\n <mailto:u@walk.test?subject={{token}}>"))
            made.append(Field("exact", "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        if self.dice.random() < 0.3:
            made.append(Field("text", "Comments", "to {{first}}\r\n\tand {{#maybe}}{{last}}{{/maybe}}{{^maybe}}no one{{/maybe}}\r\n of {{city}}."))
        if self.dice.random() < 0.3:
            made.append(Field("text", "X-Campaign", "spring {{index}}"))
        self.dice.shuffle(made)
        return made + [Field("exact", "MIME-Version", "1.0")]

    def message(self):
        fields = self.fields()
        return Message(fields, self.tree(), self.author)

    # --- recipients ------------------------------------------------------------------------------

    def variables(self):
        made = {name: self.dice.choice(FIT_FOR_HEADERS) for name in HEADER_NAMES}
        made["domain"] = self.dice.choice(self.authors)
        made.update((name, self.dice.choice(FIT_FOR_BODIES)) for name in BODY_NAMES if name not in HEADER_NAMES)
        made["empty"] = ""
        if self.dice.random() < 0.5:
            made["maybe"] = self.dice.choice(("yes", 7, True, "\n"))
        if self.dice.random() < 0.7:
            made["rare"] = "rare"
        if self.dice.random() < 0.05:
            made[self.dice.choice(HEADER_NAMES)] = self.dice.choice(UNFIT_FOR_HEADERS)
        if self.boundaries and self.dice.random() < 0.1:
            made["lines"] = self.dice.choice(("\n--%s\n", "\n--%s--\n\n", "\n--%sx\n")) % self.dice.choice(self.boundaries[-3:])
        if self.dice.random() < 0.03:
            made["domain"] = self.dice.choice(("a@b.test", "x:y", "[192.0.2.1]", "", "a..b", "x y", "<x>"))
        if self.dice.random() < 0.05:
            made[self.dice.choice(HEADER_NAMES)] = "=?utf-8?Q?a=0D=0ABcc:_v=40x?="
        if self.dice.random() < 0.03:
            made["quote"] = "long" * 250
        return made


class Message:
    def __init__(self, fields, tree, author):
        self.fields, self.tree = fields, tree
        self.author = author  # domain of From; None: {{domain}}
        self.has_date, self.has_id = (any(f.name == name for f in fields) for name in ("Date", "Message-ID"))

    def fed(self):
        return "".join("%s: %s\r\n" % (f.name, f.template) for f in self.fields) + self.tree.fed()

    def rendered(self, values):
        return Rendered(self, values)


def unfolded(value):
    return value.replace(b"\r\n", b"").strip(b" \t").decode()


def wanted_field(field, values):
    """(kind, name, what a reader must be shown) of a Field."""
    if field.kind == "mailbox":
        shown = " ".join(merge_rules.in_header(field.shown, values).split())
        return "mailbox", field.name, (shown, merge_rules.in_address(field.address, values))
    if field.kind == "uri":
        text = merge_rules.in_uri(field.template, values)
        if len(field.name) + 2 + len(text.split("\r\n")[0]) > merge_rules.LINE_MOST:
            raise merge_rules.Refused("a line of the header is too long")
        return "exact", field.name, text.replace("\r\n", "")
    if field.kind == "exact":
        return "exact", field.name, merge_rules.in_identifier(field.template, values)
    text = merge_rules.in_header(field.template, values)
    return "text", field.name, re.sub(r"\r\n|^[ \t]+|[ \t]+$", "", text)


def field_faults(kind, name, wanted, value):
    """What is wrong with the value of a field that arrived."""
    line_most = max(len(line) for line in (name.encode() + b":" + value).split(b"\r\n"))
    if line_most > merge_rules.LINE_MOST or (b"=?" in value and line_most > 76):
        return ["%s: a line of %d octets: %r" % (name, line_most, value)]
    text = unfolded(value)
    if kind == "exact":
        return [] if text == wanted else ["%s: %r, not %r" % (name, text, wanted)]
    read = HeaderRegistry()(name, text)
    found = ["%s: %r: %r" % (name, value, defect) for defect in read.defects
             if not isinstance(defect, NonASCIILocalPartDefect)]
    if kind == "text":
        shown = str(read).strip(" \t")
        return found if shown == wanted else found + ["%s: shown as %r, not %r: %r" % (name, shown, wanted, value)]
    # Of a name in several encoded words the newer parser takes the blanks between them for text.
    shown, address = email.utils.parseaddr(text)
    shown = " ".join(str(email.header.make_header(email.header.decode_header(shown))).split()), address
    return found if shown == wanted and len(read.addresses) == 1 else found + ["%s: shown as %r, not %r: %r" % (name, shown, wanted, value)]


class Rendered:
    """What must arrive."""

    def __init__(self, message, values):
        self.fields = [wanted_field(field, values) for field in message.fields]
        head, _, body = message.tree.rendered(values, message.tree.boundaries()).partition("\r\n\r\n")
        self.head, self.body = head.encode() + b"\r\n", body.encode()
        self.author = message.author or values.find("domain")
        # A field without variables goes as it was fed.
        self.needs = any(kind == "mailbox" and not wanted[1].isascii() for kind, _, wanted in self.fields) or \
            any("{{" not in field.template and not field.template.isascii() for field in message.fields)
        self.has_date, self.has_id = message.has_date, message.has_id

    def faults(self, content, seven_bit):
        """What is wrong with what arrived, less what was put in front."""
        fields, body = fields_of(content)
        found = []
        mine = [(name.decode(), value) for name, value in fields]
        for (kind, name, wanted), (name_there, value) in zip(self.fields, mine):
            if name != name_there:
                return ["%s, not %s" % (name_there, name)]
            found += field_faults(kind, name, wanted, value)
        rest = b"".join(name + b":" + value + b"\r\n" for name, value in fields[len(self.fields):])
        # Bytes over 127 in a section that is left out are reason enough to encode a message anew.
        if seven_bit and (rest, body) != (self.head, self.body):
            whole, wanted = rest + b"\r\n" + body, self.head + b"\r\n" + self.body
            same = parts_of(whole) == parts_of(wanted) and same_types(whole, wanted)
            return found + ([] if same and body.isascii() else ["%r, not %r" % (whole, wanted)])
        if rest != self.head:
            found.append("%r, not %r" % (rest, self.head))
        if body != self.body:
            at = next((i for i, (a, b) in enumerate(zip(body, self.body)) if a != b), min(len(body), len(self.body)))
            found.append("from octet %d of the body: %r, not %r" % (at, body[at - 20:at + 40], self.body[at - 20:at + 40]))
        return found
