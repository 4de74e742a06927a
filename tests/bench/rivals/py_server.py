#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Rivals in Python: grpcio with ten threads.

Plain: every bundle is answered as it comes, nothing is logged. With --qrag it is built as the Rapid ML Gateway is:
functions.json is read again in every call, DEBUG lines go to the console and to an hourly rotated file, all rows of a
call are collected and answered in one bundle at the end. With --url too its prediction call is there as well: a request per
row, one after the other, each on a connection of its own, and the answer's text without its quotes.
"""
import argparse
import json
import logging
import logging.handlers
import os
import re
import signal
import sys
import tempfile
from concurrent import futures

import grpc

import qlik_sse_pb2 as sse

NAMES = ("Echo", "Sum", "Suffix")


def answer(function_id, bundle, out):
    rows = out.rows
    if function_id == 1:
        for row in bundle.rows:
            rows.add().duals.add().numData = sum(dual.numData for dual in row.duals)
    elif function_id == 2:
        for row in bundle.rows:
            rows.add().duals.add().strData = row.duals[0].strData + "!"
    else:
        for row in bundle.rows:
            rows.add().duals.add().strData = row.duals[0].strData


def function_header(context):
    header = sse.FunctionRequestHeader()
    for key, value in context.invocation_metadata():
        if key == "qlik-functionrequestheader-bin":
            header.ParseFromString(value)
    return header


class Plain:
    def get_capabilities(self, request, context):
        caps = sse.Capabilities(pluginIdentifier="Python rival", pluginVersion="1")
        for number, name in enumerate(NAMES):
            kind = sse.NUMERIC if number == 1 else sse.STRING
            function = caps.functions.add(name=name, functionId=number, functionType=sse.TENSOR, returnType=kind)
            function.params.add(name="a", dataType=kind)
        return caps

    def execute_function(self, request_iterator, context):
        function_id = function_header(context).functionId
        for bundle in request_iterator:
            out = sse.BundledRows()
            answer(function_id, bundle, out)
            yield out


class Qrag(Plain):
    """The structure, the logging and the file reads of the original; its prediction call is left out."""

    def __init__(self, definitions, url=None):
        self.definitions, self.url = definitions, url

    def execute_function(self, request_iterator, context):
        header = function_header(context)
        common = sse.CommonRequestHeader()
        for key, value in context.invocation_metadata():
            if key == "qlik-commonrequestheader-bin":
                common.ParseFromString(value)
        logging.info("Common Header is : %s", common)
        with open(self.definitions, encoding="utf-8") as file:
            definition = json.load(file)["Functions"][header.functionId]
        logging.debug("Function details: %s", definition)
        user = re.match(r"UserDirectory=(?P<dir>\w*)\W+UserId=(?P<id>\w*)", common.userId, re.IGNORECASE)
        logging.info("%s - Capability '%s' called by user %s from app %s", context.peer(), definition["Name"],
                     "/".join(user.groups()) if user else common.userId, common.appId)
        logging.debug("Calling %s with id %d", definition["QRAP_Type"], header.functionId)
        context.send_initial_metadata((("qlik-cache", "no-store"),))
        logging.debug("Caching is disabled for %s", definition["Name"])
        yield self.collect(header.functionId, request_iterator)

    def collect(self, function_id, request_iterator):
        out = sse.BundledRows()
        for bundle in request_iterator:
            if self.url:
                self.ask(bundle, out)
            else:
                answer(function_id, bundle, out)
        logging.debug("Function %d: %d rows answered", function_id, len(out.rows))
        return out


    def ask(self, bundle, out):
        import requests
        for row in bundle.rows:
            payload = '{"data":"' + row.duals[0].strData + '"}'
            logging.debug("Showing Payload: %s", payload)
            reply = requests.post(self.url, data=payload)
            logging.debug("Show Payload Response as Text: %s", reply.text)
            result = reply.text.replace('"', "").strip()
            logging.debug("Show Result: %s", result)
            out.rows.add().duals.add().strData = result


def qrag_logging(folder):
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(message)s"))
    file = logging.handlers.TimedRotatingFileHandler(os.path.join(folder, "SSEPlugin.log"), when="h")
    file.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(module)s : %(lineno)d - %(message)s"))
    logging.basicConfig(level=logging.DEBUG, handlers=[console, file])


def write_definitions(folder):
    path = os.path.join(folder, "functions.json")
    functions = [{"Id": i, "Name": name, "Type": 2, "QRAP_Type": "rest_single", "ReturnType": int(i == 1),
                  "Params": {"str1": int(i == 1)}} for i, name in enumerate(NAMES)]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"Functions": functions}, file, indent=4)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qrag", action="store_true")
    parser.add_argument("--url", help="--qrag: where every row is posted to")
    parser.add_argument("--threads", type=int, default=10)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="py-rival-") as folder:
        service = Plain()
        if args.qrag:
            qrag_logging(folder)
            service = Qrag(write_definitions(folder), args.url)
        # The original keeps the default limits; the load's bundles and the one large answer must pass here.
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=args.threads), options=limits)
        rows = dict(request_deserializer=sse.BundledRows.FromString,
                    response_serializer=sse.BundledRows.SerializeToString)
        handlers = {
            "GetCapabilities": grpc.unary_unary_rpc_method_handler(
                service.get_capabilities, request_deserializer=sse.Empty.FromString,
                response_serializer=sse.Capabilities.SerializeToString),
            "ExecuteFunction": grpc.stream_stream_rpc_method_handler(service.execute_function, **rows),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("qlik.sse.Connector", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        print(f"ready sse=127.0.0.1:{port}", flush=True)
        server.wait_for_termination()


if __name__ == "__main__":
    main()
