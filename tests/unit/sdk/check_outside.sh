#!/bin/sh
# SPDX-License-Identifier: MIT
# check_outside.sh CMAKE BUILD EXAMPLES NAME...
# Each example's folder, copied out of the tree, builds against an installed SDK and passes the installed kit with the
# configuration that lies beside it.
set -eu
cmake=$1 build=$2 examples=$3
shift 3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 700 "$tmp"
"$cmake" --install "$build" --prefix "$tmp/prefix" > "$tmp/log" || { cat "$tmp/log"; exit 1; }
clean() { (cd "$tmp" && env -i HOME="$tmp" PATH="$tmp/prefix/bin:/usr/bin:/bin" LC_ALL=C.UTF-8 "$@"); }
for name in "$@"; do
    cp -r "$examples/$name" "$tmp/$name"
    {
        clean "$cmake" -S "$name" -B "$name/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS=-Werror -DCMAKE_CXX_FLAGS=-Werror &&
            clean "$cmake" --build "$name/build" &&
            clean patchbay-check --config "$name/check.ini" "$name/build/$name.so"
    } > "$tmp/log" 2>&1 || { cat "$tmp/log"; echo "example $name: not outside of the tree"; exit 1; }
done
