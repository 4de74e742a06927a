# SPDX-License-Identifier: MIT
"""A Qlik SSE plugin of grpcio, for the tests of `patchbay call`. usage: sse_peer.py DIR

Prints "ready PORT" and serves until its standard input ends. Functions:

  add(a num, b num) num scalar          upper(s) str scalar         both(d dual) dual tensor
  total(x num) num aggregation          table(n num) described: i num, "a name" str
  short(x num)  answers one row less    wide(x num)  answers one row more
  fail(x num)   fails after two messages with a text     hang(x num)  never answers
  late(s) str   answers only when all rows are there     who() str    app|user
"""
import concurrent.futures
import os
import subprocess
import sys
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

here = os.path.dirname(os.path.abspath(__file__))


def load(folder):
    proto = os.path.join(here, "..", "..", "host", "data", "sse.proto")
    path = os.path.join(folder, "sse.ds")
    subprocess.run(["protoc-c", "-I", os.path.dirname(proto), "--descriptor_set_out=" + path, proto], check=True)
    with open(path, "rb") as f:
        files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    pool = descriptor_pool.DescriptorPool()
    for f in files.file:
        pool.Add(f)
    factory = message_factory.MessageFactory(pool)
    return lambda name: factory.GetPrototype(pool.FindMessageTypeByName("qlik.sse." + name))


message = load(sys.argv[1])
Empty, Capabilities, BundledRows = message("Empty"), message("Capabilities"), message("BundledRows")
STR, NUM, DUAL = 0, 1, 2
SCALAR, AGGREGATION, TENSOR = 0, 1, 2
FUNCTIONS = [
    ("add", SCALAR, NUM, [("a", NUM), ("b", NUM)]),
    ("upper", SCALAR, STR, [("s", STR)]),
    ("both", TENSOR, DUAL, [("d", DUAL)]),
    ("total", AGGREGATION, NUM, [("x", NUM)]),
    ("table", TENSOR, STR, [("n", NUM)]),
    ("short", SCALAR, NUM, [("x", NUM)]),
    ("wide", SCALAR, NUM, [("x", NUM)]),
    ("fail", SCALAR, NUM, [("x", NUM)]),
    ("hang", SCALAR, NUM, [("x", NUM)]),
    ("late", SCALAR, STR, [("s", STR)]),
    ("who", TENSOR, STR, []),
]


def capabilities(request, context):
    c = Capabilities(pluginIdentifier="peer", pluginVersion="1")
    for i, (name, kind, returns, params) in enumerate(FUNCTIONS):
        f = c.functions.add(name=name, functionType=kind, returnType=returns, functionId=i)
        for pname, ptype in params:
            f.params.add(name=pname, dataType=ptype)
    return c


def header(context, name, kind):
    m = message(kind)()
    m.ParseFromString(dict(context.invocation_metadata()).get(name, b""))
    return m


def answer(rows):
    """rows: tuples of (number, text)"""
    b = BundledRows()
    for row in rows:
        r = b.rows.add()
        for num, text in row:
            r.duals.add(numData=num, strData=text)
    return b


def execute(requests, context):
    name = FUNCTIONS[header(context, "qlik-functionrequestheader-bin", "FunctionRequestHeader").functionId][0]
    if name == "add":
        for b in requests:
            yield answer([((r.duals[0].numData + r.duals[1].numData, ""),) for r in b.rows])
    elif name == "upper":
        for b in requests:
            yield answer([((0, r.duals[0].strData.upper()),) for r in b.rows])
    elif name == "both":
        for b in requests:
            yield answer([((r.duals[0].numData, r.duals[0].strData),) for r in b.rows])
    elif name == "total":
        yield answer([((sum(r.duals[0].numData for b in requests for r in b.rows), ""),)])
    elif name == "table":
        t = message("TableDescription")()
        t.fields.add(name="i", dataType=NUM)
        t.fields.add(name="a name", dataType=STR)
        context.send_initial_metadata((("qlik-tabledescription-bin", t.SerializeToString()),))
        n = int(next(requests).rows[0].duals[0].numData)
        yield answer([((i, ""), (0, 'say "%d"' % i)) for i in range(n)])
    elif name in ("short", "wide"):
        rows = [((1, ""),) for b in requests for r in b.rows]
        yield answer(rows[:-1] if name == "short" else rows + rows[:1])
    elif name == "fail":
        for i, b in enumerate(requests):
            if i == 2:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the tank is l\xe4er\x1b[31m")
            yield answer([((1, ""),) for r in b.rows])
    elif name == "hang":
        done = threading.Event()
        context.add_callback(done.set)
        done.wait(60)
    elif name == "late":
        for b in list(requests):
            yield answer([((0, r.duals[0].strData),) for r in b.rows])
    elif name == "who":
        h = header(context, "qlik-commonrequestheader-bin", "CommonRequestHeader")
        yield answer([((0, h.appId + "|" + h.userId),)])


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/qlik.sse.Connector/GetCapabilities":
            return grpc.unary_unary_rpc_method_handler(capabilities, Empty.FromString, Capabilities.SerializeToString)
        if details.method == "/qlik.sse.Connector/ExecuteFunction":
            return grpc.stream_stream_rpc_method_handler(execute, BundledRows.FromString, BundledRows.SerializeToString)
        return None


server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((Handler(),))
print("ready", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(0)
os._exit(0)
