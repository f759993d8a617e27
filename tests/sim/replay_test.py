#!/usr/bin/python3
"""A seed runs again exactly, and a failing one says how.

usage: replay_test.py SIM       Runs a seed in two processes, then a planted defect until it is found,
                                and twice the command that was printed with it: all must say the same.
       replay_test.py SIM same  A seed in two processes, with the arguments that follow: for the test
                                of this test, where something does not follow the seed.
"""

import re
import subprocess
import sys


def run(*arguments, **options):
    done = subprocess.run(*arguments, capture_output=True, text=True, timeout=300, check=False,
                          **options)
    if done.stderr:
        sys.exit(f"replay: {arguments[0]}: {done.stderr}")
    return done.stdout


def same(what, one, other):
    if one != other:
        sys.exit(f"replay: {what}: two runs differ:\n{one}\n--- and ---\n{other}")


def report_of(text, seed):
    """From a seed's own line to the command that runs it again."""
    found = re.search(rf"^seed {seed}: .*?^again with: [^\n]*$", text, re.M | re.S)
    if not found:
        sys.exit(f"replay: no report of seed {seed} in:\n{text}")
    return found.group(0)


def main():
    sim = sys.argv[1]
    if sys.argv[2:3] == ["same"]:
        command = [sim, *sys.argv[3:]]
        return same(" ".join(command), run(command), run(command))
    for seed in ("7", "8"):
        command = [sim, "--seed", seed, "--verbose"]
        text = run(command)
        if "trace" not in text:
            sys.exit(f"replay: {' '.join(command)} printed no report:\n{text}")
        same(" ".join(command), text, run(command))
    for extra in ([], ["--shards", "3", "--recipients", "400"]):
        text = run([sim, "--plant", "doubt_is_later", "--seeds", "500", *extra])
        again = re.search(r"^again with: (.*--seed (\d+) .*)$", text, re.M)
        if not again:
            sys.exit(f"replay: no command was printed:\n{text}")
        command, seed = again.groups()
        first = report_of(text, seed)
        if "VIOLATION" not in first:
            sys.exit(f"replay: a report without a violation:\n{text}")
        for _ in range(2):  # pasted into a shell, as it was printed
            same(command, first, report_of(run(command, shell=True), seed))


if __name__ == "__main__":
    main()
