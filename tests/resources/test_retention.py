"""Retention: operations are kept for their time after their end, requests for a day; all the rest stays."""

from datetime import timedelta

import pytest

from shared.domain.documents import Insert
from shared.domain.errors import PreconditionFailed
from shared.domain.ids import new_id
from shared.domain.models import Model, ModelRequest
from shared.domain.operations import Operation, State
from shared.domain.services import ServiceUpdateRequest
from shared.resources.repeatability import RecordedRequest, Repeatable
from shared.resources.tags import Preconditions, Tags
from tests.operations import an_operation
from tests.twins import ACCOUNT, World

MONTH = timedelta(days=30)


async def count(world: World, kind) -> int:
    return len((await world.rows.page(ACCOUNT, kind, {}, count=10_000)).items)


async def test_what_ended_a_month_ago_is_removed_and_what_it_made_stays():
    world = World()
    image_id = await world.built(await world.model())
    world.clock.advance(MONTH - timedelta(seconds=10))
    assert await world.retention.remove(ACCOUNT) == 0
    world.clock.advance(timedelta(seconds=20))
    assert await world.retention.remove(ACCOUNT) == 1
    assert await count(world, Operation) == 0
    assert (await world.images.get(ACCOUNT, image_id)).creation_state is State.SUCCEEDED


async def test_what_has_not_ended_is_kept_however_old_it_is():
    world = World()
    operation = await world.building(await world.manifest())
    world.clock.advance(3 * MONTH)
    assert await world.retention.remove(ACCOUNT) == 0
    assert await world.operation(operation) == operation


async def test_more_than_a_page_is_removed_at_once():
    world = World()
    for _ in range(450):
        identifier = new_id(world.clock.now(), world.clock.random_bits)
        done = an_operation(identifier, state=State.SUCCEEDED, end_time=world.clock.now())
        await world.rows.commit(ACCOUNT, [Insert(done)])
    world.clock.advance(MONTH + timedelta(hours=1))
    assert await world.retention.remove(ACCOUNT) == 450
    assert await count(world, Operation) == 0


async def test_an_update_that_comes_again_when_its_operation_is_forgotten_is_told_that_the_service_has_changed():
    world = World()
    service_id = await world.serving(await world.built())
    seen = Preconditions(Tags(frozenset({(await world.services.get(ACCOUNT, service_id)).tag})))
    update = ServiceUpdateRequest(max_concurrent_requests_per_container=3)
    accepted = await world.services.update(ACCOUNT, service_id, update, preconditions=seen)
    assert await world.services.update(ACCOUNT, service_id, update, preconditions=seen) == accepted
    await world.settle()
    world.clock.advance(MONTH + timedelta(hours=1))
    await world.retention.remove(ACCOUNT)
    with pytest.raises(PreconditionFailed, match="If-Match"):
        await world.services.update(ACCOUNT, service_id, update, preconditions=seen)


async def test_a_request_is_remembered_for_a_day_and_then_its_id_is_free():
    world = World()
    body = ModelRequest(name="digits", url="http://store/x", mime_type="application/json")

    async def register() -> int:
        request = Repeatable("http::id", "alike")
        made = await world.requests.once(ACCOUNT, request, Model, lambda once: world.models.register(ACCOUNT, body, once))
        return made.version

    assert [await register(), await register()] == [1, 1]
    world.clock.advance(timedelta(hours=23, minutes=59))
    assert await world.retention.remove(ACCOUNT) == 0
    assert await register() == 1
    world.clock.advance(timedelta(minutes=2))
    assert await world.retention.remove(ACCOUNT) == 1
    assert await count(world, RecordedRequest) == 0
    assert await register() == 2
