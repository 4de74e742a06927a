#!/bin/sh
# SPDX-License-Identifier: MIT
# check_new_plugin.sh CMAKE BUILD CC
# The guide's ten minutes: BUILD is installed into a fresh prefix, `patchbay new-plugin` of it begins a plugin, which is built and
# tested with nothing but that prefix in its environment.
set -eu
umask 022
cmake=$1 build=$2 cc=$3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 700 "$tmp"
"$cmake" --install "$build" --prefix "$tmp/prefix" > "$tmp/log" || { cat "$tmp/log"; exit 1; }
clean() { (cd "$tmp" && env -i HOME="$tmp" PATH="$tmp/prefix/bin:/usr/bin:/bin" LC_ALL=C.UTF-8 AWS_EC2_METADATA_DISABLED=true "$@"); }

clean patchbay new-plugin weather
if clean patchbay new-plugin weather 2> "$tmp/said"; then echo "it wrote over what was there"; exit 1; fi
grep -q "already" "$tmp/said"
for bad in Weather 1st we-ather sagemaker run install ""; do
    if clean patchbay new-plugin "$bad" 2> "$tmp/said"; then echo "new-plugin $bad: accepted"; exit 1; fi
    [ ! -e "$tmp/$bad" ] || [ -z "$bad" ] || { echo "new-plugin $bad: wrote something"; exit 1; }
done
if grep -rn "@name@" "$tmp/weather"; then echo "a name was left open"; exit 1; fi
clean patchbay new-plugin --dir other rain
# What a group may write, no gateway loads: it says so before anything is built there.
(umask 002 && mkdir "$tmp/shared" && clean patchbay new-plugin --dir shared/unit unit > "$tmp/said" 2> "$tmp/warned")
grep -q "^    umask 022" "$tmp/said"
grep -q "/shared: this directory is writable by its group" "$tmp/warned"
chmod go-w "$tmp/shared"

for name in weather other shared/unit; do
    {
        clean "$cmake" -S "$name" -B "$name/build" -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS=-Werror \
            -DCMAKE_PREFIX_PATH="$tmp/prefix" &&
            clean "$cmake" --build "$name/build" &&
            clean "$(dirname "$cmake")/ctest" --test-dir "$name/build" --output-on-failure
    } > "$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    grep -q "unit .*Passed" "$tmp/log" || { cat "$tmp/log"; echo "$name: no unit test"; exit 1; }
done
# The same unit test, built as pkg-config says; in a plugin that leaks a builder it says so.
pc=$(dirname "$(find "$tmp/prefix" -name patchbay-mockhost.pc)")
# shellcheck disable=SC2046
clean "$cc" -Wall -Wextra -Werror weather/unit.c -o weather/unit $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs patchbay-mockhost)
clean weather/unit weather/build/plugins/weather.so > "$tmp/said"
sed -i 's/complete(call, &ok, out)/complete(call, \&ok, x->batch->create(x->host))/' "$tmp/weather/plugin.c"
clean "$cmake" --build weather/build > "$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
if clean weather/unit weather/build/plugins/weather.so 2> "$tmp/said"; then echo "a builder that leaks is not noticed"; exit 1; fi
grep -q "mock host: " "$tmp/said" || { cat "$tmp/said"; exit 1; }
# The configuration that comes with it is one.
clean patchbay check --config weather/patchbay.ini --state "$tmp/state" > "$tmp/said" 2>&1 || { cat "$tmp/said"; exit 1; }
