"""What tools/quickstart runs after the build: the walk, the table, and the comparison with the ledger."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time

import loopback
import testzone
import walk

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BATCH = "quickstart"
WAIT_LIMIT = "30m"


def message():
    """A message of about 2 KiB that is another one for every recipient."""
    head = ("From: Veredus quickstart <news@quickstart.test>\r\n"
            "To: <{{to}}>\r\n"
            "Subject: Issue for {{first}}\r\n"
            "Message-ID: <{{id}}@quickstart.test>\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
            "Dear {{first}},\r\n\r\n")
    line = "the couriers of the old post changed horses at every station along the road.\r\n"
    return head + line * ((2048 - len(head)) // len(line))


def write_batch(path, recipients, domains):
    with open(path, "w") as file:
        first = {"batch": BATCH, "sender": "bounce@quickstart.test", "merge": True,
                 "message": {"raw": message()}}
        file.write(json.dumps(first) + "\n")
        for i in range(recipients):
            file.write('{"to":"u%d@%s","id":"q%d","vars":{"first":"Reader %d"}}\n'
                       % (i, testzone.domain(i % domains), i, i))


def contradictions(ledger, recipients, domains, tally):
    """What does not add up between feeder, engine and sink; empty: all is well."""
    faults = []
    if tally["accepted"] != recipients:
        faults.append("%d recipients were fed, %d accepted" % (recipients, tally["accepted"]))
    total = sum(tally[part] for part in ("delivered", "failed", "expired", "cancelled",
                                         "suppressed", "waiting", "in_doubt"))
    if total != tally["accepted"]:
        faults.append("accepted are %d, the parts sum up to %d" % (tally["accepted"], total))
    if tally["delivered"] != recipients:
        faults.append("only %d of %d were delivered" % (tally["delivered"], recipients))
    stored = {}
    for message_id, recipient, _ in ledger:
        stored[recipient] = stored.get(recipient, 0) + 1
        if message_id.strip("<>") != "q%s@quickstart.test" % recipient.split("@")[0][1:]:
            faults.append("%s got the message %s" % (recipient, message_id))
    doubled = sum(1 for count in stored.values() if count > 1)
    if doubled:
        faults.append("%d recipients got their message more than once" % doubled)
    strangers = len(set(stored) - {"u%d@%s" % (i, testzone.domain(i % domains))
                                   for i in range(recipients)})
    if strangers:
        faults.append("%d recipients that nobody fed got a message" % strangers)
    if len(stored) != tally["delivered"]:
        faults.append("the engine delivered %d, the sink has %d" % (tally["delivered"], len(stored)))
    return faults[:10]


def print_table(rows):
    print()
    for name, value in rows:
        print("  %-22s %12s" % (name, value))
    print(flush=True)


def keep(running):
    stop = os.path.join(running.directory, "stop")
    with open(stop, "w") as file:
        file.write("#!/bin/sh\n# The engine first, so that it can finish.\nkill %d\n"
                   "while kill -0 %d 2>/dev/null; do sleep 0.1; done\nkill %d %d\nrm -rf '%s'\n"
                   % (running.engine.pid, running.engine.pid, running.sink.pid, running.dns.pid,
                      running.directory))
    curl = "curl --unix-socket %s " % running.socket
    print("It goes on running. Try:\n")
    print("  %s http://localhost/v1/batches" % curl)
    print("  %s 'http://localhost/v1/events?limit=3'" % curl)
    print("  printf '%%s\\n' '{\"batch\":\"mine\",\"sender\":\"me@quickstart.test\",\"message\":{\"raw\":"
          "\"Subject: hello\\r\\n\\r\\nhello\"}}' '{\"to\":\"you@%s\"}' |\n"
          "    %s --data-binary @- http://localhost/v1/batches" % (testzone.domain(0), curl))
    print("\nThe sink's ledger is %s. To end it all:  sh %s" % (running.ledger, stop))


def feed(running, options):
    """Feeds and waits; (exit status of send, seconds, CPU seconds of the engine)."""
    path = os.path.join(running.directory, "batch.jsonl")
    write_batch(path, options.recipients, options.domains)
    print("Feeding %d recipients in %d domains through %s …"
          % (options.recipients, options.domains, running.socket), flush=True)
    cpu, begin = running.engine_cpu_s(), time.monotonic()
    sent = loopback.start([running.veredus, "--config", running.config, "send", path, "--wait",
                           "--wait-limit", WAIT_LIMIT], own=running.started.append).wait()
    return sent, time.monotonic() - begin, running.engine_cpu_s() - cpu


def report(running, options, seconds, cpu_s):
    """The table, and what does not add up."""
    tally = running.tally(BATCH)
    if options.keep:
        time.sleep(0.5)  # the sink writes its ledger at least every 100 ms
    else:
        running.stop_engine()
        running.stop_sink()
    ledger = running.ledger_lines()
    done = max(1, tally["delivered"])
    print_table([("accepted", tally["accepted"]), ("delivered", tally["delivered"]),
                 ("deferred", tally["deferred"]), ("failed", tally["failed"]),
                 ("waiting", tally["waiting"]), ("in doubt", tally["in_doubt"]),
                 ("in the sink's ledger", len(ledger)), ("seconds", "%.2f" % seconds),
                 ("messages/s", "%.0f" % (done / seconds)),
                 ("engine CPU µs/message", "%.1f" % (cpu_s / done * 1e6))])
    return contradictions(ledger, options.recipients, options.domains, tally)


def run(options, directory):
    tools = os.path.join(options.build, "tools")
    running = walk.Walk(directory, os.path.join(tools, "veredus"), os.path.join(tools, "sink"),
                        options.domains,
                        {"node": {"name": "quickstart", "hostname": "mail.quickstart.test"}},
                        survives=options.keep)
    kept = False
    try:
        print("Starting a DNS server, the sink and Veredus on loopback …", flush=True)
        running.start()
        sent, seconds, cpu_s = feed(running, options)
        if sent != 0:
            print("quickstart: veredus send ended with status %d" % sent, file=sys.stderr)
        faults = report(running, options, seconds, cpu_s)
        for fault in faults:
            print("quickstart: does not add up: " + fault, file=sys.stderr)
        if faults or sent != 0:
            print("The engine's log:\n" + running.engine_log(), file=sys.stderr)
            return 1
        print("It adds up: the sink has exactly these messages, each of them once.")
        if options.keep:
            keep(running)
            kept = True
        return 0
    finally:
        if not kept:
            # A second Ctrl-C must not leave anything behind.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            running.stop()


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog="tools/quickstart")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--recipients", type=int, default=100000, help="1 to 1000000 (100000)")
    parser.add_argument("--domains", type=int, default=1000, help="1 to 100000 (1000)")
    parser.add_argument("--keep", action="store_true", help="leave it running, to play with")
    options = parser.parse_args()
    if not 1 <= options.recipients <= 1000000 or not 1 <= options.domains <= 100000:
        parser.error("--recipients is 1 to 1000000, --domains 1 to 100000")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    # On a disk, not in memory: the journal is to be what it is in earnest.
    directory = tempfile.mkdtemp(prefix="veredus-", dir="/var/tmp")
    status = 1
    try:
        status = run(options, directory)
    except KeyboardInterrupt:
        print("\nquickstart: interrupted; what it started is stopped", file=sys.stderr)
        status = 130
    except RuntimeError as error:
        print("quickstart: %s" % error, file=sys.stderr)
    if not (options.keep and status == 0):
        shutil.rmtree(directory, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
