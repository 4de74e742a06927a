# SPDX-License-Identifier: MIT
"""Qlik remembers function ids from its first GetCapabilities and does not notice changes: ids never move."""
import os

from lib.gateway import SSE, Gateway
from lib.sse import CODE, client
from lib.story import contains, equal, main, story, true

FILES = {"scripts/functions/%s.lua" % n: "return function(a) return '%s:' .. a end\n" % n for n in "abcdef"}
FILES["scripts/functions/two.lua"] = "return function(a, b) return a .. b end\n"


def function(name, more="params = a:str"):
    return '[function "%s"]\nscript = functions/%s.lua\nreturns = str\n%s\n' % (name, name, more)


def config(names):
    return SSE + "".join(function(n) for n in names)


def calls(c, ids):
    for name, number in ids.items():
        equal(c.call(number, ["x"]).ok().texts(), [name + ":x"], "function %s, id %d" % (name, number))


@story
def ids_stay_when_functions_come_go_and_change_places():
    with Gateway(config("abc"), FILES) as g:
        with client(g) as c:
            first = c.ids()
            equal(len(set(first.values())), 3)
            calls(c, first)
        g.restart(config("cdab"))  # one inserted, the others in another order
        with client(g) as c:
            calls(c, first)
            second = c.ids()
            equal({n: second[n] for n in "abc"}, first)
            true(second["d"] not in first.values(), second)
        g.restart(config("dc"))  # two removed
        with client(g) as c:
            calls(c, {n: first[n] for n in "c"})
            for n in "ab":
                c.call(first[n], ["x"]).fails(CODE.UNIMPLEMENTED, "id %d" % first[n])
        g.restart(config("efdc"))  # new ones do not take their places
        with client(g) as c:
            third = c.ids()
            true(not {third["e"], third["f"]} & set(second.values()), third, second)
            for n in "ab":
                c.call(first[n], ["x"]).fails(CODE.UNIMPLEMENTED)
        g.restart(config("abcdef"))  # and who comes back has his own again
        with client(g) as c:
            equal({n: c.ids()[n] for n in "abc"}, first)
            calls(c, {**third, **first, "d": second["d"]})


@story
def explicit_ids_win_and_collide_loudly():
    with Gateway(config("ab"), FILES) as g:
        with client(g) as c:
            first = c.ids()
        taken = first["a"]
        g.restart(SSE + function("a") + function("b") + function("c", "id = 77\nparams = a:str"))
        with client(g) as c:
            equal(c.ids(), {**first, "c": 77})
        g.stop()
        g.reconfigure(SSE + function("a") + function("d", "id = %d\nparams = a:str" % taken))
        said = g.run("run", "--config", g.config, "--state", g.state, code=1).err
        contains(said, str(taken), "d")
        g.reconfigure(SSE + function("a", "id = 5\nparams = a:str") + function("b", "id = 5\nparams = a:str"))
        contains(g.run("run", "--config", g.config, "--state", g.state, code=1).err, "5")
        g.reconfigure(config("ab"))
        g.start()
        with client(g) as c:
            equal(c.ids(), first)


@story
def a_call_of_an_older_declaration_says_both():
    with Gateway(SSE + function("a") + function("two", "params = a:str, b:str"), FILES) as g:
        with client(g) as c:
            ids = c.ids()
        g.restart(SSE + function("a") + function("two", "params = a:str"))
        with client(g) as c:
            equal(c.ids(), ids)
            r = c.call(ids["two"], [["x", "y"]])
            r.fails(CODE.INVALID_ARGUMENT, "two", "1", "2")


@story
def a_store_that_is_lost_or_broken():
    """Ids stay: there is a copy of them, and a new store takes them from it (store_away.py)."""
    with Gateway(config("ab"), FILES) as g:
        with client(g) as c:
            ids = c.ids()
        g.stop()
        store = os.path.join(g.state, "state.db")
        true(os.path.exists(store), os.listdir(g.state))
        equal(os.stat(store).st_mode & 0o777, 0o600, "mode of the store")
        for end in ("", "-wal", "-shm"):
            if os.path.exists(store + end):
                os.remove(store + end)
        with open(store, "wb") as f:
            f.write(b"no database, but long enough to be looked at\n" * 100)
        os.chmod(store, 0o600)
        g.start()
        contains(g.await_log("the store failed")[0], "state.db")
        with client(g) as c:
            equal(c.ids(), ids)
        g.stop()
        os.remove(store)
        os.remove(os.path.join(g.state, "function-ids.json"))
        g.start()
        with client(g) as c:
            equal(sorted(c.ids()), sorted(ids))


if __name__ == "__main__":
    main()
