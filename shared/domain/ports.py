"""The ports: what use cases and workflows need from outside, and what they may rely on. Adapters fill them."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain.accounts import Account
from shared.domain.compute_resources import ComputeResourceRequest
from shared.domain.documents import Change, Document, Held, Page, Stored, Touch
from shared.domain.events import Event
from shared.domain.images import Layer
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.services import AuthKeys, ServiceSettings
from shared.domain.tracing import trace_parent
from shared.domain.wire import Json


class Clock(Protocol):
    """Time and chance, from outside."""

    def now(self) -> datetime:
        """This moment, in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that nobody sets, from any moment."""

    def random_bits(self, count: int) -> int:
        """That many random bits."""


class Telemetry(Protocol):
    """Traces and metrics. Nothing that happens here fails or delays the work."""

    def span(
        self, name: str, parent: str | None, attributes: Mapping[str, str] | None = None
    ) -> AbstractContextManager[None]:
        """What happens in the context is one span, below the current one, else below the `traceparent` given."""

    def count(self, name: str, attributes: Mapping[str, str] | None = None) -> None:
        """One more."""

    def measure(self, name: str, value: float, attributes: Mapping[str, str] | None = None) -> None:
        """One measurement."""


class _NoTelemetry:
    """Nobody looks; the trace of the caller is carried on even so."""

    @contextmanager
    def span(self, name: str, parent: str | None, attributes: Mapping[str, str] | None = None) -> Iterator[None]:
        token = trace_parent.set(trace_parent.get() or parent)
        try:
            yield
        finally:
            trace_parent.reset(token)

    def count(self, name: str, attributes: Mapping[str, str] | None = None) -> None:
        """Not counted."""

    def measure(self, name: str, value: float, attributes: Mapping[str, str] | None = None) -> None:
        """Not measured."""


NO_TELEMETRY = _NoTelemetry()


class Store(Protocol):
    """Documents of an account. What is committed together is there together, or not at all."""

    async def get[D: Document](self, account: Account, kind: type[D], identifier: str) -> Stored[D] | None:
        """The document of that id, or None."""

    async def page[D: Document](
        self, account: Account, kind: type[D], filters: Mapping[str, str], *, count: int, after: str | None = None
    ) -> Page[D]:
        """Up to `count` documents that fit all filters, newest first, from behind the id `after`.

        Costs what it returns, whatever else the account holds.
        """

    async def held(self, account: Account, key: str) -> Held | None:
        """The claim of that key, or None when it is free."""

    async def commit(self, account: Account, changes: Sequence[Change]) -> Sequence[Stored[Document]]:
        """All of the changes, or none. Returns the documents inserted and replaced, in order, as they are stored now.

        Raises Conflict when an id or a claim is taken or a claim has changed, PreconditionFailed when a document has
        changed since it was read, TooLarge when they do not fit one transaction, Unavailable when the store is away.
        """


class WakeUps(Protocol):
    """Wake-ups say that there is something to look at. They may be lost, doubled or late: the store is the truth."""

    async def wake(self, account: Account, operation: Operation, delay: timedelta = timedelta(0)) -> None:
        """Have that operation looked at, no sooner than after `delay`; its trace goes along. Raises Unavailable."""


class EventSink(Protocol):
    """Where events go."""

    async def send(self, event: Event) -> None:
        """Send it; when this returns it has arrived. Raises Unavailable when it has not, or may not have."""


class BuildLog(Protocol):
    """A log for people, readable while it grows."""

    def line(self, text: str) -> None:
        """Add a line, from any thread; it can be read within seconds. Holds no signed URL: what is added is cleaned."""


class BuildLogs(Protocol):
    """The logs of image builds."""

    def writing(self, account: Account, image_id: str) -> AbstractAsyncContextManager[BuildLog]:
        """That image's log, to add to; all lines are stored when the context ends."""

    async def address(self, account: Account, image_id: str) -> str:
        """A URL that reads the log, good for a day from now."""


@dataclass(frozen=True)
class PublishedImage:
    """Where an image can be pulled from, and the digest of its manifest."""

    location: str
    digest: str


@dataclass(frozen=True)
class ImageSource:
    """What an image is made of, and what it is called."""

    account: Account
    name: str
    version: int
    manifest: Manifest
    models: tuple[Model, ...]
    base: str = ""
    """The base image, by its digest; empty when there is none."""
    known: "Mapping[str, Content]" = field(default_factory=dict)
    """What was fetched and decided before, by `content_key`."""
    no_cache: bool = False
    """Whether all is built anew."""
    operation_id: str = ""
    """The operation that builds it: what is begun elsewhere is begun under this name."""
    left: Mapping[str, Json] = field(default_factory=dict)
    """What the stage in hand left when it was not ready."""


@dataclass(frozen=True)
class NotYet:
    """A stage that goes on elsewhere: look again after `delay`. It is given `left` then."""

    delay: timedelta
    waiting_for: str
    left: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """What something held when it was first had: its digest, and the tag its server gave it then, which may be empty."""

    digest: str
    etag: str = ""


@dataclass(frozen=True)
class Resolved:
    """What an image will be made of: its base, by digest, empty for none; and what else was decided, such as the locks of
    its packages, by `content_key`."""

    base: str
    contents: Mapping[str, Content]


@dataclass(frozen=True)
class DependencyLayers:
    """The layers below models and assets, lowest first; the base they stand on now; and what was decided meanwhile."""

    layers: tuple[Layer, ...]
    base: str
    contents: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True)
class ContentLayers:
    """The layers of models and assets, and what was fetched for each, by `content_key`."""

    layers: tuple[Layer, ...]
    contents: Mapping[str, Content]


def content_key(owner: str, part: int | str = 0) -> str:
    """What names one source: the id of a model, or of a manifest with the number of its asset, or what else it is."""
    return f"{owner}/{part}"


class ImageBuilder(Protocol):
    """Puts images together, stage by stage. Each stage is idempotent: the same source gives the same digests, byte for byte.

    Raises BuildFailed when the manifest is at fault, the message saying what to change, and Unavailable when what it
    needs is away.
    """

    async def resolve(self, source: ImageSource, log: BuildLog) -> Resolved:
        """Decide what it is to be made of, before anything is made: what cannot be built is refused here."""

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> DependencyLayers | NotYet:
        """The base image's, the scoring server, and the packages that were decided on."""

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        """The models and assets, in the one folder that the driver works in; refuses what is not what it was before."""

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        """Config and manifest over those layers, under a tag that never moves to another digest."""

    async def ensure_unpublished(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> None:
        """Nothing has the tag of that image, and nothing that was begun for it elsewhere goes on.

        `layers` are those that it was to be published with; none when it did not come to that.
        """


@dataclass(frozen=True)
class KeptBlob:
    """Something that is kept, and when it was put there or last used."""

    name: str
    size: int
    used: datetime


class Incoming(Protocol):
    """Something on its way into the keep."""

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes."""

    async def keep_as(self, name: str) -> None:
        """All that was written is kept under that name; when something is already, that stays, and counts as used now."""


class Keep(Protocol):
    """Bytes of the operator's own, by name: whole, or not there. Raises Unavailable when it is away."""

    async def get(self, name: str) -> bytes | None:
        """Something small, or None."""

    async def put(self, name: str, content: bytes) -> None:
        """Keep something small, in the place of what was kept under that name."""

    async def size(self, name: str) -> int | None:
        """How large it is, None when it is not there."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes from `start` on. Raises Unavailable when it is not there."""

    def incoming(self) -> AbstractAsyncContextManager[Incoming]:
        """Something large, whose name is not known before its end; what was given no name by then is not kept."""

    def names(self, prefix: str) -> AsyncIterator[KeptBlob]:
        """All that is kept under names that begin so."""

    async def remove(self, name: str) -> None:
        """It is not kept any more; harmless when it was not."""


@dataclass(frozen=True)
class Needed:
    """What must not be removed, and how old the rest must be: what is being built is not listed yet."""

    images: Mapping[Account, frozenset[str]]
    """The listed images, as `name:version`."""
    image_ids: frozenset[tuple[Account, str]]
    contents: frozenset[str]
    """The digests of what models and manifests hold, and of what was decided for them."""
    settled_before: datetime
    layers_used_since: datetime
    logs_since: datetime


@dataclass(frozen=True)
class Unneeded:
    """Something that nobody needs any more: what it is, where it is, and how large."""

    kind: str
    name: str
    size: int


class Collector(Protocol):
    """Finds what nobody needs any more in one kind of place, and removes it."""

    def unneeded(self, needed: Needed) -> AsyncIterator[Unneeded]:
        """All of it. Raises Unavailable."""

    async def remove(self, one: Unneeded, needed: Needed) -> None:
        """Remove it, unless it has been used meanwhile; harmless when it has gone."""


@dataclass(frozen=True)
class CollectionTargets:
    """Where a service's collected data and telemetry go: connection strings, empty for what is off."""

    storage: str = field(default="", repr=False)
    event_hub: str = field(default="", repr=False)
    app_insights: str = field(default="", repr=False)


@dataclass(frozen=True)
class ServiceSpec:
    """All that compute needs to run one deployment of a service."""

    account: Account
    service_id: str
    service_name: str
    deployment_id: str
    image_location: str
    image_digest: str
    settings: ServiceSettings
    keys: AuthKeys = field(repr=False)
    targets: CollectionTargets = CollectionTargets()


@dataclass(frozen=True)
class Rollout:
    """How a deployment fares: `ready` when it answers the service's calls, `error` when it never will.

    When it is neither, look again after `delay`, and give it `left` then.
    """

    ready: bool = False
    error: ErrorResponse | None = None
    waiting_for: str = ""
    delay: timedelta = timedelta(seconds=1)
    left: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class LogQuery:
    """Which lines of a service's logs: the last `tail` of each replica, none before `since`, of one replica or all."""

    tail: int
    since: datetime | None = None
    replica: str | None = None


@dataclass(frozen=True)
class ReplicaLog:
    """What one run of a replica printed, oldest line first; `run` tells the run before the last restart from the one now."""

    replica: str
    run: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Observed:
    """How a service fares on its compute: `missing` was deleted by hand; `error` when nothing has been ready for long."""

    missing: tuple[str, ...] = ()
    error: ErrorResponse | None = None
    ready: bool = False


@dataclass(frozen=True)
class Survey:
    """What there is on a compute: how services fare, by their ids, and the ids of those that nobody knows."""

    services: Mapping[str, Observed] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()


class Compute(Protocol):
    """One compute resource. Every call may be repeated harmlessly. Raises Unavailable when it is away."""

    def scoring_uri(self, service_name: str) -> str:
        """Where that service is called (client-facts.md, 33)."""

    def check(self, settings: ServiceSettings) -> None:
        """Raises InvalidRequest, naming the field, for settings that services cannot have here."""

    async def ensure_deployment(self, spec: ServiceSpec) -> None:
        """Begin to make this the deployment that answers; the one before goes on answering until this one is ready."""

    async def rollout(self, spec: ServiceSpec, left: Mapping[str, Json]) -> Rollout:
        """How that deployment fares; `left` is what the look before left."""

    async def ensure_rolled_back(self, service_id: str, deployment_id: str, worked: ServiceSpec | None) -> None:
        """Give that deployment up; what answered before it goes on. None when nothing did: then nothing runs on."""

    async def ensure_keys(self, service_id: str, keys: AuthKeys) -> None:
        """Within ten seconds of this, these keys are good and no others."""

    async def ensure_withdrawn(self, service_id: str) -> None:
        """From the moment this returns, the service takes no more calls; those under way may finish."""

    async def ensure_removed(self, service_id: str) -> str:
        """Nothing of the service is left running, when this is empty; else what is still ending."""

    async def logs(self, service_id: str, query: LogQuery) -> Sequence[ReplicaLog]:
        """What the service's replicas have printed, those that have crashed included."""

    async def survey(self, account: Account, specs: Sequence[ServiceSpec], known: Collection[str]) -> Survey:
        """How the account's services fare that have been deployed, `known` being the ids of all there are.

        Empty where compute looks after them by itself.
        """


class Computes(Protocol):
    """The compute resources there are."""

    async def find(self, account: Account, resource_id: str, *, field: str) -> Compute:
        """The one of that id, compared without regard to case.

        Raises InvalidRequest naming the field that held the id, and the compute resources there are.
        """

    async def find_to_use(self, account: Account, resource_id: str, *, field: str) -> tuple[Compute, Touch]:
        """The same, and what a commit holds that begins to refer to it: it fails when the record has gone meanwhile."""


class ComputeKinds(Protocol):
    """What makes a compute of a record."""

    @property
    def local(self) -> bool:
        """Whether the settings give a compute node, which every account has as the compute resource `local`."""

    def compute(self, settings: ComputeResourceRequest) -> Compute:
        """The compute of that record; nothing is asked of it yet. Raises Unavailable when the settings do not give it."""

    async def checked(self, settings: ComputeResourceRequest) -> ComputeResourceRequest:
        """The same with what was found out: it can be reached, and all that is needed is allowed.

        Raises InvalidRequest naming what is missing, and Unavailable.
        """


class ServiceLogs(Protocol):
    """The logs of replicas that are gone: what failed deployments printed."""

    async def keep(self, account: Account, service_id: str, logs: Sequence[ReplicaLog]) -> None:
        """Keep those in the place of what was kept for that service. Raises Unavailable."""

    async def kept(self, account: Account, service_id: str) -> Sequence[ReplicaLog]:
        """What is kept for it. Raises Unavailable."""

    async def remove(self, account: Account, service_id: str) -> None:
        """Nothing is kept for it any more."""
