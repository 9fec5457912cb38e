"""What a source package needs, as its files or its build say: read from the answer of code that is not trusted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from shared.domain.errors import foreign
from shared.images.packages.answers import BadAnswer

_MOST = 2000
_LONGEST = 2000


@dataclass(frozen=True)
class Needs:
    """The requirements of one version of a package, its extras, and the Pythons it is for."""

    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    python: str = ""

    def stated(self, name: str, version: str = "") -> str:
        """The same in the installer's configuration, for that version or for all: nothing of the package is run for it."""
        lines = ["[[dependency-metadata]]", f"name = {json.dumps(name)}"]
        lines += [f"version = {json.dumps(version)}"] if version else []
        lines += [f"requires-dist = {json.dumps(self.requires)}", f"provides-extra = {json.dumps(self.extras)}"]
        lines += [f"requires-python = {json.dumps(self.python)}"] if self.python else []
        return "\n".join([*lines, ""])


def read_needs(told: object) -> Needs:
    """The needs in an answer; raises BadAnswer for what names no packages with versions."""
    answer = _mapping(told)
    extras = _mapping(answer.get("extras"))
    if len(extras) > _MOST:
        raise BadAnswer(f"it has more than {_MOST} extras")
    listed = [str(requirement) for requirement in read_requirements(answer.get("requires"))]
    listed += [requirement for extra, more in extras.items() for requirement in _of_extra(extra, more)]
    try:
        python = str(SpecifierSet(_text(answer.get("python"))))
    except InvalidSpecifier:
        raise BadAnswer("requires-python holds no versions") from None
    return Needs(tuple(listed), tuple(canonicalize_name(_text(extra)) for extra in extras), python)


def read_requirements(told: object) -> list[Requirement]:
    """The requirements in a list; raises BadAnswer."""
    if not isinstance(told, list) or len(told) > _MOST:
        raise BadAnswer(f"its requirements are no list of at most {_MOST}")
    return [_requirement(entry) for entry in told]


def _requirement(entry: object) -> Requirement:
    try:
        requirement = Requirement(_text(entry))
    except InvalidRequirement:
        raise BadAnswer(f"'{foreign(entry, 120)}' is no package with versions") from None
    if requirement.url is not None:
        raise BadAnswer(f"'{foreign(requirement.name, 120)}' is named by a URL; packages come from the index")
    return requirement


def _of_extra(extra: str, told: object) -> Iterator[str]:
    for requirement in read_requirements(told):
        its_own = f"({requirement.marker}) and " if requirement.marker else ""
        requirement.marker = Marker(f'{its_own}extra == "{canonicalize_name(_text(extra))}"')
        yield str(requirement)


def _mapping(told: object) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise BadAnswer("it is no mapping")
    return told


def _text(told: object) -> str:
    if not isinstance(told, str) or len(told) > _LONGEST or not told.isprintable():
        raise BadAnswer(f"it holds no text of at most {_LONGEST} characters")
    return told
