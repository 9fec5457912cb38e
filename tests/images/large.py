"""A process that builds an image with a large model, and prints how much memory and disk it took at most."""

import asyncio
import json
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Self

from shared.registries.registries import Registries
from shared.storage.blobs import BlobAccount
from shared.storage.connection import StorageConnection
from shared.storage.keep import BlobKeep
from tests.images.making import assembled, make_builder, no_identity, source
from tests.images.sources import Sources


def peak_memory() -> int:
    """Of this process, in bytes; `getrusage` would tell of the one that started it, too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


class DiskWatch:
    """Looks at a folder all the time, and remembers how much was in it at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0

    def _look(self) -> None:
        while not self._over.wait(0.05):
            sizes = [file.stat().st_size for file in self._folder.rglob("*") if file.is_file()]
            self.most = max(self.most, sum(sizes))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


async def build(given: dict[str, str], folder: Path) -> None:
    """Build it into the registry."""
    account = BlobAccount(StorageConnection.from_settings({"AzureWebJobsStorage": given["storage"]}))
    registries = Registries({}, no_identity)
    with Sources() as sources:
        image = source(sources, models={"model.bin": (b"", False)})
        (folder / "downloads").mkdir()
        builder = make_builder(
            folder,
            sources,
            folder / "downloads",
            registries,
            keep=BlobKeep(account),
            images=None,
            registry=given["registry"],
            allow=(given["host"],),
        )
        await assembled(builder, replace(image, models=(image.models[0].but(url=given["url"]),)))
    await registries.close()
    await account.close()


def main() -> None:
    """Print the bytes of memory and of disk."""
    given = json.loads(sys.argv[1])
    folder = Path(given["folder"])
    with DiskWatch(folder) as disk:
        asyncio.run(build(given, folder))
    sys.stdout.write(json.dumps({"memory": peak_memory(), "disk": disk.most}))


if __name__ == "__main__":
    main()
