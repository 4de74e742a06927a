#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The way of one training job into ModelDB 1.0 (plugins/modeldb/v1_sync), driven by v1_drive against servers that Apache
Thrift generated. Usage: modeldb_v1.py V1_DRIVE"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["PB_TESTS_DIR"], "peers"))
import modeldb_v1 as peer  # noqa: E402

DRIVE = sys.argv[1]
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/churn-1"
JOB = [
    ("project", "Churn", "ana"), ("description", "Who leaves"), ("job", "churn-1 (%s)" % ARN, ARN),
    ("model", "churn-xgb", "xgboost"), ("artifact", "s3://b/out/model.tar.gz"),
    ("parameter", "eta", "0.1"), ("parameter", "max_depth", "6"),
    ("channel", "train", "s3://b/train"), ("fact", "CompressionType", "None"),
    ("channel", "validation", "s3://b/validation"), ("channel", "test", "s3://b/test"), ("channel", "extra", "s3://b/extra"),
    ("metric", "validation:rmse", "0.1"), ("metric", "train:rmse", "0.05"),
    ("field", "sagemaker_training_job_arn", ARN), ("field", "model_name", "churn-xgb"),
    ("field", "model_artifact", "s3://b/out/model.tar.gz"), ("field", "training_job_status", "Completed"),
]
WITHOUT_TEST = [line for line in JOB if line[1] not in ("test", "validation", "extra")]
ORDER = ["storeProjectEvent", "storeExperimentEvent", "storeExperimentRunEvent", "storeFitEvent", "storeMetricEvent",
         "storeMetricEvent", "storeDataFrame", "storeDataFrame", "createOrUpdateScalarField"]


def drive(db, job=JOB, mode="sync", mark=None, *die):
    text = "".join("\t".join(line) + "\n" for line in job)
    r = subprocess.run([DRIVE, str(db.port), mode, mark, *map(str, die)], input=text, capture_output=True, text=True, timeout=120)
    assert not r.stderr, r.stderr
    return r.returncode, r.stdout


def sound(db, job=JOB, mode="sync", mark=None):
    rc, out = drive(db, job, mode, mark)
    assert rc == 0, (rc, out)
    return out


def names(db):
    return [c[0] for c in db.calls()]


def stores(db):
    return [n for n in names(db) if not n.startswith("get")]


def check_order(make, folder):
    with make() as db:
        out = sound(db, mark=os.path.join(folder, "m"))
        assert "lock\nunlock\n" in out, out
        assert stores(db) == ORDER, stores(db)
        calls = [c for c in db.calls() if not c[0].startswith("get")]
        t = db.tables()
        assert len(t["projects"]) == len(t["runs"]) == len(t["models"]) == len(t["documents"]) == 1, t
        run, model = t["runs"][0], t["models"][0]
        assert run["description"] == "churn-1 (%s)" % ARN
        assert model["type"] == "xgboost" and model["tag"] == "churn-xgb", model
        assert [p[:2] for p in model["parameters"]] == [["eta", "0.1"], ["max_depth", "6"]]
        assert [(m["name"], round(m["value"], 6)) for m in t["metrics"]] == [("validation:rmse", 0.1), ("train:rmse", 0.05)]
        # Ids are handed on; the second metric is about the frame that the first one stored.
        assert {m["frame"] for m in t["metrics"]} == {2} and t["frames"][1]["tag"] == "test", t["frames"]
        assert [f["tag"] for f in t["frames"]] == ["train", "test", "validation", "extra"]
        assert t["documents"][0]["dataframes"] == "validation=3,test=2,extra=4", t["documents"]
        assert t["documents"][0]["model_name"] == "churn-xgb"
        if isinstance(db, peer.ModelDb):
            second = calls[5][1]["me"]
            assert second["df"]["id"] == 2 and not second["df"]["schema"], second
            assert calls[3][1]["fe"]["model"]["filepath"] == "s3://b/out/model.tar.gz"
        # Once more: only reads.
        db.forget()
        out = sound(db, mark=os.path.join(folder, "m"))
        assert names(db) == ["getModelIds", "getModel"], names(db)
        assert "found 1" in out and "fields 0 metrics 0 frames 0 kept 0" in out, out
        assert db.tables() == t
        assert "differs" not in sound(db, mode="verify", mark="-")


def check_without_test(make, folder):
    with make() as db:
        mark = os.path.join(folder, "w")
        sound(db, WITHOUT_TEST, mark=mark)
        t = db.tables()
        assert stores(db) == ORDER[:6], stores(db)
        assert [f["tag"] for f in t["frames"]] == ["train"] and {m["frame"] for m in t["metrics"]} == {1}, t
        sound(db, WITHOUT_TEST, mark=mark)
        assert db.tables() == t


def check_change(make, folder):
    """Failed becomes Completed, a metric comes late, another has another value, the project is described anew."""
    with make() as db:
        mark = os.path.join(folder, "c")
        before = [("field", "training_job_status", "Failed") if line[1] == "training_job_status" else line
                  for line in JOB if line[0] != "metric"]
        sound(db, before, mark=mark)
        t = db.tables()
        assert [f["tag"] for f in t["frames"]] == ["train", "validation", "test", "extra"] and not t["metrics"]
        assert "differs field training_job_status: \"Completed\" is \"Failed\"" in sound(db, mode="verify", mark="-")
        out = sound(db, mark=mark)
        assert "fields 1 metrics 2 frames 0" in out, out
        t = db.tables()
        assert len(t["frames"]) == 4 and {m["frame"] for m in t["metrics"]} == {3}, t
        assert t["documents"][0]["training_job_status"] == "Completed"
        other = [("metric", "train:rmse", "0.04") if line[1] == "train:rmse" else line for line in JOB]
        out = sound(db, other, mark=mark)
        assert "kept 1" in out and len(db.tables()["metrics"]) == 2, out
        assert "differs metric train:rmse: \"0.040000000000000001\" is \"0.05" in sound(db, other, "verify", "-")
        # Another job of the project, whose description has changed.
        second = [("job", "churn-2", ARN + "2") if line[0] == "job" else ("description", "Who goes") if line[0] == "description"
                  else ("field", line[1], ARN + "2") if line[1] == "sagemaker_training_job_arn" else line for line in JOB]
        out = sound(db, second, mark=os.path.join(folder, "c2"))
        t = db.tables()
        assert [p["description"] for p in t["projects"]] == ["Who goes"] and len(t["runs"]) == len(t["models"]) == 2, t


def check_deaths(make, folder):
    """Killed at each call, before it is sent or before its answer is read: afterwards the same as without."""
    with make() as db:
        sound(db, mark=os.path.join(folder, "d"))
        calls, wanted = len(db.calls()), db.tables()
    for when in ("sent", "answered"):
        for k in range(calls):
            with make() as db:
                mark = os.path.join(folder, "%s%d" % (when, k))
                rc, out = drive(db, JOB, "sync", mark, k, when)
                assert rc == 9, (rc, out)
                sound(db, mark=mark)
                assert db.tables() == wanted, (when, k, db.tables())


def check_series(make, folder):
    """Killed again and again, each time after one call that changed something."""
    with make() as db:
        sound(db, mark=os.path.join(folder, "s0"))
        wanted = db.tables()
    with make() as db:
        mark = os.path.join(folder, "s")
        for _ in range(40):
            seen = db.tables()
            k = 0
            while db.tables() == seen and k < 12:
                rc, out = drive(db, JOB, "sync", mark, k, "sent")
                k += 1
                if rc == 0:
                    break
            if rc == 0:
                break
        assert rc == 0, out
        assert db.tables() == wanted, db.tables()


def check_lost_metadata(make, folder):
    """The server stored the model and then failed to store its metadata."""
    with make() as db:
        mark = os.path.join(folder, "l")
        db.fault("storeFitEvent", "mongo")
        rc, out = drive(db, JOB, "sync", mark)
        assert rc == 3 and "MongoTimeoutException" in out, (rc, out)
        assert not db.tables()["documents"] and len(db.tables()["models"]) == 1
        out = sound(db, mark=mark)
        t = db.tables()
        assert "repaired 1" in out, out
        assert len(t["models"]) == len(t["runs"]) == len(t["documents"]) == 1 and len(t["metrics"]) == 2, t
        assert t["documents"][0]["model_name"] == "churn-xgb" and len(t["frames"]) == 4
        assert "differs" not in sound(db, mode="verify", mark="-")


def check_probe():
    """A frame was stored and not noted, and frames of other jobs lie around it."""
    with peer.ModelDb() as db, tempfile.TemporaryDirectory() as folder:
        sound(db, mark=os.path.join(folder, "0"))
        n = len(db.calls())
    with peer.ModelDb() as db, tempfile.TemporaryDirectory() as folder:
        mark = os.path.join(folder, "m")
        rc, _ = drive(db, JOB, "sync", mark, n - 3, "sent")  # the first storeDataFrame
        assert rc == 9
        strange = db.t.DataFrame(-1, [db.t.DataFrameColumn("sagemaker_training_job_arn", "another")], -1, "extra", "s3://x", [])
        db.handler.keep_frame(strange, 1)
        sound(db, mark=mark)
        frames = [(f["tag"], f["path"]) for f in db.tables()["frames"]]
        assert frames == [("train", "s3://b/train"), ("test", "s3://b/test"), ("validation", "s3://b/validation"),
                          ("extra", "s3://x"), ("extra", "s3://b/extra")], frames
        assert names(db).count("getDataFrameAncestry") == 4, names(db)


def check_seed():
    """Exactly the light client's calls, sequence numbers 0 and all."""
    with peer.ModelDb() as db:
        seed = [line for line in JOB if line[1] not in ("validation", "extra")]
        sound(db, seed, "seed", "-")
        sound(db, seed, "seed", "-")
        assert names(db) == 2 * ORDER[:6], names(db)
        t = db.tables()
        assert len(t["projects"]) == 1 and len(t["runs"]) == 2 and t["runs"][0]["description"] == ""
        assert [f["tag"] for f in t["frames"]] == ["train", "test"] * 2
        assert t["frames"][0]["metadata"] == [["CompressionType", "None", "<class 'str'>"]]
        assert t["models"][0]["parameters"][0][2] == "str" and t["models"][0]["tag"] == ""
        assert all(len(d) == 1 for d in t["documents"]), t["documents"]
        for frame in db.frames:
            n = int.from_bytes(frame[4:8], "big")
            assert frame[:4] == b"\x80\x01\x00\x01" and frame[8 + n:12 + n] == b"\0\0\0\0", frame
        rc, out = drive(db, seed, "seed-verify", "-")
        assert rc == 5 and "mode = seed" in out, out
    with peer.ModelDb() as db:  # without a train and a test channel: empty frames, as the seed has them
        sound(db, [line for line in JOB if line[0] not in ("channel", "fact")], "seed", "-")
        assert [(f["tag"], f["path"]) for f in db.tables()["frames"]] == [("", "")] * 2


def main():
    missing = peer.available()
    if missing:
        print("skipped: no", missing)
        return 77
    with tempfile.TemporaryDirectory() as folder:
        for make in (peer.ModelDb, peer.NodeModelDb):
            for check in (check_order, check_without_test, check_change, check_lost_metadata):
                own = os.path.join(folder, make.__name__ + check.__name__)
                os.mkdir(own)
                check(make, own)
                print("ok", make.__name__, check.__name__, flush=True)
        check_deaths(peer.ModelDb, folder)
        check_series(peer.ModelDb, folder)
    check_probe()
    check_seed()
    print("ok")
    return 0


sys.exit(main())
