# SPDX-License-Identifier: MIT
"""Biased matrix factorisation by SGD, written down as plainly as numpy allows, in double precision: the oracle of the
recommender. It begins with the same numbers (splitmix64 can be repeated in any language) and visits ratings in the
same order, so results differ by rounding alone.

    recommender_reference.py RATINGS.csv [NAME=VALUE...]      prints rmse and mae of each fold and their means
"""
import sys

import numpy as np

DEFAULTS = dict(n_factors=100, n_epochs=20, folds=5, seed=0, init_std_dev=0.1, rating_min=1, rating_max=5, lr_all=0.005,
                reg_all=0.02)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def splitmix(seed, n):
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + GOLDEN * np.arange(1, n + 1, dtype=np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def normals(seed, n):
    pairs = (n + 1) // 2
    unit = ((splitmix(seed, 2 * pairs) >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53
    r, turn = np.sqrt(-2.0 * np.log(unit[0::2])), 6.283185307179586 * unit[1::2]
    return np.stack([r * np.cos(turn), r * np.sin(turn)], axis=1).ravel()[:n]


def cut(n, folds, seed):
    """The fold of each rating: labels in runs, shuffled from the end."""
    sizes = [n // folds + (f < n % folds) for f in range(folds)]
    fold = np.repeat(np.arange(folds), sizes)
    draws = splitmix(seed ^ 0x666F6C6473, max(n - 1, 0)) >> np.uint64(32)
    for draw, i in zip(draws.tolist(), range(n, 1, -1)):
        j = (draw * i) >> 32
        fold[i - 1], fold[j] = fold[j], fold[i - 1]
    return fold


def number(ids):
    """Counted from 0 in the order of first appearance."""
    seen = {}
    return np.array([seen.setdefault(x, len(seen)) for x in ids.tolist()]), len(seen)


def fit(u, i, r, users, items, h):
    k = int(h["n_factors"])
    start = normals(int(h["seed"]), (users + items) * k) * h["init_std_dev"]
    p, q = start[:users * k].reshape(users, k).copy(), start[users * k:].reshape(items, k).copy()
    bu, bi, mean, lr, reg = np.zeros(users), np.zeros(items), r.mean(), h["lr_all"], h["reg_all"]
    for _ in range(int(h["n_epochs"])):
        for user, item, rating in zip(u.tolist(), i.tolist(), r.tolist()):
            pu, qi = p[user], q[item]
            e = rating - (mean + bu[user] + bi[item] + pu @ qi)
            bu[user] += lr * (e - reg * bu[user])
            bi[item] += lr * (e - reg * bi[item])
            step = lr * (e * qi - reg * pu)
            qi += lr * (e * pu - reg * qi)
            pu += step
    return mean, bu, bi, p, q


def estimate(model, u, i, known_u, known_i, h):
    mean, bu, bi, p, q = model
    ku, ki = known_u[u], known_i[i]
    out = mean + bu[u] * ku + bi[i] * ki + np.einsum("nk,nk->n", p[u], q[i]) * (ku & ki)
    return np.clip(out, h["rating_min"], h["rating_max"])


def cross_validate(user_ids, item_ids, ratings, **hyper):
    """[(rmse, mae)] of each fold."""
    h = {**DEFAULTS, **hyper}
    u, users = number(user_ids)
    i, items = number(item_ids)
    order = np.argsort(u, kind="stable")
    u, i, r = u[order], i[order], ratings[order].astype(np.float64)
    fold, out = cut(len(r), int(h["folds"]), int(h["seed"])), []
    for f in range(int(h["folds"])):
        train, test = fold != f, fold == f
        model = fit(u[train], i[train], r[train], users, items, h)
        known_u, known_i = np.zeros(users, bool), np.zeros(items, bool)
        known_u[u[train]], known_i[i[train]] = True, True
        e = r[test] - estimate(model, u[test], i[test], known_u, known_i, h)
        out.append((float(np.sqrt((e * e).mean())), float(np.abs(e).mean())))
    return out


def main():
    data = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1)
    hyper = {k: float(v) for k, v in (a.split("=") for a in sys.argv[2:])}
    scores = cross_validate(data[:, 0], data[:, 1], data[:, 2], **hyper)
    for rmse, mae in scores:
        print("%.6f %.6f" % (rmse, mae))
    print("rmse=%.6f\nmae=%.6f" % tuple(np.mean(scores, axis=0)))


if __name__ == "__main__":
    main()
