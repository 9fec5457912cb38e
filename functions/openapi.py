"""The API's own description, made from the very routes and types that serve it. Source: OpenAPI 3.1."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from functions.addresses import app_url
from functions.endpoint import Route
from functions.listing import DEFAULT_COUNT, MOST_COUNT
from functions.repeating import FIRST_SENT, METHODS, REQUEST_ID
from functions.replies import API_VERSIONS
from shared.domain.operations import ErrorResponse
from shared.resources.tags import IF_MATCH, IF_NONE_MATCH

_TAGS = {
    "models": "Registered models, by name and version.",
    "manifests": "Drivers, the models they use and their dependencies.",
    "images": "Container images built from manifests.",
    "services": "Web services that run images: settings, keys, logs.",
    "deployments": "What ran behind each service, and when.",
    "operations": "Accepted requests that are worked on after their answer.",
    "computeResources": "Where services can run.",
    "about": "The app itself.",
}
_REFUSALS = {
    400: "The request is at fault; the message names the field, what it got and what it accepts",
    401: "There is no token, or none that is taken",
    403: "The caller's role does not allow this",
    404: "There is no such account, or nothing under that id or name",
    409: "It does not go with what is there now",
    412: "A precondition is not met, or a repeatable request is too old",
    413: "The request is larger than Slipway takes or stores in one piece",
}
_FORMATS = {"id": {"format": "uuid"}}
_REF = "#/components/schemas/{model}"


def described(routes: Sequence[Route], account_url: str) -> dict[str, Any]:
    """The OpenAPI document of those routes, under that account's base URL."""
    kinds = sorted({kind for route in routes for kind in _kinds(route)}, key=lambda kind: kind.__name__)
    _, definitions = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(routes, key=lambda route: (route.path, route.method)):
        path = paths.setdefault(f"/{route.path}", {})
        path[route.method.lower()] = _operation(route)
        if not route.in_account:
            path["servers"] = [{"url": app_url(account_url)}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway: model management account API",
            "version": API_VERSIONS[-1],
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": account_url}],
        "tags": [{"name": name, "description": does} for name, does in _TAGS.items()],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _kinds(route: Route) -> set[type[BaseModel]]:
    named = [route.takes, *route.answers.values()]
    return {ErrorResponse, *(kind for kind in named if kind is not None and issubclass(kind, BaseModel))}


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [_tag(route)],
        "summary": route.does.splitlines()[0],
        "parameters": _parameters(route),
        "responses": {str(status): _response(status, answer) for status, answer in route.answers.items()},
    }
    if route.method == "GET" and route.conditional:
        operation["responses"]["304"] = {"description": "The caller has what it would be answered"}
        operation["responses"]["200"]["headers"] = {"ETag": {"schema": {"type": "string"}}}
    operation["responses"] |= {str(status): _refusal(status) for status in _refusals(route)}
    operation["responses"]["default"] = _response(None, ErrorResponse)
    if route.role is None:
        operation["security"] = []
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": _json(route.takes)}
    return operation


def _tag(route: Route) -> str:
    resource = route.path.split("/")[0]
    return resource if resource in _TAGS else "about"


def _refusals(route: Route) -> Iterator[int]:
    """What a caller must reckon with there, besides success."""
    if not route.in_account:
        return
    yield 404
    if route.role is not None:
        yield from (400, 401, 403, 412)
    if route.method != "GET":
        yield 409
    if route.takes is not None:
        yield 413


def _refusal(status: int) -> dict[str, Any]:
    return {"description": _REFUSALS[status], "content": _json(ErrorResponse)}


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters = [
        _parameter(name, "path", {"type": "string"} | _FORMATS.get(name, {}), required=True) for name in _in_path(route.path)
    ]
    if route.role is not None:
        version = {"type": "string", "enum": list(API_VERSIONS), "default": API_VERSIONS[-1]}
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
        yield from (IF_MATCH, IF_NONE_MATCH)


def _in_path(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _parameter(name: str, where: str, schema: Mapping[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required, "schema": dict(schema)}


def _response(status: int | None, answer: type[BaseModel] | type[str] | None) -> dict[str, Any]:
    response: dict[str, Any] = {"description": "Any other failure" if status is None else _DESCRIPTIONS[status]}
    if status == 202:
        location = {"schema": {"type": "string", "format": "uri"}}
        response["headers"] = {"Operation-Location": location, "Retry-After": {"schema": {"type": "integer"}}}
    if answer is str:
        response["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif answer is not None:
        response["content"] = _json(answer)
    return response


_DESCRIPTIONS = {
    200: "Success",
    202: "Accepted; the operation is at Operation-Location",
    204: "There was nothing to delete",
    503: "Not ready",
}


def _json(kind: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=kind.__name__)}}}
