"""Conda environment files: what of them is taken, and what is refused by name. Source: conda's `environment.yml`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml
from rattler import Channel, MatchSpec, Version, VersionSpec
from rattler.exceptions import CanonicalMatchSpecError, InvalidChannelError, InvalidMatchSpecError

from shared.domain.errors import BuildFailed, foreign
from shared.images.packages.channels import without_credentials

_LARGEST = 128 * 1024
_LONGEST = 256
_SECTIONS = ("name", "channels", "dependencies", "prefix")
_NOT_TAKEN = {
    "variables": "variables are set when an environment is activated, which that of an image is not: set them in the driver"
}
_KINDS: dict[type, str] = {list: "a list", dict: "a mapping"}
_PATCHES = range(100)


@dataclass(frozen=True)
class CondaEnvironment:
    """What an environment is to hold: packages of its channels, the first channel first, and `pip`: a requirements file."""

    channels: tuple[str, ...]
    specs: tuple[str, ...]
    pip: bytes = b""


def parse_environment(content: bytes, channels: Sequence[str], python: str) -> CondaEnvironment:
    """The environment in a file, from no other channels than these; the first of them when the file names none.

    `python` is the version that drivers run on. Raises BuildFailed naming the entry that is refused.
    """
    if not channels:
        raise _bad("No channel of conda packages is allowed here; list packages in pipRequirements.")
    sections = _sections(content)
    allowed = _AllowedChannels(channels)
    named = [
        allowed.named(where, entry) for where, entry in _entries(sections, "channels") if entry != "nodefaults"
    ] or allowed.first()
    dependencies = _entries(sections, "dependencies")
    specs = [_spec(where, entry) for where, entry in dependencies if not isinstance(entry, dict)]
    for where, text, spec in specs:
        _refuse_other_python(where, text, spec, python)
    asked = [allowed.named(where, spec.channel.base_url) for where, _, spec in specs if spec.channel]
    return CondaEnvironment(
        channels=tuple(dict.fromkeys([*named, *asked])),
        specs=tuple(text for _, text, _ in specs),
        pip=_pip([(where, entry) for where, entry in dependencies if isinstance(entry, dict)]),
    )


class _AllowedChannels:
    """The channels that the settings allow, found by name or URL."""

    def __init__(self, channels: Sequence[str]) -> None:
        self._channels = {_location(channel): channel for channel in channels}

    def first(self) -> list[str]:
        return list(self._channels.values())[:1]

    def named(self, where: str, entry: object) -> str:
        found = self._channels.get(_location(entry)) if isinstance(entry, str) else None
        return found or _refuse(where, entry, f"a channel of: {without_credentials(', '.join(self._channels.values()))}")


def _location(channel: str) -> str:
    """Where a channel is: the same for its name and all spellings of its URL."""
    try:
        return Channel(channel).base_url.rstrip("/") if channel else ""
    except InvalidChannelError:
        return ""


def _sections(content: bytes) -> dict[str, Any]:
    """The file's top level. The loader makes text, lists and mappings and nothing else, so that no tag means anything."""
    if len(content) > _LARGEST:
        raise _bad(f"The conda environment file has {len(content)} bytes; accepted are {_LARGEST}.")
    try:
        sections = yaml.load(content.decode("utf-8-sig"), Loader=yaml.BaseLoader)  # noqa: S506  see above
    except UnicodeDecodeError as error:
        raise _bad("The conda environment file is not UTF-8 text.") from error
    except RecursionError as error:
        raise _bad("The conda environment file is nested too deep; accepted are channels and dependencies.") from error
    except yaml.YAMLError as error:
        raise _bad(f"The conda environment file is no YAML: {foreign(' '.join(str(error).split()))}.") from error
    if not isinstance(sections, dict):
        raise _bad(f"The conda environment file is {_shown(sections)}; accepted is a mapping with {', '.join(_SECTIONS)}.")
    for name in sections:
        if name not in _SECTIONS:
            reason = _NOT_TAKEN.get(name, f"accepted are {', '.join(_SECTIONS)}")
            raise _bad(f"The conda environment file has the section '{foreign(name, 120)}'; {reason}.")
    return sections


def _entries(sections: dict[str, Any], name: str) -> list[tuple[str, object]]:
    """The entries of a section, each with where it is."""
    listed = sections.get(name) or []
    if not isinstance(listed, list):
        _refuse(name, listed, "a list")
    return [(f"{name}[{index}]", entry) for index, entry in enumerate(listed)]


def _spec(where: str, entry: object) -> tuple[str, str, MatchSpec]:
    # A longer one can be nested so deep that parsing it ends the process.
    if not isinstance(entry, str) or len(entry) > _LONGEST:
        _refuse(where, entry, f"a package with versions, as numpy>=2, in at most {_LONGEST} characters; or pip: with a list")
    text = " ".join(entry.split())
    try:
        spec = MatchSpec(text)
        canonical = spec.to_canonical_string()
    except (InvalidMatchSpecError, CanonicalMatchSpecError):
        _refuse(where, text, "a package with versions, as numpy>=2 or conda-forge::numpy")
    if re.search(r"[\[,]url=", canonical):
        _refuse(where, text, "packages of a channel, by name, not by URL or path")
    return where, text, spec


def _refuse_other_python(where: str, text: str, spec: MatchSpec, python: str) -> None:
    if spec.name.normalized != "python" or not spec.version:
        return
    version = VersionSpec(spec.version)
    if not any(version.matches(Version(f"{python}.{patch}")) for patch in _PATCHES):
        raise BuildFailed(
            f"{where} of the conda environment file: got '{foreign(text)}'; drivers run on Python {python} here. "
            f"Ask for python={python}, or for python without a version.",
            code="PythonVersionNotSupported",
        )


def _pip(parts: list[tuple[str, dict[str, Any]]]) -> bytes:
    lines: list[str] = []
    for number, (where, part) in enumerate(parts):
        listed = part.get("pip")
        if number or list(part) != ["pip"] or not isinstance(listed, list) or not all(isinstance(x, str) for x in listed):
            _refuse(where, part, "a package with versions, or, once, pip: with a list of requirements")
        lines = listed
    return "".join(f"{line}\n" for line in lines).encode()


def _refuse(where: str, got: object, accepted: str) -> NoReturn:
    raise _bad(f"{where} of the conda environment file: got {_shown(got)}; accepted is {accepted}.")


def _shown(got: object) -> str:
    """What is no text is not written out: a small file can hold lists whose text fills all memory."""
    return f"'{foreign(got, 120)}'" if isinstance(got, str) else _KINDS.get(type(got), "empty")


def _bad(message: str) -> BuildFailed:
    return BuildFailed(message, code="BadCondaEnvironment")
