# SPDX-License-Identifier: MIT
# Task chains: reloads of a Qlik Cloud tenant, one after the other. The tenant is an example plugin that takes reloads
# and delivers signed webhooks; chains/nightly.lua says what follows what.
chains_prepare() {
    export DEMO_TENANT=http://$DEMO_HTTP/tenant DEMO_HOOK=http://$DEMO_HTTP/prod/hook DEMO_HOOK_SECRET
    DEMO_HOOK_SECRET=$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')
}

chains_play() {
    local runs=("$build/patchbay" runs --config $demo/patchbay.ini --state "$work/state") run
    echo "Task chains in Lua, for Qlik Cloud: one app is reloaded, webhooks tell how it ended, and the rest follows."
    "$build/patchbay" runs start nightly extract --config $demo/patchbay.ini --state "$work/state" > "$work/run"
    for _ in $(seq 200); do
        if ! "${runs[@]}" --json | grep -q '"state":"running"'; then break; fi
        sleep 0.1
    done
    run=$(sed -n 's/.*"run": *"\([^"]*\)".*/\1/p' "$work/run")
    echo
    "$build/patchbay" runs show "$run" --config $demo/patchbay.ini --state "$work/state" | sed 's/^/    /'
}
