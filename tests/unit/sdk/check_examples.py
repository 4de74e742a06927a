#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each header of the SDK has an example, and it compiles: check_examples.py CC ROOT; --self-test CC ROOT plants faults."""
import glob
import os
import re
import subprocess
import sys
import tempfile

EXAMPLE = re.compile(r"^ \* Example: .*\n \*\n((?: \*     .*\n| \*\n(?= \*     ))+)", re.M)
# What the examples take as given (patchbay/types.h): the instance and its services.
GIVEN = """struct mine {
    const pbay_host *host;
    const pbay_action_1 *action; const pbay_batch_1 *batch; const pbay_call_1 *call; const pbay_chain_1 *chain;
    const pbay_command_1 *command; const pbay_crypto_1 *crypto; const pbay_event_1 *event; const pbay_http_1 *http;
    const pbay_invoke_1 *invoke; const pbay_job_1 *job; const pbay_kv_1 *kv; const pbay_limit_1 *limit;
    const pbay_log_1 *log; const pbay_metric_1 *metric; const pbay_request_1 *request; const pbay_resolve_1 *resolve;
    const pbay_secret_1 *secret; const pbay_stream_1 *stream; const pbay_timer_1 *timer; const pbay_work_1 *work;
    const pbay_ws_1 *ws;
    void *connections[PBAY_WORK_SLOTS];
    pbay_request asked; pbay_timer ticking; pbay_metric ok_calls;
    int64_t last_tick_ms, retry_ms; size_t rows_known; int failures, owed;
};
"""
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-unused-function", "-Wno-unused-const-variable",
         "-fsyntax-only", "-x", "c", "-"]


def headers(root):
    return sorted(glob.glob(os.path.join(root, "sdk/include/patchbay/*.h")))


def check(cc, root, path):
    """None, or what is wrong with the example of a header."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    found = EXAMPLE.findall(text)
    if not found:
        return "no example"
    names = [os.path.basename(h) for h in headers(root)]
    for shown in found:
        code = "".join(line[7:] if len(line) > 7 else "\n" for line in shown.splitlines(True))
        own = "struct mine {" in code
        source = "#include <stdio.h>\n#include <stdlib.h>\n" + "".join(f"#include <patchbay/{n}>\n" for n in names)
        if own:  # the one that shows what is given: it needs what another header shows
            source += "static const pbay_functions_1 functions;\n"
        else:
            source += GIVEN
        done = subprocess.run([cc, "-I", os.path.join(root, "sdk/include"), *FLAGS], input=source + code, capture_output=True,
                              text=True, check=False)
        if done.returncode:
            return done.stderr
    return None


def self_test(cc, root):
    with tempfile.TemporaryDirectory() as d:
        for body, wanted in ((" * Nothing.\n", "no example"),
                             (" * Example: x.\n *\n *     static int f(struct mine *m) { return m->nothing; }\n", "nothing"),
                             (" * Example: x.\n *\n *     static int f(struct mine *m) { return m->owed; }\n", None)):
            path = os.path.join(d, "x.h")
            with open(path, "w", encoding="utf-8") as f:
                f.write("/*\n" + body + " */\n")
            got = check(cc, root, path)
            if (got is None) != (wanted is None) or wanted and wanted not in got:
                sys.exit(f"self-test: {body!r} gives {got!r}")


def main():
    cc, root = sys.argv[-2:]
    self_test(cc, root)
    faults = [f"{os.path.basename(p)}: {why}" for p in headers(root) if (why := check(cc, root, p))]
    print("\n".join(faults) if faults else f"{len(headers(root))} headers, each with an example that compiles")
    sys.exit(1 if faults else 0)


main()
