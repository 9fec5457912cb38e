"""Resolving and installing packages for the platform an image is for, which need not be this machine's. By uv.

Source packages are built here when all they hold is Python. Building runs their code: in processes that are bounded in time,
memory and files, that are told nothing of this app's identity, storage and package indexes, that never meet the downloads
of other builds, and that all end with the run.
"""

import ctypes
import inspect
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import NamedTuple

from uv import find_uv_bin

from shared.domain.errors import BuildFailed, ServiceError, Unavailable, foreign
from shared.images.distributions import LockedPackage, locked, pure_distributions, with_given_hashes
from shared.images.requirements import Unsatisfiable, configuration

PLATFORMS = {
    "linux/amd64": "x86_64-manylinux_2_28",
    "linux/arm64": "aarch64-manylinux_2_28",
    "darwin/amd64": "x86_64-apple-darwin",
    "darwin/arm64": "aarch64-apple-darwin",
}
INSTALLER = f"uv-{version('uv')}"
"""Part of the cache keys of what it makes."""
_KEPT_ENVIRONMENT = re.compile(r"PATH|LANG|LC_\w+|SSL_CERT_(FILE|DIR)|UV_(HTTP_TIMEOUT|SYSTEM_CERTS|INSECURE_HOST)")
_IMPURE = "and its source holds more than Python"
_TIME_IS_UP = 124
_AT_WORK = "still at work in "
_SOURCE_FOLDER = re.compile(rf"{_AT_WORK}\S*/([^/\s]+)/([^/\s]+)/[^/\s]+/src\b")
_BUILD_FAILED = re.compile(r"[Ff]ailed to (?:build|download and build) `([^`]+)`")
_OF_A_BUILD = re.compile(r"\[std(?:out|err)\]")
_COMPILING = re.compile(r"(?i)\b(?:gcc|cc|clang|cmake|ninja|meson|cargo|rustc|gfortran|cython)\b|Python\.h|' extension")
_MEANINGS: Mapping[str, tuple[type[ServiceError], str, str]] = {
    "authentication credentials": (BuildFailed, "IndexDenied", "The package index refuses the app's credentials"),
    "[Hh]ash mismatch": (BuildFailed, "HashMismatch", "The package index has other files than were locked"),
    "error sending request|timed? ?out|server error|ailed to fetch": (Unavailable, "IndexUnavailable", "The index is away"),
    "": (BuildFailed, "PackagesFailed", "The packages could not be installed"),
}
"""What it means when the installer says such a thing; the last is for what it says of packages."""


@dataclass(frozen=True)
class Bounds:
    """What one run of the installer may take, and each process that it starts: seconds, bytes, files.

    `memory` is address space: the installer itself was seen to need between 1 and 2 GiB of it on 64 cores.
    """

    resolve_seconds: float = 60
    install_seconds: float = 1200
    memory: int = 4 * 1024**3
    file_size: int = 4 * 1024**3
    open_files: int = 4096
    grace_seconds: float = 15
    """How long after its time a run may take to end by itself."""

    def met(self, said: str) -> str:
        """The bound that a process met which said this; empty when it met none."""
        signs = {
            "MemoryError": f"{self.memory >> 20} MiB of memory",
            "File too large": f"{self.file_size >> 20} MiB in a file",
            "Too many open files": f"{self.open_files} open files",
        }
        return next((f"; it may have {bound}" for sign, bound in signs.items() if sign in said), "")


class _Ran(NamedTuple):
    code: int
    output: str
    said: str


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

    def lock(self, requirements: tuple[str, ...]) -> str:
        """Those requirements and all they need, each pinned with hashes.

        Raises BuildFailed for a conflict or what cannot be had or built, Unavailable when the index is away or slow.
        """
        listed = "\n".join(requirements)
        command = ["pip", "compile", "listed.txt", "--generate-hashes", "--no-header", "--no-annotate"]
        ran = self._uv(command, listed, self.bounds.resolve_seconds, builds=self.source_packages)
        return with_given_hashes(self._checked(ran, self.bounds.resolve_seconds), requirements)

    def install(self, lock: str, into: Path) -> None:
        """What a lock or a part of one names, installed below `into`.

        Raises BuildFailed naming what has no wheel for the platform and cannot be built, or must not be. What is built is
        installed first: none of its code runs any more when the others come.
        """
        packages, seconds, into = locked(lock), self.bounds.install_seconds, into.absolute()
        ran = self._install(packages, into)
        built = self._without_wheel(packages) if ran.code != 0 and self.source_packages else []
        if built:
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

    def _install(self, packages: Iterable[LockedPackage], into: Path, *more: str, builds: bool = False) -> _Ran:
        command = ["pip", "install", "--target", str(into), "--require-hashes", "--no-deps", "-r", "listed.txt"]
        listed = "".join(package.text for package in packages)
        return self._uv([*command, "--link-mode", "hardlink", *more], listed, self.bounds.install_seconds, builds=builds)

    def _uv(self, arguments: Sequence[str], listed: str, seconds: float, *, builds: bool) -> _Ran:
        """One run of the installer, in a folder of its own, with what is listed. A run that builds has its own downloads."""
        if self.platform not in PLATFORMS:
            raise BuildFailed(f"Images for {self.platform} cannot be built; known are {', '.join(PLATFORMS)}.")
        with TemporaryDirectory(prefix="slipway-", ignore_cleanup_errors=True) as folder:
            workspace = Path(folder).resolve()
            (workspace / "listed.txt").write_text(listed)
            downloads = workspace / "downloads" if builds else self.downloads.absolute()
            command = [find_uv_bin(), *arguments, "--cache-dir", str(downloads), *([] if builds else ["--no-build"])]
            target = ["--python-version", self.python, "--python-platform", PLATFORMS[self.platform]]
            common = ["--python", sys.executable, "--no-progress", "--color", "never", "--config-file", "/dev/stdin"]
            return _run([*command, *target, *common], configuration(self.indexes), workspace, seconds, self.bounds)

    def _checked(self, ran: _Ran, seconds: float) -> str:
        if ran.code == _TIME_IS_UP:
            raise self._late(ran.said, seconds)
        if ran.code != 0:
            raise self._failure(ran)
        return ran.output

    def _late(self, said: str, seconds: float) -> ServiceError:
        if _AT_WORK not in said:
            message = f"The packages did not come within {seconds:.0f} s: the package index is slow."
            return Unavailable(message, code="PackagesTimedOut")
        package = next((f"{name}=={version}" for name, version in _SOURCE_FOLDER.findall(said)), "A source package")
        message = (
            f"{foreign(package)} was not built from its source within {seconds:.0f} s. Name a version that has a wheel."
        )
        return BuildFailed(message, code="PackagesTimedOut")

    def _failure(self, ran: _Ran) -> ServiceError:
        its_own = _OF_A_BUILD.split(ran.said, maxsplit=1)[0]
        kind, code, message = next(meaning for sign, meaning in _MEANINGS.items() if re.search(sign, its_own))
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
        if _COMPILING.search(said):
            return self._no_wheel(package, _IMPURE)
        wrote = said.partition("hint:")[0].rstrip().rpartition("\n")[2].strip()
        why = f"and building it from its source failed: {foreign(wrote)}{self.bounds.met(said)}"
        return self._no_wheel(package, why, "SourceBuildFailed")

    def _no_wheel(self, package: str, reason: str, code: str = "NoWheel") -> BuildFailed:
        which = f"{package} has no wheel for {self.platform} with Python {self.python}"
        sentence = ", ".join(filter(None, [which, reason]))
        return BuildFailed(f"{sentence}. Name a version that has a wheel for it, or another package.", code=code)


def _run(command: Sequence[str], told: str, workspace: Path, seconds: float, bounds: Bounds) -> _Ran:
    """One run of a command, within bounds. What it is told on its standard input, it can read once.

    What it writes goes to files that have no names: a build may write more than fits this process.
    """
    limits = [str(limit) for limit in (seconds, bounds.memory, bounds.file_size, bounds.open_files)]
    warded = [sys.executable, "-I", "-S", "-c", _WARDEN, *limits, *command]
    environment = _environment(workspace)
    with TemporaryFile() as output, TemporaryFile() as said:
        with subprocess.Popen(  # noqa: S603  # arguments are ours; what is the user's was parsed
            warded, stdin=subprocess.PIPE, stdout=output, stderr=said, env=environment, cwd=workspace, start_new_session=True
        ) as running:
            try:
                running.communicate(told.encode(), seconds + bounds.grace_seconds)
            except subprocess.TimeoutExpired:  # the warden was stopped by what it guards
                _end_with_all_below(running.pid)
                return _Ran(_TIME_IS_UP, "", _AT_WORK)
        return _Ran(running.returncode, _text(output.fileno(), 16 * 1024**2), _text(said.fileno(), 128 * 1024))


def _text(file: int, most: int) -> str:
    """What was written; of what is longer, the beginning and the end."""
    half, size = most // 2, os.fstat(file).st_size
    return (os.pread(file, half, 0) + os.pread(file, half, max(half, size - half))).decode(errors="replace")


def _environment(workspace: Path) -> dict[str, str]:
    """What is told to the installer and to the code of source packages."""
    own = {"HOME": workspace / "home", "TMPDIR": workspace / "tmp"}
    for folder in own.values():
        folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if _KEPT_ENVIRONMENT.fullmatch(name)}
    return kept | {name: str(folder) for name, folder in own.items()}


def _ward(seconds: str, memory: str, file_size: str, open_files: str, *command: str) -> int:
    """The work of the process between this app and the installer: to bound it, and to end all that it has started.

    What loses its parent below this process becomes its child, so that nothing gets away. It ends as well when the app does.
    """
    limits = {resource.RLIMIT_FSIZE: int(file_size), resource.RLIMIT_NOFILE: int(open_files), resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(1, ctypes.c_ulong(signal.SIGTERM))  # PR_SET_PDEATHSIG
        prctl(36, ctypes.c_ulong(1))  # PR_SET_CHILD_SUBREAPER
        limits[resource.RLIMIT_AS] = int(memory)
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))
    for ending, code in ((signal.SIGTERM, 143), (signal.SIGALRM, 124)):
        signal.signal(ending, lambda *_, code=code: sys.exit(code))
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    running = subprocess.Popen(command, process_group=0)  # noqa: S603  # as above
    try:
        code = running.wait()
        return code if code >= 0 else 128 - code
    finally:
        _end_all(running.pid)


def _end_all(first: int) -> None:
    """End all processes below this one, telling where those work that the first one has started."""
    for ending in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(ending, signal.SIG_IGN)
    for process in set(_children(first, os.getpid())) - {first}:
        with suppress(OSError):
            sys.stderr.write(f"still at work in {Path(f'/proc/{process}/cwd').readlink()}\n")
    with suppress(ProcessLookupError):
        os.killpg(first, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            for process in _children(os.getpid()):
                os.kill(process, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children(*parents: int) -> list[int]:
    """The processes that have one of those parents, ended ones that nobody has waited for included."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) in parents:
                found.append(int(status.parent.name))
    return found


def _end_with_all_below(process: int) -> None:
    for child in _children(process):
        _end_with_all_below(child)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


_WARDEN = f"""
import ctypes, os, resource, signal, subprocess, sys
from contextlib import suppress
from pathlib import Path
{"".join(inspect.getsource(part) for part in (_ward, _end_all, _children))}
sys.exit(_ward(*sys.argv[1:]))
"""
"""A program of its own: the child has neither the path nor the environment that this module is imported by."""
