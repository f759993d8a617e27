"""The signing key of bench/compare's signed cases, opendkim beside Postfix, and whether what arrived is
what was fed and signed."""

import base64
import os
import pwd
import re
import shutil
import subprocess
import time

import loopback  # from tools/, where bench/compare looks, too
from systems import Failed, tail

DOMAIN, SELECTOR = "bench.test", "compare"
OPENDKIM = "/usr/sbin/opendkim"


def openssl(*arguments):
    try:
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout
    except OSError:
        raise Failed("there is no openssl to make a key with: tools/install-deps --bench")
    except subprocess.CalledProcessError as error:
        raise Failed("openssl: " + error.stderr.decode(errors="replace").strip())


class SigningKey:
    """RSA-2048 below `directory`, for DOMAIN and SELECTOR: a PEM file, and the record that DNS would have."""

    def __init__(self, directory):
        self.path = directory + "/dkim.pem"
        openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.path)
        os.chmod(self.path, 0o640)
        public = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")
        self.record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)

    def veredus_section(self):
        return """
[dkim.bench]
domain = "%s"
selector = "%s"
key_file = "%s"
""" % (DOMAIN, SELECTOR, self.path)


# As Debian ships it (OversignHeaders among it), but for the log, which costs.
OPENDKIM_CONF = """\
Mode s
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From
KeyTable file:{directory}/keys
SigningTable refile:{directory}/signers
InternalHosts 127.0.0.1
RequireSafeKeys no
UserID opendkim
UMask 007
Socket inet:{port}@127.0.0.1
PidFile {directory}/opendkim.pid
Background no
AutoRestart no
Syslog no
"""


class OpenDkim:
    """An opendkim of our own, as a milter at a port of loopback. Use as a context manager."""

    def __init__(self, world, key):
        self.world, self.key, self.process = world, key, None
        self.port = loopback.free_port()

    def __enter__(self):
        if not os.access(OPENDKIM, os.X_OK):
            raise Failed("there is no %s: tools/install-deps --bench" % OPENDKIM)
        self.directory = self.world.directory("opendkim")
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        own_key = self.directory + "/key.pem"
        shutil.copyfile(self.key.path, own_key)
        os.chmod(own_key, 0o600)
        name = "%s._domainkey.%s" % (SELECTOR, DOMAIN)
        for file, text in (("opendkim.conf", OPENDKIM_CONF.format(directory=self.directory, port=self.port)),
                           ("keys", "%s %s:%s:%s\n" % (name, DOMAIN, SELECTOR, own_key)),
                           ("signers", "*@%s %s\n" % (DOMAIN, name))):
            with open("%s/%s" % (self.directory, file), "w") as f:
                f.write(text)
        user = pwd.getpwnam("opendkim")
        for path in [self.directory] + [entry.path for entry in os.scandir(self.directory)]:
            os.chown(path, user.pw_uid, user.pw_gid)
        with open(self.directory + "/log", "w") as log:
            self.process = loopback.start([OPENDKIM, "-f", "-x", self.directory + "/opendkim.conf"], stdout=log,
                                          stderr=log, cpu=self.world.cpu)
        deadline = time.monotonic() + 20
        while not self._listens():
            self.check()
            if time.monotonic() > deadline:
                raise Failed("opendkim does not listen: " + tail(self.directory + "/log"))
            time.sleep(0.05)

    def _listens(self):
        """Looked up, not tried: a connection without a milter's words is a fault that opendkim tells."""
        with open("/proc/net/tcp") as f:
            return any(line.split()[1].endswith(":%04X" % self.port) and line.split()[3] == "0A" for line in f)

    def check(self):
        if self.process.poll() is not None:
            raise Failed("opendkim ended with status %d: %s"
                         % (self.process.returncode, tail(self.directory + "/log")))

    def __exit__(self, *_):
        with loopback.ending.hold():
            loopback.end_process(self.process)
            shutil.rmtree(self.directory, ignore_errors=True)


def valid(message, key):
    """Whether python3-dkim finds one signature, and finds that valid."""
    try:
        import dkim  # only where it is wanted
    except ImportError:
        raise Failed("signatures cannot be verified: tools/install-deps --bench")

    def record_of(name, timeout=5):
        return key.record if name.decode().rstrip(".") == "%s._domainkey.%s" % (SELECTOR, DOMAIN) else None
    signatures = message.lower().partition(b"\r\n\r\n")[0].count(b"\ndkim-signature:")
    signatures += message.lower().startswith(b"dkim-signature:")
    return signatures == 1 and dkim.verify(message, dnsfunc=record_of)


def check_arrived(world, case, paths, key):
    """Raises Failed unless each kept message has the body that its recipient was to get, and is signed if
    there is a key."""
    header_octets = world.merged_mail(case, case.size).header_octets()
    for path in paths:
        with open(path, "rb") as file:
            message = file.read()
        body = message.partition(b"\r\n\r\n")[2].decode("ascii", "replace")
        number = re.search(rb"^Message-ID: <(\d{9})@", message, re.MULTILINE)
        mail = world.merged_mail(case, header_octets + len(body))
        if not number or mail.render(int(number[1]))[header_octets:] != body:
            raise Failed("a message arrived otherwise than it was to be: " + repr(message[:2000]))
        if key and not valid(message, key):
            raise Failed("a signature is not valid: " + repr(message[:2000]))
    if not paths:
        raise Failed("no message was kept to be looked at")
