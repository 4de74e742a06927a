# SPDX-License-Identifier: MIT
"""Runs the part of a scenario that is written for @grpc/grpc-js."""
import os
import subprocess

from .gateway import TESTS
from .story import Failed, skip


def run(script, *args, timeout=240, **env):
    peers = os.path.join(TESTS, "peers")
    if not os.path.isdir(os.path.join(peers, "node_modules", "@grpc", "grpc-js")):
        skip("@grpc/grpc-js is not installed: .ci/deps test")
    p = subprocess.run(["node", os.path.join(TESTS, "scenarios", "js", script), *args], capture_output=True, text=True,
                       timeout=timeout, env=dict(os.environ, PB_PEERS=peers, **env))
    if p.returncode:
        raise Failed("%s %s ended with %d\n%s%s" % (script, " ".join(args), p.returncode, p.stdout, p.stderr))
    return p.stdout
