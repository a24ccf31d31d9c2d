#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads the object code of calls.c (F2): every function typed_TYPE__NAME has one call or jump out, direct, to
freehold_TYPE_NAME; and a planted indirect call is seen as one. Then the same of what is behind it: no function of a
type's file in the library calls by way of a pointer, but those that call a function of the user's. Which types and
functions there are is read from calls.c, which makes them from the lists of freehold/allocator.h.

Usage: check_calls.py ALLOCATORS CALLS.O...   where ALLOCATORS is the folder of the objects of src/allocators
(x86-64 and AArch64; elsewhere 77: skipped)
"""

import pathlib
import platform
import re
import subprocess
import sys

# An instruction that goes where a register or memory says. (Of AArch64's returns, ret is none.)
INDIRECT = re.compile(r"^\s*(notrack |bnd )?(call|jmp)[lq]?\s+\*|^\s*(blr|br|blra\w+|bra\w+)\s+x\d+")
# What is right before the jump of a switch, which goes by a table of distances and is no call.
SWITCH = re.compile(r"^\s*(movslq\s.*,4\),|add\s+x\d+, x\d+, w\d+, sxt[bhw])")
RELOCATION = re.compile(r"R_(X86_64_(PLT32|PC32)|AARCH64_(CALL26|JUMP26))\s+([\w.]+)")
# Functions that call the user's: the visitor of a walk, and what else is given an allocator to be called (a function
# of its own calls that, not inlined into others).
USERS = re.compile(r"walk|call_user")


def functions(path):
    """The instructions and the relocations of calls of each function."""
    text = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", path], check=True, capture_output=True, text=True)
    found, name = {}, None
    for line in text.stdout.splitlines():
        if match := re.match(r"^[0-9a-f]+ <([\w.]+)>:$", line):
            name = match.group(1)
            found[name] = ([], [])
        elif name and (match := RELOCATION.search(line)):
            found[name][1].append(match.group(4))
        elif name and (match := re.match(r"^\s*[0-9a-f]+:\s+(.*)$", line)):
            found[name][0].append(match.group(1))
    return found


def indirect(instructions):
    return [i for k, i in enumerate(instructions)
            if INDIRECT.match(i) and not any(SWITCH.match(before) for before in instructions[max(0, k - 2):k])]


def listed(found):
    """The pairs of type and function that calls.c has."""
    return [match.groups() for name in found if (match := re.fullmatch(r"typed_(\w+?)__(\w+)", name))]


def check_calls(path, found):
    if not indirect(found["planted_indirect"][0]):
        yield f"{path}: the planted indirect call was not seen"
    for kind, name in listed(found):
        instructions, calls = found[f"typed_{kind}__{name}"]
        if indirect(instructions):
            yield f"{path}: {kind}: {name} calls indirectly: {indirect(instructions)}"
        if calls != [f"freehold_{kind}_{name}"]:
            yield f"{path}: {kind}: {name} calls {calls}"


def check_types(folder, pairs):
    for kind in sorted({kind for kind, _ in pairs} - {"allocator"}):
        path = folder / f"{kind}.c.o"
        found = functions(path)
        for name in [name for k, name in pairs if k == kind]:
            if f"freehold_{kind}_{name}" not in found:
                yield f"{path}: there is no freehold_{kind}_{name}"
        for name, (instructions, _) in found.items():
            if indirect(instructions) and not USERS.search(name):
                yield f"{path}: {name} calls indirectly: {indirect(instructions)}"


def main():
    if platform.machine() not in ("x86_64", "aarch64"):
        return 77
    calls = {path: functions(path) for path in sys.argv[2:]}
    pairs = [pair for found in calls.values() for pair in listed(found)]
    wrong = [line for path, found in calls.items() for line in check_calls(path, found)]
    wrong += check_types(pathlib.Path(sys.argv[1]), sorted(set(pairs)))
    if len(pairs) != len(calls) * len(set(pairs)) or ("heap", "alloc") not in pairs or ("allocator", "alloc") not in pairs:
        wrong.append("not every language has every function")
    print("\n".join(wrong) if wrong else f"{len(set(pairs))} functions, {len(calls)} languages: all calls are direct")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
