#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the documents quote from examples is in them, word for word: the examples are compiled and run by other tests.

A quotation is an indented block behind a line <!-- examples/FILE -->. Lines of three dots part it into passages, each
of which must stand in the file without a gap; how far it is indented there does not matter.

Usage: test_quotes.py ROOT
"""
import pathlib
import re
import sys

QUOTATION = re.compile(r"^<!-- (examples/\S+) -->\n\n((?:    .*\n|\n)+)", re.M)
DOCUMENTS = ("README.md", "docs/allocators.md", "PORTING.md")


def lines(text):
    """Without what stands before and behind each line, and without empty ones."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def passages(block):
    passage = []
    for line in lines(block):
        if line == "…":
            yield passage
            passage = []
        else:
            passage.append(line)
    yield passage


def missing(root, document):
    """Passages of a document that are not in the file that they are quoted from; and how many there are in all."""
    wrong, count = [], 0
    for name, block in QUOTATION.findall((root / document).read_text()):
        source = "\n" + "\n".join(lines((root / name).read_text())) + "\n"
        for passage in passages(block):
            count += 1
            if not passage or "\n" + "\n".join(passage) + "\n" not in source:
                wrong.append(f"{document}: not in {name}: {passage[0] if passage else 'an empty passage'}")
    return wrong, count


def main():
    root = pathlib.Path(sys.argv[1])
    found = [missing(root, document) for document in DOCUMENTS]
    wrong = [line for one, _ in found for line in one]
    count = sum(number for _, number in found)
    print("\n".join(wrong) or f"{count} passages are as in the examples")
    return 1 if wrong or count < 5 else 0


if __name__ == "__main__":
    sys.exit(main())
