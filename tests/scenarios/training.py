# SPDX-License-Identifier: MIT
"""Training from Qlik: a table function that puts its rows on S3, starts an AutoML job, and finds it again."""
import csv
import io
import json
import os
import sys

from lib.gateway import SSE, TESTS, Folder, Gateway
from lib.sse import CODE, client
from lib.story import contains, equal, eventually, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_api import ACCOUNT, Api  # noqa: E402

ROLE = "arn:aws:iam::%s:role/train" % ACCOUNT
COLUMNS = ("job", "arn", "status", "secondary_status", "metric", "value", "best", "reason", "rows")


def new_key():
    with Folder("") as f:
        p = f.run("new-key", "analysts")
        return p.out.strip(), p.err[p.err.index("["):]


KEY, SECTION = new_key()  # what changes the world is for callers who say who they are


def config(api, **functions):
    text = SSE + SECTION + "\n" + '[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\nendpoint_url = %s\n' % api.url
    for name, options in functions.items():
        text += ('[function "%s"]\nconnector = aws\noperation = train\ns3_uri = s3://bucket/models/\nexecution_role = %s\n'
                 'target = y\n%s\n' % (name, ROLE, options))
    return text


KEYED = "params = key:str, age:num, plan:str, y:num\nkey_column = key\n"
PLAIN = "params = age:num, plan:str, y:num\n"


def call(c, number, rows, **more):
    return c.call(number, rows, metadata=[("x-api-key", KEY)], **more)


def row(reply):
    reply.ok()
    equal(len(reply.rows), 1)
    cells = reply.rows[0].duals
    return {n: cells[i].numData if n in ("value", "rows") else cells[i].strData for i, n in enumerate(COLUMNS)}


@story
def a_load_starts_a_job_and_finds_it_again():
    rows = [["2026-11", 20.0 + i, 'plan "%d", x' % (i % 3) if i % 5 else "", i % 2] for i in range(1200)]
    with Api() as api, Gateway(config(api, train_churn=KEYED + "problem_type = binary\nobjective = F1\nmax_runtime = 1h\n"
                                      "max_candidates = 5\ntag.team = crm\n")) as g, client(g) as c:
        number = c.ids()["train_churn"]
        got = row(call(c, number, rows, size=100))
        equal((got["job"], got["status"], got["rows"]), ("train-churn-2026-11", "InProgress", 1200.0))
        contains(got["arn"], "automl-job/train-churn-2026-11")
        job = api.jobs["automl-job"]["train-churn-2026-11"]["args"]
        equal(job["AutoMLProblemTypeConfig"], {"TabularJobConfig": {
            "TargetAttributeName": "y", "ProblemType": "BinaryClassification",
            "CompletionCriteria": {"MaxCandidates": 5, "MaxAutoMLJobRuntimeInSeconds": 3600}}})
        equal((job["RoleArn"], job["AutoMLJobObjective"], job["Tags"]),
              (ROLE, {"MetricName": "F1"}, [{"Key": "team", "Value": "crm"}]))
        data = job["AutoMLJobInputDataConfig"][0]
        equal(data["ContentType"], "text/csv;header=present")
        uri = data["DataSource"]["S3DataSource"]["S3Uri"]
        (at, stored), = api.objects.items()
        equal("s3://%s/%s" % at, uri)
        read = list(csv.reader(io.StringIO(stored["body"].decode(), newline="")))
        equal(read[0], ["age", "plan", "y"])
        equal([[float(a), p, int(y)] for a, p, y in read[1:]], [r[1:] for r in rows])
        # The same key again: nothing is uploaded, and in the end the metrics are there.
        statuses = [row(call(c, number, rows[:7], size=3)) for _ in range(3)]
        equal([s["status"] for s in statuses], ["InProgress", "Completed", "Completed"])
        equal((statuses[2]["metric"], statuses[2]["value"]), ("validation:f1", 0.875))
        equal((len(api.objects), len(api.jobs["automl-job"])), (1, 1))
        equal(row(call(c, number, [["fails \u00e9 key that is no name"] + rows[0][1:]]))["status"], "InProgress")
        equal(len(api.jobs["automl-job"]), 2)
        call(c, number, [["", 1.0, "a", 1.0]]).fails(CODE.INVALID_ARGUMENT, "key")
        call(c, number, []).fails(CODE.INVALID_ARGUMENT, "no rows")


@story
def rows_name_the_job():
    rows = [[20.0 + i, "x" * 100, i % 2] for i in range(90000)]  # 10 MB: a multipart upload
    with Api() as api, Gateway(config(api, f=PLAIN + "job_prefix = churn")) as g, client(g) as c:
        number = c.ids()["f"]
        api.steps = 0
        first = row(call(c, number, rows, size=5000))
        true(first["job"].startswith("churn-") and len(first["job"]) == 22, first)
        equal([u["state"] for u in api.uploads.values()], ["complete"])
        again = row(call(c, number, rows, size=777))
        equal((again["job"], again["status"]), (first["job"], "Completed"))
        eventually(lambda: [u["state"] for u in api.uploads.values()] == ["complete", "aborted"], "the second upload is given up")
        equal(len(api.objects), 1)
        other = row(call(c, number, rows[:50]))
        true(other["job"] != first["job"], other)
        equal(len(api.jobs["automl-job"]), 2)


@story
def what_goes_wrong():
    rows = [[20.0 + i, "x", i % 2] for i in range(50)]
    with Api() as api, Gateway(config(api, f=PLAIN)) as g, client(g) as c:
        number = c.ids()["f"]
        c.call(number, rows).fails(CODE.UNAUTHENTICATED)
        api.faults["PutObject"] = ["denied"]
        call(c, number, rows).fails(CODE.PERMISSION_DENIED, "s3://bucket", "Access Denied")
        equal(len(api.jobs["automl-job"]), 0)
        api.faults["CreateAutoMLJobV2"] = ["denied"]
        call(c, number, rows).fails(CODE.PERMISSION_DENIED, "CreateAutoMLJobV2")
        # The answer is lost, but the job is there: found, not made twice. Throttling is waited out.
        api.faults["CreateAutoMLJobV2"] = ["throttle", "lose"]
        got = row(call(c, number, rows))
        equal((got["status"], len(api.jobs["automl-job"])), ("InProgress", 1))
        # Neither an answer nor a job: what Create said is the answer, and the next load makes it.
        for fault in "failure", "reset":
            api.faults["CreateAutoMLJobV2"] = [fault]
            call(c, number, rows[:20]).fails(CODE.UNAVAILABLE, "CreateAutoMLJobV2")
            equal(len(api.jobs["automl-job"]), 1)
        equal(row(call(c, number, rows[:20]))["status"], "InProgress")
        api.buckets.clear()
        call(c, number, rows + rows).fails(CODE.NOT_FOUND, "does not exist")
    with Api() as api:
        for options, part in ((PLAIN + "target = z", "target"), (PLAIN + "key_column = z", "key_column"),
                              (PLAIN + "objective = F1", "problem_type"), (PLAIN + "job_prefix = a_b", "job_prefix"),
                              (PLAIN + "execution_role = x", "execution_role"), (PLAIN + "s3_uri = http://x", "s3_uri"),
                              ("params = y:num", "target")):
            text = config(api, f=options)
            key = options.split("\n")[-1].split(" ")[0]
            if text.count("\n%s = " % key) > 1:
                text = text.replace("\n%s = " % key, "\n; ", 1)
            with Folder(text) as f:
                contains(f.check(code=None).err, part)


@story
def what_iam_has_to_allow():
    with Api() as api:
        text = config(api, f=PLAIN + "tag.a = b") + "[function \"score\"]\nconnector = aws\noperation = invoke\nendpoint = Churn-V1\n" \
            "params = n:num\n"
        text = text.replace("plugin = sagemaker\n", "plugin = sagemaker\nqueue_url = https://sqs.eu-west-1.amazonaws.com/%s/q\n"
                            "poll.training_job = yes\n" % ACCOUNT)
        with Folder(text) as f:
            def policy(*args, **more):
                return f.run("sagemaker", "aws-policy", "--config", f.config, *args, **more)
            statements = {s.pop("Sid"): s for s in json.loads(policy("--account", ACCOUNT).out)["Statement"]}
            equal(statements, {
                "Lists": {"Effect": "Allow", "Action": ["sagemaker:ListTrainingJobs"], "Resource": ["*"]},
                "Queue": {"Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"],
                          "Resource": ["arn:aws:sqs:eu-west-1:%s:q" % ACCOUNT]},
                "Train": {"Effect": "Allow", "Action": ["sagemaker:CreateAutoMLJobV2", "sagemaker:DescribeAutoMLJobV2",
                                                        "sagemaker:AddTags"],
                          "Resource": ["arn:aws:sagemaker:eu-west-1:%s:automl-job/*" % ACCOUNT]},
                "Objects": {"Effect": "Allow", "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
                            "Resource": ["arn:aws:s3:::bucket/models/*"]},
                "HandRolesToSageMaker": {"Effect": "Allow", "Action": ["iam:PassRole"], "Resource": [ROLE], "Condition": {
                    "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}},
                "Invoke": {"Effect": "Allow", "Action": ["sagemaker:InvokeEndpoint"],
                           "Resource": ["arn:aws:sagemaker:eu-west-1:%s:endpoint/churn-v1" % ACCOUNT]}})
            contains(policy("--account", "12", code=2).err, "12 digits")
            more = policy("--actions", "create_model,get_object", "--s3", "s3://data/in/", "--parameters", "/a/b", "--secrets", "c",
                          "--pass-role", ROLE).out
            for part in ("sagemaker:DescribeModel", "arn:aws:s3:::data/in/*", "parameter/a/b", "secret:c-??????", "model/*"):
                contains(more, part)
            contains(policy("--actions", "create_modell", code=2).err, "create_modell")
            contains(policy("--actions", "put_object", code=2).err, "--s3")


if __name__ == "__main__":
    main()
