#!/usr/bin/python3
"""A release holds nothing of the points at which tests kill it, and of the defects that they plant;
other builds hold all of the points.

Usage: kill_point_test.py BUILD_TYPE PROGRAM
"""

import glob
import os
import re
import sys
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


class KillPoints(unittest.TestCase):
    def test_only_builds_for_tests_hold_them(self):
        names = set()
        for folder in ("engine", "queue"):
            for path in glob.glob(os.path.join(ROOT, folder, "**", "*.cc"), recursive=True):
                with open(path) as file:
                    names.update(re.findall(r'kill_point\(\s*"(\w+)"', file.read()))
        self.assertGreater(len(names), 10)
        with open(PROGRAM, "rb") as file:
            program = file.read()
        words = [b"VEREDUS_KILL\0"] + [name.encode() + b"\0" for name in sorted(names)]
        held = {word for word in words if word in program}
        if BUILD_TYPE == "Release":
            # A name alone may be some function's, too; the question is not.
            self.assertNotIn(words[0], held)
            self.assertNotIn(b"kill_point", program)
            self.assertNotIn(b"VEREDUS_PLANT\0", program)
        else:
            self.assertEqual(held, set(words))


if __name__ == "__main__":
    BUILD_TYPE, PROGRAM = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], verbosity=2)
