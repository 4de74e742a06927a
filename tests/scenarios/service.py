#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The supervisor as somebody's service: sockets that are handed over, readiness and watchdog, starts that fail, stops."""
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from supervisor import PATCHBAY, PATIENCE, Gateway, attempt, check, sse_connect, sse_greet, until


def free_port():
    """Below those that the kernel gives to others."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def activated(folder):
    """systemd's own tool holds the ports of the two listeners and starts the gateway for the first who comes; nobody is refused,
    before or after. A socket that no listener has is told of."""
    tool = shutil.which("systemd-socket-activate")
    if not tool:
        print("# skipped: systemd-socket-activate is not installed")
        return
    ports = [free_port() for _ in range(3)]
    http_at, sse_at, nobody_at = ["127.0.0.1:%d" % p for p in ports]
    g = Gateway(folder, start=False, http=http_at)
    g.sse_address = sse_at
    g.write()
    with open(g.log_path, "w") as log:
        g.process = subprocess.Popen([tool, "-l", http_at, "-l", sse_at, "-l", nobody_at, "--fdname=http:sse:nobody", PATCHBAY, "run",
                                      "--config", g.ini, "--state", folder, "--workers", "2"], stdout=subprocess.PIPE, stderr=log)
    try:
        until("it listens", lambda: g.log().count("Listening on") == 3)
        g.at = {"http": http_at, "sse": sse_at}
        check(g.call("greet", "kim", 1), (200, "KIM-1"), "a call that starts it")
        check(g.process.stdout.readline().split()[0], b"ready", "what it says")
        with sse_connect(sse_at) as channel:
            sse_greet(channel, 2)
        check("a socket that was handed over is not used" in g.log() and "name=nobody address=" + nobody_at in g.log(), True,
              "a socket for nobody: " + g.log())
        check(g.log().count("is not used"), 1, "it is said once")
        check(g.reload().returncode, 0, "reload")
        check(g.call("greet", "kim", 3), (200, "KIM-3"), "a call after a reload")
        check(g.log().count("is not used"), 1, "it is said once")
        check(g.end(), 0, "exit code: " + g.log())
    finally:
        g.process.kill()
        g.process.wait()


def bound_elsewhere(folder):
    """The configuration says loopback, where nobody has to prove anything, and the socket is open to other machines."""
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        listening.listen()
        g = Gateway(folder, start=False)
        said = subprocess.run([PATCHBAY, "run", "--config", g.ini, "--state", folder, "--workers", "1"], capture_output=True,
                              text=True, env=dict(os.environ, LISTEN_FDS="1", LISTEN_FDNAMES="http"), timeout=PATIENCE,
                              preexec_fn=lambda: os.dup2(listening.fileno(), 3), pass_fds=(3,))
    check((said.returncode, said.stdout), (1, ""), "a start with a socket at another address: " + said.stderr)
    check(re.search(r'^patchbay: .*patchbay.ini:5: address: .*0\.0\.0\.0:\d+, where other machines can reach it', said.stderr, re.M) is not None, True,
          said.stderr)


def stopped_at_a_bad_moment(folder):
    """A stop while a worker is replaced, right after one was killed, and before anybody serves: no call was lost by it, and
    whoever asked (`systemctl stop`) sees no failure."""
    hold = os.path.join(folder, "hold")
    slow = "[connector \"slow\"]\nplugin = crasher\nisolation = none\nheld_by = %s\n" % hold

    def kill_one(g):
        victim = g.workers()[0]["pid"]
        os.kill(int(victim), signal.SIGKILL)
        return victim

    for pause in 0, 0.001, 0.01:
        g = Gateway(folder, more=slow)
        kill_one(g)
        time.sleep(pause)
        check(g.end(), 0, "exit code right after a worker was killed: " + g.log())
    g = Gateway(folder, more=slow)
    with open(hold, "w"):
        pass
    kill_one(g)
    until("another is started", lambda: g.workers("starting"))
    g.process.send_signal(signal.SIGTERM)
    until("it drains", lambda: g.log().count("msg=draining why=SIGTERM") == 4)
    os.remove(hold)
    check(g.process.wait(PATIENCE), 0, "exit code while a worker is replaced: " + g.log())
    with open(hold, "w"):
        pass
    g = Gateway(folder, more=slow, await_ready=False)
    until("one is started", lambda: os.path.exists(os.path.join(folder, "run", "control")) and g.workers("starting"))
    g.process.send_signal(signal.SIGTERM)
    until("it drains", lambda: g.log().count("msg=draining why=SIGTERM") == 5)
    os.remove(hold)
    check((g.process.wait(PATIENCE), g.process.stdout.read()), (0, ""), "exit code before anybody serves: " + g.log())


def a_call_is_lost(folder):
    """Who does not wait hears of it."""
    g = Gateway(folder)
    t = threading.Thread(target=attempt, args=(g, "steady", "hold"))
    t.start()
    until("the call is on its way", lambda: sum(g.connections()) == 1)
    time.sleep(0.2)
    g.process.send_signal(signal.SIGTERM)
    until("it drains", lambda: "msg=draining why=SIGTERM" in g.log())
    check(g.end(), 1, "exit code after a call was lost")
    t.join()


def a_drain_has_an_end(folder):
    """A call that takes longer than `drain` is lost, and that is said and shown."""
    g = Gateway(folder, drain="200ms")
    t = threading.Thread(target=attempt, args=(g, "steady", "hold"))
    t.start()
    until("the call is on its way", lambda: sum(g.connections()) == 1)
    time.sleep(0.1)
    check(g.end(), 1, "exit code after a drain that was too short")
    check('why="the drain limit has passed" calls=1' in g.log(), True, g.log())
    t.join()


def who_keeps_dying_is_started_more_and_more_seldom(folder):
    """Pauses double from 50 ms while no worker of the seat comes up; the other one serves meanwhile."""
    hold = os.path.join(folder, "hold")
    g = Gateway(folder, more="[connector \"slow\"]\nplugin = crasher\nisolation = none\nheld_by = %s\n" % hold)
    with open(hold, "w"):
        pass
    os.kill(int(g.workers()[0]["pid"]), signal.SIGKILL)
    pauses = []
    for _ in range(5):
        pid = int(until("another is started", lambda: g.workers("starting"))[0]["pid"])
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        until("it is gone", lambda: not any(w["pid"] == str(pid) for w in g.workers("starting")))
        until("yet another is started", lambda: g.workers("starting"))
        pauses.append(time.monotonic() - began)
        check(g.call("greet", "kim", 1), (200, "KIM-1"), "a call meanwhile")
    for i, pause in enumerate(pauses):
        check(pause >= 0.05 * 2 ** i, True, f"pauses of {pauses}")
    os.remove(hold)
    until("both serve", lambda: len(g.workers()) == 2)
    check(g.end(), 0, "exit code: " + g.log())


def wrong(folder):
    """A configuration that cannot be read, and one that a worker finds wanting: said once, exit code 1."""
    ini = os.path.join(folder, "wrong.ini")
    for text, part in ("[functoin \"x\"]\n", "did you mean [function]?"), ("[listen \"sse\"]\naddress = 0.0.0.0:0\n", "insecure"):
        with open(ini, "w") as f:
            f.write(text)
        r = subprocess.run([PATCHBAY, "run", "--config", ini, "--state", folder], capture_output=True,
                           text=True, timeout=PATIENCE)
        check((r.returncode, r.stdout, r.stderr.count(part)), (1, "", 1), "a start that fails: " + r.stderr)


def systemd(folder):
    """A socket that somebody else listens on, and somebody who wants to be told."""
    with socket.socket() as listening, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        manager.bind(os.path.join(folder, "notify"))
        manager.settimeout(PATIENCE)
        where = "127.0.0.1:%d" % listening.getsockname()[1]
        said = []

        def listen():  # all the time: the kernel keeps only a few of these
            try:
                while True:
                    said.append(manager.recv(1000).decode())
            except OSError:
                pass

        threading.Thread(target=listen, daemon=True).start()
        g = Gateway(folder, "auto", where, {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http",
                                       "NOTIFY_SOCKET": os.path.join(folder, "notify"), "WATCHDOG_USEC": "400000"},
                    preexec_fn=lambda: os.dup2(listening.fileno(), 3), pass_fds=(3,))
        try:
            check(g.at["http"], where, "the address")
            check(g.call("greet", "kim", 1), (200, "KIM-1"), "a call")
            def hears(word, after=0):
                return until("it says " + word, lambda: next((i + 1 for i, s in enumerate(said) if i >= after and word in s), 0))

            for word in "READY=1", "WATCHDOG=1":
                hears(word)
            check(g.reload().returncode, 0, "reload")
            hears("READY=1", hears("RELOADING=1\nMONOTONIC_USEC="))
            check(g.call("greet", "kim", 1), (200, "KIM-1"), "a call")
            check(g.end(), 0, "exit code")
            hears("STOPPING=1")
        finally:
            g.process.kill()
            g.process.wait()


def main():
    for story in wrong, systemd, activated, bound_elsewhere, stopped_at_a_bad_moment, a_call_is_lost, a_drain_has_an_end, \
            who_keeps_dying_is_started_more_and_more_seldom:
        with tempfile.TemporaryDirectory() as d:
            os.chmod(d, 0o700)
            story(d)


if __name__ == "__main__":
    main()
