"""What a remote run installs, as a Dockerfile. Pure: of what a user wrote, only Debian packages that were checked character
by character get into it; requirements are a file of its own.

Sources: Debian policy manual, 5.6.1 (names of packages) and 5.6.12 (versions); Dockerfile reference; pip's manual.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.errors import BuildFailed, foreign

PACKAGES = "/opt/slipway/python"
"""Where images have their Python packages: what their config names as SLIPWAY_DEPENDENCIES."""
DOCKERFILE, REQUIREMENTS = "Dockerfile", "requirements.txt"
_FORMAT = "1"
"""Part of every key. Raise it when equal recipes come to give other images."""
_APT_PACKAGE = re.compile(
    r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.]"  # not with a hyphen at the end: apt-get would remove the package
    r"(?:=(?:[0-9]+:)?[0-9][A-Za-z0-9.+~-]*)?"
)


@dataclass(frozen=True)
class Recipe:
    """What goes over a base image, which is named by its digest."""

    base: str
    apt_packages: tuple[str, ...]
    requirements: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """Whether the base image will do."""
        return not self.apt_packages and not self.requirements

    def key(self, platform: str) -> str:
        """What names the image for that platform: equal recipes are built once."""
        parts = [_FORMAT, platform, self.base, self.apt_packages, self.requirements]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def files(self) -> dict[str, str]:
        """The Dockerfile and what it copies, by name."""
        files = {DOCKERFILE: "".join(f"{line}\n" for line in self._lines())}
        return files | ({REQUIREMENTS: "".join(f"{line}\n" for line in self.requirements)} if self.requirements else {})

    def _lines(self) -> list[str]:
        lines = [f"FROM {self.base}", "USER root"]
        if self.apt_packages:
            install = "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends"
            names = " ".join(self.apt_packages)
            lines.append(f"RUN apt-get update && {install} {names} && rm -rf /var/lib/apt/lists/*")
        if self.requirements:
            copied = f"{PACKAGES.rpartition('/')[0]}/{REQUIREMENTS}"
            lines.append(f"COPY {REQUIREMENTS} {copied}")
            lines.append(f"RUN python -m pip install --no-cache-dir --no-compile --target {PACKAGES} -r {copied}")
        return lines


def apt_packages(text: str) -> tuple[str, ...]:
    """The Debian packages that `aptPackages` lists, each once, in order of their names.

    Names may have a version: `libgomp1`, `curl=7.88.1-10+deb12u8`. Commas and white space come between them.
    Raises BuildFailed naming what is none.
    """
    names = text.replace(",", " ").split()
    for name in names:
        if not _APT_PACKAGE.fullmatch(name):
            raise _bad_packages(f"got '{foreign(name, 80)}', which is no name of a Debian package")
    if not names:
        raise _bad_packages("names no package")
    return tuple(sorted(set(names)))


def _bad_packages(why: str) -> BuildFailed:
    accepted = "accepts names of Debian packages, each with =version or without, with commas or spaces between them"
    return BuildFailed(f"targetRuntime.properties.aptPackages: {why}; {accepted}.", code="BadAptPackages")


def refuse_half_hashed(requirements: Sequence[str]) -> None:
    """pip checks the hashes of all requirements or of none; raises BuildFailed naming the first that has none."""
    bare = [line for line in requirements if "--hash" not in line]
    if bare and len(bare) < len(requirements):
        raise BuildFailed(
            f"The requirement '{foreign(bare[0], 120)}' has no hash, and others have. "
            "A remote build takes hashes for all that is installed, setuptools too, or for none.",
            code="BadRequirements",
        )
