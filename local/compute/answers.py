"""What both listeners share: every failure is an ErrorResponse, and every answer has the id of its request."""

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from uuid import uuid4

from aiohttp import web

from shared.domain.errors import ServiceError
from shared.domain.operations import ErrorResponse

_logger = logging.getLogger(__name__)

REQUEST_ID = web.RequestKey("request_id", str)
REQUEST_ID_HEADER = "x-request-id"
_LONGEST_ID = 128

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as answers; what nobody foresaw is logged whole and answered without detail.

    The request's id is the caller's, or made here: `request[REQUEST_ID]`.
    """
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request[REQUEST_ID] = given if 0 < len(given) <= _LONGEST_ID and given.isprintable() else str(uuid4())
    try:
        answer = await handler(request)
    except ServiceError as error:
        answer = answer_of(error)
    except web.HTTPException as error:
        answer = _answer_of_http(error)
    except ConnectionError:
        raise  # the caller has gone
    except Exception:
        _logger.exception("%s %s broke", request.method, request.path)
        answer = answer_of(ServiceError("The request could not be handled."))
    answer.headers.setdefault(REQUEST_ID_HEADER, request[REQUEST_ID])
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def answer_of(error: ServiceError) -> web.Response:
    """The answer that says what an error says."""
    answer = web.Response(
        status=error.status_code, text=ErrorResponse.of(error).json_text(), content_type="application/json"
    )
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.status_code == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _answer_of_http(error: web.HTTPException) -> web.Response:
    """What the web framework refused, in our form."""
    phrase = HTTPStatus(error.status).phrase
    answer = answer_of(ServiceError(f"{phrase}.", code=phrase.replace(" ", ""), status_code=error.status))
    if "Allow" in error.headers:
        answer.headers["Allow"] = error.headers["Allow"]
    return answer
