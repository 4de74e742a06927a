# SPDX-License-Identifier: MIT
"""The SageMaker connector against a runtime whose signatures botocore checks."""
import json
import math
import os
import ssl
import subprocess
import sys
import tempfile
import time

from lib.gateway import SSE, TESTS, Folder, Gateway
from lib.sse import CODE, bundle, client, common, function_header
from lib.story import SOAK, contains, equal, eventually, lacks, main, story, together, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_api import Api  # noqa: E402
from sagemaker_runtime import SECRET, Runtime  # noqa: E402


def config(runtime, functions, connector=""):
    text = SSE + '[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\nendpoint_url = %s\n%s\n' % (
        runtime if isinstance(runtime, str) else runtime.url, connector)
    for name, options in functions.items():
        text += ('[function "%s"]\nconnector = aws\noperation = invoke\n' % name)
        text += "" if "endpoint" in options else "endpoint = %s\n" % name.replace("_", "-")
        text += "" if "params" in options else "params = n:num\n"
        text += options + "\n"
    return text


NUMBERS = [float(i) for i in range(1, 1001)]
HALVES = [n / 2 for n in NUMBERS]


@story
def every_form_of_answer():
    forms = ("csv", "predictions", "scores", "array", "arrays", "lines")
    functions = {f: "max_rows = 64" for f in forms}
    functions["predictions_path"] = "endpoint = predictions\npath = predictions[].score"
    functions["json_body"] = "endpoint = echo\nparams = s:str\nreturns = str\nmax_rows = 64"
    with Runtime() as r, Gateway(config(r, functions)) as g, client(g) as c:
        ids = c.ids()
        for name in [*forms, "predictions_path"]:
            equal(c.call(ids[name], NUMBERS, size=333).ok().numbers(), HALVES, name)
        sent = r.of("/csv/")
        true(math.ceil(1000 / 64) <= len(sent) <= 32, len(sent))  # rows that come late go by themselves
        true(all(e.status == 200 for e in r.entries), [e.note for e in r.entries if e.note])
        equal(b"".join(e.body if e.body.endswith(b"\n") else e.body + b"\n" for e in
              sorted(sent, key=lambda e: float(e.body.split(b"\n")[0]))).split(),
              [b"%d" % n for n in range(1, 1001)], "the rows that were sent")
        equal({e.headers["content-type"] for e in sent}, {"text/csv"})


@story
def rows_are_quoted_as_csv():
    rows = [["a,b", 1.5, 'say "x"'], ["line\nline", -0.25, ""], ["é\U0001f600", 1e21, "\\"], [" s ", 3.0, "'"]]
    import csv
    import io
    with Runtime() as r, Gateway(config(r, {"csv": "params = s:str, n:num, t:str"})) as g, client(g) as c:
        c.call(c.ids()["csv"], rows[:1]).ok()
        first = r.of("/csv/")[0].body.decode()
        equal([x for x in csv.reader(io.StringIO(first))], [["a,b", "1.5", 'say "x"']])
        # The stand-in counts lines, so a quoted newline makes it answer too much: an error, never a shift.
        r.forget()
        c.call(c.ids()["csv"], rows)
        got = list(csv.reader(io.StringIO(r.of("/csv/")[0].body.decode(), newline="")))
        equal([[x[0], float(x[1]), x[2]] for x in got], rows)


@story
def rows_per_answer_are_counted():
    names = ("few", "many", "empty")
    with Runtime() as r, Gateway(config(r, {n: "max_rows = 10" for n in names})) as g, client(g) as c:
        for name in names:
            got = c.call(c.ids()[name], NUMBERS[:35])
            true(got.code not in (CODE.OK, CODE.UNKNOWN), name, got.code)
            got.fails(got.code, name)


@story
def wrong_answers_are_errors_and_never_values():
    wanted = {"errorbody": "", "moved": "redirect", "modelerror": "415", "denied": "not authorized", "validation": "not found", "html": "html",
              "truncated": "", "reset": "", "close": "", "garbage": "", "words": "n/a"}
    with Runtime() as r, Gateway(config(r, {n: "attempts = 1\nmax_rows = 10" for n in wanted} |
                                        {"csv": ""})) as g, client(g) as c:
        ids = c.ids()
        for name, part in wanted.items():
            got = c.call(ids[name], NUMBERS[:20])
            true(got.code not in (CODE.OK, CODE.UNKNOWN, CODE.CANCELLED), name, got.code, got.details)
            got.fails(got.code)
            equal(got.rows, [], name)
            contains(got.details.lower(), part)
            lacks(got.details, SECRET)
        equal(c.call(ids["csv"], NUMBERS).ok().numbers(), HALVES)
        lacks(g.log(), SECRET)


@story
def a_partial_answer_is_never_kept():
    """The first batches were good and went out; then one fails."""
    with Runtime() as r, Gateway(config(r, {"limit_40": "max_rows = 10\nin_flight = 1\nattempts = 1\nmax_bytes = 1M"})) as g, \
            client(g) as c:
        rows = [1.0] * 20 + [1.0000001] * 5 + [12345.678901234] * 5
        got = c.call(c.ids()["limit_40"], rows)
        if got.code != CODE.OK:
            got.fails(got.code)
        else:  # it was cut in smaller pieces: then all rows must be there
            equal(len(got.rows), 30)


@story
def too_large_is_cut_in_halves():
    with Runtime() as r, Gateway(config(r, {"limit_200": "max_rows = 1000"})) as g, client(g) as c:
        equal(c.call(c.ids()["limit_200"], NUMBERS).ok().numbers(), HALVES)
        refused = [e for e in r.entries if e.status == 413]
        true(refused and all(len(e.body) <= 200 for e in r.entries if e.status == 200), len(refused))
    with Runtime() as r, Gateway(config(r, {"limit_2": "max_rows = 8"})) as g, client(g) as c:
        got = c.call(c.ids()["limit_2"], [1000.0] * 8)  # one row alone is too large
        true(got.code in (CODE.RESOURCE_EXHAUSTED, CODE.INVALID_ARGUMENT), got.code, got.details)
        got.fails(got.code, "413")


@story
def throttling_is_waited_out_and_counted():
    names = ("throttle_2_a", "failing_2_b", "notready_2_c")
    with Runtime() as r, Gateway(config(r, {n: "" for n in names} | {"throttle_9_d": "attempts = 2",
                                                                     "modelerror": "attempts = 3"})) as g, \
            client(g) as c:
        ids = c.ids()
        for name in names:
            equal(c.call(ids[name], NUMBERS[:50]).ok().numbers(), HALVES[:50], name)
            equal([e.status == 200 for e in r.of("/%s/" % name.replace("_", "-"))], [False, False, True], name)
            contains(g.await_log("function=" + name)[0], "repeats=2")
        began = time.monotonic()
        got = c.call(ids["throttle_9_d"], NUMBERS[:50])
        got.fails(CODE.RESOURCE_EXHAUSTED, "ThrottlingException")
        true(time.monotonic() - began < 60, "it did not give up")
        equal(len(r.of("/throttle-9-d/")), 2)
        got = c.call(ids["modelerror"], NUMBERS[:50])
        got.fails(got.code)
        equal(len(r.of("/modelerror/")), 1, "an error of the model is not asked again")


@story
def slow_backends_meet_deadlines():
    slow = {"slow_30000": "attempts = 1"}
    with Runtime() as r:
        with Gateway(config(r, slow, "timeout = 700ms")) as g, client(g) as c:
            began = time.monotonic()
            c.call(c.ids()["slow_30000"], [1.0]).fails(CODE.DEADLINE_EXCEEDED, "aws", "700 ms")
            true(time.monotonic() - began < 15, "the configured time was not kept")
        with Gateway(config(r, slow)) as g, client(g) as c:
            number = c.ids()["slow_30000"]
            began = time.monotonic()
            equal(c.call(number, [1.0], timeout=0.6).code, CODE.DEADLINE_EXCEEDED)
            true(time.monotonic() - began < 15, "grpc-timeout was not kept")
            eventually(lambda: r.ledger()["busy"] == 0, "the requests to be given up")
        true(len(r.entries) == 2 and all(e.gave_up is not None for e in r.entries), [e.gave_up for e in r.entries])


@story
def a_cancelled_call_cancels_its_requests():
    with Runtime() as r, Gateway(config(r, {"slow_20000": "max_rows = 1\nin_flight = 4"})) as g, client(g) as c:
        stream = c.execute(iter([bundle(NUMBERS[:40])]), metadata=[function_header(c.ids()["slow_20000"]), common()])
        eventually(lambda: r.ledger()["busy"] == 4, "four requests")
        stream.cancel()
        eventually(lambda: r.ledger()["busy"] == 0, "the requests to be given up", 10)
        true(len(r.entries) == 4 and all(e.gave_up is not None for e in r.entries), len(r.entries))
        contains(g.await_log("msg=call")[0], "CANCELLED")


@story
def parts_that_wait_for_keys_are_cancelled():
    keys = json.dumps({"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": SECRET})
    files = {"aws/config": '[profile slow]\ncredential_process = sh "@DIR@/keys.sh"\n', "keys.sh": "sleep 3; echo '%s'\n" % keys}
    function = {"f": "endpoint = csv\nparams = model:str, n:num\ncolumn.target_model = model"}
    with Runtime() as r:
        g = Gateway(config(r, function, "profile = slow"), files)
        g.env = {"AWS_CONFIG_FILE": os.path.join(g.dir, "aws/config"), "HOME": g.dir}
        with g, client(g) as c:
            number, rows = c.ids()["f"], [["m%d" % (i % 7), float(i)] for i in range(40)]
            equal(c.call(number, rows, timeout=1).code, CODE.DEADLINE_EXCEEDED)
            equal(c.call(number, rows).ok().numbers(), [i / 2 for i in range(40)])


@story
def nobody_there():
    import socket
    with socket.socket() as s:  # bound and not listening: refused, and nobody else gets it
        s.bind(("127.0.0.1", 0))
        url = "http://127.0.0.1:%d" % s.getsockname()[1]
        with Gateway(config(url, {"csv": "attempts = 2"})) as g, client(g) as c:
            c.call(c.ids()["csv"], [1.0]).fails(CODE.UNAVAILABLE, url.rsplit(":", 1)[1])
    with Gateway(config("http://no-such-host.invalid", {"csv": "attempts = 1"})) as g, client(g) as c:
        c.call(c.ids()["csv"], [1.0]).fails(CODE.UNAVAILABLE, "no-such-host.invalid")
    with Runtime() as r, Gateway(config("https://127.0.0.1:%d" % r.port, {"csv": "attempts = 1"})) as g, client(g) as c:
        got = c.call(c.ids()["csv"], [1.0])
        got.fails(CODE.UNAVAILABLE)


@story
def connections_are_kept_and_bounded():
    with Runtime() as r, Gateway(config(r, {"csv": "max_rows = 1\nin_flight = 6"})) as g, client(g) as c:
        csv = c.ids()["csv"]
        equal(c.call(csv, NUMBERS[:600]).ok().numbers(), HALVES[:600])
        ledger = r.ledger()
        equal(len(ledger["requests"]), 600)
        true(ledger["connections"] <= 12, "600 requests took %d connections" % ledger["connections"])
        true(1 < ledger["peak_busy"] <= 6, "%d requests at once" % ledger["peak_busy"])


@story
def order_survives_answers_that_overtake():
    """Batches whose answers come in another order than they were asked."""
    class Uneven(Runtime):
        def answer(self, handler, entry):
            first = float(entry.body.split(b"\n")[0])
            time.sleep((first * 7919 % 13) / 400)
            super().answer(handler, entry)
    with Uneven() as r, Gateway(config(r, {"csv": "max_rows = 5\nin_flight = 16"})) as g, client(g) as c:
        csv = c.ids()["csv"]
        equal(c.call(csv, NUMBERS, size=17).ok().numbers(), HALVES)
        true(r.ledger()["peak_busy"] > 4, r.ledger()["peak_busy"])


@story
def null_and_nan_rows_are_not_sent():
    nan = float("nan")
    rows = [1.0, nan, 3.0, nan, nan, 6.0]
    with Runtime() as r, Gateway(config(r, {"csv": "max_rows = 4"})) as g, client(g) as c:
        got = c.call(c.ids()["csv"], rows).ok().numbers()
        equal([None if math.isnan(x) else x for x in got], [0.5, None, 1.5, None, None, 3.0])
        lacks(b"".join(e.body for e in r.entries).decode().lower(), "nan")
        r.forget()
        got = c.call(c.ids()["csv"], [nan] * 100).ok().numbers()
        true(len(got) == 100 and all(map(math.isnan, got)) and not r.entries, len(r.entries))
        c.call(c.ids()["csv"], [])
        equal(len(r.entries), 0, "a call without rows asked the backend")


@story
def temporary_keys_sign_their_token():
    with Runtime(token="TOKEN/with+signs=") as r, \
            Gateway(config(r, {"csv": ""}), env={"AWS_SESSION_TOKEN": "TOKEN/with+signs="}) as g, client(g) as c:
        equal(c.call(c.ids()["csv"], [4.0]).ok().numbers(), [2.0])
    with Runtime(secret="another") as r, Gateway(config(r, {"csv": ""})) as g, client(g) as c:
        got = c.call(c.ids()["csv"], [4.0])
        true(got.code in (CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED), got.code)
        got.fails(got.code, "signature")
        lacks(g.log() + got.details, SECRET)


@story
def a_storm_of_throttling():
    """Four of ten requests are refused, and all rows come all the same, once and in order."""
    count = 100000 if SOAK else 1000
    numbers = [float(i) for i in range(count)]
    with Runtime() as r, Gateway(config(r, {"storm_40": "max_rows = 50\nin_flight = 16\nattempts = 20\n"})) as g, client(g) as c:
        equal(c.call(c.ids()["storm_40"], numbers, timeout=300).ok().numbers(), [n / 2 for n in numbers])
        throttled = [e for e in r.entries if e.note == "throttled"]
        true(len(throttled) > count / 50 / 5, len(throttled))


@story
def asynchronous_endpoints():
    """In the request or by way of S3; the answer is found where it was put, or the reason why there is none."""
    functions = {
        "inline": "endpoint = csv\nmax_rows = 100\npoll = 50ms",
        "by_s3": "endpoint = csv\nmax_rows = 100\ninput = s3\ns3_uri = s3://bucket/in/\npoll = 50ms",
        "by_size": "params = s:str\nbody = raw\nendpoint = csv\nmax_rows = 100000\nmax_bytes = 8M\ns3_uri = s3://bucket/big\npoll = 50ms",
        "too_large": "params = s:str\nbody = raw\nendpoint = csv\nmax_rows = 100000\nmax_bytes = 8M\npoll = 50ms",
        "fails": "endpoint = fails\npoll = 50ms", "never": "endpoint = never\npoll = 50ms\nattempts = 1"}
    with Api() as r:
        text = config(r, functions, "timeout = 3s").replace("operation = invoke\n", "operation = invoke_async\n")
        with Gateway(text) as g, client(g) as c:
            ids = c.ids()
            r.steps = 1
            for name in ("inline", "by_s3"):
                equal(c.call(ids[name], NUMBERS[:250]).ok().numbers(), HALVES[:250], name)
            equal(sorted({k[1].split("/")[0] for k in r.objects}), ["in", "out"])
            many = ["%d,%s" % (i, "x" * 2000) for i in range(1000)]
            r.forget()
            equal(c.call(ids["by_size"], many).ok().numbers(), [i / 2 for i in range(1000)])
            true(any("/big/" in e.path for e in r.entries if e.method == "PUT"), "S3 was not used")
            r.forget()
            equal(c.call(ids["too_large"], many).ok().numbers(), [i / 2 for i in range(1000)])
            true(all(len(e.body) <= 128000 for e in r.entries), "it was cut in halves")
            c.call(ids["fails"], [1.0]).fails(CODE.INVALID_ARGUMENT, "no such feature")
            began = time.monotonic()
            c.call(ids["never"], [1.0]).fails(CODE.DEADLINE_EXCEEDED)
            true(time.monotonic() - began < 20, "the time was not kept")


@story
def headers_that_nobody_may_set():
    for option, part in (("header.Host = x", "connection"), ("header.Content-Length = 1", "connection"),
                         ("header.transfer-encoding = x", "connection"), ("header.Connection = x", "connection"),
                         ("header.X-Amz-Date = x", "signature"), ("header.a:b = x", "name"), ("column.Content-Length = m", "connection"),
                         ("column.X-Amz-Date = m", "signature"), ("column.a(b-c = m", "name"),
                         ("column.target_modl = m", 'did you mean "target_model"'), ("column.wherever = m", "no target")):
        with Folder(config("http://127.0.0.1:1", {"f": "params = m:str, n:num\n" + option})) as f:
            contains(f.check(code=None).err, option.split(".")[0], part)


@story
def rows_choose_endpoint_and_model():
    """Columns as headers: rows with the same values go together, answers come back to where their rows were."""
    functions = {
        "by_row": "endpoint = csv\nparams = model:str, n:num, where:str\ncolumn.target_model = model\ncolumn.endpoint = where\nmax_rows = 500",
        "own": "endpoint = csv\nparams = n:num, where:str, region:str\ncolumn.endpoint = where\ncolumn.region = region",
        "by_number": "endpoint = csv\nparams = a:num\ntransform = transforms/t.lua\ncolumn.X-Amzn-SageMaker-Custom-Attributes = 2"}
    files = {"scripts/transforms/t.lua": "return { before = function(n) return n, 'for ' .. (n < 3 and 'few' or 'many') end }\n"}
    with Runtime() as r, Gateway(config(r, functions, "allow_endpoints = scor*, words"), files) as g, client(g) as c:
        ids = c.ids()
        rows = [["m%d" % (i % 3), float(i), ("csv", "scores", "")[i % 3 if i % 7 else 2]] for i in range(300)]
        equal(c.call(ids["by_row"], rows).ok().numbers(), [i / 2 for i in range(300)])
        seen = {(e.path.split("/")[2], e.headers.get("x-amzn-sagemaker-target-model")): len(e.body.split()) for e in r.entries}
        equal(sum(len(e.body.split()) for e in r.entries), 300)
        true(len(r.entries) <= 3 * len(seen), len(r.entries))
        true(("scores", "m1") in seen and ("csv", "m0") in seen, seen)
        equal({e.body.decode().split("\n")[0].count(",") for e in r.entries}, {0})
        c.call(ids["by_row"], [["m", 1.0, "other"]]).fails(CODE.PERMISSION_DENIED, "row 1", "allow_endpoints")
        c.call(ids["by_row"], [["m", 1.0, "csv"], ["m", 1.0, "../x"]]).fails(CODE.INVALID_ARGUMENT, "row 2")
        c.call(ids["by_row"], [["a\nb", 1.0, "csv"]]).fails(CODE.INVALID_ARGUMENT, "header")
        got = c.call(ids["by_row"], [["m", 1.0, "csv"], ["m", 2.0, "words"], ["m", 3.0, "csv"]])
        got.fails(got.code, "n/a") if got.code != CODE.OK else equal([got.numbers()[i] for i in (0, 2)], [0.5, 1.5])
        # What the function and the connector have anyway is in no list.
        equal(c.call(ids["own"], [[1.0, "csv", "eu-west-1"], [2.0, "", ""]]).ok().numbers(), [0.5, 1.0])
        c.call(ids["own"], [[1.0, "csv", "eu-west-2"]]).fails(CODE.PERMISSION_DENIED, "allow_regions")
        r.forget()
        equal(c.call(ids["by_number"], [1.0, 5.0, 2.0]).ok().numbers(), [0.5, 2.5, 1.0])
        equal({e.headers["x-amzn-sagemaker-custom-attributes"]: e.body.decode() for e in r.entries}, {"for few": "1\n2\n", "for many": "5\n"})


@story
def many_users_at_once():
    """Everybody gets his own rows, whoever else asks: 12 users, or a thousand."""
    users, calls = (1000, 5) if SOAK else (12, 20)
    with Runtime() as r, Gateway(config(r, {"csv": "in_flight = 16", "scores": "in_flight = 16"})) as g, client(g) as c:
        ids = c.ids()
        with together(users) as run:
            def ask(user):
                for k in range(calls):
                    rows = [user * 1000.0 + k + i for i in range(1 + k % 3)]
                    name = "csv" if (user + k) % 2 else "scores"
                    got = c.call(ids[name], rows, header=common("UserDirectory=ACME; UserId=u%d" % user), timeout=300).ok()
                    equal(got.numbers(), [n / 2 for n in rows])
            for user in range(users):
                run(ask, user)


@story
def a_certificate_for_another_name():
    with tempfile.TemporaryDirectory() as folder:
        key, cert = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
                        "/CN=other.example", "-addext", "subjectAltName=DNS:other.example"], check=True, capture_output=True)
        with Runtime() as r:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            r.server.socket = context.wrap_socket(r.server.socket, server_side=True)
            url = "https://127.0.0.1:%d" % r.port
            for more in ("", "ca_file = %s\n" % cert):  # nobody vouches for it; somebody does, but not for this name
                with Gateway(config(url, {"csv": "attempts = 1"}, more)) as g, client(g) as c:
                    got = c.call(c.ids()["csv"], [1.0])
                    got.fails(CODE.UNAVAILABLE)
                    contains(got.details.lower(), "certificate")
            equal(r.entries, [])


@story
def a_transform_before_and_after():
    files = {"scripts/transforms/t.lua": """return {
  before = function(name, n)
    if name == 'skip' then return end
    return n * 10, name:upper()
  end,
  after = function(score, name, n) return name .. '=' .. score end,
}
"""}
    functions = {"csv": "params = name:str, n:num\nanswer = num\nreturns = str\ntransform = transforms/t.lua\nmax_rows = 3"}
    with Runtime() as r, Gateway(config(r, functions), files) as g, client(g) as c:
        rows = [["a", 1.0], ["skip", 2.0], ["b", 3.0], ["", float("nan")], ["c", 4.5]]
        equal(c.call(c.ids()["csv"], rows).ok().texts(), ["a=5.0", "", "b=15.0", "", "c=22.5"])
        equal(sorted(x for e in r.entries for x in e.body.decode().split()), ["10,A", "30,B", "45,C"])


@story
def endless_answers_end():
    with Runtime() as r, Gateway(config(r, {"endless": "attempts = 1"})) as g, client(g) as c:
        before = g.status("VmHWM")
        got = c.call(c.ids()["endless"], [1.0], timeout=100)
        got.fails(got.code)
        true(got.code != CODE.DEADLINE_EXCEEDED, "it read on and on")
        true(g.status("VmHWM") - before < 300 * 1024, "it kept %d MiB" % ((g.status("VmHWM") - before) // 1024))


if __name__ == "__main__":
    main()
