"""The content of images, unpacked: one folder an image, which its replicas share."""

import asyncio
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from local.compute.threads import in_thread
from shared.images.layouts.reader import LayoutReader

APP = "/var/azureml-app"
APP_FOLDER = "app"
"""What a replica's own copy of it is called."""
_LEAVING = ".leaving"


@dataclass(frozen=True)
class Content:
    """An image's files below `root`, and how it is started: OCI image specification, `Entrypoint` and `Env`."""

    root: Path
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]

    def copy_app(self, to: Path) -> None:
        """A copy of the one folder, for one replica to write in."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.root / APP.lstrip("/"), to)

    def here(self, text: str, app: Path) -> str:
        """A path of the image as it is on this machine, the one folder being `app`; any other text as it stands."""
        if text == APP or text.startswith(f"{APP}/"):
            return f"{app}{text[len(APP) :]}"
        return f"{self.root}{text}" if text.startswith(("/opt/", "/var/")) else text


def in_image(folder: Path) -> Callable[[str], str]:
    """What makes of text with paths below a node's folder the same with the paths that these have in the image."""
    app = re.compile(re.escape(f"{folder}/replicas/") + rf"[^/]+/{APP_FOLDER}")
    root = re.compile(re.escape(f"{folder}/images/") + "[^/]+")
    return lambda text: root.sub("", app.sub(APP, text))


class Contents:
    """Unpacks images when they are first needed, and removes those that are not needed any more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = LayoutReader()
        self._lock = asyncio.Lock()

    async def ensure(self, location: str, digest: str) -> Content:
        """The content of that image; raises OSError or ServiceError when it cannot be read."""
        async with self._lock:
            return await in_thread(partial(self._unpacked, location, digest))

    async def keep_only(self, needed: Callable[[], Collection[str]]) -> None:
        """Remove the content of all images but those; they are asked for when no image can be begun any more."""
        async with self._lock:
            await in_thread(partial(self._remove_others, {_folder_name(digest) for digest in needed()}))

    def _unpacked(self, location: str, digest: str) -> Content:
        config = self._reader.image_config(location, digest)
        root = self._folder / _folder_name(digest)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._reader.unpack(location, digest, root)
        environment = dict(entry.split("=", 1) for entry in config.get("Env", ()))
        return Content(root, tuple(config["Entrypoint"]), environment)

    def _remove_others(self, kept: Collection[str]) -> None:
        for root in list(self._folder.glob("*")):
            if root.name not in kept:
                leaving = root.with_suffix(_LEAVING)  # what is half removed must not look like an image
                shutil.rmtree(root.replace(leaving), ignore_errors=True)


def _folder_name(digest: str) -> str:
    return digest.replace(":", "-")
