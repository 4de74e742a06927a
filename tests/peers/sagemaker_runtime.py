#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stand-in for the SageMaker runtime: POST /endpoints/NAME/invocations. Signatures are verified by botocore, which
computes them anew from the request as it came. NAME chooses the behaviour; a row's score is half of its first number.

    csv predictions scores array arrays lines echo   the forms that containers answer in
    throttle-K failing-K notready-K                   K times an error, then csv
    modelerror denied validation expired              errors as the service words them
    limit-N                                           413 above N bytes, else csv
    slow-MS                                           csv after a while; notices who hangs up
    few many words                                    the wrong number of answers, or no numbers
    errorbody moved                                   200 with an error in it; a redirect
    storm-P                                           P of a hundred requests, at random, are throttled in one way or another
    truncated reset close garbage html empty endless  bad manners (stand_in.py)

More may follow, as in throttle-2-one; it only tells tests apart. Errors: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""
import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stand_in import Service  # noqa: E402
from aws_verify import KEY, REGION, SECRET, Keyring, fault  # noqa: E402,F401


def score(line):
    cell = line.split(",", 1)[0].strip('"')
    try:
        return float(cell) / 2
    except ValueError:
        return float(len(line))


class Runtime(Service):
    def __init__(self, port=0, secret=SECRET, token=None, ring=None):
        super().__init__(port)
        self.ring = ring or Keyring()
        if not ring:
            self.ring.add(KEY, secret, token)

    def fail(self, handler, status, code, message, **more):
        body = dict(more) if message is None else dict(more, message=message)
        handler.reply(status, json.dumps(body).encode(), "application/json",
                      x_amzn_ErrorType=code + ":http://internal.amazon.com/coral/com.amazon.coral.service/",
                      x_amzn_RequestId="a0b1c2d3-0000-4000-8000-000000000000")

    def answer(self, handler, entry):
        m = re.fullmatch(r"/endpoints/([A-Za-z0-9](?:-*[A-Za-z0-9]){0,62})/invocations", entry.path)
        if entry.method != "POST" or not m:
            return self.fail(handler, 404, "UnknownOperationException", "no such operation")
        wrong = fault(entry, self.ring, ("sagemaker",), skew=self.skew)
        if wrong:
            entry.note = wrong[1]
            return self.fail(handler, 403, *wrong)
        name = m.group(1)
        what, number = (name.split("-") + [""])[:2]
        number = int(number) if number.isdigit() else 0
        if self.rude(handler, what):
            return None
        lines = entry.body.decode().splitlines()
        times = self.nth(name)
        if what == "throttle" and times <= number:
            handler.reply(400, b'{"message":null}', "application/json", x_amzn_ErrorType="ThrottlingException")
            entry.note = "throttled"
        elif what == "failing" and times <= number:
            self.fail(handler, 500, "InternalFailure", "We encountered an internal error. Please try again.")
        elif what == "notready" and times <= number:
            self.fail(handler, 429, "ModelNotReadyException", "The model is loading.")
        elif what == "modelerror":
            self.fail(handler, 424, "ModelError", None, Message="Received client error (415) from primary with message "
                      "\"This predictor only supports CSV data\".", OriginalStatusCode=415,
                      OriginalMessage="This predictor only supports CSV data",
                      LogStreamArn="arn:aws:logs:eu-west-1:111111111111:log-group:/aws/sagemaker/Endpoints/x")
        elif what == "denied":
            self.fail(handler, 403, "AccessDeniedException", "User is not authorized to perform: sagemaker:InvokeEndpoint")
        elif what == "expired":
            self.fail(handler, 403, "ExpiredTokenException", "The security token included in the request is expired")
        elif what == "validation":
            self.fail(handler, 400, "ValidationError", "Endpoint %s of account 111111111111 not found." % name)
        elif what == "limit" and len(entry.body) > number:
            handler.reply(413, b"HTTP content length exceeded %d bytes." % number, "text/plain")
        elif what == "slow" and not self.wait(handler, number / 1000):
            return None
        elif what == "errorbody":
            handler.reply(200, b'{"message": "Internal server error"}', "application/json")
        elif what == "moved":
            handler.reply(302, b"", "text/plain", Location=self.url + "/endpoints/csv/invocations")
        elif what == "storm" and random.random() * 100 < number:
            entry.note = "throttled"
            if random.random() < 0.5:
                self.fail(handler, 429, "ThrottlingException", "Rate exceeded")
            else:
                handler.reply(503, b"<html>busy</html>", "text/html", Retry_After="0")
        elif what == "few":
            self.scores(handler, "csv", lines[:-1])
        elif what == "many":
            self.scores(handler, "csv", lines + ["1"])
        elif what == "words":
            handler.reply(200, b"n/a\n" * len(lines), "text/csv")
        elif what == "echo":
            handler.reply(200, entry.body, "text/csv")
        else:
            self.scores(handler, what, lines)
        return None

    def scores(self, handler, form, lines):
        values = [score(line) for line in lines]
        if form == "predictions":
            body, kind = json.dumps({"predictions": [{"score": v} for v in values]}), "application/json"
        elif form == "scores":
            body, kind = json.dumps({"scores": [{"score": v} for v in values]}), "application/json"
        elif form == "array":
            body, kind = json.dumps(values), "application/json"
        elif form == "arrays":
            body, kind = json.dumps([[v] for v in values]), "application/json"
        elif form == "lines":
            body, kind = "".join(json.dumps({"score": v}) + "\n" for v in values), "application/jsonlines"
        else:
            body, kind = "".join("%r\n" % v for v in values), "text/csv; charset=utf-8"
        handler.reply(200, body.encode(), kind)


if __name__ == "__main__":
    runtime = Runtime(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(runtime.url, flush=True)
    runtime.server.serve_forever()
