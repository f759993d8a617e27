#!/usr/bin/python3
"""Mail of all kinds to Postfix: with TLS off, opportunistic, required, and without each of the extensions that
it has. What it delivers is what was fed, byte by byte, and its log knows of no fault of ours.

Usage: postfix_test.py VEREDUS SINK [--messages N] [--seed N] [unittest arguments]
  --messages N    for each TLS setting and each set of extensions (2000 is the long form)
"""

import re
import unittest

import postfix_receiver
import varied_mail


MESSAGES = varied_mail.number_after("--messages", None)
SHORT, SHORT_REDUCED = 200, 40  # with all extensions, and without one of them
SEED = varied_mail.number_after("--seed", 1)

# What is not offered at a port, by its name.
WITHOUT = {"nothing": (), "chunking": ("chunking",), "pipelining": ("pipelining",), "8bitmime": ("8bitmime",),
           "smtputf8": ("smtputf8",), "dsn": ("dsn",), "starttls": ("starttls",),
           "all": ("chunking", "pipelining", "8bitmime", "smtputf8", "dsn", "starttls", "size",
                   "enhancedstatuscodes")}

# What Postfix says of clients that do something wrong, or of itself.
FAULT = re.compile(r"improper command pipelining|non-SMTP command|lost connection|too many errors|timeout|"
                   r"SSL_accept error|TLS library problem|warning:|fatal:|error:|reject:|bounced|deferred",
                   re.IGNORECASE)
# The test that looked whether it listens; and clocks of a virtual machine, which are none of ours.
HARMLESS = re.compile(r"lost connection after CONNECT from unknown|file system clock is|resetting file time stamps")


def setUpModule():
    reason = postfix_receiver.why_not()
    if reason:
        raise unittest.SkipTest(reason)
    global receiver
    receiver = postfix_receiver.Receiver(
        {"without-" + name: {"smtpd_tls_security_level": "may", "smtpd_discard_ehlo_keywords": ",".join(words)}
         for name, words in WITHOUT.items()})
    unittest.addModuleCleanup(receiver.stop)


class Interop(unittest.TestCase):
    """tls: smtp.tls. A test for each set of extensions; each with an engine of its own."""
    tls = None

    def deliver(self, name):
        logged = len(receiver.log())
        walk = self.start(name)
        count = MESSAGES or (SHORT if name == "nothing" else SHORT_REDUCED)
        mail = varied_mail.messages(count, SEED)
        varied_mail.feed(walk, mail)
        tallies = [walk.wait_settled(message.name, 600) for message in mail]
        arrived = receiver.take(sum(tally["delivered"] for tally in tallies))
        walk.stop()  # connections end in order
        faults = varied_mail.differences(mail, arrived, "8bitmime" not in WITHOUT[name],
                                         "smtputf8" not in WITHOUT[name])
        self.assertEqual(faults[:10], [], "%d in all" % len(faults))
        under_tls = {b"using TLSv1.3" in content.split(b"\r\n\r\n", 1)[0] for _, content in arrived}
        self.assertEqual(under_tls, {self.tls != "none" and "starttls" not in WITHOUT[name]})
        self.check_log(logged)

    def start(self, name):
        return varied_mail.start_walk(self, {"redirect": "127.0.0.1:%d" % receiver.port["without-" + name], "tls": self.tls,
                                 "trace_header": False, "messages_per_connection": 20})

    def check_log(self, logged):
        log = receiver.log()[logged:].splitlines()
        self.assertTrue(any(" connect from " in line for line in log))
        faults = [line for line in log if FAULT.search(line) and not HARMLESS.search(line)]
        self.assertEqual(faults[:10], [], "%d in all" % len(faults))


class TlsOff(Interop):
    tls = "none"


class TlsOpportunistic(Interop):
    tls = "opportunistic"


class TlsRequired(Interop):
    tls = "required"


def add_tests():
    for case in (TlsOff, TlsOpportunistic, TlsRequired):
        for name, words in WITHOUT.items():
            if case.tls != "required" or "starttls" not in words:  # tls_test has those that wait
                setattr(case, "test_without_" + name, lambda self, name=name: self.deliver(name))


add_tests()
if __name__ == "__main__":
    unittest.main()
