# SPDX-License-Identifier: MIT
# A recommender learns from made-up ratings, serves, and is asked through the gateway as a SageMaker endpoint is.
recommender_prepare() {
    local job=$work/job
    mkdir -p "$job/input/data/training" "$job/input/config"
    awk -v users=300 -v films=200 -f $demo/ratings.awk > "$job/input/data/training/ratings.csv"
    echo '{"n_factors": "20", "n_epochs": "30"}' > "$job/input/config/hyperparameters.json"
    "$build/recommender" train --local "$job" > "$work/train.out"
    background recommender "$build/recommender" serve --local "$job" --address 127.0.0.1:0
    export DEMO_MOVIES
    DEMO_MOVIES=http://$(sed -n 's/^ready http=\([^ ]*\).*/\1/p' "$work/recommender.out")
}

recommender_play() {
    echo "A recommender: $(sed -n 's/^ratings=//p' "$work/train.out") made-up ratings, learned in a moment; its five folds:"
    echo
    grep -E '^ +Fold|^RMSE|^MAE' "$work/train.out" | sed 's/^/    /'
    echo
    echo "What it would show the first three people, and what it thinks of it (Patchbay.movie_rating, over Qlik's protocol):"
    sed -n '2,4p' "$work/job/output/data/recommendations.csv" | tr -d '"[]' | awk -F, -v OFS=, \
        'NR == 1 { print "user,film" } { for (i = 2; i <= 4; i++) { gsub(/ /, "", $i); print $1, $i } }' > "$work/pairs.csv"
    "$build/patchbay" call movie_rating "$work/pairs.csv" --address "$DEMO_SSE" --output "$work/stars.csv" --quiet
    tail -n +2 "$work/stars.csv" | paste -d, <(tail -n +2 "$work/pairs.csv") - |
        awk -F, '{ printf "    user %s, film %s: %.1f stars\n", $1, $2, $NF }'
    echo "The same, as Snowflake's SQL asks for it:"
    local batch
    batch=$(awk -F, 'NR > 1 { printf "%s[%d,%s,%s]", (NR > 2 ? "," : ""), NR - 2, $1, $2 }' "$work/pairs.csv")
    curl -sS -H 'content-type: application/json' -H "x-patchbay-secret: $DEMO_SNOWFLAKE_SECRET" \
        -H 'sf-external-function-format: json' -H 'sf-external-function-query-batch-id: 01b02bdf:1:1:0:1' \
        -d "{\"data\":[$batch]}" "http://$DEMO_HTTP/snowflake/movie_rating" | sed 's/^/    /'
    echo
}
