"""Postfix for bench/compare: from apt, in an instance of its own below a scratch directory.

The system's own Postfix, its configuration and its queue are not touched: the instance has its own
configuration, queue and data directory, and sees its own /etc/resolv.conf in a mount namespace.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from loopback import ending, free_port
from signed_mail import OPENDKIM, OpenDkim
from systems import Failed, Measured, WARM_UP, bare_command, run_bare, settled, tail

INSTALL = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "tools", "install-deps")
MASTER = "/usr/lib/postfix/sbin/master"


def install():
    """Installs Postfix and opendkim if they are missing; starts nothing and configures nothing."""
    if not os.path.exists(MASTER) or not os.path.exists(OPENDKIM):
        subprocess.run([INSTALL, "--bench"], stdout=sys.stderr)
    if not os.path.exists(MASTER):
        raise Failed("Postfix is missing, and tools/install-deps --bench did not install it (is there another "
                     "mail server?)")


class Group:
    """The CPU time of everything that is started in it, processes that have ended included.

    A cgroup where that is possible. Else the sum over master and its children: what an ended child
    has used, its parent has counted when it waited for it.
    """

    def __init__(self, name):
        self.path = None
        with open("/proc/mounts") as f:
            mounts = [line.split() for line in f]
        for mount in mounts:
            if mount[2] == "cgroup2":
                path = os.path.join(mount[1], name)
                try:
                    os.mkdir(path)
                    self.path = path
                    break
                except OSError:
                    continue
        self.master = None
        self.others = []

    def enter(self):
        if self.path:
            with open(self.path + "/cgroup.procs", "w") as f:
                f.write("0")

    def take(self, pid):
        """A process that runs and has no children, all of its threads and what it has used before."""
        self.others.append(pid)
        if self.path:
            with open(self.path + "/cgroup.procs", "w") as f:
                f.write(str(pid))

    def pids(self):
        if self.path:
            with open(self.path + "/cgroup.procs") as f:
                return [int(line) for line in f]
        children = "/proc/%d/task/%d/children" % (self.master, self.master)
        with open(children) as f:
            return [self.master] + [int(pid) for pid in f.read().split()] + self.others

    def cpu_us(self):
        if self.path:
            with open(self.path + "/cpu.stat") as f:
                return float(dict(line.split() for line in f)["usage_usec"])
        ticks = 0
        for pid in self.pids():
            try:
                with open("/proc/%d/stat" % pid) as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            ticks += sum(int(field) for field in fields[11:15 if pid == self.master else 13])
        return ticks * 1e6 / os.sysconf("SC_CLK_TCK")

    def rss_mib(self):
        pages = 0
        for pid in self.pids():
            try:
                with open("/proc/%d/statm" % pid) as f:
                    pages += int(f.read().split()[1])
            except (OSError, IndexError):
                continue
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    def close(self):
        """Kills what is left of it."""
        for _ in range(100):
            left = self.pids() if self.path or self.alive() else []
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.05)
        if self.path:
            os.rmdir(self.path)

    def alive(self):
        return self.master is not None and os.path.exists("/proc/%d" % self.master)


class Sampler(threading.Thread):
    """The peak of a group's memory, looked at four times a second."""

    def __init__(self, group):
        super().__init__(daemon=True)
        self.group, self.peak, self.done = group, 0.0, threading.Event()

    def run(self):
        while not self.done.wait(0.25):
            self.peak = max(self.peak, self.group.rss_mib())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
mail_owner = postfix
myhostname = client.bench.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_host_lookup = dns
smtp_tcp_port = {port}
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtp_connection_cache_on_demand = yes
default_destination_concurrency_limit = {connections}
initial_destination_concurrency = {connections}
default_process_limit = {connections}
smtpd_client_connection_count_limit = 0
"""

SIGNED_CF = """\
smtpd_milters = inet:127.0.0.1:{milter_port}
milter_default_action = tempfail
"""

# As Debian ships it, without chroot, and only what this instance needs.
MASTER_CF = """\
127.0.0.1:{smtpd_port} inet n - n - 20 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - {connections} smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Instance:
    """A running Postfix. `signer`, an OpenDkim that runs, counts as a part of it, and ends with it."""

    def __init__(self, world, signer=None):
        self.world, self.signer = world, signer
        self.root = world.directory("postfix")
        os.chmod(self.root, 0o755)
        self.port = free_port()
        values = {"root": self.root, "port": world.port, "smtpd_port": self.port,
                  "connections": world.connections}
        os.makedirs(self.root + "/config")
        os.makedirs(self.root + "/queue")
        os.makedirs(self.root + "/data")
        shutil.chown(self.root + "/data", "postfix", "postfix")
        if signer:
            values["milter_port"] = signer.port
        for name, text in (("main.cf", MAIN_CF + (SIGNED_CF if signer else "")), ("master.cf", MASTER_CF)):
            with open("%s/config/%s" % (self.root, name), "w") as f:
                f.write(text.format(**values))
        with open(self.root + "/resolv.conf", "w") as f:
            f.write("nameserver %s\noptions timeout:5 attempts:3\n" % world.dns[0])
        self.group = Group("veredus-compare-%d" % os.getpid())

    def postfix(self, verb):
        """Runs `postfix VERB` for this instance, within its group, namespace and processor."""
        def enter():
            self.group.enter()
            os.sched_setaffinity(0, {self.world.cpu})
        script = 'mount --bind "$1" /etc/resolv.conf && exec /usr/sbin/postfix -c "$2" "$3"'
        with open(self.root + "/start.log", "a") as log:
            return subprocess.run(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                 self.root + "/resolv.conf", self.root + "/config", verb], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=enter).returncode

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        if self.signer:
            self.group.take(self.signer.process.pid)
        if self.postfix("start") != 0:
            raise Failed("postfix did not start: " + self.logs())
        with open(self.root + "/queue/pid/master.pid") as f:
            self.group.master = int(f.read())
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed("postfix does not listen: " + self.logs())

    def __exit__(self, *_):
        with ending.hold():
            if self.group.alive():
                self.postfix("stop")
            self.group.close()
            shutil.rmtree(self.root, ignore_errors=True)

    def logs(self):
        return tail(self.root + "/start.log") + tail(self.root + "/maillog")

    def check(self):
        if not self.group.alive():
            raise Failed("postfix is gone: " + self.logs())
        if self.signer:
            self.signer.check()
        for name in ("deferred", "bounce", "corrupt"):
            for _, _, files in os.walk("%s/queue/%s" % (self.root, name)):
                if files:
                    raise Failed("postfix has mail in %s: %s" % (name, self.logs()))


class Postfix:
    def __init__(self, world):
        self.world = world
        if os.geteuid() != 0:
            raise Failed("Postfix needs root (an instance of its own, a mount namespace)")
        if world.dns[1] != 53:
            raise Failed("Postfix needs the name server at port 53, which was not free")
        install()

    def injection(self, instance, case, size, messages):
        return bare_command(self.world, case, size, messages) + [
            "--connect", "127.0.0.1", "--port", str(instance.port), "--connections", "20", "--cpu",
            str(self.world.other_cpu)]

    def run(self, case, size, messages, sink):
        if not case.signed:
            return self._run(None, case, size, messages, sink)
        with OpenDkim(self.world, self.world.key) as signer:
            return self._run(signer, case, size, messages, sink)

    def _run(self, signer, case, size, messages, sink):
        with Instance(self.world, signer) as instance:
            run_bare(self.injection(instance, case._replace(domains=1), size, WARM_UP))
            before = sink.wait(WARM_UP, instance.check)
            added = round(before["bytes"] / WARM_UP) - size
            injection = self.injection(instance, case, size - added, messages)
            os.sync()
            sink.forget()
            cpu = settled(instance.group.cpu_us)
            with Sampler(instance.group) as sampler:
                start = time.monotonic_ns()
                run_bare(injection)
                after = sink.wait(WARM_UP + messages, instance.check)
                spent = settled(instance.group.cpu_us) - cpu
            sink.verify(messages)
            return Measured((after["last_ns"] - start) / 1e9, spent, sampler.peak,
                            after["bytes"] - before["bytes"], after["connections"] - before["connections"])
