#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the qlik_saas connector asks a tenant for: reloads once each whatever happens to the answers, within the limits; apps
and spaces by name; tokens; the pictures of chains."""
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time

from lib.gateway import TESTS, WORKERS, Folder, Gateway
from lib.story import contains, equal, eventually, main, skip, story, together, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from qlik_tenant import CLIENT, KEY, SECRET, Tenant  # noqa: E402

A, B = "b4a3cf85-5dd8-42f7-a864-3b2460215f8b", "5f74af07-ea2f-4398-b15f-23b12abf8fef"
FUNCTIONS = """
[function "reload"]
action = prod.reload
params = appId:str
[function "reload_with"]
action = prod.reload
params = appId:str, partial:json, weight:json, variables:json, resourceType:str
[function "reload_pending"]
action = prod.reload
params = appId:str, pending:str
[function "reload_named"]
action = prod.reload
params = name:str, space:str
[function "begin"]
action = prod.reload
params = appId:str, wait:str
[function "cancel"]
action = prod.cancel_reload
params = id:str
[function "find"]
action = prod.find_app
params = name:str, space:str
[function "space"]
action = prod.find_space
params = name:str
[function "log"]
action = prod.script_log
params = appId:str, reloadId:str, tail:str
[function "list"]
action = prod.list_reloads
params = appId:str, status:str
"""


class Site(Gateway):
    def __init__(self, tenant, *more, auth="api_key = " + KEY, files=None):
        with Folder("") as f:
            made = f.run("new-key", "etl")
            self.key, section = made.out.strip(), made.err[made.err.index("["):]
        super().__init__('[listen "http"]\naddress = 127.0.0.1:0\n[jobs]\nbackoff = 20ms\nbackoff_max = 200ms\n'
                         '[connector "prod"]\nplugin = qlik_saas\nwebhooks = no\ntenant_url = %s\n%s\nreload_poll = 100ms\n'
                         'poll.reloads = no\n%s\n%s%s' % (tenant.url, auth, "\n".join(more), FUNCTIONS, section), files)

    def ask(self, method, path, body=None, key=True):
        c = http.client.HTTPConnection(self.address("http"), timeout=60)
        headers = {"content-type": "application/json"}
        if key:
            headers["x-api-key"] = self.key
        c.request(method, path, body, headers)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def call(self, name, *rows):
        """What each row answers; a failure as text."""
        status, text = self.ask("POST", "/functions/" + name, json.dumps({"rows": rows}))
        if status != 200 or "errors" in json.loads(text):
            return text
        return [json.loads(r[0]) for r in json.loads(text)["rows"]]


@story
def bodies_are_the_documented_ones():
    with Tenant(apps={A: "Extract", B: "Report"}) as t, Site(t) as g:
        done, = g.call("reload", [A])
        equal((done["appId"], done["status"]), (A, "SUCCEEDED"))
        g.call("reload_with", [B, True, 5, {"vDay": "2026-01-01", "é": "x\"y"}, "api"])
        equal([p["body"] for p in t.started()],
              [{"appId": A}, {"appId": B, "partial": True, "weight": 5, "variables": {"vDay": "2026-01-01", "é": "x\"y"},
                              "resourceType": "api"}])
        raw = [e for e in t.entries if e.method == "POST"][0]
        equal((raw.body, raw.headers["content-type"]), (b'{"appId":"%s"}' % A.encode(), "application/json"))
        for row, said in [([A, None, 11, None, None], "weight"), ([A, None, None, {str(i): "x" for i in range(21)}, None], "at most 20"),
                          ([A, None, None, {"n": "x" * 257}, None], "256 characters"), ([A, "perhaps", None, None, None], "partial")]:
            contains(g.call("reload_with", row), said)
        contains(g.call("reload_named", [None, "Finance"]), "either appId or name")
        equal(len(t.started()), 2)


@story
def lost_answers_start_nothing_twice():
    apps = {"app-%d" % i: "App %d" % i for i in range(8)}
    with Tenant(apps=apps, duration=0.3) as t, Site(t) as g:
        for i, manner in enumerate(["lose", "reset", 500, 503, "lose", "empty", "dribble"]):
            t.fault("POST /api/v1/reloads", manner)
            if i == 4:
                t.fault("GET /api/v1/reloads", 503, times=2)  # nor can it be asked for at first
            done, = g.call("reload", ["app-%d" % i])
            equal((done["status"], done["appId"]), ("SUCCEEDED", "app-%d" % i), manner)
            equal(len(t.started("app-%d" % i)), 1, manner)
        # Somebody starts the app in the hub at that moment: that is another reload, ours is still to come.
        t.fault("POST /api/v1/reloads", 500)
        t.run_by_hand("app-7")
        eventually(t.idle, "the hub's ended")
        done, = g.call("reload", ["app-7"])
        equal((done["type"], len(t.started("app-7"))), ("external", 1))


@story
def both_meanings_of_429_and_the_quota():
    with Tenant(apps={A: "Extract", B: "Report", "c": "C", "d": "D"}, duration=0.3) as t, Site(t, "quota_wait = 1s") as g:
        t.fault("POST /api/v1/reloads", "throttle")
        began = time.monotonic()
        done, = g.call("reload", [A])
        true(time.monotonic() - began >= 1, "Retry-After was waited for")
        posts = [e for e in t.entries if e.method == "POST"]
        equal([e.status for e in posts], [429, 201])
        # One of B is pending until its third, and then its next, refusal.
        def refused():
            return len([r for r in t.refused if r[4] == "RELOADS-007"])

        def end_at(n):
            eventually(lambda: refused() == n and [e for e in t.entries if "limit=10&appId=" + B in e.path], "it is asked for")
            t.end(B)
        t.duration = 600
        t.run_by_hand(B)
        contains(g.call("reload_pending", [B, "fail"]), "RELOADS-007")
        with together(1) as run:
            run(end_at, 2)
            done, = g.call("reload", [B])  # the end of that one is the answer
        equal((done["status"], done["type"], len(t.started(B))), ("SUCCEEDED", "hub", 0))
        t.entries.clear()
        t.run_by_hand(B)
        with together(1) as run:
            run(end_at, 3)
            equal(g.call("reload_pending", [B, "again"]), [{"again": True}])
        equal((len(t.started(B)), refused()), (0, 3))
        t.duration = 0.3
        t.quota.add("c")
        began = time.monotonic()
        threading.Timer(0.5, t.quota.discard, ["c"]).start()
        g.call("reload", ["c"])
        true(time.monotonic() - began >= 1, "the quota was waited for")
        equal(len(t.started("c")), 1)
        t.forbidden.add("d")
        contains(g.call("reload", ["d"]), "RELOADS-003")
        equal(len([r for r in t.refused if r[4] == "RELOADS-003"]), 1)


@story
def a_burst_stays_within_the_limits():
    apps = {"app-%d" % i: "App %d" % i for i in range(36)}
    with Tenant(apps=apps, posts=(12, 0.9)) as t, Site(t, "limit_starts = 12", "limit_window = 1s") as g:
        done = g.call("reload", *[[a] for a in apps])
        true(isinstance(done, list), done)
        equal({d["status"] for d in done}, {"SUCCEEDED"})
        equal(sorted(p["body"]["appId"] for p in t.started()), sorted(apps))
        equal(t.throttled, 0, "the tenant never had to say so")


@story
def tokens_are_kept_and_renewed():
    apps = {"app-%d" % i: "App %d" % i for i in range(12)}
    auth = "client_id = %s\nclient_secret = %s" % (CLIENT, SECRET)
    with Tenant(apps=apps, keys=[]) as t, Site(t, auth=auth) as g:
        g.call("reload", *[["app-%d" % i] for i in range(4)])
        each = max(1, int(WORKERS))  # a worker keeps what it was given
        equal((1 <= t.tokens_given <= each, len(t.started())), (True, 4))
        entry = t.of("/oauth/token")[0]
        equal(json.loads(entry.body), {"client_id": CLIENT, "client_secret": SECRET, "grant_type": "client_credentials"})
        t.tokens.clear()  # all at once are refused: one new token for all
        g.call("reload", *[["app-%d" % i] for i in range(4, 8)])
        equal((2 <= t.tokens_given <= 2 * each, len(t.started())), (True, 8))
        t.tokens.clear()
        t.token_life = 1  # renewed before it expires
        g.call("reload", ["app-8"])
        time.sleep(1)
        g.call("reload", ["app-9"])
        equal((t.tokens_given >= 4, len(t.started())), (True, 10))
    auth = "client_id = %s\nclient_secret = wrong-secret" % CLIENT
    with Tenant(apps=apps, keys=[]) as t, Site(t, auth=auth) as g:
        contains(g.call("reload", ["app-1"]), "are client_id and client_secret right?")
        true("wrong-secret" not in g.log())


@story
def apps_by_name():
    spaces = {"s1": {"name": "Data prep", "type": "shared"}, "s2": {"name": "Finance", "type": "managed"}}
    apps = {A: {"name": "Försäljning", "spaceId": "s1"}, B: {"name": "Försäljning", "spaceId": "s2"}, "c": "Försäljning 2",
            **{"x%d" % i: "Extra %d" % i for i in range(130)}, "z": "Extra"}
    with Tenant(apps=apps, spaces=spaces) as t, Site(t) as g:
        equal(g.call("find", ["FÖRSÄLJNING", "data PREP"])[0]["appId"], A)
        equal(g.call("find", ["försäljning", "Finance"])[0], {"appId": B, "name": "Försäljning", "spaceId": "s2",
                                                            "itemId": t.apps[B]["item"]})
        contains(g.call("find", ["Försäljning", None]), 'there are 2 apps named', B)
        contains(g.call("find", ["Försäljnin", None]), "there is no app named", "Försäljning 2")
        contains(g.call("find", ["Försäljning", "Nowhere"]), 'there is no space named', "Nowhere")
        equal(g.call("find", ["extra", None])[0]["appId"], "z")  # on the second page
        equal(g.call("space", ["finance"])[0], {"id": "s2", "name": "Finance", "type": "managed"})
        before = len(t.of("/api/v1/items"))
        equal(g.call("reload_named", ["Försäljning", "Finance"])[0]["appId"], B)
        if WORKERS == "0":  # else it may be known to the other worker
            equal(len(t.of("/api/v1/items")), before, "the name was known")


@story
def cancelled_listed_and_logged():
    with Tenant(apps={A: "Extract", B: "Report"}, duration=30) as t, Site(t) as g:
        begun, = g.call("begin", [A, "no"])
        equal(begun["status"], "QUEUED")
        equal(g.call("cancel", [begun["id"]])[0], {"status": "CANCELING"})
        with t.state:
            t.reloads[begun["id"]]["status"] = "CANCELED"
        equal(g.call("cancel", [begun["id"]])[0], {"status": "CANCELED"})  # it was already: 204
        second, = g.call("begin", [B, "no"])
        with t.state:
            t.reloads[second["id"]]["status"] = "SUCCEEDED"
        contains(g.call("cancel", [second["id"]]), "RELOADS-005")
        contains(g.call("cancel", ["nothing"]), "RELOADS-004")
        equal([r["id"] for r in g.call("list", [A, None])[0]["data"]], [begun["id"]])
        equal(g.call("list", [None, "FAILED"])[0]["data"], [])
        t.logs[A] = "x" * 100 + "\nError: field é not found\n"
        equal(g.call("log", [A, begun["id"], "25"])[0], {"log": "Error: field é not found\n"[-25 + 1:], "cut": True})
        equal(g.call("log", [A, begun["id"], "4k"])[0], {"log": t.logs[A], "cut": False})
        contains(g.call("log", [A, "none", "4k"]), "APPS-4")


CHAINS = {"scripts/chains/x.lua": """
app "extract" { connector = "prod", id = "%s" }
app "report \\"x\\" <y>" { connector = "prod", id = "%s" }
app "last" { connector = "prod", id = "l" }
chain "nightly" {
  on("extract").ok { 'report "x" <y>', "last" },
  on('report "x" <y>').ok { "last" },
  on("extract").error { "last" },
}
""" % (A, B)}


@story
def pictures_of_chains():
    with Tenant(apps={A: "Extract", B: "Report", "l": "Last"}) as t, Site(t, files=CHAINS) as g:
        equal(g.ask("GET", "/prod/apps", key=False)[0], 401)

        def get(query="", status=200):
            got, text = g.ask("GET", "/prod/apps" + query)
            equal(got, status, text)
            return text
        apps = json.loads(get())
        equal([a for a in apps if a["name"] == "extract"],
              [{"name": "extract", "appId": A, "chain": ['report "x" <y>', "last"], "condition": "ok"},
               {"name": "extract", "appId": A, "chain": ["last"], "condition": "error"}])
        rows = json.loads(get("?format=rows"))
        equal({tuple(sorted(r)) for r in rows}, {tuple(sorted(
            ["chain", "node_id", "parent_id", "node_name", "connector", "app_id", "condition", "last_status", "last_start",
             "last_end", "last_reload_id"]))})
        org = json.loads(get("?format=orgchart"))
        equal(len({r["node"] for r in org}), len(org), "a node has one place")
        true(all(r["parent"] == "" or r["parent"] in {x["node"] for x in org} for r in org), org)
        equal(len([r for r in org if r["name"] == "last"]), 2)
        contains(get("?format=mermaid&chain=nightly"), "flowchart LR", "nightly")
        graph = json.loads(get("?format=json"))
        equal([len(graph["chains"][0]["nodes"]), len(graph["chains"][0]["edges"])], [3, 4])
        contains(get("?chain=none", 404), "none")
        contains(get("?format=svg", 400), "list, rows, orgchart, dot, mermaid, json")
        dot = get("?format=dot")
        if not shutil.which("dot"):
            skip("graphviz is not installed: .ci/deps test")
        p = subprocess.run(["dot", "-Tplain"], input=dot, capture_output=True, text=True, timeout=60)
        equal((p.returncode, p.stderr), (0, ""), dot)
        equal(len([line for line in p.stdout.splitlines() if line.startswith("edge")]), 4)


main()
