"""Why packages are refused, in words that say what to do instead."""

import re
from dataclasses import dataclass

from shared.domain.building import NOT_BUILT_HERE
from shared.domain.errors import BuildFailed, InsufficientStorage, ServiceError, Unavailable, foreign, says_out_of_room
from shared.images.packages.bounded import TIME_IS_UP, Ran
from shared.images.packages.compiling import wanted_a_compiler
from shared.images.packages.distributions import locked
from shared.images.packages.requirements import Unsatisfiable
from shared.images.packages.uv import Uv, meaning

_IMPURE = "and its source holds more than Python"
_EXACT = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.+!-]+)")


@dataclass(frozen=True)
class Refusals:
    """The errors of one target's packages."""

    uv: Uv

    def failure(self, ran: Ran, seconds: float) -> ServiceError:
        """What it means that the installer failed."""
        if says_out_of_room(ran.said):
            return InsufficientStorage()
        if ran.code == TIME_IS_UP:
            message = f"The packages did not come within {seconds:.0f} s: the package index is slow."
            return Unavailable(message, code="PackagesTimedOut")
        (kind, code, message), why = meaning(ran), Unsatisfiable.read(ran.said)
        if code == "PackagesFailed" and why.without_wheel and not why.contested:
            return self.no_wheel(next(iter(why.without_wheel.values())), "")
        if code == "PackagesFailed" and "No solution found" in ran.said:
            return why.error()
        return kind(f"{message} ({ran.code}): {foreign(' '.join(ran.said.split()), 1000)}", code=code)

    def late(self, package: str, seconds: float) -> ServiceError:
        """A build that did not end."""
        message = f"{foreign(package)} was not built from its source within {seconds:.0f} s."
        return BuildFailed(f"{message} Name a version that has a wheel.", code="PackagesTimedOut")

    def broken(self, package: str, said: str) -> ServiceError:
        """A build that failed."""
        if says_out_of_room(said):
            return InsufficientStorage()
        if wanted_a_compiler(said):
            return self.impure(package)
        wrote = said.partition("hint:")[0].rstrip().rpartition("\n")[2].strip()
        why = f"and building it from its source failed: {foreign(wrote)}{self.uv.bounds.met(said)}"
        return self.no_wheel(package, why, "SourceBuildFailed")

    def impure(self, package: str) -> BuildFailed:
        """A build that needs a compiler."""
        return self.no_wheel(package, _IMPURE)

    def not_here(self, package: str, why: str) -> BuildFailed:
        """A source package whose code may not run here; it may elsewhere."""
        return BuildFailed(f"{self._which(package)}, {why}", code=NOT_BUILT_HERE)

    def no_wheel(self, package: str, reason: str, code: str = "NoWheel") -> BuildFailed:
        """A package that cannot be had for the target."""
        sentence = ", ".join(filter(None, [self._which(package), reason]))
        return BuildFailed(f"{sentence}. {self._instead(package)}", code=code)

    def _which(self, package: str) -> str:
        return f"{package} has no wheel for {self.uv.platform} with Python {self.uv.python}"

    def _instead(self, package: str) -> str:
        """What to name in its place: the next version that has a wheel, or else the last one before it."""
        exact, unknown = _EXACT.fullmatch(package), "Name a version that has a wheel for it, or another package."
        if exact is None:
            return unknown
        for asked, which in ((f"{exact[1]}>{exact[2]}", "lowest"), (f"{exact[1]}<{exact[2]}", "highest")):
            ran = self._nearest(asked, which)
            if found := locked(ran.output):
                return f"The nearest version that has one is {found[0].version}: name that, or another package."
            if "No solution found" not in ran.said:
                return unknown
        return "No version of it in the package index has one: name another package."

    def _nearest(self, asked: str, which: str) -> Ran:
        with self.uv.working() as workspace:
            seconds = self.uv.bounds.nearest_seconds
            return self.uv.compile(workspace, asked, {}, "--no-deps", "--resolution", which, seconds=seconds)
