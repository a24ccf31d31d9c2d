#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What finding misuse costs: bench/debug.c under each tool, in turn, medians of processor time.

    bench/debug.py [--rounds 9] [--count 200k] [--programs build/bench] > debug.csv

Valgrind and the program that is built with AddressSanitizer are left out where they are missing.
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
arguments = parser.parse_args()

program = os.path.join(arguments.programs, "bench-debug")
rows = {"malloc": [program, "malloc"],
        "freehold_heap": [program, "heap"],
        "freehold_debug, no_stacks": [program, "debug-no-stacks"],
        "freehold_debug": [program, "debug"],
        "freehold_debug, pages": [program, "debug-pages"]}
if os.path.exists(program + "-asan"):
    rows["AddressSanitizer"] = [program + "-asan", "malloc"]
if shutil.which("valgrind"):
    rows["Valgrind memcheck"] = ["valgrind", "-q", program, "malloc"]

times = {name: [] for name in rows}
load = os.getloadavg()[0]
for _ in range(arguments.rounds):
    for name, command in rows.items():
        done = subprocess.run(command + [arguments.count], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{name}: {done.stderr.strip()}")
        times[name].append(float(done.stdout))

print("# command: bench/debug.py", *sys.argv[1:])
print(f"# machine: {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, "
      f"load {load:.2f} at the start, {os.getloadavg()[0]:.2f} at the end")
if shutil.which("valgrind"):
    version = subprocess.run(["valgrind", "--version"], capture_output=True, text=True)
    print("#", version.stdout.strip())
print("tool,median_ns,least_ns,most_ns,to_malloc,rounds")
malloc = statistics.median(times["malloc"])
for name, ns in times.items():
    median = statistics.median(ns)
    print(f'"{name}",{median:.2f},{min(ns):.2f},{max(ns):.2f},{median / malloc:.2f},{len(ns)}')
