# SPDX-License-Identifier: MIT
"""pack.py gateway|recommender ROOT USER PREFIX OUT.tar: one folder as an image of one layer, in the form that
`docker load` takes (https://github.com/opencontainers/image-spec, and docker's manifest.json beside it)."""
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

NAMES = {"gateway": "patchbay", "recommender": "patchbay-recommender"}


def layer(root):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(files) + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
                add(tar, root, os.path.join(folder, name))
            for name in folders:
                if not os.path.islink(os.path.join(folder, name)):
                    add(tar, root, os.path.join(folder, name))
    return out.getvalue()


def add(tar, root, path):
    info = tar.gettarinfo(path, os.path.relpath(path, root))
    info.mtime, info.uname, info.gname = 0, "", ""
    if info.isreg():
        with open(path, "rb") as f:
            tar.addfile(info, f)
    else:
        tar.addfile(info)


def settings(what, user, prefix):
    if what == "recommender":
        return {"Entrypoint": [prefix + "/bin/recommender"], "Cmd": ["help"], "User": "%s:%s" % (user, user),
                "ExposedPorts": {"8080/tcp": {}}, "WorkingDir": "/"}
    return {"Entrypoint": [prefix + "/bin/patchbay"], "Cmd": ["run"], "User": "%s:%s" % (user, user), "WorkingDir": "/",
            "Env": ["STATE_DIRECTORY=/var/lib/patchbay"],
            "ExposedPorts": {"50058/tcp": {}, "8080/tcp": {}, "9090/tcp": {}}, "Volumes": {"/var/lib/patchbay": {}}}


def main():
    what, root, user, prefix, out = sys.argv[1:]
    blob = layer(root)
    digest = hashlib.sha256(blob).hexdigest()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = json.dumps({"architecture": machine, "os": "linux", "config": settings(what, user, prefix), "created": "1970-01-01T00:00:00Z",
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]}}).encode()
    name = hashlib.sha256(config).hexdigest()
    manifest = json.dumps([{"Config": name + ".json", "RepoTags": [NAMES[what] + ":latest"], "Layers": [digest + "/layer.tar"]}]).encode()
    with tarfile.open(out, "w") as tar:
        for path, data in ((digest + "/layer.tar", blob), (name + ".json", config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    print("%s: %s:latest, %.1f MiB, user %s" % (out, NAMES[what], len(blob) / 2**20, user))


if __name__ == "__main__":
    main()
