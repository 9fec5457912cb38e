"""The HTTP function of what no other one takes: an unknown path, or a method that a path does not have.

Hosts try functions in the order of their names, and the first that fits takes the request: this one is named to be last.
"""

import difflib
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import azure.functions as func

from functions.answering import answered
from functions.endpoint import ACCOUNT_ROUTE, ROUTES, Route
from functions.replies import Reply, refusal
from shared.domain.errors import NotFound, ServiceError, foreign

blueprint = func.Blueprint()

_LONGEST_SEGMENT = 80
_IN_ACCOUNT = len(ACCOUNT_ROUTE.split("/"))


@blueprint.function_name("zz_refuse_unknown")
@blueprint.route(route="{*path}", auth_level=func.AuthLevel.ANONYMOUS)
async def zz_refuse_unknown(req: func.HttpRequest) -> func.HttpResponse:
    """Answer 405 where the path has other methods, else 404."""
    return await answered(req, "an unknown path", lambda: _refused(req))


async def _refused(request: func.HttpRequest) -> Reply:
    path = urlsplit(request.url).path.strip("/")
    segments = [unquote(segment) for segment in path.split("/")[1:]]  # the first one is the host's own prefix
    allowed = sorted(route.method for route in ROUTES if _fits(route, segments))
    if not allowed:
        raise NotFound(f"There is nothing at '{foreign('/'.join(segments), 200)}'{_nearest(segments)}.")
    message = f"{_refused_method(request.method, allowed)}; accepts {', '.join(allowed)}."
    told = refusal(ServiceError(message, code="MethodNotAllowed", status_code=405), request)
    return Reply(told.status, told.body, {**told.headers, "Allow": ", ".join(allowed)})


def _refused_method(method: str, allowed: Sequence[str]) -> str:
    """`method` is in upper case, however it was sent."""
    if method in allowed:
        return "A method is written in upper case"
    return f"{foreign(method, 40)} is no method of this path"


def _fits(route: Route, segments: Sequence[str]) -> bool:
    parts = route.template.split("/")
    return len(parts) == len(segments) and all(
        bool(segment) if part.startswith("{") else part.lower() == segment.lower()
        for part, segment in zip(parts, segments, strict=True)
    )


def _nearest(segments: Sequence[str]) -> str:
    """What is there under an account: the name that is most like the one given, or all."""
    if len(segments) < _IN_ACCOUNT:
        return f"; resources are at {ACCOUNT_ROUTE}/…"
    known = sorted({route.path.split("/")[0] for route in ROUTES if route.in_account})
    close = difflib.get_close_matches("".join(segments[_IN_ACCOUNT:][:1])[:_LONGEST_SEGMENT], known, n=1)
    return f"; the nearest known is {close[0]}" if close else f"; known are {', '.join(known)}"
