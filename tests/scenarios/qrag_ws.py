# SPDX-License-Identifier: MIT
"""An older gateway's WebSocket, template and data frame functions, against npm ws and Python's http.server."""
import json
import os
import socket
import subprocess
import sys
import urllib.request

from lib.gateway import TESTS, Gateway
from lib.node import need
from lib.sse import CODE, P, client
from lib.story import SOAK, contains, equal, eventually, lacks, main, story, together, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from google.protobuf import json_format  # noqa: E402
from qrag_backend import Backend  # noqa: E402

GOLDEN = os.path.join(TESTS, "data", "qrag", "golden")


class Sockets:
    """tests/peers/qrag_ws.mjs"""

    def __enter__(self):
        need("ws")
        self.p = subprocess.Popen(["node", os.path.join(TESTS, "peers", "qrag_ws.mjs")], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.port = int(self.p.stdout.readline().split()[1])
        self.url = "ws://127.0.0.1:%d/test/?userid=" % self.port
        return self

    def __exit__(self, *exc):
        self.p.stdin.close()
        self.p.wait(10)

    def ledger(self):
        with urllib.request.urlopen("http://127.0.0.1:%d/_ledger" % self.port) as r:
            return json.load(r)

    def messages(self):
        return [m for c in self.ledger()["connections"] for m in c["messages"]]


def fn(number, name, kind, params=("str1",), types=None, **more):
    return dict({"Id": number, "Name": name, "Type": 2, "QRAP_Type": kind, "ReturnType": 0,
                 "Params": {p: (types or {}).get(p, 0) for p in params}}, **more)


def folder(functions, ini):
    config = '[qrag "old"]\nfunctions = @DIR@/functions.json\nini = @DIR@/qrag.ini\naddress = 127.0.0.1:0\n'
    return config, {"functions.json": json.dumps({"Functions": functions}), "qrag.ini": "[base]\nport=1\n" + ini}


def old(functions, ini):
    return Gateway(*folder(functions, ini))


def section(name, url, route, more=""):
    return "[%s]\nws_url = %s\nusername = john\npassword = p\ntoken= t\nws_route = %s\ncache = True\n%s\n" % (
        name, url, route, more)


def both(url, *routes):
    """Two functions for each route: ws_single with an even id, ws_batch with the odd one behind it."""
    functions, ini = [], ""
    for i, route in enumerate(routes):
        functions += [fn(2 * i, "s_" + route, "ws_single"), fn(2 * i + 1, "b_" + route, "ws_batch")]
        ini += section("s_" + route, url, route) + section("b_" + route, url, route, "batch_size = 70")
    return functions, ini


def golden(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as f:
        return f.read()


def as_python_does(route, rows):
    """The message of ws_batch, by the libraries that the older gateway used."""
    b = P["BundledRows"]()
    for row in rows:
        r = b.rows.add()
        for cell in row:
            d = r.duals.add()
            if isinstance(cell, tuple):
                d.numData, d.strData = cell
            elif isinstance(cell, str):
                d.strData = cell
            else:
                d.numData = cell
    return json.dumps({"action": route, "data": json_format.MessageToDict(b)["rows"]})


@story
def messages_are_those_of_the_old_gateway():
    rows = json.loads(golden("rest_single.rows.json"))
    with Sockets() as s:
        functions, ini = both(s.url, "echo")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            first = [[r[0]] for r in rows]
            for number in (0, 1):
                equal(c.call(number, first).ok().texts(), [r[0] for r in first])
            sent = s.messages()
            equal(sorted(m for m in sent if '"data":"' in m), sorted(golden("ws_single.messages").splitlines()))
            batches = [m for m in sent if '"data": [' in m]
            equal(batches, golden("ws_batch.messages").splitlines())
            equal(batches, [as_python_does("echo", first)])
            # hostname_address_username_ behind ws_url, by which $connect knew the client
            host = socket.gethostname()
            try:
                address = socket.gethostbyname(host)
            except OSError:  # a machine whose name nobody knows
                address = "127.0.0.1"
            wanted = "/test/?userid=%s_%s_john_" % (host, address)
            equal({x["url"] for x in s.ledger()["connections"]}, {wanted})


@story
def numbers_and_duals_go_as_protobuf_writes_them():
    numbers = [3.0, 1.5, -0.0, 0.0, 1e22, 1e-7, 123456789012345680.0, 1e16, 9999999999999998.0, 0.1, 100.0]
    duals = [(2.5, "two and a half"), (0.0, "zero"), (7.0, ""), (1.0, 'é"\\\n😀\x7f')]
    functions = [fn(0, "n", "ws_batch", types={"str1": 1}), fn(1, "d", "ws_batch", types={"str1": 2})]
    with Sockets() as s:
        ini = section("n", s.url, "echo", "batch_size=70") + section("d", s.url, "echo", "batch_size=70")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            c.call(0, numbers).ok()
            c.call(1, duals).ok()
            equal(s.messages(), [as_python_does("echo", [[v] for v in numbers]), as_python_does("echo", [[v] for v in duals])])


@story
def every_row_once_and_in_order():
    n = 3000
    rows, wanted = ["%d" % (4 * i) for i in range(n)], ["%.4f" % i for i in range(n)]
    with Sockets() as s:
        functions, ini = both(s.url, "score")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            for size in (n, 70, 999):
                equal(c.call(1, rows, size=size).ok().texts(), wanted, "ws_batch %d" % size)
            sizes = [len(json.loads(m)["data"]) for m in s.messages()]
            true(max(sizes) == 70 and sum(sizes) == 3 * n, max(sizes), sum(sizes))
            equal(c.call(0, rows).ok().texts(), wanted, "ws_single")
            true(s.ledger()["peak"] <= 24, s.ledger()["peak"])


@story
def empty_rows_stay_where_they_are():
    rows = ["4", "", "8", "", "", "12"]
    with Sockets() as s:
        functions, ini = both(s.url, "score")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            for number in (0, 1):
                equal(c.call(number, rows).ok().texts(), ["1.0000", "", "2.0000", "", "", "3.0000"])
            lacks("".join(s.messages()), '""', "{}")


@story
def callers_side_by_side_do_not_mix():
    count = 200 if SOAK else 24
    with Sockets() as s:
        functions, ini = both(s.url, "score", "echo")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            def one(i):
                number = i % 4
                rows = ["%d" % (i * 1000 + k) for k in range(40)]
                got = c.call(number, rows).ok().texts()
                equal(got, ["%.4f" % (int(r) / 4) for r in rows] if number < 2 else rows, i)
            with together(12) as run:
                for i in range(count):
                    run(one, i)


@story
def batches_are_cut_by_bytes_too():
    rows = ["x" * 9000 + str(i) for i in range(40)]
    with Sockets() as s:
        functions, ini = both(s.url, "echo")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            equal(c.call(1, rows).ok().texts(), rows)
            sizes = [len(m.encode()) for m in s.messages()]
            true(max(sizes) <= 128 * 1024 and len(sizes) < 8, sizes)
            c.call(1, ["short", "y" * 140000]).fails(CODE.INVALID_ARGUMENT, "row 2", "131072")
            equal(c.call(1, ["still there"]).ok().texts(), ["still there"])


@story
def what_is_no_answer_is_an_error():
    cases = {"gateway": (CODE.UNAVAILABLE, "Internal server error"), "garbage": (CODE.UNAVAILABLE, "no JSON object"),
             "nowhere": (CODE.PERMISSION_DENIED, "Forbidden"), "re": (CODE.UNAVAILABLE, "holds no result")}
    with Sockets() as s:
        functions, ini = both(s.url, *cases, "number", "null", "throttled")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            for i, (code, part) in enumerate(cases.values()):
                for number in (2 * i, 2 * i + 1):
                    got = c.call(number, ["1", "2", "3"])
                    got.fails(code, part)
                    equal(got.texts(), [])
                    equal(got.header("qlik-cache"), "no-store")
            k = 2 * len(cases)
            equal(c.call(k + 1, ["1", "2"]).ok().texts(), ["1.5", "1.5"])
            equal(c.call(k + 3, ["1", "2"]).ok().texts(), ["", ""])
            equal(c.call(k + 5, ["4", "8"]).ok().texts(), ["1.0000", "2.0000"])


@story
def answers_under_another_name():
    config = ('[listen "sse"]\naddress = 127.0.0.1:0\n[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\n[function "label"]\nconnector = aws\n'
              'operation = ws_single\nws_url = %s\nws_route = re\nresult_key = result, re\nparams = t:str\nreturns = str\n')
    with Sockets() as s, Gateway(config % s.url) as g, client(g) as c:
        equal(c.call(c.ids()["label"], ["1", "2"]).ok().texts(), ["label 1", "label 2"])
        equal({x["url"] for x in s.ledger()["connections"]}, {"/test/?userid="})


@story
def too_few_answers_are_a_timeout_and_too_many_end_the_connection():
    with Sockets() as s:
        functions, ini = both(s.url, "few", "more", "silent")
        ini = ini.replace("ws_route", "reply_timeout = 400ms\nws_route")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            c.call(1, ["4", "8"]).fails(CODE.DEADLINE_EXCEEDED, "1 of 2 answers")
            c.call(4, ["4"]).fails(CODE.DEADLINE_EXCEEDED, "0 of 1 answers")
            equal(c.call(3, ["4", "8"]).ok().texts(), ["1.0000", "2.0000"])
            eventually(lambda: any(x["closed"] is not None and "more" in "".join(x["messages"])
                                   for x in s.ledger()["connections"]), "the connection with a surplus to be closed")
            equal(c.call(3, ["12"]).ok().texts(), ["3.0000"])


@story
def connections_that_end_are_made_again():
    with Sockets() as s:
        functions, ini = both(s.url, "half", "goodbye", "stale")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            for _ in range(3):
                for number in (1, 2, 3, 4, 5):
                    equal(c.call(number, ["4", "8", "12", "16"]).ok().texts(), ["1.0000", "2.0000", "3.0000", "4.0000"])


@story
def nobody_there():
    functions, ini = both("ws://127.0.0.1:9/x?userid=", "echo")
    with old(functions, ini) as g, client(g, "qrag.old") as c:
        got = c.call(1, ["1"] * 200)
        got.fails(CODE.UNAVAILABLE, "127.0.0.1:9")
    with Sockets() as s:
        functions, ini = both(s.url.replace("/test/", "/refused/"), "echo")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            got = c.call(0, ["1"])
            true(got.code != CODE.OK, got.code)
            contains(got.details, "403")


@story
def a_cancelled_call_closes_its_connections():
    with Sockets() as s:
        functions, ini = both(s.url, "silent")
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            got = c.call(0, ["1"] * 50, timeout=0.7)
            equal(got.code, CODE.DEADLINE_EXCEEDED)
            eventually(lambda: s.ledger()["open"] == 0, "the connections to be closed", 10)


@story
def templates_are_percent_encoded():
    functions = [fn(0, "movie_rating", "rest_template", ["user_id", "items"])]
    with Backend() as b:
        ini = "[movie_rating]\nurl = %s/dev/ratings/\nquery_parameter = items\ncache = True\n" % b.url
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            # Qlik's arguments come in the order of the names: items, user_id.
            rows = json.loads(golden("rest_template.rows.json"))
            got = c.call(0, rows).ok().texts()
            equal(sorted(e.path for e in b.entries), sorted(golden("rest_template.urls").splitlines()))
            true(all(e.method == "GET" and not e.body for e in b.entries))
            equal(len(got), len(rows))
            equal(got[0], "items=%s" % rows[0][1])
            equal(c.call(0, [["", "x"], ["u", ""]]).ok().texts()[0], "")
            c.call(0, [["bad", "x"]]).fails(CODE.DATA_LOSS, "no JSON object with a list")
            c.call(0, [["failed", "x"]]).fails(CODE.DATA_LOSS, "it failed: model gone")


@story
def data_frames_for_databricks_and_mlflow():
    functions = [fn(0, "wine_quality_score", "rest_dataframe"), fn(1, "mlflow2", "rest_dataframe")]
    with Backend() as b:
        ini = ("".join("[%s]\nurl = %s/frame/%s\nschema_metadata = fixed acidity,alcohol,kind,good\nbatch_size = 3\n%s\n" % x
                       for x in (("wine_quality_score", b.url, "split", "cache = False"),
                                 ("mlflow2", b.url, "wrapped", "frame = dataframe_split")))).replace("[base]", "")
        config, files = folder(functions, ini)
        files["qrag.ini"] = files["qrag.ini"].replace("[base]\n", "[base]\ndatabricks_token = dapi-secret\n")
        with Gateway(config, files) as g, client(g, "qrag.old") as c:
            rows = json.loads(golden("rest_dataframe.rows.json"))
            for number, name in ((0, "split"), (1, "wrapped")):
                b.forget()
                got = c.call(number, rows).ok()
                equal(got.texts(), ["%s" % float(i) for i in range(len(rows))])
                equal([e.body.decode() for e in sorted(b.entries, key=lambda e: e.body.decode())],
                      sorted(golden("rest_dataframe.%s.bodies" % name).splitlines()))
                equal({e.headers["authorization"] for e in b.entries}, {"Bearer dapi-secret"})
                equal(got.header("qlik-cache"), "no-store" if number == 0 else None)
            c.call(0, ["1,2,3"]).fails(CODE.INVALID_ARGUMENT, "row 1", "3 values", "4 columns")
            lacks(g.log(), "dapi-secret")


@story
def three_thousand_rows_of_every_type():
    functions = [fn(0, "single", "rest_single"), fn(1, "all", "rest_30", ["a", "b"]), fn(2, "rating", "rest_template", ["a", "b"]),
                 fn(3, "frame", "rest_dataframe"), fn(4, "echo", "echo_table"), fn(5, "ws1", "ws_single"), fn(6, "wsn", "ws_batch")]
    n = 3000
    with Sockets() as s, Backend() as b:
        ini = ("[single]\nurl={0}/dev/score\n[all]\nurl={0}/dev/score\n[rating]\nurl={0}/dev/ratings/\nquery_parameter=q\n"
               "[frame]\nurl={0}/frame/first\nschema_metadata=v\nbatch_size=70\n[echo]\n".format(b.url)
               + section("ws1", s.url, "score") + section("wsn", s.url, "score", "batch_size = 70"))
        with old(functions, ini) as g, client(g, "qrag.old") as c:
            numbers = ["%d" % (4 * i) for i in range(n)]
            pairs = [["%d" % (4 * i), "x%d" % i] for i in range(n)]
            scores = ["%.4f" % i for i in range(n)]
            for size in (n, 333):
                for number, rows, wanted in ((0, numbers, scores), (1, pairs, scores), (2, pairs, ["q=x%d" % i for i in range(n)]),
                                             (3, numbers, numbers), (4, numbers, numbers), (5, numbers, scores),
                                             (6, numbers, scores)):
                    equal(c.call(number, rows, size=size).ok().texts(), wanted, functions[number]["Name"])


if __name__ == "__main__":
    main()
