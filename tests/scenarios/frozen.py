#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A plugin that was built with the headers of ABI 1.0 (tests/unit/sdk/frozen_1_0): every later host loads it, and all of it works."""
import hashlib
import hmac
import http.client
import json
import os
import sqlite3

from lib.gateway import SSE, Gateway, new_key
from lib.story import contains, equal, eventually, main, story

KEY, SECTION = new_key("old")
CONFIG = SSE + """
[plugins]
dir = %s
[listen "http"]
address = 127.0.0.1:0
[listen "admin"]
address = 127.0.0.1:0
[jobs]
backoff = 20ms
[connector "old"]
plugin = frozen_1_0
isolation = @ISOLATION@
suffix = !?
secret = s3cret
[function "shout"]
connector = old
operation = shout
params = x:str
returns = str
[function "number"]
connector = old
operation = number
params = x:num
returns = n:num, x:num
empty = send
[function "keep"]
action = old.keep
params = key:str, args:json
""" % os.environ["SCENARIO_PLUGINS"] + SECTION


def both(story_):
    """In the worker, and in a process of its own."""
    def run():
        for isolation in ("none", "process"):
            with Gateway(CONFIG.replace("@ISOLATION@", isolation)) as g:
                story_(g)
    run.__name__ = story_.__name__
    return story(run)


def post(g, path, body, **headers):
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    c.request("POST", path, body=body, headers=headers)
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, text


def rows(g, function, values):
    status, text = post(g, "/functions/" + function, json.dumps({"rows": values}), **{"content-type": "application/json", "x-api-key": KEY})
    equal(status, 200, text)
    return json.loads(text)["rows"]


def events(g, kind):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(g.state, "state.db"), uri=True, timeout=10)
    try:
        return [row[0] for row in db.execute("SELECT subject FROM event WHERE type = ? ORDER BY seq", (kind,))]
    finally:
        db.close()


@both
def functions(g):
    equal(rows(g, "shout", [["a"], [""], ["c"]]), [["a!?"], [None], ["c!?"]])
    got = rows(g, "number", [[v] for v in range(5000)])
    equal(got, [[v, v] for v in range(5000)])
    path = g.write("in.csv", "x\n" + "".join("%d\n" % i for i in range(50000)))  # and back-pressure
    out = g.run("call", "--quiet", "--address", g.address(), "number", path).out.splitlines()
    equal([len(out), out[-1]], [50001, "49999,49999"])
    c = http.client.HTTPConnection(g.address("admin"), timeout=60)
    c.request("GET", "/metrics")
    contains(c.getresponse().read().decode(), 'patchbay_frozen_1_0_shouts_total{connector="old"}')
    c.close()


@both
def an_action_routes_and_a_source(g):
    answer = rows(g, "keep", [["k1", {"name": "Ada"}]])[0][0]
    equal(json.loads(answer) if isinstance(answer, str) else answer, {"kept": "Ada"})
    equal(post(g, "/old/hook", "e1", **{"x-api-key": KEY}), (202, "1 new"))
    equal(post(g, "/old/hook", "e1", **{"x-api-key": KEY}), (202, "0 new"))
    equal(post(g, "/old/hook", "e2")[0], 401)
    mac = hmac.new(b"s3cret", b"e3", hashlib.sha256).hexdigest()
    equal(post(g, "/old/signed", "e3", **{"x-mac": mac}), (202, "1 new"))
    equal(post(g, "/old/signed", "e4", **{"x-mac": mac}), (403, "not signed"))
    equal(events(g, "caught"), ["e1", "e3"])
    eventually(lambda: events(g, "tick") == ["1", "2", "3"], "the source has not ticked three times")


@both
def what_it_says_of_itself(g):
    p = g.run("frozen_1_0", "greet", "the host", "--config", g.config)
    equal(p.out, "hello the host\n")
    contains(g.run("plugins", "--dir", os.environ["SCENARIO_PLUGINS"]).out, "A plugin of ABI 1.0")
    c = http.client.HTTPConnection(g.address("admin"), timeout=60)
    c.request("GET", "/readyz")
    text = c.getresponse().read().decode()
    c.close()
    contains(text, "as on the first day")


if __name__ == "__main__":
    main()
