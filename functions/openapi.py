"""The API's own description, made from the very routes and types that serve it. Source: OpenAPI 3.1."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from functions.endpoint import API_VERSIONS, Route
from functions.listing import DEFAULT_COUNT, MOST_COUNT
from functions.repeating import FIRST_SENT, METHODS, REQUEST_ID
from shared.domain.operations import ErrorResponse

_FORMATS = {"id": {"format": "uuid"}}
_REF = "#/components/schemas/{model}"


def described(routes: Sequence[Route], account_url: str) -> dict[str, Any]:
    """The OpenAPI document of those routes, under that account's base URL."""
    kinds = sorted({kind for route in routes for kind in _kinds(route)}, key=lambda kind: kind.__name__)
    _, definitions = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(routes, key=lambda route: (route.path, route.method)):
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Slipway: model management account API", "version": API_VERSIONS[-1]},
        "servers": [{"url": account_url}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _kinds(route: Route) -> set[type[BaseModel]]:
    named = [route.takes, *route.answers.values()]
    return {ErrorResponse, *(kind for kind in named if kind is not None)}


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.does.splitlines()[0],
        "parameters": _parameters(route),
        "responses": {str(status): _response(status, answer) for status, answer in route.answers.items()},
    }
    operation["responses"]["default"] = _response(None, ErrorResponse)
    if route.role is None:
        operation["security"] = []
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": _json(route.takes)}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters = [
        _parameter(name, "path", {"type": "string"} | _FORMATS.get(name, {}), required=True) for name in _in_path(route.path)
    ]
    if route.role is not None:
        version = {"type": "string", "enum": list(API_VERSIONS)}
        parameters.append(_parameter("api-version", "query", version, required=not route.version_optional))
    if route.filters is not None:
        names = (field.alias or name for name, field in route.filters.model_fields.items())
        parameters += [_parameter(name, "query", {"type": "string"}) for name in names]
    if route.paged:
        count = {"type": "integer", "minimum": 1, "maximum": MOST_COUNT, "default": DEFAULT_COUNT}
        parameters += [_parameter("count", "query", count), _parameter("$skipToken", "query", {"type": "string"})]
    parameters += [_parameter(name, "header", {"type": "string"}) for name in _headers(route)]
    return parameters


def _headers(route: Route) -> Iterator[str]:
    if route.method in METHODS:
        yield from (REQUEST_ID, FIRST_SENT)
    if route.conditional:
        yield "If-Match"


def _in_path(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _parameter(name: str, where: str, schema: Mapping[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required, "schema": dict(schema)}


def _response(status: int | None, answer: type[BaseModel] | None) -> dict[str, Any]:
    response: dict[str, Any] = {"description": "Failure" if status is None else _DESCRIPTIONS[status]}
    if status == 202:
        response["headers"] = {"Operation-Location": {"schema": {"type": "string", "format": "uri"}}}
    if answer is not None:
        response["content"] = _json(answer)
    return response


_DESCRIPTIONS = {200: "Success", 202: "Accepted; the operation is at Operation-Location", 204: "There was nothing to delete"}


def _json(kind: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=kind.__name__)}}}
