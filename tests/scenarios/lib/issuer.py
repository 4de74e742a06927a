# SPDX-License-Identifier: MIT
"""An issuer of tokens, made with jose: ../js/tokens.mjs."""
import json
import os
import subprocess
import time

from .node import peers


class Issuer:
    def __init__(self):
        self.p = subprocess.Popen(["node", os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "js", "tokens.mjs")], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, PB_PEERS=peers("jose")))
        self.port = int(self.p.stdout.readline())

    def ask(self, word, **claims):
        self.p.stdin.write(word + (" " + json.dumps(claims) if claims else "") + "\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().strip()

    def token(self, word="token", **claims):
        return self.ask(word, **dict({"iss": "https://id.example", "aud": "patchbay", "sub": "robot",
                                      "exp": int(time.time()) + 600}, **claims))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        self.p.wait(30)
        self.p.stdout.close()
