#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tokens of npm's jose, judged by both: jwt_peer.py CHECKER [COUNT]"""
import os
import shutil
import subprocess
import sys

peers = os.path.join(os.environ["PB_TESTS_DIR"], "peers")
if not shutil.which("node") or not os.path.isdir(os.path.join(peers, "node_modules", "jose")):
    print("skipped: node or tests/peers/node_modules/jose is missing")
    sys.exit(77)
count = sys.argv[2] if len(sys.argv) > 2 else "400"
made = subprocess.run(["node", "jwt_cases.mjs", count], cwd=peers, stdout=subprocess.PIPE, timeout=240, check=True)
assert made.stdout.count(b"\n") == int(count) + 2
sys.exit(subprocess.run([sys.argv[1]], input=made.stdout, timeout=240).returncode)
