# SPDX-License-Identifier: MIT
"""The SDK's examples at work: moving_average against Python's statistics, over HTTP and streamed over SSE; counter, asked by many
at once, again, and after a kill; rest_json before an API that is slow, broken and none."""
import concurrent.futures
import http.client
import json
import os
import sqlite3
import statistics
import sys
import urllib.parse

from lib.gateway import SSE, TESTS, Gateway, has_sanitizer, new_key
from lib.story import SOAK, contains, equal, main, rng, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from stand_in import Service  # noqa: E402

KEY, SECTION = new_key("etl")
CONFIG = SSE + """
[listen "http"]
address = 127.0.0.1:0
[connector "series"]
plugin = moving_average
[function "spread"]
connector = series
operation = spread
params = x:num
empty = send
[function "smoothed"]
connector = series
operation = average
window = %d
params = x:num
returns = x:num, average:num
empty = send
"""


def ask(g, function, rows):
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    c.request("POST", "/functions/" + function, body=json.dumps({"rows": rows}), headers={"content-type": "application/json"})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    equal(r.status, 200, text)
    return json.loads(text)["rows"]


def averages(values, window):
    out, last = [], []
    for v in values:
        last = (last + [v])[-window:]
        out.append(sum(last) / len(last))
    return out


def close(a, b):
    return len(a) == len(b) and all(abs(x - y) <= 1e-9 * max(1, abs(y)) for x, y in zip(a, b))


@story
def moving_average():
    r = rng("series")
    values = [r.gauss(10, 3) for _ in range(20000)]
    for window in (1, 7, 1000):
        with Gateway(CONFIG % window) as g:
            got = ask(g, "smoothed", [[v] for v in values])
            true(close([row[0] for row in got], values), "the rows themselves")
            true(close([row[1] for row in got], averages(values, window)), "averages of %d" % window)
            true(close([ask(g, "spread", [[v] for v in values])[0][0]], [statistics.stdev(values)]), "the spread")
            equal(ask(g, "spread", [[5]]), [[None]])
            equal(ask(g, "smoothed", [[2], [None], [4]]), [[2, 2], [None, None], [4, 4 if window == 1 else 3]])


@story
def many_rows_streamed():
    n = 1000000 if SOAK and not has_sanitizer() else 60000
    with Gateway(CONFIG % 3) as g:
        path = g.write("in.csv", "x\n" + "".join("%d\n" % i for i in range(n)))
        p = g.run("call", "--quiet", "--address", g.address(), "smoothed", path)
        lines = p.out.splitlines()
        equal([lines[0], len(lines) - 1], ["x,average", n])
        equal([lines[1], lines[2], lines[3], lines[-1]], ["0,0", "1,0.5", "2,1", "%d,%d" % (n - 1, n - 2)])


@story
def what_does_not_fit():
    with Gateway(CONFIG % 3) as g:
        g.reconfigure((CONFIG % 3).replace("params = x:num\nempty = send\n[function", "params = x:str\nempty = send\n[function"))
        contains(g.check(code=1).err, "spread", "one column of numbers is expected")
        g.reconfigure((CONFIG % 3).replace("window = 3", "window = 0"))
        contains(g.check(code=1).err, "window")


COUNTER = """[listen "http"]
address = 127.0.0.1:0
[jobs]
lease = 1s
backoff = 20ms
[connector "count"]
plugin = counter
every = 10
[function "visit"]
action = count.add
params = key:str, args:json
""" + SECTION


def visit(g, key, **args):
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    c.request("POST", "/functions/visit", body=json.dumps({"rows": [[key, args]]}),
              headers={"content-type": "application/json", "x-api-key": KEY})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    equal(r.status, 200, text)
    got = json.loads(text)
    row = got["rows"][0][0]
    return json.loads(row) if isinstance(row, str) else row or got["errors"][0]["message"]


def reached(g):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return [json.loads(d)["value"] for d, in db.execute("SELECT data FROM event WHERE type = 'reached' ORDER BY seq")]
    finally:
        db.close()


@story
def counter():
    """Each request once, from many at once, in two workers, and after all of them were killed."""
    with Gateway(COUNTER, workers=2) as g:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            values = [v["value"] for v in pool.map(lambda i: visit(g, "k%d" % i, name="door"), range(25))]
        equal(sorted(values), list(range(1, 26)))
        equal(visit(g, "k-by", name="door", by=-5), {"name": "door", "value": 20})
        g.process.kill()
        g.process.wait()
        g.start()
        equal(visit(g, "k3", name="door"), {"name": "door", "value": values[3]})  # again: as the first time
        equal(visit(g, "k-last", name="door", by=10), {"name": "door", "value": 30})
        equal(sorted(reached(g)), [10, 20, 30])  # two workers put theirs in either order
        contains(visit(g, "bad", name="a b"), "name has 1 to 100")
        equal(visit(g, "most", name="big", by=10**9)["value"], 10**9)


class Weather(Service):
    def answer(self, handler, entry):
        path, _, query = entry.path.partition("?")
        city = urllib.parse.unquote(path.split("/")[2])
        if path.startswith("/cities/") and entry.headers.get("authorization") != "Bearer t0ken":
            return handler.reply(401, b'{"error": "who?"}')
        if path.startswith("/v2/"):
            return self.page(handler, entry, path, urllib.parse.parse_qs(query))
        if city == "flaky" and self.nth("flaky") < 3:
            return handler.reply(503, b'{"error": "soon"}')
        if city == "page":
            return handler.reply(200, b"<html>", "text/html")
        if city == "nowhere":
            return handler.reply(404, b"{}")
        if entry.method == "POST":
            said = json.loads(entry.body)
            return handler.reply(200, json.dumps({"sum": said["a"] + said["b"], "who": said["who"]}).encode())
        units = urllib.parse.parse_qs(query)["units"][0]
        return handler.reply(200, json.dumps({"current": {"list": [0, {"t": len(city) + (273 if units == "K" else 0)}], "city": city}}).encode())


    def page(self, handler, entry, path, query):
        """Ten items in pages of three, and three ways to say where the next one is."""
        if entry.headers.get("x-api-key") != self.key or entry.headers.get("x-who") != "who is oslo":
            return handler.reply(401, b"{}")
        at = int(query.get("after", ["0"])[0])
        reply = {"data": {"items": list(range(at, min(at + 3, 10)))}}
        if at + 3 < 10:
            way = path.split("/")[2]
            more = "/v2/%s/list?after=%d" % (way, at + 3)
            reply["next"] = {"path": more, "url": self.url + more, "cursor": at + 3, "away": "https://elsewhere.test" + more}[way]
        elif query.get("null"):
            reply["next"] = None
        return handler.reply(200, json.dumps(reply).encode())


REST = SSE + """
[listen "http"]
address = 127.0.0.1:0
[connector "api"]
plugin = rest_json
base = %s
token = t0ken
header.X-Client = patchbay
[function "temperature"]
connector = api
operation = request
path = /cities/{city}/weather?units={units}
pick = current.list.1.t
params = city:str, units:str
[function "city"]
connector = api
operation = request
path = /cities/{city}/weather?units={units}
pick = current.city
params = city:str, units:str
returns = str
[function "sum"]
connector = api
operation = request
path = /add/x
body = {"a": {a}, "b": {b}, "who": {who}}
params = a:num, b:num, who:str
returns = json
"""


@story
def rest_json():
    with Weather() as w, Gateway(REST % w.url) as g:
        names = ["Rome", "a b/c?d=é&", "nowhere", "x" * 50, "flaky"] + ["c%d" % i for i in range(40)]
        equal(ask(g, "temperature", [[n, "K"] for n in names]), [[None if n == "nowhere" else len(n) + 273] for n in names])
        equal(ask(g, "city", [[n, "C"] for n in names[:2]]), [[n] for n in names[:2]])
        row = ask(g, "sum", [[1, 2.5, 'say "é"']])[0][0]
        equal(json.loads(row) if isinstance(row, str) else row, {"sum": 3.5, "who": 'say "é"'})
        equal({e.headers.get("x-client") for e in w.entries}, {"patchbay"})
        true(1 < w.peak_busy <= 8, w.peak_busy)
        c = http.client.HTTPConnection(g.address("http"), timeout=60)
        c.request("POST", "/functions/temperature", json.dumps({"rows": [["page", "C"]]}), {"content-type": "application/json"})
        contains(c.getresponse().read().decode(), "something else than JSON")
        c.close()
        g.reconfigure((REST % w.url).replace("/cities/{city}/weather?units={units}\npick = current.list", "/cities/{town}\npick = current.list"))
        contains(g.check(code=1).err, "temperature", "no param has the name in {town}")


PAGES = """[listen "http"]
address = 127.0.0.1:0
[connector "api"]
plugin = rest_json
base = %s
token = file:token
token_header = X-API-Key
"""
PAGED = """[function "%s"]
connector = api
operation = request
path = /v2/%s/list?null=1&city={city}
header.X-Who = who is {city}
pick = data.items
next = next
%s
params = city:str
returns = json
"""


@story
def rest_json_pages():
    """Page after page, by whichever way the API says where the next one is; a key that was changed at the other side."""
    with Weather() as w:
        ways = {"path": "", "url": "", "cursor": "cursor = after", "away": "", "few": "pages = 3"}
        config = PAGES % w.url + "".join(PAGED % (name, "path" if name == "few" else name, more) for name, more in ways.items())
        w.key = "k1"
        with Gateway(config, files={"token": "k1"}) as g:
            for way in ("path", "url", "cursor"):
                got = ask(g, way, [["oslo"], ["oslo"]])
                equal([json.loads(r[0]) if isinstance(r[0], str) else r[0] for r in got], [list(range(10))] * 2)
            contains(failure(g, "away"), "another address than `base`")
            contains(failure(g, "few"), "more pages than `pages`")
            w.key = "k2"
            g.write("token", "k2")
            equal(len(ask(g, "path", [["oslo"]])), 1)
            w.key = "k3"
            contains(failure(g, "path"), "answers 401")
        equal({e.headers.get("authorization") for e in w.entries}, {None})


def failure(g, function):
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    c.request("POST", "/functions/" + function, json.dumps({"rows": [["oslo"]]}), {"content-type": "application/json"})
    text = c.getresponse().read().decode()
    c.close()
    return text


if __name__ == "__main__":
    main()
