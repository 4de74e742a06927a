# SPDX-License-Identifier: MIT
"""TCP and TLS servers that do what the first line says. Started with a folder (certificates are made there); says
"ready TCP TLS", ends with its input.

  echo          every byte back, and the end for the end        send N     N bytes, then the end
  count         the number of bytes that came, at the end       cut N      N bytes, then the socket is closed as it is
  reset         a reset                                         hang       nothing
  first         (before any line) see the greeting: "hello\\n" comes at once
  slow N        N bytes, one at a time                          deaf N     reads nothing for a while, then counts N bytes
"""
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


def certificates(folder):
    with open(os.path.join(folder, "ext"), "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA",
            "-days", "2")
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            "server.pem", "-days", "2", "-extfile", "ext")


def pattern(n, start=0):
    return bytes((start + i) % 251 for i in range(n))


class Handler(socketserver.BaseRequestHandler):
    def line(self):
        out = b""
        while not out.endswith(b"\n"):
            c = self.request.recv(1)
            if not c:
                break
            out += c
        return out.decode(errors="replace").split()

    def end(self):
        """Our side ends, as the protocol has it; what the other side still says is read."""
        s = self.request
        if isinstance(s, ssl.SSLSocket):
            s.unwrap().close()
        else:
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass

    def rest(self):
        s, n = self.request, 0
        while True:
            piece = s.recv(65536)
            if not piece:
                return n
            n += len(piece)

    def handle(self):
        s = self.request
        try:
            if isinstance(s, ssl.SSLSocket):
                s.do_handshake()
            s.sendall(b"hello\n")
            self.act(*self.line())
        except (OSError, TypeError, ValueError):
            pass

    def act(self, what, n="0"):
        s, n = self.request, int(n)
        if what == "echo":
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                s.sendall(piece)
            self.end()
        elif what == "count":
            s.sendall(b"%d\n" % self.rest())
            self.end()
        elif what == "send":
            s.sendall(pattern(n))
            self.end()
        elif what == "cut":
            s.sendall(pattern(n))
            s.close()
        elif what == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        elif what == "slow":
            for i in range(n):
                s.sendall(pattern(1, i))
                time.sleep(0.0005)
            self.end()
        elif what == "deaf":
            time.sleep(0.3)
            got = 0
            while got < n:
                got += len(s.recv(65536))
            s.sendall(b"%d\n" % got)
            self.end()
        elif what == "hang":
            self.rest()


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    context = None

    def get_request(self):
        s, peer = super().get_request()
        if self.context:
            s = self.context.wrap_socket(s, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True)
        return s, peer


class TlsServer(Server):
    pass


def main():
    folder = sys.argv[1]
    certificates(folder)
    TlsServer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    TlsServer.context.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
    servers = [kind(("127.0.0.1", 0), Handler) for kind in (Server, TlsServer)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", *[s.server_address[1] for s in servers], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
