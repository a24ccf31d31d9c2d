#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The manual of section 3 (tools/manual.py): every public declaration has its documentation and every exported function
its page, what is missing is found, and all pages render without a warning (mandoc, and groff where it is).

Usage: test_manual.py SOURCE LIBRARY
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE, LIBRARY = pathlib.Path(sys.argv[1]), sys.argv[2]
MANUAL = SOURCE / "tools/manual.py"
HEADERS = sorted((SOURCE / "include/freehold").glob("*.h"))

# What is taken out of a header, what is put there, and what the check then says.
PLANTED = [
    ("heap.h", r"/\* Makes the structure an empty heap.*?\*/\n", "", "heap.h: freehold_heap_init has no comment"),
    ("heap.h", r" \* Threads  .*?(?= \* Failure)", "", "heap.h: its first comment has no entry 'Threads'"),
    ("slab.h", r" \* Failure  .*?(?= \* Cost)", "", "slab.h: its first comment has no entry 'Failure'"),
    ("slab.h", r"size_t slot_bytes\)", "size_t slot)", "slab.h: freehold_slab_init: the unit of 'slot' is not in its name"),
    ("index_pool.h", r"False: there is none, or no memory for the words\.", "",
     "index_pool.h: freehold_index_pool_take does not say when it fails"),
    ("debug.h", r" /\* the most that a stack can have \*/", "", "debug.h: FREEHOLD_DEBUG_FRAMES has no comment"),
    ("page.h", r"/\* What may be done with pages\. \*/\n", "", "page.h: freehold_protection has no comment"),
]


def run(*args):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True)


def test_all_is_documented():
    result = run(sys.executable, MANUAL, "--check", *HEADERS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_is_missing_is_found(folder):
    for name, pattern, replacement, wanted in PLANTED:
        text = (SOURCE / "include/freehold" / name).read_text()
        damaged, count = re.subn(pattern, replacement, text, count=1, flags=re.S)
        assert count == 1, (name, pattern)
        (folder / name).write_text(damaged)
        result = run(sys.executable, MANUAL, "--check", folder / name)
        assert result.returncode == 1 and wanted in result.stdout.splitlines(), (wanted, result.stdout, result.stderr)


def pages(folder):
    result = run(sys.executable, MANUAL, "1.2.3", "2026-01-02", folder, *HEADERS)
    assert result.returncode == 0, result.stderr
    return sorted(folder.glob("*.3"))


def test_every_function_has_a_page(folder):
    text = {page.name: page.read_text() for page in pages(folder)}
    symbols = re.findall(r" T (freehold_[^_@]\w*)", run("nm", "-D", "--defined-only", LIBRARY).stdout)
    assert len(symbols) > 200, symbols
    for name in symbols:
        found = text.get(name + ".3", "")
        while found.startswith(".so man3/"):
            name, found = found[len(".so man3/"):-3], text[found[len(".so man3/"):].strip()]
        assert found.startswith(".\\"), name
    for header in HEADERS:
        assert ".SH NAME" in text[("freehold_" + header.stem if header.stem != "freehold" else "freehold") + ".3"]
    assert "void *freehold_alloc_aligned(allocator, size_t bytes, size_t alignment, size_t offset);" in text["freehold_allocator.3"]


def test_pages_render(folder):
    tools = [tool for tool in (["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-man", "-ww", "-z", "-Tutf8"])
             if shutil.which(tool[0])]
    assert tools, "neither mandoc nor groff is here"
    for page in pages(folder):
        if page.read_text().startswith(".so"):
            continue
        for tool in tools:
            result = run(*tool, page)
            assert result.returncode == 0 and result.stdout + result.stderr == "", result.stdout + result.stderr
    # And a page that does not is found.
    (folder / "bad.3").write_text((folder / "freehold_heap.3").read_text() + ".NOSUCH macro\n")
    assert all((r := run(*tool, folder / "bad.3")).stdout + r.stderr != "" for tool in tools)


test_all_is_documented()
for test in (test_what_is_missing_is_found, test_every_function_has_a_page, test_pages_render):
    with tempfile.TemporaryDirectory() as name:
        test(pathlib.Path(name))
    print(test.__name__ + ": passed")
