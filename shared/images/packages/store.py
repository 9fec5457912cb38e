"""Files of packages, fetched once, by their SHA-256. Each is digested again whenever it is taken from here."""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

_CHUNK = 1024**2


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int, /) -> bytes:
        """The next ones; none at the end."""


class TooLarge(Exception):
    """A file has more bytes than it may have."""


@dataclass(frozen=True)
class Store:
    """A folder of them: `{sha256}/{file name}`. `told` hears of each that is not what it was."""

    folder: Path

    def take(self, hashes: Iterable[str], into: Path, told: Callable[[str], object]) -> list[Path]:
        """Copies of those that are here, below `into`. What has another digest than its name says is thrown away."""
        taken = []
        for sha256 in hashes:
            for file in sorted(self._place(sha256).glob("*")):
                if self._copy(file, sha256, into / file.name):
                    taken.append(into / file.name)
                else:
                    told(f"{file.name} in the cache of packages was not what its SHA-256 says: it is fetched again")
        return taken

    def put(self, file: Path, sha256: str) -> None:
        """Keep a file whose digest is known."""
        place = self._place(sha256)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(dir=self.folder) as folder:
            partial = Path(folder) / file.name
            with file.open("rb") as reading:
                copied(reading, partial)
            partial.rename(place / file.name)

    def _copy(self, file: Path, sha256: str, into: Path) -> bool:
        with file.open("rb") as reading:
            same = copied(reading, into) == sha256
        if not same:
            into.unlink()
            file.unlink(missing_ok=True)
        return same

    def _place(self, sha256: str) -> Path:
        return self.folder / sha256


def copied(reading: Readable, into: Path, most: float = float("inf")) -> str:
    """Copy what is read to a new file; its SHA-256. Raises TooLarge for more than `most` bytes."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as writing:
        while chunk := reading.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise TooLarge
            digest.update(chunk)
            writing.write(chunk)
    return digest.hexdigest()
