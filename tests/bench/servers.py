# SPDX-License-Identifier: MIT
"""Starts the servers that are measured, each pinned to a core, and stops them."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Server:
    """A running server. `functions` maps what it is asked (echo, sum, suffix, ...) to the client's --function value."""

    def __init__(self, name, command, functions, core, env=None):
        self.name = name
        self.functions = functions
        self.folder = tempfile.mkdtemp(prefix=f"bench-{name}-")
        self.log = os.path.join(self.folder, "stderr.log")
        full_env = dict(os.environ, **(env or {}))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["taskset", "-c", str(core)] + command, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log, env=full_env, cwd=self.folder)
        self.pid = self.process.pid  # taskset replaces itself by the server
        self.listening = self._ready()  # {"sse": "HOST:PORT", ...}
        self.address = self.listening.get("sse")

    def _ready(self):
        started = time.monotonic()
        os.set_blocking(self.process.stdout.fileno(), False)
        text = b""
        while time.monotonic() - started < 30:
            piece = self.process.stdout.read()
            text += piece or b""
            found = re.search(rb"^ready (.*)\n", text, re.MULTILINE)
            if found:
                return dict(word.split("=", 1) for word in found.group(1).decode().split() if "=" in word)
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        tail = self.tail()
        self.stop()
        raise RuntimeError(f"{self.name}: no ready line; its last words:\n{tail}")

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


RIVAL_FUNCTIONS = {"echo": "0:echo", "sum": "1:sum", "suffix": "2:suffix"}


def rivals(build):
    """Name -> (command, environment) of every rival that is built."""
    bench = os.path.join(build, "tests", "bench")
    python = {"PYTHONPATH": os.path.join(bench, "generated"), "PYTHONDONTWRITEBYTECODE": "1"}
    script = os.path.join(HERE, "rivals", "py_server.py")
    return {
        "bare": ([os.path.join(bench, "rival_bare")], {}),
        "cpp_callback": ([os.path.join(bench, "rival_cpp_callback")], {}),
        "cpp_sync": ([os.path.join(bench, "rival_cpp_sync")], {}),
        "node": (["node", os.path.join(HERE, "rivals", "node_server.js")], {}),
        "python": (["/usr/bin/python3", script], python),
        "python_qrag": (["/usr/bin/python3", script, "--qrag"], python),
    }


# The functions of config/gateway.ini, by their ids there.
GATEWAY_FUNCTIONS = {"echo": "1:echo", "sum": "2:sum", "suffix": "3:suffix", "score": "4:echo"}


def write_config(build, endpoint=None):
    """A copy of config/ below the build folder, placeholders filled, begun anew when there is no endpoint yet; returns
    its path."""
    folder = os.path.join(build, "tests", "bench", "gateway")
    if not endpoint:
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(os.path.join(HERE, "config"), folder, dirs_exist_ok=True)
    for name in ("gateway", "endpoint"):
        path = os.path.join(folder, name + ".ini")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("@ENDPOINT@", endpoint or "127.0.0.1:9")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    for root, _, names in os.walk(folder):  # the gateway refuses files that others may write
        os.chmod(root, 0o700)
        for name in names:
            os.chmod(os.path.join(root, name), 0o600)
    return folder


def start_gateway(config, build, core, name="patchbay"):
    """The gateway in one foreground process, its state beside the configuration. The credentials are made up; the
    scoring endpoint, which gets the same, checks that every request is signed with them."""
    program = os.path.join(build, "patchbay")
    state = os.path.join(os.path.dirname(config), name + ".state")
    credentials = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "bench-secret"}
    return Server(name, [program, "run", "--config", config, "--state", state, "--workers", "0"], GATEWAY_FUNCTIONS, core, credentials)
