"""What a server wants to see before it serves: the challenges of `WWW-Authenticate`. Source: RFC 9110, 11.2 to 11.6.1.

One header may hold several challenges, there may be several headers, and commas part challenges as they part parameters.
It is read from left to right, each character once.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from shared.registries.scanning import past

_LONGEST = 8192
_SEPARATORS = re.compile(r"[\s,]*")
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_PARAMETER = re.compile(r"""([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"=][^\s,"]*))""", re.ASCII)
_VALUE = re.compile(r"[ \t]*=")
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")
_ESCAPED = re.compile(r"\\(.)")
_TO_THE_NEXT = re.compile(r"[^,]*")


@dataclass(frozen=True)
class Challenge:
    """One way to sign in: its scheme and the names of its parameters in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of those headers, in their order; what is none is passed over."""
    return [challenge for header in headers for challenge in _challenges(header[:_LONGEST])]


def _challenges(header: str) -> Iterator[Challenge]:
    scheme, parameters = "", dict[str, str]()
    place = past(_SEPARATORS, header, 0)
    while place < len(header):
        if parameter := _PARAMETER.match(header, place):
            name, quoted, plain = parameter.groups()
            parameters.setdefault(name.lower(), plain if quoted is None else _ESCAPED.sub(r"\1", quoted))
            place = parameter.end()
        elif (token := _TOKEN.match(header, place)) and not _VALUE.match(header, token.end()):
            if scheme:
                yield Challenge(scheme, parameters)
            scheme, parameters = token[0].lower(), {}
            place = past(_TOKEN68, header, token.end())
        else:
            place = past(_TO_THE_NEXT, header, place)
        place = past(_SEPARATORS, header, place)
    if scheme:
        yield Challenge(scheme, parameters)
