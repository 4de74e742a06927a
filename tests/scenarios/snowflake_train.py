# SPDX-License-Identifier: MIT
"""Training and deploying from SQL, against the stand-in for SageMaker that botocore vouches for: every row of a batch, once,
whatever comes twice or is cut short; long batches through a crash; the page about moving over."""
import json
import os
import re
import signal
import sys
import time

from lib.gateway import TESTS, Folder, Gateway
from lib.story import SOAK, contains, equal, eventually, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_api import Api  # noqa: E402
from snowflake_caller import Caller, QueryFailed, encode, path_of  # noqa: E402

IMAGE, ROLE = "1.dkr.ecr.eu-west-1.amazonaws.com/snf", "arn:aws:iam::111111111111:role/SageMakerTest"
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
endpoint_url = %(url)s
allow_endpoints = csv*, slow*, shaky
[connector "snowflake"]
plugin = snowflake
secret = sesame
async_after = %(after)s
sagemaker = aws
region = eu-west-1
s3_bucket = bucket
training_image_ecr_path = %(image)s
sagemaker_role_arn = %(role)s
metric.rmse = RMSE .testset. +([0-9.]+)
[function "shaky"]
connector = aws
operation = invoke
endpoint = shaky
params = a:num
returns = num
attempts = 1
[function "slow"]
connector = aws
operation = invoke
endpoint = slow-%(ms)d
params = a:num
returns = num
attempts = 1
"""


class House(Gateway):
    def __init__(self, api, after="20s", ms=1500):
        super().__init__(CONFIG % {"url": api.url, "after": after, "image": IMAGE, "role": ROLE, "ms": ms})
        self.callers = []

    def caller(self, function, **options):
        self.callers.append(Caller(self.address("http"), path_of(function), "sesame", oracles=False, **options))
        return self.callers[-1]

    def stop(self, *args, **options):
        for c in self.callers:
            c.close()  # an end of the gateway leaves those that are open two seconds
        super().stop(*args, **options)

    def crash(self):
        """Everything at once: workers that outlive their supervisor would end what they have first."""
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            workers = [int(pid) for pid in f.read().split()]
        self.process.kill()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        return self.start()


def calls(api, operation):
    return [e for e in list(api.entries) if e.headers.get("x-amz-target", "").endswith("." + operation)]


@story
def training_for_every_row_and_once():
    with Api() as api, House(api) as g:
        rows = [["DB.S.A", "DB.S.OUT_A"], ["DB.S.B", "DB.S.OUT_B"], ["DB.S.A", "DB.S.OUT_A"]]
        c = g.caller("train")
        body = encode([[i, *r] for i, r in enumerate(rows)])
        reply = c.send("POST", "t:1", body)
        equal(reply.status, 200, reply.body)
        arns = [v for _, v in json.loads(reply.body)["data"]]
        equal(len(set(arns)), 3, "a job for each row")
        equal(json.loads(c.send("POST", "t:1", body).body)["data"], [[i, a] for i, a in enumerate(arns)], "the same batch again")
        # Other rows under its id are refused before any of them is worked on.
        more = c.send("POST", "t:1", encode([[i, *r] for i, r in enumerate(rows * 10)]))
        equal(more.status, 409, more.body)
        equal(len(g.caller("train").batch([["DB.S.C", "DB.S.OUT_C"]])), 1)  # whatever had begun has been asked for by now
        equal(len(api.jobs["training-job"]), 4)
        g.restart()
        c = g.caller("train_and_get_recommendations")
        del c
        equal(json.loads(g.caller("train").send("POST", "t:1", body).body)["data"], [[i, a] for i, a in enumerate(arns)])
        equal(len(api.jobs["training-job"]), 4, "jobs that were paid for")
        name = arns[0].rsplit("/", 1)[1]
        sent = api.jobs["training-job"][name]["args"]
        equal(sent, {"TrainingJobName": name,
                     "HyperParameters": {"input_table_name": "DB.S.A", "output_table_name": "DB.S.OUT_A", "region": "eu-west-1"},
                     "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File",
                                                "MetricDefinitions": [{"Name": "rmse", "Regex": "RMSE .testset. +([0-9.]+)"}]},
                     "RoleArn": ROLE, "OutputDataConfig": {"S3OutputPath": "s3://bucket/"},
                     "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
                     "StoppingCondition": {"MaxRuntimeInSeconds": 10000}})
        status = eventually(lambda: (lambda v: v["status"] == "Completed" and v)(g.caller("training_status").batch([[name]])[0]),
                            "the job is over")
        equal(status["metrics"], {"validation:rmse": 0.25})
        equal(g.caller("training_status").batch([[arns[1]], [None]])[1], None)
        try:
            g.caller("training_status").batch([["no-such-job"]])
        except QueryFailed as e:
            equal(e.status, 404, e)
        else:
            raise AssertionError("a job that is not there has a status")
        try:
            g.caller("train").batch([[None, "x"]])
        except QueryFailed as e:
            equal(e.status, 400, e)


@story
def deployments_go_on_where_they_stopped():
    with Api() as api, House(api) as g:
        arn = g.caller("train").batch([["A", "B"]])[0]
        name = arn.rsplit("/", 1)[1]
        eventually(lambda: g.caller("training_status").batch([[name]])[0]["status"] == "Completed", "the job is over")
        endpoint = g.caller("deploy").batch([["csv-v1", name]])[0]
        contains(endpoint, "endpoint/csv-v1")
        equal(api.models["csv-v1"]["args"]["PrimaryContainer"],
              {"Image": IMAGE, "ModelDataUrl": "s3://bucket//%s/output/model.tar.gz" % name})
        config = api.endpoint_configs["csv-v1"]["args"]["ProductionVariants"][0]
        equal((config["VariantName"], config["InstanceType"], config["InitialInstanceCount"]), ("variant-1", "ml.t2.medium", 1))
        equal(eventually(lambda: (lambda v: v["status"] == "InService" and v)(g.caller("endpoint_status").batch([["csv-v1"]])[0]),
                         "it is in service")["arn"], endpoint)
        equal(g.caller("invoke").batch([["csv-v1", "1", "610"]]), ["0.5"])
        # Half done before, by somebody else: what is the same is as good.
        equal(g.caller("deploy").batch([["csv-v1", name]]), [endpoint])
        # The second call fails for good; the next batch finds the model and goes on.
        api.faults["CreateEndpointConfig"] = ["denied"]
        try:
            g.caller("deploy").batch([["csv-v2", "s3://bucket/m.tar.gz"]])
        except QueryFailed as e:
            equal(e.status, 403, e)
        true("csv-v2" in api.models and "csv-v2" not in api.endpoints)
        contains(g.caller("deploy").batch([["csv-v2", "s3://bucket/m.tar.gz"]])[0], "endpoint/csv-v2")
        # An answer that is lost is looked up.
        api.faults["CreateEndpoint"] = ["lose"]
        contains(g.caller("deploy").batch([["csv-v3", "s3://bucket/m.tar.gz"]])[0], "endpoint/csv-v3")
        equal(len(calls(api, "CreateEndpoint")), 4, "an answer that was lost is looked up, not asked for again")
        try:
            g.caller("deploy").batch([["csv-v1", "s3://bucket/other.tar.gz"]])
        except QueryFailed as e:
            equal(e.status, 409, e)
            contains(e.body.decode(), "differs")


@story
def deployments_outlive_a_crash():
    """Between any two of its calls, whether the last one was done or not."""
    calls_ = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint")
    with Api() as api, House(api, after="200ms") as g:
        for n, (operation, manner) in enumerate([(c, m) for c in calls_ for m in ("hang", "reset")] if SOAK else [(calls_[1], "hang")]):
            name, body = "csv-d%d" % n, encode([[4, "csv-d%d" % n, "s3://bucket/m.tar.gz"]])
            api.faults[operation] = [manner]
            before = len(calls(api, operation))
            equal(g.caller("deploy").send("POST", name, body).status in (200, 202), True)
            eventually(lambda o=operation, b=before: len(calls(api, o)) > b, "the call")
            g.crash()
            c = g.caller("deploy")
            reply = eventually(lambda i=name, b=body, c=c: (lambda r: r.status == 200 and r)(c.send("POST", i, b)), "it is deployed")
            contains(json.loads(reply.body)["data"][0][1], "endpoint/" + name)
            eventually(lambda i=name: g.caller("endpoint_status").batch([[i]])[0]["status"] == "InService", "in service")
        equal(len(api.endpoints), n + 1)


@story
def long_batches_outlive_a_crash():
    with Api() as api, House(api, after="200ms", ms=1200) as g:
        for at in ([0.3] if not SOAK else [i / 20 for i in range(30)]):
            batch, body = "crash:%s" % at, encode([[7, 2], [3, 4]])
            c = g.caller("slow")
            reply = c.send("POST", batch, body)
            equal(reply.status, 202, reply.body)
            time.sleep(at)
            g.crash()
            # Whoever has the lease, other rows are not the same batch.
            reply = g.caller("slow").send("POST", batch, body)
            true(reply.status in (200, 202), reply.status, reply.body)
            reply = g.caller("slow").send("POST", batch, encode([[7, 2], [3, 5]]))
            equal((reply.status, json.loads(reply.body)["batch_id"]), (409, batch))
            c = g.caller("slow")
            reply = eventually(lambda b=batch, c=c: (lambda r: r.status != 202 and r)(c.send("GET", b)), "it is done")
            equal((reply.status, json.loads(reply.body)["data"]), (200, [[7, 1], [3, 2]]), reply.body)
            # Finished results are found after another crash too, and by who sends the batch again.
            g.crash()
            equal(json.loads(g.caller("slow").send("GET", batch).body)["data"], [[7, 1], [3, 2]])
        equal(g.caller("slow").send("GET", "never:1").status, 404)


@story
def what_may_pass_is_tried_again():
    """A batch that was parked and met a backend that was down for a moment has no failure for a result."""
    class Shaky(Api):
        def answer(self, handler, entry):
            if "/shaky/" in entry.path and self.nth("shaky") <= 2:
                time.sleep(0.3)
                return self.fail(handler, 500, "InternalFailure", "We encountered an internal error. Please try again.")
            return super().answer(handler, entry)
    with Shaky() as api, House(api, after="100ms") as g:
        c, body = g.caller("shaky"), encode([[0, 2], [1, 4]])
        equal(c.send("POST", "shaky:1", body).status, 202)
        reply = eventually(lambda: (lambda r: r.status != 202 and r)(c.send("GET", "shaky:1")), "it is done")
        equal((reply.status, json.loads(reply.body)["data"]), (200, [[0, 1], [1, 2]]))
        equal(api.counts["shaky"], 4)  # the last of them by the stand-in itself
        # Nor has one with effects whose first attempt is refused: who sends it again gets what came of it.
        api.faults["CreateTrainingJob"] = ["throttle"] * 4
        train = g.caller("train")
        answer = eventually(lambda: (lambda r: r.status == 200 and r)(train.send("POST", "again:1", encode([[0, "A", "B"]]))), "a job")
        contains(json.loads(answer.body)["data"][0][1], "training-job/")
        equal(len(api.jobs["training-job"]), 1)


@story
def the_page_about_moving_over():
    with open(os.path.join(TESTS, "..", "docs", "moving-from-snowflake-lambdas.md"), encoding="utf-8") as f:
        page = f.read()
    ini = re.search(r"```ini\n(.*?)```", page, re.S).group(1)
    with Folder(ini) as f:
        os.environ["PROXY_SECRET"] = "sesame"
        f.check()
        commands = re.findall(r"`patchbay (snowflake [^`]+)`", page)
        true(len(commands) >= 4, commands)
        for command in commands:
            words = command.split(" > ")[0].replace("ID.", "abc.").split()
            if len(words) > 2 and ("--" in command):
                true(f.run(*words, "--config", f.config).out, command)


if __name__ == "__main__":
    main()
