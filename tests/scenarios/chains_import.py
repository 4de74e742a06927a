#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""apps.js of Serverless Task Chaining: read without running it, as Node reads it; repaired and faithful; its findings;
and what `patchbay simulate` says of the chains that come out."""
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.story import contains, equal, main, story, true  # noqa: E402

PATCHBAY = os.environ["PATCHBAY"]
DATA = os.path.join(os.environ["PB_TESTS_DIR"], "data", "chains", "import")
PAPER = os.path.join(DATA, "paper_apps.js")


def run(*args, stdin=None):
    return subprocess.run([PATCHBAY, *args], input=stdin, capture_output=True, text=True, timeout=60)


def paper_rows():
    """The rows as Node reads them, once the two defects of the printed file are out of the way."""
    text = open(PAPER).read()
    fixed = re.sub(r"-\n", "-", text).rstrip().rstrip("}").rstrip() + "\n]"
    script = "const vm=require('vm');const m={};vm.runInNewContext(require('fs').readFileSync(0,'utf8'),{module:m});" \
             "console.log(JSON.stringify(m.exports))"
    out = subprocess.run(["node", "-e", script], input=fixed, capture_output=True, text=True, timeout=60)
    equal(out.returncode, 0, out.stderr)
    return json.loads(out.stdout)


def lambda_fires(rows, app, status):
    """index.js: the first row with this appId and condition; each name of its chain to the first row of that name."""
    row = next((r for r in rows if r["appId"] == app and r.get("condition") == status), None)
    if not row or "chain" not in row:
        return []
    return [next(r for r in rows if r["name"] == name)["appId"] for name in row["chain"]]


def simulated(scripts, payload):
    out = run("simulate", "-", "--scripts", scripts, "--at", "2026-11-21T02:30:00Z", stdin=json.dumps(payload))
    equal(out.returncode, 0, out.stderr)
    started = []
    for line in out.stdout.splitlines():
        if line.startswith("fired"):
            started += re.findall(r"starts (.*?)(?=, starts |$)", line)
    return started, out.stdout


def webhook(app, status):
    """As Qlik Cloud delivers it (https://qlik.dev/apis/event/reloads)."""
    words = {"ok": "SUCCEEDED", "error": "FAILED", "canceled": "CANCELED"}
    return {"id": "e1", "type": "com.qlik.v1.reload.finished", "specversion": "1.0", "source": "com.qlik/reloads",
            "time": "2026-11-21T02:30:00Z", "toplevelresourceid": app,
            "data": {"id": "6a84", "appId": app, "userId": "u", "status": words[status], "succeeded": status == "ok"}}


@story
def repaired_is_the_golden_file():
    out = run("import-apps", PAPER)
    equal(out.returncode, 1)
    equal(out.stdout, open(os.path.join(DATA, "paper_repaired.lua")).read())
    contains(out.stderr, "line 2: warning: a text was broken over two lines", "closed with }",
             '"2nd chain3a" has the appId of "2nd chain2"', "reloaded for ever; repaired")


@story
def faithful_does_what_the_old_code_did():
    rows = paper_rows()
    with tempfile.TemporaryDirectory() as tmp:
        os.mkdir(os.path.join(tmp, "chains"))
        lua = os.path.join(tmp, "chains", "imported.lua")
        out = run("import-apps", "--faithful", PAPER, "-o", lua)
        equal(out.returncode, 1, out.stderr)
        contains(out.stderr, "reloads itself each time that it ends ok: it runs for ever")
        equal(run("import-apps", PAPER, "-o", lua).returncode, 1)  # a file is not written over
        names = {}
        for row in rows:
            names.setdefault(row["appId"], row["name"])
        for app in names:
            for status in ("ok", "error", "canceled"):
                started, said = simulated(tmp, webhook(app, status))
                equal(started, [names[a] for a in lambda_fires(rows, app, status)], "%s %s\n%s" % (names[app], status, said))


@story
def repaired_ends():
    with tempfile.TemporaryDirectory() as tmp:
        os.mkdir(os.path.join(tmp, "chains"))
        run("import-apps", PAPER, "-o", os.path.join(tmp, "chains", "imported.lua"))
        loop = "9f824b21-d089-4e59-8596-ad1a0d483f3f"
        equal(simulated(tmp, webhook(loop, "ok"))[0], ["2nd chain3a"])
        equal(simulated(tmp, webhook(loop, "error"))[0], ["2nd chain3b"])
        # The older envelope and an app's own event tell the same.
        old = {"cloudEventsVersion": "0.1", "eventType": "com.qlik.v1.app.reload.finished", "eventId": "e2",
               "extensions": {"topLevelResourceId": loop}, "data": {"status": "error", "reloadId": "r", "duration": 1}}
        equal(simulated(tmp, old)[0], ["2nd chain3b"])
        contains(simulated(tmp, webhook("not in it", "ok"))[1], "no link listens")
        contains(simulated(tmp, {"app": "2nd chain2", "status": "canceled"})[1], "skipped", "this is for ok")


@story
def findings():
    cases = [
        ("module.exports = [{name:'a',appId:'1',chain:['a'],condition:'ok'}]", 1, "reloads itself"),
        ("[{name:'a',appId:'1',chain:['b'],condition:'ok'},{name:'b',appId:'2',chain:['a'],condition:'ok'}]", 2, "closes a cycle"),
        ("[{name:'a',appId:'1',chain:['nix'],condition:'ok'}]", 2, '"nix" is not the name of any entry'),
        ("[{name:'a',appId:'1',chain:['b'],condition:'ok'},{name:'b',appId:'2'},{name:'a',appId:'1',chain:['c'],condition:'ok'},"
         "{name:'c',appId:'3'}]", 1, "only that one ever fired; repaired: both do"),
        ("[{name:'a',appId:'1',chain:['b']},{name:'b',appId:'2'}]", 1, "has a chain and no condition"),
        ("[{name:'a',appId:'1',chain:['b'],condition:'done'},{name:'b',appId:'2'}]", 2, "neither ok nor error"),
        ("[{name:'a',appId:'1',chain:['b'],condition:'ok'},{name:'b',appId:'2'},{name:'b',appId:'3'}]", 2, "which one is meant"),
        ("[{name:'a'},{appId:'2'},5]", 2, "has no appId"),
        ("[{name:'a',appId:'1'}]", 1, "is in no chain"),
        ("[{name:'a',appId:'1',chain:['b'],condition:'ok'},{name:'b',appId:'2'}]", 0, ""),
        ("export default [{name:'a',appId:'1',chain:'b',condition:'ok',},{'name':`b`,appId:\"2\"},];", 1, "taken as a list of one"),
        ("module.exports = require('./other')", 4, "code, which is not run"),
        ("[{name: process.env.X, appId:'1'}]", 4, "code, which is not run"),
        ("[{name: `${x}`, appId:'1'}]", 4, "code, which is not run"),
        ("[...other]", 4, "code, which is not run"),
        ("[{name:'a", 4, "does not end"),
        ("[" * 100, 4, "nested more than"),
        ("{name:'a'}", 4, "expected a list"),
        ("", 4, "there is no list"),
    ]
    for text, code, said in cases:
        out = run("import-apps", "-", stdin=text)
        equal((out.returncode, said in out.stderr), (code, True), "%s\n%s%s" % (text, out.stdout, out.stderr))
    out = run("import-apps", "/does/not/exist")
    equal(out.returncode, 4)
    out = run("import-apps", "-", "--connector", "prod", "--chain", "nightly",
              stdin="[{name:'a \"1\"',appId:'1',chain:['b'],condition:'error'},{name:'b',appId:'2'}]")
    contains(out.stdout, 'app "a \\"1\\"" { connector = "prod", id = "1" }', 'chain "nightly" {', 'on("a \\"1\\"").error { "b" },')


@story
def simulate_refuses():
    with tempfile.TemporaryDirectory() as tmp:
        os.mkdir(os.path.join(tmp, "chains"))
        for text, said in (("{", "line 1"), ("[]", "not a JSON object"), ('{"a":1,"a":2}', "duplicate"), ("{}", "given wants app")):
            out = run("simulate", "-", "--scripts", tmp, stdin=text)
            true(out.returncode == 4 and said in out.stderr, text, out.stderr)
        with open(os.path.join(tmp, "chains", "x.lua"), "w") as f:
            f.write('chain "x" { on("a").ok { "b" } }')
        out = run("simulate", "-", "--scripts", tmp, stdin='{"app":"a"}')
        equal(out.returncode, 1)
        contains(out.stderr, 'chains/x.lua:1: there is no app or chain "a"')
        equal(run("simulate", "-", "--scripts", tmp, "--at", "soon", stdin="{}").returncode, 2)


main()
