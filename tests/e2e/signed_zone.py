"""Signed zones on loopback: served by nsd, validated by unbound."""

import os
import socket
import subprocess
import time

from walk_case import walk

loopback = walk.loopback

HEAD = """$ORIGIN %s.
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
"""


def signed(directory, name, records):
    """The lines of a zone, signed; and its trust anchor, as a DS record."""
    file = os.path.join(directory, name)
    with open(file, "w") as out:
        out.write(HEAD % name + records)
    keys = []
    for flags in ([], ["-k"]):
        made = subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", *flags, name], cwd=directory,
                              check=True, capture_output=True, text=True)
        keys.append(made.stdout.strip())
    subprocess.run(["ldns-signzone", "-f", file + ".signed", file, *keys], cwd=directory, check=True,
                   capture_output=True)
    with open(os.path.join(directory, keys[1] + ".ds")) as ds, open(file + ".signed") as zone:
        return zone.read(), ds.read()


class SignedZones:
    """`zones`: by name, lines of records; those of `unsigned` are not. `broken`: by name, a function
    that is given the signed zone's text, and gives it back with what nobody has signed. `resolver`:
    HOST:PORT to be asked."""

    def __init__(self, directory, zones, unsigned=None, broken=None):
        self.processes = []
        self.directory = directory
        anchors = ""
        for name, records in zones.items():
            text, anchor = signed(directory, name, records)
            anchors += anchor
            if broken and name in broken:
                text = broken[name](text)
            self.write(name + ".zone", text)
        for name, records in (unsigned or {}).items():
            self.write(name + ".zone", HEAD % name + records)
        zones = [*zones, *(unsigned or {})]
        self.write("anchors", anchors)
        try:
            self.server, self.server_port = loopback.at_free_port(lambda port: self.start_nsd(port, zones))
            self.unbound, port = loopback.at_free_port(lambda port: self.start_unbound(port, zones))
        except BaseException:
            self.stop()
            raise
        self.resolver = "127.0.0.1:%d" % port

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as out:
            out.write(text)
        return os.path.join(self.directory, name)

    def start(self, program, conf, *arguments):
        """Until it answers, for it may find its port taken."""
        log = open(os.path.join(self.directory, os.path.basename(program) + ".log"), "wb")
        with log:
            process = loopback.start([program, *arguments, "-c", conf], stdout=log, stderr=log,
                                     own=self.processes.append)
        return process

    def start_nsd(self, port, zones):
        conf = self.write("nsd.conf", """server:
    ip-address: 127.0.0.1
    port: %d
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "%s"
    database: ""
    pidfile: "%s/nsd.pid"
    xfrdfile: "%s/xfrd.state"
    zonelistfile: "%s/zone.list"
    xfrdir: "%s"
remote-control:
    control-enable: no
""" % ((port,) + (self.directory,) * 5) + "".join(
            'zone:\n    name: "%s"\n    zonefile: "%s.zone"\n' % (name, name) for name in zones))
        process = self.start("/usr/sbin/nsd", conf, "-d")
        return self.answering(process, port), port

    def start_unbound(self, port, zones):
        conf = self.write("unbound.conf", """server:
    interface: 127.0.0.1
    port: %d
    username: ""
    chroot: ""
    directory: "%s"
    pidfile: ""
    use-syslog: no
    num-threads: 1
    do-not-query-localhost: no
    module-config: "validator iterator"
    trust-anchor-file: "%s/anchors"
%sremote-control:
    control-enable: no
""" % (port, self.directory, self.directory, "".join('    local-zone: "%s" nodefault\n' % name for name in zones))
            + "".join('stub-zone:\n    name: "%s"\n    stub-addr: 127.0.0.1@%d\n' % (name, self.server_port)
                      for name in zones))
        process = self.start("/usr/sbin/unbound", conf, "-d", "-p")
        return self.answering(process, port), port

    def answering(self, process, port):
        """A query over TCP, by hand: the SOA of the first zone's parent will do."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if process.poll() is not None:
                raise loopback.PortTaken(port)
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return process
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("%s does not answer" % process.args[0])

    def stop(self):
        for process in reversed(self.processes):
            loopback.end_process(process, 20)
