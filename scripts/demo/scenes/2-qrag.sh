# SPDX-License-Identifier: MIT
# The folder of a Qlik Rapid API Gateway, scripts/demo/qrag, served as it is: a REST request for each row, to what stood
# behind API Gateway and Lambda.
qrag_prepare() {
    export DEMO_QRAG DEMO_QRAG_JSON=$PWD/$demo/qrag/functions.json DEMO_QRAG_INI=$work/qrag.ini
    DEMO_QRAG=127.0.0.1:$(free_port "${DEMO_QRAG_PORT:-30158}")
    sed "s/@DEMO_HTTP@/$DEMO_HTTP/" $demo/qrag/config/qrag.ini > "$DEMO_QRAG_INI"
}

qrag_play() {
    echo "An older gateway's folder, served as it is ($demo/qrag): churn_rest, a REST request for each of the customers."
    "$build/patchbay" call churn_rest "$work/customers.csv" --address "$DEMO_QRAG" --columns age,income,months \
        --output "$work/older.csv" --quiet
    grep 'msg=call.*function=churn_rest' "$work/gateway.log" | tail -n 1 | sed 's/^/    /'
    echo "The same as a patchbay.ini ($build/patchbay import-qrag $demo/qrag):"
    "$build/patchbay" import-qrag $demo/qrag | sed -n '/^\[function/,$p' | sed 's/^/    /'
}
