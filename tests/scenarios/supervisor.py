#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The supervisor and its workers: connections spread, a worker killed, reloads under load, a drain, a plugin that crashes."""
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

try:
    import grpc
except ImportError:
    sys.exit(77)

PATCHBAY = os.environ["PATCHBAY"]
PLUGINS = os.environ["SCENARIO_PLUGINS"]
RELOADS = int(os.environ.get("RELOADS", "4"))
PATIENCE = 60  # for what takes a fraction of a second on a machine that has nothing else to do

INI = """
[listen "sse"]
address = {sse}
[listen "http"]
address = {http}
[store]
url = sqlite:{dir}/state.db
[plugins]
dir = {plugins}
[scripts]
dir = {dir}/scripts
[limits]
drain = {drain}
[function "greet"]
id = 7
script = functions/greet.lua
params = name:str, n:int
returns = str
[connector "bad"]
plugin = crasher
isolation = none
[connector "calm"]
plugin = crasher
isolation = none
[function "shaky"]
connector = bad
operation = echo
params = word:str
returns = str
[connector "narrow"]
plugin = crasher
isolation = none
[function "single"]
connector = narrow
operation = echo
params = word:str
returns = str
in_flight = 1
[function "short"]
connector = narrow
operation = echo
params = word:str
returns = str
in_flight = 1
queue = 1
[function "steady"]
connector = calm
operation = echo
params = word:str
returns = str
"""
GREET = 'return function(name, n) return name:upper() .. "-" .. n end\n'


def check(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


def until(what, fn):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        got = fn()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


class Gateway:
    def __init__(self, folder, workers=2, http="127.0.0.1:0", env=None, more="", start=True, await_ready=True, drain="20s", **options):
        self.folder, self.http_address, self.sse_address, self.drain = folder, http, "127.0.0.1:0", drain
        self.ini = os.path.join(folder, "patchbay.ini")
        os.makedirs(os.path.join(folder, "scripts", "functions"), exist_ok=True)
        with open(os.path.join(folder, "scripts", "functions", "greet.lua"), "w") as f:
            f.write(GREET)
        self.write(more)
        self.log_path = os.path.join(folder, "log")
        if not start:
            return
        self.process = subprocess.Popen(
            [PATCHBAY, "run", "--config", self.ini, "--state", folder, "--workers", str(workers)],
            stdout=subprocess.PIPE, stderr=open(self.log_path, "a"), text=True, env=dict(os.environ, **(env or {})), **options)
        if not await_ready:
            return
        ready = self.process.stdout.readline().split()
        if not ready:
            raise AssertionError("it did not start: " + self.log())
        self.at = dict(p.split("=", 1) for p in ready[1:])

    def write(self, more=""):
        with open(self.ini, "w") as f:
            f.write(INI.format(dir=self.folder, plugins=PLUGINS, http=self.http_address, sse=self.sse_address, drain=self.drain) + more)

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def ask(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.folder, "run", "control"))
            s.sendall(line.encode() + b"\n")
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()

    def workers(self, state="serving"):
        rows = [dict(f.split("=", 1) for f in line.split()) for line in self.ask("status").splitlines()
                if line.startswith("worker=")]
        return [r for r in rows if r["state"] == state]

    def replaced(self, victim):
        now = [w["pid"] for w in self.workers()]
        return len(now) == 2 and victim not in now

    def connections(self):
        return sorted(int(w["connections"]) for w in self.workers())

    def reload(self):
        return subprocess.run([PATCHBAY, "reload", "--state", self.folder], capture_output=True, text=True, timeout=PATIENCE)

    def connect(self):
        host, port = self.at["http"].rsplit(":", 1)
        return http.client.HTTPConnection(host, int(port), timeout=PATIENCE)

    def call(self, function, *row, on=None):
        c = on or self.connect()
        c.request("POST", "/functions/" + function, json.dumps({"rows": [list(row)]}), {"content-type": "application/json"})
        r = c.getresponse()
        text = r.read().decode()
        if not on:
            c.close()
        return r.status, json.loads(text)["rows"][0][0] if r.status == 200 else text

    def end(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        return self.process.wait(PATIENCE)


class Load:
    """Callers, each on a connection of its own, until stopped. fn(connection, i) makes a call or raises."""

    def __init__(self, n, connect, fn):
        self.stop, self.calls, self.errors = False, [0] * n, [[] for _ in range(n)]
        self.threads = [threading.Thread(target=self.run, args=(i, connect, fn)) for i in range(n)]
        for t in self.threads:
            t.start()
        until("every caller has called", lambda: all(self.calls))

    def run(self, i, connect, fn):
        c = connect()
        while not self.stop:
            try:
                fn(c, self.calls[i])
                self.calls[i] += 1
            except Exception as e:
                self.errors[i].append(repr(e))
                if len(self.errors[i]) > 5:
                    return
                c.close()
                c = connect()
        c.close()

    def more(self):
        before = list(self.calls)
        until("every caller goes on", lambda: all(a > b for a, b in zip(self.calls, before)))

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()
        return self.errors


# ------------------------------------------------------------------------------------------------ Qlik's protocol, by hand


def field(number, payload):
    return bytes([number << 3 | 2]) + bytes([len(payload)]) + payload


def dual(num=None, text=None):
    return field(1, (b"\x09" + struct.pack("<d", num) if num is not None else b"") +
                 (field(2, text.encode()) if text is not None else b""))


def sse_connect(address):
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def sse_greet(channel, i):
    bundle = field(1, dual(text="kim") + dual(num=i))
    fn = channel.stream_stream("/qlik.sse.Connector/ExecuteFunction")
    answers = list(fn(iter([bundle]), metadata=[("qlik-functionrequestheader-bin", b"\x08\x07")], timeout=PATIENCE))
    wanted = f"KIM-{i}".encode()
    if wanted not in b"".join(answers):
        raise AssertionError(f"{answers!r} instead of {wanted!r}")


# ------------------------------------------------------------------------------------------------ the stories


def spread(g):
    held = [g.connect() for _ in range(10)]
    for c in held:
        check(g.call("greet", "kim", 1, on=c), (200, "KIM-1"), "a call")
    check(g.connections(), [5, 5], "ten connections over two workers")
    for c in held:
        c.close()
    until("all are gone", lambda: g.connections() == [0, 0])


def kill(g):
    def call(c, i):
        status, answer = g.call("greet", "kim", i, on=c)
        if (status, answer) != (200, f"KIM-{i}"):
            raise AssertionError(f"{status} {answer}")

    load = Load(8, g.connect, call)
    check(g.connections(), [4, 4], "eight connections over two workers")
    victim = g.workers()[0]["pid"]
    began = time.monotonic()
    os.kill(int(victim), signal.SIGKILL)
    until("another worker serves", lambda: g.replaced(victim))
    print(f"a worker was replaced in {time.monotonic() - began:.3f} s")
    load.more()
    errors = load.end()
    # Who connects again at once may be handed to the dying worker, and is given to another when it is gone.
    check(sorted(map(len, errors)), [0] * 4 + [1] * 4, f"callers that saw an error, of {errors}")
    until("all are gone", lambda: g.connections() == [0, 0])


def limit(g):
    """in_flight is for all workers together: a call that holds its place half a second keeps the others waiting."""
    held = [g.connect() for _ in range(4)]
    for c in held:
        check(g.call("greet", "kim", 1, on=c), (200, "KIM-1"), "a call")
    check(g.connections(), [2, 2], "four connections over two workers")
    answers = []
    callers = [threading.Thread(target=lambda c=c: answers.append(g.call("single", "hold", on=c))) for c in held]
    began = time.monotonic()
    for t in callers:
        t.start()
    for t in callers:
        t.join()
    took = time.monotonic() - began
    check(answers, [(200, "hold")] * 4, "calls that wait for each other")
    check(took >= 2, True, f"four times half a second, one after the other: {took:.2f} s")
    for c in held:
        c.close()
    until("all are gone", lambda: g.connections() == [0, 0])
    # Who dies gives back what it held.
    threads = [threading.Thread(target=lambda: answers.append(attempt(g, "single", "hold"))) for _ in range(2)]
    for t in threads:
        t.start()
    until("both are called", lambda: sum(g.connections()) == 2)
    time.sleep(0.1)
    for w in g.workers():
        os.kill(int(w["pid"]), signal.SIGKILL)
    for t in threads:
        t.join()
    until("others serve", lambda: len(g.workers()) == 2)
    check(g.call("single", "free"), (200, "free"), "a place after its holder died")


def queue(g):
    """Who would wait behind as many as may wait is told at once, whichever worker he is at."""
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(g.call("short", "hold"))) for _ in range(16)]
    for t in callers:
        t.start()
    for t in callers:
        t.join()
    good = [a for a in answers if a == (200, "hold")]
    full = [a for a in answers if a[0] == 429 and "wait for a place" in a[1]]
    check(len(good) + len(full), 16, f"answers: {answers}")
    check(bool(good and full), True, f"some are served and some are told: {answers}")
    check(g.call("short", "free"), (200, "free"), "a call when nobody waits")


def attempt(g, *args):
    try:
        return g.call(*args)
    except (OSError, http.client.HTTPException) as e:
        return repr(e)


def reload(g):
    load = Load(4, lambda: sse_connect(g.at["sse"]), sse_greet)
    for i in range(RELOADS):
        r = g.reload()
        check((r.returncode, r.stderr), (0, ""), "reload")
        load.more()
    g.process.send_signal(signal.SIGHUP)
    until("SIGHUP reloads", lambda: g.ask("status").startswith(f"generation={RELOADS + 2} "))
    load.more()
    check(load.end(), [[]] * 4, "calls during reloads")
    print(f"{sum(load.calls)} calls over {RELOADS + 1} reloads")
    until("the old workers are gone", lambda: not g.workers("leaving"))


def changed_functions(g):
    """The next GetCapabilities shows them, and a line says that Qlik has to ask."""
    g.reload()
    check("functions changed" in g.log(), False, "a line although nothing changed")
    g.write("[function \"more\"]\nscript = functions/greet.lua\nparams = name:str, n:int\nreturns = str\n")
    check(g.reload().returncode, 0, "reload")
    check("Qlik has to read them again" in g.log(), True, "the line for Qlik")
    with sse_connect(g.at["sse"]) as channel:
        caps = channel.unary_unary("/qlik.sse.Connector/GetCapabilities")(b"", timeout=PATIENCE)
    check(b"more" in caps, True, "the new function")
    g.write()
    check(g.reload().returncode, 0, "reload")


def bad_reload(g):
    g.write("[functoin \"x\"]\n")
    r = g.reload()
    check((r.returncode, "did you mean [function]?" in r.stderr), (1, True), "a reload with a typo: " + r.stderr)
    victim = g.workers()[0]["pid"]
    os.kill(int(victim), signal.SIGKILL)
    until("a worker is replaced although the file is wrong", lambda: g.replaced(victim))
    before = sorted(w["pid"] for w in g.workers())
    g.write("[connector \"worse\"]\nplugin = crasher\nisolation = none\nlate = yes\n")
    r = g.reload()
    check((r.returncode, 'connector "worse" (start)' in r.stderr), (1, True), "a reload that crashes: " + r.stderr)
    check(sorted(w["pid"] for w in g.workers()), before, "who serves")
    g.write("[listen \"http\"]\naddress = 127.0.0.1:0\n")
    check(g.reload().returncode, 1, "a reload with two listeners of a name")
    check(g.call("greet", "kim", 1), (200, "KIM-1"), "a call after reloads that failed")
    g.write()


def crash(g):
    words = ["crash", "exit", "crash"]
    for n, word in enumerate(words, 1):
        try:
            status, answer = g.call("shaky", word)
            raise AssertionError(f"a call that crashes was answered {status} {answer}")
        except (http.client.HTTPException, ConnectionError):
            pass
        until("a crash is told", lambda: len(re.findall(
            'msg="a worker crashed" .*connector=bad in=submit function=shaky', g.log())) == n)
        until("another worker serves", lambda: len(g.workers()) == 2)
        if n == 1:  # a reload that fails forgives nothing
            g.write("[connector \"worse\"]\nplugin = crasher\nisolation = none\nlate = yes\n")
            check(g.reload().returncode, 1, "a reload that crashes")
            g.write()
    until("the connector is out", lambda: "out connector=bad" in g.ask("status"))
    for _ in range(4):  # both workers
        status, answer = g.call("shaky", "fine")
        check((status, "it crashed 3 times" in answer), (503, True), "a function of a connector that is out: " + answer)
        check(g.call("steady", "fine"), (200, "fine"), "the same plugin under another name")
    check(g.reload().returncode, 0, "reload")
    check(g.call("shaky", "fine"), (200, "fine"), "after a reload it gets another chance")


def drain(g):
    answers = []
    t = threading.Thread(target=lambda: answers.append(g.call("steady", "hold")))
    t.start()
    until("the call is on its way", lambda: sum(g.connections()) == 1)
    time.sleep(0.2)
    check(g.end(), 0, "exit code after a drain")
    t.join()
    check(answers, [(200, "hold")], "a call that was in flight")
    check(os.path.exists(os.path.join(g.folder, "run", "control")), False, "the control socket")


def main():
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o700)
        g = Gateway(d)
        try:
            for story in spread, kill, limit, queue, reload, changed_functions, bad_reload, crash, drain:
                story(g)
        except BaseException:
            sys.stderr.writelines(line for line in g.log().splitlines(True) if "msg=call " not in line)
            raise
        finally:
            g.process.kill()
            g.process.wait()


if __name__ == "__main__":
    main()
