#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which answers Qlik may keep: grpcio reads qlik-cache as an engine would."""
import os
import subprocess
import sys
import tempfile

import grpc

PATCHBAY = os.environ["PATCHBAY"]
INI = """
[listen "sse"]
address = 127.0.0.1:0
[function "plain"]
id = 1
script = plain.lua
params = a:str
returns = str
[function "mine"]
id = 2
script = mine.lua
params = a:str
returns = str
[function "nulled"]
id = 3
script = nulled.lua
params = a:str
returns = str
on_error = null
[function "told"]
id = 4
script = plain.lua
params = a:str
returns = str
cache = no
[function "fails"]
id = 5
script = nulled.lua
params = a:str
returns = str
"""
SCRIPTS = {"plain.lua": "return function(a) return a end", "nulled.lua": "return function(a) error 'no' end",
           "mine.lua": "return function(a) return ctx.user .. a end"}


def main():
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o700)
        for name, text in {**SCRIPTS, "patchbay.ini": INI}.items():
            with open(os.path.join(d, name), "w") as f:
                f.write(text + "\n")
        with open(os.path.join(d, "log"), "w") as log:
            gateway = subprocess.Popen([PATCHBAY, "run", "--config", os.path.join(d, "patchbay.ini"), "--state", d, "--workers", "0"],
                                       stdout=subprocess.PIPE, text=True, stderr=log)
        try:
            address = gateway.stdout.readline().split()[1].split("=")[1]
            with grpc.insecure_channel(address) as channel:
                for fid, wanted in ((1, False), (2, True), (3, True), (4, True), (5, True)):
                    kept = no_store(channel, fid)
                    if kept is not wanted:
                        sys.exit(f"function {fid}: no-store is {kept}, not {wanted}")
            gateway.terminate()
            if gateway.wait(30) != 0:
                sys.exit("the gateway's exit code")
        finally:
            gateway.kill()
            gateway.wait()


def no_store(channel, fid):
    row = bytes([0x0A, 5, 0x0A, 3, 0x12, 1, ord("x")])  # BundledRows of one Row of one Dual: strData "x"
    call = channel.stream_stream("/qlik.sse.Connector/ExecuteFunction")(
        iter([row]), metadata=[("qlik-functionrequestheader-bin", bytes([8, fid])),
                               ("qlik-commonrequestheader-bin", b"\x12\x03kim")], timeout=30)
    try:
        list(call)
    except grpc.RpcError:
        pass
    return ("qlik-cache", "no-store") in [tuple(m) for m in (*call.initial_metadata(), *call.trailing_metadata())]


main()
