"""Routes: which function a request goes to.

As ASP.NET Core's router does it for the real host: functions are tried in the order of their names, letters in upper
case; literals match without regard to case; the method is a part of the match, so that a wrong one is a 404.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from local.host.refusal import Refused
from local.host.triggers import HttpTrigger
from local.host.worker import Target

_PARAMETER = re.compile(r"\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<constraint>[a-z]+))?(?P<optional>\?)?\}")
_REST = re.compile(r"\{\*{1,2}([A-Za-z_][A-Za-z0-9_]*)\}")
_CONSTRAINTS = {
    None: r"[^/]+",
    "alpha": r"[a-z]+",
    "guid": r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}",
    "int": r"[+-]?[0-9]+",
}
_ENCODED_SLASH = re.compile(r"%(2f)", re.IGNORECASE)


@dataclass(frozen=True)
class Route:
    """One function's route; no methods means any."""

    target: Target
    pattern: re.Pattern[str]
    methods: frozenset[str]

    def parameters(self, method: str, path: str) -> dict[str, str] | None:
        """The route parameters when the request is for this function, else None."""
        if self.methods and method not in self.methods:
            return None
        match = self.pattern.fullmatch(path)
        return match and {name: value for name, value in match.groupdict().items() if value is not None}


def table(triggers: Iterable[HttpTrigger], prefix: str) -> tuple[Route, ...]:
    """The routes in the order in which they are tried; raises Refused for a template this host does not know."""
    ordered = sorted(triggers, key=lambda trigger: trigger.target.name.upper())
    return tuple(Route(trigger.target, _compiled(trigger, prefix), trigger.methods) for trigger in ordered)


def decoded(raw_path: str) -> str:
    """The path as routes see it: percent-encoding undone, but for `%2F` and for what is not UTF-8."""
    if "%" not in raw_path:
        return raw_path
    try:
        return unquote(_ENCODED_SLASH.sub(r"%25\1", raw_path), errors="strict")
    except UnicodeDecodeError:
        return raw_path


def _compiled(trigger: HttpTrigger, prefix: str) -> re.Pattern[str]:
    where = f"{trigger.target.name}: route {trigger.route!r}"
    if trigger.route.startswith(("/", "~")):
        raise Refused(f"{where}: must not start with '/' or '~'")
    template = "/".join(part for part in (prefix, trigger.route) if part)
    try:
        return re.compile("".join(_segments(template.rstrip("/").split("/"), where)) + "/?", re.IGNORECASE)
    except re.error as error:
        raise Refused(f"{where}: {error}") from error


def _segments(segments: list[str], where: str) -> Iterator[str]:
    for place, segment in enumerate(segments, 1):
        rest = _REST.fullmatch(segment)
        if rest is not None and place == len(segments):
            yield f"(?:/(?P<{rest[1]}>(?s:.*)))?"
            return
        parameter = _PARAMETER.fullmatch(segment)
        if parameter is None:
            yield "/" + re.escape(_literal(segment, where))
            continue
        name, constraint, optional = parameter.group("name", "constraint", "optional")
        if constraint not in _CONSTRAINTS:
            raise Refused(f"{where}: the local host knows the constraints alpha, guid and int, not {constraint!r}")
        if optional and place < len(segments):
            raise Refused(f"{where}: only the last segment can be optional")
        part = f"/(?P<{name}>{_CONSTRAINTS[constraint]})"
        yield f"(?:{part})?" if optional else part


def _literal(segment: str, where: str) -> str:
    if not segment or re.search(r"[{}?*]", segment):
        raise Refused(f"{where}: the local host does not know the segment {segment!r}")
    return segment
