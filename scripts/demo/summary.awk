# SPDX-License-Identifier: MIT
# What a person wants to know of the answers: awk -F, -f summary.awk answers.csv scores.csv
# Both files: the sample's columns, then the function's answer.

function grouped(n,    t) { # 5000 as 5,000
    for (t = ""; n >= 1000; n = int(n / 1000)) t = sprintf(",%03d", n % 1000) t
    return n t
}
function months(n) { return n + 0 == 1 ? "1 month" : n " months" }

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
            who[i] = sprintf("%s, aged %s, earns %s, %s for %s", $1, $2, grouped($3), $4, months($5))
            break
        }
}
END {
    printf "%s customers: %s (%.0f %%) are likely to leave", grouped(rows), grouped(total), 100 * total / rows
    if (unanswered) printf "; %d have no known plan and got no answer", unanswered
    print "."
    n = split("Basic Plus Premium", order, " ")
    for (i = 1; i <= n; i++) {
        p = order[i]
        if (!seen[p]) continue
        share = leaves[p] / seen[p]
        bar = ""
        for (k = 0; k < share * 40; k++) bar = bar "#"
        printf "    %-8s %6s customers, %3.0f %% leave  %s\n", p, grouped(seen[p]), 100 * share, bar
    }
    print "Most likely to leave:"
    for (i = 1; i <= 5; i++) if (who[i] != "") printf "    %.4f  %s\n", top[i], who[i]
}
