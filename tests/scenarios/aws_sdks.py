# SPDX-License-Identifier: MIT
"""The stand-in for AWS is worth something only if AWS's own clients work with it: boto3 and the AWS SDK for JavaScript make
the same calls against it and are told the same, and the SDK knows what Debian's boto3 does not (AutoML V2)."""
import datetime
import json
import os
import sys

from lib.gateway import TESTS
from lib.node import need, node
from lib.story import contains, equal, main, story, true

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


if __name__ == "__main__":
    main()
