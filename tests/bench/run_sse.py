#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The main job, side by side: Qlik SSE calls through the gateway and through its rivals, in one run.

Every server is pinned to one core and the load client to another. Rounds are interleaved (A B C A B C ...), so that a
slow minute of the machine meets all alike; a figure is the median of its rounds, a ratio that of two medians.
Exit code 1 when a bar is missed, 2 when something could not be measured.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import results
import servers

LABELS = {"patchbay": "Patchbay", "bare": "bare nghttp2 + epoll (the ceiling)", "cpp_callback": "C++ gRPC, callback",
          "cpp_sync": "C++ gRPC, sync", "node": "Node, @grpc/grpc-js", "python": "Python grpcio",
          "python_qrag": "Python grpcio, QRAG's way"}


class Bench:
    def __init__(self, args):
        self.args = args
        self.client = os.path.join(args.build, "tests", "bench", "sse_load")
        self.running = {}
        self.endpoint = None
        self.bars = []  # (text, measured, wanted, met or None)
        self.failed = False

    def start(self):
        known = servers.rivals(self.args.build)
        for name in self.args.servers.split(","):
            try:
                if name == "patchbay":
                    config = self.args.config or self.gateway_config()
                    self.running[name] = servers.start_gateway(config, self.args.build, self.args.server_core)
                else:
                    command, env = known[name]
                    self.running[name] = servers.Server(name, command, servers.RIVAL_FUNCTIONS,
                                                        self.args.server_core, env)
            except (KeyError, OSError, RuntimeError) as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                self.failed = True

    def gateway_config(self):
        """Starts the scoring endpoint, on the client's core, and writes the configuration that calls it."""
        folder = servers.write_config(self.args.build)
        if "memory" in self.args.parts:
            self.endpoint = servers.start_gateway(os.path.join(folder, "endpoint.ini"), self.args.build,
                                                  self.args.client_core, "endpoint")
            folder = servers.write_config(self.args.build, self.endpoint.listening["http"])
        return os.path.join(folder, "gateway.ini")

    def stop(self):
        for server in list(self.running.values()) + ([self.endpoint] if self.endpoint else []):
            server.stop()

    def load(self, name, *options):
        """One run of the client; its JSON lines, or None when it could not be done."""
        server = self.running[name]
        command = ["taskset", "-c", str(self.args.client_core), self.client, "--json", "--label", name, "--connect",
                   server.address, "--pid", str(server.pid)] + list(options)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode != 0 or not lines or any(line["errors"] for line in lines):
            print(f"{name}: {' '.join(options)}: {done.stderr.strip() or 'failed'}", file=sys.stderr)
            if not server.alive():
                print(f"{name} has ended:\n{server.tail()}", file=sys.stderr)
            self.failed = True
            return None
        return lines

    def rounds(self, cases, count):
        """cases: {key: (server, options)}. Runs them in turn `count` times; {key: [first JSON line of each round]}."""
        got = {key: [] for key in cases}
        for number in range(count):
            print(f"  round {number + 1} of {count}", file=sys.stderr)
            for key, (name, options) in cases.items():
                lines = self.load(name, *options)
                if lines:
                    got[key].append(lines[0])
        return {key: lines for key, lines in got.items() if lines}

    def bar(self, text, measured, wanted, most=False, unit=""):
        if "patchbay" not in self.args.servers:
            return
        self.failed = self.failed or measured is None
        met = None if measured is None else (measured <= wanted if most else measured >= wanted)
        self.bars.append((text, "not measured" if measured is None else f"{measured:.2f}{unit}",
                          f"{'at most' if most else 'at least'} {wanted:g}{unit}", met))


def machine_busy():
    """Share of the machine's time that others take, over one second."""
    def read():
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]  # all, idle and waiting
    whole, idle = read()
    time.sleep(1)
    whole_then, idle_then = read()
    return 1 - (idle_then - idle) / max(1, whole_then - whole)


def median(lines, field):
    return statistics.median(line[field] for line in lines)


def spread(lines, field, scale=1.0):
    values = [line[field] / scale for line in lines]
    digits = 0 if min(values) >= 1000 else 1
    return f"{min(values):,.{digits}f} to {max(values):,.{digits}f}"


def ratio(got, field, top, *bottoms):
    """Median of `top` over the best (largest) median of `bottoms`; None when one is missing."""
    best = [median(got[name], field) for name in bottoms if name in got]
    return median(got[top], field) / max(best) if top in got and best else None


def small_calls(bench):
    args, body = bench.args, []
    for streams in args.streams:
        cases = {
            name: (name, ["calls", "--streams", str(streams), "--function", server.functions["echo"], "--warmup",
                          "0.5", "--seconds", str(args.seconds), "--windows", "1"])
            for name, server in bench.running.items()}
        print(f"small calls, {streams} streams", file=sys.stderr)
        got = bench.rounds(cases, args.rounds)
        rows = [(LABELS[name], f"{median(lines, 'calls_s'):,.0f}", spread(lines, "calls_s"),
                 f"{median(lines, 'p50_us'):.0f}", f"{median(lines, 'p99_us'):.0f}",
                 f"{median(lines, 'server_cpu_us'):.1f}", f"{median(lines, 'server_busy'):.2f}",
                 f"{median(lines, 'client_busy'):.2f}") for name, lines in got.items()]
        body.append(f"{streams} streams on one connection, one row a call, {args.rounds} rounds of {args.seconds} s:\n\n"
                    + results.table(("server", "calls/s", "lowest to highest", "p50 us", "p99 us", "CPU us a call",
                                     "server busy", "client busy"), rows))
        if streams == 64:
            bench.bar("calls/s at 64 streams over the faster C++",
                      ratio(got, "calls_s", "patchbay", "cpp_sync", "cpp_callback"), 4, unit="x")
            bench.bar("... over Python, QRAG's way", ratio(got, "calls_s", "patchbay", "python_qrag"), 40, unit="x")
            bench.bar("... over the bare server", ratio(got, "calls_s", "patchbay", "bare"), 0.5, unit="x")
        if streams == 1:
            bench.bar("p50 at one stream over C++ sync", ratio(got, "p50_us", "patchbay", "cpp_sync"), 1.1, most=True,
                      unit="x")
    return "SSE: small calls", "\n\n".join(body)


def bulk(bench):
    args, body = bench.args, []
    for what in ("echo", "suffix"):
        print(f"bulk, {what}", file=sys.stderr)
        cases = {}
        for name, server in bench.running.items():
            rows = args.rows if name in ("patchbay", "bare", "cpp_sync", "cpp_callback") else args.rows / 4
            cases[name] = (name, ["bulk", "--rows", f"{rows:.0f}", "--bundle-rows", str(args.bundle_rows), "--windows",
                                  "1", "--function", server.functions[what]])
        got = bench.rounds(cases, args.rounds)
        table = [(LABELS[name], f"{median(lines, 'rows_s') / 1e6:.2f}", spread(lines, "rows_s", 1e6),
                  f"{median(lines, 'server_ns_row'):.0f}", f"{max(l['peak_kib'] for l in lines) / 1024:.1f}",
                  f"{median(lines, 'client_busy'):.2f}") for name, lines in got.items()]
        text = {"echo": "text returned as it came (Patchbay: a compiled map function)",
                "suffix": "text with \"!\" appended (Patchbay: a Lua transform)"}[what]
        body.append(f"One call of {args.rows:,.0f} rows ({args.rows / 4:,.0f} for Node and Python) in bundles of "
                    f"{args.bundle_rows}, {text}:\n\n" +
                    results.table(("server", "M rows/s", "lowest to highest", "CPU ns a row", "peak MiB",
                                   "client busy"), table))
        if what == "echo":
            bench.bar("bulk, compiled function, over the faster C++",
                      ratio(got, "rows_s", "patchbay", "cpp_sync", "cpp_callback"), 2.5, unit="x")
        else:
            bench.bar("bulk, Lua transform, over the faster Python",
                      ratio(got, "rows_s", "patchbay", "python", "python_qrag"), 15, unit="x")
    return "SSE: bulk", "\n\n".join(body)


def memory(bench):
    """The gateway alone: peak memory of a scoring call, at two sizes."""
    if "patchbay" not in bench.running:
        bench.bar("peak memory of a scoring call", None, 64, most=True, unit=" MiB")
        return None
    rows, peaks = [], []
    for count in (1_000_000, 10_000_000):
        print(f"memory, {count:,} rows to a scoring endpoint", file=sys.stderr)
        lines = bench.load("patchbay", "bulk", "--rows", str(count), "--bundle-rows", str(bench.args.bundle_rows),
                           "--windows", "1", "--function", bench.running["patchbay"].functions["score"])
        if lines:
            peaks.append(lines[0]["peak_kib"] / 1024)
            rows.append((f"{count:,}", f"{lines[0]['rows_s'] / 1e6:.2f}", f"{peaks[-1]:.1f}"))
    bench.bar("peak memory, scoring up to 10,000,000 rows", max(peaks) if len(peaks) == 2 else None, 64, most=True,
              unit=" MiB")
    bench.bar("... of 10,000,000 rows over 1,000,000", peaks[1] / peaks[0] if len(peaks) == 2 else None, 1.1,
              most=True, unit="x")
    return "SSE: memory of a scoring call", results.table(("rows", "M rows/s", "peak MiB"), rows)


def correctness(bench):
    rows = []
    for name, server in bench.running.items():
        print(f"concurrent and cancelled calls, {name}", file=sys.stderr)
        mix = [arg for what in ("echo", "sum", "suffix") for arg in ("--function", server.functions[what])]
        lines = bench.load(name, "calls", "--streams", "200", "--count", str(bench.args.count), "--rows", "50",
                           "--bundles", "3", *mix)
        # Some have ended before they are given up.
        cut = bench.load(name, "cancel", "--streams", "64", "--count", str(bench.args.count * 3 // 2), "--rows", "50",
                         "--function", server.functions["echo"])
        rows.append((LABELS[name], f"{lines[0]['calls']:,}" if lines else "failed",
                     f"{cut[0]['cancelled']:,}" if cut else "failed",
                     f"{(cut[0]['rss_after_kib'] - cut[0]['rss_before_kib']) / 1024:+.1f}" if cut else "",
                     cut[0]["fds_after"] - cut[0]["fds_before"] if cut else "",
                     cut[0]["reconnects"] if cut else ""))
        if name == "patchbay":
            bench.bar("concurrent calls, every row right", float(bool(lines)), 1)
            bench.bar("cancelled calls, then an answer", float(cut[0]["cancelled"]) if cut else 0, bench.args.count)
            bench.bar("... memory kept", (cut[0]["rss_after_kib"] - cut[0]["rss_before_kib"]) / 1024 if cut else None,
                      8, most=True, unit=" MiB")
            bench.bar("... descriptors kept", cut[0]["fds_after"] - cut[0]["fds_before"] if cut else None, 0, most=True)
    return ("SSE: concurrent and cancelled calls",
            "200 calls at a time of three functions on one connection, 50 rows in 3 bundles each, every row checked; then "
            "calls given\nup half-way in four ways.\n\n" +
            results.table(("server", "calls checked", "calls cancelled", "memory MiB", "descriptors", "reconnects"), rows))


def second_client(bench):
    """h2load posts the same fixed body: does our client's figure hold?"""
    rows = []
    body = os.path.join(tempfile.gettempdir(), f"bench-body-{os.getpid()}")
    for name in ("bare", "cpp_callback", "patchbay"):
        if name not in bench.running:
            continue
        server = bench.running[name]
        done = subprocess.run([bench.client, "--body", body, "--function", server.functions["echo"]],
                              capture_output=True, text=True, check=True)
        headers = [arg for line in done.stdout.splitlines() for arg in ("-H", line)]
        ours, theirs = [], []
        for _ in range(bench.args.rounds):
            lines = bench.load(name, "calls", "--function", server.functions["echo"], "--warmup", "0.5", "--seconds",
                               str(bench.args.seconds), "--windows", "1")
            out = subprocess.run(
                ["taskset", "-c", str(bench.args.client_core), "h2load", "-c", "1", "-t", "1", "-m", "64",
                 "--warm-up-time=500ms", "-D", f"{bench.args.seconds:.0f}", "-d", body, "-H",
                 "content-type: application/grpc", "-H", "te: trailers"] + headers +
                [f"http://{server.address}/qlik.sse.Connector/ExecuteFunction"],
                capture_output=True, text=True, check=False).stdout
            found = re.search(r"finished in .*?, ([\d.]+) req/s", out)
            if lines and found:
                ours.append(lines[0]["calls_s"])
                theirs.append(float(found.group(1)))
        if ours:
            rows.append((LABELS[name], f"{statistics.median(ours):,.0f}", f"{statistics.median(theirs):,.0f}",
                         f"{statistics.median(ours) / statistics.median(theirs):.2f}"))
    if os.path.exists(body):
        os.unlink(body)
    return ("SSE: the load client against h2load", "64 streams on one connection, the same request body.\n\n" +
            results.table(("server", "sse_load calls/s", "h2load calls/s", "ratio"), rows))


PARTS = {"calls": small_calls, "bulk": bulk, "memory": memory, "correct": correctness, "h2load": second_client}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder (PATCHBAY_BENCH=ON)")
    parser.add_argument("--servers", default="patchbay,cpp_callback,cpp_sync,node,python,python_qrag,bare")
    parser.add_argument("--parts", default=",".join(PARTS), help="any of: %(default)s")
    parser.add_argument("--config", help="gateway configuration (default: config/gateway.ini, filled in)")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 12, 64, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--bundle-rows", type=int, default=2000)
    parser.add_argument("--count", type=int, default=10000, help="concurrent and cancelled calls")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md alone")
    parser.add_argument("--realtime", action="store_true",
                        help="run servers and client before everything else (SCHED_RR): for a machine that others use")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    busy = machine_busy()
    note = ""
    if args.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))  # all that is started inherits it
        note = "\n\nThe machine was in use by others; servers and client alike ran before them (`--realtime`)."
    elif busy > 0.05:
        note = f"\n\nThe machine was {busy:.0%} busy with something else when this began."
        print(note.strip(), "Trust the CPU time per call more than the rates.", file=sys.stderr)
    bench = Bench(args)
    bench.start()
    try:
        for part in args.parts.split(","):
            got = PARTS[part](bench)
            if not got:
                continue
            print(f"\n{got[0]}\n\n{got[1]}\n", flush=True)
            if not args.no_record:
                results.record(got[0], got[1] + note)
    finally:
        bench.stop()
    if bench.bars:
        text = results.table(("bar", "measured", "wanted", "met"), [
            (text, measured, wanted, {True: "yes", False: "NO", None: "-"}[met])
            for text, measured, wanted, met in bench.bars])
        print(text)
        if not args.no_record:
            results.record("SSE: the bars", text + note)
    if any(met is False for *_, met in bench.bars):
        return 1
    return 2 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
