#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares Freehold with its peers: bench.py --help, and README.md beside this file.

Each case runs in a process of its own, under LD_PRELOAD of one allocator. Rounds are interleaved: a
case runs under all allocators in turn before the next case begins, and each round begins with another
allocator. A figure is the median over the rounds; a ratio is Freehold's figure over the peer's, so
below 1 is better than the peer. A row whose malloc did not come from the library named is refused.
"""

import argparse
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from cases import CASES, Program
from report import (FREEHOLD, print_comparison, print_failures, print_report, read_csv, write_csv)
from runner import Allocator, Failure, Result, Runner, parse_pairs, real_python

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
DEFAULT_PEERS = {
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2.0",
    "tcmalloc": "libtcmalloc_minimal.so.4",
    "tbbmalloc": "libtbbmalloc_proxy.so.2",
}
LIBRARY_FOLDERS = ["/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"]
TELLING_VARIABLES = re.compile(
    r"^(FREEHOLD_|MALLOC_|MIMALLOC_|TCMALLOC_|TBB_MALLOC|GLIBC_TUNABLES|LD_)")


def die(message):
    print("bench.py: " + message, file=sys.stderr)
    sys.exit(2)


def find_library(name):
    for folder in LIBRARY_FOLDERS:
        for path in sorted(glob.glob(os.path.join(folder, name))):
            return path
    return None


def choose_peers(options):
    """The peers that are there; a missing default is named and left out, a missing --peer is an error."""
    wanted = {"glibc": None}
    for name, library in DEFAULT_PEERS.items():
        path = find_library(library)
        wanted[name] = path
        if path is None:
            del wanted[name]
            print("bench.py: peer %s left out: %s is not installed" % (name, library), file=sys.stderr)
    if options.peers is not None:
        chosen = [] if options.peers == "none" else options.peers.split(",")
        for name in chosen:
            if name != "glibc" and name not in DEFAULT_PEERS:
                die("--peers: no default peer is called %s; use --peer NAME=PATH" % name)
        wanted = {name: path for name, path in wanted.items() if name in chosen}
    for text in options.peer:
        name, equals, path = text.partition("=")
        if not equals or not name or name == FREEHOLD:
            die("--peer %s: NAME=PATH is needed" % text)
        if not os.path.isfile(path):
            die("--peer %s: %s does not exist" % (name, path))
        wanted[name] = os.path.abspath(path)
    return [Allocator(name, path) for name, path in wanted.items()]


def try_out(runner, allocator):
    """Fails early, with the loader's own words, when a library cannot be preloaded."""
    try:
        _, output, errors = runner.launch(["bench-micro", "which"], allocator.path or "-", {},
                                          runner.scratch)
        runner.expect_allocator(parse_pairs(output.decode()), allocator, errors)
    except Failure as failure:
        die("%s (%s) cannot be used: %s" % (allocator.name, allocator.path or "no preload", failure))


def choose_cases(options):
    cases = [case for case in CASES if not options.quick or case.quick]
    if options.case:
        try:
            cases = [case for case in cases if re.search(options.case, case.name)]
        except re.error as error:
            die("--case: %s" % error)
    chosen = []
    for case in cases:
        missing = [need for need in case.needs
                   if shutil.which(need.replace("{python}", real_python())) is None]
        if missing:
            print("bench.py: case %s left out: %s is not installed" % (case.name, ", ".join(missing)),
                  file=sys.stderr)
        else:
            chosen.append(case)
    if not chosen:
        die("no case is left")
    return chosen


def one_line_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "?"


def describe_machine():
    model = "?"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith(("model name", "CPU part")):
                model = line.split(":")[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else "?"
    commit = one_line_of(["git", "-C", ROOT, "describe", "--always", "--dirty"])
    return "%s, %d CPUs, %.0f GiB, Linux %s, %s, %s, tree %s, load %.2f at the start, %s" % (
        model, len(os.sched_getaffinity(0)), memory, os.uname().release, version,
        one_line_of(["cc", "--version"]), commit, os.getloadavg()[0],
        time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))


def warn_if_busy():
    """The load is the mean of the last minute, so this is about what ran before."""
    load, cpus = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cpus / 2:
        print("bench.py: the machine is busy (load %.2f on %d CPUs); times will be noisy" % (load, cpus),
              file=sys.stderr)


def telling_environment():
    return ["%s=%s" % (k, v) for k, v in sorted(os.environ.items())
            if TELLING_VARIABLES.match(k) and k != "LD_LIBRARY_PATH"]


class Progress:
    def __init__(self, total):
        self.total = total
        self.done = 0
        self.start = time.monotonic()

    def show(self, round_number, rounds, case):
        elapsed = time.monotonic() - self.start
        left = elapsed / self.done * (self.total - self.done) if self.done else 0
        text = "round %d/%d  %d/%d  %s  (%s)" % (
            round_number + 1, rounds, self.done, self.total, case.name,
            "%d:%02d left" % divmod(int(left), 60) if self.done else "starting")
        if sys.stderr.isatty():
            print("\r\033[K" + text, end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def run_rounds(options, runner, allocators, cases, results):
    todo = [(r, case) for r in range(options.rounds) for case in cases
            if case.rounds is None or r < case.rounds]
    progress = Progress(len(todo))
    for round_number, case in todo:
        progress.show(round_number, options.rounds, case)
        first = round_number % len(allocators)
        for allocator in allocators[first:] + allocators[:first]:
            result = results[case.name, allocator.name]
            if result.failure is not None:
                continue
            try:
                result.samples.append(runner.run(case, allocator))
            except Failure as failure:
                result.failure = str(failure)
                progress.end()
                print("bench.py: %s under %s failed: %s" % (case.name, allocator.name, failure),
                      file=sys.stderr)
        progress.done += 1
    progress.end()


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0],
                                     epilog="Exit status: 0; 1 when a row failed; 2 on a wrong call.")
    parser.add_argument("--freehold", metavar="PATH", default=os.path.join(ROOT, "build/libfreehold.so"),
                        help="the library (default: build/libfreehold.so)")
    parser.add_argument("--programs", metavar="DIR", help="the built bench programs (default: bench/ "
                        "beside the library, then build/bench)")
    parser.add_argument("--peer", metavar="NAME=PATH", action="append", default=[],
                        help="one more peer; may be repeated")
    parser.add_argument("--peers", metavar="A,B", help="of the default peers only these; 'none' for "
                        "none (glibc, %s)" % ", ".join(DEFAULT_PEERS))
    parser.add_argument("--rounds", metavar="N", type=int, default=5)
    parser.add_argument("--case", metavar="REGEX", help="only cases whose name matches")
    parser.add_argument("--quick", action="store_true", help="a subset of the cases")
    parser.add_argument("--list", action="store_true", help="list the cases and end")
    parser.add_argument("--by", choices=["median", "min", "cpu"], default="median",
                        help="the time to compare: median or least wall time, or median processor time")
    parser.add_argument("--csv", metavar="FILE", help="write all figures there as well")
    parser.add_argument("--compare", metavar="FILE", help="show the change against an earlier --csv")
    parser.add_argument("--pin", metavar="CPUS", help="run on these CPUs only, as 2 or 0,3")
    options = parser.parse_args()
    if options.rounds < 1:
        die("--rounds must be at least 1")
    return options


def find_programs(options):
    beside = os.path.join(os.path.dirname(os.path.abspath(options.freehold)), "bench")
    folders = [options.programs] if options.programs else [beside, os.path.join(ROOT, "build/bench")]
    for folder in folders:
        if os.access(os.path.join(folder, "bench-launch"), os.X_OK):
            return os.path.abspath(folder)
    die("the bench programs are not built (looked in %s); build them with\n"
        "  cmake -S %s -B %s && cmake --build %s" % (
            ", ".join(folders), os.path.relpath(HERE), os.path.relpath(folders[-1]),
            os.path.relpath(folders[-1])))


def warm_up(runner, cases):
    """Not measured: the programs' files come from the disk, their inputs are made."""
    print("warming up", file=sys.stderr)
    for case in cases:
        if isinstance(case, Program):
            try:
                runner.run(case, Allocator("glibc", None))
            except Failure:
                pass  # reported when it is measured


def main():
    options = parse_options()
    if options.list:
        for case in CASES:
            print("%-30s %s %s" % (case.name, "quick" if case.quick else "     ", case.describe()))
        return 0
    cases = choose_cases(options)
    before = None
    if options.compare:
        try:
            before = read_csv(options.compare)
        except (OSError, ValueError) as error:
            die("--compare %s: %s" % (options.compare, error))
    if not os.path.isfile(options.freehold):
        die("%s does not exist; build it, or name it with --freehold" % options.freehold)
    if options.pin:
        try:
            os.sched_setaffinity(0, {int(cpu) for cpu in options.pin.split(",")})
        except (OSError, ValueError) as error:
            die("--pin %s: %s" % (options.pin, error))
    programs = find_programs(options)
    with tempfile.TemporaryDirectory(prefix="freehold-bench-") as scratch:
        runner = Runner(programs, scratch)
        peers = choose_peers(options)
        allocators = [Allocator(FREEHOLD, os.path.abspath(options.freehold))] + peers
        for allocator in allocators:
            try_out(runner, allocator)
        header = ["command: " + " ".join(shlex.quote(word) for word in sys.argv),
                  "machine: " + describe_machine()]
        header += ["allocator: %s=%s" % (a.name, a.path or runner.libc) for a in allocators]
        header += ["environment: " + text for text in telling_environment()]
        print("\n".join(header))
        warn_if_busy()
        results = {(c.name, a.name): Result() for c in cases for a in allocators}
        interrupted = False
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: with a report
        try:
            warm_up(runner, cases)
            run_rounds(options, runner, allocators, cases, results)
        except KeyboardInterrupt:
            interrupted = True
            print("\nbench.py: interrupted; what follows is what there is", file=sys.stderr)
    header.append("load at the end: %.2f" % os.getloadavg()[0])
    print_report(options, cases, peers, results)
    if options.compare:
        print_comparison(options.compare, before, cases, allocators, results)
    if options.csv:
        write_csv(options.csv, header, cases, allocators, results)
    failed = print_failures(results)
    return 130 if interrupted else int(failed)


if __name__ == "__main__":
    sys.exit(main())
