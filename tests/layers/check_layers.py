#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules of the layers, checked on the sources and on the compiled objects.

include    a file may include files of its own layer and of those above it, as ALLOWED says
host       no header of the operating system outside src/port; src/malloc and src/check, which stand in for a part of
           libc, may use libc's own and those of threads and of the dynamic linker; the other layers use what C11
           promises a freestanding program, and string.h for mem*
symbol     no symbol of libc's malloc family or of C++'s operators new and delete is defined outside src/malloc
libc       the objects of base, pages, objects and allocators need nothing from libc but memcpy, memset, memmove
           and memcmp
system     the objects of src/malloc and src/check call no system call wrapper: the port does that

Usage: check_layers.py ROOT OBJECTS...   where OBJECTS are folders below which the objects lie, each under a path
that ends in src/LAYER/NAME.c.o. Prints one line for each violation; exit status 1 if there was one.
"""

import pathlib
import re
import subprocess
import sys

# What each layer may include, besides itself.
ALLOWED = {
    "base": set(),
    "port": {"base"},
    "pages": {"base", "port"},
    "objects": {"base"},
    "allocators": {"base", "port", "pages", "objects"},
    "malloc": {"base", "port", "pages", "objects", "allocators"},
    "check": {"base", "port", "pages", "objects", "allocators", "malloc"},
}
CORE = ("base", "pages", "objects", "allocators")
PROCESS = ("malloc", "check")

FREESTANDING = {
    "float.h", "iso646.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdnoreturn.h", "string.h",
}
# signal.h for pthread_sigmask around the start of a thread, dlfcn.h to find what stands behind us, the headers of
# threads because the library has to know when there is a second one.
MALLOC_MAY = FREESTANDING | {
    "dlfcn.h", "errno.h", "inttypes.h", "malloc.h", "pthread.h", "signal.h", "stdio.h", "stdlib.h",
    "sys/single_threaded.h", "threads.h",
}

MALLOC_FAMILY = re.compile(
    r"^(malloc|free|calloc|realloc|reallocarray|reallocarr|aligned_alloc|posix_memalign|memalign|valloc|pvalloc|cfree"
    r"|malloc_usable_size|malloc_good_size|malloc_trim|mallinfo2?|mallopt|malloc_info|malloc_stats"
    r"|free_sized|free_aligned_sized|__libc_(malloc|free|calloc|realloc|memalign|valloc|pvalloc|cfree)"
    r"|__posix_memalign|_Zn[wa].*|_Zd[la].*)$"
)
MEM = {"memcpy", "memset", "memmove", "memcmp"}
# Arithmetic that the compiler may call its own runtime for.
RUNTIME = re.compile(r"^(__(popcount|clz|ctz|ffs|parity|bswap|u?div|u?mod|u?divmod|mul|ashl|ashr|lshr|cmp|ucmp)[sdt]i[234]?"
                     r"|__atomic_\w+|__aarch64_\w+|_GLOBAL_OFFSET_TABLE_)$")
SYSTEM_CALLS = {
    "access", "brk", "clock_gettime", "close", "dup", "dup2", "futex", "getcpu", "getpagesize", "getpid",
    "getrlimit", "gettid", "gettimeofday", "ioctl", "kill", "lseek", "madvise", "mincore", "mlock", "mmap", "mmap64",
    "mprotect", "mremap", "msync", "munmap", "nanosleep", "open", "open64", "openat", "pread", "prctl", "pwrite",
    "raise", "read", "sbrk", "sched_getcpu", "sched_yield", "setrlimit", "sigaction", "sysconf", "syscall", "time",
    "usleep", "write",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources(root):
    for layer in ALLOWED:
        for path in sorted((root / "src" / layer).rglob("*.[ch]")):
            yield layer, path


def included_layer(root, path, name):
    """The layer that a quoted include means, by the folder that it lies in; None outside src/."""
    for base in (path.parent, root / "src"):
        target = (base / name).resolve()
        if target.is_relative_to(root / "src"):
            relative = target.relative_to(root / "src")
            if target.exists() or relative.parts[0] in ALLOWED and len(relative.parts) > 1 and base == root / "src":
                return relative.parts[0]
    return None


def check_sources(root):
    for layer, path in sources(root):
        # Comments may speak of includes; line numbers stay.
        text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), path.read_text(), flags=re.DOTALL)
        for match in INCLUDE.finditer(text):
            quote, name = match.groups()
            place = f"{path.relative_to(root)}:{text.count(chr(10), 0, match.start(2)) + 1}"
            if name.startswith("freehold/"):
                continue  # a public header
            if quote == '"':
                target = included_layer(root, path, name)
                if target is None:
                    yield f"{place}: include: \"{name}\" is not a file of a layer"
                elif target != layer and target not in ALLOWED[layer]:
                    yield f"{place}: include: {layer} may not include {target} (\"{name}\")"
            elif layer != "port":
                allowed = MALLOC_MAY if layer in PROCESS else FREESTANDING
                if name not in allowed:
                    yield f"{place}: host: {layer} may not include <{name}>"


def symbols(path):
    """The names that an object defines for others, and those that it needs."""
    output = subprocess.run(["nm", "-g", str(path)], check=True, capture_output=True, text=True).stdout
    defined, needed = set(), set()
    for line in output.splitlines():
        fields = line.split()
        if len(fields) >= 2 and len(fields[-2]) == 1:
            (needed if fields[-2] in "Uvw" else defined).add(fields[-1].split("@")[0])
    return defined, needed


def objects(root, folders):
    """Layer, source and path of every object; one whose source is gone is a leftover in the build folder."""
    for folder in folders:
        for path in sorted(folder.rglob("*.c.o")):
            match = re.search(r"(src/(\w+)/[^/]+\.c)\.o$", path.as_posix())
            if match and match.group(2) in ALLOWED and (root / match.group(1)).exists():
                yield match.group(2), match.group(1), path


def check_objects(root, folders):
    for layer, name, path in objects(root, folders):
        defined, needed = symbols(path)
        if layer != "malloc":
            for symbol in sorted(filter(MALLOC_FAMILY.match, defined)):
                yield f"{name}: symbol: {layer} defines {symbol}"
        if layer in CORE:
            for symbol in sorted(needed - MEM):
                if not symbol.startswith("freehold_") and not RUNTIME.match(symbol):
                    yield f"{name}: libc: {layer} needs {symbol}"
        if layer in PROCESS:
            for symbol in sorted(needed & SYSTEM_CALLS):
                yield f"{name}: system: {layer} calls {symbol}"


def violations(root, folders):
    return list(check_sources(root)) + list(check_objects(root, folders))


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    folders = [pathlib.Path(folder) for folder in sys.argv[2:]]
    count = len(list(objects(root, folders)))
    expected = len([path for _, path in sources(root) if path.suffix == ".c" and path.name not in
                    ("fault.c", "windows.c", "none.c")])
    if folders and count < expected:
        print(f"only {count} objects for {expected} sources: build the library first")
        return 1
    found = violations(root, folders)
    print("\n".join(found) if found else f"{expected} sources, {count} objects: every rule is kept")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
