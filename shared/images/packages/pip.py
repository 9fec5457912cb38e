"""Resolving and installing packages for the platform an image is for, which need not be this machine's.

Files of packages are kept on this machine by their SHA-256, and digested whenever they are used. Source packages are built
here when all they hold is Python, so without a compiler, and in a sandbox: building runs their code.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from shared.domain.errors import BuildFailed
from shared.images.packages.bounded import Bounds
from shared.images.packages.deadline import Deadline
from shared.images.packages.distributions import LockedPackage, locked, with_given_hashes
from shared.images.packages.downloads import Downloads
from shared.images.packages.fetching import PackageFetcher
from shared.images.packages.index_secrets import discreet
from shared.images.packages.proving import ProvenSandbox
from shared.images.packages.pylock import PackageFile, PackageFiles, wheel_tags
from shared.images.packages.refusals import Refusals
from shared.images.packages.resolving import Resolver
from shared.images.packages.sandbox import Bubblewrap, Sandbox
from shared.images.packages.sources import NotBuilt, SourcePackages
from shared.images.packages.store import Store
from shared.images.packages.uv import Uv

_logger = logging.getLogger(__name__)
_AT_ONCE = 8

type Told = Callable[[str], object]
type Kept = Mapping[str, Path]
"""A file of each package, by name: a wheel, or its source."""


@cache
def proven_sandbox() -> Sandbox:
    """The sandbox of this process: it is tried once."""
    return ProvenSandbox(Bubblewrap())


@dataclass(frozen=True)
class PackageInstaller:
    """Resolves and installs for one platform (as OCI names it) and Python version; `downloads` keeps what it fetched.

    Of the operator's `indexes` the first takes the place of PyPI; the others are asked before it.
    """

    platform: str
    python: str
    downloads: Path
    sources: Sandbox | NotBuilt = field(default_factory=proven_sandbox)
    """Where packages that have no wheel are built."""
    indexes: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)

    @discreet
    def lock(self, requirements: tuple[str, ...]) -> str:
        """Those requirements and all they need, each pinned with hashes.

        A version that has a wheel is preferred to one that has none. Raises BuildFailed for a conflict or what cannot be had
        or built, Unavailable when the index is away or slow.
        """
        with self._run(self.bounds.resolve_seconds) as run:
            return with_given_hashes(run.lock("\n".join(requirements)), requirements)

    @discreet
    def install(self, lock: str, into: Path, told: Told = _logger.warning) -> None:
        """What a lock or a part of one names, installed below `into`; `told` is what is built, before it is.

        Raises BuildFailed naming what has no wheel for the platform and cannot be built, or must not be. While the index is
        away, what was downloaded before will do.
        """
        with self._run(self.bounds.install_seconds, told) as run:
            run.install(locked(lock), into.absolute())

    @contextmanager
    def _run(self, seconds: float, told: Told = _logger.warning) -> Iterator["_Run"]:
        uv, deadline = Uv(self.platform, self.python, self.indexes, self.bounds), Deadline(seconds)
        with uv.working() as workspace:
            # By target: which of its files is the best one for another target is another question.
            store = Store(self.downloads.absolute() / f"{self.platform.replace('/', '-')}-{self.python}")
            fetcher = PackageFetcher(self.indexes, self.bounds.file_size)
            downloads = Downloads(store, fetcher, workspace / "files", deadline.at, told)
            sources = SourcePackages(self.sources, uv, Refusals(uv), deadline, downloads)
            yield _Run(uv, workspace, deadline, downloads, sources, told)


@dataclass(frozen=True)
class _Run:
    """One use of the installer, within a time."""

    uv: Uv
    workspace: Path
    deadline: Deadline
    downloads: Downloads
    sources: SourcePackages
    told: Told

    def lock(self, lines: str) -> str:
        return self._resolver.lock(lines, self.sources.needs)

    def install(self, packages: Sequence[LockedPackage], into: Path) -> None:
        """Gather wheels, those that have to be built among them, and install them."""
        kept = {package.name: file for package in packages if (file := self.downloads.kept(package.hashes))}
        kept |= self._fetched([package for package in packages if package.name not in kept])
        wheels = self.workspace / "wheels"
        wheels.mkdir()
        built = self._built([package for package in packages if _is_source(kept.get(package.name))], kept, wheels)
        for file in kept.values():
            if not _is_source(file):
                file.rename(wheels / file.name)
        lock = "".join(built.get(package.name, package.text) for package in packages)
        ran = self.uv.install(self.workspace, lock, wheels, into, seconds=self.deadline.left)
        if ran.code != 0:
            raise self.sources.refusals.failure(ran, self.deadline.seconds)

    def _fetched(self, packages: Sequence[LockedPackage]) -> Kept:
        """The best wheel of each, or its source; nothing of those that the target does not need."""
        if not packages:
            return {}
        lines = "".join(package.text for package in packages)
        hashes = {package.name: package.hashes for package in packages}
        tags = wheel_tags(self.uv.platform, self.uv.python)

        def chosen(files: PackageFiles) -> PackageFile | None:
            return files.wheel(tags, hashes[files.name]) or files.sdist

        found = self._resolver.files(lines)
        if unfit := [files.name for files in found if chosen(files) is None]:
            found = self._from_source(lines, unfit)
        wanted = {files.name: file for files in found if (file := chosen(files))}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            fetched = pool.map(lambda name: self.downloads.file(wanted[name], hashes[name]), wanted)
            return dict(zip(wanted, fetched, strict=True))

    def _from_source(self, lines: str, names: Sequence[str]) -> list[PackageFiles]:
        """Those have wheels, but none that is locked: their source may be."""
        try:
            return self._resolver.files(lines, names)
        except BuildFailed as failed:
            if failed.code != "NoWheel":
                raise
            message = f"The package index has other files of {', '.join(names)} than were locked."
            raise BuildFailed(message, code="HashMismatch") from None

    def _built(self, packages: Sequence[LockedPackage], kept: Kept, wheels: Path) -> Mapping[str, str]:
        """Wheels of those, made of their sources: the lines of a lock that name them."""
        if not packages:
            return {}
        for package in packages:
            self.sources.allowed(str(package))
        self.told(f"no wheel for {self.uv.platform}, so built from their sources: {', '.join(map(str, packages))}")
        lines = {}
        for package in packages:
            built = self.sources.wheel(package, kept[package.name], wheels)
            lines[package.name] = f"{package} --hash=sha256:{built.sha256}\n"
        return lines

    @property
    def _resolver(self) -> Resolver:
        return Resolver(self.uv, self.workspace, self.deadline, self.sources.refusals, self.sources.allowed)


def _is_source(file: Path | None) -> bool:
    return file is not None and file.suffix != ".whl"
