# SPDX-License-Identifier: MIT
"""ModelDB 2 as in modeldb_v2.py, but behind a real grpc-gateway (version 1, from Debian's Go packages), so that URLs, bodies of
DELETE, JSON and errors are not of our making. The proxy is generated from modeldb_v2.proto and built when it is started,
which takes half a minute; the gRPC server behind it is grpcio's.

    missing() or GatewayDb().start()         # as ModelDb2; base: db.base, ".../v1"; faults: lose, aborted, HTTP statuses"""
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent import futures

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from modeldb_v2 import ModelDb2, Refused  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
GO = "/usr/share/gocode"
APIS = GO + "/src/github.com/grpc-ecosystem/grpc-gateway/third_party/googleapis"
STRUCT = "Mgoogle/protobuf/struct.proto=github.com/golang/protobuf/ptypes/struct"
CODES = {429: 8, 500: 13, 503: 14, 401: 16, 403: 7}


def missing():
    """None, or what is missing."""
    for program in ("go", "protoc", "protoc-gen-go", "protoc-gen-grpc-gateway"):
        if not shutil.which(program):
            return program + " (golang-go, protobuf-compiler, golang-goprotobuf-dev, golang-grpc-gateway)"
    return None if os.path.isdir(APIS) else "golang-github-grpc-ecosystem-grpc-gateway-dev"


def build(folder):
    source = os.path.join(folder, "src")
    for name in ("modeldb2", "gateway"):
        os.makedirs(os.path.join(source, name))
    out = os.path.join(source, "modeldb2")
    common = ["protoc", "-I", HERE, "-I", APIS, "-I", "/usr/include"]
    subprocess.run(common + ["--go_out=plugins=grpc,%s:%s" % (STRUCT, out),
                             "--grpc-gateway_out=logtostderr=true,allow_delete_body=true,%s:%s" % (STRUCT, out),
                             "modeldb_v2.proto"], check=True)
    subprocess.run(common + ["--include_imports", "--descriptor_set_out", os.path.join(folder, "set"), "modeldb_v2.proto"],
                   check=True)
    shutil.copy(os.path.join(HERE, "modeldb_gateway.go"), os.path.join(source, "gateway", "main.go"))
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": folder + ":" + GO, "GOCACHE": os.path.join(folder, "cache"), "GOFLAGS": "",
           "HOME": folder}
    subprocess.run(["go", "build", "-o", os.path.join(folder, "gateway"), "gateway"], check=True, env=env)
    return os.path.join(folder, "gateway")


def service(folder):
    """The descriptor of the service, and how a message class is got."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2  # noqa: F401
    pool = descriptor_pool.Default()
    with open(os.path.join(folder, "set"), "rb") as f:
        for file in descriptor_pb2.FileDescriptorSet.FromString(f.read()).file:
            try:
                pool.FindFileByName(file.name)
            except KeyError:
                pool.Add(file)
    return pool.FindServiceByName("modeldb2.Store"), message_factory.MessageFactory(pool).GetPrototype


class GatewayDb(ModelDb2):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp()
        program = build(self.folder)
        descriptor, message = service(self.folder)
        self.asked = []
        self.serve(descriptor, message)
        self.proxy = subprocess.Popen([program, "127.0.0.1:%d" % self.backend_port], stdout=subprocess.PIPE, text=True)
        self.port = int(self.proxy.stdout.readline())
        self.url = "http://127.0.0.1:%d" % self.port
        self.base = self.url + "/v1"

    def serve(self, descriptor, message):
        import grpc
        handlers = {m.name: grpc.unary_unary_rpc_method_handler(
            self.handler(grpc, m, message(m.output_type)), message(m.input_type).FromString,
            lambda answer: answer.SerializeToString()) for m in descriptor.methods}
        self.backend = grpc.server(futures.ThreadPoolExecutor(8))
        self.backend.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("modeldb2.Store", handlers),))
        self.backend_port = self.backend.add_insecure_port("127.0.0.1:0")
        self.backend.start()

    def handler(self, grpc, method, output):
        from google.protobuf import json_format
        do = next(getattr(self, name) for name in dir(self) if name.split("_")[-1] == method.name and name[0] in "GPD")
        statuses = {code.value[0]: code for code in grpc.StatusCode}

        def handle(request, context):
            self.asked.append("%s %s" % (do.__name__.split("_")[0], method.name))
            fault = self.pick(method.name)
            if fault in CODES or fault == "aborted":
                context.abort(statuses[CODES.get(fault, 10)], "made to fail")
            if "source" not in dict(context.invocation_metadata()):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "no source in the metadata")
            body = json_format.MessageToDict(request, preserving_proto_field_name=True)
            try:
                with self.lock:
                    out = do(body)
            except Refused as e:
                context.abort(statuses[e.code], e.message)
            if fault == "lose":
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
            return json_format.ParseDict(out, output())

        return handle

    def calls(self):
        return list(self.asked)

    def forget(self):
        self.asked.clear()

    def stop(self):
        self.proxy.kill()
        self.proxy.wait()
        self.proxy.stdout.close()
        self.backend.stop(None)
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)
