# SPDX-License-Identifier: MIT
"""A stand-in for the SageMaker runtime that verifies requests with botocore, and the REST endpoints of the older gateway.

    python3 sagemaker_peer.py

prints its port, serves until its stdin ends. The keys are those of AWS's documentation (AKIDEXAMPLE), and SECOND /
second-secret. POST /endpoints/NAME/invocations, NAME says what happens:
  sum           CSV in; the sum of each row's fields, a line per row
  sum-json      the same as {"predictions": [{"score": ...}]}
  echo          the body as it came
  headers       {"predictions": [the request's headers as a JSON string]} for one row
  short, long   one answer too few, one too many
  words         "abc" for every row
  throttled, busy, broken, model-error, model-busy, too-large, denied, expired, gone, garbage, hang-up, slow
POST /rest/...:
  single        the JSON string of the value of "data" in capitals, after up to 20 ms
  body          the JSON string of the whole body
  fail/N        status N with {"message": "Internal server error"}
  fail-on/X     500 when "data" is X, else the value
GET /connections: how many connections were accepted.
"""
import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SECRETS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "SECOND": "second-secret"}
accepted = 0


def signature_error(method, path, headers, body):
    """None when botocore, given the signed headers, comes to the same signature."""
    given = headers.get("Authorization", "")
    if not given.startswith("AWS4-HMAC-SHA256 "):
        return "MissingAuthenticationToken"
    fields = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
    key, day, region, service, _ = fields["Credential"].split("/")
    if key not in SECRETS:
        return "UnrecognizedClientException"
    request = AWSRequest(method=method, url="http://%s%s" % (headers["Host"], path), data=body)
    for name in fields["SignedHeaders"].split(";"):
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(key, SECRETS[key]), service, region)
    if request.headers.get("X-Amz-Content-SHA256") != signer.payload(request):
        return "InvalidSignatureException"
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return None if signature == fields["Signature"] and service == "sagemaker" else "InvalidSignatureException"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        global accepted
        accepted += 1
        super().setup()

    def log_message(self, *args):
        pass

    def reply(self, status, body, kind="application/json", **headers):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("x-amzn-RequestId", "req-1")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(200, str(accepted))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/rest/"):
            return self.rest(self.path.split("/")[2:], body)
        wrong = signature_error("POST", self.path, self.headers, body)
        if wrong:
            return self.reply(403, json.dumps({"message": "no"}), x_amzn_ErrorType=wrong + ":http://internal/")
        name = self.path.split("/endpoints/")[1].split("/")[0]
        getattr(self, "on_" + name.replace("-", "_"))(body)

    def rows(self, body):
        return [sum(float(f) for f in line.split(",") if f) for line in body.decode().splitlines()]

    def on_sum(self, body):
        self.reply(200, "".join("%r\n" % v for v in self.rows(body)), "text/csv")

    def on_sum_json(self, body):
        self.reply(200, json.dumps({"predictions": [{"score": v} for v in self.rows(body)]}))

    def on_echo(self, body):
        self.reply(200, body, "text/csv")

    def on_headers(self, body):
        self.reply(200, json.dumps({"predictions": [json.dumps(sorted(self.headers.items()))]}))

    def on_short(self, body):
        self.reply(200, "".join("%r\n" % v for v in self.rows(body)[1:]), "text/csv")

    def on_long(self, body):
        self.reply(200, "".join("%r\n" % v for v in self.rows(body)) + "1\n", "text/csv")

    def on_words(self, body):
        self.reply(200, "".join("abc\n" if i % 2 else "1\n" for i in range(len(self.rows(body)))), "text/csv")

    def on_throttled(self, body):
        self.reply(400, '{"message":null}', x_amzn_ErrorType="ThrottlingException", Retry_After="2")

    def on_busy(self, body):
        self.reply(503, '{"__type":"com.amazon#ServiceUnavailable","message":"busy"}')

    def on_broken(self, body):
        self.reply(500, "<html>oops</html>", "text/html")

    def on_model_error(self, body):
        self.reply(424, json.dumps({"ErrorCode": "CLIENT_ERROR_FROM_MODEL", "OriginalStatusCode": 415,
                                    "Message": "Received client error (415) from primary",
                                    "OriginalMessage": "This predictor only supports CSV data"}))

    def on_model_busy(self, body):
        self.reply(424, json.dumps({"OriginalStatusCode": 503, "OriginalMessage": "loading"}),
                   x_amzn_ErrorType="ModelError")

    def on_too_large(self, body):
        self.reply(413, "HTTP content length exceeded 5246976 bytes.", "text/plain")

    def on_denied(self, body):
        self.reply(403, '{"Message":"not authorized to perform sagemaker:InvokeEndpoint"}',
                   x_amzn_ErrorType="AccessDeniedException")

    def on_expired(self, body):
        key = self.headers["Authorization"].split("Credential=")[1].split("/")[0]
        if key == "SECOND":
            return self.on_sum(body)
        self.reply(403, '{"message":"The security token included in the request is expired"}',
                   x_amzn_ErrorType="ExpiredTokenException")

    def on_gone(self, body):
        self.reply(400, '{"Code":"ValidationError","Message":"Endpoint gone of account 1 not found."}',
                   x_amzn_ErrorType="ValidationError")

    def on_garbage(self, body):
        self.reply(200, '{"predictions": [1, ')

    def on_hang_up(self, body):
        self.close_connection = True

    def on_slow(self, body):
        time.sleep(3)
        self.on_sum(body)

    def rest(self, what, body):
        data = json.loads(body)["data"]
        if what[0] == "single":
            time.sleep(random.random() / 50)
            self.reply(200, json.dumps(data.upper()))
        elif what[0] == "body":
            self.reply(200, json.dumps(body.decode()))
        elif what[0] == "fail":
            self.reply(int(what[1]), '{"message": "Internal server error"}', Location="/rest/single")
        elif what[0] == "fail-on":
            self.reply(500 if data == what[1] else 200, json.dumps({"message": "no"} if data == what[1] else data))


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
