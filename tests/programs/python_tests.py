# SPDX-License-Identifier: MIT
# Run modules of python's own test suite and write one line for each test, with its outcome, to the
# file named first. Times, addresses and the order of sets in messages are left out, so that two
# runs can be compared. What the tests themselves print goes where it always goes.
import sys
import unittest

from test import support


class Outcomes(unittest.TestResult):
    def __init__(self, file):
        super().__init__()
        self.file = file

    def tell(self, test, outcome):
        print(test.id(), outcome, file=self.file, flush=True)

    def addSuccess(self, test):
        self.tell(test, "ok")

    def addSkip(self, test, reason):
        self.tell(test, "skipped")

    def addExpectedFailure(self, test, error):
        self.tell(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        self.tell(test, "unexpected success")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.tell(test, "failed")

    def addError(self, test, error):
        super().addError(test, error)
        self.tell(test, "error")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.tell(test, "failed in part")


if __name__ == "__main__":
    support.use_resources = []  # no network, no files of gigabytes, no minutes of processor time
    with open(sys.argv[1], "w") as file:
        result = Outcomes(file)
        for module in sys.argv[2:]:
            unittest.defaultTestLoader.loadTestsFromName("test." + module).run(result)
    for test, trace in result.failures + result.errors:
        print(test.id(), trace, sep="\n", file=sys.stderr)
