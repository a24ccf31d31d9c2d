#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every kind of misuse through every entry point, each in a process of its own: it ends by SIGABRT, and standard
error holds exactly the line that expected.txt has for it.

Usage: test_misuse.py PROGRAM EXPECTED
"""

import concurrent.futures
import os
import re
import shlex
import signal
import subprocess
import sys

EMULATOR = shlex.split(os.environ.get("FREEHOLD_TEST_EMULATOR", ""))  # of another processor


def read_expected(path):
    expected = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, text = line.rstrip("\n").split(None, 1)
                if name in expected:
                    sys.exit(f"{path}: {name} is there twice")
                expected[name] = text
    return expected


def fill_in(text, names):
    """Computes <P-112>, {P-Q} and {M}: sums of names and numbers; M is SIZE_MAX."""

    def value(match):
        total = 0
        for sign, term in re.findall(r"([+-]?)(\w+)", match.group(1)):
            number = names[term] if term in names else int(term)
            total += -number if sign == "-" else number
        return hex(total) if match.group(0)[0] == "<" else str(total)

    return re.sub(r"[<{]([PQM0-9+-]+)[>}]", value, text)


def behind(first, text):
    """The text where libc itself has `first` slots of 112 bytes, of the first slab of these (static programs of 32
    bits). Small blocks of the cases are all there."""

    def move(match):
        offset = int(match.group(3) or 0) + 112 * first
        return f"slot {int(match.group(1)) + first} of 292, size 112, slab <P{match.group(2)}-{offset}>"

    return re.sub(r"slot (\d+) of 292, size 112, slab <P((?:\+\d+)?)(?:-(\d+))?>", move, text)


def run(program, case, entry):
    # Some cases need the environment of a user; none of them needs more.
    result = subprocess.run([*EMULATOR, program, case, entry], env={"PATH": os.defpath}, capture_output=True, timeout=60)
    names = {name: int(value, 16) if value != "(nil)" else 0
             for name, value in re.findall(r"^([PQ])=(\S+)$", result.stdout.decode(), re.MULTILINE)}
    with open(program, "rb") as file:
        names["M"] = 2**64 - 1 if file.read(5)[4] == 2 else 2**32 - 1  # ELF's class
    stderr = result.stderr.decode(errors="replace")
    if EMULATOR:
        stderr = re.sub(r"^qemu: uncaught target signal 6 .*\n", "", stderr, flags=re.MULTILINE)
    return result.returncode, stderr, names


def check(program, case, entry, reported, text):
    status, stderr, names = run(program, case, entry)
    if "P" not in names:
        return f"{case} {entry}: it ended ({status}) before the misuse: {stderr!r}"
    wanted = f"freehold: {reported}({hex(names['P'])}): {fill_in(text, names)}\n"
    if stderr != wanted:
        return f"{case} {entry}:\n  wanted {wanted!r}\n  found  {stderr!r}"
    if status != -signal.SIGABRT:
        return f"{case} {entry}: the right text, but status {status} and not SIGABRT"
    return None


def main():
    program, path = sys.argv[1:]
    expected = read_expected(path)
    head, *lines = subprocess.check_output([*EMULATOR, program], text=True).splitlines()
    first = int(head.split()[1])
    if first != 0:
        expected = {name: text if name.startswith("orphan") else behind(first, text)  # those are of another thread
                    for name, text in expected.items()}
    listed = [line.split(None, 2) for line in lines]
    cases = {case for case, _, _ in listed}
    for name in sorted(cases ^ set(expected)):
        sys.exit(f"{name}: not both in {path} and in the program")
    if EMULATOR:  # where the start of a process takes long
        listed = listed[::7]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(check, program, case, entry, reported, expected[case]) for case, entry, reported in listed]
        wrong = [job.result() for job in jobs if job.result() is not None]
    for text in wrong[:20]:
        print(text)
    print(f"{len(cases)} kinds of misuse, {len(listed)} cases, {len(listed) - len(wrong)} with the exact text")
    sys.exit(1 if wrong else 0)


main()
