# SPDX-License-Identifier: MIT
"""What happens in SageMaker becomes events: sent by EventBridge (key, Basic, one and many), found by ListTrainingJobs, read
from a queue. However often something is told, it is one event."""
import base64
import json
import os
import sqlite3
import sys
import time

from lib.eventbridge import bridge, post
from lib.gateway import TESTS, Gateway, new_key
from lib.story import contains, equal, eventually, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_api import ACCOUNT, Api, arn  # noqa: E402

HTTP = '[listen "http"]\naddress = 127.0.0.1:0\n[jobs]\nlease = 2s\n'


def connector(api, more=""):
    return '[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\nendpoint_url = %s\n%s\n' % (api.url, more)


def events(g, kind=None):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        rows = db.execute("SELECT type, subject, data FROM event ORDER BY seq").fetchall()
    finally:
        db.close()
    return [(t, s, json.loads(d)) for t, s, d in rows if kind in (None, t)]


@story
def eventbridge_sends():
    key, section = new_key("eventbridge")
    with Api() as api, Gateway(HTTP + connector(api) + section) as g:
        done = bridge("job-1", "Failed", FailureReason="AlgorithmError: \u201cx\u201d")
        equal(post(g, done)[0], 401)
        equal(post(g, done, x_api_key="pbk_" + "0" * 43)[0], 401)
        status, text = post(g, done, x_api_key=key)
        equal((status, json.loads(text)), (200, {"stored": 1, "ignored": 0}))
        # Sent again, with another id, and by Basic: known.
        basic = "Basic " + base64.b64encode(("anybody:" + key).encode()).decode()
        equal(json.loads(post(g, dict(done, id="other"), authorization=basic)[1]), {"stored": 0, "ignored": 0})
        equal(post(g, done, authorization="Basic " + base64.b64encode(b"anybody:wrong").decode())[0], 401)
        equal(post(g, done, authorization="Basic nonsense")[0], 401)
        many = [bridge("job-2", "InProgress", "Starting"), bridge("job-2", "InProgress", "Training"), bridge("job-2", "Completed"),
                dict(bridge("x", "y"), **{"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2"})]
        equal(json.loads(post(g, many, authorization="Bearer " + key)[1]), {"stored": 3, "ignored": 1})
        got = events(g)
        equal([(t, s, d["status"]) for t, s, d in got], [
            ("training_job", "job-1", "failed"), ("training_job", "job-2", "in_progress"), ("training_job", "job-2", "in_progress"),
            ("training_job", "job-2", "completed")])
        equal((got[0][2]["message"], got[0][2]["arn"]), ("AlgorithmError: \u201cx\u201d", arn("training-job", "job-1")))
        for body, part in (("{", "not JSON"), ('"x"', "expected"), ([many[0], 7], "event 2"), ({"detail-type": "x"}, "detail"),
                           ({"detail-type": "SageMaker Training Job State Change", "source": "aws.sagemaker", "detail": {}},
                            "TrainingJobArn"), ([many[0]] * 1001, "1001 events"), ("[]", "stored")):
            status, text = post(g, body, x_api_key=key)
            equal(status, 200 if body == "[]" else 400, text)
            contains(text, part)
        equal(len(events(g)), 4)


@story
def jobs_are_found_and_told_once():
    key, section = new_key("eventbridge")
    more = "poll.training_job = 200ms\n"
    with Api() as api, Gateway(HTTP + connector(api, more) + section) as g:
        api.page = 2
        now = time.time()
        for i in range(5):
            api.jobs["training-job"]["job-%d" % i] = {"args": {}, "arn": arn("training-job", "job-%d" % i), "created": now, "looks": 0,
                                                       "ended": now if i else None, "stopping": False}
        eventually(lambda: len(events(g)) == 5, "five events")
        api.jobs["training-job"]["job-0"]["ended"] = time.time()
        eventually(lambda: len(events(g)) == 6, "the end of the first")
        # EventBridge tells of the same end.
        equal(json.loads(post(g, bridge("job-0", "Completed"), x_api_key=key)[1]), {"stored": 0, "ignored": 0})
        equal(sorted(d["status"] for _, s, d in events(g) if s == "job-0"), ["completed", "in_progress"])
        n = len(api.entries)
        api.faults["ListTrainingJobs"] = ["throttle", "failure", "reset"]
        eventually(lambda: len(api.entries) > n + 6, "it to go on")
        g.restart()
        n = len(api.entries)
        eventually(lambda: len(api.entries) > n + 1, "it to go on after a restart")
        equal(len(events(g)), 6)


@story
def more_jobs_than_a_poll_reads():
    with Api() as api:
        api.page = 2  # of which a poll reads 50
        now = time.time()
        for i in range(120):  # the oldest one is the last that changed
            api.jobs["training-job"]["job-%d" % i] = {"args": {}, "arn": arn("training-job", "job-%d" % i), "created": now - 30 + i / 10,
                                                       "looks": 0, "ended": now - 10 if i else now, "stopping": False}
        with Gateway(HTTP + connector(api, "poll.training_job = 1s\n")) as g:
            eventually(lambda: len(events(g)) == 120, "120 events")


@story
def a_queue_is_read():
    more = "queue_url = https://sqs.eu-west-1.amazonaws.com/%s/bridge\npoll.queue = 100ms\n" % ACCOUNT
    with Api() as api, Gateway(HTTP + connector(api, more)) as g:
        for i in range(25):
            api.send("bridge", json.dumps(bridge("job-%d" % i, "Completed")))
        api.send("bridge", "something else")
        api.send("bridge", json.dumps(dict(bridge("job-9", "Completed"), source="aws.ec2")))
        api.send("bridge", json.dumps(bridge("job-3", "Completed")))
        eventually(lambda: len(events(g)) == 26, "26 events, not %d" % len(events(g)))
        eventually(lambda: not api.queues["bridge"], "the queue to be empty")
        equal([d for t, _, d in events(g, "message")], [{"body": "something else"}])
        true(all(len(e.body) < 10000 for e in api.entries), "long requests")
        contains(g.await_log("an event of the queue is not SageMaker's")[0], "source=aws.ec2", "detail_type=", "message=")


if __name__ == "__main__":
    main()
