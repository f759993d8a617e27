"""Postfix as a receiver, in an instance of its own on loopback: the system's one is not touched.

All mail to all domains ends in one maildir. Needs root, for Postfix does.
"""

import os
import shutil
import subprocess
import time

MASTER = "/usr/lib/postfix/sbin/master"

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
mail_owner = postfix
myhostname = mx.postfix.test
mydestination =
alias_maps =
alias_database =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtpd_discard_ehlo_keywords = {discard}
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:all/
virtual_mailbox_base = {root}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - 20 smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
NOBODY = 65534


def missing():
    """Why there can be none here; empty: there can."""
    if not os.path.exists(MASTER):
        return "Postfix is not installed (bench/compare installs it)"
    return "" if os.geteuid() == 0 else "Postfix wants root"


class Postfix:
    """`discard`: what it offers by itself, and is not to."""

    def __init__(self, root, port, discard=""):
        self.root, self.port = root, port
        os.chmod(root, 0o755)
        for name, owner in (("config", None), ("queue", None), ("data", "postfix"),
                            ("mail", NOBODY)):
            os.makedirs(os.path.join(root, name))
            if owner is not None:
                shutil.chown(os.path.join(root, name), owner, owner)
        values = {"root": root, "port": port, "discard": discard, "uid": NOBODY}
        for name, text in (("main.cf", MAIN_CF), ("master.cf", MASTER_CF)):
            with open(os.path.join(root, "config", name), "w") as file:
                file.write(text.format(**values))
        config = os.path.join(root, "config")
        with open(os.path.join(root, "start.log"), "w") as log:
            subprocess.run(["/usr/sbin/postfix", "-c", config, "check"], check=True, stdout=log,
                           stderr=log)
            # A group of its own: what master starts ends with it.
            self.process = subprocess.Popen([MASTER, "-c", config, "-d"], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def log(self):
        try:
            with open(os.path.join(self.root, "maillog"), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def wait_for(self, count, limit_s=60):
        """What was delivered, once there is so much; lines end with LF there."""
        directory = os.path.join(self.root, "mail", "all", "new")
        end = time.monotonic() + limit_s
        while True:
            names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
            if len(names) >= count or time.monotonic() > end:
                break
            time.sleep(0.1)
        contents = []
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                contents.append(file.read())
        return contents
