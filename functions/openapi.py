"""The API's own description, made from the very routes and types that serve it. Source: OpenAPI 3.1."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from functions import repeating
from functions.addresses import app_url
from functions.endpoint import Route
from functions.listing import DEFAULT_COUNT, MOST_COUNT
from functions.repeating import METHODS
from functions.replies import API_VERSIONS
from functions.schemas import Schemas, present_only, reference
from shared.domain.compute_resources import ComputeName
from shared.domain.fields import Id
from shared.domain.operations import ErrorResponse
from shared.domain.wire import Wire
from shared.resources import tags
from shared.resources.paging import TOKEN_DESCRIBED

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
_VERSION = {"type": "string", "enum": list(API_VERSIONS), "default": API_VERSIONS[-1]}
_COUNT = {"type": "integer", "minimum": 1, "maximum": MOST_COUNT, "default": DEFAULT_COUNT}


class _InPath(Wire):
    """The parameters of paths."""

    id: Id
    name: ComputeName


def described(routes: Sequence[Route], account_url: str) -> dict[str, Any]:
    """The OpenAPI document of those routes, under that account's base URL."""
    schemas = Schemas(
        {kind for route in routes for kind in _answered(route)},
        {route.takes for route in routes if route.takes is not None},
        {route.filters for route in routes if route.filters is not None},
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(routes, key=lambda route: (route.path, route.method)):
        path = paths.setdefault(f"/{route.path}", {})
        path[route.method.lower()] = _operation(route, schemas)
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
            "schemas": schemas.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _answered(route: Route) -> set[type[BaseModel]]:
    return {ErrorResponse, *(kind for kind in route.answers.values() if kind is not None and issubclass(kind, BaseModel))}


def _operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [_tag(route)],
        "summary": route.does.splitlines()[0],
        "parameters": _parameters(route, schemas),
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
        operation["requestBody"] = {"required": _asks_something(route.takes), "content": _json(route.takes)}
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


def _asks_something(kind: type[Wire]) -> bool:
    """Whether an absent body, which is an empty object, would be refused."""
    return any(field.is_required() for field in kind.model_fields.values())


def _parameters(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    parameters = [_parameter(name, "path", present_only(_InPath, name), required=True) for name in _in_path(route.path)]
    if route.role is not None:
        parameters.append(_parameter("api-version", "query", _VERSION, required=not route.version_optional))
    if route.filters is not None:
        parameters += [_parameter(name, "query", schema) for name, schema in schemas.parameters(route.filters)]
    if route.paged:
        parameters += [_parameter("count", "query", _COUNT), _parameter("$skipToken", "query", TOKEN_DESCRIBED)]
    parameters += [_parameter(name, "header", schema) for name, schema in _headers(route)]
    return parameters


def _headers(route: Route) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if route.method in METHODS:
        yield from repeating.DESCRIBED.items()
    if route.conditional:
        yield from ((name, tags.DESCRIBED) for name in (tags.IF_MATCH, tags.IF_NONE_MATCH))


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
    return {"application/json": {"schema": reference(kind)}}
