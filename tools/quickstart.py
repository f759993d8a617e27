"""The main job of Veredus on loopback, from feeding to the ledger of the receiving side: see tools/quickstart."""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import testzone

TOOLS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build", "release", "tools")
DOMAINS = 1000
BATCH = "quickstart"
WAIT_LIMIT_S = 600

CONFIG = """\
[node]
name = "quickstart"
hostname = "mta.{zone}"
spool = "{dir}/spool"

[feed]
socket = "{dir}/feed.sock"

[http]
listen = ""

[dns]
servers = ["127.0.0.1:{dns_port}"]

[smtp]
port = {smtp_port}

# Mail goes to loopback here; without this line Veredus would refuse to.
[addresses]
allow = ["127.0.0.0/8"]
"""


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_batch(path, recipients):
    lines = ["line %02d of the body, the same for everybody, as in every newsletter" % i for i in range(28)]
    raw = ("From: News <news@news.example>\r\nTo: {{to}}\r\nSubject: Hello {{first}}\r\n"
           "Message-ID: <{{id}}@news.example>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n"
           "Dear {{first}},\r\n" + "\r\n".join(lines) + "\r\n")
    with open(path, "w") as f:
        f.write(json.dumps({"batch": BATCH, "sender": "bounce@news.example",
                            "message": {"raw": raw}, "merge": True}) + "\n")
        for i in range(recipients):
            f.write('{"to":"user%d@%s","id":"q%d","vars":{"first":"User %d"}}\n'
                    % (i, testzone.domain(i % DOMAINS), i, i))


class Processes:
    """What was started here, to be stopped in the opposite order."""

    def __init__(self):
        self.running = []

    def start(self, name, command, log, ready):
        with open(log, "wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                       start_new_session=True)
        self.running.append((name, process))
        deadline = time.monotonic() + 30
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                with open(log) as text:
                    sys.exit("quickstart: %s did not start:\n%s" % (name, text.read()))
            time.sleep(0.02)
        return process

    def stop(self):
        for _, process in reversed(self.running):
            if process.poll() is None:
                process.terminate()
        for name, process in reversed(self.running):
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                print("quickstart: %s does not stop, killing it" % name, file=sys.stderr)
                process.kill()
                process.wait()
        self.running = []


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status(socket_path):
    """The batch's tallies from the feed socket."""
    answer = subprocess.run([os.path.join(TOOLS, "veredus"), "--socket", socket_path, "--json", "status", BATCH],
                            stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)


def read_ledger(path):
    """Recipients in the sink's ledger, and how many stand there more than once."""
    seen = {}
    with open(path) as f:
        for line in f:
            recipient = line.split("\t")[1]
            seen[recipient] = seen.get(recipient, 0) + 1
    return len(seen), sum(count - 1 for count in seen.values())


def contradictions(recipients, tallies, received, doubled):
    """What does not add up between the feeder, Veredus and the sink; empty when all does."""
    found = []
    if tallies["accepted"] != recipients:
        found.append("%d recipients were fed, %d accepted" % (recipients, tallies["accepted"]))
    parts = ("delivered", "failed", "expired", "cancelled", "suppressed", "waiting", "in_doubt")
    total = sum(tallies[part] for part in parts)
    if total != tallies["accepted"]:
        found.append("accepted is %d, the parts sum up to %d" % (tallies["accepted"], total))
    if received != tallies["delivered"]:
        found.append("Veredus says %d delivered, the sink received %d" % (tallies["delivered"], received))
    if doubled:
        found.append("the sink received %d messages twice" % doubled)
    if tallies["delivered"] != recipients:
        found.append("only %d of %d were delivered" % (tallies["delivered"], recipients))
    return found


def show(rows):
    print()
    for name, value in rows:
        print("  %-24s %12s" % (name, value))
    print(flush=True)


def run(options, directory, processes):
    zone = testzone.write_zone(os.path.join(directory, "zone"), DOMAINS, free_port(socket.SOCK_DGRAM))
    dns_port = testzone._settings(zone)[1]
    smtp_port = free_port(socket.SOCK_STREAM)
    feed = os.path.join(directory, "feed.sock")
    ledger = os.path.join(directory, "ledger")
    config = os.path.join(directory, "veredus.toml")
    batch = os.path.join(directory, "batch.ndjson")
    with open(config, "w") as f:
        f.write(CONFIG.format(zone=testzone.ZONE, dir=directory, dns_port=dns_port, smtp_port=smtp_port))
    write_batch(batch, options.recipients)

    processes.running.append(("dnsmasq", testzone.start_dnsmasq(zone)))
    sink_log = os.path.join(directory, "sink.log")
    sink = processes.start("the sink", [os.path.join(TOOLS, "sink"), "--listen-loopback", str(smtp_port),
                                        "--ledger", ledger], sink_log, lambda: "ready" in open(sink_log).read())
    engine = processes.start("veredus", [os.path.join(TOOLS, "veredus"), "--config", config, "serve"],
                             os.path.join(directory, "veredus.log"), lambda: os.path.exists(feed))
    print("Feeding %d recipients in %d domains through %s" % (options.recipients, DOMAINS, feed), flush=True)
    cpu_before, begun = cpu_seconds(engine.pid), time.monotonic()
    sent = subprocess.run([os.path.join(TOOLS, "veredus"), "--socket", feed, "send", batch, "--wait",
                           "--wait-limit", "%ds" % WAIT_LIMIT_S])
    seconds = time.monotonic() - begun
    cpu = cpu_seconds(engine.pid) - cpu_before
    tallies = status(feed)
    if sent.returncode != 0:
        print("quickstart: veredus send ended with status %d" % sent.returncode, file=sys.stderr)

    if options.keep:
        time.sleep(0.5)  # the sink writes its ledger at least every 100 ms
    else:
        processes.running.remove(("the sink", sink))
        sink.terminate()  # its ledger is whole when it has ended
        sink.wait(30)
    received, doubled = read_ledger(ledger)
    show([("accepted", tallies["accepted"]), ("delivered", tallies["delivered"]), ("deferred", tallies["deferred"]),
          ("failed", tallies["failed"]), ("waiting", tallies["waiting"]), ("in doubt", tallies["in_doubt"]),
          ("received by the sink", received), ("seconds", "%.2f" % seconds),
          ("messages/s", "%.0f" % (tallies["delivered"] / seconds)),
          ("engine CPU µs/message", "%.1f" % (cpu * 1e6 / max(1, tallies["delivered"])))])
    wrong = contradictions(options.recipients, tallies, received, doubled)
    for what in wrong:
        print("quickstart: " + what, file=sys.stderr)
    if not wrong:
        print("The sink received what Veredus says it delivered, each message once.", flush=True)
    if options.keep:
        keep(feed, directory)
    return 1 if wrong or sent.returncode != 0 else 0


def keep(feed, directory):
    print("\nEverything goes on running in %s. Try:\n" % directory)
    print("  curl --unix-socket %s http://localhost/v1/batches" % feed)
    print("  curl --unix-socket %s 'http://localhost/v1/events?limit=5'" % feed)
    print("  printf '%%s\\n' '{\"batch\":\"hello\",\"sender\":\"me@news.example\",\"message\":{\"raw\":\"Subject: hi\\r\\n\\r\\nhi\\r\\n\"}}' "
          "'{\"to\":\"you@%s\"}' | curl --unix-socket %s --data-binary @- http://localhost/v1/batches"
          % (testzone.domain(0), feed))
    print("\nCtrl-C stops it.", flush=True)
    while True:
        time.sleep(3600)


def main():
    parser = argparse.ArgumentParser(prog="tools/quickstart", description=__doc__.splitlines()[0])
    parser.add_argument("--recipients", type=int, default=100000, help="how many (100000; 1 to 1000000)")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    options = parser.parse_args()
    if not 1 <= options.recipients <= 1000000:
        parser.error("--recipients wants 1 to 1000000")

    def stopped(number, _frame):
        raise KeyboardInterrupt(number)
    signal.signal(signal.SIGTERM, stopped)
    directory = tempfile.mkdtemp(prefix="veredus-quickstart-")
    processes = Processes()
    try:
        result = run(options, directory, processes)
    except KeyboardInterrupt:
        print("\nStopping.", file=sys.stderr)
        result = 0 if options.keep else 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        processes.stop()
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(result)


if __name__ == "__main__":
    main()
