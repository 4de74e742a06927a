# SPDX-License-Identifier: MIT
"""Stories: functions that play something and raise when it went wrong.

    @story
    def rows_keep_their_order(): ...

    main()                       # at the end of a scenario; its arguments pick stories by name
"""
import contextlib
import os
import random
import sys
import threading
import time
import traceback

SOAK = (os.environ.get("PATCHBAY_SOAK") or os.environ.get("SOAK", "")) not in ("", "0")
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
stories = []


class Failed(AssertionError):
    pass


def story(fn):
    stories.append(fn)
    return fn


def rng(*salt):
    """A generator of its own for each use, so that stories do not depend on each other's order."""
    return random.Random("%d/%s" % (SEED, "/".join(map(str, salt))))


def short(value, limit=400):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[:limit] + "... (%d in all)" % len(text)


def equal(got, wanted, what=""):
    if got == wanted:
        return
    where = ""
    if isinstance(got, (list, tuple)) and isinstance(wanted, (list, tuple)):
        at = next((i for i, (g, w) in enumerate(zip(got, wanted)) if g != w), min(len(got), len(wanted)))
        where = " (lengths %d and %d, first difference at %d: %s, not %s)" % (
            len(got), len(wanted), at, short(got[at:at + 1]), short(wanted[at:at + 1]))
    raise Failed("%s is %s, not %s%s" % (what or "it", short(got), short(wanted), where))


def true(condition, *said):
    if not condition:
        raise Failed(" ".join(short(s, 6000) for s in said) or "it is not so")


def contains(text, *parts):
    for part in parts:
        true(part in text, "%r is missing in %r" % (part, short(text, 5000)))


def lacks(text, *parts):
    for part in parts:
        at = text.find(part)
        true(at < 0, "%r stands in %r" % (part, text[max(at - 1500, 0):at + 1500]))


def eventually(condition, what, seconds=30):
    """Waits for something that must come; how long it takes is not judged."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed("after %d seconds still not: %s" % (seconds, what))
        time.sleep(0.02)


@contextlib.contextmanager
def together(count):
    """Runs functions in threads and raises the first failure: with together(8) as run: run(fn, ...)"""
    threads, failures, gate = [], [], threading.Semaphore(count)

    def one(fn, args):
        with gate:
            try:
                fn(*args)
            except BaseException as e:  # noqa: B902: it is raised again below
                failures.append(e)

    def run(fn, *args):
        threads.append(threading.Thread(target=one, args=(fn, args), daemon=True))
        threads[-1].start()
    yield run
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def skip(why):
    print("skip: " + why)
    sys.exit(77)


def main():
    wanted = sys.argv[1:]
    picked = [s for s in stories if not wanted or any(w in s.__name__ for w in wanted)]
    if not picked:
        sys.exit("no story is called like that; there are: " + ", ".join(s.__name__ for s in stories))
    print("seed %d%s" % (SEED, ", soak" if SOAK else ""), flush=True)
    failed = 0
    for s in picked:
        began = time.monotonic()
        try:
            s()
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print("not ok %s (SEED=%d)" % (s.__name__, SEED), flush=True)
        else:
            print("ok %s %.1f s" % (s.__name__, time.monotonic() - began), flush=True)
    print("%d of %d stories went well" % (len(picked) - failed, len(picked)), flush=True)
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # threads of grpcio may still be there
