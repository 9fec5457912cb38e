"""Commands: the event's source and id together are the key under which each is carried out once."""

import asyncio
from uuid import uuid4

import pytest

from shared.domain.commands import Command
from shared.domain.errors import InvalidRequest
from shared.domain.filters import OperationFilters
from shared.domain.models import Model
from shared.domain.plans import DELETE_SERVICE
from tests.twins import ACCOUNT, World

BODY = {"name": "digits", "url": "http://store/x", "mimeType": "application/json"}


def register(source: str, identifier: str, **changed: object) -> Command:
    return Command(identifier, source, "slipway.model.register", ACCOUNT.path, {**BODY, **changed})


async def versions(world: World) -> list[int]:
    return [model.version for model in (await world.rows.page(ACCOUNT, Model, {}, count=10)).items]


async def test_a_command_is_known_by_its_source_and_id():
    world = World()
    for _ in range(2):
        for source, identifier in (("a", "1"), ("a", "2"), ("b", "1")):
            await world.commands.carry_out(register(source, identifier))
    assert await versions(world) == [3, 2, 1]


async def test_sources_and_ids_are_told_apart_whatever_is_in_them():
    world = World()
    await world.commands.carry_out(register("a", "b\nc"))
    await world.commands.carry_out(register("a\nb", "c"))
    assert await versions(world) == [2, 1]


async def test_the_key_of_one_command_is_refused_to_another():
    world = World()
    await world.commands.carry_out(register("a", "1"))
    with pytest.raises(InvalidRequest) as refused:
        await world.commands.carry_out(register("a", "1", name="letters"))
    assert refused.value.code == "RepeatabilityMismatch"
    assert await versions(world) == [1]


def delete(service_id: str, identifier: str = "1") -> Command:
    return Command(identifier, "a", "slipway.service.delete", ACCOUNT.path, {"id": service_id})


async def test_the_key_of_a_delete_is_refused_to_another_command():
    world = World()
    service_id = await world.serving(await world.built())
    before = await versions(world)
    await world.commands.carry_out(delete(service_id))
    for other in (register("a", "1"), delete(str(uuid4()))):
        with pytest.raises(InvalidRequest) as refused:
            await world.commands.carry_out(other)
        assert refused.value.code == "RepeatabilityMismatch"
    assert await versions(world) == before


async def test_the_key_of_another_command_is_refused_to_a_delete():
    world = World()
    service_id = await world.serving(await world.built())
    await world.commands.carry_out(register("a", "1"))
    with pytest.raises(InvalidRequest) as refused:
        await world.commands.carry_out(delete(service_id))
    assert refused.value.code == "RepeatabilityMismatch"
    assert (await world.services.get(ACCOUNT, service_id)).id == service_id


async def test_a_delete_that_comes_again_or_twice_at_once_is_carried_out_once():
    world = World()
    service_id = await world.serving(await world.built())
    await asyncio.gather(*(world.commands.carry_out(delete(service_id)) for _ in range(10)))
    await world.commands.carry_out(delete(service_id))
    deletes = await world.operations.page(ACCOUNT, OperationFilters(resource_id=service_id), 10, None)
    assert [operation.workflow for operation in deletes.items].count(DELETE_SERVICE) == 1
    await world.settle()
    assert service_id in world.compute.removed


async def test_a_delete_of_what_is_not_there_takes_its_key_too():
    world = World()
    gone = str(uuid4())
    for _ in range(2):
        await world.commands.carry_out(delete(gone))
    with pytest.raises(InvalidRequest):
        await world.commands.carry_out(register("a", "1"))


async def test_an_accepted_delete_ends_calls_by_its_operation_when_compute_was_away():
    world = World()
    service_id = await world.serving(await world.built())
    world.compute.away = True
    await world.commands.carry_out(delete(service_id))
    world.compute.away = False
    await world.settle()
    assert {service_id} <= set(world.compute.withdrawn) & set(world.compute.removed)
