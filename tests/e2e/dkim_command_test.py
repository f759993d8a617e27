#!/usr/bin/python3
"""`veredus dkim keygen`, `record` and `verify`: keys that openssl reads, signatures of python3-dkim, and
a name server that has the record.

Usage: dkim_command_test.py VEREDUS [unittest arguments]
"""

import base64
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import tomllib
import unittest

try:
    import dkim
except ImportError:
    dkim = None

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools"))
import loopback  # noqa: E402
import testzone  # noqa: E402

VEREDUS = ""
MESSAGE = (b"From: News <news@news.example>\r\nTo: a@b.example\r\nSubject: Hi\r\n\r\n"
           b"Body \r\n\r\nMore\r\n\r\n")


def strings_of(text):
    """What is within quotes of a zone-file line."""
    return re.findall(r'"([^"]*)"', text.split("\n\n")[0])


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir="/var/tmp")
        self.addCleanup(self.folder.cleanup)
        self.config = self.write("empty.toml", "")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return self.path(name)

    def run_it(self, *arguments, status=0, given=b"", config=None, json_wanted=False):
        flags = ["--json"] if json_wanted else []
        done = subprocess.run([VEREDUS, "--config", config or self.config, *flags, "dkim", *arguments],
                              input=given, capture_output=True, timeout=120)
        errors = done.stderr.decode()
        self.assertEqual(done.returncode, status, errors + done.stdout.decode())
        return json.loads(done.stdout) if json_wanted else done.stdout.decode(), errors

    def keygen(self, name, *arguments, **more):
        return self.run_it("keygen", "--domain", "news.example", "--selector", "s1", "--out",
                           self.path(name), *arguments, **more)

    def signed(self, name, message=MESSAGE, **more):
        """By python3-dkim, with the key of a file; Ed25519 wants the bare seed."""
        with open(self.path(name), "rb") as file:
            key = file.read()
        if more.get("signature_algorithm") == b"ed25519-sha256":
            der = subprocess.run(["openssl", "pkey", "-outform", "DER"], input=key, check=True,
                                 capture_output=True).stdout
            key = base64.b64encode(der[-32:])
        return dkim.sign(message, b"s1", b"news.example", key,
                         canonicalize=(b"relaxed", b"relaxed"), **more) + message


class Keygen(Command):
    def test_rsa(self):
        os.umask(0o077)
        text, errors = self.keygen("key.pem")
        self.assertEqual(errors, "")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("key.pem")).st_mode), 0o640)
        strings = strings_of(text)
        self.assertEqual([len(one) <= 255 for one in strings], [True, True])
        self.assertIn("\ns1._domainkey.news.example. IN TXT (\n", text)
        public = subprocess.run(["openssl", "pkey", "-in", self.path("key.pem"), "-pubout"],
                                check=True, capture_output=True, text=True).stdout
        self.assertEqual("".join(strings),
                         "v=DKIM1; k=rsa; p=" + "".join(public.splitlines()[1:-1]))
        config = tomllib.loads(text[text.index("[dkim."):])
        self.assertEqual(config, {"dkim": {"news-example": {
            "domain": "news.example", "selector": "s1", "key_file": self.path("key.pem"),
            "canonicalization": "relaxed/relaxed"}}})
        with open(self.path("key.pem")) as file:
            self.assertTrue(file.read().startswith("-----BEGIN PRIVATE KEY-----\n"))

    def test_the_configuration_takes_what_is_printed(self):
        text, _ = self.keygen("key.pem", "--algorithm", "ed25519")
        config = text[text.index("[dkim."):].replace("# lifetime", "lifetime")
        done = subprocess.run([VEREDUS, "check-config", self.write("printed.toml", config)],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("news-example-ed25519", done.stdout)

    def test_any_file_name(self):
        name = self.path('q"x\\n.pem')
        text, _ = self.run_it("keygen", "--domain", "news.example", "--selector", "s1", "--out", name,
                              "--algorithm", "ed25519")
        config = tomllib.loads(text[text.index("[dkim."):])
        self.assertEqual(config["dkim"]["news-example-ed25519"]["key_file"], name)

    def test_a_damaged_key(self):
        self.keygen("key.pem")
        with open(self.path("key.pem")) as file:
            lines = file.read().splitlines()
        lines[3] = lines[3].swapcase()  # within the modulus
        self.assertIn("has a damaged key", self.run_it(
            "record", self.write("damaged.pem", "\n".join(lines) + "\n"), "--domain", "a.example",
            "--selector", "s", status=65)[1])

    def test_other_algorithms(self):
        for algorithm, name, bits in (("ed25519", "ed25519-sha256", 256),
                                      ("rsa1024", "rsa-sha256", 1024),
                                      ("rsa3072", "rsa-sha256", 3072)):
            out, _ = self.keygen(algorithm, "--algorithm", algorithm, json_wanted=True)
            self.assertEqual((out["algorithm"], out["bits"]), (name, bits))
            self.assertEqual("".join(out["strings"]), out["record"])
            self.assertEqual(out["dns_name"], "s1._domainkey.news.example")
        self.assertIn("news-example-ed25519", self.run_it(
            "record", self.path("ed25519"), "--domain", "NEWS.example", "--selector", "s1")[0])

    def test_what_cannot_be_made(self):
        self.keygen("key.pem", "--algorithm", "ed25519")
        with open(self.path("key.pem")) as file:
            before = file.read()
        self.assertIn("exists, and a key is never overwritten",
                      self.keygen("key.pem", status=73)[1])
        with open(self.path("key.pem")) as file:
            self.assertEqual(file.read(), before)
        for algorithm in ("rsa512", "rsa8192", "rsa2047", "rsa", "dsa", "ed448"):
            self.assertIn("--algorithm: there is no", self.keygen(
                "other.pem", "--algorithm", algorithm, status=64)[1])
        self.assertIn("cannot be made: No such file",
                      self.keygen("absent/key.pem", "--algorithm", "ed25519", status=73)[1])
        self.assertIn("no name in the DNS", self.run_it(
            "keygen", "--domain", "a b", "--selector", "s", "--algorithm", "ed25519", "--out",
            self.path("other.pem"), status=64)[1])
        self.assertFalse(os.path.exists(self.path("other.pem")))

    def test_record_of_what_is_no_key(self):
        one = ("--domain", "a.example", "--selector", "s", )
        path = self.write("none.pem", "hello\n")
        self.assertIn(path + " has no private key in PEM form",
                      self.run_it("record", path, *one, status=65)[1])
        self.assertIn("cannot be read: No such file",
                      self.run_it("record", path + "x", *one, status=66)[1])
        curve = subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                                "ec_paramgen_curve:P-256"], check=True, capture_output=True).stdout
        self.assertIn("has a key of type EC",
                      self.run_it("record", self.write("ec.pem", curve), *one, status=65)[1])


@unittest.skipIf(dkim is None, "no python3-dkim")
class Verify(Command):
    def test_with_a_record(self):
        for algorithm, more in (("rsa2048", {}),
                                ("ed25519", {"signature_algorithm": b"ed25519-sha256"})):
            name = algorithm + ".pem"
            text, _ = self.keygen(name, "--algorithm", algorithm)
            printed = self.write("record.txt", text)
            message = self.signed(name, **more)
            path = self.write("message.eml", message)
            out, errors = self.run_it("verify", path, "--record", printed)
            self.assertEqual(errors, "")
            self.assertRegex(out, r"^pass +d=news\.example s=s1 a=(rsa|ed25519)-sha256 \(")
            out, _ = self.run_it("verify", "-", "--record", "".join(strings_of(text)),
                                 given=message.replace(b"\r\n", b"\n"), json_wanted=True)
            self.assertEqual((out["ok"], out["signatures"][0]["result"]), (True, "pass"))
            self.assertIn("from", out["signatures"][0]["signed_fields"].split(":"))
            out, _ = self.run_it("verify", "-", "--record", printed, status=65,
                                 given=message.replace(b"More", b"Less"))
            self.assertRegex(out, r"^fail .*: the body was changed after it was signed")
            out, _ = self.run_it("verify", "-", "--record", "v=DKIM1; p=", status=65, given=message)
            self.assertIn("is revoked", out)

    def test_what_we_would_not_take_is_judged_all_the_same(self):
        text, _ = self.keygen("key.pem")
        record = "".join(strings_of(text))
        for what, message in (
                ("long line", MESSAGE + b"x" * 1200 + b"\r\n"),
                ("NUL", MESSAGE + b"a\0b\r\n"),
                ("bare CR", MESSAGE + b"a\rb\r\n"),
                ("no end of the last line", MESSAGE + b"end"),
                ("Latin-1", MESSAGE.replace(b"Hi", b"Gr\xfc\xdfe"))):
            with self.subTest(what):
                signed = self.signed("key.pem", message)
                out, _ = self.run_it("verify", "-", "--record", record, given=signed)
                self.assertRegex(out, "^pass ")
                out, _ = self.run_it("verify", "-", "--record", record, status=65,
                                     given=signed.replace(b"Body", b"Bodi"))
                self.assertRegex(out, "^fail ")
        other = self.signed("key.pem").replace(b"d=news.example", b"d=n\xe9ws.example")
        out, _ = self.run_it("verify", "-", "--record", record, status=65, given=other, json_wanted=True)
        self.assertEqual((out["signatures"][0]["domain"], out["ok"]), ("n?ws.example", False))

    def test_too_much_to_judge(self):
        text, _ = self.keygen("key.pem")
        record = "".join(strings_of(text))
        field = self.signed("key.pem")[:-len(MESSAGE)]
        for count, status in ((16, 0), (17, 70)):
            out, _ = self.run_it("verify", "-", "--record", record, status=status, given=field * count + MESSAGE)
            self.assertEqual(out.count("not looked at"), count - 16)
        changed = MESSAGE.replace(b"More", b"Less")
        self.run_it("verify", "-", "--record", record, status=65, given=field * 17 + changed)

    def test_what_is_no_message(self):
        self.assertIn("has no DKIM-Signature", self.run_it(
            "verify", "-", "--record", "p=", given=MESSAGE, status=65)[1])
        for no_message in (b"", b"\r\n", b"\x89PNG\r\n\x1a\n", b"hello\n"):
            self.assertIn("is no message", self.run_it(
                "verify", "-", "--record", "p=", given=no_message, status=70)[1])
        self.assertIn("cannot be read: No such file", self.run_it(
            "verify", self.path("absent"), "--record", "p=", status=66)[1])
        self.assertIn("is no file, and no record", self.run_it(
            "verify", "-", "--record", "absent", given=MESSAGE, status=64)[1])

    def serve(self, port, strings):
        conf = testzone.write_zone(self.path("zone%d" % port), 1, port)
        with open(conf, "a") as file:
            file.write("local=/example/\n")
            file.write("txt-record=s1._domainkey.news.example,%s\n" %
                       ",".join('"%s"' % one for one in strings))
        return testzone.start_dnsmasq(conf), port

    def test_with_the_dns(self):
        text, _ = self.keygen("key.pem")
        server, port = loopback.at_free_port(lambda port: self.serve(port, strings_of(text)))
        self.addCleanup(loopback.end_process, server)
        config = self.write("dns.toml", '[dns]\nservers = ["127.0.0.1:%d"]\ntimeout = "200ms"\n' % port)
        message = self.signed("key.pem")
        out, _ = self.run_it("verify", "-", given=message, config=config)
        self.assertRegex(out, "^pass ")
        other = message.replace(b"s=s1", b"s=s2")
        out, _ = self.run_it("verify", "-", given=other, config=config, status=65)
        self.assertIn("there is no key at s2._domainkey.news.example", out)
        config = self.write("none.toml", '[dns]\nservers = ["127.0.0.1:%d"]\ntimeout = "200ms"\n' %
                            loopback.free_port())
        out, _ = self.run_it("verify", "-", given=message, config=config, status=75)
        self.assertRegex(out, "^temperror .*cannot be had: no name server")


if __name__ == "__main__":
    VEREDUS = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
