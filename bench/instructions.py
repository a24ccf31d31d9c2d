#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the instructions of the malloc and free fast paths, and holds them to a golden file.

Single calls are stepped through by bench-step (see step.c), so the counts are exact and need no quiet
machine: the same library gives the same counts on the same processor kind. The golden file has a line
`name count` each; --check fails when a count is above its golden figure by more than the tolerance,
and says when it has become smaller, so that the golden file can follow.
"""

import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
GOLDEN = os.path.join(HERE, "instructions.golden")
SKIP = 77


def die(message):
    print("instructions.py: " + message, file=sys.stderr)
    sys.exit(2)


def find_step(options):
    beside = os.path.join(os.path.dirname(os.path.abspath(options.lib)), "bench")
    folders = [options.programs] if options.programs else [beside, os.path.join(ROOT, "build/bench")]
    for folder in folders:
        path = os.path.join(folder, "bench-step")
        if os.access(path, os.X_OK):
            return path
    if os.uname().machine != "x86_64":
        print("instructions.py: skipped: counts are for x86-64 only", file=sys.stderr)
        sys.exit(SKIP)
    die("bench-step is not built (looked in %s)" % ", ".join(folders))


def count(step, library):
    """The counts of one library: name to (least, most common, largest)."""
    path = "-" if library is None else os.path.abspath(library)
    done = subprocess.run([step, path], capture_output=True, text=True)
    if done.returncode == SKIP:
        print("instructions.py: skipped: single-stepping (ptrace) is not permitted here",
              file=sys.stderr)
        sys.exit(SKIP)
    if done.returncode != 0:
        die("%s: %s" % (library, (done.stderr.strip().splitlines() or ["bench-step failed"])[-1]))
    counts = {}
    for line in done.stdout.splitlines():
        if line.startswith("malloc="):
            actual = line.partition("=")[2]
            if library is not None and os.path.realpath(actual) != os.path.realpath(library):
                die("%s: the preload did not take; malloc came from %s" % (library, actual))
            continue
        name, *pairs = line.split()
        figures = dict(pair.split("=") for pair in pairs)
        counts[name] = (int(figures["least"]), int(figures["common"]), int(figures["largest"]))
    return counts


def print_counts(columns):
    names = list(columns[0][1])
    widths = [max(len(name), 5) for name, _ in columns]
    print("instructions of one call, the most common of 64 (largest)")
    print(" " * 12 + "  ".join(name.rjust(w + 8) for (name, _), w in zip(columns, widths)))
    for name in names:
        cells = [("%d (%d)" % (c[name][1], c[name][2])).rjust(w + 8)
                 for (_, c), w in zip(columns, widths)]
        print(name.ljust(12) + "  ".join(cells))


def read_golden(path):
    golden = {}
    try:
        with open(path) as file:
            for number, line in enumerate(file, 1):
                words = line.split("#")[0].split()
                if not words:
                    continue
                if len(words) != 2 or not words[1].isdigit():
                    die("%s:%d: 'name count' is needed" % (path, number))
                golden[words[0]] = int(words[1])
    except OSError as error:
        die(str(error))
    return golden


def write_golden(path, counts):
    with open(path, "w") as file:
        file.write("# Instructions of one call on x86-64, built with GCC at -O2; written by\n"
                   "# bench/instructions.py --update, checked by bench/instructions.py --check.\n")
        for name, (_, common, _) in counts.items():
            file.write("%s %d\n" % (name, common))


def check(golden, counts, tolerance):
    good = True
    for name, (_, common, _) in counts.items():
        if name not in golden:
            print("FAIL %s: %d instructions, but no golden figure; run with --update" % (name, common))
            good = False
        elif common > golden[name] + tolerance:
            print("FAIL %s: %d instructions, golden is %d and the tolerance %d" % (
                name, common, golden[name], tolerance))
            good = False
        elif common < golden[name]:
            print("ok   %s: %d instructions, fewer than the golden %d; --update keeps the gain" % (
                name, common, golden[name]))
        else:
            print("ok   %s: %d instructions (golden %d)" % (name, common, golden[name]))
    for name in golden.keys() - counts.keys():
        print("FAIL %s: has a golden figure but was not measured" % name)
        good = False
    return good


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n", maxsplit=1)[0],
        epilog="Exit status: 0; 1 when a check fails; 2 on a wrong call; 77 when it cannot count here.")
    parser.add_argument("--lib", metavar="PATH", default=os.path.join(ROOT, "build/libfreehold.so"),
                        help="the library (default: build/libfreehold.so)")
    parser.add_argument("--programs", metavar="DIR", help="where bench-step is (default: bench/ beside "
                        "the library, then build/bench)")
    parser.add_argument("--peer", metavar="NAME=PATH", action="append", default=[],
                        help="show this library's counts as well; NAME=- is the system's own malloc")
    parser.add_argument("--check", action="store_true", help="compare with the golden file")
    parser.add_argument("--update", action="store_true", help="write the golden file")
    parser.add_argument("--golden", metavar="FILE", default=GOLDEN)
    parser.add_argument("--tolerance", metavar="N", type=int, default=2)
    options = parser.parse_args()
    if not os.path.isfile(options.lib):
        die("%s does not exist; build it, or name it with --lib" % options.lib)
    step = find_step(options)
    columns = [("freehold", count(step, options.lib))]
    for text in options.peer:
        name, equals, path = text.partition("=")
        if not equals or not name or (path != "-" and not os.path.isfile(path)):
            die("--peer %s: NAME=PATH of a library is needed" % text)
        columns.append((name, count(step, None if path == "-" else path)))
    if options.update:
        write_golden(options.golden, columns[0][1])
    if options.check:
        return 0 if check(read_golden(options.golden), columns[0][1], options.tolerance) else 1
    print_counts(columns)
    return 0


if __name__ == "__main__":
    sys.exit(main())
