# SPDX-License-Identifier: MIT
"""What `make run` shows: every scene plays, twice the same but for times and ports, and nothing is left behind."""
import glob
import os
import re
import subprocess
import tempfile

from lib.story import contains, equal, lacks, main, rng, story, true

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
BUILD = os.path.dirname(os.environ.get("PATCHBAY", "build/patchbay"))
SAYS = {
    "main": ["5,000 customers: 1,016 (20 %) are likely to leave; 10 have no known plan", "function=predict_churn status=OK rows=5000"],
    "qrag": ["An older gateway's folder, served as it is", "function=churn_rest status=OK rows=5000 answered=5000",
             '[function "churn_rest"]'],
    "snowflake": ['{"data":[[0,"leaves"],[1,"stays"],', "create or replace function predict_churn(age float", "as '/snowflake/predict_churn';"],
    "chains": ["Task chains in Lua", "nightly", "fx rates", "last week's fx"],
    "recommender": ["RMSE (testset)", "user 1, film ", " stars\n", '{"data":[[0,'],
}


def play(scenes=""):
    with tempfile.TemporaryDirectory() as tmp:
        p = subprocess.run([os.path.join(ROOT, "scripts/demo/run")], capture_output=True, text=True, timeout=300,
                           stdin=subprocess.DEVNULL,
                           env=dict(os.environ, RUN_ONCE="1", PATCHBAY_BUILD=BUILD, TMPDIR=tmp, DEMO_SCENES=scenes,
                                    DEMO_SSE_PORT=str(20000 + rng("sse", scenes).randrange(5000)),
                                    DEMO_QRAG_PORT=str(30200 + rng("qrag", scenes).randrange(2000)),
                                    DEMO_HTTP_PORT=str(25000 + rng("http", scenes).randrange(5000))))
        equal(p.returncode, 0, p.stdout + p.stderr)
        lacks(p.stdout + p.stderr, "AddressSanitizer", "runtime error:", "not found", "No such file")
        equal(os.listdir(tmp), [], "left behind")
        return p.stdout


@story
def every_scene_plays():
    text = play()
    names = [re.match(r"\d-(.*)\.sh", os.path.basename(f)).group(1) for f in glob.glob(os.path.join(ROOT, "scripts/demo/scenes/*.sh"))]
    equal(sorted(names), sorted(SAYS), "this test and the scenes")
    for name in names:
        contains(text, *SAYS[name])


@story
def a_scene_plays_alone():
    text = play("main")
    contains(text, *SAYS["main"])
    true("RMSE" not in text, text)


if __name__ == "__main__":
    main()
