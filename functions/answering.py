"""Carrying a request out so that it always has an answer: what fails is logged with its cause, and told without it."""

import logging
import traceback
from collections.abc import Awaitable, Callable

import azure.functions as func

from functions.addresses import check_host
from functions.replies import Reply, common_headers, refusal, response
from shared.domain.errors import ServiceError, foreign, out_of_room, with_causes

_logger = logging.getLogger(__name__)
_LONGEST_TRACE = 16 * 1024
_BROKE = "The request could not be completed; the log knows more by its x-ms-request-id."


async def answered(request: func.HttpRequest, what: str, act: Callable[[], Awaitable[Reply]]) -> func.HttpResponse:
    """The answer of that act, an ErrorResponse when it fails; `what` is what the log calls it."""
    headers = common_headers(request)
    try:
        check_host(request)
        reply = await act()
    except ServiceError as error:
        if error.status_code >= 500:
            _logger.error("%s failed; request id %s: %s", what, headers["x-ms-request-id"], with_causes(error))
        reply = refusal(error, request)
    except Exception as bug:  # noqa: BLE001  # the log gets the trace, cleaned, and the caller an answer
        _log_bug(what, headers["x-ms-request-id"], bug)
        reply = refusal(out_of_room(bug) or ServiceError(_BROKE), request)
    return response(request, reply, headers)


def _log_bug(what: str, request_id: str, bug: Exception) -> None:
    trace = foreign("".join(traceback.format_exception(bug)), _LONGEST_TRACE)
    _logger.error("%s broke; request id %s\n%s", what, request_id, trace)
