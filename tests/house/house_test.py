#!/usr/bin/python3
"""The order of the house, as a test.

Reads every file of the checkout and fails on: an #include against the arrows, a new top-level
entry, a file that has grown too long, coroutines, and scripts that cannot be run. The second half
plants each of these defects in a scratch tree and expects it to be found.
"""

import os
import re
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

TOP_LEVEL = {"CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md",
             "bench", "dns", "engine", "queue", "tests", "tools"}

# Who may include whom. A room not named here may include nothing of ours but itself.
ARROWS = {
    "dns": {"dns"},
    "queue": {"queue"},
    "engine/io": {"engine/io", "dns", "queue"},
    "engine/mail": {"engine/mail", "queue"},
    "engine/tls": {"engine/tls", "dns"},
    "engine/smtp": {"engine/smtp", "engine/io", "engine/mail"},
    "engine/intake": {"engine/intake", "queue", "engine/mail"},
    "engine": {"engine", "dns", "queue", "engine/io", "engine/mail", "engine/tls", "engine/smtp",
               "engine/intake"},
    "engine/control": {"engine/control", "engine", "dns", "queue", "engine/io", "engine/mail",
                       "engine/tls", "engine/smtp", "engine/intake"},
}
ANYTHING = ("tools", "bench", "tests")  # may include anything; nothing else includes them

LINES_MAX = 600
SOURCES = (".cc", ".h", ".c")
COUNTED = SOURCES + (".py", ".sh", ".cmake")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
COROUTINE = re.compile(r"\bco_(await|yield|return)\b")
STRINGS_AND_COMMENTS = re.compile(r'//.*|"(\\.|[^"\\])*"')


def files_of(root):
    """Paths of the tree's own files: what git knows or would add, else all but build/."""
    try:
        out = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True, check=True).stdout.decode()
        names = sorted(set(filter(None, out.split("\0"))))
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, files in os.walk(root):
            folders[:] = [f for f in folders if f not in (".git", "build", "__pycache__")]
            names += [os.path.relpath(os.path.join(folder, f), root) for f in files]
        names.sort()
    return [n for n in names if os.path.isfile(os.path.join(root, n))]


def room_of(path):
    parts = path.split("/")
    if parts[0] == "engine" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


def check_top_level(path):
    top = path.split("/")[0]
    if top.startswith(".") or top in TOP_LEVEL:
        return []
    return [f"{path}: '{top}' is a new top-level entry; the top level is fixed"]


def check_include(root, path, number, bracket, name):
    where = f"{path}:{number}: #include of {name}: "
    room = room_of(path)
    if name == "coroutine":
        return [where + "no coroutines (g++ 12.2 miscompiles them)"]
    target = room_of(name)
    if not os.path.isfile(os.path.join(root, name)):
        beside = os.path.join(root, os.path.dirname(path), name)
        if bracket == '"' and os.path.isfile(beside):
            return [where + "write the path from the repository's root"]
        if target in ARROWS or target.split("/")[0] in ("engine", "dns", "queue"):
            if bracket == '"':
                return [where + "there is no such file"]
        return []
    if bracket == "<":
        return [where + "our own headers are included with quotes"]
    if room in ANYTHING:
        return []
    if target in ANYTHING:
        return [where + f"nothing includes {target}"]
    if target not in ARROWS.get(room, {room}):
        return [where + f"{room} must not know {target}"]
    return []


def check_source(root, path, lines):
    faults = []
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            faults += check_include(root, path, number, match.group(1), match.group(2))
        elif COROUTINE.search(STRINGS_AND_COMMENTS.sub("", line)):
            faults.append(f"{path}:{number}: no coroutines (g++ 12.2 miscompiles them)")
    if path.endswith(".h") and not any(line.startswith("#pragma once") for line in lines):
        faults.append(f"{path}: a header without #pragma once")
    return faults


def check_run_bit(root, path, first_line):
    runs = bool(os.stat(os.path.join(root, path)).st_mode & stat.S_IXUSR)
    if first_line.startswith("#!") and not runs:
        return [f"{path}: begins with #! but cannot be run: chmod +x"]
    if runs and not first_line.startswith("#!"):
        return [f"{path}: can be run but does not begin with #!"]
    return []


def check_tree(root):
    faults = []
    for path in files_of(root):
        faults += check_top_level(path)
        with open(os.path.join(root, path), "rb") as file:
            raw = file.read()
        if b"\0" in raw[:4096]:
            continue  # a corpus file
        lines = raw.decode("utf-8", "replace").split("\n")
        if not path.startswith("tests/fuzz/corpus"):
            faults += check_run_bit(root, path, lines[0])
        if path.endswith(COUNTED) and len(lines) > LINES_MAX + 1:
            faults.append(f"{path}: {len(lines) - 1} lines; cut it in two (limit {LINES_MAX})")
        if path.endswith(SOURCES):
            faults += check_source(root, path, lines)
    return faults


class House(unittest.TestCase):
    def test_is_in_order(self):
        faults = check_tree(ROOT)
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_sees_its_files(self):
        names = files_of(ROOT)
        self.assertIn("queue/journal.h", names)
        self.assertIn("tests/house/house_test.py", names)


class PlantedDefects(unittest.TestCase):
    """Each rule must be seen to fail."""

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = self.scratch.name
        for room in list(ARROWS) + ["tests", "tools"]:
            self.write(room + "/known.h", "#pragma once\n#include <vector>\n")
        self.write("README.md", "")
        self.write(".ci/run", "#!/bin/bash\n", run=True)
        self.assertEqual(check_tree(self.root), [])

    def write(self, path, text, run=False):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as file:
            file.write(text)
        os.chmod(full, 0o755 if run else 0o644)

    def expect(self, words):
        faults = check_tree(self.root)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(words, faults[0])

    def test_every_forbidden_arrow(self):
        rooms = list(ARROWS) + ["tests", "tools"]
        for room in ARROWS:
            for target in rooms:
                if target in ARROWS[room]:
                    continue
                with self.subTest(room=room, target=target):
                    self.write(room + "/bad.cc", f'#include "{target}/known.h"\n')
                    self.expect("nothing includes" if target in ANYTHING else "must not know")
                    os.unlink(os.path.join(self.root, room, "bad.cc"))

    def test_every_allowed_arrow(self):
        for room, targets in ARROWS.items():
            text = "".join(f'#include "{t}/known.h"\n' for t in targets)
            self.write(room + "/good.cc", text)
        self.write("tests/good.cc", "".join(f'#include "{r}/known.h"\n' for r in ARROWS))
        self.assertEqual(check_tree(self.root), [])

    def test_new_top_level_entry(self):
        self.write("docs/page.md", "")
        self.expect("new top-level entry")

    def test_include_by_short_name(self):
        self.write("queue/bad.cc", '#include "known.h"\n')
        self.expect("from the repository's root")

    def test_include_with_angle_brackets(self):
        self.write("queue/bad.cc", "#include <dns/known.h>\n")
        self.expect("with quotes")

    def test_include_of_nothing(self):
        self.write("queue/bad.cc", '#include "queue/gone.h"\n')
        self.expect("no such file")

    def test_coroutine_header(self):
        self.write("queue/bad.cc", "#include <coroutine>\n")
        self.expect("no coroutines")

    def test_coroutine_keyword(self):
        self.write("queue/bad.cc", '// co_await is a word here\nint f() { co_return 1; }\n')
        self.expect("bad.cc:2: no coroutines")

    def test_long_file(self):
        self.write("queue/bad.cc", "\n" * (LINES_MAX + 1))
        self.expect("cut it in two")

    def test_script_without_run_bit(self):
        self.write("tools/bad", "#!/bin/bash\n")
        self.expect("cannot be run")

    def test_run_bit_without_script(self):
        self.write("queue/bad.cc", "int x;\n", run=True)
        self.expect("does not begin with #!")

    def test_header_without_guard(self):
        self.write("queue/bad.h", "int x;\n")
        self.expect("#pragma once")


if __name__ == "__main__":
    unittest.main(verbosity=1, argv=sys.argv)
