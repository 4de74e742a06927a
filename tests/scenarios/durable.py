#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Durable work: actions as jobs, their rules of repetition, events with what they cause, parked batches, sources."""
import http.client
import json
import os
import resource
import sqlite3

from lib.gateway import WORKERS, Folder, Gateway, new_key
from lib.story import contains, equal, eventually, lacks, main, story, true

OWN = os.environ["SCENARIO_PLUGINS"]
CONFIG = """
[plugins]
dir = %s
[listen "http"]
address = 127.0.0.1:0
[jobs]
backoff = 20ms
attempts = 4
lease = 1s
[connector "a"]
plugin = actor
log = @DIR@/did
""" % OWN


class Actor(Gateway):
    def __init__(self, config=CONFIG, **more):
        super().__init__(config, **more)
        self.write("patchbay.ini", self._with_plugins(config))

    def ask(self, path, body="", method="POST"):
        c = http.client.HTTPConnection(self.address("http"), timeout=30)
        c.request(method, "/a" + path, body=body if method == "POST" else None)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def enqueue(self, action, key, args=None, status=202):
        got, text = self.ask("/enqueue", "%s %s %s" % (action, key, json.dumps(args or {})))
        equal(got, status, text)
        return dict(part.split("=", 1) for part in text.split(" ")[1:4]).get("id") if got == 202 else text

    def job(self, key):
        return self.ask("/job/" + key, method="GET")

    def ended(self, key, state="done"):
        return eventually(lambda: (lambda r: r[1] if r[1].split(" ")[0] == state else None)(self.job(key)),
                          "job %s is not %s but %s" % (key, state, self.job(key)))

    def query(self, sql, *args):
        db = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.state, "state.db"), uri=True, timeout=10)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def event(self, kind, subject):
        """The data of the events of a type about something."""
        rows = self.query("SELECT data FROM event WHERE type = ? AND subject = ? ORDER BY seq", kind, subject)
        return [json.loads(r[0]) for r in rows]

    def done(self, what=None, key=None):
        with open(os.path.join(self.dir, "did")) as f:
            lines = [line.split() for line in f]
        return [line for line in lines if (what is None or line[0] == what) and (key is None or line[1].endswith(key))]


@story
def an_action_and_its_end():
    with Actor() as g:
        args = {"value": "x", "list": ["a", "b,c"], "Tags": {"k": "v"}}
        g.enqueue("echo", "k1", args)
        equal(json.loads(g.ended("k1").split("result=", 1)[1].rsplit(" error=", 1)[0]), args)
        equal(g.enqueue("echo", "k1", args, status=200).split(" ")[:2], ["done", "known=1"])
        end, = g.event("echo.done", "k1")
        true(end["ok"] and end["code"] == "OK", end)
        equal(end["args"], args)
        equal(end["result"], args)
        equal(end["attempt"], 1)
        for action, text, said in [
                ("ech", "{}", 'no action "ech"; did you mean "echo"'),
                ("echo", '{"valu": 1}', 'unknown key "valu"'),
                ("echo", '{"delay": "long"}', "delay"),
                ("echo", '{"list": {"a": 1}}', "list: expected an array"),
                ("echo", "[1]", "arguments of a.echo"),
                ("fail", "{}", 'lacks "Code"'),
                ("fail", '{"Code": 99}', "Code")]:
            got, answer = g.ask("/enqueue", "%s bad %s" % (action, text))
            equal(got, 400 if action != "ech" else 404, answer)
            contains(answer, said)


@story
def failures_are_repeated_by_their_kind():
    with Actor() as g:
        g.enqueue("fail", "transient", {"Code": 14, "times": 2})
        contains(g.ended("transient"), 'result="at last"')
        equal(len(g.done("run", "transient")), 3)
        g.enqueue("fail", "limit", {"Code": 14})
        contains(g.ended("limit", "failed"), "as you wanted")
        equal(len(g.done("run", "limit")), 4)
        g.enqueue("fail", "final", {"Code": 3, "refuse": True})
        g.ended("final", "failed")
        equal(len(g.done("run", "final")), 1)
        end, = g.event("fail.done", "final")
        equal([end["ok"], end["state"], end["code"], end["message"], end["vendor_status"], end["result"]],
              [False, "dead", "INVALID_ARGUMENT", "as you wanted", 418, None])
        equal(len(g.event("fail.done", "limit")), 1)


@story
def what_must_not_be_done_twice():
    with Actor() as g:
        g.enqueue("once", "lost", {"lose": True})
        contains(g.ended("lost"), '{"looked":true}')
        equal([len(g.done(w, "lost")) for w in ("run", "did", "lookup")], [1, 1, 1])
        g.enqueue("once", "never-came", {"lose_before": True})
        contains(g.ended("never-came"), '{"did":true}')
        equal([len(g.done(w, "never-came")) for w in ("run", "lookup")], [2, 1])
        g.enqueue("once", "blind", {"lose": True, "blind": True})
        g.ended("blind", "unknown")
        equal(g.event("once.done", "blind"), [])


@story
def what_takes_long():
    with Actor() as g:
        g.enqueue("slow", "s", {"polls": 3})
        contains(g.ended("s"), '{"polled":true}')
        equal(len(g.done("poll", "s")), 4)
        equal(len(g.event("slow.done", "s")), 1)
        job = g.enqueue("never", "n", {"anything": [1]})
        eventually(lambda: g.job("n")[1].startswith("running"), "it runs")
        g.ask("/cancel", job)
        g.ended("n", "cancelled")
        equal(g.event("never.done", "n")[0]["code"], "CANCELLED")


@story
def cancelled_while_it_waits():
    with Actor(CONFIG + '[queue "one"]\nactions = a.echo\nstarts = 1\nper = 1h\n') as g:
        g.enqueue("echo", "first")
        g.ended("first")
        job = g.enqueue("echo", "second")
        g.enqueue("slow", "other")  # not in that queue
        g.ended("other")
        true(g.job("second")[1].startswith("waiting"), g.job("second"))
        g.ask("/cancel", job)
        g.ended("second", "cancelled")
        eventually(lambda: len(g.event("echo.done", "second")) == 1, "its end is told")
        equal(g.event("echo.done", "second")[0]["state"], "cancelled")


@story
def events_once():
    with Actor() as g:
        equal(g.ask("/events", 'e1 {"a":1}\ne2 {"a":2}\ne1 {"a":3}\n'), (200, "new=2 "))
        equal(g.ask("/events", "e2 {}\ne3 null\n"), (200, "new=1 "))
        equal(g.event("thing", "e1"), [{"a": 1}])
        status, text = g.ask("/events", "e4 {}\ne5 {not json\n")
        equal(status, 400)
        contains(text, "event 2: its data is not JSON")
        equal(g.event("thing", "e4"), [])
        equal([g.ask("/limit")[1] for _ in range(2)], ["after=0"] * 2)
        true(0 < int(g.ask("/limit")[1].split("=")[1]) <= 60000, "the third waits")


@story
def a_source_is_read_to_its_end():
    with Actor(CONFIG + "poll.ticks = yes\nticks = 5\n") as g:
        eventually(lambda: g.query("SELECT count(*) FROM event WHERE type = 'tick'") == [(5,)], "five ticks")
        eventually(lambda: g.query("SELECT value FROM cursor WHERE source = 'ticks'") == [(b"5",)], "the cursor")
        g.restart()
        n = len(g.done("ticks"))
        eventually(lambda: len(g.done("ticks")) > n, "it goes on")
        equal(g.query("SELECT count(*) FROM event WHERE type = 'tick'"), [(5,)])
    for line, said in [("poll.tick = yes", 'did you mean "ticks"'), ("poll.ticks = often", "expected yes, no")]:
        with Actor(CONFIG + "poll.ticks = no\n") as g:
            equal(g.done("ticks") if os.path.exists(os.path.join(g.dir, "did")) else [], [])
            g.write("patchbay.ini", g._with_plugins(CONFIG + line + "\n"))
            contains(g.check(code=1).err, said)


@story
def a_poll_in_flight_when_it_stops():
    with Actor(CONFIG + "poll.ticks = yes\ntick_delay = 400ms\nticks = 100\n") as g:
        eventually(lambda: g.query("SELECT until_ms FROM lease WHERE name = 'source a.ticks'"), "it polls")
        g.stop()
        equal(g.query("SELECT until_ms FROM lease WHERE name = 'source a.ticks'"), [(0,)])
        g.start()
        eventually(lambda: os.path.exists(os.path.join(g.dir, "did")), "it polls at once", seconds=10)


@story
def parked():
    with Actor(CONFIG + "patience = 300ms\n") as g:
        equal(g.job("batch")[0], 404)
        status, text = g.ask("/park", "batch")
        equal((status, text.split(" ")[:2]), (202, ["running", "known=0"]))
        equal(g.ask("/park", "batch")[1].split(" ")[:2], ["running", "known=1"])
        contains(g.ended("batch"), "type=text/plain result=BATCH")
        equal(g.ask("/park", "batch")[0], 200)
        equal(len(g.done("parked")), 1)


@story
def parked_and_killed():
    with Actor(CONFIG + "patience = 500ms\n") as g:
        equal(g.ask("/park", "batch")[0], 202)
        g.process.kill()
        g.process.wait()
        g.start()
        contains(g.ended("batch"), "result=BATCH")
        equal(len(g.done("parked")), 1)
        # Workers whose supervisor is gone end what they have begun.
        true(WORKERS != "0" or len(g.done("resume")) == 1, g.done())


@story
def an_action_is_invoked():
    with Actor(CONFIG + '[connector "b"]\nplugin = actor\n') as g:
        equal(g.ask("/invoke", 'a.echo i1 {"value": "x"}'), (200, 'code=0 {"value": "x"}'))
        equal(g.ask("/invoke", 'a.echo i1 {"value": "x"}'), (200, 'code=0 {"value": "x"}'))
        equal(len(g.done("run", "i1")), 1)
        equal(g.ask("/invoke", 'a.slow  {"polls": 2}'), (200, 'code=0 {"polled":true}'))
        equal(g.ask("/invoke", 'b.fail i2 {"Code": 5}'), (404, "code=5 as you wanted"))
        contains(g.ask("/invoke", 'a.echo i3 {"valu": "x"}')[1], "code=3 ", 'did you mean "value"')
        contains(g.ask("/invoke", "c.echo i4 {}")[1], "code=5 ", 'there is no [connector "c"]')
        true(g.job("i1")[1].startswith("done"), "it is the job of that key")


@story
def what_operators_see_and_do():
    config = CONFIG + '[function "f"]\naction = a.echo\nparams = value:str\nallow_keys = *\n[function "up"]\nscript = up.lua\n'
    config += "params = s:str\nreturns = str\n"
    with Actor(config, files={"scripts/up.lua": "return function(s) return s:upper() end\n"}) as g:
        def jobs(*args, code=0):
            return g.run("jobs", *args, "--config", g.config, "--state", g.state, code=code)

        def pause(verb, *args, code=0):
            return g.run(verb, *args, "--config", g.config, "--state", g.state, code=code)
        g.enqueue("fail", "dead-one", {"Code": 3})
        g.ended("dead-one", "failed")
        lines = jobs("--states", "dead").out.splitlines()
        contains(lines[0], "dead", "a.fail", "1/4", "key=a/dead-one", 'error="as you wanted"')
        contains("\n".join(lines), "by queue:", "a dead 1")
        job = lines[0].split(" ")[0]
        contains(jobs("show", job).out, "a.fail", "INVALID_ARGUMENT (418): ", '{\\"Code\\": 3}', "next: run")
        equal(jobs("show", "a/dead-one").out, jobs("show", job).out)
        contains(jobs("retry", job).out, "is waiting")
        eventually(lambda: len(g.event("fail.done", "dead-one")) == 2, "it ended once more")
        contains(jobs("cancel", job, code=1).err, "is dead already")
        contains(jobs("retry", "nothing", code=1).err, 'no job has the id or the key "nothing"')
        contains(jobs("shows", job, code=2).err, "list, show, retry or cancel")
        contains(jobs("--states", "sleeping", code=2).err, "waiting, running, done")
        contains(pause("pause").out, "nothing is paused")
        contains(pause("pause", "queue", "a", "--why", "costs \x1b[31m").out, "queue a is paused")
        job = g.enqueue("echo", "held")
        contains(pause("pause").out, "queue     a  since 20", "by cli:", 'why "costs \\u001b[31m"')
        contains(jobs("--states", "waiting").out, "a/held")
        contains(pause("unpause", "queue", "a").out, "queue a goes on")
        g.ended("held")
        contains(pause("unpause", "queue", "a", code=1).err, "is not paused")
        contains(pause("pause", "queue", "aa").err, 'knows no queue "aa"; it is paused all the same')
        pause("unpause", "queue", "aa")
        contains(pause("pause", "server", "a", code=2).err, "queue, connector, function, chain or app")

        def call(name):
            c = http.client.HTTPConnection(g.address("http"), timeout=30)
            c.request("POST", "/functions/" + name, body='{"rows": [["x"]]}', headers={"content-type": "application/json"})
            r = c.getresponse()
            text = r.read().decode()
            c.close()
            return r.status, text
        equal(call("up")[0], 200)
        pause("pause", "function", "up", "--why", "wrong answers")
        contains(eventually(lambda: (lambda r: r[0] == 503 and r[1])(call("up")), "calls are refused"),
                 "function up is paused by cli:", "wrong answers")
        pause("unpause", "function", "up")
        eventually(lambda: call("up")[0] == 200, "calls are served")
        equal([r[0] for r in g.query("SELECT what FROM audit ORDER BY seq")],
              ["retry", "pause", "unpause", "pause", "unpause", "pause", "unpause"])
        audit = g.run("audit", "--config", g.config, "--state", g.state).out.splitlines()
        equal(len(audit), 7)
        contains(audit[0], "cli:", "unpause", '"function up"')
        contains(audit[-2], "pause", '"queue a"', '"costs \\u001b[31m"')
        entry = json.loads(g.run("audit", "--json", "--limit", "1", "--before", "2", "--config", g.config, "--state", g.state).out)
        equal((entry["seq"], entry["what"]), (1, "retry"))
        contains(g.run("audit", "--limit", "0", "--state", g.state, code=2).err, "1 to 1000")
    with Folder("") as f:
        contains(f.run("jobs", "--state", f.state, code=1).err, "there is no store")


@story
def a_full_disk():
    """Who wants something stored is told to try again, and not where the store is; when there is room again, it is stored."""
    config = CONFIG + '[function "keep"]\naction = a.echo\nparams = value:str\nwait = stored\n'
    key, section = new_key("etl")
    with Actor(config + section) as g:
        def call():
            c = http.client.HTTPConnection(g.address("http"), timeout=30)
            c.request("POST", "/functions/keep", body='{"rows": [["x"]]}',
                      headers={"content-type": "application/json", "x-api-key": key})
            r = c.getresponse()
            text = r.read().decode()
            c.close()
            return r.status, text
        equal(call()[0], 200)
        eventually(lambda: g.query("SELECT 1 FROM event WHERE type = 'echo.done'"), "the job ends, and its plugin writes no more")
        with open("/proc/%d/task/%d/children" % (g.process.pid, g.process.pid)) as f:
            pids = [g.process.pid] + [int(pid) for pid in f.read().split()]
        room = [(pid, resource.prlimit(pid, resource.RLIMIT_FSIZE)) for pid in pids]
        for pid, (_, most) in room:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, most))
        status, text = call()
        equal(status, 503, text)
        lacks(text, "state.db", g.dir)
        contains(text, "UNAVAILABLE")
        contains(g.await_log("the store failed")[0], "state.db")
        for pid, limit in room:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        equal(call()[0], 200)


FUNCTIONS = """
[function "do_once"]
action = a.once
params = key:str, lose:str
[function "echo_args"]
action = a.echo
params = value:str, args:json
returns = json
[function "fail_some"]
action = a.fail
params = Code:int
[function "begin"]
action = a.slow
params = key:str
wait = stored
[function "late"]
action = a.echo
params = delay:str
call_timeout = 200ms
[connector "b"]
plugin = actor
"""


@story
def functions_whose_rows_are_actions():
    key, section = new_key("etl")
    with Actor(CONFIG + FUNCTIONS + section) as g:
        def call(name, rows, status=200):
            c = http.client.HTTPConnection(g.address("http"), timeout=30)
            c.request("POST", "/functions/" + name, body=json.dumps({"rows": rows}),
                      headers={"content-type": "application/json", "x-api-key": key})
            r = c.getresponse()
            text = r.read().decode()
            c.close()
            equal(r.status, status, text)
            return json.loads(text)
        rows = call("do_once", [["x1", "yes"], ["x2", "no"], [None, None], ["x1", "yes"]])["rows"]
        equal(rows, [['{"looked":true}'], ['{"did":true}'], [None], ['{"looked":true}']])
        equal([len(g.done("did", k)) for k in ("x1", "x2")], [1, 1])
        equal(call("do_once", [["x2", "no"]])["rows"], [['{"did":true}']])
        equal(len(g.done("run", "x2")), 1)
        equal(call("echo_args", [["v", {"list": ["a"]}]])["rows"], [[{"value": "v", "list": ["a"]}]])
        equal(len(g.query("SELECT 1 FROM job j JOIN lane l ON l.id = j.lane WHERE l.function = 'echo_args'")), 1)
        contains(json.dumps(call("fail_some", [[3]])), "as you wanted")
        contains(json.dumps(call("fail_some", [[77]])), "Code")
        job = json.loads(call("begin", [["z"]])["rows"][0][0])
        equal(job["known"], False)
        call("late", [["2s"]], status=504)
        out = g.run("explain", "echo_args", "v, {}", "--config", g.config).out
        contains(out, "ACTION a.echo", "queue: a", '"value":"v"')
        contains(g.run("explain", "fail_some", "99", "--config", g.config).out, "REFUSED arguments of a.fail", "Code")
        eventually(lambda: any(e["ok"] for e in [json.loads(r[0]) for r in g.query(
            "SELECT data FROM event WHERE type = 'echo.done'")] if e["args"] == {"delay": "2s"}), "it goes on")
    for lines, said in [
            ("action = a.ech\nparams = value:str", 'did you mean "echo"'),
            ("action = a.echo\nparams = valu:str", 'did you mean "value"'),
            ("action = c.echo", 'there is no [connector "c"]'),
            ("action = a.echo\nconnector = a", "has no place beside it"),
            ("action = a.echo\nparams = value:str\nresult_cache = 1m", "changes the world")]:
        g = Actor(CONFIG + '[function "f"]\n' + lines + "\n")
        contains(g.check(code=1).err, said)
        g.remove()


if __name__ == "__main__":
    main()
