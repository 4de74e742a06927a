# SPDX-License-Identifier: MIT
"""Forward proxies that others wrote (Debian's tinyproxy): one that is open, one that wants a password (sam:secret1), one
that connects to no port. Started with a folder; says "ready OPEN SECRET REFUSING", writes each one's log to FOLDER/NAME.log,
ends with its input."""
import os
import shutil
import socket
import subprocess
import sys
import time

CONFIG = """User root
Group root
Port %(port)d
Listen 127.0.0.1
Timeout 60
LogFile "%(dir)s/%(name)s.log"
LogLevel Connect
MaxClients 100
Allow 127.0.0.1
DisableViaHeader Yes
%(more)s
"""
PROXIES = (("open", ""), ("secret", "BasicAuth sam secret1"), ("refusing", "ConnectPort 1"))


def free_port():
    for port in range(21000, 32000):
        port = port + os.getpid() * 7 % 1000
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port")


def start(folder, name, more):
    port = free_port()
    path = os.path.join(folder, name + ".conf")
    with open(path, "w") as f:
        f.write(CONFIG % {"port": port, "dir": folder, "name": name, "more": more})
    p = subprocess.Popen(["tinyproxy", "-d", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         stdin=subprocess.DEVNULL)
    for _ in range(500):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return p, port
        if p.poll() is not None:
            raise SystemExit("tinyproxy ended with %d" % p.returncode)
        time.sleep(0.02)
    raise SystemExit("tinyproxy does not listen")


def main():
    if not shutil.which("tinyproxy"):
        print("missing", flush=True)
        return
    running = [start(sys.argv[1], name, more) for name, more in PROXIES]
    print("ready", *[port for _, port in running], flush=True)
    try:
        sys.stdin.read()
    finally:
        for p, _ in running:
            p.terminate()
            p.wait()


if __name__ == "__main__":
    main()
