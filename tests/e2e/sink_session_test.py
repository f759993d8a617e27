#!/usr/bin/python3
"""The sink against real sockets: every behaviour that tests and comparisons lean on.

Usage: sink_session_test.py SINK [unittest arguments]
"""

import ctypes
import glob
import json
import os
import random
import signal
import smtplib
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

SINK = sys.argv.pop(1) if len(sys.argv) > 1 and os.path.exists(sys.argv[1]) else "sink"


class Sink:
    """A running sink; .stop() ends it and returns its counters."""

    def __init__(self, *options, listen=("--listen", "127.0.0.1:0")):
        self.dir = tempfile.TemporaryDirectory(prefix="sink-test-")
        self.path = self.dir.name
        self.ledger_path = self.path + "/ledger"
        self.content = self.path + "/content"
        self.status_path = self.path + "/status"
        self.process = subprocess.Popen(
            [SINK, *listen, "--ledger", self.ledger_path, "--content-dir", self.content,
             "--status-file", self.status_path, *options], stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        if not ready.startswith("sink: ready"):
            self.process.kill()
            raise RuntimeError("the sink did not start: %r" % ready)
        self.port = int(ready.rsplit(":", 1)[1])

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        code = self.process.wait(10)
        self.process.stdout.close()
        assert code == 0, code
        with open(self.status_path) as f:
            return json.load(f)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        self.dir.cleanup()

    def wait_for(self, field, value):
        """Until a counter has this value, at most 5 s."""
        for _ in range(100):
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(0.05)
            if os.path.exists(self.status_path):
                with open(self.status_path) as f:
                    if json.load(f)[field] == value:
                        return
        raise AssertionError("%s did not become %s" % (field, value))

    def ledger(self):
        with open(self.ledger_path, newline="\n") as f:
            return [tuple(line.rstrip("\n").split("\t")) for line in f]

    def messages(self):
        names = glob.glob(self.content + "/*.eml")
        names.sort(key=lambda name: int(name.rsplit("-", 1)[1][:-4]))
        contents = []
        for name in names:
            with open(name, "rb") as f:
                contents.append(f.read())
        return contents


class Peer:
    """A raw connection."""

    def __init__(self, sink, address="127.0.0.1", greeted=True):
        self.socket = socket.create_connection((address, sink.port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        if greeted:
            assert self.reply() == 220
            assert self.ask("EHLO client.test") == 250

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """The code of the next whole reply; 0 at the end of the connection."""
        while True:
            line = self.file.readline()
            if not line:
                return 0
            assert line.endswith(b"\r\n"), line
            self.last = line.decode().rstrip("\r\n")
            if line[3:4] != b"-":
                return int(line[:3])

    def ask(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def close(self):
        self.file.close()
        self.socket.close()


def stuff(content):
    """Transparency as RFC 5321 section 4.5.2 has it; only CR LF ends a line."""
    return b"\r\n".join(b"." + line if line.startswith(b".") else line
                        for line in content.split(b"\r\n"))


def envelope(recipient="a@b.test"):
    return ("MAIL FROM:<s@s.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % recipient).encode()


class SinkTest(unittest.TestCase):
    def sink(self, *options, **more):
        sink = Sink(*options, **more)
        self.addCleanup(sink.kill)
        return sink

    def peer(self, sink, **more):
        peer = Peer(sink, **more)
        self.addCleanup(peer.close)
        return peer

    def deliver(self, peer, content=b"Message-ID: <m@t>\r\n\r\nx\r\n", recipient="a@b.test"):
        peer.send(envelope(recipient))
        self.assertEqual(peer.replies(3), [250, 250, 354])
        peer.send(stuff(content) + b".\r\n")
        return peer.reply()


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
                    ["--drop", "dot:1.5", "--listen", "127.0.0.1:0"], ["--nonsense"], []):
            result = subprocess.run([SINK, *bad], capture_output=True, text=True, timeout=10)
            self.assertEqual(result.returncode, 64, bad)

    def test_refused_io_uring_says_so(self):
        def refuse():  # seccomp: io_uring_setup (425) fails with EPERM
            code = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001),
                    (0x06, 0, 0, 0x7fff0000)]
            filters = b"".join(struct.pack("HBBI", *one) for one in code)
            buffer = ctypes.create_string_buffer(filters)
            program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buffer))
            libc = ctypes.CDLL(None)
            libc.prctl(38, 1, 0, 0, 0)
            libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0)
        result = subprocess.run([SINK, "--listen", "127.0.0.1:0"], capture_output=True, text=True,
                                timeout=10, preexec_fn=refuse)
        self.assertEqual(result.returncode, 78)
        self.assertIn("kernel.io_uring_disabled", result.stderr)


class Reading(SinkTest):
    CONTENT = b"Message-ID: <c@t>\r\n\r\n.\r\n..\r\n.a\r\nb.\r\n\r\n.\r\r\n\n.\n.\r\n"

    def session(self):
        return (b"EHLO x\r\n" + envelope() + stuff(self.CONTENT) + b".\r\n" + envelope("z@b.test") +
                b"two\r\n.\r\nQUIT\r\n")

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


class Misbehaving(SinkTest):
    def dialogue(self, peer):
        """Codes of one delivery, step by step, up to the first that is not welcome."""
        codes = []
        for line in ("EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "\r\n.", "QUIT"):
            codes.append(peer.ask(line))
            if codes[-1] >= 400 or codes[-1] == 0:
                break
        return codes

    def test_fail_at_each_stage(self):
        good = [250, 250, 250, 354, 250, 221]
        for index, stage in enumerate(("ehlo", "mail", "rcpt", "data", "dot", "quit")):
            for code in (451, 550, 421):
                sink = self.sink("--fail", "%s=%d" % (stage, code))
                peer = self.peer(sink, greeted=False)
                self.assertEqual(peer.reply(), 220)
                self.assertEqual(self.dialogue(peer), good[:index] + [code])
                if code == 421:
                    self.assertEqual(peer.reply(), 0)
                else:
                    self.assertEqual(peer.ask("RSET"), 250)
                counters = sink.stop()
                self.assertEqual(counters["refused"], 1)
                self.assertEqual(sink.ledger(), [] if stage != "quit" else [("-", "a@b", "ack")])

    def test_fail_at_connect_helo_rset_noop(self):
        peer = self.peer(self.sink("--fail", "connect=554"), greeted=False)
        self.assertEqual(peer.replies(2), [554, 0])
        peer = self.peer(self.sink("--fail", "ehlo=502", "--fail", "rset=450", "--fail", "noop=500"),
                         greeted=False)
        peer.reply()
        self.assertEqual([peer.ask(line) for line in ("EHLO x", "HELO x", "RSET", "NOOP")],
                         [502, 250, 450, 500])
        peer = self.peer(self.sink("--fail", "helo=504"), greeted=False)
        peer.reply()
        self.assertEqual(peer.ask("HELO x"), 504)

    def test_drop_and_reset(self):
        for stage, before in (("connect", None), ("ehlo", []), ("mail", [250]), ("rcpt", [250] * 2),
                              ("data", [250] * 3), ("dot", [250] * 3 + [354])):
            for kind in ("drop", "reset"):
                sink = self.sink("--" + kind, stage)
                codes = []
                try:
                    peer = self.peer(sink, greeted=False)  # a reset may be faster than connect()
                    if before is not None:
                        self.assertEqual(peer.reply(), 220)
                        for line in ("EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "\r\n.")[
                                :len(before) + 1]:
                            codes.append(peer.ask(line))
                    else:
                        codes.append(peer.reply())
                    self.assertEqual((kind, codes), ("drop", (before or []) + [0]))
                except ConnectionResetError:
                    self.assertEqual((kind, codes), ("reset", before or []))
                counters = sink.stop()
                self.assertEqual((counters["drops"], counters["resets"], counters["messages"]),
                                 (kind == "drop", kind == "reset", 0))
                self.assertEqual(sink.ledger(), [])

    def test_lost_after_the_dot_is_stored_without_reply(self):
        for kind in ("drop", "reset"):
            sink = self.sink("--" + kind, "after-dot")
            peer = self.peer(sink)
            try:
                self.assertEqual((kind, self.deliver(peer)), ("drop", 0))
            except ConnectionResetError:
                self.assertEqual(kind, "reset")
            counters = sink.stop()
            self.assertEqual(sink.ledger(), [("<m@t>", "a@b.test", "noreply")])
            self.assertEqual((counters["messages"], counters["noreply"]), (1, 1))
            self.assertEqual(len(sink.messages()), 1)

    def test_earlier_replies_arrive_before_a_drop(self):
        # Megabytes behind them: a close() over unread input would be a reset, and lose the replies.
        peer = self.peer(self.sink("--drop", "noop"))
        peer.send("RSET\r\nRSET\r\nNOOP\r\nRSET\r\n" + "RSET\r\n" * 1_000_000)
        self.assertEqual(peer.replies(3), [250, 250, 0])

    def test_lost_after_the_dot_with_earlier_replies_on_their_way(self):
        sink = self.sink("--drop", "after-dot")
        peer = self.peer(sink)
        peer.send(envelope() + b"Message-ID: <m@t>\r\n\r\n.\r\n")
        self.assertEqual(peer.replies(4), [250, 250, 354, 0])
        sink.stop()
        self.assertEqual(sink.ledger(), [("<m@t>", "a@b.test", "noreply")])

    def test_peer_gone_while_the_reply_waits(self):
        for stage, wanted in (("dot", []), ("after-dot", [("<m@t>", "a@b.test", "noreply")])):
            sink = self.sink("--delay", stage + "=300")
            peer = self.peer(sink)
            peer.send(envelope())
            peer.replies(3)
            peer.send(b"Message-ID: <m@t>\r\n\r\n.\r\n")
            time.sleep(0.05)
            peer.close()
            time.sleep(0.5)
            sink.stop()
            self.assertEqual(sink.ledger(), wanted, stage)

    def test_stop_while_the_reply_waits(self):
        sink = self.sink("--delay", "after-dot=60000")
        peer = self.peer(sink)
        peer.send(envelope())
        peer.replies(3)
        peer.send(b"Message-ID: <m@t>\r\n\r\n.\r\n")
        time.sleep(0.1)
        sink.stop()
        self.assertEqual(sink.ledger(), [("<m@t>", "a@b.test", "noreply")])

    def test_delays_keep_the_order(self):
        stages = ("connect", "ehlo", "mail", "rcpt", "data", "dot", "after-dot", "quit")
        sink = self.sink(*[word for stage in stages for word in ("--delay", stage + "=50")])
        peer = self.peer(sink, greeted=False)
        start = time.monotonic()
        peer.send(Reading.session(Reading))
        self.assertEqual(peer.replies(len(Reading.WANTED)), Reading.WANTED)
        took = time.monotonic() - start
        self.assertTrue(0.65 <= took < 3, took)
        sink.stop()
        self.assertEqual(sink.messages(), [Reading.CONTENT, b"two\r\n"])
        self.assertEqual([line[2] for line in sink.ledger()], ["ack", "ack"])

    def test_delayed_bdat(self):
        sink = self.sink("--chunking", "--delay", "data=50", "--delay", "dot=50")
        peer = self.peer(sink)
        start = time.monotonic()
        peer.send("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nBDAT 3\r\nabcBDAT 3 LAST\r\ndefNOOP\r\n")
        self.assertEqual(peer.replies(5), [250] * 5)
        self.assertGreaterEqual(time.monotonic() - start, 0.1)
        sink.stop()
        self.assertEqual(sink.messages(), [b"abcdef"])

    def test_greylist(self):
        sink = self.sink("--greylist", "0.3")
        peer = self.peer(sink)
        peer.ask("MAIL FROM:<a@b>")
        self.assertEqual(peer.ask("RCPT TO:<x@b>"), 451)
        self.assertEqual(peer.ask("RCPT TO:<x@b>"), 451)
        time.sleep(0.35)
        self.assertEqual(peer.ask("RCPT TO:<x@b>"), 250)
        self.assertEqual(peer.ask("RCPT TO:<y@b>"), 451)
        self.assertEqual(sink.stop()["greylisted"], 3)

    def test_replies_octet_by_octet(self):
        sink = self.sink("--byte-delay", "3")
        peer = self.peer(sink, greeted=False)
        start = time.monotonic()
        reads = []
        while not b"".join(reads).endswith(b"\r\n"):
            reads.append(peer.socket.recv(100))
        self.assertEqual(b"".join(reads), b"220 sink.test ESMTP\r\n")
        self.assertGreaterEqual(time.monotonic() - start, 0.05)
        self.assertGreaterEqual(len(reads), 10)
        peer.send("EHLO x\r\n" + "QUIT\r\n")
        self.assertEqual(peer.replies(3), [250, 221, 0])

    def test_seed_decides(self):
        def throws(seed):
            sink = self.sink("--fail", "noop=450:0.3", "--seed", str(seed))
            codes = []
            for _ in range(2):
                peer = self.peer(sink)
                peer.send("NOOP\r\n" * 400)
                codes += peer.replies(400)
                peer.close()
            return codes
        first = throws(5)
        self.assertEqual(first, throws(5))
        self.assertNotEqual(first, throws(6))
        self.assertNotEqual(first[:400], first[400:])
        self.assertTrue(0.2 < first.count(450) / 800 < 0.4, first.count(450))


class Records(SinkTest):
    def test_ledger_is_flushed_while_running(self):
        sink = self.sink()
        peer = self.peer(sink)
        for _ in range(3):
            self.deliver(peer)
            time.sleep(0.25)
            peer.ask("NOOP")
        self.assertEqual(len(sink.ledger()), 3)
        self.deliver(peer)
        self.deliver(peer)
        time.sleep(0.3)  # without any further event
        self.assertEqual(len(sink.ledger()), 5)

    def test_ledger_sync_is_ahead_of_the_reply(self):
        sink = self.sink("--ledger-sync")
        peer = self.peer(sink)
        for i in range(20):
            self.deliver(peer)
            self.assertEqual(len(sink.ledger()), i + 1)
        self.assertEqual({line[2] for line in sink.ledger()}, {"ack"})

    def test_kill_loses_no_synced_line(self):
        sink = self.sink("--ledger-sync")
        peer = self.peer(sink)
        self.deliver(peer)
        sink.process.kill()
        sink.process.wait()
        sink.process.stdout.close()
        self.assertEqual(sink.ledger(), [("<m@t>", "a@b.test", "ack")])

    def test_counters_on_signal_and_periodically(self):
        sink = self.sink()
        self.deliver(self.peer(sink))
        self.assertFalse(os.path.exists(sink.status_path))
        sink.process.send_signal(signal.SIGUSR1)
        for _ in range(100):
            time.sleep(0.02)
            if os.path.exists(sink.status_path):
                break
        with open(sink.status_path) as f:
            counters = json.load(f)
        self.assertEqual((counters["messages"], counters["open"]), (1, 1))
        self.assertEqual(sink.stop(signal.SIGINT)["messages"], 1)
        periodic = self.sink("--status-every", "20")
        time.sleep(0.3)
        with open(periodic.status_path) as f:
            self.assertEqual(json.load(f)["messages"], 0)

    def test_a_client_that_leaves_within_a_transaction_is_counted(self):
        sink = self.sink()
        peer = self.peer(sink)
        peer.ask("MAIL FROM:<a@b>")
        peer.close()
        sink.wait_for("open", 0)
        self.assertEqual(sink.stop()["lost"], 1)

    def test_many_connections_come_and_go(self):
        sink = self.sink("--max-connections", "50")
        for _ in range(20):
            peers = [self.peer(sink) for _ in range(50)]
            for peer in peers:
                self.assertEqual(self.deliver(peer), 250)
            extra = Peer(sink, greeted=False)
            self.assertEqual(extra.reply(), 421)
            extra.close()
            for peer in peers:
                peer.close()
            sink.wait_for("open", 0)
        self.assertEqual(sink.stop()["messages"], 1000)


if __name__ == "__main__":
    unittest.main()
