# SPDX-License-Identifier: MIT
"""The table of cases: what is run, with which amount of work.

A C case is one of the bench programs with its arguments (their meaning is at the head of each .c
file). A whole program is a command in a scratch directory; `prepare` makes its input once, `check`
looks at what it left after each run. The amounts are fixed, never calibrated, so that each allocator
does the same work; they are chosen for 0.1 to 0.3 s a micro case and about 1 s a whole program.
"""

import hashlib
import os
import random
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(HERE, "programs")


class Case:
    """One row: `name`, and for a C case the program and its arguments."""

    own_allocator = False  # the program brings an allocator of its own, which glibc must go before
    needs = ()

    def __init__(self, name, arguments, quick=False, rounds=None, shows_final=False,
                 warm=None):
        self.name = name
        self.family = name.split("/")[0]
        words = arguments.split()
        self.program = words[0]
        self.arguments = words[1:]
        self.quick = quick
        self.rounds = rounds  # at most so many
        self.shows_final = shows_final
        self.warm = warm  # memory to make warm before each run, where pages are much of the cost

    def describe(self):
        return " ".join([self.program] + self.arguments)


class Program(Case):
    """A whole program. `command` is a list; {here} is this folder's programs/, {in} the inputs."""

    def __init__(self, name, command, needs=(), prepare=None, before=None, check=None,
                 environment=None, quick=False, own_allocator=False):
        super().__init__(name, "-", quick, warm="128M")
        self.command = command
        self.needs = needs
        self.prepare = prepare
        self.before = before
        self.check = check
        self.environment = environment or {}
        self.own_allocator = own_allocator

    def describe(self):
        return " ".join(self.command)


def make_c_source(inputs):
    """A C file of many small functions over structs, always the same."""
    draw = random.Random(7)
    lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>"]
    for i in range(170):
        fields = draw.randint(2, 9)
        lines.append("struct s%d { %s };" % (i, " ".join(
            "%s f%d;" % (draw.choice(["int", "long", "double", "char", "unsigned"]), f)
            for f in range(fields))))
        lines.append("long g%d(struct s%d *p, long n) {" % (i, i))
        lines.append("    long sum = 0;")
        for f in range(fields):
            lines.append("    for (long i = 0; i < n; i++) { if (p[i].f%d > %d) sum += (long)p[i].f%d %s %d;"
                         " else sum ^= i; }" % (f, draw.randint(0, 99), f, draw.choice("+-*"),
                                                draw.randint(1, 99)))
        if i > 0:
            lines.append("    if (sum > %d) sum -= g%d((void *)p, n / 2);" % (
                draw.randint(1, 9999), draw.randrange(i)))
        lines.append("    return sum;\n}")
    with open(os.path.join(inputs, "input.c"), "w") as file:
        file.write("\n".join(lines) + "\n")


def make_repository(inputs):
    """A repository of 120 commits on files that change a little each time, as loose as it gets."""
    draw = random.Random(11)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 11))) for _ in range(3000)]
    files = {"dir%d/file%d.txt" % (i % 9, i): [" ".join(draw.choices(words, k=9))
                                               for _ in range(draw.randint(20, 400))]
             for i in range(80)}
    stream = []
    for commit in range(120):
        chosen = list(files) if commit == 0 else draw.sample(sorted(files), 6)
        message = "change %d" % commit
        stream.append("commit refs/heads/main\ncommitter B <b@example.org> %d +0000\ndata %d\n%s\n" % (
            1600000000 + commit * 60, len(message), message))
        for name in chosen:
            text = files[name]
            for _ in range(4):
                text[draw.randrange(len(text))] = " ".join(draw.choices(words, k=9))
            blob = "\n".join(text) + "\n"
            stream.append("M 100644 inline %s\ndata %d\n%s\n" % (name, len(blob), blob))
    path = os.path.join(inputs, "repository.git")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["git", "init", "--bare", "--initial-branch=main", path], **quiet)
    subprocess.run(["git", "-C", path, "-c", "fastimport.unpackLimit=1000000", "fast-import"],
                   input="".join(stream).encode(), **quiet)


def copy_repository(inputs, scratch):
    shutil.copytree(os.path.join(inputs, "repository.git"), os.path.join(scratch, "repository.git"))


def one_line_per_result(scratch, output):
    """The output itself must be the same for each allocator."""
    return hashlib.sha256(output).hexdigest()


def object_file(scratch, output):
    with open(os.path.join(scratch, "output.o"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def packed(scratch, output):
    counts = subprocess.run(["git", "-C", os.path.join(scratch, "repository.git"), "count-objects", "-v"],
                            capture_output=True, text=True, check=True).stdout
    return " ".join(re.findall(r"(?:count|in-pack|packs): \d+", counts))


def redis_keys(scratch, output):
    """The number of keys is drawn by the client; it must be about what 250,000 draws give."""
    match = re.search(rb"(\d+)", output)
    keys = int(match.group(1)) if match else 0
    return "filled" if keys > 50000 else "only %d keys" % keys


CASES = [
    # malloc and free of one object.
    Case("micro/pair-16", "bench-micro pair 16 15m"),
    Case("micro/pair-64", "bench-micro pair 64 15m", quick=True),
    Case("micro/pair-256", "bench-micro pair 256 15m"),
    Case("micro/pair-1K", "bench-micro pair 1K 15m"),
    Case("micro/pair-4K", "bench-micro pair 4K 8m"),
    Case("micro/pair-32K", "bench-micro pair 32K 4m", quick=True),
    Case("micro/pair-256K", "bench-micro pair 256K 1m"),
    Case("micro/pair-2M", "bench-micro pair 2M 100k"),
    # 10,000 objects allocated, then freed.
    Case("micro/batch-64-order", "bench-micro batch order 64 64 10k 1000"),
    Case("micro/batch-64-reverse", "bench-micro batch reverse 64 64 10k 1000"),
    Case("micro/batch-64-random", "bench-micro batch random 64 64 10k 800", quick=True),
    Case("micro/batch-mixed-order", "bench-micro batch order 16 512 10k 400"),
    Case("micro/batch-mixed-reverse", "bench-micro batch reverse 16 512 10k 400"),
    Case("micro/batch-mixed-random", "bench-micro batch random 16 512 10k 400", quick=True),
    Case("micro/batch-4K-random", "bench-micro batch random 4K 4K 1k 2k"),
    # A random one of so many live objects freed, another allocated.
    Case("micro/replace-64-100", "bench-micro replace 64 64 100 12m"),
    Case("micro/replace-64-1k", "bench-micro replace 64 64 1k 10m"),
    Case("micro/replace-64-10k", "bench-micro replace 64 64 10k 8m", quick=True),
    Case("micro/replace-64-100k", "bench-micro replace 64 64 100k 5m"),
    Case("micro/replace-64-1m", "bench-micro replace 64 64 1m 3m", quick=True, warm="128M"),
    Case("micro/replace-64-1m-read", "bench-micro replace 64 64 1m 3m read", warm="128M"),
    Case("micro/replace-mixed-100", "bench-micro replace 16 512 100 8m"),
    Case("micro/replace-mixed-1k", "bench-micro replace 16 512 1k 8m", quick=True),
    Case("micro/replace-mixed-10k", "bench-micro replace 16 512 10k 5m"),
    Case("micro/replace-mixed-100k", "bench-micro replace 16 512 100k 3m", quick=True, warm="64M"),
    Case("micro/replace-mixed-1m", "bench-micro replace 16 512 1m 2m", warm="384M"),
    Case("micro/replace-mixed-1m-read", "bench-micro replace 16 512 1m 2m read", warm="384M"),
    Case("micro/replace-large-100", "bench-micro replace-filled 1K 64K 100 2m"),
    Case("micro/replace-large-1k", "bench-micro replace-filled 1K 64K 1k 800k", warm="128M"),
    # The same of 16 to 512 KiB.
    Case("micro/replace-medium-100", "bench-micro replace-filled 16K 512K 100 300k", warm="128M"),
    Case("micro/replace-medium-1k", "bench-micro replace-filled 16K 512K 1k 150k", warm="512M"),
    # realloc and calloc.
    Case("micro/realloc-16-to-4K", "bench-micro append 16 4K 12k", quick=True),
    Case("micro/realloc-1K-to-1M", "bench-micro append 1K 1M 300"),
    Case("micro/realloc-1M-to-64M", "bench-micro append 1M 64M 3", warm="256M"),
    Case("micro/realloc-double-64M", "bench-micro double 64M 3", warm="256M"),
    Case("micro/calloc-64", "bench-micro calloc 64 64 1000 8m"),
    Case("micro/calloc-4K", "bench-micro calloc 4K 4K 100 800k"),
    Case("micro/calloc-1M", "bench-micro calloc 1M 1M 8 2k"),
    # Threads that live for a hundred objects.
    Case("micro/threads-one", "bench-micro threads 1 3k 100"),
    Case("micro/threads-eight", "bench-micro threads 8 3k 100", quick=True),
    # Memory that crosses threads.
    Case("cross/oneway-64", "bench-cross oneway 64 64 3m", quick=True),
    Case("cross/oneway-mixed", "bench-cross oneway 16 512 2m"),
    Case("cross/oneway-large", "bench-cross oneway 1K 64K 500k", warm="256M"),
    Case("cross/twoway-mixed", "bench-cross twoway 16 512 4m"),
    Case("cross/manyone-mixed", "bench-cross manyone 16 512 4 2m"),
    Case("cross/handover-mixed", "bench-cross handover 16 512 150 10k", quick=True),
    Case("cross/relay-mixed", "bench-cross relay 16 512 2 100 1000 10k"),
    Case("cross/parallel-2", "bench-cross parallel 16 512 2 1000 5m", quick=True),
    Case("cross/parallel-8", "bench-cross parallel 16 512 8 1000 1m"),
    # Holes.
    Case("fragment/lifetimes", "bench-fragment lifetimes 2m", quick=True, shows_final=True, warm="192M"),
    Case("fragment/checkerboard", "bench-fragment checkerboard 16M", shows_final=True, warm="192M"),
    Case("fragment/sawtooth-order", "bench-fragment sawtooth order 50M 15", shows_final=True, warm="192M"),
    Case("fragment/sawtooth-random", "bench-fragment sawtooth random 50M 10", quick=True,
         shows_final=True, warm="192M"),
    Case("fragment/phases", "bench-fragment phases 64M", shows_final=True, warm="192M"),
    Case("fragment/vectors", "bench-fragment vectors 1000 150k", shows_final=True, warm="192M"),
    # What stays resident 1.5 s after 1 GiB was freed.
    Case("retention/all-quiet", "bench-retention 1024M 0 0", rounds=3, shows_final=True,
         warm="1280M"),
    Case("retention/all-beating", "bench-retention 1024M 0 3000", rounds=3, shows_final=True,
         warm="1280M"),
    Case("retention/1-in-100-quiet", "bench-retention 1024M 100 0", rounds=3, shows_final=True,
         warm="1280M"),
    Case("retention/1-in-100-beating", "bench-retention 1024M 100 3000", rounds=3,
         shows_final=True, warm="1280M"),
    # Whole programs.
    Program("program/python", ["{python}", "{here}/objects.py"], needs=["{python}"],
            environment={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0",
                         "PYTHONDONTWRITEBYTECODE": "1"},
            check=one_line_per_result, quick=True),
    Program("program/sqlite", ["sqlite3", "-batch", ":memory:", ".read {here}/rows.sql"],
            needs=["sqlite3"], check=one_line_per_result),
    Program("program/gcc", ["gcc", "-O1", "-c", "{in}/input.c", "-o", "output.o"], needs=["gcc"],
            prepare=make_c_source, check=object_file),
    Program("program/lua", ["lua5.4", "{here}/tables.lua"], needs=["lua5.4"],
            check=one_line_per_result, quick=True),
    Program("program/perl", ["perl", "{here}/words.pl"], needs=["perl"],
            check=one_line_per_result, environment={"PERL_HASH_SEED": "0"}),
    Program("program/redis", ["sh", "{here}/redis.sh"], needs=["redis-server", "redis-benchmark"],
            check=redis_keys, own_allocator=True),
    Program("program/git-gc", ["git", "-C", "repository.git", "-c", "pack.threads=1", "gc",
                               "--aggressive", "--prune=now", "--quiet"],
            needs=["git"], prepare=make_repository, before=copy_repository, check=packed),
]
