# SPDX-License-Identifier: MIT
"""A gateway in a folder of its own."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from .story import Failed, eventually, short, true

PROGRAM = os.environ.get("PATCHBAY", "patchbay")
WORKERS = os.environ.get("PATCHBAY_WORKERS", "0")  # of every gateway that does not say
ISOLATION = os.environ.get("PATCHBAY_ISOLATION", "")  # of every connector that does not say
PLUGINS = os.environ.get("PATCHBAY_PLUGINS", "")
TESTS = os.environ.get("PB_TESTS_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BAD_SIGNS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "ThreadSanitizer", "BUG:")

SSE = '[listen "sse"]\naddress = 127.0.0.1:0\n'


os.umask(0o022)  # the gateway refuses files that others may write


def environment(**more):
    env = dict(os.environ)
    # Freed memory that a sanitizer keeps back is not the gateway's.
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "detect_leaks=1") + ":quarantine_size_mb=4"
    env.update(AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    for key, value in more.items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = value
    return env


def has_sanitizer():
    with open(PROGRAM, "rb") as f:
        return b"__asan_init" in f.read()


def isolated(config):
    """The configuration with PATCHBAY_ISOLATION in every [connector] that says nothing of its own."""
    if not ISOLATION:
        return config
    sections = re.split(r"(?m)^(?=\[)", config)
    return "".join(re.sub(r"\A(\[connector .*\n)", r"\1isolation = %s\n" % ISOLATION, s)
                   if s.startswith("[connector ") and "\nisolation" not in s else s for s in sections)


class Folder:
    """Configuration and scripts; files is {path: text}, and @DIR@ in them is the folder."""

    def __init__(self, config, files=None):
        self.dir = tempfile.mkdtemp(prefix="patchbay-scenario-")
        self.state = os.path.join(self.dir, "state")
        self.config = os.path.join(self.dir, "patchbay.ini")
        os.mkdir(self.state, 0o700)
        os.mkdir(os.path.join(self.dir, "scripts"))
        self.write("patchbay.ini", self._with_plugins(config))
        for path, text in (files or {}).items():
            self.write(path, text)

    @staticmethod
    def _with_plugins(config):
        if PLUGINS and "[plugins]" not in config:
            config += "\n[plugins]\ndir = %s\n" % PLUGINS
        return isolated(config)

    def reconfigure(self, config):
        self.write("patchbay.ini", self._with_plugins(config))

    def write(self, path, text):
        full = os.path.join(self.dir, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if isinstance(text, str):
            text = text.replace("@DIR@", self.dir).encode()
        with open(full, "wb") as f:
            f.write(text)
        return full

    def run(self, *args, stdin=None, code=0, env=None, timeout=120):
        """`patchbay ARGS`; returns what it wrote to its two outputs, as text. code: expected, None: any."""
        if args[0] == "run" and "--workers" not in args:
            args += ("--workers", WORKERS)
        p = subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, timeout=timeout, cwd=self.dir,
                           env=environment(**(env or {})))
        p.out, p.err = p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")
        for sign in BAD_SIGNS:
            if sign in p.err:
                raise Failed("%s of patchbay %s:\n%s" % (sign, " ".join(args), p.err[-12000:]))
        if code is not None and p.returncode != code:
            raise Failed("patchbay %s ended with %d\n%s\n%s" % (" ".join(args), p.returncode, p.out, p.err))
        return p

    def check(self, code=0, env=None):
        return self.run("check", "--config", self.config, "--state", self.state, code=code, env=env)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def new_key(name):
    """An API key: its text, and the section for patchbay.ini."""
    with Folder("") as f:
        p = f.run("new-key", name)
        return p.out.strip(), p.err[p.err.index("["):]


class Gateway(Folder):
    """with Gateway(config, files) as g: ... g.address("sse") ... ; leaving stops it and checks how it ended."""

    def __init__(self, config, files=None, env=None, workers=None):
        super().__init__(config, files)
        self.env, self.handed = env or {}, None
        self.workers_wanted = WORKERS if workers is None else str(workers)
        self.process = None
        self._log = []
        self._lock = threading.Lock()

    def hand_over(self, listening, name):
        """From the next start on it gets this socket, as systemd hands sockets over."""
        self.handed = listening
        self.env.update(LISTEN_FDS="1", LISTEN_FDNAMES=name)

    def start(self):
        more = {}
        if self.handed:
            more = {"preexec_fn": lambda: os.dup2(self.handed.fileno(), 3), "pass_fds": (3,)}
        self.process = subprocess.Popen([PROGRAM, "run", "--config", self.config, "--state", self.state, "--workers", self.workers_wanted],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment(**self.env), cwd=self.dir, **more)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready "):
            code = self.process.wait(60)
            self._reader.join(10)
            raise Failed("the gateway ended with %d before it was ready\n%s%s" % (code, line, self.log()))
        self.addresses = dict(part.split("=", 1) for part in line.split()[1:])
        return self

    def _read(self, pipe):
        for line in pipe:
            with self._lock:
                self._log.append(line.decode(errors="backslashreplace"))
        pipe.close()

    def log(self):
        with self._lock:
            return "".join(self._log)

    def log_lines(self, *parts):
        return [line for line in self.log().splitlines() if all(p in line for p in parts)]

    def await_log(self, *parts, count=1):
        return eventually(lambda: (lambda found: len(found) >= count and found)(self.log_lines(*parts)),
                          "%d log lines with %s; the log:\n%s" % (count, parts, short(self.log(), 6000)))

    def address(self, name="sse"):
        true(name in self.addresses, "no listener %s: %s" % (name, self.addresses))
        return self.addresses[name]

    def port(self, name="sse"):
        return int(self.address(name).rsplit(":", 1)[1])

    def status(self, key):
        """A number of /proc/PID/status in KiB: VmRSS, VmHWM."""
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"^%s:\s+(\d+)" % key, f.read(), re.M).group(1))

    def reset_peak(self):
        with open("/proc/%d/clear_refs" % self.process.pid, "w") as f:
            f.write("5")

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def alive(self):
        true(self.process.poll() is None, "the gateway ended by itself with %s\n%s" % (
            self.process.returncode, short(self.log(), 8000)))

    def stop(self, code=0, signum=signal.SIGTERM):
        self.alive()
        self.process.send_signal(signum)
        try:
            got = self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed("the gateway did not end; its log:\n" + short(self.log(), 8000)) from None
        self._reader.join(10)
        self.process.stdout.close()
        self.process = None
        if got != code:
            raise Failed("the gateway ended with %d, not %d\n%s" % (got, code, self.log()[-12000:]))
        for sign in BAD_SIGNS:
            if sign in self.log():
                raise Failed("%s in the log:\n%s" % (sign, self.log()[-12000:]))

    def restart(self, config=None):
        self.stop()
        if config is not None:
            self.reconfigure(config)
        return self.start()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, kind, *_):
        try:
            if kind is None and self.process:
                self.stop()
            elif self.process:
                time.sleep(0.2)
                sys.stdout.write("the gateway's log:\n" + self.log()[-12000:])
                self.process.kill()
                self.process.wait()
        finally:
            self.remove()
