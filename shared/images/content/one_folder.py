"""The one folder that models, assets and driver share: what goes into it, and under which names (client-facts.md, 22)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import unquote, urlsplit

from shared.domain.building import ImageSource, content_key
from shared.domain.errors import BuildFailed
from shared.images.content.guard import Limits, safe_path


@dataclass(frozen=True)
class Source:
    """A model or asset on its way into the folder; `name` is how messages and the log call it."""

    name: str
    url: str
    unpack: bool
    key: str
    """What its content is known by: `content_key`."""

    @property
    def file_name(self) -> str:
        """What it is stored under when it is not unpacked: the last segment of its URL's path."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    def refuse_without_name(self) -> None:
        """Raises BuildFailed when it cannot be stored under its name."""
        try:
            safe_path(self.file_name, self.name, Limits())
        except BuildFailed as error:
            why = "what is not unpacked is stored under the last part of its URL's path"
            raise BuildFailed(f"{self.name}: its URL ends in no name of a file, and {why}.", code="BadFileName") from error


def models(image: ImageSource) -> Iterator[Source]:
    """The models."""
    for model in image.models:
        yield Source(f"model {model.name} version {model.version}", model.url, model.unpack, content_key(model.id))


def assets(image: ImageSource) -> Iterator[Source]:
    """The assets but the driver."""
    for index, asset in enumerate(image.manifest.assets):
        if asset is not image.manifest.driver:
            key = content_key(image.manifest.id, index)
            yield Source(f"assets[{index}] '{asset.id or ''}'", asset.url, asset.unpack, key)


def driver_source(image: ImageSource) -> Source:
    """The driver program."""
    manifest, driver = image.manifest, image.manifest.driver
    key = content_key(manifest.id, manifest.assets.index(driver))
    return Source(f"the driver '{driver.id}'", driver.url, driver.unpack, key)


class OneFolder:
    """Who brings which file: no two sources may bring one, nor one a file where another needs a folder."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def take(self, name: str, paths: Iterable[str]) -> None:
        """Take those files of that source, and folders, which end in `/`; raises BuildFailed naming both and the path."""
        for path in paths:
            *folders, last = accumulate(path.split("/"), "{}/{}".format)
            held = [self._files[place] for place in (*folders, last) if place in self._files]
            other = held[0] if held else self._folders.get(last)
            if other is not None:
                who = f"{name} brings '{path}' twice" if other == name else f"{name} and {other} both bring '{path}'"
                raise BuildFailed(f"{who}, and there is one folder for all; rename one of them.", code="SameName")
            if not path.endswith("/"):
                self._files[path] = name
            for folder in folders:
                self._folders.setdefault(folder, name)
