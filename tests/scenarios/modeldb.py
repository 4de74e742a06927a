# SPDX-License-Identifier: MIT
"""Training jobs of SageMaker into ModelDB 1, ModelDB 2 and MLflow: told by events, found by backfill, chosen by their tags,
each recorded once whatever fails or dies on the way; a store that is down holds no other.

SOAK: 1,000 jobs, 5 % faults and 50 kills.
"""
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from lib.eventbridge import bridge, post
from lib.gateway import PROGRAM, TESTS, Gateway, environment, new_key
from lib.story import SOAK, contains, equal, eventually, main, rng, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
import modeldb_v1  # noqa: E402
from mlflow_api import MlFlow  # noqa: E402
from modeldb_v2 import ModelDb2  # noqa: E402
from sagemaker_api import Api, arn  # noqa: E402

with open(os.path.join(os.path.dirname(TESTS), "scripts/chains/modeldb.lua"), encoding="utf-8") as f:
    SCRIPT = f.read()
SPEC = os.path.join(os.path.dirname(TESTS), "scripts/chains/modeldb_test.lua")
TAGS = {"MODEL_DB_SYNC": "true", "MODEL_DB_PROJECT_NAME": "Churn", "MODEL_DB_PROJECT_USER": "analytics",
        "MODEL_DB_PROJECT_DESC": "who leaves", "MODEL_DB_MODEL_NAME": "trees", "MODEL_DB_MODEL_TYPE": "XGBoost"}


def config(api, v1=None, v2=None, mlflow=None, more=""):
    text = """
[listen "http"]
address = 127.0.0.1:0
[jobs]
backoff = 50ms
backoff_max = 1s
lease = 2s
attempts = 1000
[connector "aws"]
plugin = sagemaker
region = eu-west-1
endpoint_url = %s
%s
""" % (api.url, more)
    if v1:
        text += '[connector "modeldb"]\nplugin = modeldb\nstore = v1\naddress = 127.0.0.1\nport = %d\nsagemaker = aws\nmetrics_wait = 100ms\n' % v1.port
    if v2:
        text += '[connector "registry"]\nplugin = modeldb\nstore = v2\nurl = %s\nsagemaker = aws\nmetrics_wait = 100ms\n' % v2.url
    if mlflow:
        text += '[connector "mlflow"]\nplugin = modeldb\nstore = mlflow\nurl = %s\nsagemaker = aws\nmetrics_wait = 100ms\n' % mlflow.url
    return text


def script(stores=("modeldb", "registry", "mlflow"), **constants):
    text = SCRIPT.replace('{ "modeldb" }', "{ %s }" % ", ".join('"%s"' % s for s in stores), 1)
    for name, value in constants.items():
        before = [line for line in text.splitlines() if line.startswith("local %s " % name) or line.startswith("local %s\t" % name)]
        equal(len(before), 1, name)
        text = text.replace(before[0], "local %s = %s" % (name, value), 1)
    return {"scripts/chains/modeldb.lua": text}


def train(api, name, tags=None, **more):
    """A job that has ended."""
    job = dict({"TrainingJobName": name, "RoleArn": "arn:aws:iam::111111111111:role/r",
                "AlgorithmSpecification": {"TrainingImage": "111111111111.dkr.ecr.eu-west-1.amazonaws.com/xgboost:1.5",
                                           "TrainingInputMode": "File"},
                "HyperParameters": {"max_depth": "5", "objective": '"reg:squarederror"', "sagemaker_program": '"train.py"'},
                "InputDataConfig": [
                    {"ChannelName": "train", "ContentType": "text/csv",
                     "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/%s/train" % name}}},
                    {"ChannelName": "validation", "DataSource": {"FileSystemDataSource": {
                        "FileSystemId": "fs-0123456789", "FileSystemType": "EFS", "FileSystemAccessMode": "ro", "DirectoryPath": "/v"}}}],
                "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
                "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
                "StoppingCondition": {"MaxRuntimeInSeconds": 3600}}, **more)
    api.steps = 0
    api.CreateTrainingJob(job)
    api.tags[arn("training-job", name)] = [{"Key": k, "Value": v} for k, v in (TAGS if tags is None else tags).items()]
    api.DescribeTrainingJob({"TrainingJobName": name})  # it has ended now


class House:
    """SageMaker and the three stores."""

    def __enter__(self):
        self.open = [Api(), modeldb_v1.ModelDb(), ModelDb2(), MlFlow()]
        self.api, self.v1, self.v2, self.mlflow = (x.__enter__() for x in self.open)
        return self

    def __exit__(self, *what):
        for x in reversed(self.open):
            x.__exit__(*what)

    def config(self, more=""):
        return config(self.api, self.v1, self.v2, self.mlflow, more)

    def runs(self):
        """{job: what is recorded of it} of each store, without its own ids and times."""
        t = self.v1.tables()
        one = {}
        for m in t["models"]:
            run = t["runs"][m["run"] - 1]
            name = run["description"].split("training-job/")[1].split()[0].rstrip(")")
            one.setdefault(name, []).append(sorted(
                (x["name"], x["value"]) for x in t["metrics"] if x["model"] == m["id"]))
        two = {}
        for r in self.v2.runs.values():
            two.setdefault(r["name"], []).append((sorted((m["key"], m.get("value", 0)) for m in r.get("metrics", [])),
                                                  len(r.get("hyperparameters", []))))
        three = {}
        for r in self.mlflow.runs.values():
            three.setdefault(r["info"]["run_name"], []).append(
                (r["info"]["status"], sorted((m["key"], m["value"]) for m in r["metrics"]), len(r["params"])))
        return one, two, three


def told(g, key, *names, status="Completed"):
    code, text = post(g, [bridge(n, status) for n in names], x_api_key=key)
    equal(code, 200, text)


def stored(g, kind):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return [json.loads(d) for d, in db.execute("SELECT data FROM event WHERE type = ? ORDER BY seq", (kind,))]
    finally:
        db.close()


def idle(g):
    """Nothing is queued or running any more."""
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return db.execute("SELECT count(*) FROM job WHERE state IN ('queued', 'running', 'held', 'started')").fetchone()[0] == 0
    finally:
        db.close()


@story
def one_job_in_three_stores():
    key, section = new_key("eventbridge")
    with House() as h, Gateway(h.config() + section, script()) as g:
        train(h.api, "churn-1")
        train(h.api, "churn-fails-2")
        told(g, key, "churn-1")
        told(g, key, "churn-fails-2", status="Failed")
        eventually(lambda: all(len(r) == 2 for r in h.runs()), "both jobs in all stores", 30)
        one, two, three = h.runs()
        equal([len(v) for v in (*one.values(), *two.values(), *three.values())], [1] * 6, "runs")
        equal(one["churn-1"], [[("validation:rmse", 0.25)]])
        equal(three["churn-1"][0][0], "FINISHED")
        equal(three["churn-fails-2"][0][0], "FAILED")
        contains(json.dumps([r["tags"] for r in h.mlflow.runs.values()]), "AlgorithmError")
        # The same again, and an event that comes late: nothing changes.
        eventually(lambda: idle(g), "all is done")
        before = h.runs()
        for _ in range(5):
            told(g, key, "churn-1")
        told(g, key, "churn-1", status="InProgress")
        time.sleep(0.3)
        eventually(lambda: idle(g), "all is done")
        equal(h.runs(), before)
        # Chains hear of it, once from each store, and the command compares.
        heard = [(e["store"], e["name"], e["job_status"], e["project"]) for e in stored(g, "synced")]
        equal(sorted(heard), sorted((s, n, j, "Churn") for s in ("v1", "v2", "mlflow")
                                    for n, j in (("churn-1", "Completed"), ("churn-fails-2", "Failed"))))
        p = g.run("modeldb", "verify", "churn-1", "--config", g.config, "--state", g.state)
        contains(p.out, "[modeldb]", "[registry]", "[mlflow]", "churn-1: as SageMaker has it.")
        run = next(r for r in h.mlflow.runs.values() if r["info"]["run_name"] == "churn-1")
        run["metrics"][0]["value"] = 0.5
        p = g.run("modeldb", "verify", "churn-1", "--connector", "mlflow", "--config", g.config, "--state", g.state, code=1)
        contains(p.out, "0.25", "0.5")
        p = g.run("modeldb", "verify", "nobody-knows", "--connector", "mlflow", "--config", g.config, "--state", g.state, code=1)
        contains(p.err, "nobody-knows")


@story
def tags_decide():
    key, section = new_key("eventbridge")
    with House() as h, Gateway(config(h.api, mlflow=h.mlflow) + section, script(["mlflow"])) as g:
        train(h.api, "untagged", {})
        train(h.api, "says-no", {"MODEL_DB_SYNC": "false"})
        train(h.api, "defaults", {"MODEL_DB_SYNC": "yes", "more": "x" * 200})
        told(g, key, "untagged", "says-no", "defaults")
        eventually(lambda: len(h.mlflow.runs) == 1, "the one that says yes")
        eventually(lambda: idle(g), "all is done")
        equal([r["info"]["run_name"] for r in h.mlflow.runs.values()], ["defaults"])
        equal([e["name"] for e in h.mlflow.experiments.values() if e["name"] != "Default"], ["SageMaker"])
        decisions = g.run("runs", "--config", g.config, "--state", g.state).out
        true(decisions, "runs are listed")


@story
def rules_of_ones_own():
    key, section = new_key("eventbridge")
    own = script(["mlflow"], include='{ "team=risk*" }', exclude='{ "stage=dev" }', mode='"strict"')
    own["scripts/chains/modeldb.lua"] = own["scripts/chains/modeldb.lua"].replace(
        "  return job\nend", "  job.fields = { cost_centre = 4711, reviewed = true }\n  job.project = 'Mapped ' .. job.project\n  return job\nend", 1)
    with House() as h, Gateway(config(h.api, mlflow=h.mlflow) + section, own) as g:
        train(h.api, "risk", dict(TAGS, team="risk-1", stage="prod"))
        train(h.api, "dev", dict(TAGS, team="risk-1", stage="dev"))
        train(h.api, "other", dict(TAGS, team="sales"))
        train(h.api, "incomplete", {"MODEL_DB_SYNC": "true", "team": "risk-2"})
        told(g, key, "risk", "dev", "other", "incomplete")
        eventually(lambda: len(h.mlflow.runs) == 1, "the one that matches")
        eventually(lambda: idle(g), "all is done")
        run = next(iter(h.mlflow.runs.values()))
        equal(run["info"]["run_name"], "risk")
        contains(json.dumps(run["tags"]), "4711")
        contains(json.dumps([e["name"] for e in h.mlflow.experiments.values()]), "Mapped Churn")
        g.await_log("training job incomplete has no tag MODEL_DB_PROJECT_NAME")


@story
def as_the_step_function_did():
    """mode = seed: completed jobs alone, the five calls of the light client in their order."""
    key, section = new_key("eventbridge")
    with House() as h, Gateway(config(h.api, h.v1) .replace("store = v1", "store = v1\nmode = seed") + section,
                               script(["modeldb"], mode='"seed"')) as g:
        train(h.api, "seed-fails-1")
        train(h.api, "seed-2", dict(TAGS, MODEL_DB_SYNC="false"))
        train(h.api, "seed-3", {"MODEL_DB_SYNC": "true"})
        told(g, key, "seed-fails-1", status="Failed")
        told(g, key, "seed-2", "seed-3")
        eventually(lambda: any(c[0] == "storeMetricEvent" for c in h.v1.calls()), "the metric")
        eventually(lambda: idle(g), "all is done")
        equal([c[0] for c in h.v1.calls()], ["storeProjectEvent", "storeExperimentEvent", "storeExperimentRunEvent", "storeFitEvent",
                                             "storeMetricEvent"])


@story
def a_store_that_is_down_holds_no_other():
    key, section = new_key("eventbridge")
    with House() as h, Gateway(h.config() + section, script()) as g:
        h.v2.fault("*", 503, times=10 ** 6)
        names = ["late-%d" % i for i in range(4)]
        for n in names:
            train(h.api, n)
        told(g, key, *names)
        eventually(lambda: len(h.runs()[0]) == 4 and len(h.runs()[2]) == 4, "the other two have them", 30)
        equal(h.runs()[1], {})
        with h.v2.lock:
            h.v2.faults.clear()
        eventually(lambda: len(h.runs()[1]) == 4, "it has caught up by itself", 60)
        eventually(lambda: idle(g), "all is done", 30)
        equal([len(v) for v in h.runs()[1].values()], [1] * 4)


@story
def history_is_filled_in():
    with House() as h, Gateway(h.config(), script()) as g:
        names = ["past-%d" % i for i in range(7)]
        for n in names:
            train(h.api, n)
        h.api.page = 3
        where = ("--config", g.config, "--state", g.state, "--connector", "modeldb")
        contains(g.run("modeldb", "backfill", *where, code=2).err, "--since")
        contains(g.run("modeldb", "backfill", "--since", "yesterday", *where, code=2).err, '"yesterday" is no moment')
        contains(g.run("modeldb", "backfill", "--since", "30d", "--dry-run", *where).out, "past-0\n", "7 training jobs have ended")
        contains(g.run("modeldb", "backfill", "--since", "30d", *where).out, "7 training jobs were collected")
        eventually(lambda: all(sorted(r) == names for r in h.runs()), "all in all stores", 60)
        train(h.api, "past-7")
        contains(g.run("modeldb", "backfill", *where).out, "training jobs were collected")
        eventually(lambda: all(len(r) == 8 for r in h.runs()), "the new one too", 60)
        eventually(lambda: idle(g), "all is done", 30)
        for store in h.runs():
            equal([len(v) for v in store.values()], [1] * 8, "each once")


def replaced(g, killed):
    """Whoever was killed has been missed, and has a successor that is ready."""
    now = g.log().rpartition("msg=ready version")[2]
    last = {slot: what for what, slot in re.findall(r'msg="a worker (ended|was replaced)" worker=(\d+)', now)}
    return all("pid=%d by=" % pid in now for pid in killed) and "ended" not in last.values()


@story
def killed_and_lied_to():
    """Faults in every store and in SageMaker, kills of workers and of everything: as if nothing had happened."""
    jobs, kills, share = (1000, 50, 0.05) if SOAK else (12, 4, 0.05)
    r = rng("kills")
    with House() as h, Gateway(h.config(), script(), workers=2) as g:
        for i in range(jobs):
            train(h.api, "many-%d" % i)
        h.v1.chaos(share, r.randrange(10 ** 6))
        h.v2.chaos(share, r.randrange(10 ** 6))
        h.mlflow.chaos(share, r.randrange(10 ** 6))
        fill = subprocess.Popen([PROGRAM, "modeldb", "backfill", "--since", "30d", "--config", g.config, "--state", g.state, "--connector",
                                 "modeldb"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), cwd=g.dir)
        out = []
        reader = threading.Thread(target=lambda: out.append(fill.stdout.read().decode()), daemon=True)
        reader.start()
        killed = []
        for k in range(kills):
            time.sleep(r.uniform(0.2, 1.2 if SOAK else 0.6))
            if k % 5 == 4:
                g.process.kill()
                g.process.wait()
                g.process.stdout.close()
                g.start()
                killed = []
            else:
                pids = [int(x) for x in os.popen("pgrep -P %d" % g.process.pid).read().split()]
                if pids:
                    killed.append(r.choice(pids))
                    os.kill(killed[-1], signal.SIGKILL)
        equal(fill.wait(1800), 0, "backfill")
        reader.join(5)
        contains(out[0], "%d training jobs were collected" % jobs)
        eventually(lambda: all(len(x) == jobs for x in h.runs()), "all in all stores", 1200 if SOAK else 120)
        eventually(lambda: idle(g), "all is done", 300)
        one, two, three = h.runs()
        for store in (one, two, three):
            equal(sorted(n for n, v in store.items() if len(v) != 1), [], "recorded twice")
            equal(len({json.dumps(v) for v in store.values()}), 1, "all the same, as without faults")
        equal(one["many-0"], [[("validation:rmse", 0.25)]])
        # One that dies of a kill, or has not started yet, while it is told to stop makes the gateway end with 1, and rightly so.
        eventually(lambda: replaced(g, killed), "all workers", 30)


@story
def the_page_about_moving_over():
    with open(os.path.join(os.path.dirname(TESTS), "docs/moving-from-modeldb-sync.md"), encoding="utf-8") as f:
        page = f.read()
    key, section = new_key("eventbridge")
    ini = re.search(r"```ini\n(.*?)```", page, re.S).group(1)
    with open(SPEC, encoding="utf-8") as f:
        files = dict(script(["modeldb"]), **{"scripts/chains/modeldb_test.lua": f.read()})
    os.environ["MLFLOW_TOKEN"] = "bearer"
    with House() as h:
        for old, new in (("@HASH@", re.search(r"hash = (\S+)", section).group(1)), ("127.0.0.1:8080", "127.0.0.1:0"),
                         ("address   = modeldb.example.com", "address = 127.0.0.1\nport = %d" % h.v1.port),
                         ("http://mlflow.example.com:5000", h.mlflow.url),
                         ("region = eu-west-1", "region = eu-west-1\nendpoint_url = " + h.api.url)):
            contains(ini, old)
            ini = ini.replace(old, new)
        with Gateway(ini, files) as g:
            g.check()
            contains(g.run("test", "--config", g.config).out, "0 failed")
            train(h.api, "moved-1")
            told(g, key, "moved-1")
            eventually(lambda: h.runs()[0], "it is recorded")
            eventually(lambda: idle(g), "all is done")
            commands = re.findall(r"`patchbay (modeldb [^`]+)`", page)
            equal(len(commands), 2, commands)
            for c in commands:
                words = c.replace("JOB", "moved-1").split()
                if "--connector" not in words:
                    words += ["--connector", "modeldb"]
                true(g.run(*words, "--config", g.config, "--state", g.state).out, c)


if __name__ == "__main__":
    main()
