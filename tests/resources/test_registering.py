import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Conflict, InvalidRequest, NotFound
from shared.domain.filters import ModelFilters
from shared.domain.ids import new_id
from tests.twins import ACCOUNT, World


async def test_versions_count_up_per_name():
    world = World()
    versions = [(await world.model(name)).version for name in ("a", "b", "a", "a", "b")]
    assert versions == [1, 1, 2, 3, 2]


async def test_many_registrations_of_one_name_at_once_leave_no_gap_and_no_double():
    world = World()
    models = await asyncio.gather(*(world.model("digits") for _ in range(100)))
    assert sorted(model.version for model in models) == list(range(1, 101))


async def test_the_version_of_a_deleted_model_is_not_given_again():
    world = World()
    model = await world.model("digits")
    assert await world.models.delete(ACCOUNT, model.id)
    assert (await world.model("digits")).version == 2


async def test_a_manifest_of_a_model_that_is_not_registered_is_refused_naming_the_field_and_the_id():
    world = World()
    model, missing = await world.model(), new_id(world.clock.now(), world.clock.random_bits)
    await world.models.delete(ACCOUNT, model.id)
    with pytest.raises(InvalidRequest, match=rf"modelIds\[0\]: got '{model.id}'"):
        await world.manifest(model)
    with pytest.raises(NotFound):
        await world.models.get(ACCOUNT, missing)


async def test_what_is_still_referred_to_is_not_deleted_and_the_refusal_names_what_refers():
    world = World()
    model = await world.model()
    image_id = await world.built(model)
    image = await world.images.get(ACCOUNT, image_id)
    service_id = await world.serving(image_id)
    with pytest.raises(Conflict, match=f"manifest {image.manifest.id}"):
        await world.models.delete(ACCOUNT, model.id)
    with pytest.raises(Conflict, match=f"image {image_id}"):
        await world.manifests.delete(ACCOUNT, image.manifest.id)
    with pytest.raises(Conflict, match=f"service {service_id}"):
        await world.images.delete(ACCOUNT, image_id)


async def test_what_nothing_refers_to_any_more_is_deleted_once():
    world = World()
    model = await world.model()
    image_id = await world.built(model)
    image = await world.images.get(ACCOUNT, image_id)
    await world.services.delete(ACCOUNT, await world.serving(image_id))
    await world.settle()
    for use_cases, identifier in ((world.images, image_id), (world.manifests, image.manifest.id), (world.models, model.id)):
        assert await use_cases.delete(ACCOUNT, identifier) is True
        assert await use_cases.delete(ACCOUNT, identifier) is False


async def test_an_image_under_construction_is_not_deleted():
    world = World()
    operation = await world.building(await world.manifest())
    with pytest.raises(Conflict, match=operation.id):
        await world.images.delete(ACCOUNT, operation.resource_id)


async def test_a_model_deleted_while_a_manifest_begins_to_use_it_is_kept_or_the_manifest_refused():
    world = World()
    for _ in range(20):
        model = await world.model()
        registered, deleted = await asyncio.gather(
            world.manifest(model), world.models.delete(ACCOUNT, model.id), return_exceptions=True
        )
        assert isinstance(registered, InvalidRequest) != isinstance(deleted, Conflict)


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12), st.integers(1, 5), st.sampled_from([None, "a", "b"]))
async def test_pages_hold_every_model_that_fits_once_newest_first(names, count, wanted):
    world = World()
    expected = [model.id for model in [await world.model(name) for name in names] if wanted in (None, model.name)][::-1]
    seen, after = [], None
    while True:
        page = await world.models.page(ACCOUNT, ModelFilters(name=wanted), count, after)
        assert len(page.items) <= count
        seen += [model.id for model in page.items]
        if (after := page.after) is None:
            break
    assert seen == expected
