#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Python's http.client, and bytes by hand, as clients of the HTTP server: http_peer.py SERVER"""
import http.client
import os
import signal
import socket
import subprocess
import sys
import time


def by_hand(port, *pieces, pause=0.0):
    """Send the pieces; everything that comes back until the server closes."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), 60) as k:
        try:
            for piece in pieces:
                k.sendall(piece)
                time.sleep(pause)
            while True:
                more = k.recv(65536)
                if not more:
                    return got
                got += more
        except ConnectionError:
            return got


def wait_for(what):
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def check(port):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(method, path, body=None, headers={}, **more):
        c.request(method, path, body, headers, **more)
        r = c.getresponse()
        return r, r.read()

    r, body = ask("GET", "/echo?a=b")
    assert r.status == 200 and body == b"GET /echo a=b 127.0.0.1:%d\n" % port, body
    assert r.getheader("X-Good") == "yes" and r.getheader("X-Evil") is None and r.getheader("X-Split") is None
    assert r.getheader("Date").endswith(" GMT")
    blob = os.urandom(1 << 20)
    r, body = ask("POST", "/echo", blob)
    assert body.endswith(blob)
    rested = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    since = time.monotonic()
    rested.request("POST", "/echo", blob)
    rested.getresponse().read()
    r, body = ask("POST", "/echo", iter([b"abc", b"def" * 1000]), encode_chunked=True,
                  headers={"Transfer-Encoding": "chunked"})
    assert body.endswith(b"abc" + b"def" * 1000)
    r, body = ask("HEAD", "/echo")
    assert r.status == 200 and body == b"" and int(r.getheader("Content-Length")) > 10
    r, body = ask("GET", "/nothing")
    assert r.status == 404 and body == b"no such path\n"
    r, body = ask("GET", "/stream")
    assert len(body) == 10_000_000
    sock = c.sock
    r, body = ask("GET", "/later")
    assert body == b"later\n" and c.sock is sock  # all of it over one connection

    # Sent ahead, answered in order.
    got = by_hand(port, b"GET /later HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nhi"
                        b"GET /nothing HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n")
    assert [got.find(x) >= 0 for x in (b"later\n", b"POST /echo  b\nhi", b"no such path")] == [True] * 3, got
    assert got.find(b"later\n") < got.find(b"POST /echo") < got.find(b"no such path")
    assert got.count(b"HTTP/1.1 ") == 3 and got.count(b"Connection: close") == 1
    # Byte by byte.
    wire = b"POST /echo HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    assert by_hand(port, *[wire[i:i + 1] for i in range(len(wire))], pause=0.001).endswith(b"hi")
    got = by_hand(port, b"POST /echo HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
                        b"Connection: close\r\n\r\n", b"hi", pause=0.1)
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") and got.endswith(b"hi"), got
    got = by_hand(port, b"GET /stream HTTP/1.0\r\n\r\n")
    assert got.endswith(b"b" * 1000) and b"chunked" not in got and len(got) > 10_000_000

    # Refusals, and the connection ends.
    for bad, status in ((b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\nHost: a\n\n", 400), (b"nonsense\r\n\r\n", 400),
                        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505), (b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                        (b"GET /" + b"a" * 9000, 414),
                        (b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413),
                        (b"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n", 413),
                        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413)):
        got = by_hand(port, bad)
        assert got.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close" in got, (bad[:60], got)
    assert by_hand(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc") == b""

    # A client that leaves.
    k = socket.create_connection(("127.0.0.1", port), 60)
    r, body = ask("GET", "/gone")
    before = body
    k.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
    k.close()
    wait_for(lambda: ask("GET", "/gone")[1] != before)
    with socket.create_connection(("127.0.0.1", port), 60) as k:
        k.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert k.recv(100)
    # One that has rested, and given its buffers back, goes on as before.
    time.sleep(max(0, since + 5.5 - time.monotonic()))
    sock = rested.sock
    rested.request("POST", "/echo", blob)
    assert rested.getresponse().read().endswith(blob) and rested.sock is sock
    rested.close()
    return c


class Server:
    """One whose phases may take so many ms."""

    def __init__(self, ms):
        self.process = subprocess.Popen([sys.argv[1], str(ms)], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def check_times(port):
    """What does not come in time; nothing here is in a hurry."""
    for bad in (b"GET / HTTP/1.1\r\nHo", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"):
        got = by_hand(port, bad)
        assert got.startswith(b"HTTP/1.1 408 ") and b"Connection: close" in got, (bad[:60], got)
    # An idle connection is closed.
    with socket.create_connection(("127.0.0.1", port), 60) as k:
        k.sendall(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        while k.recv(4096):
            pass
    # One that does not read what it asked for is given up.
    with socket.create_connection(("127.0.0.1", port), 60) as k:
        k.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        k.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: by_hand(port, b"GET /gone HTTP/1.0\r\n\r\n").endswith(b"1\n"))


def main():
    with Server(500) as hasty:
        check_times(hasty.port)
    with Server(60000) as server:
        check(server.port).close()
        # Drain: what is being answered is answered.
        with socket.create_connection(("127.0.0.1", server.port), 60) as k:
            k.sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: by_hand(server.port, b"GET /holding HTTP/1.0\r\n\r\n").endswith(b"1\n"))
            server.process.send_signal(signal.SIGTERM)
            got = b""
            while more := k.recv(4096):
                got += more
            assert got.endswith(b"held\n") and b"Connection: close" in got, got
        assert server.process.wait(30) == 0


main()
