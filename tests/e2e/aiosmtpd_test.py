#!/usr/bin/python3
"""Mail of all kinds to aiosmtpd, with TLS off, opportunistic, required: what arrives is what was fed, byte by
byte, and the server had nothing to refuse.

Usage: aiosmtpd_test.py VEREDUS SINK [--messages N] [--seed N] [unittest arguments]
  --messages N    for each TLS setting and each kind of server (2000 is the long form)
"""

import logging
import tempfile
import unittest

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

import varied_mail
from tls_receiver import Certificate

loopback = varied_mail.walk.loopback
MESSAGES = varied_mail.number_after("--messages", 200)
SEED = varied_mail.number_after("--seed", 1)


class Faults(logging.Handler):
    """What the server complains of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


class Server(SMTP):
    """refused: replies of 400 and above."""
    refused = []
    without_8bitmime = False

    async def push(self, status):
        if self.without_8bitmime and status == "250-8BITMIME":
            return
        if str(status)[:1] in "45":
            self.refused.append(status)
        await super().push(status)


class Receiver(Controller):
    """On loopback; .got is (recipients, content, TLS version or None) each."""

    def __init__(self, port, tls, required, takes_8bit):
        self.got = []
        self.takes_8bit = takes_8bit
        super().__init__(self, hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=required,
                         data_size_limit=20_000_000)

    def factory(self):
        server = Server(self.handler, hostname="mx.aiosmtpd.test", **self.SMTP_kwargs)
        server.without_8bitmime = not self.takes_8bit
        return server

    async def handle_DATA(self, server, session, envelope):
        version = session.ssl["ssl_object"].version() if session.ssl else None
        self.got.append((envelope.rcpt_tos, envelope.content, version))
        return "250 2.0.0 taken"


class Interop(unittest.TestCase):
    def setUp(self):
        self.faults = Faults()
        log = logging.getLogger("mail.log")
        log.addHandler(self.faults)
        self.addCleanup(log.removeHandler, self.faults)
        Server.refused = []

    def deliver(self, tls, offered=True, takes_8bit=True):
        context = None
        if offered:
            scratch = tempfile.TemporaryDirectory(prefix="veredus-aiosmtpd-", dir="/var/tmp")
            self.addCleanup(scratch.cleanup)
            context = Certificate(scratch.name, "mx.test").context()

        def at(port):
            receiver = Receiver(port, context, tls == "required", takes_8bit)
            receiver.start()
            return receiver
        receiver = loopback.at_free_port(at)
        self.addCleanup(receiver.stop)
        walk = varied_mail.start_walk(self, {"redirect": "127.0.0.1:%d" % receiver.port, "tls": tls,
                                             "trace_header": False, "messages_per_connection": 20})
        mail = varied_mail.messages(MESSAGES, SEED)
        varied_mail.feed(walk, mail)
        for message in mail:
            walk.wait_settled(message.name, 600)
        walk.stop()
        faults = varied_mail.differences(mail, [got[:2] for got in receiver.got], takes_8bit)
        self.assertEqual(faults[:10], [], "%d in all" % len(faults))
        self.assertEqual({version for _, _, version in receiver.got},
                         {"TLSv1.3" if offered and tls != "none" else None})
        self.assertEqual((Server.refused, self.faults.lines), ([], []))

    def test_off(self):
        self.deliver("none")

    def test_opportunistic(self):
        self.deliver("opportunistic")

    def test_opportunistic_and_not_offered(self):
        self.deliver("opportunistic", offered=False)

    def test_required(self):
        self.deliver("required")

    def test_without_8bitmime(self):
        self.deliver("opportunistic", takes_8bit=False)


if __name__ == "__main__":
    unittest.main()
