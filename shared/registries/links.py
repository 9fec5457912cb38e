"""Where a list goes on: the links of an answer. Source: RFC 8288, 3."""

import re
from collections.abc import Iterable

_LONGEST = 8192
_LINK = re.compile(r"""[\s,]*<([^<>]*)>((?:\s*;\s*[^\s=;,"<>]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)\s*(?=,|$)""")
_PARAMETER = re.compile(r"""\s*;\s*([^\s=;,"<>]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?""")
_BLANKS = re.compile(r"[\s,]*")


def next_link(headers: Iterable[str]) -> str | None:
    """What those headers name as the next page, relative to the answer; empty when there is none, None when they cannot be
    read, and there may be one."""
    found = [link for header in headers for link in _links(header)]
    named = dict.fromkeys(target for target, relations in found if "next" in relations)
    if None in named or len(named) > 1:
        return None
    return next(iter(named), "")


def _links(header: str) -> Iterable[tuple[str | None, list[str]]]:
    """Each link and its relations; what cannot be read may be the next page."""
    if len(header) > _LONGEST:
        return [(None, ["next"])]
    links: list[tuple[str | None, list[str]]] = []
    place = 0
    while place < len(header) and (link := _LINK.match(header, place)):
        target, parameters = link.groups()
        links.append((target or None, _relations(parameters)))
        place = link.end()
    blank = _BLANKS.fullmatch(header, place) is not None
    return links if blank else [*links, (None, ["next"])]


def _relations(parameters: str) -> list[str]:
    """Those of the first `rel`, which alone counts."""
    given = (found.groups(default="") for found in _PARAMETER.finditer(parameters))
    return next(((quoted or plain).lower().split() for name, quoted, plain in given if name.lower() == "rel"), [])
