#!/bin/sh
# SPDX-License-Identifier: MIT
# check_header.sh CC CXX SDK HEADER: HEADER compiles alone, and twice, as pedantic C11 and as C++17.
set -eu
cc=$1 cxx=$2 sdk=$3 header=$4
text="#include $header
#include $header
extern int a_translation_unit_is_never_empty;"
flags="-Wall -Wextra -Wpedantic -Werror -Wundef -fsyntax-only -I$sdk/include -I$sdk"
printf '%s\n' "$text" | $cc -std=c11 -Wstrict-prototypes -Wmissing-prototypes -Wc++-compat $flags -x c -
printf '%s\n' "$text" | $cxx -std=c++17 $flags -x c++ -
