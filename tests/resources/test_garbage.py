"""What is needed is asked of the store, and a dry run removes nothing."""

from datetime import timedelta

from shared.resources.garbage import SETTLED
from tests.twins import ACCOUNT, World


async def test_listed_images_and_what_models_and_manifests_hold_are_needed():
    world = World()
    collector = world.collector
    model = await world.model()
    image_id = await world.built(model)
    deleted = await world.built(await world.model("other"), name="other")
    await world.images.delete(ACCOUNT, deleted)
    await world.garbage.collect()
    needed = collector.needed
    assert needed.images == {ACCOUNT: {"digits:1"}}
    assert needed.image_ids == {(ACCOUNT, image_id)}
    assert needed.contents == {"sha256:first", "sha256:lock"}
    assert world.clock.now() - needed.settled_before >= SETTLED
    assert timedelta(days=29) < world.clock.now() - needed.layers_used_since < timedelta(days=31)
    assert timedelta(days=6) < world.clock.now() - needed.logs_since < timedelta(days=8)


async def test_an_image_that_is_being_built_is_needed():
    world = World()
    collector = world.collector
    await world.building(await world.manifest())
    await world.garbage.collect()
    assert collector.needed.images == {ACCOUNT: {"digits:1"}}


async def test_a_dry_run_says_what_would_be_removed_and_removes_nothing(caplog):
    world = World()
    collector = world.collector
    caplog.set_level("INFO")
    found = await world.garbage.collect(dry_run=True)
    assert [one.name for one in found] == ["a", "b"]
    assert collector.garbage == {"a", "b"}
    assert "would remove blob a, 7 bytes" in caplog.text
    await world.garbage.collect()
    assert collector.garbage == set()
