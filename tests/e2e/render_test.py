#!/usr/bin/python3
"""`veredus render`: the message that a recipient of a batch would get, without an engine.

Usage: render_test.py VEREDUS [unittest arguments]
"""

import base64
import email
import email.policy
import json
import os
import subprocess
import sys
import tempfile
import unittest

import dkim

VEREDUS = ""

HEADER = ("From: News <news@news.example>\r\nTo: {{name|You}} <{{to}}>\r\nSubject: Hello {{first}}\r\n"
          "Date: Tue, 24 Nov 2026 00:28:29 +0000\r\nMessage-ID: <{{index}}@news.example>\r\n"
          "List-Unsubscribe: <https://news.example/u/{{index}}>\r\n"
          "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: spring:acme:sender\r\n"
          "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
HEAD = {"batch": "spring-7", "sender": "bounce@news.example", "verp": True, "merge": True,
        "message": {"raw": HEADER + "Dear {{first}},\r\n.dot\r\n"}}
UNSIGNED = {"dkim-missing", "unsubscribe-unsigned"}


class Render(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="veredus-render-")
        self.addCleanup(self.folder.cleanup)
        self.config = self.write("a.toml", "[node]\nhostname = \"mta.news.example\"\n")

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def batch(self, *lines, **fields):
        return "".join(json.dumps(line) + "\n" for line in ({**HEAD, **fields}, *lines))

    def run_it(self, text, to, *arguments, config=None):
        """(exit status, standard output as bytes, standard error)"""
        done = subprocess.run([VEREDUS, "--config", config or self.config, "render", "-", "--to", to,
                               *arguments], input=text.encode(), capture_output=True, timeout=60)
        return done.returncode, done.stdout, done.stderr.decode()

    def run_json(self, text, to, config=None):
        status, out, errors = self.run_it(text, to, "--json", config=config)
        return status, json.loads(out), errors

    def test_the_message_as_it_would_leave(self):
        text = self.batch({"to": "ada@example.org", "vars": {"first": "Ada"}},
                          {"to": "bob@example.net", "name": "Bob", "vars": {"first": "B\u00fcb"}})
        status, out, errors = self.run_it(text, "bob@example.net")
        self.assertEqual(status, 0, errors)
        self.assertTrue(out.startswith(b"Received: by mta.news.example (Veredus) id "), out)
        self.assertNotIn(b"..dot", out)
        message = email.message_from_bytes(out, policy=email.policy.SMTP)
        self.assertEqual((message["To"], message["Subject"], message["Message-ID"]),
                         ("Bob <bob@example.net>", "Hello B\u00fcb", "<1@news.example>"))
        self.assertEqual(message.get_content(), "Dear B\u00fcb,\r\n.dot\r\n")
        self.assertEqual(message.defects, [])
        for name in UNSIGNED:
            self.assertIn("veredus: %s: " % name, errors)

    def test_json(self):
        text = self.batch({"to": "ada@EXAMPLE.org", "vars": {"first": "Ada"}})
        status, said, _ = self.run_json(text, "ada@example.ORG")
        self.assertEqual((status, said["line"], said["sender"]),
                         (0, 2, "bounce+ada=example.org@news.example"))
        self.assertIn("Subject: Hello Ada\r\n", said["message"])
        self.assertEqual({each["name"] for each in said["findings"]}, UNSIGNED)
        self.assertEqual({each["fixed"] for each in said["findings"]}, {False})

    def test_signed_as_it_is_sent(self):
        key = os.path.join(self.folder.name, "key.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", key], check=True, capture_output=True)
        os.chmod(key, 0o640)
        public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], check=True,
                                capture_output=True).stdout
        record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
        config = self.write("signed.toml", "[dkim.news]\ndomain = \"news.example\"\nselector = \"s1\"\n"
                                           "key_file = \"%s\"\n" % key)
        text = self.batch({"to": "ada@example.org", "vars": {"first": "Ada"}})
        status, out, errors = self.run_it(text, "ada@example.org", config=config)
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(out.startswith(b"DKIM-Signature: "), out[:80])
        self.assertTrue(dkim.verify(out, dnsfunc=lambda name, timeout=5: record))
        # Whoever may not read the key sees the message, and what is found is what would be.
        os.chmod(key, 0o644)
        status, out, errors = self.run_it(text, "ada@example.org", config=config)
        self.assertEqual(status, 0, errors)
        self.assertTrue(out.startswith(b"Received: "), out[:80])
        self.assertIn("dkim.news.key_file: %s: everybody may read" % key, errors)
        self.assertIn("shown unsigned, for want of keys", errors)
        for name in UNSIGNED:
            self.assertNotIn(name, errors)
        unsigned = self.batch({"to": "ada@example.org", "vars": {"first": "Ada"}}, dkim=[])
        status, out, errors = self.run_it(unsigned, "ada@example.org", config=config)
        self.assertNotIn("for want of keys", errors)

    def test_a_file_and_a_message_of_his_own(self):
        own = "From: a@other.example\nSubject: own\n\nlatin \xe4\n".encode("latin-1")
        path = self.write("batch", self.batch({
            "to": "ada@example.org", "message": {"raw_base64": base64.b64encode(own).decode()}}, merge=False))
        done = subprocess.run([VEREDUS, "--config", self.config, "--json", "render", path, "--to",
                               "ada@example.org"], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = json.loads(done.stdout)
        message = base64.b64decode(said["message_base64"])
        self.assertTrue(message.endswith(b"From: a@other.example\r\nSubject: own\r\n\r\nlatin \xe4\r\n"))
        self.assertIn(b"\r\nMessage-ID: <", message)
        found = {each["name"]: each["fixed"] for each in said["findings"]}
        self.assertEqual({name for name, fixed in found.items() if fixed},
                         {"date-missing", "message-id-missing", "bare-lf"})
        self.assertLessEqual({"dkim-missing", "charset-missing", "mime-version-missing"}, set(found))

    def test_what_a_tenant_has_mended_or_refused(self):
        text = self.batch({"to": "ada@example.org", "vars": {"first": "Ada"}}, tenant="acme",
                          message={"raw": HEADER.replace("MIME-Version: 1.0\r\n", "") + "x\r\n"})
        mode = "[tenants.acme]\nadmission = \"%s\"\nadmission_ignore = [\"dkim-missing\"]\n"
        status, said, _ = self.run_json(text, "ada@example.org", self.write("f.toml", mode % "fix"))
        self.assertEqual(status, 0)
        self.assertIn("\r\nMIME-Version: 1.0\r\n\r\nx\r\n", said["message"])
        self.assertIn({"name": "mime-version-missing", "fixed": True},
                      [{key: each[key] for key in ("name", "fixed")} for each in said["findings"]])
        status, out, errors = self.run_it(text, "ada@example.org",
                                          config=self.write("r.toml", mode % "refuse"))
        self.assertEqual((status, out), (os.EX_DATAERR, b""))
        self.assertIn("mime-version-missing: ", errors)
        self.assertNotIn("dkim-missing", errors)
        status, said, _ = self.run_json(text, "ada@example.org", self.write("o.toml", mode % "off"))
        self.assertEqual((status, said["findings"]), (0, []))

    def test_who_is_refused(self):
        text = self.batch({"to": "ada@example.org"}, {"to": "no address", "vars": {"first": "x"}})
        status, said, errors = self.run_json(text, "ada@example.org")
        self.assertEqual((status, said["refused"]["status"]), (os.EX_DATAERR, "5.6.0"), errors)
        self.assertNotIn("message", said)
        self.assertIn("line 2: refused: 5.6.0 the variable \"first\" is not defined", errors)
        self.assertEqual(self.run_it(text, "no address")[0], os.EX_DATAERR)

    def test_what_is_not_there(self):
        text = self.batch({"to": "ada@example.org", "vars": {"first": "Ada"}})
        self.assertEqual(self.run_it(text, "bob@example.org")[0], os.EX_NOINPUT)
        done = subprocess.run([VEREDUS, "--config", self.config, "render", self.folder.name + "/none", "--to",
                               "a@b"], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, os.EX_NOINPUT, done.stderr)
        status, out, errors = self.run_it(text + "{\"to\":", "ada@example.org")
        self.assertEqual((status, out), (os.EX_DATAERR, b""))
        self.assertIn("line 3", errors)
        status, _, errors = self.run_it(text, "ada@example.org", config=self.write("b.toml", "[nodes]\n"))
        self.assertEqual(status, os.EX_CONFIG, errors)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    VEREDUS = os.path.abspath(sys.argv.pop(1))
    unittest.main()
