# SPDX-License-Identifier: MIT
"""Many calls at once on one connection: none sees another's rows, and those given up leave nothing behind."""
import threading

import grpc

from lib.gateway import SSE, Gateway
from lib.h2raw import RawH2, prefixed
from lib.sse import SERVICE, bundle, client, common, function_header
from lib.story import SOAK, equal, eventually, main, rng, story, together, true

N_FUNCTIONS = 200
CONFIG = SSE + "".join('[function "f%d"]\nid = %d\nscript = functions/f%d.lua\nparams = a:str\nreturns = str\n'
                       "max_rows = %d\n" % (i, i * 3 + 1, i, 5 + i % 40) for i in range(N_FUNCTIONS))
FILES = {"scripts/functions/f%d.lua" % i: "local mark = 'f%d:'\nreturn function(a) return mark .. a end\n" % i
         for i in range(N_FUNCTIONS)}


@story
def two_hundred_functions_at_once_on_one_connection():
    rounds = 20 if SOAK else 2
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        equal(len(c.ids()), N_FUNCTIONS)
        for turn in range(rounds):
            barrier = threading.Barrier(N_FUNCTIONS)

            def one(i):
                r = rng("crosstalk", turn, i)
                rows = ["%d.%d.%d.%s" % (turn, i, k, "z" * r.randrange(100)) for k in range(r.randrange(1, 400))]
                messages = []
                at = 0
                while at < len(rows):
                    n = r.randrange(1, 60)
                    messages.append(bundle(rows[at:at + n]))
                    at += n
                barrier.wait(60)
                equal(c.call(i * 3 + 1, messages).ok().texts(), ["f%d:%s" % (i, x) for x in rows], "function %d" % i)
            with together(N_FUNCTIONS) as run:
                for i in range(N_FUNCTIONS):
                    run(one, i)
        peers = {line.split(" peer=")[1].split()[0] for line in g.log_lines("msg=call")}
        equal(len(peers), 1, "connections that were used")


@story
def streams_interleaved_frame_by_frame():
    """No thread decides the order: pieces of 100 calls are sent in a mixed order of our own."""
    r = rng("interleave")
    with Gateway(CONFIG, FILES) as g, RawH2(g.port()) as h:
        calls = {}
        for i in range(100):
            header = function_header(i * 3 + 1)
            import base64
            sid = h.open(h.headers(SERVICE + "ExecuteFunction", [(header[0], base64.b64encode(header[1]).decode())]))
            rows = ["%d/%d" % (i, k) for k in range(r.randrange(1, 30))]
            wire = b"".join(prefixed(bundle([x]).SerializeToString()) for x in rows)
            calls[sid] = [i, rows, wire]
        open_ids = list(calls)
        while open_ids:
            sid = r.choice(open_ids)
            n = r.randrange(1, 40)
            piece, calls[sid][2] = calls[sid][2][:n], calls[sid][2][n:]
            h.data(sid, piece, end=not calls[sid][2])
            if not calls[sid][2]:
                open_ids.remove(sid)
        from lib.sse import P
        for sid, (i, rows, _) in calls.items():
            s = h.finish(sid)
            equal(s.status, 0, s.trailers)
            got = [row.duals[0].strData for m in s.messages() for row in P["BundledRows"].FromString(m).rows]
            equal(got, ["f%d:%s" % (i, x) for x in rows])


@story
def cancelled_calls_leave_nothing_behind():
    total = 10000 if SOAK else 1500
    r = rng("cancel")
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        def some(n):
            for _ in range(n):
                gate = threading.Event()
                kind = r.randrange(4)

                def rows():
                    if kind:
                        yield bundle(["x" * 50] * (300 if kind == 2 else 3))
                    if kind == 3:
                        gate.wait(30)
                stream = c.execute(rows(), metadata=[function_header(1 + 3 * r.randrange(N_FUNCTIONS)),
                                                     common(user="leaver")])
                if kind == 1:
                    try:
                        next(stream)
                    except (StopIteration, grpc.RpcError):
                        pass
                stream.cancel()
                gate.set()
        some(300)
        eventually(lambda: settled(g), "the first calls to end")
        fds, rss = g.descriptors(), g.status("VmRSS")
        some(total)
        eventually(lambda: settled(g), "the calls to end")
        equal(c.call(1, ["after"]).ok().texts(), ["f0:after"])
        eventually(lambda: g.descriptors() <= fds, "%d descriptors, now %d" % (fds, g.descriptors()))
        grown = g.status("VmRSS") - rss
        true(grown < 24 * 1024, "memory grew by %d KiB over %d cancelled calls" % (grown, total))
        g.stop()  # and a drain has nothing to wait for
        true("calls=0" in g.log_lines("msg=draining")[0], g.log_lines("msg=draining"))


def settled(g):
    """No call has ended for a moment."""
    import time
    n = len(g.log_lines("msg=call"))
    time.sleep(0.3)
    return len(g.log_lines("msg=call")) == n


@story
def connections_cut_in_the_middle_leave_nothing_behind():
    total = 2000 if SOAK else 150
    r = rng("cut")
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        c.call(1, ["x"]).ok()
        fds = g.descriptors()
        for _ in range(total):
            h = RawH2(g.port())
            for _ in range(r.randrange(1, 4)):
                sid = h.open(h.headers(SERVICE + "ExecuteFunction", [("qlik-functionrequestheader-bin", "CAE=")]))
                wire = prefixed(bundle(["y" * 20] * r.randrange(1, 500)).SerializeToString())
                h.data(sid, wire[:r.randrange(1, len(wire) + 1)])
            h.close()
        eventually(lambda: g.descriptors() <= fds, "the descriptors to be given back")
        equal(c.call(1, ["after"]).ok().texts(), ["f0:after"])


if __name__ == "__main__":
    main()
