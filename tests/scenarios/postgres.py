#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""postgres_lookup before a PostgreSQL of the test's own, on a socket in its folder: values bound, answers, sessions, restarts of
the server, time limits, cancelling."""
import concurrent.futures
import glob
import http.client
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile

from lib.gateway import SSE, Gateway
from lib.story import contains, equal, eventually, main, story, true

BIN = (sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres")) or [""])[-1]


class Server:
    """A cluster in a folder, run by somebody who is not root."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="pg-", dir="/tmp")
        self.data = os.path.join(self.dir, "data")
        self.who = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.dir, nobody.pw_uid, nobody.pw_gid)
            self.who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.process = None

    def run(self, program, *args, stdin=None):
        done = subprocess.run([os.path.join(os.path.dirname(BIN), program), *args], input=stdin, capture_output=True, text=True,
                              timeout=120, cwd=self.dir, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, check=False, **self.who)
        true(done.returncode == 0, done.stdout + done.stderr)
        return done.stdout

    def __enter__(self):
        self.start()
        return self

    def start(self):
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.process = subprocess.Popen([BIN, "-D", self.data, "-k", self.dir, "-c", "listen_addresses=", "-c", "fsync=off",
                                         "-c", "max_connections=30"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=self.dir, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, **self.who)
        ready = [os.path.join(os.path.dirname(BIN), "pg_isready"), "-q", "-h", self.dir]
        eventually(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL does not start")

    def stop(self):
        self.process.send_signal(3)  # immediate: as if it had crashed
        self.process.wait(60)
        self.log.close()

    def sql(self, text):
        return self.run("psql", "-h", self.dir, "-U", "postgres", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", stdin=text).strip()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir)

    @property
    def dsn(self):
        return "host=%s dbname=postgres user=reader" % self.dir


TABLES = """CREATE ROLE reader LOGIN;
CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(38, 3), more jsonb);
INSERT INTO item SELECT i, 'name ' || i, i * 1.5, jsonb_build_object('n', i) FROM generate_series(1, 1000) i;
INSERT INTO item VALUES (2000, NULL, NULL, NULL), (2001, 'é "quoted" ''; DROP TABLE item; --', 12345678901234567890.125, '[1]');
GRANT ALL ON item TO reader;
"""
HEAD = SSE + """
[listen "http"]
address = 127.0.0.1:0
[listen "admin"]
address = 127.0.0.1:0
[connector "db"]
plugin = postgres_lookup
dsn = file:dsn
statement_timeout = %s
work_threads = 4
timeout = %s
"""
FUNCTION = """[function "%s"]
connector = db
operation = lookup
query = %s
params = %s
returns = %s
max_rows = 50
attempts = 1
"""
FUNCTIONS = "".join(FUNCTION % f for f in (
    ("price", "SELECT price FROM item WHERE id = $1", "id:num", "num"),
    ("exact", "SELECT price FROM item WHERE id = $1", "id:num", "str"),
    ("name", "SELECT name FROM item WHERE id = $1::int", "id:str", "str"),
    ("id", "SELECT id FROM item WHERE name = $1", "name:str", "num"),
    ("more", "SELECT more FROM item WHERE id = $1", "id:num", "json"),
    ("wrong_kind", "SELECT name FROM item WHERE id = $1", "id:num", "num"),
    ("several", "SELECT id FROM item WHERE id <= $1", "id:num", "num"),
    ("write", "INSERT INTO item VALUES ($1) RETURNING id", "id:num", "num"),
    ("nonsense", "SELECT nothing FROM item WHERE id = $1", "id:num", "num"),
    ("slow", "SELECT 1 FROM pg_sleep($1)", "seconds:num", "num")))


def gateway(server, statement_timeout="30s", timeout="60s"):
    return Gateway(HEAD % (statement_timeout, timeout) + FUNCTIONS, files={"dsn": server.dsn})


def ask(g, function, values, connection=None):
    c = connection or http.client.HTTPConnection(g.address("http"), timeout=90)
    c.request("POST", "/functions/" + function, json.dumps({"rows": [[v] for v in values]}), {"content-type": "application/json"})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, text


def rows(g, function, *values):
    status, text = ask(g, function, values)
    equal(status, 200, text)
    return [row[0] for row in json.loads(text)["rows"]]


def ready(g):
    c = http.client.HTTPConnection(g.address("admin"), timeout=60)
    c.request("GET", "/readyz")
    text = c.getresponse().read().decode()
    c.close()
    return text


@story
def lookups():
    with Server() as s:
        s.sql(TABLES)
        with gateway(s) as g:
            equal(rows(g, "price", 1, 2, 5000, 2000, 1000), [1.5, 3, None, None, 1500])
            equal(rows(g, "exact", 2001), ["12345678901234567890.125"])
            odd = 'é "quoted" \'; DROP TABLE item; --'
            equal(rows(g, "name", "2001", "7"), [odd, "name 7"])
            equal(rows(g, "id", odd, "name 8", "' OR true --", None), [2001, 8, None, None])
            got = rows(g, "more", 5, 2001)
            equal([json.loads(v) if isinstance(v, str) else v for v in got], [{"n": 5}, [1]])
            equal(rows(g, "price", *range(1, 501)), [i * 1.5 for i in range(1, 501)])
            contains(ask(g, "name", ["abc"])[1], "invalid input syntax for type integer")
            contains(ask(g, "wrong_kind", [1])[1], "name 1")
            contains(ask(g, "several", [3])[1], "more than one row")
            contains(ask(g, "write", [9000])[1], "read-only transaction")
            contains(ask(g, "nonsense", [1])[1], "does not exist")
            equal(s.sql("SELECT count(*) FROM item"), "1002")
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                got = list(pool.map(lambda i: rows(g, "price", i, i + 1), range(1, 200)))
            equal(got, [[i * 1.5, i * 1.5 + 1.5] for i in range(1, 200)])
            sessions = int(s.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'"))
            true(1 <= sessions <= 4, "%d sessions" % sessions)


@story
def the_server_restarts():
    with Server() as s:
        s.sql(TABLES)
        with gateway(s) as g:
            equal(rows(g, "price", 1), [1.5])
            s.stop()
            s.start()
            equal(rows(g, "price", 1, 2), [1.5, 3])  # in a new session, without a failure
            s.stop()
            status, text = ask(g, "price", [1])
            equal(status, 503, text)
            contains(text, "PostgreSQL: ")
            contains(ready(g), "PostgreSQL: ")
            s.start()
            equal(rows(g, "price", 1), [1.5])
            true("PostgreSQL" not in ready(g), ready(g))


@story
def time_is_over():
    with Server() as s:
        s.sql(TABLES)
        with gateway(s, statement_timeout="200ms") as g:
            status, text = ask(g, "slow", [600])
            contains(text, "statement timeout")
            equal(status, 504, text)
            equal(rows(g, "price", 1), [1.5])  # in the same session


def sleeping(s):
    return s.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active'")


@story
def nobody_wants_it_any_more():
    """A caller who goes, and a time limit of the connector: the server stops as well."""
    with Server() as s:
        s.sql(TABLES)
        with gateway(s, statement_timeout="1h") as g:
            c = http.client.HTTPConnection(g.address("http"), timeout=90)
            c.request("POST", "/functions/slow", json.dumps({"rows": [[600]]}), {"content-type": "application/json"})
            eventually(lambda: sleeping(s) == "1", "the query does not run")
            c.close()
            eventually(lambda: sleeping(s) == "0", "the query runs on")
            equal(rows(g, "price", 1), [1.5])
        with gateway(s, statement_timeout="1h", timeout="1s") as g:
            equal(ask(g, "slow", [600])[0], 504)
            eventually(lambda: sleeping(s) == "0", "the query runs on")


if __name__ == "__main__":
    if not BIN:
        print("PostgreSQL is not here (apt: postgresql-15)")
        sys.exit(77)
    main()
