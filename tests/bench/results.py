# SPDX-License-Identifier: MIT
"""RESULTS.md: one section per benchmark, replaced when it is measured again."""
import os
import platform
import re
import subprocess
import time

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "RESULTS.md")
HEAD = ("# What was measured\n\nWritten by `make bench`, a section per benchmark. Absolute figures belong to the machine "
        "and the day; the ratios\nare what counts.\n")


def machine():
    """One line: processor, cores, kernel, commit, day."""
    cpu = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"model name\s*:\s*(.+)", file.read())
        if found:
            cpu = found.group(1)
    here = os.path.dirname(PATH)
    commit = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True,
                            check=False).stdout.strip() or "no commit"
    return f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}, commit {commit}, {time.strftime('%Y-%m-%d')}"


def table(head, rows):
    """A Markdown table; the first column is text, the others stand to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def record(section, body, path=PATH):
    """Replaces the section of that name, or adds it at the end."""
    text = HEAD
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    parts = re.split(r"(?m)^## ", text)
    new = f"{section}\n\n{machine()}\n\n{body.strip()}\n"
    for i, part in enumerate(parts[1:], 1):
        if part.split("\n", 1)[0].strip() == section:
            parts[i] = new
            break
    else:
        parts.append(new)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n## ".join(part.rstrip("\n") + "\n" for part in parts))
