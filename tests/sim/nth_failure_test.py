#!/usr/bin/python3
"""Each call of the disk port fails once and lastingly, and no place that calls it is left out.

Usage: nth_failure_test.py NTH_FAILURE [--worlds N]    N: the long form (minutes)

The program says which addresses have called the port and which were made to fail; the sources say
where the port is called. A place in the sources that was never failed is an error: a new call is
noticed by itself.
"""

import collections
import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PORT = "queue/disk.h"
# Closing gives no result.
NOT_CALLS = {"close"}
# Places that no simulated engine reaches, each with the reason.
EXEMPT = {("engine/lane.cc", "unmap"), ("engine/kept_rates.cc", "unmap")}  # they cannot fail

HOUSE = re.compile(r".*?/((?:engine|queue|dns|tests|tools|bench)/.+)$")
VIRTUAL = re.compile(r"virtual\s+[\w:<>]+\s+(\w+)\s*\(")
# Whatever is declared as a disk, by any name.
DECLARED = re.compile(r"\bDisk>?\s*[&*]?\s*(?:const\s+)?([a-z]\w*)\s*[;,)({=]")


def port_calls():
    with open(os.path.join(ROOT, PORT)) as file:
        disk = file.read().split("class Disk {")[1]
    return set(VIRTUAL.findall(disk)) - NOT_CALLS


def sources():
    for folder in ("engine", "queue"):
        for path in glob.glob(os.path.join(ROOT, folder, "**", "*.[ch]*"), recursive=True):
            name = os.path.relpath(path, ROOT)
            if name != PORT and not name.startswith("engine/io/"):  # the port's own implementation
                with open(path) as file:
                    yield name, file.read()


def without_comments(text):
    return re.sub(r"//[^\n]*", lambda match: " " * len(match.group()), text)


def end_of_call(text, opened):
    """Where the parenthesis that is open at `opened` is closed."""
    depth = 0
    for at in range(opened, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return opened


def places():
    """(file, first line, last line, call) of every call of the port."""
    calls = port_calls()
    texts = [(name, without_comments(text)) for name, text in sources()]
    names = set()
    for _, text in texts:
        names.update(DECLARED.findall(text))
    by_name = re.compile(r"\b(?:%s)(?:\(\))?(?:\.|->)(%s)\(" % ("|".join(sorted(names)),
                                                              "|".join(sorted(calls))))
    # These names are nobody else's.
    distinct = re.compile(r"(?:\.|->)((?:%s))\(" % "|".join(c for c in sorted(calls)
                                                           if c.endswith("_now")))
    found = set()
    for name, text in texts:
        for pattern in (by_name, distinct):
            for match in pattern.finditer(text):
                first = text.count("\n", 0, match.start()) + 1
                last = text.count("\n", 0, end_of_call(text, match.end() - 1)) + 1
                found.add((name, first, last, match.group(1)))
    return sorted(found)


def resolve(program, addresses):
    """The source line of each address, the innermost of inlined ones."""
    lines = {}
    out = subprocess.run(["addr2line", "-e", program, "-a", "-i", *addresses], capture_output=True,
                         text=True, check=True).stdout.splitlines()
    address = None
    for line in out:
        if line.startswith("0x"):
            address = int(line, 16)
        elif address is not None and address not in lines:
            path, number = line.split(" ")[0].rsplit(":", 1)
            # A compiler cache that checkouts share gives objects that name another one's files.
            inside = HOUSE.match("/" + os.path.normpath(path))
            lines[address] = (inside.group(1) if inside else path,
                              int(number) if number.isdigit() else 0)
    return lines


class NthFailure(unittest.TestCase):
    def test_every_call_fails_in_turn_and_no_place_is_left_out(self):
        with tempfile.TemporaryDirectory() as directory:
            noted = os.path.join(directory, "sites")
            done = subprocess.run([PROGRAM, "--sites", noted, *OPTIONS])
            self.assertIn(done.returncode, (0, 1))
            with open(noted) as file:
                rows = [line.split() for line in file]
        lines = resolve(PROGRAM, [row[1] for row in rows])
        hits = collections.defaultdict(lambda: [0, 0])
        for call, address, calls, failed in rows:
            hits[(call, *lines[int(address, 16)])][0] += int(calls)
            hits[(call, *lines[int(address, 16)])][1] += int(failed)
        never = []
        for name, first, last, call in places():
            of_place = [count for (kind, path, line), count in hits.items()
                        if kind == call and path == name and first <= line <= last]
            calls, failed = (sum(count[i] for count in of_place) for i in (0, 1))
            print("%-44s %-9s %8d calls, %7d failed" % ("%s:%d" % (name, first), call, calls, failed))
            if failed == 0 and (name, call) not in EXEMPT:
                never.append("%s:%d: %s was %s" % (name, first, call, "called, and never made to fail"
                                                   if calls else "never called"))
        self.assertEqual(never, [], "let the small world of nth_failure_main.cc come there")
        self.assertGreaterEqual(len(places()), 10)
        self.assertEqual(done.returncode, 0, "runs went wrong, see above")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAM = os.path.abspath(sys.argv[1])
    OPTIONS = sys.argv[2:]
    unittest.main(argv=sys.argv[:1], verbosity=2)
