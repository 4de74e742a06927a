# SPDX-License-Identifier: MIT
"""Ratings made from a model that is known: mean, biases, a few factors, and noise, so that the best reachable RMSE is
the noise. Items are as unevenly liked to be rated as films are. MovieLens itself may not be redistributed.

    ratings_maker.py USERS ITEMS RATINGS SEED [NOISE] > ratings.csv       scale 1 to 5, header USERID,MOVIEID,RATING
"""
import sys

import numpy as np


def make(users, items, ratings, seed, noise=0.5, factors=4, clip=(1.0, 5.0)):
    """(user, item, rating) arrays without duplicate pairs; ids count from 1. Ratings are not rounded."""
    g = np.random.default_rng(seed)
    mean = (clip[0] + clip[1]) / 2 + 0.4
    bu, bi = g.normal(0, 0.25, users), g.normal(0, 0.35, items)
    p, q = g.normal(0, 0.45, (users, factors)), g.normal(0, 0.45, (items, factors))
    weight = 1.0 / (np.arange(items) + 20.0)
    weight /= weight.sum()
    pairs = np.empty(0, dtype=np.int64)
    while len(pairs) < ratings:
        u = g.integers(0, users, ratings)
        i = g.choice(items, ratings, p=weight)
        pairs = np.unique(np.concatenate([pairs, u * items + i]))
    pairs = g.permutation(pairs)[:ratings]
    u, i = pairs // items, pairs % items
    r = mean + bu[u] + bi[i] + np.einsum("nk,nk->n", p[u], q[i]) + g.normal(0, noise, ratings)
    return u + 1, i + 1, np.clip(r, *clip)


def write(path, u, i, r):
    with open(path, "w") as f:
        f.write("USERID,MOVIEID,RATING\n")
        for row in zip(u.tolist(), i.tolist(), r.tolist()):
            f.write("%d,%d,%.6f\n" % row)


if __name__ == "__main__":
    users, items, ratings, seed = map(int, sys.argv[1:5])
    write("/dev/stdout", *make(users, items, ratings, seed, *map(float, sys.argv[5:6])))
