# SPDX-License-Identifier: MIT
"""The recommender as SageMaker runs it: learning compared with numpy's, serving with curl and many at once, tables through
Snowflake's SQL API (a stand-in with SQLite behind it), secrets of the parameter store, and what bad input gets."""
import base64
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from lib.story import SOAK, contains, equal, main, rng, story, true

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))
PROGRAM = os.path.join(os.path.dirname(os.environ.get("PATCHBAY", "patchbay")), "recommender")

try:
    import numpy as np
    import ratings_maker
    import recommender_reference
    from snowflake_api import Warehouse
except ImportError as e:
    print("skipped: %s" % e)
    sys.exit(77)


class Job:
    """A folder laid out like /opt/ml."""

    def __init__(self, ratings=None, **hyper):
        self.dir = tempfile.mkdtemp(prefix="patchbay-recommender-")
        os.makedirs(os.path.join(self.dir, "input/config"))
        self.hyper(**hyper)
        if ratings is not None:
            self.write("input/data/training/ratings.csv", ratings)

    def hyper(self, **hyper):
        self.write("input/config/hyperparameters.json", json.dumps({k: str(v) for k, v in hyper.items()}))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def has(self, name):
        return os.path.exists(self.path(name))

    def run(self, *args, code=0, stdin=None, **env):
        p = subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, text=True, timeout=300,
                           env=dict(os.environ, **env))
        for sign in ("AddressSanitizer", "runtime error:", "LeakSanitizer"):
            true(sign not in p.stderr, p.stderr)
        true(p.returncode == code, "ended with %d\n%s\n%s" % (p.returncode, p.stdout, p.stderr))
        return p

    def train(self, code=0, **env):
        return self.run("train", "--local", self.dir, code=code, **env)

    def results(self):
        out = []
        for name in ("model/recommender.model", "output/data/recommendations.csv"):
            with open(self.path(name) if self.has(name) else os.devnull, "rb") as f:
                out.append(f.read())
        return out

    def fails(self, *said, **env):
        before = self.results()
        p = self.train(code=255, **env)
        contains(p.stderr, *said)
        contains(self.read("output/failure"), *said)
        true(self.results() == before, "a job that failed changed a model or recommendations")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)


class Server:
    def __init__(self, job):
        self.p = subprocess.Popen([PROGRAM, "serve", "--local", job.dir, "--address", "127.0.0.1:0"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        line = self.p.stdout.readline()
        true(line.startswith("ready "), line + (self.p.stderr.read() if not line else ""))
        self.port = int(re.search(r"http=\S+:(\d+)", line).group(1))
        self.url = "http://127.0.0.1:%d" % self.port

    def ask(self, body, kind="text/csv", method="POST", path="/invocations"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request(method, path, body, {"content-type": kind} if kind else {})
        r = c.getresponse()
        return r.status, r.read().decode(), dict(r.getheaders())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.send_signal(signal.SIGTERM)
        self.p.wait(30)
        true(self.p.returncode == 0, self.p.stderr.read())


def csv_of(u, i, r):
    return "USERID,MOVIEID,RATING\n" + "".join("%d,%d,%.6f\n" % row for row in zip(u.tolist(), i.tolist(), r.tolist()))


def value(text, name):
    return float(re.search(r"^%s=([\d.]+)$" % name, text, re.M).group(1))


def fold_row(text, name):
    row = next(line for line in text.splitlines() if line.startswith(name))
    return [float(v) for v in row[18:].split()]


@story
def learns_what_numpy_learns():
    sizes = (943, 1682, 100000) if SOAK else (120, 200, 5000)
    u, i, r = ratings_maker.make(*sizes, seed=3)
    with Job(csv_of(u, i, r), seed=11) as job:
        out = job.train().stdout
        wanted = recommender_reference.cross_validate(u, i, np.round(r, 6), seed=11)
        equal(out.splitlines()[0], "Starting the training.")
        equal(out.splitlines()[-1], "Training complete.")
        contains(out, "Evaluating RMSE, MAE of algorithm SVD on 5 split(s).\n\n" + " " * 18 + "Fold 1  Fold 2  Fold 3  Fold 4  "
                 "Fold 5  Mean    Std     \n")
        for name, at in (("RMSE (testset)", 0), ("MAE (testset)", 1)):
            row = fold_row(out, name)
            for got, (fold) in zip(row, wanted):
                true(abs(got - fold[at]) < 0.002, name, row, wanted)
        true(abs(value(out, "rmse") - np.mean([w[0] for w in wanted])) < 0.002, out, wanted)
        # Whatever the number of threads and however often.
        model = open(job.path("model/recommender.model"), "rb").read()
        again = job.train(RECOMMENDER_THREADS="1").stdout
        equal(value(again, "rmse"), value(out, "rmse"))
        true(open(job.path("model/recommender.model"), "rb").read() == model, "another model with another number of threads")


@story
def comes_near_to_the_noise():
    """Ratings of a model that is known, enough of them for its few factors: what is left is the noise."""
    g = np.random.default_rng(5)
    users, items, noise = (600, 400, 0.3)
    bu, bi = g.normal(0, 0.3, users), g.normal(0, 0.3, items)
    pairs = g.permutation(users * items)[:int(users * items * 0.6)]
    u, i = pairs // items, pairs % items
    r = np.clip(3 + bu[u] + bi[i] + g.normal(0, noise, len(u)), 1, 5)
    floor = float(np.sqrt(np.mean((r - (3 + bu[u] + bi[i]))**2)))
    with Job(csv_of(u + 1, i + 1, r), n_factors=1, n_epochs=60, lr_all=0.003, reg_all=0.02, init_std_dev=0.01) as job:
        out = job.train().stdout
        true(value(out, "rmse") < 1.01 * floor, "rmse %f, noise %f" % (value(out, "rmse"), floor))


@story
def recommends_what_was_not_rated():
    u, i, r = ratings_maker.make(60, 40, 1200, seed=4)
    with Job(csv_of(u, i, r), n_factors=8, top_n=5, folds=0) as job:
        job.train()
        rated = set(zip(u.tolist(), i.tolist()))
        lines = job.read("output/data/recommendations.csv").splitlines()
        equal(lines[0], "USERID,RECOMMENDATIONS")
        equal(len(lines) - 1, len(set(u.tolist())))
        with Server(job) as s:
            for line in lines[1:]:
                user, rest = line.split(",", 1)
                best = json.loads(rest.strip('"'))
                true(not any((int(user), item) in rated for item in best), line)
                free = [x for x in sorted(set(i.tolist())) if (int(user), x) not in rated]
                equal(len(best), min(5, len(free)))
                status, body, _ = s.ask("".join("%s,%d\n" % (user, x) for x in free))
                equal(status, 200, body)
                by = dict(zip(free, map(float, body.split())))
                if best:
                    true(min(by[b] for b in best) >= max([by[x] for x in free if x not in best] or [0]), line, by)


@story
def serves_as_the_contract_says():
    u, i, r = ratings_maker.make(50, 40, 800, seed=6)
    with Job(csv_of(u, i, r), n_factors=8) as job:
        job.train()
        with Server(job) as s:
            equal(s.ask(None, None, "GET", "/ping")[0], 200)
            status, body, headers = s.ask("1,308\n1,425\n2,3\n99999,3\n99999,99999\n")
            equal((status, headers["content-type"]), (200, "text/csv; charset=utf-8"))
            values = [float(v) for v in body.split()]
            equal(len(values), 5)
            true(all(1 <= v <= 5 for v in values), values)
            equal(s.ask("1,2\n", "application/json")[:2], (415, "This predictor only supports CSV data"))
            equal(s.ask("1,2\n", "text/csv; charset=utf-8")[0], 415)
            equal(s.ask("1,2\n", None)[0], 415)
            contains(s.ask("1,2\n1;3\n")[1], 'line 2, "1;3"')
            equal(s.ask("1,2\n1;3\n")[0], 400)
            equal(s.ask("1,2\n" * 1500000)[0], 413)
            equal(s.ask(None, None, "GET", "/invocations")[0], 405)
            equal(s.ask(None, None, "GET", "/other")[0], 404)
            equal(s.ask("")[:2], (200, ""))
            payload = job.write("payload.csv", "1,3\n2,3\n")
            equal(len(job.run("predict", payload, "--url", s.url).stdout.split()), 2)
            contains(job.run("predict", payload, "text/plain", "--url", s.url, code=1).stderr, "415", "only supports CSV")

            def many(seed):
                g = rng("serve", seed)
                for _ in range(20):
                    pairs = [(g.randrange(60), g.randrange(50)) for _ in range(g.randrange(1, 200))]
                    status, body, _ = s.ask("".join("%d,%d\n" % p for p in pairs))
                    one = s.ask("%d,%d\n" % pairs[-1])[1]
                    if (status, len(body.split()), body.split()[-1]) != (200, len(pairs), one.strip()):
                        bad.append((status, len(pairs), len(body.split())))
            bad = []
            threads = [threading.Thread(target=many, args=(n,)) for n in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            equal(bad, [])


@story
def refuses_bad_input():
    good = "1,1,3\n1,2,4\n2,1,5\n2,2,1\n3,1,2\n"
    for ratings, hyper, said in [
            ("", {}, ["there are no ratings"]),
            (None, {}, ["no ratings: neither the hyperparameter input_table_name"]),
            ("1,1,9\n", {}, ["ratings.csv:1: the rating 9 lies outside the scale of 1 to 5"]),
            ("1,1,3\n1,1,4\n", {}, ["user 1 rated item 1 twice"]),
            ("user,item,rating\nmary,1,3\n", {}, ['the user is "mary"']),
            ("1,1,nan\n", {}, ["the rating nan"]),
            ("1,1,3\n1,2\n", {}, ["ratings.csv:2: 2 columns; the rating is missing"]),
            ("\n\nuser,item\n1,2\n", {}, ["ratings.csv:3: no column for the rating"]),
            (good, {"n_factor": 3}, ['unknown hyperparameter "n_factor"; did you mean "n_factors"?']),
            (good, {"n_epochs": "many"}, ['hyperparameter n_epochs is "many"']),
            (good, {"folds": 50}, ["5 ratings cannot be cut into 50 folds"]),
            (good, {"folds": 2, "lr_all": 10, "reg_all": 100, "n_factors": 4, "n_epochs": 200}, ["learning rates are too high"])]:
        with Job(ratings, **hyper) as job:
            job.fails(*said)
    with Job("\n" + good, folds=0, n_factors=2, _tuning_objective_metric="rmse", rating_min=0.1) as job:
        job.write("output/failure", "of a job before")
        job.train()
        true(not job.has("output/failure"), "the failure of a job before")
        model = open(job.path("model/recommender.model"), "rb").read()
        job.write("input/data/training/bad.csv", "1,1,nan\n")
        contains(job.train(code=255).stderr, "bad.csv:1")
        true(open(job.path("model/recommender.model"), "rb").read() == model, "a job that failed changed the model")
        whole = open(job.path("model/recommender.model"), "rb").read()
        with open(job.path("model/recommender.model"), "wb") as f:
            f.write(whole[:-7])
        contains(job.run("serve", "--local", job.dir, code=1).stderr, "recommender.model was cut off")
        os.remove(job.path("model/recommender.model"))
        contains(job.run("serve", "--local", job.dir, code=1).stderr, "cannot be read")


# ------------------------------------------------------------------------------------------------ the warehouse

def key_pair(folder):
    private, public = os.path.join(folder, "rsa_key.p8"), os.path.join(folder, "rsa_key.pub")
    subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private],
                   check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    with open(public) as f:
        return private, f.read()


def fill(w, u, i, r, rows=True):
    w.sql("create table MOVIELENS.PUBLIC.RATINGS (USERID float, MOVIEID float, RATING float, SEEN varchar)")
    w.sql("create table MOVIELENS.PUBLIC.USER_MOVIE_RECOMMENDATIONS (USERID float, TOP_10_RECOMMENDATIONS variant)")
    if rows:
        w.db.executemany('insert into "MOVIELENS.PUBLIC.RATINGS" values (?, ?, ?, ?)',
                         [(float(a), float(b), float(c), "x") for a, b, c in zip(u.tolist(), i.tolist(), r.tolist())])


TABLES = dict(input_table_name="MOVIELENS.PUBLIC.RATINGS", output_table_name="movielens.public.user_movie_recommendations",
              account="xy12345.eu-west-1", user="loader", role="SYSADMIN", n_factors=8)


def check_table(w, u, i):
    rows = w.sql("select * from MOVIELENS.PUBLIC.USER_MOVIE_RECOMMENDATIONS")
    equal(sorted(int(row[0]) for row in rows), sorted(set(u.tolist())))
    rated = set(zip(u.tolist(), i.tolist()))
    for user, items in rows:
        items = json.loads(items)
        true(all(isinstance(x, int) and (int(user), x) not in rated for x in items), user, items)
    left = [t for (t,) in w.db.execute("select name from sqlite_master where type = 'table'") if "RECOMMENDER_" in t]
    equal(left, [], "tables left behind")


@story
def reads_and_fills_tables():
    u, i, r = ratings_maker.make(80, 60, 2500, seed=8)
    with tempfile.TemporaryDirectory() as folder:
        private, public = key_pair(folder)
        with Warehouse(users={"LOADER": public}) as w, Job(**TABLES, private_key_file=private, snowflake_url=w.url) as job:
            fill(w, u, i, r)
            w.partition_rows, w.polls = 700, 1
            out = job.train().stdout
            contains(out, "ratings=2500\n", "Top 10 predictions for all users saved to Snowflake table named:  "
                     "movielens.public.user_movie_recommendations\nTraining complete.")
            check_table(w, u, i)
            # Again, with every kind of trouble: what is there afterwards is the same.
            before = w.sql("select * from MOVIELENS.PUBLIC.USER_MOVIE_RECOMMENDATIONS order by 1")
            w.polls = 0
            for fault in (500, "lose", "reset", 401, 429 if SOAK else "lose"):  # one more in a row, and it gives up
                w.fault("POST", fault)
            for fault in ("reset", 503, 429) if SOAK else ("reset",):
                w.fault("GET", fault)
            del w.statements[:]
            job.train()
            equal(w.sql("select * from MOVIELENS.PUBLIC.USER_MOVIE_RECOMMENDATIONS order by 1"), before)
            inserts = [s for s in w.statements if s.upper().startswith("INSERT INTO MOVIELENS.PUBLIC.USER_MOVIE") or
                       s.upper().startswith("INSERT INTO MOVIELENS.PUBLIC.RECOMMENDER_")]
            equal(len(inserts), 3, w.statements)  # the first is tried without a row, before training
            check_table(w, u, i)


@story
def a_token_may_run_out_in_the_middle():
    u, i, r = ratings_maker.make(40, 30, 600, seed=9)
    with tempfile.TemporaryDirectory() as folder:
        private, public = key_pair(folder)
        with Warehouse(users={"LOADER": public}) as w, Job(**TABLES, private_key_file=private, snowflake_url=w.url) as job:
            fill(w, u, i, r)
            seen = w.check_caller

            def once(entry, calls=[0]):
                calls[0] += 1
                seen(entry)
                if calls[0] == 4:
                    w.revoke()
                    time.sleep(1.1)  # a token made in the same second would be the same
            w.check_caller = once
            job.train()
            check_table(w, u, i)
            true(len(w.seen) >= 1, w.seen)


@story
def nothing_is_half_written():
    u, i, r = ratings_maker.make(40, 30, 600, seed=9)
    with Warehouse(tokens={"PAT-1"}) as w, Job() as job:
        token = job.write("token", "PAT-1\n")
        hyper = dict(TABLES, token_file=token, snowflake_url=w.url)
        # Missing tables are said before any work is done.
        job.hyper(**hyper)
        job.fails("the output table movielens.public.user_movie_recommendations", "422 002003", "does not exist")
        fill(w, u, i, r, rows=False)
        job.hyper(**dict(hyper, input_table_name="MOVIELENS.PUBLIC.NONE"))
        job.fails("the input table MOVIELENS.PUBLIC.NONE", "does not exist")
        job.hyper(**dict(hyper, input_table_name="RATINGS; DROP TABLE X"))
        job.fails('input_table_name is "RATINGS; DROP TABLE X"; expected a table')
        job.hyper(**hyper)
        job.fails("there are no ratings")
        fill_rows = [(1.0, 1.0, 3.0, ""), (1.0, 2.0, None, "")]
        w.db.executemany('insert into "MOVIELENS.PUBLIC.RATINGS" values (?, ?, ?, ?)', fill_rows)
        job.fails("MOVIELENS.PUBLIC.RATINGS, row 2: the rating is null")
        w.sql("delete from MOVIELENS.PUBLIC.RATINGS")
        w.db.executemany('insert into "MOVIELENS.PUBLIC.RATINGS" values (?, ?, ?, ?)',
                         [(float(a), float(b), float(c), "x") for a, b, c in zip(u.tolist(), i.tolist(), r.tolist())])
        w.sql("insert into MOVIELENS.PUBLIC.USER_MOVIE_RECOMMENDATIONS values (7, '[1]')")
        # What may not be written is known before any work is done, too.
        from snowflake_api import Refused
        run_one = w.run_one
        for denied in ("CREATE TRANSIENT", "INSERT INTO MOVIELENS.PUBLIC.USER_MOVIE", "DELETE FROM"):
            def guarded(text, values, scope, denied=denied):
                if text.upper().startswith(denied):
                    raise Refused(422, "003001", "SQL access control error: Insufficient privileges", "42501")
                return run_one(text, values, scope)
            w.run_one = guarded
            del w.statements[:]
            job.fails("the output table movielens.public.user_movie_recommendations cannot be written", "422 003001", "Insufficient")
            true(not any("MOVIEID" in s.upper() for s in w.statements), "ratings were read first")
        equal([t for (t,) in w.db.execute("select name from sqlite_master") if "RECOMMENDER_" in t], [])
        w.run_one = run_one
        # The last statement fails in the middle of its transaction: the old rows stand.

        def broken(text, values, scope):
            if text.upper().startswith("COMMIT"):
                raise Refused(422, "000625", "Statement aborted.", "57014")
            return run_one(text, values, scope)
        w.run_one = broken
        job.fails("the output table", "422 000625", "Statement aborted")
        equal(w.sql("select * from MOVIELENS.PUBLIC.USER_MOVIE_RECOMMENDATIONS"), [(7.0, "[1]")])
        w.run_one = run_one
        job.hyper(**dict(hyper, output_mode="append"))
        job.train()
        equal(len(w.sql("select * from MOVIELENS.PUBLIC.USER_MOVIE_RECOMMENDATIONS")), 1 + len(set(u.tolist())))
        job.write("token", "another")
        job.fails("401", "Invalid OAuth access token")


@story
def files_that_are_not_read_are_named():
    with Job(folds=0) as job:
        job.write("input/data/train/ratings.csv.gz", "x")
        job.fails("no ratings", "ratings.csv.gz, but only files directly in a channel")
        os.unlink(job.path("input/data/train/ratings.csv.gz"))
        job.write("input/data/train/2024/ratings.csv", "1,2,3\n")
        job.fails("no ratings", "train/2024, but")
        job.write("input/data/train/ratings.csv", "USERID,MOVIEID,RATING\n" + "".join("%d,%d,3\n" % (u, i) for u in range(5) for i in range(5)))
        contains(job.train().stdout, "Not read: ", "train/2024")


@story
def a_signal_ends_the_training():
    """Process 1 of a container has no default action for signals: there must be a handler."""
    with Job(n_epochs=1000000, folds=5) as job:
        job.write("input/data/train/r.csv", "USERID,MOVIEID,RATING\n" + "".join("%d,%d,3\n" % (u, i) for u in range(50) for i in range(50)))
        p = subprocess.Popen([PROGRAM, "train", "--local", job.dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        contains(p.stdout.readline(), "Starting")
        p.send_signal(signal.SIGTERM)
        _, err = p.communicate(timeout=30)
        equal(p.returncode, 128 + signal.SIGTERM)
        contains(err, "stopped by a signal")
        true(not job.has("model/recommender.model"))


@story
def the_secret_is_in_the_parameter_store():
    """As the container that this replaces had it; the signature is verified by botocore, the credentials come from a
    container's endpoint."""
    from aws_verify import KEY, SECRET, Keyring, fault
    from stand_in import Service

    class Cloud(Service):
        def answer(self, handler, entry):
            if entry.path == "/creds":
                true(entry.headers.get("authorization") == "tok", entry.headers)
                return handler.reply(200, json.dumps({"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": "session",
                                                      "Expiration": "2099-01-01T00:00:00Z"}).encode())
            ring = Keyring()
            ring.add(KEY, SECRET, "session")
            wrong = fault(entry, ring, ("ssm",), "us-east-1")
            if wrong:
                return handler.reply(400, json.dumps({"__type": wrong[0], "message": wrong[1]}).encode())
            said = json.loads(entry.body)
            equal(entry.headers["x-amz-target"], "AmazonSSM.GetParameter")
            if said["Name"] != "snf_password":
                return handler.reply(400, b'{"__type":"ParameterNotFound"}')
            return handler.reply(200, json.dumps({"Parameter": {"Name": said["Name"], "Value": "PAT-1"}}).encode())

    u, i, r = ratings_maker.make(40, 30, 600, seed=9)
    with Warehouse(tokens={"PAT-1"}) as w, Cloud() as cloud, Job(**TABLES, region="us-east-1", snowflake_url=w.url) as job:
        fill(w, u, i, r)
        env = dict(AWS_ENDPOINT_URL_SSM=cloud.url, AWS_CONTAINER_CREDENTIALS_FULL_URI=cloud.url + "/creds",
                   AWS_CONTAINER_AUTHORIZATION_TOKEN="tok", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
        out = job.train(**env)
        check_table(w, u, i)
        true("PAT-1" not in out.stdout + out.stderr, "the secret was printed")
        shutil.rmtree(job.path("model"))
        job.hyper(**TABLES, region="us-east-1", snowflake_url=w.url, secret_parameter="other")
        job.fails('the SSM parameter "other" cannot be read: 400 ParameterNotFound', **env)
        job.hyper(**TABLES, region="us-east-1/x", snowflake_url=w.url)
        job.fails('region is "us-east-1/x"', **env)


if __name__ == "__main__":
    main()
