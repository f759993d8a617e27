#!/usr/bin/python3
"""Signatures of ours before verifiers that are not: python3-dkim, and Mail::DKIM of Perl (which knows
no Ed25519). Both must find every one of them valid.

Usage: dkim_verifiers_test.py DKIM_SIGN [--messages N] [--seed S] [unittest arguments]
"""

import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import dkim
except ImportError:
    dkim = None

DKIM_SIGN = ""
MESSAGES = 300
SEED = 0
# White space in front of a colon, which python3-dkim takes for no message (but RFC 5322 section 4.5).
OBSOLETE = re.compile(rb"^[!-9;-~]+[ \t]+:", re.MULTILINE)
HERE = os.path.dirname(os.path.abspath(__file__))


def signatures_of(message):
    """The DKIM-Signature fields of a header, in order."""
    header = message.split(b"\r\n\r\n", 1)[0]
    found = []
    for line in header.split(b"\r\n"):
        if line.startswith(b"DKIM-Signature: "):
            found.append(line)
        elif found and line[:1] in (b" ", b"\t"):
            found[-1] += b"\r\n" + line
        else:
            break
    return found


class Verifiers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(dir="/var/tmp")
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([DKIM_SIGN, cls.folder.name, str(MESSAGES), str(SEED)], check=True,
                       timeout=280)
        with open(os.path.join(cls.folder.name, "records")) as file:
            cls.records = dict(line.rstrip("\n").split(" ", 1) for line in file)

    def message(self, number):
        with open(os.path.join(self.folder.name, "%d.eml" % number), "rb") as file:
            return file.read()

    def key(self, name, timeout=5):
        return self.records[name.decode().rstrip(".")].encode()

    @unittest.skipIf(dkim is None, "no python3-dkim")
    def test_python_dkim(self):
        logging.disable(logging.CRITICAL)
        judged = 0
        for number in range(MESSAGES):
            message = self.message(number)
            if OBSOLETE.search(message):
                continue
            for index in range(len(signatures_of(message))):
                verifier = dkim.DKIM(message, minkey=1024)
                self.assertTrue(verifier.verify(index, dnsfunc=self.key),
                                "message %d of seed %d, signature %d" % (number, SEED, index))
                judged += 1
        self.assertGreaterEqual(judged, MESSAGES)

    def test_perl_mail_dkim(self):
        done = subprocess.run(["perl", "-MMail::DKIM::Verifier", "-e1"], capture_output=True)
        if done.returncode != 0:
            self.skipTest("no libmail-dkim-perl")
        done = subprocess.run(["perl", os.path.join(HERE, "dkim_verify.pl"), self.folder.name,
                               str(MESSAGES)], capture_output=True, text=True, timeout=1200)
        self.assertEqual(done.returncode, 0, done.stderr)
        judged = 0
        for line in done.stdout.splitlines():
            number, algorithm, result = line.split(" ", 2)
            if algorithm == "ed25519-sha256":
                continue
            self.assertEqual(result, "pass", "message %s of seed %d" % (number, SEED))
            judged += 1
        self.assertGreaterEqual(judged, MESSAGES // 2)

    def holds(self, message):
        try:
            return dkim.DKIM(message).verify(dnsfunc=self.key)
        except dkim.ValidationError:
            return False

    @unittest.skipIf(dkim is None, "no python3-dkim")
    def test_what_was_changed_is_not_valid(self):
        logging.disable(logging.CRITICAL)
        chance = random.Random(SEED)
        for number in range(0, MESSAGES, 10):
            message = self.message(number)
            signed = b"".join(line + b"\r\n" for line in signatures_of(message))
            rest = message[len(signed):]
            if b"\r\n\r\n" not in rest or OBSOLETE.search(rest):
                continue
            other = signed + b"X-New: not signed\r\n" + rest
            self.assertTrue(self.holds(other))
            for broken in (signed + b"From: x@y.example\r\n" + rest,
                           signed + b"Subject: another\r\n" + rest,
                           message + b"more%d\r\n" % chance.randrange(10)):
                self.assertFalse(self.holds(broken), broken)


if __name__ == "__main__":
    DKIM_SIGN = os.path.abspath(sys.argv.pop(1))
    for option in ("--messages", "--seed"):
        if option in sys.argv:
            at = sys.argv.index(option)
            value = int(sys.argv[at + 1])
            del sys.argv[at:at + 2]
            if option == "--messages":
                MESSAGES = value
            else:
                SEED = value
    unittest.main(verbosity=2)
