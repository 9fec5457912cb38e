"""A pipeline: each part made once, later parts from earlier ones; its children are operations like any other."""

import json

import pytest

from shared.domain.errors import BuildFailed, InvalidRequest, ServiceError
from shared.domain.operations import Operation, OperationType, State
from shared.domain.pipelines import PipelineRequest
from shared.domain.wire import parse
from tests.twins import ACCOUNT, COMPUTE_ID, World

PARTS = {
    "model": {"name": "digits", "url": "http://store/m", "mimeType": "application/json"},
    "manifest": {
        "name": "digits",
        "driverProgram": "driver",
        "assets": [{"id": "driver", "url": "http://store/driver.py"}],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
    },
    "image": {"name": "digits", "imageType": "Docker", "computeResourceId": COMPUTE_ID},
    "service": {"name": "digits", "computeResource": {"id": COMPUTE_ID}},
}


def asked(*names: str, **changed: object) -> PipelineRequest:
    parts = {name: {**PARTS[name], **changed.get(name, {})} for name in names or PARTS}
    return parse(PipelineRequest, json.dumps(parts).encode())


async def ran(world: World, request: PipelineRequest) -> Operation:
    operation = await world.pipelines.run(ACCOUNT, request)
    await world.settle()
    return await world.operation(operation)


@pytest.fixture
def world():
    return World()


async def test_all_four_parts_are_made_of_one_another(world):
    ended = await ran(world, asked())
    assert (ended.state, ended.operation_type) == (State.SUCCEEDED, OperationType.PIPELINE)
    made = ended.checkpoint
    service = await world.services.get(ACCOUNT, made["serviceId"])
    assert service.image.id == made["imageId"]
    assert service.image.manifest.id == made["manifestId"]
    assert service.image.manifest.model_ids == (made["modelId"],)
    assert service.state is State.SUCCEEDED


async def test_run_again_it_rolls_out_anew_on_the_service_there_is(world):
    first, second = await ran(world, asked()), await ran(world, asked())
    assert first.checkpoint["serviceId"] == second.checkpoint["serviceId"]
    service = await world.services.get(ACCOUNT, second.checkpoint["serviceId"])
    assert service.image.id == second.checkpoint["imageId"] != first.checkpoint["imageId"]
    assert (await world.models.get(ACCOUNT, second.checkpoint["modelId"])).version == 2


async def test_parts_may_be_left_out_when_others_name_what_there_is(world):
    image_id = await world.built(await world.model())
    assert (await ran(world, asked("service", service={"imageId": image_id}))).state is State.SUCCEEDED
    manifest = await world.manifest()
    ended = await ran(world, asked("image", image={"manifestId": manifest.id}))
    assert (await world.images.get(ACCOUNT, ended.checkpoint["imageId"])).manifest.id == manifest.id
    assert (await ran(world, asked("model"))).state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("names", "changed", "named"),
    [
        (("image",), {}, "image.manifestId: required"),
        (("service",), {}, "service.imageId: required"),
        (("manifest",), {"manifest": {"modelIds": ["$model"]}}, "manifest.modelIds: got '$model'"),
        (("service",), {"service": {"imageId": "$manifest"}}, "service.imageId"),
    ],
)
def test_a_part_that_refers_to_one_that_is_not_there_is_refused_naming_the_field(names, changed, named):
    with pytest.raises(InvalidRequest) as refused:
        asked(*names, **changed)
    assert named in refused.value.message


async def test_a_part_that_fails_ends_it_with_that_parts_error_and_what_comes_after_is_not_made(world):
    world.builder.failures = [BuildFailed("no wheel", code="NoWheel")]
    ended = await ran(world, asked())
    assert (ended.state, ended.error.code, ended.error.message) == (State.FAILED, "NoWheel", "image: no wheel")
    assert "serviceId" not in ended.checkpoint
    assert (await world.models.get(ACCOUNT, ended.checkpoint["modelId"])).version == 1


async def test_cancelling_it_cancels_what_it_is_making(world):
    world.builder.before_content = ServiceError("away", retryable=True)
    operation = await world.pipelines.run(ACCOUNT, asked())
    for _ in range(4):
        due, account, identifier = world.wake_ups.pop()
        world.clock.advance(max(due - world.clock.now(), due - due))
        await world.engine.run(account, identifier)
    await world.operations.cancel(ACCOUNT, operation.id)
    await world.settle()
    assert (await world.operation(operation)).state is State.CANCELLED
    images = await world.rows.page(ACCOUNT, Operation, {}, count=100)
    assert {child.state for child in images.items} == {State.CANCELLED}


async def test_it_waits_for_an_update_that_is_under_way(world):
    image_id = await world.built(await world.model())
    service_id = await world.serving(image_id)
    request = asked("service", service={"imageId": image_id, "maxConcurrentRequestsPerContainer": 7})
    update = asked("service", service={"imageId": image_id}).service.made_of(None).as_update()
    under_way = await world.services.update(ACCOUNT, service_id, update)
    operation = await world.pipelines.run(ACCOUNT, request)
    await world.engine.run(ACCOUNT, operation.id)
    assert (await world.operation(operation)).waiting_for == f"the end of operation {under_way.id}"
    await world.settle()
    assert (await world.operation(operation)).state is State.SUCCEEDED
    assert (await world.services.get(ACCOUNT, service_id)).settings.max_concurrent_requests_per_container == 7
