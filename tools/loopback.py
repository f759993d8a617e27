"""Processes on loopback: their ports, their start, their end, and what the sink writes down.

For tools/quickstart, bench/compare and the end-to-end tests.
"""

import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import time

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIBC = ctypes.CDLL(None)


# --- being ended ---------------------------------------------------------------------------------

class Ended(BaseException):
    """A signal asks this program to end; raised once."""

    def __init__(self, number):
        super().__init__(number)
        self.status = 128 + number  # as shells have it


class Ending:
    """Makes the signals that ask for the end an exception, and keeps it from where it would do harm:
    a process that was started and is in nobody's hands yet, and cleaning up."""

    def __init__(self):
        self.number = 0
        self.held = 0

    def listen(self):
        for number in ENDING_SIGNALS:
            signal.signal(number, self._come)

    def over(self):
        """Signals do nothing any more."""
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _come(self, number, frame):
        if self.number:
            return  # a second one must not interrupt the cleaning up
        self.number = number
        if not self.held:
            raise Ended(number)

    @contextlib.contextmanager
    def hold(self):
        """A signal within comes at the end of it."""
        before = self.number
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1
        if self.number and not before and not self.held:
            raise Ended(self.number)


ending = Ending()


# --- ports ---------------------------------------------------------------------------------------

class PortTaken(RuntimeError):
    """A server cannot listen at its port."""


def _ports_never_given_out():
    """Ports that the kernel does not give to outgoing connections: a free one of them stays free."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = (int(word) for word in file.read().split())
    ports = [port for port in range(10000, 65536) if not low <= port <= high]
    return ports or list(range(10000, 65536))


def free_port():
    """A port that is free now, for UDP and TCP, at every address."""
    ports = _ports_never_given_out()
    for _ in range(1000):
        port = random.SystemRandom().choice(ports)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, \
                socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            try:
                udp.bind(("0.0.0.0", port))
                tcp.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port on this host")


def at_free_port(start, tries=10):
    """start(port) at a free port; at another one where somebody was faster."""
    for left in reversed(range(tries)):
        try:
            return start(free_port())
        except PortTaken:
            if left == 0:
                raise


# --- processes -----------------------------------------------------------------------------------

def start(command, own=None, survives=False, cpu=None, **more):
    """A Popen, in a session of its own: a terminal's Ctrl-C is for us alone. own(process) takes it
    before any signal can come between. Unless it `survives`, it ends when we do, however we go."""
    parent = os.getpid()

    def in_child():
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        if not survives:
            set_parent_death_signal = 1
            LIBC.prctl(set_parent_death_signal, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)
    with ending.hold():
        process = subprocess.Popen(command, start_new_session=True, preexec_fn=in_child,
                                   **{"stdin": subprocess.DEVNULL, **more})
        if own is not None:
            own(process)
    return process


def end_process(process, patience_s=15):
    """Ends it by SIGTERM, after patience by SIGKILL; whether it went in time."""
    if process is None:
        return True
    in_time = True
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            in_time = False
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()
    return in_time


def cpu_s(pid):
    """User and system time of a process: all threads, those that ended and io_uring's workers
    included."""
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- the sink ------------------------------------------------------------------------------------

def start_sink(program, *options, port=0, listen=None, **more):
    """A sink that is ready, and its port: on all of 127/8 at `port` (0: a free one), or as the words
    of `listen` say."""
    if listen is None and port == 0:
        return at_free_port(lambda free: start_sink(program, *options, port=free, **more))
    cannot_listen = 71
    process = start([program, *(listen or ("--listen-loopback", str(port))), *options],
                    stdout=subprocess.PIPE, text=True, **more)
    ready = process.stdout.readline()
    if not ready.startswith("sink: ready"):
        end_process(process)
        kind = PortTaken if process.returncode == cannot_listen else RuntimeError
        raise kind("the sink did not start (port %d, status %d)" % (port, process.returncode))
    return process, int(ready.rsplit(":", 1)[1])


def read_ledger(path, offset=0):
    """(message id, recipient, "ack" or "noreply") of every recipient the sink has stored."""
    with open(path, newline="\n") as file:
        file.seek(offset)
        return [tuple(line.rstrip("\n").split("\t")) for line in file if line.endswith("\n")]


def sink_counters(process, path, limit_s=10):
    """What a running sink has counted up to now; `path` is its --status-file."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + limit_s
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise RuntimeError("the sink does not tell its counters")
        time.sleep(0.005)
    with open(path) as file:
        return json.load(file)
