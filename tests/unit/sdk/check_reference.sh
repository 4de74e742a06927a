#!/bin/sh
# SPDX-License-Identifier: MIT
# check_reference.sh PYTHON ROOT: docs/reference-sdk.md is what the headers say. A header that says something else, a function that
# is not on the page and a shape that the script does not know are planted first, and must be found.
set -eu
python=$1 root=$2
"$python" "$root/sdk/reference.py" "$root"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
plant() { # FILE SED-EXPRESSION WANTED
    rm -rf "$tmp/tree"
    mkdir -p "$tmp/tree/sdk/include" "$tmp/tree/docs"
    cp -r "$root/sdk/include/patchbay" "$tmp/tree/sdk/include/"
    cp "$root/docs/reference-sdk.md" "$tmp/tree/docs/"
    "$python" "$root/sdk/reference.py" "$tmp/tree"
    sed -i "$2" "$tmp/tree/sdk/include/patchbay/$1"
    if "$python" "$root/sdk/reference.py" "$tmp/tree" 2> "$tmp/said"; then echo "not found: $2"; exit 1; fi
    grep -q "$3" "$tmp/said" || { cat "$tmp/said"; exit 1; }
}
plant host_kv.h 's/An empty value deletes/An empty value stays/' 'not what the headers say'
plant host_log.h 's/^} pbay_log_1;/    void (*more)(void);\n} pbay_log_1;/' 'not what the headers say'
plant health.h 's/^#define PBAY_UP .*/union odd { int a; };/' 'what is'
echo "up to date; 3 faults planted, each found"
