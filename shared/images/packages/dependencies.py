"""What lies below models and driver: a conda environment, the scoring server, and packages, each a layer of its own.

Packages are decided on once for a manifest, and locked with hashes; its rebuilds are made of exactly those.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from shared.domain.building import Content, ImageSource, content_key
from shared.domain.errors import Unavailable
from shared.domain.images import Layer
from shared.domain.manifests import RuntimeType
from shared.domain.ports import BuildLog, Clock, Keep
from shared.domain.wire import Timestamp, Wire
from shared.images.content.fetch import Fetcher
from shared.images.content.source_layers import kept_name
from shared.images.image_config import DEPENDENCIES
from shared.images.packages.conda import CONDA, CONDA_INSTALLER, CondaInstaller, conda_entries
from shared.images.packages.distributions import LockedPackage, locked, overlaps, split
from shared.images.packages.environment import CondaEnvironment, parse_environment
from shared.images.packages.groups import Group, grouped
from shared.images.packages.installed import installed_entries
from shared.images.packages.pip import INSTALLER, PackageInstaller
from shared.images.packages.requirements import joined, parse_requirements, with_spark
from shared.images.packages.scoring_server import ScoringServer
from shared.images.packing.assembly import Assembly, Made, summary
from shared.images.packing.cache import layer_key
from shared.images.packing.layers import Entry
from shared.images.packing.pipes import all_of
from shared.images.whole_files import write_whole

PIP_LOCK, CONDA_LOCK = "pip.lock", "conda.lock"
_MOST_PACKAGE_LAYERS = 60
_LOCK_LASTS = timedelta(hours=1)
_LARGEST_FILE = 1024 * 1024
_MOST_LOCKS = 200


@dataclass(frozen=True)
class DependencySettings:
    """What packages are installed for, where they come from, and the folder on this machine that may be worked in."""

    platform: str
    python: str
    scratch: Path
    runtime: Path
    indexes: tuple[str, ...] = ()
    source_packages: bool = True
    conda_channels: tuple[str, ...] = ("conda-forge",)


type _Owned = Mapping[str, tuple[Path, tuple[Path, ...]]]
"""Where each package is installed, and its files."""


class _Resolution(Wire):
    """What requirements came to, and when."""

    at: Timestamp
    lock: str


class Dependencies:
    """Decides on them, and makes their layers."""

    def __init__(self, settings: DependencySettings, fetcher: Fetcher, keep: Keep, clock: Clock) -> None:
        self._settings = settings
        self._fetcher = fetcher
        self._keep = keep
        self._clock = clock
        self._locks: dict[str, str] = {}
        downloads = settings.scratch / "packages"
        self._pip = PackageInstaller(
            settings.platform, settings.python, downloads, settings.source_packages, settings.indexes
        )
        self._conda = CondaInstaller(settings.platform, settings.python, settings.scratch / "conda")
        self._server = ScoringServer(settings.runtime, self._key, self._files_of)

    async def resolve(self, source: ImageSource, log: BuildLog) -> Mapping[str, Content]:
        """The locks of its packages, kept, by `content_key`. Raises BuildFailed for what cannot be installed."""
        properties = source.manifest.target_runtime.properties
        spark = source.manifest.target_runtime.runtime_type is RuntimeType.SPARK_PYTHON
        wanted = properties.pip_requirements or properties.conda_env_file or spark
        keys = {name: content_key(source.manifest.id, name) for name in (PIP_LOCK, CONDA_LOCK)}
        if not wanted or keys[PIP_LOCK] in source.known:
            return {}
        environment = await self._environment(properties.conda_env_file, log)
        lines = joined(await self._requirements(properties.pip_requirements, log), await self._parsed(environment.pip))
        lines = with_spark(lines, environment.specs) if spark else lines
        conda = await self._lock_conda(environment) if environment.specs else ""
        pip = await self._lock_pip(lines, source, log) if lines else ""
        locks = {CONDA_LOCK: conda, PIP_LOCK: pip}
        return {keys[name]: Content(await self._kept(lock)) for name, lock in locks.items()}

    async def requirements(self, source: ImageSource, log: BuildLog) -> tuple[str, ...]:
        """The lines of its requirements file, checked. Raises BuildFailed."""
        return await self._requirements(source.manifest.target_runtime.properties.pip_requirements, log)

    @property
    def python(self) -> str:
        """The version of Python that packages are installed for."""
        return self._settings.python

    @property
    def runtime_lock(self) -> str:
        """The packages of the scoring server."""
        return self._server.lock

    async def locks(self, source: ImageSource) -> Mapping[str, str]:
        """All its locks, by name. Raises Unavailable."""
        return {name: await self.lock(source, name) for name in (PIP_LOCK, CONDA_LOCK)}

    async def lock(self, source: ImageSource, name: str) -> str:
        """A lock that was decided on, empty when there is nothing to install. Raises Unavailable."""
        known = source.known.get(content_key(source.manifest.id, name))
        if known is None:
            return ""
        if known.digest not in self._locks:
            text = await self._keep.get(kept_name(known.digest))
            if text is None:
                raise Unavailable(f"The {name} of manifest {source.manifest.id} is not kept any more.", code="NotKept")
            self._remember(known.digest, text.decode())
        return self._locks[known.digest]

    def _remember(self, digest: str, lock: str) -> None:
        """The next step, or build, asks for it again."""
        if len(self._locks) >= _MOST_LOCKS:
            self._locks.pop(next(iter(self._locks)))
        self._locks[digest] = lock

    async def layers(self, source: ImageSource, assembly: Assembly, *, most: int) -> list[Layer]:
        """The layers of conda's packages, the scoring server and pip's packages, made side by side; of the latter `most`."""
        locks = await self.locks(source)
        conda, pip = locks[CONDA_LOCK], locks[PIP_LOCK]
        making = [self._conda_layer(conda, assembly)] if conda else []
        making += [self._server.packages(assembly), self._server.layer(assembly)]
        if pip:
            making.append(self._package_layers(locked(pip), assembly, min(most, _MOST_PACKAGE_LAYERS)))
        return [layer for made in await all_of(making) for layer in made.layers]

    async def _environment(self, url: str | None, log: BuildLog) -> CondaEnvironment:
        if url is None:
            return CondaEnvironment((), (), b"")
        content = await self._fetcher.read(url, _LARGEST_FILE)
        log.line(f"fetched the conda environment: {len(content)} bytes")
        return await asyncio.to_thread(parse_environment, content, self._settings.conda_channels, self._settings.python)

    async def _requirements(self, url: str | None, log: BuildLog) -> tuple[str, ...]:
        if url is None:
            return ()
        content = await self._fetcher.read(url, _LARGEST_FILE)
        log.line(f"fetched the requirements file: {len(content)} bytes")
        return await self._parsed(content)

    async def _parsed(self, content: bytes) -> tuple[str, ...]:
        return await asyncio.to_thread(parse_requirements, content, self._settings.indexes)

    async def _lock_conda(self, environment: CondaEnvironment) -> str:
        return await asyncio.to_thread(self._conda.lock, environment)

    async def _lock_pip(self, lines: tuple[str, ...], source: ImageSource, log: BuildLog) -> str:
        """Those requirements, resolved; as they were resolved for another manifest, when that was within the hour, or while
        the index is away."""
        now, before = self._clock.now(), self._resolved_before(lines)
        if before and not source.no_cache and now - before.at < _LOCK_LASTS:
            log.line(f"{len(lines)} requirements, as they were resolved at {before.at:%H:%M}")
            return before.lock
        log.line(f"resolving {len(lines)} requirements")
        try:
            lock = await asyncio.to_thread(self._pip.lock, lines)
        except Unavailable as away:
            if before is None:
                raise
            log.line(f"{away.message} The {len(lines)} requirements are as they were resolved at {before.at}.")
            return before.lock
        write_whole(self._lock_file(lines), _Resolution(at=now, lock=lock).json_text().encode())
        log.line(f"resolved {len(lines)} requirements in {(self._clock.now() - now).total_seconds():.2f} s")
        return lock

    def _resolved_before(self, lines: tuple[str, ...]) -> _Resolution | None:
        """By this process, or another one of this machine."""
        try:
            return _Resolution.from_stored(self._lock_file(lines).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _lock_file(self, lines: tuple[str, ...]) -> Path:
        key = layer_key(INSTALLER, self._settings.platform, self._settings.python, *self._settings.indexes, *lines)
        return self._settings.scratch / "locks" / f"{key}.json"

    async def _kept(self, lock: str) -> str:
        digest = f"sha256:{hashlib.sha256(lock.encode()).hexdigest()}"
        await self._keep.put(kept_name(digest), lock.encode())
        self._remember(digest, lock)
        return digest

    def _files_of(self, lock: str, prefix: str) -> Iterator[Entry]:
        with self._tree() as tree:
            self._pip.install(lock, tree)
            yield from installed_entries(tree, prefix)

    async def _conda_layer(self, lock: str, assembly: Assembly) -> Made:
        key = self._key(assembly, "conda", CONDA_INSTALLER, lock)

        def entries() -> Iterator[Entry]:
            with self._tree() as tree:
                self._conda.install(lock, tree)
                yield from conda_entries(tree, CONDA)

        made = await assembly.found(key) or await assembly.made(key, "conda environment", entries)
        assembly.log.line(f"conda environment: {summary(made.layers)}")
        return made

    async def _package_layers(self, packages: Sequence[LockedPackage], assembly: Assembly, most: int) -> Made:
        """All packages' layers, known together under the lock, and each by itself for every other lock it is in."""
        assembly.log.line(f"packages: {' '.join(f'{package.name}=={package.version}' for package in packages)}")
        key = self._key(assembly, "packages", str(most), *(package.text for package in packages))
        made = await assembly.found(key)
        if made is None:
            groups = grouped(packages, most)
            made = await assembly.known_as(key, await self._made_of(groups, assembly))
        assembly.log.line(f"packages: {len(made.layers)} layers, {summary(made.layers)}")
        return made

    async def _made_of(self, groups: Sequence[Group], assembly: Assembly) -> Made:
        keys = [self._key(assembly, "package", *(package.text for package in group.packages)) for group in groups]
        found = await asyncio.gather(*(assembly.found(key, group.title) for key, group in zip(keys, groups, strict=True)))
        missing = [(key, group) for key, group, made in zip(keys, groups, found, strict=True) if made is None]
        new = await self._installed(missing, assembly) if missing else {}
        layers = [layer for key, made in zip(keys, found, strict=True) for layer in (made or new[key]).layers]
        return Made(tuple(layers))

    async def _installed(self, missing: Sequence[tuple[str, Group]], assembly: Assembly) -> Mapping[str, Made]:
        """The groups' layers, of one installation."""
        with self._tree() as tree:
            packages = [package for _, group in missing for package in group.packages]
            assembly.log.line(f"installing {len(packages)} packages that no layer is there of")
            owned = await asyncio.to_thread(self._install, packages, tree, assembly.log)

            def entries(group: Group) -> Callable[[], Iterator[Entry]]:
                owns = [owned[package.name] for package in group.packages]
                return lambda: _sorted(
                    entry for tree, files in owns for entry in installed_entries(tree, DEPENDENCIES, files)
                )

            made = await all_of(assembly.made(key, group.title, entries(group)) for key, group in missing)
        return {key: one for (key, _), one in zip(missing, made, strict=True)}

    def _install(self, packages: Sequence[LockedPackage], tree: Path, log: BuildLog) -> _Owned:
        """The packages below `tree`: where each is, and its files. Those that claim the same file are installed apart."""
        self._pip.install("".join(package.text for package in packages), tree / "all", log.line)
        owned = {name: (tree / "all", files) for name, files in split(tree / "all").items()}
        sharing = {
            name for names in overlaps({name: files for name, (_, files) in owned.items()}).values() for name in names
        }
        for package in packages:
            if package.name in sharing:
                self._pip.install(package.text, tree / package.name)
                owned[package.name] = (tree / package.name, split(tree / package.name)[package.name])
        return owned

    def _key(self, assembly: Assembly, *parts: str) -> str:
        return layer_key(assembly.format, INSTALLER, self._settings.platform, self._settings.python, *parts)

    @contextmanager
    def _tree(self) -> Iterator[Path]:
        """A folder for one installation; gone afterwards."""
        self._settings.scratch.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._settings.scratch, prefix="install-") as folder:
            yield Path(folder)


def _sorted(entries: Iterator[Entry]) -> Iterator[Entry]:
    """In the order of their paths; of two with one path, as two packages may bring it, the first."""
    by_path: dict[str, Entry] = {}
    for entry in entries:
        by_path.setdefault(entry.path, entry)
    yield from (by_path[path] for path in sorted(by_path))
