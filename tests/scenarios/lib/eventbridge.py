# SPDX-License-Identifier: MIT
"""What EventBridge sends of SageMaker's jobs, to the route of a sagemaker connector "aws"."""
import http.client
import json
import os
import sys
import uuid

from .gateway import TESTS

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_api import ACCOUNT, arn  # noqa: E402


def bridge(name, status, secondary=None, kind="Training", **more):
    """As EventBridge sends it."""
    return {"version": "0", "id": str(uuid.uuid4()), "detail-type": "SageMaker %s Job State Change" % kind, "source": "aws.sagemaker",
            "account": ACCOUNT, "time": "2026-11-21T08:49:37Z", "region": "eu-west-1", "resources": [],
            "detail": dict({"TrainingJobName": name, "TrainingJobArn": arn("training-job", name), "TrainingJobStatus": status,
                            "SecondaryStatus": secondary or status}, **more)}


def post(g, body, **headers):
    c = http.client.HTTPConnection(g.address("http"), timeout=30)
    c.request("POST", "/aws/events", body=body if isinstance(body, (str, bytes)) else json.dumps(body),
              headers={"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, text
