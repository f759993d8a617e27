"""Mail servers with TLS that are not ours: aiosmtpd, each on an address of loopback of its own."""

import logging
import os
import ssl
import subprocess

from aiosmtpd.controller import Controller

logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # handshakes that fail are meant to


class Receiver:
    """What arrives, and how: (recipients, content, TLS version or None, whether it was resumed)."""

    def __init__(self, address, port, tls=None, required=False):
        self.got = []
        self.controller = Controller(self, hostname=address, port=port, tls_context=tls,
                                     require_starttls=required)
        self.controller.start()
        self.port = port

    async def handle_DATA(self, server, session, envelope):
        tls = session.ssl
        connection = tls["ssl_object"] if tls else None
        self.got.append((envelope.rcpt_tos, envelope.content,
                         connection and connection.version(),
                         connection and connection.session_reused))
        return "250 2.0.0 taken"


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **more).stdout


class Certificate:
    """In `directory`, for these names: self-signed, or signed by `by`. `days` may be over."""

    def __init__(self, directory, name, names=(), by=None, days=2):
        self.key, self.cert = (os.path.join(directory, name + end) for end in (".key", ".pem"))
        request = ["req", "-x509" if by is None else "-new", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name, "-keyout", self.key]
        alternative = ",".join("DNS:" + each for each in names)
        if by is None:
            openssl(*request, "-days", str(days), "-out", self.cert,
                    *(["-addext", "subjectAltName=" + alternative] if names else []))
        else:
            asked = openssl(*request)
            more = self.key + ".ext"
            with open(more, "w") as out:
                out.write("subjectAltName=%s\n" % alternative)
            openssl("x509", "-req", "-CA", by.cert, "-CAkey", by.key, "-CAcreateserial", "-days",
                    str(days), "-extfile", more, "-out", self.cert, input=asked)

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def key_digest(self):
        """What a TLSA record 3 1 1 has, in hexadecimal."""
        der = openssl("x509", "-in", self.cert, "-noout", "-pubkey")
        der = openssl("pkey", "-pubin", "-outform", "DER", input=der)
        return openssl("dgst", "-sha256", "-r", input=der).decode().split()[0]
