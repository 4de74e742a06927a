#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Batches of Snowflake's: rows and requests per second against a Node server, Flask, nginx with lua-cjson, nginx with a
fixed reply and a bare C server; a thousand connections, overload, and two minutes through to a scoring endpoint.

One core for the server, one for the client; every server is asked over the same connections with the same bytes in one run,
rounds are interleaved, a figure is the median of its rounds. Every reply is compared with the server's first one, which is
judged here. Exit code 1 when a bar is missed.
"""
import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

import results
from servers import HERE, Server

SECRET = "x-patchbay-secret: bench"
SHAPES = {"10000 rows": 10000, "100 rows": 100, "1 row": 1}
CONFIG = """
[listen "http"]
address = 127.0.0.1:0
[connector "snowflake"]
plugin = snowflake
secret = bench
%s
[connector "echo"]
plugin = echo
isolation = none
[function "same"]
connector = echo
operation = echo
params    = v:json
returns   = json
"""
SCORING = """
[connector "aws"]
plugin       = sagemaker
region       = eu-west-1
endpoint_url = http://%s/runtime
[function "score"]
connector = aws
operation = invoke
endpoint  = churn-v1
params    = age:num, income:num, plan:num, months:num
answer    = num
returns   = num
"""
ENDPOINT = """
[listen "http"]
address = 127.0.0.1:0
[connector "runtime"]
plugin = local_endpoint
isolation = none
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def body_of(rows, columns=1):
    """A number, or the columns of a customer; texts as long as names are."""
    rng = random.Random(7)
    if columns == 1:
        data = [[i, rng.choice((rng.randrange(10 ** 9), round(rng.random() * 1e4, 3), "customer %d" % rng.randrange(10 ** 6)))]
                for i in range(rows)]
    else:
        data = [[i, rng.randrange(18, 90), rng.randrange(15000, 90000), rng.randrange(1, 10), rng.randrange(0, 120)]
                for i in range(rows)]
    return data, ('{"data":[' + ",".join(json.dumps(r, separators=(",", ":")) for r in data) + "]}").encode()


class Bench:
    def __init__(self, args):
        self.args, self.folder = args, tempfile.mkdtemp(prefix="bench-snowflake-")
        os.chmod(self.folder, 0o700)
        self.servers, self.failed, self.lines = {}, [], []

    def path(self, name, content=None):
        path = os.path.join(self.folder, name)
        if content is not None:
            with open(path, "wb") as f:
                f.write(content if isinstance(content, bytes) else content.encode())
            os.chmod(path, 0o600)
        return path

    def gateway(self, name, text, core="0"):
        config = self.path(name + ".ini", text + "[plugins]\ndir = %s\n" % os.path.join(self.args.build, "plugins"))
        keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "bench-secret"}
        server = Server(name, [os.path.join(self.args.build, "patchbay"), "run", "--config", config, "--state",
                               self.path(name + ".state"), "--workers", "0"], {}, core, keys)
        server.http = server.listening["http"]
        return server

    def rival(self, name, command):
        server = Server(name, command, {}, 0)
        server.http = server.listening["http"]
        return server

    def nginx(self):
        port = free_port()
        with open(os.path.join(HERE, "rivals", "snow_nginx.conf"), encoding="utf-8") as f:
            text = f.read()
        cjson = subprocess.run("dpkg -L lua-cjson | grep -m1 'lua/5.1/cjson.so$'", shell=True, capture_output=True, text=True,
                               check=True).stdout.strip()
        for key, value in (("MODULES", "/usr/lib/nginx/modules"), ("FOLDER", self.folder), ("PORT", str(port)),
                           ("CJSON", os.path.dirname(cjson))):
            text = text.replace("@%s@" % key, value)
        config = self.path("nginx.conf", text)
        return self.wrapped("nginx", port, "/usr/sbin/nginx -c %s -p %s" % (config, self.folder))

    def wrapped(self, name, port, command):
        """A server that does not print where it is."""
        script = self.path(name + ".sh", "%s &\npid=$!\ntrap 'kill $pid; wait; exit' TERM\n"
                           "until (exec 3<>/dev/tcp/127.0.0.1/%d) 2> /dev/null; do sleep 0.05; done\n"
                           "echo ready http=127.0.0.1:%d\nwait\n" % (command, port, port))
        return self.rival(name, ["bash", script])

    def flask(self):
        port = free_port()
        return self.wrapped("flask", port, "/usr/bin/gunicorn --chdir %s -w 1 -k gthread --threads 64 --keep-alive 600 "
                            "--log-level error -b 127.0.0.1:%d snow_flask:app" % (os.path.join(HERE, "rivals"), port))

    def load(self, server, path, body, connections, seconds, *more, core="1"):
        command = ["taskset", "-c", core, os.path.join(self.args.build, "tests/bench/http_load"), "--connect", server.http,
                   "--path", path, "--body", body, "--connections", str(connections), "--seconds", str(seconds),
                   "--header", SECRET, "--pid", str(server.pid), *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise SystemExit("%s %s: %s" % (server.name, path, done.stderr))
        return json.loads(done.stdout)

    def say(self, *words):
        print(*words, flush=True)

    def bar(self, what, value, least):
        good = value >= least
        self.say("%-64s %6.2f  (at least %.1f) %s" % (what, value, least, "" if good else "MISSED"))
        self.lines.append((what, "%.2f" % value, "%.1f" % least, "yes" if good else "**no**"))
        if not good:
            self.failed.append(what)

    # ---------------------------------------------------------------------------------------------- rates

    def rates(self):
        ours = self.gateway("patchbay", CONFIG % "")
        nginx = self.nginx()
        rivals = {"patchbay": (ours, "/snowflake/same"),
                  "bare": (self.rival("bare", [os.path.join(self.args.build, "tests/bench/rival_snow_bare")]), "/"),
                  "node": (self.rival("node", ["node", os.path.join(HERE, "rivals/snow_node.js")]), "/"),
                  "flask": (self.flask(), "/fn"),
                  "nginx_lua": (nginx, "/lua"), "nginx_static": (nginx, "/static")}
        head, table, medians = ["rows per second"] + list(SHAPES), [], {}
        try:
            for shape, n in SHAPES.items():
                data, body = body_of(n)
                file = self.path("batch", body)
                rates = {name: [] for name in rivals}
                for round_ in range(self.args.rounds):
                    for name, (server, path) in rivals.items():
                        reply = self.path("reply")
                        got = self.load(server, path, file, 64, self.args.seconds, "--save", reply)
                        if got["errors"]:
                            raise SystemExit("%s, %s: %d errors" % (name, shape, got["errors"]))
                        if name != "nginx_static" and not round_:
                            self.judge(name, reply, data)
                        rates[name].append(got["requests"] / got["seconds"] * n)
                medians[shape] = {name: statistics.median(v) for name, v in rates.items()}
                for name, v in medians[shape].items():
                    self.say("%-12s %-14s %14.0f rows/s" % (shape, name, v))
        finally:
            for server in {id(s): s for s, _ in rivals.values()}.values():
                server.stop()
        for name in rivals:
            table.append([name] + ["%.0f" % medians[s][name] for s in SHAPES])
        for shape in ("10000 rows", "100 rows"):
            m = medians[shape]
            self.bar("%s: patchbay / node" % shape, m["patchbay"] / m["node"], 3)
            self.bar("%s: patchbay / bare" % shape, m["patchbay"] / m["bare"], 0.5)
        m = medians["1 row"]
        self.bar("1 row: patchbay / node", m["patchbay"] / m["node"], 2)
        self.bar("1 row: patchbay / nginx with lua-cjson", m["patchbay"] / m["nginx_lua"], 1)
        return results.table(head, table)

    def judge(self, name, path, data):
        with open(path, "rb") as f:
            got = json.loads(f.read())["data"]
        if [[a, b] for a, b in got] != data:
            raise SystemExit(name + " answers something else than it was sent")

    # ------------------------------------------------------------------------------------------ connections

    def crowd(self):
        data, body = body_of(100)
        file = self.path("batch", body)
        server = self.gateway("crowd", CONFIG % "in_flight = 2000\n")
        try:
            got = self.load(server, "/snowflake/same", file, 1000, self.args.seconds)
        finally:
            server.stop()
        self.say("1,000 connections: %d requests, %d errors, p50 %.1f ms, p99 %.1f ms" % (
            got["requests"], got["errors"], got["p50_ms"], got["p99_ms"]))
        self.bar("1,000 connections: replies without an error, of all", 1 - got["errors"] / max(1, got["requests"]), 1)
        server = self.gateway("overload", CONFIG % "in_flight = 4\n" + SCORING % self.endpoint_address("200ms"))
        _, body = body_of(1, 4)
        file = self.path("batch", body)
        try:
            got = self.load(server, "/snowflake/score", file, 64, self.args.seconds, "--allow", "429")
            first = got["peak_kib"]
            got = self.load(server, "/snowflake/score", file, 64, self.args.seconds, "--allow", "429")
        finally:
            server.stop()
        self.say("overload: %d done, %d answered 429 in p99 %.2f ms; peak %d, then %d KiB" % (
            got["requests"], got["others"], got["others_p99_ms"], first, got["peak_kib"]))
        self.bar("overload: 50 ms / p99 of a 429", 50 / max(0.001, got["others_p99_ms"]), 1)
        return "1,000 connections: p50 %.1f ms, p99 %.1f ms. Overload: 429 in p99 %.2f ms, %d of %d." % (
            got["p50_ms"], got["p99_ms"], got["others_p99_ms"], got["others"], got["others"] + got["requests"])

    def endpoint_address(self, latency):
        if "endpoint" in self.servers:
            self.servers.pop("endpoint").stop()
        self.servers["endpoint"] = self.gateway("endpoint", ENDPOINT + "latency = %s\n" % latency, core="1")
        return self.servers["endpoint"].http

    # ------------------------------------------------------------------------------------------------- soak

    def soak(self):
        _, body = body_of(4096, 4)
        file = self.path("batch", body)
        server = self.gateway("soak", CONFIG % "" + SCORING % self.endpoint_address("5ms"))
        try:
            self.load(server, "/snowflake/score", file, 64, min(10, self.args.soak), "--save", self.path("first"))
            with open(self.path("first"), "rb") as f:
                rows = json.loads(f.read())["data"]
            if [r[0] for r in rows] != list(range(4096)) or any(len(r) != 2 for r in rows):
                raise SystemExit("the soak's rows are not those that were sent")
            half, rest = (self.load(server, "/snowflake/score", file, 64, self.args.soak / 2) for _ in range(2))
        finally:
            server.stop()
        seconds, requests, errors = (half[k] + rest[k] for k in ("seconds", "requests", "errors"))
        self.say("soak: %.0f rows/s for %.0f s, %d errors, peak %d KiB half-way, %d KiB at the end" % (
            requests * 4096 / seconds, seconds, errors, half["peak_kib"], rest["peak_kib"]))
        self.bar("soak: replies that were the first one again, of all", 1 - errors / max(1, requests), 1)
        self.bar("soak: peak memory half-way / at the end", half["peak_kib"] / rest["peak_kib"], 0.95)
        return "Soak of %.0f s, 4,096 rows on 64 connections to a scoring endpoint: %.0f rows/s, peak %d MiB." % (
            seconds, requests * 4096 / seconds, rest["peak_kib"] >> 10)

    def close(self):
        for server in self.servers.values():
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--parts", default="rates,crowd,soak")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=float, default=120, help="seconds")
    parser.add_argument("--no-record", action="store_true")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    bench, said = Bench(args), []
    try:
        for part in args.parts.split(","):
            said.append(getattr(bench, part)())
    finally:
        bench.close()
    bars = results.table(["Bar", "measured", "at least", "reached"], bench.lines)
    if not args.no_record:
        results.record("Snowflake", "\n\n".join([*said, bars]))
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
