# SPDX-License-Identifier: MIT
"""Rows: every one answered once and in its place, whatever is in them."""
import math

from lib import sse
from lib.gateway import SSE, Gateway
from lib.sse import CODE, bundle, bundles, client, same_number
from lib.story import SOAK, contains, equal, main, rng, story, true


def function(name, script, params, returns="str", more=""):
    return '[function "%s"]\nscript = functions/%s.lua\nparams = %s\nreturns = %s\n%s\n' % (
        name, script, params, returns, more)


CONFIG = SSE + (
    function("text", "first", "a:str") +
    function("tensor", "first", "a:str", more="type = tensor\nmax_rows = 70") +
    function("small", "first", "a:str", more="max_rows = 7") +
    function("sent", "sent", "a:str", more="empty = send") +
    function("strict", "first", "a:str", more="empty = error") +
    function("number", "first", "a:num", "num") +
    function("both", "first", "a:dual", "dual", "empty = send") +
    function("dualtext", "second", "a:dual, b:str", "str") +
    function("textnumber", "first", "a:str", "num") +
    function("textnumber_null", "first", "a:str", "num", "on_bad = null") +
    function("numbertext", "first", "a:num", "str") +
    function("whole", "whole", "a:int", "num") +
    function("sum", "sum", "a:num", "num") +
    function("count", "count", "a:str", "num") +
    function("longer", "longer", "a:str") +
    function("table", "table", "n:num") +
    function("grouped", "grouped", "a:str, n:num") +
    function("listing", "listing", "") +
    function("raises", "raises", "a:num", "num") +
    function("raises_null", "raises", "a:num", "num", "on_error = null"))
FILES = {"scripts/functions/%s.lua" % name: text + "\n" for name, text in {
    "first": "return function(a) return a end",
    "second": "return function(a, b) return b end",
    "sent": "return function(a) return a == '' and 'empty' or a end",
    "whole": "return function(a) return a // 2 end",
    "sum": "return { init = function() return { s = 0 } end, step = function(t, a) t.s = t.s + (a or 0) end,"
           " final = function(t) return t.s end }",
    "count": "return { init = function() return 0 end, step = function(n) return n + 1 end,"
             " final = function(n) return n end }",
    "longer": "return function(a) local t = a:rep(200) return t .. t .. t .. t .. t end",
    "table": "return { columns = { 'name:str', 'square:num', 'half:str' }, step = function(emit, n)\n"
             "  for i = 1, n do emit('r' .. i, i * i, tostring(i / 2)) end end }",
    "grouped": "local sums = {}\nreturn { columns = { 'key:str', 'sum:num' },\n"
               "  step = function(emit, a, n) sums[a] = (sums[a] or 0) + n end,\n"
               "  final = function(emit) local keys = {} for k in pairs(sums) do keys[#keys + 1] = k end\n"
               "    table.sort(keys) for _, k in ipairs(keys) do emit(k, sums[k]) end sums = {} end }",
    "listing": "return { columns = { 'n:num' }, rows = function(emit) for i = 1, 5 do emit(i) end end }",
    "raises": "return function(a)\n  if a == 3 then error('three is not wanted') end\n  return a\nend",
}.items()}


def gateway():
    return Gateway(CONFIG, FILES)


def texts_of_all_kinds():
    r = rng("texts")
    odd = ["a", "\"", "\\", "'", ",", ";", "a,b", "a\"b\"c", "line\nline", "cr\r\nlf", "tab\t", "\x00", "a\x00b", "\x01\x1f",
           "\x7f", "\u0085", "\u2028", "é", "e\u0301", "ﷺ", "漢字", "\U0001f600", "\U0010ffff", "\uffff", " lead", "trail ",
           "null", "NaN", "true", "0", "-0", "1e308", "=1+1", "%s%n", "{{x}}", "<b>", "x" * 5000]
    return odd + ["".join(r.choice(odd) for _ in range(r.randrange(1, 6))) for _ in range(200)]


@story
def three_thousand_rows_in_any_bundles():
    rows = ["%d:%s" % (i, t) for i, t in enumerate(texts_of_all_kinds() * 13)][:3000]
    with gateway() as g, client(g) as c:
        ids = c.ids()
        for name in ("text", "tensor", "small"):
            for size in (1, 7, 70, 71, 499, 3000):
                equal(c.call(ids[name], rows, size=size).ok().texts(), rows, "%s in bundles of %d" % (name, size))
        r = rng("uneven")
        rest, messages = list(rows), []
        while rest:
            n = r.choice([0, 1, 2, 50, 700])
            messages.append(bundle(rest[:n]))
            rest = rest[n:]
        equal(c.call(ids["tensor"], messages).ok().texts(), rows, "in uneven bundles")


@story
def texts_come_back_as_they_went():
    rows = texts_of_all_kinds()
    with gateway() as g, client(g) as c:
        equal(c.call(c.ids()["text"], rows).ok().texts(), rows)


@story
def numbers_come_back_as_they_went():
    rows = [0.0, -0.0, 1.0, -1.5, 1e308, -1e308, 5e-324, 2.0 ** 53 + 2, 0.1, math.pi, float("inf"), -float("inf"),
            float("nan"), 1.7976931348623157e308]
    with gateway() as g, client(g) as c:
        ids = c.ids()
        got = c.call(ids["number"], rows).ok().numbers()
        true(len(got) == len(rows) and all(map(same_number, got, rows)), got)
        got = c.call(ids["both"], [(n, str(n)) for n in rows]).ok().duals()
        equal(len(got), len(rows))


@story
def duals_and_conversions():
    with gateway() as g, client(g) as c:
        ids = c.ids()
        equal(c.call(ids["dualtext"], [[(1.0, "one"), "x"], [(float("nan"), "two"), "y"]]).ok().texts(), ["x", "y"])
        equal(c.call(ids["textnumber"], ["1.5", "-2", "1e3"]).ok().numbers(), [1.5, -2.0, 1000.0])
        c.call(ids["textnumber"], ["1", "two", "3"]).fails(CODE.INVALID_ARGUMENT, "two")
        got = c.call(ids["textnumber_null"], ["1", "two", "3"]).ok()
        true(same_number(got.numbers()[1], float("nan")) and [got.numbers()[0], got.numbers()[2]] == [1.0, 3.0], got.numbers())
        equal(got.header("qlik-cache"), None)
        equal(c.call(ids["numbertext"], [1.0, 0.5, 1e21, -0.25]).ok().texts(), ["1", "0.5", "1e+21", "-0.25"])
        equal(c.call(ids["whole"], [7.0, -7.0]).ok().numbers(), [3.0, -4.0])
        c.call(ids["whole"], [7.0, 7.5]).fails(CODE.INVALID_ARGUMENT, "row 2")


@story
def empty_rows_keep_their_place():
    rows = ["a", "", "b", "", "", "c"]
    with gateway() as g, client(g) as c:
        ids = c.ids()
        equal(c.call(ids["text"], rows).ok().texts(), rows)
        equal(c.call(ids["sent"], rows).ok().texts(), ["a", "empty", "b", "empty", "empty", "c"])
        c.call(ids["strict"], rows).fails(CODE.INVALID_ARGUMENT, "row 2")
        equal(c.call(ids["text"], [""] * 5000).ok().texts(), [""] * 5000)
        got = c.call(ids["number"], [1.0, float("nan"), 0.0]).ok().numbers()
        true(got[0] == 1.0 and math.isnan(got[1]) and got[2] == 0.0, got)
        # The rows at the edges of batches, and all but one.
        for n in (6, 7, 8, 14, 15):
            rows = ["" if i % 7 else "r%d" % i for i in range(n)]
            equal(c.call(ids["small"], rows, size=3).ok().texts(), rows)


@story
def aggregations_see_all_bundles():
    with gateway() as g, client(g) as c:
        ids = c.ids()
        for size in (1, 10, 1000):
            got = c.call(ids["sum"], [float(i) for i in range(1000)], size=size).ok()
            equal(got.numbers(), [499500.0])
        equal(c.call(ids["count"], ["x"] * 12345).ok().numbers(), [12345.0])
        equal(c.call(ids["sum"], []).ok().numbers(), [0.0])


@story
def a_row_that_raises_is_named():
    with gateway() as g, client(g) as c:
        ids = c.ids()
        rows = [float(i) for i in range(1, 6)]
        r = c.call(ids["raises"], rows)
        true(r.code != CODE.OK, r.code)
        r.fails(r.code, "row 3", "raises.lua:2", "three is not wanted")
        equal(c.call(ids["raises"], [1.0, 2.0]).ok().numbers(), [1.0, 2.0])
        r = c.call(ids["raises_null"], rows).ok()
        true(math.isnan(r.numbers()[2]) and [r.numbers()[i] for i in (0, 1, 3, 4)] == [1.0, 2.0, 4.0, 5.0], r.numbers())
        equal(r.header("qlik-cache"), "no-store", "an answer with a null in place of an error may not be kept")


@story
def answers_never_exceed_what_an_engine_takes():
    """grpcio refuses messages above 4,194,304 bytes by default, as the engine does."""
    with gateway() as g, client(g) as c:
        ids = c.ids()
        rows = ["%05d%s" % (i, "y" * 995) for i in range(60)]  # 1 MB a row in the answer
        r = c.call(ids["longer"], rows).ok()
        true(len(r.bundles) >= 15 and max(b.ByteSize() for b in r.bundles) <= 4194304, [b.ByteSize() for b in r.bundles])
        equal([t[:5] for t in r.texts()], [row[:5] for row in rows])
        true(all(t == row * 1000 for t, row in zip(r.texts(), rows)), "an answer was cut")
        r = c.call(ids["longer"], ["a", "b", "c" * 5000, "d"])
        r.fails(CODE.RESOURCE_EXHAUSTED, "row 3")
        equal(c.call(ids["longer"], ["z" * 4100]).ok().texts(), ["z" * 4100 * 1000])
        big = ["v" * 3000000] * 5  # requests may be larger than that
        equal(c.call(ids["text"], [bundle(big[:3]), bundle(big[3:])]).ok().texts(), big)


@story
def tables_have_any_shape_and_say_which():
    with gateway() as g, client(g) as c:
        ids = c.ids()
        r = c.call(ids["table"], [3.0, 0.0, 2.0]).ok()
        wanted = ["r1", "r2", "r3", "r1", "r2"]
        equal((r.texts(0), r.numbers(1), r.texts(2)), (wanted, [1.0, 4.0, 9.0, 1.0, 4.0], ["0.5", "1.0", "1.5", "0.5", "1.0"]))
        table = sse.P["TableDescription"].FromString(r.initial["qlik-tabledescription-bin"])
        equal([(f.name, f.dataType) for f in table.fields],
              [("name", sse.STRING), ("square", sse.NUMERIC), ("half", sse.STRING)])
        equal([len(row.duals) for row in r.rows], [3] * 5)
        r = c.call(ids["table"], [50000.0]).ok()
        equal((len(r.rows), r.texts(0)[-1]), (50000, "r50000"))
        r = c.call(ids["grouped"], [["k%d" % (i % 3), float(i)] for i in range(3000)], size=77).ok()
        equal((r.texts(0), r.numbers(1)), (["k0", "k1", "k2"], [1498500.0, 1499500.0, 1500500.0]))
        equal(c.call(ids["listing"], []).ok().numbers(), [1.0, 2.0, 3.0, 4.0, 5.0])
        caps = {f.name: f for f in c.capabilities().functions}
        equal(caps["table"].functionType, sse.TENSOR)


@story
def many_calls_of_one_row():
    """What an ordinary LOAD makes: a call per row."""
    n = 20000 if SOAK else 1000
    with gateway() as g, client(g) as c:
        text = c.ids()["text"]
        for i in range(n):
            got = c.call(text, ["row %d" % i]).ok().texts()
            if got != ["row %d" % i]:
                equal(got, ["row %d" % i])


if __name__ == "__main__":
    main()
