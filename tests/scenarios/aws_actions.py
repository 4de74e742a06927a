# SPDX-License-Identifier: MIT
"""SageMaker's control plane through the gateway: functions whose rows are actions, answers that are lost, a gateway that is
killed in the middle, jobs that are waited for. Whatever happens, each thing is made once."""
import http.client
import json
import os
import sqlite3
import sys

from lib.gateway import TESTS, Gateway, new_key
from lib.story import contains, equal, eventually, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_api import ACCOUNT, Api, arn  # noqa: E402

ROLE = "arn:aws:iam::%s:role/train" % ACCOUNT
KEY, SECTION = new_key("etl")
CONFIG = """[listen "http"]
address = 127.0.0.1:0
[jobs]
lease = 2s
backoff = 50ms
[connector "aws"]
plugin = sagemaker
region = eu-west-1
endpoint_url = %s
poll_interval = 100ms
[function "model"]
action = aws.create_model
params = key:str, args:json
[function "endpoint_config"]
action = aws.create_endpoint_config
params = key:str, args:json
[function "endpoint"]
action = aws.create_endpoint
params = EndpointName:str, EndpointConfigName:str, key:str
[function "train"]
action = aws.create_training_job
params = key:str, args:json
wait = stored
"""
MODEL = {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "i"}}
VARIANTS = {"EndpointConfigName": "c", "ProductionVariants": [
    {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]}
TRAIN = {"TrainingJobName": "job-1", "RoleArn": ROLE, "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
         "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
         "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
         "StoppingCondition": {"MaxRuntimeInSeconds": 60}}


def call(g, name, rows):
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    c.request("POST", "/functions/" + name, body=json.dumps({"rows": rows}),
              headers={"content-type": "application/json", "x-api-key": KEY})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, text


def answers(g, name, rows):
    status, text = call(g, name, rows)
    equal(status, 200, text)
    return [json.loads(r[0]) if isinstance(r[0], str) else r[0] for r in json.loads(text)["rows"]]


def made(api, operation):
    return [e for e in api.entries if e.headers.get("x-amz-target") == "SageMaker." + operation]


def ends(g, kind):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return [json.loads(r[0]) for r in db.execute("SELECT data FROM event WHERE type = ? ORDER BY seq", (kind,))]
    finally:
        db.close()


@story
def a_deployment_converges():
    """Every first answer is lost, once before and once after it was done; then it is asked for again under other keys."""
    with Api() as api, Gateway(CONFIG % api.url + SECTION) as g:
        api.faults = {"CreateModel": ["lose"], "CreateEndpointConfig": ["reset"], "CreateEndpoint": ["throttle", "lose"]}
        for n in range(2):
            equal(answers(g, "model", [["k1-%d" % n, MODEL]]), [{"ModelArn": arn("model", "m")}])
            equal(answers(g, "endpoint_config", [["k2-%d" % n, VARIANTS]]), [{"EndpointConfigArn": arn("endpoint-config", "c")}])
            end, = answers(g, "endpoint", [["e", "c", "k3-%d" % n]])
            equal((end["EndpointStatus"], end["EndpointName"]), ("InService", "e"))
        equal([len(api.models), len(api.endpoint_configs), len(api.endpoints)], [1, 1, 1])
        status, text = call(g, "model", [["k4", dict(MODEL, PrimaryContainer={"Image": "other"})]])
        contains(text, "differs in PrimaryContainer.Image")
        status, text = call(g, "model", [["k5", dict(MODEL, ModelName="a b")]])
        contains(text, "ModelName")


@story
def killed_in_the_middle():
    with Api() as api, Gateway(CONFIG % api.url + SECTION) as g:
        api.faults = {"CreateTrainingJob": ["hang"]}
        first, = answers(g, "train", [["load-7", TRAIN]])
        equal(first["known"], False)
        eventually(lambda: len(api.jobs["training-job"]) == 1, "the job to be made")
        g.process.kill()
        g.process.wait()
        g.start()
        again, = answers(g, "train", [["load-7", TRAIN]])
        equal(again["known"], True)
        end, = eventually(lambda: ends(g, "create_training_job.done"), "the end of the job")
        true(end["ok"], end)
        equal(end["result"]["TrainingJobStatus"], "Completed")
        equal(len(made(api, "CreateTrainingJob")), 1)
        answers(g, "train", [["load-8", dict(TRAIN, TrainingJobName="job-fails")]])
        end = eventually(lambda: (lambda e: len(e) == 2 and e[1])(ends(g, "create_training_job.done")), "the end of the second")
        equal((end["ok"], end["code"], end["vendor_code"]), (False, "FAILED_PRECONDITION", "Failed"))
        contains(end["message"], "AlgorithmError")
        contains(g.run("jobs", "--state", g.state).out, "create_training_job")


if __name__ == "__main__":
    main()
