#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`patchbay certs`: what OpenSSL says of the files, what grpcio says of a gateway that uses them, what is refused."""
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile

try:
    import grpc
except ImportError:
    sys.exit(77)

PATCHBAY = os.environ["PATCHBAY"]
INI = """[listen "sse"]
address = 127.0.0.1:0
tls_dir = %s/server
[function "shout"]
script = functions/shout.lua
params = word:str
returns = str
"""


def run(*args, code=0, umask=-1):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, umask=umask)
    assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
    return r.stdout + r.stderr


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def mode(*path):
    return stat.S_IMODE(os.stat(os.path.join(*path)).st_mode)


def check_files(pem):
    # An operator's open umask must not open the keys.
    said = run(PATCHBAY, "certs", pem, "gw.example.com", "--name", "10.1.2.3, 2001:db8::1", umask=0)
    assert pem + "/server" in said and pem + "/client" in said, said
    for side, purpose, usage, wrong in (("server", "sslserver", "TLS Web Server Authentication", "sslclient"),
                                        ("client", "sslclient", "TLS Web Client Authentication", "sslserver")):
        folder = os.path.join(pem, side)
        assert sorted(os.listdir(folder)) == ["root_cert.pem", "sse_%s_cert.pem" % side, "sse_%s_key.pem" % side]
        assert mode(folder) == 0o700 and mode(folder, "sse_%s_key.pem" % side) == 0o600
        cert, root = folder + "/sse_%s_cert.pem" % side, folder + "/root_cert.pem"
        run("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", root, cert)
        run("openssl", "verify", "-purpose", wrong, "-CAfile", root, cert, code=2)
        text = run("openssl", "x509", "-in", cert, "-noout", "-text")
        for part in ("Version: 3", "Issuer: CN = sse_root", "Subject: CN = sse_" + side, "Public-Key: (2048 bit)",
                     "sha256WithRSAEncryption", "CA:FALSE", usage):
            assert part in text, (part, text)
        names = re.findall(r"(?:DNS|IP Address):[^,\n]+", text)
        assert names == ([] if side == "client" else [
            "IP Address:10.1.2.3", "DNS:10.1.2.3", "IP Address:2001:DB8:0:0:0:0:0:1", "DNS:gw.example.com",
            "DNS:localhost", "IP Address:127.0.0.1", "DNS:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"]), names
        days = 3650 * 86400
        run("openssl", "x509", "-in", cert, "-noout", "-checkend", str(days - 3600))
        run("openssl", "x509", "-in", cert, "-noout", "-checkend", str(days + 60), code=1)
        pub = run("openssl", "x509", "-in", cert, "-noout", "-pubkey")
        assert pub == run("openssl", "pkey", "-in", folder + "/sse_%s_key.pem" % side, "-pubout")
    assert read(pem, "server/root_cert.pem") == read(pem, "client/root_cert.pem")
    text = run("openssl", "x509", "-in", pem + "/server/root_cert.pem", "-noout", "-text")
    assert "Subject: CN = sse_root" in text and "CA:TRUE" in text and "Certificate Sign" in text


def check_refusals(tmp, pem):
    before = read(pem, "server/sse_server_key.pem")
    assert "never overwritten" in run(PATCHBAY, "certs", pem, code=1)
    assert read(pem, "server/sse_server_key.pem") == before
    # One file of six stands there: nothing is written beside it, and a link is not followed.
    part, target = os.path.join(tmp, "part"), os.path.join(tmp, "target")
    os.makedirs(part + "/client")
    os.symlink(target, part + "/client/sse_client_key.pem")
    assert "sse_client_key.pem" in run(PATCHBAY, "certs", part, code=1)
    assert os.listdir(part) == ["client"] and not os.path.exists(target)
    # A folder that cannot be made: what was made before is taken back.
    clash = os.path.join(tmp, "clash")
    os.makedirs(clash)
    with open(clash + "/client", "w"):
        pass
    run(PATCHBAY, "certs", clash, code=1)
    assert os.listdir(clash) == ["client"]
    for name in ("a b", "a-", "a..b", "", "a/b", "a" * 64, "*.*.x", "x\n"):
        assert "neither a host name nor an IP address" in run(PATCHBAY, "certs", tmp + "/none", name, code=1), name
    assert not os.path.exists(tmp + "/none")
    run(PATCHBAY, "certs", tmp + "/none", "--days", "0", code=2)
    run(PATCHBAY, "certs", code=2)
    kept = os.path.join(tmp, "kept")
    run(PATCHBAY, "certs", kept, "--root-key", "--days", "1")
    assert mode(kept, "root_key.pem") == 0o600
    run("openssl", "x509", "-in", kept + "/client/sse_client_cert.pem", "-noout", "-checkend", "86500", code=1)
    return kept


def answers(port, root, key=None, cert=None, host="127.0.0.1"):
    """Does an empty GetCapabilities get through?"""
    with grpc.secure_channel("%s:%s" % (host, port), grpc.ssl_channel_credentials(root, key, cert)) as channel:
        ask = channel.unary_unary("/qlik.sse.Connector/GetCapabilities")
        try:
            return b"shout" in ask(b"", timeout=20)
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.UNAVAILABLE, e
            return False


def check_gateway(tmp, pem, other):
    os.makedirs(tmp + "/site/scripts/functions")
    with open(tmp + "/site/patchbay.ini", "w") as f:
        f.write(INI % pem)
    with open(tmp + "/site/scripts/functions/shout.lua", "w") as f:
        f.write("return function(word) return word:upper() end\n")
    with open(tmp + "/log", "w") as log:
        gateway = subprocess.Popen([PATCHBAY, "run", "--config", tmp + "/site/patchbay.ini", "--state", tmp + "/state", "--workers", "0"],
                                   stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = gateway.stdout.readline()
        assert line.startswith("ready"), (line, read(tmp, "log"))
        port = re.search(r":(\d+)", line).group(1)
        root = read(pem, "client/root_cert.pem")
        key, cert = read(pem, "client/sse_client_key.pem"), read(pem, "client/sse_client_cert.pem")
        assert answers(port, root, key, cert)
        assert answers(port, root, key, cert, "localhost")
        assert not answers(port, root), "without a certificate"
        assert not answers(port, root, read(other, "client/sse_client_key.pem"),
                           read(other, "client/sse_client_cert.pem")), "with one of another root"
        assert not answers(port, root, read(pem, "server/sse_server_key.pem"),
                           read(pem, "server/sse_server_cert.pem")), "with the server's own"
        assert not answers(port, read(other, "client/root_cert.pem"), key, cert), "to a server of another root"
        assert answers(port, root, key, cert)
    finally:
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(30) == 0, read(tmp, "log")


with tempfile.TemporaryDirectory(prefix="patchbay-certs-") as tmp:
    pem = os.path.join(tmp, "pem")
    check_files(pem)
    check_gateway(tmp, pem, check_refusals(tmp, pem))
