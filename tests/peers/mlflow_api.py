#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stand-in for an MLflow tracking server, after https://mlflow.org/docs/latest/rest-api.html and the limits of
mlflow/utils/validation.py: experiments and runs, batches, searches by one tag, parameters that are written once.

    with MlFlow() as m:                                    # m.url
        m.fault("runs/log-batch", "lose")
        m.runs                                             # {id: {"info", "params", "tags", "metrics": [...]}}

With text_numbers 64-bit numbers are texts, as protobuf has them in JSON.

Faults as in modeldb_v2: an HTTP status, lose, reset, html, truncated, unseen, blank, ..."""
import json
import os
import random
import re
import sys
import time
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stand_in import Service  # noqa: E402

PREFIX = "/api/2.0/mlflow/"
KEY = re.compile(r"^[/\w.\- ]*$")
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def invalid(message):
    return Refused(400, "INVALID_PARAMETER_VALUE", message)


class MlFlow(Service):
    def __init__(self, port=0, token=None):
        super().__init__(port)
        self.token, self.param_max, self.tag_max = token, 6000, 5000
        self.experiments, self.runs, self.text_numbers = {}, {}, False
        self.faults, self.hit, self.share, self.random = [], [], 0, None

    # ------------------------------------------------------------------------------------------- for tests

    def fault(self, call, what, times=1, after=0):
        with self.lock:
            self.faults.append([call, what, times, after])

    def chaos(self, share, seed=1, kinds=("lose", "reset", 500, 503, "html", "truncated", 429)):
        self.share, self.random, self.kinds = share, random.Random(seed), kinds

    def calls(self):
        with self.lock:
            return ["%s %s" % (e.method, e.note) for e in self.entries]

    def pick(self, call):
        with self.lock:
            for f in self.faults:
                if f[0] in (call, "*"):
                    if f[3]:
                        f[3] -= 1
                        return None
                    f[2] -= 1
                    if not f[2]:
                        self.faults.remove(f)
                    self.hit.append((call, f[1]))
                    return f[1]
            if self.share and self.random.random() < self.share:
                what = self.random.choice(self.kinds)
                self.hit.append((call, what))
                return what
        return None

    # ------------------------------------------------------------------------------------------- HTTP

    def answer(self, handler, entry):
        path, _, query = entry.path.partition("?")
        if not path.startswith(PREFIX):
            return handler.reply(404, b"<html>Not Found</html>", "text/html")
        entry.note = path[len(PREFIX):]
        fault = self.pick(entry.note)
        if fault == "unseen":  # somebody makes it between this answer and what follows from it
            return self.refuse(handler, Refused(404, "RESOURCE_DOES_NOT_EXIST", "not found"))
        if fault == "blank":
            return handler.reply(200, b"{}")
        if isinstance(fault, int):
            return self.refuse(handler, Refused(fault, {429: "RESOURCE_EXHAUSTED", 503: "TEMPORARILY_UNAVAILABLE"}.get(
                fault, "INTERNAL_ERROR"), "made to fail"))
        if fault and fault != "lose" and self.rude(handler, fault):
            return None
        try:
            if self.token and entry.headers.get("authorization") != self.token:
                raise Refused(401, "UNAUTHENTICATED", "You are not authenticated.")
            if len(entry.body) > 1000000:
                raise invalid("the request is longer than 1,000,000 bytes")
            body = {k: v[-1] for k, v in urllib.parse.parse_qs(query).items()}
            if entry.method == "POST":
                body = self.parse(entry.body)
            method = getattr(self, "%s_%s" % (entry.method, re.sub(r"\W", "_", entry.note)), None)
            if not method:
                raise Refused(404, "ENDPOINT_NOT_FOUND", "No API found for " + entry.note)
            with self.lock:
                out = method(body)
        except Refused as e:
            return None if fault == "lose" and self.rude(handler, "close") else self.refuse(handler, e)
        if fault == "lose":
            return self.rude(handler, "close")
        return handler.reply(200, json.dumps(out).encode())

    def refuse(self, handler, e):
        return handler.reply(e.status, json.dumps({"error_code": e.code, "message": e.message}).encode())

    def parse(self, body):
        def constant(name):
            raise invalid("invalid JSON: " + name)
        try:
            return json.loads(body, parse_constant=constant)
        except ValueError as e:
            raise invalid("invalid JSON: %s" % e) from None

    # ------------------------------------------------------------------------------------------- helpers

    def check_key(self, key):
        if not key or len(key) > 250 or not KEY.match(key) or key.startswith("/") or os.path.normpath(key) != key:
            raise invalid("Invalid name: %r" % key)

    def set_tags(self, run, tags):
        for t in tags:
            self.check_key(t["key"])
            if len(t["value"]) > self.tag_max:
                raise invalid("Tag value '%s...' had length %d" % (t["key"], len(t["value"])))
        for t in tags:
            run["tags"][t["key"]] = t["value"]
            if t["key"] == "mlflow.runName":
                run["info"]["run_name"] = t["value"]

    def run(self, i):
        if i not in self.runs:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "Run with id=%s not found" % i)
        return self.runs[i]

    def shown(self, run):
        last = {}
        for m in run["metrics"]:
            if m["key"] not in last or (m["step"], m["timestamp"]) >= (last[m["key"]]["step"], last[m["key"]]["timestamp"]):
                last[m["key"]] = m
        pairs = {k: [{"key": a, "value": b} for a, b in run[k].items()] for k in ("params", "tags")}
        info, metrics = run["info"], list(last.values())
        if self.text_numbers:
            info = {k: str(v) if k.endswith("_time") else v for k, v in info.items()}
            metrics = [dict(m, timestamp=str(m["timestamp"]), step=str(m["step"])) for m in metrics]
        return {"info": info, "data": {**pairs, "metrics": metrics}}

    # ------------------------------------------------------------------------------------------- calls

    def GET_experiments_get_by_name(self, b):
        for e in self.experiments.values():
            if e["name"] == b.get("experiment_name"):
                return {"experiment": e}
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name '%s'" % b.get("experiment_name"))

    def POST_experiments_create(self, b):
        if not b.get("name"):
            raise invalid("Experiment name must be a non-empty string")
        if any(e["name"] == b["name"] for e in self.experiments.values()):
            raise Refused(400, "RESOURCE_ALREADY_EXISTS", "Experiment '%s' already exists." % b["name"])
        i = str(len(self.experiments) + 1)
        self.experiments[i] = {"experiment_id": i, "name": b["name"], "lifecycle_stage": "active", "tags": b.get("tags", [])}
        return {"experiment_id": i}

    def POST_experiments_restore(self, b):
        self.experiments[b["experiment_id"]]["lifecycle_stage"] = "active"
        return {}

    def POST_experiments_set_experiment_tag(self, b):
        tags = self.experiments[b["experiment_id"]]["tags"]
        tags[:] = [t for t in tags if t["key"] != b["key"]] + [{"key": b["key"], "value": b["value"]}]
        return {}

    def POST_runs_create(self, b):
        e = self.experiments.get(b.get("experiment_id"))
        if not e or e["lifecycle_stage"] != "active":
            raise invalid("The experiment %s must be in the 'active' state" % b.get("experiment_id"))
        i = uuid.uuid4().hex
        run = {"info": {"run_id": i, "run_uuid": i, "experiment_id": b["experiment_id"], "run_name": b.get("run_name", "bold-fox-1"),
                        "status": "RUNNING", "start_time": b.get("start_time", int(time.time() * 1000)), "lifecycle_stage": "active",
                        "user_id": b.get("user_id", "")}, "params": {}, "tags": {}, "metrics": []}
        self.set_tags(run, b.get("tags", []))
        self.runs[i] = run
        return {"run": self.shown(run)}

    def POST_runs_search(self, b):
        m = re.fullmatch(r"\s*tags\.[`\"]([^`\"]+)[`\"]\s*=\s*(?:'([^']*)'|\"([^\"]*)\")\s*", b.get("filter", ""))
        if not m:
            raise invalid("Invalid filter: " + b.get("filter", ""))
        value = m.group(2) if m.group(2) is not None else m.group(3)
        found = [r for r in self.runs.values() if r["info"]["experiment_id"] in b.get("experiment_ids", []) and
                 r["tags"].get(m.group(1)) == value]
        if b.get("run_view_type", "ACTIVE_ONLY") != "ALL":
            found = [r for r in found if r["info"]["lifecycle_stage"] == "active"]
        return {"runs": [self.shown(r) for r in found]} if found else {}

    def GET_runs_get(self, b):
        return {"run": self.shown(self.run(b.get("run_id")))}

    def POST_runs_log_batch(self, b):
        run = self.run(b.get("run_id"))
        metrics, params, tags = b.get("metrics", []), b.get("params", []), b.get("tags", [])
        if len(metrics) > 1000 or len(params) > 100 or len(tags) > 100 or len(metrics) + len(params) + len(tags) > 1000:
            raise invalid("A batch logging request can contain at most 1000 metrics, 100 params, 100 tags")
        for m in metrics:
            self.check_key(m["key"])
            if not isinstance(m["value"], (int, float)) or isinstance(m["value"], bool):
                raise invalid("Got invalid value %r for metric '%s'" % (m["value"], m["key"]))
        for p in params:
            self.check_key(p["key"])
            if len(p["value"]) > self.param_max:
                raise invalid("Param value for param '%s' had length %d" % (p["key"], len(p["value"])))
        for p in params:
            had = run["params"].setdefault(p["key"], p["value"])
            if had != p["value"]:
                raise invalid("Changing param values is not allowed. Param with key='%s' was already logged with value='%s'" %
                              (p["key"], had))
        self.set_tags(run, tags)
        run["metrics"] += [{"key": m["key"], "value": m["value"], "timestamp": m["timestamp"], "step": m.get("step", 0)}
                           for m in metrics]
        return {}

    def POST_runs_update(self, b):
        run = self.run(b.get("run_id"))
        if b.get("status") and b["status"] not in STATUSES:
            raise invalid("Invalid status: %s" % b["status"])
        for k in ("status", "end_time", "run_name"):
            if k in b:
                run["info"][k] = b[k]
        return {"run_info": run["info"]}

    def POST_runs_set_tag(self, b):
        self.set_tags(self.run(b.get("run_id")), [b])
        return {}
