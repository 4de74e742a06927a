#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The store: durable rows per second, grouped against one row per transaction, and how long writers wait.

Rounds are interleaved; a figure is the median of its rounds, a ratio that of two medians. Exit code 1 when a bar is
missed, 2 when something could not be measured.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import results

RATIO = 8.0  # times the rows of one row per transaction, at 64 waiting
LONGEST_S = 0.5  # of any writer among four processes

CASES = [  # (name, waiting, processes)
    ("one row per transaction", 0, 1),
    ("64 waiting", 64, 1),
    ("4 processes, 16 waiting each", 16, 4),
    ("4 processes, 64 waiting each", 64, 4),
    ("4 processes, one row per transaction", 0, 4),
]


def measure(args, folder, waiting, processes, what="event"):
    """One run of store_bench: what it printed."""
    command = [os.path.join(args.build, "tests", "bench", "store_bench"), "--dir", folder, "--waiting", str(waiting),
               "--processes", str(processes), "--seconds", str(args.seconds), "--what", what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 10 * args.seconds, check=False)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
        raise SystemExit(2)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder (PATCHBAY_BENCH=ON)")
    parser.add_argument("--dir", help="on the disk to be measured (default: the build folder)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md alone")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    runs = {name: [] for name, _, _ in CASES}
    jobs = []
    with tempfile.TemporaryDirectory(prefix="store-", dir=args.dir or args.build) as folder:
        for _ in range(args.rounds):
            for name, waiting, processes in CASES:
                runs[name].append(measure(args, folder, waiting, processes))
            jobs.append(measure(args, folder, 64, 2, "run")["rows_s"])

    def middle(name, field):
        return statistics.median(run[field] for run in runs[name])

    rows = [(name, f"{middle(name, 'rows_s'):,.0f}", f"{middle(name, 'rows_per_commit'):.1f}",
             f"{middle(name, 'p50_us') / 1000:.2f}", f"{middle(name, 'p99_us') / 1000:.2f}",
             f"{max(run['longest_us'] for run in runs[name]) / 1000:.1f}", f"{middle(name, 'least_share'):.2f}")
            for name, _, _ in CASES]
    ratio = middle("64 waiting", "rows_s") / middle("one row per transaction", "rows_s")
    longest = max(run["longest_us"] for name, _, processes in CASES if processes == 4 for run in runs[name]) / 1e6
    bars = [("64 waiting against one row per transaction", f"{ratio:.1f} times", f"{RATIO:.0f} times", ratio >= RATIO),
            ("longest wait among four processes", f"{longest:.3f} s", f"under {LONGEST_S} s", longest < LONGEST_S)]
    text = ("A row is an event with a random key, on disk when it counts. A wait is from when a row is handed over until it "
            "is\nacknowledged; the share is that of the process that got least, 1 being an equal one.\n\n" +
            results.table(("writers", "rows/s", "rows per commit", "p50 ms", "p99 ms", "longest ms", "least share"), rows) +
            f"\n\nJobs that end at once, claimed and ended by two processes, 64 at a time each: "
            f"{statistics.median(jobs):,.0f} a second.\n\n" + results.table(("bar", "measured", "wanted", "met"),
                                   [(*bar[:3], "yes" if bar[3] else "NO") for bar in bars]))
    print(f"\nStore\n\n{text}\n")
    if not args.no_record:
        results.record("Store: durable rows", text)
    return 0 if all(bar[3] for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
