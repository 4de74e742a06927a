#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The plugin in sdk/README.md is the file sdk/examples/echo/plugin.c."""
import re
import sys

root = sys.argv[1]
guide = open(root + "/sdk/README.md", encoding="utf-8").read()
code = open(root + "/sdk/examples/echo/plugin.c", encoding="utf-8").read()
shown = re.findall(r"```c\n(.*?)```", guide, re.S)
if shown != [code]:
    sys.exit("sdk/README.md shows another plugin than sdk/examples/echo/plugin.c: copy it over")
