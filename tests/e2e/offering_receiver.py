"""A mail server that is not ours, aiosmtpd, which offers just what a test wants."""

import asyncio
import logging

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from walk_case import walk

loopback = walk.loopback
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


class Server(SMTP):
    """Takes what DSN adds, and chunks (RFC 3030), and writes down every MAIL and RCPT as it came."""

    chunks = None  # of the message so far

    def without_dsn(self, arg):
        handler = self.event_handler
        handler.commands.append(arg)
        words = arg.split(" ")
        if "DSN" not in handler.offers:
            return arg
        return " ".join(word for word in words if word.split("=")[0] not in
                        ("RET", "ENVID", "NOTIFY", "ORCPT"))

    async def smtp_MAIL(self, arg):
        await super().smtp_MAIL(self.without_dsn(arg))

    async def smtp_RCPT(self, arg):
        await super().smtp_RCPT(self.without_dsn(arg))

    async def smtp_BDAT(self, arg):
        size, _, last = arg.partition(" ")
        try:
            chunk = await self._reader.readexactly(int(size))
        except asyncio.CancelledError:
            self._writer.close()
            raise
        if "CHUNKING" not in self.event_handler.offers:
            return await self.push("502 5.5.1 not offered")
        if not self.envelope.rcpt_tos:
            return await self.push("503 5.5.1 no recipients")
        self.chunks = (self.chunks or b"") + chunk
        if last.upper() != "LAST":
            return await self.push("250 2.0.0 more")
        self.envelope.content, self.chunks = self.chunks, None
        status = await self.event_handler.handle_DATA(self, self.session, self.envelope)
        self._set_post_data_state()
        return await self.push(status)


class Receiver:
    """Offers just these, and keeps what arrives."""

    def __init__(self, offers):
        self.offers = offers
        self.commands = []  # MAIL and RCPT behind their verbs
        self.arrived = []   # (recipients, content)
        self.got = {}       # contents by recipient

        def at(port):
            controller = Controller(self, hostname="127.0.0.1", port=port,
                                    enable_SMTPUTF8="SMTPUTF8" in offers)
            controller.factory = lambda: Server(self, hostname="mx.test",
                                                enable_SMTPUTF8="SMTPUTF8" in offers)
            controller.start()
            return controller, port
        self.controller, self.port = loopback.at_free_port(at)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return ["250-mx.test"] + ["250-" + word for word in self.offers] + ["250 HELP"]

    async def handle_DATA(self, server, session, envelope):
        self.arrived.append((list(envelope.rcpt_tos), envelope.content))
        for to in envelope.rcpt_tos:
            self.got.setdefault(to, []).append(envelope.content)
        return "250 2.0.0 taken"
