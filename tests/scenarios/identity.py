# SPDX-License-Identifier: MIT
"""Who may call what: keys, tokens made by jose, certificates, allow lists, and what others are told."""
import json
import os
import subprocess
import tempfile
import time

import grpc

from lib.certs import Certificates
from lib.gateway import SSE, Folder, Gateway
from lib.issuer import Issuer
from lib.sse import Client, client, common
from lib.story import contains, equal, eventually, lacks, main, skip, story, true

HTTP = '[listen "http"]\naddress = 127.0.0.1:0\n'
FUNCTIONS = """
[function "open"]
id = 1
script = functions/f.lua
params = a:str
returns = str
[function "keyed"]
id = 2
script = functions/f.lua
params = a:str
returns = str
allow_keys = etl*
allow_tokens = robot
[function "kims"]
id = 3
script = functions/f.lua
params = a:str
returns = str
allow_users = UserDirectory=ACME; UserId=kim
allow_apps = app-1
"""
FILES = {"scripts/functions/f.lua": "return function(a) return a end\n"}
UNKNOWN = "pbk_" + "0" * 43


def new_key(name, *args):
    """A key as `patchbay new-key` makes it: its text, and the section for patchbay.ini."""
    with Folder("") as f:
        p = f.run("new-key", name, *args)
        return p.out.strip(), p.err[p.err.index("["):]


def post(g, function, *headers, scheme="http", args=(), host=None, path="/functions/"):
    p = subprocess.run(["curl", "-sS", "-i", "--max-time", "60", "-H", "content-type: application/json",
                        *[x for h in headers for x in ("-H", h)], *args, "-d", '{"rows": [["x"]]}',
                        "%s://%s%s%s" % (scheme, host or g.address("http"), path, function)], capture_output=True, text=True)
    equal(p.returncode, 0, p.stderr)
    head, _, body = p.stdout.partition("\n\n" if "\r" not in p.stdout else "\r\n\r\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, body = body.partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


def said(answer, status, code):
    """It was refused in as many words as a stranger may hear."""
    equal(answer[0], status, answer)
    error = json.loads(answer[2])["error"]
    equal(error["code"], code)
    lacks(error["message"], "etl", "allow_", "expired", "known", "certificate \"")
    return answer


@story
def keys():
    key, section = new_key("etl-1")
    other, other_section = new_key("reports")
    late, late_section = new_key("etl-late", "--lasts", "1s")
    time.sleep(1.1)
    with Gateway(SSE + HTTP + FUNCTIONS + section + other_section + late_section, FILES) as g:
        equal(post(g, "open")[0], 200)
        said(post(g, "keyed"), 401, "UNAUTHENTICATED")
        contains(post(g, "keyed")[1], "www-authenticate: bearer")
        equal(post(g, "keyed", "x-api-key: " + key)[0], 200)
        equal(post(g, "keyed", "authorization: Bearer " + key)[0], 200)
        time.sleep(1)  # each refusal below has its line: at most one a second is written
        said(post(g, "keyed", "x-api-key: " + other), 403, "PERMISSION_DENIED")
        contains(g.await_log("msg=refused", "reports")[0], "allow_keys")
        time.sleep(1)
        said(post(g, "open", "x-api-key: " + UNKNOWN), 401, "UNAUTHENTICATED")  # what is shown must be good
        g.await_log("msg=refused", "not one of the")
        time.sleep(1)
        said(post(g, "keyed", "x-api-key: " + late), 401, "UNAUTHENTICATED")
        g.await_log("msg=refused", "expired at")
        with client(g) as c:
            equal(c.call(2, ["a"]).code, grpc.StatusCode.UNAUTHENTICATED)
            equal(c.call(2, ["a"], metadata=[("x-api-key", key)]).ok().texts(), ["a"])
            equal(c.call(2, ["a"], metadata=[("authorization", "Bearer " + key)]).ok().texts(), ["a"])
            equal(c.call(2, ["a"], metadata=[("x-api-key", other)]).code, grpc.StatusCode.PERMISSION_DENIED)
            equal(c.call(3, ["a"]).ok().texts(), ["a"])
            for header in (common(user="UserDirectory=ACME; UserId=eve"), common(app="app-2"), None):
                r = c.call(3, ["a"], header=header)
                equal((r.code, r.details), (grpc.StatusCode.PERMISSION_DENIED, "not allowed"))
        for secret in key, other, late, UNKNOWN:
            lacks(g.log(), secret)


@story
def one_name_of_two_issuers():
    """A subject is its issuer's: where there are several, a list has to say whose."""
    issuer = '[issuer "%s"]\nissuer = https://%s.example\naudience = patchbay\njwks_url = http://127.0.0.1:9/\n'
    two = issuer % ("hr", "hr") + issuer % ("it", "it")
    with Folder(SSE + HTTP + FUNCTIONS + two, FILES) as f:
        contains(f.check(code=1).err, "allow_tokens", "robot", "does not say whose", "hr:robot")
        for good in ("hr:robot, it:*", "*"):
            f.reconfigure(SSE + HTTP + FUNCTIONS.replace("allow_tokens = robot", "allow_tokens = " + good) + two)
            f.check()
        f.reconfigure(SSE + HTTP + FUNCTIONS.replace("allow_tokens = robot", "allow_tokens = hr:robot, other:robot") + two)
        contains(f.check(code=1).err, "other:robot")


@story
def the_admin_token():
    with Gateway(SSE + HTTP + FUNCTIONS, FILES) as g:
        path = os.path.join(g.state, "admin.token")
        equal(os.stat(path).st_mode & 0o777, 0o600)
        token = open(path).read().strip()
        equal(post(g, "open", "x-api-key: " + token)[0], 200)
        said(post(g, "keyed", "x-api-key: " + token), 403, "PERMISSION_DENIED")
        g.restart()
        equal(open(path).read().strip(), token)
        # The command line shows it, or another.
        table = g.write("table.csv", "a\nx\n")
        call = ["call", "open", table, "--address", g.address("sse"), "--quiet"]
        contains(g.run(*call, "--key", path).out, "x,x")
        contains(g.run("call", "keyed", *call[2:], code=1).err, "authentication is required")
        contains(g.run("call", "keyed", *call[2:], "--key", path, code=1).err, "not allowed")
        contains(g.run(*call, "--key", g.write("none", UNKNOWN + "\n"), code=1).err, "authentication is required")
        contains(g.run(*call, "--key", table, code=4).err, "table.csv")
        g.stop()
        os.chmod(path, 0o644)
        p = g.run("run", "--workers", "0", "--config", g.config, "--state", g.state, code=1)
        contains(p.err, "admin.token", "nobody else may read")


@story
def beyond_loopback():
    """Nobody listens to strangers by accident."""
    _, section = new_key("etl")
    public = '[listen "http"]\naddress = 0.0.0.0:0\n'
    for config, code in ((public, 1), (public + section, 0), (public + "insecure = yes\n", 0),
                         (SSE.replace("127.0.0.1", "0.0.0.0") + section, 1),
                         (SSE.replace("127.0.0.1", "0.0.0.0") + "auth = required\n" + section, 0),
                         (HTTP + "auth = required\n", 1), ('[listen "admin"]\naddress = [::]:0\n', 0)):
        with Folder(config + FUNCTIONS, FILES) as f:
            p = f.check(code)
            if code:
                contains(p.err, "patchbay.ini:")
    key, section = new_key("etl")
    with Gateway(public + FUNCTIONS + section, FILES) as g:
        here = "127.0.0.1:%d" % g.port("http")
        said(post(g, "open", host=here), 401, "UNAUTHENTICATED")
        equal(post(g, "open", "x-api-key: " + key, host=here)[0], 200)


@story
def tokens():
    with Issuer() as issuer:
        section = ('[issuer "id"]\nissuer = https://id.example\naudience = patchbay\njwks_url = http://127.0.0.1:%d/keys\n'
                   % issuer.port)
        with Gateway(SSE + HTTP + FUNCTIONS + section, FILES) as g:
            def bearer(*args, **claims):
                return post(g, "keyed", "authorization: Bearer " + issuer.token(*args, **claims))
            g.await_log("the keys of an issuer were read")
            equal(bearer()[0], 200)
            said(bearer(sub="somebody"), 403, "PERMISSION_DENIED")
            for claims in ({"aud": "other"}, {"iss": "https://other.example"}, {"exp": int(time.time()) - 120}):
                said(bearer(**claims), 401, "UNAUTHENTICATED")
            said(bearer("foreign"), 401, "UNAUTHENTICATED")
            said(post(g, "open", "authorization: Bearer x.y.z"), 401, "UNAUTHENTICATED")
            with client(g) as c:
                equal(c.call(2, ["a"], metadata=[("authorization", "Bearer " + issuer.token())]).ok().texts(), ["a"])
            # Unknown keys are asked for at most once a minute, however many tokens name them.
            issuer.ask("rotate")
            for _ in range(5):
                said(bearer(), 401, "UNAUTHENTICATED")
            true(int(issuer.ask("count")) <= 2, "the keys were fetched too often")
        with Gateway(SSE + HTTP + FUNCTIONS + section, FILES) as g:  # the new key, ES256
            g.await_log("the keys of an issuer were read")
            equal(post(g, "keyed", "authorization: Bearer " + issuer.token())[0], 200)


@story
def mutual_tls_for_http():
    with tempfile.TemporaryDirectory(prefix="patchbay-certs-") as tmp:
        certs = Certificates(tmp)
        config = HTTP + "tls_dir = %s\n" % certs.server + FUNCTIONS + "allow_subjects = CN=sse_client\n"
        with Gateway(config, FILES) as g:
            own = ["--cacert", certs.root_cert, "--cert", os.path.join(certs.client, "sse_client_cert.pem"),
                   "--key", os.path.join(certs.client, "sse_client_key.pem")]
            equal(post(g, "open", scheme="https", args=own)[0], 200)
            p = subprocess.run(["curl", "-sS", "--cacert", certs.root_cert, "https://%s/functions" % g.address("http")],
                               capture_output=True)
            true(p.returncode != 0, "a client without certificate was answered")
        key, section = new_key("etl")
        files = "tls_cert = %s/sse_server_cert.pem\ntls_key = %s/sse_server_key.pem\nauth = required\n" % ((certs.server,) * 2)
        with Gateway(HTTP + files + FUNCTIONS + section, FILES) as g:
            ca = ["--cacert", certs.root_cert]
            said(post(g, "open", scheme="https", args=ca), 401, "UNAUTHENTICATED")
            equal(post(g, "open", "x-api-key: " + key, scheme="https", args=ca)[0], 200)


@story
def limits_answer_at_once():
    key, section = new_key("etl")
    limits = "[limits]\nkey_rate = 0.1\nkey_burst = 3\nuser_rate = 0.1\nuser_burst = 2\ncall_rows = 5\npeer_connections = 4\n"
    with Gateway(SSE + HTTP + FUNCTIONS + section + limits, FILES) as g:
        got = [post(g, "open", "x-api-key: " + key) for _ in range(4)]
        equal([a[0] for a in got], [200, 200, 200, 429])
        contains(got[3][1], "retry-after: ")
        with client(g) as c:
            equal([c.call(1, ["a"]).code.name for _ in range(3)], ["OK", "OK", "RESOURCE_EXHAUSTED"])
            r = c.call(1, ["a"])
            true(int(r.trailing["grpc-retry-pushback-ms"]) > 0, "no pushback")
            other = common(user="other")
            r = c.call(1, ["a"] * 6, header=other).fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "one call may have")
            equal(len(c.call(1, ["a"] * 5, header=other).ok().texts()), 5)
        import socket
        host, port = g.address("http").split(":")
        held = [socket.create_connection((host, int(port))) for _ in range(8)]

        def closed(s):
            s.settimeout(0.1)
            try:
                return s.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True
        eventually(lambda: sum(closed(s) for s in held) >= 4, "more connections than one address may have are closed")
        g.await_log("connection refused", "peer_connections")
        for s in held:
            s.close()
        eventually(lambda: post(g, "open")[0] == 200, "room again")


main()
