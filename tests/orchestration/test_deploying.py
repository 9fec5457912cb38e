from datetime import timedelta

import pytest

from shared.domain.computing import ReplicaLog, Rollout
from shared.domain.documents import Replace
from shared.domain.errors import Conflict, DeployFailed, InvalidRequest, NotFound, OperationInProgress, Unavailable
from shared.domain.filters import DeploymentFilters, ServiceFilters
from shared.domain.operations import Lease, State
from shared.domain.services import KeyType, ServiceUpdateRequest
from tests.twins import ACCOUNT, World, failed_rollout


async def history(world: World, service_id: str):
    deployments = await world.deployments.all(ACCOUNT, DeploymentFilters(service_id=service_id))
    return [(deployment.status, deployment.expired_at is None) for deployment in deployments]


async def test_a_service_that_succeeded_can_be_scored_at_its_address():
    world = World()
    service = await world.services.get(ACCOUNT, await world.serving(await world.built(await world.model())))
    assert service.state is State.SUCCEEDED
    assert service.scoring_uri == "http://front/api/v1/service/digits/score"
    assert world.compute.serving[service.id] == service.deployment_id
    assert [model.name for model in service.models] == ["digits"]
    assert await history(world, service.id) == [(State.SUCCEEDED, True)]


async def test_two_services_of_one_name_conflict():
    world = World()
    image_id = await world.built()
    await world.serving(image_id)
    with pytest.raises(Conflict, match="name: got 'digits'"):
        await world.creating(image_id)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.NOT_STARTED, State.SUCCEEDED])
async def test_a_name_that_is_taken_is_refused_saying_by_which_service_how_it_is_and_what_may_be_done(state):
    world = World()
    image_id = await world.built()
    if state is State.FAILED:
        world.compute.otherwise = failed_rollout("CrashLoopBackOff")
    operation = await world.creating(image_id)
    if state is State.CANCELLED:
        await world.operations.cancel(ACCOUNT, operation.id)
    if state is not State.NOT_STARTED:
        await world.settle()
    with pytest.raises(Conflict) as refused:
        await world.creating(image_id)
    assert refused.value.code == "NameTaken"
    assert f"service {operation.resource_id} has: it is {state}, and PUT changes it, DELETE ends it" in refused.value.message


async def test_an_unknown_compute_resource_is_refused_naming_those_there_are():
    world = World()
    image_id = await world.built()
    other = {
        "id": "/subscriptions/s/resourcegroups/g/providers/Microsoft.MachineLearningCompute/operationalizationClusters/mars"
    }
    with pytest.raises(InvalidRequest, match="there are: …/operationalizationClusters/local"):
        await world.creating(image_id, compute_resource=other)


async def test_an_update_replaces_the_deployment_and_the_one_before_expires():
    world = World()
    first, second = await world.built(), await world.built()
    service_id = await world.serving(first, num_replicas=2)
    await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(image_id=second))
    assert (await world.services.get(ACCOUNT, service_id)).image.id == first
    await world.settle()
    service = await world.services.get(ACCOUNT, service_id)
    assert (service.image.id, service.settings.num_replicas, service.state) == (second, 2, State.SUCCEEDED)
    assert await history(world, service_id) == [(State.SUCCEEDED, True), (State.SUCCEEDED, False)]


async def test_filters_find_a_service_by_what_it_runs_now():
    world = World()
    one, other = await world.model("one"), await world.model("other")
    first, second = await world.built(one), await world.built(other)
    service_id = await world.serving(first)
    await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(image_id=second))
    await world.settle()

    async def found(**filters):
        page = await world.services.page(ACCOUNT, ServiceFilters(**filters), 10, None)
        return [service.id for service in page.items]

    assert await found(model_name="other", image_id=second, service_name="digits") == [service_id]
    assert await found(model_id=one.id) == []
    assert await found(model_name="other", image_id=first) == []


async def test_an_update_while_one_is_under_way_names_the_operation():
    world = World()
    image_id = await world.built()
    operation = await world.creating(image_id)
    with pytest.raises(OperationInProgress) as refused:
        await world.services.update(ACCOUNT, operation.resource_id, ServiceUpdateRequest(num_replicas=1))
    assert refused.value.operation_id == operation.id


async def test_a_failed_update_leaves_what_ran_before():
    world = World()
    first, second = await world.built(), await world.built()
    service_id = await world.serving(first)
    before = await world.services.get(ACCOUNT, service_id)
    world.compute.otherwise = failed_rollout("CrashLoopBackOff")
    operation = await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(image_id=second))
    await world.settle()
    service = await world.services.get(ACCOUNT, service_id)
    assert (await world.operation(operation)).error.code == "CrashLoopBackOff"
    assert (service.image.id, service.state, service.deployment_id) == (first, State.SUCCEEDED, before.deployment_id)
    assert world.compute.serving[service_id] == before.deployment_id
    assert await history(world, service_id) == [(State.FAILED, False), (State.SUCCEEDED, True)]


async def test_a_failed_update_that_could_not_be_taken_back_says_so_and_claims_no_rollback():
    world = World()
    service_id = await world.serving(await world.built())

    async def refused(*_):
        raise DeployFailed("a policy forbids it")

    world.compute.ensure_rolled_back = refused
    world.compute.otherwise = failed_rollout("CrashLoopBackOff")
    operation = await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(app_insights_enabled=True))
    await world.settle()
    error = (await world.operation(operation)).error
    assert error.code == "CrashLoopBackOff"
    assert error.message == "CrashLoopBackOff happened What it did could not be taken back: a policy forbids it"


async def test_what_a_failed_deployment_printed_is_kept_however_often_it_is_taken_back():
    world = World()
    roll_back = world.compute.ensure_rolled_back

    async def not_at_once(*asked):
        world.compute.ensure_rolled_back = roll_back
        world.compute.printed = []  # its replicas are gone
        raise Unavailable("the last of them was not answered for")

    world.compute.ensure_rolled_back = not_at_once
    world.compute.otherwise = failed_rollout("CrashLoopBackOff")
    world.compute.printed = [printed := ReplicaLog("pod", "previous", ("no model",))]
    service_id = await world.serving(await world.built())
    assert await world.service_logs.kept(ACCOUNT, service_id) == (printed,)


async def test_a_failed_create_is_shown_and_can_be_mended_by_an_update():
    world = World()
    image_id = await world.built()
    world.compute.otherwise = failed_rollout("CrashLoopBackOff")
    service_id = await world.serving(image_id)
    failed = await world.services.get(ACCOUNT, service_id)
    assert (failed.state, failed.error.code, failed.scoring_uri) == (State.FAILED, "CrashLoopBackOff", None)
    world.compute.otherwise = Rollout(ready=True)
    await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest())
    await world.settle()
    mended = await world.services.get(ACCOUNT, service_id)
    assert (mended.state, mended.error) == (State.SUCCEEDED, None)


async def test_a_rollout_that_is_never_ready_times_out_and_says_what_it_waited_for():
    world = World()
    world.compute.otherwise = Rollout(waiting_for="1 of 2 replicas")
    operation = await world.creating(await world.built())
    await world.settle(most=2000)
    error = (await world.operation(operation)).error
    assert (error.code, error.status_code) == ("DeploymentTimedOut", 504)
    assert "1 of 2 replicas" in error.message


async def test_a_delete_stops_calls_at_once_and_clears_the_rest_by_an_operation():
    world = World()
    service_id = await world.serving(await world.built())
    assert await world.services.delete(ACCOUNT, service_id) is True
    assert service_id not in world.compute.serving
    with pytest.raises(NotFound):
        await world.services.get(ACCOUNT, service_id)
    assert await world.services.delete(ACCOUNT, service_id) is False
    await world.settle()
    assert service_id in world.compute.removed
    assert await history(world, service_id) == [(State.SUCCEEDED, False)]


async def test_a_delete_cancels_what_is_under_way():
    world = World()
    operation = await world.creating(await world.built())
    assert await world.services.delete(ACCOUNT, operation.resource_id) is True
    await world.settle()
    assert (await world.operation(operation)).state is State.CANCELLED
    assert await history(world, operation.resource_id) == [(State.CANCELLED, False)]
    assert operation.resource_id in world.compute.removed


async def test_a_delete_does_not_clear_under_a_worker_that_may_still_be_at_work():
    world = World()
    operation = await world.creating(await world.built())
    stored = await world.store.get(ACCOUNT, type(operation), operation.id)
    leased = stored.document.leased(Lease(owner="elsewhere", seconds=60), world.clock.now())
    await world.store.commit(ACCOUNT, [Replace(stored, leased)])
    began = world.clock.now()
    await world.services.delete(ACCOUNT, operation.resource_id)
    await world.settle()
    assert operation.resource_id in world.compute.removed
    assert world.clock.now() - began >= timedelta(seconds=58)


async def test_a_delete_that_could_not_reach_compute_answers_only_when_calls_have_ended():
    world = World()
    service_id = await world.serving(await world.built())
    world.compute.away = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await world.services.delete(ACCOUNT, service_id)
    world.compute.away = False
    assert await world.services.delete(ACCOUNT, service_id) is False
    assert service_id in world.compute.withdrawn


async def test_the_name_of_a_deleted_service_is_free_again():
    world = World()
    image_id = await world.built()
    first = await world.serving(image_id)
    await world.services.delete(ACCOUNT, first)
    assert await world.serving(image_id) != first


async def test_a_regenerated_key_takes_the_place_of_the_old_and_the_other_stays():
    world = World()
    service_id = await world.serving(await world.built())
    before = await world.services.keys(ACCOUNT, service_id)
    after = await world.regenerated(service_id, KeyType.PRIMARY)
    assert after.primary_key != before.primary_key
    assert after.secondary_key == before.secondary_key
    assert world.compute.keys[service_id] == after == await world.services.keys(ACCOUNT, service_id)


async def test_a_key_made_anew_during_a_rollout_is_the_one_in_force_at_its_end():
    world = World()
    operation = await world.creating(await world.built())
    world.compute.otherwise = Rollout(waiting_for="1 replica")
    await world.engine.run(ACCOUNT, operation.id)
    after = await world.regenerated(operation.resource_id, KeyType.SECONDARY)
    world.compute.keys.clear()
    world.compute.otherwise = Rollout(ready=True)
    await world.settle()
    assert world.compute.keys[operation.resource_id] == after


@pytest.mark.parametrize("effect", ["ensure_deployment", "ensure_rolled_back"])
async def test_a_key_made_anew_while_compute_is_told_the_old_one_is_told_after_it(effect):
    world, told = World(), []
    service_id = await world.serving(await world.built())
    tell = getattr(world.compute, effect)

    async def slowly(*asked):
        if not told:
            await world.regenerated(service_id, KeyType.PRIMARY)
        told.append(asked[-1].keys)
        await tell(*asked)

    setattr(world.compute, effect, slowly)
    world.compute.otherwise = failed_rollout("CrashLoopBackOff")
    await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(app_insights_enabled=True))
    await world.settle()
    assert len(told) == 2
    assert told[0] != told[1] == await world.services.keys(ACCOUNT, service_id)


async def test_keys_outlive_updates():
    world = World()
    service_id = await world.serving(await world.built())
    before = await world.services.keys(ACCOUNT, service_id)
    await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest())
    await world.settle()
    assert await world.services.keys(ACCOUNT, service_id) == before


async def test_what_was_begun_is_taken_back_even_when_nobody_was_there_in_time():
    world = World()
    image_id = await world.built()
    world.compute.otherwise = Rollout(waiting_for="1 replica")
    operation = await world.creating(image_id)
    await world.deliver_next()
    await world.operations.cancel(ACCOUNT, operation.id)
    world.compute.away = True
    await world.engine.run(ACCOUNT, operation.id)
    assert (await world.operation(operation)).undoing
    world.compute.away = False
    world.clock.advance(timedelta(hours=3))
    await world.engine.sweep(ACCOUNT)
    await world.settle()
    assert (await world.operation(operation)).state is State.CANCELLED
    assert not world.compute.specs
