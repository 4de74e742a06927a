# SPDX-License-Identifier: MIT
"""Coalescing, the result cache, and how many batches go at once: what a backend is asked for. And many users at once."""
import os
import re
import sys
import time

from lib.gateway import SSE, TESTS, Folder, Gateway
from lib.sse import CODE, bundle, client, common, function_header
from lib.story import SOAK, contains, equal, main, story, together, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_runtime import SECRET, Runtime  # noqa: E402

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}


def config(runtime, functions):
    text = SSE + '[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\nendpoint_url = %s\n' % runtime.url
    for name, (endpoint, more) in functions.items():
        text += ('[function "%s"]\nconnector = aws\noperation = invoke\nendpoint = %s\nparams = n:num\n%s\n' % (name, endpoint, more))
    return text


def serve(runtime, functions, files=None):
    return Gateway(config(runtime, functions), files, env=dict(KEYS))


def at_once(c, function_id, values, user=lambda i: "UserDirectory=ACME; UserId=kim"):
    """A call of one row for each value, all under way together; the answers, in order."""
    streams = [c.execute(iter([bundle([v])]), metadata=[function_header(function_id), common(user=user(i))], timeout=120)
               for i, v in enumerate(values)]
    return [[d.duals[0] for b in s for d in b.rows] for s in streams]


@story
def rows_of_many_callers_go_together():
    n = 1000 if SOAK else 300
    values = [float(i) for i in range(n)]
    with Runtime() as r, serve(r, {"on": ("slow-20-on", "coalesce_ms = 200\nmax_rows = 1000"), "off": ("slow-1-off", "")}) as g, \
            client(g) as c:
        ids = c.ids()
        got = at_once(c, ids["on"], values)
        equal([[d.numData for d in one] for one in got], [[v / 2] for v in values])
        requests = len(r.of("slow-20-on"))
        true(requests * 20 <= n, "%d requests for %d rows" % (requests, n))
        equal(sum(len(e.body.splitlines()) for e in r.of("slow-20-on")), n)
        got = at_once(c, ids["off"], values[:50])
        equal(len(r.of("slow-1-off")), 50)


@story
def a_bad_row_fails_its_own_caller_only():
    script = 'return { before = function(n) if n == 13 then fail("unlucky") end return n end }'
    with Runtime() as r, serve(r, {"f": ("csv", "coalesce_ms = 20\ntransform = t.lua"), "m": ("modelerror", "coalesce_ms = 20")},
                               {"scripts/t.lua": script}) as g, client(g) as c:
        ids = c.ids()
        streams = [c.execute(iter([bundle([float(i)])]), metadata=[function_header(ids["f"]), common()], timeout=60)
                   for i in range(30)]
        for i, s in enumerate(streams):
            if i == 13:
                try:
                    list(s)
                except Exception:
                    pass
                equal(s.code(), CODE.INVALID_ARGUMENT)
                contains(s.details(), "unlucky")
            else:
                equal([d.duals[0].numData for b in s for d in b.rows], [i / 2])
        c.call(ids["m"], [1.0]).fails(CODE.INVALID_ARGUMENT, "only supports CSV")


@story
def answers_are_kept_and_equal_rows_asked_once():
    functions = {"kept": ("csv-1", "result_cache = 60s"), "short": ("csv-2", "result_cache = 200ms"), "plain": ("csv-3", "")}
    http = '[listen "http"]\naddress = 127.0.0.1:0\n'
    with Runtime() as r, Gateway(config(r, functions) + http, env=dict(KEYS)) as g, client(g) as c:
        ids = c.ids()
        rows = [float(i % 10) for i in range(200)]
        for _ in range(3):
            equal(c.call(ids["kept"], rows).ok().numbers(), [v / 2 for v in rows])
        equal(sum(len(e.body.splitlines()) for e in r.of("csv-1")), 10)
        for _ in range(2):
            equal(c.call(ids["short"], [1.0]).ok().numbers(), [0.5])
        equal(len(r.of("csv-2")), 1)
        time.sleep(0.4)
        c.call(ids["short"], [1.0]).ok()
        equal(len(r.of("csv-2")), 2)
        for _ in range(2):
            c.call(ids["plain"], [1.0]).ok()
        equal(len(r.of("csv-3")), 2)


@story
def equal_rows_of_callers_at_once_are_asked_once():
    with Runtime() as r, serve(r, {"f": ("slow-300", "result_cache = 60s")}) as g, client(g) as c:
        got = at_once(c, c.ids()["f"], [7.0] * 40)
        equal([[d.numData for d in one] for one in got], [[3.5]] * 40)
        workers = int(os.environ.get("PATCHBAY_WORKERS", "0") or 0)
        true(len(r.of("slow-300")) <= max(1, workers), len(r.of("slow-300")))


@story
def what_depends_on_the_caller_is_never_shared():
    script = 'return { before = function(n) return n + #ctx.user end, after = function(s) return ctx.user .. " " .. s end }'
    with Runtime() as r, serve(r, {"f": ("csv", "coalesce_ms = 20\nresult_cache = 60s\nanswer = num\nreturns = str\ntransform = t.lua")},
                               {"scripts/t.lua": script}) as g, client(g) as c:
        function_id = c.ids()["f"]
        users = ["u" * (1 + i % 5) for i in range(40)]
        for _ in range(2):
            got = at_once(c, function_id, [2.0] * 40, lambda i: users[i])
            equal([one[0].strData for one in got], ["%s %s" % (u, ("%.1f" % ((2 + len(u)) / 2))) for u in users])


@story
def no_more_at_once_than_the_backend_bears():
    with Runtime() as r, serve(r, {"f": ("slow-20-lane", "in_flight = 4\nmax_rows = 5")}) as g, client(g) as c:
        rows = [float(i) for i in range(400)]
        equal(c.call(c.ids()["f"], rows).ok().numbers(), [v / 2 for v in rows])
        true(2 <= r.peak_busy <= 4, r.peak_busy)
    with Runtime() as r, serve(r, {"f": ("throttle-12", "in_flight = 32\nmax_rows = 5\nattempts = 10")}) as g, client(g) as c:
        rows = [float(i) for i in range(600)]
        equal(c.call(c.ids()["f"], rows).ok().numbers(), [v / 2 for v in rows])
        true(sum(e.note == "throttled" for e in r.entries) == 12)


def users(count, rows_each, functions):
    with Runtime() as r, serve(r, functions) as g:
        clients = [client(g).__enter__() for _ in range(8)]
        ids = clients[0].ids()
        names = list(functions)
        began = time.monotonic()

        def one(i):
            rows = [float(i * 10000 + k) for k in range(rows_each)]
            name = names[i % len(names)]
            got = clients[i % 8].call(ids[name], rows, timeout=300).ok().numbers()
            equal(got, [v / 2 for v in rows], i)
        with together(count) as run:
            for i in range(count):
                run(one, i)
        seconds = time.monotonic() - began
        print("  %d users, %d rows each: %.1f s, %d requests, %d at once" % (
            count, rows_each, seconds, len(r.entries), r.peak_busy), flush=True)
        for c in clients:
            c.close()


@story
def three_thousand_rows_for_each_of_twelve_users():
    users(12, 3000, {"a": ("csv-a", "max_rows = 500"), "b": ("predictions-b", "max_rows = 500")})


@story
def a_thousand_users_at_once():
    users(1000 if SOAK else 100, 3, {"a": ("csv-a", "coalesce_ms = 5"), "b": ("csv-b", "result_cache = 60s"),
                                     "c": ("csv-c", "coalesce_ms = 5\nresult_cache = 60s"), "d": ("csv-d", "")})


@story
def a_long_load():
    n = 1000000 if SOAK else 60000
    with Runtime() as r, serve(r, {"f": ("csv", "max_rows = 5000\nin_flight = 8")}) as g, client(g) as c:
        rows = [float(i) for i in range(n)]
        got = c.call(c.ids()["f"], rows, size=2000, timeout=600).ok()
        equal(len(got.rows), n)
        numbers = got.numbers()
        true(all(numbers[i] == i / 2 for i in range(n)))
        with open("/proc/%d/status" % g.process.pid) as f:
            print("  %d rows, %d requests, the gateway's %s" % (n, len(r.entries), re.search(r"VmHWM.*", f.read()).group(0)))


@story
def what_cannot_be_shared_is_refused_at_the_start():
    with Folder(SSE + '[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\n[function "f"]\nconnector = aws\n'
                'operation = invoke\nendpoint = e\nparams = n:num\ncache = no\nresult_cache = 1m\n') as f:
        contains(f.check(code=1).err, "result_cache: has no place beside `cache = no`")
    for more, part in (("script = s.lua\ncoalesce_ms = 5", "coalesce_ms: only for an operation"),
                       ("script = s.lua\nresult_cache = 5s", "result_cache: only for an operation")):
        with Folder('[listen "sse"]\naddress = 127.0.0.1:0\n[function "f"]\nparams = n:num\n%s\n' % more,
                    {"scripts/s.lua": "return function(n) return n end"}) as f:
            contains(f.check(code=1).err, part)


if __name__ == "__main__":
    main()
