# SPDX-License-Identifier: MIT
"""Snowflake's side of an external function: batches with numbered rows, the sf- headers, gzip, and the rules for
repeating and polling, as https://docs.snowflake.com/en/sql-reference/external-functions-implementation and
.../external-functions-data-format tell them. A query either has a value for every row or fails."""
import base64
import gzip
import hashlib
import http.client
import json
import subprocess
import time
import urllib.parse
import uuid
import zlib


class QueryFailed(Exception):
    def __init__(self, status, body, what=""):
        super().__init__("%s: status %s, %r" % (what or "the query failed", status, body[:400]))
        self.status, self.body = status, body


def twin(name, value):
    """A header and its base64 twin; what a header cannot hold becomes a blank in the plain one."""
    plain = "".join(c if 0x20 < ord(c) < 0x7f else " " for c in value)
    return {name: plain, name + "-base64": base64.b64encode(value.encode()).decode()}


def encode(rows):
    """Rows as Snowflake writes them: blanks and newlines in between. A cell that is bytes is a literal."""
    literals = {}

    def keep(v):
        if isinstance(v, bytes):
            key = "@%s@" % uuid.uuid4().hex
            literals['"%s"' % key] = v.decode()
            return key
        return [keep(x) for x in v] if isinstance(v, list) else v

    text = "{\n\"data\":[\n" + ",\n".join(json.dumps(keep(row), ensure_ascii=False) for row in rows) + "\n]\n}"
    for key, literal in literals.items():
        text = text.replace(key, literal)
    return text.encode()


class Reply:
    def __init__(self, status, headers, raw):
        self.status, self.headers, self.raw = status, headers, raw
        coding = headers.get("content-encoding", "")
        self.body = gzip.decompress(raw) if coding == "gzip" else zlib.decompress(raw) if coding == "deflate" else raw


class Caller:
    """One external function of an account: `values = Caller(address, "/snowflake/churn").query(rows)`."""

    def __init__(self, address, path, secret=None, compression="GZIP", headers=None, name="FN", signature="(V VARIANT)",
                 returns="VARIANT", user=None, total=60.0, sleeps=(0.05, 20.0), oracles=True, case=str):
        self.address, self.path, self.compression, self.total, self.sleeps = address, path, compression, total, sleeps
        self.oracles, self.case = oracles, case
        self.query_id = str(uuid.uuid4())
        self.fixed = {"content-type": "application/json", "accept": "*/*", "user-agent": "snowflake/1.0",
                      "sf-external-function-format": "json", "sf-external-function-format-version": "1.0",
                      "sf-external-function-current-query-id": self.query_id}
        for key, value in (("name", name), ("signature", signature), ("return-type", returns)):
            self.fixed.update(twin("sf-external-function-" + key, value))
        if user:
            self.fixed.update(twin("sf-context-current-user", user))
        if secret:
            self.fixed["x-patchbay-secret"] = secret
        self.fixed.update(headers or {})
        self.retries = self.polls = self.batches = 0
        self.connection = None

    def send(self, method, batch_id, body=b"", path=None, more=None, timeout=60):
        """One exchange as it is."""
        headers = dict(self.fixed)
        if batch_id:
            headers["sf-external-function-query-batch-id"] = batch_id
        if self.compression != "NONE":
            headers["accept-encoding"] = self.compression.lower()
            if method == "POST":
                headers["content-encoding"] = self.compression.lower()
                body = gzip.compress(body, 1) if self.compression == "GZIP" else zlib.compress(body)
        headers.update(more or {})
        headers = {self.case(k): v for k, v in headers.items() if v is not None}
        for fresh in (False, True):
            if self.connection is None:
                host, port = self.address.rsplit(":", 1)
                self.connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
            try:
                self.connection.request(method, path or self.path, body if method == "POST" else None, headers)
                answer = self.connection.getresponse()
                return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            except (OSError, http.client.HTTPException):
                self.close()
                if fresh:
                    raise
        raise AssertionError

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def batch(self, rows, batch_id=None, numbers=None):
        """Values for one batch, by Snowflake's rules. rows: lists of arguments."""
        self.batches += 1
        batch_id = batch_id or "%s:%d:1:0:0" % (self.query_id, self.batches)
        numbers = list(range(len(rows))) if numbers is None else numbers
        body = encode([[n, *row] for n, row in zip(numbers, rows)])
        end, method, sleep = time.monotonic() + self.total, "POST", self.sleeps[0]
        while True:
            try:
                reply = self.send(method, batch_id, body)
            except (OSError, http.client.HTTPException) as e:
                reply = Reply(599, {}, str(e).encode())
            if reply.status == 200:
                return self.values(reply, numbers)
            if time.monotonic() > end:
                raise QueryFailed(reply.status, reply.body, "timed out")
            if reply.status == 202:
                method = "GET"
                self.polls += 1
            elif reply.status == 429 or reply.status >= 500:
                self.retries += 1
            else:
                raise QueryFailed(reply.status, reply.body)
            time.sleep(sleep)
            sleep = min(sleep * 2, self.sleeps[1])

    def values(self, reply, numbers):
        if "content-md5" in reply.headers:
            if base64.b64encode(hashlib.md5(reply.raw).digest()).decode() != reply.headers["content-md5"]:
                raise QueryFailed(200, reply.body, "Content-MD5 is of other bytes")
        if reply.headers.get("content-type") != "application/json":
            raise QueryFailed(200, reply.body, "the reply is not application/json")
        if len(reply.body) > 10000000:
            raise QueryFailed(200, b"", "the reply is larger than 10 MB")
        data = json.loads(reply.body)["data"]
        if [row[0] for row in data] != numbers or any(len(row) != 2 for row in data):
            raise QueryFailed(200, reply.body, "other rows than were asked for")
        if self.oracles:
            node_agrees(reply.body)
        return [row[1] for row in data]

    def query(self, rows, batch_rows=1000):
        out = []
        for at in range(0, len(rows), batch_rows):
            out += self.batch(rows[at:at + batch_rows])
        return out


def node_agrees(body):
    """JSON.parse reads what Python's json read: every reply has two judges."""
    script = ("let t='';process.stdin.on('data',d=>t+=d).on('end',()=>process.stdout.write(JSON.stringify(JSON.parse(t))))")
    p = subprocess.run(["node", "-e", script], input=body, capture_output=True, timeout=60)
    if p.returncode:
        raise QueryFailed(200, body, "JSON.parse: " + p.stderr.decode())

    def same(a, b):
        if isinstance(a, (int, float)) and isinstance(b, (int, float)) and not isinstance(a, bool):
            try:
                return float(a) == float(b)
            except OverflowError:
                return True
        if isinstance(a, list) and isinstance(b, list):
            return len(a) == len(b) and all(map(same, a, b))
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
        return a == b or (isinstance(a, float) and b is None)  # beyond a double: JSON.stringify writes null

    if not same(json.loads(body), json.loads(p.stdout)):
        raise QueryFailed(200, body, "JSON.parse reads something else")


def path_of(function, *suffix):
    return "/snowflake/" + "/".join(urllib.parse.quote(p, safe="") for p in (function, *suffix))
