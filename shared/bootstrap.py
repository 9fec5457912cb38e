"""The only module that joins ports and adapters: what a process needs, made once, when it is first asked for."""

import os
import secrets
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from uuid import uuid4

from shared.compute.directory import ComputeDirectory
from shared.compute.local_process import LocalProcessCompute
from shared.domain.accounts import Account
from shared.domain.errors import NotFound
from shared.domain.ports import BuildLogs, Computes, ImageBuilder, Store, WakeUps
from shared.identity.tokens import TokenVerifier
from shared.images.builder import BuilderSettings, LayoutImageBuilder
from shared.orchestration.build_image import BuildImage
from shared.orchestration.delete_service import DeleteService
from shared.orchestration.deploy_service import DeployService
from shared.orchestration.engine import Engine, Limits
from shared.orchestration.outcome import Workflow
from shared.resources.deployments import Deployments
from shared.resources.images import Images
from shared.resources.keys import KeyRing
from shared.resources.manifests import Manifests
from shared.resources.models import Models
from shared.resources.operations import BUILD_IMAGE, DELETE_SERVICE, DEPLOY_SERVICE, Operations
from shared.resources.paging import SkipTokens
from shared.resources.services import Services
from shared.settings import Settings, read_settings
from shared.storage.blobs import BlobBuildLogs
from shared.storage.connection import StorageConnection
from shared.storage.queues import QueueWakeUps
from shared.storage.tables import TableStore


class SystemClock:
    """The machine's own time and chance."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)

    def random_bits(self, count: int) -> int:
        """That many random bits, from the operating system."""
        return secrets.randbits(count)


class Slipway:
    """The use cases and the engine, over the adapters that the settings choose."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._by_scope = {account.scope: account for account in settings.accounts}

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that are served here."""
        return self._settings.accounts

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
        return Images(self._store, self._clock, operations=self.operations, computes=self._computes, logs=self._logs)

    @cached_property
    def services(self) -> Services:
        """Use cases of services."""
        return Services(
            self._store, self._clock, operations=self.operations, computes=self._computes, key_ring=self._key_ring
        )

    @cached_property
    def deployments(self) -> Deployments:
        """Use cases of deployments."""
        return Deployments(self._store)

    @cached_property
    def operations(self) -> Operations:
        """Use cases of operations."""
        return Operations(self._store, self._wake_ups)

    @cached_property
    def engine(self) -> Engine:
        """What runs operations."""
        workflows: dict[str, Workflow] = {
            BUILD_IMAGE: BuildImage(self._store, self._builder, self._logs),
            DEPLOY_SERVICE: DeployService(self._store, self._clock, self._computes, self._key_ring),
            DELETE_SERVICE: DeleteService(self._store, self._clock, self._computes),
        }
        return Engine(self._store, self._wake_ups, self._clock, workflows, owner=str(uuid4()), limits=Limits())

    @cached_property
    def _key_ring(self) -> KeyRing:
        return KeyRing(self._settings.secret)

    @cached_property
    def _connection(self) -> StorageConnection:
        return StorageConnection.from_settings(self._settings.storage)

    @cached_property
    def _store(self) -> Store:
        return TableStore(self._connection)

    @cached_property
    def _wake_ups(self) -> WakeUps:
        return QueueWakeUps(self._connection)

    @cached_property
    def _logs(self) -> BuildLogs:
        return BlobBuildLogs(self._connection)

    @cached_property
    def _builder(self) -> ImageBuilder:
        images = self._settings.images
        runtime = Path(__file__).parent.parent / "runtime"
        return LayoutImageBuilder(
            BuilderSettings(
                images=images.images,
                cache=images.cache,
                platform=images.platform,
                python=images.python,
                fetch_allow=images.fetch_allow,
                runtime=runtime,
            )
        )

    @cached_property
    def _computes(self) -> Computes:
        local = self._settings.local_compute
        return ComputeDirectory(
            {"local": LocalProcessCompute(local.control_url, local.token, local.front_end)} if local else {}
        )


@cache
def slipway() -> Slipway:
    """This process's Slipway, by the environment; raises SettingError."""
    return Slipway(read_settings(os.environ))
