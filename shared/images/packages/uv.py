"""uv, for the platform an image is for, which need not be this machine's. None of the code of packages runs in it.

It resolves with a cache of its own each time, since what is in a shared one is not digested again.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from uv import find_uv_bin

from shared.domain.errors import BuildFailed, ServiceError, Unavailable
from shared.images.packages.bounded import Bounds, Ran, run, told_to_installer
from shared.images.packages.needs import Needs
from shared.images.packages.requirements import configuration

PLATFORMS = {
    "linux/amd64": "x86_64-manylinux_2_28",
    "linux/arm64": "aarch64-manylinux_2_28",
    "darwin/amd64": "x86_64-apple-darwin",
    "darwin/arm64": "aarch64-apple-darwin",
}
INSTALLER = f"uv-{version('uv')}"
"""Part of the cache keys of what it makes."""
_COMPILE = ("pip", "compile", "listed.txt", "--no-header", "--no-annotate", "--only-binary", ":all:")
_INSTALL = ("pip", "install", "-r", "listed.txt", "--no-build", "--link-mode", "hardlink")
_MEANINGS: Mapping[str, tuple[type[ServiceError], str, str]] = {
    "authentication credentials": (BuildFailed, "IndexDenied", "The package index refuses the app's credentials"),
    "[Hh]ash mismatch": (BuildFailed, "HashMismatch", "The package index has other files than were locked"),
    "error sending request|timed? ?out|server error|ailed to fetch": (Unavailable, "IndexUnavailable", "The index is away"),
    "": (BuildFailed, "PackagesFailed", "The packages could not be installed"),
}
"""What it means when the installer says such a thing; the last is for what it says of packages."""

type Sources = Mapping[str, Mapping[str, Needs]]
"""The packages that are to come as source, by name: the needs of those versions of them that are known."""


def meaning(ran: Ran) -> tuple[type[ServiceError], str, str]:
    """What a run that failed means: the kind of error, its code, and the beginning of a sentence."""
    return next(meaning for sign, meaning in _MEANINGS.items() if re.search(sign, ran.said))


@dataclass(frozen=True)
class Uv:
    """It, for one platform (as OCI names it) and Python version. Of `indexes` the first takes the place of PyPI."""

    platform: str
    python: str
    indexes: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)

    @contextmanager
    def working(self) -> Iterator[Path]:
        """A folder to run it in, gone afterwards."""
        if self.platform not in PLATFORMS:
            raise BuildFailed(f"Images for {self.platform} cannot be built; known are {', '.join(PLATFORMS)}.")
        with TemporaryDirectory(prefix="slipway-", ignore_cleanup_errors=True) as folder:
            yield Path(folder).resolve()

    def compile(self, workspace: Path, lines: str, sources: Sources, *more: str, seconds: float) -> Ran:
        """Resolve the requirements in those lines, to wheels, and to source for `sources` alone. What is not known of a
        version of those is taken to be nothing, so that it is not built to learn it."""
        stated = [Needs().stated(name) for name in sources]
        stated += [needs.stated(name, number) for name, known in sources.items() for number, needs in known.items()]
        allowed = [option for name in sources for option in ("--no-binary", name)]
        return self._run(workspace, lines, seconds, [*_COMPILE, *allowed, *self._target(), *more], "".join(stated))

    def install(self, workspace: Path, lock: str, wheels: Path, into: Path, *, seconds: float) -> Ran:
        """Install what the lock names below `into`, of the files in `wheels` and nothing else."""
        pinned = ["--require-hashes", "--no-deps", "--no-index", "--offline", "--find-links", str(wheels)]
        return self._run(workspace, lock, seconds, [*_INSTALL, *pinned, "--target", str(into), *self._target()])

    def install_here(self, workspace: Path, lines: str, into: Path, *more: str, seconds: float) -> Ran:
        """Install wheels of those requirements and all they need below `into`, for the Python of this machine."""
        return self._run(workspace, lines, seconds, [*_INSTALL, "--target", str(into), *more])

    def _target(self) -> Sequence[str]:
        return "--python-version", self.python, "--python-platform", PLATFORMS[self.platform]

    def _run(self, workspace: Path, listed: str, seconds: float, arguments: Sequence[str], stated: str = "") -> Ran:
        (workspace / "listed.txt").write_text(listed)
        common = ["--python", sys.executable, "--no-progress", "--color", "never", "--config-file", "/dev/stdin"]
        command = [find_uv_bin(), *arguments, *common, "--cache-dir", str(workspace / "cache")]
        told = f"{configuration(self.indexes)}{stated}"
        return run(command, told, workspace, seconds, self.bounds, environment=told_to_installer(workspace))
