"""What a service takes and gives, for people and clients: Swagger 2.0 as clients of the time expect it, and OpenAPI 3.1.

Both name the schemas `ServiceInput` and `ServiceOutput`; the first has an example where one is known (client-facts.md, 28).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .kinds import Schema
from .schemas import apart, as_swagger, with_example

_HEALTH = "Whether the service is up"
_SCORE = "Run the service's model on this input"
_ERROR: Schema = {
    "type": "object",
    "properties": {"status_code": {"type": "integer", "format": "int32"}, "message": {"type": "string"}},
}


@dataclass(frozen=True)
class Service:
    """A service: what it is called and where it is, and the schemas of what it takes and gives (client-facts.md, 27)."""

    name: str
    version: str
    prefix: str
    taken: Schema
    given: Schema

    @classmethod
    def of(cls, environment: Mapping[str, str], taken: Schema, given: Schema) -> Self:
        """The one that the environment names."""
        prefix = environment.get("SERVICE_PATH_PREFIX", "").strip("/")
        name, version = environment.get("SERVICE_NAME"), environment.get("SERVICE_VERSION")
        return cls(name or "ML service", version or "1.0", f"/{prefix}" if prefix else "", with_example(taken), given)

    @property
    def info(self) -> dict[str, str]:
        """How a document begins."""
        return {"title": self.name, "version": self.version, "description": f"The machine-learning service {self.name}"}

    def schemas(self, place: str) -> dict[str, Schema]:
        """All schemas by name, for a document that has them at `place`."""
        (taken, others), (given, more) = apart(self.taken, place), apart(self.given, place)
        return {**others, **more, "ServiceInput": taken, "ServiceOutput": given, "ErrorResponse": _ERROR}


def swagger(service: Service) -> bytes:
    """The document of Swagger 2.0."""

    def answers(schema: Schema) -> dict[str, Any]:
        error = {"description": "What went wrong", "schema": {"$ref": "#/definitions/ErrorResponse"}}
        return {"200": {"description": "The answer", "schema": schema}, "default": error}

    body = {"name": "serviceInputPayload", "in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}
    health = {"operationId": "ServiceHealthCheck", "description": _HEALTH, "responses": answers({"type": "string"})}
    score = {
        "operationId": "RunMLService",
        "description": _SCORE,
        "parameters": [body],
        "responses": answers({"$ref": "#/definitions/ServiceOutput"}),
    }
    document = {
        "swagger": "2.0",
        "info": service.info,
        "schemes": ["https", "http"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "paths": {f"{service.prefix}/": {"get": health}, f"{service.prefix}/score": {"post": score}},
        "definitions": {name: as_swagger(schema) for name, schema in service.schemas("#/definitions/").items()},
    }
    return json.dumps(document, default=str).encode()


def openapi(service: Service) -> bytes:
    """The document of OpenAPI 3.1. A key is asked for where the service has one; run by hand it has none."""

    def answers(kind: str, schema: Schema) -> dict[str, Any]:
        error = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
        return {
            "200": {"description": "The answer", "content": {kind: {"schema": schema}}},
            "default": {"description": "What went wrong", "content": error},
        }

    health = {
        "operationId": "ServiceHealthCheck",
        "description": _HEALTH,
        "responses": answers("text/plain", {"type": "string"}),
    }
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ServiceInput"}}}}
    score = {
        "operationId": "RunMLService",
        "description": _SCORE,
        "requestBody": body,
        "responses": answers("application/json", {"$ref": "#/components/schemas/ServiceOutput"}),
    }
    document = {
        "openapi": "3.1.0",
        "info": service.info,
        "security": [{}, {"key": []}],
        "paths": {f"{service.prefix}/": {"get": health}, f"{service.prefix}/score": {"post": score}},
        "components": {
            "schemas": service.schemas("#/components/schemas/"),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return json.dumps(document, default=str).encode()
