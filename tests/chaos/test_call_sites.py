"""Faults by call site: every call to the outside that the code makes goes wrong once, in each way it can."""

import ast
import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import pytest

from shared.domain.building import ImageBuilder
from shared.domain.compute_resources import ComputeKind, ComputeResourceRecord, ComputeResourceRequest
from shared.domain.computing import Compute, LogQuery, Observed, Rollout, ServiceLogs, Survey
from shared.domain.errors import BuildFailed, ServiceError
from shared.domain.filters import (
    DeploymentFilters,
    Filters,
    ImageFilters,
    ManifestFilters,
    ModelFilters,
    OperationFilters,
    ServiceFilters,
)
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.pipelines import PipelineRequest
from shared.domain.ports import BuildLogs, Collector, EventSink, Store, WakeUps
from shared.domain.services import KeyGenerations, KeyType
from shared.orchestration.engine import Limits
from shared.resources.health import Health
from tests.chaos.disturbance import SHARED, Fault, Killed, Site
from tests.chaos.worlds import ChaosWorld
from tests.twins import ACCOUNT, COMPUTE_ID, failed_rollout

FAULTS = [
    Fault.AWAY,
    Fault.ANSWER_LOST,
    Fault.THROTTLED,
    Fault.BROKEN,
    Fault.KILLED_BEFORE,
    Fault.KILLED_AFTER,
    Fault.PAUSED,
]
_PORTS = (Store, WakeUps, BuildLogs, ServiceLogs, ImageBuilder, Compute, EventSink, Collector)
_ADAPTER = re.compile(
    r"(store|wake_ups|logs|kept|builder|compute|sink|rejected|collector)$|_compute\(.*\)$|computes\.find\(.*\)$", re.DOTALL
)
NOBODY = "0190a0a0-0000-7000-8000-000000000000"
_NOT_OUTSIDE = ("scoring_uri", "check", "unneeded")


@dataclass(frozen=True)
class Written:
    """A call of a port as it is written in the code."""

    file: str
    first: int
    last: int
    method: str

    def is_at(self, site: Site) -> bool:
        return self.file == site.file and self.first <= site.line <= self.last and site.call.endswith(f".{self.method}")

    def __str__(self) -> str:
        return f"{self.file.rpartition('shared/')[2]}:{self.first} {self.method}"


def written_sites() -> Iterator[Written]:
    """All calls of ports in the use cases and workflows."""
    methods = {name for port in _PORTS for name, _ in inspect.getmembers(port, inspect.isfunction)} - {*_NOT_OUTSIDE}
    for folder in ("resources", "orchestration"):
        for file in sorted((SHARED / folder).glob("*.py")):
            if file.name == "announcing.py":  # a store over the store: its callers are the sites
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                match node:
                    case ast.Call(func=ast.Attribute(attr=method, value=receiver)) if method in methods:
                        outside = _ADAPTER.search(ast.unparse(receiver))
                    case _:
                        outside = None
                if outside:
                    yield Written(str(file), node.lineno, node.end_lineno or node.lineno, method)


type Chapter = Callable[[ChaosWorld], Awaitable[None]]


async def work(world: ChaosWorld) -> None:
    """Deliver all wake-ups, whoever dies of it."""
    for _ in range(60):
        with suppress(Killed):
            await world.deliver()
    await world.sweep()
    for _ in range(20):
        with suppress(Killed):
            await world.deliver()


async def repeated[T](world: ChaosWorld, act: Callable[[], Awaitable[T]]) -> T | None:
    """What a client does that has no id for its request: it asks until it is answered."""
    for _ in range(5):
        world.worker()
        try:
            return await act()
        except Killed:
            continue
        except ServiceError as error:
            if not error.retryable:
                return None
    raise AssertionError("not answered")


async def a_manifest(world: ChaosWorld) -> str:
    model = await world.ask(Model, lambda once: world.models.register(ACCOUNT, MODEL, once))
    request = MANIFEST.made_of(model.id)
    manifest = await world.ask(Manifest, lambda once: world.manifests.register(ACCOUNT, request, once))
    return manifest.id


PIPELINE = {
    "model": {"name": "m", "url": "http://store/m", "mimeType": "application/json"},
    "manifest": {
        "name": "m",
        "driverProgram": "driver",
        "assets": [{"id": "driver", "url": "http://store/driver.py"}],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
    },
    "image": {"name": "piped", "imageType": "Docker", "computeResourceId": COMPUTE_ID},
    "service": {"name": "piped", "computeResource": {"id": COMPUTE_ID}},
}
REQUEST = PipelineRequest.model_validate_json(json.dumps(PIPELINE))
MODEL, MANIFEST = REQUEST.model, REQUEST.manifest


async def an_image(world: ChaosWorld) -> str:
    operation = await world.ask_build(await a_manifest(world), "image")
    await work(world)
    return operation.resource_id


async def a_service(world: ChaosWorld) -> tuple[str, str]:
    image_id = await an_image(world)
    operation = await world.ask_create(image_id, "one")
    await work(world)
    return operation.resource_id, image_id


async def builds_and_fails(world: ChaosWorld) -> None:
    world.builder.failures = [BuildFailed("no wheel")]
    await an_image(world)


async def builds_until_cancelled(world: ChaosWorld) -> None:
    operation = await world.ask_build(await a_manifest(world), "image")
    for _ in range(2):
        await world.ask_cancel(operation.id)
    await work(world)


async def breaks_until_closed(world: ChaosWorld) -> None:
    operation = await world.ask_build(await a_manifest(world), "image")
    world.builder.failures = [ZeroDivisionError()]
    with suppress(Killed, ZeroDivisionError):
        await world.worker().run(ACCOUNT, operation.id)
    for _ in range(2):
        await repeated(world, lambda: world.engine.close(ACCOUNT, operation.id))
    await work(world)


async def breaks_while_undoing_until_closed(world: ChaosWorld) -> None:
    operation = await world.ask_build(await a_manifest(world), "image")
    world.builder.failures = [BuildFailed("no wheel"), ZeroDivisionError()]
    with suppress(Killed, ZeroDivisionError):
        await world.worker().run(ACCOUNT, operation.id)
    world.builder.failures = []
    await repeated(world, lambda: world.engine.close(ACCOUNT, operation.id))
    await work(world)


async def goes_on_after_a_turn(world: ChaosWorld) -> None:
    operation = await world.ask_build(await a_manifest(world), "image")
    world.clock.step = timedelta(seconds=7)  # steps so slow that one turn does not hold them all
    with suppress(Killed):
        await world.worker().run(ACCOUNT, operation.id)
    world.clock.step = timedelta(milliseconds=1)
    await work(world)


async def comes_too_early(world: ChaosWorld) -> None:
    operation = await world.ask_build(await a_manifest(world), "image")
    world.builder.before_content = ServiceError("away", retryable=True)
    with suppress(Killed):
        await world.worker().run(ACCOUNT, operation.id)
    world.builder.before_content = None
    with suppress(Killed):
        await world.worker(timedelta(seconds=-30)).run(ACCOUNT, operation.id)
    await work(world)


async def loses_its_wake_up(world: ChaosWorld) -> None:
    await world.ask_build(await a_manifest(world), "image")
    world.wake_ups.pop()
    await world.sweep()
    await work(world)


async def at_work(world: ChaosWorld) -> tuple[Operation, asyncio.Task[None]]:
    """A build in the middle of a step's effect, and who runs it."""
    operation = await world.ask_build(await a_manifest(world), "image")
    running = asyncio.create_task(world.worker().run(ACCOUNT, operation.id))
    for _ in range(100):
        if world.builder.effects.working:
            break
        await asyncio.sleep(0)
    return operation, running


async def is_cancelled_at_work(world: ChaosWorld) -> None:
    operation, running = await at_work(world)
    await world.ask_cancel(operation.id)
    with suppress(Killed):
        await running
    await work(world)


async def is_stopped_at_work(world: ChaosWorld) -> None:
    _, running = await at_work(world)
    running.cancel()
    with suppress(Killed, asyncio.CancelledError):
        await running
    await work(world)


async def waits_for_its_turn(world: ChaosWorld) -> None:
    first, second = [await world.ask_build(await a_manifest(world), "image") for _ in range(2)]
    world.share = 1
    engine = world.worker()
    running = asyncio.create_task(engine.run(ACCOUNT, first.id))
    for _ in range(100):
        if world.builder.effects.working:
            break
        await asyncio.sleep(0)
    with suppress(Killed):
        await engine.run(ACCOUNT, second.id)
    with suppress(Killed):
        await running
    world.share = Limits().share
    await work(world)


async def serves_and_updates(world: ChaosWorld) -> None:
    service_id, image_id = await a_service(world)
    await repeated(world, lambda: world.creating(image_id, "one"))  # the name is taken
    await world.ask_update(service_id, image_id)
    await work(world)
    await world.ask(KeyGenerations, lambda once: world.services.regenerate_key(ACCOUNT, service_id, KeyType.PRIMARY, once))
    await repeated(world, lambda: world.services.enforce_keys(ACCOUNT, service_id))
    await repeated(world, lambda: world.services.keys(ACCOUNT, service_id))
    await repeated(world, lambda: world.deployments.all(ACCOUNT, DeploymentFilters(service_id=service_id)))


async def updates_and_fails(world: ChaosWorld) -> None:
    service_id, image_id = await a_service(world)
    world.compute.otherwise = failed_rollout("CrashLoop")
    await world.ask_update(service_id, image_id)
    await work(world)
    world.compute.otherwise = Rollout(ready=True)


async def updates_until_cancelled(world: ChaosWorld) -> None:
    service_id, image_id = await a_service(world)
    world.compute.otherwise = Rollout(waiting_for="1 replica")
    operation = await world.ask_update(service_id, image_id)
    with suppress(Killed):
        await world.deliver()
    await world.ask_cancel(operation.id)
    await work(world)
    world.compute.otherwise = Rollout(ready=True)


async def deletes(world: ChaosWorld) -> None:
    service_id, _ = await a_service(world)
    await world.ask_delete(service_id)
    await world.ask_delete(service_id)
    await work(world)


async def deletes_during_an_update(world: ChaosWorld) -> None:
    service_id, image_id = await a_service(world)
    await world.ask_update(service_id, image_id)
    await world.ask_delete(service_id)
    await work(world)


async def deletes_what_nothing_refers_to(world: ChaosWorld) -> None:
    manifest_id = await a_manifest(world)
    manifest = await repeated(world, lambda: world.manifests.get(ACCOUNT, manifest_id))
    await repeated(world, lambda: world.models.delete(ACCOUNT, manifest.model_ids[0]))
    await repeated(world, lambda: world.manifests.delete(ACCOUNT, manifest_id))
    await repeated(world, lambda: world.models.delete(ACCOUNT, manifest.model_ids[0]))


async def looks(world: ChaosWorld) -> None:
    image_id = await an_image(world)
    await repeated(world, lambda: world.images.get(ACCOUNT, image_id))
    await repeated(world, lambda: world.images.page(ACCOUNT, ImageFilters(), 10, None))
    await repeated(world, lambda: world.models.page(ACCOUNT, ModelFilters(), 10, None))
    await repeated(world, lambda: world.manifests.page(ACCOUNT, ManifestFilters(), 10, None))
    await repeated(world, lambda: world.services.page(ACCOUNT, ServiceFilters(), 10, None))
    await repeated(world, lambda: world.operations.page(ACCOUNT, OperationFilters(), 10, None))
    await repeated(world, lambda: world.images.log(ACCOUNT, image_id, None))
    await repeated(world, lambda: Health(world.store, world.clock, ACCOUNT).ready())
    await repeated(world, lambda: world.images.delete(ACCOUNT, image_id))
    world.builder.published.clear()  # the layout's garbage is not the record's matter
    world.builds.clear()


async def pipes(world: ChaosWorld) -> None:
    for _ in range(2):  # the second finds the service there
        await world.ask(Operation, lambda once: world.pipelines.run(ACCOUNT, REQUEST, once))
        await work(world)


async def pipes_until_cancelled(world: ChaosWorld) -> None:
    operation = await world.ask(Operation, lambda once: world.pipelines.run(ACCOUNT, REQUEST, once))
    world.builder.before_content = ServiceError("away", retryable=True)
    for _ in range(3):
        with suppress(Killed):
            await world.deliver()
    await world.ask_cancel(operation.id)
    await work(world)


async def surveys(world: ChaosWorld) -> None:
    service_id, _ = await a_service(world)
    for seen in (
        Survey({service_id: Observed(missing=("Ingress",))}, orphans=(NOBODY, service_id)),
        Survey({service_id: Observed(error=ErrorResponse(code="Down", message="down", status_code=503))}),
        Survey({service_id: Observed(ready=True)}),
        Survey({service_id: Observed(missing=("Ingress",))}),
    ):
        world.compute.seen = seen
        for _ in range(2):
            with suppress(Killed, ServiceError):
                await world.surveys.survey(ACCOUNT)
        await work(world)
    world.compute.seen = Survey()


async def clears_what_a_failed_create_left(world: ChaosWorld) -> None:
    world.compute.otherwise = failed_rollout("CrashLoop")
    service_id, _ = await a_service(world)
    world.compute.otherwise = Rollout(ready=True)
    world.compute.seen = Survey(leftovers=(service_id,))
    for _ in range(2):
        with suppress(Killed, ServiceError):
            await world.surveys.survey(ACCOUNT)
    world.compute.seen = Survey()
    await work(world)


async def updates_in_the_place_of_a_repair(world: ChaosWorld) -> None:
    service_id, image_id = await a_service(world)
    world.compute.seen = Survey({service_id: Observed(missing=("Ingress",))})
    with suppress(Killed, ServiceError):
        await world.surveys.survey(ACCOUNT)
    world.compute.seen = Survey()
    await world.ask_update(service_id, image_id)
    await work(world)


async def restores_until_cancelled(world: ChaosWorld) -> None:
    service_id, _ = await a_service(world)
    world.compute.seen = Survey({service_id: Observed(missing=("Ingress",))})
    with suppress(Killed, ServiceError):
        await world.surveys.survey(ACCOUNT)
    world.compute.seen = Survey()
    service = await repeated(world, lambda: world.services.get(ACCOUNT, service_id))
    if service and service.operation_id:
        await world.ask_cancel(service.operation_id)
    await work(world)


async def tells_what_was_printed(world: ChaosWorld) -> None:
    service_id, _ = await a_service(world)
    await repeated(world, lambda: world.printed_logs.of(ACCOUNT, service_id, LogQuery(tail=1)))


async def changes_compute_resources(world: ChaosWorld) -> None:
    local = ComputeResourceRequest(kind=ComputeKind.LOCAL)
    for _ in range(2):
        await world.ask(ComputeResourceRecord, lambda once: world.compute_resources.put(ACCOUNT, "other", local, once))
    await repeated(world, lambda: world.compute_resources.page(ACCOUNT, Filters(), 10, None))
    elsewhere = COMPUTE_ID.replace("clusters/local", "clusters/mars")
    await repeated(world, lambda: world.compute_resources.find(ACCOUNT, elsewhere, field="x"))
    await repeated(world, lambda: world.compute_resources.delete(ACCOUNT, "other"))


async def forgets(world: ChaosWorld) -> None:
    await an_image(world)
    world.clock.advance(timedelta(days=40))
    await repeated(world, lambda: world.retention.remove(ACCOUNT))
    await repeated(world, lambda: world.retention.remove(ACCOUNT))
    world.forgotten = True


async def collects_garbage(world: ChaosWorld) -> None:
    await an_image(world)
    for _ in range(2):
        await repeated(world, lambda: world.garbage.collect(dry_run=False))
    assert not world.collector.garbage


async def publishes(world: ChaosWorld) -> None:
    await an_image(world)
    await world.publish()


async def rejects_events(world: ChaosWorld) -> None:
    await a_manifest(world)
    world.clock.advance(timedelta(days=4))
    world.sink.away = True
    for _ in range(3):
        world.clock.advance(timedelta(minutes=10))
        await world.publish()
    world.sink.away = False
    world.sink.sent += world.rejected.sent


CHAPTERS: list[Chapter] = [
    builds_and_fails,
    builds_until_cancelled,
    breaks_until_closed,
    breaks_while_undoing_until_closed,
    goes_on_after_a_turn,
    comes_too_early,
    loses_its_wake_up,
    is_cancelled_at_work,
    is_stopped_at_work,
    waits_for_its_turn,
    serves_and_updates,
    updates_and_fails,
    updates_until_cancelled,
    deletes,
    deletes_during_an_update,
    deletes_what_nothing_refers_to,
    looks,
    pipes,
    pipes_until_cancelled,
    surveys,
    clears_what_a_failed_create_left,
    updates_in_the_place_of_a_repair,
    restores_until_cancelled,
    tells_what_was_printed,
    changes_compute_resources,
    forgets,
    collects_garbage,
    publishes,
    rejects_events,
]


@cache
def undisturbed() -> dict[Site, Chapter]:
    """Every site that is reached when nothing goes wrong, and the first chapter that reaches it."""

    async def run() -> dict[Site, Chapter]:
        reached: dict[Site, Chapter] = {}
        for chapter in CHAPTERS:
            world = ChaosWorld()
            await chapter(world)
            await world.recover()
            await world.check()
            reached = dict.fromkeys(world.seen, chapter) | reached
        return reached

    with asyncio.Runner() as runner:
        return runner.run(run())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("written", list(written_sites()), ids=str)
def test_any_call_may_go_wrong_once(written, fault):
    reached = {site: chapter for site, chapter in undisturbed().items() if written.is_at(site)}
    assert reached, f"{written} is never tried"

    async def run(site: Site, chapter: Chapter) -> None:
        world = ChaosWorld()
        world.at = (site, fault)
        await chapter(world)
        await world.recover()
        await world.check()

    with asyncio.Runner() as runner:
        for site, chapter in reached.items():
            runner.run(run(site, chapter))
