#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/reference-sdk.md out of the headers: reference.py ROOT says whether it is up to date, --write brings it there.

The headers are the documentation; this only turns them into a page. It knows the shapes that they are written in, and fails at
anything else rather than leave it out."""
import os
import re
import sys

HEADERS = """types plugin functions actions events routes commands secrets health host_batch host_call host_http host_ws host_stream
host_crypto host_invoke host_work host_event host_job host_limit host_kv host_chain host_timer host_secret host_metric host_log mockhost""".split()
HEAD = """# The SDK's reference

Made from the comments of `sdk/include/patchbay/*.h` by `sdk/reference.py --write`: change those. How to begin is in
[the guide](../sdk/README.md).

"""
COMMENT = re.compile(r"/\*.*?\*/", re.S)
ITEM = re.compile(r"""\s*(?:
    (?P<comment>/\*.*?\*/)
  | \#define[ ](?P<define>\w+)[ \t]*(?P<value>(?:\\\n|[^\n/]|/(?!\*))*)(?P<after>/\*.*?\*/)?
  | (?P<pre>\#[^\n]*|extern[ ]"C"[ ]\{|\})(?=\n)
  | typedef[ ]struct[ ](?P<struct>\w+)[ ]\{(?P<body>.*?)\n\}[ ]\w+;
  | struct[ ](?P<plain>\w+)[ ]\{(?P<plain_body>.*?)\n\};
  | typedef[ ](?P<typedef>[^{}]*?);(?P<said>[ ]+/\*.*?\*/)?
  | (?P<inline>static[ ]inline[^{]*?)\n\{.*?\n\}
  | (?P<function>[A-Za-z][^{};]*\([^{};]*\);)(?P<aside>[ ]+/\*.*?\*/)?
)""", re.S | re.X)


def words(comment):
    """The text of a comment, without its stars."""
    lines = comment.strip()[2:-2].split("\n")
    return "\n".join(re.sub(r"^\s*\* ?", "", line) if i else line.strip() for i, line in enumerate(lines)).strip("\n ")


def escape(text):
    parts = text.split("`")
    return "`".join(p if i % 2 else p.replace("*", "\\*").replace("<", "&lt;") for i, p in enumerate(parts))


def markdown(text):
    """Paragraphs; what is indented stays as it is."""
    out, code = [], []
    for line in text.split("\n") + [None]:
        if line is not None and (line.startswith("  ") or code and not line.strip()):
            code.append(line)
            continue
        if code:
            while not code[-1].strip():
                code.pop()
            cut = min(len(c) - len(c.lstrip()) for c in code if c.strip())
            c_like = any(c.rstrip().endswith((";", "{", "}")) for c in code)
            out += ["", "```c" if c_like else "```text", *(c[cut:] for c in code), "```", ""]
            code = []
        if line is not None:
            out.append(escape(line))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip("\n")


def plain(declaration):
    """A member that points to a function, as a function: `void (*end)(int x)` is `void end(int x)`."""
    return re.sub(r"\(\*(\w+)\)\(", r"\1(", re.sub(r"\s+", " ", declaration.strip()), count=1)


def members(body):
    """[(comment, [(declaration, comment behind it)])]: a comment belongs to what follows it without a blank line."""
    groups, at, fresh = [], 0, True
    for m in re.finditer(r"(?P<comment>/\*.*?\*/)|(?P<blank>\n[ \t]*\n)|(?P<decl>[^;/]+?;)(?P<after>[ \t]*/\*.*?\*/)?|(?P<rest>\S)", body, re.S):
        if m["comment"]:
            groups.append((words(m["comment"]), []))
            fresh = False
        elif m["blank"]:
            fresh = True
        elif m["decl"]:
            after = words(m["after"]) if m["after"] else ""
            if fresh or not groups:
                groups.append(("", []))
                fresh = False
            groups[-1][1].append((m["decl"], after))
        else:
            sys.exit(f"reference.py: what is {body[m.start():m.start() + 60]!r}?")
        at = m.end()
    if body[at:].strip():
        sys.exit(f"reference.py: what is {body[at:at + 60]!r}?")
    return groups


def struct(name, body, said):
    out = [f"### `{name}`", ""] + ([markdown(said), ""] if said else [])
    for comment, decls in members(body):
        if comment.startswith("---"):
            out += [f"#### {escape(comment.strip('- '))}", ""]
            continue
        runs = []  # data members, functions, and each function that has something said behind it
        for d, after in decls:
            call = "(*" in d
            if not runs or runs[-1][0] != call or call and (after or runs[-1][1][-1][1]):
                runs.append((call, []))
            runs[-1][1].append((d, after))
        for call, run in runs or [(False, [])]:
            about, comment = comment, ""
            if call:
                about = about or run[0][1]
                out += ["```c", *(plain(d) for d, _ in run), "```", ""] + ([markdown(about), ""] if about else [])
                continue
            out += [markdown(about), ""] if about else []
            for d, after in run:
                if not re.search(r"\breserved2?\b", d):
                    out.append(f"- `{plain(d).rstrip(';')}`" + (f": {escape(' '.join(after.split()))}" if after else ""))
            out.append("")
    return "\n".join(out)


def header(root, name):
    with open(os.path.join(root, f"sdk/include/patchbay/{name}.h"), encoding="utf-8") as f:
        text = f.read()
    out, said, first, at, constants = [f"## `patchbay/{name}.h`", ""], "", True, 0, []

    def flush():
        if constants:
            out.extend(["| Constant | Value | |", "|---|---|---|", *constants, ""])
            constants.clear()

    text = text.split("\n", 1)[1]  # behind the licence
    while text[at:].strip():
        m = ITEM.match(text, at)
        if not m:
            sys.exit(f"reference.py: {name}.h: what is {text[at:].strip()[:80]!r}?")
        blank = "\n\n" in text[at:m.start(m.lastgroup)]
        at = m.end()
        if m["define"] is None and (m["struct"] or m["plain"] or m["typedef"] or m["inline"] or m["function"]):
            flush()
        if m["comment"]:
            if said and not first:
                flush()
                out += [markdown(said), ""]
            said = words(m["comment"])
            if first:
                out += [markdown(said), ""]
                said, first = "", False
            elif re.match(r"-{10}", said):
                flush()
                out += [f"### {said.strip('- ').capitalize()}", ""]
                said = ""
        elif m["define"]:
            if m["value"].strip() and not m["define"].endswith(")") and not m["value"].startswith("__attr"):
                if "{" in m["value"]:
                    flush()
                    out += [f"### `{m['define']}`", ""] + ([markdown(said), ""] if said else [])
                else:
                    if blank or said:
                        flush()
                    if said and (m["after"] or text.startswith("\n#define", at)):  # of all that follow
                        out += [markdown(said), ""]
                        said = ""
                    about = words(m["after"]) if m["after"] else said
                    constants.append(f"| `{m['define']}` | `{m['value'].strip()}` | {escape(' '.join(about.split())).replace('|', chr(92) + '|')} |")
                said = ""
        elif m["struct"] or m["plain"]:
            out += [struct(m["struct"] or m["plain"], m["body"] or m["plain_body"], said), ""]
            said = ""
        elif m["typedef"] or m["inline"] or m["function"]:
            code = m["inline"] or m["function"] or "typedef " + m["typedef"] + ";"
            about = said or (words(m["said"] or m["aside"]) if m["said"] or m["aside"] else "")
            out += ["```c", re.sub(r"\s+", " ", code.replace("static inline ", "")).rstrip(";") + ";", "```", ""] + ([markdown(about), ""] if about else [])
            said = ""
    flush()
    if said:
        out += [markdown(said), ""]
    return "\n".join(out)


def main():
    write = "--write" in sys.argv
    root = [a for a in sys.argv[1:] if not a.startswith("--")][0]
    there = {n[:-2] for n in os.listdir(os.path.join(root, "sdk/include/patchbay"))}
    if there != set(HEADERS):
        sys.exit(f"reference.py: headers that are not listed, or not there: {sorted(there ^ set(HEADERS))}")
    page = HEAD + "\n".join(header(root, name) for name in HEADERS)
    page = re.sub(r"\n{3,}", "\n\n", page).strip("\n") + "\n"
    path = os.path.join(root, "docs/reference-sdk.md")
    old = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
    if write:
        with open(path, "w", encoding="utf-8") as f:
            f.write(page)
    elif page != old:
        sys.exit("docs/reference-sdk.md is not what the headers say: run sdk/reference.py . --write")


main()
