# SPDX-License-Identifier: MIT
"""The admin listener: health, metrics over all workers, the page, what changes while it runs; lines of calls; traces."""
import http.server
import json
import os
import re
import signal
import subprocess
import threading

from lib.gateway import SSE, Gateway
from lib.sse import client, common
from lib.story import contains, equal, eventually, lacks, main, story, true

CONFIG = SSE + """
[listen "http"]
address = 127.0.0.1:0
[listen "admin"]
address = 127.0.0.1:0
[function "upper"]
id = 1
doc = Capitals, for <b>labels</b>.
script = functions/upper.lua
params = a:str
returns = str
[function "fails"]
id = 2
script = functions/fails.lua
params = a:str
returns = str
"""
FILES = {"scripts/functions/upper.lua": "return function(a) return a:upper() end\n",
         "scripts/functions/fails.lua": "return function(a) error('no') end\n"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def curl(g, path, *args, listener="admin"):
    p = subprocess.run(["curl", "-sS", "-i", "--max-time", "60", *args, "http://%s%s" % (g.address(listener), path)],
                       capture_output=True, text=True)
    equal(p.returncode, 0, p.stderr)
    head, _, body = p.stdout.partition("\n\n")
    return int(head.split()[1]), head, body


def call(g, function, *args, rows='{"rows": [["x"]]}'):
    return curl(g, "/functions/" + function, "-H", "content-type: application/json", "-d", rows, *args, listener="http")[0]


def numbers(g):
    """{series: value} of /metrics, whose form is checked on the way."""
    status, head, text = curl(g, "/metrics")
    equal(status, 200)
    contains(head, "text/plain; version=0.0.4")
    out, typed = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            true(name not in typed, "one family in two places: " + name)
            typed.add(name)
        elif not line.startswith("#"):
            m = re.fullmatch(r'([a-z_0-9]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? (-?[0-9.e+-]+)', line)
            true(m, line)
            true(re.sub("_(bucket|sum|count)$", "", m[1]) in typed or m[1] in typed, line)
            out[m[1] + (m[2] or "")] = float(m[3])
    return out


def token(g):
    with open(os.path.join(g.state, "admin.token")) as f:
        return f.read().strip()


@story
def health():
    with Gateway(CONFIG, FILES) as g:
        equal(curl(g, "/healthz")[::2], (200, "ok\n"))
        equal(curl(g, "/readyz")[::2], (200, "ready\n"))
        equal(curl(g, "/nothing")[0], 404)
        equal(curl(g, "/metrics", "-X", "DELETE")[0], 405)


@story
def metrics_are_those_of_all_workers():
    with Gateway(CONFIG, FILES, workers=2) as g:
        ok, bad, seconds = ('patchbay_function_calls_total{function="upper",code="OK"}',
                            'patchbay_function_calls_total{function="fails",code="INVALID_ARGUMENT"}',
                            'patchbay_function_seconds_count{function="upper"}')
        for _ in range(10):  # each on a connection of its own, and they go to both
            equal(call(g, "upper"), 200)
            equal(call(g, "fails"), 400)
        m = numbers(g)
        equal([m[ok], m[bad], m[seconds], m["patchbay_workers"]], [10, 10, 10, 2])
        equal(m['patchbay_function_rows_total{function="upper"}'], 10)
        true(m["patchbay_process_resident_bytes"] > 1 << 20 and m["patchbay_process_cpu_seconds_total"] > 0, "process")
        equal(m["patchbay_store_up"], 1)
        # A worker that dies takes nothing along.
        victim = int(re.search(r"pid=(\d+)", g.log_lines("msg=call", "worker=")[0])[1])
        os.kill(victim, signal.SIGKILL)
        g.await_log("a worker was replaced")
        m = numbers(g)
        equal([m[ok], m[bad], m[seconds]], [10, 10, 10])
        g.run("reload", "--state", g.state)
        eventually(lambda: numbers(g)["patchbay_workers"] == 2, "the old workers are gone")
        equal(call(g, "upper"), 200)
        equal(numbers(g)[ok], 11)
        for rows in '{"rows": [["x"]', '{"rows": [["x", 1]]}':  # a body that cannot be read is a call that failed
            equal(call(g, "upper", rows=rows), 400)
        equal(numbers(g)[bad.replace("fails", "upper")], 2)
        contains(g.await_log("msg=call", "function=upper", "status=INVALID_ARGUMENT", count=2)[0], "rows=0", "error=", "via=http")


@story
def the_page():
    with Gateway(CONFIG, FILES) as g:
        status, head, page = curl(g, "/")
        equal(status, 200)
        contains(head, "default-src 'none'", "frame-ancestors 'none'", "nosniff", "no-store")
        contains(page, "upper", "&lt;b&gt;labels&lt;/b&gt;", "Workers", "Sign in")
        lacks(page, "<script", "<b>labels", "Pause")
        equal(curl(g, "/login", "-d", "key=pbk_" + "0" * 43)[0], 403)
        jar = os.path.join(g.dir, "jar")
        status, head, _ = curl(g, "/login", "-d", "key=" + token(g), "-c", jar)
        equal(status, 303)
        contains(head.lower(), "httponly", "samesite=strict")
        page = curl(g, "/", "-b", jar)[2]
        csrf = re.search(r'name=csrf value="([^"]+)"', page)[1]
        pause = ["-d", "do=pause", "-d", "kind=function", "-d", "name=upper", "--data-urlencode", "why=it <is> late & more"]
        equal(curl(g, "/action", "-b", jar, *pause)[0], 403)               # without the form's token
        equal(curl(g, "/action", "-b", jar, *pause, "-d", "csrf=AAAA")[0], 403)
        equal(curl(g, "/action", *pause, "-d", "csrf=" + csrf)[0], 401)    # without the session
        equal(curl(g, "/action", "-b", jar, *pause, "-d", "csrf=" + csrf)[0], 303)
        contains(curl(g, "/", "-b", jar)[2], "paused", "it &lt;is&gt; late &amp; more", "Go on")
        equal(curl(g, "/action", "-b", jar, "-d", "csrf=" + csrf, "-d", "do=unpause&kind=function&name=upper")[0], 303)
        lacks(curl(g, "/")[2], "paused")
        equal(curl(g, "/action", "-b", jar, "-d", "csrf=" + csrf, "-d", "do=pause&kind=planet&name=mars")[0], 400)
        key = ["-H", "x-api-key: " + token(g)]
        equal(curl(g, "/action", *key, "-d", "do=pause&kind=queue&name=q")[0], 200)
        equal(curl(g, "/action", *key, "-d", "do=unpause&kind=queue&name=q")[0], 200)
        lacks(g.log(), token(g))


@story
def beyond_loopback_it_asks():
    with Gateway(CONFIG.replace('[listen "admin"]\naddress = 127.0.0.1', '[listen "admin"]\naddress = 0.0.0.0'), FILES) as g:
        g.addresses["admin"] = g.addresses["admin"].replace("0.0.0.0", "127.0.0.1")
        key = ["-H", "authorization: Bearer " + token(g)]
        equal(curl(g, "/healthz")[0], 200)
        for path in "/metrics", "/readyz":
            equal(curl(g, path)[0], 401)
            equal(curl(g, path, *key)[0], 200)
        contains(curl(g, "/")[2], "type=password")
        lacks(curl(g, "/")[2], "upper")
        contains(curl(g, "/", *key)[2], "upper")


@story
def levels_change_while_it_runs():
    with Gateway(CONFIG, FILES, workers=2) as g:
        def set_level(*args, code=0):
            return g.run("log", *args, "--state", g.state, code=code)

        def logged():
            before = len(g.log_lines("msg=call", "function=upper"))
            equal(call(g, "upper"), 200)
            return len(g.log_lines("msg=call", "function=upper")) > before
        eventually(logged, "calls are logged")
        set_level("error", "flow")
        eventually(lambda: not logged(), "calls are not logged any more")
        set_level("default")
        eventually(logged, "calls are logged again")
        set_level("off")
        eventually(lambda: not logged(), "nothing is logged")
        equal(curl(g, "/action", "-H", "x-api-key: " + token(g), "-d", "do=log&level=info")[0], 200)
        eventually(logged, "the page's way is the same")
        contains(set_level("loud", code=1).err, "debug, info")
        contains(set_level("info", "cellar", code=1).err, "no room")


@story
def a_line_for_each_call():
    with Gateway(CONFIG, FILES) as g:
        with client(g) as c:
            c.call(1, ["a", "b"], metadata=[("traceparent", TRACE)]).ok()
            c.call(1, ["c"], metadata=[("traceparent", TRACE[:-2] + "zz")]).ok()
        line = g.await_log("msg=call", "via=sse", "rows=2")[0]
        contains(line, "function=upper", "status=OK", "answered=2", "batches=", "ms=", 'user="UserDirectory=ACME; UserId=kim"',
                 "app=app-1", "traceparent=" + TRACE)
        lacks(g.await_log("msg=call", "rows=1")[0], "traceparent")
        for value in "A", "B", '"a"':
            lacks(line.replace("ACME", ""), " " + value + " ")


@story
def lines_of_json():
    """Python's json reads every line, of supervisor and workers; what came from outside is in there as it came."""
    with Gateway(CONFIG + "[log]\nformat = json\n", FILES, workers=2) as g:
        with client(g) as c:
            c.call(1, ["a"], metadata=[("traceparent", TRACE)], header=common(user='kim \x1b[2J"\\\n', app="a\u00e9")).ok()
        g.await_log('"msg":"call"')
        lines = [json.loads(line) for line in g.log().splitlines()]
        line, = [x for x in lines if x["msg"] == "call"]
        equal([line[k] for k in ("level", "room", "function", "status", "rows", "app", "traceparent")],
              ["info", "flow", "upper", "OK", 1, "a\u00e9", TRACE])
        contains(line["user"], "kim", '"', "\\")
        lacks(g.log(), "\x1b")
        equal({type(line["ms"]), type(line["worker"])}, {float, int})


@story
def rows_are_shown_on_request_alone():
    with Gateway(CONFIG + "[log]\npayload = yes\n", FILES) as g:
        equal(call(g, "upper", rows='{"rows": [["some"], ["more"]]}'), 200)
        contains(g.await_log("msg=payload", "way=in")[0], "some", "more", "rows=2")
        contains(g.await_log("msg=payload", "way=out")[0], "SOME", "MORE")
    with Gateway(CONFIG, FILES) as g:
        g.run("check", "--config", g.config)
        equal(call(g, "upper", rows='{"rows": [["some"], ["more"]]}'), 200)
        g.await_log("msg=call")
        lacks(g.log(), "some", "SOME")


@story
def nor_do_errors_say_them_in_the_log():
    """Who called is told which value it was; the log which row, and the value on request alone."""
    more = "".join('[function "%s"]\nscript = %s.lua\nparams = a:%s\nreturns = num\n' % f for f in (
        ("sums", "sums", "str"), ("raises", "raises", "str"), ("refuses", "refuses", "str"), ("answers", "answers", "str"),
        ("number", "answers", "num")))
    more += """
[connector "model"]
plugin = sagemaker
region = eu-west-1
endpoint_url = http://127.0.0.1:%d
[function "scores"]
connector = model
operation = invoke
endpoint = churn
params = a:str
answer = num
returns = num
[connector "snowflake"]
plugin = snowflake
trust_network = yes
"""
    files = {"scripts/sums.lua": "return function(a) return a + 1 end\n",
             "scripts/raises.lua": "return function(a) error(string.format('no such customer: %q', a)) end\n",
             "scripts/refuses.lua": "return function(a) fail('\"' .. a .. '\" is not liked') end\n",
             "scripts/answers.lua": "return function(a) return a end\n", **FILES}

    class Model(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            said = self.rfile.read(int(self.headers["content-length"])).decode()
            body = json.dumps({"OriginalStatusCode": 400, "OriginalMessage": "could not convert to float: '%s'" % said}).encode()
            self.send_response(424)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = CONFIG + more % server.server_address[1]
    rows, batch = '{"rows": [["geheim"]]}', '{"data": [[0, "geheim"]]}'
    tried = ("sums", "raises", "refuses", "answers", "number", "scores")
    for payload in "no", "yes":
        with Gateway(config + "[log]\npayload = %s\n" % payload, files) as g:
            for name in tried:
                for path, body in (("/functions/", rows), ("/snowflake/", batch)):
                    _, _, text = curl(g, path + name, "-H", "content-type: application/json", "-d", body, listener="http")
                    contains(text, "geheim")
            lines = g.await_log("msg=batch", "function=scores") + g.log_lines("msg=call")
            contains("".join(lines), "the model answered 400:", "raises.lua:1: no such customer", "is not liked", "(row 1:")
            told = "could not convert to float: 'geheim" in g.log() and "no such customer: \\\"geheim" in g.log()
            equal(("geheim" in g.log(), told), (payload == "yes",) * 2, g.log())
    server.shutdown()


@story
def traces_are_passed_on():
    seen = []

    class Backend(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.headers.get("traceparent"))
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"result": "1"}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    more = """
[connector "c"]
plugin = sagemaker
region = eu-west-1
[function "ask"]
id = 3
connector = c
operation = rest_single
url = http://127.0.0.1:%d/x
params = a:str
returns = str
""" % server.server_address[1]
    with Gateway(CONFIG + more, FILES) as g:
        call(g, "ask", "-H", "traceparent: " + TRACE)
        call(g, "ask")
        equal(seen, [TRACE, None])
    server.shutdown()


main()
