"""Answers: what a handler replies with, and how an error becomes an ErrorResponse. Source: api.md, ErrorResponse."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import azure.functions as func
from pydantic import BaseModel

from functions.addresses import account_url
from functions.repeating import result_header
from shared.domain.errors import OperationInProgress, ServiceError
from shared.domain.operations import ErrorDetail, ErrorResponse

API_VERSIONS = ("2017-09-01-preview",)
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True)
class Reply:
    """An answer: a status, and a value that becomes JSON, or text, of JSON unless `mimetype` says otherwise."""

    status: int
    body: BaseModel | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    mimetype: str = "application/json"


def common_headers(request: func.HttpRequest) -> dict[str, str]:
    """The headers of every answer: the versions there are, the ids of the request, and that its type is what it says."""
    return {
        "X-Content-Type-Options": "nosniff",
        "api-supported-versions": ", ".join(API_VERSIONS),
        "x-ms-request-id": str(uuid4()),
        "x-ms-client-request-id": _client_request_id(request),
    }


def response(request: func.HttpRequest, reply: Reply, headers: Mapping[str, str]) -> func.HttpResponse:
    """The reply as the host takes it."""
    body = reply.body.model_dump_json(exclude_none=True) if isinstance(reply.body, BaseModel) else reply.body
    mimetype = "text/plain" if body is None else reply.mimetype
    every = {**headers, **result_header(request, reply.status, reply.headers.get("x-ms-error-code")), **reply.headers}
    return func.HttpResponse(body, status_code=reply.status, headers=every, mimetype=mimetype)


def refusal(error: ServiceError, request: func.HttpRequest) -> Reply:
    """The answer that an error becomes."""
    answer, headers = ErrorResponse.of(error), {"x-ms-error-code": error.code}
    if isinstance(error, OperationInProgress):
        location = f"{account_url(request)}/operations/{error.operation_id}"
        detail = ErrorDetail(code="Operation", message=location)
        answer = answer.but(message=f"{error.message} {location}", details=(*(answer.details or ()), detail))
        headers["Operation-Location"] = location
    if error.status_code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="slipway", error="invalid_token"'
    if error.status_code in (429, 503, 507):
        headers["Retry-After"] = str(round(error.retry_after or 5))
    return Reply(error.status_code, answer, headers)


def _client_request_id(request: func.HttpRequest) -> str:
    given = request.headers.get("x-ms-client-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid4())
