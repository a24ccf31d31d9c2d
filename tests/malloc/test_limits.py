#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""F89, process-wide limits: programs under FREEHOLD_OPTIONS=limit=...,soft_limit=..., and the exact lines on standard
error. limits.c says what each of them does.

Usage: test_limits.py native|foreign LIBRARY LIMITS [LIMITS_NEW]
"""

import os
import re
import resource
import shlex
import subprocess
import sys

NATIVE = sys.argv[1] == "native"  # the programs of this machine can load the library
LIBRARY, LIMITS, NEW = [*map(os.path.abspath, sys.argv[2:]), None][:3]  # the last needs C++
MIB = 1 << 20
EMULATOR = shlex.split(os.environ.get("FREEHOLD_TEST_EMULATOR", ""))  # of another processor
REFUSED = re.compile(r"freehold: limit=(\w+) \(FREEHOLD_OPTIONS\) refused a request for (\d+) bytes: (\d+) of (\d+) bytes "
                     r"are held; later refusals are not reported\n")
PASSED = re.compile(r"freehold: soft_limit=(\w+) \(FREEHOLD_OPTIONS\) is passed: (\d+) bytes are held\n")


def run(options, *command, status=0, **environment):
    if EMULATOR:
        environment["FREEHOLD_TEST_EMULATOR"] = "QEMU"
    done = subprocess.run([*EMULATOR, *command], env={"FREEHOLD_OPTIONS": options, **environment}, capture_output=True,
                          text=True, timeout=100)
    assert done.returncode == status, (options, command, done)
    return done.stderr


def refused(line, option, least=0, most=sys.maxsize):
    """The line, and nothing but it: what is held, and what was asked for."""
    match = REFUSED.fullmatch(line)
    assert match and match.group(1) == option and least <= int(match.group(3)) <= most, line
    return int(match.group(3)), int(match.group(2))


def test_at_the_limit():
    for name in ["fill_in_turn", "exact", "grow_over_empties", "adopted", "threads"]:
        for more in ["", ",retain=immediate", ",retain=never", ",check=1000"]:
            refused(run("limit=64M" + more, LIMITS, name), "64M", 0, 64 * MIB)


def test_within_it_is_no_refusal():
    for more in ["", ",retain=never"]:
        assert run("limit=64M" + more, LIMITS, "within") == ""


def test_text():
    err = run("limit=64M", LIMITS, "lines")
    line, rest = err.split("\n", 1)
    held, asked = refused(line + "\n", "64M")
    assert asked == 70 * MIB, err
    # What small blocks had is free, and has been given back (but musl's record of the fork handlers).
    assert held - 2 * MIB in ([0] if NATIVE else [0, 16384]), err
    assert "refused" not in rest, err  # once
    for text, words in [("65536K", "64M"), ("67108864", "64M"), ("67108863", "67108863"), ("65537K", "65537K")]:
        line = run("limit=" + text, LIMITS, "lines").split("freehold: alloc")[0]
        refused(line, words)
        assert f" of {eval(text.replace('K', '*1024'))} bytes" in line, line
    assert run("limit=1G", LIMITS, "soft").count("limit") == 0
    before, line = run("limit=64M", LIMITS, "never_lines").split("before\n")
    assert before == "" and refused(line, "64M")[1] in (2**63 - 1 - 0xffff, 2**31 - 1 - 0xffff), line


def test_shrinking_is_no_refusal():
    before, rest = run("limit=64M", LIMITS, "shrink").split("shrink\n")
    refused(before, "64M")
    between, line = rest.split("grow\n")
    assert between == "", between
    assert refused(line, "64M", 63 * MIB, 64 * MIB)[1] == 40000, line


def test_fork():
    child, parent = re.findall(r".*\n", run("limit=64M", LIMITS, "forked"))
    assert refused(child, "64M", 40 * MIB, 41 * MIB)[1] == 30 * MIB, child
    assert refused(parent, "64M", 60 * MIB, 61 * MIB)[1] == 10 * MIB, parent


def test_no_room_at_all():
    for limit in ["1", "4K", "8191"]:
        first, then = run("limit=" + limit, LIMITS, "tiny").splitlines(keepends=True)
        assert re.fullmatch(rf"freehold: FREEHOLD_OPTIONS: limit={limit} leaves no room: \d+ bytes are held when the "
                            r"program starts, and the first block takes 8192: every request is refused; give a larger "
                            r"one\n", first), first
        refused(then, limit)


def test_soft_above_hard():
    for soft, hard in [("64M", "64M"), ("1G", "64M")]:
        ignored = (f"freehold: FREEHOLD_OPTIONS: soft_limit={soft} is not below limit={hard} and would never be passed: "
                   "it is ignored; give a smaller one\n")
        for options in [f"soft_limit={soft},limit={hard}", f"limit={hard},soft_limit={soft}"]:
            assert run(options, LIMITS, "soft") == ignored + run("", LIMITS, "soft")


def test_soft():
    err = run("limit=64M,soft_limit=32M", LIMITS, "soft")
    assert PASSED.sub("+\n", err) == ("large\n+\nlarge again\n+\nrealloc\n+\ncalloc\n+\ngrowing\n+\nsmall\n+\n"
                                      "aligned\n+\n"), err
    passed = [(words, int(held) / MIB) for words, held in PASSED.findall(err)]
    assert all(words == "32M" for words, _ in passed), err
    for (_, held), least in zip(passed, [40, 41, 42, 43, 32, 32, 44]):
        assert least <= held < least + (6 if least == 42 else 2), err  # realloc takes an eighth more
    assert run("limit=64M,soft_limit=60M", LIMITS, "soft").count("passed") == 0
    both = run("soft_limit=1K,limit=64M", LIMITS, "lines")
    lines = both.splitlines(keepends=True)
    assert PASSED.fullmatch(lines[0]) and any(REFUSED.fullmatch(line) for line in lines), both


def test_handler():
    err = run("soft_limit=32M", LIMITS, "handler")
    assert PASSED.fullmatch(err), err  # only when it has been taken away again


def test_new():
    if NEW is None:
        return
    assert refused(run("limit=64M", NEW), "64M", 40 * MIB, 41 * MIB)[1] == 40 * MIB


def resident(options, *command, status):
    """What a program says, and the most that it and those before it had resident."""
    err = run(options, *command, status=status, LD_PRELOAD=LIBRARY, PYTHONMALLOC="malloc")
    return err, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def test_real_programs():
    if not NATIVE:
        return
    python = ["/usr/bin/python3", "-S", "-c"]
    perl = ["perl", "-e"]
    objects = "l = []\nwhile True: l.append((len(l), str(len(l)), {len(l): [0] * (len(l) % 100)}))"
    strings = "push @a, $_ x ($_ % 300) while ++$_"
    # Through refusals, many times, with memory that is kept in other shapes: in the end it goes on as if nothing was.
    again = """
for turn in range(12):
    keep = []
    try:
        while True:
            keep.append(bytearray(100 + turn ** 5) if turn % 2 else {str(i): [i] for i in range(100)})
    except MemoryError:
        keep = None
print(sum(map(ord, "".join(str(i) for i in range(1000)))))
"""
    for command, said, status in [(python + [objects], "MemoryError", 1), (perl + [strings], "Out of memory", 1),
                                  (python + [again], "", 0)]:
        err, most = resident("limit=48M", *command, status=status)
        line, rest = err.split("\n", 1)
        held, asked = refused(line + "\n", "48M", 40 * MIB, 48 * MIB)
        assert asked > 0 and said in rest and "freehold" not in rest, err
        assert most <= 48 * MIB + 16 * MIB, (command, most)  # their own code and stack


# The real programs first: nobody else has been resident before them.
for test in [test_real_programs, test_at_the_limit, test_within_it_is_no_refusal, test_text,
             test_shrinking_is_no_refusal, test_fork, test_no_room_at_all, test_soft_above_hard, test_soft, test_handler,
             test_new]:
    test()
    print(f"{test.__name__}: passed")
