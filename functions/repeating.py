"""Requests that may be sent again: the headers of OASIS Repeatable Requests 1.0, and what they ask for."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import azure.functions as func

from shared.domain.errors import Detail, InvalidRequest, PreconditionFailed, foreign
from shared.domain.fields import whole
from shared.resources.repeatability import KEPT, MISMATCH, Repeatable

REQUEST_ID, FIRST_SENT, CLIENT_ID = "Repeatability-Request-ID", "Repeatability-First-Sent", "Repeatability-Client-ID"
RESULT = "Repeatability-Result"
METHODS = ("POST", "PUT")
_INVALID, _EXPIRED = "InvalidRepeatability", "RepeatabilityExpired"
_REJECTED = (_INVALID, _EXPIRED, MISMATCH)
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_DAYS, _MONTHS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun", "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DATE = (
    f"((0[1-9]|1[0-9]|2[0-8]) ({_MONTHS}) 20[0-9]{{2}}|29 Feb 20([02468][048]|[13579][26])"
    f"|(29|30) ({_MONTHS.replace('|Feb', '')}) 20[0-9]{{2}}|31 (Jan|Mar|May|Jul|Aug|Oct|Dec) 20[0-9]{{2}})"
)
_HOUR, _SIXTY = "[01][0-9]|2[0-3]", "[0-5][0-9]"
_MOMENT = f"({_DAYS}), {_DATE} ({_HOUR}):{_SIXTY}:{_SIXTY} GMT"
DESCRIBED: Mapping[str, Mapping[str, str | list[str]]] = {
    REQUEST_ID: {"type": "string", "pattern": whole(_ID.pattern), "examples": ["01890000-0000-7000-8000-000000000000"]},
    FIRST_SENT: {"type": "string", "format": "http-date", "pattern": whole(_MOMENT)},
    CLIENT_ID: {"type": "string", "pattern": whole(_ID.pattern), "examples": ["a-client"]},
}
"""What the API's description says of these headers."""
_AHEAD = timedelta(minutes=5)
"""How far the caller's clock may be ahead of ours."""


def repeatable(request: func.HttpRequest, now: datetime) -> Repeatable | None:
    """The request as one that may come again, None when it does not say so.

    Raises InvalidRequest for malformed headers and PreconditionFailed for one that is older than what is remembered.
    """
    headers = request.headers
    identifier, first_sent, client = headers.get(REQUEST_ID), headers.get(FIRST_SENT), headers.get(CLIENT_ID)
    if request.method not in METHODS:
        return None
    if client is not None and not _ID.fullmatch(client):
        raise _invalid(CLIENT_ID, client, "1 to 128 printable characters without spaces")
    if identifier is None and first_sent is None:
        return None
    if identifier is None or not _ID.fullmatch(identifier):
        raise _invalid(REQUEST_ID, identifier, "1 to 128 printable characters without spaces, best a UUID")
    sent = _moment(first_sent)
    if not now - KEPT <= sent <= now + _AHEAD:
        raise PreconditionFailed(
            f"{FIRST_SENT}: got '{first_sent}'; accepts a time of the last 24 hours, for which requests are remembered: "
            "send it anew, under a new id.",
            code=_EXPIRED,
        )
    url = urlsplit(request.url)  # but for the host: a service has several names
    asked = hashlib.sha256(f"{request.method} {url.path}?{url.query}\n".encode() + request.get_body()).hexdigest()
    return Repeatable(f"http:{client or ''} {identifier}", asked, KEPT + _AHEAD)


def result_header(request: func.HttpRequest, status: int, code: str | None) -> Mapping[str, str]:
    """What the answer says of it: whether the request was taken as one that may be repeated."""
    if request.method not in METHODS or (REQUEST_ID not in request.headers and FIRST_SENT not in request.headers):
        return {}
    return {RESULT: "rejected" if code in _REJECTED or status in (401, 403) else "accepted"}


def _moment(text: str | None) -> datetime:
    try:
        return datetime.strptime(text or "", "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        raise _invalid(FIRST_SENT, text, "a time as HTTP writes it, Tue, 15 Nov 1994 08:12:31 GMT") from None


def _invalid(header: str, got: str | None, accepts: str) -> InvalidRequest:
    said = "required with the other one, and absent" if got is None else f"got '{foreign(got, 80)}'"
    message = f"{header}: {said}; accepts {accepts}."
    return InvalidRequest(message, code=_INVALID, details=[Detail("InvalidValue", message)])
