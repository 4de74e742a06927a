# SPDX-License-Identifier: MIT
"""An HTTP/1.1 server that behaves as told by the path; built on Python's http.server.

    python3 http_peer.py

prints its port, serves until its stdin ends. Paths:
  /echo                 200, body: "METHOD PATH\\n", the request's headers in order, an empty line, the body
  /status/N             status N with a body
  /slow/MS              answers after MS milliseconds
  /drip/N/MS            N pieces of 10 bytes, MS milliseconds apart
  /size/N               N bytes of "x"
  /chunked/N            the same in chunks of 10,000
  /truncated            says 100 bytes, sends 10, closes
  /nothing              closes without an answer
  /reset                resets the connection without an answer
  /half                 sends half a status line and closes
  /gzip/N               N bytes of "x", gzip
  /badgzip              claims gzip, is not
  /redirect             302 to /echo
  /bighead              a head of a megabyte
  /close                200 and Connection: close
  /drop                 answers, then closes the connection without having said so
  /connections          how many connections were accepted so far
"""
import gzip
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

accepted = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        global accepted
        accepted += 1
        super().setup()

    def log_message(self, *args):
        pass

    def reply(self, body=b"", status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                n = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_any(self):
        body = self.read_body()
        _, what, *args = self.path.split("?")[0].split("/")
        getattr(self, "do_" + what)(body, *args)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_any

    def do_echo(self, body):
        head = "%s %s\n" % (self.command, self.path)
        head += "".join("%s: %s\n" % item for item in self.headers.items())
        self.reply(head.encode() + b"\n" + body, headers=[("X-Mixed-Case", " padded "), ("X-Twice", "1"), ("x-twice", "2")])

    def do_status(self, body, n):
        self.reply(b"" if n == "204" else b"status " + n.encode(), int(n), [("Retry-After", "7")])

    def do_slow(self, body, ms):
        time.sleep(int(ms) / 1000)
        self.reply(b"late")

    def do_drip(self, body, n, ms):
        self.send_response(200)
        self.send_header("Content-Length", str(10 * int(n)))
        self.end_headers()
        for _ in range(int(n)):
            self.wfile.write(b"0123456789")
            time.sleep(int(ms) / 1000)

    def do_size(self, body, n):
        self.reply(b"x" * int(n))

    def do_chunked(self, body, n):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        left = int(n)
        while left:
            piece = min(left, 10000)
            self.wfile.write(b"%x\r\n%s\r\n" % (piece, b"x" * piece))
            left -= piece
        self.wfile.write(b"0\r\n\r\n")

    def do_truncated(self, body):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"0123456789")
        self.close_connection = True

    def do_nothing(self, body):
        self.close_connection = True

    def do_reset(self, body):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def do_half(self, body):
        self.wfile.write(b"HTTP/1.1 20")
        self.close_connection = True

    def do_gzip(self, body, n):
        self.reply(gzip.compress(b"x" * int(n)), headers=[("Content-Encoding", "gzip")])

    def do_badgzip(self, body):
        self.reply(b"\x1f\x8bthis is not gzip at all", headers=[("Content-Encoding", "gzip")])

    def do_redirect(self, body):
        self.reply(b"", 302, [("Location", "/echo")])

    def do_bighead(self, body):
        self.reply(b"", 200, [("X-%d" % i, "y" * 50000) for i in range(20)])

    def do_close(self, body):
        self.reply(b"bye", headers=[("Connection", "close")])
        self.close_connection = True

    def do_drop(self, body):
        self.reply(b"dropped")
        self.close_connection = True

    def do_connections(self, body):
        self.reply(b"%d" % accepted)


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
