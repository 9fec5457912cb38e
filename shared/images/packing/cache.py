"""What is known of layers that were made before, under a key made of all that goes into them: shared by all builds,
accounts and machines. The layers themselves are where images go."""

import hashlib
import json
from collections.abc import Sequence
from datetime import date

from pydantic import ValidationError

from shared.domain.images import Layer
from shared.domain.ports import Clock, Keep
from shared.domain.wire import Wire

PREFIX = "layers/"
_MOST_IN_MEMORY = 2000


def layer_key(*parts: str) -> str:
    """The key of what is made of those parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class LayerRecord(Wire):
    """Layers that were made under one key, the files in them, and where they were put. `used` is when last, to the day."""

    layers: tuple[Layer, ...]
    paths: tuple[str, ...] = ()
    place: str
    used: date


class LayerCache:
    """Records of layers, in the keep. Those that were seen are remembered by this process: they never change."""

    def __init__(self, keep: Keep, clock: Clock) -> None:
        self._keep = keep
        self._clock = clock
        self._seen: dict[str, LayerRecord] = {}

    async def record(self, key: str) -> LayerRecord | None:
        """What is known under that key; from now on it counts as used today."""
        record = self._seen.get(key) or await self._read(key)
        if record is not None and record.used != self._clock.now().date():
            return await self._write(key, record)
        return record

    async def remember(self, key: str, layers: Sequence[Layer], paths: Sequence[str], place: str) -> LayerRecord:
        """Know from now on that those layers are made under that key, and that they are in that place."""
        stored = tuple(layer.but(cached=False, why_new=None) for layer in layers)
        return await self._write(
            key, LayerRecord(layers=stored, paths=tuple(paths), place=place, used=self._clock.now().date())
        )

    async def _read(self, key: str) -> LayerRecord | None:
        text = await self._keep.get(f"{PREFIX}{key}.json")
        try:
            record = LayerRecord.from_stored(text) if text is not None else None
        except ValidationError:  # of a version that wrote it otherwise: it is made anew
            return None
        if record is not None:
            self._see(key, record)
        return record

    async def _write(self, key: str, record: LayerRecord) -> LayerRecord:
        fresh = record.but(used=self._clock.now().date())
        await self._keep.put(f"{PREFIX}{key}.json", fresh.stored_text().encode())
        self._see(key, fresh)
        return fresh

    def _see(self, key: str, record: LayerRecord) -> None:
        if len(self._seen) >= _MOST_IN_MEMORY:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = record
