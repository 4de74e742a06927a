#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Chains from end to end: a stand-in tenant delivers webhooks, links fire, reloads start in it, messages are sent; runs are
looked at, resumed, skipped, canceled; scripts are edited while a run is in flight; everything is killed again and again."""
import http.server
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["PB_TESTS_DIR"], "peers"))
from lib.gateway import WORKERS, Folder, Gateway  # noqa: E402
from lib.story import SOAK, contains, equal, eventually, main, rng, story, true  # noqa: E402
import qlik_events  # noqa: E402
from qlik_tenant import KEY, Tenant  # noqa: E402

HOOK = "0123456789abcdef0123456789abcdef"


class Target(threading.Thread):
    """Where messages go: keeps the bodies; refuses the first `busy` of them."""

    def __init__(self, busy=0):
        super().__init__(daemon=True)
        self.bodies, self.busy = [], busy
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = 200
                if target.busy:
                    target.busy -= 1
                    status = 503
                else:
                    target.bodies.append(body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/" % self.server.server_port
        self.start()

    def run(self):
        self.server.serve_forever()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def config(tenant, target=None, more=""):
    return """
[listen "http"]
address = 127.0.0.1:0
[jobs]
backoff = 20ms
backoff_max = 200ms
lease = 2s
attempts = 1000
[connector "prod"]
plugin = qlik_saas
tenant_url = %s
api_key = %s
webhook_secret = %s
reload_poll = 100ms
limit_starts = 100000
limit_reads = 100000
[chains]
alert = ops
[notify "ops"]
url = %s
format = slack
%s""" % (tenant.url, KEY, HOOK, target.url if target else "http://127.0.0.1:9/", more)


def apps(names):
    return "".join('app "%s" { id = "id-%s" }\n' % (n, n) for n in names)


class Site(Gateway):
    def hooked(self, tenant):
        """Deliveries go where the gateway listens now."""
        tenant.webhooks.clear()
        tenant.hook("http://%s/prod/hook" % self.address("http"), secret=HOOK)
        return self

    def workers(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [int(pid) for pid in f.read().split()]

    def query(self, sql, *args):
        db = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.state, "state.db"), uri=True, timeout=10)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def runs(self, *args, code=0):
        return self.run("runs", *args, "--config", self.config, "--state", self.state, code=code)

    def all_runs(self):
        return json.loads(self.runs("--json", "--limit", "1000").out)["runs"]

    def one(self, run):
        return json.loads(self.runs("show", run, "--json").out)

    def settled(self, n=1):
        """n runs, and none that runs."""
        return eventually(lambda: (lambda r: r if len(r) >= n and all(x["state"] != "running" for x in r) else None)(
            self.all_runs()), "not %d runs that have ended: %s" % (n, self.query("SELECT id, chain, state, open FROM run")), 60)


FINANCE = apps(["extract", "transform", "fx", "report"]) + """
chain "finance" {
  on("extract").ok { "transform", reload { "fx", variables = { vDay = "2026-01-01" }, weight = 5 } },
  on("extract").error { notify "ops" },
  all_of("transform", "fx") { "report" },
  on("report").always { notify { "ops", text = function(ev, run) return "report " .. ev.status .. " & <done>" end } },
}
"""


@story
def a_chain_runs_through():
    target = Target(busy=1)
    with Tenant(apps={"id-" + a: a for a in ("extract", "transform", "fx", "report")}) as tenant:
        with Site(config(tenant, target), {"scripts/chains/finance.lua": FINANCE}) as g:
            g.hooked(tenant)
            contains(g.check().out, "is sound: 1 connector, 0 functions, 1 chain with 4 links")
            tenant.run_by_hand("id-extract")
            run = g.settled()[0]
            equal((run["state"], run["root"], run["chain"]), ("ok", "extract", "finance"))
            shown = g.one(run["id"])
            equal(sorted((s["name"], s["state"]) for s in shown["steps"]),
                  [("fx", "ok"), ("ops", "ok"), ("report", "ok"), ("transform", "ok")])
            # Each once, with what the script says, and both families of events told of each.
            equal(sorted(p["body"]["appId"] for p in tenant.started()), ["id-fx", "id-report", "id-transform"])
            equal(tenant.started("id-fx")[0]["body"], {"appId": "id-fx", "variables": {"vDay": "2026-01-01"}, "weight": 5})
            equal(tenant.started("id-transform")[0]["body"], {"appId": "id-transform"})
            equal(target.bodies, [{"text": "report ok &amp; &lt;done&gt;"}])
            contains(g.runs("show", run["id"]).out, "1 of 2 have ended", "starts transform", "report", "scripts")
            contains(g.runs("--chain", "finance", "--app", "fx", "--since", run["started"]).out, run["id"])
            contains(g.runs("--app", "nix").out, "no runs")
            contains(g.runs("--since", "2099-01-01T00:00:00Z").out, "no runs")
            contains(g.runs("--state-of-run", "failed").out, "no runs")
            # The root fails: only the message.
            tenant.outcome["id-extract"] = "FAILED"
            tenant.run_by_hand("id-extract")
            g.settled(2)
            equal(len(tenant.started()), 3)
            eventually(lambda: len(target.bodies) == 2, "no message: %s" % target.bodies)
            contains(target.bodies[1]["text"], '"extract" ended error')
    target.close()


@story
def without_webhooks_the_polls_tell():
    with Tenant(apps={"id-a": "a", "id-b": "b", "id-c": "c"}) as tenant:
        lua = apps("abc") + 'chain "x" { on("a").ok { "b" }, on("b").ok { "c" } }'
        with Site(config(tenant), {"scripts/chains/x.lua": lua}) as g:
            out = g.runs("start", "x", "a")
            run = json.loads(out.out)["run"]
            done = g.settled()
            equal([(r["id"], r["state"], r["by"][:4]) for r in done], [(run, "ok", "cli:")])
            equal([p["body"]["appId"] for p in tenant.started()], ["id-a", "id-b", "id-c"])


@story
def what_people_do():
    with Tenant(apps={"id-" + a: a for a in "abcd"}) as tenant:
        lua = apps("abcd") + 'chain "x" { on("a").ok { "b", "c" }, all_of("b", "c") { "d" } }'
        with Site(config(tenant), {"scripts/chains/x.lua": lua}) as g:
            g.hooked(tenant)
            tenant.outcome["id-c"] = ["FAILED"]
            tenant.run_by_hand("id-a")
            run = g.settled()[0]
            equal(run["state"], "failed")
            # The first event to arrive may not say why; what asks for the reload does.
            eventually(lambda: "unexpected EOF" in g.runs("show", run["id"]).out, "why it failed")
            equal(tenant.started("id-d"), [])
            equal(json.loads(g.runs("resume", run["id"]).out), {"steps": 1})
            eventually(lambda: g.all_runs()[0]["state"] == "ok", "resumed")
            equal([len(tenant.started("id-" + a)) for a in "bcd"], [1, 2, 1])
            # Skip: what follows starts all the same.
            tenant.outcome["id-b"] = ["FAILED"]
            tenant.run_by_hand("id-a")
            second = g.settled(2)[0]
            g.runs("skip", second["id"], "b")
            eventually(lambda: len(tenant.started("id-d")) == 2, "skipped")
            eventually(lambda: g.all_runs()[0]["state"] == "ok", "ended")
            equal({s["name"]: s["state"] for s in g.one(second["id"])["steps"]}, {"b": "skipped", "c": "ok", "d": "ok"})
            # Replay the first event; cancel what it begins.
            tenant.duration = 1.5
            g.runs("replay", run["event"])
            third = eventually(lambda: next((r for r in g.all_runs() if r["state"] == "running"), None), "replayed")
            eventually(lambda: len(tenant.started("id-b")) >= 3, "started")
            g.runs("cancel", third["id"])
            equal(g.one(third["id"])["state"], "canceled")
            tenant.duration = 0.05
            eventually(tenant.idle, "idle")
            # Paused: held; then once.
            p = g.run("pause", "chain", "x", "--config", g.config, "--state", g.state)
            equal(p.err, "")
            before = len(tenant.started("id-b"))
            for n in (1, 2):
                tenant.run_by_hand("id-a")
                eventually(lambda: len(g.query("SELECT 1 FROM decision WHERE outcome = 4")) == n, "held")
            equal(len(tenant.started("id-b")), before)
            g.run("unpause", "chain", "x", "--held", "once", "--config", g.config, "--state", g.state)
            eventually(lambda: len(tenant.started("id-b")) == before + 1, "released")
            g.settled(4)
            # What cannot be done says why.
            contains(g.runs("cancel", third["id"], code=1).err, "has ended")
            contains(g.runs("resume", second["id"], code=1).err, "no step that failed")
            contains(g.runs("skip", second["id"], "nix", code=1).err, 'no step "nix"')
            contains(g.runs("start", "x", "nix", code=1).err, 'no app "nix"')
            contains(g.runs("start", "y", "a", code=1).err, 'no chain "y"; did you mean "x"')
            contains(g.runs("show", "nix", code=1).err, 'no run "nix"')
            contains(g.runs("dance", code=2).err, 'no "dance"')
            # Why nothing began, and which event that was.
            tenant.outcome["id-a"] = ["FAILED"]
            tenant.run_by_hand("id-a")
            line = eventually(lambda: next((d for d in g.runs("decisions").out.splitlines() if "(a error)" in d), None), "skipped")
            contains(line, "skipped", 'x on("a").ok (a error): it ended error, and this is for ok')
            event = line.split()[2]
            equal(g.runs("decisions", "--event", event).out.splitlines(), [line])
            contains(next(e for e in g.runs("events").out.splitlines() if e.startswith(event)), "prod.reload", "id-a", "error")
            # What was held waits for a word, and a name that nobody knows is told.
            for kind, name in (("chain", "xx"), ("app", "aa")):
                contains(g.run("pause", kind, name, "--config", g.config, "--state", g.state).err, 'knows no %s "%s"' % (kind, name))
                g.run("unpause", kind, name, "--config", g.config, "--state", g.state)
            g.run("pause", "chain", "x", "--config", g.config, "--state", g.state)
            g.runs("replay", run["event"])
            eventually(lambda: g.query("SELECT 1 FROM decision WHERE outcome = 4"), "held")
            contains(g.run("unpause", "chain", "x", "--config", g.config, "--state", g.state).out, "runs release chain x none|once|all")
            equal(g.runs("release", "chain", "x", "none").out, '{"fired":0}\n')
            who = [r[0] for r in g.query("SELECT what FROM audit WHERE object NOT LIKE '% xx' AND object NOT LIKE '% aa' ORDER BY seq")]
            equal(who, ["resume", "skip", "replay", "cancel", "pause", "unpause", "pause", "replay", "unpause"])


@story
def one_that_is_pending_is_enough():
    """RELOADS-007: the tenant has a reload of the app pending; what follows follows from its end, once."""
    with Tenant(apps={"id-" + a: a for a in "abcde"}) as tenant:
        lua = apps("abcde") + 'chain "x" { on("a").ok { "b", "d" }, on("b").ok { "c" }, all_of("c", "d") { "e" } }'
        with Site(config(tenant), {"scripts/chains/x.lua": lua}) as g:
            g.hooked(tenant)
            tenant.duration = 600
            tenant.run_by_hand("id-b")
            tenant.duration = 0.05
            tenant.run_by_hand("id-a")
            eventually(lambda: g.query("SELECT 1 FROM job WHERE handle <> ''"), "it waits for that one")
            tenant.end("id-b")
            # In the run that wanted it: what waits for several counts.
            run = g.settled()[0]
            equal(sorted((s["name"], s["state"]) for s in g.one(run["id"])["steps"]), [("b", "ok"), ("c", "ok"), ("d", "ok"), ("e", "ok")])
            equal(sorted(p["body"]["appId"] for p in tenant.started()), ["id-c", "id-d", "id-e"])
            equal({r["state"] for r in g.all_runs()}, {"ok"})


@story
def or_one_more_follows_it():
    """pending = "again": what was pending may have read what is old now."""
    with Tenant(apps={"id-" + a: a for a in "abc"}) as tenant:
        lua = apps("abc") + 'chain "x" { on("a").ok { reload { "b", pending = "again" } }, on("b").ok { notify "ops" } }'
        target = Target()
        with Site(config(tenant, target), {"scripts/chains/x.lua": lua}) as g:
            g.hooked(tenant)
            tenant.duration = 600
            tenant.run_by_hand("id-b")
            tenant.duration = 0.05
            tenant.run_by_hand("id-a")
            eventually(lambda: g.query("SELECT 1 FROM job WHERE handle LIKE 'after:%'"), "it waits for that one")
            tenant.end("id-b")
            g.settled(2)
            equal([p["body"]["appId"] for p in tenant.started()], ["id-b"])
            contains("".join(g.runs("show", r["id"]).out for r in g.all_runs()), "has ended: once more")
            # Each of the two ended well, and each was told of once.
            eventually(lambda: len(target.bodies) == 2, "both ends")
        target.close()


@story
def a_failure_is_told_when_the_last_attempt_failed():
    """Webhooks of both families, the job's own end and the polls tell of each attempt; the links see the last one."""
    target = Target()
    with Tenant(apps={"id-" + a: a for a in "abcd"}) as tenant:
        lua = apps("acd") + 'app "b" { id = "id-b", retry = { max = 2, backoff = "300ms" } }' \
            'chain "x" { on("a").ok { "b" }, on("b").ok { "c" }, on("b").error { "d", notify { "ops", text = "b failed" } } }'
        with Site(config(tenant, target).replace("limit_starts", "poll.reloads = 300ms\nlimit_starts"), {"scripts/chains/x.lua": lua}) as g:
            g.hooked(tenant)
            tenant.outcome["id-b"] = ["FAILED", "FAILED", "SUCCEEDED", "FAILED", "FAILED", "FAILED"]
            tenant.run_by_hand("id-a")
            equal(g.settled()[0]["state"], "ok")
            time.sleep(1)
            equal([p["body"]["appId"] for p in tenant.started()], ["id-b"] * 3 + ["id-c"])
            equal((target.bodies, len(g.all_runs())), ([], 1))
            tenant.run_by_hand("id-a")
            g.settled(2)
            time.sleep(1)
            equal([p["body"]["appId"] for p in tenant.started()][4:], ["id-b"] * 3 + ["id-d"])
            equal(([b["text"] for b in target.bodies], len(g.all_runs())), (["b failed"], 2))
    target.close()


@story
def what_is_canceled_ends_there_too():
    with Tenant(apps={"id-" + a: a for a in "abc"}) as tenant:
        lua = apps("abc") + 'chain "x" { on("a").ok { "b" }, on("b").always { "c" } }'
        with Site(config(tenant), {"scripts/chains/x.lua": lua}) as g:
            g.hooked(tenant)
            tenant.run_by_hand("id-a")
            tenant.duration = 600
            eventually(lambda: g.query("SELECT 1 FROM job WHERE handle <> ''"), "b is known")
            g.runs("cancel", g.all_runs()[0]["id"])
            eventually(lambda: [r["status"] for r in tenant.reloads.values() if r["appId"] == "id-b"] == ["CANCELING"], "it is told to stop")
            tenant.end("id-b", "CANCELED")
            equal([r["status"] for r in tenant.reloads.values() if r["appId"] == "id-b"], ["CANCELED"])
            time.sleep(0.5)  # its webhook is no reason to go on
            equal([p["body"]["appId"] for p in tenant.started()], ["id-b"])
            equal([r["state"] for r in g.all_runs()], ["canceled"])


def curl(g, path, *args):
    p = subprocess.run(["curl", "-sS", "-i", "--max-time", "60", *args, "http://%s%s" % (g.address("admin"), path)],
                       capture_output=True, text=True)
    equal(p.returncode, 0, p.stderr)
    head, _, body = p.stdout.replace("\r", "").partition("\n\n")
    return int(head.split()[1]), head, body


@story
def pages_and_pictures():
    admin = '[listen "admin"]\naddress = 127.0.0.1:0\n'
    with Tenant(apps={"id-" + a: a for a in ("extract", "transform", "fx", "report")}) as tenant:
        tenant.outcome["id-fx"] = ["FAILED"]
        with Site(config(tenant, None, admin), {"scripts/chains/finance.lua": FINANCE}) as g:
            g.hooked(tenant)
            tenant.run_by_hand("id-extract")
            run = g.settled()[0]
            status, head, body = curl(g, "/chains")
            equal(status, 200)
            contains(head, "default-src 'none'")
            contains(body, "finance", run["id"], "failed", "on(&quot;extract&quot;).ok: transform, fx")
            contains(body, "<b>report</b>", "it ended ok, and this is for error")
            contains(curl(g, "/runs/" + run["id"])[2], "1 of 2 have ended", "starts transform")
            equal(curl(g, "/runs/nix")[0], 404)
            equal(json.loads(curl(g, "/runs")[2])["runs"][0]["id"], run["id"])
            equal(json.loads(curl(g, "/runs/" + run["id"], "-H", "accept: application/json")[2])["state"], "failed")
            nodes = {n["id"]: n["status"] for n in json.loads(curl(g, "/chains/json")[2])["chains"][0]["nodes"]}
            equal((nodes["fx"], nodes["transform"], nodes["report"]), ("error", "ok", ""))
            rows = json.loads(curl(g, "/chains/rows")[2])
            equal([(r["parent_id"], r["node_id"]) for r in rows if r["node_id"] == "report"],
                  [("transform", "report"), ("fx", "report")])
            equal([a["name"] for a in json.loads(curl(g, "/chains/list")[2]) if "chain" in a], ["extract", "transform", "fx"])
            dot = subprocess.run(["dot", "-Tplain"], input=curl(g, "/chains/dot")[2], capture_output=True, text=True)
            equal(dot.returncode, 0, dot.stderr)
            contains(dot.stdout, "node extract", "edge extract transform")
            for name in ("dot", "mermaid", "list"):
                with open(os.path.join(os.environ["PB_TESTS_DIR"], "data", "chains", "pictures", "finance." + name)) as f:
                    equal(curl(g, "/chains/" + name)[2].strip(), f.read().strip())
            # What changes something wants the key.
            with open(os.path.join(g.state, "admin.token")) as f:
                key = ("-H", "authorization: Bearer " + f.read().strip())
            form = ("-d", "do=resume&object=" + run["id"])
            equal(curl(g, "/action", *form)[0], 401)
            equal(json.loads(curl(g, "/action", *key, *form)[2]), {"steps": 1})
            eventually(lambda: g.all_runs()[0]["state"] in ("ok", "failed"), "resumed")
            equal(curl(g, "/action", *key, "-d", "do=resume")[0], 400)
            equal(curl(g, "/action", *key, "-d", "do=start&object=finance&name=nix")[0], 404)
            equal(g.query("SELECT who, what FROM audit"), [("page:admin", "resume")])


@story
def edited_in_flight():
    old = apps("abcd") + 'chain "x" { on("a").ok { "b" }, on("b").ok { "c" } }'
    new = apps("abcd") + 'chain "x" { on("a").ok { "b" }, on("b").ok { "d" } }'
    with Tenant(apps={"id-" + a: a for a in "abcd"}) as tenant:
        with Site(config(tenant), {"scripts/chains/x.lua": old}) as g:
            g.hooked(tenant)
            tenant.duration = 60
            tenant.run_by_hand("id-a")
            tenant.duration = 0.8
            rid = next(iter(tenant.reloads))
            with tenant.state:
                tenant._end(tenant.reloads[rid], "SUCCEEDED")
            eventually(lambda: tenant.started("id-b"), "b started")
            g.write("scripts/chains/x.lua", new)
            g.restart().hooked(tenant)
            g.settled()
            equal([p["body"]["appId"] for p in tenant.started()], ["id-b", "id-c"])  # as it began
            tenant.duration = 0.05
            tenant.run_by_hand("id-a")
            g.settled(2)
            equal([p["body"]["appId"] for p in tenant.started()][2:], ["id-b", "id-d"])
            bundles = {r["bundle"] for r in g.all_runs()}
            equal(len(bundles), 2)


@story
def reloaded_in_flight():
    """SIGHUP's way: a mistake keeps what runs, naming file and line; a good edit is for what begins after it."""
    lua = apps("abcd") + 'chain "x" { on("a").ok { "b" }, on("b").ok { "%s" } }'
    with Tenant(apps={"id-" + a: a for a in "abcd"}) as tenant:
        with Site(config(tenant), {"scripts/chains/x.lua": lua % "c"}, workers=1) as g:
            g.hooked(tenant)
            tenant.duration = 1
            tenant.run_by_hand("id-a")
            eventually(lambda: tenant.started("id-b"), "b started")
            g.write("scripts/chains/x.lua", 'chain "x" {')
            contains(g.run("reload", "--state", g.state, code=1).err, "chains/x.lua:1: unexpected symbol")
            g.write("scripts/chains/x.lua", lua % "d")
            g.run("reload", "--state", g.state)
            tenant.duration = 0.05
            g.settled()
            equal([p["body"]["appId"] for p in tenant.started()], ["id-b", "id-c"])
            tenant.run_by_hand("id-a")
            g.settled(2)
            equal([p["body"]["appId"] for p in tenant.started()][2:], ["id-b", "id-d"])


@story
def mistakes_are_named():
    with Tenant(apps={"id-a": "a"}) as tenant:
        cases = [('app "a" { id = "1" } chain "x" { on("a").ok { "b" } }', ["scripts/: chains/x.lua:1", 'no app "b"']),
                 ('app "a" { id = "1", connector = "prd" }', ['no connector "prd"', 'did you mean "prod"']),
                 ('app "a" { id = "1" } chain "x" { on("a").ok { notify "op" } }', ['no [notify "op"]', 'did you mean "ops"']),
                 ('app "a" { id = "1" } chain "x" { on("a").ok { action "prod.relod" {} } }', ['no action "relod"']),
                 ('app "a" { id = "1" } chain "x" { on("a").ok { action "prod.reload" { appId = "2", wieght = 3 } } }',
                  ["chains/x.lua:1", '"wieght"', 'did you mean "weight"']),
                 ('app "a" { id = "1" } chain "x" { on("prod.relod.done").ok { "a" } }', ['no event "relod.done"']),
                 ('app "a" { id = "1" } chain "x" { on("a").ok { "a" } }', ["closes a cycle", "chains/x.lua:1"])]
        for lua, said in cases:
            with Folder(config(tenant), {"scripts/chains/x.lua": lua}) as g:
                contains(g.check(code=1).err.replace(g.dir + "/scripts", "scripts/"), *said)


@story
def apps_known_by_name():
    """Found once by name; from then on events that tell an id alone are theirs."""
    cache = "1h" if WORKERS == "0" else "0s"  # what is told to one worker is news to that one
    lua = 'app "in" { name = "Sales extract" } app "out" { name = "SALES report", space = "Finance" }\n' \
          'chain "x" { on("in").ok { "out" }, on("out").ok { notify "ops" } }'
    target = Target()
    with Tenant(apps={"id-1": "Sales extract", "id-2": {"name": "Sales report", "spaceId": "s1"}, "id-3": "Sales report"},
                spaces={"s1": {"name": "Finance", "type": "shared"}}) as tenant:
        with Site(config(tenant, target).replace("reload_poll", "name_cache = %s\nreload_poll" % cache), {"scripts/chains/x.lua": lua}) as g:
            g.hooked(tenant)
            eventually(lambda: len(g.query("SELECT 1 FROM kv WHERE space = '@chains'")) == 4, "both found")
            tenant.run_by_hand("id-1")
            g.settled()
            equal([p["body"]["appId"] for p in tenant.started()], ["id-2"])
            eventually(lambda: len(target.bodies) == 1, "told")
            # Another app has the same name, in another space: it is not meant.
            tenant.run_by_hand("id-3")
            eventually(lambda: len(g.query("SELECT 1 FROM event WHERE type = 'reload' AND subject = 'id-3'")) == 1, "it is told of")
            # The app is deleted and made anew: its id is found again, for what follows and for what starts it.
            del tenant.apps["id-2"]
            tenant.add_app("id-9", "Sales report", "s1")
            # That it was deleted is told, and nothing that `events` names; but its name is looked up anew.
            gone = qlik_events.envelope("com.qlik.app.deleted", "cloudevents", {"id": "id-2"}, "id-2")
            w = next(iter(tenant.webhooks.values()))
            contains(tenant.send(w, qlik_events.encode(gone), gone["type"])["response"]["body"], "ignored")
            tenant.run_by_hand("id-1")
            g.settled(2)
            equal([p["body"]["appId"] for p in tenant.started()], ["id-2", "id-9"])
            eventually(lambda: len(target.bodies) == 2, "told")
            tenant.run_by_hand("id-9")
            eventually(lambda: len(target.bodies) == 3, "it is known by its id")
    target.close()


@story
def across_tenants():
    """An app of another connector is reloaded there, with that one's key; a tenant that wants silence holds nobody else."""
    with Tenant(apps={"id-a": "a", "id-c": "c"}) as one, \
            Tenant(apps={"id-a": "b", "id-d": "d"}, keys=["the-other-key"], tenant_id="tenant-2") as two:
        conf = config(one)
        section = conf[conf.index('[connector "prod"]'):conf.index("[chains]")]
        conf += section.replace('"prod"', '"other"').replace(one.url, two.url).replace(KEY, "the-other-key")
        lua = 'app "a" { connector = "prod", id = "id-a" } app "b" { connector = "other", id = "id-a" }\n' \
            'app "c" { connector = "prod", id = "id-c" } app "d" { connector = "other", id = "id-d" }\n' \
            'chain "x" { on("a").ok { "b", "c" }, all_of("b", "c") { "d" } }'
        with Site(conf, {"scripts/chains/x.lua": lua}) as g:
            one.hook("http://%s/prod/hook" % g.address("http"), secret=HOOK)
            two.hook("http://%s/other/hook" % g.address("http"), secret=HOOK)
            one.fault("POST /api/v1/reloads", "throttle", times=3)
            one.run_by_hand("id-a")
            equal(g.settled()[0]["state"], "ok")
            equal([p["body"]["appId"] for p in one.started()], ["id-c"])
            equal([p["body"]["appId"] for p in two.started()], ["id-a", "id-d"])
            # b began while the first tenant still wanted silence: three times a second.
            true(two.started()[0]["time"] < one.started()[0]["time"], one.started(), two.started())


@story
def an_alert_is_told_once():
    target = Target()
    with Tenant(apps={"id-a": "a", "id-b": "b"}) as tenant:
        lua = apps("ab") + 'chain "x" { on("a").when(function(ev) return ev.nothing.here end) { "b" } }'
        with Site(config(tenant, target), {"scripts/chains/x.lua": lua}) as g:
            g.hooked(tenant)
            for n in range(1, 6):
                tenant.run_by_hand("id-a")
                eventually(lambda: len(g.query("SELECT 1 FROM decision WHERE outcome = 5")) == n, "raised")
            eventually(lambda: not g.query("SELECT 1 FROM job WHERE action = 'ops' AND state < 2"), "told")
            true(1 <= len(target.bodies) <= 2, target.bodies)  # two, when a quarter of an hour ended just then
            contains(target.bodies[0]["text"], 'Chain "x", on("a").when', "chains/x.lua:3: attempt to index a nil value", "nothing starts")
            equal((tenant.started(), g.all_runs()), ([], []))
    target.close()


@story
def away_for_a_quarter_of_an_hour():
    """The answer to a POST was lost, the reload has ended and is told of, and then the machine was down: it is the step's all the same."""
    with Tenant(apps={"id-" + a: a for a in "abcd"}) as tenant:
        lua = apps("abcd") + 'chain "x" { on("a").ok { "b", "c" }, all_of("b", "c") { "d" } }'
        with Site(config(tenant), {"scripts/chains/x.lua": lua}) as g:
            g.hooked(tenant)
            tenant.fault("POST /api/v1/reloads", "lose")
            tenant.fault("GET /api/v1/reloads", 503, times=100000)
            tenant.run_by_hand("id-a")
            eventually(lambda: len(g.query("SELECT 1 FROM event WHERE type = 'reload' AND subject IN ('id-b', 'id-c')")) == 2, "both told of")
            g.process.kill()
            g.process.wait()
            g.process.stdout.close()
            db = sqlite3.connect(os.path.join(g.state, "state.db"))
            db.execute("UPDATE event SET stored_ms = stored_ms - 900000")
            db.execute("UPDATE job SET first_ms = first_ms - 900000 WHERE first_ms > 0")
            db.commit()
            db.close()
            g.start()
            g.hooked(tenant)
            time.sleep(3)  # it is asked whose reload that was, more than once
            equal([p["body"]["appId"] for p in tenant.started("id-d")], [])
            tenant.faults.clear()
            equal([(r["state"], r["root"]) for r in g.settled()], [("ok", "a")])
            equal(sorted(p["body"]["appId"] for p in tenant.started()), ["id-b", "id-c", "id-d"])


@story
def many_at_once():
    """Never more than the tenant takes, none starved, each once."""
    n, rate = (500, 100) if SOAK else (60, 30)
    names = ["a%d" % i for i in range(n)] + ["b%d" % i for i in range(n)]
    lua = apps(names) + "".join('chain "c%d" { on("a%d").ok { "b%d" } }\n' % (i, i, i) for i in range(n))
    with Tenant(apps={"id-" + a: a for a in names}, posts=(rate, 1), reads=(10**6, 300)) as tenant:
        # A third less than the tenant takes: requests that left in good order may arrive in a bunch.
        conf = config(tenant).replace("limit_starts = 100000", "limit_starts = %d\nlimit_window = 1s" % (rate * 2 // 3))
        with Site(conf, {"scripts/chains/many.lua": lua}) as g:
            g.hooked(tenant)
            for i in range(n):
                tenant.run_by_hand("id-a%d" % i)
            runs = eventually(lambda: (lambda r: r if len(r) == n and all(x["state"] != "running" for x in r) else None)(
                g.all_runs()), "all of %d" % n, 120)
            equal({r["state"] for r in runs}, {"ok"})
            equal(sorted(p["body"]["appId"] for p in tenant.started()), sorted("id-b%d" % i for i in range(n)))
            equal(tenant.throttled, 0, "requests beyond the tenant's limit")


@story
def one_credential_one_limit():
    """Two connectors with one key start no more reloads together than one may."""
    names = ["a%d" % i for i in range(8)]
    with Tenant(apps={"id-" + a: a for a in names + ["first"]}, posts=(4, 5), reads=(10**6, 300)) as tenant:
        conf = config(tenant).replace("limit_starts = 100000", "limit_starts = 4\nlimit_window = 5s")
        section = conf[conf.index('[connector "prod"]'):conf.index("[chains]")]
        conf += section.replace('"prod"', '"second"').replace("webhook_secret", "webhooks = no\n;")
        lua = "".join('app "%s" { connector = "%s", id = "id-%s" }\n' % (a, ("prod", "second")[i % 2], a) for i, a in enumerate(names))
        lua += 'app "first" { connector = "prod", id = "id-first" }\nchain "both" { on("first").ok { "%s" } }\n' % '", "'.join(names)
        with Site(conf, {"scripts/chains/both.lua": lua}) as g:
            g.hooked(tenant)
            tenant.run_by_hand("id-first")
            eventually(lambda: len(tenant.started()) == 8, "all reloads", 60)
            equal(tenant.throttled, 0, "requests beyond the tenant's limit")


def graph(nodes, random_):
    """A chain of many apps: each follows one or two of the earlier ones; also as {app: [apps it waits for]}."""
    after = {}
    for i in range(1, nodes):
        k = 2 if random_.random() < 0.3 and i > 2 else 1
        after[i] = sorted(random_.sample(range(max(0, i - 8), i), min(k, i)))
    links = "".join('  %s { "n%d" },\n' % ('on("n%d").ok' % a[0] if len(a) == 1 else "all_of(%s)" % ", ".join('"n%d"' % x for x in a), i)
                    for i, a in after.items())
    return apps("n%d" % i for i in range(nodes)) + 'chain "many" { max_depth = 1000,\n' + links + "}\n", after


@story
def killed_again_and_again():
    """The finished graph is the one without kills: each app once, none before what it waits for."""
    r = rng("kills")
    nodes, kills = (int(os.environ.get("NODES", "200")), int(os.environ.get("KILLS", "300"))) if SOAK else (30, 6)
    lua, after = graph(nodes, r)
    faults = ["500", "lose", "throttle", "reset", "stall"] if SOAK else ["500", "lose", "throttle"]
    with Tenant(apps={"id-n%d" % i: "n%d" % i for i in range(nodes)}, posts=(100000, 300), reads=(10**6, 300)) as tenant:
        # A delivery that a kill cut off comes from nobody again: the polls find what it told of.
        conf = config(tenant).replace("limit_starts", "poll.reloads = 1s\nlimit_starts")
        with Site(conf, {"scripts/chains/many.lua": lua}) as g:
            g.hooked(tenant)
            for i in range(nodes // 5):
                tenant.fault("POST /api/v1/reloads", r.choice(faults), after=r.randrange(nodes))
            tenant.run_by_hand("id-n0")
            done = 0
            while done < kills:
                time.sleep(r.uniform(0.02, 0.6))
                tenant.release()
                done += 1
                # With workers: one of them, whom the supervisor replaces, or the supervisor, with whom all end.
                victim = r.choice([g.process.pid, *g.workers()])
                os.kill(victim, signal.SIGKILL)
                if victim != g.process.pid:
                    continue
                g.process.wait()
                g.process.stdout.close()
                g.start()
                g.hooked(tenant)
            end = time.monotonic() + 600
            while not (runs := g.all_runs()) or any(x["state"] == "running" for x in runs):
                tenant.release()
                true(time.monotonic() < end, "not done: %s" % g.query("SELECT name, state, job FROM step WHERE state < 2"))
                time.sleep(0.2)
            equal(len(runs), 1, "runs")
            bad = g.query("SELECT s.name, s.state, s.error, j.state, j.error FROM step s LEFT JOIN job j ON j.id = s.job "
                          "WHERE s.state > 2")
            equal(bad, [], "steps that did not end well")
            started = [p["body"]["appId"] for p in tenant.started()]
            missing = [i for i in after if "id-n%d" % i not in started and
                       all(b == 0 or "id-n%d" % b in started for b in after[i])]
            told = [(i, after[i], g.query("SELECT link, outcome, why, source FROM decision WHERE link LIKE ?",
                                          "%%(%s)%%" % ", ".join('"n%d"' % b for b in after[i]))) for i in missing[:3]]
            equal(missing, [], "not started though what it waits for ended: %s; nodes" % (told,))
            equal(sorted(started), sorted("id-n%d" % i for i in range(1, nodes)), "reloads")
            place = {a: i for i, a in enumerate(started)}
            for i, before in after.items():
                for b in before:
                    true(b == 0 or place["id-n%d" % b] < place["id-n%d" % i], "n%d before n%d" % (i, b))
            equal(runs[0]["state"], "ok")


main()
