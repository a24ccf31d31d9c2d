#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""F65: the program of PORTING.md compiles, defines every hook that is asked for, and none that there is not.

Usage: test_porting.py ROOT COMPILER NM
"""

import pathlib
import re
import subprocess
import sys
import tempfile


def main():
    root, compiler, nm = sys.argv[1:]
    program = re.search(r"```c\n(.*?)```", (pathlib.Path(root) / "PORTING.md").read_text(), re.DOTALL).group(1)
    header = (pathlib.Path(root) / "include/freehold/hooks.h").read_text()
    hooks = set(re.findall(r"\b(freehold_hook_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)))
    optional = set(re.findall(r"weak\S* [\w *]*?(freehold_hook_\w+)\(",
                              (pathlib.Path(root) / "src/port/none.c").read_text()))
    with tempfile.TemporaryDirectory() as folder:
        source, out = pathlib.Path(folder, "kernel.c"), f"{folder}/kernel.o"
        source.write_text(program)
        include = subprocess.run([compiler, "-print-file-name=include"], check=True, capture_output=True, text=True)
        built = subprocess.run([compiler, "-std=c11", "-ffreestanding", "-nostdinc", "-isystem", include.stdout.strip(),
                                "-Wall", "-Wextra", "-Wundef", "-Werror", f"-I{root}/include", "-c", source, "-o", out],
                               capture_output=True, text=True)
        if built.returncode != 0:
            print(built.stderr)
            return 1
        symbols = subprocess.run([nm, "-g", "--defined-only", out], check=True, capture_output=True, text=True).stdout
    defined = {name for name in re.findall(r"\bT (\w+)", symbols) if name.startswith("freehold_")}
    missing, unknown = hooks - optional - defined, defined - hooks
    print(f"defines {len(defined)} hooks; missing: {sorted(missing)}; unknown: {sorted(unknown)}")
    return 1 if missing or unknown or not optional else 0


if __name__ == "__main__":
    sys.exit(main())
