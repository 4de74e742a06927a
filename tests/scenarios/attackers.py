# SPDX-License-Identifier: MIT
"""Who should not get in, at work: a stranger's page in a browser on this machine, names that change what they mean, files
that are swapped, text that wants to be a terminal's, another user of the machine."""
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading

import grpc

from lib.gateway import PLUGINS, PROGRAM, SSE, Folder, Gateway, environment
from lib.sse import client, common
from lib.story import contains, equal, lacks, main, skip, story, true

CONFIG = SSE + """
[listen "http"]
address = 127.0.0.1:0
[listen "admin"]
address = 127.0.0.1:0
[function "upper"]
id = 1
script = functions/upper.lua
params = a:str
returns = str
"""
FILES = {"scripts/functions/upper.lua": "return function(a) return a:upper() end\n"}

# What a page can try without asking anybody: simple requests, forms, and those that a browser asks about first.
PAGE = """<!doctype html><iframe name=frame></iframe><pre id=out></pre><script>
const http = "http://127.0.0.1:%(http)d", admin = "http://127.0.0.1:%(admin)d", out = [];
const rows = JSON.stringify({rows: [["stolen"]]}), form = "do=pause&kind=function&name=upper&why=evil";
async function attempt(name, url, options) {
  try { const r = await fetch(url, options); out.push(name + ": " + r.type + " " + r.status + " " + await r.text()); }
  catch (e) { out.push(name + ": blocked"); }
}
(async () => {
  await attempt("text", http + "/functions/upper", {method: "POST", body: rows, headers: {"content-type": "text/plain"}});
  await attempt("opaque", http + "/functions/upper", {method: "POST", mode: "no-cors", body: rows});
  await attempt("json", http + "/functions/upper", {method: "POST", body: rows, headers: {"content-type": "application/json"}});
  await attempt("read", http + "/functions", {});
  await attempt("action", admin + "/action", {method: "POST", mode: "no-cors", credentials: "include",
    headers: {"content-type": "application/x-www-form-urlencoded"}, body: form});
  await attempt("metrics", admin + "/metrics", {});
  const f = document.createElement("form");
  f.method = "post"; f.action = admin + "/action"; f.target = "frame";
  for (const [k, v] of new URLSearchParams(form)) {
    const i = document.createElement("input"); i.name = k; i.value = v; f.append(i);
  }
  document.body.append(f); f.submit();
  setTimeout(() => { document.getElementById("out").textContent = out.join("\\n") + "\\nfinished"; }, 1000);
})();
</script>"""


class Site:
    """The stranger's web server."""

    def __init__(self, page):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def browse(url):
    """The page as Chromium has it after its scripts ran."""
    program = shutil.which("chromium") or skip("chromium is not installed: .ci/deps test")
    with tempfile.TemporaryDirectory(prefix="patchbay-chromium-", ignore_cleanup_errors=True) as d:
        p = subprocess.run([program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
                            "--disable-background-networking", "--user-data-dir=" + d, "--virtual-time-budget=10000",
                            "--host-resolver-rules=MAP *.example 127.0.0.1", "--dump-dom", url],
                           capture_output=True, text=True, timeout=120, env=dict(os.environ, HOME=d))
        return p.stdout


def curl(g, listener, path, *args):
    return subprocess.run(["curl", "-sS", "--max-time", "30", *args, "http://%s%s" % (g.address(listener), path)],
                          capture_output=True, text=True).stdout


@story
def a_page_of_another_site():
    with Gateway(CONFIG, FILES) as g:
        with Site(PAGE % {"http": g.port("http"), "admin": g.port("admin")}) as evil:
            page = browse("http://evil.example:%d/" % evil.port)
            contains(page, "finished", "text: blocked", "opaque: opaque 0", "json: blocked", "read: blocked", "metrics: blocked")
        contains(curl(g, "admin", "/metrics"), 'patchbay_function_calls_total{function="upper",code="OK"} 0')
        lacks(curl(g, "admin", "/"), "paused")
        lacks(g.log(), "msg=call")
        contains(g.await_log("msg=refused", "evil.example")[0], "origins")


@story
def a_name_that_changes_what_it_means():
    """DNS rebinding: the browser believes that the gateway is rebind.example."""
    with Gateway(CONFIG, FILES) as g:
        for listener, path in ("http", "/functions"), ("admin", "/"), ("admin", "/metrics"):
            page = browse("http://rebind.example:%d%s" % (g.port(listener), path))
            contains(page, "not known by that name")
            lacks(page, "upper")
        contains(g.await_log("msg=refused", "rebind.example")[0], "hosts")
        contains(browse("http://localhost:%d/functions" % g.port("http")), "upper")
        # The same by hand, with what browsers do not send.
        for host in "rebind.example", "127.0.0.1.rebind.example", "localhost.rebind.example", "127.0.0.1@rebind.example", "":
            lacks(curl(g, "http", "/functions", "-H", "Host: " + host if host else "Host;"), "upper")
    with Gateway(CONFIG.replace('[listen "http"]\n', '[listen "http"]\nhosts = gw.example\n'), FILES) as g:
        contains(curl(g, "http", "/functions", "-H", "Host: gw.example"), "upper")


def swapped(f, path, good, bad, check):
    """`path` is now one, now the other, as fast as it goes; check() is called meanwhile."""
    full, stop = os.path.join(f.dir, path), threading.Event()

    def swap():
        i = 0
        while not stop.is_set():
            i += 1
            os.symlink(bad if i % 2 else good, full + ".new")
            os.rename(full + ".new", full)
    if os.path.lexists(full):
        os.remove(full)
    os.symlink(good, full)
    t = threading.Thread(target=swap)
    t.start()
    try:
        return [check() for _ in range(12)]
    finally:
        stop.set()
        t.join()


@story
def files_that_are_swapped():
    """A link leads to a file of ours and, in between, to one that others may write: what is loaded is what was checked."""
    with Folder(CONFIG, FILES) as f:
        others = os.path.join(f.dir, "others")
        os.mkdir(others)

        def other(name, text):
            path = os.path.join(others, name)
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
            os.chmod(path, 0o666)
            return path

        def tried(wrong):
            p = f.check(code=None)
            true(p.returncode == 0 or "is writable by everybody" in p.err, p.err)
            lacks(p.out + p.err, wrong)
            return p.returncode
        config = f.write("mine.ini", open(f.config).read())
        got = swapped(f, "patchbay.ini", config, other("evil.ini", CONFIG.replace("upper\"]", "evil\"]")), lambda: tried("evil ("))
        os.remove(f.config)
        f.write("patchbay.ini", open(config).read())
        script = f.write("scripts/functions/mine.lua", FILES["scripts/functions/upper.lua"])
        got += swapped(f, "scripts/functions/upper.lua", script, other("evil.lua", "error('evil script runs')"),
                       lambda: tried("evil script runs"))
        plugin = os.path.join(PLUGINS, "echo.so")
        plugins = os.path.join(f.dir, "plugins")
        os.mkdir(plugins, 0o755)
        f.write("patchbay.ini", CONFIG + '[plugins]\ndir = %s\n[connector "e"]\nplugin = echo\n' % plugins)
        mine = os.path.join(f.dir, "mine.so")
        shutil.copy(plugin, mine)
        with open(mine, "rb") as file:
            evil = file.read().replace(b"echo\0", b"evil\0")
        bad = other("evil.so", evil)
        if os.path.lexists(os.path.join(plugins, "echo.so")):
            os.remove(os.path.join(plugins, "echo.so"))

        def plugin_tried():
            p = f.check(code=None)
            lacks(p.out + p.err, '"evil"')
            return p.returncode
        got += swapped(f, "plugins/echo.so", mine, bad, plugin_tried)
        true(0 in got, "the good ones were never taken")


@story
def text_that_wants_to_be_a_terminal():
    nasty = "kim\x1b]0;owned\x07\x1b[2J\r\nlevel=error msg=forged \u202e\x00\x7f"
    with Gateway(CONFIG, FILES) as g:
        with client(g) as c:
            c.call(1, ["a"], header=common(user=nasty, app="\x1b[31mapp")).ok()
            r = c.call(99, ["a"], header=common(user=nasty))
            lacks(r.details, "\x1b", "\r", "\n", "\x07")
        subprocess.run(["curl", "-sS", "-o", "/dev/null", "-H", "user-agent: \x1b[2J", "-H", "x-api-key: \x1b[2Jkey",
                        "http://%s/functions/%%1b%%5b2J" % g.address("http")])
        curl(g, "http", "/functions/%1b%5b2J%0d%0aforged", "-d", "{}", "-H", "content-type: application/json")
        g.await_log("msg=call", "kim")
        log = g.log()
        lacks(log, "\x1b", "\x07", "\r", "\x7f")
        equal([line for line in log.splitlines() if line.startswith("level=error")], [])
        true(re.search(r"kim\\(x1b|u001b|e)", log), log)
        p = subprocess.run(["curl", "-sS", "-H", "x-api-key: " + open(os.path.join(g.state, "admin.token")).read().strip(), "-d",
                            "do=pause&kind=function&name=upper", "--data-urlencode", "why=<script>alert(1)</script>\x1b[2J",
                            "http://%s/action" % g.address("admin")], capture_output=True, text=True)
        contains(p.stdout, "ok")
        page = curl(g, "admin", "/")
        contains(page, "&lt;script&gt;", "\\x1b")
        lacks(page, "<script", "\x1b")


@story
def another_user_of_the_machine():
    if os.geteuid() != 0:
        print("# not root: nobody to be another user")
        return
    with Gateway(CONFIG, FILES, workers=2) as g:
        run = os.path.join(g.state, "run")
        equal(os.stat(run).st_mode & 0o777, 0o700)
        equal(os.stat(os.path.join(run, "control")).st_mode & 0o777, 0o600)
        equal(os.stat(os.path.join(g.state, "admin.token")).st_mode & 0o777, 0o600)
        equal(os.stat(os.path.join(g.state, "state.db")).st_mode & 0o077, 0)
        for path in g.dir, g.state, run, os.path.join(run, "control"):
            os.chmod(path, 0o777)  # as if somebody had been careless: who connects is looked at all the same
        asked = subprocess.run(["/usr/bin/python3", "-c", """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"status\\n")
sys.stdout.write(s.recv(100).decode())
""", os.path.join(run, "control")], capture_output=True, text=True)
        equal(asked.stdout, "")
        contains(g.await_log("a command of another user was refused")[0], "uid=65534")
        for path in g.dir, g.state:
            os.chmod(path, 0o700)
        g.run("reload", "--state", g.state)
    with Folder(CONFIG, FILES) as f:  # a runtime directory that others may write to
        os.mkdir(os.path.join(f.state, "run"))
        os.chmod(os.path.join(f.state, "run"), 0o777)
        contains(f.run("run", "--config", f.config, "--state", f.state, "--workers", "2", code=1).err, "chmod 700")


main()
