"""A Postfix that receives, and where it delivers to.

An instance of its own below a scratch directory, with its own configuration, queue, data directory and log,
on ports of loopback; the system's is not touched. It takes mail at several ports, each with another
behaviour, and hands all of it over LMTP to a Collector. Needs root, as Postfix does.
"""

import asyncio
import os
import shutil
import socket
import tempfile
import threading
import time

from tls_receiver import Certificate
from walk_case import walk

loopback = walk.loopback
MASTER = "/usr/lib/postfix/sbin/master"

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
mail_owner = postfix
myhostname = mx.postfix.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_client_connection_count_limit = 0
default_transport = lmtp:inet:[127.0.0.1]:{collector_port}
lmtp_destination_recipient_limit = 1000
lmtp_connection_cache_on_demand = yes
local_header_rewrite_clients =
swap_bangpath = no
allow_percent_hack = no
message_size_limit = 20000000
mailbox_size_limit = 0
in_flow_delay = 0
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_tls_cert_file = {root}/cert.pem
smtpd_tls_key_file = {root}/cert.key
smtp_tls_security_level = none
"""

# As Debian ships it, without chroot, and only what this instance needs.
MASTER_CF = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


# Postfix's master changes its rights now and then, and the kernel forgets that it is to end when its parent
# does. This one does not.
GUARD = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: master.terminate())
master = subprocess.Popen(sys.argv[1:], start_new_session=True)
sys.exit(master.wait())
"""


def why_not():
    """Why there can be no instance here; None if there can."""
    if not os.path.exists(MASTER):
        return "Postfix is missing (tools/install-deps --test)"
    return "Postfix needs root" if os.geteuid() != 0 else None


class Collector:
    """An LMTP server (RFC 2033) that keeps every message: .got is (recipients, content) each."""

    def __init__(self):
        self.got = []
        self.loop = asyncio.new_event_loop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self.listener, limit=1 << 20))
        self.loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def _serve(self, reader, writer):
        writer.write(b"220 collector.test LMTP\r\n")
        recipients = []
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"LHLO":
                writer.write(b"250-collector.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
                             b"250-DSN\r\n250 SIZE 100000000\r\n")
            elif verb == b"RCPT":
                recipients.append(line.split(b"<", 1)[1].split(b">", 1)[0].decode())
                writer.write(b"250 ok\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go ahead\r\n")
                lines = [b"\r\n"]  # as if one had ended before the content
                while not (lines[-1] == b".\r\n" and lines[-2].endswith(b"\r\n")):
                    lines.append(await reader.readuntil(b"\n"))
                content = b"".join(lines[:-1]).replace(b"\r\n.", b"\r\n")
                self.got.append((recipients, content[2:]))
                writer.write(b"250 taken\r\n" * len(recipients))
                recipients = []
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
            await writer.drain()
        writer.close()


class Receiver:
    """A running Postfix. `ports`: a name, and the options of the smtpd that listens there, each. .port[name] is
    where."""

    def __init__(self, ports):
        self.root = tempfile.mkdtemp(prefix="veredus-postfix-", dir="/var/tmp")
        os.chmod(self.root, 0o755)
        self.collector = Collector()
        self.process = None
        try:
            Certificate(self.root, "cert")
            self._configure(ports)
            self._start()
        except BaseException:
            self.stop()
            raise

    def _configure(self, ports):
        for name in ("config", "queue", "data"):
            os.mkdir("%s/%s" % (self.root, name))
        shutil.chown(self.root + "/data", "postfix", "postfix")
        self.port = {}
        services = MASTER_CF
        for name, options in ports.items():
            while (port := loopback.free_port()) in self.port.values():
                pass
            self.port[name] = port
            services += "127.0.0.1:%d inet n - n - 100 smtpd\n" % port
            services += "".join("  -o %s=%s\n" % option for option in
                                {**options, "syslog_name": "postfix/" + name}.items())
        values = {"root": self.root, "collector_port": self.collector.port}
        for name, text in (("main.cf", MAIN_CF.format(**values)), ("master.cf", services)):
            with open("%s/config/%s" % (self.root, name), "w") as file:
                file.write(text)

    def _start(self):
        log = open(self.root + "/start.log", "w")
        with log:
            check = ["/usr/sbin/postfix", "-c", self.root + "/config", "check"]  # makes its directories
            loopback.start(check, stdout=log, stderr=log).wait(60)
            self.process = loopback.start(["/usr/bin/python3", "-c", GUARD, MASTER, "-c",
                                           self.root + "/config", "-s"], stdout=log, stderr=log)
        end = time.monotonic() + 20
        for port in self.port.values():
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 5).close()
                    break
                except OSError:
                    if time.monotonic() > end or self.process.poll() is not None:
                        raise RuntimeError("Postfix does not listen:\n" + self.log()) from None
                    time.sleep(0.05)

    def stop(self):
        if self.process is not None:
            loopback.end_process(self.process, 20)
            self.process = None
        self.collector.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def log(self):
        text = ""
        for name in ("start.log", "maillog"):
            if os.path.exists("%s/%s" % (self.root, name)):
                with open("%s/%s" % (self.root, name), errors="replace") as file:
                    text += file.read()
        return text

    def take(self, count, patience_s=60):
        """What has been collected since the last time, once it is for `count` recipients; or what there is,
        when nothing more comes."""
        seen, seen_at = -1, time.monotonic()
        while (now := sum(len(tos) for tos, _ in self.collector.got)) < count:
            if now != seen:
                seen, seen_at = now, time.monotonic()
            elif time.monotonic() > seen_at + patience_s:
                break
            time.sleep(0.02)
        got, self.collector.got = self.collector.got, []
        return got
