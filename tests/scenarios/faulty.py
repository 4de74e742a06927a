#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plugins that break the rules (tests/unit/check/faulty.c) in a gateway that runs: each is loaded and called, in a process of its own and
in the worker, and the gateway goes on. Files that are no plugins are refused by name, with the reason."""
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import struct

from lib.gateway import SSE, Folder, Gateway
from lib.story import contains, equal, eventually, main, story, true

FAULTY = os.path.join(os.environ["SCENARIO_PLUGINS"], "../../unit/faulty")
EXAMPLES = os.environ["PATCHBAY_PLUGINS"]
HEAD = SSE + """
[listen "http"]
address = 127.0.0.1:0
[plugins]
dir = @DIR@/faulty, @DIR@/good
[connector "calm"]
plugin = echo
isolation = none
[function "Calm"]
connector = calm
params = word:str
returns = str
"""
# A crash is to look like one, also in a build whose sanitizer would catch it; faulty plugins leak.
ENV = {"ASAN_OPTIONS": "detect_leaks=0:handle_segv=0"}
# What ends its process when it is loaded or called, and what never comes up.
DEADLY = {"crash", "lost"}
ONCE = {"hang": "has not returned", "die": "crashed (SEGV)"}  # without a process of its own
NEVER_UP = {"hang", "die", "unsaid"}
STREAMS = {"pressure"}  # an aggregate: as many rows as it likes
REFUSED = {"default": "patience", "doc": "doc is missing", "summary": "summary is empty"}  # before anything of them is called


def faults():
    return sorted(n[7:-3] for n in os.listdir(FAULTY) if n.startswith("faulty_") and n.endswith(".so"))


def plugins(folder, names):
    """The named ones, and a good one, where the configuration looks."""
    for d in ("faulty", "good"):
        os.makedirs(os.path.join(folder, d), exist_ok=True)
    for name in names:
        shutil.copy(os.path.join(FAULTY, "faulty_%s.so" % name), os.path.join(folder, "faulty"))
    shutil.copy(os.path.join(EXAMPLES, "echo.so"), os.path.join(folder, "good"))


def part(fault, isolation):
    return """
[connector "c_%s"]
plugin = faulty_%s
isolation = %s
timeout = 300ms
[function "F_%s"]
connector = c_%s
operation = one
params = word:str
returns = str
attempts = 1
max_rows = 100
""" % (fault, fault, isolation, fault, fault)


class House(Gateway):
    def __init__(self, config, names):
        super().__init__("", env=ENV)
        plugins(self.dir, names)
        self.write("patchbay.ini", config)


def ask(g, function, n):
    c = http.client.HTTPConnection(g.address("http"), timeout=60)
    try:
        c.request("POST", "/functions/" + function, body=json.dumps({"rows": [["a"]] * n}), headers={"content-type": "application/json"})
        r = c.getresponse()
        return r.status, json.loads(r.read().decode())
    finally:
        c.close()


def well(g):
    equal(ask(g, "Calm", 3), (200, {"rows": [["a"], ["a"], ["a"]]}), "a call of another connector")


def call_each(g, names):
    """Every one at once, with a row, with ten and with more than a batch; beside them calls that must succeed."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = {(n, rows): pool.submit(ask, g, "F_" + n, rows) for n in names for rows in (1, 10, 150)}
        for _ in range(20):
            well(g)
        return {key: future.result() for key, future in asked.items()}


def judge(answers):
    for (name, rows), (status, said) in sorted(answers.items()):
        if status == 200 and name not in STREAMS:
            equal(len(said["rows"]), rows, "rows of faulty_%s" % name)
        elif status != 200:
            true(status in (500, 503, 504) and json.dumps(said) != "{}", "faulty_%s, %d rows: %d %s" % (name, rows, status, said))


@story
def each_in_a_process_of_its_own():
    names = [n for n in faults() if n not in NEVER_UP | set(REFUSED)]
    true(len(names) >= 12, names)
    with House(HEAD + "".join(part(n, "process") for n in names), names + list(REFUSED)) as g:
        for name, said in REFUSED.items():
            g.await_log("plugin refused", "faulty_" + name, said)
        answers = call_each(g, names)
        judge(answers)
        for name in ("never", "cancel"):
            equal(answers[name, 10][0], 504, "a call of faulty_%s" % name)
        true(answers["crash", 1][0] == 503, answers["crash", 1])
        contains(json.dumps(answers["rows", 10][1]), "10")
        equal(answers["none", 150][0], 200, "the one without a fault")
        g.await_log("a plugin broke the rules", "faulty_twice")
        well(g)


@story
def each_in_the_worker():
    names = [n for n in faults() if n not in NEVER_UP | DEADLY | set(REFUSED)]
    with House(HEAD + "".join(part(n, "none") for n in names), names) as g:
        for _ in range(3):
            judge(call_each(g, names))
        g.await_log("a plugin broke the rules", "faulty_twice")
        g.await_log("a plugin blocked the loop", "faulty_block")
        well(g)


@story
def what_never_comes_up_is_named():
    for name, said in (("hang", "within"), ("die", "signal 11")):
        with Folder("") as f:
            plugins(f.dir, [name])
            config = HEAD + part(name, "process")
            if name == "hang":
                config = config.replace("timeout = 300ms", "timeout = 300ms\nprocess_hang = 400ms")
            f.write("patchbay.ini", config)
            p = f.check(code=1, env=ENV)
            contains(p.err, "c_" + name, said, "create")
            f.write("patchbay.ini", config.replace("isolation = process", "isolation = none"))
            p = f.check(code=None, env=ENV)
            true(p.returncode != 0, p.err)
            contains(p.err, "c_" + name, ONCE[name], "in create")


# ---------------------------------------------------------------------------------------------------- files that are no plugins

def elf():
    with open(os.path.join(FAULTY, "faulty_none.so"), "rb") as f:
        return bytearray(f.read())


def changed(old, new):
    data = elf()
    at = data.find(old)
    true(at >= 0, "%r is not in the plugin" % old)
    data[at:at + len(old)] = new
    return bytes(data)


def prefix(**change):
    """The 16 bytes that are read before anything else is believed, changed."""
    data = elf()
    found = [m.start() for m in re.finditer(re.escape(struct.pack("<I", 0x59414250)), bytes(data))
             if struct.unpack_from("<HHI", data, m.start() + 8) == (1, 0, 0)]
    true(found, "no prefix in the plugin")
    for at in found:
        magic, size, major, minor, flags = struct.unpack_from("<IIHHI", data, at)
        now = {"magic": magic, "size": size, "major": major, **change}
        struct.pack_into("<IIHHI", data, at, now["magic"], now["size"], now["major"], minor, flags)
    return bytes(data)


def bad_files():
    good = bytes(elf())
    return {
        "text.so": (b"#!/bin/sh\necho no\n" * 20, "ELF"),
        "empty.so": (b"", "ELF"),
        "arm.so": (good[:18] + struct.pack("<H", 183) + good[20:], "built for aarch64"),
        "half.so": (good[:len(good) // 3], "cut off: it has "),
        "head.so": (good[:60], "cut off: it has 60 bytes"),
        "no_entry.so": (changed(b"pbay_plugin_entry\0", b"pbay_plugin_entrx\0"), "pbay_plugin_entry"),
        "undefined.so": (changed(b"\0calloc\0", b"\0cxlloc\0"), "cxlloc"),
        "magic.so": (prefix(magic=0x59414251), "magic"),
        "major.so": (prefix(major=2), "abi_major is 2"),
        "short.so": (prefix(size=16), "struct_size"),
        "z_again.so": (good, "descriptor.name"),
    }


@story
def no_plugin_is_refused_by_name():
    with House(HEAD, ["none"]) as g:
        g.stop()
        bad = bad_files()
        for name, (data, _) in bad.items():
            path = g.write("faulty/" + name, data)
            os.chmod(path, 0o755)
        shutil.copy(os.path.join(FAULTY, "faulty_rows.so"), os.path.join(g.dir, "faulty/open.so"))
        os.chmod(os.path.join(g.dir, "faulty/open.so"), 0o666)
        bad["open.so"] = (b"", "writable")
        p = g.run("plugins", "--dir", os.path.join(g.dir, "faulty"), code=None)
        for name, (_, said) in bad.items():
            lines = [line for line in (p.out + p.err).splitlines() if name in line]
            true(lines, "%s is not named\n%s%s" % (name, p.out, p.err))
            true(any(said in line for line in lines), "%s: %r is not in %s" % (name, said, lines))
        g.start()
        for name in bad:
            g.await_log("plugin refused", name)
        well(g)
        g.stop()
        # Whoever names one is told why; nothing else is touched.
        for used, said in (("rows", "writable"), ("nothing", "there is no plugin")):
            g.write("patchbay.ini", HEAD + part(used, "none"))
            contains(g.check(code=1, env=ENV).err, "c_" + used)
        g.write("patchbay.ini", HEAD + part("none", "none").replace("timeout = 300ms", "patience = soon"))
        contains(g.check(code=1, env=ENV).err, "patience", "soon")
        g.write("patchbay.ini", HEAD)
        g.start()
        well(g)


if __name__ == "__main__":
    main()
