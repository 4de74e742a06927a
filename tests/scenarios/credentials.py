# SPDX-License-Identifier: MIT
"""Where AWS credentials come from: every source of the chain against stand-ins that give out keys and a runtime that
checks every signature with them; renewal, expiry in the middle of many rows, a clock that is off, hostile settings."""
import hashlib
import json
import os
import sys
import threading
import time

from lib.gateway import SSE, TESTS, Gateway
from lib.sse import CODE, client
from lib.story import SOAK, contains, equal, eventually, lacks, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from aws_identity import ROLE, Identity  # noqa: E402
from aws_verify import KEY, SECRET, Keyring  # noqa: E402
from sagemaker_runtime import Runtime  # noqa: E402

NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


def config(connectors, runtime, identity=None, functions="endpoint = csv\n", region="region = eu-west-1\n"):
    """A function per connector, of the same name."""
    text = SSE
    for name, options in connectors.items():
        text += '[connector "%s"]\nplugin = sagemaker\n%sservice_url.sagemaker_runtime = %s\n' % (name, region, runtime.url)
        if identity:
            text += "service_url.sts = %s\nservice_url.sso = %s\n" % (identity.url, identity.url)
        text += options + "\n"
        text += '[function "%s"]\nconnector = %s\noperation = invoke\nparams = n:num\n%s\n' % (name, name, functions)
    return text


def pair():
    ring = Keyring()
    return Runtime(ring=ring), Identity(ring=ring)


def asks(g, c, name, numbers=(4.0, 6.0)):
    equal(c.call(c.ids()[name], list(numbers)).ok().numbers(), [n / 2 for n in numbers], name)


@story
def profiles():
    runtime, identity = pair()
    ring = runtime.ring
    key, secret, token, _ = ring.issue(3600)
    answer = json.dumps({"Version": 1, "AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token})
    sso_name = hashlib.sha1(b"corp").hexdigest()
    files = {
        "aws/credentials": "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (KEY, SECRET),
        "aws/config": """[profile role]
role_arn = %(role)s
source_profile = default
external_id = a b/c=&
role_session_name = kim
duration_seconds = 900
[profile chain]
role_arn = %(role)s-second
source_profile = role
[profile own]
role_arn = %(role)s-own
source_profile = own
aws_access_key_id = %(key)s
aws_secret_access_key = %(secret)s
[profile env]
role_arn = %(role)s-env
credential_source = Environment
[profile web]
role_arn = %(role)s-web
web_identity_token_file = @DIR@/web.token
[profile process]
credential_process = sh "@DIR@/keys.sh" --anything
[profile sso]
sso_session = corp
sso_account_id = 111111111111
sso_role_name = Data Scientist
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.example
[profile circle]
role_arn = %(role)s
source_profile = circle2
[profile circle2]
role_arn = %(role)s
source_profile = circle
[profile mfa]
role_arn = %(role)s
source_profile = default
mfa_serial = arn:aws:iam::1:mfa/x
[profile orphan]
role_arn = %(role)s
source_profile = nobody
[profile false]
credential_process = false
[profile words]
credential_process = echo '{"Version": 2}'
""" % {"role": ROLE, "key": KEY, "secret": SECRET},
        "web.token": identity.web_token + "\n",
        "keys.sh": "echo '%s'\n" % answer,
        ".aws/sso/cache/%s.json" % sso_name: json.dumps({"accessToken": identity.sso_token,
                                                         "expiresAt": "2099-01-01T00:00:00Z"}),
    }
    good = ("default", "role", "chain", "own", "env", "web", "process", "sso")
    bad = {"circle": "circle", "mfa": "mfa_serial", "orphan": "nobody", "false": "ended with 1", "words": "Version",
           "missing": "in neither"}
    identity.external_id = None
    with runtime, identity:
        g = Gateway(config({n: "profile = " + n for n in [*good, *bad]}, runtime, identity), files)
        g.env = {"AWS_CONFIG_FILE": os.path.join(g.dir, "aws/config"),
                 "AWS_SHARED_CREDENTIALS_FILE": os.path.join(g.dir, "aws/credentials"), "HOME": g.dir}
        with g, client(g) as c:
            for name in good:
                asks(g, c, name)
            for name, part in bad.items():
                got = c.call(c.ids()[name], [1.0])
                got.fails(got.code, part)
                lacks(got.details, SECRET)
            roles = {r[1][len(ROLE):]: r for r in identity.roles}
            equal(roles[""][0], KEY)
            equal({r[2] for r in identity.roles if r[1] == ROLE}, {"kim"})
            true(roles["-second"][0].startswith("ASIA"), roles["-second"])
            equal(roles["-web"][0], "web")
            form = next(e.body.decode() for e in identity.entries if "ExternalId" in e.body.decode())
            contains(form, "ExternalId=a%20b%2Fc%3D%26")
            contains(form, "DurationSeconds=900")
            for secret_text in (SECRET, secret, token, identity.web_token, identity.sso_token):
                lacks(g.log(), secret_text)


@story
def a_role_of_the_connector():
    runtime, identity = pair()
    identity.external_id = "xyz"
    with runtime, identity:
        options = "role_arn = %s\nrole_session_name = gateway\n" % ROLE
        with Gateway(config({"right": options + "external_id = xyz\n", "wrong": options}, runtime, identity)) as g, \
                client(g) as c:
            asks(g, c, "right")
            c.call(c.ids()["wrong"], [1.0]).fails(CODE.UNAUTHENTICATED, "AssumeRole of " + ROLE, "AccessDenied")


@story
def the_environment_of_a_pod():
    runtime, identity = pair()
    with runtime, identity:
        g = Gateway(config({"web": "", "metadata_is_not_asked": ""}, runtime, identity), {"token": identity.web_token})
        g.env = NO_KEYS | {"AWS_WEB_IDENTITY_TOKEN_FILE": os.path.join(g.dir, "token"), "AWS_ROLE_ARN": ROLE,
                           "AWS_ROLE_SESSION_NAME": "pod"}
        with g, client(g) as c:
            asks(g, c, "web")
            equal({r[2] for r in identity.roles}, {"pod"})
        identity.container_token = "Bearer of the pod"
        g = Gateway(config({"container": ""}, runtime, identity), {"token": identity.container_token.replace(" ", "-")})
        identity.container_token = identity.container_token.replace(" ", "-")
        g.env = NO_KEYS | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": identity.url + "/container/creds?id=1",
                           "AWS_CONTAINER_AUTHORIZATION_TOKEN": "not this one",
                           "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": os.path.join(g.dir, "token")}
        with g, client(g) as c:
            asks(g, c, "container")
    for uri in ("http://example.com/creds", "http://127.0.0.1.example.com/", "http://169.254.170.2@example.com/", "ftp://x/"):
        with Gateway(config({"f": ""}, runtime), env=NO_KEYS | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}) as g, \
                client(g) as c:
            got = c.call(c.ids()["f"], [1.0])
            got.fails(CODE.PERMISSION_DENIED, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
            lacks(got.details, "example.com")


@story
def an_instance():
    runtime, identity = pair()
    env = NO_KEYS | {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": identity.url}
    with runtime, identity:
        # No region is configured: the instance's own.
        with Gateway(config({"f": ""}, runtime, region=""), env=env) as g, client(g) as c:
            asks(g, c, "f")
            eventually(lambda: len(identity.of("/placement/region")) == 1, "the region")
        identity.forget()
        identity.v1_only = True
        with Gateway(config({"f": ""}, runtime), env=env) as g, client(g) as c:
            asks(g, c, "f")
            equal([e.status for e in identity.of("/latest/")], [404, 200, 200])
        identity.down = True
        with Gateway(config({"f": ""}, runtime), env=env) as g, client(g) as c:
            c.call(c.ids()["f"], [1.0]).fails(CODE.UNAVAILABLE, "metadata")
            identity.down, identity.v1_only = False, False
            eventually(lambda: c.call(c.ids()["f"], [4.0]).code == CODE.OK, "it to recover")


@story
def keys_expire_in_the_middle():
    """Many rows; everything that was given out is revoked again and again. Nothing is lost, and one renewal serves all."""
    runtime, identity = pair()
    numbers = [float(i) for i in range(1000000 if SOAK else 6000)]
    with runtime, identity:
        answer, gate = runtime.answer, threading.Lock()
        state = {"n": 0, "last": time.monotonic()}

        def revoking(handler, entry):
            with gate:  # all wait, so that the revocation meets requests that are under way
                state["n"] += 1
                if state["n"] in (100, 400):
                    time.sleep(max(0, 2.2 - (time.monotonic() - state["last"])))  # refused keys are kept for two seconds
                    identity.ring.revoke_all()
                    state["last"] = time.monotonic()
            return answer(handler, entry)
        runtime.answer = revoking
        functions = "endpoint = csv\nmax_rows = %d\nin_flight = 8\nattempts = 1\n" % (len(numbers) // 600)
        with Gateway(config({"f": "role_arn = " + ROLE}, runtime, identity, functions)) as g, client(g) as c:
            equal(c.call(c.ids()["f"], numbers, size=500, timeout=900).ok().numbers(), [n / 2 for n in numbers])
            true(3 <= len(identity.roles) <= 5, "%d renewals" % len(identity.roles))
            true(any(e.status == 403 for e in runtime.entries), "nothing was refused")


@story
def keys_are_renewed_before_they_end():
    runtime, identity = pair()
    identity.lifetime = 302  # five minutes and a little: due in two seconds
    with runtime, identity:
        with Gateway(config({"f": "role_arn = " + ROLE}, runtime, identity)) as g, client(g) as c:
            asks(g, c, "f")
            eventually(lambda: len(identity.roles) >= 2, "a renewal nobody asked for")
            asks(g, c, "f")
            equal([e.status for e in runtime.entries], [200, 200])


@story
def a_clock_that_is_off():
    runtime, identity = pair()
    for skew in (-7200, 86400):
        runtime.skew = skew
        runtime.forget()
        if not runtime.thread.is_alive():
            runtime.start()
        with Gateway(config({"f": ""}, runtime, functions="endpoint = csv\nattempts = 1\n")) as g, client(g) as c:
            asks(g, c, "f")
            asks(g, c, "f")
            equal([e.status for e in runtime.entries], [403, 200, 200])
            g.await_log("clock differs")
    runtime.stop()


@story
def endpoints_of_the_environment():
    """The variables of AWS's tools; and a name in them that is none of theirs changes nothing."""
    with Runtime() as r:
        text = SSE + '[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\n[function "f"]\nconnector = aws\n' \
                     'operation = invoke\nparams = n:num\nendpoint = csv\nattempts = 1\n'
        for env in ({"AWS_ENDPOINT_URL": r.url}, {"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": r.url + "/",
                                                  "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}):
            with Gateway(text, env=env) as g, client(g) as c:
                equal(c.call(c.ids()["f"], [4.0]).ok().numbers(), [2.0])
        g = Gateway(text)
        try:
            for env, host in ((({}), "https://runtime.sagemaker.eu-west-1.amazonaws.com/"),
                              ({"AWS_USE_FIPS_ENDPOINT": "true"}, "https://runtime-fips.sagemaker.eu-west-1.amazonaws.com/"),
                              ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://runtime.sagemaker.eu-west-1.api.aws/"),
                              ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": r.url},
                               "https://runtime.sagemaker.eu-west-1.amazonaws.com/")):
                contains(g.run("explain", "f", "1", "--config", g.config, env=env).out, host)
            g.reconfigure(text.replace("eu-west-1", "cn-north-1"))
            contains(g.run("explain", "f", "1", "--config", g.config).out,
                     "https://runtime.sagemaker.cn-north-1.amazonaws.com.cn/")
            for bad in ("region = eu-west-1/x", "endpoint_url = ftp://x", "service_url.lambda = https://x",
                        "access_key_id = x", "service_url.s3 = https://"):
                key = "region = eu-west-1\n" if bad.startswith("region") else ""
                g.reconfigure(text.replace("region = eu-west-1\n", bad + "\n" if key else "region = eu-west-1\n%s\n" % bad))
                contains(g.check(code=None).err + g.check(code=None).out, bad.split(" ")[0].split(".")[0])
        finally:
            g.remove()


if __name__ == "__main__":
    main()
