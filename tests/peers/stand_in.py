# SPDX-License-Identifier: MIT
"""What stand-ins for HTTP services share: threads, keep-alive, a ledger of what came, and the bad manners that services
and the networks before them have."""
import http.server
import json
import os
import select
import socket
import struct
import threading
import time


class Entry:
    """One request in the ledger."""

    def __init__(self, connection, method, path, headers, body, raw):
        self.connection, self.method, self.path, self.headers = connection, method, path, headers
        self.body, self.raw = body, raw  # raw: request line and headers as they came
        self.began, self.status, self.note, self.gave_up = time.monotonic(), None, "", None

    def plain(self):
        return {"connection": self.connection, "method": self.method, "path": self.path, "headers": self.headers,
                "body": self.body.decode("latin-1"), "status": self.status, "note": self.note, "gave_up": self.gave_up}


class Service:
    """Subclasses answer: answer(handler, entry). GET /_ledger tells what came, as JSON."""

    def __init__(self, port=0):
        self.lock = threading.Lock()
        self.entries, self.connections, self.open, self.peak, self.busy, self.peak_busy = [], 0, 0, 0, 0, 0
        self.counts = {}
        self.skew = 0  # seconds that this service's clock is ahead
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                with service.lock:
                    service.connections += 1
                    service.open += 1
                    service.peak = max(service.peak, service.open)
                    self.number = service.connections

            def finish(self):
                try:
                    super().finish()
                except OSError:
                    pass
                with service.lock:
                    service.open -= 1

            def log_message(self, *args):
                pass

            def date_time_string(self, timestamp=None):
                return super().date_time_string((timestamp or time.time()) + service.skew)

            def handle(self):
                try:
                    super().handle()
                except (ConnectionError, BrokenPipeError):
                    pass

            def do_GET(self):
                if self.path == "/_ledger":
                    return self.reply(200, json.dumps(service.ledger()).encode(), "application/json")
                return self.do_POST()

            def do_POST(self):
                if "chunked" in (self.headers.get("transfer-encoding") or ""):
                    body = b""
                    while True:
                        n = int(self.rfile.readline().split(b";")[0], 16)
                        body += self.rfile.read(n)
                        self.rfile.readline()
                        if n == 0:
                            break
                else:
                    body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {k.lower(): v for k, v in self.headers.items()}
                raw = self.raw_requestline + self.headers.as_bytes()
                e = Entry(self.number, self.command, self.path, headers, body, raw)
                with service.lock:
                    service.entries.append(e)
                    service.busy += 1
                    service.peak_busy = max(service.peak_busy, service.busy)
                self.entry = e
                try:
                    service.answer(self, e)
                finally:
                    with service.lock:
                        service.busy -= 1

            do_PUT = do_PATCH = do_DELETE = do_HEAD = do_POST

            def reply(self, status, body, kind="application/json", **headers):
                if getattr(self, "entry", None):
                    self.entry.status = status
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---------------------------------------------------------------------------------------------- what came

    def ledger(self):
        with self.lock:
            return {"connections": self.connections, "open": self.open, "peak": self.peak, "busy": self.busy,
                    "peak_busy": self.peak_busy, "requests": [e.plain() for e in self.entries]}

    def of(self, part):
        """The entries whose path holds a text."""
        with self.lock:
            return [e for e in self.entries if part in e.path]

    def forget(self):
        with self.lock:
            self.entries, self.connections, self.peak, self.peak_busy, self.counts = [], 0, self.open, 0, {}

    def nth(self, name):
        """How often this was asked, now included."""
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1
            return self.counts[name]

    # ---------------------------------------------------------------------------------------------- bad manners

    def wait(self, handler, seconds):
        """Sleeps, but notices when the other side hangs up. False then."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            readable, _, _ = select.select([handler.connection], [], [], min(left, 0.2))
            if readable:
                try:
                    gone = handler.connection.recv(1, socket.MSG_PEEK) == b""
                except OSError:
                    gone = True
                if gone:
                    handler.entry.gave_up = time.monotonic() - handler.entry.began
                    handler.close_connection = True
                    return False
                time.sleep(0.05)
        return True

    def rude(self, handler, manner):
        """True when it was one of the manners, and it is done."""
        if manner == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.wfile.flush()
            handler.connection.close()
        elif manner == "close":
            handler.close_connection = True
        elif manner == "truncated":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\n0.5\n0.5\n")
            handler.close_connection = True
        elif manner == "garbage":
            handler.wfile.write(b"\x00\xff" + os.urandom(200) + b"\r\n\r\n")
            handler.close_connection = True
        elif manner == "html":
            handler.reply(200, b"<html><body>Sign in to the proxy</body></html>", "text/html")
        elif manner == "empty":
            handler.reply(200, b"", "text/plain")
        elif manner == "endless":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                piece = b"10000\r\n" + b"7" * 65536 + b"\r\n"
                for _ in range(8192):
                    handler.wfile.write(piece)
            except OSError:
                pass
            handler.close_connection = True
        else:
            return False
        return True
