# SPDX-License-Identifier: MIT
"""The SDK's examples at work: moving_average against Python's statistics, over HTTP and streamed over SSE."""
import http.client
import json
import statistics

from lib.gateway import SSE, Gateway, has_sanitizer
from lib.story import SOAK, contains, equal, main, rng, story, true

CONFIG = SSE + """
[listen "http"]
address = 127.0.0.1:0
[connector "series"]
plugin = moving_average
[function "spread"]
connector = series
operation = spread
params = x:num
empty = send
[function "smoothed"]
connector = series
operation = average
window = %d
params = x:num
returns = x:num, average:num
empty = send
"""


def ask(g, function, rows):
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    c.request("POST", "/functions/" + function, body=json.dumps({"rows": rows}), headers={"content-type": "application/json"})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    equal(r.status, 200, text)
    return json.loads(text)["rows"]


def averages(values, window):
    out, last = [], []
    for v in values:
        last = (last + [v])[-window:]
        out.append(sum(last) / len(last))
    return out


def close(a, b):
    return len(a) == len(b) and all(abs(x - y) <= 1e-9 * max(1, abs(y)) for x, y in zip(a, b))


@story
def moving_average():
    r = rng("series")
    values = [r.gauss(10, 3) for _ in range(20000)]
    for window in (1, 7, 1000):
        with Gateway(CONFIG % window) as g:
            got = ask(g, "smoothed", [[v] for v in values])
            true(close([row[0] for row in got], values), "the rows themselves")
            true(close([row[1] for row in got], averages(values, window)), "averages of %d" % window)
            true(close([ask(g, "spread", [[v] for v in values])[0][0]], [statistics.stdev(values)]), "the spread")
            equal(ask(g, "spread", [[5]]), [[None]])
            equal(ask(g, "smoothed", [[2], [None], [4]]), [[2, 2], [None, None], [4, 4 if window == 1 else 3]])


@story
def many_rows_streamed():
    n = 1000000 if SOAK and not has_sanitizer() else 60000
    with Gateway(CONFIG % 3) as g:
        path = g.write("in.csv", "x\n" + "".join("%d\n" % i for i in range(n)))
        p = g.run("call", "--quiet", "--address", g.address(), "smoothed", path)
        lines = p.out.splitlines()
        equal([lines[0], len(lines) - 1], ["x,average", n])
        equal([lines[1], lines[2], lines[3], lines[-1]], ["0,0", "1,0.5", "2,1", "%d,%d" % (n - 1, n - 2)])


@story
def what_does_not_fit():
    with Gateway(CONFIG % 3) as g:
        g.reconfigure((CONFIG % 3).replace("params = x:num\nempty = send\n[function", "params = x:str\nempty = send\n[function"))
        contains(g.check(code=1).err, "spread", "one column of numbers is expected")
        g.reconfigure((CONFIG % 3).replace("window = 3", "window = 0"))
        contains(g.check(code=1).err, "window")


if __name__ == "__main__":
    main()
