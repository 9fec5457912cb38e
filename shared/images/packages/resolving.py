"""Resolving requirements to files of packages: to wheels, and to source where a package has no wheel that fits.

None of the code of packages is run here. What a source package needs is asked for, version by version, until the solution
holds no version of which that is not known.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.images.packages.bounded import Ran
from shared.images.packages.deadline import Deadline
from shared.images.packages.needs import Needs
from shared.images.packages.pylock import PackageFiles, read_pylock
from shared.images.packages.refusals import Refusals
from shared.images.packages.requirements import Unsatisfiable
from shared.images.packages.uv import Uv, meaning


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
        if _without_wheel(ran):
            ran = self._compiled(lines, self._sources(lines, needs), "--generate-hashes")
        return self._checked(ran)

    def files(self, lines: str, from_source: Iterable[str] = ()) -> list[PackageFiles]:
        """The files of pinned packages; of those that have no wheel, or are to come from source, the source."""
        return self._found(lines, {name: {} for name in from_source}, "--no-deps")

    def _sources(self, lines: str, needs: Callable[[PackageFiles], Needs]) -> dict[str, dict[str, Needs]]:
        sources: dict[str, dict[str, Needs]] = {}
        while True:
            found = self._found(lines, sources)
            unknown = [files for files in found if files.version not in sources.get(files.name, {files.version: None})]
            if not unknown:
                return sources
            for files in unknown:
                sources[files.name][files.version] = needs(files)

    def _found(self, lines: str, sources: dict[str, dict[str, Needs]], *more: str) -> list[PackageFiles]:
        """A solution; `sources` comes to hold what has no wheel."""
        while True:
            ran = self._compiled(lines, sources, "--format", "pylock.toml", *more)
            without = {name: package for name, package in _without_wheel(ran).items() if name not in sources}
            if not without:
                return read_pylock(self._checked(ran))
            for name, package in without.items():
                self.allowed(package)
                sources[name] = {}

    def _compiled(self, lines: str, sources: dict[str, dict[str, Needs]], *more: str) -> Ran:
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
