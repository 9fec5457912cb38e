"""What was fetched first is what every later image is made of."""

from shared.domain.operations import State
from shared.resources.contents import content_claim
from tests.twins import ACCOUNT, World


async def test_an_image_built_later_from_other_bytes_fails():
    world = World()
    model = await world.model("digits")
    first = await world.built(model)
    assert (await world.images.get(ACCOUNT, first)).creation_state is State.SUCCEEDED
    world.builder.contents["digits"] = "sha256:other"
    again = await world.images.get(ACCOUNT, await world.built(model))
    assert (again.creation_state, again.error.code) == (State.FAILED, "SourceChanged")
    anew = await world.built(await world.model("digits"))
    assert (await world.images.get(ACCOUNT, anew)).creation_state is State.SUCCEEDED


async def test_two_builds_at_once_agree_on_what_was_fetched():
    world = World()
    manifest = await world.manifest(await world.model())
    builds = [await world.building(manifest) for _ in range(2)]
    await world.settle()
    assert [(await world.operation(build)).state for build in builds] == [State.SUCCEEDED] * 2


async def test_what_was_fetched_is_forgotten_with_its_model():
    world = World()
    model = await world.model()
    image_id = await world.built(model)
    assert await world.rows.held(ACCOUNT, content_claim(model.id)) is not None
    manifest = (await world.images.get(ACCOUNT, image_id)).manifest
    assert await world.images.delete(ACCOUNT, image_id)
    assert await world.manifests.delete(ACCOUNT, manifest.id)
    assert await world.models.delete(ACCOUNT, model.id)
    assert await world.rows.held(ACCOUNT, content_claim(model.id)) is None
