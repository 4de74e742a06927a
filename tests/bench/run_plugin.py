#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the boundary of a plugin costs: the same function compiled into the program, in a plugin, and in a plugin with
`isolation = process`, side by side and in turns; then calls of 1,000 rows of a gateway, with and without. Medians of rounds.
Exit code 1 when a bar is missed, 2 when something could not be measured."""
import argparse
import json
import os
import statistics
import subprocess
import sys

import results
import servers

# rows of a batch, batches at a time, batches of a round
CASES = ((1, 1, 200000), (1, 64, 200000), (1000, 1, 50000), (1000, 64, 50000))
NAMES = {"inside": "in the program", "plugin": "in a plugin", "process": "in its own process", "socket": "a socket pair alone"}
BOUNDARY_US = 1.0
PROCESS_CPU_US, PROCESS_TRIP, PROCESS_BATCH = 30.0, 1.5, 0.25
GATEWAY = """
[listen "sse"]
address = 127.0.0.1:0
[connector "rows"]
plugin = bench_rows
isolation = %s
[function "sum"]
id = 2
connector = rows
operation = sum
params = a:num, b:num
returns = num
max_rows = 1000
"""


def through_gateways(args):
    """CPU of a call of 1,000 rows, 64 at a time, without and with a process: medians of rounds in turns, µs."""
    folder = os.path.join(args.build, "tests", "bench", "isolation")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    running, cpu = {}, {"none": [], "process": []}
    try:
        for kind in cpu:
            path = os.path.join(folder, kind + ".ini")
            with open(path, "w", encoding="utf-8") as file:
                file.write(GATEWAY % kind)
            os.chmod(path, 0o600)
            running[kind] = servers.start_gateway(path, args.build, 0, kind)
        for _ in range(2 * args.rounds):
            for kind, server in running.items():
                command = ["taskset", "-c", "1", os.path.join(args.build, "tests", "bench", "sse_load"), "calls", "--connect", server.address,
                           "--function", "2:sum:2", "--rows", "1000", "--streams", "64", "--warmup", "0.5", "--seconds", "1",
                           "--windows", "1", "--pid", str(server.pid), "--json"]
                done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
                if done.returncode != 0:
                    print(done.stderr.strip(), file=sys.stderr)
                    return None
                cpu[kind].append(json.loads(done.stdout)["server_cpu_us"])
    finally:
        for server in running.values():
            server.stop()
    return {kind: statistics.median(values) for kind, values in cpu.items()}


def measure(args, rows, flight, calls):
    """{way: medians of a call in microseconds}, wall and CPU."""
    command = [os.path.join(args.build, "tests", "bench", "plugin_bench"), "--plugin",
               os.path.join(args.build, "plugins", "bench_rows.so"), "--rows", str(rows), "--flight", str(flight),
               "--calls", str(calls), "--rounds", str(args.rounds), "--program", os.path.join(args.build, "patchbay")]
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
            if way == "socket":
                if flight == 1 and rows == 1:
                    rows_out.append((f"{NAMES[way]}, a byte there and back", f"{wall:.3f}", f"{cpu:.3f}", ""))
                    trip = middle["process"][0] / wall
                    bars.append(("a call in its own process over the bare way there and back, 1 row, 1 at a time", f"{trip:.2f} times",
                                 f"at most {PROCESS_TRIP}", trip <= PROCESS_TRIP))
                continue
            rows_out.append((f"{NAMES[way]}, {rows:,} row{'s' if rows > 1 else ''}, {flight} at a time", f"{wall:.3f}", f"{cpu:.3f}",
                             f"{more:.3f}" if way != "inside" else ""))
            if way == "plugin":
                bars.append((f"a plugin's call over the program's own, {rows:,} rows, {flight} at a time", f"{more:.3f} µs",
                             f"under {BOUNDARY_US:.0f} µs", more < BOUNDARY_US))
            if way == "process" and (rows, flight) == (1, 64):
                bars.append(("CPU of a call in its own process, both processes, 1 row, 64 at a time", f"{cpu:.2f} µs",
                             f"under {PROCESS_CPU_US:.0f} µs", cpu < PROCESS_CPU_US))
    cpu = through_gateways(args)
    if not cpu:
        return 2
    for kind, name in (("none", "in the worker"), ("process", "in its own process")):
        rows_out.append((f"{name}, a gateway's call of 1,000 rows and 2 columns over SSE, 64 at a time", "", f"{cpu[kind]:.1f}", ""))
    more = cpu["process"] / cpu["none"] - 1
    bars.append(("CPU of a gateway for calls of 1,000 rows, in its own process over in the worker", f"{more:.1%}",
                 f"under {PROCESS_BATCH:.0%}", more < PROCESS_BATCH))
    text = ("A call sums a column of numbers and is answered on a later step of the loop; the answer is looked at. *In its own\n"
            "process* is `isolation = process`; CPU is of both processes, the start of the second one included.\n\n" +
            results.table(("function", "µs a call", "CPU µs a call", "µs over the program's own"), rows_out) + "\n\n" +
            results.table(("bar", "measured", "wanted", "met"), [(*b[:3], "yes" if b[3] else "NO") for b in bars]))
    print(f"\nPlugins\n\n{text}\n")
    if not args.no_record:
        results.record("Plugins: what the boundary costs", text)
    return 0 if all(b[3] for b in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
