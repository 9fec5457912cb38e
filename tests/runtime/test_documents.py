"""What is told of a service, judged by the specifications of both documents (client-facts.md, 28)."""

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator
from pydantic import BaseModel, Field, TypeAdapter

from runtime.slipway_server.drivers.documents import Service, openapi, swagger
from runtime.slipway_server.drivers.kinds import Schema, kind_of
from tests.runtime.test_kinds import FITTING

ENVIRONMENT = {"SERVICE_NAME": "digits", "SERVICE_VERSION": "2", "SERVICE_PATH_PREFIX": "api/v1/service/digits"}


class Petal(BaseModel):
    length: float = Field(examples=[5.1], gt=0)
    width: float | None = None


class Flower(BaseModel):
    """A flower."""

    petals: list[Petal] = Field(max_length=3)
    parts: "list[Flower]" = []
    kind: str = "iris"


def documents(taken: Schema, given: Schema | None = None) -> tuple[Any, Any]:
    """Both, when both are valid."""
    service = Service.of(ENVIRONMENT, taken, given or {})
    old, new = json.loads(swagger(service)), json.loads(openapi(service))
    OpenAPIV2SpecValidator(old).validate()
    OpenAPIV31SpecValidator(new).validate()
    return old, new


@pytest.mark.parametrize("hint", [hint for hint, *_ in FITTING])
def test_the_documents_are_valid_whatever_the_hints(hint: Any) -> None:
    schema = kind_of(hint).schema
    documents(schema, schema)


def test_models_are_described_with_all_that_they_refer_to() -> None:
    schema = TypeAdapter(list[Flower]).json_schema()
    old, new = documents(schema, schema)
    assert old["definitions"]["ServiceInput"]["items"] == {"$ref": "#/definitions/Flower"}
    assert old["definitions"]["Petal"]["properties"]["length"]["minimum"] == 0
    assert old["definitions"]["Petal"]["properties"]["length"]["exclusiveMinimum"] is True
    assert old["definitions"]["Petal"]["properties"]["width"]["x-nullable"] is True
    assert new["components"]["schemas"]["ServiceOutput"]["items"] == {"$ref": "#/components/schemas/Flower"}
    assert new["components"]["schemas"]["Petal"]["properties"]["length"]["exclusiveMinimum"] == 0


def test_the_example_is_made_of_those_of_all_that_is_required() -> None:
    old, new = documents(TypeAdapter(list[Flower]).json_schema())
    example = [{"petals": [{"length": 5.1}], "parts": [], "kind": "iris"}]
    assert old["definitions"]["ServiceInput"]["example"] == example
    assert new["components"]["schemas"]["ServiceInput"]["example"] == example


def test_there_is_no_example_where_one_is_not_known() -> None:
    old, _ = documents(kind_of(list[float]).schema)
    assert "example" not in old["definitions"]["ServiceInput"]


def test_a_service_is_called_what_the_environment_says() -> None:
    old, new = documents({})
    for document in (old, new):
        assert (document["info"]["title"], document["info"]["version"]) == ("digits", "2")
        assert list(document["paths"]) == ["/api/v1/service/digits/", "/api/v1/service/digits/score"]
    by_hand = json.loads(swagger(Service.of({}, {}, {})))
    assert (by_hand["info"]["title"], list(by_hand["paths"])) == ("ML service", ["/", "/score"])
