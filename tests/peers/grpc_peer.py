# SPDX-License-Identifier: MIT
"""A grpcio server for the tests of our client. usage: grpc_peer.py DIR

DIR gets Qlik's PEM files (made with openssl). Prints "ready PLAIN_PORT TLS_PORT HTTP_PORT SILENT_PORT" and serves
until its standard input ends. Messages are plain bytes, so no generated code is involved:

  /peer/Unary   echoes one message; its metadata comes back as trailers
  /peer/Echo    echoes every message as it comes
  /peer/Cross   sends as much as it was told in the first message, reading nothing more until it has sent all
  /peer/Early   answers one message and OK after the first message, whatever is still being sent
  /peer/Fail    code and text of the request: "5 text"
  /peer/Slow    never answers; /peer/Cancelled tells how many calls of it were cancelled
"""
import concurrent.futures
import http.server
import os
import socket
import subprocess
import sys
import threading
import time

import grpc

cancelled = 0


def make_pem(folder):
    def run(*args):
        subprocess.run(["openssl", *args], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "root_key.pem",
        "-out", "root_cert.pem", "-subj", "/CN=root", "-days", "2")
    for name, ext in (("server", "subjectAltName=DNS:localhost"), ("client", "extendedKeyUsage=clientAuth")):
        with open(os.path.join(folder, name + ".ext"), "w") as f:
            f.write(ext + "\n")
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"sse_{name}_key.pem",
            "-out", f"{name}.csr", "-subj", f"/CN=sse_{name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "root_cert.pem", "-CAkey", "root_key.pem", "-CAcreateserial",
            "-out", f"sse_{name}_cert.pem", "-days", "2", "-extfile", name + ".ext")


def unary(request, context):
    context.set_trailing_metadata([(k, v) for k, v in context.invocation_metadata() if k.startswith("x-")])
    context.send_initial_metadata((("first", "yes"), ("first-bin", b"\x00\xff,\x01")))
    return request


def echo(requests, context):
    yield from requests


def cross(requests, context):
    total = int(next(requests))
    piece = b"d" * (1 << 20)
    for _ in range(total // len(piece)):
        yield piece
    got = sum(len(r) for r in requests)
    yield str(got).encode()


def early(requests, context):
    yield next(requests)


def fail(request, context):
    code, text = request.decode().split(" ", 1)
    context.abort([c for c in grpc.StatusCode if c.value[0] == int(code)][0], text)


def slow(requests, context):
    done = threading.Event()

    def over():
        global cancelled
        cancelled += 1
        done.set()

    if not context.add_callback(over):
        over()
    done.wait(60)
    yield b""


def was_cancelled(request, context):
    for _ in range(100):
        if cancelled >= int(request):
            break
        time.sleep(0.1)
    return str(cancelled).encode()


class Handler(grpc.GenericRpcHandler):
    table = {
        "/peer/Unary": grpc.unary_unary_rpc_method_handler(unary),
        "/peer/Echo": grpc.stream_stream_rpc_method_handler(echo),
        "/peer/Cross": grpc.stream_stream_rpc_method_handler(cross),
        "/peer/Early": grpc.stream_stream_rpc_method_handler(early),
        "/peer/Fail": grpc.unary_unary_rpc_method_handler(fail),
        "/peer/Slow": grpc.stream_stream_rpc_method_handler(slow),
        "/peer/Cancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    }

    def service(self, details):
        return self.table.get(details.method)


class Plain(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


def main():
    folder = sys.argv[1]
    make_pem(folder)

    def pem(name):
        with open(os.path.join(folder, name), "rb") as f:
            return f.read()

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8),
                         options=[("grpc.max_receive_message_length", 64 << 20)])
    server.add_generic_rpc_handlers((Handler(),))
    plain = server.add_insecure_port("127.0.0.1:0")
    credentials = grpc.ssl_server_credentials([(pem("sse_server_key.pem"), pem("sse_server_cert.pem"))],
                                              pem("root_cert.pem"), True)
    tls = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    silent = socket.create_server(("127.0.0.1", 0))
    print("ready", plain, tls, web.server_port, silent.getsockname()[1], flush=True)
    sys.stdin.read()
    server.stop(0)
    os._exit(0)


main()
