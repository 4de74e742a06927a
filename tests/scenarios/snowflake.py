# SPDX-License-Identifier: MIT
"""Functions called from Snowflake: the protocol of external functions against an emulator of its caller, with Python's
json and JSON.parse as judges of every reply, curl for compression, openssl for checksums."""
import base64
import gzip
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
import zlib

from lib.certs import Certificates, openssl
from lib.gateway import ISOLATION, TESTS, WORKERS, Gateway, new_key
from lib.issuer import Issuer
from lib.story import SOAK, contains, equal, eventually, lacks, main, rng, story, together, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_runtime import Runtime  # noqa: E402
from snowflake_caller import Caller, QueryFailed, encode, path_of  # noqa: E402

SECRET = "open sesame"
CONFIG = """
[listen "http"]
address = 127.0.0.1:0
[connector "snowflake"]
plugin = snowflake
secret = env:PROXY_SECRET
content_md5 = yes
async_after = 300ms
"""
FUNCTIONS = """
[connector "echo"]
plugin = echo
[function "same"]
connector = echo
operation = echo
params = v:json
returns = json
[function "nothing"]
script = functions/nothing.lua
returns = num
[function "two"]
script = functions/two.lua
params = a:num, b:str
returns = s:str, n:num
[function "picky"]
script = functions/picky.lua
params = a:num
returns = num
[function "many"]
script = functions/many.lua
params = a:num
returns = str
[function "sum"]
script = functions/sum.lua
params = a:num
returns = num
[function "table"]
script = functions/table.lua
params = a:num
"""
FILES = {
    "scripts/functions/nothing.lua": "return function() return 7 end\n",
    "scripts/functions/two.lua": "return function(a, b) return b, a end\n",
    "scripts/functions/picky.lua": "return function(a) if a == 3 then fail 'three is not liked' end return a end\n",
    "scripts/functions/many.lua": "return function(a) return string.rep('x', a) end\n",
    "scripts/functions/sum.lua": "return { init = function() return 0 end, step = function(s, n) return s + n end,"
                                 " final = function(s) return s end }\n",
    "scripts/functions/table.lua": "return { columns = { 'i:num' }, step = function(emit, n) emit(n) end }\n",
}


class House(Gateway):
    def __init__(self, more="", functions=FUNCTIONS, files=FILES, secret=SECRET):
        super().__init__(CONFIG + more + functions, files, env={"PROXY_SECRET": secret})
        self.callers = []

    def caller(self, function, *suffix, path=None, **options):
        options.setdefault("secret", SECRET)
        self.callers.append(Caller(self.address("http"), path or path_of(function, *suffix), **options))
        return self.callers[-1]

    def stop(self, *args, **options):
        for c in self.callers:
            c.close()  # an end of the gateway leaves those that are open two seconds
        super().stop(*args, **options)


def fails(status, fn, *parts):
    try:
        fn()
    except QueryFailed as e:
        equal(e.status, status, e)
        contains(e.body.decode(), *parts)
        return e
    raise AssertionError("it went well, and %s was expected" % (status,))


@story
def rows_keep_their_numbers_and_their_literals():
    cells = [12, -0.5, "text", "", None, True, False, [], {}, [1, [2, {"a": None}]], {"k": "v", "n": [1.5]}, "é\U0001f600",
             "tab\tnewline\nquote\"backslash\\", "a\u0000b"]
    literals = [b"12345678901234567890123456789012345678", b"-0.00000000000000000000000000000000000001", b"1e400", b"1E+2",
                b"0", b"-0", b'"\\u00e9\\ud83d\\ude00\\/"', b'{"b":1,"a":2,"b":3}', b"[ 1 , 2 ]", b'{"x": 1e-7}']
    with House() as g:
        for compression in ("GZIP", "DEFLATE", "NONE"):
            c = g.caller("same", compression=compression, oracles=compression == "GZIP", case=str.title if compression == "GZIP" else str.upper)
            equal(c.batch([[v] for v in cells]), cells)
            equal(c.batch([[v] for v in cells[:5]], numbers=[7, 3, 900000000000, 0, 5]), cells[:5])
        c = g.caller("same")
        reply = c.send("POST", "verbatim:1", encode([[i, v] for i, v in enumerate(literals)]))
        equal(reply.status, 200, reply.body)
        # Byte for byte, NUMBER(38) and all.
        equal(reply.body, b'{"data":[' + b",".join(b"[%d,%s]" % (i, v) for i, v in enumerate(literals)) + b"]}")
        equal(g.caller("nothing").batch([[], [], []]), [7, 7, 7])
        equal(g.caller("two").batch([[1, "x"], [2, None]]), [{"s": "x", "n": 1}, {"s": None, "n": 2}])
        equal(c.batch([]), [])
        many = [[i * 1.5] for i in range(10000)]
        equal(g.caller("same", oracles=SOAK).query(many, 10000), [r[0] for r in many])
        r = rng("rows")
        for _ in range(20 if not SOAK else 500):
            rows = [[r.choice([r.random(), r.randrange(1 << 60), "s" * r.randrange(40), None, True,
                               {"k%d" % i: i for i in range(r.randrange(3))}])] for _ in range(r.randrange(1, 50))]
            equal(g.caller("same", oracles=False).batch(rows), [row[0] for row in rows])


@story
def replies_are_checked_and_compressed():
    with House() as g:
        url = "http://%s/snowflake/same" % g.address("http")
        body = encode([[i, "x" * 100] for i in range(500)])

        def curl(*args, data=body):
            p = subprocess.run(["curl", "-sS", "-H", "x-patchbay-secret: " + SECRET, "-H", "content-type: application/json",
                                "--data-binary", "@-", *args, url], input=data, capture_output=True, timeout=60)
            equal(p.returncode, 0, p.stderr)
            return p.stdout
        plain = curl()
        equal(json.loads(plain)["data"][499], [499, "x" * 100])
        for coding in ("gzip", "deflate"):
            equal(curl("--compressed", "-H", "accept-encoding: " + coding), plain, coding)
            head = curl("-o", "/dev/null", "-D", "-", "-H", "accept-encoding: " + coding).decode().lower()
            contains(head, "content-encoding: " + coding)
            lacks(head, "content-md5")
        head = curl("-o", "/dev/null", "-D", "-").decode()
        lacks(head.lower(), "content-encoding")
        openssl = subprocess.run(["openssl", "md5", "-binary"], input=plain, capture_output=True, check=True).stdout
        contains(head, "Content-MD5: " + base64.b64encode(openssl).decode())
        # What the proxy has inflated keeps its header; zlib, and deflate without zlib's frame, have the same one.
        raw = zlib.compressobj(wbits=-15)
        raw = raw.compress(body) + raw.flush()
        for data, coding in ((body, "gzip"), (gzip.compress(body), "gzip"), (gzip.compress(body), "identity"),
                             (zlib.compress(body), "deflate"), (raw, "deflate"), (body, "deflate")):
            equal(curl("-H", "content-encoding: " + coding, data=data), plain, coding)
        bomb = gzip.compress(b" " * (80 << 20))
        told = ["-H", "sf-external-function-query-batch-id: zip:1", "-w", "%{http_code}"]
        for data, status in ((bomb, b"413"), (gzip.compress(body)[:-5], b"400"), (gzip.compress(body) + b"x", b"400")):
            answer = curl(*told, data=data)
            true(answer.endswith(status) and b"zip:1" in answer, answer)
        equal(len(g.await_log("batch refused", "batch_id=zip:1", count=3)), 3)
        # A stranger is asked who he is before anything is unpacked.
        equal(g.caller("same", secret=None, compression="NONE").send("POST", "zip:2", bomb).status, 403)
        for accepts, coding in (("gzip;q=0", ""), ("gzip;q=0, deflate", "deflate"), ("identity", ""), ("xgzipx", ""), ("br, GZIP;q=0.5", "gzip"),
                                ("gzip; q=0.0 , br", "")):
            head = curl("-o", "/dev/null", "-D", "-", "-H", "accept-encoding: " + accepts).decode().lower()
            equal("content-encoding: " + coding in head if coding else "content-encoding" not in head, True, accepts)


@story
def what_is_wrong_is_told_and_ends_the_query():
    with House() as g:
        c = g.caller("picky", compression="NONE")
        good = b'{"data":[[0,1],[1,2]]}'
        for body, *parts in (
                (b"", "offset 0"), (b"{}", "data"), (b"[]", "object"), (b'{"data":5}', "array"), (b'{"data":[5]}', "row 1"),
                (b'{"data":[[]]}', "row number"), (b'{"data":[["x",1]]}', "number"), (b'{"data":[[0]]}', "0 values, 1 expected"),
                (b'{"data":[[0,1],[1,2,3]]}', "row 2", "2 values"), (b'{"data":[[0,1],[1,"x"]]}', "row 2, column 1", "x"),
                (b'{"data":[[0,1e400]]}', "1e400"), (b'{"data":[[0,01]]}', "zero"), (b'{"data":[[0,NaN]]}', "offset"),
                (b'{"data":[[0,1]],"data":[[0,1]]}', "twice"), (b'{"data":[[0,1]]}x', "after the end"),
                (b'{"data":[[0,"\xff"]]}', "UTF-8"), (b'{"data":[[0,"\\ud800"]]}', "surrogate"),
                (b'{"data":[[0,' + b"[" * 1000000, "nested"), (b'{"data":[[0,{"a":{"a":{}}}]]}', "number")):
            reply = c.send("POST", "bad:1", body)
            equal(reply.status, 400, (body[:60], reply.body))
            contains(json.loads(reply.body)["error"], *parts)
            contains(reply.body.decode(), "bad:1", c.query_id)
        for cut in range(len(good)):
            equal(c.send("POST", "cut:%d" % cut, good[:cut]).status, 400, good[:cut])
        r = rng("broken")
        for i in range(300 if not SOAK else 20000):
            body = bytearray(good)
            for _ in range(r.randrange(1, 4)):
                body[r.randrange(len(body))] = r.randrange(256)
            true(c.send("POST", None, bytes(body)).status in (200, 400), bytes(body))
        equal(c.send("POST", "good:1", good).status, 200)
        fails(404, lambda: g.caller("nope").batch([[1]]), "nope")
        fails(404, lambda: g.caller("train").batch([["a", "b"]]), "train", "`sagemaker`")
        fails(400, lambda: g.caller("sum").batch([[1]]), "aggregate", "sum")
        fails(400, lambda: g.caller("table").batch([[1]]), "table")
        fails(400, lambda: g.caller("picky").batch([[1], [3], [4]]), "row 2", "three is not liked")
        equal(g.caller("picky", headers={"sf-custom-patchbay-errors": "rows"}).batch([[1], [3], [4]]),
              [1, {"error": "three is not liked", "code": "INVALID_ARGUMENT"}, 4])
        fails(413, lambda: g.caller("many").batch([[1000000]] * 12), "MAX_BATCH_ROWS")
        equal(c.send("PUT", "x").status, 405)
        equal(c.send("GET", "never:1").status, 404)
        equal(c.send("GET", None).status, 400)
        equal(c.send("POST", "b", good, more={"sf-external-function-name-base64": "!"}).status, 400)
        equal(c.send("POST", "b", good, more={"sf-external-function-format": "xml"}).status, 400)
        for name in ("sf-external-function-query-batch-id", "sf-context-current-user", "sf-custom-sagemaker-endpoint-name"):
            reply = c.send("POST", None, good, more={name: "caf\u00e9"})  # as latin-1
            equal(reply.status, 400, name)
            contains(json.loads(reply.body)["error"], "UTF-8")
        for line in g.log_lines("batch refused", "bad:1"):
            contains(line, c.query_id)
        g.alive()


@story
def who_may_call():
    more = "accounts = ACME\n"
    with House(more) as g:
        ok = {"sf-context-current-account": "ACME"}
        equal(g.caller("picky", headers=ok).batch([[1]]), [1])
        fails(403, lambda: g.caller("picky", headers=ok, secret=None).batch([[1]]), "missing")
        fails(403, lambda: g.caller("picky", headers=ok, secret="open sesamf").batch([[1]]), "not the right one")
        fails(403, lambda: g.caller("picky", headers={"sf-context-current-account": "EVIL"}).batch([[1]]), "accounts")
        fails(403, lambda: g.caller("picky").batch([[1]]), "accounts")
        # The twin is what counts.
        fails(403, lambda: g.caller("picky", headers=dict(ok, **{
            "sf-context-current-account-base64": base64.b64encode("ÄCME".encode()).decode()})).batch([[1]]), "accounts")
        big = {"sf-custom-x%d" % i: "v" * 1000 for i in range(8)}
        equal(g.caller("picky", headers=dict(ok, **big), user="K\u00efm O'Neill").batch([[2]]), [2])
        contains("".join(g.await_log("msg=call", "function=picky", "rows=1", "user=")), "Kïm O'Neill")
        lacks(g.log(), SECRET, "open sesamf")


@story
def rows_are_not_for_the_log():
    """Nor are they in what is said of them: callers are told, and the log has the ids to look it up by."""
    with House() as g:
        row = "row-%s" % "7" * 3
        equal(g.caller("same").batch([[row]]), [row])
        c = g.caller("picky", compression="NONE")
        for body in (encode([[0, row]]), encode([[0, 1], [row, 2]]), encode([[0, 1]])[:-4] + row.encode(), b'{"%s":1}' % row.encode()):
            equal(c.send("POST", "log:1", body).status, 400, body)
        contains(c.send("POST", "log:1", encode([[0, row]])).body.decode(), row)
        fails(400, lambda: g.caller("two").batch([[row, row]]), row)
        fails(404, lambda: g.caller(row).batch([[1]]), row)
        g.await_log("batch refused", "batch_id=log:1", count=5)
        for line in g.log().splitlines():
            true(row not in line or "path=/snowflake/" + row in line, line)  # what was asked for stands in the line of its route


@story
def keys_of_the_listener_are_as_good():
    key, section = new_key("proxy")
    with House(section) as g:
        equal(g.caller("picky", secret=None, headers={"x-api-key": key}).batch([[1]]), [1])
        equal(g.caller("picky", secret=None, headers={"authorization": "Bearer " + key}).batch([[1]]), [1])
        try:
            g.caller("picky", secret=None, headers={"x-api-key": "pbk_" + "0" * 43}).batch([[1]])
        except QueryFailed as e:
            true(e.status in (401, 403), e)
        # The proxy's certificate or key does not make a wrong secret right.
        fails(403, lambda: g.caller("picky", secret="wrong", headers={"x-api-key": key}).batch([[1]]), "not the right one")
    with House("trust_network = yes\n") as g:
        equal(g.caller("picky", secret=None).batch([[2]]), [2])
        fails(403, lambda: g.caller("picky", secret="wrong").batch([[1]]), "not the right one")


TENANT = "https://sts.windows.net/t-1/"


@story
def tokens_that_the_proxy_passes_on():
    """As Azure's API Management does it: the issuer of `gateway azure`."""
    with Issuer() as issuer:
        config = CONFIG.replace("secret = env:PROXY_SECRET\n", "") + FUNCTIONS + """
[issuer "entra"]
issuer = %s
audience = app-1
jwks_url = http://127.0.0.1:%d/keys
require.appid = snowflake-1
subject_claim = appid
""" % (TENANT, issuer.port)
        with Gateway(config, FILES) as g:
            def status(token, function="picky", method="POST"):
                c = Caller(g.address("http"), path_of(function), headers={"authorization": token and "Bearer " + token}, oracles=False)
                reply = c.send(method, "jwt:1", encode([[0, 1]]))
                c.close()
                return reply.status

            def token(word="token", **claims):
                return issuer.token(word, **dict({"iss": TENANT, "aud": "app-1", "appid": "snowflake-1"}, **claims))
            g.await_log("the keys of an issuer were read")
            equal(status(token()), 200)
            equal(status(token(), method="GET"), 404)
            contains(g.await_log("msg=call", "function=picky")[0], "who=snowflake-1")
            for claims in ({"aud": "app-2"}, {"iss": "https://sts.windows.net/t-2/"}, {"exp": int(time.time()) - 120},
                           {"appid": "somebody"}, {"appid": None}):
                equal(status(token(**claims)), 401, claims)
            equal(status(token("foreign")), 401, "a key that nobody published")
            head, claims, signature = token().split(".")
            none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
            for bad in (none + "." + claims + ".", none + "." + claims + "." + signature, head + "." + claims + ".", "x.y.z"):
                equal(status(bad), 401, bad)
            equal(status(None), 403, "and nothing at all")
            equal(status(token(), function="nope"), 404)
            lacks(g.log(), claims)


@story
def the_certificate_of_the_proxy():
    """API Gateway's client certificate signs itself, so it is its own root_cert.pem: mutual TLS without a secret."""
    with tempfile.TemporaryDirectory(prefix="patchbay-certs-") as tmp:
        certs = Certificates(tmp)
        mine, other = [os.path.join(tmp, n) for n in ("mine", "other")]
        for name in (mine, other):
            openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", name + ".key", "-out", name + ".pem", "-days", "365",
                    "-subj", "/CN=ApiGateway")
        with open(mine + ".pem") as src, open(os.path.join(certs.server, "root_cert.pem"), "w") as dst:
            dst.write(src.read())
        config = (CONFIG.replace("secret = env:PROXY_SECRET\n", "")
                  .replace("address = 127.0.0.1:0\n", "address = 127.0.0.1:0\ntls_dir = %s\n" % certs.server))
        with Gateway(config + FUNCTIONS, FILES) as g:
            def curl(*args):
                return subprocess.run(["curl", "-sS", "--cacert", certs.root_cert, "-H", "content-type: application/json", "-d",
                                       '{"data":[[0,1]]}', "-w", "%{http_code}", *args,
                                       "https://%s/snowflake/picky" % g.address("http")], capture_output=True, text=True, timeout=60)
            own = curl("--cert", mine + ".pem", "--key", mine + ".key")
            equal(own.stdout, '{"data":[[0,1]]}200', own.stderr)
            for args in ((), ("--cert", other + ".pem", "--key", other + ".key")):
                true(curl(*args).returncode != 0, args)
            # Who shows a secret shows the right one, certificate or not.
            contains(curl("--cert", mine + ".pem", "--key", mine + ".key", "-H", "x-patchbay-secret: x").stdout, "403")
            contains(g.await_log("msg=call", "function=picky")[0], "ApiGateway")


def slow_house(ms, more="", **options):
    runtime = Runtime().start()
    functions = """
[connector "aws"]
plugin = sagemaker
region = eu-west-1
endpoint_url = %s
allow_endpoints = predictions*, scores*, arrays*, csv*, slow*, few, throttle*, echo*
[function "slow"]
connector = aws
operation = invoke
endpoint = slow-%d
params = a:num
returns = num
max_rows = 100000
attempts = 1
""" % (runtime.url, ms)
    return runtime, House(more, functions, {}, **options)


@story
def what_takes_long_is_fetched_later():
    runtime, house = slow_house(1500)
    with house as g:
        c = g.caller("slow", sleeps=(0.1, 20.0))
        equal(c.batch([[2], [4]]), [1, 2])
        true(c.polls >= 1, c.polls)
        equal(len([e for e in runtime.entries if e.path.startswith("/endpoints")]), 1)
        batch = "%s:1:1:0:0" % c.query_id
        equal(json.loads(c.send("GET", batch).body)["data"], [[0, 1], [1, 2]], "the result stays")
        equal(c.send("GET", "unknown:1").status, 404)
        # The same batch again finds the result; with other rows it is refused.
        again = c.send("POST", batch, encode([[0, 2], [1, 4]]))
        equal((again.status, json.loads(again.body)["data"]), (200, [[0, 1], [1, 2]]))
        equal(c.send("POST", batch, encode([[0, 2], [1, 5]])).status, 409)
        equal(len(runtime.entries), 1)


@story
def the_same_batch_at_the_same_time_is_worked_on_once():
    runtime, house = slow_house(800, "")
    house.reconfigure(open(house.config).read().replace("async_after = 300ms", "async_after = 20s"))
    with house as g:
        got, body = [], encode([[0, 2], [1, 4]])
        with together(4) as run:
            for _ in range(4):
                run(lambda: got.append(g.caller("slow").send("POST", "twin:1", body)))
        equal([r.status for r in got], [200] * 4)
        equal(len({r.body for r in got}), 1)
        # Workers do not ask each other for what takes less than async_after and has no effects.
        many = max(1, int(WORKERS))
        true(1 <= len(runtime.entries) <= many, [e.path for e in runtime.entries])
        runtime.forget()
        # The proxy gave up and closed; the repetition gets what was made meanwhile.
        c = g.caller("slow")
        try:
            c.send("POST", "gone:1", body, timeout=0.3)
        except OSError:
            c.close()
        time.sleep(1.2)
        equal(g.caller("slow").send("POST", "gone:1", body).status, 200)
        true(1 <= len(runtime.entries) <= many, [e.path for e in runtime.entries])


@story
def too_much_at_once_is_429():
    runtime, house = slow_house(400, "in_flight = 4\n")
    house.reconfigure(open(house.config).read().replace("async_after = 300ms", "async_after = 20s"))
    with house as g:
        got = []
        with together(12) as run:
            for i in range(12):
                run(lambda i=i: got.append(g.caller("slow").send("POST", "b:%d" % i, encode([[0, 2]])).status))
        true(200 in got and set(got) <= {200, 429} and (429 in got or WORKERS != "0"), got)
        callers = [g.caller("slow", total=60, oracles=False) for _ in range(16)]
        with together(16) as run:
            for c in callers:
                run(lambda c=c: equal(c.batch([[2]]), [1]))
        true(sum(c.retries for c in callers) > 0)


SAGEMAKER = "sagemaker = aws\nregion = eu-west-1\n"


@story
def sagemaker_invoke():
    runtime, house = slow_house(1, SAGEMAKER)
    rows = [[[-0.32, 0.29, -1.041, 0, -0.91, 0.021, 1, 1, 1, 0, 0, 1, 0]], [[0.1, 0.2, 0.3, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1]]]
    with house as g:
        def caller(endpoint, path="/snowflake", **more):
            headers = {"sf-custom-sagemaker-endpoint-name": endpoint, **more}
            return g.caller("", path=path, headers=headers)
        for path in ("/snowflake", "/snowflake/", "/snowflake/sagemaker_invoke"):
            equal(caller("scores", path).batch(rows, numbers=[5, 3]), [{"score": -0.16}, {"score": 0.05}])
        equal(runtime.entries[0].body, b"-0.32,0.29,-1.041,0,-0.91,0.021,1,1,1,0,0,1,0\n0.1,0.2,0.3,0,0,0,1,0,0,1,0,0,1")
        equal(runtime.entries[0].headers["content-type"], "text/csv")
        equal(runtime.entries[0].headers["accept"], "application/json")
        equal(caller("predictions").batch(rows), [{"score": -0.16}, {"score": 0.05}])
        equal(caller("arrays", **{"sf-custom-sagemaker-region": "eu-west-1"}).batch(rows), [[-0.16], [0.05]])
        # Texts are quoted, null is an empty field, numbers stay as they stand; a null row is not sent.
        c = caller("echo")
        fails(422, lambda: c.batch([[["a", 1]]]))
        equal(caller("arrays").batch([[[4, "x,\"y\"", None, True]], [None]]), [[2], None])
        equal(runtime.entries[-1].body, b'4,"x,""y""",,true')
        reply = caller("arrays").send("POST", "n:1", b'{"data":[[0,[123456789012345678901234567890,1.50]]]}')
        equal(reply.status, 200)
        equal(runtime.entries[-1].body, b"123456789012345678901234567890,1.50")
        before = len(runtime.entries)
        fails(403, lambda: caller("secret-model").batch(rows), "allow_endpoints")
        fails(403, lambda: caller("scores", **{"sf-custom-sagemaker-region": "us-east-1"}).batch(rows), "us-east-1")
        fails(400, lambda: caller(None).batch(rows), "sagemaker-endpoint-name")
        fails(400, lambda: caller("../x").batch(rows))
        equal(len(runtime.entries), before, "nothing was sent")
        fails(422, lambda: caller("few").batch(rows), "row")
        equal(caller("throttle-2").batch(rows), [-0.16, 0.05])


@story
def invoke_model_by_rows():
    runtime, house = slow_house(1, SAGEMAKER)
    with house as g:
        for path in ("invoke", "invoke_model"):
            equal(g.caller(path).batch([["csv-v1", "1", "610"], ["csv-v1", 10, 313]]), ["0.5", "5.0"])
            equal(runtime.entries[-1].body, b"1,610\n10,313\n")
        equal(g.caller("invoke").batch([["csv-a", "2", "x"], ["csv-b", "4", "x"], ["csv-a", "6", "x"], [None, "1", "x"]]),
              ["1.0", "2.0", "3.0", None])
        equal([(e.path.split("/")[2], e.body) for e in sorted(runtime.entries[-2:], key=lambda e: e.path)],
              [("csv-a", b"2,x\n6,x\n"), ("csv-b", b"4,x\n")])
        fails(403, lambda: g.caller("invoke").batch([["other", "1", "2"]]), "allow_endpoints")
        # As many models as a batch may name, one after the other and again; and one more.
        equal(g.caller("invoke").batch([["csv-%d" % (i % 64), "2", "x"] for i in range(128)]), ["1.0"] * 128)
        fails(400, lambda: g.caller("invoke").batch([["csv-%d" % i, "2", "x"] for i in range(65)]), "64 models", "row 64")


@story
def bodies_of_translators():
    runtime, house = slow_house(1, SAGEMAKER)
    with house as g:
        c = g.caller("raw", path="/snowflake/raw/csv-1", compression="NONE")
        reply = c.send("POST", "t:1", b"2,a\n4,b\n", more={"content-type": "text/csv"})
        equal((reply.status, reply.body, reply.headers["content-type"]), (200, b"1.0\n2.0\n", "text/csv"))
        equal(runtime.entries[-1].body, b"2,a\n4,b\n")
        # The name is a path parameter, percent-decoded.
        reply = c.send("POST", "t:2", b"8\n", path="/snowflake/raw/csv%2D1")
        equal(reply.body, b"4.0\n")
        reply = c.send("POST", "t:3", b'{"instances":[[2],[4]]}', path="/snowflake/raw/slow")
        equal((reply.status, reply.body), (200, b'{"predictions":[[1],[2]]}'))
        c.send("POST", "t:3", b'{"instances":[[2,"a"],[4,"b"]]}', path="/snowflake/raw/predictions")
        equal(json.loads(runtime.entries[-1].body), {"instances": [[2, "a"], [4, "b"]]})
        reply = c.send("POST", "t:4", b"2\n4\n", path="/snowflake/raw/slow")
        equal(reply.body, b"1\n2\n")
        equal(c.send("POST", "t:5", b"2\n", path="/snowflake/raw/nope").status, 403)
        before = len(runtime.entries)
        for body in (b"2,\xff\n", b'{"instances":[["\xff"]]}'):
            reply = c.send("POST", "t:7", body, path="/snowflake/raw/csv-1")
            equal((reply.status, len(runtime.entries)), (400, before), reply.body)
            contains(reply.body.decode(), "UTF-8", "t:7")
        equal(c.send("POST", "t:6", b"2\n", path="/snowflake/raw/..%2Fx").status in (400, 403), True)


@story
def a_thousand_connections():
    import http.client
    # In a process of its own the batches are really there at once.
    with House("in_flight = %d\n" % (1000 if ISOLATION else 64)) as g:
        held = []
        for i in range(1000 if SOAK else 300):
            c = http.client.HTTPConnection(*g.address("http").rsplit(":", 1))
            c.connect()
            held.append(c)
        for round_ in range(2):
            for i, c in enumerate(held):
                c.request("POST", "/snowflake/picky", encode([[0, i + 10]]),
                          {"x-patchbay-secret": SECRET, "content-type": "application/json",
                           "sf-external-function-query-batch-id": "k:%d:%d" % (round_, i)})
            for i, c in enumerate(held):
                answer = c.getresponse()
                body = answer.read()
                equal((answer.status, json.loads(body)["data"]), (200, [[0, i + 10]]))
        for c in held:
            c.close()


@story
def large_batches_at_once():
    """What they hold together is bounded before anybody knows whose they are; small ones pass."""
    with House("[limits]\nmax_bodies = 1M\n") as g:
        host, port = g.address("http").rsplit(":", 1)
        body = encode([[0, "x" * 900000]])
        head = ("POST /snowflake/same HTTP/1.1\r\nhost: 127.0.0.1\r\nx-patchbay-secret: %s\r\ncontent-length: %d\r\n\r\n"
                % (SECRET, len(body))).encode()
        held, many = [], max(1, int(WORKERS))
        for _ in range(12):
            held.append(socket.create_connection((host, int(port)), timeout=60))
            held[-1].sendall(head)

        def answer(s, rest=b""):
            try:
                s.sendall(rest)
                reply = s.recv(4096)
                true(not reply.startswith(b"HTTP/1.1 429") or b"\r\nRetry-After: 1\r\n" in reply, reply)
                return reply[9:12]
            except OSError:
                return b"gone"
        for s in held:
            try:
                s.sendall(body[:-1])
            except OSError:
                pass  # it was refused meanwhile
        eventually(lambda: len(select.select(held, [], [], 0)[0]) >= 12 - many, "they are refused")
        refused = select.select(held, [], [], 0)[0]
        true(set(map(answer, refused)) <= {b"429", b"gone"})
        equal(g.caller("same").batch([["small"]]), ["small"])
        kept = [s for s in held if s not in refused]
        true(1 <= len(kept) <= many, len(kept))
        equal([answer(s, body[-1:]) for s in kept], [b"200"] * len(kept))
        for s in held:
            s.close()
        equal(eventually(lambda: (lambda r: r.status == 200 and r)(g.caller("same", compression="NONE").send("POST", "big:1", body)),
                         "there is room again").status, 200)


SCORING = """
[connector "aws"]
plugin = sagemaker
region = eu-west-1
endpoint_url = http://%s/runtime
[function "score"]
connector = aws
operation = invoke
endpoint = churn-v1
params = age:num, income:num, plan:num, months:num
answer = num
returns = num
"""


@story
def batches_that_nobody_fetches():
    """Their results wait on disk; what memory keeps of them is bounded."""
    n, threads = (100000, 32) if SOAK else (400, 8)
    endpoint = Gateway('[listen "http"]\naddress = 127.0.0.1:0\n[connector "runtime"]\nplugin = local_endpoint\nlatency = 20ms\n')
    with endpoint as e:
        house = House(functions=SCORING % e.address("http"), files={})
        house.reconfigure(open(house.config).read().replace("async_after = 300ms", "async_after = 0ms"))
        with house as g:
            abandon(g, n, threads)


def customer(i):
    return [18 + i % 70, 15000 + i * 37 % 70000, 1 + i % 9, i % 120]


def abandon(g, n, threads):
    import http.client
    sizes = []

    def send(first, last):
        c = http.client.HTTPConnection(*g.address("http").rsplit(":", 1), timeout=120)
        for i in range(first, last):
            status = 429
            while status == 429:
                c.request("POST", "/snowflake/score", encode([[0, *customer(i)], [1, *customer(i + 1)]]),
                          {"x-patchbay-secret": SECRET, "content-type": "application/json",
                           "sf-external-function-query-batch-id": "left:%d" % i})
                answer = c.getresponse()
                answer.read()
                status = answer.status
            true(status in (200, 202), status)  # a slow disk may be later than the answer
        c.close()
    for part in range(4):
        with together(threads) as run:
            for t in range(threads):
                at = part * n // 4 + t * (n // 4 // threads)
                run(send, at, at + n // 4 // threads)
        sizes.append(g.status("VmRSS") >> 10)
    print("memory after each quarter of %d batches: %s MiB" % (n, sizes), flush=True)
    # The first quarter fills what is kept.
    true(sizes[-1] < sizes[0] * 1.25 + 16, sizes)
    c = g.caller("score", oracles=False)
    r = rng("left")
    for i in [0, n // 4 * 3] + [part * (n // 4) + r.randrange(n // 4 // threads) for part in range(4) for _ in range(5)]:
        reply = eventually(lambda i=i: (lambda r: r.status == 200 and r)(c.send("GET", "left:%d" % i)), "it is done")
        right = c.batch([customer(i), customer(i + 1)])
        equal((reply.status, json.loads(reply.body)["data"]), (200, [[0, right[0]], [1, right[1]]]))


if __name__ == "__main__":
    main()
