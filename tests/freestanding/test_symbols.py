#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""F66: what libfreehold-freestanding.a asks for is the hooks of freehold/hooks.h and the four mem functions.
F102: it is made of the files that the drop-in is made of, each of them, but for malloc and the port.

Where words have 32 bits, also libgcc's calculations with 64 (PORTING.md). All of its members are joined (ld -r), so that
what one asks of another is not counted. The hooks are read from the header: each must be asked for, or be defined
weakly by the library.

Usage: test_symbols.py LIBRARY LD NM HOOKS_H
"""

import pathlib
import re
import subprocess
import sys
import tempfile

LAYERS = ("base", "pages", "objects", "allocators")
MEM = {"memcpy", "memmove", "memset", "memcmp"}
LIBGCC = re.compile(r"__(aeabi_(u?ldivmod|u?idiv|u?idivmod|u?lcmp|lmul|ll?s[lr])|(ctz|clz|popcount)[ds]i2|"
                    r"u?(div|mod|divmod)di[34])$")


def differing_members(nm, library, sources):
    """Files that are in the library and not in the layers, or the other way round."""
    out = subprocess.run([nm, library], check=True, capture_output=True, text=True).stdout
    members = sorted(name.removesuffix(".o").removesuffix(".obj") for name in re.findall(r"^(\S+):$", out, re.MULTILINE))
    files = sorted([path.name for layer in LAYERS for path in (sources / layer).glob("*.c")] + ["none.c"])
    return [] if members == files else [f"the library has {members}, the layers have {files}"]


def table(nm, path):
    lines = subprocess.run([nm, path], check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1]: line.split()[-2] for line in lines}


def main():
    library, ld, nm, header = sys.argv[1:]
    hooks = set(re.findall(r"\b(freehold_hook_\w+)\(", re.sub(r"/\*.*?\*/", "", pathlib.Path(header).read_text(),
                                                              flags=re.DOTALL)))
    with tempfile.TemporaryDirectory() as folder:
        whole = f"{folder}/whole.o"
        subprocess.run([ld, "-r", "-o", whole, "--whole-archive", library], check=True)
        symbols = table(nm, whole)
        with open(whole, "rb") as file:
            wide = file.read(5)[4] == 2  # ELF's class
    needed = {name for name, kind in symbols.items() if kind == "U" and (wide or not LIBGCC.match(name))}
    weak = {name for name, kind in symbols.items() if kind in "WV"}
    failures = differing_members(nm, library, pathlib.Path(header).resolve().parents[2] / "src")
    failures += [f"{name}: asked for, but no hook" for name in sorted(needed - hooks - MEM)]
    failures += [f"{name}: a hook that nobody asks for" for name in sorted(hooks - needed - weak)]
    failures += [f"{name}: weak, but no hook" for name in sorted(weak - hooks)]
    print("\n".join(failures) or f"asks for {', '.join(sorted(needed))}; has {', '.join(sorted(weak))}")
    return 1 if failures or not needed & hooks else 0


if __name__ == "__main__":
    sys.exit(main())
