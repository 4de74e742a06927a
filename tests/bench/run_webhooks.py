#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Webhooks of Qlik Cloud: how fast they are taken, on disk and signed, while the tenant does not answer; all at once; and events
that start two reloads, from end to end, against the task chaining function's way in plain Node.

Server on one core, client and tenant on the other; the store's own rate, by which the intake is judged, on the server's
core as well. Rounds are interleaved; a figure is the median of its rounds. Exit code 1
when a bar is missed, 2 when something could not be measured.
"""
import argparse
import hashlib
import hmac
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import results
import run_store
import servers

SECRET = "0123456789abcdef0123456789abcdef"
P99_MS, STORE_SHARE, AT_ONCE_S, CHAIN_RATIO = 50, 0.6, 3.0, 2.0


def request(address, path, body, signed):
    head = "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nUser-Agent: Qlik Webhook\r\n" % (path, address)
    if signed:
        head += "Qlik-Signature: %s\r\n" % hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    text = (head + "Content-Length: %d\r\n\r\n" % len(body)).encode() + body
    return struct.pack("<I", len(text)) + text


def event(i, app, tag):
    """A com.qlik.v1.reload.finished as Qlik's documentation shows it."""
    return json.dumps({
        "id": "%s-%d" % (tag, i), "host": "acme.eu.qlikcloud.com", "time": "2026-11-29T01:00:00Z",
        "type": "com.qlik.v1.reload.finished", "source": "com.qlik/reloads", "ownerid": "5be59decca62aa00097268a4",
        "originip": "192.168.1.1", "specversion": "1.0", "datacontenttype": "application/json", "reason": "User initiated reload",
        "userid": "5be59decca62aa00097268a4", "spaceid": "64db65d5970c28d340790f5c", "authtype": "token", "clientid": "id123",
        "tenantid": "UkeLb6ICti8OA8f3LueRI5kVNtuHc15f", "sessionid": "b1fb457e-fca4-3c7d-8436-14380a990aef",
        "toplevelresourceid": app,
        "data": {"id": "reload-%s-%d" % (tag, i), "appId": app, "userId": "5be59decca62aa00097268a4", "status": "SUCCEEDED",
                 "succeeded": True}}, separators=(",", ":")).encode()


def cpu_s(pid):
    """Processor time of a process so far."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stalled(threading.Thread):
    """A tenant that takes connections and says nothing."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        self.kept = []
        self.start()

    def run(self):
        while True:
            self.kept.append(self.socket.accept())


class Bench:
    def __init__(self, args):
        self.args, self.folder = args, tempfile.mkdtemp(prefix="webhooks-", dir=args.build)
        os.chmod(self.folder, 0o700)
        self.load_program = os.path.join(args.build, "tests", "bench", "hook_load")

    def gateway(self, tenant, apps=0):
        """A fresh one, in one foreground process, with a chain of two reloads for each of so many apps."""
        folder = tempfile.mkdtemp(dir=self.folder)
        os.makedirs(os.path.join(folder, "scripts", "chains"))
        with open(os.path.join(folder, "patchbay.ini"), "w", encoding="utf-8") as f:
            f.write('[listen "http"]\naddress = 127.0.0.1:0\n[limits]\nconnections = 20000\npeer_connections = 0\n[jobs]\nconcurrency = 256\n[connector "prod"]\nplugin = qlik_saas\n'
                    "tenant_url = %s\napi_key = bench\nwebhook_secret = %s\nreload_poll = 1h\nlimit_starts = 1000000\n"
                    "limit_reads = 1000000\n" % (tenant, SECRET))
        lua = []
        for i in range(apps):
            for kind in "hab":
                lua.append('app "%s%d" { connector = "prod", id = "id-%s%d" }' % (kind, i, kind, i))
            lua.append('chain "c%d" { on("h%d").ok { "a%d", "b%d" } }' % (i, i, i, i))
        if lua:
            with open(os.path.join(folder, "scripts", "chains", "bench.lua"), "w", encoding="utf-8") as f:
                f.write("\n".join(lua))
        for root, _, names in os.walk(folder):
            os.chmod(root, 0o700)
            for name in names:
                os.chmod(os.path.join(root, name), 0o600)
        return servers.start_gateway(os.path.join(folder, "patchbay.ini"), self.args.build, 0)

    def load(self, server, requests, connections):
        address = server.listening["http"]
        path = os.path.join(self.folder, "requests")
        with open(path, "wb") as f:
            f.write(b"".join(requests))
        p = subprocess.run(["taskset", "-c", "1", self.load_program, address, path, str(connections)], capture_output=True,
                           text=True, timeout=300, check=False)
        if p.returncode:
            print("%d requests over %d connections\n%s%s%s" % (len(requests), connections, p.stdout, p.stderr, server.tail()), file=sys.stderr)
            raise SystemExit(2)
        return json.loads(p.stdout)

    def intake(self, connections):
        stalled = Stalled()
        g = self.gateway(stalled.url)
        try:
            address = g.listening["http"]
            self.load(g, [request(address, "/prod/hook", event(i, "app-%d" % i, "warm"), True) for i in range(500)], 16)
            n = self.args.webhooks
            return self.load(g, [request(address, "/prod/hook", event(i, "app-%d" % (i % 100), "x"), True)
                                       for i in range(n)], connections)
        finally:
            g.stop()

    def count(self, tenant):
        with urllib.request.urlopen("http://%s/_count" % tenant, timeout=30) as r:
            return json.load(r)

    def chain(self, who, tenant):
        """Events that start two reloads each: events per second until the tenant has started the last."""
        n = self.args.events
        urllib.request.urlopen(urllib.request.Request("http://%s/_reset" % tenant, b"", method="POST"), timeout=30).close()
        if who == "node":
            path = os.path.join(self.folder, "apps.json")
            apps = []
            for i in range(n):
                apps += [{"name": "h%d" % i, "appId": "id-h%d" % i, "chain": ["a%d" % i, "b%d" % i], "condition": "ok"},
                         {"name": "a%d" % i, "appId": "id-a%d" % i}, {"name": "b%d" % i, "appId": "id-b%d" % i}]
            with open(path, "w", encoding="utf-8") as f:
                json.dump(apps, f)
            s = servers.Server("task_chain", ["node", os.path.join(servers.HERE, "rivals", "task_chain.js"), path, tenant], {}, 0)
            make = [request(s.listening["http"], "/", b'{"data":{"id":"id-h%d","status":"ok"}}' % i, False) for i in range(n)]
        else:
            s = self.gateway("http://" + tenant, n)
            make = [request(s.listening["http"], "/prod/hook", event(i, "id-h%d" % i, "c"), True) for i in range(n)]
        try:
            used = cpu_s(s.pid)
            taken = self.load(s, make, 64)
            end = time.monotonic() + 120
            while self.count(tenant)["count"] < 2 * n:
                if time.monotonic() > end:
                    print("%s started %s of %d reloads\n%s" % (who, self.count(tenant), 2 * n, s.tail()), file=sys.stderr)
                    raise SystemExit(2)
                time.sleep(0.01)
            time.sleep(0.2)  # none too many
            seen = self.count(tenant)
            if seen["count"] != 2 * n:
                print("%s started %d reloads, not %d" % (who, seen["count"], 2 * n), file=sys.stderr)
                raise SystemExit(2)
            return {"events_s": n / max(seen["last"] / 1000 - taken["began"], 1e-3), "taken_s": n / taken["seconds"],
                    "cpu_us": (cpu_s(s.pid) - used) / n * 1e6}
        finally:
            s.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder (PATCHBAY_BENCH=ON)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--webhooks", type=int, default=10000)
    parser.add_argument("--events", type=int, default=1000, help="that start two reloads")
    parser.add_argument("--seconds", type=float, default=2.0, help="of the store's own rate")
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md alone")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    b, kept, once, store, both, ours, node = Bench(args), [], [], [], [], [], []
    tenant = servers.Server("tenant", ["node", os.path.join(servers.HERE, "rivals", "reload_tenant.js")], {}, 1)
    try:
        b.chain("node", tenant.listening["http"])  # the tenant is as warm for the first as for the last
        for _ in range(args.rounds):
            with tempfile.TemporaryDirectory(dir=args.build) as folder:
                free = os.sched_getaffinity(0)
                os.sched_setaffinity(0, {0})  # on the one core that the gateway gets
                store.append(run_store.measure(args, folder, 64, 1)["rows_s"])
                os.sched_setaffinity(0, free)
                both.append(run_store.measure(args, folder, 64, 1)["rows_s"])
            kept.append(b.intake(64))
            once.append(b.intake(0))
            ours.append(b.chain("patchbay", tenant.listening["http"]))
            node.append(b.chain("node", tenant.listening["http"]))
    finally:
        tenant.stop()
        subprocess.run(["rm", "-rf", b.folder], check=False)

    def mid(runs, field):
        return statistics.median(r[field] for r in runs)
    rate = statistics.median(r["requests"] / r["seconds"] for r in kept)
    share, ratio = rate / statistics.median(store), mid(ours, "events_s") / mid(node, "events_s")
    p99, longest = mid(kept, "p99_us") / 1000, max(r["seconds"] for r in once)
    rows = [("webhooks a second, 64 connections, signed and on disk, the tenant stalled", f"{rate:,.0f}"),
            ("... p50 and p99", f"{mid(kept, 'p50_us') / 1000:.2f} and {p99:.2f} ms"),
            ("the store's own rate on that core, 64 waiting", f"{statistics.median(store):,.0f}"),
            ("... with the whole machine to itself", f"{statistics.median(both):,.0f}"),
            (f"{args.webhooks:,} connections at once: the last is answered after", f"{longest:.2f} s"),
            ("events a second that start two reloads, Patchbay", f"{mid(ours, 'events_s'):,.0f}"),
            ("... taken a second meanwhile", f"{mid(ours, 'taken_s'):,.0f}"),
            ("... the function's way in Node, which keeps nothing", f"{mid(node, 'events_s'):,.0f}"),
            ("processor time of an event, Patchbay and Node", f"{mid(ours, 'cpu_us'):,.0f} and {mid(node, 'cpu_us'):,.0f} us")]
    bars = [("p99 of a webhook", f"{p99:.2f} ms", f"under {P99_MS} ms", p99 < P99_MS),
            ("share of the store's own rate", f"{share:.2f}", f"{STORE_SHARE}", share >= STORE_SHARE),
            ("all at once", f"{longest:.2f} s", f"within {AT_ONCE_S} s", longest <= AT_ONCE_S),
            ("events that start two reloads, against Node", f"{ratio:.2f} times", f"{CHAIN_RATIO} times", ratio >= CHAIN_RATIO)]
    text = (results.table(("what", "measured"), rows) + "\n\n" +
            results.table(("bar", "measured", "wanted", "met"), [(*x[:3], "yes" if x[3] else "NO") for x in bars]))
    print(f"\nWebhooks\n\n{text}\n")
    if not args.no_record:
        results.record("Webhooks of Qlik Cloud", text)
    return 0 if all(x[3] for x in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
