"""The volumes of a pod, as folders of this machine."""

import base64
import shutil
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tests.clusters.cluster import Cluster, Object

_numbers = count(1)


class Volumes:
    """What a pod's containers have mounted, below one folder."""

    def __init__(self, cluster: Cluster, pod: Object, folder: Path) -> None:
        self._cluster = cluster
        self._volumes = {each["name"]: each for each in pod["spec"].get("volumes", [])}
        self._folder = folder

    async def prepare(self) -> bool:
        """Make them; false while a Secret is not there."""
        for name, volume in self._volumes.items():
            place = self.place(name)
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o755 if "secret" in volume else 0o777)
        return await self.sync()

    async def sync(self) -> bool:
        """Those of Secrets hold what the Secrets hold now; false where one is not there, and nothing changes."""
        found = {name: await self._content(each["secret"]) for name, each in self._volumes.items() if "secret" in each}
        for name, content in found.items():
            if content is not None:
                swap(self.place(name), content)
        return None not in found.values()

    def place(self, name: str) -> Path:
        """The folder of that volume."""
        return self._folder / name

    async def _content(self, volume: Object) -> dict[str, bytes] | None:
        secret = await self._cluster.request("GET", self._cluster.path("v1", "secrets", volume["secretName"]))
        if secret.get("kind") != "Secret":
            return None
        data = secret["data"]
        items = volume.get("items") or [{"key": key, "path": key} for key in data]
        return {item["path"]: base64.b64decode(data[item["key"]]) for item in items}


def swap(folder: Path, content: dict[str, bytes]) -> None:
    """Have these files in the folder, all at once, as a kubelet does: they lie behind `..data`, a link that is replaced."""
    data = folder / "..data"
    there = {path.name: path.read_bytes() for path in data.iterdir()} if data.exists() else None
    if there == content:
        return
    before = data.resolve() if there is not None else None
    version = folder / f"..{datetime.now(UTC):%Y_%m_%d_%H_%M_%S}.{next(_numbers)}"
    version.mkdir(mode=0o755)
    for name, held in content.items():
        (version / name).write_bytes(held)
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").rename(data)
    for name in content:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    if before is not None:
        shutil.rmtree(before)
