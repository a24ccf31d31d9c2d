# SPDX-License-Identifier: MIT
#
# The allocation-heavy program of `make run`: it parses, sorts, indexes and prints with python's own
# standard library, which allocates some millions of small objects of many sizes. Runs for a second or two.
import ast
import collections
import inspect
import json
import os
import random
import re


def records(count):
    rng = random.Random(1)
    for i in range(count):
        yield {
            "id": i,
            "name": "".join(rng.choices("abcdefghij", k=rng.randint(3, 40))),
            "values": [rng.random() for _ in range(rng.randint(0, 12))],
            "tags": {f"k{rng.randint(0, 99)}": str(rng.randint(0, 1 << 40)) for _ in range(4)},
        }


def main():
    text = json.dumps(list(records(20000)))
    rows = json.loads(text)
    by_tag = collections.defaultdict(list)
    for row in rows:
        for tag, value in row["tags"].items():
            by_tag[tag].append((value, row["name"]))
    longest = max(by_tag.items(), key=lambda item: len(item[1]))[0]
    words = collections.Counter(re.findall(r"[a-j]{4,6}", text))

    trees = [ast.parse(inspect.getsource(module)) for module in (collections, inspect, json, os, random)]
    nodes = sum(1 for tree in trees for _ in ast.walk(tree))

    rows.sort(key=lambda row: (row["name"], row["id"]))
    survivors = rows[::100]
    del rows, text
    again = json.loads(json.dumps(survivors, indent=1))
    print(f"{len(again)} records kept, {len(words)} words, {nodes} syntax nodes, longest tag {longest}")


main()
