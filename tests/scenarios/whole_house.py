# SPDX-License-Identifier: MIT
"""The house as a whole: SQL starts a training job, SageMaker tells of its end, a Lua condition looks at the metric that the
container printed, the job is recorded in ModelDB and in MLflow (and a Qlik app reloaded when it is), the model is deployed, the
deployment is written into a table through the SQL API, another app is reloaded, and SQL asks the model that is served now; a bad
metric is an alert instead. One id goes through the log, the run and what others are sent.
With PATCHBAY_SOAK=1 the gateway is killed at every step of it, and everything happens once all the same."""
import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

from lib.gateway import TESTS, Gateway
from lib.story import SOAK, contains, equal, eventually, main, skip, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
import modeldb_v1  # noqa: E402
from mlflow_api import MlFlow  # noqa: E402
from qlik_tenant import KEY, Tenant  # noqa: E402
from aws_verify import fault  # noqa: E402
from sagemaker_api import Api  # noqa: E402
from snowflake_caller import Caller, encode, path_of  # noqa: E402
from stand_in import Service  # noqa: E402

try:
    from snowflake_api import Warehouse
except ImportError as e:
    skip("python3-cryptography is missing: %s" % e)

RECOMMENDER = os.path.join(os.path.dirname(os.environ.get("PATCHBAY", "build/patchbay")), "recommender")
APP, CATALOGUE = "b4a3cf85-5dd8-42f7-a864-3b2460215f8b", "c4a3cf85-5dd8-42f7-a864-3b2460215f8b"
RATED = [(u, i) for u in range(1, 16) for i in range(1, 9) if (u + i) % 3]
RATINGS = [(u, i, 1 + i // 2) for u, i in RATED]  # films are as good as their number
AT_ODDS = [(u, i, 1 + 4 * ((u * u + i * u) // 3 % 2)) for u, i in RATED]  # nobody agrees with anybody
CONFIG = """
[listen "http"]
address = 127.0.0.1:0
[jobs]
lease = 2s
backoff = 20ms
backoff_max = 200ms
[connector "aws"]
plugin = sagemaker
region = eu-west-1
endpoint_url = %(aws)s
allow_endpoints = movies*
poll_interval = 100ms
poll.training_job = 200ms
[connector "snowflake"]
plugin = snowflake
secret = sesame
sagemaker = aws
region = eu-west-1
s3_bucket = bucket
training_image_ecr_path = 1.dkr.ecr.eu-west-1.amazonaws.com/snf
sagemaker_role_arn = arn:aws:iam::111111111111:role/SageMaker
metric.rmse = ^rmse=([0-9.]+)
hyperparameter.n_epochs = 100
snowflake_url = %(warehouse)s
token = PAT-1
database = DB
schema = S
[connector "prod"]
plugin = qlik_saas
webhooks = no
tenant_url = %(tenant)s
api_key = %(key)s
reload_poll = 100ms
poll.reloads = no
[connector "modeldb"]
plugin = modeldb
store = v1
address = 127.0.0.1
port = %(modeldb)d
sagemaker = aws
[connector "mlflow"]
plugin = modeldb
store = mlflow
url = %(mlflow)s
sagemaker = aws
[notify "ops"]
url = %(ops)s/alert
"""
CHAIN = """
app "report" { connector = "prod", id = "%s" }
app "catalogue" { connector = "prod", id = "%s" }

-- "arn:...:training-job/NAME", and an endpoint of that name.
local function name_of(ev) return "movies-" .. ev.args.TrainingJobName:sub(-20) end

-- What ModelDB and MLflow are told beside what SageMaker says.
local function record(ev)
  local job = ev.result
  job.project, job.user, job.description = "Movies", "ana", "Who likes what"
  job.model_name, job.model_type = "movies", "recommender"
  job.fields = { house = "whole" }
  return { job = job }
end

chain "recommend" {
  on("aws.training_job").ok { action "modeldb.collect" (function(ev) return { TrainingJobName = ev.subject } end) },
  on("modeldb.collect.done").ok { action "modeldb.sync" (record), action "mlflow.sync" (record) },
  on("modeldb.collect.done").when(function(ev)
    local v = ev.ok and ev.result.metrics.rmse
    return v and v < 1, "rmse " .. tostring(v)
  end) {
    action "aws.create_model" (function(ev)
      return { ModelName = name_of(ev), ExecutionRoleArn = "arn:aws:iam::111111111111:role/SageMaker",
               PrimaryContainer = { Image = ev.result.image, ModelDataUrl = ev.result.artifact } }
    end),
  },
  on("modeldb.collect.done").when(function(ev)
    local v = ev.ok and ev.result.metrics.rmse
    return v and v >= 1, "rmse " .. tostring(v)
  end) { notify { "ops", text = "The model is not good enough." } },
  on("aws.create_model.done").ok {
    action "aws.create_endpoint_config" (function(ev)
      return { EndpointConfigName = ev.args.ModelName, ProductionVariants = { {
        VariantName = "v1", ModelName = ev.args.ModelName, InitialInstanceCount = 1, InstanceType = "ml.t2.medium" } } }
    end),
  },
  on("aws.create_endpoint_config.done").ok {
    action "aws.create_endpoint" (function(ev)
      return { EndpointName = ev.args.EndpointConfigName, EndpointConfigName = ev.args.EndpointConfigName }
    end),
  },
  on("aws.create_endpoint.done").ok {
    action "snowflake.execute" (function(ev)
      return { statement = "insert into DEPLOYED values (?)", bindings = { ev.args.EndpointName } }
    end),
  },
  on("snowflake.execute.done").ok { "report" },
  on("snowflake.execute.done").error { notify { "ops", text = "The deployment could not be written down." } },
}

chain "shown" { on("modeldb.synced").ok { "catalogue" } }
""" % (APP, CATALOGUE)


class Steps:
    """Kills the gateway when a step is asked for: before it is done, before its answer is out, or right after that."""
    MOMENTS = ("before", "instead", "after")

    def __init__(self, name=None, moment=None):
        self.name, self.moment, self.victim, self.killed, self.lock = name, moment, None, threading.Event(), threading.Lock()

    def kill(self):
        os.kill(self.victim, signal.SIGKILL)
        self.killed.set()

    def play(self, service, handler, name, answer):
        with self.lock:
            mine = name == self.name and self.victim
            self.name = None if mine else self.name
        if not mine:
            return answer()
        if self.moment == "before":
            self.kill()
            return service.rude(handler, "reset")
        if self.moment == "instead":
            self.kill()
            return answer()
        answer()
        time.sleep(0.003)
        return self.kill()


class Cloud(Api):
    """SageMaker, whose containers are the recommender at work: it trains, and what it has trained is served by it."""

    def __init__(self, warehouse, moments):
        super().__init__()
        self.warehouse, self.moments, self.folder = warehouse, moments, tempfile.mkdtemp(prefix="patchbay-cloud-")
        self.token, self.served = os.path.join(self.folder, "token"), {}
        with open(self.token, "w", encoding="utf-8") as f:
            f.write("PAT-1")

    def json_call(self, handler, entry, target):
        return self.moments.play(self, handler, target.split(".")[1], lambda: super(Cloud, self).json_call(handler, entry, target))

    def CreateTrainingJob(self, args):
        answer = super().CreateTrainingJob(args)
        name = args["TrainingJobName"]
        prefix = os.path.join(self.folder, name)
        os.makedirs(os.path.join(prefix, "input/config"))
        with open(os.path.join(prefix, "input/config/hyperparameters.json"), "w", encoding="utf-8") as f:
            json.dump(args["HyperParameters"], f)
        with open(os.path.join(prefix, "log"), "wb") as log:
            self.jobs["training-job"][name]["process"] = subprocess.Popen(
                [RECOMMENDER, "train", "--local", prefix], stdout=log, stderr=log,
                env=dict(os.environ, SNOWFLAKE_URL=self.warehouse.url, SNOWFLAKE_TOKEN_FILE=self.token))
        return answer

    def look(self):
        with self.lock:
            for name, job in self.jobs["training-job"].items():
                if "process" not in job or "ended" in job or job["process"].poll() is None:
                    continue
                prefix = os.path.join(self.folder, name)
                if os.path.isdir(os.path.join(prefix, "model")):
                    with tarfile.open(os.path.join(self.folder, name + ".tar.gz"), "w:gz") as tar:
                        tar.add(os.path.join(prefix, "model"), ".")
                with open(os.path.join(prefix, "log"), encoding="utf-8") as log:
                    job["log"] = log.read()
                job["ended"] = time.time()

    def state(self, job, name):
        if "process" not in job:
            return super().state(job, name)
        self.look()
        if "ended" not in job:
            return "InProgress", "Training"
        end = "Completed" if job["process"].returncode == 0 else "Failed"
        return end, end

    def ListTrainingJobs(self, args):
        self.look()
        return super().ListTrainingJobs(args)

    def DescribeTrainingJob(self, args):
        """FinalMetricDataList is what the MetricDefinitions find last in the container's output."""
        answer = super().DescribeTrainingJob(args)
        job = self.jobs["training-job"][args["TrainingJobName"]]
        if "FinalMetricDataList" in answer:
            answer["FinalMetricDataList"] = [
                {"MetricName": d["Name"], "Value": float(found[-1]), "Timestamp": job["ended"]}
                for d in job["args"]["AlgorithmSpecification"].get("MetricDefinitions", [])
                for found in [re.findall(d["Regex"], job["log"], re.M)] if found]
        return answer

    def container(self, endpoint):
        """The port of the container that serves the endpoint's model, from its artifact."""
        with self.lock:
            if endpoint in self.served:
                return self.served[endpoint][1]
            config = self.endpoint_configs[self.endpoints[endpoint]["args"]["EndpointConfigName"]]["args"]
            model = self.models[config["ProductionVariants"][0]["ModelName"]]["args"]
            job = model["PrimaryContainer"]["ModelDataUrl"].split("/")[-3]
            prefix = os.path.join(self.folder, "serve-" + endpoint)
            os.makedirs(os.path.join(prefix, "model"))
            with tarfile.open(os.path.join(self.folder, job + ".tar.gz")) as tar:
                tar.extractall(os.path.join(prefix, "model"))
            p = subprocess.Popen([RECOMMENDER, "serve", "--local", prefix, "--address", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
            port = int(re.search(r"http=\S+:(\d+)", p.stdout.readline()).group(1))
            self.served[endpoint] = p, port
            return port

    def answer(self, handler, entry):
        m = re.fullmatch(r"/endpoints/([^/]+)/invocations", entry.path)
        if not m:
            return super().answer(handler, entry)
        wrong = fault(entry, self.ring, ("sagemaker",), skew=self.skew)
        if wrong or m.group(1) not in self.endpoints:
            return self.fail(handler, 403 if wrong else 400, *(wrong or ("ValidationError", "Endpoint not found.")))
        c = http.client.HTTPConnection("127.0.0.1", self.container(m.group(1)), timeout=30)
        c.request("POST", "/invocations", entry.body, {"content-type": entry.headers.get("content-type", "")})
        r = c.getresponse()
        handler.reply(r.status, r.read(), r.headers["content-type"])
        c.close()
        return None

    def __exit__(self, *what):
        super().__exit__(*what)
        for p in [job["process"] for job in self.jobs["training-job"].values() if "process" in job] + [p for p, _ in self.served.values()]:
            p.kill()
            p.wait()
            if p.stdout:
                p.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class House(Warehouse):
    def __init__(self, moments, **options):
        super().__init__(**options)
        self.moments = moments

    def answer(self, handler, entry):
        step = "insert" if b"DEPLOYED" in entry.body else "other"
        return self.moments.play(self, handler, step, lambda: super(House, self).answer(handler, entry))


class Qlik(Tenant):
    def __init__(self, moments, **options):
        super().__init__(**options)
        self.moments = moments

    def answer(self, handler, entry):
        step = "reload" if entry.method == "POST" and entry.path.startswith("/api/v1/reloads") else "other"
        return self.moments.play(self, handler, step, lambda: super(Qlik, self).answer(handler, entry))


class Tracking(MlFlow):
    def __init__(self, moments):
        super().__init__()
        self.moments = moments

    def answer(self, handler, entry):
        step = entry.path.rpartition("mlflow/")[2]
        return self.moments.play(self, handler, step, lambda: super(Tracking, self).answer(handler, entry))


class Models(modeldb_v1.ModelDb):
    """ModelDB 1.0; its calls are steps as well."""

    def __init__(self, moments):
        super().__init__()
        self.moments = moments

    def rude(self, connection, manner):
        return False  # the connection ends without an answer

    def answer(self, connection, whole, what):
        return self.moments.play(self, connection, self.local.method,
                                 lambda: super(Models, self).answer(connection, whole, what)) is not False


class Ops(Service):
    def answer(self, handler, entry):
        handler.reply(200, b"{}", "application/json")


def state(g, sql):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def trace_of(entry):
    return entry.headers.get("traceparent", "").split("-")[1:2]


def one_id(g, cloud, w, tenant, ops, tracking, name, good):
    """The run's id: in its log lines, in the store, and without its dashes in every request that the run sent."""
    runs, steps = dict(state(g, "SELECT chain, id FROM run")), state(
        g, "SELECT data FROM event WHERE type LIKE '%.done' AND type NOT IN ('describe_training_job.done', 'list_tags.done') "
           "ORDER BY seq")  # those two are asked for by collect
    equal([sorted(runs), len(state(g, "SELECT id FROM run"))], [["recommend", "shown"], 2], "runs")
    run = runs["recommend"]
    caused = [json.loads(d) for d, in steps]
    caused = [d for d in caused if d.get("run") != runs["shown"]]
    true(all(d.get("run") == run for d in caused[1:]), caused)
    equal(caused[0]["args"]["TrainingJobName"], name)
    lines = [line for line in g.log_lines("msg=decision", "outcome=fired") if runs["shown"] not in line]
    true(lines and all("run=" + run in line for line in lines), lines)
    wanted = [[e for e in cloud.entries if e.headers.get("x-amz-target", "").endswith("." + step)] for step in
              (("CreateModel", "CreateEndpointConfig", "CreateEndpoint") if good else ())]
    wanted += [tracking.entries]
    wanted += [[e for e in w.entries if b"DEPLOYED" in e.body], [e for e in tenant.of("/api/v1/reloads") if e.method == "POST" and APP.encode() in e.body]] if good else [ops.entries]
    for entries in wanted:
        true(entries and all(trace_of(e) == [run.replace("-", "")] for e in entries), [(e.method, e.path, trace_of(e)) for e in entries])


def ask(g, cloud, endpoint):
    """SQL asks the model: what the container says, row by row, and films are as good as their number."""
    pairs = [(1, 8), (1, 1), (2, 8), (99, 8), (2, 1)]
    said = Caller(g.address("http"), path_of("invoke"), "sesame").batch([[endpoint, str(u), str(i)] for u, i in pairs])
    c = http.client.HTTPConnection("127.0.0.1", cloud.container(endpoint), timeout=30)
    c.request("POST", "/invocations", "".join("%d,%d\n" % p for p in pairs), {"content-type": "text/csv"})
    equal(said, c.getresponse().read().decode().splitlines(), "what the container answers")
    c.close()
    true(float(said[0]) > 4 and float(said[1]) < 2 and float(said[2]) > 4 and float(said[4]) < 2, said)


def recorded(cloud, models, tracking, name):
    """The job once in each store, with the metric that its container printed."""
    metric, = cloud.DescribeTrainingJob({"TrainingJobName": name})["FinalMetricDataList"]
    t = models.tables()
    equal([len(t[k]) for k in ("projects", "runs", "models", "metrics", "documents")], [1] * 5, "rows in ModelDB")
    document, = t["documents"]
    equal([document["sagemaker_training_job_name"], document["metric_rmse"], document["house"], document["model_name"]],
          [name, repr(metric["Value"]), "whole", "movies"])
    run, = tracking.runs.values()
    equal([run["info"]["run_name"], [(m["key"], m["value"]) for m in run["metrics"]], run["tags"]["house"]],
          [name, [("rmse", metric["Value"])], "whole"])


def play(table, good, steps=None):
    steps = steps or Steps()
    with House(steps, tokens={"PAT-1"}) as w, Cloud(w, steps) as cloud, Qlik(steps, apps={APP: "Report", CATALOGUE: "Catalogue"}) as tenant, Ops() as ops, \
            Models(steps) as models, Tracking(steps) as tracking:
        w.sql("create table DB.S.DEPLOYED (NAME varchar)")
        w.sql("create table DB.S.BEST (USERID number, ITEMS variant)")
        w.sql("create table DB.S.%s (USERID number, MOVIEID number, RATING number)" % table)
        for row in RATINGS if good else AT_ODDS:
            w.sql("insert into DB.S.%s values (?, ?, ?)" % table, *row)
        config = CONFIG % {"aws": cloud.url, "warehouse": w.url, "tenant": tenant.url, "ops": ops.url, "key": KEY,
                           "modeldb": models.port, "mlflow": tracking.url}
        with Gateway(config, {"scripts/chains/recommend.lua": CHAIN}) as g:
            body = encode([[0, "DB.S." + table, "DB.S.BEST"]])
            steps.victim = g.process.pid

            def again():
                """It has died: another one takes over."""
                if not steps.killed.is_set() or g.process.pid != steps.victim:
                    return
                g.process.wait()
                g.process.stdout.close()
                g.start()

            def until(condition, what, seconds=300):  # who was killed in a call to ModelDB leaves its lock for two minutes
                return eventually(lambda: again() or condition(), what, seconds)

            def train():
                try:
                    c = Caller(g.address("http"), path_of("train"), "sesame", oracles=False)
                    reply = c.send("POST", "house:1", body)
                except (OSError, http.client.HTTPException):
                    return None
                return reply.status == 200 and json.loads(reply.body)["data"][0][1]
            arn = until(train, "the training job is there")
            name = arn.rsplit("/", 1)[1]
            if good:
                until(lambda: tenant.started(APP), "the reload")
                until(tenant.idle, "the reload is over")
            else:
                until(lambda: ops.entries, "the alert")
            until(lambda: tenant.started(CATALOGUE) and tracking.runs and all(
                r["info"]["status"] == "FINISHED" for r in tracking.runs.values()), "the job in ModelDB and MLflow")
            if steps.moment:
                until(steps.killed.is_set, "a kill")
                equal(until(train, "the batch again, after a crash"), arn)
            time.sleep(0.5 if not steps.moment else 2.5)  # nothing comes twice
            equal(len(cloud.jobs["training-job"]), 1, "training jobs")
            # With fewer films than it may name, the recommender names all that a user has not rated, the best first.
            best = {int(u): json.loads(v) for u, v in w.sql("select USERID, ITEMS from DB.S.BEST")}
            equal({u: sorted(v) for u, v in best.items()},
                  {u: [i for i in range(1, 9) if (u, i) not in RATED] for u in range(1, 16)})
            equal(w.sql("select count(*) from DB.S.BEST"), [(15,)], "rows of the output table")
            endpoint = "movies-" + name[-20:]
            equal(list(cloud.endpoints), [endpoint] if good else [])
            equal(w.sql("select * from DB.S.DEPLOYED"), [(endpoint,)] if good else [])
            equal(len(tenant.started(APP)), 1 if good else 0, "reloads")
            equal(len(tenant.started(CATALOGUE)), 1, "reloads of the catalogue")
            recorded(cloud, models, tracking, name)
            equal(len(ops.entries), 0 if good else 1, "alerts")
            if not good:
                contains(ops.entries[0].body.decode(), "not good enough")
            else:
                ask(g, cloud, endpoint)
                true(all(v == sorted(v, reverse=True) for v in best.values()), best)
            if not steps.moment:
                one_id(g, cloud, w, tenant, ops, tracking, name, good)
                contains(g.log_lines("msg=batch", "batch_id=house:1")[0], "query_id=", "job=")


@story
def from_sql_to_the_report():
    play("RATINGS", True)


@story
def a_bad_model_is_an_alert():
    play("RATINGS", False)


@story
def killed_at_every_step():
    names = ("CreateTrainingJob", "ListTrainingJobs", "DescribeTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint",
             "insert", "reload", "storeExperimentRunEvent", "storeFitEvent", "storeMetricEvent", "runs/create", "runs/log-batch")
    every = [(name, moment) for name in names for moment in Steps.MOMENTS]
    for name, moment in every if SOAK else [every[-2]]:
        began = time.monotonic()
        play("RATINGS", True, Steps(name, moment))
        print("killed at %s, %s: %.1f s" % (name, moment, time.monotonic() - began), flush=True)


if __name__ == "__main__":
    main()
