"""Images as a node has them: pulled from their registry by digest, and unpacked, by tools that nobody here wrote."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.registries.running import judge


class PullFailed(Exception):
    """The image cannot be had; the text is what the registry's client said."""


@dataclass(frozen=True)
class Unpacked:
    """The files of an image, and its configuration."""

    root: Path
    config: dict[str, Any]

    @property
    def user(self) -> int:
        """Whom its processes run as: a number, or a kubelet that wants them not to be root refuses the image."""
        user = self.config.get("User", "").partition(":")[0]
        assert user.isdecimal(), f"the image's user is {user!r}"
        assert int(user) > 0, "the image runs as root"
        return int(user)

    @property
    def environment(self) -> dict[str, str]:
        return dict(each.split("=", 1) for each in self.config.get("Env", []))


class Images:
    """The images of a node, each pulled once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pulling = asyncio.Lock()

    async def pulled(self, reference: str) -> Unpacked:
        """The image of that reference, which names its digest; raises PullFailed."""
        _, _, digest = reference.partition("@sha256:")
        assert digest, f"{reference} names no digest"
        async with self._pulling:
            if not (self._folder / digest / "bundle").exists():
                await self._pull(reference, self._folder / digest)
        layout = f"oci:{self._folder / digest / 'layout'}:x"
        config = json.loads(await _said(judge("skopeo"), "inspect", "--config", layout))
        return Unpacked(self._folder / digest / "bundle" / "rootfs", config["config"])

    async def _pull(self, reference: str, folder: Path) -> None:
        layout = folder / "layout"
        layout.parent.mkdir(parents=True, exist_ok=True)
        await _said(judge("skopeo"), "copy", "--src-tls-verify=false", f"docker://{reference}", f"oci:{layout}:x")
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        await _said(judge("umoci"), "unpack", *rootless, "--image", f"{layout}:x", folder / "bundle")
        (folder / "bundle").chmod(0o711)


async def _said(*command: str | Path | Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await process.communicate()
    if process.returncode:
        raise PullFailed(complained.decode(errors="replace").strip()[-600:])
    return said.decode()
