#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The plugin in sdk/README.md is the file sdk/examples/echo/plugin.c, and the mock host has what its test calls."""
import re
import sys

root = sys.argv[1]
guide = open(root + "/sdk/README.md", encoding="utf-8").read()
code = open(root + "/sdk/examples/echo/plugin.c", encoding="utf-8").read()
shown = re.findall(r"```c\n(.*?)```", guide, re.S)
if code not in shown:
    sys.exit("sdk/README.md shows another plugin than sdk/examples/echo/plugin.c: copy it over")
mock = open(root + "/sdk/include/patchbay/mockhost.h", encoding="utf-8").read()
declared = set(re.findall(r"\b(pbay_mock_\w+)\(", re.sub(r"/\*.*?\*/", "", mock, flags=re.S)))
called = set(re.findall(r"\b(pbay_mock_\w+)\(", guide))
if not called or called - declared:
    sys.exit("sdk/README.md calls what patchbay/mockhost.h does not declare: %s" % ", ".join(sorted(called - declared)))
