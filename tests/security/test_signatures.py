"""Who may only read is shown no signature of a model, an asset or a requirements file, wherever their URLs appear."""

from collections.abc import Iterator
from typing import Any, get_args

import httpx
import pytest
from pydantic import BaseModel

from functions import answers
from shared.domain.images import Image
from shared.domain.models import Model
from shared.domain.operations import AsyncOperationStatus
from shared.domain.signatures import unsigned
from shared.domain.wire import Wire
from tests.functions.test_preconditions import MODEL
from tests.uploads import Road, upload

NO_SIGNATURE_FITS = {("FrontEnd", "address")}
"""URLs that are refused with a query."""


@pytest.fixture(scope="module")
def reader(stack) -> Iterator[httpx.Client]:
    with stack.client(stack.token("Slipway.Reader")) as client:
        yield client


@pytest.fixture(scope="module")
def paths(stack) -> dict[str, str]:
    """Where the one service is that is made of a model, an asset and requirements, and all that is behind it."""
    with stack.client() as api:
        road = Road(api, stack.description)
        url = upload(stack.description, "model.json", b"{}")
        model = api.post("models", json={**MODEL, "url": url, "mimeType": "application/json"}).json()["id"]
        service = road.service(road.image(models=(model,), requirements=b""), numReplicas=0)
        image, manifest = service["image"]["id"], service["manifest"]["id"]
        return {
            "models": f"models/{model}",
            "manifests": f"manifests/{manifest}",
            "images": f"images/{image}",
            "services": f"services/{service['id']}",
        }


def urls(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """All URLs in a document that came from a caller, by the name of their property."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from urls(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from urls(inner, name)
    elif name in ("url", "pipRequirements", "condaEnvFile"):
        yield name, value


ALL = {"url", "pipRequirements"}
KINDS = {"models": {"url"}, "manifests": ALL, "images": ALL, "services": ALL}


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_sees_where_things_are_and_no_signature(api, reader, paths, kind):
    for path, whole in ((paths[kind], lambda answer: answer), (kind, lambda answer: answer["value"][0])):
        seen = list(urls(whole(reader.get(path).json())))
        stored = list(urls(whole(api.get(path).json())))
        assert {name for name, _ in seen} == KINDS[kind]
        assert all("sig=" in url for _, url in stored)
        assert seen == [(name, url.partition("?")[0]) for name, url in stored]


@pytest.mark.parametrize("kind", KINDS)
def test_tags_are_of_what_their_caller_sees_and_hold_for_it(api, reader, paths, kind):
    path = paths[kind]
    for client in (api, reader):
        tag = client.get(path).headers["ETag"]
        assert client.get(path).headers["ETag"] == tag
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
        assert client.get(path, headers={"If-Match": tag}).status_code == 200
        assert client.get(path, headers={"If-Match": '"another"'}).status_code == 412


def test_a_tag_that_a_contributor_has_read_is_good_for_a_change(api, paths):
    headers = {"If-Match": api.get(paths["services"]).headers["ETag"]}
    assert api.put(paths["services"], json={"numReplicas": 0}, headers=headers).status_code == 202


def test_no_tag_of_a_reader_tells_what_the_signature_is(api, reader):
    paths = [f"models/{api.post('models', json={**MODEL, 'url': f'http://store/x?sig={sig}'}).json()['id']}" for sig in "ab"]
    tags = [reader.get(path).headers["ETag"] for path in paths]
    models = [Model.from_stored(reader.get(path).json()) for path in paths]
    assert tags == [model.tag for model in models]


def test_what_was_read_of_a_later_version_stays_in_what_is_shown_of_it():
    stored = {**MODEL, "id": "x", "version": 1, "createdAt": "2026-01-01T00:00:00Z", "colour": "red"}
    model = Model.from_stored(stored)
    assert unsigned(model).stored() == {**model.stored(), "url": MODEL["url"].partition("?")[0]}


def wires(kind: Any, seen: set[type]) -> set[type]:
    """The wire types that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
        seen.add(kind)
        for field in kind.model_fields.values():
            wires(field.annotation, seen)
    for inner in get_args(kind):
        wires(inner, seen)
    return seen


def test_every_field_that_holds_a_url_of_a_caller_says_whether_it_may_hold_a_signature():
    answered: set[type] = set()
    for kind in vars(answers).values():
        wires(kind, answered)
    assert {Image, AsyncOperationStatus} <= answered
    holding = {
        (kind, name)
        for kind in answered
        if issubclass(kind, Wire)
        for name, field in kind.model_fields.items()
        if "'format': 'uri'" in str(kind.model_json_schema()["properties"][field.alias or name])
    }
    unsaid = {(kind.__name__, name) for kind, name in holding if name not in kind.signed}
    assert len(holding) >= 5
    assert unsaid == NO_SIGNATURE_FITS
