# SPDX-License-Identifier: MIT
"""Training jobs into ModelDB 1.0 (servers that Apache Thrift generated, for Python and for Node.js), ModelDB 2 and MLflow: what is
written, that it is written once whatever goes wrong, and that each fault has a sentence which names the job."""
import http.client
import json
import os
import socket
import sqlite3
import sys
import threading

from lib.gateway import TESTS, Folder, Gateway, new_key
from lib.modeldb import metric
from lib.story import SOAK, contains, equal, eventually, lacks, main, rng, story

sys.path.insert(0, os.path.join(TESTS, "peers"))
import modeldb_gateway  # noqa: E402
import modeldb_v1  # noqa: E402
from mlflow_api import MlFlow  # noqa: E402
from modeldb_v2 import ModelDb2  # noqa: E402

KEY, SECTION = new_key("etl")
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/"
HEAD = """[listen "http"]
address = 127.0.0.1:0
[listen "admin"]
address = 127.0.0.1:0
[jobs]
lease = 1s
backoff = 30ms
%s
[function "sync"]
action = db.sync
params = key:str, args:json
%s
""" + SECTION.replace("%", "%%") + """
[connector "db"]
plugin = modeldb
"""


def record(name="churn-1", **more):
    """What collect gives, with what the rule adds."""
    r = {"arn": ARN + name, "name": name, "region": "eu-west-1", "account": "123456789012", "status": "Completed",
         "secondary_status": "Completed", "artifact": "s3://b/out/%s/model.tar.gz" % name, "image": "xgboost:1.7",
         "instance_type": "ml.m5.large", "instance_count": 1, "volume_gb": 10, "training_seconds": 61,
         "created": "2026-11-20T10:00:00Z", "started": "2026-11-20T10:01:00Z", "ended": "2026-11-20T10:02:01Z",
         "modified": "2026-11-20T10:02:02Z",
         "hyperparameters": {"eta": "0.10", "max_depth": "6", "objective": "binary:logistic", "code": "007"},
         "metrics": {"validation:rmse": 0.1, "train:rmse": 0.05}, "metric_times": {"train:rmse": "2026-11-20T10:02:00Z"},
         "channels": [{"name": "train", "uri": "s3://b/train", "content_type": "text/csv", "compression": "None"},
                      {"name": "validation", "uri": "s3://b/validation"}, {"name": "extra", "uri": "fs-01:/extra"}],
         "tags": {"team": "growth", "note": "x" * 60}, "project": "Churn", "user": "ana", "description": "Who leaves",
         "model_name": "churn-xgb", "model_type": "xgboost", "fields": {"approved_by": "bob"}}
    r.update(more)
    return r


class V1:
    """ModelDB 1.0, as stories see all stores."""
    make, name = modeldb_v1.ModelDb, "v1"
    # How long it is waited for a server that may still be making a project follows from these.
    HASTE = "connect_timeout = 1s\nanswer_timeout = 2s\n"

    def __init__(self, **options):
        self.db, self.options = self.make(), options

    def __enter__(self):
        self.db.start()
        return self

    def __exit__(self, *_):
        self.db.stop()

    def config(self):
        return "store = v1\naddress = 127.0.0.1\nport = %d\n" % self.db.port

    def writes(self):
        return [c[0] for c in self.db.calls() if not c[0].startswith("get")]

    def forget(self):
        self.db.forget()

    def fault(self, call, what, **more):
        self.db.fault(call, what, **more)

    FAULTS = ["lose", "close", "cut", "short", "lie", "negative", "html", "sle", "run", "crash", "other", "mongo"]
    WRITES = ["storeProjectEvent", "storeExperimentEvent", "storeExperimentRunEvent", "storeFitEvent", "storeMetricEvent",
              "storeDataFrame", "createOrUpdateScalarField"]
    READS = ["getModelIds", "getProjectIds"]

    def held(self):
        """What it holds, without what differs from time to time: [{name, metrics, ...}] by name."""
        t = self.db.tables()
        out = []
        for run in t["runs"]:
            models = [m for m in t["models"] if m["run"] == run["id"]]
            ids = {m["id"] for m in models}
            tags = {f["id"]: f["tag"] for f in t["frames"]}
            out.append({
                "run": run["description"], "models": [[m["type"], m["tag"], m["parameters"]] for m in models],
                "metrics": sorted([m["name"], tags[m["frame"]], m["value"]] for m in t["metrics"] if m["model"] in ids),
                "frames": sorted([f["tag"], f["path"]] for f in t["frames"] if f["run"] == run["id"]),
                "documents": [{k: v for k, v in d.items() if k not in ("MODELDB_model_id", "dataframes")}
                              for d in t["documents"] if d["MODELDB_model_id"] in ids]})
        return {"projects": sorted([p["name"], p["author"], p["description"]] for p in t["projects"]),
                "runs": sorted(out, key=lambda r: r["run"])}


class V1Node(V1):
    make, name = modeldb_v1.NodeModelDb, "v1 (Node.js)"
    FAULTS = ["sle", "run", "crash", "mongo"]


class Rest:
    HASTE = ""

    def __init__(self, **options):
        self.db, self.options = self.make(), options

    def __enter__(self):
        self.db.start()
        return self

    def __exit__(self, *_):
        self.db.stop()

    def forget(self):
        self.db.forget()

    def fault(self, call, what, **more):
        self.db.fault(call, what, **more)

    FAULTS = ["lose", "reset", 500, 503, 429, "html", "truncated", "garbage", "empty"]


class V2(Rest):
    make, name = ModelDb2, "v2"
    FAULTS = Rest.FAULTS + ["aborted"]
    WRITES = ["createProject", "createExperiment", "createExperimentRun"]
    READS = ["getProjectByName", "getExperimentByName", "getExperimentRunByName"]

    def config(self):
        return "store = v2\nurl = %s\ndeveloper_key = very-secret\nemail = a@example.com\n" % self.db.url

    def writes(self):
        return [c.split()[1] for c in self.db.calls() if not c.startswith("GET")]

    def held(self):
        def one(r):
            out = {k: v for k, v in r.items() if k not in ("id", "project_id", "experiment_id", "date_created")}
            for k in ("metrics", "attributes", "hyperparameters", "artifacts"):
                out[k] = sorted(out.get(k, []), key=lambda kv: kv["key"])
            out["tags"] = sorted(out.get("tags", []))
            return out
        return {"projects": sorted([p["name"], p.get("description")] for p in self.db.projects.values()),
                "experiments": [e["name"] for e in self.db.experiments.values()],
                "runs": sorted((one(r) for r in self.db.runs.values()), key=lambda r: r["name"])}


class Mlflow(Rest):
    make, name = MlFlow, "mlflow"
    WRITES = ["experiments/create", "runs/create", "runs/log-batch", "runs/update"]
    READS = ["experiments/get-by-name", "runs/search"]

    def config(self):
        return "store = mlflow\nurl = %s\n" % self.db.url

    def writes(self):
        reads = ("experiments/get-by-name", "runs/search", "runs/get")
        return [c.split()[1] for c in self.db.calls() if c.split()[1] not in reads]

    def held(self):
        def one(r):
            return {"name": r["info"]["run_name"], "status": r["info"]["status"], "start": r["info"]["start_time"],
                    "end": r["info"].get("end_time"), "params": r["params"], "tags": r["tags"],
                    "metrics": sorted(r["metrics"], key=lambda m: m["key"])}
        return {"experiments": [[e["name"], e["tags"]] for e in self.db.experiments.values()],
                "runs": sorted((one(r) for r in self.db.runs.values()), key=lambda r: r["name"])}


STORES = [V1, V1Node, V2, Mlflow]


def gateway(store, more="", function="", jobs="attempts = 30", **kinds):
    return Gateway(HEAD % (jobs, function) + store.config() + more, **kinds)


def call(g, key, job):
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    c.request("POST", "/functions/sync", body=json.dumps({"rows": [[key, {"job": json.dumps(job)}]]}),
              headers={"content-type": "application/json", "x-api-key": KEY})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, text


def sync(g, key, job):
    status, text = call(g, key, job)
    equal(status, 200, text)
    row = json.loads(text)["rows"][0][0]
    return json.loads(row) if isinstance(row, str) else row


def refused(g, key, job):
    """The sentence of the error that the row got."""
    status, text = call(g, key, job)
    equal(status, 200, text)
    got = json.loads(text)
    equal(got["rows"], [[None]], text)
    return "%(code)s %(message)s" % got["errors"][0]


def sound(store, jobs):
    """What the store holds after these jobs when nothing goes wrong."""
    with type(store)() as other, gateway(other) as g:
        for n, job in enumerate(jobs):
            sync(g, "w%d" % n, job)
        return other.held()


def events(g, kind):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return [json.loads(r[0]) for r in db.execute("SELECT data FROM event WHERE type = ? ORDER BY seq", (kind,))]
    finally:
        db.close()


@story
def the_first_version():
    """Check 14, 17, 18, 19: the calls of the light client in their order, everything recoverable, nothing twice."""
    for kind in (V1, V1Node):
        with kind() as s, gateway(s) as g:
            said = sync(g, "k1", record())
            equal([said["written"], said["result"]["model_id"], said["result"]["created"]], [True, 1, True])
            equal(s.writes(), ["storeProjectEvent", "storeExperimentEvent", "storeExperimentRunEvent", "storeFitEvent",
                               "storeMetricEvent", "storeMetricEvent", "storeDataFrame", "createOrUpdateScalarField"], kind.name)
            held = s.held()
            equal(held["projects"], [["Churn", "ana", "Who leaves"]])
            run, = held["runs"]
            equal(run["frames"], [["extra", "fs-01:/extra"], ["train", "s3://b/train"], ["validation", "s3://b/validation"]])
            document, = run["documents"]
            for name, value in (("sagemaker_training_job_arn", ARN + "churn-1"), ("model_name", "churn-xgb"),
                                ("model_artifact", "s3://b/out/churn-1/model.tar.gz"), ("input_extra_uri", "fs-01:/extra"),
                                ("metric_validation_rmse", "0.1"), ("approved_by", "bob"), ("tag_team", "growth")):
                equal(document.get(name), value, name)
            s.forget()
            sync(g, "k2", record())
            equal(s.writes(), [])
            equal(s.held(), held)
            # Nothing but what SageMaker must say.
            bare = {k: v for k, v in record("bare").items() if k in ("arn", "name", "region", "account", "status", "project", "user",
                                                                     "description", "model_name", "model_type")}
            sync(g, "k3", {**bare, "hyperparameters": {}, "metrics": {}, "channels": [], "tags": {}})
            equal([r["frames"] for r in s.held()["runs"]][0], [["", ""]])
            failed = record("failed", status="Failed", failure_reason="AlgorithmError: exit code 1", artifact="", metrics={})
            sync(g, "k4", failed)
            equal(s.held()["runs"][-1]["documents"][0]["sagemaker_failure_reason"], "AlgorithmError: exit code 1")
            odd = record("odd", metrics={"loss": "NaN", "auc": 0.5})
            sync(g, "k5", odd)
            run = next(r for r in s.held()["runs"] if r["run"].startswith("odd "))
            equal([m[0] for m in run["metrics"]], ["auc"])
            equal(run["documents"][0]["metric_loss"], "NaN")


@story
def as_the_step_function_did():
    with V1() as s, gateway(s, "mode = seed\n") as g:
        sync(g, "k1", record())
        equal(s.writes(), ["storeProjectEvent", "storeExperimentEvent", "storeExperimentRunEvent", "storeFitEvent", "storeMetricEvent",
                           "storeMetricEvent"])
        equal([c for c, _ in s.db.calls() if c.startswith("get")], [])
        run, = s.held()["runs"]
        equal([run["run"], run["documents"], run["frames"]], ["", [{}], [["", ""], ["train", "s3://b/train"]]])
        s.fault("storeMetricEvent", "lose")
        text = refused(g, "k2", record("churn-2"))
        contains(text, "churn-2", "mode = seed")
        equal(len(s.held()["runs"]), 2)  # and there is no third one


@story
def the_second_version():
    """Check 20 to 26."""
    with V2() as s, gateway(s) as g:
        said = sync(g, "k1", record())
        equal(said["result"]["created"], True)
        equal([c.split() for c in s.db.calls()], [["GET", "getProjectByName"], ["POST", "createProject"], ["GET", "getExperimentByName"],
                                                  ["POST", "createExperiment"], ["GET", "getExperimentRunByName"],
                                                  ["POST", "createExperimentRun"]])
        run, = s.db.runs.values()
        value = {kind: {kv["key"]: kv.get("value") for kv in run[kind]} for kind in ("metrics", "hyperparameters", "attributes")}
        equal(value["hyperparameters"], {"eta": 0.1, "max_depth": 6, "objective": "binary:logistic", "code": "007"})
        equal(value["metrics"], {"validation_rmse": 0.1, "train_rmse": 0.05})
        for name, v in (("name_of_validation_rmse", "validation:rmse"), ("model_artifact", "s3://b/out/churn-1/model.tar.gz"),
                        ("tag_note", "x" * 60), ("instance_count", 1), ("input_extra_uri", "fs-01:/extra")):
            equal(value["attributes"].get(name), v, name)
        equal(sorted(run["tags"]), ["sagemaker", "status:Completed", "team=growth", "xgboost"])
        equal([run["start_time"], run["end_time"]], ["1795168860000", "1795168921000"])
        equal(next(a for a in run["artifacts"] if a["key"] == "model"),
              {"key": "model", "path": "s3://b/out/churn-1/model.tar.gz", "path_only": True, "artifact_type": "MODEL"})
        e = s.db.entries[1]
        equal([e.headers.get("grpc-metadata-" + h) for h in ("source", "email", "developer_key", "developer-key")],
              ["PythonClient", "a@example.com", "very-secret", "very-secret"])
        lacks(g.log(), "very-secret")
        s.forget()
        sync(g, "k2", record())
        equal(s.writes(), [])
        # One metric and the status differ: those keys alone.
        changed = record(metrics={"validation:rmse": 0.2, "train:rmse": 0.05, "late": 1}, status="Stopped", modified="2026-11-20T11:00:00Z")
        sync(g, "k3", changed)
        equal(s.writes(), ["deleteMetrics", "logMetrics", "deleteExperimentRunAttributes", "logAttributes", "deleteExperimentRunTags",
                           "addExperimentRunTags"])
        bodies = [json.loads(e.body) for e in s.db.entries if e.method != "GET"]
        equal(bodies[0]["metric_keys"], ["validation_rmse"])
        equal(sorted(kv["key"] for kv in bodies[1]["metrics"]), ["late", "validation_rmse"])
        equal(bodies[2]["attribute_keys"], ["sagemaker_training_job_status"])
        equal(sorted(run["tags"]), ["sagemaker", "status:Stopped", "team=growth", "xgboost"])
        # The same name in another account is another run.
        sync(g, "k4", record(arn=ARN.replace("123456789012", "999999999999") + "churn-1", account="999999999999"))
        equal(sorted(r["name"] for r in s.db.runs.values()), ["churn-1", "churn-1 (eu-west-1/999999999999)"])
        sync(g, "k5", record("other", description="Who goes"))
        equal([p["description"] for p in s.db.projects.values()], ["Who goes"])
        # What is no number in JSON, and a job that failed and left no model.
        sync(g, "k6", record("odd", status="Failed", failure_reason="AlgorithmError: exit code 1", artifact="",
                             metrics={"loss": "NaN", "gain": "-Infinity", "auc": 0.5}))
        odd = next(r for r in s.db.runs.values() if r["name"] == "odd")
        equal([kv["key"] for kv in odd["metrics"]], ["auc"])
        value = {kv["key"]: kv.get("value") for kv in odd["attributes"]}
        equal([value.get(k) for k in ("metric_loss", "metric_gain", "sagemaker_failure_reason", "model_artifact")],
              ["NaN", "-Infinity", "AlgorithmError: exit code 1", None])
        equal(sorted(a["key"] for a in odd["artifacts"]), ["input_extra", "input_train", "input_validation"])


@story
def somebody_is_faster():
    """Check 21 and 28: what was not there a moment ago is there when it is to be made."""
    with V2() as s, gateway(s) as g:
        sync(g, "k1", record())
        wanted = s.held()
        for n, (call_name, makes) in enumerate((("getProjectByName", "createProject"), ("getExperimentByName", "createExperiment"),
                                                ("getExperimentRunByName", "createExperimentRun"))):
            s.forget()
            s.fault(call_name, "unseen")
            sync(g, "f%d" % n, record())
            equal(s.writes(), [makes])
            equal([e.status for e in s.db.entries if e.note == makes], [409], makes)
            equal(s.db.calls().count("GET " + call_name), 2)
        s.forget()
        s.fault("createExperimentRun", "aborted")  # 409 too, but code 10: the same again
        sync(g, "aborted", record("churn-2"))
        equal([e.status for e in s.db.entries if e.note == "createExperimentRun"], [409, 200])
        equal([s.held()[k] for k in ("projects", "experiments")], [wanted[k] for k in ("projects", "experiments")])
        equal(len(s.db.runs), 2)
    with Mlflow() as s, gateway(s) as g:
        sync(g, "k1", record())
        s.forget()
        s.fault("experiments/get-by-name", "unseen")
        sync(g, "k2", record())
        equal(s.db.calls(), ["GET experiments/get-by-name", "POST experiments/create", "GET experiments/get-by-name", "POST runs/search"])
        equal([e.status for e in s.db.entries][:2], [404, 400])  # RESOURCE_ALREADY_EXISTS is a 400
        equal([len(s.db.experiments), len(s.db.runs)], [1, 1])


@story
def an_answer_without_an_id():
    """200 and nothing in it is nothing that a person must look at: the same again."""
    for kind, names in ((V2, V2.WRITES), (Mlflow, ("experiments/create", "runs/create"))):
        with kind() as s, gateway(s) as g:
            for n, name in enumerate(names):
                s.fault(name, "blank")
                equal(sync(g, "k%d" % n, record("job-%d" % n, project="P%d" % n))["written"], True, name)
                equal(s.db.hit.pop(), (name, "blank"))
        with kind() as s, gateway(s, jobs="attempts = 1") as g:
            s.fault(names[0], "blank")
            contains(refused(g, "k", record()), "DATA_LOSS", "job churn-1", s.db.url)


@story
def states_that_come_late():
    """Check 6: what is older than what was written is not written, and that is said and counted."""
    for kind in (V1, V2, Mlflow):
        with kind() as s, gateway(s) as g:
            sync(g, "k1", record())
            held = s.held()
            s.forget()
            for n, late in enumerate((record(status="InProgress", modified="2026-11-20T12:00:00Z", metrics={}),
                                      record(modified="2026-11-20T10:00:00Z", metrics={"late": 1}))):
                said = sync(g, "late-%d" % n, late)
                equal([said["written"], said["reason"]], [False, "a later state of the job has been written already"])
            equal([s.db.calls(), s.held()], [[], held], kind.name)
            s.fault({V1: "getModelIds", V2: "getProjectByName", Mlflow: "experiments/get-by-name"}[kind], {V1: "crash"}.get(kind, 500))
            sync(g, "k2", record("other"))
            for name, n in (("late", 2), ("written", 2), ("failed", 1)):
                equal(metric(g, 'patchbay_modeldb_syncs_total{connector="db",result="%s"}' % name), n, name)
            equal(metric(g, 'patchbay_modeldb_last_written_seconds{connector="db"}') > 1.6e9, True)


@story
def another_project():
    """A run cannot be moved: where it is it stays, and there is no second one; but what is gone there begins anew."""
    for kind in (V1, V2, Mlflow):
        with kind() as s, gateway(s) as g:
            sync(g, "k1", record(status="InProgress", metrics={}, modified="2026-11-20T10:01:30Z"))
            said = sync(g, "k2", record(project="Other", user="eve", description="of Other"))
            equal([said["project"], said["asked_project"], said["written"]], ["Churn", "Other", True])
            held = s.held()
            equal([len(held["runs"]), len(held["projects" if "projects" in held else "experiments"])], [1, 1], kind.name)
            equal(sync(g, "k3", record(project="Other", modified="2026-11-20T10:02:03Z"))["project"], "Churn")
            if kind is V1:
                continue  # has no way to delete
            if kind is V2:
                s.db.runs.clear()
            else:
                next(iter(s.db.runs.values()))["info"]["lifecycle_stage"] = "deleted"
                next(iter(s.db.experiments.values()))["lifecycle_stage"] = "deleted"
            said = sync(g, "k4", record(project="Other", modified="2026-11-20T10:02:04Z"))
            equal([said["project"], said.get("asked_project"), said["result"]["created"]], ["Other", None, True])
            equal(sync(g, "k5", record(project="Other", modified="2026-11-20T10:02:05Z"))["result"]["created"], False)


@story
def through_a_real_gateway():
    """Check 27: the same calls, with JSON, URLs and errors of grpc-gateway's own."""
    if not SOAK:
        return  # it is built first, which takes half a minute
    missing = modeldb_gateway.missing()
    if missing:
        print("not through a grpc-gateway: no", missing)
        return

    class V2Gateway(V2):
        make, name = modeldb_gateway.GatewayDb, "v2 (grpc-gateway)"

        def config(self):
            return "store = v2\nurl = %s\n" % self.db.base

    jobs = [record("job-%d" % n) for n in range(8)]
    changed = record("job-0", metrics={"validation:rmse": 0.2, "late": 1}, status="Stopped", modified="2026-11-20T11:00:00Z")
    with V2() as empty:
        wanted = sound(empty, jobs + [changed])
    with V2Gateway() as s, gateway(s) as g:
        sync(g, "k0", jobs[0])
        equal(s.db.calls(), ["GET getProjectByName", "POST createProject", "GET getExperimentByName", "POST createExperiment",
                             "GET getExperimentRunByName", "POST createExperimentRun"])
        s.forget()
        sync(g, "k0again", jobs[0])
        equal(s.writes(), [])
        for n, (call_name, what) in enumerate((("getProjectByName", 500), ("createExperimentRun", "lose"), ("createExperimentRun", "aborted"),
                                               ("getExperimentRunByName", 429), ("createExperimentRun", 503), ("getExperimentByName", 401))):
            s.fault(call_name, what)
            if what == 401:
                contains(refused(g, "k401", jobs[n + 1]), "UNAUTHENTICATED", "job-%d" % (n + 1), "401 16")
            sync(g, "k%d" % (n + 1), jobs[n + 1])
        sync(g, "k7", jobs[7])
        s.forget()
        sync(g, "k8", changed)
        equal(s.writes(), ["deleteMetrics", "logMetrics", "deleteExperimentRunAttributes", "logAttributes", "deleteExperimentRunTags",
                           "addExperimentRunTags"])
        equal(s.held(), wanted)


@story
def mlflow():
    """Check 28."""
    many = {"p%03d" % n: str(n) for n in range(250)}
    with Mlflow() as s, gateway(s) as g:
        said = sync(g, "k1", record(hyperparameters={**many, "long": "y" * 7000, "a/../b": "1"}))
        equal([said["result"]["created"], said["result"]["params"]], [True, 252])
        equal(s.writes(), ["experiments/create", "runs/create"] + 3 * ["runs/log-batch"] + ["runs/update"])
        run, = s.db.runs.values()
        equal([run["info"]["status"], run["info"]["end_time"], run["info"]["run_name"]], ["FINISHED", 1795168921000, "churn-1"])
        equal([len(run["params"]), run["params"]["p249"], len(run["params"]["long"]), run["params"]["a____b"]], [252, "249", 6000, "1"])
        equal(sorted([m["key"], m["value"], m["timestamp"]] for m in run["metrics"]),
              [["train_rmse", 0.05, 1795168920000], ["validation_rmse", 0.1, 1795168921000]])
        for name, v in (("sagemaker.training_job_arn", ARN + "churn-1"), ("sagemaker.name_of.validation_rmse", "validation:rmse"),
                        ("mlflow.user", "ana"), ("approved_by", "bob"), ("sagemaker.model_name", "churn-xgb"),
                        ("sagemaker.cut.long", "y" * 5000)):
            equal(run["tags"].get(name), v, name)
        experiment, = s.db.experiments.values()
        equal([experiment["name"], experiment["tags"]], ["Churn", [{"key": "mlflow.note.content", "value": "Who leaves"}]])
        s.forget()
        for s.db.text_numbers in (True, False):  # 64-bit numbers of JSON may be texts
            sync(g, "k2-%s" % s.db.text_numbers, record(hyperparameters={**many, "long": "y" * 7000, "a/../b": "1"}))
            equal(s.writes(), [])
        # Another value must be newer than what it replaces, however that one's time is written.
        s.db.text_numbers = True
        run["metrics"][0]["value"] = 0.75
        run["metrics"][0]["timestamp"] += 10 ** 9
        later = run["metrics"][0]["timestamp"] + 1
        sync(g, "k2-newer", record(hyperparameters={**many, "long": "y" * 7000, "a/../b": "1"}))
        equal(run["metrics"].pop()["timestamp"], later)
        s.db.text_numbers = False
        run["metrics"][0].update(value=0.1 if run["metrics"][0]["key"] == "validation_rmse" else 0.05)
        sync(g, "k3", record(hyperparameters={**many, "p000": "changed"}))
        equal([run["params"]["p000"], run["tags"]["sagemaker.now.p000"]], ["0", "changed"])
        equal([len(s.db.runs), len(run["metrics"])], [1, 2])
        # States, and a NaN.
        sync(g, "k4", record("going", status="InProgress", ended=None, metrics={}))
        going = next(r for r in s.db.runs.values() if r["info"]["run_name"] == "going")
        equal(going["info"]["status"], "RUNNING")
        sync(g, "k5", record("going", status="Stopped", metrics={"loss": "NaN", "auc": 1}, modified="2026-11-20T11:00:00Z"))
        equal([going["info"]["status"], going["tags"]["sagemaker.metric.loss"], [m["key"] for m in going["metrics"]]],
              ["KILLED", "NaN", ["auc"]])
        # What a person deleted stays deleted; an experiment that was deleted is an error that says so.
        going["info"]["lifecycle_stage"] = "deleted"
        equal(sync(g, "k6", record("going", modified="2026-11-20T12:00:00Z"))["result"]["deleted_there"], True)
        experiment["lifecycle_stage"] = "deleted"
        text = refused(g, "k7", record("late"))
        contains(text, "late", "Churn", "deleted")
    for more, wanted in (("token = secret-token\n", "Bearer secret-token"),
                         ("username = ana\npassword = pässword\n", "Basic YW5hOnDDpHNzd29yZA==")):
        with Mlflow() as s, gateway(s, more) as g:
            s.db.token = wanted
            sync(g, "k1", record())
            lacks(g.log(), "secret-token", "ssword", "Basic")


@story
def every_fault_at_every_call():
    """Each call fails in each way once, each time for another job of another project; the store holds what it holds without."""
    r = rng("faults")
    for kind in STORES:
        pairs = [(call_name, what) for call_name in kind.WRITES + kind.READS for what in kind.FAULTS]
        pairs = [p for p in pairs if p[1] != "mongo" or p[0] == "storeFitEvent"]
        if not SOAK:
            pairs = r.sample(pairs, min(len(pairs), 4))
        jobs = [record("job-%d" % n, project="Project %d" % n) for n in range(len(pairs))]
        with kind() as empty:
            wanted = sound(empty, jobs)
        with kind() as s, gateway(s, kind.HASTE) as g:
            for n, (call_name, what) in enumerate(pairs):
                s.fault(call_name, what)
                equal(sync(g, "k%d" % n, jobs[n])["written"], True, "%s %s %s" % (kind.name, call_name, what))
            equal(s.held(), wanted, "%s after %s" % (kind.name, pairs))


@story
def faults_have_sentences():
    """Check 15, 16, 24: without another try, what does it say?"""
    cases = [(V1, "storeFitEvent", "lie", "2147483647 bytes"), (V1, "storeFitEvent", "html", "HTTP/1.1"),
             (V1, "storeFitEvent", "short", "cannot be read"), (V1, "storeFitEvent", "cut", "in the middle of its answer to storeFitEvent"),
             (V1, "storeFitEvent", "crash", "internal error"), (V1, "storeMetricEvent", "run", "Can't find experiment run ID 77"),
             (V1, "getModelIds", "hang", "has not answered getModelIds within 300 ms"),
             (V2, "createExperimentRun", "html", "is `url` the API's?"), (V2, "createProject", 401, "answers POST project/createProject"),
             (V2, "createExperiment", "truncated", "experiment/createExperiment"),
             (Mlflow, "runs/create", 403, "INTERNAL_ERROR"), (Mlflow, "runs/search", "html", "something else than JSON")]
    for kind in (V1, V2, Mlflow):
        with kind() as s, gateway(s, "answer_timeout = 300ms\n" if kind is V1 else "", jobs="attempts = 1") as g:
            for n, (_, call_name, what, words) in enumerate(c for c in cases if c[0] is kind):
                s.fault(call_name, what)
                text = refused(g, "k%d" % n, record("job-%d" % n, project="Project %d" % n))
                contains(text, "job job-%d: " % n, words, "127.0.0.1:%d" % s.db.port)
    with V1() as s:
        port = s.db.port
    with Gateway(HEAD % ("attempts = 1", "") + "store = v1\naddress = 127.0.0.1\nport = %d\n" % port) as g:
        text = refused(g, "k", record())
        contains(text, "churn-1", "127.0.0.1:%d" % port)
    # A machine that does not even refuse: its queue of connections is full, so that the kernel lets ours wait.
    full, held = socket.socket(), []
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    for _ in range(4):
        held.append(socket.socket())
        held[-1].setblocking(False)
        held[-1].connect_ex(("127.0.0.1", port))
    try:
        with Gateway(HEAD % ("attempts = 1", "") + "store = v1\naddress = 127.0.0.1\nport = %d\nconnect_timeout = 200ms\n" % port) as g:
            contains(refused(g, "k", record()), "churn-1", "127.0.0.1:%d" % port, "200 ms")
    finally:
        for s in held + [full]:
            s.close()


@story
def what_cannot_be_meant():
    """Refused by `patchbay check`, with the line: an address with a port, options that say something to another store alone."""
    for text, *words in (("store = v1\naddress = db.example.com:6543\n", ":19:", "the port has its own option"),
                        ("store = v1\naddress = ::1\nport = 6543\n",),
                        ("store = v1\naddress = db\nparam_length = 500\n", ":20:", "`param_length` says nothing to store = v1"),
                        ("store = v2\nurl = http://db\ntoken = x\n", ":20:", "`token`", "store = mlflow"),
                        ("store = mlflow\nurl = http://db\nusername = x\n", "either `token`, or `username` and `password`")):
        with Folder(HEAD % ("attempts = 1", "") + text) as f:
            contains(f.check(code=1 if words else 0).err, *words)


@story
def two_at_once():
    """Check 5 and 7: the same job five times at once, and many jobs of a new project, in two workers."""
    jobs = [record("job-%d" % n) for n in range(4)]
    for kind in (V1, V2, Mlflow):
        with kind() as empty:
            wanted = sound(empty, jobs)
        with kind() as s, gateway(s, workers=2) as g:
            if kind is V1:
                s.db.pause = 0.02
            failed = []

            def one(n, job):
                try:
                    sync(g, "k-%s-%d" % (job["name"], n), job)
                except Exception as e:  # noqa: BLE001
                    failed.append(e)

            threads = [threading.Thread(target=one, args=(n, job)) for job in jobs for n in range(5 if job is jobs[0] else 1)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            equal(failed, [])
            equal(s.held(), wanted, kind.name)


@story
def killed_in_the_middle():
    """kill -9 while a call is under way, at any of them."""
    r = rng("kills")
    for kind in (V1, V2, Mlflow) if SOAK else r.sample((V1, V2, Mlflow), 1):
        with kind() as empty:
            wanted = sound(empty, [record()])
        calls = kind.WRITES + kind.READS
        for call_name in calls if SOAK else r.sample(calls, 1):
            with kind() as s, gateway(s, kind.HASTE, function="wait = stored") as g:
                s.fault(call_name, "hang" if kind is V1 else "lose")
                held = None
                if kind is not V1:
                    s.fault("*", "lose", times=2)
                call(g, "k", record())
                eventually(lambda: s.db.hit, "the call")
                g.process.kill()
                g.process.wait()
                if kind is V1:
                    s.db.drop()
                g.start()
                eventually(lambda: (events(g, "sync.done") or [{}])[-1].get("ok"), "the job")
                held = s.held()
                equal(held, wanted, "%s after a kill in %s" % (kind.name, call_name))


if __name__ == "__main__":
    missing = modeldb_v1.available()
    if missing:
        print("skipped: no", missing)
        sys.exit(77)
    main()
