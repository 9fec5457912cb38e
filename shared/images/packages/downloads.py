"""The files of packages: those that are kept on this machine, and the others fetched, each with a digest that was locked."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from shared.domain.errors import BuildFailed, foreign
from shared.images.packages.fetching import PackageFetcher
from shared.images.packages.pylock import PackageFile
from shared.images.packages.store import Store

_SHA256 = "sha256:"


@dataclass(frozen=True)
class Downloads:
    """Copies of files for one run, below `folder`; `until` is a time of the monotonic clock. `told` hears of damage."""

    store: Store
    fetcher: PackageFetcher
    folder: Path
    until: float
    told: Callable[[str], object]

    def kept(self, hashes: Collection[str]) -> Path | None:
        """A file with one of those digests that is kept on this machine: a wheel, if there is one."""
        self.folder.mkdir(exist_ok=True)
        digests = [digest.removeprefix(_SHA256) for digest in hashes if digest.startswith(_SHA256)]
        found = self.store.take(digests, self.folder, self.told)
        return min(found, key=lambda file: file.suffix != ".whl", default=None)

    def file(self, file: PackageFile, hashes: Collection[str]) -> Path:
        """That file, from wherever it is. Raises BuildFailed when it has none of those digests."""
        if kept := self.kept([file.digest]):
            return kept
        into = self.folder / Path(file.name).name
        digest = f"{_SHA256}{self.fetcher.fetch(file, into, self.until)}"
        if digest not in hashes:
            into.unlink()
            raise BuildFailed(
                f"The package index has another file {foreign(file.name)} than was locked.", code="HashMismatch"
            )
        self.store.put(into, digest.removeprefix(_SHA256))
        return into
