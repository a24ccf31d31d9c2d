# SPDX-License-Identifier: MIT
"""Runs one case once under one allocator, and checks what came of it."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from cases import PROGRAMS, Program

TIME_LIMIT_S = 60


class Failure(Exception):
    """A case that crashed, gave a wrong result, or ran under another allocator than it should."""


class Allocator:
    def __init__(self, name, path):
        self.name = name
        self.path = path  # None: the system's own, no preload


class Result:
    """All samples of one case under one allocator, or the reason why there are none."""

    def __init__(self):
        self.samples = []
        self.failure = None

    def median(self, key):
        return statistics.median(sample[key] for sample in self.samples)

    def time(self, by):
        if by == "min":
            return min(sample["ns"] for sample in self.samples)
        if by == "cpu":
            return statistics.median(s["user"] + s["system"] for s in self.samples)
        return self.median("ns")

    def spread(self):
        times = [sample["ns"] for sample in self.samples]
        return (max(times) - min(times)) / statistics.median(times)

    def good(self):
        return self.failure is None and bool(self.samples)


def real_python():
    """The system's python3: a wrapper script of some version manager is not a program to measure."""
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else os.path.realpath(sys.executable)


def parse_pairs(text):
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def last_line(data):
    lines = data.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def because(errors):
    line = last_line(errors)
    return ": " + line if line else ""


class Runner:
    """Runs one case once under one allocator, and checks what came of it."""

    def __init__(self, programs, scratch):
        self.programs = programs
        self.scratch = scratch
        self.inputs = os.path.join(scratch, "inputs")
        os.mkdir(self.inputs)
        self.launcher = os.path.join(programs, "bench-launch")
        self.probe = os.path.join(programs, "bench-probe.so")
        self.prepared = set()
        self.outcome = {}  # of whole programs: what each run must come to
        self.libc = self.find_libc()

    def find_libc(self):
        _, output, _ = self.launch(["bench-micro", "which"], "-", {}, self.scratch)
        return parse_pairs(output.decode()).get("malloc", "")

    def launch(self, command, preload, environment, folder):
        """Runs a command; returns the launcher's measurements, standard output, standard error."""
        if command[0].startswith("bench-"):
            command = [os.path.join(self.programs, command[0])] + command[1:]
        variables = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        variables.update(environment, LC_ALL="C")
        read_end, write_end = os.pipe()
        with open(os.path.join(self.scratch, "stdout"), "w+b") as out, \
                open(os.path.join(self.scratch, "stderr"), "w+b") as err:
            process = subprocess.Popen(
                [self.launcher, str(write_end), str(TIME_LIMIT_S), preload] + command, cwd=folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=variables, pass_fds=[write_end])
            os.close(write_end)
            with os.fdopen(read_end) as pipe:
                measured = parse_pairs(pipe.read())
            process.wait()
            out.seek(0)
            err.seek(0)
            output, errors = out.read(), err.read()
        if not measured:
            raise Failure("the launcher failed: " + last_line(errors))
        if measured["late"] == "1":
            raise Failure("ran longer than %d s" % TIME_LIMIT_S)
        number = int(measured["signal"])
        if number:
            raise Failure("%s%s" % (signal.Signals(number).name, because(errors)))
        if measured["exit"] != "0":
            raise Failure("exit status %s%s" % (measured["exit"], because(errors)))
        return measured, output, errors

    def warm(self, case):
        """Touches memory once before a case that needs much of it. A virtual machine's host may have
        taken free memory back; the first to ask for it waits ten times as long, and that is
        nobody's merit or fault."""
        if case.warm is None:
            return
        try:
            self.launch(["bench-micro", "warm", case.warm], "-", {}, self.scratch)
        except Failure:
            pass  # a small machine; the case will say what it cannot do

    def expect_allocator(self, pairs, allocator, errors, program=""):
        """Refuses a figure unless malloc and free are those of the allocator."""
        wanted = allocator.path or self.libc
        for function in ("malloc", "free"):
            actual = pairs.get(function, "?")
            if os.path.realpath(actual) != os.path.realpath(wanted):
                raise Failure("refused: %s%s came from %s%s" % (
                    program and program + "'s ", function, actual, because(errors)))

    def run(self, case, allocator):
        if isinstance(case, Program):
            return self.run_program(case, allocator)
        self.warm(case)
        command = [case.program] + case.arguments
        _, output, errors = self.launch(command, allocator.path or "-", {}, self.scratch)
        pairs = parse_pairs(output.decode())
        if "ns" not in pairs:
            raise Failure("no result line" + because(errors))
        self.expect_allocator(pairs, allocator, errors)
        return {"ns": float(pairs["ns"]), "user": float(pairs["user"]),
                "system": float(pairs["system"]), "peak": int(pairs["peak_kib"]),
                "final": int(pairs["final_kib"])}

    def run_program(self, case, allocator):
        if case.prepare and case.name not in self.prepared:
            case.prepare(self.inputs)
            self.prepared.add(case.name)
        folder = tempfile.mkdtemp(dir=self.scratch)
        try:
            if case.before:
                case.before(self.inputs, folder)
            self.warm(case)
            return self.measure_program(case, allocator, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def measure_program(self, case, allocator, folder):
        preload = [self.probe]
        if allocator.path:
            preload.append(allocator.path)
        elif case.own_allocator:
            preload.append(self.libc)  # before the allocator that the program is linked with
        probed = os.path.join(folder, "probed")
        with open(probed, "w"):
            pass
        environment = dict(case.environment, BENCH_PROBE=probed)
        words = {"here": PROGRAMS, "in": self.inputs, "python": real_python()}
        command = [part.format(**words) for part in case.command]
        measured, output, errors = self.launch(command, ":".join(preload), environment, folder)
        with open(probed) as file:
            lines = file.read().splitlines()
        if not lines:
            raise Failure("refused: the preload did not take (static or privileged program?)")
        for line in lines:
            pairs = parse_pairs(line)
            self.expect_allocator(pairs, allocator, errors, os.path.basename(pairs["program"]))
        self.expect_outcome(case, case.check(folder, output), allocator)
        return {"ns": float(measured["wall"]), "user": float(measured["user"]),
                "system": float(measured["system"]), "peak": int(measured["peak_kib"]),
                "final": -1}

    def expect_outcome(self, case, outcome, allocator):
        """Every allocator must come to what the first one came to."""
        first, wanted = self.outcome.setdefault(case.name, (allocator.name, outcome))
        if outcome != wanted:
            raise Failure("wrong result: differs from the one under " + first)
