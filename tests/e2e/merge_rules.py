"""What merging makes of a text, a second time: from the rules that feeders are given, not from the
engine's code. Texts are str here."""

import re
import urllib.parse

TAG = re.compile(r'\{\{"\{\{"\}\}|\{\{\{(?P<raw>[^{}\r\n]*)\}\}\}|\{\{(?P<sign>[#^/]?)(?P<inside>[^{}\r\n]*)\}\}')
ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
NO_ATOMS = set(' \t()<>[]:;@\\,"')
DOT_ATOM = re.compile(r"[^\s()<>\[\]:;@\\,\".]+(\.[^\s()<>\[\]:;@\\,\".]+)*")
LINE_MOST = 998  # RFC 5321 section 4.5.3.1.6


class Refused(Exception):
    """This recipient's message must not be made."""


class LineTooLong(Refused):
    pass


class Values:
    """What a recipient's variables are: its own, else what is always there, else the batch's."""

    def __init__(self, line, index, batch):
        self.own, self.of_batch = line.get("vars", {}), batch.get("vars", {})
        self.always = {"to": line["to"], "name": line.get("name", ""), "id": line.get("id", ""),
                       "batch": batch["batch"], "index": str(index)}

    def find(self, name):
        """None: undefined."""
        if name in self.own:
            return as_text(self.own[name])
        if self.always.get(name):
            return self.always[name]
        if name in self.of_batch:
            return as_text(self.of_batch[name])
        return self.always.get(name)


def as_text(value):
    """Strings as they are; numbers and booleans as they are written."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def expand(text, values, put):
    """put(value, raw) is what goes in for a value."""
    out, included = [], [True]
    end = 0
    for tag in TAG.finditer(text):
        if included[-1]:
            out.append(text[end:tag.start()])
        end = tag.end()
        name, bar, default = (tag["raw"] or tag["inside"] or "").partition("|")
        name = name.strip(" ")
        if tag["sign"] == "/":
            included.pop()
        elif tag["sign"]:
            there = bool(values.find(name))
            included.append(included[-1] and there == (tag["sign"] == "#"))
        elif included[-1] and tag["inside"] is None and tag["raw"] is None:
            out.append("{{")
        elif included[-1]:
            value = values.find(name)
            if value is None or (not value and bar and name in ("name", "id")):
                value = default if bar else value
            if value is None:
                raise Refused(name + " is not defined")
            out.append(put(value, tag["raw"] is not None))
    return "".join(out) + text[end:]


def in_body(text, values, html=False):
    def put(value, raw):
        if "\0" in value:
            raise Refused("NUL")
        if html and not raw:
            value = "".join(ESCAPES.get(c, c) for c in value)
        return re.sub("\r\n|\r|\n", "\r\n", value)
    return expand(text, values, put)


def in_header(text, values):
    """The text that a reader is shown, of an unstructured field or a display name."""
    def put(value, raw):
        if CONTROLS.search(value):
            raise Refused("a control byte in the header")
        return value
    return expand(text, values, put)


def in_address(text, values):
    """Of one mailbox, without its brackets: where the @ is constant, values have atoms and dots."""
    to = values.find("to")
    at_sign = "@" in TAG.sub("", text)

    def put(value, raw):
        if CONTROLS.search(value) or (value is not to and set(value) & set(' \t<>,;"()')):
            raise Refused("no part of an address")
        if at_sign and not NO_ATOMS.isdisjoint(value):
            raise Refused("more than a part of an address")
        return value
    made = expand(text, values, put)
    local, _, domain = made.rpartition("@")
    if not DOT_ATOM.fullmatch(domain) or not (DOT_ATOM.fullmatch(local) or (local[:1] == '"' and made == to)):
        raise Refused("no address")
    return made


def in_identifier(text, values):
    """Within <...> of a Message-ID."""
    def put(value, raw):
        if CONTROLS.search(value) or set(value) & set(' \t<>,;"()'):
            raise Refused("no part of a Message-ID")
        return value
    return expand(text, values, put)


def in_uri(text, values):
    """Values do not begin the URIs here: they are components."""
    def put(value, raw):
        if CONTROLS.search(value):
            raise Refused("a control byte in the header")
        return urllib.parse.quote(value, safe="")
    return expand(text, values, put)


def check_lines(text, boundaries):
    """Of a part's text: what no value may make."""
    for line in text.split("\r\n"):
        if len(line.encode()) > LINE_MOST:
            raise LineTooLong
        if any(line.startswith("--" + boundary) for boundary in boundaries):
            raise Refused("a boundary")
