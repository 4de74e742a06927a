#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A store that does not work, from the start or later: scoring goes on, what is durable is refused, and it comes back
without a restart. A damaged file is left as it is."""
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess

from lib.gateway import Gateway, new_key
from lib.sse import Client
from lib.story import contains, equal, eventually, lacks, main, story, true

OWN = os.environ["SCENARIO_PLUGINS"]
CONFIG = """
[plugins]
dir = %s
[listen "sse"]
address = 127.0.0.1:0
[listen "http"]
address = 127.0.0.1:0
[listen "admin"]
address = 127.0.0.1:0
[store]
url = sqlite:@DIR@/data/state.db
[connector "a"]
plugin = actor
log = @DIR@/did
[function "twice"]
script = functions/twice.lua
params = n:num
[function "keep"]
action = a.echo
params = value:str
wait = stored
""" % OWN
FILES = {"scripts/functions/twice.lua": "return function(n) return 2 * n end\n"}


class House(Gateway):
    def __init__(self, extra="", workers=2):
        self.key, section = new_key("etl")
        super().__init__(CONFIG + section + extra, FILES, workers=workers)
        self.data = os.path.join(self.dir, "data")
        self.db = os.path.join(self.data, "state.db")
        os.mkdir(self.data, 0o700)

    def ask(self, listener, path, body=None):
        c = http.client.HTTPConnection(self.address(listener), timeout=30)
        c.request("POST" if body else "GET", path, body=body,
                  headers={"content-type": "application/json", "x-api-key": self.key} if body else {})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def keep(self):
        return self.ask("http", "/functions/keep", '{"rows": [["x"]]}')

    def scores(self, ids=None):
        status, text = self.ask("http", "/functions/twice", '{"rows": [[21]]}')
        equal((status, json.loads(text)), (200, {"rows": [[42.0]]}), text)
        with Client(self.address()) as c:
            got = c.ids()
            if ids is not None:
                equal(got, ids)
            if "twice" in got:
                equal(c.call(got["twice"], [[21.0]]).ok().numbers(), [42.0])
            return got

    def refused(self, *why):
        status, text = self.keep()
        equal(status, 503, text)
        contains(text, "UNAVAILABLE", "store does not work", *why)
        lacks(text, "state.db", self.dir)

    def degraded(self, *why, status=200):
        got, text = self.ask("admin", "/readyz")
        equal(got, status, text)
        contains(text, "degraded since", "tried again", self.data, *why)
        contains(self.ask("admin", "/")[1], "ready, degraded" if status == 200 else "not ready")
        contains(self.ask("admin", "/metrics")[1], "patchbay_store_up 0")

    def works(self):
        eventually(lambda: self.keep()[0] == 200, "what is durable is taken again")
        eventually(lambda: self.ask("admin", "/readyz") == (200, "ready\n") and
                   "patchbay_store_workers_without 0" in self.ask("admin", "/metrics")[1], "every worker has its store")
        contains(self.ask("admin", "/metrics")[1], "patchbay_store_up 1")

    def workers(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [int(pid) for pid in f.read().split()]


class Disk:
    """A small one in each of the folders."""

    def __init__(self, options, *folders):
        self.folders, self.mounted = folders, 0
        for f in folders:
            os.makedirs(f, mode=0o700, exist_ok=True)
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700," + options, "tmpfs", f], capture_output=True).returncode:
                break
            self.mounted += 1

    def fill(self):
        for f in self.folders:
            try:
                with open(os.path.join(f, "ballast"), "wb", 0) as out:
                    while out.write(b"x" * 4096):
                        pass
            except OSError:
                pass

    def mend(self, options):
        for f in self.folders:
            subprocess.run(["mount", "-o", "remount," + options, f], check=True)

    def __enter__(self):
        return self

    def leave(self):
        for f in self.folders[:self.mounted]:
            subprocess.run(["umount", "-l", f], check=True)
        self.mounted = 0

    def __exit__(self, *_):
        self.leave()


def spoil(path):
    """Bytes that are no database, in place of one."""
    with open(path, "wb") as f:
        f.write(b"\x5a" * 65536)
    for end in ("-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)


def bytes_of(path):
    with open(path, "rb") as f:
        return f.read()


@story
def damaged_before_the_start():
    """Functions keep the ids that Qlik knows; a worker that is killed meanwhile is replaced; the file is not touched; who
    puts back the backup has everything again."""
    g = House()
    with g:
        ids = g.scores()
        equal(sorted(ids), ["keep", "twice"])
        equal(g.keep()[0], 200)
        g.stop()
        for path in (g.db, ):
            db = sqlite3.connect(path)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.close()
        backup = os.path.join(g.dir, "backup.db")
        shutil.copy(g.db, backup)
        g.run("check", "--config", g.config, "--state", g.state)
        spoil(g.db)
        contains(g.run("check", "--config", g.config, "--state", g.state, code=1).err, g.db, "not a SQLite database", "backup")
        before = bytes_of(g.db)
        g.start()
        g.scores(ids)
        g.refused("damaged")
        g.degraded("not a SQLite database", "restore it from a backup")
        contains(g.await_log("the store failed")[0], g.db)
        victim = g.workers()[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: victim not in g.workers() and len(g.workers()) == 2, "another worker")
        g.await_log("a worker was replaced")
        g.scores(ids)
        equal(bytes_of(g.db), before)
        os.replace(backup, g.db)
        g.works()
        g.scores(ids)
        g.await_log("the store works again")


@story
def moved_away():
    """A new store takes the ids that the old one had given."""
    g = House()
    with g:
        ids = g.scores()
        g.stop()
        spoil(g.db)
        g.start()
        g.scores(ids)
        os.rename(g.db, g.db + ".bad")
        g.works()
        g.restart()
        g.scores(ids)


@story
def damaged_while_it_runs():
    """Pages in the middle: seen when they are read. It is closed, and used again when all of it is sound."""
    with House(workers=0) as g:
        equal(g.keep()[0], 200)
        eventually(lambda: os.path.getsize(g.db + "-wal"), "it writes")
        db = sqlite3.connect(g.db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        sound = bytes_of(g.db)
        with open(g.db, "r+b") as f:
            f.seek(100)
            f.write(b"\x5a" * (len(sound) - 100))
        eventually(lambda: g.keep()[0] == 503, "it is noticed")
        g.scores()
        eventually(lambda: "degraded" in g.ask("admin", "/readyz")[1], "it says so")
        for end in ("-wal", "-shm"):
            if os.path.exists(g.db + end):
                os.unlink(g.db + end)
        with open(g.db + ".new", "wb") as f:
            f.write(sound)
        os.chmod(g.db + ".new", 0o600)
        os.replace(g.db + ".new", g.db)
        g.works()


@story
def a_folder_that_is_not_there():
    """As a disk that is not mounted yet: functions get their ids when it is."""
    g = House()
    os.rmdir(g.data)
    with open(g.data, "w"):
        pass
    with g:
        equal(g.scores(), {})
        g.refused("cannot be opened")
        g.degraded("cannot be")
        os.unlink(g.data)
        os.mkdir(g.data, 0o700)
        g.works()
        g.await_log("functions have ids now", count=2)
        equal(sorted(g.scores()), ["keep", "twice"])


@story
def permissions():
    g = House()
    os.chmod(g.data, 0o770)
    with g:
        g.scores()
        g.refused("cannot be opened")
        g.degraded("chmod go-w")
        os.chmod(g.data, 0o700)
        g.works()


@story
def no_room_before_the_start():
    """Nothing can be written, not even the admin token: it scores; with room again, everything is there. The same for a disk
    that was mounted read-only."""
    for small, roomy in (("size=64k", "size=64m"), ("ro", "rw,size=64m")):
        g = House()
        with Disk(small, g.data, g.state) as disk:
            if not disk.mounted:
                print("# skipped: this machine lets nobody mount a disk")
                return
            disk.fill()
            with g:
                g.scores()
                g.refused()
                g.degraded()
                g.await_log("there is no admin token")
                disk.mend(roomy)
                g.works()
                equal(sorted(g.scores()), ["keep", "twice"])
                g.stop()
                disk.leave()


@story
def one_that_is_required():
    g = House()
    with g:
        g.stop()
        config = CONFIG.replace("[store]", "[store]\nrequired = yes")
        g.reconfigure(config)
        spoil(g.db)
        contains(g.run("run", "--config", g.config, "--state", g.state, code=1).err, "not a SQLite database")
        os.unlink(g.db)
        g.start()
        os.chmod(g.data, 0o700)
        true(g.ask("admin", "/readyz")[0] == 200, "ready")


main()
