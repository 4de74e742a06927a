# SPDX-License-Identifier: MIT
# Sample customers as CSV: awk -v n=5000 -f customers.awk
# The same every time: a small generator of its own instead of awk's rand(), which differs between awks.

function random() {
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed / 2147483648
}

BEGIN {
    if (!n) n = 5000
    seed = 20260101
    split("Basic Plus Premium", plan, " ")
    print "customer,age,income,plan,months"
    for (i = 1; i <= n; i++) {
        age = 18 + int(random() * 62)
        income = 14000 + int(random() * random() * 120000)
        months = int(random() * 96)
        p = plan[1 + int(random() * 3)]
        if (i % 500 == 0) p = ""                       # a few whose plan nobody wrote down
        printf "C%05d,%d,%d,%s,%d\n", i, age, income, p, months
    }
}
