"""Services compared with what there is on their compute."""

from shared.domain.computing import Observed, ReplicaLog, ServiceSpec, Survey
from shared.domain.documents import Replace
from shared.domain.errors import DeployFailed
from shared.domain.filters import OperationFilters
from shared.domain.operations import ErrorResponse, State
from shared.domain.services import KeyType, Service, ServiceUpdateRequest
from tests.twins import ACCOUNT, World, failed_rollout

DOWN = ErrorResponse(code="NothingReady", message="nothing is ready", status_code=503)


async def a_service(world: World) -> str:
    return await world.serving(await world.built())


async def service(world: World, service_id: str) -> Service:
    return await world.services.get(ACCOUNT, service_id)


async def test_what_was_deleted_by_hand_is_put_back_by_an_operation():
    world = World()
    service_id = await a_service(world)
    world.compute.seen = Survey({service_id: Observed(missing=("Ingress",))})
    world.compute.specs.clear()
    await world.surveys.survey(ACCOUNT)
    assert (await service(world, service_id)).operation_id is not None
    await world.settle()
    after = await service(world, service_id)
    assert (after.state, after.operation_id) == (State.SUCCEEDED, None)
    assert world.compute.specs[after.deployment_id].service_id == service_id
    (operation,) = (await world.operations.page(ACCOUNT, OperationFilters(resource_id=service_id), 1, None)).items
    assert (operation.workflow, operation.state) == ("restore-service", State.SUCCEEDED)
    assert operation.checkpoint["missing"] == ["Ingress"]


async def test_services_that_answer_are_put_back_a_few_at_a_time_and_those_that_do_not_at_once():
    world = World()
    image = await world.built()
    ids = [await world.serving(image, f"digits-{number}") for number in range(30)]
    world.compute.seen = Survey({service_id: Observed(changed=("Deployment spec",), ready=True) for service_id in ids})
    await world.surveys.survey(ACCOUNT)
    assert sum([(await service(world, service_id)).operation_id is not None for service_id in ids]) == 20
    await world.settle()
    world.compute.seen = Survey({service_id: Observed(missing=("Deployment",)) for service_id in ids})
    await world.surveys.survey(ACCOUNT)
    assert all([(await service(world, service_id)).operation_id is not None for service_id in ids])


async def test_a_service_may_be_deleted_while_it_is_put_back():
    world = World()
    service_id = await a_service(world)
    world.compute.seen = Survey({service_id: Observed(missing=("Ingress",))})
    await world.surveys.survey(ACCOUNT)
    restoring = (await service(world, service_id)).operation_id
    assert await world.services.delete(ACCOUNT, service_id)
    await world.settle()
    assert (await world.operations.get(ACCOUNT, restoring)).state is State.CANCELLED
    assert service_id in world.compute.removed


async def test_the_state_follows_what_is_seen_both_ways():
    world = World()
    service_id = await a_service(world)
    world.compute.seen = Survey({service_id: Observed(error=DOWN)})
    await world.surveys.survey(ACCOUNT)
    down = await service(world, service_id)
    assert (down.state, down.error) == (State.FAILED, DOWN)
    world.compute.seen = Survey({service_id: Observed(ready=True)})
    await world.surveys.survey(ACCOUNT)
    up = await service(world, service_id)
    assert (up.state, up.error) == (State.SUCCEEDED, None)


async def test_compute_that_looks_after_its_services_is_not_surveyed():
    world = World()
    await a_service(world)
    world.compute.supervises = True
    await world.surveys.survey(ACCOUNT)
    assert not world.compute.surveyed


async def test_nothing_is_written_when_nothing_has_changed():
    world = World()
    service_id = await a_service(world)
    before = await service(world, service_id)
    world.compute.seen = Survey({service_id: Observed(ready=True)})
    await world.surveys.survey(ACCOUNT)
    assert await service(world, service_id) == before


async def test_a_service_that_is_down_stays_so_when_its_update_fails():
    world = World()
    service_id = await a_service(world)
    world.compute.seen = Survey({service_id: Observed(error=DOWN)})
    await world.surveys.survey(ACCOUNT)
    world.compute.otherwise = failed_rollout("CrashLoopBackOff")
    await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(app_insights_enabled=True))
    await world.settle()
    assert (await service(world, service_id)).state is State.FAILED


async def test_what_nobody_owns_is_removed():
    world = World()
    await a_service(world)
    world.compute.seen = Survey(orphans=("0190a0a0-0000-7000-8000-000000000000",))
    await world.surveys.survey(ACCOUNT)
    assert world.compute.removed == {"0190a0a0-0000-7000-8000-000000000000"}


async def test_what_cannot_be_removed_keeps_nothing_else_from_being_looked_after(caplog):
    world = World()
    service_id = await a_service(world)
    stays, goes = "0190a0a0-0000-7000-8000-000000000000", "0190a0a0-0000-7000-8000-000000000001"
    world.compute.seen = Survey({service_id: Observed(missing=("Ingress",))}, orphans=(stays, goes))
    removed = world.compute.ensure_removed

    async def refused(orphan: str) -> str:
        if orphan == stays:
            raise DeployFailed("a policy forbids it")
        return await removed(orphan)

    world.compute.ensure_removed = refused
    await world.surveys.survey(ACCOUNT)
    assert (await service(world, service_id)).operation_id is not None
    assert world.compute.removed == {goes}
    assert f"service={stays} cannot be removed from its cluster: a policy forbids it" in caplog.text


async def test_what_is_put_back_has_the_keys_of_now():
    world, told = World(), []
    service_id = await a_service(world)
    world.compute.seen = Survey({service_id: Observed(missing=("Secret",))})
    await world.surveys.survey(ACCOUNT)
    deploy = world.compute.ensure_deployment

    async def slowly(spec: ServiceSpec) -> None:
        if not told:
            await world.regenerated(service_id, KeyType.PRIMARY)
        told.append(spec.keys)
        await deploy(spec)

    world.compute.ensure_deployment = slowly
    await world.settle()
    assert told[0] != told[1] == await world.services.keys(ACCOUNT, service_id)


async def test_a_service_that_came_while_compute_was_looked_at_is_no_orphan():
    world = World()
    service_id = await a_service(world)
    world.compute.seen = Survey(orphans=(service_id,))
    await world.surveys.survey(ACCOUNT)
    assert not world.compute.removed


async def test_a_service_that_is_being_changed_is_left_alone():
    world = World()
    service_id = await a_service(world)
    world.compute.otherwise = failed_rollout("never asked")
    await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(app_insights_enabled=True))
    await world.surveys.survey(ACCOUNT)
    ((specs, known),) = world.compute.surveyed
    assert (specs, known) == ([], [service_id])


async def test_a_service_that_changed_since_it_was_seen_is_looked_at_again_later():
    world = World()
    service_id = await a_service(world)
    survey = world.compute.survey

    async def seen_late(*asked):
        stored = await world.store.get(ACCOUNT, Service, service_id)
        await world.store.commit(ACCOUNT, [Replace(stored, stored.document.restoring("other").restored())])
        await survey(*asked)
        return Survey({service_id: Observed(error=DOWN)})

    world.compute.survey = seen_late
    await world.surveys.survey(ACCOUNT)
    assert (await service(world, service_id)).state is State.SUCCEEDED


async def test_compute_that_is_away_is_logged_and_the_next_one_is_surveyed(caplog):
    world = World()
    await a_service(world)
    world.compute.away = True
    await world.surveys.survey(ACCOUNT)
    assert "compute=local was not surveyed: compute is away" in caplog.text


async def test_a_failed_update_says_what_it_was_rolled_back_to_and_keeps_what_was_printed():
    world = World()
    service_id = await a_service(world)
    before = await service(world, service_id)
    world.compute.otherwise = failed_rollout("CrashLoopBackOff")
    world.compute.printed = [ReplicaLog("pod", "previous", ("no model",))]
    operation = await world.services.update(ACCOUNT, service_id, ServiceUpdateRequest(app_insights_enabled=True))
    await world.settle()
    failed = await world.operation(operation)
    assert failed.error.message.endswith(f"The service was rolled back to deployment {before.deployment_id}.")
    worked = world.compute.rolled_back_to[str(failed.checkpoint["deploymentId"])]
    assert (worked.deployment_id, worked.settings, worked.image_digest) == (
        before.deployment_id,
        before.settings,
        before.image.image_digest,
    )
    assert await world.service_logs.kept(ACCOUNT, service_id) == (ReplicaLog("pod", "previous", ("no model",)),)
    await world.services.delete(ACCOUNT, service_id)
    await world.settle()
    assert await world.service_logs.kept(ACCOUNT, service_id) == ()
