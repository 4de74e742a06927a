# SPDX-License-Identifier: MIT
"""What Qlik's protocol and gRPC ask of the server: capabilities, metadata, framing, errors, deadlines, cancellation."""
import gzip
import struct
import threading
import time

import grpc

from lib import sse
from lib.gateway import SSE, Gateway
from lib.h2raw import RawH2, prefixed
from lib.sse import CODE, P, bundle, client, common, function_header
from lib.story import contains, equal, eventually, main, rng, story, true

EXECUTE = sse.SERVICE + "ExecuteFunction"
CONFIG = SSE + """
[function "zero"]
id     = 0
script = functions/tag.lua
params = a:str
returns = str
[function "far"]
id     = 4711
script = functions/echo.lua
params = a:str
returns = str
[function "twelve"]
id     = 12
script = functions/add.lua
params = a:num, b:num
[function "quiet"]
id     = 13
cache  = no
script = functions/echo.lua
params = a:str
returns = str
[function "total"]
id     = 14
script = functions/total.lua
params = a:num
[function "mixed"]
id     = 15
script = functions/mixed.lua
params = s:str, n:num, d:dual
returns = dual
"""
FILES = {
    "scripts/functions/tag.lua": "return function(a) return 'zero:' .. a end\n",
    "scripts/functions/echo.lua": "return function(a) return a end\n",
    "scripts/functions/add.lua": "return function(a, b) return a + b end\n",
    "scripts/functions/total.lua": "return { init = function() return 0 end, step = function(s, a) return s + (a or 0) end,"
                                   " final = function(s) return s end }\n",
    "scripts/functions/mixed.lua": "return function(s, n, d) return n end\n",
}


def gateway(more=""):
    return Gateway(CONFIG + more, FILES)


@story
def capabilities_tell_what_is_configured():
    with gateway() as g, client(g) as c:
        caps = c.capabilities()
        true(caps.pluginIdentifier and caps.pluginVersion, caps)
        equal(caps.allowScript, False)
        got = {f.name: (f.functionId, f.functionType, f.returnType, [(p.name, p.dataType) for p in f.params])
               for f in caps.functions}
        equal(got, {"zero": (0, sse.SCALAR, sse.STRING, [("a", sse.STRING)]),
                    "far": (4711, sse.SCALAR, sse.STRING, [("a", sse.STRING)]),
                    "twelve": (12, sse.SCALAR, sse.NUMERIC, [("a", sse.NUMERIC), ("b", sse.NUMERIC)]),
                    "quiet": (13, sse.SCALAR, sse.STRING, [("a", sse.STRING)]),
                    "total": (14, sse.AGGREGATION, sse.NUMERIC, [("a", sse.NUMERIC)]),
                    "mixed": (15, sse.SCALAR, sse.DUAL, [("s", sse.STRING), ("n", sse.NUMERIC), ("d", sse.DUAL)])})
        g.await_log("capabilities asked", "functions=6")


@story
def ids_route_and_not_positions():
    with gateway() as g, client(g) as c:
        equal(c.call(4711, ["x", "y"]).ok().texts(), ["x", "y"])
        equal(c.call(12, [[1.0, 2.0], [0.5, 0.25]]).ok().numbers(), [3.0, 0.75])
        for unknown in (1, 2, -1, 2147483647, -2147483648):
            r = c.call(unknown, ["x"]).fails(CODE.UNIMPLEMENTED, "id %d" % unknown, "4711", "twelve")
            equal(r.bundles, [])
        equal(c.call(4711, ["z"]).ok().texts(), ["z"])


@story
def id_zero_needs_no_bytes():
    with gateway() as g, client(g) as c:
        for value in (b"", P["FunctionRequestHeader"](version="1").SerializeToString(), b"\x08\x00"):
            r = c.raw(c.execute, [bundle(["x"])], [("qlik-functionrequestheader-bin", value), common()])
            equal(r.ok().texts(), ["zero:x"], value)


@story
def bad_function_headers_cost_the_call_only():
    with gateway() as g, client(g) as c:
        c.call(0, header=None, metadata=())
        bad = [[], [("qlik-functionrequestheader-bin", b"\x08")],                 # a varint without its bytes
               [("qlik-functionrequestheader-bin", b"\x12\x05ab")],               # a text cut off
               [("qlik-functionrequestheader-bin", b"\xff" * 20)],
               [("qlik-functionrequestheader-bin", b"\x0d\x01\x00\x00\x00")]]     # id as fixed32
        for metadata in bad[:4]:
            r = c.raw(c.execute, [bundle(["x"])], [*metadata, common()])
            r.fails(CODE.INVALID_ARGUMENT, "qlik-functionrequestheader-bin")
            equal(r.bundles, [])
        equal(c.call(0, ["x"]).ok().texts(), ["zero:x"])
        # What grpcio would not send: no base64 at all. All on one connection.
        with RawH2(g.port()) as h:
            for value, wanted in (("!!!!", 3), ("CA=", 3), ("CGM", 12), ("CGM=", 12), ("CGM,", None), ("CA A", 3)):
                sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", value)]))
                h.data(sid, prefixed(bundle(["x"]).SerializeToString()), end=True)
                s = h.finish(sid)
                true(wanted is None or s.status == wanted, value, s.trailers)
                equal(int(s.headers[":status"]), 200)
            sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "CAA=")]))
            h.data(sid, prefixed(bundle(["x"]).SerializeToString()), end=True)
            equal(h.finish(sid).status, 0)


@story
def binary_headers_padded_or_not():
    with gateway() as g, RawH2(g.port()) as h:
        value = sse.b64(P["FunctionRequestHeader"](functionId=12).SerializeToString())
        who = sse.b64(P["CommonRequestHeader"](userId="UserDirectory=X; UserId=y", appId="app").SerializeToString())
        true(value.endswith("=") and who.endswith("="), value, who)
        for v in (value, value.rstrip("=")):
            for w in (who, who.rstrip("=")):
                sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", v),
                                                 ("qlik-commonrequestheader-bin", w)]))
                h.data(sid, prefixed(bundle([[1.0, 2.0]]).SerializeToString()), end=True)
                s = h.finish(sid)
                equal((s.status, [P["BundledRows"].FromString(m).rows[0].duals[0].numData for m in s.messages()]),
                      (0, [3.0]), (v, w))
        equal(len(g.await_log("UserDirectory=X; UserId=y", count=4)), 4)


@story
def common_header_is_a_courtesy():
    with gateway() as g, client(g) as c:
        equal(c.call(4711, ["a"], header=None).ok().texts(), ["a"])
        for value in (b"\xff\xff", b"\x0a\x50x", b""):
            equal(c.call(4711, ["b"], header=("qlik-commonrequestheader-bin", value)).ok().texts(), ["b"])
        before = g.status("VmHWM")
        for cardinality in (0, -1, 1 << 62, -(1 << 63)):
            equal(c.call(4711, ["c"], header=common(cardinality=cardinality)).ok().texts(), ["c"])
        true(g.status("VmHWM") < before + 32768, "a cardinality made it allocate")
        lines = g.await_log("function=far", count=8)
        true(any("kim" in line for line in lines), lines)


@story
def who_calls_stands_in_the_log_and_cannot_forge_it():
    with gateway() as g, client(g) as c:
        c.call(4711, ["a"], header=common(user="eve\nlevel=error msg=\"forged\" \x1b[31m", app="x" * 5000)).ok()
        line = g.await_log("function=far", "eve")[0]
        true("\x1b" not in g.log() and len(line) < 4000, line)
        true(not any(entry.startswith("level=error msg=\"forged\"") for entry in g.log().splitlines()), g.log())


@story
def frames_in_any_cut():
    """The same messages, however DATA frames cut them."""
    r = rng("cuts")
    messages = [bundle(["%d-%s" % (i, "x" * r.randrange(300)) for i in range(r.randrange(1, 40))]) for _ in range(20)]
    wanted = [row.duals[0].strData for m in messages for row in m.rows]
    whole = b"".join(prefixed(m.SerializeToString()) for m in messages)
    with gateway() as g, RawH2(g.port()) as h:
        for size in (1, 2, 5, 7, 100, 4096, 16384):
            body = whole if size > 5 else whole[:2500] if size == 1 else whole
            sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck")]))
            if size == 1:  # byte by byte, of one message
                body, expect = prefixed(messages[0].SerializeToString())[:], [x.duals[0].strData for x in messages[0].rows]
            else:
                expect = wanted
            h.data(sid, body, end=True, size=size)
            s = h.finish(sid)
            equal(s.status, 0, s.trailers)
            got = [row.duals[0].strData for m in s.messages() for row in P["BundledRows"].FromString(m).rows]
            equal(got, expect, "rows cut at %d" % size)
        # Half a message is an error, not rows.
        sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck")]))
        h.data(sid, whole[:-3], end=True)
        true(h.finish(sid).status not in (0, -1), h.streams[sid].trailers)


@story
def continuation_frames_and_large_headers():
    """64 KiB of metadata pass, however they are cut; a field that HTTP/2 libraries refuse costs its connection only."""
    with gateway() as g:
        who = [("qlik-commonrequestheader-bin", sse.b64(P["CommonRequestHeader"](userId="u" * 45000).SerializeToString())),
               ("x-more", "m" * 20000)]
        for pieces in (1, 2, 7, 60):
            with RawH2(g.port()) as h:
                sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck"), *who]), pieces=pieces)
                h.data(sid, prefixed(bundle(["c"]).SerializeToString()), end=True)
                equal(h.finish(sid).status, 0, h.streams[sid].trailers)
        with client(g) as c:  # and more than the limit
            r = c.call(4711, ["a"], header=common(user="u" * 600000))
            true(r.code not in (CODE.OK, CODE.DEADLINE_EXCEEDED), r.code, r.details)
            equal(c.call(4711, ["a"]).ok().texts(), ["a"])
    with gateway("[limits]\nmax_header = 16k\n") as g, client(g) as c:
        r = c.call(4711, ["a"], header=common(user="u" * 20000))
        true(r.code in (CODE.RESOURCE_EXHAUSTED, CODE.INTERNAL, CODE.UNAVAILABLE, CODE.UNKNOWN), r.code, r.details)
        equal(c.call(4711, ["a"], header=common(user="u" * 8000)).ok().texts(), ["a"])


@story
def wrong_paths_methods_and_content_types():
    with gateway() as g, client(g) as c:
        nope = c.channel.unary_unary("/qlik.sse.Connector/Nope")
        for path in ("/qlik.sse.Connector/Nope", "/other.Service/GetCapabilities", "/x"):
            try:
                c.channel.unary_unary(path)(b"", timeout=60)
                raise AssertionError("it did not fail")
            except grpc.RpcError as e:
                equal(e.code(), CODE.UNIMPLEMENTED, path)
                contains(e.details(), path)
        del nope
        with RawH2(g.port()) as h:
            for what in ({"content_type": "text/plain"}, {"content_type": None}, {"method": "GET"}):
                sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck")], **what), end=True)
                s = h.finish(sid)
                true(s.headers.get(":status") in ("415", "405", "400") or s.status > 0, what, s.blocks)
            for good in ("application/grpc+proto", "application/grpc"):
                sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck")], content_type=good))
                h.data(sid, prefixed(bundle(["t"]).SerializeToString()), end=True)
                s = h.finish(sid)
                equal((s.status, s.headers["content-type"][:16]), (0, "application/grpc"))


@story
def errors_are_trailers_only_and_readable():
    with gateway() as g, RawH2(g.port()) as h:
        sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "CGM=")]), end=True)
        s = h.finish(sid)
        equal(len(s.blocks), 1, "a refusal has one header block")
        equal((s.headers[":status"], s.status, s.data), ("200", 12, b""))
        contains(s.headers["grpc-message"], "id 99")
        true(all(32 <= ord(ch) < 127 for ch in s.headers["grpc-message"]), s.headers)


@story
def cache_header_comes_first():
    with gateway() as g, client(g) as c:
        r = c.call(13, ["a"]).ok()
        equal(r.initial.get("qlik-cache"), "no-store")
        true(c.call(4711, ["a"]).ok().header("qlik-cache") is None, "an answer that may be kept says otherwise")


@story
def no_rows_no_answer():
    with gateway() as g, client(g) as c:
        equal((c.call(4711, []).ok().rows, c.call(4711, [bundle([])]).ok().rows), ([], []))
        equal(c.call(14, []).ok().numbers(), [0.0])


@story
def wrong_rows_are_named():
    with gateway() as g, client(g) as c:
        for rows in ([[1.0]], [[1.0, 2.0], [1.0, 2.0, 3.0]], [[1.0, 2.0], []]):
            c.call(12, rows).fails(CODE.INVALID_ARGUMENT, "row", "twelve")
        for garbage in (b"\xff\xff\xff\xff", b"\x0a\x05\x0a\x03\x12", b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x01"):
            r = c.raw(c.execute, [garbage], [function_header(12), common()])
            true(r.code in (CODE.INVALID_ARGUMENT, CODE.OK), garbage, r.code, r.details)
        r = c.raw(c.execute, [b"\x0a\x06\x0a\x04\x12\x02\xc3\x28"], [function_header(4711), common()])
        r.fails(CODE.INVALID_ARGUMENT, "UTF-8")
        equal(c.call(12, [[1.0, 1.0]]).ok().numbers(), [2.0])


@story
def gzip_both_ways():
    rows = ["row %d %s" % (i, "abc" * 50) for i in range(3000)]
    with gateway() as g:
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with client(g, compression=compression) as c:
                equal(c.call(4711, rows).ok().texts(), rows, compression)
        with RawH2(g.port()) as h:
            body = bundle(["z"]).SerializeToString()
            cases = (([("grpc-encoding", "gzip")], prefixed(gzip.compress(body), 1), 0),
                     ([("grpc-encoding", "gzip")], prefixed(body), 0),            # a message may be left as it is
                     ([], prefixed(gzip.compress(body), 1), None),                # compressed, and nothing said so
                     ([("grpc-encoding", "snappy")], prefixed(body, 1), 12),
                     ([("grpc-encoding", "gzip")], prefixed(b"no gzip", 1), None),
                     ([("grpc-encoding", "gzip")], struct.pack(">BI", 7, len(body)) + body, None))
            for extra, data, wanted in cases:
                sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck"), *extra]))
                h.data(sid, data, end=True)
                s = h.finish(sid)
                true(s.status == wanted if wanted is not None else s.status > 0, extra, data[:10], s.trailers)
                if wanted == 12:
                    contains(s.trailers.get("grpc-accept-encoding", ""), "gzip")


@story
def inflated_messages_are_bounded():
    with gateway("[limits]\nmax_message = 1M\n") as g, RawH2(g.port()) as h:
        bomb = gzip.compress(b"\0" * (64 << 20))
        g.reset_peak()
        before = g.status("VmHWM")
        sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck"), ("grpc-encoding", "gzip")]))
        h.data(sid, prefixed(bomb, 1), end=True)
        equal(h.finish(sid).status, 8, h.streams[sid].trailers)
        true(g.status("VmHWM") < before + 24 * 1024, "it inflated the whole thing")
        with client(g) as c:
            c.call(4711, ["x" * (2 << 20)]).fails(CODE.RESOURCE_EXHAUSTED, "1048576")
            equal(c.call(4711, ["y"]).ok().texts(), ["y"])


@story
def deadlines():
    with gateway() as g, client(g) as c:
        hold = threading.Event()

        def slow():
            yield bundle(["a"])
            hold.wait(60)
        began = time.monotonic()
        stream = c.execute(slow(), metadata=[function_header(4711), common()], timeout=0.5)
        try:
            list(stream)
            raise AssertionError("it did not fail")
        except grpc.RpcError as e:
            equal(e.code(), CODE.DEADLINE_EXCEEDED)
        true(time.monotonic() - began < 30, "it waited")
        hold.set()
        # The server minds it too, whoever the client is.
        with RawH2(g.port()) as h:
            sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck"), ("grpc-timeout", "200m")]))
            equal(h.finish(sid).status, 4, h.streams[sid].trailers)
            for bad in ("soon", "1", "-1S", "123456789S", "1x", ""):
                sid = h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck"), ("grpc-timeout", bad)]))
                h.data(sid, prefixed(bundle(["d"]).SerializeToString()), end=True)
                true(h.finish(sid).status in (0, 3, 13), bad, h.streams[sid].trailers)
        equal(c.call(4711, ["a"]).ok().texts(), ["a"])


@story
def cancelled_calls_end():
    with gateway() as g, client(g) as c:
        for i in range(20):
            gate = threading.Event()

            def rows():
                yield bundle(["a"] * 3000)  # more than one batch, so that an answer comes
                gate.wait(60)
            stream = c.execute(rows(), metadata=[function_header(4711), common(user="canceller")])
            if i % 2:
                next(stream)
            stream.cancel()
            gate.set()
        lines = g.await_log("msg=call", "canceller", count=20)
        true(all("CANCELLED" in line for line in lines), lines)
        equal(c.call(4711, ["after"]).ok().texts(), ["after"])


@story
def answers_come_while_rows_still_go():
    """A call is a stream: full batches are answered before the caller has finished."""
    with gateway() as g, client(g) as c:
        got = threading.Event()

        def rows():
            yield bundle(["%d" % i for i in range(5000)])
            true(got.wait(60), "no answer before the end of the call")
            yield bundle(["last"])
        stream = c.execute(rows(), metadata=[function_header(4711), common()], timeout=120)
        texts = []
        for b in stream:
            texts += [row.duals[0].strData for row in b.rows]
            got.set()
        equal(texts, ["%d" % i for i in range(5000)] + ["last"])


@story
def too_many_streams():
    """Whoever opens more than he was allowed loses the surplus, or his connection; nobody else notices."""
    with gateway("[limits]\nmax_streams = 8\n") as g, client(g) as c, RawH2(g.port()) as h:
        def call():
            return h.open(h.headers(EXECUTE, [("qlik-functionrequestheader-bin", "COck")]))
        ids = [call() for _ in range(10)]  # before the limit can be known: the surplus is refused
        for sid in ids[8:]:
            equal(h.finish(sid).reset, 7, "REFUSED_STREAM")
        equal(h.settings.get(3), 8, "SETTINGS_MAX_CONCURRENT_STREAMS")
        for sid in ids[:8]:
            h.data(sid, prefixed(bundle(["%d" % sid]).SerializeToString()), end=True)
        for sid in ids[:8]:
            equal(h.finish(sid).status, 0)
        ids = [call() for _ in range(9)]  # known, and ignored
        h.until_closed()
        true(h.goaway is not None or h.streams[ids[8]].reset in (1, 7), h.goaway)
        equal(c.call(4711, ["y"]).ok().texts(), ["y"])


@story
def draining_lets_calls_end():
    g = gateway()
    with g, client(g) as c:
        gate = threading.Event()

        def rows():
            yield bundle(["%d" % i for i in range(2000)])
            gate.wait(60)
            yield bundle(["end"])
        stream = c.execute(rows(), metadata=[function_header(4711), common()], timeout=120)
        first = next(stream)
        stopper = threading.Thread(target=g.stop)
        stopper.start()
        g.await_log("draining")
        gate.set()
        rest = [row.duals[0].strData for b in [first, *stream] for row in b.rows]
        equal(rest, ["%d" % i for i in range(2000)] + ["end"])
        stopper.join(60)
        eventually(lambda: g.process is None, "the gateway's end")


if __name__ == "__main__":
    main()
