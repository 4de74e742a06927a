#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Coalescing: 1,000 callers of one row each, as an ordinary LOAD makes them, and an endpoint that takes 20 ms.

With coalesce_ms off and on, in one run: how many requests the endpoint gets for 1,000 rows, and what callers wait.
Exit code 1 when a bar is missed, 2 when something could not be measured.
"""
import argparse
import os
import re
import statistics
import sys
import tempfile
import urllib.request

import results
import servers
from run_sagemaker import CONNECTOR, FUNCTION, KEYS, Bench

OPTIONS = "operation = invoke\nendpoint = churn-v1\nparams = n:num\nreturns = num\nanswer = num\n"


def start(bench, url, more):
    folder = tempfile.mkdtemp(prefix="bench-share-")
    path = os.path.join(folder, "gateway.ini")
    with open(path, "w", encoding="utf-8") as file:
        file.write('[listen "sse"]\naddress = 127.0.0.1:0\n[listen "admin"]\naddress = 127.0.0.1:0\n[log]\nlevel = warn\n'
                   + CONNECTOR % url + FUNCTION % ("score", 1, OPTIONS + more))
    os.chmod(path, 0o600)
    command = [os.path.join(bench.args.build, "patchbay"), "run", "--config", path, "--state", os.path.join(folder, "state"),
               "--workers", "0"]
    return servers.Server("patchbay", command, {}, bench.args.server_core, KEYS)


def counted(server):
    """Batches sent and rows received, by the gateway's own metrics."""
    with urllib.request.urlopen("http://%s/metrics" % server.listening["admin"]) as reply:
        text = reply.read().decode()
    return [sum(float(v) for v in re.findall(r"^patchbay_%s\{[^}]*\} (\S+)$" % name, text, re.M))
            for name in ("function_batches_total", "function_rows_total")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    parser.add_argument("--no-record", action="store_true")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    bench, got = Bench(args), {"off": [], "on": []}
    endpoint = bench.endpoint("--delay", "20")
    url = "http://" + endpoint.listening["http"]
    running = {"off": start(bench, url, "in_flight = 1000"),
               "on": start(bench, url, "coalesce_ms = 5\nmax_rows = 1000\nin_flight = 16")}
    try:
        for _ in range(args.rounds):
            for name, server in running.items():
                before = counted(server)
                line = bench.load(server, "calls", "--function", "1:numcount", "--streams", "1000", "--connections", "4", "--rows", "1",
                                  "--seconds", str(args.seconds), "--windows", "1")
                after = counted(server)
                if line:
                    got[name].append((line["calls_s"], line["p50_us"] / 1000, line["p99_us"] / 1000,
                                      1000 * (after[0] - before[0]) / max(1, after[1] - before[1])))
    finally:
        for server in [*running.values(), endpoint]:
            server.stop()
    if not got["off"] or not got["on"]:
        return 2
    middle = {name: [statistics.median(column) for column in zip(*lines)] for name, lines in got.items()}
    bench.bar("1,000 callers of one row: times fewer requests", middle["off"][3] / max(0.001, middle["on"][3]), 20)
    bench.bar("their p99: 60 ms, three times the endpoint's, over it", 60 / middle["on"][2], 1)
    rows = [("coalesce_ms = 5" if name == "on" else "off", f"{m[0]:,.0f}", f"{m[1]:.1f}", f"{m[2]:.1f}", f"{m[3]:.1f}")
            for name, m in middle.items()]
    body = results.table(("", "calls/s", "p50 ms", "p99 ms", "requests for 1,000 rows"), rows)
    body += "\n\n" + results.table(("bar", "measured", "wanted", "met"), [(a, b, c, "yes" if d else "NO") for a, b, c, d in bench.bars])
    print(body)
    if not args.no_record:
        results.record("Coalescing: 1,000 callers of one row", body)
    return 0 if all(bar[3] for bar in bench.bars) else 1


if __name__ == "__main__":
    sys.exit(main())
