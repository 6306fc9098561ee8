"""Writes a container image of one layer as an OCI archive, with nothing but tar.

The formats are those of the OCI image specification 1.0. The layer is not compressed: the
archive stays on this machine, and so it is read twice as fast.
"""

import hashlib
import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

_TYPES = "application/vnd.oci.image"
_CHUNK = 1024 * 1024


def write_archive(archive: Path, name: str, layer: Path, config: dict[str, Any]) -> None:
    """Write `archive`: an image called `name` (host/path:tag) made of the tar file `layer`.

    `config` is the image's own: `Cmd`, `Entrypoint`, `Env` and the like.
    """
    digest = _digest(layer)
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest]},
        # buildah counts these before it builds on top, layer by layer.
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "integration/cluster"}],
    }
    settings = _json(image)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPES}.manifest.v1+json",
            "config": _descriptor("config.v1+json", _digest_of(settings), len(settings)),
            "layers": [_descriptor("layer.v1.tar", digest, layer.stat().st_size)],
        }
    )
    entry = _descriptor("manifest.v1+json", _digest_of(manifest), len(manifest))
    # containerd reads the first, buildah and skopeo the second.
    entry["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name,
    }
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
        for blob in (settings, manifest):
            _add(tar, _blob(_digest_of(blob)), blob)
        tar.add(layer, _blob(digest))


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{_TYPES}.{kind}", "digest": digest, "size": size}


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, BytesIO(data))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return f"sha256:{found.hexdigest()}"
