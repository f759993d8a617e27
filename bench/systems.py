"""What bench/compare runs: the sink, and the systems that deliver into it.

Every system has run(case, size, messages, sink) -> Measured. All are pinned to the one processor
`cpu`; sink, name server, feeder and injector to `other_cpu`.
"""

import collections
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time

import loopback  # from tools/, where bench/compare looks, too
from merged_mail import MergedMail, values

# seconds: from the first octet fed until the last message is stored; cpu_us: of all of them together;
# octets of content and connections: as the sink counted them.
Measured = collections.namedtuple("Measured", "seconds cpu_us peak_rss_mib octets connections")
# per_connection: messages, 0: any number. tls: the sink offers STARTTLS, and all goes under TLS 1.3.
# merge: the mail of merged_mail.py, each a rendering of one template; all of it, or only their "header",
# differs. signed: by DKIM.
Case = collections.namedtuple("Case", "name messages size domains distinct chunking systems per_connection tls "
                              "merge signed", defaults=(0, False, None, False))

WARM_UP = 100  # messages before the measured ones: they also tell what the system adds to a message
LOOKED_AT = 50  # messages of a merge case's run that are read and verified once they have arrived
STALL_S = 60


class Failed(Exception):
    """A system could not be measured; says why."""


def tail(path, lines=12):
    try:
        with open(path, errors="replace") as f:
            return "".join(collections.deque(f, lines))
    except OSError:
        return ""


class World:
    """Paths and processors of one comparison."""

    def __init__(self, tools, work, cpu, other_cpu, port, dns, connections):
        self.tools, self.work, self.cpu, self.other_cpu = tools, work, cpu, other_cpu
        self.port, self.dns, self.connections = port, dns, connections
        self.port_is_given = port != 0
        self.key = None  # of the signed cases

    def directory(self, name):
        return tempfile.mkdtemp(prefix=name + "-", dir=self.work)

    def template(self, size, domains=1):
        return subprocess.run([self.tools["bare"], "--print-template", "--size", str(size), "--domains",
                               str(domains)], check=True, capture_output=True,
                              text=True).stdout.replace("\n", "\r\n")

    def merged_mail(self, case, size):
        return MergedMail(size, lambda index: recipient(index, case.domains), case.merge == "header")


class Sink:
    """The mail server of one run. Use as a context manager."""

    def __init__(self, world, case, messages):
        self.tls, self.connections = case.tls, world.connections
        self.directory = world.directory("sink")
        self.kept_directory = self.directory + "/kept"
        self.status_path = self.directory + "/status"
        self.ledger_path = self.directory + "/ledger"
        command = [world.tools["sink"], "--cpu", str(world.other_cpu), "--status-file",
                   self.status_path, "--status-every", "20", "--ledger", self.ledger_path]
        try:
            # Another port for each run: what is left of the last one's connections is in nobody's way.
            self.process, world.port = loopback.start_sink(
                *command, *(["--chunking"] if case.chunking else []),
                *(["--tls", "--tls-version", "1.3"] if case.tls else []),
                *(["--content-dir", self.kept_directory, "--content-every", str(max(messages // LOOKED_AT, 1))]
                  if case.merge else []),
                port=world.port if world.port_is_given else 0)
        except RuntimeError as error:
            raise Failed(error)
        self.offset = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with loopback.ending.hold():
            loopback.end_process(self.process)
            shutil.rmtree(self.directory, ignore_errors=True)

    def counters(self):
        deadline = time.monotonic() + 10
        while not os.path.exists(self.status_path) and time.monotonic() < deadline:
            time.sleep(0.02)
        with open(self.status_path) as f:
            return json.load(f)

    def wait(self, messages, check):
        """Until that many messages are stored in all. `check` raises Failed when waiting is vain."""
        seen, seen_at = -1, time.monotonic()
        while True:
            counters = self.counters()
            if counters["messages"] >= messages:
                return counters
            if counters["messages"] != seen:
                seen, seen_at = counters["messages"], time.monotonic()
            elif time.monotonic() - seen_at > STALL_S:
                raise Failed("stalled at %d of %d messages" % (seen, messages))
            check()
            time.sleep(0.02)

    def kept(self):
        """Paths of messages that came, a few from all of the run."""
        return [entry.path for entry in os.scandir(self.kept_directory)]

    def forget(self):
        """Everything up to now does not count for verify()."""
        time.sleep(0.3)
        self.offset = os.path.getsize(self.ledger_path)

    def verify(self, messages):
        """Each recipient got its message, once."""
        time.sleep(0.3)
        lines = loopback.read_ledger(self.ledger_path, self.offset)
        ids = {line[0] for line in lines}
        recipients = {line[1] for line in lines}
        if not len(lines) == len(ids) == len(recipients) == messages:
            raise Failed("the sink has %d copies of %d messages for %d recipients, not %d of each"
                         % (len(lines), len(ids), len(recipients), messages))
        if any(line[2] != "ack" for line in lines):
            raise Failed("some messages were not acknowledged")
        counters = self.counters()
        if self.tls and counters["tls_messages"] != counters["messages"]:
            raise Failed("only %d of %d messages came under TLS" % (counters["tls_messages"], counters["messages"]))
        if self.tls and counters["tls_resumed"] < 0.9 * counters["tls"] - self.connections:
            raise Failed("only %d of %d sessions were resumed" % (counters["tls_resumed"], counters["tls"]))
        if counters["early"] or counters["after_dot"]:
            raise Failed("content or a next MAIL was sent ahead of a reply that it has to wait for")


def bare_command(world, case, size, messages):
    """Without where they go. The contents of a merge case are written down for it, in the place of others."""
    command = [world.tools["bare"], "--json", "--messages", str(messages), "--size", str(size), "--domains",
               str(case.domains)]
    if case.merge:
        contents = world.work + "/contents"
        world.merged_mail(case, size).write_contents(contents, messages)
        return command + ["--contents", contents]
    return command + (["--distinct"] if case.distinct else [])


def run_bare(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise Failed(result.stderr.strip() or "bare failed")
    return json.loads(result.stdout)


class Bare:
    """A client without a queue: the lower bound."""

    def __init__(self, world):
        self.world = world

    def run(self, case, size, messages, sink):
        command = bare_command(self.world, case, size, messages) + [
            "--connections", str(self.world.connections), "--port", str(self.world.port), "--cpu",
            str(self.world.cpu), "--per-connection", str(case.per_connection)]
        command += ["--chunking"] if case.chunking else []
        command += ["--tls"] if case.tls else []
        if case.signed:
            command += ["--sign", self.world.key.path] + (["--one-body"] if case.merge == "header" else [])
        found = run_bare(command)
        counters = sink.wait(messages, lambda: None)
        sink.verify(messages)
        return Measured(found["seconds"], found["cpu_us_per_msg"] * messages, found["peak_rss_mib"],
                        counters["bytes"], counters["connections"])


class Lookups:
    """The names of a case's domains asked for, and nothing else: as if each message had its part of that."""

    def __init__(self, world):
        self.world = world

    def run(self, case, size, messages, sink):
        found = run_bare([self.world.tools["bare_lookups"], "--domains", str(case.domains), "--server",
                          "%s:%d" % self.world.dns, "--cpu", str(self.world.cpu)])
        return Measured(found["seconds"], found["cpu_us"], 0, 0, 0)


class OpenSsl:
    """What the TLS of a message cannot cost less than: its part of a resumed handshake, and the encryption of
    its bytes, by OpenSSL with memory BIOs (bench_tls)."""

    def __init__(self, world):
        self.world = world

    def run(self, case, size, messages, sink):
        result = subprocess.run(
            ["taskset", "-c", str(self.world.cpu), self.world.tools["bench_tls"], "--benchmark_format=json",
             "--benchmark_filter=^(bare_handshake/1/manual_time|bare_write/%d)$" % size],
            capture_output=True, text=True)
        if result.returncode != 0:
            raise Failed(result.stderr.strip() or "bench_tls failed")
        us = {"ns": 1e-3, "us": 1, "ms": 1e3}
        parts = {row["name"].split("/")[0]: row["real_time" if "manual" in row["name"] else "cpu_time"] *
                 us[row["time_unit"]] for row in json.loads(result.stdout)["benchmarks"]}
        each = parts["bare_handshake"] / case.per_connection + parts["bare_write"]
        return Measured(messages * each / 1e6, messages * each, 0, 0, 0)


def recipient(index, domains):
    """As bench/bare_message.h has it."""
    return "u%09d@d%0*d.bench.test" % (index, 4 if domains <= 10_000 else 6, index % domains)


def veredus_config(world, directory, case):
    """The configuration that Veredus is compared with."""
    return f"""
[node]
name = "compare"
hostname = "client.bench.test"
spool = "{directory}/spool"
shards = 1
pin = [{world.cpu}]
[feed]
socket = "{directory}/feed.sock"
[http]
listen = "off"
[dns]
servers = ["{world.dns[0]}:{world.dns[1]}"]
ipv6 = false
[smtp]
port = {world.port}
connections_per_site = {world.connections}
connections_total = {world.connections}
recipients_per_transaction = 1
messages_per_connection = {case.per_connection}
tls = "{"required" if case.tls else "none"}"
[addresses]
allow = ["127.0.0.0/8"]
"""


class Veredus:
    """The engine, durable, fed by `veredus send`."""

    def __init__(self, world):
        self.world = world

    def run(self, case, size, messages, sink):
        directory = self.world.directory("veredus")
        config = directory + "/veredus.toml"
        with open(config, "w") as f:
            f.write(veredus_config(self.world, directory, case))
            f.write(self.world.key.veredus_section() if case.signed else "")
        process = None
        try:
            with open(directory + "/log", "w") as log:
                process = loopback.start(
                    [self.world.tools["veredus"], "serve", "--config", config], stdout=log, stderr=log,
                    cpu=self.world.cpu)
            self.check = lambda: self._alive(process, directory)
            self._wait_for_socket(directory + "/feed.sock")
            return self._measure(case, size, messages, sink, directory, process.pid)
        finally:
            with loopback.ending.hold():
                loopback.end_process(process, 60)
                shutil.rmtree(directory, ignore_errors=True)

    def _alive(self, process, directory):
        if process.poll() is not None:
            raise Failed("veredus ended with status %d: %s" % (process.returncode, tail(directory + "/log")))

    def _wait_for_socket(self, path):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            self.check()
            with socket.socket(socket.AF_UNIX) as s:
                try:
                    s.connect(path)
                    return
                except OSError:
                    time.sleep(0.02)
        raise Failed("veredus does not answer at " + path)

    def _feed(self, directory, name):
        result = subprocess.run(
            [self.world.tools["veredus"], "send", "--quiet", "--socket", directory + "/feed.sock",
             "%s/%s" % (directory, name)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.check()
        if result.returncode != 0:
            raise Failed("veredus send: " + result.stdout.strip())

    def _write_batch(self, directory, name, case, size, messages):
        template = (self.world.merged_mail(case, size).template if case.merge else
                    self.world.template(size, case.domains))
        dice = random.Random(7)
        pool = "".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=1 << 20))
        head = {"batch": name, "sender": "bounce@bench.test"}
        if not case.distinct:
            head.update(merge=True, message={"raw": template})
        with open("%s/%s" % (directory, name), "w") as f:
            f.write(json.dumps(head) + "\n")
            for i in range(messages):
                to, number = recipient(i, case.domains), "%09d" % i
                line = {"to": to, "id": number}
                if case.merge:
                    line["vars"] = values(i)
                if case.distinct:
                    text = template.replace("{{id}}", number).replace("{{to}}", to)
                    line["message"] = {"raw": scramble(text, pool, dice)}
                f.write(json.dumps(line, separators=(",", ":")) + "\n")

    def _measure(self, case, size, messages, sink, directory, pid):
        one_domain = case._replace(domains=1)
        self._write_batch(directory, "a-warmup", one_domain, size, WARM_UP)
        self._feed(directory, "a-warmup")
        before = sink.wait(WARM_UP, self.check)
        added = round(before["bytes"] / WARM_UP) - size
        self._write_batch(directory, "measured", case, size - added, messages)
        os.sync()
        sink.forget()
        cpu = loopback.cpu_s(pid)
        start = time.monotonic_ns()
        self._feed(directory, "measured")
        after = sink.wait(WARM_UP + messages, self.check)
        spent = settled(lambda: loopback.cpu_s(pid) * 1e6) - cpu * 1e6
        sink.verify(messages)
        with open("/proc/%d/status" % pid) as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
        return Measured((after["last_ns"] - start) / 1e9, spent, peak / 1024,
                        after["bytes"] - before["bytes"], after["connections"] - before["connections"])


def scramble(text, pool, dice):
    """The same text with other letters in its body lines: as long, and unlike every other."""
    head, body = text.split("\r\n\r\n", 1)
    lines = body.split("\r\n")
    for i, line in enumerate(lines[1:], 1):
        at = dice.randrange(len(pool) - len(line))
        lines[i] = pool[at:at + len(line)]
    return head + "\r\n\r\n" + "\r\n".join(lines)


def settled(read, limit=5.0):
    """The value of `read` (CPU, us) once it has all but stopped growing: outcomes are on disk, too."""
    value, deadline = read(), time.monotonic() + limit
    while time.monotonic() < deadline:
        time.sleep(0.25)
        later = read()
        if later - value < 5000:
            return later
        value = later
    return value


def system_of(name, world):
    """The system with this name; Failed when it cannot be had here."""
    if name == "bare":
        return Bare(world)
    if name == "veredus":
        return Veredus(world)
    if name == "lookups":
        return Lookups(world)
    if name == "openssl":
        return OpenSsl(world)
    from postfix import Postfix  # only where it is wanted: it may have to be installed
    return Postfix(world)
