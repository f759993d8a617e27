#!/usr/bin/python3
"""Messages of random shape, raw and merged, signed, to servers that are not ours: what arrives is what the
rules of merging make of it, and every signature is valid for two verifiers that are not ours.

Usage: signing_test.py VEREDUS SINK [--messages N] [--seed N] [unittest arguments]
  --messages N    that arrive in all, at least (300; 5000 is the long form)
"""

import collections
import email
import email.policy
import os
import tempfile
import unittest

import postfix_receiver
import signature_judges
import varied_mail
from offering_receiver import Receiver
from signature_judges import Identity, Judges, fields_of, marks_of, signatures_of, tables_of
from signed_batches import Batches
from walk_case import Case, walk

LIFETIME_S = 7200
# What a reader or a receiver goes by must be covered where it is there (RFC 6376 section 5.4.1, RFC 8058
# section 4); nobody may add one of these.
COVERED = {"from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "content-type",
           "content-transfer-encoding", "list-unsubscribe", "list-unsubscribe-post"}
GUARDED = {"from", "to", "subject", "date", "message-id"}
MESSAGES = varied_mail.number_after("--messages", 300)
SEED = varied_mail.number_after("--seed", 1)


def setUpModule():
    reason = signature_judges.why_not()
    if reason:
        raise unittest.SkipTest(reason)


class AtAiosmtpd:
    def __init__(self, *offers):
        self.receiver = Receiver(offers)
        self.port, self.stop = self.receiver.port, self.receiver.controller.stop
        self.takes_8bit, self.takes_utf8 = "8BITMIME" in offers, "SMTPUTF8" in offers

    def take(self, count):
        return self.receiver.arrived


class AtPostfix:
    """The trace field that it puts in front is taken off."""

    def __init__(self, *discarded):
        self.receiver = postfix_receiver.Receiver(
            {"at": {"smtpd_discard_ehlo_keywords": ",".join(discarded)}})
        self.port, self.stop = self.receiver.port["at"], self.receiver.stop
        self.takes_8bit, self.takes_utf8 = "8bitmime" not in discarded, "smtputf8" not in discarded

    def take(self, count):
        return [(tos, content[varied_mail.ADDED.match(content).end():])
                for tos, content in self.receiver.take(count)]


class AtSink:
    """With chunks. Who got what is in its ledger, by Message-ID."""
    takes_8bit = takes_utf8 = True

    def __init__(self, directory):
        self.ledger, self.contents = directory + "/ledger", directory + "/contents"
        os.mkdir(self.contents)
        self.process, self.port = walk.loopback.start_sink(
            varied_mail.SINK, "--chunking", "--ledger", self.ledger, "--content-dir", self.contents)

    def stop(self):
        walk.loopback.end_process(self.process, 20)

    def take(self, count):
        self.stop()
        recipients, contents = {}, {}
        for name, to, _ in walk.loopback.read_ledger(self.ledger):
            recipients.setdefault(name, []).append(to)
        for name in os.listdir(self.contents):
            with open(os.path.join(self.contents, name), "rb") as file:
                content = file.read()
            name = next(value for name, value in fields_of(content)[0] if name.lower() == b"message-id")
            contents.setdefault(name.strip().decode(), []).append(content)
        # Which of several alike went to whom is not known, but that each went to somebody.
        return [(recipients[name][i:None if i + 1 == len(alike) else i + 1], content)
                for name, alike in contents.items() for i, content in enumerate(alike)]


class RandomShapes(unittest.TestCase):
    maxDiff = None

    def start(self):
        scratch = tempfile.TemporaryDirectory(prefix="veredus-signing-", dir="/var/tmp")
        self.addCleanup(scratch.cleanup)
        self.receivers = {
            "chunks.test": AtAiosmtpd("8BITMIME", "SMTPUTF8", "CHUNKING"),
            "data.test": AtAiosmtpd("8BITMIME", "SMTPUTF8"), "bare.test": AtAiosmtpd("SIZE 20000000"),
            "sink.test": AtSink(scratch.name)}
        if not postfix_receiver.why_not():
            self.receivers["postfix.test"] = AtPostfix()
            self.receivers["bare-postfix.test"] = AtPostfix("chunking", "8bitmime", "smtputf8", "pipelining", "dsn")
        for receiver in self.receivers.values():
            self.addCleanup(receiver.stop)
        self.identities = [
            Identity(scratch.name, "walk-rsa", "walk.test"),
            Identity(scratch.name, "walk-ed", "walk.test", "ed25519"),
            Identity(scratch.name, "shop", "shop.test", canonicalization="simple/simple", lifetime="%ds" % LIFETIME_S,
                     also_sign=["X-Campaign"]),
            Identity(scratch.name, "mixed-rsa", "mixed.test", canonicalization="relaxed/simple"),
            Identity(scratch.name, "mixed-ed", "mixed.test", "ed25519", canonicalization="simple/relaxed")]
        self.feeder = Identity(scratch.name, "feeder", "walk.test")
        routes = {"routes.r%d" % i: {"domains": [domain], "hosts": ["127.0.0.1:%d" % receiver.port]}
                  for i, (domain, receiver) in enumerate(self.receivers.items())}
        self.walk = varied_mail.start_walk(self, {}, {
            **routes, **tables_of(self.identities), "tenants.mended": {"admission": "fix"}})

    def feed_all(self):
        """{recipient: Wanted} of who must get something; at least MESSAGES messages."""
        batches = Batches(SEED, self.identities, self.feeder, list(self.receivers),
                          {domain for domain, receiver in self.receivers.items() if receiver.takes_utf8})
        expected, count, failing = {}, 0, {}
        while count < MESSAGES:
            lines, wanted, refused = batches.next()
            status, answer = self.walk.feed(lines)
            self.assertEqual(status, 200, (answer, lines[0]))
            refusals = {each["line"] for each in answer["refusals"]}
            self.assertEqual(refusals, refused, (answer, lines[0], [lines[line - 1] for line in refusals ^ refused]))
            can = {to: each for to, each in wanted.items()
                   if not each.needs or self.receivers[to.rpartition("@")[2]].takes_utf8}
            failing[lines[0]["batch"]] = len(wanted) - len(can)
            expected.update(can)
            one_for_all = "message" in lines[0] and not lines[0].get("merge", True)
            count += len({to.rpartition("@")[2] for to in can}) if one_for_all else len(can)
        for batch, failed in failing.items():
            tally = self.walk.wait_settled(batch, 300, "mended" if batch.startswith("mended") else "default")
            self.assertEqual((tally["failed"], tally["delivered"]), (failed, tally["accepted"] - failed),
                             self.walk.events("type=failed&batch=" + batch))
        return expected

    def check_front(self, wanted, content):
        """Our trace, who signed, and what was added, in front; what is behind them, and faults."""
        fields = fields_of(content)[0]
        names = [name.decode() for name, _ in fields]
        front = ["DKIM-Signature"] * len(wanted.ours) + wanted.added
        found = [] if names[:len(front)] == front else ["in front: %s, not %s" % (names[:8], front)]
        marks = wanted.ours + wanted.theirs
        if sorted(marks_of(content)) != sorted(marks):
            found.append("signed by %s, not %s" % (marks_of(content), marks))
        rest = content
        for name, value in fields[:len(front)]:
            rest = rest[len(name) + 1 + len(value) + 2:]
        return rest, found

    def check_signatures(self, wanted, content):
        """What ours say of themselves."""
        names = collections.Counter(name.decode().lower() for name, _ in fields_of(content)[0])
        found = []
        for tags in signatures_of(content)[:len(wanted.ours)]:
            signed = collections.Counter(tags["h"].lower().split(":"))
            found += ["%s is not signed: %s" % (name, tags["h"]) for name in COVERED
                      if signed[name] < names[name] + (name in GUARDED)]
            if "l" in tags or ("x" in tags) != (tags["d"] == "shop.test") or \
                    int(tags.get("x", 0)) not in (0, int(tags["t"]) + LIFETIME_S):
                found.append("a signature that says %s" % tags)
        return found

    def check_parsed(self, content):
        """What Python's email says of its structure."""
        message = email.message_from_bytes(content, policy=email.policy.default)
        return [repr(defect) for part in message.walk() for defect in part.defects]

    def test_arrive_as_they_must_and_verify(self):
        self.start()
        expected = self.feed_all()
        self.walk.stop()
        faults, contents, seen = [], [], collections.Counter()
        for domain, receiver in self.receivers.items():
            for tos, content in receiver.take(sum(to.endswith("@" + domain) for to in expected)):
                contents.append(content)
                seen.update(tos)
                faults += ["%s: %s" % (tos[:5], fault) for fault in self.faults_of(expected, tos, content)]
        faults += ["%s: %d times" % (to, seen[to]) for to in expected if seen[to] != 1]
        self.assertEqual(faults[:5], [], "%d in all" % len(faults))
        self.assertGreaterEqual(len(contents), MESSAGES)
        judges = Judges({each.published(): each.record for each in self.identities + [self.feeder]})
        faults, valid = judges.faults(contents)
        self.assertEqual(faults[:5], [], "%d in all, of %d messages" % (len(faults), len(contents)))
        print("%d messages for %d recipients; valid signatures: %s" % (len(contents), len(expected), dict(valid)))

    def faults_of(self, expected, tos, content):
        wanted = [expected.get(to) for to in tos] or [None]
        if any(each is None or each.batch != wanted[0].batch for each in wanted):
            return ["a message for nobody, or for several that have none in common"]
        domain = tos[0].rpartition("@")[2]
        rest, found = self.check_front(wanted[0], content)
        found += self.check_signatures(wanted[0], content)
        found += wanted[0].judge(rest, not self.receivers[domain].takes_8bit)
        if wanted[0].batch.startswith(("merged", "parts", "mended")):
            found += self.check_parsed(content)
        return found


if __name__ == "__main__":
    unittest.main()
