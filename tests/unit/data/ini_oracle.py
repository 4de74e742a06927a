# SPDX-License-Identifier: MIT
"""What Python's configparser makes of many texts: IN holds each as "LENGTH\\n" and its bytes; OUT gets a dump of each.

A dump is "error", or a line per section and entry with names and values in hex, then "end".
"""
import configparser
import io
import sys


def dump(data):
    cp = configparser.ConfigParser(interpolation=None)
    try:
        cp.read_file(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig"))
    except (configparser.Error, UnicodeDecodeError):
        return "error\n"
    out = []
    hexed = lambda s: s.encode("utf-8", "surrogatepass").hex()
    if cp._defaults:
        out.append("section " + hexed("DEFAULT"))
        out += ["%s=%s" % (hexed(k), hexed(v)) for k, v in cp._defaults.items()]
    for name in cp.sections():
        out.append("section " + hexed(name))
        out += ["%s=%s" % (hexed(k), hexed(v)) for k, v in cp._sections[name].items()]
    return "\n".join(out + ["end", ""])


def main():
    src, dst = sys.argv[1:]
    with open(src, "rb") as f, open(dst, "w", encoding="ascii") as out:
        while line := f.readline():
            out.write(dump(f.read(int(line))))


main()
