# SPDX-License-Identifier: MIT
"""Training jobs of SageMaker into ModelDB 1, ModelDB 2 and MLflow: told by events, chosen by their tags, each recorded once whatever
fails or dies on the way; a store that is down holds no other. (What was before, and longer absences: modeldb_history.py.)

SOAK: 1,000 jobs, 5 % faults and 50 kills.
"""
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

from lib.eventbridge import bridge, post
from lib.gateway import PROGRAM, TESTS, Gateway, environment, new_key
from lib.modeldb import SPEC, TAGS, House, busy, config, idle, metric, modeldb_v1, script, skipped, stored, told, train
from lib.story import SOAK, contains, equal, eventually, main, rng, story, true


@story
def one_job_in_three_stores():
    key, section = new_key("eventbridge")
    with House() as h, Gateway(h.config() + section, script()) as g:
        train(h.api, "churn-1")
        train(h.api, "churn-fails-2")
        told(g, key, "churn-1")
        told(g, key, "churn-fails-2", status="Failed")
        eventually(lambda: all(len(r) == 2 for r in h.runs()), "both jobs in all stores", 30)
        idle(g)
        one, two, three = h.runs()
        equal([len(v) for v in (*one.values(), *two.values(), *three.values())], [1] * 6, "runs")
        equal(one["churn-1"], [[("validation:rmse", 0.25)]])
        equal(three["churn-1"][0][0], "FINISHED")
        equal(three["churn-fails-2"][0][0], "FAILED")
        # The one that failed says why, and has no model, in each of them.
        document, = [d for d in h.v1.tables()["documents"] if d["sagemaker_training_job_name"] == "churn-fails-2"]
        second, = [r for r in h.v2.runs.values() if r["name"] == "churn-fails-2"]
        attributes = {a["key"]: a.get("value") for a in second["attributes"]}
        third, = [r["tags"] for r in h.mlflow.runs.values() if r["info"]["run_name"] == "churn-fails-2"]
        for facts, prefix in ((document, ""), (attributes, ""), (third, "sagemaker.")):
            contains(facts["sagemaker_failure_reason" if not prefix else "sagemaker.failure_reason"], "AlgorithmError")
            true(prefix + "model_artifact" not in facts, facts)
        equal([a["key"] for a in second["artifacts"] if a["key"] == "model"], [])
        # The same five times, three that tell of the same with ids of their own, and one that comes late: nothing changes.
        before, written = h.runs(), len(h.v1.calls())
        same = bridge("churn-1", "Completed")
        for _ in range(5):
            equal(post(g, same, x_api_key=key)[0], 200)
        for _ in range(3):
            told(g, key, "churn-1")
        told(g, key, "churn-1", status="InProgress")
        idle(g)
        equal(h.runs(), before)
        equal([c[0] for c in h.v1.calls()[written:] if not c[0].startswith("get")], [])
        # Chains hear of it, once from each store, and the command compares.
        heard = [(e["store"], e["name"], e["job_status"], e["project"]) for e in stored(g, "synced")]
        equal(sorted(heard), sorted((s, n, j, "Churn") for s in ("v1", "v2", "mlflow")
                                    for n, j in (("churn-1", "Completed"), ("churn-fails-2", "Failed"))))
        p = g.run("modeldb", "verify", "churn-1", "--config", g.config, "--state", g.state)
        contains(p.out, "[modeldb]", "[registry]", "[mlflow]", "churn-1: as SageMaker has it.")
        run = next(r for r in h.mlflow.runs.values() if r["info"]["run_name"] == "churn-1")
        run["metrics"][0]["value"] = 0.5
        run["params"]["more"] = "\x1b[2J" + "\u00e4" * 3000
        run["metrics"].append({"key": "mine", "value": 1, "timestamp": 1, "step": 0})
        p = g.run("modeldb", "verify", "churn-1", "--connector", "mlflow", "--config", g.config, "--state", g.state, code=1)
        contains(p.out, 'metric "validation_rmse": SageMaker has "0.25", the store "0.5"\n', 'metric "mine": SageMaker has none; the store has "1"\n',
                 'parameter "more": SageMaker has none; the store has "\\x1b[2J\u00e4', '\u00e4"... (6004 bytes)\n')
        contains(p.err, "3 differences")
        second = next(r for r in h.v2.runs.values() if r["name"] == "churn-1")
        second["hyperparameters"].append({"key": "more", "value": True})
        model = next(m for m in h.v1.handler.models if h.v1.handler.row(h.v1.handler.runs, m["run"])["description"].startswith("churn-1 "))
        h.v1.handler.put(h.v1.handler.metrics, model=model["id"], frame=model["frame"], name="mine", value=0.5, run=model["run"])
        for store, words in (("registry", 'parameter "more": SageMaker has none; the store has "true"'),
                             ("modeldb", 'metric "mine": SageMaker has none; the store has "0.5"')):
            p = g.run("modeldb", "verify", "churn-1", "--connector", store, "--config", g.config, "--state", g.state, code=1)
            contains(p.out, words)
            contains(p.err, "1 difference")
        p = g.run("modeldb", "verify", "nobody-knows", "--connector", "mlflow", "--config", g.config, "--state", g.state, code=1)
        contains(p.err, "nobody-knows")


@story
def tags_decide():
    key, section = new_key("eventbridge")
    with House() as h, Gateway(config(h.api, mlflow=h.mlflow) + section, script(["mlflow"])) as g:
        h.api.page = 1
        train(h.api, "untagged", {})
        train(h.api, "says-no", {"MODEL_DB_SYNC": "false", "MODEL_DB_PROJECT_NAME": "Churn"})
        told(g, key, "untagged", "says-no")
        idle(g)
        equal(h.mlflow.calls(), [])  # skipped before anybody is asked
        equal(h.asked("ListTags"), 3)  # one page without tags, and two of one tag
        equal([metric(g, 'patchbay_chain_decisions_total{outcome="%s"}' % o) for o in ("skipped", "fired")], [2, 2])
        equal(skipped(g), ['says-no: tag MODEL_DB_SYNC is "false"', "untagged: it has no tag MODEL_DB_SYNC"])
        train(h.api, "defaults", {"MODEL_DB_SYNC": "yes", "MODEL_DB_PROJECT_NAME": "", "more": "x" * 200})  # an empty tag says nothing
        told(g, key, "defaults")
        eventually(lambda: len(h.mlflow.runs) == 1, "the one that says yes")
        idle(g)
        equal([r["info"]["run_name"] for r in h.mlflow.runs.values()], ["defaults"])
        equal([e["name"] for e in h.mlflow.experiments.values() if e["name"] != "Default"], ["SageMaker"])
        contains(g.run("runs", "--config", g.config, "--state", g.state).out, "modeldb")


@story
def rules_of_ones_own():
    key, section = new_key("eventbridge")
    own = script(["mlflow", "registry", "modeldb"], include='{ "team=risk*" }', exclude='{ "stage=dev" }', mode='"strict"', wanted='{ "True" }')
    own["scripts/chains/modeldb.lua"] = own["scripts/chains/modeldb.lua"].replace("  return job\nend", """
  if job.name:match("trial") then return nil, "it is a trial" end
  if job.name:match("quiet") then return end
  job.fields = { cost_centre = 4711, reviewed = true }
  job.project = 'Mapped ' .. job.project
  job.metrics["bonus"] = 1
  job.hyperparameters.max_depth = "7"
  return job
end""", 1).replace('"MODEL_DB_PROJECT_NAME"', '"our:project"', 1)
    tags = {**{k: v for k, v in TAGS.items() if k != "MODEL_DB_PROJECT_NAME"}, "our:project": "Churn"}
    with House() as h, Gateway(h.config() + section, own) as g:
        train(h.api, "risk-trial", dict(tags, team="risk-1"))
        train(h.api, "risk-quiet", dict(tags, team="risk-1"))
        train(h.api, "empty", dict(tags, team="risk-1", MODEL_DB_MODEL_NAME=""))
        told(g, key, "risk-trial", "risk-quiet", "empty")
        g.await_log("training job empty has no tag MODEL_DB_MODEL_NAME")
        idle(g)
        equal(skipped(g), ["risk-quiet: map() left it out", "risk-trial: it is a trial"])
        train(h.api, "risk", dict(tags, team="risk-1", stage="prod"))
        train(h.api, "dev", dict(tags, team="risk-1", stage="dev"))
        train(h.api, "other", dict(tags, team="sales"))
        train(h.api, "incomplete", {"MODEL_DB_SYNC": "true", "team": "risk-2"})
        told(g, key, "risk", "dev", "other", "incomplete")
        eventually(lambda: all(len(r) == 1 for r in h.runs()), "the one that matches")
        idle(g)
        run = next(iter(h.mlflow.runs.values()))
        equal(run["info"]["run_name"], "risk")
        contains(json.dumps(run["tags"]), "4711")
        contains(json.dumps([e["name"] for e in h.mlflow.experiments.values()]), "Mapped Churn")
        g.await_log("training job incomplete has no tag our:project")
        equal([run["params"]["max_depth"], {m["key"]: m["value"] for m in run["metrics"]}], ["7", {"validation_rmse": 0.25, "bonus": 1}])
        # What a script changed is no difference; what changed in the store is.
        p = g.run("modeldb", "verify", "risk", "--config", g.config, "--state", g.state)
        equal(p.out.count("compared as the script had changed it (hyperparameters, metrics)"), 3, p.out)
        equal(p.out.count("risk: as SageMaker has it."), 3, p.out)
        run["params"]["max_depth"] = "5"
        p = g.run("modeldb", "verify", "risk", "--connector", "mlflow", "--config", g.config, "--state", g.state, code=1)
        contains(p.out, 'parameter "max_depth": SageMaker has "7", the store "5"')


@story
def as_the_step_function_did():
    """mode = seed: completed jobs alone, the five calls of the light client in their order."""
    key, section = new_key("eventbridge")
    with House() as h, Gateway(config(h.api, h.v1) .replace("store = v1", "store = v1\nmode = seed") + section,
                               script(["modeldb"], mode='"seed"')) as g:
        train(h.api, "seed-fails-1")
        train(h.api, "seed-2", dict(TAGS, MODEL_DB_SYNC="false"))
        train(h.api, "seed-3", {"MODEL_DB_SYNC": "true"})
        told(g, key, "seed-fails-1", status="Failed")
        told(g, key, "seed-2", "seed-3")
        eventually(lambda: any(c[0] == "storeMetricEvent" for c in h.v1.calls()), "the metric")
        idle(g)
        calls = ["storeProjectEvent", "storeExperimentEvent", "storeExperimentRunEvent", "storeFitEvent", "storeMetricEvent"]
        equal([c[0] for c in h.v1.calls()], calls)
        train(h.api, "seed-4", dict(TAGS, MODEL_DB_PROJECT_NAME=""))  # a tag was enough, whatever it said
        told(g, key, "seed-4")
        eventually(lambda: len(h.v1.calls()) == 10, "that too")
        idle(g)
        equal([c[0] for c in h.v1.calls()], 2 * calls)
        equal([p["name"] for p in h.v1.tables()["projects"]], ["Churn", ""])


@story
def a_store_that_is_down_holds_no_other():
    key, section = new_key("eventbridge")
    with House() as h, Gateway(h.config() + section, script()) as g:
        h.v2.fault("*", 503, times=10 ** 6)
        names = ["late-%d" % i for i in range(4)]
        for n in names:
            train(h.api, n)
        told(g, key, *names)
        eventually(lambda: len(h.runs()[0]) == 4 and len(h.runs()[2]) == 4, "the other two have them", 30)
        equal(h.runs()[1], {})
        contains(" ".join(busy(g)), "registry.sync")
        with h.v2.lock:
            h.v2.faults.clear()
        eventually(lambda: len(h.runs()[1]) == 4, "it has caught up by itself", 60)
        idle(g)
        equal([len(v) for v in h.runs()[1].values()], [1] * 4)


def replaced(g, killed):
    """Whoever was killed has been missed, and has a successor that is ready."""
    now = g.log().rpartition("msg=ready version")[2]
    last = {slot: what for what, slot in re.findall(r'msg="a worker (ended|was replaced)" worker=(\d+)', now)}
    return all("pid=%d by=" % pid in now for pid in killed) and "ended" not in last.values()


@story
def killed_and_lied_to():
    """Faults in every store and in SageMaker, kills of workers and of everything: as if nothing had happened."""
    jobs, kills, share = (1000, 50, 0.05) if SOAK else (12, 4, 0.05)
    r = rng("kills")
    with House() as h, Gateway(h.config(), script(), workers=2) as g:
        for i in range(jobs):
            train(h.api, "many-%d" % i)
        h.v1.chaos(share, r.randrange(10 ** 6))
        h.v2.chaos(share, r.randrange(10 ** 6))
        h.mlflow.chaos(share, r.randrange(10 ** 6))
        h.api.chaos(share, r.randrange(10 ** 6))
        fill = subprocess.Popen([PROGRAM, "modeldb", "backfill", "--since", "30d", "--config", g.config, "--state", g.state, "--connector",
                                 "modeldb"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), cwd=g.dir)
        out = []
        reader = threading.Thread(target=lambda: out.append(fill.stdout.read().decode()), daemon=True)
        reader.start()
        killed, under_way, began = [], 0, time.monotonic()
        eventually(lambda: busy(g), "it begins")
        for k in range(kills):
            time.sleep(r.uniform(0.1, 0.6) if SOAK else r.uniform(0, 0.2))
            under_way += bool(busy(g))
            if k % 5 == 4:
                g.process.kill()
                g.process.wait()
                g.process.stdout.close()
                g.start()
                killed = []
            else:
                pids = [int(x) for x in os.popen("pgrep -P %d" % g.process.pid).read().split()]
                if pids:
                    killed.append(r.choice(pids))
                    os.kill(killed[-1], signal.SIGKILL)
        equal(fill.wait(1800), 0, "backfill")
        reader.join(5)
        contains(out[0], "%d training jobs were collected" % jobs)
        eventually(lambda: all(len(x) == jobs for x in h.runs()), "all in all stores", 1200 if SOAK else 120)
        idle(g, 300)
        one, two, three = h.runs()
        for store in (one, two, three):
            equal(sorted(n for n, v in store.items() if len(v) != 1), [], "recorded twice")
            equal(len({json.dumps(v) for v in store.values()}), 1, "all the same, as without faults")
        equal(one["many-0"], [[("validation:rmse", 0.25)]])
        faults = {type(x).__name__: len(x.hit) for x in (h.api, h.v1, h.v2, h.mlflow)}
        print("%d jobs in %.0f s, %d of %d kills while jobs were under way, faults: %s" %
              (jobs, time.monotonic() - began, under_way, kills, faults), flush=True)
        # One that dies of a kill, or has not started yet, while it is told to stop makes the gateway end with 1, and rightly so.
        eventually(lambda: replaced(g, killed), "all workers", 30)


@story
def the_page_about_moving_over():
    with open(os.path.join(os.path.dirname(TESTS), "docs/moving-from-modeldb-sync.md"), encoding="utf-8") as f:
        page = f.read()
    key, section = new_key("eventbridge")
    ini = re.search(r"```ini\n(.*?)```", page, re.S).group(1)
    # Step 1: what the page names, in both files.
    names = re.search(r"`stores = (\{[^}]+\})`", page).group(1)
    equal(sorted(re.findall(r'"(\w+)"', names)), ["mlflow", "modeldb"])
    with open(SPEC, encoding="utf-8") as f:
        spec = f.read()
    files = script(re.findall(r'"(\w+)"', names))
    contains(spec, 'local stores = { "modeldb" }')
    files["scripts/chains/modeldb_test.lua"] = spec.replace('local stores = { "modeldb" }', "local stores = " + names)
    os.environ["MLFLOW_TOKEN"] = "bearer"
    with House() as h:
        for old, new in (("@HASH@", re.search(r"hash = (\S+)", section).group(1)), ("127.0.0.1:8080", "127.0.0.1:0"),
                         ("address   = modeldb.example.com", "address = 127.0.0.1\nport = %d" % h.v1.port),
                         ("http://mlflow.example.com:5000", h.mlflow.url),
                         ("region = eu-west-1", "region = eu-west-1\nendpoint_url = " + h.api.url)):
            contains(ini, old)
            ini = ini.replace(old, new)
        with Gateway(ini, files) as g:
            g.check()
            contains(g.run("test", "--config", g.config).out, "0 failed")
            train(h.api, "moved-1")
            told(g, key, "moved-1")
            eventually(lambda: h.runs()[0] and h.runs()[2], "it is recorded in both")
            idle(g)
            commands = re.findall(r"`patchbay (modeldb [^`]+)`", page)
            equal(len(commands), 2, commands)
            for c in commands:
                words = c.replace("JOB", "moved-1").split()
                true(g.run(*words, "--config", g.config, "--state", g.state).out, c)


if __name__ == "__main__":
    missing = modeldb_v1.available()
    if missing:
        print("skipped: no", missing)
        sys.exit(77)
    main()
