#!/bin/sh
# SPDX-License-Identifier: MIT
# check_header.sh CC CXX SDK HEADER   HEADER compiles alone, and twice, as pedantic C11 and as C++17
# check_header.sh --self-test CC CXX  plants headers that are wrong in one of them and fails unless each is refused
set -eu

compiles() { # CC CXX SDK HEADER
    text="#include $4
#include $4
extern int a_translation_unit_is_never_empty;"
    flags="-Wall -Wextra -Wpedantic -Werror -Wundef -fsyntax-only -I$3/include -I$3"
    # shellcheck disable=SC2086
    printf '%s\n' "$text" | $1 -std=c11 -Wstrict-prototypes -Wmissing-prototypes $flags -x c - &&
        printf '%s\n' "$text" | $2 -std=c++17 $flags -x c++ -
}

if [ "$1" != --self-test ]; then
    compiles "$@"
    exit
fi
sdk=$(mktemp -d)
trap 'rm -rf "$sdk"' EXIT
mkdir "$sdk/include"
try() { # WANTED TEXT
    printf '%b\n' "$2" > "$sdk/include/x.h"
    if compiles "$cc" "$cxx" "$sdk" '<x.h>' 2> "$sdk/errors"; then got=accepted; else got=refused; fi
    [ $got = "$1" ] || { echo "$got, wanted $1: $2"; cat "$sdk/errors"; exit 1; }
}
cc=$2 cxx=$3
try accepted '#pragma once\n#include <stddef.h>\nstruct a { size_t n; };'
try refused '#pragma once\nstruct a { size_t n; };'
try refused 'struct a { int n; };'
try refused '#pragma once\nvoid f();'
try refused '#pragma once\nstruct a { int class; };'
try refused '#pragma once\nstatic inline int *f(void *p) { return p; }'
echo "5 faults planted, each found"
