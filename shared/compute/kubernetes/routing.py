"""What a cluster says of a service's route: whether a Gateway takes it, and whether anything serves an Ingress. Pure.

Sources: the Gateway API, conditions of an HTTPRoute's parents; networking/v1, an Ingress' status.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.compute.kubernetes.kinds import HTTP_ROUTE, Object
from shared.compute.kubernetes.statuses import moment
from shared.domain.errors import foreign
from shared.domain.operations import ErrorDetail, ErrorResponse

_NEEDED = ("Accepted", "ResolvedRefs")


def what_is_said_of(route: Object) -> str:
    """Why calls do not get through it, in the cluster's words; empty where it says nothing against it."""
    if route["kind"] == HTTP_ROUTE.kind:
        return " ".join(_words(parent, refusal) for parent, refusal in _refusals(route)) or _unseen(route)
    return "" if _addresses(route) else _unserved(route)


def route_error(route: Object, now: datetime, grace: timedelta) -> ErrorResponse | None:
    """The error of a service whose route its Gateway has not taken for so long."""
    lasting = [(parent, refusal) for parent, refusal in _refusals(route) if _lasts(refusal, now, grace)]
    if not lasting:
        return None
    parent, refusal = lasting[0]
    reason = ErrorDetail(code=foreign(refusal.get("reason") or refusal["type"], 64), message=_words(parent, refusal))
    return ErrorResponse(code="FrontEndRefused", message=reason.message, status_code=500, details=(reason,))


def _refusals(route: Object) -> Iterator[tuple[str, Object]]:
    """Each parent that does not take it, with the condition that says so. Of several controllers, one is enough."""
    for parent in route["spec"].get("parentRefs", []):
        told = [list(_needed(one, route)) for one in _statuses(route, parent)]
        if any(said and all(one["status"] == "True" for one in said) for said in told):
            continue
        yield from ((str(parent.get("name", "")), one) for said in told for one in said if one["status"] == "False")


def _statuses(route: Object, parent: Object) -> list[Object]:
    """What controllers have said of that parent; what they have said of one that it had before is past."""
    said = route.get("status", {}).get("parents") or []
    return [one for one in said if parent.items() <= one.get("parentRef", {}).items()]


def _needed(status: Object, route: Object) -> Iterator[Object]:
    """The conditions that tell whether calls get through, of the route as it is now."""
    generation = route.get("metadata", {}).get("generation", 0)
    for condition in status.get("conditions") or []:
        if condition["type"] in _NEEDED and condition.get("observedGeneration", generation) >= generation:
            yield condition


def _words(parent: str, refusal: Object) -> str:
    said = foreign(refusal.get("message") or "")
    return f"The Gateway {parent} does not take the HTTPRoute ({refusal.get('reason') or refusal['type']}): {said}"


def _unseen(route: Object) -> str:
    parents = route["spec"].get("parentRefs", [])
    if any(_statuses(route, parent) for parent in parents):
        return ""
    named = ", ".join(str(parent.get("name")) for parent in parents)
    return f"No controller has looked at its HTTPRoute yet: is there a Gateway {named}?"


def _addresses(ingress: Object) -> list[Object]:
    found: list[Object] = ingress.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return found


def _unserved(ingress: Object) -> str:
    served = ingress["spec"].get("ingressClassName")
    which = f"of the class {served}" if served else "of the default class"
    return f"No controller has given its Ingress an address yet: is there one {which}?"


def _lasts(refusal: Object, now: datetime, grace: timedelta) -> bool:
    since = refusal.get("lastTransitionTime")
    return since is not None and now - moment(since) >= grace
