#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Connectors in processes of their own: whatever a plugin does to its process, its own calls fail with a reason, all others
succeed, and it is started again.

SOAK: the plugin that crashes with every tenth call for a minute.
"""
import concurrent.futures
import http.client
import json
import os
import re
import signal
import threading
import time

from lib.gateway import PROGRAM, SSE, Folder, Gateway, has_sanitizer
from lib.sse import CODE, client
from lib.story import SOAK, contains, equal, eventually, lacks, main, story, true

PLUGINS = os.environ["SCENARIO_PLUGINS"]
EXAMPLES = os.environ["PATCHBAY_PLUGINS"]
HEAD = SSE + """
[listen "http"]
address = 127.0.0.1:0
[listen "admin"]
address = 127.0.0.1:0
[plugins]
dir = %s, %s
""" % (PLUGINS, EXAMPLES)


def part(name, more="", operation="echo", plugin="breaker", function=""):
    return """
[connector "%s"]
plugin = %s
%s
[function "%s"]
connector = %s
operation = %s
params = word:str
returns = str
attempts = 1
%s
""" % (name, plugin, more, name.capitalize(), name, operation, function)


CONFIG = HEAD + part("bad") + part("calm") + part("plain", plugin="echo")
# A crash is to look like one, also in a build whose sanitizer would catch it.
ENV = {"ASAN_OPTIONS": "detect_leaks=1:handle_segv=0"}


def processes(g, connector=None):
    """pids of the connectors' processes, by what stands in their command lines."""
    found = []
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().decode().split("\0")
            with open("/proc/%s/stat" % pid) as f:
                dead = f.read().rsplit(")", 1)[1].split()[0] == "Z"
            if len(words) > 4 and words[1] == "plugin-host" and not dead and descends(int(pid), g.process.pid):
                if connector in (None, words[2]):
                    found.append(int(pid))
        except (OSError, ValueError):
            continue
    return found


def descends(pid, ancestor):
    while pid > 1:
        if pid == ancestor:
            return True
        with open("/proc/%d/stat" % pid) as f:
            pid = int(f.read().rsplit(")", 1)[1].split()[1])
    return False


def proc(pid, name):
    with open("/proc/%d/%s" % (pid, name)) as f:
        return f.read()


def descriptors(pid):
    """What its descriptors are open to."""
    where = "/proc/%d/fd/" % pid
    return [os.readlink(where + fd) for fd in os.listdir(where)]


def ask(g, function, *words):
    """(status, answer or message)"""
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    try:
        c.request("POST", "/functions/" + function, body=json.dumps({"rows": [[w] for w in words]}),
                  headers={"content-type": "application/json"})
        r = c.getresponse()
        text = json.loads(r.read().decode())
        return r.status, [row[0] for row in text["rows"]] if r.status == 200 else text
    finally:
        c.close()


def well(g, function):
    equal(ask(g, function, "a", "b"), (200, ["a", "b"]), "a call of " + function)


def again(g, function):
    eventually(lambda: ask(g, function, "x") == (200, ["x"]), "%s answers again" % function)


def page(g, path):
    c = http.client.HTTPConnection(g.address("admin"), timeout=60)
    with open(os.path.join(g.state, "admin.token")) as f:
        c.request("GET", path, headers={"authorization": "Bearer " + f.read().strip()})
    text = c.getresponse().read().decode()
    c.close()
    return text


def metric(g, name):
    return sum(float(v) for v in re.findall(r"^%s (\S+)$" % re.escape(name), page(g, "/metrics"), re.M))


def fails(answer, *parts):
    equal(answer[0], 503, answer)
    contains(json.dumps(answer[1]).replace('\\"', '"'), "UNAVAILABLE", *parts)


@story
def each_in_its_own():
    with Gateway(CONFIG + part("inside", "isolation = none"), env=ENV) as g:
        for name in ("Bad", "Calm", "Plain", "Inside"):
            well(g, name)
        for name in ("bad", "calm", "plain"):
            true(processes(g, name), "a process of " + name)
        equal(processes(g, "inside"), [], "processes of a connector that has none")
        plain = processes(g, "plain")[0]
        contains(proc(plain, "maps"), "/echo.so")
        lacks(proc(g.process.pid, "maps"), "/echo.so")
        # What a plugin in the worker leaves open is not for processes that are started afterwards.
        equal(ask(g, "Inside", "leak"), (200, ["leak"]))
        true("/dev/zero" in descriptors(g.process.pid), "it is open")
        os.kill(plain, signal.SIGKILL)
        again(g, "Plain")
        equal([d for d in descriptors(processes(g, "plain")[0]) if d == "/dev/zero"], [])
        gone = processes(g)
        g.stop()
        eventually(lambda: not [p for p in gone if os.path.exists("/proc/%d" % p)], "all processes have ended")


@story
def it_breaks_in_every_way():
    ways = [("crash", "signal 11 (Segmentation fault), in submit of \"Bad\""),
            ("exit", "ended itself with status 3, in submit of \"Bad\""),
            ("late", "signal 11 (Segmentation fault), in timer"),
            ("close", "was ended"),
            ("unplug", "was ended because it closed its socket")]
    with Gateway(CONFIG, env=ENV) as g:
        for n, (word, why) in enumerate(ways):
            fails(ask(g, "Bad", word), 'connector "bad"', why)
            well(g, "Calm")
            again(g, "Bad")
        ends = metric(g, 'patchbay_connector_process_ends_total{connector="bad",plugin="breaker"}')
        equal(ends, len(ways), "ends that are counted")
        equal(metric(g, 'patchbay_connector_process_ends_total{connector="calm",plugin="breaker"}'), 0)
        true(metric(g, 'patchbay_breaker_rows_total{connector="calm"}') >= 2 * len(ways), "its own metric")


@story
def from_outside():
    with Gateway(CONFIG, env=ENV) as g, concurrent.futures.ThreadPoolExecutor(4) as pool:
        held = [pool.submit(ask, g, "Bad", "hold") for _ in range(3)]
        other = pool.submit(ask, g, "Calm", "hold")
        eventually(lambda: metric(g, 'patchbay_connector_in_flight{connector="bad",plugin="breaker"}') == 3, "calls are there")
        for pid in processes(g, "bad"):
            os.kill(pid, signal.SIGKILL)
        for h in held:
            fails(h.result(), "signal 9 (Killed)", 'call of "Bad"')
        equal(other.result(), (200, ["hold"]), "the other connector's call")
        again(g, "Bad")


@story
def it_hangs():
    with Gateway(HEAD + part("bad", "process_hang = 400ms") + part("calm"), env=ENV) as g:
        fails(ask(g, "Bad", "hang"), "did not answer for 400 ms", "in submit of")
        well(g, "Calm")
        again(g, "Bad")


@story
def it_is_slow():
    """Calls that wait for one another longer than process_hang, of which each gets on, are no hang."""
    with Gateway(HEAD + part("bad", "process_hang = 2s", function="in_flight = 64"), env=ENV) as g, \
            concurrent.futures.ThreadPoolExecutor(24) as pool:
        for answer in [pool.submit(ask, g, "Bad", "slow") for _ in range(24)]:
            equal(answer.result(), (200, ["slow"]))


@story
def it_leaves_a_child():
    """Which has the socket, too: the end of the process is seen all the same."""
    with Gateway(HEAD + part("bad", "process_hang = 400ms"), env=ENV) as g:
        fails(ask(g, "Bad", "fork"), "signal 11 (Segmentation fault), in submit of")
        again(g, "Bad")


@story
def limits():
    more = "process_files = 64\nprocess_cpu = 1s\n" + ("" if has_sanitizer() else "process_memory = 256M\n")
    with Gateway(HEAD + part("bad", more) + part("calm"), env=ENV) as g:
        status, rows = ask(g, "Bad", "files")
        equal(status, 200, rows)
        true(0 < int(rows[0]) < 64, "descriptors: %s" % rows)
        # Only who may raise it again may lower the hard limit, and the soft one is raised once a minute.
        cpu = [re.search("Max cpu time +(\\S+) +(\\S+)", proc(pid, "limits")).groups() for pid in (g.process.pid, processes(g, "bad")[0])]
        equal(cpu[1], ("1", cpu[0][1]), "soft and hard limit of CPU time")
        fails(ask(g, "Bad", "spin"), "used more than process_cpu = 1 s")
        again(g, "Bad")
        if not has_sanitizer():
            fails(ask(g, "Bad", "crash"), "signal 11 (Segmentation fault), in submit of")
            again(g, "Bad")
            fails(ask(g, "Bad", "memory"), "process_memory = 256 MiB")
            again(g, "Bad")
        well(g, "Calm")


@story
def it_does_not_come_up():
    for what, said in (("create = crash", "signal 11 (Segmentation fault), in create"), ("create = exit", "status 3"),
                       ("create = hang\nprocess_hang = 300ms", "did not answer create within 300 ms"),
                       ("create = refuse", "it would rather not")):
        with Folder(HEAD + part("bad", what) + part("calm")) as f:
            p = f.check(code=1, env=ENV)
            contains(p.err, 'connector "bad"', said)
    with Gateway(HEAD + part("bad", "start = refuse") + part("calm"), env=ENV) as g:
        well(g, "Calm")
        contains(json.dumps(ask(g, "Bad", "a")[1]), "it would rather not")
        g.await_log("a connector did not start", "it would rather not")
        # What did not start is not started by its process's end either.
        for pid in processes(g, "bad"):
            os.kill(pid, signal.SIGKILL)
            g.await_log("a connector's process ended early")
        contains(json.dumps(ask(g, "Bad", "a")[1]), "it would rather not")
        equal(processes(g, "bad"), [])


@story
def it_comes_up_later():
    """A gateway starts without the one that crashes or hangs on its way up, and has it as soon as it comes."""
    for step in ("create", "bind", "start"):
        for how, said in (("crash", "signal 11"), ("hang\nprocess_hang = 300ms", "did not answer %s within 300 ms" % step)):
            with Gateway(HEAD + part("bad", "%s = %s\nmended = @DIR@/mended" % (step, how)) + part("calm"), env=ENV) as g:
                well(g, "Calm")
                eventually(lambda g=g, said=said: said in json.dumps(ask(g, "Bad", "a")[1]), "it says " + said)
                contains(page(g, "/readyz"), "bad", "its process")
                g.write("mended", "")
                again(g, "Bad")
                well(g, "Calm")


@story
def a_reload_is_not_patient():
    """Who serves goes on serving: a new configuration takes over when it is whole."""
    with Gateway(HEAD + part("calm"), env=ENV, workers=2) as g:
        g.reconfigure(HEAD + part("calm") + part("bad", "create = crash"))
        contains(g.run("reload", "--state", g.state, code=1).err, "bad", "signal 11")
        well(g, "Calm")
        g.reconfigure(HEAD + part("calm") + part("bad"))
        g.run("reload", "--state", g.state)
        well(g, "Bad")


@story
def what_an_operator_sees():
    with Gateway(CONFIG, env=ENV, workers=0) as g:
        equal(page(g, "/readyz"), "ready\n")
        equal(ask(g, "Bad", "unwell"), (200, ["unwell"]))
        eventually(lambda: "it feels unwell" in page(g, "/"), "the page says how it is")
        ask(g, "Bad", "well")
        for _ in range(4):
            ask(g, "Bad", "crash")
        eventually(lambda: "signal 11" in page(g, "/"), "the page says how it ended")
        contains(page(g, "/readyz"), "bad", "signal 11")
        again(g, "Bad")
        equal(page(g, "/readyz"), "ready\n")


@story
def reloads_leave_nothing():
    with Gateway(CONFIG, env=ENV, workers=2) as g:
        before = processes(g)
        equal(len(before), 6, "three connectors in two workers")
        g.run("reload", "--state", g.state)
        eventually(lambda: len(processes(g)) == 6 and not set(before) & set(processes(g)), "the processes of the new generation alone")
        well(g, "Bad")
        with open("/proc/%d/stat" % processes(g)[0]) as f:
            worker = int(f.read().rsplit(")", 1)[1].split()[1])
        mine = [p for p in processes(g) if descends(p, worker)]
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: not [p for p in mine if os.path.exists("/proc/%d" % p)], "they end with their worker")
        eventually(lambda: len(processes(g)) == 6, "and are there again with the next")


@story
def every_tenth_call():
    """Under 64 streams of calls all of the other connector's succeed, and none of theirs drops a connection."""
    with Gateway(CONFIG + part("tenth", operation="tenth"), env=ENV, workers=2) as g:
        with client(g) as c:
            ids = c.ids()
        end = time.monotonic() + (60 if SOAK else 4)
        lock, counts = threading.Lock(), {"good": 0, "bad": 0, "calm": 0}

        def caller(n):
            with client(g) as c:
                while time.monotonic() < end:
                    mine = n % 4 == 0
                    r = c.call(ids["Tenth" if mine else "Calm"], ["r%d" % n, "s"])
                    if mine and r.code != CODE.OK:
                        equal(r.code, CODE.UNAVAILABLE, r.details)
                        contains(r.details, 'connector "tenth"')
                        time.sleep(0.05)
                    else:
                        equal(r.ok().texts(), ["r%d" % n, "s"], "rows")
                    with lock:
                        counts["bad" if r.code != CODE.OK else "good" if mine else "calm"] += 1

        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            for f in [pool.submit(caller, n) for n in range(64)]:
                f.result()
        print("# %s" % counts)
        true(counts["good"] and counts["bad"] and counts["calm"] > 64, counts)
        true(metric(g, 'patchbay_connector_process_ends_total{connector="tenth",plugin="breaker"}') >= 1, "crashes")
        equal(metric(g, 'patchbay_connector_failed_total{connector="calm",plugin="breaker"}'), 0, "calls that failed beside it")
        lacks(g.log(), "a worker ended")


if __name__ == "__main__":
    main()
