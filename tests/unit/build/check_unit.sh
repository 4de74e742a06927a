#!/bin/sh
# SPDX-License-Identifier: MIT
# check_unit.sh UNIT PROGRAM: systemd understands the unit and the sockets beside it, finds PROGRAM in place of the installed
# one, and thinks that it is well locked in (exposure of at most 2.0 on its scale of 10); each socket has the address that
# the README writes for its listener. Without systemd-analyze there is nothing to ask.
set -eu
unit=$1 program=$2
readme=$(dirname "$0")/../../../README.md
command -v systemd-analyze > /dev/null || { echo "skip: systemd-analyze is not installed"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# The user is made when the package is installed; here it need not be.
sed -e "s#^\(Exec[A-Za-z]*\)=[^ ]*#\1=$program#" -e '/^User=/d' "$unit" > "$tmp/patchbay.service"
grep -q "^ExecStart=$program run" "$tmp/patchbay.service" || { echo "the unit does not run the program"; exit 1; }
for name in sse http; do
    socket=patchbay-$name.socket
    cp "$(dirname "$unit")/$socket" "$tmp/"
    grep -qx "FileDescriptorName=$name" "$tmp/$socket" || { echo "$socket is not of the listener \"$name\""; exit 1; }
    address=$(sed -n "/^\[listen \"$name\"\]/,/^address/s/^address = //p" "$readme")
    grep -qx "ListenStream=$address" "$tmp/$socket" || { echo "$socket is not at $address, as the README's"; exit 1; }
done
systemd-analyze verify --man=no "$tmp/patchbay.service" "$tmp/"*.socket 2> "$tmp/said" || { cat "$tmp/said"; exit 1; }
! grep -q 'patchbay[a-z-]*\.' "$tmp/said" || { cat "$tmp/said"; exit 1; }
sed "s#^\(Exec[A-Za-z]*\)=[^ ]*#\1=$program#" "$unit" > "$tmp/patchbay.service"
systemd-analyze security --offline=true --no-pager --threshold=20 "$tmp/patchbay.service" > "$tmp/said" || {
    grep -v '^✓' "$tmp/said"
    exit 1
}
tail -1 "$tmp/said"
