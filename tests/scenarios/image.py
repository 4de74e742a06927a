# SPDX-License-Identifier: MIT
"""The images as an engine would run them: unpacked, as an unprivileged user, with nothing of this machine but /proc and
/dev. Root and mount namespaces are needed for that; where there are none it is skipped and says so."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

from lib.story import contains, equal, main, story, true

HERE = os.path.dirname(os.path.abspath(__file__))
MAKE = os.path.join(HERE, "../../scripts/image/make")
BUILD = os.path.dirname(os.environ.get("PATCHBAY", "build/patchbay"))
INSIDE = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && cd / && exec chroot --userspec=65532:65532 "$0" "$@"'


def impossible():
    if os.geteuid() != 0:
        return "root is needed for a chroot"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        return "this machine has no mount namespaces"
    if not shutil.which("mmdebstrap"):
        return "mmdebstrap is missing"
    return None


class Image:
    def __init__(self, what):
        self.dir = tempfile.mkdtemp(prefix="patchbay-image-")
        self.root, out = os.path.join(self.dir, "root"), os.path.join(self.dir, "image.tar")
        made = subprocess.run([MAKE, what, out], capture_output=True, text=True, env=dict(os.environ, PATCHBAY_BUILD=BUILD))
        equal(made.returncode, 0, made.stdout + made.stderr)
        with tarfile.open(out) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]
            self.config = json.load(tar.extractfile(manifest["Config"]))["config"]
            with tarfile.open(fileobj=tar.extractfile(manifest["Layers"][0])) as layer:
                layer.extractall(self.root, filter="fully_trusted") if hasattr(tarfile, "data_filter") else layer.extractall(self.root)
        self.env = dict(item.split("=", 1) for item in self.config.get("Env", []))
        self.env["PATH"] = os.environ["PATH"]
        for name in ("proc", "dev"):
            os.makedirs(os.path.join(self.root, name), exist_ok=True)

    def command(self, *args):
        return ["unshare", "--mount", "sh", "-c", INSIDE, self.root, *self.config["Entrypoint"], *args]

    def run(self, *args, code=0):
        p = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=120, env=self.env)
        equal(p.returncode, code, p.stdout + p.stderr)
        return p.stdout

    def path(self, name):
        return os.path.join(self.root, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)


POOL = concurrent.futures.ThreadPoolExecutor(2)
MAKING = {}


def made(what):
    """Both are made at once, by whoever asks first."""
    for one in ("gateway", "recommender"):
        if one not in MAKING and len(sys.argv) < 2 or one == what and one not in MAKING:
            MAKING[one] = POOL.submit(Image, one)
    return MAKING[what].result()


@story
def the_gateway_runs_in_its_image():
    with made("gateway") as image:
        equal(image.config["User"], "65532:65532")
        true(not os.path.exists(image.path("bin/sh")) and not os.path.exists(image.path("usr/bin/sh")), "there is a shell")
        contains(image.run("version"), "patchbay ")
        contains(image.run("check"), "/etc/patchbay/patchbay.ini is sound")
        contains(image.run("plugins"), "sagemaker")
        with open(image.path("etc/patchbay/patchbay.ini"), "w") as f:
            f.write('[listen "http"]\naddress = 127.0.0.1:0\n[function "twice"]\nscript = twice.lua\nparams = n:num\nreturns = num\n')
        os.makedirs(image.path("etc/patchbay/scripts"))
        with open(image.path("etc/patchbay/scripts/twice.lua"), "w") as f:
            f.write("return function(n) return 2 * n end\n")
        p = subprocess.Popen(image.command("run"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=image.env)
        try:
            line = p.stdout.readline()
            true(line.startswith("ready"), line, p.stderr.read() if not line else "")
            port = re.search(r"http=127.0.0.1:(\d+)", line).group(1)
            q = urllib.request.Request("http://127.0.0.1:%s/functions/twice" % port, b'{"rows": [[21]]}',
                                       {"content-type": "application/json"})
            equal(json.load(urllib.request.urlopen(q, timeout=30)), {"rows": [[42]]})
        finally:
            p.terminate()
            p.wait(60)
        equal(p.returncode, 0)
        true(os.path.exists(image.path("var/lib/patchbay/state.db")), os.listdir(image.path("var/lib/patchbay")))


@story
def the_recommender_trains_and_serves_in_its_image():
    with made("recommender") as image:
        os.makedirs(image.path("opt/ml/input/data/training"))
        with open(image.path("opt/ml/input/data/training/r.csv"), "w") as f:
            f.write("USERID,MOVIEID,RATING\n" + "".join("%d,%d,%d\n" % (u, i, 1 + (u * i) % 5) for u in range(20) for i in range(15)))
        contains(image.run("train"), "Training complete.")
        true(os.path.exists(image.path("opt/ml/model/recommender.model")), "no model")
        p = subprocess.Popen(image.command("serve", "--address", "127.0.0.1:0"), stdout=subprocess.PIPE, text=True)
        try:
            port = re.search(r"http=127.0.0.1:(\d+)", p.stdout.readline()).group(1)
            for _ in range(100):
                try:
                    equal(urllib.request.urlopen("http://127.0.0.1:%s/ping" % port, timeout=10).status, 200)
                    break
                except OSError:
                    time.sleep(0.05)
        finally:
            p.terminate()
            p.wait(60)
        equal(p.returncode, 0)


if __name__ == "__main__":
    why = impossible()
    if why:
        print("skipped: %s" % why)
        sys.exit(77)
    main()
