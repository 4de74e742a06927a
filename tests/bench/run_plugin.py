#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the boundary of a plugin costs: the same function compiled into the program and in a plugin, side by side in one
process and in turns. Medians of rounds. Exit code 1 when a bar is missed, 2 when something could not be measured."""
import argparse
import json
import os
import statistics
import subprocess
import sys

import results

# rows of a batch, batches at a time, batches of a round
CASES = ((1, 1, 200000), (1, 64, 200000), (1000, 1, 50000), (1000, 64, 50000))
NAMES = {"inside": "in the program", "plugin": "in a plugin"}
BOUNDARY_US = 1.0


def measure(args, rows, flight, calls):
    """{way: medians of a call in microseconds}, wall and CPU."""
    command = [os.path.join(args.build, "tests", "bench", "plugin_bench"), "--plugin",
               os.path.join(args.build, "plugins", "bench_rows.so"), "--rows", str(rows), "--flight", str(flight),
               "--calls", str(calls), "--rounds", str(args.rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
        return None
    got = {}
    for line in map(json.loads, done.stdout.splitlines()):
        got.setdefault(line["way"], []).append((line["wall_ns"] / calls / 1000,
                                                (line["cpu_ns"] + line["child_cpu_ns"]) / calls / 1000))
    return {way: [statistics.median(column) for column in zip(*lines)] for way, lines in got.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder (PATCHBAY_BENCH=ON)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md alone")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    rows_out, bars = [], []
    for rows, flight, calls in CASES:
        middle = measure(args, rows, flight, calls)
        if not middle:
            return 2
        for way, (wall, cpu) in middle.items():
            more = wall - middle["inside"][0]
            rows_out.append((f"{NAMES[way]}, {rows:,} row{'s' if rows > 1 else ''}, {flight} at a time", f"{wall:.3f}", f"{cpu:.3f}",
                             f"{more:.3f}" if way != "inside" else ""))
            if way == "plugin":
                bars.append((f"a plugin's call over the program's own, {rows:,} rows, {flight} at a time", f"{more:.3f} µs",
                             f"under {BOUNDARY_US:.0f} µs", more < BOUNDARY_US))
    text = ("A call sums a column of numbers and is answered on a later step of the loop; the answer is looked at.\n\n" +
            results.table(("function", "µs a call", "CPU µs a call", "µs over the program's own"), rows_out) + "\n\n" +
            results.table(("bar", "measured", "wanted", "met"), [(*b[:3], "yes" if b[3] else "NO") for b in bars]))
    print(f"\nPlugins\n\n{text}\n")
    if not args.no_record:
        results.record("Plugins: what the boundary costs", text)
    return 0 if all(b[3] for b in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
