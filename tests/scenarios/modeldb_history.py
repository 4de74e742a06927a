# SPDX-License-Identifier: MIT
"""Training jobs that ended before anybody listened, or while a store was away for an hour: each gets in once, and none is left out."""
import signal
import subprocess
import sys

from lib.gateway import PROGRAM, Gateway, environment, new_key
from lib.modeldb import TAGS, House, an_hour_later, arn, config, idle, modeldb_v1, query, script, stored, told, train
from lib.story import contains, equal, eventually, main, story, true


@story
def down_for_an_hour():
    """The server is away, events are answered all the same, the gateway is started anew, and an hour goes by: nothing is lost, and
    what happened last to a job is what is there in the end."""
    key, section = new_key("eventbridge")
    with House() as h:
        h.v1.stop()
        own = config(h.api, h.v1)
        defaults = own.replace("[jobs]\nbackoff = 50ms\nbackoff_max = 1s\nlease = 2s\nattempts = 1000\n", "")
        true(defaults != own, own)
        with Gateway(defaults + section, script(["modeldb"])) as g:
            names = ["hour-%d" % i for i in range(3)]
            for n in names:
                train(h.api, n)
                told(g, key, n)
            eventually(lambda: len(stored(g, "collect.done")) == 3, "all are collected")
            # The first one is changed meanwhile.
            job = h.api.jobs["training-job"][names[0]]
            job["ended"] += 60
            h.api.tags[job["arn"]] = [{"Key": k, "Value": v} for k, v in dict(TAGS, MODEL_DB_MODEL_NAME="forest").items()]
            contains(g.run("modeldb", "backfill", "--since", "1d", "--config", g.config, "--state", g.state).out, "3 training jobs")
            waiting = lambda: query(g, "SELECT count(*) FROM job WHERE action = 'modeldb.sync' AND attempt > 0")[0][0] == 6
            for _ in range(2):
                eventually(waiting, "each was tried")
                g.stop()
                an_hour_later(g)
                g.start()
            with modeldb_v1.ModelDb(h.v1.port) as h.v1:
                g.stop()
                an_hour_later(g)
                g.start()
                idle(g)
                equal({n: len(v) for n, v in h.runs()[0].items()}, {n: 1 for n in names})
                models = {d["sagemaker_training_job_name"]: d["model_name"] for d in h.v1.tables()["documents"]}
                equal(models, {"hour-0": "forest", "hour-1": "trees", "hour-2": "trees"})
                equal(query(g, "SELECT action, state FROM job WHERE state != 2"), [])
                # For how long it would have been tried without anybody's help: three days, not eight times.
                equal(query(g, "SELECT DISTINCT max_attempts FROM job WHERE action = 'modeldb.sync'"), [(1000,)])


@story
def history_is_filled_in():
    with House() as h, Gateway(h.config(), script()) as g:
        names = ["past-%d" % i for i in range(7)]
        h.api.steps = 10 ** 6
        for i in range(4):  # too old: pages of these are empty, because a page is cut before it is filtered
            train(h.api, "ancient-%d" % i)
            h.api.jobs["training-job"]["ancient-%d" % i]["created"] -= 60 * 86400
        h.api.CreateTrainingJob(dict(h.api.jobs["training-job"]["ancient-0"]["args"], TrainingJobName="goes-on"))
        h.api.jobs["training-job"]["goes-on"]["created"] -= 3600
        h.api.tags[arn("training-job", "goes-on")] = h.api.tags[arn("training-job", "ancient-0")]
        for n in names:
            train(h.api, n)
        h.api.page, h.api.cut_first = 3, True
        where = ("--config", g.config, "--state", g.state, "--connector", "modeldb")

        def fill(*args, connector="modeldb", code=0):
            return g.run("modeldb", "backfill", *args, *where[:-1], connector, code=code)

        contains(fill(code=2).err, "--since")
        contains(fill("--since", "yesterday", code=2).err, '"yesterday" is no moment')
        contains(fill("--since", "30d", "--until", "31d", code=2).err, "--until is not later than --since")
        h.api.cut_first = False
        contains(fill("--since", "30d", "--until", "29d").out, "0 training jobs were collected.", "needs --since again")
        contains(fill(code=2).err, "--since")
        h.api.cut_first = True
        contains(fill("--since", "30d", "--dry-run").out, "past-0\n", "7 training jobs have ended; nothing was collected")
        h.api.faults["ListTrainingJobs"] = [None, "blank"]  # not the end
        contains(fill("--since", "30d", code=1).err, "something else than a page of jobs")
        h.api.faults["ListTrainingJobs"] = ["throttle", "throttle", None, "throttle"]
        before = h.asked("ListTrainingJobs")
        contains(fill("--since", "30d").out, "7 training jobs were collected", "1 has not ended and was left out", "goes on at 20")
        equal(h.asked("ListTrainingJobs") - before, 4 + 3)  # four pages of three, the first one empty, and three that were throttled
        eventually(lambda: all(sorted(r) == names for r in h.runs()), "all in all stores", 60)
        # The one that went on ends: it is older than what was remembered, were that only the newest.
        h.api.steps = 0
        h.api.DescribeTrainingJob({"TrainingJobName": "goes-on"})
        train(h.api, "past-7")
        contains(fill().out, "9 training jobs were collected")  # seven of them known
        eventually(lambda: all(len(r) == 9 for r in h.runs()), "the new ones too", 60)
        idle(g)
        # What was collected is not asked for again, unless that is wanted, as often as it is wanted.
        looks = []
        for args in ((), ("--again",), ("--again",)):
            before = h.asked("DescribeTrainingJob")
            fill("--since", "30d", *args)
            idle(g)
            looks.append(h.asked("DescribeTrainingJob") - before)
        equal(looks, [0, 9, 9])
        # Another connector collects for all stores as well.
        train(h.api, "past-8")
        before = h.asked("DescribeTrainingJob")
        fill("--since", "30d", connector="mlflow")
        eventually(lambda: all(len(r) == 10 for r in h.runs()), "collected by another", 60)
        idle(g)
        equal(h.asked("DescribeTrainingJob") - before, 10)  # it knows nothing of what the first one collected
        for store in h.runs():
            equal([len(v) for v in store.values()], [1] * 10, "each once")


@story
def a_backfill_that_is_killed():
    """It goes on where it was, without a gap and without asking twice."""
    with House() as h, Gateway(config(h.api, mlflow=h.mlflow), script(["mlflow"])) as g:
        names = ["killed-%d" % i for i in range(6)]
        for i, n in enumerate(names):
            train(h.api, n)
            h.api.jobs["training-job"][n]["created"] -= 3600 * (6 - i)
        h.api.page = 2
        h.api.faults["ListTrainingJobs"] = [None] + 10000 * ["throttle"]
        where = ("--config", g.config, "--state", g.state)
        for end in (signal.SIGINT, signal.SIGKILL):
            p = subprocess.Popen([PROGRAM, "modeldb", "backfill", "--since", "30d", *where], env=environment(), cwd=g.dir,
                                 stdout=subprocess.PIPE)
            eventually(lambda: ("ListTrainingJobs", "throttle") in h.api.hit, "the second page")
            p.send_signal(end)
            said = p.communicate(timeout=60)[0].decode()
            equal(p.returncode, 130 if end == signal.SIGINT else -9, said)
            contains(said, "Stopped after 2; the next backfill goes on from there." if end == signal.SIGINT else "")
            h.api.hit.clear()
            h.api.faults["ListTrainingJobs"] = [None] + 10000 * ["throttle"]
        h.api.faults.clear()
        idle(g)
        equal([sorted(r["info"]["run_name"] for r in h.mlflow.runs.values()), h.asked("DescribeTrainingJob")], [names[:2], 2])
        contains(g.run("modeldb", "backfill", *where).out, "training jobs were collected")
        eventually(lambda: len(h.mlflow.runs) == 6, "the others")
        idle(g)
        equal([sorted(r["info"]["run_name"] for r in h.mlflow.runs.values()), h.asked("DescribeTrainingJob")], [names, 6])


if __name__ == "__main__":
    missing = modeldb_v1.available()
    if missing:
        print("skipped: no", missing)
        sys.exit(77)
    main()
