#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What finding misuse costs: the same programs under each tool, in turn, medians of processor time.

    bench/debug.py [--rounds 9] [--count 200k] [--programs build/bench] [--freehold build/freehold] > debug.csv

`replace` is bench/debug.c: ns for one replacement of an object of 16 to 512 bytes. `python3` and `sqlite3` are whole
runs, from start to end with all that the tool does then, in ms, and with the most memory that was resident, in MiB
(at least what this script has itself, about 15).
Valgrind, and the program that is built with AddressSanitizer, are left out where they are missing; other people's
programs are not there in a build with AddressSanitizer.
"""
import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rounds", type=int, default=9)
parser.add_argument("--count", default="200k")
parser.add_argument("--programs", default="build/bench")
parser.add_argument("--freehold", default="build/freehold")
arguments = parser.parse_args()

here = os.path.dirname(os.path.abspath(__file__))
program = os.path.join(arguments.programs, "bench-debug")
check = [arguments.freehold, "run", "--check", "--"]
pages = [arguments.freehold, "run", "--check=pages", "--"]
valgrind = ["valgrind", "-q", "--leak-check=full"]
os.environ["PYTHONMALLOC"] = "malloc"
SQL = ("create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
       "insert into t select i, hex(i * 7919) from n; create index x on t(b); "
       "select count(*), max(b) from t where b > '3';")
WHOLE = {"python3": ["/usr/bin/python3", os.path.join(here, "programs", "objects.py")],
         "sqlite3": ["sqlite3", ":memory:", SQL]}

rows = {("replace", "malloc"): [program, "malloc"],
        ("replace", "freehold_heap"): [program, "heap"],
        ("replace", "freehold_trace, 1 frame"): [program, "trace"],
        ("replace", "freehold_trace, 8 frames"): [program, "trace-8"],
        ("replace", "freehold_debug, no_stacks"): [program, "debug-no-stacks"],
        ("replace", "freehold_debug"): [program, "debug"],
        ("replace", "freehold_debug, pages"): [program, "debug-pages"],
        ("replace", "freehold run --check"): check + [program, "malloc"],
        ("replace", "freehold run --check=pages"): pages + [program, "malloc"]}
if os.path.exists(program + "-asan"):
    rows["replace", "AddressSanitizer"] = [program + "-asan", "malloc"]
if shutil.which("valgrind"):
    rows["replace", "Valgrind memcheck"] = valgrind + [program, "malloc"]
for name, command in WHOLE.items():
    rows[name, "malloc"] = command
    rows[name, "freehold run --check"] = check + command
    if shutil.which("valgrind"):
        rows[name, "Valgrind memcheck"] = valgrind + command


def measure(name, command):
    """Processor time, and for whole programs the peak of resident memory."""
    if name == "replace":
        done = subprocess.run(command + [arguments.count], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{command}: {done.stderr.strip()}")
        return float(done.stdout), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command}: status {status}")
    return (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_maxrss / 1024


results = {row: [] for row in rows}
load = os.getloadavg()[0]
for _ in range(arguments.rounds):
    for row, command in rows.items():
        results[row].append(measure(row[0], command))

print("# command: bench/debug.py", *sys.argv[1:])
print(f"# machine: {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, "
      f"load {load:.2f} at the start, {os.getloadavg()[0]:.2f} at the end")
if shutil.which("valgrind"):
    version = subprocess.run(["valgrind", "--version"], capture_output=True, text=True)
    print("#", version.stdout.strip())
print("program,tool,unit,median,least,most,to_malloc,peak_mib,rounds")
for (name, tool), measured in results.items():
    times, peaks = zip(*measured)
    median = statistics.median(times)
    malloc = statistics.median(time for time, _ in results[name, "malloc"])
    peak = f"{statistics.median(peaks):.1f}" if name != "replace" else ""
    print(f'{name},"{tool}",{"ns" if name == "replace" else "ms"},{median:.2f},{min(times):.2f},{max(times):.2f},'
          f"{median / malloc:.2f},{peak},{len(times)}")
