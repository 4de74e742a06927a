# SPDX-License-Identifier: MIT
"""From an older gateway's folder to a configuration of one's own: import-qrag, qlik-setup, and the page about it."""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

from lib.gateway import PROGRAM, TESTS, Gateway
from lib.sse import CODE, client
from lib.story import contains, equal, lacks, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from qrag_backend import Backend  # noqa: E402

DATA = os.path.join(TESTS, "data", "qrag")
PAGE = os.path.join(TESTS, "..", "docs", "moving-from-qrag.md")


class Folder:
    """A folder of one's own with the sample below sagemaker/."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="patchbay-moving-")
        shutil.copytree(os.path.join(DATA, "sagemaker"), os.path.join(self.path, "sagemaker"))
        for folder, _, files in os.walk(self.path):  # a clone under umask 002 is writable by a group, and refused
            for name in [folder] + [os.path.join(folder, f) for f in files]:
                os.chmod(name, os.stat(name).st_mode & ~0o022)
        ini = os.path.join(self.path, "sagemaker", "config", "qrag.ini")
        with open(ini, "a") as f:
            for name in ("predict_cancer_score_rest", "telco_customer_churn"):
                f.write("\n[%s]\nurl = https://abc123.execute-api.eu-west-1.amazonaws.com/dev/x\n" % name)
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.path)

    def run(self, *args, code=0):
        env = dict(os.environ, HOME=self.path, AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="secret")
        p = subprocess.run([PROGRAM, *args], cwd=self.path, capture_output=True, text=True, timeout=60, env=env)
        equal((p.returncode, p.stderr if p.returncode != code else ""), (code, ""), args)
        return p

    def file(self, name):
        with open(os.path.join(self.path, name)) as f:
            return f.read()


@story
def the_commands_of_the_page_work():
    with open(PAGE) as f:
        commands = re.findall(r"^    (patchbay .*)$", f.read(), re.M)
    true(len(commands) >= 4, commands)
    with Folder() as d:
        for command in commands:
            words = shlex.split(command)[1:]
            if words[0] == "check":  # certificates are not what this is about
                ini = d.file("site/patchbay.ini").replace("address = [::]:", "address = 127.0.0.1:")
                with open(os.path.join(d.path, "site/patchbay.ini"), "w") as f:
                    f.write(ini.replace("tls_dir = pem\n", ""))
            p = d.run(*words)
            if words[0] == "explain":
                contains(p.stdout, "/endpoints/cancer-v1/invocations", "17.99,10.38")
        for kind in ("site", "direct"):
            contains(d.file(kind + "/patchbay.ini"), '[function "predict_cancer_score_rest"]')
        contains(d.file("direct/transforms/predict_cancer_score_rest.lua"), "math.round(score, 4)")


@story
def ids_names_and_order_are_the_same():
    with Folder() as d:
        for order in ("name", "file"):
            text = d.run("import-qrag", "sagemaker", "--order", order).stdout
            wanted = [f for f in json.loads(d.file("sagemaker/functions.json"))["Functions"]]
            sections = re.findall(r'^\[function "(\w+)"\]\nid = (\d+)\ntype = (\w+)\nparams = (.*)\nreturns = (\w+)', text, re.M)
            left_out = re.findall(r'^; \[function "(\w+)"\] \(id (\d+)\) is left out: (.*)$', text, re.M)
            equal(len(sections) + len(left_out), len(wanted))
            by_name = {f["Name"]: f for f in wanted}
            for name, number, kind, params, returns in sections:
                f = by_name[name]
                names = list(f["Params"]) if order == "file" else sorted(f["Params"])
                equal((int(number), kind, returns), (f["Id"], "tensor", "str"))
                equal(params, ", ".join("%s:str" % n for n in names))
            lacks(text, "not-a-real-token", "not-a-real-password")
            contains(text, "address = [::]:50058", 'ws_url = "wss://def456', "batch_size = 70", "max_rows = 70")


@story
def both_ways_say_the_same():
    """Capabilities and answers of the folder as it is, and of what import-qrag makes of it."""
    functions = [{"Id": 7, "Name": "one", "Type": 2, "QRAP_Type": "rest_single", "ReturnType": 0, "Params": {"s": 0}},
                 {"Id": 3, "Name": "two", "Type": 0, "QRAP_Type": "rest_30", "ReturnType": 1, "Params": {"b": 1, "a": 0}}]
    with Backend() as b, Folder() as d:
        ini = ('[base]\nport = 50999\n[one]\nurl = %s/dev/echo?q=a;b\ncache = False\n[two]\nurl = %s/dev/score\n'
               % (b.url, b.url))
        folder = os.path.join(d.path, "old")
        os.makedirs(os.path.join(folder, "config"))
        for name, text in (("functions.json", json.dumps({"Functions": functions})), ("config/qrag.ini", ini)):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        text = d.run("import-qrag", "old").stdout
        text = text.replace("address = [::]:50999", "address = 127.0.0.1:0").replace("tls_dir = pem\n", "")
        as_is = ('[qrag "old"]\nfunctions = @DIR@/old/functions.json\nini = @DIR@/old/config/qrag.ini\n'
                 "address = 127.0.0.1:0\n")
        files = {"old/functions.json": json.dumps({"Functions": functions}), "old/config/qrag.ini": ini}
        with Gateway(as_is, files) as g, client(g, "qrag.old") as c, Gateway(text) as h, client(h) as e:
            shown = [sorted((f.functionId, f.name, f.functionType, f.returnType, tuple((p.name, p.dataType) for p in f.params))
                            for f in x.capabilities().functions) for x in (c, e)]
            equal(shown[0], shown[1])
            for number, rows in ((7, ["a", "", 'b"']), (3, [["4", 1.0], ["8", 2.0]])):
                b.forget()
                got = [x.call(number, rows).ok() for x in (c, e)]
                equal(got[0].duals() if number == 3 else got[0].texts(), got[1].duals() if number == 3 else got[1].texts())
                equal(got[0].header("qlik-cache"), got[1].header("qlik-cache"))
                half = len(b.entries) // 2
                equal(sorted((x.path, x.body) for x in b.entries[:half]), sorted((x.path, x.body) for x in b.entries[half:]))


@story
def direct_asks_the_endpoint_as_the_lambda_did():
    sys.path.insert(0, os.path.join(TESTS, "peers"))
    from sagemaker_runtime import Runtime
    with Folder() as d, Runtime() as r:
        text = d.run("import-qrag", "sagemaker", "-o", "direct", "--direct",
                     "predict_cancer_score_rest=scores:score,predict_cancer_result_rest_join=scores:label").stdout
        contains(text, "patchbay check")
        ini = d.file("direct/patchbay.ini")
        contains(ini, "region = eu-west-1", "operation = invoke", "endpoint = scores", "path = predictions[].score")
        contains(d.file("direct/transforms/predict_cancer_result_rest_join.lua"), "Malignant", "table.concat")
        d.run("import-qrag", "sagemaker", "-o", "direct", code=1)  # nothing is overwritten
        contains(d.run("import-qrag", "sagemaker", "--direct", "nobody=x", code=2).stderr, 'no function "nobody"')
        true(r is not None)


@story
def qlik_setup_says_what_to_type():
    config = ('[listen "sse"]\naddress = 0.0.0.0:50123\ninsecure = yes\n[connector "aws"]\nplugin = sagemaker\nregion = eu-west-1\n'
              '[function "churn"]\nconnector = aws\noperation = invoke\nendpoint = e\nparams = age:num, the plan:str\nanswer = num\n'
              'doc = Will this customer leave?\n'
              '[qrag "old one"]\nfunctions = @DIR@/f.json\nini = @DIR@/q.ini\n')
    config = config.replace("old one", "old")
    files = {"f.json": json.dumps({"Functions": [{"Id": 1, "Name": "f", "Type": 2, "QRAP_Type": "echo_table", "ReturnType": 0,
                                                  "Params": {"x y]": 0}}]}),
             "q.ini": "[base]\nport = 50124\n[f]\n"}
    from lib.gateway import Folder as Site
    with Site(config, files) as f:
        out = f.run("qlik-setup", "--config", f.config, "--host", "gw.example.com").out
        contains(out, "SSEPlugin=Patchbay,gw.example.com:50123\n", "Patchbay.churn(age, [the plan])",
                 "LOAD * EXTENSION Patchbay.churn(YourTable{age, [the plan]});", "Will this customer leave?",
                 '{"name":"Patchbay","host":"gw.example.com","port":50123,"certificateFilePath":"",'
                 '"reconnectTimeout":20,"requestTimeout":0}', "SSEPlugin=old,gw.example.com:50124", "old.f([x y]]])")
        json.loads(re.search(r"-d '(\{.*?\})'", out).group(1))
        one = f.run("qlik-setup", "churn", "--config", f.config).out
        lacks(one, "old.f")
        contains(f.run("qlik-setup", "nobody", "--config", f.config, code=1).err, 'no function "nobody"')


@story
def what_cannot_be_read_is_said():
    with Folder() as d:
        contains(d.run("import-qrag", "nowhere", code=4).stderr, "nowhere/functions.json")
        contains(d.run("import-qrag", "sagemaker", "--direct", "x", code=2).stderr, "FUNCTION=ENDPOINT")
        contains(d.run("import-qrag", "sagemaker", "--direct", "x=y:z", code=2).stderr, "raw, score or label")
        contains(d.run("import-qrag", "sagemaker", "--direct", "x=bad_name", code=2).stderr, '"bad_name" is not the name of an endpoint')
        with open(os.path.join(d.path, "sagemaker/config/qrag.ini")) as f:
            ini = f.read()
        with open(os.path.join(d.path, "sagemaker/config/qrag.ini"), "w") as f:
            f.write(ini.replace("batch_size=70", "batch_size=many").replace("batch_size = 70", "batch_size = many"))
        contains(d.run("import-qrag", "sagemaker").stdout, "; batch_size = many of ", "is no number from 1 to 1000000")
        with open(os.path.join(d.path, "sagemaker/functions.json"), "w") as f:
            f.write('{"Functions": [}')
        contains(d.run("import-qrag", "sagemaker", code=4).stderr, "functions.json:1:")


if __name__ == "__main__":
    main()
