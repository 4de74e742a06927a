#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""curl, nghttp, h2load and openssl as clients of the HTTP server, over HTTP/1.1 and HTTP/2, with and without TLS; and floods
of HTTP/2 frames by hand: http_clients.py SERVER"""
import gzip
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import hpack


def run(*args, code=0, data=None):
    p = subprocess.run(args, input=data, capture_output=True, timeout=120)
    assert code is None or p.returncode == code, (args, p.returncode, p.stdout[-2000:], p.stderr[-2000:])
    return p.stdout


def certificates(folder):
    def ssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)
    with open(os.path.join(folder, "ext"), "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    ssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "root_cert.pem", "-subj", "/CN=root", "-days", "2")
    for name, ext in (("sse_server", ["-extfile", "ext"]), ("client", [])):
        ssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", name + "_key.pem", "-out", name + ".csr", "-subj", "/CN=" + name)
        ssl("x509", "-req", "-in", name + ".csr", "-CA", "root_cert.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            name + "_cert.pem", "-days", "2", *ext)


class Case:
    """One way to the server: curl's options and the start of the URL."""

    def __init__(self, name, base, *options):
        self.name, self.base, self.options = name, base, options

    def curl(self, path, *more, code=0, data=None):
        return run("curl", "-sS", "--max-time", "60", *self.options, *more, self.base + path, code=code, data=data)


def ways(port, tls_port, folder):
    tls = ["--cacert", folder + "/root_cert.pem", "--cert", folder + "/client_cert.pem", "--key", folder + "/client_key.pem"]
    plain, secure = "http://127.0.0.1:%d" % port, "https://localhost:%d" % tls_port
    return [Case("1.1", plain, "--http1.1"), Case("1.0", plain, "--http1.0"), Case("h2c", plain, "--http2-prior-knowledge"),
            Case("tls 1.1", secure, "--http1.1", *tls), Case("h2", secure, "--http2", *tls),
            Case("h2 TLS 1.2", secure, "--http2", "--tls-max", "1.2", *tls)]


def curl_all(case):
    version = {"1.0": b"1.0", "1.1": b"1.1", "tls 1.1": b"1.1"}.get(case.name, b"2")
    out = case.curl("/echo?a=b", "-w", "%{http_version} %{response_code}")
    assert out.startswith(b"GET /echo a=b " + case.base.split("//")[1].encode() + b"\n"), (case.name, out)
    # curl tells which version the answer had; to 1.0 we answer as 1.1, as RFC 9110, 6.2 has it.
    assert out.endswith(b" 200") and (version in out or version == b"1.0"), out
    blob = os.urandom(1 << 20)
    assert case.curl("/echo", "--data-binary", "@-", data=blob).endswith(blob), case.name
    assert case.curl("/echo", "--data-binary", "@-", "-H", "Expect: 100-continue", data=b"x" * 5000).endswith(b"x" * 5000)
    if case.name != "1.0":  # it has no chunks
        assert case.curl("/echo", "-T", "-", "-X", "POST", data=b"y" * 300000).endswith(b"y" * 300000), case.name
    assert len(case.curl("/stream")) == 10_000_000
    head = case.curl("/text?5000", "-I").lower()
    assert b"content-length: 5000" in head and b"vary: accept-encoding" in head and b"x-evil" not in head, head
    assert case.curl("/nothing", "-w", "%{response_code}") == b"no such path\n404"
    assert case.curl("/small", "-d", "01234567890", "-o", "/dev/null", "-w", "%{response_code}") == b"413"
    refused = case.curl("/echo", "--data-binary", "@-", "-w", "%{response_code}", data=b"z" * ((1 << 20) + 1), code=None)
    assert refused.endswith(b"413") and b'{"error":{"code":"RESOURCE_EXHAUSTED"' in refused, (case.name, refused[-300:])
    if case.base.startswith("https"):
        assert case.curl("/who") == b"CN=client"


def compression(case):
    for path, size in (("/text?5000", 5000), ("/text?900000", 900000), ("/lines", None)):
        want = case.curl(path)
        assert size is None or len(want) == size
        for ask, undo in (("gzip", gzip.decompress), ("deflate", zlib.decompress), ("br, gzip;q=0.5", gzip.decompress),
                          ("*", gzip.decompress), ("gzip;q=0, *", zlib.decompress)):
            raw = case.curl(path, "-H", "Accept-Encoding: " + ask)
            assert len(raw) < len(want) and undo(raw) == want, (case.name, path, ask, raw[:40])
        for ask in ("identity", "br", "gzip;q=0", "gzip;q=0.000, deflate; q=0", "*;q=0"):
            assert case.curl(path, "-H", "Accept-Encoding: " + ask) == want, ask
        assert case.curl(path, "--compressed") == want
        head = case.curl(path, "-I", "-H", "Accept-Encoding: gzip").lower()
        assert b"content-encoding: gzip" in head, head
    head = case.curl("/text?1000", "-D", "-", "-o", "/dev/null", "-H", "Accept-Encoding: gzip").lower()
    assert b"content-encoding" not in head  # too little to be worth it
    text = b"what comes in\n" * 1000
    for coding, packed in (("gzip", gzip.compress(text)), ("deflate", zlib.compress(text)), ("x-gzip", gzip.compress(text)),
                           ("identity", text)):
        assert case.curl("/plain", "--data-binary", "@-", "-H", "Content-Encoding: " + coding, data=packed) == text
    bomb = gzip.compress(b"\0" * (64 << 20))
    for coding, body, status in (("gzip", bomb, b"413"), ("gzip", b"nonsense", b"400"), ("gzip", gzip.compress(text)[:-9], b"400"),
                                 ("br", text, b"415")):
        got = case.curl("/plain", "--data-binary", "@-", "-H", "Content-Encoding: " + coding, "-o", "/dev/null", "-w",
                        "%{response_code}", data=body)
        assert got == status, (coding, got)


def openssl(tls_port, folder):
    def connect(*args):
        p = subprocess.run(["openssl", "s_client", "-connect", "localhost:%d" % tls_port, "-CAfile", folder + "/root_cert.pem", *args],
                           input=b"", capture_output=True, timeout=60)
        return (p.stdout + p.stderr).decode(errors="replace")
    mine = ["-cert", folder + "/client_cert.pem", "-key", folder + "/client_key.pem"]
    assert "ALPN protocol: h2" in connect("-alpn", "h2,http/1.1", *mine)
    assert "ALPN protocol: http/1.1" in connect("-alpn", "http/1.1", *mine)
    assert "TLSv1.2" in connect("-tls1_2", *mine)
    assert "alert" in connect("-alpn", "spdy/3", *mine)
    assert "alert" in connect("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", *mine)
    assert "ertificate required" in connect("-quiet") or "alert" in connect()


def others(port, tls_port, folder):
    out = run("nghttp", "-n", "-s", "http://127.0.0.1:%d/stream" % port, "http://127.0.0.1:%d/lines" % port)
    assert out.count(b" 200 ") == 2, out
    out = run("nghttp", "-v", "-H", "accept-encoding: gzip", "http://127.0.0.1:%d/text?5000" % port)
    assert b"content-encoding: gzip" in out and b"ENHANCE" not in out
    for args in (["-c4", "-m20", "http://127.0.0.1:%d/echo" % port], ["-c4", "--h1", "http://127.0.0.1:%d/echo" % port],
                 ["-c4", "-m20", "-d", folder + "/ext", "http://127.0.0.1:%d/echo" % port],
                 ["-c2", "-m5", "-w16", "http://127.0.0.1:%d/text?300000" % port]):
        out = run("h2load", "-n400", *args).decode()
        assert "400 succeeded, 0 failed, 0 errored" in out, out
    if shutil.which("wrk"):
        out = run("wrk", "-t1", "-c8", "-d1s", "http://127.0.0.1:%d/echo" % port).decode()
        assert "Non-2xx" not in out and "Socket errors" not in out, out


# ---------------------------------------------------------------------------------------------------- frames by hand

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(path=b"/held", method=b"GET", more=b"", authority=b"a"):
    return text(b":method", method) + text(b":scheme", b"http") + text(b":path", path) + (
        text(b":authority", authority) if authority else b"") + more


class Frames:
    def __init__(self, port, settings=b""):
        self.s = socket.create_connection(("127.0.0.1", port), 60)
        self.got = b""
        self.send(PREFACE + frame(4, 0, 0, settings))

    def send(self, data):
        try:
            self.s.sendall(data)
        except OSError:
            pass

    def read(self):
        """The next frame: (kind, flags, stream, payload), or None at the end."""
        while True:
            if len(self.got) >= 9:
                n = int.from_bytes(self.got[:3], "big")
                if len(self.got) >= 9 + n:
                    kind, flags, stream = struct.unpack(">BBI", self.got[3:9])
                    payload, self.got = self.got[9:9 + n], self.got[9 + n:]
                    return kind, flags, stream, payload
            try:
                more = self.s.recv(65536)
            except OSError:
                return None
            if not more:
                return None
            self.got += more

    def until(self, *kinds):
        while f := self.read():
            if f[0] in kinds:
                return f
        return None

    def ends(self):
        """GOAWAY's code when the server ends the connection."""
        code = None
        while f := self.read():
            if f[0] == 7:
                code = struct.unpack(">I", f[3][4:8])[0]
        self.s.close()
        return code


def status_of(payload):
    return int(dict(hpack.Decoder().decode(payload))[":status"])


def ask(port, block, end=True, body=None):
    f = Frames(port)
    f.send(frame(1, 4 | (1 if end else 0), 1, block))
    if body is not None:
        f.send(frame(0, 1, 1, body))
    got = f.until(1, 3, 7)
    f.s.close()
    return got and (status_of(got[3]) if got[0] == 1 else "reset" if got[0] == 3 else "goaway")


def by_hand(port):
    assert ask(port, request(b"/nothing")) == 404
    # What HTTP/1 would call smuggling, nghttp2 or we refuse.
    for block in (request(b"nothing"), request(authority=b""), request(more=text(b"host", b"b")), request(b"/a b"),
                  request(method=b"CONNECT")):
        assert ask(port, block) in (400, "reset"), block
    for more in (text(b"connection", b"close"), text(b"transfer-encoding", b"chunked"), text(b"Upper", b"x"), text(b"a", b"b\r\nc: d"),
                 text(b"content-length", b"1") + text(b"content-length", b"2"), text(b":path", b"/x"), text(b"host", b"a") * 2):
        assert ask(port, request(b"/nothing", more=more)) in (400, "reset", "goaway"), more
    assert ask(port, request(b"/echo", b"POST", text(b"content-length", b"5")), False, b"four") == "reset"
    assert ask(port, request(b"/echo", more=text(b"content-type", b"application/grpc"))) == 200
    assert ask(port, request(b"/echo", more=text(b"x", b"y" * 100) * 150)) == 431
    # Many streams at once: beyond the limit they are refused, the others are served.
    f = Frames(port)
    for i in range(40):
        f.send(frame(1, 5, 2 * i + 1, request(b"/never")))
    refused = f.until(3)
    assert refused and struct.unpack(">I", refused[3])[0] == 7, refused
    f.s.close()
    # Rapid reset (CVE-2023-44487), CONTINUATION without end (CVE-2024-27316), SETTINGS and PING floods: the connection ends.
    f = Frames(port)
    for i in range(20000):
        f.send(frame(1, 5, 2 * i + 1, request(b"/never")) + frame(3, 0, 2 * i + 1, struct.pack(">I", 8)))
    assert f.ends() is not None
    f = Frames(port)
    f.send(frame(1, 1, 1, request(b"/never")))
    for i in range(3000):
        f.send(frame(9, 0, 1, text(b"x%d" % i, b"y" * 100)))
    assert f.ends() in (None, 1, 2, 11)
    f = Frames(port)
    for i in range(300000 // 100):
        f.send((frame(4, 0, 0) + frame(6, 0, 0, b"12345678")) * 100)
    f.s.close()
    # A client that takes nothing: its window is 0, so its request is answered and waits; others are not held up.
    f = Frames(port, struct.pack(">HI", 4, 0))
    f.send(frame(1, 5, 1, request(b"/text?300000")))
    assert ask(port, request(b"/nothing")) == 404
    f.s.close()
    # A header block that is not completed: nobody else waits for it.
    f = Frames(port)
    f.send(frame(1, 1, 1, request(b"/nothing")))
    assert ask(port, request(b"/nothing")) == 404
    f.s.close()
    # Byte by byte, preface included; a preface that turns out not to be one.
    whole = PREFACE + frame(4, 0, 0) + frame(1, 5, 1, request(b"/nothing"))
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(whole)):
            s.sendall(whole[i:i + 1])
        got = b""
        while b"no such path" not in got:
            got += s.recv(4096)
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.sendall(b"P")
        s.sendall(b"OST /echo HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        got = b""
        while more := s.recv(4096):
            got += more
        assert got.endswith(b"hi"), got


def times(program):
    """What HTTP/2 clients may not take their time for; nothing here is in a hurry."""
    p = subprocess.Popen([program, "500"], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
    try:
        port = int(p.stdout.readline())
        f = Frames(port)
        assert f.ends() == 0  # idle
        f = Frames(port)
        f.send(frame(1, 1, 1, request(b"/nothing")))
        f.ends()  # a header block
        f = Frames(port)
        f.send(frame(1, 4, 1, request(b"/echo", b"POST")))
        got = f.until(1)
        assert status_of(got[3]) == 408, got
        f.s.close()
        f = Frames(port, struct.pack(">HI", 4, 0))
        f.send(frame(1, 5, 1, request(b"/text?300000")))
        assert f.until(3)  # output that is not taken
        f.s.close()
    finally:
        p.kill()
        p.wait()


def main():
    for tool in ("curl", "nghttp", "h2load", "openssl"):
        assert shutil.which(tool), tool + " is not installed: .ci/deps test"
    with tempfile.TemporaryDirectory() as folder:
        certificates(folder)
        p = subprocess.Popen([sys.argv[1], "60000", folder], stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE)
        import threading
        log = []
        threading.Thread(target=lambda: log.extend(p.stderr), daemon=True).start()
        try:
            port, tls_port = map(int, p.stdout.readline().split())
            cases = ways(port, tls_port, folder)
            rested, since = Frames(port), time.monotonic()
            rested.send(frame(1, 5, 1, request(b"/text?300000")))
            rested.until(0)
            for case in cases:
                curl_all(case)
            for case in cases:
                if case.name in ("1.1", "h2"):
                    compression(case)
            openssl(tls_port, folder)
            others(port, tls_port, folder)
            by_hand(port)
            # A connection that has rested, and given its buffers back, goes on as before.
            time.sleep(max(0, since + 5.5 - time.monotonic()))
            rested.send(frame(1, 5, 3, request(b"/nothing")))
            assert rested.until(1)
            rested.s.close()
            # A drain lets a request in flight be answered, over HTTP/2 too.
            f = Frames(port)
            f.send(frame(1, 5, 1, request(b"/held")))
            f.send(frame(1, 5, 3, request(b"/holding")))
            assert f.until(1)[2] == 3
            p.send_signal(signal.SIGTERM)
            assert f.until(1)[2] == 1
            assert f.ends() == 0
            assert p.wait(60) == 0, "".join(log[-20:])
        except BaseException:
            print("".join(log[-30:]))
            raise
        finally:
            p.kill()
            p.wait()
    assert not re.search("Sanitizer|runtime error", "".join(log)), "".join(log)
    times(sys.argv[1])


main()
