"""What compute is asked to run: made of the records of a service, its keys derived anew each time."""

from dataclasses import replace

from shared.domain.accounts import Account
from shared.domain.computing import CollectionGrants, CollectionTargets, ServiceSpec
from shared.domain.images import Image
from shared.domain.ports import Store
from shared.domain.service_settings import ServiceSettings
from shared.domain.services import KeyGenerations, Service
from shared.resources.found import found
from shared.resources.keys import KeyRing


class Specs:
    """Makes them. `targets` is where collected data and telemetry of all services go; for storage they get `grants`."""

    def __init__(self, store: Store, key_ring: KeyRing, targets: CollectionTargets, grants: CollectionGrants) -> None:
        self._store = store
        self._key_ring = key_ring
        self._targets = targets
        self._grants = grants

    async def running(self, account: Account, service: Service) -> ServiceSpec | None:
        """What answers the calls of the service by its record; None when nothing ever did."""
        if service.deployment_id is None:
            return None
        spec = await self.of(account, service, service.deployment_id, service.image, service.settings)
        return replace(spec, answered=True)

    async def of(
        self, account: Account, service: Service, deployment_id: str, image: Image, settings: ServiceSettings
    ) -> ServiceSpec:
        """That deployment of it, of an image that is built."""
        generations = await found(self._store, account, KeyGenerations, service.id)
        return ServiceSpec(
            account=account,
            service_id=service.id,
            service_name=service.name,
            deployment_id=deployment_id,
            image_location=image.image_location or "",
            image_digest=image.image_digest or "",
            settings=settings,
            keys=self._key_ring.keys(account, generations.document),
            targets=await self._used(settings),
        )

    async def _used(self, settings: ServiceSettings) -> CollectionTargets:
        collects = settings.data_collection is not None and settings.data_collection.storage_enabled
        return replace(self._targets, storage=await self._grants.current() if collects else "")
