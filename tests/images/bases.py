"""Base images for tests: pushed to a real registry by the same protocol; one of them has this machine's Python in it."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from isal import igzip

from local.machine import this_platform

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PATH = "/usr/local/bin:/usr/bin:/bin"
_OF_LIBC = ("libpthread.so.0", "libdl.so.2", "libm.so.6", "librt.so.1", "libutil.so.1")
"""What wheels ask for by the names of old."""
_LEFT_OUT = {"test", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "__pycache__", "pydoc_data"}


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def small_layer() -> bytes:
    """A tar of one file."""
    return _tar([("etc/base", b"a base image", 0o644)])


def push_base(
    host: str,
    repository: str,
    *layers: bytes,
    tag: str = "1",
    others: tuple[str, ...] = (),
    platform: str = this_platform(),
) -> None:
    """Push an index of an image of those tars for that platform, and of images of nothing for the others."""
    entries = [
        _entry(push_image(host, repository, one, layers if one == platform else ()), one) for one in (*others, platform)
    ]
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    _put(host, f"{repository}/manifests/{tag}", index, INDEX)


def push_image(host: str, repository: str, platform: str, layers: tuple[bytes, ...]) -> bytes:
    system, _, architecture = platform.partition("/")
    packed = [igzip.compress(layer, 2, mtime=0) for layer in layers]
    for blob in packed:
        _push_blob(host, repository, blob)
    config = _json(
        {
            "os": system,
            "architecture": architecture,
            "config": {"Env": [f"PATH={PATH}", "BASE=yes"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            "history": [{"created_by": "tests"} for _ in layers],
        }
    )
    _push_blob(host, repository, config)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor(LAYER, blob) for blob in packed],
        }
    )
    _put(host, f"{repository}/manifests/{digest_of(manifest)}", manifest, MANIFEST)
    return manifest


def _entry(manifest: bytes, platform: str) -> dict[str, Any]:
    system, _, architecture = platform.partition("/")
    return {**_descriptor(MANIFEST, manifest), "platform": {"os": system, "architecture": architecture}}


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}


def _push_blob(host: str, repository: str, content: bytes) -> None:
    begun = httpx.post(f"http://{host}/v2/{repository}/blobs/uploads/")
    place = httpx.URL(f"http://{host}").join(begun.headers["Location"])
    done = httpx.put(place.copy_merge_params({"digest": digest_of(content)}), content=content, timeout=60)
    assert done.status_code == 201, done.text


def _put(host: str, path: str, content: bytes, kind: str) -> None:
    done = httpx.put(f"http://{host}/v2/{path}", content=content, headers={"Content-Type": kind})
    assert done.status_code == 201, done.text


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _tar(files: list[tuple[str, bytes, int]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content, mode in files:
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@cache
def python_layer() -> bytes:
    """A tar of the Python that runs this, under /usr/local, and of the shared libraries that it needs."""
    prefix, version = Path(sys.base_prefix), sysconfig.get_python_version()
    interpreter = (prefix / "bin" / f"python{version}").resolve()
    files = [("usr/local/bin/python", interpreter.read_bytes(), 0o755), ("etc/passwd", b"root:x:0:0::/:/\n", 0o644)]
    libraries = set(_libraries(interpreter))
    for file in sorted((prefix / "lib" / f"python{version}").rglob("*")):
        parts = file.relative_to(prefix).parts
        if file.is_file() and not any(part in _LEFT_OUT or part.startswith("config-") for part in parts):
            files.append(("usr/local/" + "/".join(parts), file.read_bytes(), 0o644))
            if file.suffix == ".so":
                libraries.update(_libraries(file))
    (libc,) = [library for library in libraries if library.name.startswith("libc.so")]
    libraries |= {libc.with_name(name) for name in _OF_LIBC if libc.with_name(name).exists()}
    files += [(str(library).lstrip("/"), library.read_bytes(), 0o755) for library in sorted(libraries)]
    packed = io.BytesIO(_tar(files))
    with tarfile.open(fileobj=packed, mode="a") as archive:
        for folder in ("tmp", "proc", "dev", "sys", "run"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(info)
    return packed.getvalue()


def _libraries(binary: Path) -> Iterator[Path]:
    said = subprocess.run(["ldd", os.fspath(binary)], capture_output=True, text=True, check=False).stdout
    yield from (Path(path) for path in re.findall(r"(/\S+) \(0x", said))
