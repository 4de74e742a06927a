# SPDX-License-Identifier: MIT
"""The kit finds each fault, in the check that is about it, and says what it is; sound plugins pass.

    faults.py KIT FOLDER [PLUGIN.so...]     FOLDER holds faulty_NAME.so; the others must pass, with the NAME.ini that stands here
                                            and then without an instance that could not be made"""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

FAULTS = {  # name: (number of the check that must fail, what it says)
    "export": (2, 'exports "helper_of_mine"'),
    "stack": (3, "stack is executable"),
    "relro": (3, "tables stay writable"),
    "library": (4, "links libcrypto"),
    "summary": (5, "summary is empty"),
    "default": (5, "patience"),
    "doc": (5, "doc is missing"),
    "moving": (7, "another pointer each time"),
    "extension": (7, 'extension("pbay.functions/2")'),
    "longer": (8, "refuses a host with a longer table"),
    "service": (9, "crashed (SEGV) in create"),
    "mute": (9, "without a message"),
    "hang": (10, "did not end within"),
    "leak": (11, "does not free"),
    "descriptor": (11, "descriptors more"),
    "memory": (12, "crashed (SEGV) in create"),
    "crash": (13, "crashed (SEGV) in submit"),
    "never": (13, "still not completed"),
    "twice": (13, "a call that is over was used (complete)"),
    "rows": (13, "rows were sent"),
    "cancel": (14, "still not completed"),
    "stop": (14, "still not completed"),
    "pressure": (18, "went on emitting after `emit` had answered PBAY_LATER"),
    "block": (19, "kept the loop for"),
    "lost": (20, "an allocation failed in a call, which then never ended"),
    "attempt": (21, "still not answered"),
    "abort": (22, "not answered"),
    "poll": (23, "a poll that is over was answered"),
    "command": (24, "command say was not answered within"),
    "secret": (25, "every `resolve` owes one `resolved`"),
    "health": (26, "and not why"),
    "die": (10, "crashed (SEGV) in create"),
    "silent": (13, "function one: `submit` refused without a message"),
    "number": (13, "another type than its own (get_num of patience, which is a DURATION)"),
    "name": (13, "an option was read that is not in its table (is_set of patients)"),
    "unsaid": (10, "`create` failed without a message"),
    "easy": (9, "it offers functions, and `create` takes a host that has no pbay.host.call/1"),
    "slow": (23, "`poll` of source things kept the loop for"),
    "busy": (19, "`run` of action act kept the loop for"),
    "tacit": (21, "action act: an attempt was refused without a message"),
}
SANITIZED_SKIPS = {"leak"}  # the sanitizers' own allocator is in the way


def run(kit, plugin, *args):
    env = dict(os.environ, AWS_ACCESS_KEY_ID="A", AWS_SECRET_ACCESS_KEY="B", AWS_REGION="eu-west-1",
               ASAN_OPTIONS="handle_segv=0:handle_abort=0:detect_leaks=0:allow_user_segv_handler=1")
    p = subprocess.run([kit, "--patience", "1500", *args, plugin], capture_output=True, text=True, timeout=250,
                       env=env)
    return p.returncode, p.stdout + p.stderr


def config(plugin):
    ini = os.path.join(os.path.dirname(__file__), os.path.basename(plugin).replace(".so", ".ini"))
    return ("--config", ini) if os.path.exists(ini) else ()


def sanitized(path):
    with open(path, "rb") as f:
        return b"__asan_init" in f.read()


def judge(kit, folder, name):
    number, says = FAULTS[name]
    code, text = run(kit, os.path.join(folder, "faulty_%s.so" % name), "--cycles", "100", "--timeout", "6", "--only", str(number))
    m = re.search(r"^not ok %d - .*\n# (.*)$" % number, text, re.M)
    if code != 1 or not m or says not in m.group(1):
        return "%s: check %d should fail with %r; exit code %d\n%s" % (name, number, says, code, text)
    return None


def main():
    kit, folder, sound = sys.argv[1], sys.argv[2], sys.argv[3:]
    names = [n for n in FAULTS if not (sanitized(kit) and n in SANITIZED_SKIPS)]
    with ThreadPoolExecutor(2) as pool:
        bad = [b for b in pool.map(lambda n: judge(kit, folder, n), names) if b]
        for plugin, (code, text) in zip(sound, pool.map(lambda p: run(kit, p, "--cycles", "300", "--timeout", "60", *config(p)), sound)):
            if code or (config(plugin) and ("could be made" in text or "it did not start" in text or "could be bound" in text)):
                bad.append("%s does not pass, or passes over something\n%s" % (plugin, text))
    print("\n".join(bad) or "%d faults found, %d sound plugins pass" % (len(names), len(sound)))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
