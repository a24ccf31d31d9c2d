#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/install-needs names what is missing and only that, and without root prints the one line to run.

Usage: test_needs.py ROOT
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(sys.argv[1]).resolve() / "scripts" / "install-needs"
SHELL_TOOLS = ("sh", "id", "apt-cache", "apt-get", "dpkg-query", "make", "nm")


def nobody():
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


class Needs(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name)
        self.path.chmod(0o755)
        # A machine with little on it: only these tools are found.
        for tool in SHELL_TOOLS:
            where = shutil.which(tool)
            if where:
                (self.path / tool).symlink_to(os.path.realpath(where))
        script = self.path / "install-needs"
        shutil.copy(SCRIPT, script)
        self.script = script

    def needs(self, *arguments):
        return subprocess.run([self.path / "sh", self.script, *arguments], env={"PATH": str(self.path)}, text=True,
                              capture_output=True, preexec_fn=nobody, timeout=60, cwd="/")

    def test_list(self):
        result = self.needs("--list", "build")
        self.assertEqual((result.stdout, result.returncode), ("cmake gcc libc6-dev\n", 0))

    def test_each_package_once(self):
        packages = self.needs("--list", "build", "test", "build", "model", "check").stdout.split()
        self.assertEqual(len(packages), len(set(packages)))
        self.assertLessEqual({"cmake", "gcc", "g++", "spin", "clang"}, set(packages))

    def test_kernels_are_skipped(self):
        """F66: the test of a kernel says in one line what it needs."""
        (self.path / "dirname").symlink_to(shutil.which("dirname"))
        result = subprocess.run([SCRIPT.parent.parent / "tests" / "kernel" / "run.sh", "riscv64", self.path / "out"],
                                env={"PATH": str(self.path)}, text=True, capture_output=True, timeout=60, cwd="/")
        self.assertEqual((result.returncode, result.stderr), (77, ""))
        self.assertRegex(result.stdout, r"\AThe kernels need packages that are not here: .*gcc-riscv64-unknown-elf.*\n\Z")

    @unittest.skipUnless(shutil.which("apt-get"), "needs apt-get")
    def test_the_line_to_run(self):
        result = self.needs("build")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(result.stderr, "Missing packages. Run:  sudo apt-get install -y --no-install-recommends "
                                        "cmake gcc libc6-dev\n")

    def test_without_apt(self):
        (self.path / "apt-get").unlink(missing_ok=True)
        result = self.needs("build")
        self.assertEqual((result.returncode, result.stderr),
                         (1, "Missing (names of Debian's packages): cmake gcc libc6-dev\n"))

    def test_nothing_missing(self):
        for tool in ("cmake", "gcc"):
            (self.path / tool).symlink_to(shutil.which("true"))
        result = self.needs("build")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_unknown_group(self):
        result = self.needs("biuld")
        self.assertEqual((result.returncode, result.stderr), (2, "scripts/install-needs: no group 'biuld'\n"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
