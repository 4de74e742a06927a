#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The connector sagemaker, side by side with what a site would use instead.

signed   one row a request, every request signed, one core: requests a second against boto3 and the AWS SDK for JavaScript,
         each with its documented best settings and the better of two concurrencies
ideal    an endpoint that takes 50 ms and has room for 16: the share of what it can give, with one worker and with four
qrag     12 calls at once, the Rapid ML Gateway's way (a request per row, one after the other, its logging) against a request
         per row and against batches

The endpoint (endpoint.c) has the client's core; who is measured has the other. Rounds are interleaved, a figure is the median of its
rounds. Exit code 1 when a bar is missed, 2 when something could not be measured.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

import results
import servers

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(os.path.dirname(HERE), "peers")
CONNECTOR = '[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\nendpoint_url = %s\n'
FUNCTION = '[function "%s"]\nid = %d\nconnector = aws\n%s\n'
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "bench-secret"}


class Bench:
    def __init__(self, args):
        self.args, self.bars, self.failed = args, [], False
        self.bin = os.path.join(args.build, "tests", "bench")

    def endpoint(self, *options):
        return servers.Server("endpoint", [os.path.join(self.bin, "bench_endpoint"), *options], {}, self.args.client_core)

    def gateway(self, url, functions, workers=0):
        folder = os.path.join(self.bin, "sagemaker")
        shutil.rmtree(folder, ignore_errors=True)  # the store remembers ids
        os.makedirs(folder, mode=0o700)
        path = os.path.join(folder, "gateway.ini")
        text = '[listen "sse"]\naddress = 127.0.0.1:0\n[log]\nlevel = warn\n' + CONNECTOR % url
        for i, (name, options) in enumerate(functions.items(), 1):
            text += FUNCTION % (name, i, options)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        command = [os.path.join(self.args.build, "patchbay"), "run", "--config", path, "--state", os.path.join(folder, "state"),
                   "--workers", str(workers)]
        core = self.args.server_core if workers < 2 else "0-%d" % (os.cpu_count() - 1)
        return servers.Server("patchbay", command, {}, core, KEYS)

    def load(self, server, *options):
        """sse_load on the client's core; its first JSON line."""
        done = subprocess.run(["taskset", "-c", str(self.args.client_core), os.path.join(self.bin, "sse_load"), *options, "--json",
                               "--connect", server.address, "--pid", str(server.pid)], capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines or lines[0]["errors"]:
            print(done.stderr.strip() or "failed", server.tail(), file=sys.stderr)
            self.failed = True
            return None
        return lines[0]

    def client(self, command):
        done = subprocess.run(["taskset", "-c", str(self.args.server_core), *command], capture_output=True, text=True, check=False,
                              env=dict(os.environ, AWS_REGION="eu-west-1"))
        if done.returncode:
            print(done.stderr.strip(), file=sys.stderr)
            self.failed = True
            return None
        return json.loads(done.stdout.splitlines()[-1])["seconds"]

    def bar(self, text, measured, wanted, unit="x"):
        self.failed |= measured is None
        self.bars.append((text, "not measured" if measured is None else f"{measured:.2f}{unit}", f"at least {wanted:g}{unit}",
                          measured is not None and measured >= wanted))


def middle(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def over(a, b):
    return a / b if a and b else None


def signed(bench):
    args, rates = bench.args, {}
    with_endpoint = bench.endpoint()
    url = "http://" + with_endpoint.listening["http"]
    gateway = bench.gateway(url, {"one": "operation = invoke\nendpoint = churn-v1\nparams = n:num\nmax_rows = 1\nin_flight = 64\n"
                                         "returns = num\nanswer = num"})
    n = args.requests
    clients = {("boto3", t): ["/usr/bin/python3", os.path.join(HERE, "rivals", "boto_client.py"), url, "churn-v1", str(n), str(t)]
               for t in (1, 4)}
    clients.update({("AWS SDK for JavaScript", t): ["node", os.path.join(PEERS, "aws_js.mjs"), "invoke", url, "churn-v1", str(n), str(t)]
                    for t in (16, 64)})
    try:
        for _ in range(args.rounds):
            line = bench.load(gateway, "bulk", "--rows", str(20 * n), "--bundle-rows", "500", "--windows", "1", "--function",
                              "1:numcount")
            rates.setdefault(("Patchbay", 64), []).append(line["rows_s"] if line else None)
            for key, command in clients.items():
                seconds = bench.client(command)
                rates.setdefault(key, []).append(n / seconds if seconds else None)
    finally:
        gateway.stop()
        with_endpoint.stop()
    rates = {k: middle(v) for k, v in rates.items()}
    best = max((v for (who, _), v in rates.items() if who != "Patchbay" and v), default=None)
    bench.bar("signed requests/s over the better SDK", over(rates[("Patchbay", 64)], best), 8)
    rows = [(who, at_once, f"{v:,.0f}" if v else "failed") for (who, at_once), v in rates.items()]
    return "SageMaker: signed requests", results.table(("client", "at once", "requests/s"), rows)


def ideal(bench):
    args, rows = bench.args, []
    endpoint = bench.endpoint("--delay", "50", "--room", "16")
    best = 16 * 100 / 0.05
    function = ("operation = invoke\nendpoint = churn-v1\nparams = n:num\nmax_rows = 100\nin_flight = 16\nreturns = num\nanswer = num")
    try:
        for workers in (0, 4):
            gateway = bench.gateway("http://" + endpoint.listening["http"], {"f": function}, workers)
            try:
                got = []
                for _ in range(args.rounds):
                    if workers:  # a connection is one worker's
                        line = bench.load(gateway, "calls", "--connections", str(workers), "--streams", "16", "--rows", "2000", "--warmup",
                                          "4", "--seconds", str(max(4.0, args.seconds)), "--windows", "1", "--function", "1:numcount")
                        got.append(line["calls_s"] * 2000 if line else None)
                    else:
                        line = bench.load(gateway, "bulk", "--rows", "200000", "--bundle-rows", "500", "--windows", "1", "--function",
                                          "1:numcount")
                        got.append(line["rows_s"] if line else None)
            finally:
                gateway.stop()
            rate = middle(got)
            rows.append(("four workers" if workers else "one process", f"{rate:,.0f}" if rate else "failed", f"{best:,.0f}",
                         f"{100 * over(rate, best):.1f} %" if rate else ""))
            bench.bar("share of the ideal rate, " + rows[-1][0], over(rate, best), 0.95, "")
    finally:
        endpoint.stop()
    return ("SageMaker: an endpoint of 50 ms with room for 16", "Batches of 100 rows; ideal is 16 batches in 50 ms.\n\n" +
            results.table(("gateway", "rows/s", "ideal", "share"), rows))


def qrag(bench):
    args, got = bench.args, {}
    rest, invoke = bench.endpoint("--json"), bench.endpoint()
    rest_url, url = "http://" + rest.listening["http"] + "/", "http://" + invoke.listening["http"]
    gateway = bench.gateway(url, {
        "rest": "operation = rest_single\nurl = %s\nparams = s:str\nreturns = str" % rest_url,
        "batched": "operation = invoke\nendpoint = churn-v1\nbody = raw\nparams = s:str\nmax_rows = 2000\nin_flight = 16\n"
                   "returns = num\nanswer = num"})
    command, env = servers.rivals(args.build)["python_qrag"]
    rival = servers.Server("qrag", command + ["--url", rest_url], {}, args.server_core, env)
    cases = {"QRAG's way, a request per row": (rival, "0:count", 50), "Patchbay, a request per row (rest_single)": (gateway, "1:count", 500),
             "Patchbay, batches (invoke)": (gateway, "2:count", 20000)}
    try:
        for _ in range(args.rounds):
            for name, (server, function, rows) in cases.items():
                line = bench.load(server, "calls", "--streams", "12", "--rows", str(rows), "--warmup", "0.5", "--seconds",
                                  str(args.seconds), "--windows", "1", "--function", function)
                got.setdefault(name, []).append(line["calls_s"] * rows if line else None)
    finally:
        for server in (gateway, rival, rest, invoke):
            server.stop()
    got = {k: middle(v) for k, v in got.items()}
    base = got["QRAG's way, a request per row"]
    bench.bar("a request per row over QRAG's way", over(got["Patchbay, a request per row (rest_single)"], base), 20)
    bench.bar("batches over QRAG's way", over(got["Patchbay, batches (invoke)"], base), 800)
    return ("SageMaker: rows a second, 12 calls at once", results.table(
        ("server", "rows/s", "times"), [(k, f"{v:,.0f}" if v else "failed", f"{over(v, base):,.0f}" if over(v, base) else "")
                                        for k, v in got.items()]))


PARTS = {"signed": signed, "ideal": ideal, "qrag": qrag}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder (PATCHBAY_BENCH=ON)")
    parser.add_argument("--parts", default=",".join(PARTS), help="any of: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--requests", type=int, default=4000, help="of the SDKs in a round; twenty times as many of the gateway")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md alone")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    bench = Bench(args)
    for part in args.parts.split(","):
        section, text = PARTS[part](bench)
        print(f"\n{section}\n\n{text}\n", flush=True)
        if not args.no_record:
            results.record(section, text)
    text = results.table(("bar", "measured", "wanted", "met"), [(*bar[:3], "yes" if bar[3] else "NO") for bar in bench.bars])
    print(text)
    if not args.no_record:
        results.record("SageMaker: the bars", text)
    return 2 if bench.failed else 0 if all(bar[3] for bar in bench.bars) else 1


if __name__ == "__main__":
    sys.exit(main())
