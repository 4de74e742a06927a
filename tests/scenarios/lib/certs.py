# SPDX-License-Identifier: MIT
"""Certificates as Qlik's guide makes them: a root, one for the server, one for the client, RSA-2048, with the file names
of https://github.com/qlik-oss/server-side-extension/tree/master/generate_certs_guide."""
import os
import subprocess


def openssl(*args):
    p = subprocess.run(["openssl", *args], capture_output=True)
    if p.returncode:
        raise AssertionError("openssl %s: %s" % (" ".join(args), p.stderr.decode()))


class Certificates:
    """server/ and client/ in a folder; the same root signs both."""

    def __init__(self, folder, root="sse_root", client="sse_client", client_days=3650):
        self.folder = folder
        self.server, self.client = os.path.join(folder, "server"), os.path.join(folder, "client")
        for d in (folder, self.server, self.client):
            os.makedirs(d, exist_ok=True)
        self.root_key, self.root_cert = os.path.join(folder, "root_key.pem"), os.path.join(folder, "root_cert.pem")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.root_key, "-out", self.root_cert,
                "-days", "3650", "-subj", "/CN=" + root, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.sign("sse_server", self.server, "sse_server", 3650,
                  "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,DNS:sse_server,DNS:127.0.0.1,IP:127.0.0.1\n")
        self.sign(client, self.client, "sse_client", client_days, "extendedKeyUsage=clientAuth\n")

    def sign(self, subject, folder, name, days, extensions):
        key, cert = (os.path.join(folder, name + end) for end in ("_key.pem", "_cert.pem"))
        request, ext = os.path.join(self.folder, name + ".csr"), os.path.join(self.folder, name + ".ext")
        with open(ext, "w") as f:
            f.write("basicConstraints=CA:FALSE\n" + extensions)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=" + subject)
        dates = ["-days", str(days)]
        openssl("x509", "-req", "-in", request, "-CA", self.root_cert, "-CAkey", self.root_key, "-CAcreateserial",
                "-out", cert, "-extfile", ext, *dates)
        os.chmod(key, 0o600)
        with open(self.root_cert) as src, open(os.path.join(folder, "root_cert.pem"), "w") as dst:
            dst.write(src.read())

    def read(self, path):
        with open(os.path.join(self.folder, path), "rb") as f:
            return f.read()
