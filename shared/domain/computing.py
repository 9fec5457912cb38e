"""The port Compute: what services need from where they run, and what there is to say of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain.accounts import Account
from shared.domain.compute_resources import ComputeResourceRequest
from shared.domain.documents import Touch
from shared.domain.operations import ErrorResponse
from shared.domain.service_settings import ServiceSettings
from shared.domain.services import AuthKeys
from shared.domain.wire import Json


@dataclass(frozen=True)
class CollectionTargets:
    """Where collected data and telemetry go: connection strings, empty where the settings give none. What of it a service
    uses, its own settings say."""

    storage: str = field(default="", repr=False)
    event_hub: str = field(default="", repr=False)
    app_insights: str = field(default="", repr=False)


class CollectionGrants(Protocol):
    """What services may do with the storage of collected data."""

    async def current(self) -> str:
        """A connection string that adds to collected data, for some days; empty where no setting says where that is.

        Raises Unavailable.
        """


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
    answered: bool = False
    """Whether it has answered calls before, and need not be seen ready once more."""


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
    """How a service fares on its compute: `missing` was deleted by hand, `changed` is not what its record says; `error` when
    nothing has been ready for long, `scaling_error` when its autoscaler does not work."""

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    error: ErrorResponse | None = None
    ready: bool = False
    scaling_error: ErrorResponse | None = None

    @property
    def drift(self) -> tuple[str, ...]:
        """All in which it is not what its record says."""
        return (*self.missing, *self.changed)


@dataclass(frozen=True)
class Survey:
    """What there is on a compute: how services fare, by their ids; the ids of those that nobody knows; and those of known
    services of which something is there, although nothing of theirs was asked about."""

    services: Mapping[str, Observed] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


class Compute(Protocol):
    """One compute resource. Every call may be repeated harmlessly. Raises Unavailable when it is away."""

    @property
    def supervises(self) -> bool:
        """Whether it looks after its services by itself, and need not be surveyed."""

    def scoring_uri(self, account: Account, service_name: str) -> str:
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
        """How the account's services fare that have been deployed, `known` being the ids of all there are."""


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
