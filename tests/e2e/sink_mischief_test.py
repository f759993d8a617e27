#!/usr/bin/python3
"""The sink misbehaving as it is told, and what it records.  usage: sink_mischief_test.py SINK"""

import json
import os
import signal
import time
import unittest

from sink_peer import DOTTED, Peer, SinkTest, envelope, two_messages


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
        peer.send(two_messages())
        self.assertEqual(peer.replies(len([220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221, 0])), [220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221, 0])
        took = time.monotonic() - start
        self.assertTrue(0.65 <= took < 3, took)
        sink.stop()
        self.assertEqual(sink.messages(), [DOTTED, b"two\r\n"])
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
        counters = sink.counters()
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
