"""Resolving and installing packages for the platform an image is for, which need not be this machine's. By uv.

Source packages are built here when all they hold is Python; building runs their code, in a child process that is told
nothing of this app's identity or storage.
"""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib.metadata import version
from pathlib import Path

from uv import find_uv_bin

from shared.domain.errors import BuildFailed, ServiceError, Unavailable, foreign

PLATFORMS = {
    "linux/amd64": "x86_64-manylinux_2_28",
    "linux/arm64": "aarch64-manylinux_2_28",
    "darwin/amd64": "x86_64-apple-darwin",
    "darwin/arm64": "aarch64-apple-darwin",
}
_KEPT_ENVIRONMENT = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TMPDIR|SSL_CERT_FILE|SSL_CERT_DIR|UV_\w+|(?i:https?_proxy|no_proxy|all_proxy)"
)
_RESOLVE_SECONDS = 300
_INSTALL_SECONDS = 1200
INSTALLER = f"uv-{version('uv')}"
"""Part of the cache keys of what it makes."""
_BUILT_HERE = "uv_build.json"
_OUTAGE = re.compile(
    r"(?i)error sending request|dns error|connection refused|timed? ?out|status server error|failed to fetch"
)


@dataclass(frozen=True)
class PackageInstaller:
    """Resolves and installs for one platform (as OCI names it) and Python version; `downloads` keeps what it fetched."""

    platform: str
    python: str
    downloads: Path

    def lock(self, requirements: tuple[str, ...]) -> str:
        """Those requirements and all they need, each pinned with hashes.

        Raises BuildFailed for a conflict or a package that does not exist, Unavailable when the index is away.
        """
        command = ["pip", "compile", "-", "--generate-hashes", "--no-header", "--no-annotate", *self._target()]
        return self._run(command, "\n".join(requirements), _RESOLVE_SECONDS)

    def install(self, lock: str, into: Path) -> None:
        """What the lock names, installed below `into`; raises BuildFailed naming what has no wheel for the platform."""
        listed = into.with_suffix(".lock.txt")
        listed.write_text(lock)
        command = ["pip", "install", "--target", str(into), "--require-hashes", "--no-deps", "-r", str(listed)]
        self._run([*command, "--link-mode", "copy", *self._target()], "", _INSTALL_SECONDS)
        for built in into.glob(f"*.dist-info/{_BUILT_HERE}"):
            self._refuse_unless_pure(built.parent)

    def _refuse_unless_pure(self, information: Path) -> None:
        tags = HeaderParser().parsestr((information / "WHEEL").read_text()).get_all("Tag") or []
        if not tags or any(not tag.endswith("-none-any") for tag in tags):
            raise self._no_wheel(information.name.removesuffix(".dist-info").replace("-", "=="))

    def _no_wheel(self, package: str) -> BuildFailed:
        return BuildFailed(
            f"{package} has no wheel for {self.platform} with Python {self.python}, and its source holds more than Python. "
            "Name a version that has a wheel for it, or another package.",
            code="NoWheel",
        )

    def _target(self) -> list[str]:
        if self.platform not in PLATFORMS:
            raise BuildFailed(f"Images for {self.platform} cannot be built; known are {', '.join(PLATFORMS)}.")
        return ["--python-version", self.python, "--python-platform", PLATFORMS[self.platform]]

    def _run(self, arguments: list[str], standard_input: str, seconds: float) -> str:
        command = [
            find_uv_bin(),
            *arguments,
            "--python",
            sys.executable,
            "--cache-dir",
            str(self.downloads),
            "--no-progress",
        ]
        code, output, said = _run_bounded(command, standard_input, seconds)
        if code != 0:
            raise self._failure(re.sub(r"\x1b\[[0-9;]*m", "", said))
        return output

    def _failure(self, said: str) -> ServiceError:
        build = re.search(r"[Ff]ailed to (?:build|download and build) `([^`]+)`", said)
        unsupported = re.search(r"(?m)`?([A-Za-z0-9._-]+)==\S* (?:has no|doesn't have a)\w* ", said)
        if build:
            return self._no_wheel(build[1])
        missing = re.search(r"Because (\S+) was not found in the package registry", said)
        explained = foreign(" ".join(said.split()), 1000)
        if missing:
            return BuildFailed(f"There is no package {missing[1]} in the index.", code="RequirementNotFound")
        if unsupported or "no wheels with a matching" in said:
            return BuildFailed(f"No wheel for {self.platform} with Python {self.python}: {explained}", code="NoWheel")
        if "No solution found" in said:
            return BuildFailed(f"The requirements do not go together: {explained}", code="DependencyConflict")
        if _OUTAGE.search(said):
            return Unavailable(f"The package index could not be reached: {explained}", code="IndexUnavailable")
        return BuildFailed(f"The packages could not be installed: {explained}", code="PackagesFailed")


def _run_bounded(command: list[str], standard_input: str, seconds: float) -> tuple[int, str, str]:
    """Exit code and outputs. It runs in a session of its own: the builds it starts end with it when time is up."""
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603  # arguments are ours; what is the user's was parsed
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=_scrubbed(), start_new_session=True
    ) as running:
        try:
            output, said = running.communicate(standard_input, seconds)
        except subprocess.TimeoutExpired as error:
            os.killpg(running.pid, signal.SIGKILL)
            raise BuildFailed(f"Packages were not installed within {seconds:.0f} s.", code="PackagesTimedOut") from error
    return running.returncode, output, said


def _scrubbed() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _KEPT_ENVIRONMENT.fullmatch(name)}


def pinned(lock: str) -> list[str]:
    """The packages in a lock, as `name==version`."""
    return re.findall(r"(?m)^([A-Za-z0-9._-]+==[^\s;\\]+)", lock)
