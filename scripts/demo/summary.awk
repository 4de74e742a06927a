# SPDX-License-Identifier: MIT
# What a person wants to know of the answers: awk -F, -f summary.awk answers.csv scores.csv
# Both files: the sample's columns, then the function's answer.

FNR == 1 { file++; next }
file == 1 {
    rows++
    plan = $4 == "" ? "(unknown)" : $4
    seen[plan]++
    if ($NF == "leaves") { leaves[plan]++; total++ }
    else if ($NF == "") unanswered++
}
file == 2 && $NF != "" {
    for (i = 1; i <= 5; i++)
        if ($NF > top[i] + 0) {
            for (j = 5; j > i; j--) { top[j] = top[j - 1]; who[j] = who[j - 1] }
            top[i] = $NF
            who[i] = sprintf("%s, %s years, %s a year, %s for %s months", $1, $2, $3, $4, $5)
            break
        }
}
END {
    printf "%d customers: %d (%.0f %%) are likely to leave", rows, total, 100 * total / rows
    if (unanswered) printf "; %d have no known plan and got no answer", unanswered
    print "."
    n = split("Basic Plus Premium", order, " ")
    for (i = 1; i <= n; i++) {
        p = order[i]
        if (!seen[p]) continue
        share = leaves[p] / seen[p]
        bar = ""
        for (k = 0; k < share * 40; k++) bar = bar "#"
        printf "    %-8s %5d customers  %3.0f %%  %s\n", p, seen[p], 100 * share, bar
    }
    print "Most likely to leave:"
    for (i = 1; i <= 5; i++) if (who[i] != "") printf "    %.4f  %s\n", top[i], who[i]
}
