#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The check of the layers must find what it is there for: one planted violation of each kind, each in a copy of
the tree, each named with its file. What is allowed, planted likewise, must pass.

Usage: test_check_layers.py ROOT CC
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.dont_write_bytecode = True
import check_layers  # noqa: E402

# (file, content, what the one violation must say; None for: there must be none)
PLANTED = [
    # Includes in the wrong direction, from every layer that has one below it.
    ("src/base/planted.h", '#include "port/planted.h"\n', "include: base may not include port"),
    ("src/base/planted.c", '#include "malloc/planted.h"\n', "include: base may not include malloc"),
    ("src/port/planted.c", '#include "pages/planted.h"\n', "include: port may not include pages"),
    ("src/pages/planted.c", '#include "objects/planted.h"\n', "include: pages may not include objects"),
    ("src/pages/planted.h", '#include "../allocators/planted.h"\n', "include: pages may not include allocators"),
    ("src/objects/planted.c", '#include "port/planted.h"\n', "include: objects may not include port"),
    ("src/objects/planted.c", '# include "pages/planted.h"\n', "include: objects may not include pages"),
    ("src/allocators/planted.c", '#include "malloc/planted.h"\n', "include: allocators may not include malloc"),
    ("src/base/planted.h", '#include "nowhere.h"\n', 'include: "nowhere.h" is not a file of a layer'),
    ("src/malloc/planted.h", '#include "allocators/planted.h"\n#include "port/planted.h"\n', None),
    ("src/allocators/planted.h", '#include "pages/planted.h"\n#include "objects/planted.h"\n', None),
    ("src/objects/planted.h", '/*\n#include "malloc/planted.h"\n*/\n#include "base/planted.h"\n', None),
    # The host's headers.
    ("src/base/planted.c", "#include <sys/mman.h>\n", "host: base may not include <sys/mman.h>"),
    ("src/pages/planted.c", "#include <unistd.h>\n", "host: pages may not include <unistd.h>"),
    ("src/objects/planted.c", "#include <time.h>\n", "host: objects may not include <time.h>"),
    ("src/allocators/planted.c", "#include <pthread.h>\n", "host: allocators may not include <pthread.h>"),
    ("src/allocators/planted.c", "#include <linux/futex.h>\n", "host: allocators may not include <linux/futex.h>"),
    ("src/base/planted.c", "#include <stdlib.h>\n", "host: base may not include <stdlib.h>"),
    ("src/malloc/planted.c", "#include <sys/mman.h>\n", "host: malloc may not include <sys/mman.h>"),
    ("src/malloc/planted.c", "#include <time.h>\n", "host: malloc may not include <time.h>"),
    ("src/malloc/planted.c", "#include <pthread.h>\n#include <errno.h>\n", None),
    ("src/port/planted.c", "#include <sys/mman.h>\n#include <unistd.h>\n", None),
    # Symbols that a layer defines.
    ("src/base/planted.c", "void *malloc(unsigned long n) { return (void *)n; }\n", "symbol: base defines malloc"),
    ("src/port/planted.c", "void free(void *p) { (void)p; }\n", "symbol: port defines free"),
    ("src/allocators/planted.c", "void *_Znwm(unsigned long n) { return (void *)n; }\n",
     "symbol: allocators defines _Znwm"),
    ("src/pages/planted.c", "void *__libc_memalign(unsigned long a, unsigned long n) { return (void *)(a + n); }\n",
     "symbol: pages defines __libc_memalign"),
    ("src/malloc/planted.c", "void *valloc(unsigned long n) { return (void *)n; }\n", None),
    # Symbols that a layer needs: a system call without any header, libc, and the four that are allowed.
    ("src/base/planted.c", "void abort(void); void freehold__f(void) { abort(); }\n", "libc: base needs abort"),
    ("src/pages/planted.c", "int madvise(void *, unsigned long, int); int freehold__f(void *p) { return madvise(p, 1, 4); }\n",
     "libc: pages needs madvise"),
    ("src/objects/planted.c", "extern int *__errno_location(void); void freehold__f(void) { *__errno_location() = 1; }\n",
     "libc: objects needs __errno_location"),
    ("src/allocators/planted.c", "int printf(const char *, ...); int freehold__f(int i) { return printf(\"%d\", i); }\n",
     "libc: allocators needs printf"),
    ("src/malloc/planted.c", '#include "check/planted.h"\n', "include: malloc may not include check"),
    ("src/check/planted.c", '#include "malloc/planted.h"\n', None),
    ("src/check/planted.c", "int munmap(void *, unsigned long); int freehold__f(void *p) { return munmap(p, 1); }\n",
     "system: check calls munmap"),
    ("src/malloc/planted.c", "long syscall(long, ...); long freehold__f(void) { return syscall(39); }\n",
     "system: malloc calls syscall"),
    ("src/malloc/planted.c", "int munmap(void *, unsigned long); int freehold__f(void *p) { return munmap(p, 1); }\n",
     "system: malloc calls munmap"),
    ("src/base/planted.c", "#include <string.h>\nvoid freehold__g(void);\nvoid freehold__f(void *a, void *b, unsigned long n)\n"
     "{ memcpy(a, b, n); memset(b, 0, n); memmove(a, b, n); if (memcmp(a, b, n)) freehold__g(); }\n", None),
]


def plant(root, cc, file, content):
    """What the check finds in a copy of the tree because of one more file in it, compiled if it is a source."""
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory).resolve()
        for layer in check_layers.ALLOWED:
            (copy / "src" / layer).mkdir(parents=True)
            (copy / "src" / layer / "planted.h").write_text("\n")
        for layer in check_layers.ALLOWED:
            for path in (root / "src" / layer).glob("*.[ch]"):
                shutil.copy(path, copy / "src" / layer)
        before = check_layers.violations(copy, [])
        (copy / file).write_text(content)
        if file.endswith(".c"):
            out = copy / "objects" / (file + ".o")
            out.parent.mkdir(parents=True)
            subprocess.run([cc, "-std=gnu11", "-O1", "-w", "-fno-builtin", "-fno-stack-protector", "-U_FORTIFY_SOURCE",
                            "-I", copy / "src", "-c", copy / file, "-o", out], check=True)
        return [line for line in check_layers.violations(copy, [copy / "objects"]) if line not in before]


def main():
    root, cc = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    failures = 0
    for file, content, expected in PLANTED:
        found = plant(root, cc, file, content)
        good = not found if expected is None else (
            len(found) == 1 and found[0].startswith(file) and expected in found[0])
        if not good:
            failures += 1
            print(f"{file} with {content!r}:\n  expected {expected!r}\n  found    {found!r}")
    print(f"{len(PLANTED) - failures} of {len(PLANTED)} planted files judged rightly")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
