#!/usr/bin/python3
"""The sink against real sockets: every behaviour that tests and comparisons lean on.

Usage: sink_session_test.py SINK [unittest arguments]
"""
import random
import smtplib
import subprocess
import time
import unittest

from no_io_uring import refuse_io_uring
from sink_peer import DOTTED, SINK, SinkTest, envelope, stuff, two_messages


class Plain(SinkTest):
    def test_smtplib_session(self):
        sink = self.sink()
        with smtplib.SMTP("127.0.0.1", sink.port) as client:
            client.sendmail("s@s.test", ["a@b.test", "c@b.test"],
                            "Message-ID: <1@t>\r\n\r\n.dot\r\n..\r\nend\r\n")
        sink.wait_for("open", 0)
        counters = sink.stop()
        self.assertEqual(sink.messages(), [b"Message-ID: <1@t>\r\n\r\n.dot\r\n..\r\nend\r\n"])
        self.assertEqual(sink.ledger(), [("<1@t>", "a@b.test", "ack"), ("<1@t>", "c@b.test", "ack")])
        self.assertEqual((counters["connections"], counters["messages"], counters["recipients"]),
                         (1, 1, 2))

    def test_helo_and_offers(self):
        def offered(*options):
            peer = self.peer(self.sink(*options), greeted=False)
            peer.reply()
            peer.send("EHLO x\r\n")
            words = []
            while True:
                line = peer.file.readline().decode().rstrip()
                words.append(line[4:])
                if line[3] == " ":
                    return set(words[1:])
        self.assertEqual(offered(), {"PIPELINING", "SIZE 52428800", "ENHANCEDSTATUSCODES", "8BITMIME",
                                     "SMTPUTF8", "DSN"})
        self.assertIn("CHUNKING", offered("--chunking"))
        self.assertNotIn("PIPELINING", offered("--no-pipelining"))
        self.assertEqual(offered("--offer", "size=1000,chunking"), {"SIZE 1000", "CHUNKING"})
        self.assertEqual(offered("--offer", "none"), set())
        peer = self.peer(self.sink("--offer", "none"), greeted=False)
        peer.reply()
        self.assertEqual(peer.ask("HELO x"), 250)
        self.assertEqual(peer.ask("MAIL FROM:<a@b> SIZE=3"), 555)
        self.assertEqual(peer.ask("mail from:<a@b>"), 250)
        self.assertEqual(peer.last, "250 ok")

    def test_parameters_of_dsn(self):
        peer = self.peer(self.sink())
        for parameters, code in (("RET=FULL ENVID=a+2Bb", 250), ("RET=HEADERS", 555),
                                 ("ENVID=a+b", 555), ("ENVID=", 555), ("ENVID=" + "x" * 101, 555)):
            self.assertEqual(peer.ask("MAIL FROM:<a@b> " + parameters), code, parameters)
            peer.ask("RSET")
        peer.ask("MAIL FROM:<a@b>")
        for parameters, code in (("NOTIFY=NEVER", 250), ("NOTIFY=SUCCESS,DELAY", 250),
                                 ("NOTIFY=NEVER,DELAY", 555), ("NOTIFY=", 555),
                                 ("ORCPT=rfc822;a@b", 250), ("ORCPT=rfc822;a=b@c", 555),
                                 ("ORCPT=utf-8;\\x{F6}@b", 250), ("ORCPT=a@b", 555)):
            self.assertEqual(peer.ask("RCPT TO:<a@b> " + parameters), code, parameters)

    def test_utf8_wants_smtputf8(self):
        peer = self.peer(self.sink())
        self.assertEqual(peer.ask("MAIL FROM:<j\u00f6@b>"), 553)
        self.assertEqual(peer.ask("MAIL FROM:<j@b>"), 250)
        self.assertEqual(peer.ask("RCPT TO:<j\u00f6@b>"), 553)
        peer.ask("RSET")
        self.assertEqual(peer.ask("MAIL FROM:<j\u00f6@b> SMTPUTF8"), 250)
        self.assertEqual(peer.ask("RCPT TO:<j\u00f6@b>"), 250)

    def test_stated_limits(self):
        peer = self.peer(self.sink("--offer", "mailmax=2,rcptmax=1"))
        for code in (250, 250, 452):
            self.assertEqual(peer.ask("MAIL FROM:<a@b>"), code)
            if code == 250:
                self.assertEqual([peer.ask("RCPT TO:<a@b>") for _ in range(2)], [250, 452])
            peer.ask("RSET")

    def test_order_of_commands(self):
        peer = self.peer(self.sink(), greeted=False)
        peer.reply()
        self.assertEqual(peer.ask("MAIL FROM:<a@b>"), 503)
        self.assertEqual(peer.ask("EHLO x"), 250)
        self.assertEqual(peer.ask("RCPT TO:<a@b>"), 503)
        self.assertEqual(peer.ask("DATA"), 503)
        self.assertEqual(peer.ask("MAIL FROM:<>"), 250)
        self.assertEqual(peer.ask("DATA"), 554)
        self.assertEqual(peer.ask("MAIL FROM:<a@b>"), 503)
        self.assertEqual(peer.ask("RCPT TO:<>"), 501)
        self.assertEqual(peer.ask('RCPT TO:<"a>b"@c.test>'), 250)
        self.assertEqual(peer.ask("RSET"), 250)
        self.assertEqual(peer.ask("DATA"), 503)
        self.assertEqual(peer.ask("VRFY x"), 502)
        self.assertEqual(peer.ask("BDAT 3"), 502)
        self.assertEqual(peer.ask("NOOP"), 250)
        self.assertEqual(peer.ask("QUIT"), 221)
        self.assertEqual(peer.reply(), 0)

    def test_limits(self):
        sink = self.sink("--offer", "size=100,pipelining", "--max-recipients", "2")
        peer = self.peer(sink)
        self.assertEqual(peer.ask("MAIL FROM:<a@b> SIZE=101"), 552)
        self.assertEqual(self.deliver(peer, b"x" * 98 + b"\r\n"), 250)
        self.assertEqual(self.deliver(peer, b"x" * 99 + b"\r\n"), 552)
        peer.ask("MAIL FROM:<a@b>")
        self.assertEqual([peer.ask("RCPT TO:<a@b>") for _ in range(3)], [250, 250, 452])
        peer.send(b"x" * 5000)
        self.assertEqual(peer.replies(2), [500, 0])
        self.assertEqual(sink.stop()["messages"], 1)

    def test_loopback_listens_on_all_of_127(self):
        sink = self.sink(listen=("--listen-loopback", "0"))
        for address in ("127.0.0.1", "127.9.8.7", "127.255.0.3"):
            self.assertEqual(self.deliver(self.peer(sink, address=address)), 250)

    def test_threads_share_the_work_and_the_ledger(self):
        sink = self.sink("--threads", "2")
        for i in range(40):
            peer = self.peer(sink)
            self.assertEqual(self.deliver(peer, recipient="r%d@b.test" % i), 250)
            peer.close()
        self.assertEqual(sink.stop()["messages"], 40)
        self.assertEqual({line[1] for line in sink.ledger()}, {"r%d@b.test" % i for i in range(40)})
        self.assertEqual({line[2] for line in sink.ledger()}, {"ack"})

    def test_a_taken_port_is_refused(self):
        for threads in ("1", "2"):
            sink = self.sink("--threads", threads)
            second = subprocess.run([SINK, "--threads", threads, "--listen", "127.0.0.1:%d" % sink.port],
                                    capture_output=True, text=True, timeout=10)
            self.assertEqual(second.returncode, 71)
            self.assertIn("cannot listen", second.stderr)

    def test_wrong_use(self):
        for bad in (["--fail", "rcpt=200:1", "--listen", "127.0.0.1:0"],
                    ["--fail", "lunch=450:1", "--listen", "127.0.0.1:0"],
                    ["--drop", "dot:1.5", "--listen", "127.0.0.1:0"],
                    ["--content-every", "0", "--listen", "127.0.0.1:0"], ["--nonsense"], []):
            result = subprocess.run([SINK, *bad], capture_output=True, text=True, timeout=10)
            self.assertEqual(result.returncode, 64, bad)

    def test_refused_io_uring_says_so(self):
        result = subprocess.run([SINK, "--listen", "127.0.0.1:0"], capture_output=True, text=True,
                                timeout=10, preexec_fn=refuse_io_uring)
        self.assertEqual(result.returncode, 78)
        self.assertIn("kernel.io_uring_disabled", result.stderr)


class Reading(SinkTest):
    CONTENT = DOTTED

    def session(self):
        return two_messages()

    WANTED = [220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221, 0]

    def test_octet_by_octet(self):
        sink = self.sink()
        peer = self.peer(sink, greeted=False)
        for octet in self.session():
            peer.send(bytes([octet]))
        self.assertEqual(peer.replies(len(self.WANTED)), self.WANTED)
        self.assertEqual(sink.stop()["messages"], 2)
        self.assertEqual(sink.messages(), [self.CONTENT, b"two\r\n"])

    def test_cut_anywhere(self):
        sink = self.sink()
        text = self.session()
        for cut in range(1, len(text)):
            peer = self.peer(sink, greeted=False)
            self.assertEqual(peer.reply(), 220)
            peer.send(text[:cut])
            time.sleep(0.001)
            peer.send(text[cut:])
            self.assertEqual(peer.replies(len(self.WANTED) - 1), self.WANTED[1:], cut)
            peer.close()
        sink.stop()
        self.assertEqual(sink.messages(), [self.CONTENT, b"two\r\n"] * (len(text) - 1))

    def test_hostile_contents_in_random_pieces(self):
        dice = random.Random(7)
        sink = self.sink()
        peer = self.peer(sink)
        contents = []
        for _ in range(600):
            length = dice.choice((0, 1, 3, 8, 40, 200))
            body = b"".join(dice.choice((b".", b"\r", b"\n", b"\r\n", b"a", b"\r\n.", b"." * 20))
                            for _ in range(length))
            contents.append(body if not body or body.endswith(b"\r\n") else body + b"\r\n")
        for content in contents:
            peer.send(envelope())
            self.assertEqual(peer.replies(3), [250, 250, 354])
            wire = stuff(content) + b".\r\n"
            while wire:
                n = dice.choice((1, 2, 3, 5, 16, 17, 33, 64, 70, 500))
                peer.send(wire[:n])
                wire = wire[n:]
                if dice.random() < 0.2:
                    time.sleep(0.0005)
            self.assertEqual(peer.reply(), 250)
        sink.stop()
        self.assertEqual(sink.messages(), contents)

    def test_only_crlf_ends_a_line(self):
        sink = self.sink()
        content = b"a\n.\nb\r.\rc\n.\r\nd\r\n"
        self.assertEqual(self.deliver(self.peer(sink), content), 250)
        sink.stop()
        self.assertEqual(sink.messages(), [content])

    def test_dot_that_was_not_doubled(self):
        sink = self.sink()
        peer = self.peer(sink)
        peer.send(envelope())
        peer.replies(3)
        for octet in b"a\r\n.b\r\n.\rc\r\n.\r\r\n.\r\n":
            peer.send(bytes([octet]))
        self.assertEqual(peer.reply(), 250)
        sink.stop()
        self.assertEqual(sink.messages(), [b"a\r\nb\r\n\rc\r\n\r\r\n"])

    def test_big_message(self):
        sink = self.sink()
        content = b"".join(b".%d line\r\n" % i for i in range(40000))
        self.assertEqual(self.deliver(self.peer(sink), content), 250)
        self.assertEqual(sink.stop()["bytes"], len(stuff(content)))
        self.assertEqual(sink.messages(), [content])

    def test_keeps_each_third_content(self):
        sink = self.sink("--content-every", "3")
        peer = self.peer(sink)
        contents = [b"Message-ID: <%d@t>\r\n\r\n%d\r\n" % (i, i) for i in range(8)]
        for content in contents:
            self.assertEqual(self.deliver(peer, content), 250)
        self.assertEqual(sink.stop()["messages"], 8)
        self.assertEqual(sink.messages(), contents[::3])

    def test_many_transactions_in_one_send(self):
        sink = self.sink()
        peer = self.peer(sink)
        count = 300
        peer.send(b"".join(envelope("r%d@b.test" % i) + b"Message-ID: <%d@t>\r\n\r\n.\r\n" % i
                           for i in range(count)))
        self.assertEqual(peer.replies(4 * count), [250, 250, 354, 250] * count)
        counters = sink.stop()
        self.assertEqual(sink.ledger(), [("<%d@t>" % i, "r%d@b.test" % i, "ack") for i in range(count)])
        self.assertGreater(counters["early"], 0)
        self.assertGreater(counters["after_dot"], 0)

    def test_polite_client_is_not_counted_as_early(self):
        sink = self.sink()
        peer = self.peer(sink)
        for _ in range(5):
            self.deliver(peer)
        peer.send(envelope())
        peer.replies(3)
        peer.send(b"x\r\n.\r\nQUIT\r\n")  # as Postfix does
        self.assertEqual(peer.replies(3), [250, 221, 0])
        counters = sink.stop()
        self.assertEqual((counters["early"], counters["after_dot"], counters["lost"]), (0, 0, 0))

    def test_a_next_mail_with_the_dot_is_counted(self):
        sink = self.sink()
        peer = self.peer(sink)
        peer.send(envelope())
        peer.replies(3)
        peer.send(b"x\r\n.\r\nMAIL FROM:<a@b>\r\n")
        self.assertEqual(peer.replies(2), [250, 250])
        self.assertEqual(sink.stop()["after_dot"], 1)

    def test_bdat(self):
        sink = self.sink("--chunking")
        peer = self.peer(sink)
        content = b"Message-ID: <b@t>\r\n\r\nx\r\n.\r\ny"
        peer.send(b"MAIL FROM:<s@s.test>\r\nRCPT TO:<a@b.test>\r\nBDAT %d LAST\r\n" % len(content) +
                  content + b"MAIL FROM:<s@s.test>\r\nRCPT TO:<c@b.test>\r\nBDAT 5\r\nab\r\n.BDAT 2\r\n"
                  b"\r\nBDAT 0 LAST\r\nNOOP\r\n")
        self.assertEqual(peer.replies(9), [250, 250, 250, 250, 250, 250, 250, 250, 250])
        self.assertEqual(peer.ask("BDAT x"), 501)
        self.assertEqual(peer.reply(), 0)
        sink.stop()
        self.assertEqual(sink.messages(), [content, b"ab\r\n.\r\n"])
        self.assertEqual(sink.ledger(), [("<b@t>", "a@b.test", "ack"), ("-", "c@b.test", "ack")])

    def test_refused_bdat_is_read_to_its_end(self):
        sink = self.sink("--chunking", "--fail", "data=452:1")
        peer = self.peer(sink)
        peer.send("BDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nBDAT 6\r\nQUIT\r\n"
                  "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        self.assertEqual(peer.replies(6), [503, 250, 250, 452, 503, 250])
        counters = sink.stop()
        self.assertEqual((counters["messages"], counters["refused"]), (0, 3))

    def test_ids(self):
        sink = self.sink()
        peer = self.peer(sink)
        cases = {b"MESSAGE-id:   <1@t>  \r\n\r\n": "<1@t>", b"Subject: x\r\n\r\nMessage-ID: <no@t>\r\n": "-",
                 b"Message-ID:\r\n <folded@t>\r\nX: y\r\n\r\n": "<folded@t>",
                 b"Message-ID: <first@t>\r\nMessage-ID: <second@t>\r\n\r\n": "<first@t>",
                 b"X-Message-ID: <no@t>\r\nMessage-IDx: <no@t>\r\n\r\n": "-",
                 b"X: " + b"y" * 9000 + b"\r\nMessage-ID: <late@t>\r\n\r\n": "-",
                 b"Message-ID: <a\tb\x01c@t>\r\n\r\n": "<a b?c@t>", b"Message-ID: <nobody@t>\r\n": "<nobody@t>",
                 b"": "-"}
        for content in cases:
            self.assertEqual(self.deliver(peer, content), 250)
        sink.stop()
        self.assertEqual([line[0] for line in sink.ledger()], list(cases.values()))

    def test_other_id_header(self):
        sink = self.sink("--id-header", "X-Job")
        self.deliver(self.peer(sink), b"Message-ID: <1@t>\r\nx-job: 17\r\n\r\n")
        sink.stop()
        self.assertEqual(sink.ledger()[0][0], "17")


if __name__ == "__main__":
    unittest.main()
