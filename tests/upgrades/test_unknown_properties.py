"""Documents of a newer version: what is unknown in them is kept and written back as it was, and never shown."""

import json
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from shared.domain.documents import Change, Document, Insert, Renew, Replace, Stored
from shared.domain.filters import ModelFilters
from shared.domain.operations import Operation, State
from shared.domain.services import ServiceUpdateRequest
from shared.domain.wire import Json, Wire, parse
from shared.storage.memory import MemoryStore
from tests.twins import ACCOUNT, World

NEWER: dict[str, Json] = {"fromNewer": {"list": [1, None, {"deep": True}], "text": "naïve 𝄞"}}


class Part(Wire):
    """A part of a whole."""

    a_number: int | None = None


class Whole(Wire):
    """A value with parts of every shape."""

    part: Part | None = None
    parts: tuple[Part, ...] = ()
    by_name: Annotated[dict[str, Part], Field(default_factory=dict)]


def newer(value: Json) -> Json:
    """That JSON with one property more in each object of it."""
    if isinstance(value, dict):
        return {**{name: newer(inner) for name, inner in value.items()}, **NEWER}
    return [newer(inner) for inner in value] if isinstance(value, list) else value


def newer_document[D: Document](document: D) -> D:
    """That document as a newer version would have written it: one property more in it and in each value of its own."""
    try:
        return type(document).from_stored(newer(document.stored()))
    except ValidationError:  # texts by name, such as tags of an environment, take no objects
        return type(document).from_stored({**document.stored(), **NEWER})


class WrittenByNewer(MemoryStore):
    """A store in which each new document is a newer version's; nothing of it may get lost."""

    async def commit(self, account, changes):
        return await super().commit(account, [self._marked(change) for change in changes])

    def _marked(self, change: Change) -> Change:
        match change:
            case Insert(document):
                return Insert(newer_document(document))
            case Replace(old, new) | Renew(old, new):
                assert new.stored()["fromNewer"] == old.document.stored()["fromNewer"] == NEWER["fromNewer"]
        return change


@pytest.fixture
def world() -> World:
    world = World()
    world.rows = WrittenByNewer(world.clock)
    world.process(world.clock)
    return world


PARTS = st.builds(Part, a_number=st.none() | st.integers(-9, 9))
WHOLES = st.builds(
    Whole,
    part=st.none() | PARTS,
    parts=st.lists(PARTS, max_size=3).map(tuple),
    by_name=st.dictionaries(st.sampled_from("abc"), PARTS),
)


@given(WHOLES)
def test_what_is_unknown_comes_back_from_any_depth(whole):
    stored = whole.stored()
    marked = {**stored, **NEWER, "parts": newer(stored["parts"])}
    assert Whole.from_stored(marked).stored() == marked
    assert json.loads(Whole.from_stored(json.dumps(marked)).stored_text()) == marked


@given(WHOLES)
def test_what_is_unknown_is_not_shown(whole):
    marked = {**whole.stored(), **NEWER, "parts": newer(whole.stored()["parts"])}
    assert Whole.from_stored(marked).json_text() == whole.json_text()


@given(WHOLES)
def test_without_anything_unknown_a_value_is_what_it_was(whole):
    assert Whole.from_stored(whole.stored_text()) == whole
    assert whole.stored_text() == whole.json_text()


def test_a_change_keeps_what_is_unknown_beside_it_and_takes_only_what_is_known():
    whole = Whole.from_stored({"part": {"aNumber": 1, **NEWER}, **NEWER})
    changed = whole.but(parts=(Part(a_number=2),))
    assert changed.stored() == {"part": {"aNumber": 1, **NEWER}, "parts": [{"aNumber": 2}], "byName": {}, **NEWER}
    with pytest.raises(TypeError, match="Whole has no prats"):
        whole.but(prats=())


def test_values_are_equal_when_they_say_the_same_and_know_the_same():
    one, same = Part.from_stored({"aNumber": 1, "b": [2]}), Part.from_stored({"aNumber": 1, "b": [2]})
    assert one == same
    assert hash(one) == hash(same)
    assert one != Part.from_stored({"aNumber": 1, "b": [3]})
    assert one != Part(a_number=1)


def test_a_stored_value_that_is_wrong_in_what_is_known_is_refused():
    with pytest.raises(ValidationError):
        Part.from_stored({"aNumber": "one", **NEWER})


async def test_the_whole_road_goes_on_with_documents_of_a_newer_version(world):
    service_id = await world.serving(await world.built(await world.model()))
    update = parse(ServiceUpdateRequest, b'{"numReplicas": 2, "autoScaler": {"autoscaleEnabled": false}}')
    await world.services.update(ACCOUNT, service_id, update)
    await world.settle()
    assert (await world.services.get(ACCOUNT, service_id)).settings.num_replicas == 2
    assert [model.name for model in (await world.models.page(ACCOUNT, ModelFilters(), 100, None)).items] == ["digits"]
    assert await world.services.delete(ACCOUNT, service_id)
    await world.settle()
    operations = await world.store.page(ACCOUNT, Operation, {}, count=100)
    assert {operation.state for operation in operations.items} == {State.SUCCEEDED}


def test_a_stored_document_is_equal_to_one_of_this_version():
    part = Part.from_stored({"aNumber": 1})
    assert Stored(part, "1") == Stored(Part(a_number=1), "1")
