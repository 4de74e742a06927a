#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who includes what: fails when a file reaches past its room.

    check_rooms.py ROOT         checks host/, plugins/ and sdk/ below ROOT
    check_rooms.py --self-test  plants one breach of each rule and fails unless each is found
"""
import os
import re
import sys
import tempfile

ROOMS = "base loop data net guard script store plugin flow endpoints app".split()
PEERS = {"net", "guard", "script", "store"}  # these do not see each other
ABI_ROOMS = ROOMS[ROOMS.index("plugin"):]  # may include the service and extension headers of the SDK

# Third-party headers, and the rooms that may include them.
LIBRARIES = [
    (r"uv\.h|uv/.*", "libuv", {"loop", "net"}),
    (r"openssl/.*", "OpenSSL", {"net", "guard"}),
    (r"nghttp2/.*", "nghttp2", {"net"}),
    (r"curl/.*", "libcurl", {"net"}),
    (r"wslay/.*", "wslay", {"net"}),
    (r"zlib\.h|zconf\.h", "zlib", {"net"}),
    (r"lua\.h|lauxlib\.h|lualib\.h|luaconf\.h|lua5\.4/.*", "Lua", {"script"}),
    (r"sqlite3\.h|sqlite3ext\.h", "SQLite", {"store"}),
    (r"jansson\.h", "jansson", {"data", "endpoints", "app"}),
    (r"protobuf-c/.*|(.*/)?[a-z0-9_]+\.pb-c\.h", "protobuf-c", {"data"}),
]
# A plugin may bring libraries of its own, but the host has services for what these do.
PLUGIN_REFUSED = {"libuv", "OpenSSL", "nghttp2", "libcurl", "wslay"}

# Headers of the C library and the kernel that this project uses or may use.
C11 = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype""".split()
POSIX = """alloca byteswap dirent dlfcn elf endian err execinfo fcntl fnmatch getopt glob grp iconv ifaddrs langinfo
libgen link malloc netdb poll pthread pwd regex resolv sched search semaphore spawn strings sysexits syslog termios
ucontext unistd utime""".split()
LIBC = re.compile(r"(?:%s)\.h|(?:sys|linux|arpa|netinet|net|asm|bits)/.*\.h" % "|".join(C11 + POSIX))
# The SDK's headers cross into other people's compilers: the freestanding part of C alone.
ABI_LIBC = re.compile(r"(?:limits|stdalign|stdarg|stdbool|stddef|stdint|string)\.h")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', re.S)


def library(name):
    for pattern, title, rooms in LIBRARIES:
        if re.fullmatch(pattern, name):
            return title, rooms
    return None, set()


def includes(path):
    """(line, name, quoted) of each include; comments are blanked, their lines kept."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    text = COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), text)
    for m in INCLUDE.finditer(text):
        yield text.count("\n", 0, m.start()) + 1, m[1] or m[2], m[1] is not None


def check_host(room, name, quoted):
    first = name.split("/")[0]
    if name.startswith("patchbay/"):
        if name != "patchbay/types.h" and room not in ABI_ROOMS:
            return "of the SDK, rooms above host/plugin may include <patchbay/types.h> alone"
        return None if not quoted else "the SDK's headers are written <patchbay/...>"
    title, rooms = library(name)
    if title:
        return None if room in rooms else "%s stays in %s" % (title, ", ".join(sorted(rooms)))
    if not quoted:
        return None if LIBC.fullmatch(name) else "not a header of libc (or missing in the table of this check)"
    if first not in ROOMS:
        return 'rooms are written "room/file.h" from host/, and nothing else is quoted'
    if ROOMS.index(first) > ROOMS.index(room):
        return "%s stands below %s" % (first, room)
    if first != room and first in PEERS and room in PEERS:
        return "%s and %s do not see each other" % (room, first)
    return None


def check_recommender(name, quoted):
    first = name.split("/")[0]
    if quoted and first in ROOMS and ROOMS.index(first) > ROOMS.index("net"):
        return "a program beside the plugins may link host/base to host/net and sdk/kit"
    return None


def check_plugin(folder, path, name, quoted):
    title, _ = library(name)
    if title in PLUGIN_REFUSED:
        return "a plugin takes what %s does from the host's services" % title
    if quoted and not name.startswith("kit/"):
        for base in (os.path.dirname(path), folder):
            target = os.path.realpath(os.path.join(base, name))
            if os.path.exists(target):
                inside = target.startswith(os.path.realpath(folder) + os.sep)
                return None if inside else "outside the plugin's own folder"
        return 'a plugin includes <patchbay/...>, "kit/...", its own files and libraries of its own'
    return None


def check_kit(name, quoted):
    if name.startswith(("kit/", "patchbay/")) and quoted == name.startswith("kit/"):
        return None
    return None if not quoted and LIBC.fullmatch(name) else 'the kit includes <patchbay/...>, "kit/..." and libc'


def check_abi(name, quoted):
    ok = not quoted and (name.startswith("patchbay/") or ABI_LIBC.fullmatch(name))
    return None if ok else "the SDK's headers include each other and freestanding C headers"


def verdict(root, path):
    parts = os.path.relpath(path, root).split(os.sep)
    for line, name, quoted in includes(path):
        why = None
        if parts[0] == "host" and parts[1] in ROOMS:
            why = check_host(parts[1], name, quoted)
        elif parts[0] == "plugins" and parts[1:3] == ["snowflake", "recommender"]:
            why = check_recommender(name, quoted)
        elif parts[0] == "plugins" and "tests" not in parts:
            why = check_plugin(os.path.join(root, *parts[:2]), path, name, quoted)
        elif parts[:2] == ["sdk", "include"]:
            why = check_abi(name, quoted)
        elif parts[:2] == ["sdk", "kit"]:
            why = check_kit(name, quoted)
        elif parts[0] == "sdk" and len(parts) > 3:
            why = check_plugin(os.path.join(root, *parts[:3]), path, name, quoted)
        if why:
            yield "%s:%d: %s: %s" % (os.path.join(*parts), line, name, why)


def check(root):
    breaches, files = [], 0
    for top in ("host", "plugins", "sdk"):
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".c", ".h", ".cc", ".cpp", ".hpp")):
                    files += 1
                    breaches += verdict(root, os.path.join(folder, name))
    return breaches, files


FINE = {
    "host/base/buf.h": "#include <stddef.h>\n#include <patchbay/types.h>\n",
    "host/data/batch.c": '#include "data/batch.h"\n#include "base/buf.h"\n#include <jansson.h>\n#include "sse.pb-c.h"\n',
    "host/data/batch.h": '/* #include "app/main.h" */\n// #include <uv.h>\n#include <sys/mman.h>\n',
    "host/net/tls.c": '#include <openssl/ssl.h>\n#include <uv.h>\n#include "loop/loop.h"\n',
    "host/plugin/loader.c": "#include <patchbay/plugin.h>\n#include <dlfcn.h>\n",
    "host/app/main.c": '#include "endpoints/sse.h"\n',
    "plugins/a/plugin.c": '#include <patchbay/plugin.h>\n#include "kit/sigv4.h"\n#include "own.h"\n#include <jansson.h>\n',
    "plugins/a/own.h": "#include <libpq-fe.h>\n",
    "sdk/kit/sigv4.h": '#include <patchbay/types.h>\n#include "kit/hex.h"\n#include <string.h>\n',
    "sdk/include/patchbay/types.h": "#include <stdint.h>\n",
    "sdk/examples/e/plugin.c": "#include <patchbay/plugin.h>\n",
}
PLANTED = {
    "host/base/x.c": '#include "loop/loop.h"',
    "host/data/x.c": '#include "net/http1.h"',
    "host/net/x.c": '#include "guard/jwt.h"',
    "host/store/x.h": '#  include "script/state.h"',
    "host/flow/x.c": '#include "endpoints/sse.h"',
    "host/flow/y.c": '#include "y.h"',
    "host/script/x.c": "#include <patchbay/plugin.h>",
    "host/store/y.c": "#include <uv.h>",
    "host/endpoints/x.c": "#include <nghttp2/nghttp2.h>",
    "host/app/x.c": "#include <sqlite3.h>",
    "host/flow/z.c": "#include <jansson.h>",
    "host/net/y.c": '#include "sse.pb-c.h"',
    "host/base/y.c": "#include <glib.h>",
    "host/app/y.c": '#include "kit/sigv4.h"',
    "plugins/a/x.c": '#include "base/buf.h"',
    "plugins/a/y.c": '#include "../../host/base/buf.h"',
    "plugins/a/z.c": "#include <curl/curl.h>",
    "plugins/b/x.c": '#include "../a/own.h"',
    "plugins/b/y.c": "#include <openssl/evp.h>",
    "plugins/snowflake/recommender/x.c": '#include "flow/call.h"',
    "sdk/kit/x.c": '#include "base/buf.h"',
    "sdk/include/patchbay/x.h": "#include <unistd.h>",
    "sdk/examples/e/x.c": "#include <uv.h>",
}


def plant(root, files):
    for name, text in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)


def self_test():
    with tempfile.TemporaryDirectory() as root:
        plant(root, FINE)
        found, files = check(root)
        if found or files != len(FINE):
            sys.exit("a clean tree is refused:\n" + "\n".join(found))
        for name, text in PLANTED.items():
            plant(root, {name: "/* first line */\n" + text + "\n"})
            found, _ = check(root)
            if len(found) != 1 or not found[0].startswith(name + ":2: "):
                sys.exit("%s with %s: found %s" % (name, text, found))
            os.remove(os.path.join(root, name))
    print("%d breaches planted, each found" % len(PLANTED))


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not os.path.isdir(os.path.join(sys.argv[1], "host", "base")):
        sys.exit("no host/base below " + sys.argv[1])
    breaches, files = check(sys.argv[1])
    if breaches:
        sys.exit("\n".join(breaches))
    print("%d files keep to their rooms" % files)


if __name__ == "__main__":
    main()
