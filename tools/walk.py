"""A whole walk on loopback: a name server with a test zone, the sink, and the engine.

For tools/quickstart and the end-to-end tests. Everything runs in one directory of its own; stop()
ends what was started here, by its process, and nothing else.
"""

import http.client
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import loopback  # noqa: E402
import testzone  # noqa: E402


# accepted is the sum of these, always.
TALLY_PARTS = ("delivered", "failed", "expired", "cancelled", "suppressed", "waiting", "in_doubt")


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
        self.status = os.path.join(directory, "sink.status")
        self.dns = self.sink = self.engine = None
        self.dns_port = self.sink_port = 0
        self.settings = settings or {}
        self.survives = survives
        self.environment = {}  # of the engine, beside ours
        self.started = []

    # --- what runs -------------------------------------------------------------------------------

    def start(self):
        self.start_dns()
        self.start_sink()
        self.write_config()
        self.start_engine()

    def start_dns(self):
        def at(port):
            conf = testzone.write_zone(os.path.join(self.directory, "dns"), self.domains, port)
            return testzone.start_dnsmasq(conf, own=self.started.append, survives=self.survives), port
        self.dns, self.dns_port = loopback.at_free_port(at)

    def start_sink(self, options=None):
        """At the port that it had before, if it had one: the kernel may hold that for a moment after
        the process has ended, for a ring is taken down behind its back."""
        patience_ends = time.monotonic() + 10
        while True:
            try:
                self.sink, self.sink_port = loopback.start_sink(
                    self.sink_program, "--ledger", self.ledger, "--status-file", self.status,
                    *(self.sink_options if options is None else options), port=self.sink_port,
                    own=self.started.append, survives=self.survives)
                return
            except loopback.PortTaken:
                if self.sink_port == 0 or time.monotonic() > patience_ends:
                    raise
                time.sleep(0.1)

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

    def spawn_engine(self):
        with open(self.log, "a") as log:
            self.engine = loopback.start([self.veredus, "serve", "--config", self.config],
                                         stdout=log, stderr=log, own=self.started.append,
                                         survives=self.survives,
                                         env={**os.environ, **self.environment})

    def start_engine(self, wait_s=30):
        """Until it answers."""
        self.spawn_engine()
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

    def check(self):
        """Whether all that makes a walk still runs."""
        for name, process in (("name server", self.dns), ("sink", self.sink),
                              ("engine", self.engine)):
            if process.poll() is not None:
                raise RuntimeError("the %s has ended (status %d)" % (name, process.returncode)
                                   + (":\n" + self.engine_log() if name == "engine" else ""))

    def engine_log(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-4000:]

    def kill_engine(self):
        self.engine.kill()
        self.engine.wait()

    def stop_engine(self, wait_s=60):
        """An orderly stop; gives the exit status."""
        if not loopback.end_process(self.engine, wait_s):
            raise RuntimeError("the engine did not stop within %d s" % wait_s)
        return self.engine.returncode if self.engine else None

    def stop_sink(self):
        """The ledger is complete afterwards."""
        loopback.end_process(self.sink, 20)

    def stop(self):
        """Everything that was started here, the youngest first: the engine before its peers."""
        late = [process.args[0] for process in reversed(self.started)
                if not loopback.end_process(process, 60)]
        if late:
            raise RuntimeError("%s did not stop within 60 s" % " and ".join(late))

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
        return loopback.read_ledger(self.ledger)

    def sink_counters(self):
        return loopback.sink_counters(self.sink, self.status)

    def engine_cpu_s(self):
        return loopback.cpu_s(self.engine.pid)
