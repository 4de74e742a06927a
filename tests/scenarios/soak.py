# SPDX-License-Identifier: MIT
"""Left running: workers killed under load, reloads under load, a client across a restart. The full counts: make soak."""
import collections
import http.client
import os
import random
import re
import signal
import socket
import sqlite3
import threading
import time


from lib.gateway import Gateway
from lib.sse import CODE, Client, common
from lib.story import SOAK, equal, eventually, main, story, true

PLUGINS = os.environ["SCENARIO_PLUGINS"]
KILLS = 60 if SOAK else 5
RELOADS = 50 if SOAK else 3
CHANNELS, CALLS = 8, 8  # 64 calls in flight

CONFIG = """
[listen "sse"]
address = 127.0.0.1:%d
[plugins]
dir = """ + PLUGINS + """
[connector "calm"]
plugin = crasher
[function "steady"]
id = 1
connector = calm
operation = echo
params = word:str
returns = str
in_flight = 1000
"""


JOBS = """
[listen "http"]
address = 127.0.0.1:0
[jobs]
backoff = 20ms
lease = 1s
attempts = 100
[connector "a"]
plugin = actor
log = @DIR@/did
"""


class Jobs:
    """Durable jobs, `rate` a second or as many as can be had, and what became of those that were acknowledged."""

    def __init__(self, gateway, rate=1000, threads=8):
        self.g, self.stop, self.told, self.pause = gateway, threading.Event(), set(), threads / rate
        self.rate = rate
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, i):
        c, n = None, 0
        while not self.stop.is_set():
            due, key = time.monotonic() + self.pause, "d%d-%d" % (i, n)
            n += 1
            try:
                c = c or http.client.HTTPConnection(self.g.address("http"), timeout=10)
                c.request("POST", "/a/enqueue", 'echo %s {"delay": "%dms"}' % (key, n % 10))
                if " known=0 id=" in c.getresponse().read().decode():
                    self.told.add(key)
            except (OSError, http.client.HTTPException):
                c = None
            time.sleep(max(0, due - time.monotonic()))

    def query(self, sql):
        db = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.g.state, "state.db"), uri=True, timeout=30)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def end(self, killed):
        """All that were acknowledged are done, and no job was run again while the one who ran it lived."""
        self.stop.set()
        for t in self.threads:
            t.join(30)
        took = time.monotonic() - self.began
        eventually(lambda: not self.query("SELECT 1 FROM job WHERE state IN (0, 1) LIMIT 1"), "all jobs end", 120)
        states = dict(self.query("SELECT key, state FROM job WHERE key IS NOT NULL"))
        equal([k for k in self.told if states.get("a/" + k) != 2], [], "acknowledged jobs that are not done")
        runs = collections.defaultdict(list)
        with open(os.path.join(self.g.dir, "did")) as f:
            for what, key, pid in (line.split() for line in f if line.count(" ") == 2):
                if what == "run":
                    runs[key].append(pid)
        equal([(k, pids) for k, pids in runs.items() if any(pid not in killed for pid in pids[:-1])], [],
              "run again although the one who ran it lives")
        print("# %d durable jobs acknowledged, %.0f a second of %d wanted, each done" % (
            len(self.told), len(self.told) / took, self.rate), flush=True)


class Callers:
    """CHANNELS connections, CALLS calls at a time on each, until stopped. What came back: (when, code) by channel."""

    def __init__(self, address, words):
        self.stop, self.words = threading.Event(), words
        self.done = collections.defaultdict(list)
        self.channels = [Client(address) for _ in range(CHANNELS)]
        self.threads = [threading.Thread(target=self.run, args=(i, k), daemon=True)
                        for i in range(CHANNELS) for k in range(CALLS)]
        for t in self.threads:
            t.start()
        eventually(lambda: all(len(self.done[i]) >= CALLS for i in range(CHANNELS)), "every channel has been answered", 60)

    def run(self, i, k):
        n = 0
        while not self.stop.is_set():
            n += 1
            rows = ["%s-%d-%d-%d" % (word, i, k, n) if word != "hold" else word for word in self.words]
            r = self.channels[i].call(1, rows, header=common(user="caller-%d" % i), timeout=60)
            if r.code == CODE.OK and r.texts() != rows:
                self.done[i].append((time.monotonic(), "answered %r instead of %r" % (r.texts(), rows)))
                return
            self.done[i].append((time.monotonic(), r.code))
            if r.code != CODE.OK:
                time.sleep(0.02)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(90)
            true(not t.is_alive(), "a call has neither an answer nor an error")
        for c in self.channels:
            c.close()
        return self.done


@story
def workers_are_killed():
    """The other workers' calls all succeed, the dead one's fail cleanly, a new one serves; no job is lost or run by two."""
    with Gateway(CONFIG % 0 + JOBS, workers=2) as g:
        callers, jobs = Callers(g.address(), ["hold", "b", "c"]), Jobs(g)
        killed = {}
        for n in range(KILLS):
            began = time.monotonic()
            pids = sorted(set(re.findall(r"msg=ready worker=\d+ pid=(\d+)", g.log())) - set(killed))
            victim = random.choice(pids)
            killed[victim] = time.monotonic()
            os.kill(int(victim), signal.SIGKILL)
            eventually(lambda: len(g.log_lines("a worker was replaced")) == n + 1, "another worker serves", 60)
            time.sleep(max(0, 1 - (time.monotonic() - began)))
        done = callers.end()
        jobs.end(killed)
        replaced = [float(re.search(r" ms=([0-9.]+)", line)[1]) for line in g.log_lines("a worker was replaced")]
        served = collections.defaultdict(set)  # channel: who has answered it
        for line in g.log_lines("msg=call", "status=OK"):
            served[int(re.search(r"caller-(\d+)", line)[1])].add(re.search(r" pid=(\d+)", line)[1])
        good = bad = 0
        for i, outcomes in done.items():
            for _, code in outcomes:
                true(code in (CODE.OK, CODE.UNAVAILABLE, CODE.CANCELLED, CODE.INTERNAL, CODE.UNKNOWN), "channel %d: %s" % (i, code))
            failed = sum(code != CODE.OK for _, code in outcomes)
            good, bad = good + len(outcomes) - failed, bad + failed
            # What was in flight on a connection to one that was killed, and nothing else.
            lost = len(served[i] & set(killed))
            true(failed <= CALLS * (lost + 1), "channel %d: %d calls failed, %d of its workers were killed" % (i, failed, lost))
            if not lost:
                equal(failed, 0, "failed calls of channel %d, whose worker nobody killed" % i)
        print("# %d workers killed: %d calls answered, %d failed; replaced within %.0f ms, at most %.0f" % (
            KILLS, good, bad, sorted(replaced)[len(replaced) // 2], max(replaced)), flush=True)
        if SOAK:
            true(max(replaced) < 1000, "a worker was replaced after %.0f ms" % max(replaced))
        g.stop()
        g.run("check", "--store", "--config", g.config, "--state", g.state)
        g.start()


@story
def reloads_under_load():
    """No failed call, however often."""
    with Gateway(CONFIG % 0, workers=2) as g:
        callers = Callers(g.address(), ["a", "b"])
        for n in range(RELOADS):
            g.run("reload", "--state", g.state)
            if n % 10 == 9:
                eventually(lambda: len(g.log_lines("msg=stopped")) >= 2 * (n - 4), "old workers end", 90)
        done = callers.end()
        wrong = [(i, code) for i, outcomes in done.items() for _, code in outcomes if code != CODE.OK]
        equal(wrong, [], "calls that failed")
        print("# %d reloads, %d calls" % (RELOADS, sum(map(len, done.values()))), flush=True)


@story
def a_client_across_a_restart():
    """With the port held open, as systemd does for a .socket unit, who reconnects meanwhile is not refused: no client waits
    the 20 s that an engine may wait after a refusal."""
    with socket.socket() as held, Gateway(CONFIG % 0, workers=2) as g:
        g.stop()
        held.bind(("127.0.0.1", 0))
        held.listen(64)
        g.hand_over(held, "sse")
        g.reconfigure(CONFIG % held.getsockname()[1])
        g.start()
        callers = Callers(g.address(), ["a"])
        time.sleep(0.3)
        down = time.monotonic()
        g.stop()
        g.start()
        up = time.monotonic()
        eventually(lambda: all(any(at > up and code == CODE.OK for at, code in callers.done[i]) for i in range(CHANNELS)),
                   "every client is served again", 60)
        done = callers.end()
        for i, outcomes in done.items():
            first = min(at for at, code in outcomes if at > up and code == CODE.OK)
            true(first - up < 20, "client %d was without for %.1f s" % (i, first - up))
            for at, code in outcomes:
                true(code == CODE.OK or at > down, "a call failed before anything was stopped: %s" % code)
        print("# stopped and started in %.1f s" % (up - down), flush=True)


main()
