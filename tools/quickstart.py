"""What tools/quickstart runs after the build: the walk, the table, and the comparison with the ledger."""

import argparse
import collections
import json
import os
import shutil
import subprocess
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
    total = sum(tally[part] for part in walk.TALLY_PARTS)
    if total != tally["accepted"]:
        faults.append("accepted are %d, the parts sum up to %d" % (tally["accepted"], total))
    if tally["delivered"] != recipients:
        faults.append("only %d of %d were delivered" % (tally["delivered"], recipients))

    def some(what, recipients):
        if recipients:
            faults.append("%d recipients %s, e.g. %s" % (len(recipients), what, min(recipients)))
    broken = [line for line in ledger if len(line) != 3]
    if broken:
        faults.append("the sink's ledger has lines that are none, e.g. %r" % (broken[0],))
    ledger = [line for line in ledger if len(line) == 3]
    fed = {"u%d@%s" % (i, testzone.domain(i % domains)) for i in range(recipients)}
    stored = collections.Counter(recipient for _, recipient, _ in ledger)
    some("got no message", fed - set(stored))
    some("got their message more than once", [to for to, count in stored.items() if count > 1])
    some("that nobody fed got a message", set(stored) - fed)
    some("got another one's message",
         [to for message_id, to, _ in ledger
          if message_id.strip("<>") != "q%s@quickstart.test" % to.split("@")[0][1:]])
    some("got a message that the sink did not acknowledge",
         [to for _, to, reply in ledger if reply != "ack"])
    if len(stored) != tally["delivered"]:
        faults.append("the engine delivered %d, the sink has %d" % (tally["delivered"], len(stored)))
    return faults


def print_table(rows):
    print()
    for name, value in rows:
        print("  %-22s %12s" % (name, value))
    print(flush=True)


STOP = """#!/bin/sh
# Ends what tools/quickstart --keep left running. The engine first, so that it can finish.
ours() { tr '\\0' ' ' 2>/dev/null </proc/$1/cmdline | grep -qF 'DIRECTORY'; }
for pid in PIDS; do
  if ours $pid; then kill $pid; fi
  while ours $pid; do sleep 0.1; done
done
rm -rf 'DIRECTORY'
"""


def keep(running):
    """Says what can be done with it now. Each line stands for itself and can be run as it is."""
    stop = os.path.join(running.directory, "stop")
    pids = [process.pid for process in (running.engine, running.sink, running.dns)]
    with open(stop, "w") as file:
        file.write(STOP.replace("DIRECTORY", running.directory)
                   .replace("PIDS", " ".join(map(str, pids))))
    curl = "  curl --unix-socket %s " % running.socket
    head = {"batch": "mine", "sender": "me@quickstart.test",
            "message": {"raw": "Subject: hello\r\n\r\nhello\r\n"}}
    lines = [json.dumps(line, separators=(",", ":"))
             for line in (head, {"to": "you@" + testzone.domain(0)})]
    print("It goes on running. Try:\n")
    print(curl + "http://localhost/v1/batches")
    print(curl + "'http://localhost/v1/events?limit=3'")
    print(curl + "http://localhost/v1/batches --data-binary \"$(printf '%%s\\n' '%s' '%s')\""
          % tuple(lines))
    print("\nThe sink's ledger is %s. To end it all:\n\n  sh %s" % (running.ledger, stop), flush=True)


def feed(running, options):
    """Feeds and waits; (exit status of send, seconds, CPU seconds of the engine)."""
    path = os.path.join(running.directory, "batch.jsonl")
    write_batch(path, options.recipients, options.domains)
    print("Feeding %d recipients in %d domains through %s …"
          % (options.recipients, options.domains, running.socket), flush=True)
    cpu, begin = running.engine_cpu_s(), time.monotonic()
    send = loopback.start([running.veredus, "--config", running.config, "send", path, "--wait",
                           "--wait-limit", WAIT_LIMIT], own=running.started.append)
    while True:
        try:
            sent = send.wait(0.2)
            break
        except subprocess.TimeoutExpired:
            running.check()  # send would wait for them to come back
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


def new_walk(options):
    """In a directory of its own: on a disk, not in memory, as the journal is in earnest."""
    tools = os.path.join(options.build, "tools")
    directory = tempfile.mkdtemp(prefix="veredus-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    return walk.Walk(directory, os.path.join(tools, "veredus"), os.path.join(tools, "sink"),
                     options.domains,
                     {"node": {"name": "quickstart", "hostname": "mail.quickstart.test"}},
                     survives=options.keep)


def run(options):
    running, kept = None, False
    try:
        with loopback.ending.hold():
            running = new_walk(options)
        print("Starting a DNS server, the sink and Veredus on loopback …", flush=True)
        running.start()
        sent, seconds, cpu_s = feed(running, options)
        if sent != 0:
            complain("veredus send ended with status %d" % sent)
        faults = report(running, options, seconds, cpu_s)
        for fault in faults[:10]:
            complain("does not add up: " + fault)
        if faults or sent != 0:
            complain("the engine's log:\n" + running.engine_log())
            return 1
        print("It adds up: the sink has exactly these messages, each of them once.", flush=True)
        if options.keep:
            keep(running)
            loopback.ending.over()  # it is theirs from here on
            kept = True
        return 0
    finally:
        if running and not kept:
            with loopback.ending.hold():
                try:
                    running.stop()
                finally:
                    shutil.rmtree(running.directory, ignore_errors=True)


def complain(text):
    print("quickstart: " + text, file=sys.stderr, flush=True)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        complain(message + " (see tools/quickstart --help)")
        sys.exit(os.EX_USAGE)


def arguments():
    parser = Parser(prog="tools/quickstart", allow_abbrev=False)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--recipients", type=int, default=100000, help="1 to 1000000 (100000)")
    parser.add_argument("--domains", type=int, default=1000, help="1 to 100000 (1000)")
    parser.add_argument("--keep", action="store_true", help="leave it running, to play with")
    parser.add_argument("--check-arguments", action="store_true", help="and do nothing else")
    options = parser.parse_args()
    for name, most in (("recipients", 1000000), ("domains", 100000)):
        if not 1 <= getattr(options, name) <= most:
            parser.error("--%s is 1 to %d" % (name, most))
    return options


def main():
    options = arguments()
    if options.check_arguments:
        return 0
    loopback.ending.listen()
    try:
        return run(options)
    except loopback.Ended as end:
        complain("interrupted; what it started is stopped")
        return end.status
    except (RuntimeError, OSError) as error:
        complain(str(error))
        return 1
    finally:
        loopback.ending.over()


if __name__ == "__main__":
    sys.exit(main())
