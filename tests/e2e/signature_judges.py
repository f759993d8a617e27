"""Signing keys made by openssl, and two verifiers of signatures that are not ours: python3-dkim, and
Mail::DKIM of Perl (which knows no Ed25519). The DNS is not asked."""

import base64
import collections
import os
import re
import subprocess
import tempfile

try:
    import dkim
except ImportError:
    dkim = None

from tls_receiver import openssl

PERL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mail", "dkim_verify.pl")
FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:(.*(?:\r\n[ \t].*)*)\r\n")


def why_not():
    """Why nobody can judge here; None if they can."""
    if dkim is None:
        return "python3-dkim is missing (tools/install-deps --test)"
    if subprocess.run(["perl", "-MMail::DKIM::Verifier", "-e1"], capture_output=True).returncode:
        return "libmail-dkim-perl is missing (tools/install-deps --test)"
    return None


class Identity:
    """A key in a file of its own in `directory`. settings: those of [dkim.NAME]."""

    def __init__(self, directory, name, domain, algorithm="rsa", **settings):
        self.name, self.domain, self.algorithm = name, domain, algorithm
        self.settings = {"domain": domain, "selector": "s-" + name,
                         "key_file": os.path.join(directory, name + ".pem"), **settings}
        self.canonicalization = settings.get("canonicalization", "relaxed/relaxed")
        self.make_key()

    def make_key(self):
        """A new one; its file is replaced at once, as a key is to be."""
        options = ["-pkeyopt", "rsa_keygen_bits:2048"] if self.algorithm == "rsa" else []
        pem = openssl("genpkey", "-algorithm", self.algorithm, *options)
        der = openssl("pkey", "-pubout", "-outform", "DER", input=pem)
        public = der if self.algorithm == "rsa" else der[-32:]  # RFC 8463 section 4
        self.record = "v=DKIM1; k=%s; p=%s" % (self.algorithm, base64.b64encode(public).decode())
        self.put(pem)

    def put(self, pem):
        path = self.settings["key_file"]
        with open(path + ".new", "wb", opener=lambda name, flags: os.open(name, flags, 0o640)) as out:
            out.write(pem)
        os.replace(path + ".new", path)

    def key(self):
        with open(self.settings["key_file"], "rb") as file:
            return file.read()

    def published(self):
        """The name of its record."""
        return "%s._domainkey.%s" % (self.settings["selector"], self.domain)

    def mark(self):
        """What a signature of it says of itself, as marks_of() has it."""
        return (self.domain, self.settings["selector"], self.algorithm + "-sha256",
                self.canonicalization)


def tables_of(identities):
    """Their part of a configuration."""
    return {"dkim." + each.name: each.settings for each in identities}


def fields_of(content):
    """(name, value) of the header, folds and all, and the body."""
    end = content.find(b"\r\n\r\n")
    head, body = (content[:end + 2], content[end + 4:]) if end >= 0 else (content, b"")
    if FIELD.sub(b"", head):
        raise AssertionError("no header: %r" % head)
    return FIELD.findall(head), body


def tags_of(value):
    """Of a DKIM-Signature."""
    plain = re.sub(rb"\s+", b"", value).decode()
    return dict(part.split("=", 1) for part in plain.split(";") if part)


def signatures_of(content):
    """Their tags, from the first field on."""
    return [tags_of(value) for name, value in fields_of(content)[0] if name.lower() == b"dkim-signature"]


def marks_of(content):
    """Who signed it, likewise: (domain, selector, algorithm, canonicalization) each."""
    return [(tags["d"], tags["s"], tags["a"], tags.get("c", "simple/simple"))
            for tags in signatures_of(content)]


class Judges:
    """`records`: the keys that are published, by name."""

    def __init__(self, records):
        self.records = records

    def _key(self, name, timeout=5):
        return self.records[name.decode().rstrip(".")].encode()

    def faults(self, contents):
        """Of messages: what either finds wrong, and how many signatures each has found valid."""
        faults, valid = [], collections.Counter()
        for number, content in enumerate(contents):
            for index, mark in enumerate(marks_of(content)):
                try:
                    good = dkim.DKIM(content, minkey=1024).verify(index, dnsfunc=self._key)
                except dkim.DKIMException as error:
                    good = error
                valid["python3-dkim"] += good is True
                if good is not True:
                    faults.append("message %d: python3-dkim: %s: %s" % (number, mark, good))
        faults += self._perl(contents, valid)
        return faults, valid

    def _perl(self, contents, valid):
        with tempfile.TemporaryDirectory(prefix="veredus-judges-", dir="/var/tmp") as folder:
            for number, content in enumerate(contents):
                with open("%s/%d.eml" % (folder, number), "wb") as out:
                    out.write(content)
            with open(folder + "/records", "w") as out:
                out.writelines("%s %s\n" % each for each in self.records.items())
            done = subprocess.run(["perl", PERL, folder, str(len(contents))], capture_output=True,
                                  text=True, timeout=3000)
        faults = [done.stderr] if done.returncode else []
        said = collections.Counter()
        for line in done.stdout.splitlines():
            number, algorithm, result = line.split(" ", 2)
            said[int(number), algorithm] += 1
            if algorithm == "ed25519-sha256":
                continue
            valid["Mail::DKIM"] += result == "pass"
            if result != "pass":
                faults.append("message %s: Mail::DKIM: %s: %s" % (number, algorithm, result))
        wanted = collections.Counter((number, mark[2]) for number, content in enumerate(contents)
                                     for mark in marks_of(content) if mark[2] == "rsa-sha256")
        missing = wanted - said
        return faults + ["message %d: Mail::DKIM has not seen %s" % each for each in missing]
