# SPDX-License-Identifier: MIT
# Made-up ratings as CSV: awk -v users=300 -v films=200 -f ratings.awk
# Everybody has a taste for one of four kinds of film, and a mood. The same every time (see customers.awk).

function random() {
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed / 2147483648
}

BEGIN {
    seed = 20260202
    for (f = 1; f <= films; f++) { kind[f] = f % 4; good[f] = random() }
    print "USERID,MOVIEID,RATING"
    for (u = 1; u <= users; u++) {
        taste = u % 4
        kindness = random() - 0.5
        for (f = 1; f <= films; f++) {
            if (random() > 0.3) continue                 # most people have seen few films
            stars = 2.2 + (kind[f] == taste ? 1.4 : 0) + 1.2 * good[f] + kindness + 0.8 * (random() - 0.5)
            stars = int(stars + 0.5)
            printf "%d,%d,%d\n", u, f, (stars < 1 ? 1 : stars > 5 ? 5 : stars)
        }
    }
}
