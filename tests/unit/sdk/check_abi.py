#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The ABI of the headers against that of 1.0: check_abi.py CC ABIDW ABIDIFF ROOT.

sdk/abi/patchbay-1.0.abi is the dump of 1.0 (libabigail) and never changes. What abidiff finds may only be
structs that got longer: each begins with the members of 1.0, and those that are passed whole or stand inside of others stay.
A constant of 1.0 that has another value now, or is gone, is a breach as well, and so is an inline function that is declared
otherwise: they stand in no dump, but in sources. Changes of each kind are planted first, in copies
of the headers."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

CC, ABIDW, ABIDIFF, ROOT = sys.argv[-4:]
ABI = os.path.join(ROOT, "sdk/abi")
FROZEN = os.path.join(ROOT, "tests/unit/sdk/frozen_1_0/include/patchbay")
# Passed whole, or members of others: they have neither a size that tells nor a stride.
WHOLE = {"pbay_str", "pbay_result", "pbay_header", "pbay_row_error", "pbay_field", "pbay_option_table"}
# (header, text, what stands in its place, may it?)
PLANTED = [
    ("host_log.h", "} pbay_log_1;", "    void (*more)(void);\n} pbay_log_1;", True),
    ("routes.h", "} pbay_route;", "    uint64_t more;\n} pbay_route;", True),
    ("host_log.h", "} pbay_log_1;", "    int odd : 3;\n} pbay_log_1;", True),
    ("types.h", "} pbay_result;", "    uint64_t more;\n} pbay_result;", False),
    ("types.h", "} pbay_option_table;", "    uint64_t more;\n} pbay_option_table;", False),
    ("host_kv.h", "    void (*get)(const pbay_host *host,", "    void (*list)(void);\n    void (*get)(const pbay_host *host,", False),
    ("host_timer.h", "int64_t (*now_ms)(void);", "int64_t (*now_ms)(int zone);", False),
    ("functions.h", "    uint32_t max_rows; ", "    uint64_t max_rows; ", False),
    ("host_http.h", "    void (*cancel)(pbay_http exchange);\n", "", False),
    ("host_work.h", "void (*done)(void *user, int cancelled)", "void (*done)(void *user, uint32_t slot, int cancelled)", False),
    ("routes.h", "#define PBAY_BODY_RAW     1u", "#define PBAY_BODY_RAW     2u", False),
    ("routes.h", "#define PBAY_AUTH_EITHER", "#define PBAY_AUTH_ANY", False),
    ("types.h", "pbay_fail(pbay_result *why, int32_t code, const char *text)", "pbay_fail(pbay_result *why, const char *text, int32_t code)", False),
    ("types.h", "static inline int pbay_cell_null(", "static inline int pbay_is_null(", False),
    ("types.h", "static inline int pbay_cell_null(", "static inline int pbay_more(void)\n{\n    return 1;\n}\nstatic inline int pbay_cell_null(", True),
]


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def dump(include, folder):
    so, out = os.path.join(folder, "every.so"), os.path.join(folder, "now.abi")
    done = run(CC, "-std=c11", "-g", "-O0", "-shared", "-fPIC", "-fvisibility=hidden", "-ffile-prefix-map=%s=." % ROOT, "-I", include,
               os.path.join(ABI, "every.c"), "-o", so)
    if done.returncode == 0:
        done = run(ABIDW, "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-architecture", "--no-elf-needed",
                   "--out-file", out, so)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return out


def constants(folder):
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.h"))):
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/", "", f.read().replace("\\\n", ""), flags=re.S)
        for name, value in re.findall(r"^#define (PBAY_\w+)[ \t]+(.+?)[ \t]*$", text, re.M):
            found[name] = " ".join(value.split())
    return found


def inlines(folder):
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.h"))):
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        for declared, name in re.findall(r"^static inline ([^{;]*?\b(pbay_\w+)\([^{;]*\))\s*\{", text, re.M):
            found[name] = " ".join(declared.split())
    return found


class Dump:
    """The types of a dump, each with what it is made of, in words."""

    def __init__(self, path):
        self.by_id = {}
        for e in xml.etree.ElementTree.parse(path).getroot().iter():
            if "id" in e.attrib:
                self.by_id[e.get("id")] = e
        self.structs = {e.get("name"): [(m.get("layout-offset-in-bits"), m[0].get("name"), self.words(m[0].get("type-id")))
                                        for m in e.findall("data-member")] for e in self.of("class-decl")}
        self.sizes = {e.get("name"): e.get("size-in-bits") for e in self.of("class-decl")}
        self.names = {e.get("name"): self.words(e.get("type-id")) for e in self.of("typedef-decl")}

    def of(self, tag):
        return [e for e in self.by_id.values() if e.tag == tag]

    def words(self, type_id):
        e = self.by_id[type_id]
        if e.tag in ("type-decl", "typedef-decl", "class-decl", "enum-decl"):
            return e.get("name")
        if e.tag == "function-type":
            return "%s(%s)" % (self.words(e.find("return").get("type-id")),
                               ", ".join(self.words(p.get("type-id")) for p in e.findall("parameter")))
        if e.tag == "array-type-def":
            return "%s[%s]" % (self.words(e.get("type-id")), e.get("dimensions") + ":" + e.get("size-in-bits"))
        kind = {"pointer-type-def": "*", "qualified-type-def": " const"}[e.tag]
        return self.words(e.get("type-id")) + kind


def not_growth(old, new):
    """What differs between two dumps and is not a struct that got longer at its end."""
    for name, members in old.structs.items():
        now = new.structs.get(name)
        if now is None:
            yield f"{name} is gone"
        elif name != "pbay_every" and now[:len(members)] != members:
            yield f"{name} does not begin as it did: {sorted(set(members) - set(now))}"
        elif name in WHOLE and (now != members or new.sizes[name] != old.sizes[name]):
            yield f"{name} is longer, and is passed whole or stands inside of others"
    for name, target in old.names.items():
        if new.names.get(name) != target:
            yield f"{name} was {target} and is {new.names.get(name, 'gone')}"


def breaches(include, folder):
    """What is not as it was in 1.0, in words; empty: nothing."""
    said = []
    old, new = os.path.join(ABI, "patchbay-1.0.abi"), dump(include, folder)
    done = run(ABIDIFF, "--no-architecture", old, new)
    if done.returncode & 3:  # the program's own failure
        sys.exit(done.stdout + done.stderr)
    was, is_ = Dump(old), Dump(new)
    said += not_growth(was, is_)
    if done.returncode and (said or all(len(is_.structs[n]) == len(m) for n, m in was.structs.items())):
        said.append(done.stdout)
    now = constants(os.path.join(include, "patchbay"))
    for name, value in constants(FROZEN).items():
        if now.get(name) != value and name != "PBAY_ABI_MINOR":
            said.append(f"{name} was {value} in 1.0 and is {now.get(name, 'gone')}")
    now = inlines(os.path.join(include, "patchbay"))
    for name, declared in inlines(FROZEN).items():
        if now.get(name) != declared:
            said.append(f"{declared} of 1.0 is {now.get(name, 'gone')}")
    return "\n".join(said)


def self_test(include):
    for header, old, new, may in PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "include")
            shutil.copytree(include, copy)
            path = os.path.join(copy, "patchbay", header)
            with open(path, encoding="utf-8") as f:
                text = f.read()
            if old not in text:
                sys.exit(f"self-test: {header} has no {old!r}")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text.replace(old, new))
            said = breaches(copy, folder)
            if (said == "") != may:
                sys.exit(f"self-test: {header}, {new!r} for {old!r}: {'refused: ' + said if may else 'not found'}")


def main():
    if not (os.path.exists(ABIDW) and os.path.exists(ABIDIFF)):
        print("abidw and abidiff are not here (apt: abigail-tools)")
        sys.exit(77)
    include = os.path.join(ROOT, "sdk/include")
    with open(os.path.join(ABI, "every.c"), encoding="utf-8") as f:
        listed = set(re.findall(r"^    const (\w+) \*", f.read(), re.M))
    there = set()
    for path in glob.glob(os.path.join(include, "patchbay", "*.h")):
        if os.path.basename(path) == "mockhost.h":  # a library for tests, not what plugins and hosts say to each other
            continue
        with open(path, encoding="utf-8") as f:
            there |= set(re.findall(r"^(?:typedef )?struct (\w+) \{", f.read(), re.M))
    if there != listed:
        sys.exit(f"sdk/abi/every.c: add at its end, or take away: {sorted(there ^ listed)}")
    with open(os.path.join(ROOT, "tests/unit/plugin/test_layout.c"), encoding="utf-8") as f:
        asserted = set(re.findall(r"^SIZE\((\w+),", f.read(), re.M))
    if not there <= asserted:
        sys.exit(f"tests/unit/plugin/test_layout.c asserts nothing of {sorted(there - asserted)}")
    with tempfile.TemporaryDirectory() as folder:
        said = breaches(include, folder)
        if said:
            sys.exit(said + "\nThis breaks plugins built for 1.0: see \"What may change\" in sdk/README.md.")
    self_test(include)
    print(f"{len(there)} structs and {len(constants(FROZEN))} constants as in 1.0; {len(PLANTED)} changes planted, each judged right")


main()
