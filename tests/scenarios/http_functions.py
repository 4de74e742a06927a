# SPDX-License-Identifier: MIT
"""Functions over plain HTTP, with curl."""
import gzip
import json
import socket
import subprocess

from lib.gateway import SSE, Gateway
from lib.story import contains, equal, main, rng, story, true

CONFIG = SSE + """
[listen "http"]
address = 127.0.0.1:0
[function "join"]
script = functions/join.lua
params = a:str, b:num
returns = str
[function "sum"]
script = functions/sum.lua
params = n:num
returns = num
[function "table"]
script = functions/table.lua
params = n:num
[function "fails"]
script = functions/fails.lua
params = n:num
"""
FILES = {
    "scripts/functions/join.lua": "return function(a, b) return a .. '/' .. tostring(b) end\n",
    "scripts/functions/sum.lua": "return { init = function() return 0 end, step = function(s, n) return s + n end,"
                                 " final = function(s) return s end }\n",
    "scripts/functions/table.lua": "return { columns = { 'i:num', 's:str' }, step = function(emit, n)"
                                   " for i = 1, n do emit(i, 'x' .. i) end end }\n",
    "scripts/functions/fails.lua": "return function(n) error('not this one') end\n",
}


def curl(g, path, body=None, *args):
    """Status, headers as curl prints them, body."""
    data = [] if body is None else ["--data-binary", "@-", "-H", "Content-Type: application/json"]
    p = subprocess.run(["curl", "-sS", "-i", "--max-time", "60", *data, *args, "http://%s%s" % (g.address("http"), path)],
                       input=body if isinstance(body, bytes) or body is None else json.dumps(body).encode(),
                       capture_output=True)
    true(p.returncode == 0, p.stderr.decode())
    head, _, rest = p.stdout.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, rest = rest.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), rest


def rows(answer):
    status, _, body = answer
    equal(status, 200, body)
    return json.loads(body)["rows"]


@story
def rows_in_and_out():
    with Gateway(CONFIG, FILES) as g:
        equal(rows(curl(g, "/functions/join", {"rows": [["a", 1], ["é\U0001f600\"\\\n", 2.5]]})),
              [["a/1.0"], ["é\U0001f600\"\\\n/2.5"]])
        equal(rows(curl(g, "/functions/join", {"rows": [{"b": 1, "a": "x"}, {"a": "y", "b": 2}]})), [["x/1.0"], ["y/2.0"]])
        equal(rows(curl(g, "/functions/sum", {"rows": [[1], [2], [3.5]]})), [[6.5]])
        equal(rows(curl(g, "/functions/table", {"rows": [[2], [1]]})), [[1, "x1"], [2, "x2"], [1, "x1"]])
        equal(rows(curl(g, "/functions/join", {"rows": []})), [])
        status, _, text = curl(g, "/functions/join", {"rows": [{"a": "x", "b": 1}, {"a": "y", "bb": 2}]})
        equal(status, 400)
        contains(text.decode(), "row 2", "bb", "there are: a, b")
        many = [["r%d" % i, i] for i in range(20000)]
        equal(rows(curl(g, "/functions/join", {"rows": many})), [["r%d/%.1f" % (i, i)] for i in range(20000)])
        listing = json.loads(curl(g, "/functions")[2])
        contains(json.dumps(listing), "join", "table")


@story
def bad_requests_are_told_what_is_wrong():
    with Gateway(CONFIG, FILES) as g:
        for body, part in ((b"", ""), (b"no json", ""), (b'{"rows": [["a", 1]', ""), (b'{"rows": 5}', ""),
                           (b'{"rows": [["a"]]}', ""), (b'{"rows": [["a", 1, 2]]}', ""), (b'{"rows": [["a", "x"]]}', ""),
(b"[" * 100000, ""), (b'{"rows": [["\xff", 1]]}', ""),
                           (b'{"rows": [["a", 1]]} trailing', "")):
            status, head, text = curl(g, "/functions/join", body)
            equal(status, 400, (body[:40], text))
            contains(head.lower(), "content-type: application/json")
            true(json.loads(text), text)
            contains(text.decode(), part)
        equal(curl(g, "/functions/nope", {"rows": []})[0], 404)
        contains(curl(g, "/functions/joim", {"rows": []})[2].decode(), "joim")
        equal(curl(g, "/nothing/here", {"rows": []})[0], 404)
        equal(curl(g, "/functions/join", None, "-X", "DELETE")[0], 405)
        status, _, text = curl(g, "/functions/fails", {"rows": [[1]]})
        true(400 <= status < 600, status)
        contains(text.decode(), "not this one")
        equal(curl(g, "/functions/join", b'{"rows": [["a", 1]]}', "-H", "Content-Type: text/plain")[0] in (200, 415), True)
        equal(rows(curl(g, "/functions/join", {"rows": [["a", 1]]})), [["a/1.0"]])


@story
def compressed_both_ways_and_over_http2():
    with Gateway(CONFIG, FILES) as g:
        many = json.dumps({"rows": [["r%d" % i, i] for i in range(20000)]}).encode()
        want = [["r%d/%.1f" % (i, i)] for i in range(20000)]
        gz = ("-H", "Content-Encoding: gzip")
        for version in ("--http1.1", "--http2-prior-knowledge"):
            equal(rows(curl(g, "/functions/join", many, version)), want)
            equal(rows(curl(g, "/functions/join", gzip.compress(many), version, *gz, "--compressed")), want)
            status, head, _ = curl(g, "/functions/join", many, version, "--compressed")
            equal(status, 200)
            contains(head.lower(), "content-encoding: gzip", "vary: accept-encoding")
            equal(curl(g, "/functions/join", b"no gzip", version, *gz)[0], 400)
            equal(curl(g, "/functions/join", many, version, "-H", "Content-Encoding: br")[0], 415)
            equal(curl(g, "/functions/nope", {"rows": []}, version)[0], 404)
    with Gateway(CONFIG + "[limits]\nmax_body = 64k\n", FILES) as g:
        equal(curl(g, "/functions/join", gzip.compress(b" " * 10_000_000), "-H", "Content-Encoding: gzip")[0], 413)


@story
def bodies_are_bounded():
    with Gateway(CONFIG + "[limits]\nmax_body = 64k\n", FILES) as g:
        big = {"rows": [["x" * 1000, 1]] * 100}
        equal(curl(g, "/functions/join", big)[0], 413)
        equal(curl(g, "/functions/join", big, "-H", "Transfer-Encoding: chunked")[0], 413)
        equal(rows(curl(g, "/functions/join", {"rows": [["a", 1]]})), [["a/1.0"]])


@story
def chunked_kept_alive_and_pipelined():
    with Gateway(CONFIG, FILES) as g:
        equal(rows(curl(g, "/functions/join", {"rows": [["c", 1]]}, "-H", "Transfer-Encoding: chunked")), [["c/1.0"]])
        body = b'{"rows": [["k", 1]]}'
        request = b"POST /functions/join HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n" \
                  b"Content-Length: %d\r\n\r\n" % (g.address("http").encode(), len(body)) + body
        with socket.create_connection(("127.0.0.1", g.port("http"))) as s:
            s.settimeout(60)
            s.sendall(request * 5)
            got = b""
            while got.count(b'"k/1.0"') < 5:
                more = s.recv(65536)
                true(more, got)
                got += more
            for b in (request + request)[:len(request)]:
                s.sendall(bytes([b]))
            while got.count(b'"k/1.0"') < 6:
                more = s.recv(65536)
                true(more, got)
                got += more


@story
def what_is_not_http():
    r = rng("http")
    with Gateway(CONFIG, FILES) as g:
        for data in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9, b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n",
                     b"GET /\r\n\r\n", b"POST /functions/join HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200000 + b"\r\n\r\n",
                     *(r.randbytes(100) for _ in range(50))):
            with socket.create_connection(("127.0.0.1", g.port("http"))) as s:
                s.settimeout(30)
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    answer = b""
                    while more := s.recv(65536):
                        answer += more
                except ConnectionError:
                    answer = b""
                true(b" 200 " not in answer[:20], data[:60], answer[:60])
        equal(rows(curl(g, "/functions/join", {"rows": [["a", 1]]})), [["a/1.0"]])


if __name__ == "__main__":
    main()
