#!/bin/sh
# SPDX-License-Identifier: MIT
# check_unit.sh UNIT PROGRAM: systemd understands the unit, finds PROGRAM in place of the installed one, and thinks that
# it is well locked in (exposure of at most 2.0 on its scale of 10). Without systemd-analyze there is nothing to ask.
set -eu
unit=$1 program=$2
command -v systemd-analyze > /dev/null || { echo "skip: systemd-analyze is not installed"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# The user is made when the package is installed; here it need not be.
sed -e "s#^\(Exec[A-Za-z]*\)=[^ ]*#\1=$program#" -e '/^User=/d' "$unit" > "$tmp/patchbay.service"
grep -q "^ExecStart=$program run" "$tmp/patchbay.service" || { echo "the unit does not run the program"; exit 1; }
systemd-analyze verify --man=no "$tmp/patchbay.service" 2> "$tmp/said" || { cat "$tmp/said"; exit 1; }
! grep -q patchbay.service "$tmp/said" || { cat "$tmp/said"; exit 1; }
sed "s#^\(Exec[A-Za-z]*\)=[^ ]*#\1=$program#" "$unit" > "$tmp/patchbay.service"
systemd-analyze security --offline=true --no-pager --threshold=20 "$tmp/patchbay.service" > "$tmp/said" || {
    grep -v '^✓' "$tmp/said"
    exit 1
}
tail -1 "$tmp/said"
