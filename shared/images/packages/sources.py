"""Source packages: whether they may be built here, and what becomes of those that may."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from packaging.requirements import Requirement

from shared.domain.errors import foreign
from shared.images.packages.bounded import TIME_IS_UP
from shared.images.packages.compiling import build_constraints
from shared.images.packages.deadline import Deadline
from shared.images.packages.distributions import LockedPackage
from shared.images.packages.downloads import Downloads
from shared.images.packages.needs import Needs
from shared.images.packages.pylock import PackageFiles
from shared.images.packages.refusals import Refusals
from shared.images.packages.sandbox import Sandbox
from shared.images.packages.source_builds import BuildBroke, BuildLate, BuiltWheel, SourceBuilds
from shared.images.packages.uv import Uv, meaning


class NotBuilt(Enum):
    """Source packages are not built here: why, as a part of the error's sentence."""

    REFUSED = "and by SLIPWAY_SOURCE_PACKAGES source packages are not built here"
    ELSEWHERE = "and by SLIPWAY_SOURCE_PACKAGES ACR Tasks builds source packages"


_UNPROVEN = (
    "and this host lacks what keeps the code of its source from the app: {}. Name a version that has a wheel, have ACR "
    "Tasks build it (SLIPWAY_REGISTRY_RESOURCE_ID), or trust all source packages with SLIPWAY_SOURCE_PACKAGES=trust."
)


@dataclass(frozen=True)
class SourcePackages:
    """Those of one run of the installer."""

    where: Sandbox | NotBuilt
    uv: Uv
    refusals: Refusals
    deadline: Deadline
    downloads: Downloads

    def allowed(self, package: str) -> Sandbox:
        """Where it is built; raises BuildFailed when it must not be."""
        if self.where is NotBuilt.REFUSED:
            raise self.refusals.no_wheel(package, self.where.value)
        if isinstance(self.where, NotBuilt):
            raise self.refusals.not_here(package, f"{self.where.value}.")
        if lacking := self.where.lacking():
            raise self.refusals.not_here(package, _UNPROVEN.format(foreign(", ".join(lacking), 500)))
        return self.where

    def needs(self, files: PackageFiles) -> Needs:
        """What a version needs; raises BuildFailed."""
        with self._building(str(files)) as builds:
            return builds.needs(self._archive(files), self.deadline.at)

    def wheel(self, package: LockedPackage, archive: Path, into: Path) -> BuiltWheel:
        """A wheel of it, good for every platform, below `into`; raises BuildFailed."""
        with self._building(str(package)) as builds:
            built = builds.wheel(package.name, package.version, archive, into, self.deadline.at)
        if not built.pure:
            raise self.refusals.impure(str(package))
        return built

    def _archive(self, files: PackageFiles) -> Path:
        if files.sdist is None:
            raise self.refusals.no_wheel(str(files), "")
        return self.downloads.file(files.sdist, [files.sdist.digest])

    @contextmanager
    def _building(self, package: str) -> Iterator[SourceBuilds]:
        builds = SourceBuilds(self.allowed(package), self.uv.bounds, self._bring)
        try:
            yield builds
        except BuildLate:
            raise self.refusals.late(package, self.deadline.seconds) from None
        except BuildBroke as broke:
            raise self.refusals.broken(package, broke.said) from None

    def _bring(self, requirements: list[Requirement], into: Path) -> None:
        """Install wheels of what a build asks for; nothing that is there to compile."""
        with self.uv.working() as workspace:
            lines = "".join(f"{requirement}\n" for requirement in requirements)
            more = build_constraints(workspace)
            ran = self.uv.install_here(workspace, lines, into, *more, seconds=self.deadline.left)
        if ran.code == 0:
            return
        if ran.code == TIME_IS_UP or meaning(ran)[1] != "PackagesFailed":
            raise self.refusals.failure(ran, self.deadline.seconds)
        raise BuildBroke(ran.said)
