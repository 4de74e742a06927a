#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stand-in for Snowflake's SQL API with SQLite as its warehouse. It keeps to what
https://docs.snowflake.com/en/developer-guide/sql-api/reference says: who may ask (key-pair tokens are verified, other
tokens must be known), at most once by requestId, 202 while a statement runs, partitions (compressed from the second
on), bindings, several statements in one request, errors with code, sqlState and message.

    with Warehouse(users={"LOADER": public_key_pem}, tokens={"PAT-1"}) as w:
        w.sql("create table DB.S.T (A number, B varchar)")    # without the API
        w.partition_rows, w.polls = 1000, 2                   # rows of a partition; 202s before each result
        w.fault("POST", "lose")                               # the next such request runs, and its answer is lost
        w.revoke()                                            # every token seen so far is refused from now on
        w.statements                                          # the ledger: every statement that was run, in order

Faults: an HTTP status (429, 500, 503, 401), lose (it runs, the connection is closed), reset (it does not run).
Names are those of three parts; others are completed from the request's database and schema."""
import argparse
import base64
import gzip
import hashlib
import json
import os
import re
import sqlite3
import sys
import threading
import time
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cryptography.exceptions import InvalidSignature  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import padding  # noqa: E402
from stand_in import Service  # noqa: E402

ACCOUNT = "XY12345"
NAME = r'(?:"[^"]+"|[A-Za-z_][\w$]*)'
TABLE = re.compile(r"\b(FROM|INTO|UPDATE|JOIN|TABLE(?:\s+IF(?:\s+NOT)?\s+EXISTS)?)\s+(%s(?:\.%s){0,2})(?=[\s(;,]|$)" %
                   (NAME, NAME), re.I)
STATEMENT = re.compile(r"""(?:[^;'"]|'(?:[^']|'')*'|"[^"]*")+""")


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status, code, message, state="22023", handle=None):
        super().__init__(message)
        self.status, self.body = status, {"code": code, "message": message, "sqlState": state,
                                          "statementHandle": handle or str(uuid.uuid4())}


def unpad(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def fingerprint(pem):
    """Of a public key, as `desc user` shows it."""
    key = serialization.load_pem_public_key(pem)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode(), key


def part(name):
    return name[1:-1] if name.startswith('"') else name.upper()


def parse_json(text):
    if text is None:
        return None
    try:
        return json.dumps(json.loads(text), separators=(",", ":"))
    except ValueError as e:
        raise sqlite3.OperationalError("Error parsing JSON: %s" % e) from None


class Warehouse(Service):
    def __init__(self, port=0, users=None, tokens=(), account=ACCOUNT):
        super().__init__(port)
        self.account, self.tokens = account, set(tokens)
        self.users = {name: fingerprint(pem if isinstance(pem, bytes) else pem.encode()) for name, pem in (users or {}).items()}
        self.partition_rows, self.polls = 10000, 0
        self.statements, self.cancelled, self.results, self.by_request, self.faults = [], [], {}, {}, []
        self.seen, self.revoked = set(), set()
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.db.create_function("PARSE_JSON", 1, parse_json)
        self.db.create_function("TO_VARCHAR", 1, lambda v: None if v is None else str(v))
        self.busy_db = threading.RLock()

    # ------------------------------------------------------------------------------------------- for tests

    def sql(self, text, *values):
        """Rows of a statement, run by nobody."""
        with self.busy_db:
            return self.db.execute(self.translate(text, "TEST", "PUBLIC"), values).fetchall()

    def fault(self, method, what, times=1):
        self.faults += [(method, what)] * times

    def revoke(self):
        self.revoked |= self.seen

    # ------------------------------------------------------------------------------------------------- who asks

    def check_jwt(self, token):
        try:
            head, claims, signature = token.split(".")
            header, said = json.loads(unpad(head)), json.loads(unpad(claims))
        except ValueError:
            raise Refused(401, "390144", "JWT token is invalid.") from None
        account_user = str(said.get("sub", "")).split(".")
        known = self.users.get(account_user[-1]) if len(account_user) == 2 and account_user[0] == self.account else None
        if header.get("alg") != "RS256" or not known:
            raise Refused(401, "390144", "JWT token is invalid.")
        try:
            known[1].verify(unpad(signature), ("%s.%s" % (head, claims)).encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise Refused(401, "390144", "JWT token is invalid. [signature]") from None
        now = time.time()
        if said.get("iss") != "%s.%s" % (said["sub"], known[0]):
            raise Refused(401, "390144", "JWT token is invalid. [issuer %s]" % said.get("iss"))
        if not (said["iat"] - 60 <= now < said["exp"] and said["exp"] - said["iat"] <= 3600):
            raise Refused(401, "390144", "JWT token is invalid. [time]")

    def check_caller(self, entry):
        kind, said = entry.headers.get("x-snowflake-authorization-token-type", ""), entry.headers.get("authorization", "")
        if not said.startswith("Bearer "):
            raise Refused(401, "390101", "Authorization header is missing.")
        if "application/json" not in entry.headers.get("accept", "") and "*/*" not in entry.headers.get("accept", ""):
            raise Refused(406, "391904", "Accept header is missing or wrong.")
        if not entry.headers.get("user-agent"):
            raise Refused(400, "391902", "User-Agent header is missing.")
        token = said[7:]
        if token in self.revoked:
            raise Refused(401, "390114", "Authentication token has expired. The user must authenticate again.")
        if kind == "KEYPAIR_JWT":
            self.check_jwt(token)
        elif kind not in ("OAUTH", "PROGRAMMATIC_ACCESS_TOKEN") or token not in self.tokens:
            raise Refused(401, "390303", "Invalid OAuth access token.")
        self.seen.add(token)

    # ---------------------------------------------------------------------------------------------------- SQL

    def translate(self, text, database, schema):
        def name(match):
            parts = [part(p) for p in re.findall(NAME, match.group(2))]
            parts = ([database, schema] + parts)[-3:] if len(parts) < 3 else parts
            return '%s "%s"' % (match.group(1), ".".join(parts))

        text = re.sub(r"(?i)\b(CREATE\s+)(?:OR\s+REPLACE\s+)?(?:TRANSIENT|TEMPORARY)\s+", r"\1", text)
        text = re.sub(r"(?i)\bTRUNCATE\s+TABLE\b", "DELETE FROM", text)
        return TABLE.sub(name, text)

    def run_one(self, text, values, scope):
        self.statements.append(text)
        drop = re.match(r"(?is)\s*CREATE\s+OR\s+REPLACE\s+(?:TRANSIENT\s+|TEMPORARY\s+)?TABLE\s+(\S+?)\s*(?:\(|AS\b)", text)
        if drop:
            self.db.execute(self.translate("DROP TABLE IF EXISTS " + drop.group(1), *scope))
            text = re.sub(r"(?i)OR\s+REPLACE\s+", "", text, count=1)
        sql = self.translate(text, *scope)
        try:
            if values and isinstance(values[0], list):
                self.db.executemany(sql, zip(*values))
                return ["number of rows inserted"], [[str(len(values[0]))]]
            cursor = self.db.execute(sql, values)
        except sqlite3.OperationalError as e:
            missing = re.match(r'no such table: (.*)', str(e))
            if missing:
                raise Refused(422, "002003", "SQL compilation error:\nObject '%s' does not exist or not authorized." %
                              missing.group(1), "42S02") from None
            raise Refused(422, "001003", "SQL compilation error: %s" % e, "42000") from None
        except sqlite3.Error as e:
            raise Refused(422, "100132", str(e), "P0000") from None
        if cursor.description:
            return [d[0] for d in cursor.description], [list(row) for row in cursor.fetchall()]
        return ["status"], [["Statement executed successfully." if cursor.rowcount < 0 else str(cursor.rowcount)]]

    def bound(self, body):
        given, out = body.get("bindings") or {}, []
        for number in range(1, len(given) + 1):
            b = given.get(str(number))
            if not b or "type" not in b:
                raise Refused(422, "002049", "SQL compilation error: Bind variable ? not set.", "42601")
            value = b.get("value")
            for v in value if isinstance(value, list) else [value]:
                if v is not None and not isinstance(v, str):
                    raise Refused(400, "391911", "Binding values must be strings: %r" % (v,))
            number_like = b["type"] in ("FIXED", "REAL")

            def cell(v, number_like=number_like):
                if v is None or not number_like or len(v) > 18:  # SQLite's integers have 64 bits
                    return v
                return float(v) if "." in v or "e" in v.lower() else int(v)
            out.append([cell(v) for v in value] if isinstance(value, list) else cell(value))
        return out

    def run(self, body):
        text = body.get("statement")
        if not isinstance(text, str) or not text.strip():
            raise Refused(400, "391910", "The statement is missing.")
        statements = [s.strip() for s in STATEMENT.findall(text) if s.strip()]
        wanted = int((body.get("parameters") or {}).get("MULTI_STATEMENT_COUNT", "1"))
        if wanted and wanted != len(statements):
            raise Refused(422, "000008", "Actual statement count %d did not match the desired statement count %d." %
                          (len(statements), wanted), "0A000")
        scope, values = (body.get("database") or "TEST", body.get("schema") or "PUBLIC"), self.bound(body)
        with self.busy_db:
            try:
                for s in statements:
                    columns, rows = self.run_one(s, values, scope)
            except Refused:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")  # the session ends with its request
                raise
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
        if len(statements) > 1:
            return ["multiple statement execution"], [["Multiple statements executed successfully."]]
        return columns, rows

    # ------------------------------------------------------------------------------------------------ answers

    def result(self, handle, partition=0):
        columns, rows = self.results[handle]["columns"], self.results[handle]["rows"]
        size = self.partition_rows
        cuts = [rows[i:i + size] for i in range(0, len(rows), size)] or [[]]
        if partition >= len(cuts):
            raise Refused(400, "391916", "Partition %d does not exist." % partition, handle=handle)
        data = [[None if v is None else v if isinstance(v, str) else repr(v) if isinstance(v, float) else str(v) for v in row]
                for row in cuts[partition]]
        if partition:
            return {"data": data}
        kinds = ["text"] * len(columns)
        for c in range(len(columns)):
            sample = next((row[c] for row in rows if row[c] is not None), "")
            kinds[c] = "fixed" if isinstance(sample, int) else "real" if isinstance(sample, float) else "text"
        meta = {"numRows": len(rows), "format": "jsonv2",
                "rowType": [{"name": c.upper() if c.islower() else c, "type": k, "nullable": True, "scale": 0 if k == "fixed" else None,
                             "precision": 38 if k == "fixed" else None, "length": None, "byteLength": None,
                             "database": "", "schema": "", "table": "", "collation": None}
                            for c, k in zip(columns, kinds)],
                "partitionInfo": [{"rowCount": len(c), "uncompressedSize": len(json.dumps(c)),
                                   **({"compressedSize": len(json.dumps(c))} if i else {})} for i, c in enumerate(cuts)]}
        return {"resultSetMetaData": meta, "data": data, "code": "090001", "statementStatusUrl": "/api/v2/statements/" + handle,
                "sqlState": "00000", "statementHandle": handle, "message": "Statement executed successfully.",
                "createdOn": int(time.time() * 1000)}

    def state(self, handle):
        """200 or 202 for a statement that was run."""
        of = self.results.get(handle)
        if not of:
            raise Refused(404, "391918", "Statement %s was not found." % handle, handle=handle)
        if of["failed"]:
            raise of["failed"]
        if of["polls"] > 0:
            of["polls"] -= 1
            return 202, {"code": "333334", "message": "Asynchronous execution in progress. Use provided query id to perform "
                         "query monitoring and management.", "statementHandle": handle,
                         "statementStatusUrl": "/api/v2/statements/" + handle}
        return 200, self.result(handle)

    def submit(self, entry, query):
        request, again = query.get("requestId", [""])[0], query.get("retry", ["false"])[0] == "true"
        if request:
            try:
                uuid.UUID(request)
            except ValueError:
                raise Refused(400, "391903", "requestId is not a UUID: %s" % request) from None
        if request and again and request in self.by_request:
            return self.state(self.by_request[request])
        if not entry.headers.get("content-type", "").startswith("application/json"):
            raise Refused(415, "391905", "Content-Type must be application/json.")
        try:
            body = json.loads(entry.body)
        except ValueError as e:
            raise Refused(400, "391909", "The body is not JSON: %s" % e) from None
        handle, failed = str(uuid.uuid4()), None
        columns, rows = [], []
        try:
            columns, rows = self.run(body)
        except Refused as e:
            e.body["statementHandle"] = handle
            failed = e
        polls = self.polls + (1 if query.get("async", ["false"])[0] == "true" else 0)
        self.results[handle] = {"columns": columns, "rows": rows, "polls": polls, "failed": failed, "tag": body}
        if request:
            self.by_request[request] = handle
        return self.state(handle)

    def route(self, entry):
        url = urllib.parse.urlsplit(entry.path)
        query = urllib.parse.parse_qs(url.query)
        self.check_caller(entry)
        if entry.method == "POST" and url.path == "/api/v2/statements":
            return self.submit(entry, query)
        m = re.fullmatch(r"/api/v2/statements/([0-9a-f-]{36})(/cancel)?", url.path)
        if not m:
            raise Refused(404, "390404", "No such resource: " + url.path)
        if m.group(2):
            self.cancelled.append(m.group(1))
            return 200, {"code": "000604", "message": "successfully canceled", "sqlState": "57014", "statementHandle": m.group(1)}
        partition = int(query.get("partition", ["0"])[0])
        if partition:
            self.state(m.group(1))
            return 200, self.result(m.group(1), partition)
        return self.state(m.group(1))

    def take_fault(self, method):
        with self.lock:
            for i, (m, what) in enumerate(self.faults):
                if m == method:
                    del self.faults[i]
                    return what
        return None

    def answer(self, handler, entry):
        fault = self.take_fault(entry.method)
        if fault == "reset":
            return self.rude(handler, "reset")
        if isinstance(fault, int):
            return handler.reply(fault, json.dumps({"code": "390%03d" % fault, "message": "a fault: %d" % fault}).encode(),
                                 **({"Retry_After": "1"} if fault in (429, 503) else {}))
        try:
            status, body = self.route(entry)
        except Refused as e:
            status, body = e.status, e.body
        if fault == "lose":
            return self.rude(handler, "close")
        if fault == "nameless":
            return handler.reply(202, b'{"code":"333334","message":"Asynchronous execution in progress."}')
        if fault == "short":
            body["data"] = body["data"][:-1]
        text = json.dumps(body).encode()
        if "partition=" in entry.path and status == 200:
            return handler.reply(status, gzip.compress(text), Content_Encoding="gzip")
        return handler.reply(status, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", action="append", default=[], help="NAME=PUBLIC.pem")
    parser.add_argument("--token", action="append", default=[])
    parser.add_argument("--sql", action="append", default=[], help="run at the start")
    args = parser.parse_args()
    users = {}
    for item in args.user:
        name, _, path = item.partition("=")
        with open(path, "rb") as f:
            users[name] = f.read()
    w = Warehouse(args.port, users, args.token)
    for text in args.sql:
        w.sql(text)
    w.start()
    print("ready http=127.0.0.1:%d" % w.port, flush=True)
    w.thread.join()


if __name__ == "__main__":
    main()
