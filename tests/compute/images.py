"""OCI images made by hand: the tests' scoring server, and a folder that says how it behaves."""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SERVER = Path(__file__).with_name("scoring_server.py")


@dataclass(frozen=True)
class Made:
    """Where an image is."""

    location: str
    digest: str


def make_image(layout: Path, version: int = 1, *, runtime: Path | None = None, **app: str) -> Made:
    """An image in that layout whose one folder holds files of those names and texts.

    Its scoring server is the tests' own, or the one that is in the folder `runtime`.
    """
    server = _texts(runtime) if runtime else {"__main__.py": SERVER.read_text()}
    installed = {f"opt/slipway/runtime/{name}": text for name, text in server.items()}
    layers = [
        _layer(layout, {**installed, "opt/slipway/python/dependency.py": ""}),
        _layer(layout, {f"var/azureml-app/{name}": text for name, text in {"answer": "", **app}.items()}),
    ]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["python", "/opt/slipway/runtime"],
            "WorkingDir": "/var/azureml-app",
            "Env": ["SLIPWAY_DRIVER=driver.py", "SLIPWAY_DEPENDENCIES=/opt/slipway/python", "PYTHONUNBUFFERED=1"],
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _described(layout, "application/vnd.oci.image.config.v1+json", json.dumps(config).encode()),
        "layers": [descriptor for descriptor, _ in layers],
    }
    published = _described(layout, manifest["mediaType"], json.dumps(manifest).encode())
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    tagged = published | {"annotations": {"org.opencontainers.image.ref.name": f"digits:{version}"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [tagged]}))
    return Made(f"oci:{layout}:digits:{version}", str(published["digest"]))


def _texts(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.py")}


def _layer(layout: Path, files: dict[str, str]) -> tuple[dict[str, object], str]:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for folder in sorted({folder for name in files for folder in PurePosixPath(name).parents[:-1]}):
            member = tarfile.TarInfo(str(folder))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    packed = gzip.compress(raw.getvalue(), mtime=0)
    return _described(layout, "application/vnd.oci.image.layer.v1.tar+gzip", packed), _digest(raw.getvalue())


def _described(layout: Path, media_type: str, blob: bytes) -> dict[str, object]:
    digest = _digest(blob)
    path = layout / "blobs" / digest.replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(blob)
    return {"mediaType": media_type, "digest": digest, "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
