#!/usr/bin/python3
"""What a feeder gives cannot end a message, begin a command or add a header field: everything that
looks like an end of data, and line ends wherever a feeder can put one, on the wire byte by byte, and
at aiosmtpd.

Usage: smuggling_test.py VEREDUS SINK [unittest arguments]
"""

import base64
import itertools
import json
import os
import re
import unittest

import varied_mail
from tls_receiver import Receiver
from wire_recorder import Recorder

loopback = varied_mail.walk.loopback
DOMAIN = varied_mail.DOMAIN

# All that some server has taken for an end of data, and some client for a part of a message
# (CVE-2023-51764, -51765, -51766), and the right one.
ENDS = ("\r\n", "\n", "\r")
LOOK_ALIKES = ["%s.%s" % pair for pair in itertools.product(ENDS, ENDS)] + \
    ["\r\r\n.\r\n", "\r\n.\r\r\n", "\n\r.\r\n"]
SMUGGLED = "MAIL FROM:<evil@attacker.test>\r\nRCPT TO:<victim@%s>\r\nDATA\r\nSubject: smuggled\r\n\r\nx" \
    "\r\n.\r\n" % DOMAIN
HEAD = "From: a@walk.test\r\nDate: Mon, 02 Jan 2023 03:04:05 +0000\r\nMessage-ID: <%s@walk.test>\r\n" \
    "Subject: %s\r\n\r\n"
CONTROLS = ("\r\n", "\n", "\r", "\0", "\x1b", "\x7f")


def head(name, subject="x"):
    return HEAD % (name, subject)


def normalised(text):
    """CR, LF and CRLF each end a line."""
    return re.sub("\r\n|\r|\n", "\r\n", text).encode()


def raw_of(text):
    return {"raw_base64": base64.b64encode(text.encode()).decode()}


class Smuggling(unittest.TestCase):
    def start(self, receiver_of, **smtp):
        self.receiver = loopback.at_free_port(receiver_of)
        self.walk = varied_mail.start_walk(self, {
            "redirect": "127.0.0.1:%d" % self.receiver.port, "trace_header": False, "tls": "none", **smtp})

    def recorded(self, *extensions):
        def at(port):
            try:
                return Recorder(port, extensions)
            except OSError as error:
                raise loopback.PortTaken from error
        self.start(at)
        self.addCleanup(self.receiver.stop)

    def feed(self, name, lines, **fields):
        status, answer = self.walk.feed([{"batch": name, "sender": "b@walk.test", **fields}] + lines)
        self.assertEqual(status, 200, answer)
        return answer

    def feed_look_alikes(self):
        """Each as a batch's message, as a recipient's own, and as a variable. Who must get what."""
        wanted = {}
        for number, end in enumerate(LOOK_ALIKES):
            for kind, body in (("plain", "before" + end + SMUGGLED), ("first", end.lstrip("\r\n") + SMUGGLED),
                               ("last", "before" + end)):
                name = "%s-%d" % (kind, number)
                to = ["%s-%s@%s" % (name, way, DOMAIN) for way in ("batch", "own", "var")]
                text = head(name) + body
                wanted.update(dict.fromkeys(to, normalised(text if text[-1] in "\r\n" else text + "\r\n")))
                self.feed(name, [{"to": to[0]}, {"to": to[1], "message": raw_of(text)}],
                          message=raw_of(text))
                self.feed(name + "-var", [{"to": to[2], "vars": {"x": body}}], merge=True,
                          message=raw_of(head(name) + "{{{x}}}"))
                if not body.endswith(("\r", "\n")):
                    continue
                # The last line end is the template's.
                wanted[to[2]] += b"\r\n"
        return wanted

    def check_look_alikes(self, arrived, wanted):
        for batch in {to.split("@")[0] for to in wanted}:
            name, way = batch.rsplit("-", 1)
            self.walk.wait_settled(name + ("-var" if way == "var" else ""))
        got = {}
        for recipients, content in arrived():
            self.assertEqual(len(recipients), 1, recipients)
            self.assertNotIn(recipients[0], got)
            got[recipients[0]] = content
        self.assertEqual(set(got), set(wanted))
        for to, content in wanted.items():
            self.assertEqual(got[to], content, to)

    def check_recorded(self):
        wanted = self.feed_look_alikes()
        self.check_look_alikes(lambda: self.receiver.messages, wanted)
        self.walk.stop()
        self.assertEqual(self.receiver.faults, [])
        for command in self.receiver.commands:
            self.assertNotRegex(command, b"evil|victim")

    def test_look_alikes_by_data(self):
        self.recorded()
        self.check_recorded()
        self.assertEqual(sum(command == b"DATA" for command in self.receiver.commands),
                         len(self.receiver.messages), "one end of data for each message")

    def test_look_alikes_by_bdat(self):
        self.recorded(b"CHUNKING", b"8BITMIME")
        self.check_recorded()
        self.assertEqual(sum(command.startswith(b"BDAT") for command in self.receiver.commands),
                         len(self.receiver.messages))

    def test_look_alikes_at_aiosmtpd(self):
        def at(port):
            try:
                return Receiver("127.0.0.1", port)
            except OSError as error:
                raise loopback.PortTaken from error
        self.start(at)
        self.addCleanup(self.receiver.controller.stop)
        self.check_look_alikes(lambda: [got[:2] for got in self.receiver.got], self.feed_look_alikes())

    def test_line_ends_and_controls_where_a_feeder_can_put_them(self):
        self.recorded(b"SMTPUTF8", b"8BITMIME", b"DSN")
        body = raw_of(head("{{id}}", "Hello {{x|you}}") + "Dear {{x|you}}\r\n")
        for number, control in enumerate(CONTROLS):
            evil = "a" + control + "RCPT TO:<victim@%s>" % DOMAIN
            name = "recipients-%d" % number
            answer = self.feed(name, [
                {"to": evil + "@" + DOMAIN},
                {"to": "a@" + DOMAIN + control + "x"},
                {"to": "\"a%sb\"@%s" % (control, DOMAIN)},
                {"to": "a@" + DOMAIN, "vars": {"x": evil}},
                {"to": "a@" + DOMAIN, "sender": "b%s@walk.test" % control},
                {"to": "good@" + DOMAIN, "id": "good-%d" % number}], merge=True, message=body)
            self.assertEqual((answer["accepted"], answer["refused"]), (1, 5), answer)
            self.assertEqual([each["status"] for each in answer["refusals"]],
                             ["5.1.3", "5.1.3", "5.1.3", "5.6.0", "5.1.7"])
            self.walk.wait_settled(name)
            refused = [
                {"sender": "b%s@walk.test" % control},
                {"dsn": {"envid": evil}},
                {"dsn": {"notify": [evil]}},
                {"pool": evil},
                {"tenant": evil},
                {"campaign": evil},
                {"tags": evil},
            ]
            if control in "\0\r":
                refused += [{"message": raw_of(head("in-header", "x%sBcc: victim@%s" % (line, DOMAIN)))}
                            for line in (control, control + "\r\n")]
            for fields in refused:
                lines = {"batch": "refused-%d" % number, "sender": "b@walk.test", "message": body, **fields}
                status, answer = self.walk.feed([lines, {"to": "a@" + DOMAIN}])
                self.assertEqual(status, 400, (fields, answer))
        self.walk.stop()
        self.assertEqual(self.receiver.faults, [])
        self.assertEqual([to for to, _ in self.receiver.messages], [["good@" + DOMAIN]] * len(CONTROLS))
        for command in self.receiver.commands:
            self.assertNotIn(b"victim", command)

    def test_a_variable_adds_no_field(self):
        self.recorded()
        field = "\r\nBcc: victim@" + DOMAIN
        answer = self.feed("fields", [
            {"to": "a@" + DOMAIN, "vars": {"x": "x" + field}},
            {"to": "b@" + DOMAIN, "vars": {"x": "x\n Bcc: v"}},
            {"to": "c@" + DOMAIN, "vars": {"x": "Bcc: v:" + "y" * 20}},
            {"to": "d@" + DOMAIN, "name": "x" + field, "vars": {"x": "z"}}],
            merge=True, message=raw_of("X-Name: {{name|none}}\r\n" + head("f", "{{x}}") + "{{x}}\r\n"))
        self.assertEqual([each["line"] for each in answer["refusals"]], [2, 3, 5], answer)
        self.walk.wait_settled("fields")
        (to, content), = self.receiver.messages
        self.assertEqual(to, ["c@" + DOMAIN])
        fields = content.split(b"\r\n\r\n")[0].split(b"\r\n")
        self.assertEqual([line.split(b":")[0] for line in fields],
                         [b"X-Name", b"From", b"Date", b"Message-ID", b"Subject"])
        self.assertEqual(self.receiver.faults, [])

    def test_a_variable_stays_what_its_field_wants(self):
        self.recorded()
        rows = (("From: {{x}}@walk.test", "a@evil.test", "a"), ("From: <{{x}}>", "@evil.test:a@walk.test", "a@walk.test"),
                ("From: {{x}}", "x:y@evil.test", "a@walk.test"), ("Date: {{x}}", " ", "Mon, 02 Jan 2023 03:04:05 +0000"),
                ("Message-ID: {{x}}", "<a b> <c@d>", "<a@walk.test>"), ("List-Unsubscribe: <{{x}}>", "javascript:x", "https://walk.test"),
                ("Content-Disposition: inline; filename={{x}}", "x; y=z", "x"), ("References: <a@b>\r\n {{x}}", "", "<c@d>"))
        for number, (field, evil, good) in enumerate(rows):
            name = "moves-%d" % number
            answer = self.feed(name, [{"to": "evil@" + DOMAIN, "vars": {"x": evil}}, {"to": "good@" + DOMAIN, "vars": {"x": good}}],
                               merge=True, message=raw_of(field + "\r\nSubject: x\r\n\r\nx\r\n"))
            self.assertEqual([(each["line"], each["status"]) for each in answer["refusals"]], [(2, "5.6.0")], (field, answer))
            self.walk.wait_settled(name)
            self.assertIn(field.replace("{{x}}", good).encode(), self.receiver.messages[-1][1])
        word = "=?utf-8?Q?a=0D=0ABcc:_victim=40x?="
        self.feed("word", [{"to": "a@" + DOMAIN, "vars": {"x": word}}], merge=True,
                  message=raw_of("Subject: {{x}}\r\n\r\nx\r\n"))
        self.walk.wait_settled("word")
        self.assertNotIn(word.encode(), self.receiver.messages[-1][1])
        self.assertEqual({to[0] for to, _ in self.receiver.messages[:-1]}, {"good@" + DOMAIN})
        self.assertEqual(self.receiver.faults, [])


class Malformed(unittest.TestCase):
    """What is no batch is refused whole, by line and byte; the connection that brought it goes on."""

    GOOD = b'{"batch":"good","sender":"b@walk.test","message":{"raw":"A: b\\n\\nx"}}\n'
    TO = b'{"to":"a@' + DOMAIN.encode() + b'"}\n'

    def test_one_connection(self):
        started = varied_mail.start_walk(self, {"redirect": "127.0.0.1:9"})
        head = self.GOOD.replace(b"good", b"bad")
        bodies = {
            "cut off": (head + self.TO + self.TO[:-3], 3),
            "bad UTF-8": (head + self.TO + b'{"to":"a\xff@b.c"}\n', 3),
            "a lone surrogate": (head + b'{"to":"a\\ud800@b.c"}\n', 2),
            "too deep": (head + b'{"to":"a@b.c","meta":' + b'{"a":' * 20000 + b"1" + b"}" * 20001 + b"\n", 2),
            "a key twice": (head + b'{"to":"a@b.c","to":"c@d.e"}\n', 2),
            "a huge number": (head.replace(b"{", b'{"priority":' + b"9" * 5000 + b",", 1) + self.TO, 1),
            "a control byte": (head + b'{"to":"a\x01@b.c"}\n', 2),
            "a second value": (head + self.TO[:-1] + b"{}\n", 2),
            "no recipients": (head, 0),
            "nothing": (b"", 0),
        }
        connection = varied_mail.walk.UnixConnection(started.socket)
        self.addCleanup(connection.close)
        connection.connect()
        local = connection.sock
        for what, (body, line) in bodies.items():
            connection.request("POST", "/v1/batches", body)
            answer = connection.getresponse()
            error = json.loads(answer.read())["error"]
            self.assertEqual((answer.status, error["code"], error["line"]), (400, "malformed", line),
                             "%s: %s" % (what, error))
            self.assertTrue(line == 0 or error["byte"] > 0, what)
            self.assertIs(connection.sock, local, what + ": the connection was closed")
        connection.request("POST", "/v1/batches", self.GOOD + self.TO)
        answer = connection.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["accepted"]), (200, 1))
        self.assertEqual(started.get("/v1/batches/default/bad")[0], 404, "nothing of them is kept")


class Names(unittest.TestCase):
    def test_no_line_end_gets_into_the_ehlo_name(self):
        directory = varied_mail.tempfile.mkdtemp(prefix="veredus-e2e-", dir="/var/tmp")
        self.addCleanup(varied_mail.shutil.rmtree, directory, True)
        for setting in ("[node]\nhostname = \"a.example\\r\\nRCPT\"\n",
                        "[node]\nhostname = \"a.example\\u0000\"\n",
                        "[[sources]]\nehlo = \"a.example\\nx\"\n"):
            path = os.path.join(directory, "bad.toml")
            with open(path, "w") as file:
                file.write(setting)
            done = varied_mail.walk.loopback.subprocess.run(
                [varied_mail.VEREDUS, "check-config", path], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, os.EX_CONFIG, setting + done.stderr)


if __name__ == "__main__":
    unittest.main()
