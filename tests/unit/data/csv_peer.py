#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""python3's csv module as the other side: csv_peer.py read CSV JSON, or csv_peer.py write SEED CSV JSON."""
import csv
import json
import random
import sys


def read(path, out):
    with open(path, newline="", encoding="utf-8") as f:
        json.dump(list(csv.reader(f, strict=True)), open(out, "w"))


def write(seed, path, out):
    r = random.Random(seed)
    parts = ["a", "Z", "0", " ", '"', '""', ",", ";", "\n", "\r\n", "é", "日", "😀", "'", "\\", "\t", "long plain text "]
    columns = r.randint(2, 5)
    rows = [["".join(r.choices(parts, k=r.choice([0, 1, 2, 3, 12]))) for _ in range(columns)] for _ in range(r.randint(1, 60))]
    with open(path, "w", newline="", encoding="utf-8") as f:
        csv.writer(f, lineterminator=r.choice(["\n", "\r\n"]), quoting=r.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).writerows(rows)
    json.dump(rows, open(out, "w"))


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
