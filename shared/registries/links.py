"""Where a list goes on: the links of an answer. Source: RFC 8288, 3."""

import re
from collections.abc import Iterable, Iterator

from shared.registries.scanning import past

_LONGEST = 8192
_TARGET = re.compile(r"<([^<>]*)>")
_ATTRIBUTE = re.compile(r"""\s*;\s*([^\s=;,"<>]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?""")
_END = re.compile(r"\s*(?=,|$)")
_SEPARATORS = re.compile(r"[\s,]*")


def next_link(headers: Iterable[str]) -> str | None:
    """What those headers name as the next page, relative to the answer; empty when there is none, None when they cannot be
    read, and there may be one."""
    found = [link for header in headers for link in _links(header)]
    named = dict.fromkeys(target for target, relations in found if "next" in relations)
    if None in named or len(named) > 1:
        return None
    return next(iter(named), "")


def _links(header: str) -> Iterator[tuple[str | None, list[str]]]:
    """Each link and its relations; what cannot be read may be the next page."""
    place = past(_SEPARATORS, header, 0)
    while place < len(header):
        target = _TARGET.match(header, place) if len(header) <= _LONGEST else None
        relations, place = _attributes(header, target.end()) if target else ([], place)
        end = _END.match(header, place)
        if not (target and target[1] and end):
            yield None, ["next"]
            return
        yield target[1], relations
        place = past(_SEPARATORS, header, end.end())


def _attributes(header: str, place: int) -> tuple[list[str], int]:
    """The relations of the first `rel`, which alone counts, and where the attributes end."""
    relations: list[str] | None = None
    while attribute := _ATTRIBUTE.match(header, place):
        name, quoted, plain = attribute.groups(default="")
        if name.lower() == "rel" and relations is None:
            relations = (quoted or plain).lower().split()
        place = attribute.end()
    return relations or [], place
