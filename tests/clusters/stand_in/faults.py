"""Faults that a test can ask for, each in the place of an answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.clusters.stand_in.statuses import Refused


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)


type Predicate = Callable[[Request], bool]


@dataclass(frozen=True)
class Fault:
    """What happens instead. `done` says that the request was carried out even so; `times` how often, None for always."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    done: bool = False
    silent: bool = False
    times: int | None = 1


def on(method: str, part: str) -> Predicate:
    """Requests of that method whose path holds `part`."""
    return lambda request: request.method == method and part in request.path


def conflict(times: int | None = 1) -> Fault:
    said = "the object has been modified; please apply your changes to the latest version and try again"
    return _status(Refused(409, "Conflict", f'Operation cannot be fulfilled on deployments.apps "x": {said}'), times)


def denied(words: str, *, code: int = 400, webhook: str = "policy.example.com", times: int | None = 1) -> Fault:
    """An admission webhook says no."""
    message = f'admission webhook "{webhook}" denied the request: {words}'
    return _status(Refused(code, "Forbidden" if code == 403 else "BadRequest", message), times)


def over_quota(times: int | None = 1) -> Fault:
    what = "count/deployments.apps"
    said = f"exceeded quota: team, requested: {what}=1, used: {what}=5, limited: {what}=5"
    return _status(Refused(403, "Forbidden", f'deployments.apps "x" is forbidden: {said}'), times)


def gone(times: int | None = 1) -> Fault:
    """The continue token has expired."""
    said = "The provided continue parameter is too old to display a consistent list result."
    return _status(Refused(410, "Expired", said), times)


def throttled(seconds: int, times: int | None = 1) -> Fault:
    said = "Too many requests, please try again later."
    return _status(Refused(429, "TooManyRequests", said), times, {"Retry-After": str(seconds)})


def broken(status: int = 500, times: int | None = 1) -> Fault:
    said = "Internal error occurred: etcdserver: request timed out"
    return _status(Refused(status, "InternalError", said), times)


def something_else(status: int, body: str, times: int | None = 1) -> Fault:
    """Something in front of the API server answers."""
    return Fault(status, {"Content-Type": "text/html"}, body.encode(), times=times)


def dropped(*, done: bool = False, times: int | None = 1) -> Fault:
    """The connection breaks in the middle of the answer; `done` is after the request has been carried out."""
    return Fault(done=done, times=times)


def silent(times: int | None = 1) -> Fault:
    """No answer ever comes."""
    return Fault(silent=True, times=times)


def expired(times: int | None = 1) -> Fault:
    """The caller is not known any more."""
    return _status(Refused(401, "Unauthorized", "Unauthorized"), times)


def missing_permission(times: int | None = 1) -> Fault:
    """RBAC does not let the caller."""
    said = 'deployments.apps is forbidden: User "slipway-test" cannot get resource "deployments" in API group "apps"'
    return _status(Refused(403, "Forbidden", said), times)


def _status(refused: Refused, times: int | None, headers: dict[str, str] | None = None) -> Fault:
    shown = {"Content-Type": "application/json", **(headers or {})}
    return Fault(refused.code, shown, json.dumps(refused.status).encode(), times=times)
