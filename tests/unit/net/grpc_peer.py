#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""grpcio as the client of the gRPC server: grpc_peer.py SERVER [TEST...]"""
import concurrent.futures
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import grpc

SERVER = sys.argv[1]
RAW = dict(request_serializer=lambda b: b, response_deserializer=lambda b: b)
BIG = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
       ("grpc.max_metadata_size", 1 << 20)]


class Server:
    def __init__(self, *args):
        self.log = tempfile.TemporaryFile("w+")
        # Memory that a sanitizer keeps back is not the server's.
        options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
        self.process = subprocess.Popen([SERVER, *args], stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env=dict(os.environ, ASAN_OPTIONS=options))
        line = self.process.stdout.readline()
        assert line, self.said()
        self.port = int(line)
        self.target = "127.0.0.1:%d" % self.port

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process.stdout.close()
        assert code == 0, "the server ended with %d\n%s" % (code, self.said())

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind:
            sys.stderr.write(self.said())
            self.process.kill()
            self.process.wait()
        else:
            self.stop()


class Client:
    def __init__(self, channel):
        self.channel = channel
        self.unary = channel.unary_unary("/test.Echo/Unary", **RAW)
        self.stream = channel.stream_stream("/test.Echo/Stream", **RAW)
        self.flood = channel.unary_stream("/test.Echo/Flood", **RAW)
        self.meta = channel.unary_unary("/test.Echo/Meta", **RAW)
        self.peak_call = channel.unary_unary("/test.Echo/Peak", **RAW)

    def peak(self):
        """KiB at most, calls open, cancelled, expired"""
        return [int(x) for x in self.peak_call(b"", timeout=60).split()]

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.channel.close()


def client(server, **more):
    return Client(grpc.insecure_channel(server.target, options=BIG, **more))


def status_of(call):
    try:
        call()
    except grpc.RpcError as e:
        return e.code(), e.details()
    raise AssertionError("it did not fail")


def test_unary():
    with Server() as s, client(s) as c:
        for size in (0, 1, 5, 16384, 65535, 65536, 3_000_000):
            m = os.urandom(size)
            assert c.unary(m, timeout=60) == m
        code, text = status_of(lambda: c.unary(b"x", metadata=[("fail", "9")], timeout=60))
        assert code == grpc.StatusCode.FAILED_PRECONDITION and text == "100% naïve\nfailure", (code, text)
        code, text = status_of(lambda: c.unary(b"x", metadata=[("fail", "13"), ("say", "plain")], timeout=60))
        assert code == grpc.StatusCode.INTERNAL and text == "plain", (code, text)
        code, text = status_of(lambda: c.channel.unary_unary("/test.Echo/Nope", **RAW)(b"", timeout=60))
        assert code == grpc.StatusCode.UNIMPLEMENTED and "/test.Echo/Nope" in text, (code, text)
        code, text = status_of(lambda: c.channel.stream_unary("/test.Echo/Unary", **RAW)(iter([b"a", b"b"]), timeout=60))
        assert code == grpc.StatusCode.INTERNAL and "second" in text, (code, text)
        code, text = status_of(lambda: c.channel.stream_unary("/test.Echo/Unary", **RAW)(iter([]), timeout=60))
        assert code == grpc.StatusCode.INTERNAL and "no request" in text, (code, text)


def test_bidi():
    with Server() as s, client(s) as c:
        sent = [os.urandom(n) for n in (1, 0, 100, 20000, 70000, 1_000_000, 3)]
        assert list(c.stream(iter(sent), timeout=60)) == sent
        assert list(c.stream(iter([]), timeout=60)) == []
        # One at a time: each answer comes before the next is sent.
        gate = threading.Semaphore(1)

        def ping():
            for i in range(50):
                assert gate.acquire(timeout=60)
                yield b"%d" % i
        for i, m in enumerate(c.stream(ping(), timeout=60)):
            assert m == b"%d" % i
            gate.release()


def test_metadata():
    with Server() as s, client(s) as c:
        for size in (0, 1, 2, 3, 100, 16 * 1024, 48 * 1024):
            blob = os.urandom(size)
            call = c.meta.with_call(b"", metadata=[("show", "a b"), ("show-bin", blob)], timeout=60)
            reply, info = call
            assert reply == b"3 %d" % size, reply
            if size < 8000:  # what a client takes back by default
                assert dict(info.initial_metadata())["shown-bin"] == blob
                trailers = dict(info.trailing_metadata())
                assert trailers["end"] == "last" and trailers["end-bin"] == blob and trailers["subject-bin"] == b""
                assert trailers["peer"].startswith("127.0.0.1:")
            assert dict(info.initial_metadata())["shown"] == "a b"
        text = "x" * 65000  # CONTINUATION frames
        assert c.meta(b"", metadata=[("show", text)], timeout=60).startswith(b"65000 ")
        many = [("k%d" % i, "v" * 1000) for i in range(200)]
        assert c.meta(b"", metadata=many + [("show", "z")], timeout=60) == b"1 0"


def test_gzip():
    with Server() as s, client(s, compression=grpc.Compression.Gzip) as c, client(s) as plain:
        m = b"hello " * 100000
        assert c.unary(m, timeout=60) == m
        assert list(c.stream(iter([m, b"", b"x"]), metadata=[("gzip", "1")], timeout=60)) == [m, b"", b"x"]
        assert list(plain.stream(iter([m, b"x"]), metadata=[("gzip", "1")], timeout=60)) == [m, b"x"]
        with client(s, compression=grpc.Compression.Deflate) as d:
            assert d.unary(m, timeout=60) == m
    with Server("--max-message", "100000") as s, client(s, compression=grpc.Compression.Gzip) as c, client(s) as plain:
        for which in (c, plain):
            code, text = status_of(lambda: which.unary(m, timeout=60))
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "100000" in text, (code, text)
        assert c.unary(b"fine", timeout=60) == b"fine"


def test_deadline_and_cancel():
    with Server() as s, client(s) as c:
        code, _ = status_of(lambda: c.unary(b"x", metadata=[("silent", "1")], timeout=0.1))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        calls = [c.stream(iter([b"x"]), metadata=[("silent", "1")]) for _ in range(50)]
        for call in calls:
            assert next(call) == b"x"
        assert c.peak()[1] == 50
        for call in calls:
            call.cancel()
        end = time.monotonic() + 30
        while c.peak()[1] and time.monotonic() < end:
            time.sleep(0.01)
        peak = c.peak()
        assert peak[1] == 0 and peak[2] >= 50, peak
        # Python keeps its own deadline too, so ask with raw frames whether the server keeps it.
        from_server = raw_call(s.port, "/test.Echo/Unary", [(b"grpc-timeout", b"50m"), (b"silent", b"1")])
        assert b"grpc-status" in from_server or from_server, from_server
        end = time.monotonic() + 30
        while c.peak()[3] == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert c.peak()[3] >= 1


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    def string(s):
        assert len(s) < 127
        return bytes([len(s)]) + s
    return b"\x00" + string(name) + string(value)


def raw_call(port, path, more, body=b"\0\0\0\0\0", content_type=b"application/grpc", method=b"POST"):
    """One call by hand; returns all bytes up to the frame that ends the stream."""
    fields = [(b":method", method), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"x"),
              (b"content-type", content_type), (b"te", b"trailers")] + more
    with socket.create_connection(("127.0.0.1", port), 30) as k:
        k.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) +
                  frame(1, 4, 1, b"".join(literal(*f) for f in fields)) + frame(0, 1, 1, body))
        got = b""
        while True:
            while len(got) < 9:
                got += k.recv(65536)
            n = int.from_bytes(got[:3], "big")
            while len(got) < 9 + n:
                more_bytes = k.recv(65536)
                assert more_bytes, got
                got += more_bytes
            kind, flags, stream = got[3], got[4], int.from_bytes(got[5:9], "big")
            if stream == 1 and (flags & 1 and kind in (0, 1) or kind == 3):
                return got[9:9 + n]
            got = got[9 + n:]


def test_bad_requests():
    with Server() as s, client(s) as c:
        assert raw_call(s.port, "/test.Echo/Unary", [], content_type=b"text/html") is not None
        assert raw_call(s.port, "/test.Echo/Unary", [], method=b"GET") is not None
        assert raw_call(s.port, "/test.Echo/Unary", [(b"grpc-timeout", b"soon")]) is not None
        assert raw_call(s.port, "/test.Echo/Unary", [(b"grpc-encoding", b"zstd")], body=b"\1\0\0\0\0") is not None
        assert raw_call(s.port, "/test.Echo/Unary", [], body=b"\7\0\0\0\0") is not None
        assert raw_call(s.port, "/test.Echo/Unary", [], body=b"\0\0\0\0\7abc") is not None
        assert raw_call(s.port, "/test.Echo/Meta", [(b"show-bin", b"@@@@")]) is not None
        assert raw_call(s.port, "/test.Echo/Meta", [(b"show-bin", b"YWI")]) is not None
        assert raw_call(s.port, "/test.Echo/Meta", [(b"show-bin", b"YWI=")]) is not None
        assert c.unary(b"alive", timeout=60) == b"alive"


def test_many_streams():
    with Server() as s, client(s) as c:
        def one(i):
            sent = [b"%d:%d:" % (i, k) + b"x" * (i * 37 % 3000) for k in range(20)]
            assert list(c.stream(iter(sent), timeout=120)) == sent
            return i
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            assert sorted(pool.map(one, range(200))) == list(range(200))
        assert c.peak()[1] == 0


def test_back_pressure():
    with Server() as s, client(s) as c:
        c.unary(b"warm", timeout=60)
        before = c.peak()[0]
        # Out: 100 MB to a client that starts reading late.
        call = c.flood(b"100 1000000", timeout=300)
        time.sleep(0.5)
        total = sum(len(m) for m in call)
        assert total == 100_000_000
        # In: the server gives windows back as it takes messages.
        block = b"y" * 1_000_000
        reply = list(c.stream((block for _ in range(100)), metadata=[("count", "1")], timeout=300))
        assert reply == [b"100000000"], reply
        after = c.peak()[0]
        assert after - before < 64 * 1024, (before, after)
        # A server that gives nothing back stops the client at about the window.
        sent = [0]

        def blocks():
            for _ in range(2000):
                sent[0] += 1
                yield block[:10000]
        held = c.stream(blocks(), metadata=[("hold", "1"), ("count", "1")])
        last = -1
        while sent[0] != last:
            last = sent[0]
            time.sleep(0.3)
        assert 50 < last < 1000, last
        held.cancel()
        # Messages larger than the stream's window arrive though nothing is given back before.
        big = b"z" * 5_000_000
        assert list(c.stream(iter([big]), metadata=[("late", "1")], timeout=60)) == [big]


def test_drain():
    with Server() as s, client(s) as c:
        go = threading.Event()

        def slow():
            yield b"a"
            assert go.wait(60)
            yield b"b"
        call = c.stream(slow(), timeout=60)
        assert next(call) == b"a"
        s.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert s.process.poll() is None  # it waits for the call
        go.set()
        assert list(call) == [b"b"]
        assert s.process.wait(30) == 0
        s.stop = lambda: None


def certificates(where):
    def run(*args):
        subprocess.run(["openssl", *args], check=True, cwd=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
        "/CN=Test root", "-keyout", "root_key.pem", "-out", "root_cert.pem")
    with open(os.path.join(where, "san"), "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, subject in (("sse_server", "/CN=localhost"), ("sse_client", "/O=Example/CN=sse_client")):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout",
            name + "_key.pem", "-out", name + ".csr")
        run("x509", "-req", "-in", name + ".csr", "-CA", "root_cert.pem", "-CAkey", "root_key.pem", "-CAcreateserial",
            "-days", "30", "-extfile", "san", "-out", name + "_cert.pem")


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def http1(k):
    k.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    got = b""
    try:
        while True:
            more = k.recv(4096)
            if not more:
                return got
            got += more
    except ConnectionError:
        return got


def test_tls():
    with tempfile.TemporaryDirectory() as d:
        certificates(d)
        with Server("--tls", d) as s:
            mutual = grpc.ssl_channel_credentials(read(d, "root_cert.pem"), read(d, "sse_client_key.pem"),
                                                  read(d, "sse_client_cert.pem"))
            with Client(grpc.secure_channel("localhost:%d" % s.port, mutual, BIG)) as c:
                m = os.urandom(3_000_000)
                assert c.unary(m, timeout=60) == m
                assert sum(len(x) for x in c.flood(b"100 1000000", timeout=300)) == 100_000_000
                _, info = c.meta.with_call(b"", timeout=60)
                assert dict(info.trailing_metadata())["subject-bin"] == b"CN=sse_client,O=Example"
                calls = [c.stream(iter([b"%d" % i]), timeout=60) for i in range(100)]
                assert [list(x) for x in calls] == [[b"%d" % i] for i in range(100)]
            without = grpc.ssl_channel_credentials(read(d, "root_cert.pem"))
            with Client(grpc.secure_channel("localhost:%d" % s.port, without)) as c:
                code, _ = status_of(lambda: c.unary(b"x", timeout=5))
                assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), code
            assert "sent no certificate" in s.said(), s.said()
            time.sleep(1.1)  # warnings are limited to one a second
            with client(s) as c:
                code, _ = status_of(lambda: c.unary(b"x", timeout=5))
                assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), code
            assert "HTTP/2 without TLS" in s.said() and "error code 14" in s.said(), s.said()
            time.sleep(1.1)
            with socket.create_connection(("127.0.0.1", s.port), 30) as k:
                assert b"400 Bad Request" in http1(k)
            time.sleep(1.1)
            context = ssl.create_default_context(cafile=os.path.join(d, "root_cert.pem"))
            context.load_cert_chain(os.path.join(d, "sse_client_cert.pem"), os.path.join(d, "sse_client_key.pem"))
            context.set_alpn_protocols(["http/1.1"])
            with socket.create_connection(("127.0.0.1", s.port), 30) as k:
                with context.wrap_socket(k, server_hostname="localhost") as t:
                    assert b"505 HTTP Version Not Supported" in http1(t)
            assert 'came=HTTP/1.1' in s.said(), s.said()
            with socket.create_connection(("127.0.0.1", s.port), 30) as k:  # TLS 1.1 is refused
                old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
                old.set_ciphers("ALL:@SECLEVEL=0")
                old.minimum_version = ssl.TLSVersion.TLSv1
                old.maximum_version = ssl.TLSVersion.TLSv1_1
                try:
                    old.wrap_socket(k)
                    raise AssertionError("TLS 1.1 was accepted")
                except (ssl.SSLError, ConnectionError):
                    pass
        # Files: each fault is named.
        def refused(name, content, words):
            path = os.path.join(d, name)
            good = read(path)
            os.unlink(path)
            if content is not None:
                with open(path, "wb") as f:
                    f.write(content)
            p = subprocess.run([SERVER, "--tls", d], capture_output=True, text=True, timeout=60)
            assert p.returncode == 1 and name in p.stderr and re.search(words, p.stderr), p.stderr
            with open(path, "wb") as f:
                f.write(good)
        refused("sse_server_cert.pem", None, "No such file")
        refused("sse_server_key.pem", None, "No such file")
        refused("root_cert.pem", None, "No such file")
        refused("sse_server_cert.pem", b"nothing", "PEM")
        refused("sse_server_key.pem", b"nothing", "PEM")
        refused("root_cert.pem", b"nothing", "PEM")
        refused("sse_server_key.pem", read(d, "sse_client_key.pem"), "does not belong")


def test_wrong_port():
    with Server() as s:
        with socket.create_connection(("127.0.0.1", s.port), 30) as k:
            got = http1(k)
        assert b"505 HTTP Version Not Supported" in got, got
        head, body = got.split(b"\r\n\r\n", 1)
        assert int(re.search(rb"Content-Length: (\d+)", head)[1]) == len(body), got
        assert "came=HTTP/1.1" in s.said(), s.said()
        time.sleep(1.1)
        with tempfile.TemporaryDirectory() as d:
            certificates(d)
            creds = grpc.ssl_channel_credentials(read(d, "root_cert.pem"))
            with Client(grpc.secure_channel("localhost:%d" % s.port, creds)) as c:
                code, _ = status_of(lambda: c.unary(b"x", timeout=5))
                assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), code
        assert "came=TLS" in s.said() and "error code 14" in s.said(), s.said()
        for junk in (b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" * 2, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100):
            with socket.create_connection(("127.0.0.1", s.port), 30) as k:
                k.sendall(junk)
                try:
                    while k.recv(4096):
                        pass
                except ConnectionError:
                    pass
        with client(s) as c:
            assert c.unary(b"alive", timeout=60) == b"alive"


def test_ipv6():
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError:
        return
    with Server("--address", "[::1]:0") as s, Client(grpc.insecure_channel("[::1]:%d" % s.port)) as c:
        assert c.unary(b"x", timeout=60) == b"x"


def main():
    names = sys.argv[2:] or [n for n in globals() if n.startswith("test_")]
    for name in names:
        begin = time.monotonic()
        globals()[name]()
        print("%s %.1f s" % (name, time.monotonic() - begin), flush=True)


main()
