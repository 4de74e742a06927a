# SPDX-License-Identifier: MIT
# The main job: customers over Qlik's protocol, through Lua, to a scoring endpoint and back.
rows=${DEMO_ROWS:-5000}

main_prepare() {
    awk -v n="$rows" -f $demo/customers.awk > "$work/customers.csv"
}

main_play() {
    echo "Patchbay's main job: $rows sample customers, over Qlik's protocol, through Lua, to a scoring endpoint and back."
    "$build/patchbay" call predict_churn "$work/customers.csv" --address "$DEMO_SSE" \
        --columns age,income,plan,months --output "$work/answers.csv"
    "$build/patchbay" call churn_score "$work/customers.csv" --address "$DEMO_SSE" \
        --columns age,income,plan,months --output "$work/scores.csv" --quiet
    echo
    awk -F, -f $demo/summary.awk "$work/answers.csv" "$work/scores.csv"
    echo
    echo "What the gateway logged of the two calls, a line for each:"
    grep 'msg=call' "$work/gateway.log" | tail -n 2 | sed 's/^/    /'
}
