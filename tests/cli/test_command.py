#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The freehold command: what it passes through, what it says, what it compares.

Usage: test_command.py FREEHOLD LIBRARY PROBE STATIC-PROBE SHIM [unittest arguments]
"""

import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

FREEHOLD, LIBRARY, PROBE, STATIC_PROBE, SHIM = (os.path.realpath(path) for path in sys.argv[1:6])
PROBE_BYTES = pathlib.Path(PROBE).read_bytes()
ROOT = pathlib.Path(__file__).resolve().parents[2]


def environment(**changes):
    clean = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "FREEHOLD_OPTIONS")}
    return {**clean, **changes}


def freehold(*arguments, command=FREEHOLD, env=None, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=60,
                          env=env or environment(), **options)


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name).resolve()

    def start_waiting(self, *options):
        """The command with a program that waits for a signal, when the program is ready for it."""
        ready = self.dir / "ready"
        process = subprocess.Popen([FREEHOLD, "run", *options, "--", PROBE, "wait", ready], env=environment(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertTrue(ready.exists())
        return process


class PassThrough(Case):
    def test_exit_status(self):
        for status in (0, 1, 7, 255):
            self.assertEqual(freehold("run", "--", PROBE, "exit", str(status)).returncode, status)

    def test_death_by_signal(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
            self.assertEqual(freehold("run", "--", PROBE, "signal", str(int(number))).returncode, -number)

    def test_it_becomes_the_program(self):
        process = subprocess.Popen([FREEHOLD, "run", PROBE, "pid"], stdout=subprocess.PIPE, env=environment())
        output, _ = process.communicate(timeout=60)
        self.assertEqual(int(output), process.pid)

    def test_signals_reach_it(self):
        process = self.start_waiting()
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(process.wait(timeout=30), 42)

    def test_streams(self):
        result = freehold("run", "--", PROBE, "input", stdin=None, input="a line\n")
        self.assertEqual((result.stdout, result.stderr), ("a line\n", ""))

    def test_program_from_path_and_its_options(self):
        result = freehold("run", "printf", "%s|", "--stats", "-n", "--")
        self.assertEqual(result.stdout, "--stats|-n|--|")

    def test_environment_of_its_own(self):
        self.assertEqual(freehold("run", PROBE, "environment").stdout, f"{LIBRARY}\n(unset)\n")

    def test_environment_is_kept_and_added_to(self):
        env = environment(LD_PRELOAD="libc.so.6", FREEHOLD_OPTIONS="purger=1")
        result = freehold("run", "--option", "retain=never", "--option", "check=5", f"--stats={self.dir}/s", "--",
                          PROBE, "environment", env=env)
        self.assertEqual(result.stdout, f"{LIBRARY}:libc.so.6\npurger=1,retain=never,check=5,stats={self.dir}/s\n")


class Limits(Case):
    """F89: --limit and --soft-limit."""

    def test_they_become_options(self):
        result = freehold("run", "--limit", "512M", "--option", "check=5", "--soft-limit=100000K", PROBE, "environment")
        self.assertEqual(result.stdout, f"{LIBRARY}\ncheck=5,limit=512M,soft_limit=100000K\n")

    def test_a_real_program_is_told(self):
        result = freehold("run", "--limit", "40M", "--soft-limit=20M", "--", "perl", "-e",
                          'push @a, "x" x 1000 for 1..1e5')
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"\Afreehold: soft_limit=20M \(FREEHOLD_OPTIONS\) is passed: 2\d{7} bytes are held\n"
                         r"freehold: limit=40M \(FREEHOLD_OPTIONS\) refused a request for \d+ bytes: 4\d{7} of 41943040 "
                         r"bytes are held; later refusals are not reported\nOut of memory.*\n")

    def test_a_program_within_them_is_not(self):
        result = freehold("run", "--limit", "40M", "--soft-limit", "20M", "--", "perl", "-e", "print 'x' x 1000")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "x" * 1000, ""))


class Stats(Case):
    def line(self, path):
        lines = path.read_text().splitlines()
        self.assertEqual(len(lines), 1, lines)
        return json.loads(lines[0])

    def test_counts_are_the_programs(self):
        freehold("run", f"--stats={self.dir}/s", "--", PROBE, "allocate", "12345")
        stats = self.line(self.dir / "s")
        self.assertGreaterEqual(stats["allocations"], 12345)
        self.assertGreaterEqual(stats["frees"], 12345)
        self.assertEqual(list(stats)[:11], [
            "freehold", "pid", "program", "allocations", "frees", "live_bytes", "peak_bytes", "mapped_bytes",
            "resident_retained_bytes", "purged_bytes", "threads"])

    def test_standard_error_by_default(self):
        result = freehold("run", "--stats", "--", PROBE, "exit", "0")
        self.assertIn("allocations", json.loads(result.stderr))

    def test_relative_file_means_the_directory_of_the_start(self):
        freehold("run", "--stats=here", "--", PROBE, "elsewhere", cwd=self.dir)
        self.assertIn("allocations", self.line(self.dir / "here"))

    def test_process_id_in_the_name(self):
        result = freehold("run", f"--stats={self.dir}/s.%p", "--", PROBE, "pid")
        self.assertIn("allocations", self.line(self.dir / f"s.{result.stdout.strip()}"))


    def test_a_signal_handler_ends_the_program(self):
        """F83, F88: what it has interrupted is never waited for: exit comes to its end, malloc_stats is reported."""
        note = (f"freehold: the statistics could not be written to {self.dir}/s: a signal handler has called exit in the "
                "midst of an allocation, a free or the like\n")
        texts = []
        for _ in range(30):
            result = freehold("run", f"--stats={self.dir}/s", "--", PROBE, "interrupted")
            self.assertEqual(result.returncode, 0, result.stderr)
            texts.append(result.stderr)
        self.assertLessEqual({note}, set(texts))
        self.assertLessEqual(set(texts), {"", note})
        self.assertEqual(len((self.dir / "s").read_text().splitlines()), texts.count(""))
        for _ in range(30):
            result = freehold("run", "--", PROBE, "interrupted", "by malloc_stats")
            unsafe = "freehold: unsafe call: from a signal handler that has interrupted the allocator\n"
            self.assertTrue((result.returncode, result.stderr) == (-6, unsafe) or
                            result.returncode == 0 and "bytes retained" in result.stderr, result)

    def test_names_that_the_library_does_not_take(self):
        """F87: they are told before the program starts."""
        folder = self.dir / "a,b"
        folder.mkdir()
        result = freehold("run", "--stats=s", "--", PROBE, "pid", cwd=folder)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (125, "",
            f"freehold: --stats: '{folder}/s' cannot be the name of a file in FREEHOLD_OPTIONS; name one in another folder\n"))
        name = "/" + "s" * 255
        result = freehold("run", f"--stats={name}", "--", PROBE, "pid")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (125, "",
            f"freehold: --stats: '{name}' has more than 255 bytes; name a file in another folder\n"))
        name = "/no/such".ljust(255, "s")
        self.assertEqual(freehold("run", f"--stats={name}", "--", PROBE, "exit", "0").stderr,
                         f"freehold: the statistics could not be written to {name}\n")


class Errors(Case):
    def check(self, arguments, status, message, **options):
        result = freehold(*arguments, **options)
        self.assertEqual((result.returncode, result.stderr, result.stdout), (status, message, ""))

    def test_command_line(self):
        table = [
            ([], "no command given; see freehold --help"),
            (["walk"], "unknown command 'walk'; see freehold --help"),
            (["run"], "run: no program given; see freehold run --help"),
            (["run", "--"], "run: no program given; see freehold run --help"),
            (["run", "--stat-s", "ls"], "run: unknown option '--stat-s'; see freehold run --help"),
            (["run", "-x", "ls"], "run: unknown option '-x'; see freehold run --help"),
            (["run", "-n3", "-\u00e9", "ls"], "run: unknown option '-\u00e9'; see freehold run --help"),
            (["run", "-n3", "-\udce9", "ls"], "run: unknown option '-\udce9'; see freehold run --help"),
            (["run", "--compare=3", "ls"], "run: option '--compare=3' takes no value"),
            (["run", "--option"], "run: option '--option' needs a value"),
            (["run", "--option", "retain", "ls"], "--option: 'retain' is not of the form KEY=VALUE"),
            (["run", "--option", "a=b,c=d", "ls"], "--option: 'a=b,c=d' is not of the form KEY=VALUE"),
            (["run", "--option", "=b", "ls"], "--option: '=b' is not of the form KEY=VALUE"),
            (["run", "--stats=", "ls"], "--stats: '' cannot be the name of a file in FREEHOLD_OPTIONS"),
            (["run", "--stats=a,b", "ls"], "--stats: 'a,b' cannot be the name of a file in FREEHOLD_OPTIONS"),
            (["run", "--limit"], "run: option '--limit' needs a value"),
            (["run", "--limit", "12Q", "ls"],
             "--limit: '12Q' is not a size: a number of bytes, or of units K, M or G, as 512M"),
            (["run", "--soft-limit", "-1", "ls"],
             "--soft-limit: '-1' is not a size: a number of bytes, or of units K, M or G, as 512M"),
            (["run", "--limit=", "ls"], "--limit: '' is not a size: a number of bytes, or of units K, M or G, as 512M"),
            (["run", "--limit", "1MB", "ls"],
             "--limit: '1MB' is not a size: a number of bytes, or of units K, M or G, as 512M"),
            (["run", "--limit", "0", "ls"], "--limit: 0 is no limit; leave the option out"),
            (["run", "--limit", "17179869184G", "ls"], "--limit: 17179869184G is more memory than there can be"),
            (["run", "--limit", "99999999999999999999", "ls"],
             "--limit: 99999999999999999999 is more memory than there can be"),
            (["run", "--soft-limit", "2M", "--limit", "2048K", "ls"],
             "--soft-limit: 2M is not below --limit 2048K, and would never be passed"),
            (["run", "-n", "3", "ls"], "run: -n is for --compare"),
            (["run", "--compare", "-n", "0", "ls"], "--rounds: '0' is not a number from 1 to 1000"),
            (["run", "--compare", "-n", "3x", "ls"], "--rounds: '3x' is not a number from 1 to 1000"),
            (["run", "--library", "/nowhere.so", "ls"], "library /nowhere.so: No such file or directory"),
        ]
        for arguments, message in table:
            with self.subTest(arguments):
                self.check(arguments, 125, f"freehold: {message}\n", errors="surrogateescape")

    def test_output_that_cannot_be_written(self):
        """F87: neither the command's own nor that of the program is lost without a word."""
        for arguments in (["--help"], ["run", "--version"], ["run", "--compare", "-n", "1", "--", "echo", "out"]):
            with open("/dev/full", "w") as full:
                result = subprocess.run([FREEHOLD, *arguments], stdout=full, stderr=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL, env=environment(), timeout=60)
            self.assertEqual(result.returncode, 125)
            self.assertIn("\nfreehold: standard output: No space left on device\n", "\n" + result.stderr)

    def test_program_not_found(self):
        self.check(["run", "no-such-program"], 127, "freehold: no-such-program: program not found\n")
        self.check(["run", "/no/such/program"], 127, "freehold: /no/such/program: program not found\n")
        self.check(["run", ""], 127, "freehold: : program not found\n")
        self.check(["run", "--compare", "no-such-program"], 127, "freehold: no-such-program: program not found\n")

    def test_program_not_executable(self):
        file = self.dir / "file"
        file.write_text("text\n")
        self.check(["run", str(file)], 126, f"freehold: {file}: not executable\n")
        self.check(["run", str(self.dir)], 126, f"freehold: {self.dir}: not executable\n")
        self.check(["run", "file"], 126, "freehold: file: not executable\n",
                   env=environment(PATH=f"{self.dir}:/nowhere"))

    def test_bad_interpreter(self):
        script = self.dir / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        self.check(["run", str(script)], 127, f"freehold: {script}: No such file or directory\n")

    def test_path_that_ld_preload_cannot_carry(self):
        folder = self.dir / "a b"
        folder.mkdir()
        library = folder / "libfreehold.so"
        shutil.copy(LIBRARY, library)
        self.check(["run", "--library", str(library), "ls"], 125,
                   f"freehold: library {library}: LD_PRELOAD cannot name a path with a colon or a blank\n")


class Library(Case):
    def setUp(self):
        super().setUp()
        self.command = self.dir / "bin" / "freehold"
        self.command.parent.mkdir()
        shutil.copy(FREEHOLD, self.command)

    def test_beside_the_command(self):
        for place in ("bin", "lib", "."):
            library = self.dir / place / "libfreehold.so"
            library.parent.mkdir(exist_ok=True)
            shutil.copy(LIBRARY, library)
            result = freehold("run", PROBE, "environment", command=self.command)
            self.assertEqual(result.stdout.splitlines()[0], str(library.resolve()))
            library.unlink()

    def test_by_its_soname(self):
        library = self.dir / "bin" / "libfreehold.so.0"
        shutil.copy(LIBRARY, library)
        self.assertEqual(freehold("run", PROBE, "environment", command=self.command).stdout.splitlines()[0], str(library))

    def test_given(self):
        library = self.dir / "other.so"
        shutil.copy(LIBRARY, library)
        result = freehold("run", "--library", "other.so", "--", PROBE, "environment", cwd=self.dir)
        self.assertEqual(result.stdout.splitlines()[0], str(library))

    def test_nowhere(self):
        result = freehold("run", PROBE, "exit", "0", command=self.command)
        if result.returncode == 0:
            self.skipTest("a Freehold is installed on this machine")
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, rf"^freehold: libfreehold.so is neither beside this command \({self.dir}/bin\)"
                                        r" nor in /\S+; name it with --library\n$")


class Warnings(Case):
    def test_static_program(self):
        result = freehold("run", STATIC_PROBE, "exit", "3")
        self.assertEqual((result.returncode, result.stderr), (
            3, f"freehold: warning: {STATIC_PROBE} will run on its own malloc: it is statically linked\n"))

    def test_script_of_a_static_interpreter(self):
        script = self.dir / "script"
        script.write_text(f"#! {STATIC_PROBE} exit\n")
        script.chmod(0o755)
        self.assertEqual(freehold("run", str(script)).stderr,
                         f"freehold: warning: {script} will run on its own malloc: it is statically linked\n")

    def test_none_for_a_script_of_a_dynamic_one(self):
        script = self.dir / "script"
        script.write_text("#!/bin/sh\nexit 4\n")
        script.chmod(0o755)
        result = freehold("run", str(script))
        self.assertEqual((result.returncode, result.stderr), (4, ""))

    @unittest.skipUnless(os.getuid() == 0, "needs root to make a setuid program of another user")
    def test_setuid_program(self):
        program = self.dir / "program"
        shutil.copy(PROBE, program)
        os.chown(program, 65534, -1)
        program.chmod(0o4755)
        self.assertIn("it runs with privileges of its own (setuid, setgid or capabilities)\n",
                      freehold("run", str(program), "exit", "0").stderr)

    def test_program_for_another_c_library(self):
        """F81: its dynamic linker would try to use the library, and end the program. (This one's does not.)"""
        loader = re.search(rb"/lib[^\0]*/ld[^\0]*\.so[^\0]*", PROBE_BYTES).group()
        os.symlink(loader, self.dir / "ld-musl.so.1")
        program = self.dir / "program"
        program.write_bytes(PROBE_BYTES.replace(loader, b"./ld-musl.so.1".ljust(len(loader), b"\0"), 1))
        program.chmod(0o755)
        result = freehold("run", "--option", "check=5", "--", "./program", "environment", cwd=self.dir)
        self.assertEqual((result.stdout, result.stderr), ("(unset)\ncheck=5\n", "freehold: warning: ./program will run on "
                         "its own malloc: it is built for another C library\n"))
        result = freehold("run", "./program", "environment", cwd=self.dir, env=environment(LD_PRELOAD="libc.so.6"))
        self.assertEqual(result.stdout, "libc.so.6\n(unset)\n")

    def test_program_for_another_machine(self):
        program = self.dir / "program"
        image = bytearray(pathlib.Path(PROBE).read_bytes())
        image[18:20] = b"\xf7\xff"  # e_machine
        program.write_bytes(image)
        program.chmod(0o755)
        self.assertIn("it is built for another machine\n", freehold("run", str(program), errors="replace").stderr)


class Compare(Case):
    def rows(self, result):
        """The table: row name to its cells."""
        return {line[:24].strip(): line[24:].split() for line in result.stderr.splitlines() if line}

    def test_table(self):
        result = freehold("run", "--compare", "-n", "2", "--", PROBE, "allocate", "20000")
        rows = self.rows(result)
        self.assertEqual(list(rows)[:7], ["medians of 2 rounds", "wall time, s", "user time, s", "system time, s",
                                          "peak resident, MiB", "exit status", "standard output"])
        for name in list(rows)[1:5]:
            self.assertTrue(all(re.fullmatch(r"[0-9.]+", cell) for cell in rows[name][:2]), rows[name])
        self.assertGreater(float(rows["peak resident, MiB"][0]), 0.5)
        self.assertEqual(rows["exit status"], ["0", "0"])
        self.assertGreaterEqual(int(rows["allocations"][0]), 20000)
        self.assertLess(int(rows["allocations"][0]), 40000)  # one process, not the sum of the rounds

    def test_status_is_the_programs(self):
        self.assertEqual(freehold("run", "--compare", "-n", "1", PROBE, "exit", "9").returncode, 9)
        result = freehold("run", "--compare", "-n", "1", PROBE, "signal", "9")
        self.assertEqual(result.returncode, 128 + 9)
        self.assertIn("Freehold counted nothing", result.stderr)

    def test_output_is_passed_on_once(self):
        result = freehold("run", "--compare", "--", "printf", "hello")
        self.assertEqual(result.stdout, "hello")
        self.assertEqual(self.rows(result)["standard output"], ["the", "same"])
        self.assertEqual(self.rows(freehold("run", "--compare", PROBE, "differ"))["standard output"], ["differs"])

    def test_input(self):
        file = self.dir / "input"
        file.write_text("skipped\nread\n")
        with open(file) as stdin:
            os.lseek(stdin.fileno(), 8, os.SEEK_SET)
            result = freehold("run", "--compare", PROBE, "input", stdin=stdin)
        self.assertEqual(result.stdout, "read\n")
        self.assertEqual(self.rows(result)["standard output"], ["the", "same"])
        self.assertEqual(freehold("run", "--compare", PROBE, "input", stdin=None, input="from a pipe").stdout, "")

    def test_signals_are_passed_on_and_end_it(self):
        began = time.monotonic()
        process = self.start_waiting("--compare", "-n", "1000")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 128 + signal.SIGTERM)
        self.assertLess(time.monotonic() - began, 25)

    def test_ignored_signals_stay_ignored(self):
        ready = self.dir / "ready"
        process = subprocess.Popen([FREEHOLD, "run", "--compare", "-n", "1", "--", PROBE, "wait", ready],
                                   env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL,
                                   preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        while not ready.exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)

    def test_stats_go_where_they_were_asked_for(self):
        freehold("run", "--compare", "-n", "2", f"--stats={self.dir}/s", "--", PROBE, "allocate", "100")
        self.assertEqual(len((self.dir / "s").read_text().splitlines()), 1)
        freehold("run", "--compare", "-n", "2", f"--stats={self.dir}/t.%p", "--", "sh", "-c", f"{PROBE} exit 0; {PROBE} exit 0; :")
        files = [file for file in self.dir.iterdir() if file.name.startswith("t.")]
        self.assertEqual({file.name: 1 for file in files},
                         {f"t.{json.loads(file.read_text())['pid']}": 1 for file in files})
        self.assertEqual(len(files), 2)
        result = freehold("run", "--compare", "-n", "1", "--stats=/dev/full", "--", PROBE, "exit", "0")
        self.assertIn("\nfreehold: /dev/full: No space left on device\n", "\n" + result.stderr)

    def test_in_a_folder_with_a_long_name(self):
        """The library takes no name of more than 255 bytes."""
        folder = self.dir / ("d" * 120) / ("d" * 120)
        folder.mkdir(parents=True)
        result = freehold("run", "--compare", "-n", "1", PROBE, "allocate", "100", env=environment(TMPDIR=str(folder)))
        self.assertGreaterEqual(int(self.rows(result)["allocations"][0]), 100)

    def test_nothing_is_left_behind(self):
        freehold("run", "--compare", "-n", "2", PROBE, "exit", "0", env=environment(TMPDIR=str(self.dir)))
        self.assertEqual(list(self.dir.iterdir()), [])

    def test_nobody_reads_the_output(self):
        for how, output in (("--compare", "stdout"), ("--compare", "stderr"), ("--check", "stderr")):
            reader, writer = os.pipe()
            os.close(reader)
            result = subprocess.run([FREEHOLD, "run", how, "--", "sh", "-c", "echo out; exit 3"],
                                    stdin=subprocess.DEVNULL, env=environment(TMPDIR=str(self.dir)), timeout=60,
                                    **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, output: writer})
            os.close(writer)
            self.assertEqual((list(self.dir.iterdir()), result.returncode), ([], 3), how)

    def test_a_signal_ends_it_while_nobody_reads_on(self):
        """The output is passed on when the runs are over, and signals are not for the program any more."""
        process = subprocess.Popen([FREEHOLD, "run", "--compare", "-n", "1", "--", "seq", "100000"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=environment(TMPDIR=str(self.dir)))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        select.select([process.stdout], [], [], 30)
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=10), -signal.SIGTERM)
        self.assertEqual(list(self.dir.iterdir()), [])

    def test_started_on_the_library(self):
        """The system's malloc is the system's also where Freehold is preloaded into everything."""
        for preload, system in ((LIBRARY, ""), (f"libc.so.6 {LIBRARY}", "libc.so.6"), ("libc.so.6", "libc.so.6")):
            file = self.dir / "preloaded"
            freehold("run", "--compare", "-n", "1", "--", "sh", "-c", f'echo "$LD_PRELOAD" >>{file}',
                     env=environment(LD_PRELOAD=preload))
            self.assertEqual(file.read_text(), f"{system}\n{LIBRARY}:{preload}\n")
            file.unlink()

    def test_started_without_a_standard_output(self):
        def start(*arguments):
            return subprocess.run([FREEHOLD, "run", *arguments], preexec_fn=lambda: os.close(1), timeout=60,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment())
        rows = self.rows(start("--compare", "--", "echo", "out"))
        self.assertEqual((rows["exit status"], rows["standard output"]), (["0", "0"], ["the", "same"]))
        result = start("--check", "--", "sh", "-c", "echo out || exit 8")
        self.assertEqual(result.returncode, 8, result.stderr)  # as without the command

    def test_started_by_one_who_waits_for_nobody(self):
        def ignore():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for how in ("--compare", "--check"):
            result = freehold("run", how, "--", "grep", "SigIgn", "/proc/self/status", preexec_fn=ignore)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(int(result.stdout.split()[1], 16) >> signal.SIGCHLD - 1 & 1)


class Rare(Case):
    """What happens once in a long time: shim.c."""

    def run_with(self, shim, how):
        return freehold("run", how, "--", PROBE, "exit", "3", env=environment(LD_PRELOAD=SHIM, SHIM=shim, TMPDIR=str(self.dir)))

    def test_a_signal_behind_the_program_s_end(self):
        """It is for nobody: the program's number may be another process's by then."""
        for how in ("--check", "--compare"):
            result = self.run_with("wait", how)
            self.assertEqual(result.returncode, 3)
            self.assertNotIn("signal", result.stderr)

    def test_no_proc(self):
        """F85: the library is found beside the command without it."""
        os.symlink(FREEHOLD, self.dir / "link")
        env = environment(LD_PRELOAD=SHIM, SHIM="proc", PATH=f"{self.dir}:{os.environ['PATH']}")
        for command, folder in ((FREEHOLD, "/"), ("link", "/"), ("./link", self.dir)):
            result = freehold("run", PROBE, "environment", command=command, env=env, cwd=folder)
            self.assertEqual((result.stdout, result.stderr), (f"{LIBRARY}:{SHIM}\n(unset)\n", ""))

    def test_no_process_to_be_had(self):
        for how in ("--check", "--compare"):
            result = self.run_with("fork", how)
            self.assertEqual((result.returncode, result.stderr),
                             (125, "freehold: fork: Resource temporarily unavailable\n"))
            self.assertEqual(list(self.dir.iterdir()), [], how)


class Documents(Case):
    def test_version(self):
        for arguments in (["--version"], ["run", "--version"]):
            self.assertRegex(freehold(*arguments).stdout, r"^freehold \d+\.\d+\.\d+\n$")

    def test_help_and_manual_page_name_the_same_options(self):
        text = freehold("run", "--help").stdout
        self.assertEqual(text, freehold("--help").stdout)
        page = (ROOT / "tools" / "freehold.1").read_text().replace("\\-", "-")
        options = set(re.findall(r"(?<![\w-])--[a-z]+", text))
        self.assertGreaterEqual(len(options), 7)
        self.assertEqual(options, set(re.findall(r"(?<![\w-])--[a-z]+", page)))


class Makefile(unittest.TestCase):
    def test_install_into_folders_with_blanks(self):
        made = subprocess.run(["make", "-n", "-C", ROOT, "install", "PREFIX=~/a b", "DESTDIR=/c d"], capture_output=True,
                              text=True, timeout=60, env={**os.environ, "HOME": "/home/e f"}).stdout
        self.assertIn('\nDESTDIR="/c d" cmake --install build --prefix "/home/e f/a b"\n', "\n" + made)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[6:])
