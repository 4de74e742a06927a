#!/bin/sh
# The plugin in a gateway of its own: what does the function answer? Usage: test.sh PATCHBAY PLUGIN_DIR
set -eu
patchbay=$1 plugins=$2
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2> /dev/null || true; rm -rf "$tmp"' EXIT

sed -e "s|^dir = .*|dir = $plugins|" -e 's|^address = .*|address = 127.0.0.1:0|' "$here/patchbay.ini" > "$tmp/patchbay.ini"
mkdir "$tmp/scripts"
mkfifo "$tmp/ready"
"$patchbay" run --config "$tmp/patchbay.ini" --state "$tmp/state" --workers 0 > "$tmp/ready" 2> "$tmp/log" &
pid=$!
read -r line < "$tmp/ready" || { cat "$tmp/log"; exit 1; }
port=${line##*sse=}
port=${port%% *}

printf 'who\nworld\n\nRené\n' > "$tmp/in.csv"
"$patchbay" call --quiet --address "$port" hello "$tmp/in.csv" > "$tmp/out.csv"
printf 'who,hello\nworld,"Hello, world!"\n,\nRené,"Hello, René!"\n' > "$tmp/wanted.csv"
diff -u "$tmp/wanted.csv" "$tmp/out.csv"
kill "$pid"
wait "$pid"
pid=
echo "as it should be"
