# SPDX-License-Identifier: MIT
"""Mutual TLS with files made as Qlik's guide makes them, and the line that helps who sees "error code 14"."""
import os
import shutil
import socket
import ssl
import tempfile
import time

import grpc

from lib.certs import Certificates
from lib.gateway import Folder, Gateway
from lib.sse import Client
from lib.story import contains, equal, main, story, true

CONFIG = """
[listen "sse"]
address = 127.0.0.1:0
tls_dir = %s
%s
[function "f"]
id = 1
script = functions/f.lua
params = a:str
returns = str
"""
FILES = {"scripts/functions/f.lua": "return function(a) return a end\n"}
TARGET = [("grpc.ssl_target_name_override", "sse_server")]


def certificates():
    tmp = tempfile.TemporaryDirectory(prefix="patchbay-certs-")
    return tmp, Certificates(tmp.name)


def credentials(certs, key=None, cert=None, root=None):
    return grpc.ssl_channel_credentials(root or certs.read("root_cert.pem"), key, cert)


def good(certs):
    return credentials(certs, certs.read("client/sse_client_key.pem"), certs.read("client/sse_client_cert.pem"))


def works(gateway, creds, target=None):
    with Client(target or gateway.address(), creds, TARGET) as c:
        return c.call(1, ["a", "b"], timeout=30)


def refused(gateway, creds, target=None):
    with Client(target or gateway.address(), creds, TARGET) as c:
        r = c.call(1, ["a"], timeout=10)
        equal(r.code, grpc.StatusCode.UNAVAILABLE, r.details)


@story
def only_those_with_a_certificate_of_ours():
    tmp, certs = certificates()
    with tmp, tempfile.TemporaryDirectory() as other_dir:
        other = Certificates(other_dir)
        theirs = other.read("client/sse_client_key.pem"), other.read("client/sse_client_cert.pem")
        with Gateway(CONFIG % (certs.server, ""), FILES) as g:
            equal(works(g, good(certs)).ok().texts(), ["a", "b"])
            equal(works(g, good(certs), "localhost:%d" % g.port()).ok().texts(), ["a", "b"])
            refused(g, credentials(certs))
            contains(g.await_log("level=warn")[0], "no certificate")
            # A client that trusts another root does not talk to this server.
            refused(g, credentials(other, *theirs))
            equal(works(g, good(certs)).ok().texts(), ["a", "b"])
        with Gateway(CONFIG % (certs.server, ""), FILES) as g:
            refused(g, credentials(certs, *theirs))
            contains(g.await_log("level=warn")[0], "certificate")
            equal(works(g, good(certs)).ok().texts(), ["a", "b"])


@story
def an_expired_certificate_is_refused():
    with tempfile.TemporaryDirectory(prefix="patchbay-certs-") as tmp:
        certs = Certificates(tmp, client_days=-1)
        with Gateway(CONFIG % (certs.server, ""), FILES) as g:
            refused(g, good(certs))
            contains(g.await_log("level=warn")[0], "expired")


@story
def subjects_may_be_listed():
    tmp, certs = certificates()
    with tmp:
        with Gateway(CONFIG % (certs.server, "clients = CN=sse_client"), FILES) as g:
            works(g, good(certs)).ok()
        with Gateway(CONFIG % (certs.server, "clients = CN=somebody_else"), FILES) as g:
            r = works(g, good(certs))
            true(r.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED,
                            grpc.StatusCode.UNAUTHENTICATED), r.code)
            contains(g.await_log("level=warn")[0], "sse_client")


@story
def cleartext_at_the_tls_port_is_explained():
    tmp, certs = certificates()
    with tmp, Gateway(CONFIG % (certs.server, ""), FILES) as g:
        with Client(g.address()) as c:
            equal(c.call(1, ["a"], timeout=5).code, grpc.StatusCode.UNAVAILABLE)
        line = g.await_log("level=warn")[0]
        contains(line.lower(), "tls")
        time.sleep(0.2)
        works(g, good(certs)).ok()


@story
def versions_and_alpn():
    tmp, certs = certificates()
    with tmp, Gateway(CONFIG % (certs.server, ""), FILES) as g:
        def shake(alpn=("h2",), most=None, least=None):
            ctx = ssl.create_default_context(cafile=certs.root_cert)
            ctx.load_cert_chain(certs.client + "/sse_client_cert.pem", certs.client + "/sse_client_key.pem")
            if alpn:
                ctx.set_alpn_protocols(alpn)
            if least:
                ctx.minimum_version = least
            if most:
                ctx.maximum_version = most
            with socket.create_connection(("127.0.0.1", g.port()), 30) as raw, \
                    ctx.wrap_socket(raw, server_hostname="localhost") as s:
                return s.version(), s.selected_alpn_protocol()
        equal(shake(), ("TLSv1.3", "h2"))
        equal(shake(most=ssl.TLSVersion.TLSv1_2), ("TLSv1.2", "h2"))
        try:
            old = shake(most=ssl.TLSVersion.TLSv1_1, least=ssl.TLSVersion.TLSv1)
        except (ssl.SSLError, ConnectionError):
            old = None
        equal(old, None, "an old TLS version")
        try:
            shake(alpn=("http/1.1",))
        except (ssl.SSLError, ConnectionError):
            pass
        works(g, good(certs)).ok()


@story
def missing_and_mismatched_files_are_named():
    tmp, certs = certificates()
    with tmp:
        for broken, part in (("sse_server_key.pem", "sse_server_key.pem"), ("sse_server_cert.pem", "sse_server_cert.pem"),
                             ("root_cert.pem", "root_cert.pem")):
            d = os.path.join(certs.folder, "broken")
            shutil.rmtree(d, ignore_errors=True)
            shutil.copytree(certs.server, d)
            os.remove(os.path.join(d, broken))
            with Folder(CONFIG % (d, ""), FILES) as f:
                contains(f.run("run", "--config", f.config, "--state", f.state, code=1).err, part)
            with open(os.path.join(d, broken), "w") as out:
                out.write("no pem\n")
            with Folder(CONFIG % (d, ""), FILES) as f:
                contains(f.run("run", "--config", f.config, "--state", f.state, code=1).err, part)
        shutil.copy(certs.server + "/sse_server_cert.pem", certs.client)
        shutil.copy(certs.client + "/sse_client_key.pem", certs.client + "/sse_server_key.pem")
        with Folder(CONFIG % (certs.client, ""), FILES) as f:
            contains(f.run("run", "--config", f.config, "--state", f.state, code=1).err, "sse_server_key.pem")


@story
def certificates_are_those_of_the_generation():
    """New files, another root among them, count from a reload on; a reload with files that do not go together changes nothing."""
    tmp, certs = certificates()
    with tmp, tempfile.TemporaryDirectory(prefix="patchbay-certs-") as other_dir:
        other = Certificates(other_dir)

        def install(names):
            for name in names:
                with open(os.path.join(certs.server, name), "wb") as f:
                    f.write(other.read("server/" + name))
        with Gateway(CONFIG % (certs.server, ""), FILES, workers=2) as g:
            works(g, good(certs)).ok()
            install(["sse_server_key.pem"])
            contains(g.run("reload", "--state", g.state, code=1).err, "sse_server_key.pem")
            works(g, good(certs)).ok()
            install(["sse_server_cert.pem", "root_cert.pem"])
            works(g, good(certs)).ok()  # the running generation has its own
            refused(g, good(other))
            g.run("reload", "--state", g.state)
            works(g, good(other)).ok()
            refused(g, good(certs))


@story
def no_public_address_without_identity():
    for address in ("0.0.0.0:0", "[::]:0"):
        text = '[listen "sse"]\naddress = %s\n' % address
        with Folder(text, FILES) as f:
            contains(f.run("run", "--config", f.config, "--state", f.state, code=1).err, "patchbay.ini:2", "insecure")
        with Gateway(text + "insecure = yes\n", FILES):
            pass


if __name__ == "__main__":
    main()
