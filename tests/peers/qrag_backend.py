#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stand-in for what a Qlik Rapid API Gateway called: an API Gateway REST method before a Lambda, body {"data":"..."}.

    /dev/echo           the data as a JSON string, what a Lambda's `return event['data']` becomes
    /dev/score          a quarter of the first number, as a JSON string with four digits
    /dev/bare           the same without quotes
    /dev/status/N       status N with API Gateway's {"message": ...}
    /dev/failing/K      K times 503 (a path of its own each time it is told to be: /dev/failing/K/TAG), then score
    /dev/throttled/K    K times 429, then score
    /dev/slow/MS        score after a while; notices who hangs up
    /dev/ratings/USER?items=X&   {"ratings": [first, last]}; users bad and failed get what is none
    /dev/lambda         200 with a Lambda's {"errorMessage": ...}
    /frame/KIND         a data frame's rows: [0.0, 1.0, ...] by the rows so far, or {"predictions": ...} where KIND is wrapped;
                        first: each row's first value
    /dev/reset close truncated garbage html empty
"""
import json
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stand_in import Service  # noqa: E402

MESSAGES = {403: "Forbidden", 429: "Too Many Requests", 500: "Internal server error", 502: "Internal server error",
            503: "Service Unavailable", 504: "Endpoint request timed out"}


class Backend(Service):
    def answer(self, handler, entry):
        parts = entry.path.partition("?")[0].strip("/").split("/")
        what = parts[1] if len(parts) > 1 and parts[0] == "dev" else ""
        number = int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0
        if self.rude(handler, what):
            return
        if what == "ratings":
            user, items = entry.path.partition("?")[0].rpartition("/")[2], entry.path.partition("?")[2]
            answer = {"bad": {"rating": 1}, "failed": {"errorMessage": "model gone", "errorType": "Runtime"}}.get(
                user, {"ratings": ["first", urllib.parse.unquote(items.rstrip("&"))]})
            return handler.reply(200, json.dumps(answer).encode())
        if what == "lambda":
            return handler.reply(200, b'{"errorMessage": "name \'x\' is not defined", "errorType": "NameError"}')
        if parts[0] == "frame":
            frame = json.loads(entry.body)
            if parts[1] == "first":
                return handler.reply(200, json.dumps([row[0] for row in frame["data"]]).encode())
            return self.frame(handler, frame, parts[1] == "wrapped")
        try:
            data = json.loads(entry.body)["data"]
            entry.data = data
        except (ValueError, KeyError, TypeError):
            entry.note = "not valid JSON with a data"
            return self.message(handler, 400, "Could not parse request body into json")
        if what == "status":
            return self.message(handler, number, MESSAGES.get(number, "Bad request"))
        times = self.nth(entry.path)
        if what in ("failing", "throttled") and times <= number:
            status = 503 if what == "failing" else 429
            return self.message(handler, status, MESSAGES[status])
        if what == "slow" and not self.wait(handler, number / 1000):
            return None
        if what == "echo":
            return handler.reply(200, json.dumps(data).encode())
        try:
            score = "%.4f" % (float(data.split(",")[0]) / 4)
        except ValueError:
            score = "no number"
        if what not in ("score", "bare", "slow", "failing", "throttled"):
            return self.message(handler, 403, "Missing Authentication Token")
        return handler.reply(200, (score if what == "bare" else '"%s"\n' % score).encode())

    def frame(self, handler, frame, wrapped):
        frame = frame["dataframe_split"] if wrapped else frame
        # The position in the call: what the golden rows begin with says which frame it is.
        first = {7.4: 0, 1000.0: 3, 5: 6}.get(frame["data"][0][0], 0)
        answers = [float(first + i) for i in range(len(frame["data"]))]
        return handler.reply(200, json.dumps({"predictions": answers} if wrapped else answers).encode())

    @staticmethod
    def message(handler, status, text):
        handler.reply(status, json.dumps({"message": text}).encode())


if __name__ == "__main__":
    backend = Backend(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(backend.url, flush=True)
    backend.server.serve_forever()
