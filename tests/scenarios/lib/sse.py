# SPDX-License-Identifier: MIT
"""Qlik's side of the protocol, on grpcio."""
import base64
import math
import os
import tempfile

import grpc
from google.protobuf import descriptor_pb2, message_factory
from grpc_tools import protoc

from .gateway import TESTS
from .story import Failed, short

CODE = grpc.StatusCode
SERVICE = "/qlik.sse.Connector/"
STRING, NUMERIC, DUAL = 0, 1, 2
SCALAR, AGGREGATION, TENSOR = 0, 1, 2
OPTIONS = [("grpc.max_metadata_size", 1 << 20), ("grpc.use_local_subchannel_pool", 1),
           ("grpc.enable_http_proxy", 0)]


def load_protos(folder, *names):
    """Classes of a .proto's messages by their full names, without generated files."""
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "set")
        if protoc.main(["protoc", "-I" + folder, "--include_imports", "--descriptor_set_out=" + out, *names]):
            raise Failed("protoc could not read %s" % (names,))
        with open(out, "rb") as f:
            files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    return message_factory.GetMessages(files.file)


P = {name.rsplit(".", 1)[1]: cls
     for name, cls in load_protos(os.path.join(TESTS, "peers"), "qlik_sse.proto").items()}


def dual(value):
    """A text, a number, or (number, text)."""
    d = P["Dual"]()
    if isinstance(value, tuple):
        d.numData, d.strData = value
    elif isinstance(value, str):
        d.strData = value
    else:
        d.numData = value
    return d


def bundle(rows):
    b = P["BundledRows"]()
    for row in rows:
        r = b.rows.add()
        for cell in row if isinstance(row, list) else [row]:
            r.duals.append(dual(cell))
    return b


def bundles(rows, size):
    return [bundle(rows[i:i + size]) for i in range(0, len(rows), size)]


def common(user="UserDirectory=ACME; UserId=kim", app="app-1", cardinality=0):
    return ("qlik-commonrequestheader-bin",
            P["CommonRequestHeader"](userId=user, appId=app, cardinality=cardinality).SerializeToString())


def function_header(function_id):
    return ("qlik-functionrequestheader-bin", P["FunctionRequestHeader"](functionId=function_id).SerializeToString())


def script_header(script, function_type=SCALAR, returns=NUMERIC, params=()):
    """params: (name, type), ..."""
    h = P["ScriptRequestHeader"](script=script, functionType=function_type, returnType=returns)
    for name, kind in params:
        h.params.add(name=name, dataType=kind)
    return ("qlik-scriptrequestheader-bin", h.SerializeToString())


class Reply:
    def __init__(self):
        self.bundles, self.initial, self.trailing = [], {}, {}
        self.code, self.details = None, None

    @property
    def rows(self):
        return [r for b in self.bundles for r in b.rows]

    def texts(self, column=0):
        return [r.duals[column].strData for b in self.bundles for r in b.rows]

    def numbers(self, column=0):
        return [r.duals[column].numData for b in self.bundles for r in b.rows]

    def duals(self, column=0):
        return [(r.duals[column].numData, r.duals[column].strData) for b in self.bundles for r in b.rows]

    def header(self, name):
        return self.initial.get(name, self.trailing.get(name))

    def ok(self):
        if self.code != CODE.OK:
            raise Failed("the call ended %s: %s" % (self.code, short(self.details, 2000)))
        return self

    def fails(self, code, *parts):
        if self.code != code or any(p not in self.details for p in parts):
            raise Failed("the call ended %s (%r) and not %s with %s" % (self.code, self.details, code, parts))
        if self.header("qlik-cache") != "no-store":
            raise Failed("the engine may keep a failed answer: qlik-cache is %r" % (self.header("qlik-cache"),))
        return self


class Client:
    def __init__(self, address, credentials=None, options=(), compression=None):
        options = OPTIONS + list(options)
        self.channel = (grpc.secure_channel(address, credentials, options, compression) if credentials else
                        grpc.insecure_channel(address, options, compression))
        serialise = {"request_serializer": lambda m: m if isinstance(m, bytes) else m.SerializeToString()}
        self.get_capabilities = self.channel.unary_unary(
            SERVICE + "GetCapabilities", response_deserializer=P["Capabilities"].FromString, **serialise)
        self.execute = self.channel.stream_stream(
            SERVICE + "ExecuteFunction", response_deserializer=P["BundledRows"].FromString, **serialise)
        self.evaluate = self.channel.stream_stream(
            SERVICE + "EvaluateScript", response_deserializer=P["BundledRows"].FromString, **serialise)

    def capabilities(self, timeout=60):
        return self.get_capabilities(P["Empty"](), timeout=timeout)

    def ids(self):
        return {f.name: f.functionId for f in self.capabilities().functions}

    def raw(self, method, messages, metadata, timeout=120):
        reply = Reply()
        stream = method(iter(messages), metadata=metadata, timeout=timeout)
        try:
            reply.initial = dict(stream.initial_metadata())
            reply.bundles = list(stream)
        except grpc.RpcError:
            pass
        reply.code, reply.details = stream.code(), stream.details() or ""
        reply.trailing = dict(stream.trailing_metadata() or ())
        return reply

    def call(self, function_id, rows=(), size=500, metadata=(), timeout=120, header=common()):
        """rows: a list of rows, each a value or a list of values; or of bundles."""
        rows = list(rows)
        messages = rows if rows and not isinstance(rows[0], (str, int, float, tuple, list)) else bundles(rows, size)
        sent = [function_header(function_id), *([header] if header else []), *metadata]
        return self.raw(self.execute, messages, sent, timeout)

    def script(self, script, rows=(), function_type=SCALAR, returns=NUMERIC, params=(), size=500, timeout=120,
               user="UserDirectory=ACME; UserId=kim", app="app-1"):
        sent = [common(user, app), script_header(script, function_type, returns, params)]
        return self.raw(self.evaluate, bundles(list(rows), size), sent, timeout)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def client(gateway, name="sse", **more):
    return Client(gateway.address(name), **more)


def same_number(a, b):
    return a == b and math.copysign(1, a) == math.copysign(1, b) or a != a and b != b


def b64(data):
    return base64.b64encode(data).decode()
