#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads the object code of calls.c (F2): every function typed_TYPE_NAME has one call or jump out, direct, to
freehold_TYPE_NAME; and a planted indirect call is seen as one. Then the same of what is behind it: no function
freehold_heap_NAME in the library's heap.c calls by way of a pointer, but the walk, which calls its visitor.

Usage: check_calls.py HEAP.O CALLS.O...    (x86-64 and AArch64; elsewhere 77: skipped)
"""

import platform
import re
import subprocess
import sys

NAMES = {"alloc", "alloc_zeroed", "alloc_aligned", "resize", "remap", "realloc", "free", "free_sized", "usable_size",
         "owns", "base", "stats", "check", "walk", "trim"}
# An instruction that goes where a register or memory says. (Of AArch64's returns, ret is none.)
INDIRECT = re.compile(r"^\s*(notrack |bnd )?(call|jmp)[lq]?\s+\*|^\s*(blr|br|blra\w+|bra\w+)\s+x\d+")
RELOCATION = re.compile(r"R_(X86_64_(PLT32|PC32)|AARCH64_(CALL26|JUMP26))\s+([\w.]+)")


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
    return [i for i in instructions if INDIRECT.match(i)]


def check_calls(path):
    found = functions(path)
    if not indirect(found["planted_indirect"][0]):
        yield f"{path}: the planted indirect call was not seen"
    for kind in ("heap", "allocator"):
        for name in NAMES:
            function = f"typed_{kind}_{name}"
            instructions, calls = found.get(function, ([], []))
            if indirect(instructions):
                yield f"{path}: {function} calls indirectly: {indirect(instructions)}"
            if calls != [f"freehold_{kind}_{name}"]:
                yield f"{path}: {function} calls {calls}"


def check_heap(path):
    found = functions(path)
    for name in NAMES:
        if f"freehold_heap_{name}" not in found:
            yield f"{path}: there is no freehold_heap_{name}"
    for name, (instructions, _) in found.items():
        if indirect(instructions) and not name.startswith("walk_"):
            yield f"{path}: {name} calls indirectly: {indirect(instructions)}"


def main():
    if platform.machine() not in ("x86_64", "aarch64"):
        return 77
    wrong = list(check_heap(sys.argv[1]))
    for path in sys.argv[2:]:
        wrong += check_calls(path)
    print("\n".join(wrong) if wrong else f"{len(NAMES)} functions, {len(sys.argv) - 2} languages: all calls are direct")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
