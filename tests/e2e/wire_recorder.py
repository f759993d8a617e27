"""A mail server that writes down every byte it is sent, and judges it by RFC 5321 to the letter: it
takes for the end of data what is one, and nothing else."""

import re
import socket
import threading

COMMAND = re.compile(rb"(EHLO|HELO) [!-~]+|MAIL FROM:<[^<>]*>( [!-~]+)*|RCPT TO:<[^<>]+>( [!-~]+)*|DATA|"
                     rb"BDAT [0-9]+( LAST)?|RSET|QUIT|NOOP")
LINE_MOST = 998


class Hangup(Exception):
    """The client has gone."""


class Recorder:
    """.messages: (recipients, content without what dot-stuffing added) each; .faults: what should
    not have come; .commands: all lines outside of content."""

    def __init__(self, port, extensions=()):
        self.extensions = [b"PIPELINING", *extensions]
        self.messages, self.faults, self.commands = [], [], []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            session = Session(self, connection)
            try:
                session.run()
            except (Hangup, OSError):
                if session.pending:
                    self.faults.append("left over: %r" % session.pending[:80])


class Session:
    def __init__(self, recorder, connection):
        self.recorder, self.connection = recorder, connection
        self.pending = b""
        self.recipients, self.chunks = [], b""

    def more(self):
        got = self.connection.recv(65536)
        if not got:
            raise Hangup
        self.pending += got

    def until(self, end):
        while end not in self.pending:
            self.more()
        taken, self.pending = self.pending.split(end, 1)
        return taken

    def reply(self, *lines):
        self.connection.sendall(b"".join(line + b"\r\n" for line in lines))

    def fault(self, what, piece):
        self.recorder.faults.append("%s: %r" % (what, piece[:120]))

    def run(self):
        self.reply(b"220 recorder.test")
        while True:
            line = self.until(b"\r\n")
            self.recorder.commands.append(line)
            if not COMMAND.fullmatch(line):
                self.fault("no command", line)
            verb = line[:4].upper()
            if verb == b"EHLO":
                names = [b"recorder.test", *self.recorder.extensions]
                self.reply(*(b"250-" + name for name in names[:-1]), b"250 " + names[-1])
            elif verb == b"RCPT":
                self.recipients.append(line[9:].split(b">")[0].decode())
                self.reply(b"250 2.1.5 ok")
            elif verb == b"DATA":
                self.reply(b"354 go ahead")
                self.data()
            elif verb == b"BDAT":
                self.bdat(line)
            elif verb == b"QUIT":
                self.reply(b"221 2.0.0 bye")
                raise Hangup
            else:
                self.reply(b"250 2.0.0 ok")

    def data(self):
        self.pending = b"\r\n" + self.pending  # of the command: an empty message has the dot at once
        stuffed = self.until(b"\r\n.\r\n")[2:] + b"\r\n"
        lines = stuffed.split(b"\r\n")
        for line in lines:
            if line == b"." or (line.startswith(b".") and not line.startswith(b"..")):
                self.fault("a line with a dot that is not stuffed", line)
        self.taken(b"\r\n".join(line[1:] if line.startswith(b"..") else line for line in lines))

    def bdat(self, line):
        size = int(line.split()[1])
        while len(self.pending) < size:
            self.more()
        self.chunks += self.pending[:size]
        self.pending = self.pending[size:]
        if not line.endswith(b" LAST"):
            return self.reply(b"250 2.0.0 chunk")
        content, self.chunks = self.chunks, b""
        self.taken(content)

    def taken(self, content):
        for line in content.split(b"\r\n"):
            if b"\r" in line or b"\n" in line or b"\0" in line:
                self.fault("a bare CR or LF, or a NUL", line)
            if len(line) > LINE_MOST:
                self.fault("a line of %d bytes" % len(line), line)
        if not content.endswith(b"\r\n"):
            self.fault("content that ends within a line", content[-80:])
        self.recorder.messages.append((self.recipients, content))
        self.recipients = []
        self.reply(b"250 2.0.0 taken")
