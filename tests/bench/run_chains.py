#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Chains: how long 5,000 apps with 20,000 links take to load, and an event to be evaluated. Medians of rounds. Exit code 1
when a bar is missed, 2 when something could not be measured."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import results

LOAD_MS, EVALUATE_MS = 1000.0, 1.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder (PATCHBAY_BENCH=ON)")
    parser.add_argument("--dir", help="on the disk to be measured (default: the build folder)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md alone")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    rounds = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory(prefix="chains-", dir=args.dir or args.build) as folder:
            done = subprocess.run([os.path.join(args.build, "tests", "bench", "chain_bench"), "--dir", folder,
                                   "--events", str(args.events)], capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            print(done.stderr.strip(), file=sys.stderr)
            return 2
        rounds.append(json.loads(done.stdout))
    middle = {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}
    bars = [("load", f"{middle['load_ms']:.0f} ms", f"under {LOAD_MS:.0f} ms", middle["load_ms"] < LOAD_MS),
            ("evaluate an event", f"{middle['evaluate_ms']:.3f} ms", f"under {EVALUATE_MS:.0f} ms",
             middle["evaluate_ms"] < EVALUATE_MS)]
    text = (f"{middle['apps']:,.0f} apps, {middle['links']:,.0f} links. An event is the reload of an app that four links "
            "listen to, one of them\nwith a condition in Lua; three fire. Evaluated is: correlated, asked, decided, and decisions, "
            "run, steps and jobs written,\n64 events in a transaction; of it the conditions take "
            f"{middle['ask_ms'] * 1000:.0f} µs.\n\n" +
            results.table(("bar", "measured", "wanted", "met"), [(*b[:3], "yes" if b[3] else "NO") for b in bars]))
    print(f"\nChains\n\n{text}\n")
    if not args.no_record:
        results.record("Chains: load and evaluate", text)
    return 0 if all(b[3] for b in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
