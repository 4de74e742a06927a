# SPDX-License-Identifier: MIT
"""An older gateway's folders, served as they are: https://github.com/Qlik-PE/Rapid-ML-Gateway"""
import json
import os
import re
import sys
import time

from lib.gateway import TESTS, Gateway
from lib.sse import CODE, bundle, client, common, function_header
from lib.story import contains, equal, eventually, lacks, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from qrag_backend import Backend  # noqa: E402

DATA = os.path.join(TESTS, "data", "qrag")
LOOPBACK = "address = 127.0.0.1:0\n"


def read(*path):
    with open(os.path.join(DATA, *path), encoding="utf-8") as f:
        return f.read()


def section(name, more=""):
    return '[qrag "%s"]\nfunctions = @DIR@/%s/functions.json\nini = @DIR@/%s/config/qrag.ini\n%s%s\n' % (
        name, name, name, LOOPBACK, more)


def folder(name, functions, ini):
    return {name + "/functions.json": functions if isinstance(functions, str) else json.dumps({"Functions": functions}),
            name + "/config/qrag.ini": ini}


def fn(number, name, kind, params=("str1",), **more):
    return dict({"Id": number, "Name": name, "Type": 2, "QRAP_Type": kind, "ReturnType": 0,
                 "Params": {p: 0 for p in params}}, **more)


def sample(backend, name="sagemaker", path="/dev/echo"):
    """The shipped folder, its URLs replaced by the stand-in's."""
    ini = re.sub(r"https://abc123[^\s?]*", backend.url + path, read("sagemaker", "config", "qrag.ini"))
    names = [f["Name"] for f in json.loads(read("sagemaker", "functions.json"))["Functions"] if "rest_" in f["QRAP_Type"]]
    for n in names:
        if "[%s]" % n not in ini:
            ini += "\n[%s]\nurl = %s%s\n" % (n, backend.url, path)
    return folder(name, read("sagemaker", "functions.json"), ini)


@story
def capabilities_are_those_of_the_file():
    with Backend() as b, Gateway(section("sagemaker"), sample(b)) as g, client(g, "qrag.sagemaker") as c:
        caps = c.capabilities()
        wanted = json.loads(read("sagemaker", "functions.json"))["Functions"]
        equal([(f.functionId, f.name, f.functionType, f.returnType, [(p.name, p.dataType) for p in f.params])
               for f in caps.functions],
              [(f["Id"], f["Name"], f["Type"], f["ReturnType"], sorted(f["Params"].items())) for f in wanted])
        true(caps.pluginIdentifier and caps.pluginVersion and not caps.allowScript, caps.pluginIdentifier)


@story
def parameters_by_name_or_as_written():
    cells = ["v%d" % i for i in range(1, 31)]
    names = ["col%d" % i for i in range(1, 31)]
    with Backend() as b, Gateway(section("sagemaker"), sample(b)) as g, client(g, "qrag.sagemaker") as c:
        equal([p.name for p in c.capabilities().functions[1].params], sorted(names))
        equal(c.call(1, [cells]).ok().texts(), [",".join(cells)])
        equal(b.entries[-1].body, ('{"data":"%s"}' % ",".join(cells)).encode())
    with Backend() as b, Gateway(section("sagemaker", "order = file"), sample(b)) as g, \
            client(g, "qrag.sagemaker") as c:
        equal([p.name for p in c.capabilities().functions[1].params], names)
        equal(c.call(1, [cells]).ok().texts(), [",".join(cells)])


@story
def every_published_folder_loads():
    """All but one, which is not JSON: it is refused with its place."""
    good = [d for d in sorted(os.listdir(DATA)) if os.path.isdir(os.path.join(DATA, d)) and d not in ("gcp", "golden")]
    equal(good, ["cognitive_services", "databricks", "peloton", "precog", "sagemaker"])
    files, config, wanted = {}, "", {}
    for name in good:
        functions = json.loads(read(name, "functions.json"))["Functions"]
        ini = "[base]\nport = 50058\n" + "".join(
            "[%s]\nurl = http://127.0.0.1:1/x\ncache = True\n" % f["Name"] for f in functions)
        files |= folder(name, read(name, "functions.json"), ini)
        config += section(name)
        wanted[name] = [(f["Id"], f["Name"]) for f in functions]
    with Gateway(config, files) as g:
        for name in good:
            with client(g, "qrag." + name) as c:
                equal([(f.functionId, f.name) for f in c.capabilities().functions], wanted[name], name)
    from lib.gateway import Folder
    with Folder(section("gcp"), folder("gcp", read("gcp", "functions.json"), "[base]\nport=1\n")) as f:
        said = f.check(code=1).err
        try:
            json.loads(read("gcp", "functions.json"))
        except ValueError as e:
            contains(said, "gcp/functions.json:%d:" % e.lineno)


@story
def requests_are_those_of_the_old_gateway():
    """Golden files: the body of each row's request as the old gateway sent it."""
    for kind, number in (("rest_single", 0), ("rest_30", 1)):
        rows = json.loads(read("golden", kind + ".rows.json"))
        golden = read("golden", kind + ".bodies").split("\n")[:-1]
        equal(len(golden), len(rows))
        functions = [fn(0, "one", "rest_single"), fn(1, "all", "rest_30", ["c%02d" % i for i in range(len(rows[0]))])]
        if kind == "rest_single":
            functions[0]["Params"] = {"c%02d" % i: 0 for i in range(len(rows[0]))}
        with Backend() as b:
            ini = "[base]\nport=50058\n[one]\nurl=%s/dev/echo\n[all]\nurl=%s/dev/echo\n" % (b.url, b.url)
            with Gateway(section("old"), folder("old", functions, ini)) as g, client(g, "qrag.old") as c:
                got = c.call(number, rows).ok().texts()
                sent = {e.body.decode() for e in b.entries}
                equal(sorted(sent), sorted(set(golden)), kind)
                equal(len(got), len(rows))
                for e in b.entries:
                    equal((e.method, e.path), ("POST", "/dev/echo"))
                    equal(e.headers["content-length"], str(len(e.body)))
                    true(e.headers.get("content-type", "application/json") == "application/json", e.headers)


@story
def bodies_are_valid_json_whatever_is_in_the_data():
    odd = ['say "x"', "back\\slash", "line\nline", "tab\t", "nul\x00", "é", "\U0001f600", "\u2028", "\x1f", "{}", "a,b", "x" * 70000]
    with Backend() as b, Gateway(section("sagemaker"), sample(b)) as g, client(g, "qrag.sagemaker") as c:
        got = c.call(0, odd).ok().texts()
        true(all(e.status == 200 for e in b.entries), [e.note for e in b.entries])
        equal(sorted(e.data for e in b.entries), sorted(odd), "the data that arrived")
        equal(len(got), len(odd))
        equal([t.replace('"', "").strip() for t in got], [t.replace('"', "").strip() for t in odd])


@story
def three_thousand_rows_once_each_and_in_order():
    rows = ["%d" % (4 * i) for i in range(3000)]
    wanted = ["%.4f" % i for i in range(3000)]
    with Backend() as b, Gateway(section("sagemaker"), sample(b, path="/dev/score")) as g, \
            client(g, "qrag.sagemaker") as c:
        for size in (3000, 70):
            b.forget()
            equal(c.call(0, rows, size=size).ok().texts(), wanted)
            equal(sorted(int(e.data) for e in b.entries), [4 * i for i in range(3000)])
        ledger = b.ledger()
        true(ledger["peak_busy"] > 1 and ledger["connections"] < 200, ledger["peak_busy"], ledger["connections"])
    functions = [fn(4, "echo_table", "echo_table", ["a", "b"])]
    with Gateway(section("p"), folder("p", functions, "[base]\nport=1\n[echo_table]\n")) as g, client(g, "qrag.p") as c:
        table = [["r%d" % i, "s%d" % (i * i)] for i in range(3000)]
        for size in (3000, 70, 1):
            r = c.call(4, table[:3000 if size > 1 else 500], size=size).ok()
            n = 3000 if size > 1 else 500
            equal(r.texts(0), [t[0] for t in table[:n]])
            true(all(len(row.duals) in (1, 2) for row in r.rows))
            if len(r.rows[0].duals) == 2:
                equal(r.texts(1), [t[1] for t in table[:n]])


@story
def empty_rows_stay_where_they_are():
    rows = ["4", "", "8", "", "", "12"]
    with Backend() as b, Gateway(section("sagemaker"), sample(b, path="/dev/score")) as g, client(g, "qrag.sagemaker") as c:
        equal(c.call(0, rows).ok().texts(), ["1.0000", "", "2.0000", "", "", "3.0000"])
        equal(len(b.entries), 3)


@story
def failures_are_errors_and_never_predictions():
    names = {"status/500": "Internal server error", "status/403": "Forbidden", "status/502": "", "html": "", "reset": "",
             "truncated": "", "garbage": "", "close": "", "status/404": ""}
    functions = [fn(i * 3, "f%d" % i, "rest_single") for i in range(len(names))]
    with Backend() as b:
        ini = "[base]\nport=50058\n" + "".join("[f%d]\nurl=%s/dev/%s\n" % (i, b.url, n) for i, n in enumerate(names))
        with Gateway(section("old"), folder("old", functions, ini)) as g, client(g, "qrag.old") as c:
            for i, (name, part) in enumerate(names.items()):
                if name == "html":  # 200 and no JSON: any text is a valid answer there
                    continue
                got = c.call(i * 3, ["1", "2"], timeout=100)
                true(got.code not in (CODE.OK, CODE.UNKNOWN, CODE.CANCELLED), name, got.code, got.details)
                got.fails(got.code, part)
                lacks(" ".join(got.texts()), "message", "Internal")


@story
def throttled_and_failing_backends_are_asked_again():
    functions = [fn(0, "throttled", "rest_single"), fn(1, "failing", "rest_single")]
    with Backend() as b:
        ini = "[base]\nport=50058\n[throttled]\nurl=%s/dev/throttled/1\n[failing]\nurl=%s/dev/failing/1\n" % (b.url, b.url)
        with Gateway(section("old"), folder("old", functions, ini)) as g, client(g, "qrag.old") as c:
            for number in (0, 1):
                equal(c.call(number, ["4", "8", "12"]).ok().texts(), ["1.0000", "2.0000", "3.0000"])


@story
def cache_as_the_old_file_says():
    functions = [fn(0, "kept", "rest_single"), fn(1, "unkept", "rest_single"), fn(2, "silent", "rest_single"),
                 fn(3, "odd", "rest_single")]
    with Backend() as b:
        ini = "[base]\nport=50058\n" + "".join("[%s]\nurl=%s/dev/echo\n%s\n" % (n, b.url, v) for n, v in (
            ("kept", "cache = TRUE"), ("unkept", "cache = False"), ("silent", ""), ("odd", "cache = 1")))
        with Gateway(section("old"), folder("old", functions, ini)) as g, client(g, "qrag.old") as c:
            for number, wanted in ((0, None), (1, "no-store"), (2, None), (3, "no-store")):
                r = c.call(number, ["a"]).ok()
                equal(r.initial.get("qlik-cache"), wanted, functions[number]["Name"])
                equal(r.trailing.get("qlik-cache"), None)


@story
def settings_are_read_as_python_reads_them():
    with Backend() as b:
        ini = ("# a comment\n; another\n[DEFAULT]\ncache = false\nunknown_key = x\n[base]\nPORT : 50058\n"
               "[quirks]\nURL : %s/dev/echo?tag=a%%20b%%\nUserName = john\n[plain]\nurl=%s/dev/echo\n  \ncache=True\n"
               "[unused]\nurl = http://nowhere\n" % (b.url, b.url))
        functions = [fn(7, "quirks", "rest_single"), fn(2, "plain", "rest_single")]
        with Gateway(section("old"), folder("old", functions, ini)) as g, client(g, "qrag.old") as c:
            r = c.call(7, ["a"]).ok()
            equal((r.initial.get("qlik-cache"), b.entries[-1].path), ("no-store", "/dev/echo?tag=a%20b%"))
            equal(c.call(2, ["a"]).ok().header("qlik-cache"), None)
            contains(g.log(), "unknown_key")


@story
def folders_side_by_side_do_not_mix():
    with Backend() as one, Backend() as two:
        files = folder("one", [fn(0, "same", "rest_single")], "[base]\nport=1\n[same]\nurl=%s/dev/echo\n" % one.url)
        files |= folder("two", [fn(0, "same", "rest_single")], "[base]\nport=2\n[same]\nurl=%s/dev/score\n" % two.url)
        with Gateway(section("one") + section("two"), files) as g, client(g, "qrag.one") as a, client(g, "qrag.two") as b:
            equal((a.call(0, ["8"]).ok().texts(), b.call(0, ["8"]).ok().texts()), (["8"], ["2.0000"]))
            equal((len(one.entries), len(two.entries)), (1, 1))


@story
def a_cancelled_call_stops_asking():
    with Backend() as b:
        ini = "[base]\nport=1\n[slow]\nurl=%s/dev/slow/20000\n" % b.url
        with Gateway(section("old"), folder("old", [fn(0, "slow", "rest_single")], ini)) as g, client(g, "qrag.old") as c:
            stream = c.execute(iter([bundle(["1"] * 50)]), metadata=[function_header(0), common()])
            eventually(lambda: b.ledger()["busy"] > 0, "a request")
            stream.cancel()
            eventually(lambda: b.ledger()["busy"] == 0, "the requests to be given up", 10)

            def asked():
                """Once no more come: requests that were on their way are noted late on a busy machine."""
                n = len(b.entries)
                time.sleep(0.3)
                return len(b.entries) == n and n
            true(eventually(asked, "the requests to end") < 50, len(b.entries))


@story
def types_nobody_serves_are_listed_and_refused():
    functions = [fn(0, "fine", "rest_single"), fn(1, "cloud", "gcp_bq"), fn(2, "table", "get_table_data")]
    with Backend() as b:
        ini = "[base]\nport=1\n[fine]\nurl=%s/dev/echo\n[cloud]\nurl=x\n[table]\nurl=x\n" % b.url
        with Gateway(section("old"), folder("old", functions, ini)) as g, client(g, "qrag.old") as c:
            equal([f.name for f in c.capabilities().functions], ["fine", "cloud", "table"])
            for number, kind in ((1, "gcp_bq"), (2, "get_table_data")):
                c.call(number, ["1"]).fails(CODE.UNIMPLEMENTED, '"%s"' % kind, "rest_single", "ws_batch")
            equal(c.call(0, ["a"]).ok().texts(), ["a"])


@story
def answers_that_are_none_although_the_status_is_200():
    names = {"html": "page", "lambda": "it failed: name 'x' is not defined"}
    functions = [fn(i, "f%d" % i, "rest_single") for i in range(len(names))]
    with Backend() as b:
        ini = "[base]\nport=1\n" + "".join("[f%d]\nurl=%s/dev/%s\n" % (i, b.url, n) for i, n in enumerate(names))
        with Gateway(section("old"), folder("old", functions, ini)) as g, client(g, "qrag.old") as c:
            for i, part in enumerate(names.values()):
                got = c.call(i, ["1", "2"])
                got.fails(CODE.DATA_LOSS, part)
                equal(got.texts(), [])


@story
def a_broken_file_leaves_the_old_functions_serving():
    import lib.gateway
    before, lib.gateway.WORKERS = lib.gateway.WORKERS, "1"
    try:
        with Backend() as b:
            ini = "[base]\nport=1\n[one]\nurl=%s/dev/echo\n[two]\nurl=%s/dev/echo\n" % (b.url, b.url)
            with Gateway(section("old"), folder("old", [fn(0, "one", "rest_single")], ini)) as g, client(g, "qrag.old") as c:
                equal([f.name for f in c.capabilities().functions], ["one"])
                g.write("old/functions.json", '{"Functions": [\n  {"Id": 0 "Name": "one"}]}')
                said = g.run("reload", "--state", g.state, code=1)
                contains(said.out + said.err, "old/functions.json:2:")
                equal(c.call(0, ["still"]).ok().texts(), ["still"])
                g.write("old/functions.json", json.dumps({"Functions": [fn(0, "one", "rest_single"), fn(5, "two", "rest_single")]}))
                g.run("reload", "--state", g.state)
                with client(g, "qrag.old") as again:
                    equal([f.name for f in again.capabilities().functions], ["one", "two"])
                    equal(again.call(5, ["new"]).ok().texts(), ["new"])
    finally:
        lib.gateway.WORKERS = before


if __name__ == "__main__":
    main()
