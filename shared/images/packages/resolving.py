"""Resolving requirements to files of packages: to wheels, and to source where a package has no wheel that fits.

None of the code of packages is run here. What a source package needs is asked for, version by version, until the solution
holds no version of which that is not known.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.images.packages.bounded import Ran
from shared.images.packages.deadline import Deadline
from shared.images.packages.needs import Needs
from shared.images.packages.pylock import PackageFiles, read_pylock
from shared.images.packages.refusals import Refusals
from shared.images.packages.requirements import Unsatisfiable
from shared.images.packages.uv import Uv, meaning

type Known = dict[str, dict[str, Needs]]
"""What is had as source, by name: the needs of its versions."""


@dataclass(frozen=True)
class Resolver:
    """For one run. `allowed` is asked before a package is taken as source, and raises what refuses it."""

    uv: Uv
    workspace: Path
    deadline: Deadline
    refusals: Refusals
    allowed: Callable[[str], object]

    def lock(self, lines: str, needs: Callable[[PackageFiles], Needs]) -> str:
        """The requirements in those lines and all they need, each pinned with hashes; `needs` is asked what sources need."""
        ran = self._compiled(lines, {}, "--generate-hashes")
        if without := _without_wheel(ran):
            sources = self._known_sources(lines, self._as_sources(without), needs)
            ran = self._compiled(lines, sources, "--generate-hashes")
        return self._checked(ran)

    def files(self, lines: str, from_source: Iterable[str] = ()) -> list[PackageFiles]:
        """The files of pinned packages; of those that have no wheel, or are to come from source, the source."""
        return self._found(lines, {name: {} for name in from_source}, "--no-deps")

    def _known_sources(self, lines: str, sources: Known, needs: Callable[[PackageFiles], Needs]) -> Known:
        """What a solution has to hold as source, and what that needs."""
        while True:
            found = self._found(lines, sources)
            unknown = [files for files in found if files.version not in sources.get(files.name, {files.version: None})]
            if not unknown:
                return sources
            for files in unknown:
                sources[files.name][files.version] = needs(files)

    def _found(self, lines: str, sources: Known, *more: str) -> list[PackageFiles]:
        """A solution; `sources` comes to hold what has no wheel."""
        while True:
            ran = self._compiled(lines, sources, "--format", "pylock.toml", *more)
            without = {name: package for name, package in _without_wheel(ran).items() if name not in sources}
            if not without:
                return read_pylock(self._checked(ran))
            sources |= self._as_sources(without)

    def _as_sources(self, packages: Mapping[str, str]) -> Known:
        """Those by name, if they may be had as source; nothing is known of their versions."""
        for package in packages.values():
            self.allowed(package)
        return {name: {} for name in packages}

    def _compiled(self, lines: str, sources: Known, *more: str) -> Ran:
        return self.uv.compile(self.workspace, lines, sources, *more, seconds=self.deadline.left)

    def _checked(self, ran: Ran) -> str:
        if ran.code != 0:
            raise self.refusals.failure(ran, self.deadline.seconds)
        return ran.output


def _without_wheel(ran: Ran) -> dict[str, str]:
    """The packages that no wheel was found of, by name, as they were named."""
    if ran.code == 0 or meaning(ran)[1] != "PackagesFailed":
        return {}
    return dict(Unsatisfiable.read(ran.said).without_wheel)
