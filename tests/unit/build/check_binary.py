#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads ELF files with readelf and refuses what is not hardened.

    check_binary.py --kind program|plugin [--fortified] [--no-path DIR] FILE...
    check_binary.py --self-test CC     builds weak files and fails unless each weakness is found
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile


PLAIN = {"printf", "fprintf", "sprintf", "snprintf", "vsnprintf", "vfprintf", "strcpy", "strcat"}


def readelf(*args):
    return subprocess.run(["readelf", "-W", *args], check=True, capture_output=True, text=True).stdout


def weaknesses(path, kind, fortified=False, no_path=None):
    header, dynamic, segments = readelf("-h", path), readelf("-d", path), readelf("-l", path)
    symbols = [line.split() for line in readelf("--dyn-syms", path).splitlines()]
    symbols = [s for s in symbols if len(s) >= 8 and s[0].rstrip(":").isdigit()]
    if not re.search(r"Type:\s+DYN", header):
        yield "not position independent"
    if kind == "program" and "PIE" not in dynamic:
        yield "not linked with -pie"
    if not re.search(r"BIND_NOW|FLAGS_1.*NOW", dynamic):
        yield "symbols are bound lazily (-z now)"
    if "GNU_RELRO" not in segments:
        yield "no read-only relocations (-z relro)"
    stack = re.search(r"GNU_STACK.*", segments)
    if not stack or re.search(r"\bRWE\b", stack[0]):
        yield "the stack is executable"
    if re.search(r"LOAD.*\bRWE\b", segments):
        yield "a segment is writable and executable"
    if "TEXTREL" in dynamic:
        yield "text relocations"
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        yield "a library search path is built in"
    names = {s[7].split("@")[0] for s in symbols}
    if "__stack_chk_fail" not in names:
        yield "no stack protector"
    # What prints is always replaced by a checked form; a plugin that calls nothing of the kind has nothing to check.
    if fortified and names & PLAIN and not any(re.fullmatch(r"__\w+_chk", n) for n in names):
        yield "not fortified"
    if kind == "plugin":
        exports = sorted(s[7].split("@")[0] for s in symbols if s[6] != "UND" and s[4] in ("GLOBAL", "WEAK", "UNIQUE"))
        if exports != ["pbay_plugin_entry"]:
            yield "exports %s, wanted pbay_plugin_entry alone" % (exports or "nothing")
    if no_path:
        with open(path, "rb") as f:
            if no_path.encode() in f.read():
                yield "contains the path " + no_path


SOURCE = """
#include <string.h>
#include <stdio.h>
%s
int pbay_plugin_entry(const char *s);
int pbay_plugin_entry(const char *s) { char b[64]; strcpy(b, s); return printf("%%s", b) + __FILE__[0]; }
int extra(void);
EXPORT int extra(void) { return 1; }
%s
"""
GOOD = "-O2 -fPIC -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -Wl,-z,relro,-z,now,-z,noexecstack"
# What is changed, and a word of the complaint it must raise.
WEAK_PLUGINS = [
    ("-Wl,-z,lazy", "lazily"), ("-Wl,-z,norelro", "relro"), ("-Wl,-z,execstack", "executable"),
    ("-fno-stack-protector", "stack protector"), ("-U_FORTIFY_SOURCE", "fortified"),
    ("-Wl,-rpath,/tmp", "search path"), ("-DEXPORT=", "exports"), ("-DLEAK", "contains the path"),
]


def self_test(cc):
    with tempfile.TemporaryDirectory() as tmp:
        src, out = os.path.join(tmp, "x.c"), os.path.join(tmp, "x.so")

        def build(flags, main=""):
            with open(src, "w") as f:
                leak = '#ifdef LEAK\nconst char *leak(void);\nconst char *leak(void) { return "%s/x"; }\n#endif' % tmp
                f.write(SOURCE % (leak, main))
            hidden = ['-DEXPORT=__attribute__((visibility("hidden")))', "-ffile-prefix-map=%s=." % tmp]
            subprocess.run([cc, "-w", *hidden, *GOOD.split(), *flags, src, "-o", out], check=True)

        build(["-shared"])
        found = list(weaknesses(out, "plugin", True, tmp))
        if found:
            sys.exit("a good plugin is refused: %s" % found)
        for flag, word in WEAK_PLUGINS:
            build(["-shared", flag])
            found = list(weaknesses(out, "plugin", True, tmp))
            if not any(word in f for f in found):
                sys.exit("%s: wanted a complaint with '%s', got %s" % (flag, word, found))
        build(["-no-pie"], "int main(void) { return 0; }")
        if not any("independent" in f for f in weaknesses(out, "program")):
            sys.exit("a program without -pie is accepted")
    print("%d weaknesses planted, each found" % (len(WEAK_PLUGINS) + 1))


def main():
    if sys.argv[1:2] == ["--self-test"]:
        return self_test(sys.argv[2])
    p = argparse.ArgumentParser()
    p.add_argument("--kind", choices=("program", "plugin"), required=True)
    p.add_argument("--fortified", action="store_true")
    p.add_argument("--no-path")
    p.add_argument("files", nargs="+")
    a = p.parse_args()
    bad = ["%s: %s" % (f, w) for f in a.files for w in weaknesses(f, a.kind, a.fortified, a.no_path)]
    if bad:
        sys.exit("\n".join(bad))


if __name__ == "__main__":
    main()
