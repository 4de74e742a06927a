# SPDX-License-Identifier: MIT
# The same model from SQL: a batch as Snowflake sends it by way of API Gateway, and the statements that set it up.
snowflake_prepare() {
    export DEMO_SNOWFLAKE_SECRET
    DEMO_SNOWFLAKE_SECRET=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
}

snowflake_play() {
    local batch='{"data":[[0,34,52000,"Basic",3],[1,61,80000,"Premium",70],[2,45,null,"Plus",12]]}' answer
    echo "The same model from Snowflake's SQL, select predict_churn(age, income, plan, months) from customers, as it arrives here:"
    answer=$(curl -sS -H 'content-type: application/json' -H "x-patchbay-secret: $DEMO_SNOWFLAKE_SECRET" \
        -H 'sf-external-function-format: json' -H 'sf-external-function-query-batch-id: 01b02bdf:1:1:0:0' \
        -d "$batch" "http://$DEMO_HTTP/snowflake/predict_churn")
    echo "    $batch"
    echo "    $answer"
    echo "What makes it known there (patchbay snowflake ddl):"
    "$build/patchbay" snowflake ddl --config $demo/patchbay.ini --service DEMO.PUBLIC.PATCHBAY |
        sed -n '/function predict_churn(/,/;/p' | sed 's/^/    /'
}
