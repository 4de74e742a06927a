# SPDX-License-Identifier: MIT
"""Many who want little and many who want no good: idle connections, clients that never finish a request, garbage. Others
are served as if they were not there. Full counts and limits with PATCHBAY_SOAK=1; otherwise few, and nothing is timed."""
import multiprocessing
import os
import random
import resource
import socket
import ssl
import tempfile
import time

from lib.certs import Certificates
from lib.gateway import Gateway, has_sanitizer
from lib.story import SOAK, equal, eventually, main, rng, story, true

CONFIG = """[listen "http"]
address = 127.0.0.1:0
[listen "sse"]
address = 127.0.0.1:0
[limits]
connections = 16000
peer_connections = 0
idle_timeout = 1h
[log]
level = warn
"""
TLS = """[listen "http"]
address = 127.0.0.1:0
tls_dir = @DIR@/server
[limits]
connections = 16000
peer_connections = 0
idle_timeout = 1h
[log]
level = warn
"""
IDLE = 10000 if SOAK else 200
LORIS = 1000 if SOAK else 40
CALLS = 4000 if SOAK else 100
H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def many_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def family(pid):
    """The process and its children: supervisor and workers."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [pid] + [p for child in f.read().split() for p in family(int(child))]


def resident(g):
    """KiB of memory that are each process's own, of all of them."""
    total = 0
    for pid in family(g.process.pid):
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("Private"))
    return total


class Caller:
    """Asks over one kept-alive connection."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 60)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = b"GET /functions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port

    def ask(self):
        start = time.perf_counter()
        self.s.sendall(self.request)
        got = self.s.recv(65536)
        true(got.startswith(b"HTTP/1.1 200 "), got[:200])
        return time.perf_counter() - start


def p99(port, n):
    c = Caller(port)
    for _ in range(20):
        c.ask()
    times = sorted(c.ask() for _ in range(n))
    return times[len(times) * 99 // 100] * 1000


ROUNDS = 7 if SOAK else 1


def compare(what, quiet, loud):
    """p99 of a moment says little on a machine that does other things: the median of several, of quiet and loud ones in turn."""
    quiet, loud = (sorted(times)[len(times) // 2] for times in (quiet, loud))
    print("%s: p99 of others %.2f ms, quiet %.2f ms, %.1f times" % (what, loud, quiet, loud / quiet))
    if SOAK:
        true(loud <= 2 * quiet + 0.25, "%s: p99 of others went from %.2f to %.2f ms" % (what, quiet, loud))


def hold(g, n, greeting=b"", context=None, answer=False):
    out = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", g.port("http")), 60)
        if context:
            s = context.wrap_socket(s, server_hostname="localhost")
        if greeting:
            s.sendall(greeting)
        if answer:
            s.recv(4096)
        out.append(s)
    return out


@story
def idle_connections_cost_little():
    many_files()
    with Gateway(CONFIG) as g:
        for s in hold(g, 50):
            s.close()
        p99(g.port("http"), 50)
        quiet = [p99(g.port("http"), CALLS) for _ in range(ROUNDS)]
        before = resident(g)
        held = hold(g, IDLE // 2) + hold(g, IDLE - IDLE // 2, Caller(g.port("http")).request, answer=True)
        Caller(g.port("http")).ask()
        each = (resident(g) - before) / IDLE
        compare("%d idle connections" % IDLE, quiet, [p99(g.port("http"), CALLS) for _ in range(ROUNDS)])
        print("an idle connection costs %.1f KiB (HTTP/1.1, half of them after a request)" % each)
        if SOAK and not has_sanitizer():
            true(each < 10, "an idle connection costs %.1f KiB" % each)
        for s in held:
            s.close()
        before = resident(g)
        held = hold(g, IDLE // 5, H2, answer=True)
        print("an idle HTTP/2 connection costs %.1f KiB" % ((resident(g) - before) / len(held)))
        for s in held:
            s.close()
    with tempfile.TemporaryDirectory() as folder:
        tls_too(Certificates(folder))


def tls_too(certs):
    """Reported only."""
    files = {"server/" + name: certs.read(os.path.join("server", name)) for name in os.listdir(certs.server)}
    context = ssl.create_default_context(cafile=certs.root_cert)
    context.load_cert_chain(os.path.join(certs.client, "sse_client_cert.pem"), os.path.join(certs.client, "sse_client_key.pem"))
    with Gateway(TLS, files) as g:
        for s in hold(g, 5, context=context):
            s.close()
        before = resident(g)
        held = hold(g, IDLE // 10, context=context)
        print("an idle TLS connection costs %.1f KiB" % ((resident(g) - before) / len(held)))
        for s in held:
            s.close()


def slow_loris(port, n, ready, stop):
    """Clients that send a header's byte now and then, and come again when they are sent away."""
    socks = []
    while not stop.is_set():
        while len(socks) < n:
            s = socket.create_connection(("127.0.0.1", port), 60)
            s.setblocking(False)
            s.send(b"GET /functions HTTP/1.1\r\nHost: a\r\nX-A: ")
            socks.append(s)
        ready.set()
        for s in list(socks):
            try:
                s.send(b"a")
            except OSError:
                s.close()
                socks.remove(s)
        stop.wait(0.5)


flood = multiprocessing.Value("i", 0)  # connections with garbage


def garbage(port, seed, ready, stop):
    r = random.Random(seed)
    beginnings = [b"", b"GET / HTTP/1.1\r\n", H2, H2 + b"\0\0\x10\1\5\0\0\0\1", b"\x16\x03\x01", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"]
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.sendall(r.choice(beginnings) + r.randbytes(r.randrange(1, 2000)))
                with flood.get_lock():
                    flood.value += 1
                if r.random() < 0.5:
                    s.recv(100)
        except OSError:
            pass
        ready.set()
        time.sleep(0.001)


rates = []  # of floods, a second


def elsewhere(fn, *args):
    """Who disturbs would be on another machine: here he takes less of the processor than those who are measured."""
    os.nice(5)
    fn(*args)


def disturbed(what, port, *workers):
    ready, stop = [multiprocessing.Event() for _ in workers], multiprocessing.Event()
    ps = [multiprocessing.Process(target=elsewhere, args=(fn, *args, r, stop), daemon=True) for (fn, *args), r in zip(workers, ready)]
    for p in ps:
        p.start()
    for r in ready:
        true(r.wait(120), what)
    before, began = flood.value, time.monotonic()
    loud = p99(port, CALLS)
    rates.append((flood.value - before) / (time.monotonic() - began))
    stop.set()
    for p in ps:
        p.join(60)
    return loud


@story
def who_connects_too_often_is_sent_away():
    """Others, and what he has open already, are not."""
    with Gateway(CONFIG.replace("[limits]", "[limits]\nconnect_rate = 1\nconnect_burst = 5")) as g:
        kept, closed = Caller(g.port("http")), 0
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", g.port("http")), 30) as s:
                try:
                    s.sendall(kept.request)
                    closed += s.recv(100) == b""
                except OSError:
                    closed += 1
        true(closed >= 10, "%d of 20 were sent away" % closed)
        kept.ask()
        g.await_log("connection refused", "connect_rate")


@story
def those_who_want_no_good_do_not_disturb():
    many_files()
    with Gateway(CONFIG.replace("idle_timeout", "head_timeout = 2s\nidle_timeout")) as g:
        port = g.port("http")
        for what, *workers in (("%d clients that never finish a request" % LORIS, (slow_loris, port, LORIS)),
                               ("a flood of garbage", *((garbage, port, rng(i).random()) for i in range(2)))):
            times = [(p99(port, CALLS), disturbed(what, port, *workers)) for _ in range(ROUNDS)]
            compare(what, *zip(*times))
        print("garbage came over %.0f connections a second" % sorted(rates)[-1 - ROUNDS // 2])
        sse = g.port("sse")
        disturbed("garbage on the gRPC port", port, (garbage, sse, rng().random()))
        g.alive()
        equal(Caller(port).ask() < 60, True)
        eventually(lambda: len(family(g.process.pid)) >= 1, "the gateway")


main()
