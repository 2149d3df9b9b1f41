"""oci.py TAR OUT NAME=PROGRAM...: an OCI image layout as an archive, for `ctr image import`.

TAR is the only layer; each NAME is an image of it that runs PROGRAM, a JSON array.
"""

import hashlib
import io
import json
import pathlib
import sys
import tarfile

MEDIA = "application/vnd.oci.image."


def main(layer: pathlib.Path, out: pathlib.Path, images: list[str]) -> None:
    with tarfile.open(out, "w") as archive:
        data = layer.read_bytes()
        layers = [blob(archive, MEDIA + "layer.v1.tar", data)]
        manifests = [image(archive, *named.split("=", 1), layers) for named in images]
        add(archive, "oci-layout", dump({"imageLayoutVersion": "1.0.0"}))
        add(archive, "index.json", dump({"schemaVersion": 2, "manifests": manifests}))


def image(archive: tarfile.TarFile, name: str, program: str, layers: list[dict]) -> dict:
    """The descriptor of an image's manifest."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": json.loads(program), "Env": ["PATH=/usr/bin:/bin:/sbin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MEDIA + "manifest.v1+json",
        "config": blob(archive, MEDIA + "config.v1+json", dump(config)),
        "layers": layers,
    }
    descriptor = blob(archive, manifest["mediaType"], dump(manifest))
    return {**descriptor, "annotations": {"io.containerd.image.name": name}}


def blob(archive: tarfile.TarFile, media: str, data: bytes) -> dict:
    digest = hashlib.sha256(data).hexdigest()
    add(archive, f"blobs/sha256/{digest}", data)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def dump(value: dict) -> bytes:
    return json.dumps(value).encode()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:])
