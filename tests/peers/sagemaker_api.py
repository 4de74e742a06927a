#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stand-in for what Patchbay uses of AWS besides the runtime: SageMaker's control plane, S3 (path style), SSM parameters,
Secrets Manager and SQS, all on one port, with the runtime of sagemaker_runtime.py. Signatures are verified by botocore, and so are
arguments, where Debian's botocore knows the operation.

    api = Api(); api.start(); api.url
    api.steps = 2          how often Describe... says that something is under way
    api.faults["CreateModel"] = ["throttle", "lose", "reset", "failure", "denied"]   what happens to the next calls;
                           lose: it is done, and the connection breaks before the answer; hang: ... the answer takes a minute;
                           blank: 200 and {}
    api.chaos(0.05, seed)  and the same by chance
    api.cut_first = True   ListTrainingJobs cuts a page before it filters, so that pages may be empty
    api.jobs, api.models, api.endpoint_configs, api.endpoints, api.objects, api.parameters, api.secrets, api.queues

A job whose name holds "fails" fails, one with "stops" is stopped. Shapes and errors:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""
import base64
import hashlib
import json
import os
import random
import re
import sys
import time
import uuid
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import botocore.session  # noqa: E402
from botocore.validate import ParamValidator  # noqa: E402
from aws_verify import REGION, fault  # noqa: E402
from sagemaker_runtime import Runtime  # noqa: E402

ACCOUNT = "111111111111"
MODEL = botocore.session.Session().get_service_model("sagemaker")
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def arn(kind, name):
    return "arn:aws:sagemaker:%s:%s:%s/%s" % (REGION, ACCOUNT, kind, name)


class Refused(Exception):
    def __init__(self, code, message, status=400):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def missing(text="Requested resource not found."):
    return Refused("ValidationException", text)


class Api(Runtime):
    def __init__(self, port=0, ring=None):
        super().__init__(port, ring=ring)
        self.steps, self.faults, self.page = 2, {}, 100
        self.jobs = {"training-job": {}, "transform-job": {}, "automl-job": {}}
        self.models, self.endpoint_configs, self.endpoints, self.tags = {}, {}, {}, {}
        self.buckets, self.objects, self.uploads = {"bucket", "my.bucket"}, {}, {}
        self.parameters, self.secrets, self.queues = {}, {}, {}
        self.secret_reads = 0
        self.cut_first, self.share, self.random, self.hit = False, 0, None, []

    def chaos(self, share, seed=1, kinds=("throttle", "failure", "reset", "lose")):
        self.share, self.random, self.kinds = share, random.Random(seed), kinds

    # ---------------------------------------------------------------------------------------------- dispatch

    def answer(self, handler, entry):
        path = urlsplit(entry.path).path
        if path == "/_control":  # for tests that are not written in Python
            for name, value in json.loads(entry.body).items():
                setattr(self, name, value)
            return handler.reply(200, json.dumps({"uploads": [u["state"] for u in self.uploads.values()],
                                                  "objects": {"/".join(k): len(o["body"]) for k, o in self.objects.items()},
                                                  "made": {k: sorted(v) for k, v in self.jobs.items()}}).encode())
        if re.match(r"/endpoints/[^/]+/async-invocations$", path):
            return self.invoke_async(handler, entry, path.split("/")[2])
        if path.startswith("/endpoints/"):
            return super().answer(handler, entry)
        target = entry.headers.get("x-amz-target", "")
        if target:
            return self.json_call(handler, entry, target)
        return self.s3(handler, entry)

    def refuse(self, handler, e):
        handler.entry.note = "%s: %s" % (e.code, e.message)
        # The control plane names its errors in the body alone.
        handler.reply(e.status, json.dumps({"__type": e.code, "message": e.message}).encode(),
                      "application/x-amz-json-1.1", x_amzn_RequestId=str(uuid.uuid4()))

    def next_fault(self, operation):
        with self.lock:
            waiting = self.faults.get(operation) or self.faults.get("*") or []
            what = waiting.pop(0) if waiting else None
            if not what and self.share and self.random.random() < self.share:
                what = self.random.choice(self.kinds)
            if what:
                self.hit.append((operation, what))
            return what

    def json_call(self, handler, entry, target):
        prefix, operation = target.split(".", 1)
        services = {"SageMaker": "sagemaker", "AmazonSSM": "ssm", "secretsmanager": "secretsmanager", "AmazonSQS": "sqs"}
        what = self.next_fault(operation)
        try:
            if prefix not in services:
                raise Refused("UnknownOperationException", "")
            wrong = fault(entry, self.ring, (services[prefix],), skew=self.skew)
            if wrong:
                raise Refused(*wrong, status=400)
            if what == "throttle":
                raise Refused("ThrottlingException", "Rate exceeded")
            if what == "failure":
                raise Refused("InternalFailure", "We encountered an internal error.", 500)
            if what == "denied":
                raise Refused("AccessDeniedException", "User is not authorized to perform: sagemaker:" + operation)
            if what == "reset":
                return self.rude(handler, "reset")
            if what == "blank":
                return handler.reply(200, b"{}", "application/x-amz-json-1.1", x_amzn_RequestId=str(uuid.uuid4()))
            try:
                args = json.loads(entry.body)
            except ValueError:
                raise Refused("SerializationException", "not JSON") from None
            if prefix == "SageMaker":
                if entry.headers.get("content-type") != "application/x-amz-json-1.1":
                    raise Refused("SerializationException", "content type")
                self.validate(operation, args)
            answer = getattr(self, operation)(args)
            if what == "lose":
                return self.rude(handler, "reset")
            if what == "hang" and not self.wait(handler, 60):
                return None
        except AttributeError:
            return self.refuse(handler, Refused("UnknownOperationException", operation))
        except Refused as e:
            return self.refuse(handler, e)
        return handler.reply(200, json.dumps(answer).encode() if answer is not None else b"", "application/x-amz-json-1.1",
                             x_amzn_RequestId=str(uuid.uuid4()))

    @staticmethod
    def validate(operation, args):
        if operation not in MODEL.operation_names:
            return
        report = ParamValidator().validate(args, MODEL.operation_model(operation).input_shape)
        if report.has_errors():
            raise Refused("ValidationException", "1 validation error detected: " + report.generate_report())

    # ---------------------------------------------------------------------------------------------- jobs

    def new_job(self, kind, name, args, status_key):
        jobs = self.jobs[kind]
        if not NAME.fullmatch(name):
            raise Refused("ValidationException", "1 validation error detected: Value '%s' failed to satisfy constraint" % name)
        with self.lock:
            if name in jobs:
                raise Refused("ResourceInUse", "Job name must be unique within an AWS account and region, and a job with this "
                              "name already exists (%s)" % jobs[name]["arn"])
            jobs[name] = {"args": args, "arn": arn(kind, name), "created": time.time(), "looks": 0, "key": status_key,
                          "stopping": False}
            self.tags[jobs[name]["arn"]] = args.get("Tags", [])
            return jobs[name]

    def state(self, job, name):
        with self.lock:
            job["looks"] += 1
            if job["looks"] <= self.steps:
                return ("Stopping" if job["stopping"] else "InProgress"), ("Starting", "Training")[job["looks"] > 1]
            job.setdefault("ended", time.time())
            end = "Failed" if "fails" in name else "Stopped" if "stops" in name or job["stopping"] else "Completed"
            return end, end

    def find(self, kind, name):
        job = self.jobs[kind].get(name)
        if not job:
            raise missing()
        return job

    def CreateTrainingJob(self, args):
        return {"TrainingJobArn": self.new_job("training-job", args["TrainingJobName"], args, "TrainingJobStatus")["arn"]}

    def DescribeTrainingJob(self, args):
        name = args["TrainingJobName"]
        job = self.find("training-job", name)
        status, secondary = self.state(job, name)
        answer = {k: v for k, v in job["args"].items() if k != "Tags"}
        answer.update(TrainingJobArn=job["arn"], TrainingJobStatus=status, SecondaryStatus=secondary,
                      CreationTime=job["created"], LastModifiedTime=job.get("ended", time.time()))
        if status == "Completed":
            answer.update(ModelArtifacts={"S3ModelArtifacts": job["args"]["OutputDataConfig"]["S3OutputPath"] + "/" + name +
                                          "/output/model.tar.gz"}, TrainingEndTime=job["ended"], BillableTimeInSeconds=61,
                          FinalMetricDataList=[{"MetricName": "validation:rmse", "Value": 0.25, "Timestamp": job["ended"]}])
        if status == "Failed":
            answer.update(FailureReason="AlgorithmError: the data have no column \u201cx\u201d", TrainingEndTime=job["ended"])
        return answer

    def ListTrainingJobs(self, args):
        found = []
        for name, job in sorted(self.jobs["training-job"].items(), key=lambda kv: kv[1]["created"]):
            end = job.get("ended")
            status = "InProgress" if not end else "Failed" if "fails" in name else "Stopped" if "stops" in name else "Completed"
            changed = end or job["created"]
            if self.cut_first:
                found.append((name, job, end, status, changed))
                continue
            if args.get("NameContains", "") not in name or args.get("StatusEquals", status) != status:
                continue
            if changed <= args.get("LastModifiedTimeAfter", 0) or job["created"] <= args.get("CreationTimeAfter", 0):
                continue
            if job["created"] >= args.get("CreationTimeBefore", float("inf")):
                continue
            found.append(self.summary(name, job, end, status, changed))
        if args.get("SortBy", "CreationTime") == "CreationTime" and args.get("SortOrder") != "Ascending":
            found.reverse()
        answer = self.paged("TrainingJobSummaries", found, args)
        if self.cut_first:
            answer["TrainingJobSummaries"] = [self.summary(*x) for x in answer["TrainingJobSummaries"]
                                              if x[1]["created"] > args.get("CreationTimeAfter", 0)]
        return answer

    @staticmethod
    def summary(name, job, end, status, changed):
        item = {"TrainingJobName": name, "TrainingJobArn": job["arn"], "CreationTime": job["created"],
                "LastModifiedTime": changed, "TrainingJobStatus": status, "SecondaryStatus": status}
        if end:
            item["TrainingEndTime"] = end
        return item

    def paged(self, member, found, args):
        at = int(base64.b64decode(args["NextToken"])) if args.get("NextToken") else 0
        n = min(args.get("MaxResults", 10), self.page)
        answer = {member: found[at:at + n]}
        if at + n < len(found):
            answer["NextToken"] = base64.b64encode(b"%d" % (at + n)).decode()
        return answer

    def StopTrainingJob(self, args):
        job = self.find("training-job", args["TrainingJobName"])
        if job.get("ended"):
            raise Refused("ValidationException", "The request was rejected because the training job is in status Completed.")
        job["stopping"] = True

    def ListTags(self, args):
        if args["ResourceArn"] not in self.tags:
            raise missing()
        return self.paged("Tags", self.tags[args["ResourceArn"]], args)

    def CreateTransformJob(self, args):
        if args["ModelName"] not in self.models:
            raise Refused("ValidationException", 'Could not find model "%s".' % arn("model", args["ModelName"]))
        return {"TransformJobArn": self.new_job("transform-job", args["TransformJobName"], args, "")["arn"]}

    def DescribeTransformJob(self, args):
        job = self.find("transform-job", args["TransformJobName"])
        status, _ = self.state(job, args["TransformJobName"])
        answer = dict(job["args"], TransformJobArn=job["arn"], TransformJobStatus=status, CreationTime=job["created"])
        if status == "Failed":
            answer["FailureReason"] = "ClientError: see the logs"
        return answer

    def CreateAutoMLJobV2(self, args):
        for must in ("AutoMLJobName", "AutoMLJobInputDataConfig", "OutputDataConfig", "AutoMLProblemTypeConfig", "RoleArn"):
            if must not in args:
                raise Refused("ValidationException", "1 validation error detected: Value null at '%s'" % must)
        if len(args["AutoMLJobName"]) > 32:
            raise Refused("ValidationException", "AutoMLJobName: at most 32")
        return {"AutoMLJobArn": self.new_job("automl-job", args["AutoMLJobName"], args, "")["arn"]}

    def DescribeAutoMLJobV2(self, args):
        name = args["AutoMLJobName"]
        job = self.find("automl-job", name)
        status, secondary = self.state(job, name)
        if status == "InProgress":
            secondary = "AnalyzingData" if job["looks"] == 1 else "ModelTuning"
        answer = dict(job["args"], AutoMLJobName=name, AutoMLJobArn=job["arn"], AutoMLJobStatus=status,
                      AutoMLJobSecondaryStatus=secondary, CreationTime=job["created"], LastModifiedTime=time.time())
        if status == "Completed":
            answer["BestCandidate"] = {"CandidateName": name + "-best", "CandidateStatus": "Completed", "FinalAutoMLJobObjectiveMetric":
                                       {"MetricName": "validation:f1", "Value": 0.875}}
        if status == "Failed":
            answer["FailureReason"] = "AlgorithmError: too few rows"
        return answer

    # ---------------------------------------------------------------------------------------------- endpoints

    def new_thing(self, things, kind, said, name, args):
        with self.lock:
            if name in things:
                raise Refused("ValidationException", 'Cannot create already existing %s "%s".' % (said, arn(kind, name)))
            things[name] = {"args": args, "arn": arn(kind, name), "created": time.time(), "looks": 0}
            self.tags[things[name]["arn"]] = args.get("Tags", [])
            return things[name]

    def CreateModel(self, args):
        return {"ModelArn": self.new_thing(self.models, "model", "model", args["ModelName"], args)["arn"]}

    def DescribeModel(self, args):
        m = self.models.get(args["ModelName"])
        if not m:
            raise missing('Could not find model "%s".' % arn("model", args["ModelName"]))
        return dict({k: v for k, v in m["args"].items() if k != "Tags"}, ModelArn=m["arn"], CreationTime=m["created"])

    def CreateEndpointConfig(self, args):
        for v in args["ProductionVariants"]:
            if v.get("ModelName") and v["ModelName"] not in self.models:
                raise Refused("ValidationException", 'Could not find model "%s".' % arn("model", v["ModelName"]))
        return {"EndpointConfigArn": self.new_thing(self.endpoint_configs, "endpoint-config", "endpoint configuration",
                                                    args["EndpointConfigName"], args)["arn"]}

    def DescribeEndpointConfig(self, args):
        c = self.endpoint_configs.get(args["EndpointConfigName"])
        if not c:
            raise missing('Could not find endpoint configuration "%s".' % arn("endpoint-config", args["EndpointConfigName"]))
        return dict({k: v for k, v in c["args"].items() if k != "Tags"}, EndpointConfigArn=c["arn"], CreationTime=c["created"])

    def CreateEndpoint(self, args):
        if args["EndpointConfigName"] not in self.endpoint_configs:
            raise missing('Could not find endpoint configuration "%s".' % arn("endpoint-config", args["EndpointConfigName"]))
        return {"EndpointArn": self.new_thing(self.endpoints, "endpoint", "endpoint", args["EndpointName"], args)["arn"]}

    def the_endpoint(self, args):
        e = self.endpoints.get(args["EndpointName"])
        if not e:
            raise missing('Could not find endpoint "%s".' % arn("endpoint", args["EndpointName"]))
        return e

    def DescribeEndpoint(self, args):
        e = self.the_endpoint(args)
        e["looks"] += 1
        under_way = e["looks"] <= self.steps
        status = ("Updating" if e.get("updated") else "Creating") if under_way else \
            "Failed" if "fails" in args["EndpointName"] else "InService"
        answer = {"EndpointName": args["EndpointName"], "EndpointArn": e["arn"], "EndpointStatus": status,
                  "EndpointConfigName": e.get("old", e["args"]["EndpointConfigName"]) if under_way
                  else e["args"]["EndpointConfigName"], "CreationTime": e["created"], "LastModifiedTime": time.time()}
        if under_way and e.get("updated"):
            answer["PendingDeploymentSummary"] = {"EndpointConfigName": e["args"]["EndpointConfigName"]}
        if status == "Failed":
            answer["FailureReason"] = "The primary container did not pass the ping health check."
        return answer

    def UpdateEndpoint(self, args):
        e = self.the_endpoint(args)
        if e["looks"] <= self.steps:
            raise Refused("ValidationException", 'Cannot update in-progress endpoint "%s".' % e["arn"])
        if args["EndpointConfigName"] not in self.endpoint_configs:
            raise missing('Could not find endpoint configuration "%s".' % arn("endpoint-config", args["EndpointConfigName"]))
        e["old"] = e["args"]["EndpointConfigName"]
        e["args"] = dict(e["args"], EndpointConfigName=args["EndpointConfigName"])
        e.update(looks=0, updated=True)
        return {"EndpointArn": e["arn"]}

    def DeleteEndpoint(self, args):
        self.the_endpoint(args)
        del self.endpoints[args["EndpointName"]]

    def invoke_async(self, handler, entry, name):
        """The answer of the csv form, put to where OutputLocation says; at once, or after `steps` looks."""
        wrong = fault(entry, self.ring, ("sagemaker",), skew=self.skew)
        if wrong:
            return self.fail(handler, 403, *wrong)
        location = entry.headers.get("x-amzn-sagemaker-inputlocation")
        if bool(location) == bool(entry.body):
            return self.fail(handler, 400, "ValidationError", "InputLocation or a body, and not both")
        if entry.body and len(entry.body) > 128000:
            return self.fail(handler, 413, "ValidationError", "the body is longer than 128000 bytes")
        data = entry.body if entry.body else self.objects.get(tuple(location[5:].split("/", 1)), {}).get("body")
        if data is None:
            return self.fail(handler, 400, "ValidationError", "there is no object " + location)
        key, bad = "out/%s.out" % uuid.uuid4(), "failed/%s.out" % uuid.uuid4()
        if "fails" in name:
            self.objects[("bucket", bad)] = self.object(b"the model says: no such feature", "text/plain", delay=self.steps)
        elif "never" not in name:
            from sagemaker_runtime import score
            body = "".join("%r\n" % score(line) for line in data.decode().splitlines()).encode()
            self.objects[("bucket", key)] = self.object(body, "text/csv", delay=self.steps)
        inference = entry.headers.get("x-amzn-sagemaker-inference-id") or str(uuid.uuid4())
        return handler.reply(202, json.dumps({"InferenceId": inference}).encode(), X_Amzn_SageMaker_OutputLocation="s3://bucket/" + key,
                             X_Amzn_SageMaker_FailureLocation="s3://bucket/" + bad)

    # ---------------------------------------------------------------------------------------------- S3

    @staticmethod
    def object(body, kind, meta=None, delay=0):
        return {"body": body, "type": kind, "etag": '"%s"' % hashlib.md5(body).hexdigest(), "meta": meta or {}, "delay": delay,
                "modified": time.time()}

    def s3_error(self, handler, status, code, message):
        handler.entry.note = "%s: %s" % (code, message)
        handler.reply(status, ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message>'
                               "<RequestId>X</RequestId></Error>" % (code, escape(message))).encode(), "application/xml",
                      x_amz_request_id="ABCDEF0123456789")

    def s3(self, handler, entry):
        parts = urlsplit(entry.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        wrong = fault(entry, self.ring, ("s3",), skew=self.skew)
        if wrong:
            code = {"InvalidSignatureException": "SignatureDoesNotMatch", "ExpiredTokenException": "ExpiredToken",
                    "UnrecognizedClientException": "InvalidAccessKeyId"}.get(wrong[0], "AccessDenied")
            return self.s3_error(handler, 400 if code == "ExpiredToken" else 403, code, wrong[1])
        bucket, _, key = unquote(parts.path[1:]).partition("/")
        if bucket not in self.buckets:
            return self.s3_error(handler, 404, "NoSuchBucket", "The specified bucket does not exist")
        operation = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject"}.get(entry.method, "")
        operation = "UploadPart" if "partNumber" in query else "CreateMultipartUpload" if "uploads" in query else \
            "CompleteMultipartUpload" if entry.method == "POST" else "AbortMultipartUpload" if entry.method == "DELETE" else operation
        what = self.next_fault(operation)
        if what == "throttle":
            return self.s3_error(handler, 503, "SlowDown", "Please reduce your request rate.")
        if what == "denied":
            return self.s3_error(handler, 403, "AccessDenied", "Access Denied")
        if what == "failure":
            return self.s3_error(handler, 500, "InternalError", "We encountered an internal error.")
        if what in ("reset", "close"):
            return self.rude(handler, what)
        if what == "slow":
            if not self.wait(handler, 30):
                return None
        return getattr(self, operation)(handler, entry, (bucket, key), query)

    def GetObject(self, handler, entry, at, query):
        o = self.objects.get(at)
        if o and o["delay"] > 0:
            o["delay"] -= 1
            o = None
        if not o:
            return self.s3_error(handler, 404, "NoSuchKey", "The specified key does not exist.")
        body, status = o["body"], 200
        if entry.headers.get("if-none-match") == o["etag"]:
            return handler.reply(304, b"", o["type"], ETag=o["etag"])
        m = re.fullmatch(r"bytes=(\d+)-(\d+)", entry.headers.get("range", ""))
        if m:
            body, status = body[int(m.group(1)):int(m.group(2)) + 1], 206
        headers = {"x_amz_meta_" + k: v for k, v in o["meta"].items()}
        return handler.reply(status, body, o["type"], ETag=o["etag"], **headers)

    HeadObject = GetObject

    def PutObject(self, handler, entry, at, query):
        meta = {k[11:]: v for k, v in entry.headers.items() if k.startswith("x-amz-meta-")}
        self.objects[at] = self.object(entry.body, entry.headers.get("content-type", "binary/octet-stream"), meta)
        return handler.reply(200, b"", ETag=self.objects[at]["etag"])

    def CreateMultipartUpload(self, handler, entry, at, query):
        upload = "up&<>+/=" + uuid.uuid4().hex
        self.uploads[upload] = {"at": at, "parts": {}, "type": entry.headers.get("content-type"), "state": "open"}
        return handler.reply(200, ("<InitiateMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><UploadId>%s</UploadId>"
                                   "</InitiateMultipartUploadResult>" % (at[0], escape(at[1]), escape(upload))).encode(),
                             "application/xml")

    def the_upload(self, handler, at, query):
        u = self.uploads.get(query.get("uploadId"))
        if not u or u["at"] != at or u["state"] != "open":
            self.s3_error(handler, 404, "NoSuchUpload", "The specified upload does not exist.")
            return None
        return u

    def UploadPart(self, handler, entry, at, query):
        u = self.the_upload(handler, at, query)
        if u:
            u["parts"][int(query["partNumber"])] = entry.body
            handler.reply(200, b"", ETag='"%s"' % hashlib.md5(entry.body).hexdigest())

    def CompleteMultipartUpload(self, handler, entry, at, query):
        u = self.the_upload(handler, at, query)
        if not u:
            return None
        listed = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>([^<]+)</ETag>", entry.body.decode())
        numbers = [int(n) for n, _ in listed]
        if numbers != sorted(u["parts"]) or any(e.replace("&quot;", '"') != '"%s"' % hashlib.md5(u["parts"][int(n)]).hexdigest()
                                                for n, e in listed):
            return self.s3_error(handler, 400, "InvalidPart", "One or more of the specified parts could not be found.")
        if any(len(u["parts"][n]) < 5 << 20 for n in numbers[:-1]):
            return self.s3_error(handler, 400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        u["state"] = "complete"
        self.objects[at] = self.object(b"".join(u["parts"][n] for n in numbers), u["type"])
        return handler.reply(200, ("<CompleteMultipartUploadResult><ETag>&quot;%s-%d&quot;</ETag></CompleteMultipartUploadResult>"
                                   % (uuid.uuid4().hex, len(numbers))).encode(), "application/xml")

    def AbortMultipartUpload(self, handler, entry, at, query):
        u = self.the_upload(handler, at, query)
        if u:
            u["state"] = "aborted"
            handler.reply(204, b"")

    # ---------------------------------------------------------------------------------------------- secrets, queues

    def GetParameter(self, args):
        self.secret_reads += 1
        if args["Name"] not in self.parameters:
            raise Refused("ParameterNotFound", "")
        return {"Parameter": {"Name": args["Name"], "Type": "SecureString", "Version": 1, "LastModifiedDate": time.time(),
                              "Value": self.parameters[args["Name"]] if args.get("WithDecryption") else "AQICAHencrypted"}}

    def GetSecretValue(self, args):
        self.secret_reads += 1
        if args["SecretId"] not in self.secrets:
            raise Refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        return {"ARN": arn("secret", args["SecretId"]), "Name": args["SecretId"], "VersionId": str(uuid.uuid4()),
                "SecretString": self.secrets[args["SecretId"]], "CreatedDate": time.time()}

    def queue(self, args):
        name = args["QueueUrl"].rsplit("/", 1)[1]
        if name not in self.queues:
            raise Refused("com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
        return self.queues[name]

    def ReceiveMessage(self, args):
        q, until = self.queue(args), time.time() + min(args.get("WaitTimeSeconds", 0), 1)
        while True:
            with self.lock:
                now, out = time.time(), []
                for m in q:
                    if m["visible"] <= now and len(out) < args.get("MaxNumberOfMessages", 1):
                        m.update(visible=now + args.get("VisibilityTimeout", 30), handle=uuid.uuid4().hex, seen=m["seen"] + 1)
                        out.append({"MessageId": m["id"], "ReceiptHandle": m["handle"], "Body": m["body"],
                                    "MD5OfBody": hashlib.md5(m["body"].encode()).hexdigest()})
            if out or time.time() >= until:
                return {"Messages": out} if out else {}
            time.sleep(0.02)

    def send(self, name, body):
        with self.lock:
            self.queues.setdefault(name, []).append({"id": str(uuid.uuid4()), "body": body, "visible": 0, "seen": 0, "handle": None})

    def DeleteMessageBatch(self, args):
        q, handles = self.queue(args), {e["ReceiptHandle"]: e["Id"] for e in args["Entries"]}
        with self.lock:
            q[:] = [m for m in q if m["handle"] not in handles]
        return {"Successful": [{"Id": i} for i in handles.values()], "Failed": []}


if __name__ == "__main__":
    api = Api(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(api.port, flush=True)
    if sys.stdin.isatty():
        api.server.serve_forever()
    with api:
        sys.stdin.read()
