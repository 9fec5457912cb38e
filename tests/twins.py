"""What use cases and the engine are tested on: a clock that tests move, and stand-ins for compute and the builder."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.accounts import Account
from shared.domain.building import (
    ChosenVersion,
    Content,
    ContentLayers,
    DependencyLayers,
    ImageSource,
    IsNamed,
    NotYet,
    PublishedImage,
    Resolved,
    content_key,
)
from shared.domain.compute_resources import ComputeResourceRequest
from shared.domain.computing import (
    CollectionTargets,
    Compute,
    ComputeKinds,
    LogQuery,
    ReplicaLog,
    Rollout,
    ServiceSpec,
    Survey,
)
from shared.domain.errors import BuildFailed, InvalidRequest, ServiceError, Unavailable
from shared.domain.events import Event
from shared.domain.fencing import check_fence
from shared.domain.images import ImageRequest, ImageType, Layer
from shared.domain.manifests import Asset, Manifest, ManifestRequest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.models import Model, ModelRequest
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.plans import BUILD_IMAGE, DELETE_SERVICE, DEPLOY_SERVICE, RESTORE_SERVICE, RUN_PIPELINE
from shared.domain.ports import BuildLog, Clock, Needed, Unneeded
from shared.domain.service_settings import ComputeResource, ServiceSettings
from shared.domain.services import AuthKeys, KeyType, ServiceCreateRequest
from shared.domain.wire import Json
from shared.orchestration.build_image import BuildImage
from shared.orchestration.delete_service import DeleteService
from shared.orchestration.deploy_service import DeployService
from shared.orchestration.engine import Engine, Limits
from shared.orchestration.publisher import Publisher
from shared.orchestration.restore_service import RestoreService
from shared.orchestration.run_pipeline import RunPipeline
from shared.resources.announcing import AnnouncingStore
from shared.resources.commands import Commands
from shared.resources.compute_resources import ComputeResources
from shared.resources.deployments import Deployments
from shared.resources.garbage import Garbage
from shared.resources.images import Images
from shared.resources.keys import KeyRing
from shared.resources.manifests import Manifests
from shared.resources.models import Models
from shared.resources.operations import Operations
from shared.resources.pipelines import Pipelines
from shared.resources.repeatability import Requests
from shared.resources.retention import Retention
from shared.resources.service_logs import PrintedLogs
from shared.resources.services import Services
from shared.resources.specs import Specs
from shared.resources.surveys import Surveys
from shared.storage.memory import MemoryBuildLogs, MemoryServiceLogs, MemoryStore, MemoryWakeUps

ACCOUNT = Account("sub", "group", "local")
COMPUTE_ID = (
    "/subscriptions/sub/resourcegroups/group/providers/Microsoft.MachineLearningCompute/operationalizationClusters/local"
)


EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Time that stands still until a test moves it; chance from a fixed seed."""

    def __init__(self) -> None:
        self.step = timedelta(milliseconds=1)
        self._now = EPOCH
        self._random = random.Random(7)

    def now(self) -> datetime:
        """A millisecond later than the last time, so that what is made later sorts later."""
        self._now += self.step
        return self._now

    def monotonic(self) -> float:
        return (self._now - EPOCH).total_seconds()

    def random_bits(self, count: int) -> int:
        return self._random.getrandbits(count)

    def advance(self, by: timedelta) -> None:
        self._now += by


class SkewedClock:
    """The clock of a worker that is wrong by so much."""

    def __init__(self, clock: ManualClock, by: timedelta) -> None:
        self._clock = clock
        self._by = by

    def now(self) -> datetime:
        return self._clock.now() + self._by

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def random_bits(self, count: int) -> int:
        return self._clock.random_bits(count)


@dataclass
class Overlaps:
    """Notices when two workers are at work on one thing at once. Every effect on the outside begins here."""

    working: set[str] = field(default_factory=set)
    found: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[None]:
        check_fence()
        if what in self.working:
            self.found.append(what)
        self.working.add(what)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            self.working.discard(what)
        yield


@dataclass
class TwinBuilder:
    """Builds nothing, and fails as it is told to."""

    effects: Overlaps = field(default_factory=Overlaps)

    location: str = "oci:/images:{name}:{version}"
    failures: list[Exception] = field(default_factory=list)
    before_content: Exception | None = None
    published: dict[str, int] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    """The versions whose tags name other images."""
    there: set[int] = field(default_factory=set)
    """The versions whose tags name the image itself before it is published."""

    not_yet: list[NotYet] = field(default_factory=list)
    given: list[ImageSource] = field(default_factory=list)

    async def resolve(self, source: ImageSource, log: BuildLog) -> Resolved:
        lock = source.known.get(content_key(source.manifest.id, "pip.lock"), Content("sha256:lock"))
        return Resolved("registry/python@sha256:" + "0" * 64, {content_key(source.manifest.id, "pip.lock"): lock})

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> DependencyLayers | NotYet:
        self._maybe_fail()
        self.given.append(source)
        if self.not_yet:
            return self.not_yet.pop(0)
        log.line("installed nothing")
        return DependencyLayers((_layer("dependencies"),), source.base)

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        if self.before_content:
            raise self.before_content
        self._maybe_fail()
        contents = {content_key(model.id): Content(self.contents.get(model.name, "sha256:first")) for model in source.models}
        if any(source.known.get(key, content) != content for key, content in contents.items()):
            raise BuildFailed("It is not what it was.", code="SourceChanged")
        return ContentLayers((_layer("map"), *(_layer(model.name) for model in source.models)), contents)

    async def choose_version(self, source: ImageSource, layers: Sequence[Layer], latest: int) -> ChosenVersion:
        free = (one for one in itertools.count(latest + 1) if one not in self.taken)
        version = next(free) if source.version in self.taken else source.version
        return ChosenVersion(version, is_free=version not in self.there)

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        self._maybe_fail()
        location = self.location.format(name=source.name, version=source.version)
        async with self.effects.alone(location):
            self.published[location] = self.published.get(location, 0) + 1
        return PublishedImage(location, "sha256:" + "0" * 64)

    async def ensure_unpublished(
        self, source: ImageSource, layers: Sequence[Layer], log: BuildLog, is_named: IsNamed
    ) -> None:
        self._maybe_fail()
        location = self.location.format(name=source.name, version=source.version)
        async with self.effects.alone(location):
            if layers:
                await is_named()
                self.published.pop(location, None)

    def _maybe_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


def _layer(title: str) -> Layer:
    return Layer(media_type="application/x", digest=f"sha256:{title}", size=1, diff_id=f"sha256:{title}", title=title)


@dataclass
class TwinCompute:
    """Compute that does what its port promises, in memory; deployments fare as the test says."""

    effects: Overlaps = field(default_factory=Overlaps)

    away: bool = False
    fares: dict[str, Rollout] = field(default_factory=dict)
    otherwise: Rollout = field(default_factory=lambda: Rollout(ready=True))
    serving: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    specs: dict[str, ServiceSpec] = field(default_factory=dict)
    keys: dict[str, AuthKeys] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    rolled_back_to: dict[str, ServiceSpec | None] = field(default_factory=dict)
    left: list[dict[str, Json]] = field(default_factory=list)
    ending: list[str] = field(default_factory=list)
    printed: list[ReplicaLog] = field(default_factory=list)
    seen: Survey = field(default_factory=Survey)
    most_replicas: int = 100
    supervises: bool = False
    surveyed: list[tuple[list[str], list[str]]] = field(default_factory=list)

    def scoring_uri(self, account: Account, service_name: str) -> str:
        return f"http://front/api/v1/service/{service_name}/score"

    def check(self, settings: ServiceSettings) -> None:
        if self.most_replicas < (settings.num_replicas or 0):
            raise InvalidRequest(f"numReplicas: got {settings.num_replicas}; accepts at most {self.most_replicas} here.")

    async def ensure_deployment(self, spec: ServiceSpec) -> None:
        self._reached()
        async with self.effects.alone(spec.service_id):
            self.specs[spec.deployment_id] = spec
            self.keys.setdefault(spec.service_id, spec.keys)

    async def rollout(self, spec: ServiceSpec, left: Mapping[str, Json]) -> Rollout:
        self._reached()
        service_id, deployment_id = spec.service_id, spec.deployment_id
        self.left.append(dict(left))
        rollout = self.fares.get(deployment_id, self.otherwise)
        if deployment_id not in self.specs:
            return Rollout(error=ErrorResponse(code="GivenUp", message="It was given up.", status_code=409))
        if rollout.ready and self.serving.get(service_id) != deployment_id:
            if service_id in self.serving:
                self.before[service_id] = self.serving[service_id]
            self.serving[service_id] = deployment_id
        return rollout

    async def ensure_rolled_back(self, service_id: str, deployment_id: str, worked: ServiceSpec | None) -> None:
        self._reached()
        self.rolled_back_to[deployment_id] = worked
        async with self.effects.alone(service_id):
            self.specs.pop(deployment_id, None)
            if self.serving.get(service_id) == deployment_id:
                del self.serving[service_id]
                if service_id in self.before:
                    self.serving[service_id] = self.before[service_id]

    async def ensure_keys(self, service_id: str, keys: AuthKeys) -> None:
        self._reached()
        self.keys[service_id] = keys

    async def ensure_withdrawn(self, service_id: str) -> None:
        self._reached()
        self.serving.pop(service_id, None)
        self.withdrawn.add(service_id)

    async def ensure_removed(self, service_id: str) -> str:
        self._reached()
        async with self.effects.alone(service_id):
            self.removed.add(service_id)
            self.specs = {name: spec for name, spec in self.specs.items() if spec.service_id != service_id}
        return self.ending.pop() if self.ending else ""

    async def logs(self, service_id: str, query: LogQuery) -> Sequence[ReplicaLog]:
        self._reached()
        return [log for log in self.printed if query.replica in (None, log.replica)]

    async def survey(self, account: Account, specs: Sequence[ServiceSpec], known: Collection[str]) -> Survey:
        self._reached()
        self.surveyed.append(([spec.service_id for spec in specs], list(known)))
        return self.seen

    def _reached(self) -> None:
        check_fence()
        if self.away:
            raise Unavailable("compute is away")


@dataclass(frozen=True)
class TwinKinds:
    """One compute, whatever a record says; what is asked of it is refused as the test says."""

    found: Compute
    local: bool = True

    def compute(self, settings: ComputeResourceRequest) -> Compute:
        return self.found

    async def checked(self, settings: ComputeResourceRequest) -> ComputeResourceRequest:
        return settings


@dataclass
class TwinSink:
    """Keeps the events it is sent."""

    sent: list[Event] = field(default_factory=list)
    away: bool = False

    async def send(self, event: Event) -> None:
        if self.away:
            raise Unavailable("the sink is away")
        self.sent.append(event)


@dataclass
class TwinCollector:
    """Finds two things, and remembers what it was told and what it removed."""

    needed: Needed | None = None
    garbage: set[str] = field(default_factory=lambda: {"a", "b"})

    async def unneeded(self, needed: Needed) -> AsyncIterator[Unneeded]:
        self.needed = needed
        for name in sorted(self.garbage):
            yield Unneeded("blob", name, 7)

    async def remove(self, one: Unneeded, needed: Needed) -> None:
        self.garbage.discard(one.name)


class TwinGrants:
    """Signs nothing."""

    async def current(self) -> str:
        return "storage"


class World:
    """All of Slipway but its triggers, on twins: what a worker would do is done by `settle`."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.share = Limits().share
        self.rows = MemoryStore(self.clock)
        self.wake_ups = MemoryWakeUps(self.clock)
        self.logs = MemoryBuildLogs()
        self.builder = TwinBuilder()
        self.compute = TwinCompute()
        self.collector = TwinCollector()
        self.sink, self.rejected = TwinSink(), TwinSink()
        self.key_ring = KeyRing(b"s" * 32)
        self.to_announce: set[Account] = set()
        self.engine = self.process(self.clock)

    def seam(self, port: str, adapter: Any) -> Any:
        """Where every call to the outside passes: the adapter, or what a test puts before it."""
        return adapter

    def kinds(self, compute: Compute) -> ComputeKinds:
        """What makes a compute of each record."""
        return TwinKinds(compute)

    def process(self, clock: Clock) -> Engine:
        """The use cases and the engine as one process has them, with that clock; the use cases are those in use now."""
        wake_ups, logs = self.seam("wake-ups", self.wake_ups), self.seam("logs", self.logs)
        builder, compute = self.seam("builder", self.builder), self.seam("compute", self.compute)
        self.service_logs = MemoryServiceLogs()
        service_logs = self.seam("service_logs", self.service_logs)
        self.store = self.seam("store", AnnouncingStore(self.rows, clock, [Event], self.to_announce.add))
        self.compute_resources = computes = ComputeResources(self.store, clock, self.kinds(compute))
        self.specs = Specs(self.store, self.key_ring, CollectionTargets("", "hub", "insights"), TwinGrants())
        self.operations = Operations(self.store, clock, wake_ups)
        self.requests = Requests(self.store, clock)
        self.models = Models(self.store, clock)
        self.manifests = Manifests(self.store, clock)
        self.images = Images(self.store, clock, operations=self.operations, computes=computes, logs=logs)
        self.services = Services(self.store, clock, operations=self.operations, computes=computes, key_ring=self.key_ring)
        self.deployments = Deployments(self.store)
        self.printed_logs = PrintedLogs(self.store, computes, service_logs)
        self.surveys = Surveys(self.store, clock, operations=self.operations, computes=computes, specs=self.specs)
        self.pipelines = Pipelines(self.store, clock, operations=self.operations, computes=computes)
        self.retention = Retention(self.store, clock, operations=timedelta(days=30))
        self.garbage = Garbage(
            self.store,
            clock,
            [ACCOUNT],
            [self.seam("collector", self.collector)],
            layers=timedelta(days=30),
            logs=timedelta(days=7),
        )
        self.publisher = Publisher(
            self.store, clock, Event, self.seam("sink", self.sink), self.seam("sink", self.rejected), owner="publisher"
        )
        self.commands = Commands(
            [ACCOUNT],
            requests=self.requests,
            models=self.models,
            manifests=self.manifests,
            images=self.images,
            services=self.services,
            operations=self.operations,
            pipelines=self.pipelines,
        )
        workflows = {
            BUILD_IMAGE: BuildImage(self.store, builder, logs),
            DEPLOY_SERVICE: DeployService(
                self.store, clock, computes=computes, key_ring=self.key_ring, specs=self.specs, logs=service_logs
            ),
            RESTORE_SERVICE: RestoreService(self.store, computes, self.specs),
            DELETE_SERVICE: DeleteService(self.store, computes, service_logs),
            RUN_PIPELINE: RunPipeline(
                requests=self.requests,
                operations=self.operations,
                models=self.models,
                manifests=self.manifests,
                images=self.images,
                services=self.services,
            ),
        }
        self.engine = Engine(self.store, wake_ups, clock, workflows, owner="worker", limits=Limits(share=self.share))
        return self.engine

    async def deliver_next(self) -> bool:
        """Deliver the next wake-up, moving the clock to it; whether there was one."""
        wake_up = self.wake_ups.pop()
        if wake_up is None:
            return False
        due, account, operation_id = wake_up
        self.clock.advance(max(due - self.clock.now(), timedelta(0)))
        await self.engine.run(account, operation_id)
        return True

    async def settle(self, most: int = 200) -> None:
        """Deliver wake-ups until none is left."""
        for _ in range(most):
            if not await self.deliver_next():
                return
        raise AssertionError("wake-ups without end")

    async def operation(self, operation: Operation) -> Operation:
        return await self.operations.get(ACCOUNT, operation.id)

    async def model(self, name: str = "digits", **fields: object) -> Model:
        request = {"name": name, "url": f"http://store/{name}", "mime_type": "application/json", **fields}
        return await self.models.register(ACCOUNT, ModelRequest.model_validate(request))

    async def manifest(self, *models: Model, name: str = "digits") -> Manifest:
        request = ManifestRequest(
            name=name,
            driver_program="driver",
            assets=(Asset(id="driver", url="http://store/driver.py"),),
            model_ids=tuple(model.id for model in models),
            target_runtime=TargetRuntime(runtime_type=RuntimeType.PYTHON, properties=RuntimeProperties()),
        )
        return await self.manifests.register(ACCOUNT, request)

    async def building(self, manifest: Manifest, name: str = "digits") -> Operation:
        request = ImageRequest(
            name=name, manifest_id=manifest.id, image_type=ImageType.DOCKER, compute_resource_id=COMPUTE_ID
        )
        return await self.images.build(ACCOUNT, request)

    async def built(self, *models: Model, name: str = "digits") -> str:
        """The id of an image of those models."""
        operation = await self.building(await self.manifest(*models, name=name), name)
        await self.settle()
        return operation.resource_id

    async def creating(self, image_id: str, name: str = "digits", **settings: object) -> Operation:
        resource = ComputeResource(id=COMPUTE_ID)
        request = {"name": name, "image_id": image_id, "compute_resource": resource, **settings}
        return await self.services.create(ACCOUNT, ServiceCreateRequest.model_validate(request))

    async def serving(self, image_id: str, name: str = "digits", **settings: object) -> str:
        """The id of a service that runs that image."""
        operation = await self.creating(image_id, name, **settings)
        await self.settle()
        return operation.resource_id

    async def regenerated(self, service_id: str, key_type: KeyType) -> AuthKeys:
        """Both keys, that one made anew and in force."""
        generations = await self.services.regenerate_key(ACCOUNT, service_id, key_type)
        await self.services.enforce_keys(ACCOUNT, service_id)
        return self.services.keys_of(ACCOUNT, generations)


def failing(code: str, *, retryable: bool = False) -> ServiceError:
    return ServiceError(f"{code} happened", code=code, retryable=retryable)


def failed_rollout(code: str) -> Rollout:
    return Rollout(error=ErrorResponse(code=code, message=f"{code} happened", status_code=400))
