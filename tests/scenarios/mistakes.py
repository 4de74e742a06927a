#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an operator sees when something is wrong: `patchbay check` and `run` name file, line, value and what to do, and
the log goes where the configuration says."""
import os
import subprocess
import sys
import tempfile

PATCHBAY = os.environ["PATCHBAY"]

INI = """[listen "sse"]
address = 127.0.0.1:0
[connector "aws"]
plugin = sagemaker
region = eu-west-1
[function "predict"]
connector = aws
operation = invoke
endpoint = churn-v1
params = age:num, plan:str
answer = num
returns = str
transform = transforms/churn.lua
[function "shout"]
script = functions/shout.lua
params = word:str
returns = str
"""
SCRIPTS = {
    "transforms/churn.lua": "return { after = function(s) return tostring(s) end }\n",
    "functions/shout.lua": "return function(word) return word:upper() end\n",
}

# what is changed, into what, and what the message must hold
MISTAKES = [
    ("endpoint =", "endpont =", ['patchbay.ini:9:1: unknown key "endpont"', 'did you mean "endpoint"?']),
    ('[function "shout"]', '[fuction "shout"]', ["patchbay.ini:14:1:", "did you mean [function]?"]),
    ("churn.lua", "chrn.lua", ['patchbay.ini:6: [function "predict"]:', "transforms/chrn.lua", "No such file"]),
    ("shout.lua", "shot.lua", ['patchbay.ini:14: [function "shout"]:', "functions/shot.lua", "No such file"]),
    ("plugin = sagemaker", "plugin = sagemakr", ["patchbay.ini:3", 'did you mean "sagemaker"?']),
    ("connector = aws", "connector = awz", ['patchbay.ini:7:13: there is no [connector "awz"]']),
    ("operation = invoke", "operation = invok", ["patchbay.ini:8:13:", 'did you mean "invoke"?']),
    ("age:num", "age:number", ["patchbay.ini:10: params:", '"number" is no kind of column']),
    ("endpoint = churn-v1\n", "", ['patchbay.ini:6: [function "predict"] lacks "endpoint"']),
    ("endpoint = churn-v1", "endpoint = env:NO_SUCH_NAME", ["patchbay.ini:9:12:", '"NO_SUCH_NAME" is not set']),
    ('[function "shout"]', '[function "shout"]\ntype = aggregation',
     ['patchbay.ini:14: [function "shout"]: `type = aggregation` does not go with']),
    ("127.0.0.1:0", "0.0.0.0:0", ["patchbay.ini:2: address: anybody who reaches 0.0.0.0:0", "insecure = yes"]),
    ("127.0.0.1:0", "127.0.0.1:0\ntls_dir = nowhere",
     ["patchbay.ini:3: tls_dir:", "nowhere/sse_server_cert.pem: cannot read the certificate"]),
    ("127.0.0.1:0", "127.0.0.1", ["patchbay.ini:2: address", '"127.0.0.1" is not HOST:PORT']),
    ("127.0.0.1:0", "127.0.0.1:99999", ["patchbay.ini:2: address", '"127.0.0.1:99999" is not HOST:PORT']),
    ("127.0.0.1:0", '127.0.0.1:28123\n[listen "http"]\naddress = 127.0.0.1:28123',
     ["patchbay.ini:4: address: the listener sse is at 127.0.0.1:28123 already"]),
    ("127.0.0.1:0", "127.0.0.1:0\n[store]\nurl = postgres://x", ['patchbay.ini:4: store url "postgres:...": expected sqlite:PATH']),
    ('[listen "sse"]\naddress = 127.0.0.1:0\n', "", ["patchbay.ini: nothing to listen on"]),
    ("region = eu-west-1", "region = eu-west-1\npoll.queue = 1m", ["patchbay.ini:6: poll.queue wants queue_url"]),
    ("endpoint = churn-v1", "endpoint = churn-v1\ncolumn.endpoint = plan", ["patchbay.ini:10: column endpoint:", "allow_endpoints"]),
    ("operation = invoke\nendpoint = churn-v1", "operation = rest_30\nurl = foo", ["patchbay.ini:9: url is to begin with https://"]),
    ("operation = invoke\nendpoint = churn-v1", "operation = rest_template\nurl = https://x.example\nquery_parameter =",
     ["patchbay.ini:10: query_parameter is empty"]),
]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def patchbay(*args):
    return subprocess.run([PATCHBAY, *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def need(ok, what, r):
    if not ok:
        sys.exit(f"{what}: exit code {r.returncode}\n{r.stdout}{r.stderr}")


def mistakes(d):
    ini = os.path.join(d, "patchbay.ini")
    write(ini, INI)
    r = patchbay("check", "--config", ini)
    need(r.returncode == 0 and r.stdout.endswith("is sound: 1 connector, 2 functions\n"), "nothing wrong", r)
    for a, b, wanted in MISTAKES:
        if a not in INI:
            sys.exit(f"{a!r} is not in the configuration")
        write(ini, INI.replace(a, b, 1))
        r = patchbay("check", "--config", ini)
        need(r.returncode == 1 and not r.stdout, f"{a!r} -> {b!r}", r)
        for text in wanted:
            need(text in r.stderr, f"{a!r} -> {b!r}: no {text!r}", r)


def old_folder(d):
    """A function of an old gateway's folder that cannot be called is listed with the reason; the others are served."""
    ini = os.path.join(d, "patchbay.ini")
    data = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "qrag", "sagemaker")
    for name in ("functions.json", "config/qrag.ini"):
        with open(os.path.join(data, name)) as f:
            write(os.path.join(d, "old", name), f.read())
    write(ini, '[qrag "old"]\nfunctions = old/functions.json\nini = old/config/qrag.ini\naddress = 127.0.0.1:0\n')
    r = patchbay("check", "--config", ini)
    for text in ("0  sample_single(str1:str) -> str  tensor  through qrag-old\n",
                 "qrag.ini has no section [telco_customer_churn]\n", "is sound: 1 connector, 16 functions\n"):
        need(r.returncode == 0 and text in r.stdout, f"an old folder: no {text!r}", r)
    need("function=telco_customer_churn" in r.stderr, "an old folder: a warning", r)


def helps():
    r = patchbay("help")
    verbs = [line.split()[1] for line in r.stdout.splitlines() if line.startswith("    patchbay ")]
    need(len(verbs) >= 8, "patchbay help", r)
    for verb in verbs:
        r = patchbay("help", verb)
        need(r.returncode == 0 and r.stdout.startswith(f"usage: patchbay {verb}"), f"patchbay help {verb}", r)


def refused_plugin(d):
    write(os.path.join(d, "plugins", "broken.so"), "not a plugin\n")
    r = patchbay("plugins", "--dir", os.path.join(d, "plugins"))
    need(r.stdout == f"refused: {d}/plugins/broken.so: not an ELF file, so not a plugin\n" and not r.stderr, "plugins", r)


def no_function(d):
    ini = os.path.join(d, "patchbay.ini")
    write(ini, INI)
    r = patchbay("explain", "shot", "x", "--config", ini)
    need(r.returncode == 2 and r.stderr.endswith("there are predict, shout\n"), "explain", r)


def explained_once(d):
    """What is shown and not sent is not tried again."""
    ini = os.path.join(d, "patchbay.ini")
    write(ini, INI.replace("operation = invoke\nendpoint = churn-v1", "operation = ws_single\nws_url = ws://127.0.0.1:9/x\nws_route = r")
          .replace("answer = num\n", "").replace("age:num, plan:str", "age:str").replace("transform = transforms/churn.lua\n", ""))
    r = patchbay("explain", "predict", "1", "--config", ini)
    need("request 2" in r.stdout and "request 3" not in r.stdout, "explain of a WebSocket", r)


def log_file(d):
    ini, log = os.path.join(d, "patchbay.ini"), os.path.join(d, "gateway.log")
    write(ini, INI + f"[log]\nfile = {log}\n")
    g = subprocess.Popen([PATCHBAY, "run", "--config", ini, "--state", d, "--workers", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    try:
        line = g.stdout.readline()
        g.terminate()
        err = g.communicate(timeout=60)[1]
    finally:
        g.kill()
    with open(log) as f:
        text = f.read()
    if not line.startswith("ready sse=127.0.0.1:") or "msg=ready" not in text or "msg=stopped" not in text or err:
        sys.exit(f"the log file: {line!r}, {text!r}, {err!r}")
    write(ini, INI + f"[log]\nfile = {d}/nowhere/gateway.log\n")
    r = patchbay("run", "--config", ini, "--state", d)
    need(r.returncode == 1 and "patchbay.ini:19: file:" in r.stderr and "cannot be written" in r.stderr, "no log file", r)


with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o700)
    for name, script in SCRIPTS.items():
        write(os.path.join(folder, name), script)
    helps()
    mistakes(folder)
    old_folder(folder)
    refused_plugin(folder)
    explained_once(folder)
    no_function(folder)
    log_file(folder)
