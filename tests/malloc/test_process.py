#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library from outside: FREEHOLD_OPTIONS and its errors (F87), the statistics at exit (F88), preloading into a
program that knows nothing of it (F81), no C++ library, one pointer of thread-local storage.

Usage: test_process.py LIBRARY PROBE NO_CXX
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile

LIBRARY, PROBE, NO_CXX = map(os.path.abspath, sys.argv[1:])
EMULATOR = shlex.split(os.environ.get("FREEHOLD_TEST_EMULATOR", ""))  # of another processor
KNOWN = ("(known: stats=FILE, purger=0|1, retain=decay|never|immediate, huge_pages=adaptive|system|always|never, check=N, "
         "limit=SIZE, soft_limit=SIZE)")
SIZES = "(a size is a number of bytes, or of units K, M or G: 512M)"
NAMES = "(the name of a file has 1 to 255 bytes)"
WIDE = open(LIBRARY, "rb").read(5)[4] == 2  # ELF's class: addresses of 64 bits
KEYS = ["freehold", "pid", "program", "allocations", "frees", "live_bytes", "peak_bytes", "mapped_bytes",
        "resident_retained_bytes", "purged_bytes", "threads", "large_allocations"]


def run(options, *args, name=PROBE):
    env = {"LD_PRELOAD": LIBRARY, "PATH": os.defpath}
    if options is not None:
        env["FREEHOLD_OPTIONS"] = options
    # A shell is a program too, and would report as well; so the probe is the only one that is run.
    process = subprocess.Popen([*EMULATOR, name, *map(str, args)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert out == b"", out
    return process, err.decode()


def quiet(options, *args):
    process, err = run(options, *args)
    assert process.returncode == 0, process.returncode
    assert err == "", (options, err)


def complains(options, *lines, hint=KNOWN):
    process, err = run(options, 10)
    assert process.returncode == 0, process.returncode  # a wrong option must not stop a program
    assert err == "".join(f"freehold: FREEHOLD_OPTIONS: {line} {hint}\n" for line in lines), (options, err)


def statistics(text):
    assert text.endswith("\n") and text.count("\n") == 1, text
    pairs = json.loads(text, object_pairs_hook=list)
    assert [key for key, _ in pairs][:len(KEYS)] == KEYS, pairs
    return dict(pairs)


def test_options():
    quiet(None, 10)
    quiet("", 10)
    quiet(",,,", 10)
    quiet("retain=decay,purger=0,check=0", 10)
    quiet("retain=never", 10000)
    quiet("retain=immediate", 10000, 10)
    quiet("purger=1", 10000)
    complains("nonsense", "no value in 'nonsense'")
    complains("nonsense=1", "unknown option 'nonsense=1'")
    complains("=1", "unknown option '=1'")
    complains("Purger=1", "unknown option 'Purger=1'")
    complains("purger=2", "bad value in 'purger=2'")
    complains("purger=", "bad value in 'purger='")
    complains("purger=1x", "bad value in 'purger=1x'")
    complains("purger=-1", "bad value in 'purger=-1'")
    complains("purger=99999999999999999999", "bad value in 'purger=99999999999999999999'")
    complains("check=many", "bad value in 'check=many'")
    complains("retain=forever", "bad value in 'retain=forever'")
    complains("retain=", "bad value in 'retain='")
    complains("retain=decays", "bad value in 'retain=decays'")
    for value in ["adaptive", "system", "always", "never"]:  # F86
        quiet(f"huge_pages={value}", 10, 3)
    complains("huge_pages=2M", "bad value in 'huge_pages=2M'")
    complains("huge_pages=", "bad value in 'huge_pages='")
    for option in ["limit", "soft_limit"]:  # F89
        for value in ["0", "0K", "1G"] + (["999999M", "16000000000G", "1000000000000000000"] if WIDE else ["3G"]):
            quiet(f"{option}={value}", 10)
        for value in ["", "K", "many", "1T", "1m", "M1", "1 M", "-1", "1.5G", "1MB", "0x10",
                      "18446744073709551616", "99999999999999999999", "17179869184G", "18014398509481984K"] + (
                          [] if WIDE else ["4294967296", "4G", "4096M", "4194304K"]):
            complains(f"{option}={value}", f"bad value in '{option}={value}'", hint=SIZES)
    complains("limits=1M", "unknown option 'limits=1M'")
    complains("stats=", "bad value in 'stats='", hint=NAMES)
    complains("a=1,retain=decay,b", "unknown option 'a=1'", "no value in 'b'")
    long = "x" * 5000
    _, err = run(long, 10)
    assert err.startswith("freehold: FREEHOLD_OPTIONS: no value in 'xxx") and len(err) < 400, err
    _, err = run("stats=" + "y" * 300, 10)
    assert err.startswith("freehold: FREEHOLD_OPTIONS: bad value in 'stats=yyy") and err.endswith(f"y' {NAMES}\n"), err


def classes(line):
    """F88: every class with slabs, in order, and they add up to what is live beside large blocks."""
    stats = json.loads(line)
    rows = stats["classes"]
    assert all(list(row) == ["size", "live", "slabs", "bytes"] and row["slabs"] > 0 for row in rows), rows
    sizes = [row["size"] for row in rows]
    assert sizes == sorted(set(sizes)) and all(row["live"] * row["size"] <= row["bytes"] for row in rows), rows
    small = sum(row["live"] * row["size"] for row in rows)
    large = stats["live_bytes"] - small
    assert large % 4096 == 0 and 0 <= large <= 7 * 2 ** 21, stats
    assert 500 <= next(row["live"] for row in rows if row["size"] == 112) <= 600, rows


def test_statistics():
    process, err = run("stats=-", 1000, 7)
    stats = statistics(err)
    assert stats["freehold"] == "0.1.0" and stats["pid"] == process.pid and stats["program"] == "malloc_probe", stats
    assert 1007 <= stats["allocations"] <= 1100, stats
    assert stats["large_allocations"] == 7, stats
    assert 507 <= stats["frees"] <= stats["allocations"], stats
    assert 500 * 100 <= stats["live_bytes"] <= 500 * 112 + 200000, stats
    assert stats["peak_bytes"] >= 3000000 and stats["mapped_bytes"] >= stats["live_bytes"], stats
    assert stats["threads"] == 1, stats
    classes(err)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "stats")
        quiet(f"stats={path}", 10)
        quiet(f"stats={path}", 20)  # appends
        with open(path, encoding="ascii") as file:
            assert [statistics(line)["program"] for line in file] == ["malloc_probe"] * 2
        process, err = run(f"stats={path}-%p-%p,retain=never", 10)
        assert err == "" and os.path.exists(f"{path}-{process.pid}-{process.pid}"), os.listdir(folder)
        quiet(f"stats={path}-fork", 10, 0, "fork")  # parent and child, one line each
        with open(path + "-fork", encoding="ascii") as file:
            assert len({statistics(line)["pid"] for line in file}) == 2
        quiet(f"stats={path}-none", 10, 0, "_exit")  # no exit, no line
        assert not os.path.exists(path + "-none")
        # The name of a program may hold anything.
        odd = os.path.join(folder, 'a"b\\c\nd\te')
        os.symlink(PROBE, odd)
        _, err = run("stats=-", 10, name=odd)
        assert statistics(err)["program"] == "a_b_c_d_e", err
        # What is no UTF-8, also by being cut, would be no JSON.
        for name, told in ((b"\xe9", "_"), ("\u00e9\u4e2d\U0001f9ff".encode(), "\u00e9\u4e2d\U0001f9ff"),
                           (b"\xc3", "_"), (b"\xed\xa0\x80\xc0\xafa", "_____a"), (("\u00e9" * 40).encode(), "\u00e9" * 31 + "_")):
            odd = os.path.join(folder.encode(), name)
            os.symlink(PROBE, odd)
            _, err = run("stats=-", 10, name=odd)
            assert statistics(err)["program"] == told, err
        _, err = run("stats=-", 10, name=PROBE)
        assert statistics(err)
    for name in ("/nowhere/at/all", "/dev/full"):
        process, err = run(f"stats={name}", 10)
        assert process.returncode == 0 and err == f"freehold: the statistics could not be written to {name}\n", err


def test_no_cxx():
    needed = subprocess.check_output(["readelf", "-d", LIBRARY], text=True)
    assert "libc.so" in needed and "libstdc++" not in needed and "libgcc" not in needed, needed
    result = subprocess.run([*EMULATOR, NO_CXX], capture_output=True, text=True)
    assert result.returncode == -signal.SIGABRT, result
    stderr = re.sub(r"^qemu: .*\n", "", result.stderr, flags=re.MULTILINE) if EMULATOR else result.stderr
    assert stderr == "freehold: operator new(0x0): out of memory, and no C++ library to throw std::bad_alloc\n", stderr


def test_thread_local_storage():
    """Three pointers of a thread: its lane, its current allocator, the locks that it holds for another's calls; and four
    words of what its last validation has found."""
    headers = subprocess.check_output(["readelf", "-hlW", LIBRARY], text=True)
    tls = re.search(r"^\s+TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(\S+)", headers, re.MULTILINE)
    # Three pointers, and a record of two pointers and two words of 64 bits, which may be aligned to 8.
    assert tls and int(tls.group(1), 16) in ([5 * 8 + 16] if WIDE else [5 * 4 + 16, 5 * 4 + 16 + 4]), headers


for test in [test_options, test_statistics, test_no_cxx, test_thread_local_storage]:
    test()
    print(f"{test.__name__}: passed")
