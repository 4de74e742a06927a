#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the documentation shows is what the program does: check_docs.py ROOT PATCHBAY; --write brings references up to date.

A comment on the line before a fenced block says what the block is:

    <!-- patchbay help config -->   the output of that command
    <!-- check: patchbay.ini -->    a configuration that `patchbay check` finds sound, beside the files shown so far
    <!-- file: transforms/x.lua --> a file below the folder of scripts; `*_test.lua` are run by `patchbay test`

Files and configurations of one page belong together. Links to files of the tree must lead somewhere."""
import os
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^<!-- (?P<what>[^>]+) -->\n```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.S | re.M)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def run(patchbay, *args, cwd=None):
    env = dict(os.environ, AWS_EC2_METADATA_DISABLED="true")
    return subprocess.run([patchbay, *args], capture_output=True, text=True, timeout=120, cwd=cwd, env=env,
                          stdin=subprocess.DEVNULL)


def pages(root):
    found = [os.path.join(root, n) for n in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    for folder, _, names in os.walk(os.path.join(root, "docs")):
        found += [os.path.join(folder, n) for n in names if n.endswith(".md")]
    return sorted(found)


def check_page(path, patchbay, write, faults):
    with open(path) as f:
        text = f.read()
    for link in LINK.findall(text):
        if not os.path.exists(os.path.join(os.path.dirname(path), link)):
            faults.append(f"{path}: the link {link} leads nowhere")
    fresh, copied, tests = "", 0, 0
    blocks = list(BLOCK.finditer(text))
    if len(blocks) != len(re.findall(r"^<!-- ", text, re.M)):
        faults.append(f"{path}: a comment without a block behind it")
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o700)
        for m in blocks:
            what, shown = m["what"], m["text"]
            if what.startswith("patchbay "):
                r = run(patchbay, *what.split()[1:])
                if r.returncode:
                    faults.append(f"{path}: `{what}`: exit code {r.returncode}: {r.stderr.strip()}")
                elif r.stdout != shown:
                    fresh += text[copied:m.start("text")] + r.stdout
                    copied = m.end("text")
                    if not write:
                        faults.append(f"{path}: the output of `{what}` is another now: run check_docs.py with --write")
            elif what.startswith("file: ") or what.startswith("check: "):
                name = os.path.join(d, what.split(": ", 1)[1])
                os.makedirs(os.path.dirname(name), exist_ok=True)
                with open(name, "w") as f:
                    f.write(shown)
                tests += name.endswith("_test.lua")
                if what.startswith("check: "):
                    r = run(patchbay, "check", "--config", name)
                    if r.returncode:
                        faults.append(f"{path}: {r.stderr.strip()}")
            else:
                faults.append(f"{path}: what is <!-- {what} -->?")
        if tests:
            r = run(patchbay, "test", "--scripts", d)
            if r.returncode or "\n0 passed" in r.stdout:
                faults.append(f"{path}: its specs fail:\n{r.stdout}{r.stderr}")
    if write and copied:
        with open(path, "w") as f:
            f.write(fresh + text[copied:])


def self_test(patchbay):
    """Each kind of fault, planted."""
    planted = {
        "nowhere.md": "leads nowhere",
        "<!-- patchbay version -->\n```text\nnothing\n```": "is another now",
        "<!-- patchbay help no-such-thing -->\n```text\n```": "exit code 2",
        "<!-- check: patchbay.ini -->\n```ini\n[lissten]\n```": "there is no section",
        "<!-- file: x_test.lua -->\n```lua\ntest('x', function() equal(1, 2) end)\n```": "specs fail",
        "<!-- fil: x -->\n```lua\n```": "what is",
        "<!-- patchbay version -->\nnothing": "without a block",
    }
    for text, wanted in planted.items():
        with tempfile.TemporaryDirectory() as d:
            page = os.path.join(d, "page.md")
            with open(page, "w") as f:
                f.write(f"[x]({text})\n" if text.endswith(".md") else text + "\n")
            faults = []
            check_page(page, patchbay, False, faults)
            if len(faults) != 1 or wanted not in faults[0]:
                sys.exit(f"self-test: {text!r} gives {faults!r}, not one fault with {wanted!r}")
    with tempfile.TemporaryDirectory() as d:
        page, block = os.path.join(d, "page.md"), "<!-- patchbay version -->\n```text\n%s```\n"
        with open(page, "w") as f:
            f.write("a\n" + block % "" + "b\n" + block % "old\n" + "c\n")
        check_page(page, patchbay, True, [])
        version = block % run(patchbay, "version").stdout
        with open(page) as f:
            if f.read() != f"a\n{version}b\n{version}c\n":
                sys.exit("self-test: --write does not put the output in its place and nowhere else")


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    root, patchbay = args
    self_test(patchbay)
    faults = []
    for path in pages(root):
        check_page(path, patchbay, "--write" in sys.argv, faults)
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main()
