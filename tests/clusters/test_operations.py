"""Operations on services of a cluster, run by the engine: rollouts, rollbacks, and a cluster that misbehaves at any call."""

import base64
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.compute.kubernetes.names import object_name
from shared.domain.computing import Compute, ComputeKinds
from shared.domain.filters import ImageFilters
from shared.domain.operations import Operation, State
from shared.domain.services import KeyType, ServiceUpdateRequest
from tests.clusters.controllers import READY, PodState, crashed
from tests.clusters.deployed import Deployed, deploying
from tests.clusters.stand_in import StandIn
from tests.clusters.stand_in.faults import (
    Fault,
    Request,
    broken,
    conflict,
    denied,
    dropped,
    expired,
    missing_permission,
    on,
    silent,
    throttled,
)
from tests.twins import ACCOUNT, TwinKinds, World

ONE = {"num_replicas": 1}


class ClusterWorld(World):
    """All of Slipway but its triggers, on a cluster."""

    def __init__(self, deployed: Deployed) -> None:
        self.deployed = deployed
        super().__init__()
        self.builder.location = "registry.example.com/images/{name}:{version}"

    def kinds(self, compute: Compute) -> ComputeKinds:
        return TwinKinds(self.deployed.compute)

    async def play(self, service_id: str, how: PodState = READY, most: int = 60) -> None:
        """Deliver wake-ups until none is left; the cluster's controllers work in between."""
        for _ in range(most):
            if not await self.deliver_next():
                return
            await self.roll_out(service_id, how)
        raise AssertionError("wake-ups without end")

    async def roll_out(self, service_id: str, how: PodState) -> None:
        """What a cluster does in time: pods that fare so, where there is a Deployment, and none where there is none."""
        self.deployed.spec = replace(self.deployed.spec, service_id=service_id)
        if (await self.deployed.get("apps/v1", "deployments")).get("kind") == "Deployment":
            await self.deployed.controllers.roll_out(object_name(service_id), how)
        else:
            await self.deployed.controllers.collect_garbage()

    async def created(self, how: PodState = READY) -> Operation:
        """Create a service; its operation, at its end."""
        operation = await self.creating(await self.built(), **ONE)
        await self.play(operation.resource_id, how)
        return await self.operation(operation)


@pytest.fixture
async def world(cluster) -> AsyncIterator[ClusterWorld]:
    async with deploying(cluster) as deployed:
        yield ClusterWorld(deployed)


def nth(number: int) -> Callable[[Request], bool]:
    """Matches the request of that number, counted from now."""
    count = iter(range(10_000))
    return lambda _: next(count) == number


async def test_a_service_is_created_updated_and_deleted(world):
    operation = await world.created()
    assert operation.state is State.SUCCEEDED, operation.error
    service = await world.services.get(ACCOUNT, operation.resource_id)
    assert service.scoring_uri == f"{world.deployed.front_end.address}/api/v1/service/digits/score"
    update = await world.services.update(ACCOUNT, service.id, ServiceUpdateRequest(num_replicas=2))
    await world.play(service.id)
    assert (await world.operation(update)).state is State.SUCCEEDED
    assert len(await world.deployed.pods()) == 2
    await world.services.delete(ACCOUNT, service.id)
    await world.play(service.id)
    assert await world.deployed.pods() == []


async def test_the_name_of_a_deleted_service_is_free_when_the_delete_is_answered(world):
    operation = await world.created()
    await world.services.delete(ACCOUNT, operation.resource_id)
    again = await world.creating(await image_of(world), **ONE)
    await world.play(again.resource_id)
    ended = await world.operation(again)
    assert ended.state is State.SUCCEEDED, ended.error


async def image_of(world: ClusterWorld) -> str:
    """The id of the image that there is."""
    (image,) = (await world.images.page(ACCOUNT, ImageFilters(), 10, None)).items
    return image.id


async def test_an_update_that_fails_is_rolled_back_and_what_worked_answers_all_the_while(world):
    operation = await world.created()
    service = await world.services.get(ACCOUNT, operation.resource_id)
    another = await world.built(name="another")
    update = await world.services.update(
        ACCOUNT, service.id, ServiceUpdateRequest(image_id=another, app_insights_enabled=True)
    )
    for _ in range(30):
        if not await world.deliver_next():
            break
        pods = await world.deployed.pods()
        assert any(is_ready(pod) for pod in pods)
        under_way = (await world.operation(update)).step != "undo"
        await world.roll_out(service.id, crashed() if under_way else READY)
    failed = await world.operation(update)
    assert (failed.state, failed.error.code) == (State.FAILED, "KubernetesDeploymentFailed")
    assert failed.error.details[0].code == "CrashLoopBackOff"
    assert f"rolled back to deployment {service.deployment_id}" in failed.error.message
    assert (await world.services.get(ACCOUNT, service.id)).state is State.SUCCEEDED
    (pod,) = await world.deployed.pods()
    environment = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert environment["AML_APP_INSIGHTS_ENABLED"] == "false"


async def test_a_create_that_fails_leaves_nothing_behind(world):
    operation = await world.created(crashed(7))
    assert operation.state is State.FAILED
    assert "exit code 7" in operation.error.message
    assert await world.deployed.pods() == []
    assert (await world.deployed.get("apps/v1", "deployments"))["kind"] == "Status"


async def test_an_update_that_is_cancelled_is_taken_back(world):
    operation = await world.created()
    service = await world.services.get(ACCOUNT, operation.resource_id)
    update = await world.services.update(ACCOUNT, service.id, ServiceUpdateRequest(app_insights_enabled=True))
    await world.deliver_next()
    await world.operations.cancel(ACCOUNT, update.id)
    await world.play(service.id)
    assert (await world.operation(update)).state is State.CANCELLED
    (pod,) = await world.deployed.pods()
    assert "'AML_APP_INSIGHTS_ENABLED', 'value': 'true'" not in str(pod)


async def test_what_is_deleted_by_hand_is_back_after_a_survey(world):
    operation = await world.created()
    name = object_name(operation.resource_id)
    world.deployed.spec = replace(world.deployed.spec, service_id=operation.resource_id)
    for api_version, plural in (("networking.k8s.io/v1", "ingresses"), ("v1", "secrets"), ("apps/v1", "deployments")):
        await world.deployed.cluster.request("DELETE", world.deployed.cluster.path(api_version, plural, name))
        await world.surveys.survey(ACCOUNT)
        await world.play(operation.resource_id)
        assert (await world.deployed.get(api_version, plural))["metadata"]["name"] == name
    assert (await world.services.get(ACCOUNT, operation.resource_id)).state is State.SUCCEEDED


async def test_a_key_made_anew_is_in_the_cluster_when_that_is_answered(world):
    operation = await world.created()
    keys = await world.regenerated(operation.resource_id, KeyType.PRIMARY)
    secret = await world.deployed.get("v1", "secrets", object_name(operation.resource_id))
    assert base64.b64decode(secret["data"]["primary"]).decode() == keys.primary_key


# A cluster that misbehaves. Only the stand-in does so at will.


@pytest.fixture
def stand_in(world) -> StandIn:
    return world.deployed.cluster.needs_stand_in("a cluster that misbehaves at will")


CREATE_CALLS = range(12)
FAULTS: dict[str, Fault] = {
    "conflict": conflict(),
    "throttled": throttled(3),
    "broken": broken(503),
    "dropped": dropped(),
    "answer lost": dropped(done=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_whichever_call_goes_wrong_the_service_comes_up(world, stand_in, fault):
    image = await world.built()
    for number in CREATE_CALLS:
        before = len(stand_in.calls)
        stand_in.fail_next(nth(number), replace(fault))
        operation = await world.creating(image, f"digits-{number}", **ONE)
        await world.play(operation.resource_id)
        ended = await world.operation(operation)
        assert ended.state is State.SUCCEEDED, (number, ended.error)
        assert len(stand_in.calls) - before > number
        stand_in.heal()
        await world.services.delete(ACCOUNT, operation.resource_id)
        await world.play(operation.resource_id)


async def test_an_api_server_that_is_killed_and_started_again_and_again_fails_no_create(world, stand_in):
    stand_in.clock = world.clock.monotonic
    image = await world.built()
    creating = [await world.creating(image, f"digits-{number}", **ONE) for number in range(24)]
    for _ in range(4):
        await deliver(world, 24)
        await stand_in.stop()
        await deliver(world, 8)
        await stand_in.start_again()
        await deliver(world, 16)
    refused = [step for each in creating for step in (await world.operation(each)).steps if step.last_error]
    assert "ClusterForbidden" in {step.last_error.code for step in refused}
    while await deliver(world, 24):
        for operation in creating:
            await world.roll_out(operation.resource_id, READY)
    ended = [await world.operation(operation) for operation in creating]
    assert {operation.state for operation in ended} == {State.SUCCEEDED}, [operation.error for operation in ended]


async def test_a_rollback_that_meets_an_api_server_without_permissions_yet_is_done_all_the_same(world, stand_in):
    operation = await world.created()
    service = await world.services.get(ACCOUNT, operation.resource_id)
    update = await world.services.update(ACCOUNT, service.id, ServiceUpdateRequest(app_insights_enabled=True))
    while (await world.operation(update)).step != "undo":
        await world.deliver_next()
        await world.roll_out(service.id, crashed())
        if (await world.operation(update)).step == "rollout":  # all is applied: who patches now takes back
            stand_in.heal()
            stand_in.fail_next(on("PATCH", ""), missing_permission(times=3))
    await world.play(service.id)
    failed = await world.operation(update)
    assert failed.state is State.FAILED
    assert "ClusterForbidden" in {step.last_error.code for step in failed.steps if step.last_error}
    assert f"rolled back to deployment {service.deployment_id}" in failed.error.message
    assert "could not be taken back" not in failed.error.message


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (expired(times=None), "ClusterUnauthenticated", "refuses the credentials of this app"),
        (missing_permission(times=None), "ClusterForbidden", "does not permit this app to"),
    ],
)
async def test_credentials_and_permissions_that_are_refused_are_final_after_all_attempts_and_told_apart(
    world, stand_in, fault, code, said
):
    operation = await world.creating(await world.built(), **ONE)
    stand_in.fail_next(lambda _: True, fault)
    while (await world.operation(operation)).step != "undo":
        await world.deliver_next()
    begun = await world.operation(operation)
    assert (begun.cause.code, begun.steps[0].attempts) == (code, 8)
    assert said in begun.cause.message
    stand_in.heal()
    await world.play(operation.resource_id)
    assert (await world.operation(operation)).error.code == code


async def deliver(world: ClusterWorld, most: int) -> int:
    """Deliver so many wake-ups; how many there were."""
    for delivered in range(most):
        if not await world.deliver_next():
            return delivered
    return most


async def test_the_words_of_an_admission_webhook_are_the_error_and_nothing_stays(world, stand_in):
    stand_in.fail_next(lambda request: "/deployments" in request.path and request.method == "PATCH", denied("no :latest"))
    operation = await world.created()
    assert operation.state is State.FAILED
    assert operation.error.status_code == 400
    assert "no :latest" in operation.error.message
    for api_version, plural in (("v1", "secrets"), ("v1", "serviceaccounts"), ("networking.k8s.io/v1", "networkpolicies")):
        assert (await world.deployed.get(api_version, plural))["kind"] == "Status"


async def test_a_cluster_that_never_answers_costs_an_operation_and_no_instance(cluster, stand_in):
    async with deploying(cluster, seconds=0.05) as deployed:
        world = ClusterWorld(deployed)
        stand_in.fail_next(lambda _: True, silent(times=None))
        operation = await world.creating(await world.built(), **ONE)
        more, began = True, time.monotonic()
        while more:
            more = await world.deliver_next()
            assert time.monotonic() - began < 2
            began = time.monotonic()
        ended = await world.operation(operation)
    assert (ended.state, ended.error.status_code) == (State.FAILED, 503)
    assert ended.end_time - ended.created_time < timedelta(hours=2)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)
