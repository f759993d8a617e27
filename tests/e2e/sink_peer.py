"""A sink started for a test, and a raw client of it: what the tests of the sink share."""

import glob
import json
import os
import signal
import socket
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import loopback  # noqa: E402
import testzone  # noqa: E402, F401 (for the tests)

SINK = sys.argv.pop(1) if len(sys.argv) > 1 and os.path.exists(sys.argv[1]) else "sink"


class Sink:
    """A running sink; .stop() ends it and returns its counters."""

    def __init__(self, *options, listen=("--listen", "127.0.0.1:0")):
        self.dir = tempfile.TemporaryDirectory(prefix="sink-test-")
        self.path = self.dir.name
        self.ledger_path = self.path + "/ledger"
        self.content = self.path + "/content"
        self.status_path = self.path + "/status"
        self.process, self.port = loopback.start_sink(
            SINK, "--ledger", self.ledger_path, "--content-dir", self.content, "--status-file",
            self.status_path, *options, listen=listen)

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        code = self.process.wait(10)
        self.process.stdout.close()
        assert code == 0, code
        with open(self.status_path) as f:
            return json.load(f)

    def kill(self):
        self.process.kill()
        loopback.end_process(self.process)
        self.dir.cleanup()

    def counters(self):
        return loopback.sink_counters(self.process, self.status_path)

    def wait_for(self, field, value):
        """Until a counter has this value, at most 5 s."""
        end = time.monotonic() + 5
        while self.counters()[field] != value:
            if time.monotonic() > end:
                raise AssertionError("%s did not become %s" % (field, value))
            time.sleep(0.01)

    def ledger(self):
        return loopback.read_ledger(self.ledger_path)

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


DOTTED = b"Message-ID: <c@t>\r\n\r\n.\r\n..\r\n.a\r\nb.\r\n\r\n.\r\r\n\n.\n.\r\n"


def two_messages():
    """A whole session: DOTTED, then a short one."""
    return (b"EHLO x\r\n" + envelope() + stuff(DOTTED) + b".\r\n" + envelope("z@b.test") +
            b"two\r\n.\r\nQUIT\r\n")


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
