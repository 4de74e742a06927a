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
        self.address = self._ready()

    def _ready(self):
        started = time.monotonic()
        os.set_blocking(self.process.stdout.fileno(), False)
        text = b""
        while time.monotonic() - started < 30:
            piece = self.process.stdout.read()
            text += piece or b""
            found = re.search(rb"^ready .*?sse=(\S+)", text, re.MULTILINE)
            if found:
                return found.group(1).decode()
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


def write_gateway_config(folder, build):
    """Fills the placeholders of config/; returns the path of the configuration."""
    source = os.path.join(HERE, "config")
    target = os.path.join(folder, "config")
    shutil.copytree(source, target)
    path = os.path.join(target, "gateway.ini")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = text.replace("@BUILD@", build).replace("@STATE@", os.path.join(folder, "state.db"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    for root, _, names in os.walk(target):
        os.chmod(root, 0o700)
        for name in names:
            os.chmod(os.path.join(root, name), 0o600)
    return path


def start_gateway(config, build, core):
    """The gateway in one foreground process, as `run --workers 0` gives it."""
    command = [os.path.join(build, "host", "app", "patchbay"), "run", "--config", config, "--workers", "0"]
    if not os.path.exists(command[0]):
        command[0] = os.path.join(build, "patchbay")
    return Server("patchbay", command, GATEWAY_FUNCTIONS, core)
