"""The logs of services: of replicas that are there, and of those that are gone."""

from datetime import UTC, datetime

import pytest

from shared.domain.computing import LogQuery, ReplicaLog
from shared.domain.errors import NotFound
from tests.twins import ACCOUNT, World

GONE = ReplicaLog("gone", "", ("one", "two", "three"))
HERE = ReplicaLog("here", "previous", ("crashed",))


async def logs(world: World, **query) -> list[ReplicaLog]:
    return list(await world.printed_logs.of(ACCOUNT, world.service_id, LogQuery(**{"tail": 10, **query})))


@pytest.fixture
async def world() -> World:
    world = World()
    world.service_id = await world.serving(await world.built())
    world.compute.printed = [HERE]
    await world.service_logs.keep(ACCOUNT, world.service_id, [GONE, HERE])
    return world


async def test_what_was_kept_of_a_failed_deployment_follows_what_is_there(world):
    assert await logs(world) == [HERE, GONE]


async def test_only_the_last_lines_are_told(world):
    assert (await logs(world, tail=2))[1].lines == ("two", "three")


async def test_one_replica_can_be_asked_for_whether_it_is_there_or_not(world):
    assert [log.replica for log in await logs(world, replica="gone")] == ["gone"]
    assert [log.replica for log in await logs(world, replica="here")] == ["here"]


async def test_who_asks_since_a_moment_asks_for_what_is_there(world):
    assert await logs(world, since=datetime(2026, 1, 1, tzinfo=UTC)) == [HERE]


async def test_there_are_none_of_a_service_that_is_not_there(world):
    with pytest.raises(NotFound):
        await world.printed_logs.of(ACCOUNT, "0190a0a0-0000-7000-8000-000000000000", LogQuery(tail=1))
