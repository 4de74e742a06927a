#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stand-in for a training container that keeps to SageMaker's contract
(https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html): hyperparameters as texts
in PREFIX/input/config/hyperparameters.json, the model below PREFIX/model, metrics as lines, a failure's reason in
PREFIX/output/failure and exit code 255. It reads the input table through Snowflake's SQL API and writes each user's best items
into the output table, as the recommendation engine's container does.

    SNOWFLAKE_URL=... SNOWFLAKE_TOKEN=... training_container.py PREFIX
"""
import json
import os
import sys
import urllib.request
import uuid


def ask(statement, bindings=None):
    body = {"statement": statement, "bindings": bindings or {}}
    request = urllib.request.Request(
        "%s/api/v2/statements?requestId=%s&async=false" % (os.environ["SNOWFLAKE_URL"], uuid.uuid4()), json.dumps(body).encode(),
        {"Authorization": "Bearer " + os.environ["SNOWFLAKE_TOKEN"], "Content-Type": "application/json", "Accept": "application/json",
         "X-Snowflake-Authorization-Token-Type": "PROGRAMMATIC_ACCESS_TOKEN", "User-Agent": "container"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["data"]


def best_items(ratings, n=2):
    """For each user the items that others rate best and that the user has not rated."""
    by_item = {}
    for user, item, rating in ratings:
        by_item.setdefault(item, []).append(rating)
    order = sorted(by_item, key=lambda i: (-sum(by_item[i]) / len(by_item[i]), i))
    seen = {}
    for user, item, _ in ratings:
        seen.setdefault(user, set()).add(item)
    return {user: [i for i in order if i not in items][:n] for user, items in sorted(seen.items())}


def train(prefix):
    with open(os.path.join(prefix, "input/config/hyperparameters.json"), encoding="utf-8") as f:
        hyper = json.load(f)
    if not all(isinstance(v, str) for v in hyper.values()):
        raise ValueError("hyperparameters are texts")
    ratings = [(int(u), int(i), float(r)) for u, i, r in ask("select USERID, MOVIEID, RATING from " + hyper["input_table_name"])]
    best = best_items(ratings)
    ask("create or replace table %s (USERID number, ITEMS varchar)" % hyper["output_table_name"])
    ask("insert into %s values (?, ?)" % hyper["output_table_name"],
        {"1": {"type": "TEXT", "value": [str(u) for u in best]}, "2": {"type": "TEXT", "value": [json.dumps(v) for v in best.values()]}})
    os.makedirs(os.path.join(prefix, "model"), exist_ok=True)
    with open(os.path.join(prefix, "model/model.json"), "w", encoding="utf-8") as f:
        json.dump({str(u): v for u, v in best.items()}, f)
    print("RMSE (testset)  %.4f" % (0.25 if "BAD" not in hyper["input_table_name"] else 2.0))


if __name__ == "__main__":
    try:
        train(sys.argv[1])
    except Exception as e:  # noqa: B902: whatever it is, it is the reason
        os.makedirs(os.path.join(sys.argv[1], "output"), exist_ok=True)
        with open(os.path.join(sys.argv[1], "output/failure"), "w", encoding="utf-8") as f:
            f.write(str(e)[:1024])
        sys.exit(255)
