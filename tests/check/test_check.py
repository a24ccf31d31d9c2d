#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""freehold run --check (F26, T20): what it says of each misuse and leak, to the letter, and that programs go on.

Usage: test_check.py FREEHOLD LIBRARY MISUSE BUSY DELETES WITH-NAMES [unittest arguments]

Addresses are replaced by POINTER; a line is named by the comment that the source has there, or by the function alone.
"""

import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

FREEHOLD, LIBRARY, MISUSE, BUSY, DELETES = (os.path.realpath(path) for path in sys.argv[1:6])
WITH_NAMES = sys.argv[6] == "1"
# Where an access that traps is told whole: what it was, with its stack.
TELLS_ACCESS = pathlib.Path(LIBRARY).read_bytes()[18:20] == b"\x3e\0"
HERE = pathlib.Path(__file__).resolve().parent
SOURCE = (HERE / "misuse.c").read_text().splitlines()
MARKS = {mark.group(1): number for number, line in enumerate(SOURCE, 1)
         if (mark := re.search(r"/\* ([A-Z]+) \*/", line))}
CASES = {case.group(1): number for number, line in enumerate(SOURCE, 1)
         if (case := re.search(r'CASE\("([a-z-]+)"', line))}
# The last line of main that a block is freed in.
CASES["end"] = next(number for number, line in enumerate(SOURCE, 1) if line == "        drop(block);")
FIRST = next(number for number, line in enumerate(SOURCE, 1) if "*block = make(100), *other" in line)


def run(*arguments, **changes):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "FREEHOLD_"))}
    return subprocess.run([FREEHOLD, "run", *arguments], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, env={**environment, **changes})


def plain(text):
    text = re.sub(r"\((0x[0-9a-f]+)\)", "(POINTER)", text)
    text = re.sub(r"the block 0x[0-9a-f]+", "the block POINTER", text)
    return re.sub(r"process \d+", "process N", text)


def at(name, line, file="misuse.c", before=0):
    return f"    {name} ({file}:{(MARKS.get(line) or CASES.get(line) or line) - before})\n"


MADE = at("make", "MAKE") + at("main", FIRST)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        if not WITH_NAMES:
            self.skipTest("built without elfutils")

    def check(self, name, wanted, status=None, *options, program=MISUSE, pages=False):
        result = run("--check=pages" if pages else "--check", *options, "--", program, name)
        self.assertEqual(plain(result.stderr), wanted)
        if status is not None:
            self.assertEqual(result.returncode, status)
        return result


class Misuse(Case):
    def test_double_free(self):
        self.check("double", "freehold: free(POINTER): double free: the block of 100 bytes, allocated at\n" + MADE +
                   "  freed at\n" + at("drop", "DROP") + at("main", "double") +
                   "  freed again at\n" + at("drop", "DROP") + at("main", "double"), 134)

    def test_overflow(self):
        self.check("overflow", "freehold: free(POINTER): overflow: offset 100 of the block of 100 bytes was written, "
                   "bytes 41 42; allocated at\n" + MADE, 134)
        self.check("underflow", "freehold: free(POINTER): underflow: offset -1 of the block of 100 bytes was written, "
                   "bytes 41; allocated at\n" + MADE, 134)
        self.check("overflow-realloc", "freehold: realloc(POINTER): overflow: offset 100 of the block of 100 bytes "
                   "was written, bytes 41; allocated at\n" + MADE, 134)

    def test_functions_of_jemalloc(self):
        """F80: their blocks are on record as malloc's are, and free takes them."""
        result = run("--check", "--error-exit", "9", "--", MISUSE, "keep-jemalloc")
        self.assertEqual((plain(result.stderr), result.returncode), (Leaks.NOTHING, 0))
        self.check("overflow-jemalloc", "freehold: dallocx(POINTER): overflow: offset 100 of the block of 100 bytes was "
                   "written, bytes 41; allocated at\n" + at("overflow_jemalloc", "MALLOCX") +
                   at("main", "overflow-jemalloc"), 134)

    def test_overflow_of_a_block_that_is_never_freed(self):
        self.check("overflow-live", "freehold: exit(POINTER): overflow: offset 103 of the block of 100 bytes was "
                   "written, bytes 41; allocated at\n" + MADE, 0)

    def test_pointers_into_blocks(self):
        for case, kind, offset in (("interior", "interior", 16), ("misaligned", "misaligned", 1)):
            self.check(case, f"freehold: free(POINTER): {kind} pointer: {offset} bytes into the block POINTER of 100 "
                       "bytes, allocated at\n" + MADE, 134)
        self.check("foreign", "freehold: free(POINTER): foreign pointer: not from this allocator\n", 134)

    def test_use_after_free(self):
        freed = "  freed at\n" + at("drop", "DROP")
        self.check("after-free", "freehold: realloc(POINTER): double free: the block of 100 bytes, allocated at\n" +
                   MADE + freed + at("main", "after-free") + "  freed again at\n" + at("main", "after-free"), 134)
        self.check("into-freed", "freehold: free(POINTER): invalid pointer: 16 bytes into the block POINTER of 100 "
                   "bytes, allocated at\n" + MADE + freed + at("main", "into-freed") + "  used at\n" +
                   at("drop", "DROP") + at("main", "into-freed"), 134)
        self.check("usable", "freehold: malloc_usable_size(POINTER): double free: the block of 100 bytes, allocated "
                   "at\n" + MADE + freed + at("main", "usable") + "  freed again at\n" + at("main", "usable"), 134)

    WRITTEN = ("write after free: offset 8 of the block of 100 bytes was written, bytes 41; allocated at\n" + MADE +
               "  freed at\n" + at("drop", "DROP") + at("write_late", "LATE", before=1))

    def test_write_after_free(self):
        late, seen = (self.WRITTEN + at("main", case) for case in ("late", "late-seen"))
        self.check("late", "freehold: exit(POINTER): " + late, 0)
        self.check("late-seen", "freehold: exit(POINTER): " + seen, 9, "--error-exit", "9")
        self.check("late-seen", "freehold: free(POINTER): " + seen, 134, "--quarantine", "500")
        for size in ("0", "100"):  # it is not held back
            self.check("late-seen", Leaks.NOTHING, 0, "--quarantine", size)

    def test_in_a_signal_handler(self):
        text = self.check_handler()
        self.assertIn("  freed again at\n" + at("drop", "DROP") + "    in_handler (misuse.c:", text)
        self.assertIn("    main (misuse.c:%d)\n" % CASES["handler"], text)

    def check_handler(self):
        result = run("--check", "--", MISUSE, "handler")
        self.assertEqual(result.returncode, 134)
        return plain(result.stderr)

    def test_delete(self):
        text = run("--check", "--", DELETES, "size").stderr
        self.assertRegex(text, r"^freehold: operator delete\(0x[0-9a-f]+\): size mismatch: given 32, but the block has "
                         r"64 bytes, allocated at\n    derived\* place::make<derived>\(\) \(deletes.cpp:\d+\)\n"
                         r"    main \(deletes.cpp:\d+\)\n$")
        text = run("--check", "--", DELETES, "aligned").stderr
        self.assertRegex(text, r"^freehold: operator delete\(0x[0-9a-f]+\): alignment mismatch: not a multiple of 4096, "
                         r"allocated at\n    main \(deletes.cpp:\d+\)\n$")
        text = run("--check", "--", DELETES, "twice").stderr
        self.assertRegex(text, r"^freehold: operator delete\[\]\(0x[0-9a-f]+\): double free: the block of 40 bytes, "
                         r"allocated at\n    main \(deletes.cpp:\d+\)\n  freed at\n    main \(deletes.cpp:\d+\)\n"
                         r"  freed again at\n    main \(deletes.cpp:\d+\)\n$")


class Pages(Case):
    """Each block on pages of its own: accesses that trap."""

    def setUp(self):
        super().setUp()
        if not TELLS_ACCESS:
            self.skipTest("the processor is not x86-64")

    FREED = ("use after free: offset 8 of the block of 100 bytes; allocated at\n" + MADE + "  freed at\n" +
             at("drop", "DROP"))

    def test_use_after_free(self):
        write = self.FREED + at("write_late", "LATE", before=1)
        used = "  used at\n" + at("write_late", "LATE")
        self.check("late", "freehold: write(POINTER): " + write + at("main", "late") + used + at("main", "late"), 134,
                   pages=True)
        read = self.FREED + at("read_late", "READ", before=1) + at("main", "late-read") + "  used at\n"
        self.check("late-read", "freehold: read(POINTER): " + read + at("read_late", "READ") + at("main", "late-read"),
                   134, pages=True)

    def test_beside_a_block(self):
        for case, what in (("beyond", "overflow: offset 112"), ("before", "underflow: offset -4000")):
            self.check(case, f"freehold: write(POINTER): {what} of the block of 100 bytes; allocated at\n" + MADE +
                       "  accessed at\n" + at("main", case), 134, pages=True)

    def test_on_a_short_stack_for_signals(self):
        for case in ("late-short", "late-thread"):
            text = run("--check=pages", "--", MISUSE, case).stderr
            self.assertRegex(plain(text), r"^freehold: write\(POINTER\): use after free: offset 8 of the block of 100 ")
            self.assertIn("  used at\n" + at("write_late", "LATE") + "    with_short_stack (misuse.c:", text)

    def test_faults_that_are_the_program_s_own(self):
        for case in ("null", "sent"):
            self.check(case, "freehold: ended by signal 11: what was not freed is not known\n", 139, pages=True)
        self.check("late-own", "freehold: the program did not end by exit, or could not be checked: what was not freed "
                   "is not known\n", 33, pages=True)

    def test_all_else_is_as_without(self):
        self.check("", Leaks.NOTHING, 0, pages=True)
        self.check("double", "freehold: free(POINTER): double free: the block of 100 bytes, allocated at\n" + MADE +
                   "  freed at\n" + at("drop", "DROP") + at("main", "double") +
                   "  freed again at\n" + at("drop", "DROP") + at("main", "double"), 134, pages=True)
        text = run("--check=pages", "--", MISUSE, "keep").stderr
        self.assertIn("freehold: 0 bytes in 1 block lost, 1049026 bytes in 9 blocks still reachable\n", text)
        text = run("--check=pages", "--", MISUSE, "lose").stderr
        self.assertIn("freehold: 8070 bytes in 5 blocks lost, 0 bytes in 0 blocks still reachable\n", text)

    def test_more_blocks_than_there_are_pages_for(self):
        note = ("freehold: note: 20000 blocks are on pages of their own, and there is no room for more: further ones "
                "are between canaries\n")
        self.check("many", note + Leaks.NOTHING, 0, pages=True)
        text = run("--check=pages", "--", MISUSE, "many-overflow").stderr
        self.assertRegex(plain(text), "^" + re.escape(note) + r"freehold: free\(POINTER\): overflow: offset 24 of the "
                         r"block of 24 bytes was written, bytes 41; allocated at\n    make ")


class Leaks(Case):
    NOTHING = "freehold: no misuse, and nothing was lost\n"

    def test_nothing(self):
        self.check("", self.NOTHING, 0)
        self.check("", self.NOTHING, 0, "--all")  # a library of it frees behind the program's end

    def test_by_place_the_largest_first(self):
        places = [("5000 bytes in 1 block", at("lose", "GROW")),
                  ("3000 bytes in 3 blocks", at("make", "MAKE") + at("lose", "LOSE")),
                  ("70 bytes in 1 block", at("lose", "ZEROED"))]
        lines = [f"freehold: lost: {what}, allocated at\n{stack}" + at("main", "lose") for what, stack in places]
        total = "freehold: 8070 bytes in 5 blocks lost, 0 bytes in 0 blocks still reachable\n"
        self.check("lose", "".join(lines) + total, 0)
        self.check("lose", "".join(lines[:2]) + "freehold: and from 1 other place\n" + total, 42,
                   "--leaks", "2", "--error-exit", "42")

    def test_what_can_be_reached_is_not_lost(self):
        result = run("--check", "--", MISUSE, "keep")
        self.assertEqual(plain(result.stderr), "freehold: lost: 0 bytes in 1 block, allocated at\n" +
                         at("make", "MAKE") + at("keep", next(n for n, line in enumerate(SOURCE, 1)
                                                              if "    make(0);" in line)) + at("main", "keep") +
                         "freehold: 0 bytes in 1 block lost, 1049026 bytes in 9 blocks still reachable\n")
        text = run("--check", "--all", "--", MISUSE, "keep").stderr
        self.assertIn("freehold: still reachable: 1048576 bytes in 1 block, allocated at\n", text)
        self.assertIn("freehold: still reachable: 320 bytes in 5 blocks, allocated at\n", text)

    def test_a_list_is_lost_as_a_whole(self):
        text = run("--check", "--", MISUSE, "lose-list").stderr
        self.assertIn("freehold: lost: 256 bytes in 4 blocks, allocated at\n", text)
        self.assertIn("    lose_list (misuse.c:%d)\n" % MARKS["LIST"], text)

    def test_what_only_the_records_or_freed_memory_hold_is_lost(self):
        for size in ("16M", "0"):  # what is not held back is not filled, and its address is used again
            text = run("--check", "--quarantine", size, "--", MISUSE, "lose-many").stderr
            self.assertIn("freehold: lost: 480000 bytes in 20000 blocks, allocated at\n    make ", text)
            text = run("--check", "--quarantine", size, "--", MISUSE, "lose-behind").stderr
            self.assertIn("freehold: lost: 333 bytes in 1 block, allocated at\n", text)
            text = run("--check", "--quarantine", size, "--", MISUSE, "lose-beside").stderr
            self.assertIn("freehold: lost: 334 bytes in 1 block, allocated at\n", text)
        text = run("--check", "--", MISUSE, "lose-deep").stderr
        self.assertIn("freehold: lost: 222 bytes in 1 block, allocated at\n", text)

    def test_what_another_thread_holds_is_not_lost(self):
        result = run("--check", "--error-exit", "9", "--", MISUSE, "thread")
        self.assertEqual((plain(result.stderr), result.returncode), (self.NOTHING, 0))

    def test_what_lies_where_it_cannot_be_read_or_written_is_not_lost(self):
        for case in ("keep-guard", "keep-read-only"):
            for how in ("--check", "--check=pages"):
                result = run(how, "--error-exit", "9", "--", MISUSE, case)
                self.assertEqual((plain(result.stderr), result.returncode), (self.NOTHING, 0), case)

    def test_children_are_named(self):
        result = run("--check", "--error-exit", "9", "--", MISUSE, "child")
        self.assertRegex(plain(result.stderr), r"^freehold: in process N check_misuse\nfreehold: lost: 256 bytes in 4 ")
        self.assertEqual(result.returncode, 9)

    def test_destructors_come_before_it(self):
        result = run("--check", "--", DELETES)
        self.assertEqual((result.stdout, result.stderr), ("100\n", self.NOTHING))
        text = run("--check", "--", DELETES, "lose").stderr
        self.assertRegex(text, r"^freehold: lost: 16 bytes in 2 blocks, allocated at\n    long\* place::make<long>\(\) ")

    def test_of_many_places(self):
        """To list 32768 of them is no long work: they are ranked once, not anew for each that is listed."""
        environment = {**os.environ, "LD_PRELOAD": LIBRARY, "FREEHOLD_CHECK_REPORT": "/dev/null",
                       "FREEHOLD_CHECK_LEAKS": "100000"}
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([MISUSE, "lose-everywhere"], env=environment, timeout=60)
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 4)

    def test_without_the_first_thread(self):
        """The process as such has no mappings then, to make names of, and to look for blocks in."""
        self.assertRegex(run("--check", "--", MISUSE, "end-main").stderr,
                         r"freehold: lost: 256 bytes in 4 blocks, allocated at\n    make \(.*\n    list \(.*\n    lose_list \(misuse.c:")

    def test_with_little_room_left(self):
        self.assertIn("freehold: lost: 256 bytes in 4 blocks, allocated at\n",
                      run("--check", "--", MISUSE, "little-room").stderr)

    def test_programs_that_close_files_or_go_elsewhere(self):
        for case in ("close", "chdir"):
            self.assertIn("freehold: lost: 256 bytes in 4 blocks, allocated at\n",
                          run("--check", "--", MISUSE, case).stderr)


class Ends(Case):
    def test_status_and_what_is_not_known(self):
        unknown = "freehold: the program did not end by exit, or could not be checked: what was not freed is not known\n"
        self.check("quick", unknown, 7)
        self.check("quick-large", unknown, 200)
        self.check("signal", "freehold: ended by signal 9: what was not freed is not known\n", 137)
        self.assertEqual(run("--check", "--", MISUSE, "status").returncode, 7)
        self.assertEqual(run("--check", "--", "no-such-program").returncode, 127)

    def test_reports_that_reach_no_file_name_files(self):
        if os.geteuid() != 0:
            self.skipTest("only root can have another root")
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as root:
            for case, told, status in (("root", "not freed: 256 bytes in 4 blocks, allocated", 0),
                                       ("user", "lost: 256 bytes in 4 blocks, allocated", 0),
                                       ("root-double", "free(POINTER): double free: the block of 100 bytes, allocated", 134)):
                result = run("--check", "--", MISUSE, case, root, TMPDIR=folder)
                self.assertRegex(plain(result.stderr), r"^freehold: %s at check_misuse\+0x[0-9a-f]+ " % re.escape(told))
                self.assertEqual((result.returncode, os.listdir(folder)), (status, []))

    def test_command_line(self):
        for arguments, message in (
                (["--leaks", "3", "ls"], "run: --leaks is for --check"),
                (["--all", "ls"], "run: --all is for --check"),
                (["--error-exit", "3", "ls"], "run: --error-exit is for --check"),
                (["--quarantine", "3M", "ls"], "run: --quarantine is for --check"),
                (["--check=page", "ls"], "--check: 'page' is none of its kinds; there is --check=pages"),
                (["--check", "--quarantine", "x", "ls"], "--quarantine: 'x' is not a size: a number of bytes, or of units "
                 "K, M or G, as 512M"),
                (["--check", "--compare", "ls"], "run: --check and --compare do not go together"),
                (["--check", "--error-exit", "0", "ls"], "--error-exit: '0' is not a number from 1 to 255"),
                (["--check", "--leaks", "x", "ls"], "--leaks: 'x' is not a number from 0 to 1000000")):
            result = run(*arguments)
            self.assertEqual((result.returncode, result.stderr), (125, f"freehold: {message}\n"))

    def test_nothing_is_left_behind(self):
        with tempfile.TemporaryDirectory() as folder:
            run("--check", "--", MISUSE, "lose", TMPDIR=folder)
            self.assertEqual(os.listdir(folder), [])

    def test_with_a_short_stack(self):
        """The limit is meant for the program: names are made nevertheless."""
        for kib in (100, 64):
            result = subprocess.run(["sh", "-c", f'ulimit -s {kib}; exec "$@"', "sh", FREEHOLD, "run", "--check", "--",
                                     MISUSE, "lose-list"], capture_output=True, text=True, timeout=60)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("    lose_list (misuse.c:%d)\n" % MARKS["LIST"], result.stderr)

    def test_a_signal_ends_it_while_names_are_made(self):
        """Those may come from a server, which does not answer."""
        with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "DEBUGINFOD_URLS": f"http://127.0.0.1:{server.getsockname()[1]}/", "TMPDIR": folder,
                           "XDG_CACHE_HOME": folder + "/cache"}
            stripped = os.path.join(folder, "stripped")
            if subprocess.run(["strip", "-o", stripped, MISUSE]).returncode != 0:
                self.skipTest("no strip")
            process = subprocess.Popen([FREEHOLD, "run", "--check", "--", stripped, "lose-list"], env=environment,
                                       stderr=subprocess.DEVNULL)
            server.settimeout(5)
            try:
                server.accept()
            except TimeoutError:
                self.skipTest("elfutils asks no server")
            finally:
                process.send_signal(signal.SIGTERM)
            try:
                self.assertEqual(process.wait(timeout=10), 128 + signal.SIGTERM)
            finally:
                process.kill()
            self.assertEqual([name for name in os.listdir(folder) if name.startswith("freehold")], [])

    def test_programs_with_names_that_are_no_line(self):
        lost = "freehold: lost: 256 bytes in 4 blocks, allocated at\n    make (misuse.c:"
        become = "import os, sys; os.execv(sys.argv[1], [sys.argv[2], 'lose-list'])"
        for name in ("a\nb", "\n", "a b", "x" * 5000):
            text = run("--check", "--", sys.executable, "-c", become, MISUSE, name).stderr
            self.assertTrue(text.startswith(lost), text)
        with tempfile.TemporaryDirectory() as folder:
            program = shutil.copy(MISUSE, folder + "/a b")
            self.assertTrue(run("--check", "--", program, "lose-list").stderr.startswith(lost))

    def test_reports_of_threads_come_one_behind_the_other(self):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "LD_PRELOAD": LIBRARY, "FREEHOLD_CHECK_REPORT": folder + "/%p"}
            for _ in range(50):
                subprocess.run([MISUSE, "double-threads"], env=environment, stderr=subprocess.DEVNULL)
            for name in os.listdir(folder):
                text = pathlib.Path(folder, name).read_text()
                whole = r"== .*\n([0-9a-f]+-.*\n)+--\nfreehold: free\(.*\n"
                self.assertRegex(text, rf"^({whole})+(== .*\n)?([0-9a-f]+-.*\n?)*(--\n)?$")  # the last one may be cut

    def test_without_the_command(self):
        environment = {**os.environ, "LD_PRELOAD": LIBRARY}
        result = subprocess.run([MISUSE, "lose"], capture_output=True, text=True, env=environment)
        self.assertRegex(result.stderr, r"(?s)^freehold: lost: 5000 bytes in 1 block, allocated at check_misuse\+0x"
                         r"[0-9a-f]+ check_misuse\+0x.*\n.*8070 bytes in 5 blocks lost, 0 bytes in 0 blocks still")
        environment["FREEHOLD_CHECK_REPORT"] = "/no/such/folder/%p"
        result = subprocess.run([MISUSE, "double"], capture_output=True, text=True, env=environment)
        self.assertRegex(result.stderr, r"^freehold: free\(0x[0-9a-f]+\): double free: the block of 100 bytes")
        self.assertEqual(result.returncode, -6)


class Programs(unittest.TestCase):
    """Real ones run to the end, with the right output."""

    def program(self, output, *command, how="--check"):
        if not shutil.which(command[0]) and not os.path.exists(command[0]):
            self.skipTest(f"no {command[0]}")
        result = run(how, "--", *command)
        if "it is built for another machine" in result.stderr:
            self.skipTest("the library is not for this machine's own programs")
        self.assertEqual((result.stdout, result.returncode), (output, 0), result.stderr)
        self.assertNotRegex(result.stderr, r"freehold: \w+\(0x")
        self.assertNotIn("not known", result.stderr)
        return result.stderr

    def test_python(self):
        self.program("4950 abc\n", "/usr/bin/python3", "-c", "import json, re, threading; "
                     "t = threading.Thread(target=lambda: json.loads('[1, 2]' )); t.start(); t.join(); "
                     "print(sum(range(100)), re.sub('x', '', 'axbxc'))")

    def test_sqlite(self):
        text = self.program("1000|499500\n", "sqlite3", ":memory:", "create table t(x); with recursive n(i) as (select 0 "
                            "union all select i + 1 from n where i < 999) insert into t select i from n; "
                            "select count(*), sum(x) from t;")
        self.assertNotIn("lost:", text)

    def test_perl(self):
        for how in ("--check", "--check=pages"):
            self.program("9\n", "perl", "-e", 'my %h = map { $_ => 1 } split //, "characters"; '
                         'print scalar(keys %h) + 2, "\\n"', how=how)

    def test_git(self):
        with tempfile.TemporaryDirectory() as folder:
            self.program(f"Initialized empty Git repository in {os.path.realpath(folder)}/.git/\n", "git", "init", "-b",
                         "main", folder)

    def test_exit_in_a_signal_handler(self):
        note = "freehold: note: a signal handler has called exit in the midst of an allocation, a free or the like\n"
        texts = set()
        for _ in range(60):
            result = run("--check", "--", BUSY, "exit")
            self.assertEqual(result.returncode, 0, result.stderr)
            texts.add(re.sub(r"(?s).*still reachable\n", "", result.stderr))
        self.assertLessEqual(texts, {"", Leaks.NOTHING, note + "freehold: the program did not end by exit, or could not "
                                     "be checked: what was not freed is not known\n"})

    def test_forks_during_the_report(self):
        """F82: who forks waits for the report, and the report not for that."""
        for _ in range(3):
            result = run("--check", "--", BUSY, "exit-forking")
            self.assertEqual((result.stderr, result.returncode), (Leaks.NOTHING, 0))

    def test_threads_and_forks(self):
        """F82: with handlers of a library, which allocate."""
        result = run("--check", "--", BUSY)
        self.assertEqual((result.stdout, result.returncode), ("busy\n", 0), result.stderr)
        self.assertNotRegex(result.stderr, r"freehold: \w+\(0x")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[7:])
