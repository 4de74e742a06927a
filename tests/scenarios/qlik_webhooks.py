#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Qlik Cloud's webhooks: which are taken, that they are on disk when they are answered, and what is sent to a tenant."""
import http.client
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time

from lib.gateway import TESTS, Folder, new_key
from lib.gateway import Gateway as Plain
from lib.story import SOAK, contains, equal, eventually, lacks, main, skip, story, together, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
import qlik_events as q  # noqa: E402
from qlik_tenant import CLIENT, KEY, SECRET, Tenant  # noqa: E402
from stand_in import Service  # noqa: E402

HMAC, OLD_HMAC = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
APP, OTHER = "b4a3cf85-5dd8-42f7-a864-3b2460215f8b", "5f74af07-ea2f-4398-b15f-23b12abf8fef"
HTTP = '[listen "http"]\naddress = 127.0.0.1:0\n'


def connector(tenant, *more, name="prod", auth="api_key = " + KEY):
    """A [connector] whose webhooks are signed with HMAC."""
    url = tenant if isinstance(tenant, str) else tenant.url
    return '[connector "%s"]\nplugin = qlik_saas\ntenant_url = %s\n%s\nwebhook_secret = %s\n%s\n' % (
        name, url, auth, HMAC, "\n".join(more))


def config(*more):
    return HTTP + connector("https://acme.eu.qlikcloud.com", *more)


class Gateway(Plain):
    """Connections of hooks are closed before it drains, which would wait for them."""

    def stop(self, *args, **more):
        for c in self.__dict__.pop("hooks", []):
            c.close()
        super().stop(*args, **more)


class Hook:
    """Posts to a gateway over one kept-alive connection."""

    def __init__(self, g, path="/prod/hook"):
        self.c, self.path = http.client.HTTPConnection("127.0.0.1", g.port("http"), timeout=30), path
        g.__dict__.setdefault("hooks", []).append(self.c)

    def post(self, body, signature=..., method="POST", **headers):
        body = body if isinstance(body, bytes) else q.encode(body)
        headers = {"Content-Type": "application/json", "User-Agent": "Qlik Webhook",
                   **{k.replace("_", "-"): v for k, v in headers.items()}}
        if signature is ...:
            signature = q.signature(HMAC, body)
        if signature is not None:
            headers["Qlik-Signature"] = signature
        self.c.request(method, self.path, body, headers)
        r = self.c.getresponse()
        text = r.read().decode()
        self.headers = {k.lower(): v for k, v in r.getheaders()}
        try:
            return r.status, json.loads(text)
        except ValueError:
            return r.status, text


def events(g):
    """What is in the store, oldest first: (type, subject, data)."""
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True)
    try:
        rows = db.execute("select type, subject, data from event order by seq").fetchall()
    finally:
        db.close()
    return [(t, s, json.loads(d)) for t, s, d in rows]


@story
def genuine_or_not():
    body = (b'{"id":"evt-1","type":"com.qlik.v1.reload.finished","specversion":"1.0","source":"com.qlik/reloads",'
            b'"tenantid":"t1","data":{"id":"r1","appId":"b4a3cf85-5dd8-42f7-a864-3b2460215f8b","userId":"u1",'
            b'"status":"SUCCEEDED","succeeded":true}}')
    # Computed elsewhere: openssl dgst -sha256 -hmac.
    good = "0d21a940d8ff8bd79d0e011ae892fdb23468f483a77b642d16c79170b2cdff48"
    equal((len(body), q.signature(HMAC, body)), (233, good))
    with Gateway(config("webhook_secret_previous = " + OLD_HMAC)) as g:
        h = Hook(g)
        equal(h.post(body, None), (400, {"result": "refused", "reason": "there is no Qlik-Signature"}))
        for wrong in ["", "0" * 64, good[:-1], good + "0", good[:-1] + "x", "sha256=" + good,
                      q.signature("0" * 32, body), q.signature(HMAC, body.upper())]:
            status = h.post(body, wrong)[0]
            true(status in (400, 401), wrong, status)
        for i in range(0, len(body), 29):
            damaged = body[:i] + bytes([body[i] ^ 1]) + body[i + 1:]
            equal(h.post(damaged, good)[0], 401)
        equal(events(g), [])
        equal(h.post(body, good), (200, {"result": "stored"}))
        equal(h.post(body, good.upper()), (200, {"result": "known"}))
        again = q.reload_finished(APP, "r2")
        equal(h.post(again, q.signature(OLD_HMAC, q.encode(again))), (200, {"result": "stored"}))
        equal([e[2]["reload_id"] for e in events(g)], ["r1", "r2"])
        lacks(g.log(), HMAC, OLD_HMAC)
        contains(g.log(), "a webhook was refused", "Qlik-Signature is not the body's")


@story
def raw_bytes_are_what_is_signed():
    with Gateway(config()) as g:
        h = Hook(g)
        event = q.reload_finished(APP, "r1", data={"errorMessage": "é"})
        for i, text in enumerate([json.dumps(event), json.dumps(event, ensure_ascii=False),
                                  json.dumps(dict(reversed(list(event.items())))), json.dumps(event, indent=4) + "\n"]):
            equal(h.post(text.encode()), (200, {"result": "known" if i else "stored"}))


@story
def api_key_alone_or_with_a_signature():
    key = "webhook_api_key = opensesame"
    with Gateway(config(key)) as g:
        h = Hook(g)
        equal(h.post(q.reload_finished(APP, "r1"))[0], 401)
        equal(h.post(q.reload_finished(APP, "r1"), x_api_key="opensesam")[0], 401)
        equal(h.post(q.reload_finished(APP, "r1"), None, x_api_key="opensesame")[0], 400)
        equal(h.post(q.reload_finished(APP, "r1"), X_Api_Key="opensesame")[0], 200)
    with Gateway(config(key).replace("webhook_secret = " + HMAC, "webhook_api_key_header = x-hook")) as g:
        h = Hook(g)
        equal(h.post(q.reload_finished(APP, "r1"), None)[0], 401)
        equal(h.post(q.reload_finished(APP, "r1"), None, X_Hook="opensesame")[0], 200)
        lacks(g.log(), "opensesame")


@story
def configurations_that_are_refused():
    for change, said in [
            (("webhook_secret = " + HMAC, ""), "anybody could send events: set webhook_secret"),
            ((HMAC, "short"), "webhook_secret has 5 characters; Qlik takes 32 to 64"),
            (("api_key = " + KEY, ""), "neither api_key nor client_id"),
            (("api_key = " + KEY, "api_key = x\nclient_id = y\nclient_secret = z"), "one of the two"),
            (("api_key = " + KEY, "client_id = y"), "go together"),
            (("https://acme.eu.qlikcloud.com", "acme.eu.qlikcloud.com/console"), "tenant_url is the name of a host"),
            (("https://acme.eu.qlikcloud.com", "acme.eu.qlikcloud.com@evil.example"), "tenant_url is the name of a host")]:
        text = config()
        true(change[0] in text, change)
        with Folder(text.replace(*change)) as f:
            p = f.check(code=1)
            contains(p.err, "patchbay.ini:", said)
            lacks(p.err, KEY)


@story
def envelopes_give_the_same_event():
    with Gateway(config()) as g:
        h = Hook(g)
        for form in q.ENVELOPES:
            for make, kind in [(q.reload_finished, "final"), (q.app_reload_finished, "attempt")]:
                status = {"final": "FAILED", "attempt": "error"}[kind]
                e = make(APP, "%s-%s" % (form, kind), status, form, space="space-1", when="2026-11-29T01:00:00Z",
                         event_id="%s-%s-id" % (form, kind))
                equal(h.post(e), (200, {"result": "stored"}))
        got = events(g)
        equal(len(got), 6)
        for kind in ("final", "attempt"):
            mine = []
            for t, subject, data in got:
                if data["id"].endswith(kind + "-id"):
                    equal((t, subject, data["status"]), ("reload", APP, "error"))
                    mine.append({k: v for k, v in data.items() if k not in ("id", "reload_id", "raw")})
            equal(len(mine), 3)
            true(mine[0] == mine[1] == mine[2], mine)


@story
def both_events_of_a_reload_are_one():
    with Gateway(config()) as g:
        h = Hook(g)
        equal(h.post(q.app_reload_finished(APP, "r1", "ok"))[1], {"result": "stored"})
        equal(h.post(q.reload_finished(APP, "r1", "SUCCEEDED"))[1], {"result": "known"})
        equal(h.post(q.reload_finished(APP, "r1", "SUCCEEDED", with_status=False))[1], {"result": "known"})
        # An attempt that failed and a reload that went well in the end are two things.
        equal(h.post(q.app_reload_finished(APP, "r2", "error"))[1], {"result": "stored"})
        equal(h.post(q.reload_finished(APP, "r2", "SUCCEEDED"))[1], {"result": "stored"})
        equal(h.post(q.reload_finished(APP, "r3", "CANCELED"))[1], {"result": "stored"})
        equal([e[2]["status"] for e in events(g)], ["ok", "error", "ok", "canceled"])
        # Known after a restart too: by the reload, and by the event's own id.
        g.restart()
        h = Hook(g)
        equal(h.post(q.reload_finished(APP, "r1", "SUCCEEDED"))[1], {"result": "known"})
        e = q.reload_finished(APP, "r4", event_id="same")
        equal([h.post(e)[1]["result"], h.post(dict(e, data=dict(e["data"], id="r5")))[1]["result"]],
              ["stored", "known"])


@story
def what_is_not_for_us_is_ignored():
    admin = '[listen "admin"]\naddress = 127.0.0.1:0\n'
    with Gateway(admin + config("tenant_id = " + q.TENANT)) as g:
        h = Hook(g)
        for e in [q.envelope("com.qlik.v1.user.created", "cloudevents", {"id": "u"}, ""),
                  q.envelope("com.qlik.app.deleted", "hybrid", {"id": APP}, APP),
                  q.app_reload_finished(APP, "r1", data={"isSessionApp": True}),
                  q.app_reload_finished(APP, "r1", data={"usage": "DATA_PREPARATION"})]:
            status, said = h.post(e)
            equal((status, said["result"]), (200, "ignored"))
            true(said["reason"])
        equal(h.post(q.reload_finished(APP, "r1", tenant="another"))[0], 403)
        equal(events(g), [])
        equal(h.post(q.reload_finished("an-app-in-no-chain", "r9"))[1], {"result": "stored"})
        c = http.client.HTTPConnection(g.address("admin"), timeout=30)
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
        c.close()
        for result, n in (("stored", 1), ("ignored", 4), ("foreign", 1), ("refused", 0)):
            contains(text, 'patchbay_qlik_saas_webhooks_total{connector="prod",result="%s"} %d\n' % (result, n))
    more = "events = com.qlik.v1.app.data.updated, com.qlik.v1.reload.finished\nsession_apps = yes\nmax_age = 1h"
    with Gateway(config(more)) as g:
        h = Hook(g)
        equal(h.post(q.envelope("com.qlik.app.data.updated", "cloudevents", {"id": APP}, APP))[1], {"result": "stored"})
        equal(h.post(q.app_reload_finished(APP, "r1"))[1]["result"], "ignored")
        equal(h.post(q.reload_finished(APP, "r1", when="2020-01-01T00:00:00Z"))[1],
              {"result": "ignored", "reason": "it is older than max_age"})
        equal([e[:2] for e in events(g)], [("app_data_updated", APP)])


@story
def bodies_of_2020():
    body = {"eventType": "com.qlik.app.reload.ended", "eventTime": q.stamp(), "data": {"id": APP, "status": "ok"}}
    with Gateway(config()) as g:
        equal(Hook(g).post(body)[0], 400)
    with Gateway(config("paper_bodies = yes")) as g:
        h = Hook(g)
        equal(h.post(body)[1], {"result": "stored"})
        equal(h.post({"data": {"id": OTHER, "status": "error"}})[1], {"result": "stored"})
        equal([(s, d["status"]) for _, s, d in events(g)], [(APP, "ok"), (OTHER, "error")])


@story
def bad_bodies():
    with Gateway(config()) as g:
        h = Hook(g)
        good = q.encode(q.reload_finished(APP, "r1"))
        for body in [b"", b"not json", good[:-1], good + b"x", b"[]", b"null", b'{"type":"x","type":"x"}',
                     b'{"type":"com.qlik.v1.reload.finished","data":' + b"[" * 5000 + b"]" * 5000 + b"}",
                     good.replace(b"r1", b"r\\u00001"), good.replace(b"r1", b"r\x001"), good.replace(b"r1", b"\xff"),
                     good.replace(APP.encode(), b"a" * 5000)]:
            status, said = h.post(body)
            equal((status, said["result"]), (400, "refused"), body[:60])
        status, _ = Hook(g).post(b'{"a":"' + b"x" * (1 << 20) + b'"}')
        equal(status, 413)
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            h = Hook(g)
            equal(h.post(b"" if method in ("GET", "HEAD") else good, method=method)[0], 405, method)
            equal(h.headers["allow"], "POST")
        equal(Hook(g, "/prod/hook/").post(good)[0], 404)
        equal(events(g), [])
        equal(Hook(g).post(good)[1], {"result": "stored"})


@story
def cloudevents_from_npm():
    peers = os.path.join(TESTS, "peers")
    if not os.path.isdir(os.path.join(peers, "node_modules", "cloudevents")):
        skip("cloudevents is not installed: .ci/deps test")
    with Gateway(config("tenant_id = " + q.TENANT)) as g:
        url = "http://127.0.0.1:%d/prod/hook" % g.port("http")
        p = subprocess.run(["node", os.path.join(peers, "cloudevents_hook.mjs"), url, HMAC, "200", "8"],
                           capture_output=True, text=True, timeout=120)
        equal(p.returncode, 0, p.stderr)
        equal(json.loads(p.stdout), {"status": {"200": 200}, "results": {"stored": 200}})
        got = events(g)
        equal(len(got), 200)
        equal({e[2]["raw"]["errorMessage"] for e in got}, {"é 售 \u2028"})


@story
def durable_when_answered():
    """kill -9 between any two answers: what was answered is there."""
    with Gateway(config()) as g:
        answered = []

        def post(k):
            h = Hook(g)
            for i in range(40):
                try:
                    if h.post(q.reload_finished(APP, "r-%d-%d" % (k, i)))[0] == 200:
                        answered.append("r-%d-%d" % (k, i))
                except (OSError, http.client.HTTPException):
                    return
        with together(8) as run:
            for k in range(8):
                run(post, k)
            eventually(lambda: len(answered) >= 60, "some answers")
            g.process.kill()
        g.process.wait()
        got = {e[2]["reload_id"] for e in events(g)}
        true(set(answered) <= got, sorted(set(answered) - got)[:5])
        g.process.stdout.close()
        g.start()
        equal(Hook(g).post(q.reload_finished(APP, answered[0]))[1], {"result": "known"})


@story
def intake_does_not_wait_for_the_tenant():
    with Tenant(apps={APP: "Extract"}) as t, Gateway(HTTP + connector(t, "poll.reloads = 200ms")) as g:
        t.fault("GET", "stall", times=1000)
        eventually(lambda: t.stalled, "the tenant is asked and does not answer")
        h, slowest = Hook(g), 0
        for i in range(50):
            began = time.monotonic()
            equal(h.post(q.reload_finished(APP, "r%d" % i))[0], 200)
            slowest = max(slowest, time.monotonic() - began)
        t.release()
        print("the slowest of 50 while the tenant stalls: %.1f ms" % (slowest * 1000))


def reloads(g):
    return [e for e in events(g) if e[0] == "reload"]


@story
def lost_deliveries_are_found():
    url = "https://gw.example.com/prod/hook"
    with Tenant(apps={APP: "Extract", OTHER: "Report"}, both=False) as t:
        with Gateway(HTTP + connector(t, "poll.reloads = 300ms", "poll.deliveries = 300ms", "webhook_url = " + url, "script_logs = 1k")) as g:
            t.hosts["https://gw.example.com"] = "http://127.0.0.1:%d" % g.port("http")
            t.hook(url, HMAC)
            time.sleep(0.5)  # the first polls: nothing from before counts
            t.run_by_hand(APP)
            eventually(lambda: len(reloads(g)) == 1, "a delivery")
            t.deliver = False  # the network is down
            t.outcome[OTHER] = "FAILED"
            t.run_by_hand(OTHER)
            eventually(lambda: len(reloads(g)) == 2, "it was found by asking")
            eventually(lambda: [s for k, s, _ in events(g) if k == "script_log"] == [OTHER], "and so was its log")
            t.deliver = True
            # The delivery comes after all; and polls look back: nothing is stored twice.
            d = [d for ds in t.deliveries.values() for d in ds if d["status"] == "fail"][0]
            w = next(iter(t.webhooks.values()))
            equal(json.loads(t.send(w, d["request"]["body"].encode(), d["eventType"])["response"]["body"]),
                  {"result": "known"})
            time.sleep(1)
            got = reloads(g)
            equal([(s, d["status"]) for _, s, d in got], [(APP, "ok"), (OTHER, "error")])
            # Whichever poll saw it first: the list of reloads knows the code, the failed delivery does not.
            true(got[1][2].get("error_code") in (None, "EngineConnectionError"), got[1])


class Ops(Service):
    def answer(self, handler, entry):
        handler.reply(200, b"{}", "application/json")


@story
def without_an_administrators_key():
    """Reloads are listed for the apps of chains, one after the other; those of other apps are not ours to see."""
    lua = 'app "extract" { id = "%s" }\napp "report" { id = "%s" }\nchain "c" { on("extract").ok { notify "ops" }, on("report").ok { notify "ops" } }' % (APP, OTHER)
    with Tenant(apps={APP: "Extract", OTHER: "Report", "third": "Third"}, both=False, admin=False) as t, Ops() as ops:
        more = '[notify "ops"]\nurl = %s/x\n' % ops.url
        with Gateway(HTTP + connector(t, "poll.reloads = 200ms") + more, {"scripts/chains/c.lua": lua}) as g:
            g.await_log("reloads are listed app by app")
            t.outcome[OTHER] = "FAILED"
            for app in ("third", OTHER, APP):
                t.run_by_hand(app)
            eventually(lambda: {s for k, s, _ in events(g) if k == "reload"} == {APP, OTHER}, "both are found")
            time.sleep(0.5)
            equal(sorted((s, d["status"], d.get("error_code")) for k, s, d in events(g) if k == "reload"),
                  sorted([(APP, "ok", None), (OTHER, "error", "EngineConnectionError")]), "once each")


@story
def script_logs_of_failed_reloads():
    with Tenant(apps={APP: "Extract"}, both=False) as t:
        with Gateway(HTTP + connector(t, "script_logs = 40", "poll.reloads = no")) as g:
            t.hook("http://127.0.0.1:%d/prod/hook" % g.port("http"), HMAC)
            t.logs[APP] = "x" * 100 + "\nError: field é not found\n"
            t.outcome[APP] = ["FAILED", "SUCCEEDED"]
            t.fault("GET /api/v1/apps", 503)  # not there yet
            t.run_by_hand(APP)
            log = eventually(lambda: [e for e in events(g) if e[0] == "script_log"], "the log")[0]
            equal((log[1], log[2]["status"], log[2]["cut"]), (APP, "error", True))
            true(log[2]["log"].endswith("\nError: field é not found\n") and len(log[2]["log"].encode()) == 40, log)
            t.run_by_hand(APP)
            eventually(lambda: len(events(g)) == 3, "one that went well has none")


@story
def an_alert_has_the_script_log():
    lua = 'app "extract" { id = "%s" }\nchain "c" { on("extract").error { notify { "ops", text = "Extract failed" } } }' % APP
    with Tenant(apps={APP: "Extract"}, both=False) as t, Ops() as ops:
        more = "".join('[notify "%s"]\nurl = %s/%s\nformat = %s\nlog_lines = 2\n' % (f if f != "json" else "ops", ops.url, f, f)
                       for f in ("json", "slack", "teams"))
        lua = lua.replace('text = "Extract failed" } }', 'text = "Extract failed" }, notify { "slack", text = "<b>" }, notify "teams" }')
        with Gateway(HTTP + connector(t, "script_logs = 4k", "poll.reloads = no") + more, {"scripts/chains/c.lua": lua}) as g:
            t.hook("http://127.0.0.1:%d/prod/hook" % g.port("http"), HMAC)
            t.logs[APP] = "first line\nLOAD a < b\nError: field is not found\n"
            t.outcome[APP] = ["FAILED"]
            t.run_by_hand(APP)
            eventually(lambda: len(ops.entries) == 3, "the alerts")
            said = {e.path: json.loads(e.body) for e in ops.entries}
            equal((said["/json"]["text"], said["/json"]["log"]), ("Extract failed", "LOAD a < b\nError: field is not found"))
            equal(said["/slack"]["text"], "&lt;b&gt;\n```\nLOAD a &lt; b\nError: field is not found\n```")
            blocks = said["/teams"]["attachments"][0]["content"]["body"]
            equal((len(blocks), blocks[1]["text"]), (2, "LOAD a < b\nError: field is not found"))


@story
def the_page_about_moving_over():
    """Its third and fourth part: the configuration, the commands for the webhook, the picture by curl."""
    with open(os.path.join(TESTS, "..", "docs", "moving-from-task-chaining.md"), encoding="utf-8") as f:
        page = f.read()
    key, section = new_key("chart")
    ini = next(i for i in re.findall(r"```ini\n(.*?)```", page, re.S) if "webhook_url" in i)
    lua = 'app "a" { id = "%s" }\napp "b" { id = "%s" }\nchain "c" { on("a").ok { "b" } }' % (APP, OTHER)
    with Tenant(apps={APP: "Extract", OTHER: "Report"}, both=False) as t:
        for old, new in (("127.0.0.1:8080", "127.0.0.1:0"), ("acme.eu.qlikcloud.com", t.url), ("a-key-of-qlik-cloud", KEY)):
            contains(ini, old)
            ini = ini.replace(old, new, 1)
        with Gateway(ini + section, {"scripts/chains/c.lua": lua}) as g:
            t.hosts["https://gateway.example.com"] = "http://127.0.0.1:%d" % g.port("http")
            commands = re.findall(r"^    patchbay (check|qlik_saas .*)$", page, re.M)
            equal(commands, ["check", "qlik_saas webhooks create", "qlik_saas webhooks check"])
            for c in commands:
                g.run(*c.split(), "--config", g.config)
            equal([w["url"] for w in t.webhooks.values()], ["https://gateway.example.com/prod/hook"])
            curl = re.search(r"^    (curl .*)$", page, re.M)[1]
            if not shutil.which("dot"):
                skip("dot of graphviz is not installed")
            subprocess.run(["bash", "-euo", "pipefail", "-c", curl.replace("https://gateway.example.com", "http://127.0.0.1:%d" % g.port("http"))
                            .replace("curl ", "curl -fsS ")], cwd=g.dir, env=dict(os.environ, KEY=key), check=True, timeout=60)
            with open(os.path.join(g.dir, "chains.svg"), encoding="utf-8") as f:
                contains(f.read(), "<svg")


@story
def many_chains_end_at_once_within_the_limits():
    """Every head ends in the same moment: the reloads that follow start within the tenant's limits, each once."""
    n, most = (500, 40) if SOAK else (60, 5)  # more windows than a job has attempts: to be early is none
    apps = {"%s%d" % (k, i): k for i in range(n) for k in ("head", "tail")}
    lua = "".join('app "h%d" { id = "head%d" }\napp "t%d" { id = "tail%d" }\nchain "c%d" { on("h%d").ok { "t%d" } }\n' % ((i,) * 7)
                  for i in range(n))
    # The tenant counts when a request arrives, the gateway when it sends: a little shorter, so that no hiccup counts.
    with Tenant(apps=apps, posts=(most, 0.8), both=False) as t:
        more = ("limit_starts = %d" % most, "limit_window = 1s", "limit_reads = 100000", "poll.reloads = no", "reload_poll = 2s")
        with Gateway(HTTP + "[jobs]\nbackoff = 50ms\n" + connector(t, *more), {"scripts/chains/c.lua": lua}) as g:
            t.hook("http://127.0.0.1:%d/prod/hook" % g.port("http"), HMAC)
            with together(16) as run:
                for k in range(16):
                    h = Hook(g)
                    run(lambda h, k: [equal(h.post(q.reload_finished("head%d" % i, "r-%d" % i))[0], 200) for i in range(k, n, 16)],
                        h, k)
            eventually(lambda: len(t.started()) >= n and t.idle(), "all were started", 120)
            equal(sorted(p["body"]["appId"] for p in t.started()), sorted("tail%d" % i for i in range(n)))
            equal(t.throttled, 0, "the tenant never had to say so")
            db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
            eventually(lambda: db.execute("select count(*) from run where state <> 0").fetchone()[0] == n, "all runs have ended")
            db.close()


@story
def webhooks_by_command():
    url = "https://gw.example.com/prod/hook"
    for prefix in ("/api/core/webhooks", "/api/v1/webhooks"):
        with Tenant(apps={APP: "Extract"}, prefixes=(prefix,)) as t:
            with Gateway(HTTP + connector(t, "webhook_url = " + url, "webhook_api_key = opensesame")) as g:
                t.hosts["https://gw.example.com"] = "http://127.0.0.1:%d" % g.port("http")

                def run(*args, **more):
                    return g.run("qlik_saas", *args, "--config", g.config, timeout=20, **more)
                contains(run("webhooks", "list").out, "0 webhooks at %s%s" % (t.url, prefix))
                contains(run("webhooks", "check", code=1).err, "no webhook of the tenant delivers to")
                contains(run("webhooks", "create").out, "created", url, "as CloudEvents; signed")
                w = next(iter(t.webhooks.values()))
                equal((w["name"], w["enabled"], w["_secret"], w["encryptedHeaders"], w["eventTypes"]),
                      ("Patchbay prod", True, HMAC, {"x-api-key": "opensesame"}, [q.RELOAD]))
                contains(run("webhooks", "create").out, "there is one that delivers there already")
                equal(len(t.webhooks), 1)
                t.run_by_hand(APP)
                eventually(lambda: len(events(g)) == 1, "a delivery")
                contains(run("webhooks", "check").out, "1 good, 0 failed")
                t.deliver = False
                t.run_by_hand(APP)
                eventually(lambda: [d for d in t.deliveries[w["id"]] if d["status"] == "fail"], "a failed delivery")
                t.deliver = True
                contains(run("webhooks", "check").out, "1 good, 1 failed", "connection refused")
                contains(run("webhooks", "resend").out, "1 of 1 deliveries sent again")
                equal(len(events(g)), 2)
                w["enabled"] = False
                w["enableCloudEventDelivery"] = False
                p = run("webhooks", "check", code=1)
                contains(p.out, "wrong: it is switched off", "wrong: it does not deliver CloudEvents")
                contains(p.err, "2 things to put right")
                p = run("webhooks", "create", "--url", "https://192.0.2.1/prod/hook", code=2)
                contains(p.err, "not to an address")
                contains(run("webhooks", "create", "--url", "http://gw.example.com/x", code=2).err, "https:// only")
                equal(run("apps", "find", "--name", "eXTRACT").out, APP + "\n")
                contains(run("apps", "find", "--name", "Extrac", code=1).err, 'no app named "Extrac"; there is "Extract"')
                p = run("webhooks", "list", env={"X": "1"})
                lacks(p.out + p.err, HMAC, "opensesame", KEY)


@story
def a_key_that_is_refused():
    with Tenant(apps={APP: "Extract"}, keys=["another"]) as t, Gateway(HTTP + connector(t)) as g:
        p = g.run("qlik_saas", "webhooks", "list", "--config", g.config, code=1, timeout=20)
        contains(p.err, "Qlik Cloud answers 401 (HTTP-401)")
        lacks(p.err, KEY)


main()
