# SPDX-License-Identifier: MIT
"""Very many rows in one call through a transform and a scoring endpoint: all of them, in order, in memory that does not
depend on how many. SOAK plays the whole million, and ten."""
import itertools
import os
import sys
import time

from lib.gateway import SSE, TESTS, Gateway, has_sanitizer
from lib.sse import bundle, client, common, function_header
from lib.story import SOAK, equal, main, story, true

sys.path.insert(0, os.path.join(TESTS, "peers"))
from sagemaker_runtime import Runtime  # noqa: E402

TRANSFORM = {"scripts/transforms/t.lua": "return { before = function(id, n) return n end,\n"
             "  after = function(score, id) return id .. '=' .. string.format('%.1f', score) end }\n"}


def config(r):
    return SSE + """
[connector "aws"]
plugin = sagemaker
region = eu-west-1
endpoint_url = %s
[function "score"]
id = 1
connector = aws
operation = invoke
endpoint = csv
params = id:str, n:num
answer = num
returns = str
transform = transforms/t.lua
max_rows = 500
""" % r.url


def play(g, c, n):
    """Peak memory in KiB over one call of n rows."""
    def messages():
        for at in range(0, n, 1000):
            yield bundle([["row%d" % i, float(i)] for i in range(at, min(n, at + 1000))])
    g.reset_peak()
    stream = c.execute(messages(), metadata=[function_header(1), common()], timeout=3000)
    at = 0
    for b in stream:
        got = [row.duals[0].strData for row in b.rows]
        wanted = ["row%d=%.1f" % (i, i / 2) for i in range(at, at + len(got))]
        if got != wanted:
            equal(got, wanted, "rows from %d on" % at)
        at += len(got)
    equal(at, n, "rows that were answered")
    return g.status("VmHWM")


@story
def memory_does_not_grow_with_the_rows():
    counts = (1000000, 10000000) if SOAK else (20000, 100000)
    with Runtime() as r, Gateway(config(r), TRANSFORM) as g, client(g) as c:
        play(g, c, 5000)
        peaks = []
        for n in counts:
            r.forget()
            peaks.append(play(g, c, n))
            true(all(e.status == 200 for e in r.entries), [e.note for e in r.entries if e.note][:3])
            print("%d rows: peak %d KiB" % (n, peaks[-1]), flush=True)
        limit = (192 if has_sanitizer() else 64) * 1024
        true(max(peaks) < limit, "peak memory is %d KiB" % max(peaks))
        true(peaks[1] < peaks[0] * 1.35 + 4096, "it grew: %s KiB for %s rows" % (peaks, counts))


@story
def a_hundred_megabytes_to_a_slow_reader():
    """Back-pressure through the whole gateway: whoever reads late makes the sender wait."""
    files = {"scripts/functions/f.lua": "return function(a) return a end\n"}
    config = SSE + '[function "f"]\nid = 1\nscript = functions/f.lua\nparams = a:str\nreturns = str\n'
    total, block = 100 if not SOAK else 1000, "z" * 10000
    with Gateway(config, files) as g, client(g) as c:
        sent = [0]

        def messages():
            for i in range(total):
                sent[0] = i
                yield bundle(["%06d%s" % (i * 100 + k, block) for k in range(100)])
        g.reset_peak()
        stream = c.execute(messages(), metadata=[function_header(1), common()], timeout=3000)
        first = next(stream)
        time.sleep(1.5)
        true(sent[0] < 60, "%d MB were sent to a reader who does not read" % sent[0])
        at = 0
        for b in itertools.chain([first], stream):
            for row in b.rows:
                if row.duals[0].strData[:6] != "%06d" % at or len(row.duals[0].strData) != 10006:
                    equal(row.duals[0].strData[:6], "%06d" % at)
                at += 1
        equal(at, total * 100)
        true(g.status("VmHWM") < (256 if has_sanitizer() else 64) * 1024, "peak %d KiB" % g.status("VmHWM"))


if __name__ == "__main__":
    main()
