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
    truncated reset close garbage html empty endless  bad manners (stand_in.py)

More may follow, as in throttle-2-one; it only tells tests apart. Errors: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""
import datetime
import hashlib
import json
import os
import re
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stand_in import Service  # noqa: E402

KEY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-west-1"


def signature_fault(entry, secret=SECRET, key=KEY, region=REGION, token=None):
    """None, or what is wrong with the signature of a request."""
    m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                     r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", entry.headers.get("authorization", ""))
    if not m:
        return "no AWS4-HMAC-SHA256 authorization"
    got_key, day, got_region, service, names, signature = m.groups()
    if (got_key, got_region, service) != (key, region, "sagemaker"):
        return "credential scope %s/%s/%s" % (got_key, got_region, service)
    names = names.split(";")
    must = {"host", "x-amz-date"} | {n for n in entry.headers if n.startswith("x-amz-")}
    must |= {"content-type"} if "content-type" in entry.headers else set()
    must |= {"x-amz-security-token"} if token else set()
    if missing := must - set(names):
        return "not signed: %s" % sorted(missing)
    if names != sorted(names):
        return "signed headers are not sorted"
    if token and entry.headers.get("x-amz-security-token") != token:
        return "another session token"
    stamp = entry.headers["x-amz-date"]
    when = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
    if not stamp.startswith(day) or abs((datetime.datetime.utcnow() - when).total_seconds()) > 300:
        return "a date that is not now: %s" % stamp
    declared = entry.headers.get("x-amz-content-sha256")
    if declared and declared != hashlib.sha256(entry.body).hexdigest():
        return "x-amz-content-sha256 is of another body"
    request = AWSRequest(method=entry.method, url="http://%s%s" % (entry.headers["host"], entry.path), data=entry.body,
                         headers={n: entry.headers[n] for n in names if n in entry.headers})
    request.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(key, secret, token), "sagemaker", region)
    wanted = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return None if wanted == signature else "signature %s, not %s" % (signature, wanted)


def score(line):
    cell = line.split(",", 1)[0].strip('"')
    try:
        return float(cell) / 2
    except ValueError:
        return float(len(line))


class Runtime(Service):
    def __init__(self, port=0, secret=SECRET, token=None):
        super().__init__(port)
        self.secret, self.token = secret, token

    def fail(self, handler, status, code, message, **more):
        body = dict(more) if message is None else dict(more, message=message)
        handler.reply(status, json.dumps(body).encode(), "application/json",
                      x_amzn_ErrorType=code + ":http://internal.amazon.com/coral/com.amazon.coral.service/",
                      x_amzn_RequestId="a0b1c2d3-0000-4000-8000-000000000000")

    def answer(self, handler, entry):
        m = re.fullmatch(r"/endpoints/([A-Za-z0-9](?:-*[A-Za-z0-9]){0,62})/invocations", entry.path)
        if entry.method != "POST" or not m:
            return self.fail(handler, 404, "UnknownOperationException", "no such operation")
        fault = signature_fault(entry, self.secret, token=self.token)
        if fault:
            entry.note = fault
            return self.fail(handler, 403, "InvalidSignatureException",
                             "The request signature we calculated does not match: " + fault)
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
