"""The ports: what use cases and workflows need from outside, and what they may rely on. Adapters fill them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain.accounts import Account
from shared.domain.documents import Change, Document, Held, Page, Stored
from shared.domain.events import Event
from shared.domain.images import Layer
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.services import AuthKeys, ServiceSettings
from shared.domain.tracing import trace_parent


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
    known: Mapping[str, str] = field(default_factory=dict)
    """The digests of what was fetched before, by `content_key`."""
    no_cache: bool = False
    """Whether all is built anew."""


@dataclass(frozen=True)
class ContentLayers:
    """The layers of models and assets, and the digest of what was fetched for each, by `content_key`."""

    layers: tuple[Layer, ...]
    digests: Mapping[str, str]


def content_key(owner: str, index: int = 0) -> str:
    """What names one source: the id of a model, or of a manifest with the number of its asset."""
    return f"{owner}/{index}"


class ImageBuilder(Protocol):
    """Puts images together. Each call is idempotent: the same source gives the same digests, byte for byte.

    Raises BuildFailed when the manifest is at fault, the message saying what to change, and Unavailable when what it
    needs is away.
    """

    async def base(self, source: ImageSource, log: BuildLog) -> str:
        """The base image that it is to stand on, by its digest; empty when there is none."""

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> tuple[Layer, ...]:
        """The base image's, the scoring server, and the installed requirements."""

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        """The models and assets, in the one folder that the driver works in; refuses what is not what it was before."""

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        """Config and manifest over those layers, under a tag that never moves to another digest."""

    async def ensure_unpublished(self, source: ImageSource, log: BuildLog) -> None:
        """Nothing has the tag of that image."""


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
    keys: AuthKeys


@dataclass(frozen=True)
class Rollout:
    """How a deployment fares: `ready` when it answers the service's calls, `error` when it never will."""

    ready: bool = False
    error: ErrorResponse | None = None
    waiting_for: str = ""


class Compute(Protocol):
    """One compute resource. Every call may be repeated harmlessly. Raises Unavailable when it is away."""

    def scoring_uri(self, service_name: str) -> str:
        """Where that service is called (client-facts.md, 33)."""

    async def ensure_deployment(self, spec: ServiceSpec) -> None:
        """Begin to make this the deployment that answers; the one before goes on answering until this one is ready."""

    async def rollout(self, service_id: str, deployment_id: str) -> Rollout:
        """How that deployment fares."""

    async def ensure_rolled_back(self, service_id: str, deployment_id: str) -> None:
        """Give that deployment up; what answered before it goes on, untouched."""

    async def ensure_keys(self, service_id: str, keys: AuthKeys) -> None:
        """From the moment this returns, these keys are good and no others."""

    async def ensure_withdrawn(self, service_id: str) -> None:
        """From the moment this returns, the service takes no more calls; those under way may finish."""

    async def ensure_removed(self, service_id: str) -> None:
        """Nothing of the service is left running."""


class Computes(Protocol):
    """The compute resources there are."""

    def find(self, resource_id: str, *, field: str) -> Compute:
        """The one of that id, compared without regard to case.

        Raises InvalidRequest naming the field that held the id, and the compute resources there are.
        """
