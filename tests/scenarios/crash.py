#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Killed at any instant: what was acknowledged is there, once; no job is lost, none is run by two at once.

SOAK: 200 times everything, 60 times a worker; a few of each else.
"""
import http.client
import json
import os
import signal
import sqlite3
import threading
import time
from collections import Counter

from lib.gateway import PROGRAM, Gateway
from lib.story import SOAK, equal, eventually, lacks, main, rng, story, true

CONFIG = """
[plugins]
dir = %s
[listen "http"]
address = 127.0.0.1:0
[jobs]
backoff = 20ms
lease = 1s
attempts = 100
[connector "a"]
plugin = actor
isolation = none
log = @DIR@/did
poll.ticks = yes
ticks = 1000000
patience = 20ms
""" % os.environ["SCENARIO_PLUGINS"]


class Crashing(Gateway):
    def __init__(self):
        super().__init__(CONFIG, workers=2)
        self.write("patchbay.ini", self._with_plugins(CONFIG))
        self.told_events, self.told_jobs, self.told_parked = set(), set(), set()
        self.serial = 0
        self.dead = set()

    def ask(self, path, body):
        c = http.client.HTTPConnection(self.address("http"), timeout=10)
        try:
            c.request("POST", "/a" + path, body=body)
            return c.getresponse().read().decode()
        finally:
            c.close()

    def feed(self, stop):
        """Events, jobs and batches, noted when they were acknowledged."""
        while not stop.is_set():
            self.serial += 1
            n = self.serial
            try:
                keys = ["e%d-%d" % (n, i) for i in range(3)]
                if self.ask("/events", "".join(k + " {}\n" for k in keys)).startswith("new="):
                    self.told_events.update(keys)
                if " known=0 id=" in self.ask("/enqueue", 'once o%d {"lose_before": "%s"}' % (n, "yes" if n % 3 else "no")):
                    self.told_jobs.add("o%d" % n)
                if " known=0 id=" in self.ask("/enqueue", 'echo d%d {"delay": "%dms"}' % (n, n % 30)):
                    self.told_jobs.add("d%d" % n)
                if n % 5 == 0 and "running known=0" in self.ask("/park", "p%d" % n):
                    self.told_parked.add("p%d" % n)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)

    def fed(self, seconds, then):
        stop = threading.Event()
        feeder = threading.Thread(target=self.feed, args=(stop,))
        feeder.start()
        time.sleep(seconds)
        then()
        stop.set()
        feeder.join()

    def workers(self):
        """pids of the workers."""
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [int(pid) for pid in f.read().split()]

    def kill_everything(self):
        workers = self.workers()
        os.kill(self.process.pid, signal.SIGSTOP)  # it does not replace who dies
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.dead.update(workers)

    def query(self, sql, *args):
        db = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.state, "state.db"), uri=True, timeout=30)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def settled(self):
        return not self.query("SELECT 1 FROM job WHERE state IN (0, 1) LIMIT 1")

    def check_all(self):
        eventually(self.settled, "all jobs end: %s" % Counter(self.query("SELECT state FROM job")), seconds=120)
        events = Counter(r[0] for r in self.query("SELECT subject FROM event WHERE type = 'thing'"))
        equal([k for k in self.told_events if events[k] != 1], [], "acknowledged events that are not there once")
        equal([k for k in events if events[k] != 1], [], "events that are there twice")
        ticks = [r[0] for r in self.query("SELECT subject FROM event WHERE type = 'tick' ORDER BY seq")]
        equal(ticks, ["tick-%d" % (i + 1) for i in range(len(ticks))], "ticks, each once and in order")
        jobs = dict(self.query("SELECT key, state FROM job WHERE key IS NOT NULL"))
        for keys in (self.told_jobs, self.told_parked):
            equal([k for k in keys if jobs.get("a/" + k) != 2], [], "acknowledged jobs that are not done")
        ends = Counter(r[0] for r in self.query("SELECT subject FROM event WHERE type IN ('once.done', 'echo.done')"))
        equal([k for k in self.told_jobs if ends[k] != 1], [], "jobs whose end was not told once")
        with open(os.path.join(self.dir, "did")) as f:
            lines = [line.split() for line in f if line.count(" ") == 2]
        did = Counter(key for what, key, _ in lines if what == "did")
        equal([k for k in did if did[k] != 1], [], "done twice")
        equal([k for k in self.told_jobs if k[0] == "o" and did[k] != 1], [], "not done")
        runs = {}
        for what, key, pid in lines:
            if what == "run" and key[0] == "d":
                runs.setdefault(key, []).append(int(pid))
        twice = [(k, pids) for k, pids in runs.items() if any(pid not in self.dead for pid in pids[:-1])]
        equal(twice, [], "run again although the one who ran it lives")
        db = sqlite3.connect(os.path.join(self.state, "state.db"))
        equal(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        db.close()


@story
def everything_is_killed():
    rounds, random = 200 if SOAK else 2, rng("everything")
    with Crashing() as g:
        for _ in range(rounds):
            g.fed(random.uniform(0.05, 0.5), g.kill_everything)
            g.start()
        g.check_all()
        true(len(g.told_events) > rounds and len(g.told_jobs) > rounds, "something was acknowledged")


@story
def a_worker_is_killed():
    rounds, random = 60 if SOAK else 1, rng("worker")
    with Crashing() as g:
        def kill_one():
            victim = random.choice(g.workers())
            g.dead.add(victim)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: len(g.workers()) == 2 and victim not in g.workers(), "another takes its place")
        for _ in range(rounds):
            g.fed(random.uniform(0.1, 1.0), kill_one)
        g.check_all()


@story
def a_store_that_cannot_be_written():
    """Scoring goes on, durable work is refused with 503 and a reason, and goes on when there is room again."""
    config = CONFIG + '[function "up"]\nscript = up.lua\nparams = s:str\nreturns = str\n'
    g = Gateway(config, {"scripts/up.lua": "return function(s) return s:upper() end\n"}, workers=2)
    g.write("patchbay.ini", g._with_plugins(config))
    with g:
        def ask(path, body, kind="text/plain"):
            c = http.client.HTTPConnection(g.address("http"), timeout=30)
            c.request("POST", path, body=body, headers={"content-type": kind})
            r = c.getresponse()
            text = r.read().decode()
            c.close()
            return r.status, text
        equal(ask("/a/events", "e1 {}\n"), (200, "new=1 "))
        # Another program holds SQLite's write lock: what every disk that does not take writes looks like.
        db = sqlite3.connect(os.path.join(g.state, "state.db"), isolation_level=None, timeout=30)
        db.execute("BEGIN IMMEDIATE")
        status, text = ask("/a/events", "e2 {}\n")
        equal(status, 503, text)
        lacks(text, "state.db")
        g.await_log("the store failed", "state.db")
        equal(json.loads(ask("/functions/up", '{"rows": [["x"]]}', "application/json")[1]), {"rows": [["X"]]})
        db.execute("ROLLBACK")
        db.close()
        eventually(lambda: ask("/a/events", "e2 {}\n") == (200, "new=1 "), "it takes events again")


if __name__ == "__main__":
    main()
