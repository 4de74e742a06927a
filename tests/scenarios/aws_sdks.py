# SPDX-License-Identifier: MIT
"""The stand-in for AWS is worth something only if AWS's own clients work with it: boto3 and the AWS SDK for JavaScript make
the same calls against it and are told the same, and the SDK knows what Debian's boto3 does not (AutoML V2)."""
import base64
import datetime
import json
import os
import random
import sys

from lib.gateway import TESTS
from lib.node import need, node
from lib.story import SEED, SOAK, contains, equal, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from aws_verify import KEY, SECRET  # noqa: E402
from sagemaker_api import ACCOUNT, Api  # noqa: E402

ROLE = "arn:aws:iam::%s:role/train" % ACCOUNT
TRAIN = {"TrainingJobName": "job-1", "RoleArn": ROLE, "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
         "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"}, "HyperParameters": {"lr": "0.1"},
         "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
         "StoppingCondition": {"MaxRuntimeInSeconds": 60}, "Tags": [{"Key": "k", "Value": "v"}]}
AUTOML = {"AutoMLJobName": "auto-1", "RoleArn": ROLE, "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
          "AutoMLJobInputDataConfig": [{"ChannelType": "training", "DataSource": {"S3DataSource": {
              "S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}}],
          "AutoMLProblemTypeConfig": {"TabularJobConfig": {"TargetAttributeName": "y"}}}

CALLS = [
    ("sagemaker", "CreateTrainingJob", TRAIN),
    ("sagemaker", "CreateTrainingJob", TRAIN),
    ("sagemaker", "CreateTrainingJob", dict(TRAIN, TrainingJobName="job-2-fails")),
    ("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "job-1"}),
    ("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "job-1"}),
    ("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "job-1"}),
    ("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "nobody"}),
    ("sagemaker", "StopTrainingJob", {"TrainingJobName": "job-1"}),
    ("sagemaker", "ListTrainingJobs", {"MaxResults": 1}),
    ("sagemaker", "ListTags", {"ResourceArn": "arn:aws:sagemaker:eu-west-1:%s:training-job/job-1" % ACCOUNT}),
    ("sagemaker", "CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "i"}}),
    ("sagemaker", "CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "i"}}),
    ("sagemaker", "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [
        {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]}),
    ("sagemaker", "CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "nope"}),
    ("sagemaker", "CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}),
    ("sagemaker", "DescribeEndpoint", {"EndpointName": "e"}),
    ("sagemaker", "DeleteEndpoint", {"EndpointName": "e"}),
    ("sagemaker", "DeleteEndpoint", {"EndpointName": "e"}),
    ("sagemaker", "CreateTransformJob", {"TransformJobName": "t", "ModelName": "m", "TransformInput": {"DataSource": {
        "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}}, "TransformOutput": {
            "S3OutputPath": "s3://bucket/out"}, "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}),
    ("sagemaker", "DescribeTransformJob", {"TransformJobName": "t"}),
    ("s3", "PutObject", {"Bucket": "bucket", "Key": "a b/\u00e9+&'", "Body": "x,y\n1,2\n", "ContentType": "text/csv",
                         "Metadata": {"who": "kim"}}),
    ("s3", "GetObject", {"Bucket": "bucket", "Key": "a b/\u00e9+&'"}),
    ("s3", "HeadObject", {"Bucket": "bucket", "Key": "a b/\u00e9+&'"}),
    ("s3", "GetObject", {"Bucket": "bucket", "Key": "nobody"}),
    ("s3", "GetObject", {"Bucket": "elsewhere", "Key": "nobody"}),
    ("runtime", "InvokeEndpoint", {"EndpointName": "csv", "Body": "4\n6\n", "ContentType": "text/csv"}),
    ("runtime", "InvokeEndpoint", {"EndpointName": "modelerror", "Body": "4\n", "ContentType": "text/csv"}),
    ("runtime", "InvokeEndpoint", {"EndpointName": "throttle-2", "Body": "4\n", "ContentType": "text/csv"}),
]
# What differs between two runs by nature, or is told in one SDK alone.
VOLATILE = {"CreationTime", "LastModifiedTime", "TrainingEndTime", "Timestamp", "LastModified", "ResponseMetadata", "AcceptRanges",
            "ChecksumType", "FailureReasonDetails"}


def normal(v):
    if isinstance(v, dict):
        return {k: normal(x) for k, x in v.items() if k not in VOLATILE}
    if isinstance(v, list):
        return [normal(x) for x in v]
    if isinstance(v, datetime.datetime):
        return v.timestamp()
    if hasattr(v, "read"):
        return v.read().decode()
    return v


def known(new, old):
    """What the newer SDK says, without the members that Debian's does not know yet."""
    if isinstance(old, dict):
        return {k: known(v, old[k]) for k, v in new.items() if k in old}
    if isinstance(old, list) and len(old) == len(new):
        return [known(n, o) for n, o in zip(new, old)]
    return new


def by_boto(url, calls):
    import boto3
    from botocore import xform_name
    from botocore.config import Config
    from botocore.exceptions import ClientError
    services = {"runtime": "sagemaker-runtime"}
    out, clients = [], {}
    for service, operation, args in calls:
        if service not in clients:
            clients[service] = boto3.client(services.get(service, service), region_name="eu-west-1", endpoint_url=url,
                                            aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                                            config=Config(retries={"mode": "standard", "max_attempts": 3}))
        try:
            out.append({"answer": normal(getattr(clients[service], xform_name(operation))(**args))})
        except ClientError as e:
            out.append({"error": e.response["Error"]["Code"], "message": e.response["Error"]["Message"]})
    return out


def by_js(url, calls):
    return [{k: normal(v) for k, v in r.items()} for r in json.loads(node("aws_js.mjs", "calls", url, stdin=json.dumps(calls)))]


# HEAD has no body, so each SDK makes up a name; and the JavaScript one leaves out empty lists and takes messages of its own.
@story
def both_are_told_the_same():
    need("@aws-sdk/client-sagemaker")
    with Api() as one, Api() as two:
        boto, js = by_boto(one.url, CALLS), by_js(two.url, CALLS)
        notes = [e.note for a in (one, two) for e in a.entries if "ignature" in e.note]
        equal(notes, [])
        equal([e.path.split("?")[0] for e in one.entries], [e.path.split("?")[0] for e in two.entries])
    for call, b, j in zip(CALLS, boto, js):
        if "error" in b or "error" in j:
            true("error" in b and "error" in j, call[:2], b, j)
            equal(b["error"], j["error"], call[:2])
            contains(j["message"], b["message"])
        else:
            equal(b["answer"], known(j["answer"], b["answer"]), call[:2])
    errors = [c[1] for c, b in zip(CALLS, boto) if "error" in b]
    equal(errors, ["CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "CreateModel", "CreateEndpoint", "DeleteEndpoint",
                   "GetObject", "GetObject", "InvokeEndpoint"])


@story
def the_newer_operations():
    need("@aws-sdk/client-sagemaker")
    calls = [("sagemaker", "CreateAutoMLJobV2", AUTOML)] + [("sagemaker", "DescribeAutoMLJobV2", {"AutoMLJobName": "auto-1"})] * 3 + [
        ("runtime", "InvokeEndpointAsync", {"EndpointName": "csv", "InputLocation": "s3://bucket/in"}),
        ("runtime", "InvokeEndpoint", {"EndpointName": "csv", "Body": "4\n", "ContentType": "text/csv",
                                       "InferenceComponentName": "component"})]
    with Api() as api:
        api.objects[("bucket", "in")] = api.object(b"4\n", "text/csv")
        got = by_js(api.url, calls)
        equal(got[0]["answer"]["AutoMLJobArn"].rsplit("/", 1)[1], "auto-1")
        equal([g["answer"]["AutoMLJobStatus"] for g in got[1:4]], ["InProgress", "InProgress", "Completed"])
        contains(got[4]["answer"]["OutputLocation"], "s3://bucket/")
        equal(api.entries[-1].headers["x-amzn-sagemaker-inference-component"], "component")


ACTIONS = {"CreateTrainingJob": "create_training_job", "DescribeTrainingJob": "describe_training_job", "ListTrainingJobs": "list_training_jobs",
           "StopTrainingJob": "stop_training_job", "ListTags": "list_tags", "CreateModel": "create_model",
           "CreateEndpointConfig": "create_endpoint_config", "CreateEndpoint": "create_endpoint", "DescribeEndpoint": "describe_endpoint",
           "DeleteEndpoint": "delete_endpoint", "CreateTransformJob": "create_transform_job",
           "DescribeTransformJob": "describe_transform_job", "CreateAutoMLJobV2": "create_auto_ml_job_v2",
           "DescribeAutoMLJobV2": "describe_auto_ml_job_v2", "PutObject": "put_object", "GetObject": "get_object"}


@story
def the_gateway_is_told_the_same():
    """The calls again, through the gateway's actions: the same requests, the same answers, errors with the same codes."""
    import http.client
    from lib.gateway import Gateway, new_key
    key, section = new_key("etl")
    text = section + '\n[listen "http"]\naddress = 127.0.0.1:0\n[jobs]\nattempts = 1\n[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\n'
    functions = "".join('[function "%s"]\naction = aws.%s\nparams = key:str, args:json\n' % (n, a) for n, a in ACTIONS.items())
    # What exists already and is the same is as good as made: that is where the gateway differs, on purpose.
    calls = [c for i, c in enumerate(CALLS) if c[1] in ACTIONS and not (c[1].startswith("Create") and c in CALLS[:i])]
    calls += [("sagemaker", "CreateAutoMLJobV2", AUTOML)] + [("sagemaker", "DescribeAutoMLJobV2", {"AutoMLJobName": "auto-1"})] * 3
    with Api() as one, Api() as two:
        wanted = by_boto(one.url, calls[:-4]) + by_js(one.url, calls[-4:])
        with Gateway(text + "endpoint_url = %s\n" % two.url + functions) as g:
            for i, ((_, operation, args), want) in enumerate(zip(calls, wanted)):
                if operation.startswith("Create") and operation not in ("CreateModel", "CreateEndpointConfig"):
                    args = dict(args, Wait=False)
                c = http.client.HTTPConnection(g.address("http"), timeout=60)
                c.request("POST", "/functions/" + operation, body=json.dumps({"rows": [["k%d" % i, args]]}),
                          headers={"content-type": "application/json", "x-api-key": key})
                body = c.getresponse().read().decode()
                c.close()
                if "error" in want:
                    contains(body, want["error"])
                    continue
                cell = json.loads(body)["rows"][0][0]
                got = normal(json.loads(cell) if isinstance(cell, str) else cell)
                equal(known(got, want["answer"]), {k: v for k, v in want["answer"].items() if k in got}, (operation, args))
                true(set(want["answer"]) <= set(got), operation, set(want["answer"]) - set(got))
        ours = [(e.headers.get("x-amz-target"), e.method, e.path.split("?")[0]) for e in two.entries]
        theirs = [(e.headers.get("x-amz-target"), e.method, e.path.split("?")[0]) for e in one.entries]
        equal(ours, theirs)
        equal([json.loads(e.body) for e in two.entries if "x-amz-target" in e.headers],
              [json.loads(e.body) for e in one.entries if "x-amz-target" in e.headers], "bodies")


@story
def a_second_verifier_agrees():
    """What botocore found good, aws4 finds good: requests of every service that the gateway talks to, as they came."""
    need("aws4")
    from lib.gateway import SSE, Gateway, new_key
    from lib.sse import client
    with Api() as api:
        api.parameters["/a/ b"] = "x"
        key, section = new_key("analysts")
        text = SSE + section + """
[connector "aws"]
plugin = sagemaker
region = eu-west-1
endpoint_url = %(url)s
[connector "b"]
plugin = sagemaker
region = eu-west-1
endpoint_url = %(url)s
external_id = ssm:/a/ b
[function "score"]
connector = b
operation = invoke
endpoint = csv
params = s:str, n:num
header.X-Own = a  b
custom_attributes = x  y
max_rows = 3
[function "train"]
connector = aws
operation = train
s3_uri = s3://bucket/a b+c
execution_role = %(role)s
target = y
params = x:num, y:num
""" % {"url": api.url, "role": ROLE}
        count = 2000 if SOAK else 100
        with Gateway(text) as g, client(g) as c:
            rng = random.Random(SEED)
            rows = [["".join(chr(rng.choice((rng.randint(32, 126), rng.randint(0xa1, 0x1fff)))) for _ in range(rng.randint(0, 30))), 1.5]
                    for _ in range(3 * count)]
            c.call(c.ids()["score"], rows).ok()
            c.call(c.ids()["train"], [[1.0, float(i % 2)] for i in range(100)], metadata=[("x-api-key", key)]).ok()
        requests, services = [], set()
        for e in api.entries:
            scope = e.headers["authorization"].split("Credential=")[1].split(",")[0].split("/")
            services.add(scope[3])
            requests.append({"method": e.method, "path": e.path, "headers": e.headers, "body": base64.b64encode(e.body).decode(),
                             "key": KEY, "secret": SECRET, "service": scope[3], "region": scope[2]})
        true(len(requests) >= count, len(requests))
        equal(services, {"sagemaker", "s3", "ssm"})
        equal([e.note for e in api.entries if "ignature" in e.note], [])
        equal([w for w in json.loads(node("aws_js.mjs", "verify", stdin=json.dumps(requests))) if w], [])


if __name__ == "__main__":
    main()
