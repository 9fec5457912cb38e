"""Building source packages, each in a sandbox: what it may use is brought before it runs, and what it made is read after.

What is told to the program in there, and what it answers: `backend.py`. Nothing of a package is unpacked, read or run
outside.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from shared.domain.errors import foreign
from shared.images.packages import backend
from shared.images.packages.answers import BadAnswer, read_answer, take_file
from shared.images.packages.bounded import TIME_IS_UP, Bounds, run
from shared.images.packages.compiling import no_compilers
from shared.images.packages.needs import Needs, read_needs, read_requirements
from shared.images.packages.sandbox import BUILD_PYTHON, Sandbox, build_environment, make_work

type Bring = Callable[[list[Requirement], Path], None]
"""Installs wheels of what a build asks for into a folder; raises BuildBroke for what cannot be had."""


class BuildBroke(Exception):
    """A build failed, and said that."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class BuildLate(Exception):
    """A build did not end in its time."""


@dataclass(frozen=True)
class BuiltWheel:
    """A wheel that a build made, and whether it is good for every platform."""

    file: Path
    sha256: str
    pure: bool


@dataclass(frozen=True)
class SourceBuilds:
    """Builds packages of their sources, within bounds; `until` is a time of the monotonic clock."""

    sandbox: Sandbox
    bounds: Bounds
    bring: Bring

    def needs(self, archive: Path, until: float) -> Needs:
        """What the package needs. None of its code runs when its files say so. Raises BuildBroke, BuildLate."""
        with self._begun(archive, until) as build:
            said = build.run("read")
            if said.get("metadata") is None:
                self._prepare(build, said)
                said = build.run("metadata")
            return build.judged(lambda: read_needs(said.get("metadata")))

    def wheel(self, name: str, version: str, archive: Path, into: Path, until: float) -> BuiltWheel:
        """A wheel of that package, below `into`. Raises BuildBroke, BuildLate."""
        with self._begun(archive, until) as build:
            self._prepare(build, build.run("read"))
            file_name = build.run("wheel").get("wheel")
            file = build.judged(lambda: into / _file_name(file_name, name, version))
            sha256 = build.judged(lambda: take_file(build.work / "built.whl", file, self.bounds.file_size))
            return BuiltWheel(file, sha256, _is_pure(file.name))

    def _prepare(self, build: "_Build", said: Mapping[str, Any]) -> None:
        """Bring what the build needs: what its files say, and what its backend says then."""
        requires = build.judged(lambda: read_requirements(said.get("requires")))
        if requires:
            self.bring(requires, build.packages)
        asked = build.run("ask").get("requires")
        if more := build.judged(lambda: read_requirements(asked)):
            self.bring([*requires, *more], build.packages)

    @contextmanager
    def _begun(self, archive: Path, until: float) -> Iterator["_Build"]:
        with TemporaryDirectory(prefix="slipway-", ignore_cleanup_errors=True) as folder:
            yield _Build.begun(Path(folder).resolve(), archive, self.sandbox, self.bounds, until)


@dataclass(frozen=True)
class _Build:
    """One build: its folder, an environment with what it needs, and compilers that only fail. It writes to `work` alone."""

    folder: Path
    archive: Path
    sandbox: Sandbox
    bounds: Bounds
    until: float
    variables: Mapping[str, str]

    @classmethod
    def begun(cls, folder: Path, archive: Path, sandbox: Sandbox, bounds: Bounds, until: float) -> "_Build":
        make_work(folder / "work")
        (folder / "environment" / "bin").mkdir(parents=True)
        (folder / "environment" / "bin" / "python").symlink_to(BUILD_PYTHON)
        (folder / "environment" / "pyvenv.cfg").write_text(f"home = {BUILD_PYTHON.parent}\n")
        variables = no_compilers(folder / "compilers")
        build = cls(folder, archive, sandbox, bounds, until, variables)
        build.packages.mkdir(parents=True)
        return build

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def packages(self) -> Path:
        return (
            self.folder
            / "environment"
            / "lib"
            / f"python{sys.version_info.major}.{sys.version_info.minor}"
            / "site-packages"
        )

    def run(self, action: str) -> Mapping[str, Any]:
        """One action of the program in the sandbox, and its answer."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise BuildLate
        readable = [self.folder / "environment", self.folder / "compilers", self.archive, Path(backend.__file__)]
        python = self.folder / "environment" / "bin" / "python"
        compiled = f"pycache_prefix={self.work / 'compiled'}"  # the next action need not compile the backend again
        program = [str(python), "-I", "-X", compiled, backend.__file__, action, str(self.work), str(self.archive)]
        command = self.sandbox.command(program, work=self.work, readable=readable)
        ran = run(command, "", self.folder, seconds, self.bounds, environment=self._environment())
        if ran.code == TIME_IS_UP:
            raise BuildLate
        if ran.code != 0:
            raise BuildBroke(f"{ran.said}{_ending(ran.code)}")
        return self.judged(lambda: read_answer(self.work / f"{action}.json"))

    def judged[T](self, reading: Callable[[], T]) -> T:
        """What is read of an answer; raises BuildBroke when it is none."""
        try:
            return reading()
        except BadAnswer as bad:
            raise BuildBroke(f"its build gave no proper answer: {bad}") from None

    def _environment(self) -> dict[str, str]:
        environment = build_environment(self.work, self.variables)
        programs = [self.folder / "compilers", self.packages / "bin", self.folder / "environment" / "bin"]
        return environment | {"PATH": ":".join([*map(str, programs), environment["PATH"]])}


def _ending(code: int) -> str:
    try:
        return f"\nits build was ended by {signal.Signals(code - 128).name}"
    except ValueError:
        return ""


def _file_name(told: object, name: str, version: str) -> str:
    """The name of a wheel of that version of that package; raises BadAnswer."""
    try:
        its_name, its_version, _, _ = parse_wheel_filename(told if isinstance(told, str) and len(told) < 256 else "")
    except InvalidWheelFilename:
        raise BadAnswer(f"'{foreign(told, 120)}' is no name of a wheel") from None
    if its_name != name or its_version != Version(version):
        raise BadAnswer(f"it made {foreign(f'{its_name}=={its_version}', 120)}")
    return str(told)


def _is_pure(wheel: str) -> bool:
    return all(tag.abi == "none" and tag.platform == "any" for tag in parse_wheel_filename(wheel)[3])
