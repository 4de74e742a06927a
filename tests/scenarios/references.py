# SPDX-License-Identifier: MIT
"""Values behind ssm: and secretsmanager:, resolved by one connector for others: order, circles, rotation, bad references."""
import json
import os
import sys

from lib.gateway import SSE, TESTS, Folder, Gateway
from lib.sse import CODE, client
from lib.story import contains, equal, eventually, lacks, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_api import Api  # noqa: E402

FUNCTION = '[function "%s"]\nconnector = %s\noperation = invoke\nparams = n:num\nendpoint = csv\nattempts = 1\n'


def connector(name, api, options=""):
    return '[connector "%s"]\nplugin = sagemaker\nregion = eu-west-1\nendpoint_url = %s\n%s\n' % (name, api.url, options)


def user(api, name="b"):
    return connector(name, api, "access_key_id = secretsmanager:prod/keys#id\n"
                                "secret_access_key = secretsmanager:prod/keys#secret\nsession_token = ssm:/prod/token\n")


@story
def one_connector_resolves_for_another():
    with Api() as api:
        key, secret, token, _ = api.ring.issue(3600)
        api.secrets["prod/keys"] = json.dumps({"id": key, "secret": secret, "n": 1})
        api.parameters["/prod/token"] = token
        # The one that asks stands before the one that resolves: `b` is made after `aws` was started.
        config = SSE + user(api) + connector("aws", api, "secret_ttl = 1s\n") + FUNCTION % ("f", "b")
        with Gateway(config) as g, client(g) as c:
            equal(c.call(c.ids()["f"], [4.0]).ok().numbers(), [2.0])
            equal(api.secret_reads, 3)
            g.check()
            contains(g.run("explain", "f", "1", "--config", g.config).out, "/endpoints/csv/invocations")
            equal(api.secret_reads, 3, "check and explain ask nobody")
            # The keys are rotated: refused ones are asked for again, and the batch is sent again with the new ones.
            key2, secret2, token2, _ = api.ring.issue(3600)
            api.secrets["prod/keys"] = json.dumps({"id": key2, "secret": secret2})
            api.parameters["/prod/token"] = token2
            api.ring.add(key, secret, token, 0)
            eventually(lambda: c.call(c.ids()["f"], [4.0]).code == CODE.OK, "the new keys")
            for s in (secret, token, secret2, token2):
                lacks(g.log(), s)


@story
def files_are_read_again():
    """Keys in files, as secrets are mounted: replaced while it runs, and refused."""
    with Api() as api:
        keys = [api.ring.issue(3600) for _ in range(2)]
        def files(k):
            return {"id": k[0], "secret": k[1] + "\n", "token": k[2]}
        config = SSE + connector("aws", api, "access_key_id = file:id\nsecret_access_key = file:secret\nsession_token = file:token\n") + \
            FUNCTION % ("f", "aws")
        with Gateway(config, files(keys[0])) as g, client(g) as c:
            equal(c.call(c.ids()["f"], [4.0]).ok().numbers(), [2.0])
            for name, text in files(keys[1]).items():
                g.write(name, text)
            api.ring.add(*keys[0][:3], 0)
            eventually(lambda: c.call(c.ids()["f"], [4.0]).code == CODE.OK, "the new keys")


@story
def what_cannot_be_resolved():
    with Api() as api:
        api.secrets.update(text="just text", object='{"a": 1}')
        api.parameters["/long"] = "x" * 70000
        cases = {"ssm:/nobody": "ParameterNotFound", "secretsmanager:nobody": "can't find", "secretsmanager:text#k": "not a JSON object",
                 "secretsmanager:object#b": "no text under the key", "ssm:": "a parameter's name", "ssm:/long": "64 KiB"}
        for reference, part in cases.items():
            config = SSE + connector("aws", api) + connector("b", api, "external_id = %s\n" % reference)
            with Folder(config) as f:
                p = f.run("run", "--workers", "0", "--config", f.config, "--state", f.state, code=None)
                true(p.returncode != 0, reference)
                contains(p.err, part)
                contains(p.err, "patchbay.ini:")
                contains(p.err, "external_id")
                lacks(p.err, "just text")
        for config, part in ((SSE + connector("aws", api, "external_id = ssm:/x\n"), "a circle"),
                             (SSE + '[connector "e"]\nplugin = sagemaker\nregion = x\n[store]\nurl = ssm:/x\n', "[connector] and [function]")):
            with Folder(config) as f:
                contains(f.check(code=None).err, part)
        # Quoted, it is plain text.
        with Folder(SSE + connector("aws", api, 'external_id = "ssm:/x"\n')) as f:
            f.check()


if __name__ == "__main__":
    main()
