"""Messages of all kinds, for tests that compare what arrives with what was fed, byte by byte.

Ports and programs are the tests'; here is only what is fed, and how what arrived is judged.
"""

import base64
import collections
import email
import email.policy
import random
import re
import shutil
import sys
import tempfile

from walk_case import SINK, VEREDUS, testzone, walk

DOMAIN = testzone.domain(0)
KIB = 1024

# name; content: what must arrive, byte by byte; eight_bit: has bytes over 127; recipients
Message = collections.namedtuple("Message", "name content eight_bit recipients")


def header(name, *more):
    fields = ["From: a@walk.test", "Message-ID: <%s@walk.test>" % name,
              "Date: Mon, 02 Jan 2023 03:04:05 +0000", "Subject: " + name, *more]
    return "".join(field + "\r\n" for field in fields).encode() + b"\r\n"


def lines(dice, size, letters, longest=998):
    """About `size` octets in lines of every length."""
    out, length = [], 0
    while length < size:
        most = min(longest, dice.choice((0, 1, 2, 20, 76, 76, 200, 998)), max(size - length - 2, 0))
        line = bytes(dice.choices(letters, k=dice.randint(0, most)))
        if dice.random() < 0.15:
            line = dice.choice((b".", b"..", b"...", b".a", b"." + line))[:longest]
        out.append(line + b"\r\n")
        length += len(out[-1])
    return b"".join(out)


PRINTABLE = bytes(range(32, 127)) + b"\t"
EIGHT_BIT = PRINTABLE + bytes(range(128, 256))


def plain(dice, name):
    return header(name) + lines(dice, dice.choice((0, 1, 10, 100, 1000, 2 * KIB, 10 * KIB)), PRINTABLE)


def eight_bit(dice, name):
    return header(name, "MIME-Version: 1.0", "Content-Type: text/plain; charset=iso-8859-1",
                  "Content-Transfer-Encoding: 8bit") + lines(dice, 2 * KIB, EIGHT_BIT) + b"\xe4\r\n"


def dots(dice, name):
    """What looks like an end of data, at every place."""
    return header(name) + b"".join(dice.choice((b".\r\n", b"..\r\n", b"\r\n", b".x\r\n", b"x.\r\n", b". \r\n"))
                                   for _ in range(dice.randint(1, 300)))


def long_lines(dice, name):
    return header(name) + b"".join(
        dice.choice((b".", b"..", b"x")) * 1 + bytes(dice.choices(PRINTABLE, k=dice.randint(990, 996))) + b"\r\n"
        for _ in range(dice.randint(1, 20)))


def only_header(dice, name):
    return header(name)[:-2]


def without_body(dice, name):
    return header(name)


def only_empty_lines(dice, name):
    return header(name) + b"\r\n" * dice.randint(1, 50)


def long_header(dice, name):
    return header(name, "X-Long: " + "\r\n\t".join("x" * dice.randint(1, 900) for _ in range(20))) + b"end\r\n"


def large(dice, name):
    """The lines of one random piece, again and again: 5 MB by random would take longer than all else."""
    piece = lines(dice, 20 * KIB, PRINTABLE)
    size = dice.choice((100 * KIB, 300 * KIB, 1000 * KIB, 5000 * KIB))
    return header(name) + piece * (size // len(piece))


# How often each kind comes.
KINDS = {plain: 50, eight_bit: 15, dots: 10, long_lines: 6, only_header: 3, without_body: 4,
         only_empty_lines: 3, long_header: 3, large: 1}
LARGE_MOST = 30  # of them, however many messages there are


def recipients(dice, number):
    count = dice.choices((1, 2, 7, 30, 200), (90, 4, 3, 2, 1))[0]
    # Two for one: 1-200 of them must all be there, whatever the dice say.
    count = {3: 200, 4: 100, 5: 99, 6: 101}.get(number, count)
    # Of every seventh message every other recipient needs SMTPUTF8.
    names = ("m%d-%d@%s", "m%d-\u00fc%d-\u65e5@%s" if number % 7 == 3 else "m%d-%d@%s")
    return [names[i % 2 == 0] % (number, i, DOMAIN) for i in range(count)]


def dsn(number):
    """What a third of the batches ask of receivers: nothing that makes a report of a delivery."""
    if number % 3 != 1:
        return {}
    return {"dsn": {"notify": (["never"], ["failure"], ["failure", "delay"])[number % 9 // 3],
                    "ret": ("hdrs", "full")[number % 2], "envid": "batch %d+" % number}}


def messages(count, seed):
    dice = random.Random(seed)
    kinds, weights = list(KINDS), list(KINDS.values())
    made, larges = [], 0
    for number in range(count):
        kind = kinds[number] if number < len(kinds) else dice.choices(kinds, weights)[0]
        if kind is large:
            larges += 1
            kind = large if larges <= LARGE_MOST else plain
        name = "%s-%d" % (kind.__name__, number)
        content = kind(dice, name)
        made.append(Message(name, content, any(byte > 127 for byte in content),
                            recipients(dice, number)))
    return made


def number_after(word, default):
    """An option's number, taken off the command line."""
    if word not in sys.argv:
        return default
    at = sys.argv.index(word)
    value = int(sys.argv[at + 1])
    del sys.argv[at:at + 2]
    return value


def start_walk(test, smtp, more={}):
    """An engine with these settings in [smtp], and more tables; it ends with the test, if not before."""
    directory = tempfile.mkdtemp(prefix="veredus-e2e-", dir="/var/tmp")
    test.addCleanup(shutil.rmtree, directory, True)
    started = walk.Walk(directory, VEREDUS, SINK, 1,
                        {"smtp": smtp, "addresses": {"allow": ["127.0.0.0/8"]}, **more})
    test.addCleanup(started.stop)
    started.start()
    return started


def feed(engine, mail):
    """Each message is a batch."""
    for number, message in enumerate(mail):
        raw = base64.b64encode(message.content).decode()
        status, answer = engine.feed([{"batch": message.name, "sender": "bounce@walk.test", "merge": False,
                                       "message": {"raw_base64": raw}, **dsn(number)}] +
                                     [{"to": to} for to in message.recipients])
        if status != 200 or answer["accepted"] != len(message.recipients):
            raise AssertionError("%s: %s %s" % (message.name, status, answer))


# Fields that are put in front on the way: by the receiver, and by Veredus where they are missing.
ADDED = re.compile(rb"\A(Received|Return-Path|Delivered-To|X-Original-To|Date|Message-ID):[^\r\n]*\r\n([ \t][^\r\n]*\r\n)*",
                   re.IGNORECASE)


def without_added(content, wanted):
    """What arrived, less what was put in front of it."""
    while len(content) > len(wanted):
        field = ADDED.match(content)
        if field is None:
            break
        content = content[field.end():]
    return content


def same_when_decoded(content, wanted):
    """Where 8-bit content was encoded for a host that takes none: all fields but the one that says
    how, and every octet of the body."""
    ours, theirs = (email.message_from_bytes(text, policy=email.policy.compat32)
                    for text in (content, wanted))
    fields = [[(name, value) for name, value in one.items()
               if name.lower() != "content-transfer-encoding"] for one in (ours, theirs)]
    return fields[0] == fields[1] and \
        ours.get_payload(decode=True) == theirs.get_payload(decode=True)


def differences(mail, arrived, takes_8bit=True, takes_utf8=True):
    """What is wrong with `arrived`, (recipients, content) each; [] if nothing is. 8-bit content to a host
    that takes none must have been encoded: all of it can be. Addresses that are not ASCII must not have gone
    to a host without SMTPUTF8."""
    wanted = {to: message for message in mail for to in message.recipients}
    faults, seen = [], collections.Counter()
    for tos, content in arrived:
        names = {wanted[to].name for to in tos if to in wanted}
        if len(names) != 1 or set(tos) - set(wanted):
            faults.append("one content for %s" % tos[:5])
            continue
        message = wanted[tos[0]]
        seen.update(tos)
        got = without_added(content, message.content)
        if not takes_8bit and not got.isascii():  # a trace field may name who needs SMTPUTF8
            faults.append("%s: 8-bit content to a host that takes none" % message.name)
        if got != message.content and (takes_8bit or not message.eight_bit or
                                       not same_when_decoded(got, message.content)):
            at = next((i for i, (a, b) in enumerate(zip(got, message.content)) if a != b),
                      min(len(got), len(message.content)))
            faults.append("%s: %d octets, not %d; other from octet %d: %r, not %r"
                          % (message.name, len(got), len(message.content), at, got[at - 20:at + 20],
                             message.content[at - 20:at + 20]))
    for to, message in wanted.items():
        if seen[to] != (takes_utf8 or to.isascii()):
            faults.append("%s of %s came %d times" % (to, message.name, seen[to]))
    return faults
