# SPDX-License-Identifier: MIT
"""A Python program that lives on its allocator: records, indexes, strings, JSON. Run with
PYTHONMALLOC=malloc, so that each of its objects is one malloc. Prints a checksum."""

import json
import random
import zlib

random.seed(20)


class Record:
    def __init__(self, key, tags):
        self.key = key
        self.tags = tags
        self.links = []


def build(count):
    words = ["".join(random.choices("abcdefghij", k=random.randint(2, 24))) for _ in range(500)]
    records = [Record("key-%d" % i, random.choices(words, k=random.randint(1, 6)))
               for i in range(count)]
    for record in records:
        record.links = [random.choice(records) for _ in range(3)]
    return records


def index(records):
    by_tag = {}
    for record in records:
        for tag in record.tags:
            by_tag.setdefault(tag, []).append(record.key)
    return by_tag


def churn(records, rounds):
    for _ in range(rounds):
        victim = random.randrange(len(records))
        old = records[victim]
        records[victim] = Record(old.key + "'", [tag.upper() for tag in old.tags])


checksum = 0
for generation in range(3):
    records = build(20000)
    by_tag = index(records)
    text = json.dumps({"tags": by_tag, "keys": [record.key for record in records]})
    back = json.loads(text)
    churn(records, 30000)
    joined = ",".join(sorted(record.key for record in records))
    checksum = zlib.crc32(joined.encode(), zlib.crc32(text.encode(), checksum))
    checksum ^= len(back["tags"])
print(checksum)
