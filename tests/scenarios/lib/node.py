# SPDX-License-Identifier: MIT
"""Runs the part of a scenario that is written for @grpc/grpc-js."""
import os
import subprocess

from .gateway import TESTS
from .story import Failed, skip


def peers(package):
    """The folder whose node_modules has the package; a skip when it is not installed."""
    folder = os.path.join(TESTS, "peers")
    if not os.path.isdir(os.path.join(folder, "node_modules", *package.split("/"))):
        skip(package + " is not installed: .ci/deps test")
    return folder


def run(script, *args, timeout=240, **env):
    folder = peers("@grpc/grpc-js")
    p = subprocess.run(["node", os.path.join(TESTS, "scenarios", "js", script), *args], capture_output=True, text=True,
                       timeout=timeout, env=dict(os.environ, PB_PEERS=folder, **env))
    if p.returncode:
        raise Failed("%s %s ended with %d\n%s%s" % (script, " ".join(args), p.returncode, p.stdout, p.stderr))
    return p.stdout


def need(package):
    """Skips the scenario where an npm package is not installed."""
    if not os.path.isdir(os.path.join(TESTS, "peers", "node_modules", *package.split("/"))):
        skip("%s is not installed: .ci/deps test" % package)


def node(script, *args, stdin="", timeout=240):
    """node tests/peers/SCRIPT; what it wrote."""
    p = subprocess.run(["node", os.path.join(TESTS, "peers", script), *args], input=stdin, capture_output=True, text=True,
                       timeout=timeout, env=dict(os.environ, AWS_REGION="eu-west-1", AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE="1"))
    if p.returncode:
        raise Failed("%s %s ended with %d\n%s%s" % (script, " ".join(args), p.returncode, p.stdout, p.stderr))
    return p.stdout
