#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The recommender: learning against what the processor allows and against a build without vectors, the best items of all
users, memory, and /invocations against Flask with numpy under gunicorn; wrk is the client of both.

Rounds are interleaved; a figure is the median of its rounds. Exit code 1 when a bar is missed.
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import results

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPE = ("943", "1682", "100000")


def bench(args, *words, pin=True):
    command = (["taskset", "-c", "0"] if pin else []) + [os.path.join(args.build, "tests/bench/recommender_bench"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode:
        raise SystemExit("%s: %s" % (" ".join(words), done.stderr))
    return json.loads(done.stdout)


def free_port():
    with socket.socket() as s:
        for port in range(21000 + os.getpid() % 5000, 32000):
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port")


def wait(port):
    for _ in range(200):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/ping" % port, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("nobody answers on port %d" % port)


def wrk(port, pairs, seconds):
    """Pairs per second; every answer must be 200."""
    done = subprocess.run(["taskset", "-c", "1", "wrk", "-t", "1", "-c", "16", "-d", "%ds" % seconds, "-s",
                           os.path.join(HERE, "pairs.lua"), "http://127.0.0.1:%d/invocations" % port],
                          capture_output=True, text=True, env=dict(os.environ, PAIRS=str(pairs)), check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(done.stdout)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1)) * pairs


def serve(args, folder):
    """Both servers with a model of the same shape, each on core 0 while it is measured."""
    data = os.path.join(folder, "input/data/training")
    os.makedirs(data)
    with open(os.path.join(data, "ratings.csv"), "w", encoding="utf-8") as f:
        subprocess.run(["/usr/bin/python3", os.path.join(HERE, "../peers/ratings_maker.py"), *SHAPE, "1"], stdout=f, check=True)
    program = os.path.join(args.build, "recommender")
    subprocess.run([program, "train", "--local", folder], stdout=subprocess.DEVNULL, check=True)
    port = free_port()
    ours = subprocess.Popen(["taskset", "-c", "0", program, "serve", "--local", folder, "--address", "127.0.0.1:%d" % port],
                            stdout=subprocess.DEVNULL)
    wait(port)
    port2 = free_port()
    flask = subprocess.Popen(["taskset", "-c", "0", "/usr/bin/python3", "-m", "gunicorn", "-w", "1", "-k", "gthread", "--threads",
                              "4", "--chdir", os.path.join(HERE, "rivals"), "-b", "127.0.0.1:%d" % port2, "--log-level", "error",
                              "flask_recommender:app"], stdout=subprocess.DEVNULL,
                             env=dict(os.environ, OPENBLAS_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1"))
    wait(port2)
    runs = {"recommender": {}, "flask": {}}
    try:
        for _ in range(args.rounds):
            for pairs in (1, 100, 10000):
                for name, p in (("recommender", port), ("flask", port2)):
                    runs[name].setdefault(pairs, []).append(wrk(p, pairs, args.seconds))
    finally:
        for process in (ours, flask):
            process.terminate()
            process.wait()
    return {name: {k: statistics.median(v) for k, v in of.items()} for name, of in runs.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder (PATCHBAY_BENCH=ON)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md alone")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    times = {how: [] for how in ("best", "bare", "scalar")}
    for _ in range(args.rounds):
        for how, runs in times.items():
            runs.append(bench(args, "folds", how, *SHAPE))
    seconds = {how: statistics.median(run["seconds"] for run in runs) for how, runs in times.items()}
    spread = {how: max(r["seconds"] for r in runs) / min(r["seconds"] for r in runs) for how, runs in times.items()}
    top = bench(args, "top", "138000", "27000", pin=False)
    top_one = bench(args, "top", "138000", "27000")
    memory = bench(args, "memory", "138000", "27000", "10000000", pin=False)
    folder = tempfile.mkdtemp(prefix="bench-recommender-")
    try:
        served = serve(args, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ratios = {pairs: served["recommender"][pairs] / served["flask"][pairs] for pairs in served["flask"]}
    bars = [("five folds of 100,000 ratings against a bare vectorised loop", "%.2f times" % (seconds["best"] / seconds["bare"]),
             "within 2 times", seconds["best"] <= 2 * seconds["bare"]),
            ("the same against a scalar build", "%.1f times" % (seconds["scalar"] / seconds["best"]), "5 times",
             seconds["scalar"] >= 5 * seconds["best"]),
            ("top 10 of 138,000 users by 27,000 items, beyond the model", "%.1f MiB" % top["beyond_mib"], "under 64 MiB",
             top["beyond_mib"] < 64),
            ("ten million ratings, beyond the model", "%.1f bytes a rating" % memory["bytes_a_rating"], "40 bytes",
             memory["bytes_a_rating"] <= 40),
            ("/invocations, pairs/s against Flask, worst of 1, 100 and 10,000 pairs", "%.1f times" % min(ratios.values()),
             "20 times", min(ratios.values()) >= 20)]
    text = ("Five folds on 100,000 ratings (943 users, 1,682 items), 100 factors, 20 epochs, one core (%s): %.3f s; bare loop "
            "%.3f s; scalar %.3f s\n(slowest to fastest round %.2f, %.2f, %.2f). Top 10 of 138,000 users by 27,000 items: %.1f s on "
            "all cores, %.1f s on one.\n\n" % (times["best"][0]["kernels"], seconds["best"], seconds["bare"], seconds["scalar"],
                                         spread["best"], spread["bare"], spread["scalar"], top["seconds"], top_one["seconds"]) +
            results.table(("pairs per request", "recommender pairs/s", "Flask and numpy pairs/s", "ratio"),
                          [(pairs, f"{served['recommender'][pairs]:,.0f}", f"{served['flask'][pairs]:,.0f}",
                            f"{ratios[pairs]:.1f}") for pairs in ratios]) + "\n\n" +
            results.table(("bar", "measured", "wanted", "met"), [(*bar[:3], "yes" if bar[3] else "NO") for bar in bars]))
    print(f"\nRecommender\n\n{text}\n")
    if not args.no_record:
        results.record("Recommender", text)
    return 0 if all(bar[3] for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
