"""A whole walk on loopback: a name server with a test zone, the sink, and the engine.

For tools/quickstart and the end-to-end tests. Everything runs in one directory of its own; stop()
ends what was started here, by its process, and nothing else.
"""

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import testzone  # noqa: E402


def free_port():
    """A port of 127.0.0.1 that is free for UDP and TCP now."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            port = udp.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
                try:
                    tcp.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
    raise RuntimeError("no free port on 127.0.0.1")


def to_toml(tables):
    """{"smtp": {"port": 25}} as TOML; values are numbers, booleans, texts and lists of these."""
    def value(v):
        if isinstance(v, bool):
            return "true" if v else "false"
        return json.dumps(v)
    lines = []
    for table, settings in tables.items():
        lines.append("[%s]" % table)
        lines += ["%s = %s" % (key, value(v)) for key, v in settings.items()]
    return "\n".join(lines) + "\n"


def end_with_parent():
    """In a child: SIGTERM when whoever started it is gone, however it went."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the feed socket."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Walk:
    def __init__(self, directory, veredus, sink, domains=1000, settings=None, sink_options=(),
                 survives=False):
        self.directory = directory
        self.veredus = veredus
        self.sink_program = sink
        self.domains = domains
        self.sink_options = list(sink_options)
        self.socket = os.path.join(directory, "feed.sock")
        self.config = os.path.join(directory, "veredus.toml")
        self.ledger = os.path.join(directory, "ledger")
        self.log = os.path.join(directory, "engine.log")
        self.dns = self.sink = self.engine = None
        self.dns_port = self.sink_port = 0
        self.settings = settings or {}
        self.before_exec = None if survives else end_with_parent

    # --- what runs -------------------------------------------------------------------------------

    def start(self):
        self.start_dns()
        self.start_sink()
        self.write_config()
        self.start_engine()

    def start_dns(self):
        self.dns_port = free_port()
        conf = testzone.write_zone(os.path.join(self.directory, "dns"), self.domains, self.dns_port)
        log_path = os.path.join(self.directory, "dns.log")
        with open(log_path, "w") as log:
            self.dns = subprocess.Popen(
                [testzone.find_dnsmasq(), "--keep-in-foreground", "--conf-file=" + conf,
                 "--log-facility=-"], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True, preexec_fn=self.before_exec)
        end = time.monotonic() + 10
        while not testzone.answers("127.0.0.1", self.dns_port):
            if self.dns.poll() is not None or time.monotonic() > end:
                with open(log_path) as log:
                    raise RuntimeError("dnsmasq did not start: " + log.read())
            time.sleep(0.02)

    def start_sink(self, options=None):
        command = [self.sink_program, "--listen-loopback", str(self.sink_port), "--ledger",
                   self.ledger, *(self.sink_options if options is None else options)]
        self.sink = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                     text=True, start_new_session=True,
                                     preexec_fn=self.before_exec)
        ready = self.sink.stdout.readline()
        if not ready.startswith("sink: ready"):
            raise RuntimeError("the sink did not start: %r" % ready)
        self.sink_port = int(ready.rsplit(":", 1)[1])

    def write_config(self):
        tables = {
            "node": {"name": "walk", "hostname": "mail.walk.test",
                     "spool": os.path.join(self.directory, "spool")},
            "feed": {"socket": self.socket},
            "http": {"listen": "off"},
            "dns": {"servers": ["127.0.0.1:%d" % self.dns_port]},
            "smtp": {"port": self.sink_port},
            "addresses": {"allow": ["127.0.0.0/8"]},
        }
        for table, settings in self.settings.items():
            tables.setdefault(table, {}).update(settings)
        with open(self.config, "w") as file:
            file.write(to_toml(tables))

    def start_engine(self, wait_s=30):
        with open(self.log, "a") as log:
            self.engine = subprocess.Popen([self.veredus, "serve", "--config", self.config],
                                           stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                           start_new_session=True, preexec_fn=self.before_exec)
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            if self.engine.poll() is not None:
                raise RuntimeError("the engine did not start (status %d):\n%s"
                                   % (self.engine.returncode, self.engine_log()))
            try:
                if self.get("/healthz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError("the engine did not answer within %d s:\n%s"
                           % (wait_s, self.engine_log()))

    def engine_log(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-4000:]

    def kill_engine(self):
        self.engine.kill()
        self.engine.wait()

    def stop_engine(self, wait_s=60):
        """An orderly stop; gives the exit status."""
        if self.engine is None or self.engine.poll() is not None:
            return self.engine.returncode if self.engine else None
        self.engine.send_signal(signal.SIGTERM)
        try:
            return self.engine.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.kill_engine()
            raise RuntimeError("the engine did not stop within %d s" % wait_s)

    def stop_sink(self):
        """The ledger is complete afterwards."""
        if self.sink is not None and self.sink.poll() is None:
            self.sink.terminate()
            try:
                self.sink.wait(20)
            except subprocess.TimeoutExpired:
                self.sink.kill()
                self.sink.wait()
        if self.sink is not None and self.sink.stdout:
            self.sink.stdout.close()

    def stop(self):
        try:
            self.stop_engine()
        finally:
            self.stop_sink()
            if self.dns is not None and self.dns.poll() is None:
                self.dns.terminate()
                try:
                    self.dns.wait(10)
                except subprocess.TimeoutExpired:
                    self.dns.kill()
                    self.dns.wait()

    # --- what is asked ---------------------------------------------------------------------------

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, body as text, headers)"""
        connection = UnixConnection(self.socket, timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def get(self, path, timeout=60):
        return self.request("GET", path, timeout=timeout)[:2]

    def feed(self, lines, timeout=60):
        """POSTs a batch, given as its lines' values; (status, answer)."""
        body = "".join(json.dumps(line) + "\n" for line in lines)
        status, text, _ = self.request("POST", "/v1/batches", body.encode(),
                                       {"Content-Type": "application/x-ndjson"}, timeout)
        return status, json.loads(text)

    def tally(self, batch, tenant="default"):
        status, text = self.get("/v1/batches/%s/%s" % (tenant, batch))
        if status != 200:
            raise RuntimeError("no tally of %s: %s" % (batch, text))
        return json.loads(text)

    def wait_settled(self, batch, limit_s=60, tenant="default"):
        """Until nothing of the batch waits; its tally."""
        end = time.monotonic() + limit_s
        while True:
            tally = self.tally(batch, tenant)
            if tally["waiting"] == 0 or time.monotonic() > end:
                return tally
            time.sleep(0.05)

    def events(self, query=""):
        """All events there are, without the lines that carry cursors."""
        status, text = self.get("/v1/events" + ("?" + query if query else ""))
        if status != 200:
            raise RuntimeError("no events: " + text)
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line["type"] != "cursor"]

    def ledger_lines(self):
        """(message id, recipient, "ack" or "noreply") of every recipient the sink has stored."""
        with open(self.ledger, newline="\n") as file:
            return [tuple(line.rstrip("\n").split("\t")) for line in file if line.endswith("\n")]

    def engine_cpu_s(self):
        """CPU time of all the engine's threads, kernel included."""
        with open("/proc/%d/stat" % self.engine.pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
