#!/usr/bin/python3
"""tools/loopback.py: ports that stay free, processes that do not outlive us, signals at a bad moment.

Usage: loopback_test.py SINK [unittest arguments]
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

from sink_peer import ROOT, SINK, SinkTest, loopback, testzone

LIMIT_S = 60


class Case(SinkTest):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="loopback-test-")
        self.addCleanup(shutil.rmtree, self.directory)


class Ports(Case):
    def given_out(self):
        with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
            return [int(word) for word in file.read().split()]

    def test_no_port_that_an_outgoing_connection_may_get(self):
        low, high = self.given_out()
        ports = {loopback.free_port() for _ in range(200)}
        self.assertGreater(len(ports), 150)
        self.assertEqual([port for port in ports if low <= port <= high], [])

    def test_where_outgoing_connections_may_get_all(self):
        with mock.patch("builtins.open", mock.mock_open(read_data="1024\t65535\n")):
            self.assertGreater(loopback.free_port(), 1024)

    def test_a_port_in_use_is_not_free(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            for address in ("0.0.0.0", "127.0.0.1", "127.10.0.1"):
                with socket.socket(socket.AF_INET, kind) as taken:
                    taken.bind((address, loopback.free_port()))
                    if kind == socket.SOCK_STREAM:
                        taken.listen()
                    port, other = taken.getsockname()[1], loopback.free_port()
                    with mock.patch.object(loopback, "_ports_never_given_out",
                                           lambda: [port] * 3 + [other]):
                        self.assertEqual({loopback.free_port() for _ in range(20)}, {other})

    def race(self, start):
        """What start() gives when somebody takes the first two ports before it."""
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("0.0.0.0", loopback.free_port()))
            tcp.listen()
            udp.bind(("127.0.0.1", loopback.free_port()))
            taken = [tcp.getsockname()[1], udp.getsockname()[1]]
            good = loopback.free_port()
            with mock.patch.object(loopback, "free_port", mock.Mock(side_effect=taken + [good])):
                process, port = start(*taken)
        self.addCleanup(loopback.end_process, process)
        return process, port, good

    def test_the_sink_takes_another_port_when_one_is_lost(self):
        ports = []

        def start(*taken):
            ports.extend(taken)
            return loopback.start_sink(SINK)
        process, port, _ = self.race(start)
        self.assertEqual(port, ports[1])  # where UDP is taken; that is in nobody's way here
        self.assertIsNone(process.poll())
        with socket.create_connection(("127.9.9.9", port), LIMIT_S) as peer:
            self.assertEqual(peer.recv(4), b"220 ")

    def test_dnsmasq_takes_another_port_when_one_is_lost(self):
        def start(tcp, udp):
            def at(port):
                conf = testzone.write_zone(os.path.join(self.directory, str(port)), 2, port)
                return testzone.start_dnsmasq(conf), port
            return loopback.at_free_port(at)
        process, port, good = self.race(start)
        self.assertEqual(port, good)
        self.assertIsNone(process.poll())
        self.assertTrue(testzone.answers("127.0.0.1", port, testzone.domain(1)))

    def test_a_port_that_was_asked_for_is_not_exchanged(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", loopback.free_port()))
            taken.listen()
            with self.assertRaises(loopback.PortTaken):
                loopback.start_sink(SINK, port=taken.getsockname()[1])

    def test_other_faults_are_not_tried_again(self):
        with mock.patch.object(loopback, "free_port", mock.Mock(return_value=1)) as asked:
            with self.assertRaises(RuntimeError) as caught:
                loopback.start_sink(SINK, "--nonsense")
        self.assertNotIsInstance(caught.exception, loopback.PortTaken)
        self.assertEqual(asked.call_count, 1)


class Processes(Case):
    """In a Python of its own, which is ended in one way or another."""

    def run_script(self, text):
        script = "import sys, time, os, signal; sys.path.insert(0, %r); import loopback\n%s" % (
            os.path.join(ROOT, "tools"), text)
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        self.addCleanup(loopback.end_process, process)
        return process

    def gone(self, pid):
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            try:
                with open("/proc/%d/stat" % pid) as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return True
            except FileNotFoundError:
                return True
            time.sleep(0.01)
        return False

    def test_nothing_outlives_a_parent_that_is_killed(self):
        for start in ("loopback.start(['sleep', '600'])", "loopback.start_sink(%r)[0]" % SINK,
                      # It changes its user and group, at which the kernel may forget our wish.
                      "loopback.at_free_port(lambda port: testzone.start_dnsmasq("
                      "testzone.write_zone(%r, 2, port)))" % self.directory):
            parent = self.run_script("import testzone\nchild = %s\n"
                                     "print(child.pid, flush=True); time.sleep(600)" % start)
            child = int(parent.stdout.readline())
            self.addCleanup(self.kill, child)
            parent.kill()
            self.assertTrue(self.gone(child), start)

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_what_survives_survives(self):
        parent = self.run_script("child = loopback.start(['sleep', '600'], survives=True)\n"
                                 "print(child.pid, flush=True); time.sleep(600)")
        child = int(parent.stdout.readline())
        self.addCleanup(self.kill, child)
        parent.kill()
        parent.wait()
        time.sleep(0.1)
        os.kill(child, 0)

    def test_a_signal_waits_until_what_is_started_has_an_owner(self):
        parent = self.run_script("""
loopback.ending.listen()
owned = []
def own(process):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)  # a second one does nothing
    owned.append(process)
try:
    loopback.start(['sleep', '600'], own=own)
    print('not ended')
except loopback.Ended as end:
    print(len(owned), loopback.end_process(owned[0]), owned[0].returncode, end.status)
""")
        self.assertEqual(parent.stdout.read(), "1 True %d %d\n" % (-signal.SIGTERM, 128 + signal.SIGTERM))

    def test_cleaning_up_is_not_interrupted(self):
        parent = self.run_script("""
loopback.ending.listen()
def wait():
    time.sleep(0.05)
try:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        print('not ended')
    finally:
        with loopback.ending.hold():
            for number in loopback.ENDING_SIGNALS:
                os.kill(os.getpid(), number)
                wait()
            print('cleaned')
except loopback.Ended as end:
    print(end.status)
""")
        self.assertEqual(parent.stdout.read(), "cleaned\n%d\n" % (128 + signal.SIGINT))


if __name__ == "__main__":
    unittest.main()
