#!/bin/sh
# SPDX-License-Identifier: MIT
# check_install.sh CMAKE BUILD EXAMPLE CC PYTHON CHECK_BINARY
# Installs BUILD into a fresh prefix, copies the plugin folder EXAMPLE out of the tree and builds it against that
# prefix alone: by find_package, then by pkg-config. Both results must be plugins as the host wants them.
set -eu
cmake=$1 build=$2 example=$3 cc=$4 python=$5 check=$6
name=$(basename "$example")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$cmake" --install "$build" --prefix "$tmp/prefix" > "$tmp/install.log" || { cat "$tmp/install.log"; exit 1; }
for wanted in bin/patchbay include/patchbay/plugin.h share/patchbay/scripts lib/systemd/system/patchbay.service \
    lib/systemd/system/patchbay-sse.socket lib/systemd/system/patchbay-http.socket; do
    [ -e "$tmp/prefix/$wanted" ] || { echo "not installed: $wanted"; exit 1; }
done
cp -r "$example" "$tmp/$name"

# 1. find_package. A version that is not there must be refused, or the version file says nothing.
cat > "$tmp/CMakeLists.txt" << EOF
cmake_minimum_required(VERSION 3.25)
project(outside LANGUAGES C)
find_package(Patchbay 99 QUIET)
if(Patchbay_FOUND)
  message(FATAL_ERROR "version 99 was found")
endif()
find_package(Patchbay 0.1 REQUIRED)
set(PBAY_PLUGIN_OUTPUT_DIR \${CMAKE_BINARY_DIR})
add_subdirectory($name)
EOF
"$cmake" -S "$tmp" -B "$tmp/b" -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$tmp/prefix" > "$tmp/cmake.log" 2>&1 || { cat "$tmp/cmake.log"; exit 1; }
"$cmake" --build "$tmp/b" > "$tmp/build.log" 2>&1 || { cat "$tmp/build.log"; exit 1; }

# 2. pkg-config
pc=$(find "$tmp/prefix" -name patchbay-sdk.pc)
[ -n "$pc" ] || { echo "not installed: patchbay-sdk.pc"; exit 1; }
pc() { PKG_CONFIG_PATH=$(dirname "$pc") pkg-config "$@" patchbay-sdk; }
[ "$(pc --variable=abi_major)" = 1 ] || { echo "patchbay-sdk.pc: abi_major"; exit 1; }
[ -d "$(pc --variable=plugindir)" ] || { echo "patchbay-sdk.pc: plugindir $(pc --variable=plugindir)"; exit 1; }
mkdir "$tmp/pc"
# shellcheck disable=SC2046
$cc -O2 -fPIC -fstack-protector-strong -fvisibility=hidden -D_GNU_SOURCE -shared $(pc --cflags) -I"$tmp/$name" \
    "$tmp/$name"/*.c -o "$tmp/pc/$name.so" -Wl,-z,relro,-z,now,-z,defs \
    -Wl,--version-script,"$(pc --variable=version_script)" $(pc --libs) \
    -Wl,--as-needed $(pkg-config --libs jansson) -lm

"$python" "$check" --kind plugin "$tmp/b/$name.so" "$tmp/pc/$name.so"
