# SPDX-License-Identifier: MIT
"""EvaluateScript: Lua that Qlik sends along, for those who may, in states of its own."""
import math

from lib.gateway import SSE, Gateway
from lib.sse import AGGREGATION, CODE, DUAL, NUMERIC, SCALAR, STRING, TENSOR, client
from lib.story import contains, equal, lacks, main, story, true

CONFIG = SSE + """
[function "f"]
id = 1
script = functions/f.lua
params = a:str
returns = str
"""
FILES = {"scripts/functions/f.lua": "return function(a) return a end\n"}
ON = "[scripts]\nevaluate = yes\nevaluate_users = UserDirectory=ACME; UserId=kim\nevaluate_apps = app-2\n"


def open_gateway():
    return Gateway(CONFIG + ON, FILES)


@story
def off_unless_switched_on():
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        equal(c.capabilities().allowScript, False)
        c.script("1", [1.0], params=[("a", NUMERIC)]).fails(CODE.PERMISSION_DENIED, "evaluate")
        equal(c.call(1, ["alive"]).ok().texts(), ["alive"])


@story
def only_for_those_who_are_listed():
    with open_gateway() as g, client(g) as c:
        equal(c.capabilities().allowScript, True)
        equal(c.script("a * 2", [1.0], params=[("a", NUMERIC)]).ok().numbers(), [2.0])
        equal(c.script("a * 2", [1.0], params=[("a", NUMERIC)], user="x", app="app-2").ok().numbers(), [2.0])
        for user, app in (("UserDirectory=ACME; UserId=eve", "app-1"), ("", ""), ("UserDirectory=ACME; UserId=kim ", "")):
            c.script("a", [1.0], params=[("a", NUMERIC)], user=user, app=app).fails(CODE.PERMISSION_DENIED, "app")


@story
def all_eight_shapes():
    with open_gateway() as g, client(g) as c:
        n, s = [("x", NUMERIC)], [("x", STRING)]
        mixed = [("n", NUMERIC), ("s", STRING), ("d", DUAL)]
        rows = [[1.0, "a", (2.0, "two")], [3.0, "b", (4.0, "four")]]
        for kind in (SCALAR, TENSOR):
            equal(c.script("x + 1", [1.0, 2.5], kind, NUMERIC, n).ok().numbers(), [2.0, 3.5])              # ScriptEval
            equal(c.script("x .. '!'", ["a", "b"], kind, STRING, s).ok().texts(), ["a!", "b!"])            # ScriptEvalStr
            equal(c.script("n + d", rows, kind, NUMERIC, mixed).ok().numbers(), [3.0, 7.0])               # ScriptEvalEx
            equal(c.script("s .. args[1]", rows, kind, STRING, mixed).ok().texts(), ["a1.0", "b3.0"])     # ScriptEvalExStr
        total = "local t = 0 for i = 1, x.n do t = t + x[i] end return t"
        equal(c.script(total, [float(i) for i in range(1000)], AGGREGATION, NUMERIC, n, size=70).ok().numbers(), [499500.0])
        equal(c.script("table.concat(x, '-')", ["a", "b", "c"], AGGREGATION, STRING, s, size=2).ok().texts(), ["a-b-c"])
        equal(c.script("#args[1] + n[2]", rows, AGGREGATION, NUMERIC, mixed).ok().numbers(), [5.0])        # ScriptAggrEx
        equal(c.script("s[1] .. s.n", rows, AGGREGATION, STRING, mixed).ok().texts(), ["a2"])              # ScriptAggrExStr
        many = ["%d" % i for i in range(5000)]
        equal(c.script("x", many, SCALAR, STRING, s, size=777).ok().texts(), many)
        equal(c.script("1", [], SCALAR, NUMERIC, n).ok().rows, [])


@story
def mistakes_are_named():
    with open_gateway() as g, client(g) as c:
        n = [("x", NUMERIC)]
        for text, part in (("x +", "script:1:"), ("x + nothing.here", "script:1:"), ("error('no')", "no"),
                           ("\n\nlocal y = x\nreturn y .. {}", "script:4:"), ("x .. 'a'", "")):
            got = c.script(text, [1.0, 2.0], params=n)
            true(got.code in (CODE.INVALID_ARGUMENT, CODE.UNKNOWN, CODE.INTERNAL), text, got.code)
            got.fails(got.code, part)
        got = c.script("x == 2 and 'two' or x", [1.0, 2.0], params=n)
        true(got.code != CODE.OK and "two" in got.details, got.details)
        true(math.isnan(c.script("nil", [1.0], params=n).ok().numbers()[0]), "nil is null")


ESCAPES = {
    "io": "io.open('/etc/passwd'):read('a')", "os": "os.execute('id')", "env": "os.getenv('AWS_SECRET_ACCESS_KEY')",
    "load": "load('return 1')()", "loadstring": "loadstring('return 1')()", "require": "require('io')",
    "dofile": "dofile('/etc/passwd')", "debug": "debug.getregistry()", "package": "package.loadlib('x', 'y')",
    "dump": "string.dump(function() end)", "metatable": "getmetatable('').__index.x()",
    "globals": "_G.io.open('x')", "coroutine": "coroutine.create(print)", "xpcall": "xpcall(print, print)",
    "gc": "setmetatable({}, {__gc = function() end}) and collectgarbage('stop')", "lookup": "lookup('x.csv')",
}
TIMED = {
    "loop": "while true do end return 1", "memory": "local t = {} for i = 1, 1e9 do t[i] = {} end return 1",
    "string": "local s = 'x' for i = 1, 60 do s = s .. s end return #s", "rep": "#string.rep('x', 1 << 40)",
    "pattern": "(('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40)) and string.find(('a'):rep(3000), '.-.-.-.-.-.-b') or 1",
    "recursion": "local function f() return 1 + f() end return f()",
    "caught": "while true do pcall(function() while true do end end) end return 1",
    "caught_memory": "while true do pcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end) end return 1",
    "sort": "local t = {} for i = 1, 1e6 do t[i] = i end table.sort(t, function() return true end) return 1",
    "gsub": "(('x'):rep(1e6):gsub('x', function() return ('y'):rep(1e6) end)) and 1", "format": "#string.format('%99999d', 1)",
    "concat": "#table.concat(setmetatable({}, {__len = function() return 1 << 40 end, __index = function() return 'x' end}))",
    "tostring": "tostring(setmetatable({}, {__tostring = function() while true do end end})) and 1",
}


@story
def nothing_gets_out():
    with open_gateway() as g, client(g) as c:
        for name, text in ESCAPES.items():
            got = c.script("tostring(%s)" % text if name != "gc" else text, [1.0], SCALAR, STRING, [("x", NUMERIC)])
            if got.code == CODE.OK:
                lacks(" ".join(got.texts()), "root:", "uid=", "wJalr")
                true(name in ("metatable", "gc"), name, "went through:", got.texts())
            equal(c.script("x", [7.0], params=[("x", NUMERIC)]).ok().numbers(), [7.0], "after " + name)


@story
def everything_ends_in_time():
    with open_gateway() as g, client(g) as c:
        for name, text in TIMED.items():
            got = c.script(text, [1.0], params=[("x", NUMERIC)], timeout=60)
            true("(row 1:" in got.details or got.code == CODE.OK, name, "ended otherwise:", got.code, got.details)
            true(got.code != CODE.UNAVAILABLE, name, got.details)
            if name not in ("format", "sort", "pattern", "recursion"):
                true(got.code != CODE.OK, name, got.numbers())
            equal(c.script("x", [7.0], params=[("x", NUMERIC)]).ok().numbers(), [7.0], "after " + name)
            equal(c.call(1, ["alive"]).ok().texts(), ["alive"], "after " + name)
        true(g.status("VmHWM") < 700 * 1024, "it took %d MiB" % (g.status("VmHWM") // 1024))


@story
def one_call_never_poisons_the_next():
    poison = ["string.upper = nil return 1", "x = 5 math.pi = 3 return 1", "string = nil return 1",
              "getmetatable('').__index = nil return 1", "_ENV = nil return 1", "table.insert = error return 1",
              "rawset(_G, 'pairs', nil) return 1", "tostring = function() return 'mine' end return 1"]
    probe = "('a'):upper() .. string.format('%.2f', math.pi) .. tostring(pairs ~= nil)"
    with open_gateway() as g, client(g) as c:
        for text in poison:
            c.script("leak = 1 " + text, [1.0], params=[("n", NUMERIC)])
            equal(c.script(probe, [1.0], SCALAR, STRING, [("n", NUMERIC)]).ok().texts(), ["A3.14true"], text)
            c.script("leak", [1.0], params=[("n", NUMERIC)]).fails(CODE.INVALID_ARGUMENT, "leak")


@story
def long_scripts_travel_in_headers():
    with open_gateway() as g, client(g) as c:
        text = "-- %s\nreturn x * 3" % ("a" * 40000)
        equal(c.script(text, [2.0], params=[("x", NUMERIC)]).ok().numbers(), [6.0])
        got = c.script("-- %s\nreturn x" % ("a" * 400000), [2.0], params=[("x", NUMERIC)])
        true(got.code not in (CODE.OK, CODE.DEADLINE_EXCEEDED), got.code)
        contains(str(c.script("x", [2.0], params=[("x", NUMERIC)]).ok().numbers()), "2.0")


if __name__ == "__main__":
    main()
