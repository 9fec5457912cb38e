"""Joins ports and adapters: what a process needs, made once, when it is first asked for. What builds images: `building`."""

import os
from contextlib import AsyncExitStack
from datetime import datetime
from functools import cache, cached_property
from typing import Protocol
from uuid import uuid4

from shared.clock import SystemClock
from shared.compute.kinds import Clusters, KindsOfCompute
from shared.compute.local_process import LocalProcessCompute
from shared.domain.accounts import Account
from shared.domain.building import ImageBuilder
from shared.domain.errors import NotFound
from shared.domain.events import Event, WebhookEvent
from shared.domain.plans import BUILD_IMAGE, DELETE_SERVICE, DEPLOY_SERVICE, RESTORE_SERVICE, RUN_PIPELINE
from shared.domain.ports import EventSink, Store, WakeUps
from shared.events.failures import CommandFailures
from shared.events.sinks import EndpointSink, QueueSink
from shared.identity.tokens import TokenVerifier
from shared.images.packages.scratch import ensure_private
from shared.orchestration.build_image import BuildImage
from shared.orchestration.delete_service import DeleteService
from shared.orchestration.deploy_service import DeployService
from shared.orchestration.engine import Engine, Limits
from shared.orchestration.outcome import Workflow
from shared.orchestration.publisher import Publisher
from shared.orchestration.restore_service import RestoreService
from shared.orchestration.run_pipeline import RunPipeline
from shared.resources.announcing import AnnouncingStore
from shared.resources.commands import Commands
from shared.resources.compute_resources import ComputeResources
from shared.resources.deployments import Deployments
from shared.resources.garbage import Garbage
from shared.resources.health import Health
from shared.resources.images import Images
from shared.resources.keys import KeyRing
from shared.resources.manifests import Manifests
from shared.resources.models import Models
from shared.resources.operations import Operations
from shared.resources.paging import SkipTokens
from shared.resources.pipelines import Pipelines
from shared.resources.repeatability import Requests
from shared.resources.retention import Retention
from shared.resources.service_logs import PrintedLogs
from shared.resources.services import Services
from shared.resources.specs import Specs
from shared.resources.surveys import Surveys
from shared.settings import Settings
from shared.settings.images import GarbageMode
from shared.startup import settings_at_start, telemetry_at_start
from shared.storage.blobs import BlobAccount
from shared.storage.build_logs import BlobBuildLogs
from shared.storage.collected_data import CollectedData
from shared.storage.connection import StorageConnection
from shared.storage.queues import (
    BUILDS,
    COMMANDS,
    EVENTS,
    OUTBOX,
    POISON,
    WAKE_UPS,
    OutboxWakeUps,
    QueueSender,
    QueueWakeUps,
)
from shared.storage.service_logs import BlobServiceLogs
from shared.storage.tables import TableStore

_AT_ONCE = 16
"""Messages of one queue that an instance works on at once: host.json, batchSize."""


class _Closable(Protocol):
    async def close(self) -> None: ...


class Slipway:
    """The use cases and the engine, over the adapters that the settings choose. Raises SettingError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.telemetry = telemetry_at_start(settings)()
        self._clock = SystemClock()
        self._opened = AsyncExitStack()
        self._by_scope = {account.scope: account for account in settings.accounts}

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that are served here."""
        return self._settings.accounts

    @property
    def public_url(self) -> str:
        """Where callers reach the app, by the settings; empty where nothing is said of it."""
        return self._settings.public_url

    def served_account(self, subscription: str, resource_group: str, name: str) -> Account:
        """The account of that path, compared without regard to case; raises NotFound when it is not served here."""
        account = self._by_scope.get(Account(subscription, resource_group, name).scope)
        if account is None:
            raise NotFound("There is no such account here.", code="AccountNotFound")
        return account

    @cached_property
    def verifier(self) -> TokenVerifier:
        """Who calls."""
        return TokenVerifier(self._settings.tokens)

    @cached_property
    def skip_tokens(self) -> SkipTokens:
        """Continuation tokens of lists."""
        return SkipTokens(self._settings.secret)

    @cached_property
    def models(self) -> Models:
        """Use cases of models."""
        return Models(self._store, self._clock)

    @cached_property
    def manifests(self) -> Manifests:
        """Use cases of manifests."""
        return Manifests(self._store, self._clock)

    @cached_property
    def images(self) -> Images:
        """Use cases of images."""
        return Images(self._store, self._clock, operations=self.operations, computes=self.compute_resources, logs=self._logs)

    @cached_property
    def services(self) -> Services:
        """Use cases of services."""
        return Services(
            self._store, self._clock, operations=self.operations, computes=self.compute_resources, key_ring=self._key_ring
        )

    @cached_property
    def compute_resources(self) -> ComputeResources:
        """Use cases of compute resources, which also find the compute of a service."""
        return ComputeResources(self._store, self._clock, self._kinds)

    @cached_property
    def printed_logs(self) -> PrintedLogs:
        """The use case of services' logs."""
        return PrintedLogs(self._store, self.compute_resources, self._service_logs)

    @cached_property
    def surveys(self) -> Surveys:
        """What compares services with what there is on their compute."""
        return Surveys(
            self._store, self._clock, operations=self.operations, computes=self.compute_resources, specs=self._specs
        )

    @cached_property
    def deployments(self) -> Deployments:
        """Use cases of deployments."""
        return Deployments(self._store)

    @cached_property
    def operations(self) -> Operations:
        """Use cases of operations."""
        return Operations(self._store, self._clock, self._wake_ups, self._settings.plans, self.telemetry)

    @cached_property
    def health(self) -> Health:
        """Whether the app can serve."""
        return Health(self._tables, self._clock, self.accounts[0])

    @cached_property
    def requests(self) -> Requests:
        """Requests that may be sent again."""
        return Requests(self._store, self._clock)

    @cached_property
    def retention(self) -> Retention:
        """What removes what has ended long ago."""
        return Retention(self._store, self._clock, operations=self._settings.retention)

    @cached_property
    def garbage(self) -> Garbage:
        """What removes what builds leave behind."""
        from shared.building import made_collectors  # noqa: PLC0415  # an HTTP cold start collects nothing

        settings = self._settings.images
        return Garbage(
            self._store,
            self._clock,
            self.accounts,
            made_collectors(settings, self._blobs),
            layers=settings.garbage.layers,
            logs=settings.garbage.logs,
        )

    async def collect_garbage(self) -> None:
        """Do with it what the settings say."""
        mode = self._settings.images.garbage.mode
        if mode is not GarbageMode.OFF:
            await self.garbage.collect(dry_run=mode is GarbageMode.DRY_RUN)

    @cached_property
    def pipelines(self) -> Pipelines:
        """Use cases of pipelines."""
        return Pipelines(self._store, self._clock, operations=self.operations, computes=self.compute_resources)

    @cached_property
    def commands(self) -> Commands:
        """What machines ask for by queue."""
        return Commands(
            self._settings.command_accounts,
            requests=self.requests,
            models=self.models,
            manifests=self.manifests,
            images=self.images,
            services=self.services,
            operations=self.operations,
            pipelines=self.pipelines,
        )

    @cached_property
    def command_failures(self) -> CommandFailures:
        """What becomes of commands that fail."""
        return CommandFailures(self._queue(COMMANDS).send, self._queue(COMMANDS + POISON).send)

    @cached_property
    def outbox_wake_ups(self) -> OutboxWakeUps:
        """What has outboxes looked at."""
        return OutboxWakeUps(self._queue(OUTBOX))

    @cached_property
    def publishers(self) -> tuple[Publisher, ...]:
        """What publishes events, one for each place they go to."""
        rejected, owner = QueueSink(self._queue(EVENTS + POISON).send), str(uuid4())
        sinks: dict[type[Event], EventSink] = {Event: QueueSink(self._queue(EVENTS).send)}
        to = self._settings.events
        if to is not None:
            sinks[WebhookEvent] = EndpointSink(to.endpoint, to.key, event_grid=to.event_grid)
        return tuple(Publisher(self._store, self._clock, kind, sink, rejected, owner=owner) for kind, sink in sinks.items())

    def now(self) -> datetime:
        """This moment, in UTC."""
        return self._clock.now()

    async def close(self) -> None:
        """Close all connections that were opened; to be called once, when nothing is under way any more."""
        await self._opened.aclose()

    def _closing[C: _Closable](self, opened: C) -> C:
        """It, to be closed when this is."""
        self._opened.push_async_callback(opened.close)
        return opened

    @cached_property
    def engine(self) -> Engine:
        """What runs operations."""
        workflows: dict[str, Workflow] = {
            BUILD_IMAGE: BuildImage(self._store, self._builder, self._logs),
            DEPLOY_SERVICE: DeployService(
                self._store,
                self._clock,
                computes=self.compute_resources,
                key_ring=self._key_ring,
                specs=self._specs,
                logs=self._service_logs,
            ),
            RESTORE_SERVICE: RestoreService(self._store, self.compute_resources, self._specs),
            RUN_PIPELINE: RunPipeline(
                requests=self.requests,
                operations=self.operations,
                models=self.models,
                manifests=self.manifests,
                images=self.images,
                services=self.services,
            ),
            DELETE_SERVICE: DeleteService(self._store, self.compute_resources, self._service_logs),
        }
        return Engine(
            self._store,
            self._wake_ups,
            self._clock,
            workflows,
            owner=str(uuid4()),
            limits=Limits(
                attempts={name: plan.attempts for name, plan in self._settings.plans.items()},
                share=max(1, _AT_ONCE // max(1, len(self.accounts))),
            ),
            telemetry=self.telemetry,
        )

    @cached_property
    def _key_ring(self) -> KeyRing:
        return KeyRing(self._settings.secret)

    @cached_property
    def _connection(self) -> StorageConnection:
        return StorageConnection.from_settings(self._settings.storage)

    @cached_property
    def _tables(self) -> TableStore:
        return self._closing(TableStore(self._connection))

    @cached_property
    def _store(self) -> Store:
        kinds: list[type[Event]] = [Event] if self._settings.events is None else [Event, WebhookEvent]
        return AnnouncingStore(self._tables, self._clock, kinds, self.outbox_wake_ups.announce)

    def _queue(self, name: str) -> QueueSender:
        return self._closing(QueueSender(self._connection, name))

    @cached_property
    def _wake_ups(self) -> WakeUps:
        return QueueWakeUps(self._queue(WAKE_UPS), self._queue(BUILDS))

    @cached_property
    def _blobs(self) -> BlobAccount:
        return self._closing(BlobAccount(self._connection))

    @cached_property
    def _logs(self) -> BlobBuildLogs:
        return BlobBuildLogs(self._blobs)

    @cached_property
    def _builder(self) -> ImageBuilder:
        from shared.building import made_builder, made_registries  # noqa: PLC0415  # an HTTP cold start builds nothing

        images, deadline = self._settings.images, self._settings.plans[BUILD_IMAGE].deadline
        registries = made_registries(images, self._opened)
        return made_builder(images, registries, self._blobs, self._clock, deadline=deadline, opened=self._opened)

    @cached_property
    def _specs(self) -> Specs:
        targets = self._settings.compute.targets
        return Specs(self._store, self._key_ring, targets, self._closing(CollectedData(targets.storage, self._clock)))

    @cached_property
    def _service_logs(self) -> BlobServiceLogs:
        return BlobServiceLogs(self._blobs)

    @cached_property
    def _kinds(self) -> KindsOfCompute:
        local = self._settings.compute.local
        node = LocalProcessCompute(local.control_url, local.token, local.front_end) if local else None
        return KindsOfCompute(node, lambda: self._clusters)

    @cached_property
    def _clusters(self) -> Clusters:
        from shared.compute.kubernetes.clusters import KubernetesClusters  # noqa: PLC0415  # a client of clusters is slow
        from shared.compute.kubernetes.names import app_id  # noqa: PLC0415

        return self._closing(KubernetesClusters(self._settings.compute, self._clock, app=app_id(self._settings.secret)))


@cache
def slipway() -> Slipway:
    """This process's Slipway, by the environment; raises SettingError."""
    settings = settings_at_start(os.environ)
    ensure_private(settings.images.scratch)
    return Slipway(settings)
