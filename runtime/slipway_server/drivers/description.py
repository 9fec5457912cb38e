"""What is known of a driver's input and output, as documents."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..logs import log
from . import azure_ml
from .documents import Service, openapi, swagger
from .inputs import Inputs, Run, understood
from .kinds import Schema


@dataclass(frozen=True)
class Description:
    """Both documents; None where there is nothing to tell."""

    swagger: bytes | None = None
    openapi: bytes | None = None


def described(run: Run, hints: Mapping[str, Any], inputs: Inputs, folder: Path) -> Description:
    """The documents of a driver: from the swagger.json that it wrote, its decorators, or the type hints of `run`."""
    definitions = _written(folder / "swagger.json")
    taken = definitions.get("ServiceInput") or inputs.schema
    decorated = definitions.get("ServiceOutput") or azure_ml.output_schema(run)
    given = decorated or understood(hints.get("return", Any)).schema
    if not taken and not given:
        return Description()
    if definitions:
        taken, given = (_with_others(one, definitions) for one in (taken, given))
    service = Service.of(os.environ, taken, given)
    return Description(swagger(service), openapi(service))


def _written(file: Path) -> dict[str, Schema]:
    """The definitions of a swagger.json, as wrapped drivers write it from their service schema (client-facts.md, 24)."""
    try:
        definitions = json.loads(file.read_bytes()).get("definitions", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        log("WARNING", f"The swagger.json of the driver is not understood, and there is no OpenAPI document of it: {error}")
        return {}
    return definitions if isinstance(definitions, dict) else {}


def _with_others(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    return {**schema, "$defs": {name: one for name, one in definitions.items() if not name.startswith("Service")}}
