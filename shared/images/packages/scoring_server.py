"""The scoring server as two layers: its packages, and itself. They are the same in every image of one version."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from shared.images.image_config import RUNTIME
from shared.images.packing.assembly import Assembly, Made
from shared.images.packing.layers import Entry, file_entry


class ScoringServer:
    """Makes them of its folder. Its packages change less often than it does, and are most of it."""

    def __init__(self, folder: Path, key: Callable[..., str], installed: Callable[[str, str], Iterator[Entry]]) -> None:
        """`key` names a layer by what it is made of; `installed` are the files of a lock's packages below a prefix."""
        self._folder = folder
        self._key = key
        self._installed = installed

    @property
    def lock(self) -> str:
        """Its packages."""
        return (self._folder / "requirements.txt").read_text()

    async def packages(self, assembly: Assembly) -> Made:
        """The layer of its packages."""
        lock = self.lock
        key = self._key(assembly, "server packages", lock)
        entries = partial(self._installed, lock, f"{RUNTIME}/lib")
        return await assembly.found(key) or await assembly.made(key, "packages of the scoring server", entries)

    async def layer(self, assembly: Assembly) -> Made:
        """The layer of itself."""
        files = sorted(self._folder.rglob("*.py"))
        key = self._key(assembly, "server", *(f"{each.relative_to(self._folder)}={each.read_text()}" for each in files))

        def entries() -> Iterator[Entry]:
            for each in files:
                yield file_entry(f"{RUNTIME}/{each.relative_to(self._folder).as_posix()}", each)

        return await assembly.found(key) or await assembly.made(key, "scoring server", entries)
