#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The ten minutes of sdk/README.md, followed to the letter in an environment with nothing in it.

    follow_guide.py ROOT BUILD    from the installation on, with a build that is there; another port than the guide's
    follow_guide.py ROOT --fresh  all of it, from the first line on, in a fresh Debian: as an unprivileged user, with the packages
                                  that .ci/deps names and no network. Root, mmdebstrap and namespaces are needed; else 77

Each block of commands is run by bash as it stands; a block of text is what the block before must end with."""
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT, WHERE = os.path.abspath(sys.argv[1]), sys.argv[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.S | re.M)
WAIT = """ > ready 2> log &
until grep -q "^ready " ready; do kill -0 $! || { cat log; exit 1; }; sleep 0.1; done
"""

# The first command that fails ends it, and what its block had said is shown.
HEAD = """set -euo pipefail
said=${said:-$PWD}
exec 3>&1
trap 'rc=$?; kill $(jobs -p) 2> /dev/null || true; [ $rc = 0 ] || cat "$now" >&3' EXIT
"""


def blocks():
    with open(os.path.join(ROOT, "sdk/README.md"), encoding="utf-8") as f:
        text = f.read()
    part = text[text.index("## In ten minutes"):text.index("## What a plugin is")]
    found = BLOCK.findall(part)
    if len([kind for kind, _ in found if kind == "sh"]) < 5:
        sys.exit("the guide has fewer commands than it had: is it still read right?")
    return found


def script(change):
    """(a script that leaves what each block said in said.N, what each must end with)"""
    lines, wanted, n = [HEAD], {}, 0
    for kind, text in blocks():
        if kind == "text":
            wanted[n] = text
            continue
        n += 1
        text = re.sub(r"^(patchbay run [^\n&]*)&\n", lambda m: m[1] + WAIT, change(text), flags=re.M)
        lines.append("now=$said/said.%d\nexec > \"$now\" 2>&1\n%s" % (n, text))
    return "\n".join(lines + ["wait"]) + "\n", wanted, n


def judge(done, folder, wanted, n):
    if done.returncode:
        sys.exit(f"the guide does not work:\n{done.stdout}{done.stderr}")
    for i, text in wanted.items():
        with open(os.path.join(folder, f"said.{i}"), encoding="utf-8") as f:
            said = f.read()
        if not said.endswith(text):
            sys.exit(f"block {i} of the guide says\n{said}\nand should end with\n{text}")
    with open(os.path.join(folder, f"said.{n}"), encoding="utf-8") as f:
        said = f.read()
    if not re.search(r"^weather\b", said, re.M):
        sys.exit(f"the installed plugin is not found:\n{said}")
    print(f"{n} blocks of commands, {len(wanted)} answers as the guide shows them")


def free_port():
    """Below those that the kernel gives to clients."""
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    return sys.exit("no free port")


def here():
    port = free_port()

    def change(text):
        text = re.sub(r"^cmake -B build .*\n|^cmake --build build -j .*\n", "", text, flags=re.M)
        text = text.replace("cmake --install build --prefix", f"cmake --install {os.path.abspath(WHERE)} --prefix")
        text = text.replace("cd weather\n", f"cd weather\nsed -i 's/:50058/:{port}/' patchbay.ini\n")
        return text.replace("patchbay call ", f"patchbay call --address 127.0.0.1:{port} ")

    text, wanted, n = script(change)
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o700)
        env = {"HOME": d, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "AWS_EC2_METADATA_DISABLED": "true"}
        done = subprocess.run(["bash", "-c", text], cwd=d, env=env, capture_output=True, text=True, timeout=280, check=False,
                              stdin=subprocess.DEVNULL)
        judge(done, d, wanted, n)


def impossible():
    if os.geteuid() != 0:
        return "root is needed for a chroot"
    if not shutil.which("mmdebstrap"):
        return "mmdebstrap is missing"
    if subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False).returncode:
        return "this machine has no namespaces"
    return None


def fresh():
    if impossible():
        print(impossible())
        sys.exit(77)
    packages = subprocess.run(["bash", "-c", r"""eval "$(sed -n '/^build=(/,/)/p' .ci/deps)"; echo "${build[@]}" """], cwd=ROOT,
                              capture_output=True, text=True, check=True).stdout.split()
    text, wanted, n = script(lambda t: t.replace("patchbay new-plugin", 'cd "$said"\npatchbay new-plugin'))
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as d:
        root = os.path.join(d, "debian")
        made = subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", "--include=iproute2," + ",".join(packages), "bookworm", root],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if made.returncode:
            sys.exit("mmdebstrap: " + made.stdout + made.stderr)
        home = os.path.join(root, "home/new")
        os.makedirs(os.path.join(home, "patchbay-src"))
        tar = subprocess.run(["tar", "-C", ROOT, "--null", "-T", "-", "-cf", "-"], input=files, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-C", os.path.join(home, "patchbay-src"), "-xf", "-"], input=tar, check=True)
        with open(os.path.join(home, "patchbay-src/guide.sh"), "w", encoding="utf-8") as f:
            f.write("export said=$HOME/said\nmkdir \"$said\"\n" + text)
        subprocess.run(["chown", "-R", "1000:1000", home], check=True)
        inside = ('mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && chroot "$0" ip link set lo up && '
                  'exec chroot --userspec=1000:1000 "$0" env -i HOME=/home/new PATH=/usr/bin:/bin LC_ALL=C.UTF-8 '
                  'bash -c "cd /home/new/patchbay-src && .ci/deps build && bash guide.sh"')
        done = subprocess.run(["unshare", "--mount", "--net", "sh", "-c", inside, root], capture_output=True, text=True, timeout=3500,
                              check=False, stdin=subprocess.DEVNULL)
        judge(done, os.path.join(home, "said"), wanted, n)


fresh() if WHERE == "--fresh" else here()
