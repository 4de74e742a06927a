# SPDX-License-Identifier: MIT
"""SageMaker with jobs that have ended, the three stores they go to, and a gateway between them with the chain that ships."""
import http.client
import json
import os
import sqlite3
import sys
import time

from .eventbridge import bridge, post
from .gateway import TESTS
from .story import equal, true

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
[listen "admin"]
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
        text += ('[connector "modeldb"]\nplugin = modeldb\nstore = v1\naddress = 127.0.0.1\nport = %d\nsagemaker = aws\nmetrics_wait = 100ms\n'
                 'connect_timeout = 2s\nanswer_timeout = 5s\n' % v1.port)
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


def copied(store):
    """Its runs, while others write."""
    with store.lock:
        return json.loads(json.dumps(list(store.runs.values())))


class House:
    """SageMaker and the three stores."""

    def __enter__(self):
        self.api, self.v1, self.v2, self.mlflow = (x.__enter__() for x in (Api(), modeldb_v1.ModelDb(), ModelDb2(), MlFlow()))
        return self

    def __exit__(self, *what):
        for x in (self.mlflow, self.v2, self.v1, self.api):
            x.__exit__(*what)

    def asked(self, operation):
        """How often SageMaker was asked."""
        return sum(e.headers.get("x-amz-target", "").endswith("." + operation) for e in self.api.of("/"))

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
        for r in copied(self.v2):
            two.setdefault(r["name"], []).append((sorted((m["key"], m.get("value", 0)) for m in r.get("metrics", [])),
                                                  len(r.get("hyperparameters", []))))
        three = {}
        for r in copied(self.mlflow):
            three.setdefault(r["info"]["run_name"], []).append(
                (r["info"]["status"], sorted((m["key"], m["value"]) for m in r["metrics"]), len(r["params"])))
        return one, two, three


def told(g, key, *names, status="Completed"):
    code, text = post(g, [bridge(n, status) for n in names], x_api_key=key)
    equal(code, 200, text)


def query(g, text, *args):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return db.execute(text, args).fetchall()
    finally:
        db.close()


def stored(g, kind):
    return [json.loads(d) for d, in query(g, "SELECT data FROM event WHERE type = ? ORDER BY seq", kind)]


def skipped(g):
    """Why links did not fire, beside those that wait for a job's end."""
    return sorted(why for why, in query(g, "SELECT why FROM decision WHERE outcome = 1") if why != "it goes on")


def metric(g, name):
    """Of /metrics: the number behind this name and labels; None: there is none."""
    c = http.client.HTTPConnection(g.address("admin"), timeout=30)
    c.request("GET", "/metrics")
    lines = c.getresponse().read().decode().splitlines()
    c.close()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), None)


def busy(g):
    """The kinds of jobs that wait (0) or run (1), as host/store/jobs.h counts states."""
    return ["%d %s (state %d)" % (n, action, state) for action, state, n in query(
        g, "SELECT action, state, count(*) FROM job WHERE state IN (0, 1) GROUP BY action, state")]


def idle(g, seconds=60):
    """Waits until nothing waits or runs any more."""
    end = time.monotonic() + seconds
    while left := busy(g):
        true(time.monotonic() < end, "after %d seconds there are still: %s" % (seconds, ", ".join(left)))
        time.sleep(0.02)


def an_hour_later(g):
    """While it is stopped: whatever its store knows of was an hour earlier. It looks as after an hour."""
    db = sqlite3.connect(os.path.join(g.state, "state.db"), timeout=10)
    for table, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for column in [c[1] for c in db.execute("PRAGMA table_info(%s)" % table) if c[1].endswith("_ms")]:
            db.execute("UPDATE %s SET %s = %s - 3600000 WHERE %s > 1000000000000" % (table, column, column, column))
    db.commit()
    db.close()
