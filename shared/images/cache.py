"""Layers and locks that were made before, under a key made of all that goes into them. Kept until they are deleted."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from shared.domain.images import Layer


@dataclass(frozen=True)
class CachedLayer:
    """A layer, where its blob is, and the paths of the files in it."""

    layer: Layer
    blob: Path
    paths: tuple[str, ...]


class LayerCache:
    """A folder of blobs, records of layers, and locks of requirements. Entries take their places by rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def key(*parts: str) -> str:
        """The key of what is made of those parts."""
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def layer(self, key: str, title: str) -> CachedLayer | None:
        """The layer under that key, if it and its blob are there; it is called `title`, whatever it was called before."""
        record = self._folder / "layers" / f"{key}.json"
        if not record.exists():
            return None
        kept = json.loads(record.read_bytes())
        layer = Layer.model_validate(kept["layer"]).but(title=title, cached=True, why_new=None)
        blob = self._blob(layer.digest)
        return CachedLayer(layer, blob, tuple(kept["paths"])) if blob.exists() else None

    def keep_layer(self, key: str, layer: Layer, file: Path, paths: tuple[str, ...]) -> CachedLayer:
        """Take that file as the layer's blob, and keep it under the key."""
        blob = self._blob(layer.digest)
        blob.parent.mkdir(parents=True, exist_ok=True)
        file.replace(blob)
        record = {"layer": layer.model_dump(mode="json"), "paths": paths}
        _write_whole(self._folder / "layers" / f"{key}.json", json.dumps(record))
        return CachedLayer(layer, blob, paths)

    def lock(self, key: str) -> str | None:
        """The locked requirements under that key."""
        file = self._folder / "locks" / f"{key}.txt"
        return file.read_text() if file.exists() else None

    def keep_lock(self, key: str, text: str) -> None:
        """Keep locked requirements under that key."""
        _write_whole(self._folder / "locks" / f"{key}.txt", text)

    @property
    def packages(self) -> Path:
        """Where the package installer keeps what it has downloaded."""
        return self._folder / "packages"

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder for one piece of work, on the file system of the blobs; gone afterwards."""
        parent = self._folder / "work"
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=parent) as folder:
            yield Path(folder)

    def _blob(self, digest: str) -> Path:
        return self._folder / "blobs" / digest.replace(":", os.sep)


def _write_whole(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.parent / f".{uuid4().hex}"
    partial.write_text(text)
    partial.replace(file)
