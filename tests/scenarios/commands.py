#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`patchbay PLUGIN VERB`: found, explained, checked, run, interrupted; also on a terminal."""
import os
import pty
import signal
import subprocess

from lib.gateway import PROGRAM, Folder, environment
from lib.story import contains, equal, eventually, lacks, main, story, true

OWN = os.environ["SCENARIO_PLUGINS"]
CONFIG = '[plugins]\ndir = %s\n[connector "one"]\nplugin = commander\n' % OWN


@story
def help_shows_them():
    with Folder(CONFIG) as f:
        p = f.run("commander", "--help")
        contains(p.out, "patchbay commander greet", "patchbay commander wait for-ever", "Until Ctrl-C.")
        p = f.run("commander", "greet", "--help")
        contains(p.out, "usage: patchbay commander greet [OPTION...]", "--full-name TEXT", "Whom. Required.",
                 "--times N", "1 unless given", "--loud ", "--connector NAME")
        p = f.run("commander", code=2)
        contains(p.err, "patchbay commander greet")


@story
def arguments_are_checked():
    with Folder(CONFIG) as f:
        equal(f.run("commander", "greet", "--full-name", "Kim").out, "hello Kim\n")
        equal(f.run("commander", "greet", "Kim").out, "hello Kim\n")
        equal(f.run("commander", "greet", "--loud", "--times=2", "--full-name=env:WHOM", env={"WHOM": "Kim"}).out,
              "HELLO Kim\n" * 2)
        for args, said in [
                (["greet"], "--full-name is missing: Whom."),
                (["greet", "--full-name", "x", "--times", "9"], "--times:"),
                (["greet", "--full-name", "x", "--tims", "9"], "did you mean --times?"),
                (["greet", "Kim", "Lee"], "too many arguments"),
                (["greet", "Kim", "--full-name", "Lee"], "are one and the same"),
                (["greet", "--full-name", "env:NOBODY_SET_THIS"], '"NOBODY_SET_THIS" is not set'),
                (["gret"], 'there is no command "gret"'),
                (["wait", "for-never"], "too many arguments")]:
            contains(f.run("commander", *args, code=2).err, said)
        contains(f.run("commandr", code=2).err, 'there is no command "commandr"')


@story
def which_connector():
    with Folder(CONFIG + '[connector "two"]\nplugin = commander\n') as f:
        contains(f.run("commander", "greet", "--full-name", "x", code=2).err, "say --connector NAME: one, two")
        equal(f.run("commander", "greet", "--full-name", "x", "--connector", "two").out, "hello x\n")
        contains(f.run("commander", "greet", "--full-name", "x", "--connector", "three", code=2).err,
                 'there is no [connector "three"] of plugin commander')
    with Folder("[plugins]\ndir = %s\n" % OWN) as f:
        contains(f.run("commander", "greet", "--full-name", "x", code=2).err,
                 "has no [connector] with plugin = commander")
    with Folder(CONFIG + "mod = good\n") as f:
        contains(f.run("commander", "greet", "--full-name", "x", code=1).err, 'did you mean "mood"?')
    with Folder(CONFIG) as f:
        os.remove(f.config)
        contains(f.run("commander", "greet", "--config", f.config, code=1).err, "patchbay.ini")


@story
def failures_have_codes():
    with Folder(CONFIG) as f:
        p = f.run("commander", "call", code=3)
        contains(p.err, "patchbay commander call: nobody \\x1b[31mthere")
        contains(f.run("commander", "wait", code=1).err, "patchbay commander wait: not started")


@story
def ctrl_c_is_passed_on():
    with Folder(CONFIG) as f:
        p = subprocess.Popen([PROGRAM, "commander", "wait", "for-ever"], cwd=f.dir, env=environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # In a pipe text waits for the end, so look at what the process waits in.
        eventually(lambda: "S" in open("/proc/%d/stat" % p.pid).read().split(") ")[1][:1] and
                   int(open("/proc/%d/status" % p.pid).read().split("SigCgt:")[1].split()[0], 16) & 2, "it runs")
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
        equal((p.returncode, out), (130, b"started\n"), err)


@story
def on_a_terminal():
    with Folder(CONFIG) as f:
        master, slave = pty.openpty()
        p = subprocess.Popen([PROGRAM, "commander", "greet", "--full-name", "\x1b[2Jx"], cwd=f.dir, stdout=slave,
                             stderr=subprocess.PIPE, env=environment())
        os.close(slave)
        equal(p.wait(60), 0, p.stderr.read())
        said = os.read(master, 1000).decode()
        os.close(master)
        contains(said, "hello \\x1b[2Jx")
        lacks(said, "\x1b")
        true("\n" in said)


main()
