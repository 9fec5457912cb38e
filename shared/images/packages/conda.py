"""Conda environments for the platform an image is for, which need not be this machine's. By rattler, in a child process.

Nothing of a package is run. The process knows nothing of this app's identity or storage, and ends when its time is up;
what damages it, since rattler ends a process where it meets what it did not expect, does not damage this app.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from shared.domain.errors import BuildFailed, InsufficientStorage, ServiceError, Unavailable, says_out_of_room
from shared.images.packages.conda_packages import refuse_link_outside
from shared.images.packages.environment import CondaEnvironment
from shared.images.packing.layers import Entry, file_entry

CONDA = "opt/slipway/conda"
"""Where an image has its environment. Its packages are told so when they are installed; they work nowhere else."""
CONDA_INSTALLER = f"1-rattler-{version('py-rattler')}"
"""Part of the cache keys of what it makes. Raise the first number when the same lock installs otherwise."""
SUBDIRS = {
    "linux/amd64": "linux-64",
    "linux/arm64": "linux-aarch64",
    "darwin/amd64": "osx-64",
    "darwin/arm64": "osx-arm64",
}
"""The platforms as conda names them."""
_LOCK_SECONDS = 300
_INSTALL_SECONDS = 1200
_KEPT_ENVIRONMENT = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TMPDIR|SSL_CERT_FILE|SSL_CERT_DIR|NETRC|RATTLER_\w+|(?i:https?_proxy|no_proxy|all_proxy)"
)
_LOCKED = re.compile(r"(?m)^(\S+)#sha256:([0-9a-f]{64})$")
_ERRORS = {kind.__name__: kind for kind in (ServiceError, BuildFailed, Unavailable)}


@dataclass(frozen=True)
class CondaPackage:
    """A package of a lock."""

    name: str
    version: str
    url: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class CondaInstaller:
    """Solves and installs for one platform (as OCI names it) and Python version; `downloads` keeps what it fetched."""

    platform: str
    python: str
    downloads: Path

    def lock(self, environment: CondaEnvironment) -> str:
        """The environment's packages and all they need, in conda's explicit format: the URL and SHA-256 of each.

        What is not of Python is solved for the C library of manylinux_2_28. Raises BuildFailed for a conflict or a package
        that does not exist, Unavailable when a channel is away.
        """
        subdir = self._subdir()
        found = self._run("lock", _LOCK_SECONDS, channels=environment.channels, specs=environment.specs, python=self.python)
        lines = sorted(f"{url}#sha256:{sha256}" for url, sha256 in found)
        return "\n".join([f"# platform: {subdir}", "@EXPLICIT", *lines, ""])

    def install(self, lock: str, into: Path) -> None:
        """What the lock names, below `into`, ready to be moved to `CONDA`; the same lock gives the same files.

        Raises BuildFailed naming the package that is not what the lock names, or that is not safe to unpack.
        """
        packages = [(package.url, package.sha256) for package in locked_packages(lock)]
        self._run("install", _INSTALL_SECONDS, packages=packages, into=str(into), prefix=f"/{CONDA}")

    def _subdir(self) -> str:
        if self.platform not in SUBDIRS:
            raise BuildFailed(f"Images for {self.platform} cannot be built; known are {', '.join(SUBDIRS)}.")
        return SUBDIRS[self.platform]

    def _run(self, action: str, seconds: float, **how: Any) -> Any:
        self.downloads.mkdir(parents=True, exist_ok=True)
        how |= {"subdir": self._subdir(), "downloads": str(self.downloads.absolute())}
        command = [sys.executable, "-P", "-m", "shared.images.packages.conda_process", action]
        try:
            ended = subprocess.run(  # noqa: S603  # the command is ours; what is the user's is its input
                command,
                input=json.dumps(how),
                capture_output=True,
                text=True,
                env=_environment(),
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"The conda {action} did not end within {seconds:.0f} s."
            raise BuildFailed(message, code="PackagesTimedOut") from error
        if ended.returncode != 0 and says_out_of_room(ended.stderr):
            raise InsufficientStorage
        if ended.returncode != 0:
            message = f"The conda {action} broke down, with exit code {ended.returncode}."
            raise BuildFailed(message, code="PackagesFailed") from RuntimeError(ended.stderr)
        answer = json.loads(ended.stdout)
        if failure := answer.get("error"):
            if says_out_of_room(failure["message"]):
                raise InsufficientStorage
            raise _ERRORS[failure["kind"]](failure["message"], code=failure["code"])
        return answer["result"]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if _KEPT_ENVIRONMENT.fullmatch(name)}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def locked_packages(lock: str) -> list[CondaPackage]:
    """The packages of a lock, in its order."""
    return [_package(url, sha256) for url, sha256 in _LOCKED.findall(lock)]


def _package(url: str, sha256: str) -> CondaPackage:
    """Source: conda's documentation, package naming conventions: the file's name is `name-version-build`."""
    name, number, _ = unquote(urlsplit(url).path).rpartition("/")[2].rsplit("-", 2)
    return CondaPackage(name, number, url, sha256)


def conda_entries(tree: Path, under: str) -> Iterator[Entry]:
    """The files and links below `tree`, sorted, as entries below `under`; raises BuildFailed for a link that leads out."""
    for path in sorted(path for path in tree.rglob("*") if path.is_symlink() or path.is_file()):
        entry = f"{under}/{path.relative_to(tree).as_posix()}"
        if path.is_symlink():
            refuse_link_outside(path, tree, "The conda environment")
            yield Entry(entry, link=str(path.readlink()))
        else:
            yield file_entry(entry, path, executable=bool(path.stat().st_mode & 0o100))
