# SPDX-License-Identifier: MIT
"""The recommender's /invocations in Flask with numpy, whole batches at a time: what a data scientist would write who
knows numpy. Run by gunicorn: `gunicorn -w 1 -k gthread --threads 4 flask_recommender:app`. Sizes by environment:
USERS, ITEMS, FACTORS."""
import os

import numpy as np
from flask import Flask, Response, request

users, items, factors = (int(os.environ.get(k, v)) for k, v in (("USERS", 943), ("ITEMS", 1682), ("FACTORS", 100)))
g = np.random.default_rng(1)
mean, bu, bi = 3.5, g.normal(0, 0.2, users + 1), g.normal(0, 0.2, items + 1)
p, q = g.normal(0, 0.1, (users + 1, factors)), g.normal(0, 0.1, (items + 1, factors))
user_ids, item_ids = np.arange(1, users + 1), np.arange(1, items + 1)
bu[users] = bi[items] = 0
p[users] = q[items] = 0
app = Flask(__name__)


def index(ids, of):
    at = np.searchsorted(of, ids)
    at[at == len(of)] = 0
    return np.where(of[at] == ids, at, len(of))  # the last row is that of the unknown


@app.get("/ping")
def ping():
    return Response("\n", mimetype="application/json")


@app.post("/invocations")
def invocations():
    if request.content_type != "text/csv":
        return Response("This predictor only supports CSV data", 415, mimetype="text/plain")
    pairs = np.fromstring(request.get_data().replace(b"\n", b","), sep=",", dtype=np.float64)
    u, i = index(pairs[0::2].astype(np.int64), user_ids), index(pairs[1::2].astype(np.int64), item_ids)
    estimates = np.clip(mean + bu[u] + bi[i] + np.einsum("nk,nk->n", p[u], q[i]), 1, 5)
    return Response("\n".join(map(repr, estimates.tolist())) + "\n", mimetype="text/csv")
