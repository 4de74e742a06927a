# SPDX-License-Identifier: MIT
"""What comes by mistake or by malice: other protocols, slow and silent clients, garbage."""
import os
import socket
import ssl
import struct
import time

from lib.gateway import SSE, Gateway
from lib.h2raw import PREFACE, RawH2, prefixed
from lib.sse import SERVICE, bundle, client
from lib.story import SOAK, contains, equal, eventually, main, rng, story, true

CONFIG = SSE + """
[function "f"]
id = 1
script = functions/f.lua
params = a:str
returns = str
"""
FILES = {"scripts/functions/f.lua": "return function(a) return a end\n"}
EXECUTE = SERVICE + "ExecuteFunction"
HEADER = [("qlik-functionrequestheader-bin", "CAE=")]


def talk(port, data, seconds=30):
    """Sends bytes; returns what came back until the other side closed."""
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(seconds)
        s.sendall(data)
        out = b""
        try:
            while more := s.recv(65536):
                out += more
        except ConnectionResetError:
            pass
        return out


def alive(c):
    equal(c.call(1, ["alive"]).ok().texts(), ["alive"])


@story
def http1_on_the_sse_port():
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /functions/f HTTP/1.1\r\nHost: x\r\n\r\n{}"):
            answer = talk(g.port(), request)
            true(answer == b"" or b"HTTP/" in answer, answer)
        line = g.await_log("level=warn")[0]
        contains(line, "HTTP/1")
        alive(c)
        true(len(g.log_lines("level=warn")) <= 2, "more than a line for one thing", g.log())


@story
def tls_on_the_cleartext_port():
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection(("127.0.0.1", g.port()), 30) as s:
                context.wrap_socket(s)
            raise AssertionError("a cleartext port shook hands")
        except (ssl.SSLError, ConnectionError):
            pass
        contains(g.await_log("level=warn")[0], "TLS")
        alive(c)


@story
def any_bytes_at_all():
    r = rng("bytes")
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        alive(c)  # from here on it is connected, whatever comes from the same address
        fds = g.descriptors()
        for i in range(3000 if SOAK else 200):
            data = r.randbytes(r.randrange(1, 300))
            if i % 3 == 0:
                data = PREFACE + data
            elif i % 3 == 1:  # frames of any type with any content
                data = PREFACE + struct.pack(">HBBBI", 0, 0, 4, 0, 0)
                for _ in range(5):
                    body = r.randbytes(r.randrange(0, 60))
                    data += struct.pack(">I", len(body))[1:] + bytes([r.randrange(0, 12), r.randrange(256)]) + \
                        struct.pack(">I", r.randrange(8)) + body
            with socket.create_connection(("127.0.0.1", g.port())) as s:
                try:
                    s.sendall(data)
                except ConnectionError:
                    pass
        alive(c)
        eventually(lambda: g.descriptors() <= fds + 2, "the descriptors to be given back", 60)


@story
def garbage_messages_in_good_frames():
    r = rng("messages")
    good = bundle(["a", "b" * 50, "ü"] * 5).SerializeToString()
    with Gateway(CONFIG, FILES) as g, client(g) as c, RawH2(g.port()) as h:
        for _ in range(3000 if SOAK else 300):
            data = bytearray(good)
            for _ in range(r.randrange(1, 6)):
                kind = r.randrange(3)
                if kind == 0:
                    data[r.randrange(len(data))] = r.randrange(256)
                elif kind == 1:
                    del data[r.randrange(len(data)):]
                else:
                    data += r.randbytes(r.randrange(20))
                if not data:
                    break
            sid = h.open(h.headers(EXECUTE, HEADER))
            h.data(sid, prefixed(bytes(data)), end=True)
            true(h.finish(sid).status in (0, 3), bytes(data), h.streams[sid].trailers)
        for wire, what in ((struct.pack(">BI", 0, 0xffffffff), "4 GiB"), (b"\0\0\0", "half a prefix"),
                           (struct.pack(">BI", 0, 10) + b"x", "a message cut off")):
            sid = h.open(h.headers(EXECUTE, HEADER))
            h.data(sid, wire, end=True)
            s = h.finish(sid)
            true(s.status > 0, what, s.trailers)
        alive(c)


@story
def silent_and_slow_clients_cost_nobody_else():
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        silent = [socket.create_connection(("127.0.0.1", g.port())) for _ in range(50)]
        half = RawH2(g.port())
        sid = half.open(half.headers(EXECUTE, HEADER))
        wire = prefixed(bundle(["drip"]).SerializeToString())
        half.data(sid, wire[:3])
        stuck = RawH2(g.port(), settings={4: 0})  # it gives no window for answers
        stuck_id = stuck.open(stuck.headers(EXECUTE, HEADER))
        stuck.data(stuck_id, prefixed(bundle(["x" * 100] * 100).SerializeToString()), end=True)
        for i in range(20):
            alive(c)
            half.data(sid, wire[3 + i:4 + i]) if 3 + i < len(wire) - 1 else None
        half.data(sid, wire[max(3 + 20, 3):] if 23 < len(wire) else wire[len(wire) - 1:], end=True)
        equal(half.finish(sid).status, 0)
        for s in silent:
            s.close()
        half.close()
        stuck.close()
        alive(c)


@story
def answers_that_nobody_takes_are_bounded():
    """A client that sends and sends and never reads: its windows close, the gateway's memory does not grow."""
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        h = RawH2(g.port(), settings={4: 0})
        h.sock.settimeout(3)
        sid = h.open(h.headers(EXECUTE, HEADER))
        wire = prefixed(bundle(["x" * 1000] * 900).SerializeToString())
        before, sent = g.status("VmRSS"), 0
        window = 65535
        try:
            while sent < 200 << 20:
                while window < len(wire):  # waits for what the gateway gives back
                    f = h.read_frame()
                    if f is None:
                        raise ConnectionError
                    if type(f).__name__ == "WindowUpdateFrame" and f.stream_id == sid:
                        window += f.window_increment
                    elif type(f).__name__ == "SettingsFrame" and 4 in f.settings:
                        window += f.settings[4] - 65535
                h.data(sid, wire)
                window -= len(wire)
                sent += len(wire)
        except (TimeoutError, socket.timeout):
            pass
        true(sent < 60 << 20, "it took %d MiB without being rid of any" % (sent >> 20))
        grown = g.status("VmRSS") - before
        true(grown < 96 * 1024, "%d KiB of memory for %d KiB that came" % (grown, sent >> 10))
        h.close()
        alive(c)


@story
def pings_resets_and_settings_in_floods():
    from hyperframe.frame import PingFrame, SettingsFrame
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        for kind in ("ping", "settings", "reset", "empty data"):
            h = RawH2(g.port())
            rss = g.status("VmRSS")
            try:
                sid = h.open(h.headers(EXECUTE, HEADER)) if kind == "empty data" else 0
                for _ in range(20000 if SOAK else 3000):
                    if kind == "ping":
                        h.frame(PingFrame(0, opaque_data=os.urandom(8)))
                    elif kind == "settings":
                        h.frame(SettingsFrame(0, settings={3: 100}))
                    elif kind == "reset":
                        h.reset(h.open(h.headers(EXECUTE, HEADER)))
                    else:
                        h.data(sid, b"")
            except (ConnectionError, BrokenPipeError):
                pass
            h.close()
            alive(c)
            true(g.status("VmRSS") - rss < 64 * 1024, kind, g.status("VmRSS") - rss)


@story
def half_open_connections_end():
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        alive(c)
        fds = g.descriptors()
        for _ in range(30):
            s = socket.create_connection(("127.0.0.1", g.port()))
            s.sendall(PREFACE[:10])
            s.shutdown(socket.SHUT_WR)  # and never reads or closes
            time.sleep(0.001)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        eventually(lambda: g.descriptors() <= fds, "the descriptors to be given back")
        alive(c)


if __name__ == "__main__":
    main()
