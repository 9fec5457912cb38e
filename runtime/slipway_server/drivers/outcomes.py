"""What a driver returned or raised, as an answer.

A response of the driver's own is any object with an integer `status_code`, `headers`, and `body` or `get_data()`: a class or
`SimpleNamespace` of its own, or one of Starlette's, Flask's, or Azure ML's (`AMLResponse`). Everything else is an answer 200
with its JSON.
"""

import re
import traceback
from typing import Any

from ..http.messages import Response, failure
from ..logs import log
from . import azure_ml
from .encoding import encode
from .misfit import Misfit

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OF_THE_SERVER = frozenset({
    "connection", "content-length", "content-type", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    "x-request-id",
})  # fmt: skip
_NO_BODY = frozenset({204, 205, 304})


def returned(value: Any) -> Response:
    """The answer that a value is. Raises TypeError or ValueError for what cannot be one."""
    status = getattr(value, "status_code", None)
    if isinstance(status, int) and hasattr(value, "headers") and (hasattr(value, "get_data") or hasattr(value, "body")):
        return _own(int(status), value)
    return Response(200, encode(value))


def raised(error: BaseException) -> Response:
    """The answer that an exception is: a 400 that names the field, where it is the caller's input that does not fit; its own
    `status_code` and `message`, where it has them; or else a 500 that tells no detail. The log tells all.
    """
    misfit = error if isinstance(error, Misfit) else azure_ml.misfit(error)
    if misfit is not None:
        log("WARNING", f"The input does not fit. {misfit.message}")
        return failure(400, misfit.message)
    log("ERROR", "run failed.\n" + "".join(traceback.format_exception(error)))
    status, message = _said_by(error)
    if isinstance(status, int) and 400 <= status <= 599 and isinstance(message, str):
        return failure(status, message)
    return failure(500, "The driver failed. Its log says why, under the id of this request.")


def _said_by(error: BaseException) -> tuple[Any, Any]:
    """Its status and message (client-facts.md, 25); those of what Flask raises over a raw request, too."""
    if hasattr(error, "get_response"):
        return getattr(error, "code", None), getattr(error, "description", None)
    return getattr(error, "status_code", None), getattr(error, "message", None)


def _own(status: int, value: Any) -> Response:
    if not 200 <= status <= 599:
        raise ValueError(f"run returned a response with the status {status}; 200 to 599 is taken.")
    pairs = value.headers.items() if hasattr(value.headers, "items") else value.headers
    fields = tuple((str(name).lower(), str(item)) for name, item in pairs)
    _check(fields)
    content = value.get_data() if hasattr(value, "get_data") else value.body
    named = getattr(value, "content_type", None) or next((item for name, item in fields if name == "content-type"), None)
    body, usual = _body(content)
    kept = tuple(field for field in fields if field[0] not in _OF_THE_SERVER)
    _check((("content-type", str(named or usual)),))
    return Response(status, b"" if status in _NO_BODY else body, str(named or usual), kept)


def _body(content: Any) -> tuple[bytes, str]:
    """The bytes of a response, and what they are where nothing else is said."""
    match content:
        case bytes() | bytearray() | memoryview():
            return bytes(content), "application/octet-stream"
        case str():
            return content.encode(), "text/plain; charset=utf-8"
        case _:
            return encode(content), "application/json"


def _check(fields: tuple[tuple[str, str], ...]) -> None:
    """That they are fields of a header, and nothing that ends one (RFC 9110, section 5.5)."""
    for name, item in fields:
        if not _TOKEN.fullmatch(name) or _CONTROLS.search(item) or not _is_latin(item):
            raise ValueError(f"run returned a response with a header field that is none: {name!r}.")


def _is_latin(text: str) -> bool:
    return all(ord(character) < 256 for character in text)
