# SPDX-License-Identifier: MIT
"""Statements sent to Snowflake: the SQL API's actions and operations against a stand-in warehouse; tokens are verified by
npm's jose as well."""
import http.client
import json
import os
import re
import subprocess
import sys
import time

from lib.gateway import TESTS, Folder, Gateway
from lib.story import SOAK, contains, equal, lacks, main, skip, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
try:
    from snowflake_api import Warehouse
except ImportError as e:
    skip("python3-cryptography is missing: %s" % e)


def config(w, how):
    return """
[listen "http"]
address = 127.0.0.1:0
[jobs]
backoff = 20ms
backoff_max = 200ms
[connector "wh"]
plugin = snowflake
snowflake_url = %s
account = XY12345
database = DB
schema = S
%s
[function "run"]
action = wh.execute
params = args:json, key:str
returns = json
[function "put"]
action = wh.insert
params = args:json, key:str
returns = json
[function "status"]
action = wh.status
params = statementHandle:str
returns = json
[function "fetch"]
action = wh.fetch
params = statementHandle:str, partition:num
returns = json
[function "cancel"]
action = wh.cancel
params = statementHandle:str
returns = json
[function "orders"]
connector = wh
operation = query
statement = select ID, NAME, V from T where ID >= ? order by ID
params = least:num
[function "all"]
connector = wh
operation = query
statement = select ID, NAME from T order by ID
[function "load"]
connector = wh
operation = insert
table = DB.S.T
columns = ID, NAME, V
params = id:num, name:str, v:num
returns = num
rows_per_insert = 1000
""" % (w.url, how)


class House(Gateway):
    def __init__(self, w, how, files=None, more=""):
        with Folder("") as f:
            made = f.run("new-key", "etl")
            self.key, section = made.out.strip(), made.err[made.err.index("["):]
        super().__init__(config(w, how) + more + section, files)

    def call(self, name, rows, status=200):
        c = http.client.HTTPConnection(self.address("http"), timeout=60)
        c.request("POST", "/functions/" + name, body=re.sub(r'"@literal:([^"]*)"', r"\1", json.dumps({"rows": rows})),
                  headers={"content-type": "application/json", "x-api-key": self.key})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        equal(r.status, status, text)
        return json.loads(text)

    def execute(self, key=None, **args):
        return self.call("run", [[args, key]])["rows"][0][0]


def literal(number):
    """Stands for a number that json.dumps would write otherwise."""
    return "@literal:" + number


def bound(w):
    """(type, value) of the last statement's bindings."""
    given = json.loads([e for e in w.entries if e.method == "POST"][-1].body)["bindings"]
    return [(given[k]["type"], given[k]["value"]) for k in sorted(given, key=int)]


def with_table(w, rows=0):
    w.sql("create table DB.S.T (ID number, NAME varchar, V number)")
    for i in range(rows):
        w.sql("insert into DB.S.T values (?, ?, ?)", i, "n%d" % i, i / 2)


PAT = "token = PAT-1\n"


@story
def statements_run_once():
    with Warehouse(tokens={"PAT-1"}) as w, House(w, PAT) as g:
        with_table(w)
        answer = g.execute("k1", statement="insert into T values (?, ?, ?)", bindings=[7, "it's", 1.5])
        equal(answer["code"], "090001")
        equal(w.sql("select * from DB.S.T"), [(7, "it's", 1.5)])
        # The same key again is the same action.
        g.execute("k1", statement="insert into T values (?, ?, ?)", bindings=[7, "it's", 1.5])
        equal(len(w.statements), 1)
        # The answer is lost after the statement has run; throttled; the service is down; it takes long.
        for key, fault in (("k2", "lose"), ("k3", 429), ("k4", 503), ("k5", "reset"))[:4 if SOAK else 2]:
            w.fault("POST", fault)
            g.execute(key, statement="insert into T values (?, 'x', null)", bindings=[key])
        w.polls = 2
        answer = g.execute("k6", statement="select ID, NAME from T order by NAME", query_tag="nightly")
        w.polls = 0
        equal((answer["columns"], answer["numRows"]), (["ID", "NAME"], 5 if SOAK else 3))
        equal(answer["data"][0], ["7", "it's"])
        equal(sum(s.startswith("insert") for s in w.statements), 5 if SOAK else 3, w.statements)
        equal(g.call("status", [[answer["statementHandle"]]])["rows"][0][0]["code"], "090001")
        several = g.execute("k7", statement="insert into T values (1, 'a', 1); insert into T values (2, 'b', 2)", statements=2)
        true(several["code"], several)
        equal(g.execute("k8", statement="select count(*) from T", bindings=[])["data"], [["7" if SOAK else "5"]])
        typed = g.execute(statement="insert into T values (?, ?, ?)",
                          bindings=[{"type": "FIXED", "value": "8"}, {"type": "TEXT", "value": None}, {"type": "REAL", "value": "0.25"}])
        equal(w.sql("select * from DB.S.T where ID = 8"), [(8, None, 0.25)])
        true(typed)


@story
def an_answer_that_names_no_statement_is_none():
    """It runs, and nobody can say how it went: the same request is sent again, which does not run it again."""
    with Warehouse(tokens={"PAT-1"}) as w, House(w, PAT) as g:
        with_table(w)
        w.fault("POST", "nameless")
        equal(g.execute("n1", statement="insert into T values (1, 'x', null)")["code"], "090001")
        equal(sum(s.startswith("insert") for s in w.statements), 1)
        w.fault("POST", "nameless")
        equal(g.call("load", [[2, "y", 1]])["rows"], [[1]])
        equal(sum(s.startswith("insert") for s in w.statements), 2)


@story
def numbers_stay_as_they_are_written():
    """NUMBER has 38 digits: what is bound is the literal, not what an integer of 64 bits or a double makes of it."""
    with Warehouse(tokens={"PAT-1"}) as w, House(w, PAT) as g:
        written = ["12345678901234567890123456789012345678", "-0.1", "0.10", "1e400", "7", "9223372036854775808"]
        g.execute(statement="select " + ", ".join("?" * len(written)), bindings=[literal(n) for n in written])
        equal(bound(w), [("FIXED" if "." not in n and "e" not in n else "REAL", n) for n in written])
        g.call("put", [[{"table": "DB.S.T", "columns": ["A", "B"], "rows": [[literal(n), "x"] for n in written]}, None]])
        equal(bound(w)[0], ("TEXT", written))
        g.execute(statement="select ?, ?", bindings=[{"type": "FIXED", "value": literal(written[0])}, "7"])
        equal(bound(w), [("FIXED", written[0]), ("TEXT", "7")])


@story
def statements_are_ended():
    with Warehouse(tokens={"OAUTH-1"}) as w, House(w, "token = OAUTH-1\ntoken_type = oauth\n") as g:
        with_table(w)
        handle = g.execute("c1", statement="select 1")["statementHandle"]
        contains(json.dumps(g.call("cancel", [[handle]])), "000604")
        equal(w.cancelled, [handle])
        contains(json.dumps(g.call("cancel", [["../../x"]])), "statementHandle")
        equal({e.headers["x-snowflake-authorization-token-type"] for e in w.entries}, {"OAUTH"})


@story
def what_fails_says_what_snowflake_said():
    with Warehouse(tokens={"PAT-1"}) as w, House(w, PAT) as g:
        with_table(w)

        def fails(name, row, *parts):
            answer = g.call(name, [row])
            contains(json.dumps(answer), *parts)
        fails("run", [{"statement": "select * from NOWHERE"}, None], "002003", "42S02", "NOWHERE")
        fails("run", [{"statement": "select ?", "bindings": [[1]]}, None], "bindings", "scalar")
        fails("run", [{"statement": "select ?", "bindings": 5}, None], "list")
        fails("run", [{}, None], "statement")
        fails("put", [{"table": "T; drop table T", "columns": ["A"], "rows": [[1]]}, None], "not the name of a table")
        fails("put", [{"table": "T", "columns": ["A b"], "rows": [[1]]}, None], "columns")
        fails("put", [{"table": "T", "columns": ["ID", "NAME"], "rows": [[1]]}, None], "row 1")
        fails("status", ["../../x"], "statementHandle")
        fails("status", ["00000000-0000-0000-0000-000000000000"], "404")
        fails("fetch", ["00000000-0000-0000-0000-000000000000", 1], "404")
        equal(len(w.statements), 1)
    with Warehouse(tokens={"PAT-2"}) as w, House(w, PAT) as g:
        contains(json.dumps(g.call("run", [[{"statement": "select 1"}, None]])), "401")
        lacks(g.log(), "PAT-1")


@story
def rows_of_a_table():
    with Warehouse(tokens={"PAT-1"}) as w, House(w, PAT) as g:
        with_table(w, 2500)
        w.partition_rows, w.polls = 1000, 1
        answer = g.call("orders", [[1000]])
        equal(answer["columns"], ["ID", "NAME", "V"])
        equal([[i, n, float(v)] for i, n, v in answer["rows"]], [[str(i), "n%d" % i, i / 2] for i in range(1000, 2500)])
        for fault in ("lose", 503, 429)[:3 if SOAK else 1]:
            w.fault("POST", fault)
            equal(len(g.call("all", [])["rows"]), 2500, fault)
        equal(len(g.call("orders", [[2490], [2495]])["rows"]), 15)
        for fault in ("reset", 503, 429)[:3 if SOAK else 1]:  # of a partition
            w.fault("GET", fault)
            equal(len(g.call("all", [])["rows"]), 2500, fault)
        w.fault("GET", 404)
        g.call("all", [], 404)
        # A partition that is not whole makes no shorter table.
        w.fault("GET", "short")
        contains(json.dumps(g.call("all", [], 500)), "2499", "2500")


@story
def rows_into_a_table():
    with Warehouse(tokens={"PAT-1"}) as w, House(w, PAT) as g:
        with_table(w)
        rows = [[i, "text %d" % i if i % 3 else None, i / 4] for i in range(2500)]
        w.fault("POST", "lose")
        equal(g.call("load", rows)["rows"], [[2500]])
        equal([list(r) for r in w.sql("select ID, NAME, V from DB.S.T order by cast(ID as int)")],
              [[i, t, v] for i, t, v in rows] if isinstance(w.sql("select ID from DB.S.T")[0][0], int) else
              [[str(i), t, "%.17g" % v if v != int(v) else str(int(v))] for i, t, v in rows])
        equal(len(w.statements), 3)
        g.call("load", [[1, "x", 0.1], [2, "y", 1e300], [3, "z", -1 / 3]])
        equal(bound(w)[2], ("TEXT", ["0.1", "1e+300", "-0.3333333333333333"]))
        equal(g.call("put", [[{"table": "T", "columns": ["ID", "NAME"], "rows": [[1, "a"], [2, None]]}, "p1"]])["rows"][0][0]["code"],
              "090001")


@story
def key_pairs():
    with Folder("") as keys:
        private, public = os.path.join(keys.dir, "k.p8"), os.path.join(keys.dir, "k.pub")
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private],
                       check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
        with open(private, encoding="ascii") as f:
            pem = f.read()
        with open(public, "rb") as f:
            known = f.read()
        how = "user = loader\nprivate_key = file:key.p8\n"
        with Warehouse(users={"LOADER": known}) as w, House(w, how, {"key.p8": pem}) as g:
            os.chmod(os.path.join(g.dir, "key.p8"), 0o600)
            equal(g.execute("a", statement="select 1")["data"], [["1"]])
            time.sleep(1.1)  # tokens of one second are the same token
            w.revoke()  # the token is refused: a new one is made, once
            equal(g.execute("b", statement="select 2")["data"], [["2"]])
            tokens = [e.headers["authorization"].split()[1] for e in w.entries if e.method == "POST"]
            equal({e.headers["x-snowflake-authorization-token-type"] for e in w.entries}, {"KEYPAIR_JWT"})
            judge = ("import * as jose from 'jose'; import fs from 'fs'; import {webcrypto} from 'crypto'; globalThis.crypto ??= webcrypto;"
                     "const [t, pem] = process.argv.slice(1); const key = await jose.importSPKI(fs.readFileSync(pem, 'utf8'), 'RS256');"
                     "const {payload} = await jose.jwtVerify(t, key, {algorithms: ['RS256']}); console.log(JSON.stringify(payload));")
            for token in tokens[:1] + tokens[-1:]:
                p = subprocess.run(["node", "--input-type=module", "-e", judge, token, public], capture_output=True, text=True,
                                   cwd=os.path.join(TESTS, "peers"), timeout=60)
                equal(p.returncode, 0, p.stderr)
                claims = json.loads(p.stdout)
                equal(claims["sub"], "XY12345.LOADER")
                contains(claims["iss"], "XY12345.LOADER.SHA256:")
                true(0 < claims["exp"] - claims["iat"] <= 3600, claims)
            lacks(g.log(), *tokens)


@story
def settings_that_cannot_be_used():
    with Warehouse(tokens={"PAT-1"}) as w:
        for how, part in (("private_key = x\n", "user"), ("user = u\nprivate_key = nonsense\n", "private_key"),):
            with Folder(config(w, how)) as f:
                contains(f.check(code=None).err + "", part)
        with House(w, "") as g:
            contains(json.dumps(g.call("run", [[{"statement": "select 1"}, None]])), "private_key")
            g.call("all", [], 400)


@story
def statements_that_set_it_up():
    with Warehouse(tokens={"PAT-1"}) as w, Folder(config(w, PAT) + """
[connector "snowflake"]
plugin = snowflake
secret = x
sagemaker = wh
[function "twice"]
script = functions/twice.lua
params = n:num, s
returns = num
[function "order"]
script = functions/twice.lua
params = select:num, x:num, X:num
returns = num
[function "total"]
script = functions/total.lua
params = n:num
returns = num
""", {"scripts/functions/twice.lua": "return function(n) return n end",
            "scripts/functions/total.lua": "return { init = function() return 0 end, step = function(s, n) return s + n end,"
                                           " final = function(s) return s end }"}) as f:
        base = ["snowflake", "ddl", "--config", f.config, "--connector", "snowflake"]
        out = f.run(*base, "--url", "https://x.execute-api.eu-west-1.amazonaws.com/prod/", "--role-arn", "arn:aws:iam::1:role/o'r",
                    "--max-batch-rows", "500").out
        contains(out, "create api integration if not exists patchbay\n", "'arn:aws:iam::1:role/o''r'", "max_batch_rows = 500",
                 "create or replace external function twice(n float, s varchar)\n    returns float",
                 "as 'https://x.execute-api.eu-west-1.amazonaws.com/prod/snowflake/twice';",
                 'create or replace external function "order"(arg_1 float, x float, arg_3 float)',
                 "-- total is an aggregate function", "sagemaker_invoke(parameters variant)",
                 "train_and_get_recommendations(input_table_name varchar, output_table_name varchar)")
        lacks(out, "function total")
        out = f.run(*base, "--service", "DB.S.PB", "--into", "DB.S").out
        contains(out, "create or replace function DB.S.twice(",
                 "service = DB.S.PB\n    endpoint = 'http'\n    context_headers = (current_user, current_account)\n    as '/snowflake/twice';")
        lacks(out, "integration")
        contains(f.run(*base, code=2).err, "--url")
        aws = f.run("snowflake", "gateway", "aws", "--config", f.config, "--connector", "snowflake", "--url", "https://gw.example.com").out
        contains(aws, "HttpMethod: POST", "HttpMethod: GET", "x-patchbay-secret", "sts:ExternalId", "https://gw.example.com",
                 "AWS::ApiGateway::ClientCertificate", 'BinaryMediaTypes: ["*~1*"]')
        lacks(aws, "@")
        azure = ["snowflake", "gateway", "azure", "--config", f.config, "--connector", "snowflake", "--tenant", "t-1", "--application", "a-1"]
        contains(f.run(*azure, "--url", "https://gw.example.com").out, "serviceUrl: 'https://gw.example.com'", "['POST', 'GET']",
                 "https://sts.windows.net/t-1/")
        contains(f.run(*base, "--provider", "azure", "--tenant", "t-1", "--application", "a-1", "--url", "https://x.azure-api.net/p").out,
                 "api_provider = azure_api_management", "azure_tenant_id = 't-1'", "azure_ad_application_id = 'a-1'",
                 "as 'https://x.azure-api.net/p/snowflake/twice'")
        # What would be something else in a statement or a template is refused.
        for wrong in (["ddl", "--url", "foo"], ["ddl", "--url", "https://x/'; drop"], ["ddl", "--service", "A.B; x"],
                      ["ddl", "--url", "https://x.y", "--into", "A b"], ["gateway", "aws", "--url", "ftp://x"],
                      ["gateway", "azure", "--url", "https://x", "--tenant", "'", "--application", "a"],
                      ["gateway", "spcs", "--image", "a\nb"]):
            contains(f.run("snowflake", *wrong, "--config", f.config, "--connector", "snowflake", code=2).err, "--")
        spcs = f.run("snowflake", "gateway", "spcs", "--config", f.config, "--connector", "snowflake", "--image", "/d/s/r/patchbay:1").out
        contains(spcs, "create service patchbay", "/d/s/r/patchbay:1", "port: 8080")


if __name__ == "__main__":
    main()
