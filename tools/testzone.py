#!/usr/bin/python3
"""The test zone: domains d0000.bench.test, d0001.bench.test, ..., each with an MX name and a 127/8
address of its own, served by dnsmasq on a loopback address.

For tools/quickstart, bench/compare and end-to-end tests; by hand:
    tools/testzone.py DIR --domains 1000 --port 5353      writes the zone, prints the configuration's path
    tools/testzone.py DIR --domains 1000 --port 5353 --serve      and serves it until it is interrupted
"""

import argparse
import grp
import os
import pwd
import shutil
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import loopback  # noqa: E402

ZONE = "bench.test"
MAX_DOMAINS = 250 * 250 * 240


def domain(index):
    """The index-th domain."""
    return "d%04d.%s" % (index, ZONE)


def mx_name(index):
    return "mx." + domain(index)


def address(index):
    """The address of the index-th domain's mail server: 127.10.0.1 upwards, last octet 1..250."""
    if not 0 <= index < MAX_DOMAINS:
        raise ValueError("the test zone has room for %d domains" % MAX_DOMAINS)
    return "127.%d.%d.%d" % (10 + index // 62500, index // 250 % 250, 1 + index % 250)


def find_dnsmasq():
    path = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError("dnsmasq is missing: apt-get install dnsmasq-base")
    return path


def write_zone(directory, domains, port, listen="127.0.0.1", ttl=3600):
    """Writes dnsmasq.conf and its hosts file into `directory`; returns the configuration's path."""
    directory = os.path.abspath(directory)  # dnsmasq changes to /
    os.makedirs(directory, exist_ok=True)
    hosts = os.path.join(directory, "hosts")
    with open(hosts, "w") as f:
        for i in range(domains):
            f.write("%s %s\n" % (address(i), mx_name(i)))
    conf = os.path.join(directory, "dnsmasq.conf")
    with open(conf, "w") as f:
        f.write("port=%d\nlisten-address=%s\nbind-interfaces\n" % (port, listen))
        f.write("no-resolv\nno-hosts\nno-poll\n")
        # Ours. If root's dnsmasq changed to another group, the kernel would forget that it is to
        # end with its parent.
        f.write("user=%s\ngroup=%s\n" % (pwd.getpwuid(os.geteuid()).pw_name,
                                         grp.getgrgid(os.getegid()).gr_name))
        f.write("pid-file=\nlocal=/%s/\nlocal-ttl=%d\ndns-forward-max=1000\n" % (ZONE, ttl))
        f.write("addn-hosts=%s\n" % hosts)
        for i in range(domains):
            f.write("mx-host=%s,%s,10\n" % (domain(i), mx_name(i)))
    return conf


def _settings(conf):
    with open(conf) as f:
        pairs = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
    return pairs["listen-address"], int(pairs["port"])


def answers(listen, port, name=None, timeout=0.2):
    """Whether the server there gives the MX of the first domain (or of `name`)."""
    labels = (name or domain(0)).split(".")
    question = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    query = struct.pack(">HHHHHH", 0x7a7a, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", 15, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        try:
            s.connect((listen, port))
            s.send(query)
            reply = s.recv(4096)
        except OSError:
            return False
    code, count = reply[3] & 15, struct.unpack(">H", reply[6:8])[0]
    return reply[:2] == query[:2] and code == 0 and count > 0


def start_dnsmasq(conf, **more):
    """Starts dnsmasq in the foreground (`more` is for loopback.start) and gives its Popen once it
    answers."""
    command = [find_dnsmasq(), "--keep-in-foreground", "--conf-file=" + conf, "--log-facility=-"]
    log_path = os.path.join(os.path.dirname(conf), "dnsmasq.log")
    listen, port = _settings(conf)
    if answers(listen, port):
        raise loopback.PortTaken("another name server answers at %s port %d already" % (listen, port))
    with open(log_path, "w") as log:
        process = loopback.start(command, stdout=log, stderr=log, **more)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        if answers(listen, port):
            return process
        time.sleep(0.02)
    loopback.end_process(process)
    cannot_listen = 2
    kind = loopback.PortTaken if process.returncode == cannot_listen else RuntimeError
    with open(log_path) as log:
        raise kind("dnsmasq did not start at %s port %d: %s" % (listen, port, log.read().strip()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--port", type=int, default=5353)
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    conf = write_zone(options.directory, options.domains, options.port, options.listen)
    print(conf, flush=True)
    if options.serve:
        server = start_dnsmasq(conf)
        try:
            server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
