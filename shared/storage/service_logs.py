"""The logs of replicas that are gone: one blob a service, what its failed deployment printed."""

from collections.abc import Sequence

from azure.core.exceptions import ResourceNotFoundError

from shared.domain.accounts import Account
from shared.domain.computing import ReplicaLog
from shared.domain.wire import Wire
from shared.storage.blobs import BlobAccount
from shared.storage.failures import translated

CONTAINER = "service-logs"


class _Kept(Wire):
    replica: str
    run: str
    lines: tuple[str, ...]


class _KeptLogs(Wire):
    logs: tuple[_Kept, ...]


class BlobServiceLogs:
    """The port ServiceLogs, `service-logs/{account}/{service id}.json`."""

    def __init__(self, blobs: BlobAccount) -> None:
        self._blobs = blobs

    async def keep(self, account: Account, service_id: str, logs: Sequence[ReplicaLog]) -> None:
        """Keep those in the place of what was kept for that service."""
        kept = tuple(_Kept(replica=log.replica, run=log.run, lines=log.lines) for log in logs)
        blob = await self._blobs.blob(CONTAINER, _name(account, service_id))
        with translated("keep logs"):
            await blob.upload_blob(_KeptLogs(logs=kept).json_text().encode(), overwrite=True)

    async def kept(self, account: Account, service_id: str) -> Sequence[ReplicaLog]:
        """What is kept for it."""
        blob = await self._blobs.blob(CONTAINER, _name(account, service_id))
        with translated("read kept logs"):
            try:
                text = await (await blob.download_blob()).readall()
            except ResourceNotFoundError:
                return ()
        return [ReplicaLog(log.replica, log.run, log.lines) for log in _KeptLogs.from_stored(text).logs]

    async def remove(self, account: Account, service_id: str) -> None:
        """Nothing is kept for it any more."""
        await self._blobs.remove(CONTAINER, _name(account, service_id))


def _name(account: Account, service_id: str) -> str:
    return f"{account.scope}/{service_id}.json"
