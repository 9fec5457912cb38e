"""Requirements files: what of them is taken, and what is refused by name. Source: pip's requirements format, PEP 508."""

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from shared.domain.errors import BuildFailed, foreign

_HASH = re.compile(r"\s--hash=\S+")
SETUPTOOLS = "setuptools<81"
"""Always there unless the file names setuptools: `azure-ml-api-sdk` needs its pkg_resources (client-facts.md, 26)."""


def parse_requirements(content: bytes) -> tuple[str, ...]:
    """The requirements in a file, in its order, hashes kept; raises BuildFailed naming the line that is refused."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BuildFailed("The requirements file is not UTF-8 text.", code="BadRequirements") from None
    kept = [_parsed(number, line) for number, line in _lines(text)]
    names = {canonicalize_name(Requirement(_HASH.sub("", line)).name) for line in kept}
    return tuple(kept if "setuptools" in names or not kept else [*kept, SETUPTOOLS])


def _lines(text: str) -> list[tuple[int, str]]:
    """Logical lines by the number of their first: continued ones joined, comments and empty ones left out."""
    lines, pending, began = [], "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        began = began if pending else number
        if raw.endswith("\\"):
            pending += raw[:-1] + " "
            continue
        line = re.sub(r"(^|\s)#.*$", "", pending + raw).strip()
        pending = ""
        if line:
            lines.append((began, line))
    if pending.strip():
        lines.append((began, pending.strip()))
    return lines


def _parsed(number: int, line: str) -> str:
    shown = foreign(line, 120)
    if line.startswith("-"):
        raise _refused(number, shown, "options are not taken; list packages only")
    try:
        requirement = Requirement(_HASH.sub("", f" {line}").strip())
    except InvalidRequirement:
        raise _refused(
            number, shown, "it is no package name with versions (PEP 508); paths and URLs are not taken"
        ) from None
    if requirement.url is not None:
        raise _refused(number, foreign(requirement.name), "packages come from the index, not from a URL")
    return line


def _refused(number: int, shown: str, reason: str) -> BuildFailed:
    return BuildFailed(f"Line {number} of the requirements file, '{shown}', is refused: {reason}.", code="BadRequirements")
