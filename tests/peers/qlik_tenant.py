#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stand-in for a Qlik Cloud tenant that enforces what the API documents and keeps a ledger of the reloads it was made
to start. What it answers: https://qlik.dev/apis/rest/ (reloads, items, apps, spaces, webhooks), rate limits:
https://qlik.dev/apis/rest/rate-limiting, OAuth: https://qlik.dev/authenticate/oauth/getting-started-oauth-m2m.

    with Tenant(apps={"a-1": "Extract"}) as t:
        t.hook(url, secret=..., form="hybrid")     # a webhook without asking the API
        t.outcome["a-1"] = "FAILED"                # how its reloads end; a list: one after the other
        t.fault("POST /api/v1/reloads", "lose")    # the next such request is done, and its answer lost
        t.started("a-1")                           # the ledger

Faults: 500, 503, 401 (the status), throttle (429 HTTP-429), stall (until t.release() or the other side leaves), lose
(done, then the connection is closed), reset (not done, the connection is reset), empty (done, the answer has no body),
dribble (the answer comes chunked, three bytes at a time).
"""
import argparse
import json
import os
import queue
import re
import secrets
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import qlik_events as events  # noqa: E402
from stand_in import Service  # noqa: E402

KEY, CLIENT, SECRET = "qlik-api-key-for-tests", "client-1", "client-secret-for-tests"
ACTIVE, ENDED = ("QUEUED", "RELOADING", "CANCELING"), ("SUCCEEDED", "FAILED", "CANCELED", "EXCEEDED_LIMIT")
PREFIXES = ("/api/v1/webhooks", "/api/core/webhooks")
EVENT_TYPES = (events.RELOAD, events.APP_RELOAD, "com.qlik.app.created", "com.qlik.app.deleted",
               "com.qlik.v1.user.created")
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Refused(Exception):
    def __init__(self, status, code, title, detail="", headers=None):
        super().__init__(title)
        self.status, self.code, self.title, self.detail, self.headers = status, code, title, detail, headers or {}


class Answer(Exception):
    """What a handler answers when it is not 200 with a body of JSON."""

    def __init__(self, status, body=None, text=None):
        super().__init__(status)
        self.status, self.body, self.text = status, body, text


class Window:
    """At most `most` in `seconds`, for each credential; the documented windows are five minutes long."""

    def __init__(self, most, seconds):
        self.most, self.seconds, self.taken = most, seconds, {}

    def take(self, who):
        now = time.monotonic()
        taken = self.taken.setdefault(who, [])
        while taken and taken[0] <= now - self.seconds:
            taken.pop(0)
        if len(taken) < self.most:
            taken.append(now)
            return 0
        return max(1, int(taken[0] + self.seconds - now + 0.999))


class Tenant(Service):
    def __init__(self, port=0, apps=None, spaces=None, tenant_id=events.TENANT, keys=(KEY,), duration=0.05,
                 posts=(250, 300), reads=(5000, 300), writes=(500, 300), form="cloudevents", both=True, chaos=None,
                 prefixes=PREFIXES, admin=True):
        super().__init__(port)
        self.tenant_id, self.keys, self.duration, self.form, self.both = tenant_id, list(keys), duration, form, both
        self.prefixes, self.admin = prefixes, admin
        self.windows = {"posts": Window(*posts), "reads": Window(*reads), "writes": Window(*writes)}
        self.spaces = dict(spaces or {})     # id -> {"name", "type"}
        self.apps = {}                       # id -> {"name", "spaceId"}
        for app, what in (apps or {}).items():
            self.add_app(app, **({"name": what} if isinstance(what, str) else what))
        self.reloads, self.posts, self.refused = {}, [], []  # by id; the ledger of what was started; of what was not
        self.outcome, self.forbidden, self.quota, self.logs = {}, set(), set(), {}
        self.webhooks, self.deliveries, self.hosts = {}, {}, {}  # hosts: "https://name" -> where that is here
        self.tokens, self.tokens_given = {}, 0
        self.faults, self.gate, self.chaos = [], threading.Event(), chaos
        self.throttled, self.stalled, self.deliver = 0, 0, True
        self.state = threading.RLock()
        self.due, self.ready = queue.PriorityQueue(), threading.Event()
        self.outbox = queue.Queue()
        self.workers = [threading.Thread(target=fn, daemon=True) for fn in [self._clock] + [self._courier] * 4]

    def start(self):
        for w in self.workers:
            w.start()
        return super().start()

    # ------------------------------------------------------------------------------------------ for tests

    def add_app(self, app, name, spaceId=None):
        self.apps[app] = {"name": name, "spaceId": spaceId, "item": secrets.token_hex(12)}

    def hook(self, url, secret=None, form=None, types=(events.RELOAD, events.APP_RELOAD), headers=None, name="hook"):
        w = {"id": str(uuid.uuid4()), "name": name, "url": url, "eventTypes": list(types), "enabled": True,
             "level": "tenant", "headers": dict(headers or {}), "_secret": secret, "_form": form}
        self.webhooks[w["id"]] = w
        self.deliveries[w["id"]] = []
        return w

    def fault(self, what, manner, times=1, after=0):
        """The next `times` requests "METHOD path-prefix" (behind the first `after`) go wrong in this manner."""
        self.faults.append({"what": what, "manner": manner, "times": times, "after": after})

    def release(self):
        self.gate.set()
        self.gate = threading.Event()

    def started(self, app=None):
        """The bodies of the reloads that were started, in order."""
        with self.state:
            return [p for p in self.posts if app is None or p["body"]["appId"] == app]

    def idle(self):
        with self.state:
            return not any(r["status"] in ACTIVE for r in self.reloads.values())

    def run_by_hand(self, app, kind="hub"):
        """A reload that somebody starts in the hub."""
        return self._begin({"appId": app}, "someone", kind)

    def end(self, app, status="SUCCEEDED"):
        """What runs of the app ends now; for reloads of a long duration."""
        with self.state:
            for r in list(self.reloads.values()):
                if r["appId"] == app and r["status"] in ACTIVE:
                    self._end(r, status)

    # ------------------------------------------------------------------------------------------ reloads

    def _begin(self, body, user, kind):
        with self.state:
            rid = secrets.token_hex(12)
            r = {"id": rid, "appId": body["appId"], "tenantId": self.tenant_id, "userId": user, "type": kind,
                 "status": "QUEUED", "creationTime": events.stamp(), "partial": body.get("partial", False),
                 "weight": body.get("weight", 1), "links": {"self": {"href": self.url + "/api/v1/reloads/" + rid}}}
            for k in ("resourceId", "resourceType"):
                if k in body:
                    r[k] = body[k]
            self.reloads[rid] = r
            plan = self.outcome.get(body["appId"], "SUCCEEDED")
            end = (plan.pop(0) if plan else "SUCCEEDED") if isinstance(plan, list) else plan
            self.due.put((time.monotonic() + self.duration, rid, end))
            self.ready.set()
            return r

    def _clock(self):
        while True:
            when, rid, end = self.due.get()
            wait = when - time.monotonic()
            if wait > 0:
                self.ready.clear()
                self.due.put((when, rid, end))
                self.ready.wait(min(wait, 0.05))
                continue
            with self.state:
                r = self.reloads[rid]
                if r["status"] not in ACTIVE:
                    continue
                self._end(r, "CANCELED" if r["status"] == "CANCELING" else end)

    def _end(self, r, status):
        r["status"] = status
        r["startTime"], r["endTime"] = r["creationTime"], events.stamp()
        if status == "FAILED":
            r["errorCode"], r["errorMessage"] = "EngineConnectionError", "failed to complete reload: unexpected EOF"
        app = self.apps.get(r["appId"], {"name": "?", "spaceId": None})
        more = {"tenant": self.tenant_id, "space": app["spaceId"]}
        if self.both and status in ("SUCCEEDED", "FAILED"):
            self.outbox.put(lambda form: events.app_reload_finished(
                r["appId"], r["id"], "ok" if status == "SUCCEEDED" else "error", form, app["name"], **more))
        self.outbox.put(lambda form: events.reload_finished(r["appId"], r["id"], status, form, **more))

    def post_reload(self, body, who):
        known = {"appId", "partial", "weight", "variables", "resourceId", "resourceType"}
        bad = "appId" if not isinstance(body.get("appId"), str) else next(iter(sorted(set(body) - known)), None)
        variables = body.get("variables", {})
        if "partial" in body and not isinstance(body["partial"], bool):
            bad = "partial"
        if "weight" in body and not (type(body["weight"]) is int and 1 <= body["weight"] <= 10):
            bad = "weight"
        if not isinstance(variables, dict) or len(variables) > 20 or any(
                not isinstance(v, str) or len(k) > 256 or len(v) > 256 for k, v in variables.items()):
            bad = "variables"
        if bad:
            raise Refused(400, "RELOADS-001", "Invalid request", "field %s" % bad)
        app = body["appId"]
        if app not in self.apps or app in self.forbidden:
            raise Refused(403, "RELOADS-003", "Not allowed to reload this app.")
        if app in self.quota:
            raise Refused(403, "RELOADS-013", "The reload frequency quota of this app is used up.")
        if any(r["appId"] == app and r["status"] in ACTIVE for r in self.reloads.values()):
            raise Refused(429, "RELOADS-007", "A reload of this app is pending already.")
        self.posts.append({"time": time.monotonic(), "who": who, "body": body})
        r = self._begin(body, who, "external")
        self.posts[-1]["id"] = r["id"]
        raise Answer(201, r)

    def list_reloads(self, query):
        if not self.admin and "appId" not in query:
            raise Refused(403, "RELOADS-003", "Insufficient permission")
        found = list(self.reloads.values())
        if "appId" in query:
            found = [r for r in found if r["appId"] == query["appId"]]
        m = re.fullmatch(r'(status|type) eq "(\w+)"', query.get("filter", ""))
        if query.get("filter") and not m:
            raise Refused(400, "RELOADS-001", "Invalid request", "filter")
        if m:
            found = [r for r in found if r[m[1]] == m[2]]
        sort = query.get("sort", "")
        if sort and sort.lstrip("+-") not in ("creationTime", "status", "startTime", "endTime"):
            raise Refused(400, "RELOADS-001", "Invalid request", "sort")
        if sort:
            found.sort(key=lambda r: r.get(sort.lstrip("+-")) or "", reverse=sort[0] == "-")
        return self.page("/api/v1/reloads", query, found)

    def page(self, path, query, found, href=True):
        try:
            limit, at = int(query.get("limit", "10")), int(query.get("next", "0"))
        except ValueError:
            raise Refused(400, "HTTP-400", "Invalid limit or cursor") from None
        if not 1 <= limit <= 100:
            raise Refused(400, "HTTP-400", "limit is 1 to 100")
        links = {"self": {"href": self.url + path}}
        if at + limit < len(found):
            rest = {k: v for k, v in query.items() if k != "next"}
            links["next"] = {"href": "%s%s?%s" % (self.url, path,
                                                  urllib.parse.urlencode({**rest, "next": at + limit}))}
        return {"data": found[at:at + limit], "links": links}

    def cancel(self, rid):
        r = self.reloads.get(rid)
        if not r:
            raise Refused(404, "RELOADS-004", "No such reload.")
        if r["status"] == "QUEUED":
            r["status"] = "CANCELING"
            raise Answer(202, {"status": "CANCELING"})
        if r["status"] == "CANCELED":
            raise Answer(204)
        raise Refused(409, "RELOADS-005", "The reload cannot be cancelled.", r["status"])

    # ------------------------------------------------------------------------------------------ webhooks

    def check_hook(self, body):
        def bad(what):
            raise Refused(400, "WEBHOOKS-1", "Invalid webhook", what)
        url = urllib.parse.urlsplit(body.get("url") or "")
        if not body.get("name"):
            bad("name is required")
        if url.scheme != "https" or not re.search(r"[a-zA-Z]", (url.hostname or "").rsplit(".", 1)[-1]) or \
                "." not in (url.hostname or ""):
            bad("url must be https with a fully qualified name: %s" % body.get("url"))
        if "secret" in body and not 32 <= len(body["secret"]) <= 64:
            bad("secret must have 32 to 64 characters")
        if body.get("level", "tenant") not in ("tenant", "user"):
            bad("level")
        if unknown := set(body.get("eventTypes") or []) - set(EVENT_TYPES):
            bad("unknown event types: %s" % sorted(unknown))
        if sum(len(k) + len(v) for k, v in (body.get("headers") or {}).items()) > 2048:
            bad("headers")
        known = {"name", "url", "description", "eventTypes", "level", "ownerId", "enabled", "secret", "headers", "filter",
                 "encryptedHeaders", "checkCertificateRevocation", "enableCloudEventDelivery", "origin"}
        if unknown := set(body) - known:
            bad("unknown fields: %s" % sorted(unknown))

    @staticmethod
    def shown(w):
        out = {k: v for k, v in w.items() if not k.startswith("_") and k != "secret"}
        out["secretKeyAdded"] = bool(w["_secret"])
        out["encryptedHeaders"] = {k: "" for k in w.get("encryptedHeaders", {})}
        return out

    def webhook_call(self, method, prefix, parts, query, body):
        if not parts:
            if method == "GET":
                return self.page(prefix, query, [self.shown(w) for w in self.webhooks.values()])
            if len(self.webhooks) >= 100:
                raise Refused(403, "WEBHOOKS-2", "There are 100 webhooks already.")
            self.check_hook(body)
            w = {"level": "tenant", "enabled": False, "eventTypes": [], "headers": {}, "origin": "api", **body,
                 "id": str(uuid.uuid4()), "createdAt": events.stamp(), "updatedAt": events.stamp(),
                 "_secret": body.get("secret"), "_form": "cloudevents" if body.get("enableCloudEventDelivery") else None}
            w.pop("secret", None)
            self.webhooks[w["id"]], self.deliveries[w["id"]] = w, []
            raise Answer(201, self.shown(w))
        if parts == ["event-types"] and method == "GET":
            return {"data": [{"name": n, "title": n, "description": "", "levels": ["tenant", "user"]}
                             for n in EVENT_TYPES]}
        w = self.webhooks.get(parts[0])
        if not w:
            raise Refused(404, "WEBHOOKS-3", "No such webhook.")
        if len(parts) == 1:
            return self.one_hook(method, w, body)
        found = [d for d in self.deliveries[w["id"]] if query.get("status") in (None, d["status"])
                 and query.get("eventType") in (None, d["eventType"])]
        if query.get("sort", "").startswith("-"):
            found = found[::-1]
        if len(parts) == 2 and method == "GET":
            return self.page("%s/%s/deliveries" % (prefix, w["id"]), query, found)
        d = next((d for d in self.deliveries[w["id"]] if d["id"] == parts[2]), None)
        if not d:
            raise Refused(404, "WEBHOOKS-4", "No such delivery.")
        if len(parts) == 3 and method == "GET":
            return d
        if parts[3:] == ["actions", "resend"] and method == "POST":
            again = self.send(w, d["request"]["body"].encode(), d["eventType"])
            raise Answer(201, again)
        raise Refused(404, "HTTP-404", "Not found")

    def one_hook(self, method, w, body):
        if method == "GET":
            return self.shown(w)
        if method == "DELETE":
            del self.webhooks[w["id"]]
            raise Answer(204)
        if method == "PATCH":
            for op in body:
                if op.get("op") != "replace" or op.get("path") not in (
                        "/name", "/description", "/url", "/eventTypes", "/headers", "/enabled", "/secret",
                        "/encryptedHeaders", "/enableCloudEventDelivery"):
                    raise Refused(400, "WEBHOOKS-1", "Invalid patch", json.dumps(op))
                key = op["path"][1:]
                if key == "enableCloudEventDelivery" and not op["value"] and w.get(key):
                    raise Refused(400, "WEBHOOKS-5", "CloudEvents cannot be disabled again.")
                if key == "secret":
                    w["_secret"] = op["value"]
                else:
                    w[key] = op["value"]
            raise Answer(204)
        raise Refused(404, "HTTP-404", "Not found")

    # ------------------------------------------------------------------------------------------ deliveries

    def send(self, w, body, kind):
        """One delivery, as Qlik's are: no redirects, the answer kept. Returns the record."""
        url = w["url"]
        for public, here in self.hosts.items():
            if url.startswith(public):
                url = here + url[len(public):]
        headers = {"Content-Type": "application/json", "User-Agent": "Qlik Webhook", "Accept-Encoding": "gzip",
                   **w.get("headers", {}), **w.get("encryptedHeaders", {})}
        if w["_secret"]:
            headers["Qlik-Signature"] = events.signature(w["_secret"], body)
        d = {"id": str(uuid.uuid4()), "webhookId": w["id"], "eventType": kind, "triggeredAt": events.stamp(),
             "request": {"url": w["url"], "headers": {k: v for k, v in headers.items() if k != "Qlik-Signature"},
                         "body": body.decode()}, "response": {}}
        status, text = 0, ""
        try:
            class Stay(urllib.request.HTTPRedirectHandler):
                def redirect_request(self, *_):
                    return None
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
            with opener.open(urllib.request.Request(url, body, headers), timeout=10) as r:
                status, text = r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read().decode(errors="replace")
        except OSError as e:
            d["statusMessage"] = str(e)
        if 300 <= status < 400:
            d["statusMessage"] = "redirects are forbidden %d" % status
        d["response"] = {"statusCode": status, "headers": {}, "body": text}
        d["status"] = "success" if 200 <= status < 300 else "fail"
        with self.state:
            self.deliveries.setdefault(w["id"], []).append(d)
        return d

    def _courier(self):
        while True:
            make = self.outbox.get()
            with self.state:
                hooks = [w for w in self.webhooks.values() if w["enabled"]]
            event_id = str(uuid.uuid4())
            for w in hooks:
                form = w["_form"] or self.form
                event = make(form)
                for key in ("id", "eventId"):
                    if key in event:
                        event[key] = event_id
                kind = event.get("type") or event["eventType"]
                if kind not in w["eventTypes"]:
                    continue
                body = events.encode(event)
                if self.deliver:
                    self.send(w, body, kind)
                else:  # the network is down: Qlik notes a delivery that failed
                    with self.state:
                        self.deliveries[w["id"]].append({
                            "id": str(uuid.uuid4()), "webhookId": w["id"], "eventType": kind, "status": "fail",
                            "statusMessage": "connection refused", "triggeredAt": events.stamp(),
                            "request": {"url": w["url"], "headers": {}, "body": body.decode()}, "response": {}})

    # ------------------------------------------------------------------------------------------ requests

    def who(self, entry):
        token = (entry.headers.get("authorization") or "").partition("Bearer ")[2]
        if token in self.keys:
            return "key-%d" % self.keys.index(token)
        if self.tokens.get(token, 0) > time.monotonic():
            return "client-1"
        raise Refused(401, "HTTP-401", "Unauthorized")

    def oauth(self, entry):
        if entry.headers.get("content-type", "").split(";")[0] != "application/json":
            raise Refused(400, "invalid_request", "the body is JSON")
        body = json.loads(entry.body)
        if body.get("grant_type") != "client_credentials":
            raise Refused(400, "unsupported_grant_type", "unsupported grant")
        if (body.get("client_id"), body.get("client_secret")) != (CLIENT, SECRET):
            raise Refused(401, "invalid_client", "client authentication failed")
        token = secrets.token_urlsafe(40)
        self.tokens_given += 1
        self.tokens[token] = time.monotonic() + self.token_life
        raise Answer(200, {"access_token": token, "token_type": "bearer", "expires_in": int(self.token_life),
                           "expires_at": events.stamp(time.time() + self.token_life)})

    token_life = 21600

    def route(self, entry, path, query):
        if path == "/oauth/token" and entry.method == "POST":
            self.oauth(entry)
        who = self.who(entry)
        body = None
        if entry.method in ("POST", "PUT", "PATCH") and entry.body:
            if entry.headers.get("content-type", "").split(";")[0] != "application/json":
                raise Refused(415, "HTTP-415", "application/json is expected")
            body = json.loads(entry.body)
        start = entry.method == "POST" and path == "/api/v1/reloads"
        tier = "posts" if start or path.endswith("/actions/cancel") else "reads" if entry.method == "GET" else "writes"
        wait = self.windows[tier].take(who)
        if wait:
            self.throttled += 1
            self.throttle(wait)
        if start:
            self.post_reload(body, who)
        for prefix in self.prefixes:
            if path == prefix or path.startswith(prefix + "/"):
                return self.webhook_call(entry.method, prefix, [p for p in path[len(prefix):].split("/") if p], query,
                                         body)
        return self.read(entry.method, path.split("/")[3:], query)

    def read(self, method, parts, query):
        if parts[0] == "reloads" and method == "POST" and parts[2:] == ["actions", "cancel"]:
            self.cancel(parts[1])
        if method != "GET":
            raise Refused(404, "HTTP-404", "Not found")
        if parts == ["reloads"]:
            return self.list_reloads(query)
        if parts[0] == "reloads" and len(parts) == 2:
            if parts[1] not in self.reloads:
                raise Refused(404, "RELOADS-004", "No such reload.")
            return self.reloads[parts[1]]
        if parts == ["items"]:
            return self.page("/api/v1/items", query, [
                {"id": a["item"], "resourceId": i, "resourceType": "app", "name": a["name"], "spaceId": a["spaceId"]}
                for i, a in self.apps.items()
                if query.get("name", "").lower() in a["name"].lower()
                and query.get("resourceId") in (None, i) and query.get("spaceId") in (None, a["spaceId"])])
        if parts == ["spaces"]:
            return self.page("/api/v1/spaces", query, [
                {"id": i, **s} for i, s in self.spaces.items() if query.get("name", "").lower() in s["name"].lower()])
        if parts[0] == "apps" and parts[2:4] == ["reloads", "logs"] and len(parts) == 5:
            if parts[4] not in self.reloads:
                raise Refused(404, "APPS-4", "No such log.")
            raise Answer(200, text=self.logs.get(parts[1], "Started loading data\nError: field X not found\n"))
        if parts[0] == "apps" and len(parts) == 2 and parts[1] in self.apps:
            a = self.apps[parts[1]]
            return {"attributes": {"id": parts[1], "name": a["name"], "spaceId": a["spaceId"]}}
        raise Refused(404, "HTTP-404", "Not found")

    @staticmethod
    def throttle(wait):
        raise Refused(429, "HTTP-429", "API rate limit reached.",
                      "You need to wait %d seconds until limit is lifted." % wait, {"retry_after": str(wait)})

    def manner_of(self, entry, path):
        with self.state:
            for f in self.faults:
                if ("%s %s" % (entry.method, path)).startswith(f["what"]):
                    if f["after"] > 0:
                        f["after"] -= 1
                        continue
                    f["times"] -= 1
                    if f["times"] <= 0:
                        self.faults.remove(f)
                    return f["manner"]
        return self.chaos(entry.method, path) if self.chaos else None

    def answer(self, handler, entry):
        split = urllib.parse.urlsplit(entry.path)
        path, query = urllib.parse.unquote(split.path), dict(urllib.parse.parse_qsl(split.query))
        manner = self.manner_of(entry, path)
        entry.note = manner or ""
        if manner == "stall":
            gate, end = self.gate, time.monotonic() + 600
            self.stalled += 1
            while not gate.is_set() and time.monotonic() < end and self.wait(handler, 0.1):
                pass
            if not gate.is_set():
                return
        if manner == "reset":
            self.rude(handler, "reset")
            return
        status, body, text, headers = 200, None, None, {}
        try:
            if manner in (500, 503, 401):
                raise Refused(manner, "HTTP-%d" % manner, "Something is wrong.")
            if manner == "throttle":
                self.throttle(1)
            with self.state:
                body = self.route(entry, path, query)
        except Answer as a:
            status, body, text = a.status, a.body, a.text
        except Refused as r:
            status, headers = r.status, r.headers
            body = {"errors": [{"code": r.code, "title": r.title, **({"detail": r.detail} if r.detail else {})}],
                    "traceId": secrets.token_hex(16)}
            with self.state:
                self.refused.append((time.monotonic(), entry.method, path, r.status, r.code))
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            status, body = 400, {"errors": [{"code": "HTTP-400", "title": repr(e)}]}
        if manner == "lose":
            self.rude(handler, "close")
            return
        if status == 204:
            entry.status = 204
            handler.send_response(204)
            handler.end_headers()
        elif manner == "empty":
            handler.reply(status, b"", "application/json")
        elif manner == "dribble":
            entry.status = status
            handler.send_response(status)
            for name, value in (("content-type", "application/json"), ("transfer-encoding", "chunked")):
                handler.send_header(name, value)
            handler.end_headers()
            text = json.dumps(body).encode()
            for i in range(0, len(text) + 3, 3):  # and the empty one at the end
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(text[i:i + 3]), text[i:i + 3]))
                handler.wfile.flush()
                if not text[i:i + 3]:
                    break
            else:
                handler.wfile.write(b"0\r\n\r\n")
        elif text is not None:
            handler.reply(status, text.encode(), "text/plain; charset=utf-8")
        else:
            handler.reply(status, json.dumps(body).encode(), "application/json", **headers)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--apps", type=int, default=10, help="apps app-0, app-1, ...")
    p.add_argument("--hook", help="deliver events to this address")
    p.add_argument("--secret", help="sign them with this")
    p.add_argument("--form", default="cloudevents", choices=events.ENVELOPES)
    a = p.parse_args()
    with Tenant(a.port, {"app-%d" % i: "App %d" % i for i in range(a.apps)}, form=a.form) as t:
        if a.hook:
            t.hook(a.hook, a.secret)
        print("ready %s key=%s" % (t.url, KEY), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
