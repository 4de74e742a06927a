# SPDX-License-Identifier: MIT
"""The house as a whole: SQL starts a training job, SageMaker tells of its end, a Lua condition looks at the metric, the model is
deployed, the deployment is written into a table through the SQL API, and a Qlik app is reloaded; a bad metric is an alert instead.
With PATCHBAY_SOAK=1 the gateway is killed at every moment of it, and everything happens once all the same."""
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from lib.gateway import TESTS, Gateway
from lib.story import SOAK, contains, equal, eventually, main, skip, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from qlik_tenant import KEY, Tenant  # noqa: E402
from sagemaker_api import Api  # noqa: E402
from snowflake_caller import Caller, encode, path_of  # noqa: E402
from stand_in import Service  # noqa: E402

try:
    from snowflake_api import Warehouse
except ImportError as e:
    skip("python3-cryptography is missing: %s" % e)

RECOMMENDER = os.path.join(os.path.dirname(os.environ.get("PATCHBAY", "build/patchbay")), "recommender")
APP = "b4a3cf85-5dd8-42f7-a864-3b2460215f8b"
RATINGS = [(u, i, 1 + (u * 7 + i * 3) % 5) for u in range(1, 6) for i in range(1, 9) if (u + i) % 3]
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
[notify "ops"]
url = %(ops)s/alert
"""
CHAIN = """
app "report" { connector = "prod", id = "%s" }

local function rmse(description)
  for _, m in ipairs(description.FinalMetricDataList or {}) do
    if m.MetricName == "validation:rmse" then return m.Value end
  end
end

-- "arn:...:training-job/NAME", and an endpoint of that name.
local function name_of(ev) return "movies-" .. ev.args.TrainingJobName:sub(-20) end

chain "recommend" {
  on("aws.training_job").ok {
    action "aws.describe_training_job" (function(ev) return { TrainingJobName = ev.subject } end),
  },
  on("aws.describe_training_job.done").when(function(ev)
    local v = ev.ok and rmse(ev.result)
    return v and v < 1, "rmse " .. tostring(v)
  end) {
    action "aws.create_model" (function(ev)
      return { ModelName = name_of(ev), ExecutionRoleArn = ev.result.RoleArn,
               PrimaryContainer = { Image = ev.result.AlgorithmSpecification.TrainingImage,
                                    ModelDataUrl = ev.result.ModelArtifacts.S3ModelArtifacts } }
    end),
  },
  on("aws.describe_training_job.done").when(function(ev)
    local v = ev.ok and rmse(ev.result)
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
""" % APP


class Cloud(Api):
    """SageMaker, whose training jobs are the recommender at work."""

    def __init__(self, warehouse):
        super().__init__()
        self.warehouse, self.folder = warehouse, tempfile.mkdtemp(prefix="patchbay-cloud-")
        self.token = os.path.join(self.folder, "token")
        with open(self.token, "w", encoding="utf-8") as f:
            f.write("PAT-1")

    def CreateTrainingJob(self, args):
        answer = super().CreateTrainingJob(args)
        name = args["TrainingJobName"]
        prefix = os.path.join(self.folder, name)
        os.makedirs(os.path.join(prefix, "input/config"))
        with open(os.path.join(prefix, "input/config/hyperparameters.json"), "w", encoding="utf-8") as f:
            json.dump(args["HyperParameters"], f)
        self.jobs["training-job"][name]["process"] = subprocess.Popen(
            [RECOMMENDER, "train", "--local", prefix], stdout=subprocess.DEVNULL,
            env=dict(os.environ, SNOWFLAKE_URL=self.warehouse.url, SNOWFLAKE_TOKEN_FILE=self.token))
        return answer

    def look(self):
        for job in self.jobs["training-job"].values():
            if "process" in job and job["process"].poll() is not None:
                job.setdefault("ended", time.time())

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
        answer = super().DescribeTrainingJob(args)
        if "BAD" in answer.get("HyperParameters", {}).get("input_table_name", ""):
            for m in answer.get("FinalMetricDataList", []):
                m["Value"] = 2.0
        return answer

    def __exit__(self, *what):
        super().__exit__(*what)
        for job in self.jobs["training-job"].values():
            if "process" in job:
                job["process"].kill()
                job["process"].wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Ops(Service):
    def answer(self, handler, entry):
        handler.reply(200, b"{}", "application/json")


def state(g, sql):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def play(table, expect_good, kill_after=None):
    with Warehouse(tokens={"PAT-1"}) as w, Cloud(w) as cloud, Tenant(apps={APP: "Report"}) as tenant, Ops() as ops:
        w.sql("create table DB.S.DEPLOYED (NAME varchar)")
        w.sql("create table DB.S.BEST (USERID number, ITEMS variant)")
        w.sql("create table DB.S.%s (USERID number, MOVIEID number, RATING number)" % table)
        for row in RATINGS:
            w.sql("insert into DB.S.%s values (?, ?, ?)" % table, *row)
        config = CONFIG % {"aws": cloud.url, "warehouse": w.url, "tenant": tenant.url, "ops": ops.url, "key": KEY}
        with Gateway(config, {"scripts/chains/recommend.lua": CHAIN}) as g:
            body = encode([[0, "DB.S." + table, "DB.S.BEST"]])

            def train():
                c = Caller(g.address("http"), path_of("train"), "sesame", oracles=False)
                reply = c.send("POST", "house:1", body)
                return reply.status == 200 and json.loads(reply.body)["data"][0][1]
            arn = eventually(train, "the training job is there")
            if kill_after is not None:
                time.sleep(kill_after)
                g.process.kill()
                g.process.wait()
                g.process.stdout.close()
                g.start()
                equal(eventually(train, "the batch again, after a crash"), arn)
            name = arn.rsplit("/", 1)[1]
            if expect_good:
                eventually(lambda: tenant.started(APP), "the reload", 60)
                eventually(lambda: tenant.idle(), "the reload is over", 30)
            else:
                eventually(lambda: ops.entries, "the alert", 60)
            time.sleep(1.0 if kill_after is None else 3.0)  # nothing comes twice
            equal(len(cloud.jobs["training-job"]), 1, "training jobs")
            # With fewer films than it may name, the recommender names all that a user has not rated.
            best = {int(u): sorted(json.loads(v)) for u, v in w.sql("select USERID, ITEMS from DB.S.BEST")}
            equal(best, {u: [i for i in range(1, 9) if (u, i) not in {(a, b) for a, b, _ in RATINGS}] for u in range(1, 6)})
            endpoint = "movies-" + name[-20:]
            equal(list(cloud.endpoints), [endpoint] if expect_good else [])
            equal(w.sql("select * from DB.S.DEPLOYED"), [(endpoint,)] if expect_good else [])
            equal(len(tenant.started(APP)), 1 if expect_good else 0, "reloads")
            equal(len(ops.entries), 0 if expect_good else 1, "alerts")
            if not expect_good:
                contains(ops.entries[0].body.decode(), "not good enough")
            # One run from SageMaker's event to the last step: what each step was caused by leads there, and the job's name to SQL.
            runs, steps = state(g, "SELECT id FROM run"), state(g, "SELECT data FROM event WHERE type LIKE '%.done' ORDER BY seq")
            equal(len(runs), 1, "runs")
            caused = [json.loads(d) for d, in steps]
            true(all(d.get("run") == runs[0][0] for d in caused[1:]), caused)
            equal(caused[0]["args"]["TrainingJobName"], name)
            if kill_after is None:
                contains(g.log_lines("msg=batch", "batch_id=house:1")[0], "query_id=", "job=")


@story
def from_sql_to_the_report():
    play("RATINGS", True)


@story
def a_bad_model_is_an_alert():
    play("BAD_RATINGS", False)


@story
def killed_at_every_step():
    for i in range(20 if SOAK else 0):
        play("RATINGS", True, kill_after=i * 0.15)


if __name__ == "__main__":
    main()
