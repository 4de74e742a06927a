#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`patchbay call` through a running gateway: maps, an aggregate, a table; every row checked, memory that does not grow
with the file. ROWS of the environment: how many rows the large call has."""
import os
import signal
import subprocess
import sys
import tempfile

PATCHBAY = os.environ["PATCHBAY"]
ROWS = int(os.environ.get("ROWS", "100000"))

INI = """
[listen "sse"]
address = 127.0.0.1:0
[store]
url = sqlite:{dir}/state.db
[scripts]
dir = {dir}/scripts
[function "greet"]
script = functions/greet.lua
params = name:str, n:int
returns = str
[function "total"]
script = functions/total.lua
params = n:num
returns = num
[function "split"]
script = functions/split.lua
params = name:str
"""
SCRIPTS = {
    "greet.lua": 'return function(name, n) return name:upper() .. "-" .. n end',
    "total.lua": "return { init = function() return 0 end, step = function(s, n) return s + n end,"
                 " final = function(s) return s end }",
    "split.lua": 'return { columns = { "letter:str", "at:num" },'
                 " step = function(emit, name) for i = 1, #name do emit(name:sub(i, i), i) end end }",
}


def check(got, wanted, what):
    if got != wanted:
        sys.exit(f"{what}: {got!r} instead of {wanted!r}")


def main():
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(os.path.join(d, "scripts", "functions"))
        for name, text in SCRIPTS.items():
            with open(os.path.join(d, "scripts", "functions", name), "w") as f:
                f.write(text + "\n")
        os.chmod(d, 0o700)
        ini = os.path.join(d, "patchbay.ini")
        with open(ini, "w") as f:
            f.write(INI.format(dir=d))
        gateway = subprocess.Popen([PATCHBAY, "run", "--config", ini, "--state", d, "--workers", "0"], stdout=subprocess.PIPE, text=True,
                                   stderr=open(os.path.join(d, "log"), "w"))
        try:
            ready = gateway.stdout.readline().split()
            if not ready:
                sys.exit(open(os.path.join(d, "log")).read())
            address = dict(p.split("=", 1) for p in ready[1:])["sse"]
            play(d, address)
            gateway.send_signal(signal.SIGTERM)
            check(gateway.wait(30), 0, "the gateway's exit code")
        finally:
            gateway.kill()
            gateway.wait()


def call(address, *args, **more):
    return subprocess.run([PATCHBAY, "call", *args, "--address", address], capture_output=True, text=True, **more)


def play(d, address):
    small = os.path.join(d, "small.csv")
    with open(small, "w") as f:
        f.write('id,N,Name\nx,1,"a,b"\ny,2,\nz,,\n')
    r = call(address, "greet", small)
    check((r.returncode, r.stderr), (0, ""), "a map")
    check(r.stdout, 'id,N,Name,greet\nx,1,"a,b","A,B-1"\ny,2,,-2\nz,,,\n', "a map")
    r = call(address, "total", "-", "--columns", "N", input="N\n1\n2\n3.5\n")
    check((r.returncode, r.stdout), (0, "total\n6.5\n"), "an aggregate from a pipe")
    r = call(address, "split", "-", input="name\nab\nc\n")
    check((r.returncode, r.stdout), (0, "letter,at\na,1\nb,2\nc,1\n"), "a table")
    r = call(address, "gret", small)
    check((r.returncode, "did you mean \"greet\"?" in r.stderr), (1, True), "a name that is nearly right")

    large, out = os.path.join(d, "large.csv"), os.path.join(d, "out.csv")
    with open(large, "w") as f:
        f.write("name,n\n")
        f.writelines(f"customer{i},{i}\n" for i in range(ROWS))
    r = call(address, "greet", large, "-o", out)
    check((r.returncode, r.stderr), (0, ""), "many rows")
    with open(out) as f:
        check(f.readline(), "name,n,greet\n", "the header")
        for i, line in enumerate(f):
            if line != f"customer{i},{i},CUSTOMER{i}-{i}\n":
                sys.exit(f"row {i}: {line!r}")
    check(i + 1, ROWS, "rows")


main()
