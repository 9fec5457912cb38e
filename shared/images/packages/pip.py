"""Resolving and installing packages for the platform an image is for, which need not be this machine's. By uv.

Source packages are built here when all they hold is Python, so without a compiler. Building runs their code: in processes
that are bounded in time, memory and files, that are told nothing of this app's identity, storage and package indexes, that
never meet the downloads of other builds, and that all end with the run.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from uv import find_uv_bin

from shared.domain.errors import BuildFailed, InsufficientStorage, ServiceError, Unavailable, foreign, says_out_of_room
from shared.images.packages.bounded import AT_WORK, TIME_IS_UP, Bounds, Ran, run
from shared.images.packages.compiling import wanted_a_compiler, without_compilers
from shared.images.packages.distributions import LockedPackage, locked, pure_distributions, with_given_hashes
from shared.images.packages.index_secrets import discreet
from shared.images.packages.requirements import Unsatisfiable, configuration

PLATFORMS = {
    "linux/amd64": "x86_64-manylinux_2_28",
    "linux/arm64": "aarch64-manylinux_2_28",
    "darwin/amd64": "x86_64-apple-darwin",
    "darwin/arm64": "aarch64-apple-darwin",
}
INSTALLER = f"uv-{version('uv')}"
"""Part of the cache keys of what it makes."""
_IMPURE = "and its source holds more than Python"
_SOURCE_FOLDER = re.compile(rf"{AT_WORK}\S*/([^/\s]+)/([^/\s]+)/[^/\s]+/src\b")
_BUILD_FAILED = re.compile(r"[Ff]ailed to (?:build|download and build) `([^`]+)`")
_EXACT = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.+!-]+)")
_OF_A_BUILD = re.compile(r"\[std(?:out|err)\]")
_MEANINGS: Mapping[str, tuple[type[ServiceError], str, str]] = {
    "authentication credentials": (BuildFailed, "IndexDenied", "The package index refuses the app's credentials"),
    "[Hh]ash mismatch": (BuildFailed, "HashMismatch", "The package index has other files than were locked"),
    "error sending request|timed? ?out|server error|ailed to fetch": (Unavailable, "IndexUnavailable", "The index is away"),
    "": (BuildFailed, "PackagesFailed", "The packages could not be installed"),
}
"""What it means when the installer says such a thing; the last is for what it says of packages."""


@dataclass(frozen=True)
class PackageInstaller:
    """Resolves and installs for one platform (as OCI names it) and Python version; `downloads` keeps what it fetched.

    Of the operator's `indexes` the first takes the place of PyPI; the others are asked before it.
    """

    platform: str
    python: str
    downloads: Path
    source_packages: bool = True
    """Whether packages that have no wheel are built here."""
    indexes: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)

    @discreet
    def lock(self, requirements: tuple[str, ...]) -> str:
        """Those requirements and all they need, each pinned with hashes.

        Raises BuildFailed for a conflict or what cannot be had or built, Unavailable when the index is away or slow.
        """
        listed = "\n".join(requirements)
        command = ["pip", "compile", "listed.txt", "--generate-hashes", "--no-header", "--no-annotate"]
        ran = self._uv(command, listed, self.bounds.resolve_seconds, builds=self.source_packages)
        return with_given_hashes(self._checked(ran, self.bounds.resolve_seconds), requirements)

    @discreet
    def install(self, lock: str, into: Path, told: Callable[[str], object] = lambda _: None) -> None:
        """What a lock or a part of one names, installed below `into`; `told` is what is built, before it is.

        Raises BuildFailed naming what has no wheel for the platform and cannot be built, or must not be. What is built is
        installed first: none of its code runs any more when the others come. While the index is away, what was downloaded
        before will do.
        """
        packages, seconds, into = locked(lock), self.bounds.install_seconds, into.absolute()
        ran = self._install(packages, into)
        if ran.code not in (0, TIME_IS_UP) and _meaning(ran)[0].retryable:
            downloaded = self._install(packages, into, "--offline")
            ran = downloaded if downloaded.code == 0 else ran
        built = self._without_wheel(packages) if ran.code != 0 and self.source_packages else []
        if built:
            told(f"no wheel for {self.platform}, so built from their sources: {', '.join(map(str, built))}")
            self._checked(self._install(built, into, builds=True), seconds)
            pure = pure_distributions(into)
            if impure := [str(package) for package in built if package.name not in pure]:
                raise self._no_wheel(", ".join(impure), _IMPURE)
            ran = self._install([package for package in packages if package not in built], into)
        self._checked(ran, seconds)

    def _without_wheel(self, packages: Sequence[LockedPackage]) -> list[LockedPackage]:
        """Those that have to be built; the installer names one at a time."""
        said = self._install(packages, Path("tree"), "--dry-run").said
        named = [package for package in packages if package.name in Unsatisfiable.read(said).without_wheel]
        others = [package for package in packages if package not in named]
        return named and [*named, *self._without_wheel(others)]

    def _install(self, packages: Iterable[LockedPackage], into: Path, *more: str, builds: bool = False) -> Ran:
        command = ["pip", "install", "--target", str(into), "--require-hashes", "--no-deps", "-r", "listed.txt"]
        listed = "".join(package.text for package in packages)
        return self._uv([*command, "--link-mode", "hardlink", *more], listed, self.bounds.install_seconds, builds=builds)

    def _uv(self, arguments: Sequence[str], listed: str, seconds: float, *, builds: bool) -> Ran:
        """One run of the installer, in a folder of its own, with what is listed. A run that builds has its own downloads."""
        if self.platform not in PLATFORMS:
            raise BuildFailed(f"Images for {self.platform} cannot be built; known are {', '.join(PLATFORMS)}.")
        with TemporaryDirectory(prefix="slipway-", ignore_cleanup_errors=True) as folder:
            workspace = Path(folder).resolve()
            (workspace / "listed.txt").write_text(listed)
            downloads = workspace / "downloads" if builds else self.downloads.absolute()
            how, variables = without_compilers(workspace) if builds else (["--no-build"], {})
            command = [find_uv_bin(), *arguments, "--cache-dir", str(downloads), *how]
            target = ["--python-version", self.python, "--python-platform", PLATFORMS[self.platform]]
            common = ["--python", sys.executable, "--no-progress", "--color", "never", "--config-file", "/dev/stdin"]
            told = configuration(self.indexes)
            return run([*command, *target, *common], told, workspace, seconds, self.bounds, variables=variables)

    def _checked(self, ran: Ran, seconds: float) -> str:
        if ran.code == TIME_IS_UP:
            raise self._late(ran.said, seconds)
        if ran.code != 0:
            raise self._failure(ran)
        return ran.output

    def _late(self, said: str, seconds: float) -> ServiceError:
        if AT_WORK not in said:
            message = f"The packages did not come within {seconds:.0f} s: the package index is slow."
            return Unavailable(message, code="PackagesTimedOut")
        package = next((f"{name}=={version}" for name, version in _SOURCE_FOLDER.findall(said)), "A source package")
        message = (
            f"{foreign(package)} was not built from its source within {seconds:.0f} s. Name a version that has a wheel."
        )
        return BuildFailed(message, code="PackagesTimedOut")

    def _failure(self, ran: Ran) -> ServiceError:
        if says_out_of_room(ran.said):
            return InsufficientStorage()
        its_own, (kind, code, message) = _its_own(ran), _meaning(ran)
        built, why = _BUILD_FAILED.search(its_own), Unsatisfiable.read(its_own)
        if code == "PackagesFailed" and built:
            return self._build_failed(built[1], ran.said)
        if code == "PackagesFailed" and why.without_wheel and not why.contested:
            reason = "" if self.source_packages else "and by SLIPWAY_SOURCE_PACKAGES source packages are not built here"
            return self._no_wheel(next(iter(why.without_wheel.values())), reason)
        if code == "PackagesFailed" and "No solution found" in its_own:
            return why.error()
        return kind(f"{message} ({ran.code}): {foreign(' '.join(its_own.split()), 1000)}", code=code)

    def _build_failed(self, package: str, said: str) -> BuildFailed:
        if wanted_a_compiler(said):
            return self._no_wheel(package, _IMPURE)
        wrote = said.partition("hint:")[0].rstrip().rpartition("\n")[2].strip()
        why = f"and building it from its source failed: {foreign(wrote)}{self.bounds.met(said)}"
        return self._no_wheel(package, why, "SourceBuildFailed")

    def _no_wheel(self, package: str, reason: str, code: str = "NoWheel") -> BuildFailed:
        which = f"{package} has no wheel for {self.platform} with Python {self.python}"
        sentence = ", ".join(filter(None, [which, reason]))
        return BuildFailed(f"{sentence}. {self._instead(package)}", code=code)

    def _instead(self, package: str) -> str:
        """What to name in its place: the next version that has a wheel, or else the last one before it."""
        exact, unknown = _EXACT.fullmatch(package), "Name a version that has a wheel for it, or another package."
        if exact is None:
            return unknown
        for asked, which in ((f"{exact[1]}>{exact[2]}", "lowest"), (f"{exact[1]}<{exact[2]}", "highest")):
            command = ["pip", "compile", "listed.txt", "--no-deps", "--no-header", "--no-annotate", "--resolution", which]
            ran = self._uv(command, asked, self.bounds.nearest_seconds, builds=False)
            if found := locked(ran.output):
                return f"The nearest version that has one is {found[0].version}: name that, or another package."
            if "No solution found" not in ran.said:
                return unknown
        return "No version of it in the package index has one: name another package."


def _its_own(ran: Ran) -> str:
    """What the installer said itself, without what the code of packages wrote."""
    return _OF_A_BUILD.split(ran.said, maxsplit=1)[0]


def _meaning(ran: Ran) -> tuple[type[ServiceError], str, str]:
    return next(meaning for sign, meaning in _MEANINGS.items() if re.search(sign, _its_own(ran)))
