# SPDX-License-Identifier: MIT
"""Ordinary tools of others: nghttp, h2load, gRPC's health checks and server reflection, all of grpc-js."""
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from lib import node
from lib.certs import Certificates
from lib.gateway import SSE, Gateway
from lib.h2raw import prefixed
from lib.sse import SERVICE, bundle, client, load_protos
from lib.story import contains, equal, main, story, true

CONFIG = SSE + """
[function "echo"]
id = 1
script = functions/echo.lua
params = a:str
returns = str
[function "add"]
id = 2
script = functions/add.lua
params = a:num, b:num
[function "quiet"]
id = 3
cache = no
script = functions/echo.lua
params = a:str
returns = str
"""
FILES = {"scripts/functions/echo.lua": "return function(a) return a end\n",
         "scripts/functions/add.lua": "return function(a, b) return a + b end\n"}

HEALTH = """syntax = "proto3"; package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse { enum S { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; } S status = 1; }
"""
REFLECTION = """syntax = "proto3"; package grpc.reflection.v1;
message ServerReflectionRequest { string host = 1; oneof r { string file_by_filename = 3; string file_containing_symbol = 4;
  string list_services = 7; } }
message FileDescriptorResponse { repeated bytes file_descriptor_proto = 1; }
message ServiceResponse { string name = 1; }
message ListServiceResponse { repeated ServiceResponse service = 1; }
message ErrorResponse { int32 error_code = 1; string error_message = 2; }
message ServerReflectionResponse { string valid_host = 1; ServerReflectionRequest original_request = 2;
  oneof m { FileDescriptorResponse file_descriptor_response = 4; ListServiceResponse list_services_response = 6;
  ErrorResponse error_response = 7; } }
"""


def classes(name, text):
    with tempfile.TemporaryDirectory() as d:
        with open("%s/%s" % (d, name), "w") as f:
            f.write(text)
        return {k.rsplit(".", 1)[1]: v for k, v in load_protos(d, name).items()}


@story
def health_checks():
    h = classes("test_health.proto", HEALTH)
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        check = c.channel.unary_unary("/grpc.health.v1.Health/Check", h["HealthCheckRequest"].SerializeToString,
                                      h["HealthCheckResponse"].FromString)
        for name in ("", "qlik.sse.Connector"):
            equal(check(h["HealthCheckRequest"](service=name), timeout=60).status, 1, name)
        try:
            check(h["HealthCheckRequest"](service="nope"), timeout=60)
            raise AssertionError("an unknown service is healthy")
        except grpc.RpcError as e:
            equal(e.code(), grpc.StatusCode.NOT_FOUND)
        watch = c.channel.unary_stream("/grpc.health.v1.Health/Watch", h["HealthCheckRequest"].SerializeToString,
                                       h["HealthCheckResponse"].FromString)(h["HealthCheckRequest"](), timeout=60)
        equal(next(watch).status, 1)
        watch.cancel()


@story
def reflection_is_enough_to_call():
    """Everything about the service is learned from the server itself."""
    r = classes("test_reflection.proto", REFLECTION)
    with Gateway(CONFIG, FILES) as g, client(g) as c:
        info = c.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                       r["ServerReflectionRequest"].SerializeToString,
                                       r["ServerReflectionResponse"].FromString)

        def ask(**what):
            return list(info(iter([r["ServerReflectionRequest"](**what)]), timeout=60))[0]
        names = {s.name for s in ask(list_services="*").list_services_response.service}
        true({"qlik.sse.Connector", "grpc.health.v1.Health"} <= names, names)
        pool = descriptor_pool.DescriptorPool()
        for name in names:
            for data in ask(file_containing_symbol=name).file_descriptor_response.file_descriptor_proto:
                f = descriptor_pb2.FileDescriptorProto.FromString(data)
                try:
                    pool.FindFileByName(f.name)
                except KeyError:
                    pool.Add(f)
        service = pool.FindServiceByName("qlik.sse.Connector")
        equal([m.name for m in service.methods], ["GetCapabilities", "ExecuteFunction", "EvaluateScript"])
        caps = message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName("qlik.sse.Capabilities"))
        got = c.channel.unary_unary(SERVICE + "GetCapabilities", response_deserializer=caps.FromString)(b"", timeout=60)
        equal([f.name for f in got.functions], ["echo", "add", "quiet"])
        equal(ask(file_containing_symbol="no.Such").error_response.error_code, 5)


@story
def nghttp_and_h2load():
    with Gateway(CONFIG, FILES) as g, tempfile.TemporaryDirectory() as d:
        with open(d + "/body", "wb") as f:
            f.write(prefixed(bundle(["tool"]).SerializeToString()))
        head = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "qlik-functionrequestheader-bin: CAE"]
        url = "http://%s%sExecuteFunction" % (g.address(), SERVICE)
        p = subprocess.run(["nghttp", "-v", "-d", d + "/body", *head, url], capture_output=True, timeout=60)
        true(p.returncode == 0, p.stdout.decode(errors="replace"))
        contains(p.stdout.decode(errors="replace"), "grpc-status: 0", "tool")
        p = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "20", "-d", d + "/body", *head, url],
                           capture_output=True, text=True, timeout=120)
        contains(p.stdout, "2000 done, 2000 succeeded, 0 failed, 0 errored", "2000 2xx")
        lines = len(g.await_log("function=echo", "status=OK", count=2001))
        equal(lines, 2001, "calls in the log")


@story
def grpc_js_over_h2c():
    with Gateway(CONFIG, FILES) as g:
        print(node.run("client.js", g.address()).strip())


@story
def grpc_js_over_tls():
    with tempfile.TemporaryDirectory(prefix="patchbay-certs-") as d:
        certs = Certificates(d)
        with Gateway(CONFIG.replace("127.0.0.1:0", "127.0.0.1:0\ntls_dir = " + certs.server), FILES) as g:
            print(node.run("client.js", "localhost:%d" % g.port(), certs.client).strip())


if __name__ == "__main__":
    main()
