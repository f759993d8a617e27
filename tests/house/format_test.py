#!/usr/bin/python3
"""Every .cc and .h is as clang-format makes it with the repository's .clang-format.

Another version of clang-format would make it otherwise, so it is Debian 12's. To mend what this
finds: clang-format-14 -i FILE
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from house_test import ROOT, files_of

CLANG_FORMAT = "clang-format-14"
FAULT = re.compile(r"^(.+?):(\d+):\d+: error: code should be clang-formatted", re.MULTILINE)


def check_format(root, style):
    """A line for each file that is formatted otherwise, with the first place. One process looks at
    all of them: starting it costs more than a file."""
    names = [name for name in files_of(root) if name.endswith((".cc", ".h"))]
    done = subprocess.run([CLANG_FORMAT, "--style=file:" + style, "--dry-run", "--Werror", *names],
                          cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    first = {}
    for name, line in FAULT.findall(done.stderr):
        first.setdefault(name, line)
    faults = ["%s:%s: not as clang-format makes it" % one for one in sorted(first.items())]
    if done.returncode != 0 and not faults:
        faults = [done.stderr.strip() or "clang-format ended with %d" % done.returncode]
    return faults


class Format(unittest.TestCase):
    style = os.path.join(ROOT, ".clang-format")

    def setUp(self):
        self.assertTrue(shutil.which(CLANG_FORMAT),
                        CLANG_FORMAT + " is missing: tools/install-deps --test")

    def test_every_source_is_formatted(self):
        faults = check_format(ROOT, self.style)
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_planted_defects_are_found(self):
        good = "#pragma once\n\nint add(int a, int b) {\n  return a + b;\n}\n"
        with tempfile.TemporaryDirectory() as root:
            for name, text in (("good.h", good), ("good.cc", good), ("not_ours.py", "x=1"),
                               ("bad.cc", good.replace("  return", "    return")),
                               ("rooms/bad.h", good.replace("int b", "int  b")),
                               ("rooms/long.cc", "// " + "long " * 20 + "\n" + good)):
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), "w") as file:
                    file.write(text)
            self.assertEqual(check_format(root, self.style),
                             [name + ": not as clang-format makes it" for name in
                              ("bad.cc:3", "rooms/bad.h:3", "rooms/long.cc:1")])

    def test_a_style_that_cannot_be_read_is_no_pass(self):
        with tempfile.TemporaryDirectory() as root:
            with open(root + "/some.cc", "w") as file:
                file.write("int x;\n")
            self.assertEqual(check_format(root, self.style), [])
            with open(root + "/style", "w") as file:
                file.write("BasedOnStyle: nobody\n")
            self.assertTrue(check_format(root, root + "/style"))
            self.assertTrue(check_format(root, root + "/gone"))


if __name__ == "__main__":
    unittest.main(verbosity=1, argv=sys.argv)
