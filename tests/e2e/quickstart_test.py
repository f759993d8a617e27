#!/usr/bin/python3
"""What tools/quickstart does after the build: what it says, what it refuses, what it leaves behind.

Usage: quickstart_test.py VEREDUS SINK [unittest arguments]
"""

import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MARK = "VEREDUS_QUICKSTART_TEST"
LIMIT_S = 120

# A sink that writes what it should not: the real one, and at its end `doctor` changes its ledger.
DOCTORED_SINK = """#!/usr/bin/python3
import signal, subprocess, sys
sink = subprocess.Popen([{sink!r}, *sys.argv[1:]])
signal.signal(signal.SIGTERM, lambda *_: sink.terminate())
status = sink.wait()
ledger = sys.argv[sys.argv.index("--ledger") + 1]
with open(ledger, newline="\\n") as file:
    lines = file.readlines()
{doctor}
with open(ledger, "w", newline="\\n") as file:
    file.writelines(lines)
sys.exit(status)
"""


class Quickstart:
    """A quickstart that runs. Whatever it starts carries a mark of its own in its environment."""

    def __init__(self, directory, build, *options, terminal=False):
        self.scratch = os.path.join(directory, "tmp")
        os.makedirs(self.scratch, exist_ok=True)
        self.mark = "%s=%s" % (MARK, directory)
        self.out = os.path.join(directory, "out")
        command = ["/usr/bin/python3", os.path.join(ROOT, "tools", "quickstart.py"), "--build", build,
                   *options]
        environment = dict(os.environ, TMPDIR=self.scratch, **{MARK: directory})
        if terminal:
            self.pid, self.terminal = pty.fork()
            if self.pid == 0:
                os.execve(command[0], command, environment)
            self.reader = threading.Thread(target=self._read_terminal)
            self.reader.start()
        else:
            with open(self.out, "w") as out:
                process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=out, start_new_session=True)
            self.pid = process.pid
            process.returncode = 0  # we wait for it ourselves
            self.reader = None
        self.status = None

    def _read_terminal(self):
        with open(self.out, "wb", buffering=0) as out:
            while True:
                try:
                    out.write(os.read(self.terminal, 4096))
                except OSError:  # EIO: nobody has it open any more
                    return

    def text(self):
        with open(self.out, errors="replace", newline="") as file:
            return file.read()

    def signal_group(self, number):
        """As a terminal does."""
        os.killpg(self.pid, number)

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self):
        wait_until(self.ended, lambda: "quickstart does not end:\n" + self.text())
        if self.reader:
            self.reader.join(LIMIT_S)
            os.close(self.terminal)
        return self.status

    def processes(self):
        """{pid: command line} of what it started and runs still, itself included."""
        found = {}
        for name in os.listdir("/proc"):
            try:
                with open("/proc/%s/environ" % name, "rb") as file:
                    if self.mark.encode() not in file.read().split(b"\0"):
                        continue
                with open("/proc/%s/cmdline" % name, "rb") as file:
                    found[int(name)] = file.read().replace(b"\0", b" ").decode()
            except (OSError, ValueError):
                continue
        return found

    def runs(self, word):
        return any(word in line for line in self.processes().values())

    def ledger_bytes(self):
        names = [os.path.join(self.scratch, name, "ledger") for name in os.listdir(self.scratch)]
        return sum(os.path.getsize(name) for name in names if os.path.exists(name))

    def left(self):
        """What is there still: nothing, once it has ended."""
        return list(self.processes().values()) + os.listdir(self.scratch)

    def clean_up(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def wait_until(condition, complaint):
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(complaint())
        time.sleep(0.002)


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="veredus-qs-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.directory, True)
        os.makedirs(self.directory + "/build/tools")
        os.symlink(VEREDUS, self.directory + "/build/tools/veredus")
        self.sink_is("exec %s \"$@\"" % shlex.quote(SINK))

    def sink_is(self, script):
        path = self.directory + "/build/tools/sink"
        with open(path, "w") as file:
            file.write(script if script.startswith("#!") else "#!/bin/sh\n" + script + "\n")
        os.chmod(path, 0o755)

    def slow_sink(self):
        """Deliveries that do not end before somebody ends them."""
        self.sink_is("exec %s \"$@\" --delay dot=300" % shlex.quote(SINK))

    def start(self, *options, recipients=2000, terminal=False):
        quickstart = Quickstart(self.directory, self.directory + "/build", "--domains", "50",
                                "--recipients", str(recipients), *options, terminal=terminal)
        self.addCleanup(quickstart.clean_up)
        return quickstart

    def run_to_end(self, *options, **more):
        quickstart = self.start(*options, **more)
        status = quickstart.wait()
        self.assertEqual(quickstart.left(), [], quickstart.text())
        return status, quickstart.text()

    def start_until(self, moment, *options, **more):
        """A quickstart that has come so far."""
        quickstart = self.start(*options, **more)
        wait_until(lambda: moment(quickstart) or quickstart.ended(),
                   lambda: "it does not come so far:\n" + quickstart.text())
        self.assertIsNone(quickstart.status, quickstart.text())
        return quickstart


class Saying(Case):
    ROWS = ("accepted", "delivered", "deferred", "failed", "waiting", "in doubt", "in the sink's ledger",
            "seconds", "messages/s", "engine CPU µs/message")

    def test_it_adds_up(self):
        status, text = self.run_to_end()
        self.assertEqual(status, 0, text)
        rows = dict(re.findall(r"(?m)^  (\S.*?) +([0-9.]+)$", text))
        self.assertEqual(tuple(rows), self.ROWS, text)
        numbers = {name: float(value) for name, value in rows.items()}
        for name in ("accepted", "delivered", "in the sink's ledger"):
            self.assertEqual(numbers[name], 2000)
        for name in ("deferred", "failed", "waiting", "in doubt"):
            self.assertEqual(numbers[name], 0)
        for name in ("seconds", "messages/s", "engine CPU µs/message"):
            self.assertGreater(numbers[name], 0)
        self.assertIn("It adds up", text)
        self.assertNotIn("\r", text)  # no progress bar where nobody sees it

    def test_progress_on_a_terminal(self):
        status, text = self.run_to_end(terminal=True)
        self.assertEqual(status, 0, text)
        for label in ("feeding", "delivering"):
            self.assertRegex(text, r"\r%s +\[#{30}\] 100%%" % label)

    def test_bad_arguments(self):
        for options, words in ((["--recipients", "0"], "--recipients is 1 to 1000000"),
                               (["--recipients", "1000001"], "--recipients is 1 to 1000000"),
                               (["--recipients", "many"], "--recipients: invalid int value: 'many'"),
                               (["--recipients"], "--recipients: expected one argument"),
                               (["--domains", "0"], "--domains is 1 to 100000"),
                               (["--domains", "100001"], "--domains is 1 to 100000"),
                               (["--keeps"], "unrecognized arguments: --keeps"),
                               (["stray"], "unrecognized arguments: stray")):
            # The whole script: it must say so before it installs or builds anything.
            done = subprocess.run([ROOT + "/tools/quickstart", *options], capture_output=True, text=True,
                                  timeout=LIMIT_S)
            self.assertEqual((done.returncode, done.stdout), (os.EX_USAGE, ""), done.stderr)
            self.assertRegex(done.stderr, r"^quickstart: .*%s.*\n$" % re.escape(words))

    def test_help(self):
        done = subprocess.run([ROOT + "/tools/quickstart", "--help"], capture_output=True, text=True,
                              timeout=LIMIT_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--recipients", "--domains", "--keep"):
            self.assertIn(option, done.stdout)


class Refusing(Case):
    def refused(self, *words):
        status, text = self.run_to_end()
        self.assertEqual(status, 1, text)
        self.assertNotIn("It adds up", text)
        self.assertNotIn("Traceback", text)
        for word in words:
            self.assertIn("quickstart: does not add up: " + word, text)
        self.assertEqual(text.count("does not add up"), len(words), text)

    def doctored(self, doctor):
        self.sink_is(DOCTORED_SINK.format(sink=SINK, doctor=doctor))

    def test_an_honest_ledger_behind_the_doctor(self):
        self.doctored("")
        status, text = self.run_to_end()
        self.assertEqual(status, 0, text)

    def test_a_message_that_is_not_there(self):
        self.doctored("del lines[7]")
        self.refused("1 recipients got no message, e.g. u", "the engine delivered 2000, the sink has 1999")

    def test_a_message_that_is_there_twice(self):
        self.doctored("lines.append(lines[7])")
        self.refused("1 recipients got their message more than once, e.g. u")

    def test_one_lost_and_one_doubled(self):
        self.doctored("lines[8] = lines[7]")
        self.refused("1 recipients got no message", "1 recipients got their message more than once",
                     "the engine delivered 2000, the sink has 1999")

    def test_a_recipient_that_nobody_fed(self):
        self.doctored("lines.append('<q2000@quickstart.test>\\tu2000@d0000.bench.test\\tack\\n')")
        self.refused("1 recipients that nobody fed got a message, e.g. u2000@d0000.bench.test",
                     "the engine delivered 2000, the sink has 2001")

    def test_one_lost_and_a_stranger(self):
        self.doctored("lines[7] = '<q2000@quickstart.test>\\tu2000@d0000.bench.test\\tack\\n'")
        self.refused("1 recipients got no message", "1 recipients that nobody fed got a message")

    def test_messages_at_the_wrong_recipients(self):
        self.doctored("a, b = lines[7].split('\\t'), lines[8].split('\\t')\n"
                      "a[0], b[0] = b[0], a[0]\n"
                      "lines[7], lines[8] = '\\t'.join(a), '\\t'.join(b)")
        self.refused("2 recipients got another one's message")

    def test_a_delivery_that_was_never_acknowledged(self):
        self.doctored("lines[7] = lines[7].replace('\\tack', '\\tnoreply')")
        self.refused("1 recipients got a message that the sink did not acknowledge")

    def test_a_line_that_is_none(self):
        self.doctored("lines[7] = 'nonsense\\n'")
        self.refused("the sink's ledger has lines that are none, e.g. ('nonsense',)",
                     "1 recipients got no message", "the engine delivered 2000, the sink has 1999")

    def test_recipients_that_were_refused(self):
        self.sink_is("exec %s \"$@\" --fail rcpt=550:0.05" % shlex.quote(SINK))
        status, text = self.run_to_end("--keep")  # which must not keep what went wrong
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r"does not add up: only \d+ of 2000 were delivered")

    def test_a_sink_that_does_not_start(self):
        self.sink_is("exit 3")
        status, text = self.run_to_end()
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r"quickstart: the sink did not start \(port \d+, status 3\)\n")

    def test_what_dies_on_the_way(self):
        for word, name in ((" serve ", "engine"), ("dnsmasq", "name server")):
            self.slow_sink()
            quickstart = self.start_until(lambda q: q.ledger_bytes() > 0, recipients=20000)
            victims = [pid for pid, line in quickstart.processes().items() if word in line]
            self.assertEqual(len(victims), 1)
            os.kill(victims[0], signal.SIGKILL)
            self.assertEqual(quickstart.wait(), 1, quickstart.text())
            self.assertIn("quickstart: the %s has ended (status -9)" % name, quickstart.text())
            self.assertEqual(quickstart.left(), [])


class Ending(Case):
    """Ctrl-C or a signal at any moment: nothing is left, and the exit status says so."""

    def ends(self, quickstart, number):
        status = quickstart.wait()
        self.assertEqual(status, 128 + number, quickstart.text())
        self.assertIn("interrupted", quickstart.text())
        self.assertNotIn("Traceback", quickstart.text())
        self.assertEqual(quickstart.left(), [])

    def end_at(self, moment, *options, numbers=(signal.SIGINT, signal.SIGTERM), **more):
        texts = []
        for number in numbers:
            quickstart = self.start_until(moment, *options, **more)
            if number == signal.SIGTERM:
                os.kill(quickstart.pid, number)  # as kill(1) does
            else:
                quickstart.signal_group(number)
            self.ends(quickstart, number)
            texts.append(quickstart.text())
        return texts

    def test_while_starting(self):
        for word in ("dnsmasq", " --listen-loopback ", "serve --config"):
            self.end_at(lambda q: q.runs(word))

    def test_while_feeding(self):
        for text in self.end_at(lambda q: q.runs(" send "), recipients=100000):
            self.assertNotIn("accepted", text)

    def test_while_delivering(self):
        self.slow_sink()
        for text in self.end_at(lambda q: q.ledger_bytes() > 0, recipients=20000,
                                numbers=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
            self.assertIn("20000 accepted", text)
            self.assertNotIn("in the sink's ledger", text)

    def test_while_delivering_what_was_to_be_kept(self):
        self.slow_sink()
        self.end_at(lambda q: q.ledger_bytes() > 0, "--keep", recipients=20000)

    def test_twice(self):
        self.slow_sink()
        quickstart = self.start_until(lambda q: q.ledger_bytes() > 0, recipients=20000)
        quickstart.signal_group(signal.SIGINT)
        while not quickstart.ended():
            quickstart.signal_group(signal.SIGINT)
            time.sleep(0.01)
        self.ends(quickstart, signal.SIGINT)

    def test_by_a_terminal(self):
        self.slow_sink()
        quickstart = self.start_until(lambda q: q.ledger_bytes() > 0, recipients=20000, terminal=True)
        os.write(quickstart.terminal, b"\x03")
        self.ends(quickstart, signal.SIGINT)

    def test_by_a_kill(self):
        """Nobody can clean up then, but no process stays."""
        self.slow_sink()
        quickstart = self.start_until(lambda q: q.ledger_bytes() > 0, recipients=20000)
        os.kill(quickstart.pid, signal.SIGKILL)
        self.assertEqual(quickstart.wait(), -signal.SIGKILL)
        wait_until(lambda: not quickstart.processes(), lambda: "still there: %s" % quickstart.processes())

    def test_at_any_moment(self):
        begin = time.monotonic()
        self.run_to_end()
        whole_s = time.monotonic() - begin
        for step in range(10):
            number = (signal.SIGINT, signal.SIGTERM)[step % 2]
            quickstart = self.start()
            time.sleep(whole_s * step / 9)
            if not quickstart.ended():
                quickstart.signal_group(number)
            # Python's own start ends by the signal itself; at the end, all may be done already.
            self.assertIn(quickstart.wait(), (128 + number, -number, 0), quickstart.text())
            self.assertEqual(quickstart.left(), [], "after %d of 9" % step)


class Keeping(Case):
    def test_what_it_prints_works(self):
        quickstart = self.start("--keep")
        self.assertEqual(quickstart.wait(), 0, quickstart.text())
        text = quickstart.text()
        lines = re.findall(r"(?m)^ +(curl --unix-socket .*)$", text)
        self.assertEqual(len(lines), 3, text)
        answers = []
        for line in lines:  # each for itself, in any order, as somebody pastes it
            done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd="/",
                                  timeout=LIMIT_S)
            self.assertEqual(done.returncode, 0, line + "\n" + done.stderr)
            answers.append([json.loads(one) for one in done.stdout.splitlines()])
        (batches,), events, (fed,) = answers
        self.assertEqual([(b["batch"], b["delivered"]) for b in batches["batches"]], [("quickstart", 2000)])
        self.assertEqual([e["type"] for e in events if e["type"] != "cursor"], ["accepted"] * 3)
        self.assertEqual((fed["batch"], fed["accepted"], fed["refused"]), ("mine", 1, 0))
        with open(re.search(r"ledger is (\S+)\. ", text).group(1)) as ledger:
            wait_until(lambda: "\tyou@d0000.bench.test\tack\n" in ledger.read(),
                       lambda: "what was fed by hand does not arrive")
        self.assertEqual(len(quickstart.processes()), 3, quickstart.processes())
        stop = re.search(r"(?m)^ +(sh \S+/stop)$", text).group(1)
        subprocess.run(["sh", "-c", stop], check=True, timeout=LIMIT_S)
        self.assertEqual(quickstart.left(), [])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    VEREDUS, SINK = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
