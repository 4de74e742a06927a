#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stand-in for ModelDB 2 (https://github.com/VertaAI/modeldb, tag 2.0.8.1) behind its grpc-gateway: projects,
experiments and experiment runs over REST, as that proxy writes JSON: names of the .proto files, what has its default
value left out, 64-bit numbers as texts, errors with a gRPC code and the HTTP status that goes with it.

    with ModelDb2() as db:                                # base: db.base, ".../api/v1/modeldb"
        db.fault("logMetrics", "lose")                     # the next one is done, and its answer is lost
        db.runs                                            # {id: run}
        db.calls()                                         # ["GET getProjectByName", ...]

Faults (of a call's name or "*"): an HTTP status, lose (done, closed), reset (not done), html (200 and a page: the web
application's catch-all), aborted (409 with code 10), unseen (404: not there, though it is), blank (200 and {}), and those of stand_in. chaos(share, seed) makes them by chance.
A tag has 1 to 40 characters; a batch with a key that is there already is refused as a whole; what was created cannot be
changed but by deleting and logging again; dates and ids of the caller are not kept."""
import json
import os
import random
import sys
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stand_in import Service  # noqa: E402

PREFIX = "/api/v1/modeldb/"
STATUS = {3: 400, 5: 404, 6: 409, 7: 403, 9: 412, 10: 409, 13: 500, 14: 503, 16: 401}
LISTS = {"Metrics": "metrics", "Hyperparameters": "hyperparameters", "Attributes": "attributes", "Artifacts": "artifacts"}


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


def lean(value):
    """As jsonpb without EmitDefaults: what has its default is left out; but a google.protobuf.Value stays."""
    if isinstance(value, dict):
        return {k: (v if k == "value" else lean(v)) for k, v in value.items()
                if k == "value" or v not in ("", 0, "0", False, None, [], {})}
    if isinstance(value, list):
        return [lean(v) for v in value]
    return value


class ModelDb2(Service):
    def __init__(self, port=0):
        super().__init__(port)
        self.base = self.url + PREFIX.rstrip("/")
        self.projects, self.experiments, self.runs = {}, {}, {}
        self.faults, self.hit, self.share, self.random = [], [], 0, None
        self.pause = None

    # ------------------------------------------------------------------------------------------- for tests

    def fault(self, call, what, times=1, after=0):
        with self.lock:
            self.faults.append([call, what, times, after])

    def chaos(self, share, seed=1, kinds=("lose", "reset", 500, 503, "html", "aborted", "truncated", 429)):
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
            return handler.reply(404, b"404 page not found\n", "text/plain")
        call = path[len(PREFIX):]
        entry.note = call.rpartition("/")[2]
        fault = self.pick(entry.note)
        if fault == "aborted":
            return self.refuse(handler, Refused(10, "Aborted, try again"))
        if fault == "unseen":  # somebody makes it between this answer and what follows from it
            return self.refuse(handler, Refused(5, "not found"))
        if fault == "blank":
            return handler.reply(200, b"{}")
        if isinstance(fault, int):
            return self.refuse(handler, Refused({429: 8, 500: 13, 503: 14, 401: 16, 403: 7}.get(fault, 13), "made to fail"), fault)
        if fault and fault != "lose" and self.rude(handler, fault):
            return None
        try:
            if not entry.headers.get("grpc-metadata-source"):
                raise Refused(16, "no Grpc-Metadata-source")
            body = {k: v[-1] for k, v in urllib.parse.parse_qs(query, keep_blank_values=True).items()}
            if entry.method != "GET":
                body = self.parse(entry.body)
            method = getattr(self, "%s_%s" % (entry.method, call.replace("/", "_").replace("-", "_")), None)
            if not method:
                return handler.reply(404, b"404 page not found\n", "text/plain")
            with self.lock:
                out = method(body)
        except Refused as e:
            return None if fault == "lose" and self.rude(handler, "close") else self.refuse(handler, e)
        if fault == "lose":
            return self.rude(handler, "close")
        return handler.reply(200, json.dumps(lean(out)).encode())

    def refuse(self, handler, e, status=None):
        body = {"error": e.message, "message": e.message, "code": e.code}
        return handler.reply(status or STATUS.get(e.code, 500), json.dumps(body).encode())

    def parse(self, body):
        def constant(name):
            raise Refused(3, "invalid value " + name)
        try:
            return json.loads(body, parse_constant=constant)
        except ValueError as e:
            raise Refused(3, "invalid JSON: %s" % e) from None

    # ------------------------------------------------------------------------------------------- helpers

    def made(self, table, fields, body, **scope):
        name = body.get("name")
        if not name or len(name) > 256:
            raise Refused(3, "a name of 1 to 256 characters is needed")
        self.check_tags(body.get("tags", []))
        if self.named(table, name, **scope):
            raise Refused(6, "%s already exists in database" % type(self).__name__)
        row = {"id": str(uuid.uuid4()), "date_created": "1600000000000", **{k: body[k] for k in fields if k in body}, **scope}
        table[row["id"]] = row
        return row

    def named(self, table, name, **scope):
        rows = [r for r in table.values() if r["name"] == name and all(r.get(k) == v for k, v in scope.items())]
        if len(rows) > 1:
            raise Refused(13, "Multiple ExperimentRun found")
        return rows[0] if rows else None

    def check_tags(self, tags):
        for t in tags:
            if not 1 <= len(t) <= 40:
                raise Refused(3, "Tag name can not be more than maximum tag length, 40: " + t)

    def there(self, table, i):
        row = table.get(i)
        if not row:
            raise Refused(5, "no entity with id %s" % i)
        return row

    def logged(self, body, kind):
        run = self.there(self.runs, body.get("id"))
        new = body.get(kind, [])
        keys = [kv["key"] for kv in new]
        had = {kv["key"] for kv in run.setdefault(kind, [])}
        if any(not k for k in keys):
            raise Refused(3, "a key is needed")
        for k in keys:
            if k in had or keys.count(k) > 1:
                raise Refused(6, "%s being logged already exists. existing key : %s" % (kind, k))
        run[kind] += new
        return {}

    def deleted(self, body, kind, keys):
        run = self.there(self.runs, body.get("id"))
        gone = [body[keys]] if isinstance(body.get(keys), str) else body.get(keys, [])
        if body.get("delete_all"):
            gone = [kv["key"] for kv in run.get(kind, [])]
        run[kind] = [kv for kv in run.get(kind, []) if kv["key"] not in gone]
        return {}

    # ------------------------------------------------------------------------------------------- calls

    def GET_project_verifyConnection(self, _):
        return {"status": True}

    def POST_project_createProject(self, b):
        return {"project": self.made(self.projects, ("name", "description", "attributes", "tags"), b)}

    def GET_project_getProjectByName(self, b):
        row = self.named(self.projects, b.get("name"))
        if not row:
            raise Refused(5, "Project not found")
        return {"project_by_user": row} if not b.get("shared") else {"shared_projects": [row]}

    def GET_project_getProjectById(self, b):
        return {"project": self.there(self.projects, b.get("id"))}

    def POST_project_updateProjectDescription(self, b):
        row = self.there(self.projects, b.get("id"))
        row["description"] = b.get("description", "")
        return {"project": row}

    def POST_experiment_createExperiment(self, b):
        self.there(self.projects, b.get("project_id"))
        return {"experiment": self.made(self.experiments, ("name", "description", "attributes", "tags"), b,
                                        project_id=b["project_id"])}

    def GET_experiment_getExperimentByName(self, b):
        row = self.named(self.experiments, b.get("name"), project_id=b.get("project_id"))
        if not row:
            raise Refused(5, "Experiment not found")
        return {"experiment": row}

    def POST_experiment_run_createExperimentRun(self, b):
        self.there(self.experiments, b.get("experiment_id"))
        for kind in LISTS.values():
            keys = [kv["key"] for kv in b.get(kind, [])]
            if len(set(keys)) < len(keys):
                raise Refused(3, "Multiple key found in request")
        row = self.made(self.runs, ("name", "description", "start_time", "end_time", "tags", "attributes", "hyperparameters",
                                    "metrics", "artifacts", "observations"), b,
                        project_id=b.get("project_id"), experiment_id=b["experiment_id"])
        for k in ("start_time", "end_time"):
            if k in row:
                row[k] = str(int(row[k]))
        return {"experiment_run": row}

    def GET_experiment_run_getExperimentRunByName(self, b):
        row = self.named(self.runs, b.get("name"), experiment_id=b.get("experiment_id"))
        if not row:
            raise Refused(5, "ExperimentRun not found")
        return {"experiment_run": row}

    def GET_experiment_run_getExperimentRunById(self, b):
        return {"experiment_run": self.there(self.runs, b.get("id"))}

    def POST_experiment_run_logMetrics(self, b):
        return self.logged(b, "metrics")

    def POST_experiment_run_logHyperparameters(self, b):
        return self.logged(b, "hyperparameters")

    def POST_experiment_run_logAttributes(self, b):
        return self.logged(b, "attributes")

    def POST_experiment_run_logArtifacts(self, b):
        return self.logged(b, "artifacts")

    def DELETE_experiment_run_deleteMetrics(self, b):
        return self.deleted(b, "metrics", "metric_keys")

    def DELETE_experiment_run_deleteHyperparameters(self, b):
        return self.deleted(b, "hyperparameters", "hyperparameter_keys")

    def DELETE_experiment_run_deleteExperimentRunAttributes(self, b):
        return self.deleted(b, "attributes", "attribute_keys")

    def DELETE_experiment_run_deleteArtifact(self, b):
        return self.deleted(b, "artifacts", "key")

    def POST_experiment_run_addExperimentRunTags(self, b):
        row = self.there(self.runs, b.get("id"))
        self.check_tags(b.get("tags", []))
        row["tags"] = row.get("tags", []) + [t for t in dict.fromkeys(b.get("tags", [])) if t not in row.get("tags", [])]
        return {"experiment_run": row}

    def DELETE_experiment_run_deleteExperimentRunTags(self, b):
        row = self.there(self.runs, b.get("id"))
        row["tags"] = [t for t in row.get("tags", []) if t not in b.get("tags", [])]
        return {"experiment_run": row}

    def POST_experiment_run_updateExperimentRunDescription(self, b):
        row = self.there(self.runs, b.get("id"))
        row["description"] = b.get("description", "")
        return {"experiment_run": row}
