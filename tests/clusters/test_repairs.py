"""What is recorded is what runs: surveys and the engine put back what is not, however it came about."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.compute.kubernetes.names import object_name
from shared.domain.events import Event
from shared.domain.filters import OperationFilters
from shared.domain.operations import Operation, State
from shared.domain.services import ServiceUpdateRequest
from tests.clusters.controllers import MERGE, READY, crashed
from tests.clusters.deployed import deploying
from tests.clusters.test_drift import EVIL, drift, edit, scoring
from tests.clusters.test_operations import ONE, ClusterWorld
from tests.twins import ACCOUNT


@pytest.fixture
async def world(cluster) -> AsyncIterator[ClusterWorld]:
    async with deploying(cluster) as deployed:
        yield ClusterWorld(deployed)


async def restored(world: ClusterWorld, service_id: str) -> list[Operation]:
    operations = (await world.operations.page(ACCOUNT, OperationFilters(resource_id=service_id), 100, None)).items
    return [each for each in operations if each.workflow == "restore-service"]


async def image_of(world: ClusterWorld) -> str:
    found = await world.deployed.get("apps/v1", "deployments")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


async def test_a_rollback_that_could_not_be_done_is_made_up_for_by_a_survey(world):
    operation = await world.created()
    service_id = operation.resource_id
    service = await world.services.get(ACCOUNT, service_id)
    stand_in = world.deployed.cluster.needs_stand_in("permissions that go and come")
    update = await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(app_insights_enabled=True))
    await world.deliver_next()
    await world.roll_out(service_id, crashed())
    stand_in.denied |= {"patch deployments.apps", "patch secrets"}
    await world.play(service_id, crashed(), most=300)
    failed = await world.operation(update)
    assert "What it did could not be taken back" in failed.error.message
    stand_in.denied.clear()
    await world.surveys.survey(ACCOUNT)
    await world.play(service_id)
    (restoring,) = await restored(world, service_id)
    assert "Deployment spec.template.spec.containers.scoring.env.AML_APP_INSIGHTS_ENABLED.value" in str(restoring.checkpoint)
    assert await drift(world.deployed, await world.specs.running(ACCOUNT, service)) == ()


async def test_what_a_failed_create_left_is_cleared_by_a_survey(world):
    stand_in = world.deployed.cluster.needs_stand_in("permissions that go and come")
    operation = await world.creating(await world.built(), **ONE)
    service_id = operation.resource_id
    await world.deliver_next()
    await world.roll_out(service_id, crashed())
    stand_in.denied |= {"delete deployments.apps", "delete secrets"}
    await world.play(service_id, crashed(), most=300)
    assert (await world.services.get(ACCOUNT, service_id)).state is State.FAILED
    assert (await world.deployed.get("apps/v1", "deployments"))["kind"] == "Deployment"
    stand_in.denied.clear()
    await world.surveys.survey(ACCOUNT)
    await world.play(service_id)
    assert (await world.deployed.get("apps/v1", "deployments"))["kind"] == "Status"
    assert (await world.services.get(ACCOUNT, service_id)).state is State.FAILED
    await world.surveys.survey(ACCOUNT)
    assert len(await restored(world, service_id)) == 1


async def test_a_hand_edited_image_is_put_back_with_a_log_line_and_an_event(world, caplog):
    operation = await world.created()
    name = object_name(operation.resource_id)
    before = await image_of(world)
    container = (await world.deployed.get("apps/v1", "deployments"))["spec"]["template"]["spec"]["containers"][0]
    path = world.deployed.cluster.path("apps/v1", "deployments", name)
    await world.deployed.cluster.request(
        "PATCH", path, scoring(**{**container, "image": EVIL}), content_type=MERGE, fieldManager="kubectl-edit"
    )
    await world.surveys.survey(ACCOUNT)
    await world.play(operation.resource_id)
    assert await image_of(world) == before
    image = "Deployment spec.template.spec.containers.scoring.image"
    assert f"service={operation.resource_id} differs in {image} on its cluster; it is put back" in caplog.text
    events = (await world.store.page(ACCOUNT, Event, {}, count=100)).items
    (told,) = [event for event in events if event.type == "slipway.operation.accepted" and "changed" in event.data]
    assert (told.data["resourceId"], told.data["changed"]) == (operation.resource_id, [image])


async def test_a_service_that_cannot_be_put_back_fails_after_five_minutes_by_one_operation_that_goes_on(world):
    stand_in = world.deployed.cluster.needs_stand_in("a namespace that goes and comes back")
    operation = await world.created()
    service_id, namespace = operation.resource_id, world.deployed.cluster.namespace
    for objects in stand_in.store.objects.values():
        for key in [key for key in objects if key[0] == namespace or key[1] == namespace]:
            del objects[key]
    before, began = world.clock.now(), world.clock.now()
    while world.clock.now() - before < timedelta(minutes=5):
        assert (await world.services.get(ACCOUNT, service_id)).state is State.SUCCEEDED
        await world.surveys.survey(ACCOUNT)
        await world.deliver_next()
    while world.clock.now() - began < timedelta(hours=3):
        await world.surveys.survey(ACCOUNT)
        await world.deliver_next()
    failed = await world.services.get(ACCOUNT, service_id)
    assert failed.state is State.FAILED
    assert f'namespaces "{namespace}" not found' in failed.error.message
    (restoring,) = await restored(world, service_id)
    assert restoring.state is State.RUNNING
    assert restoring.checkpoint["tries"] < 30
    stand_in.add_namespace(namespace)
    while (await world.operation(restoring)).state is State.RUNNING:
        await world.deliver_next()
    await world.roll_out(service_id, READY)
    await world.surveys.survey(ACCOUNT)
    assert (await world.services.get(ACCOUNT, service_id)).state is State.SUCCEEDED


async def test_an_update_takes_the_place_of_a_repair_that_goes_on(world):
    stand_in = world.deployed.cluster.needs_stand_in("permissions that go and come")
    operation = await world.created()
    service_id = operation.resource_id
    await world.deployed.cluster.request(
        "DELETE", world.deployed.cluster.path("networking.k8s.io/v1", "ingresses", object_name(service_id))
    )
    stand_in.denied.add("patch ingresses.networking.k8s.io")
    await world.surveys.survey(ACCOUNT)
    await world.deliver_next()
    stand_in.denied.clear()
    update = await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(num_replicas=2))
    await world.play(service_id)
    assert (await world.operation(update)).state is State.SUCCEEDED
    (restoring,) = await restored(world, service_id)
    assert restoring.state is State.CANCELLED
    assert (await world.deployed.get("networking.k8s.io/v1", "ingresses"))["kind"] == "Ingress"


async def test_drift_that_something_else_makes_again_and_again_is_put_back_ever_less_often(world):
    operation = await world.created()
    service_id, began = operation.resource_id, world.clock.now()
    while world.clock.now() - began < timedelta(hours=8):
        await edit(world.deployed, "apps/v1", "deployments", {"spec": {"replicas": 4}})
        await world.surveys.survey(ACCOUNT)
        await world.play(service_id)
        world.clock.advance(timedelta(minutes=5))
    assert 2 <= len(await restored(world, service_id)) <= 10
    assert (await world.services.get(ACCOUNT, service_id)).state is State.SUCCEEDED


NO_METRICS = {
    "type": "ScalingActive",
    "status": "False",
    "reason": "FailedGetResourceMetric",
    "message": "unable to fetch metrics from resource metrics API",
}


async def test_a_service_whose_autoscaler_reads_no_metric_says_so(cluster):
    async with deploying(cluster) as deployed:
        world = ClusterWorld(deployed)
        operation = await world.creating(await world.built())
        await world.play(operation.resource_id)
        path = cluster.path("autoscaling/v2", "horizontalpodautoscalers", object_name(operation.resource_id))
        since = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
        await cluster.request(
            "PATCH",
            f"{path}/status",
            {"status": {"conditions": [{**NO_METRICS, **since}], "desiredReplicas": 1}},
            content_type=MERGE,
        )
        await world.surveys.survey(ACCOUNT)
        shown = (await world.services.get(ACCOUNT, operation.resource_id)).shown()
        assert (shown.state, shown.auto_scaler.state) == (State.SUCCEEDED, State.FAILED)
        assert shown.auto_scaler.error.details[0].code == "FailedGetResourceMetric"
        echoed = ServiceUpdateRequest.model_validate_json(f'{{"autoScaler": {shown.auto_scaler.json_text()}}}')
        assert echoed.auto_scaler == (await world.services.get(ACCOUNT, operation.resource_id)).settings.auto_scaler
        await cluster.request("PATCH", f"{path}/status", {"status": {"conditions": []}}, content_type=MERGE)
        await world.surveys.survey(ACCOUNT)
        assert (await world.services.get(ACCOUNT, operation.resource_id)).shown().auto_scaler.state is None
