"""How the storage account is reached: by a connection string, or by name and the app's managed identity.

Source: the Functions host's own settings, `AzureWebJobsStorage` and `AzureWebJobsStorage__accountName`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.identity.aio import DefaultAzureCredential

_SETTING = "AzureWebJobsStorage"
_DEVELOPMENT = (
    "AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1"
)
"""The emulator on its usual ports, with its published key."""
_CONNECTIONS = 64
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
"""Twice what a storage service allows itself; the transport's own five minutes would hang a caller."""
_IDLE_SECONDS = 4.0
"""Below the five seconds after which Azurite closes an idle connection."""

RETRIES: dict[str, Any] = {"retry_total": 2, "initial_backoff": 1, "increment_base": 1, "random_jitter_range": 1}
"""For queues and blobs: the SDK's own defaults keep a caller waiting for more than a minute while storage is away."""


class StorageSettingError(Exception):
    """The storage settings are missing or malformed; the message names them and holds no key."""


@dataclass(frozen=True)
class StorageConnection:
    """A storage account: the address of each service, and the account's key, None for the managed identity."""

    account: str
    table: str
    queue: str
    blob: str
    key: str | None = field(repr=False)

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> "StorageConnection":
        """The account that the Functions host's settings name; raises StorageSettingError."""
        if settings.get(_SETTING):
            return cls._from_text(settings[_SETTING])
        name = settings.get(f"{_SETTING}__accountName")
        if not name:
            raise StorageSettingError(f"Neither {_SETTING} nor {_SETTING}__accountName is set.")
        table, queue, blob = (f"https://{name}.{service}.core.windows.net" for service in ("table", "queue", "blob"))
        return cls(name, table, queue, blob, None)

    @classmethod
    def for_collection(cls, text: str) -> "StorageConnection":
        """The account that collected data goes to; with a name and no key it is reached by the managed identity."""
        parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
        if parts.keys() == {"AccountName"}:
            return cls.from_settings({f"{_SETTING}__accountName": parts["AccountName"]})
        return cls._from_text(text, "SLIPWAY_COLLECTION_STORAGE")

    @classmethod
    def _from_text(cls, text: str, setting: str = _SETTING) -> "StorageConnection":
        text = _DEVELOPMENT if text.strip().rstrip(";") == "UseDevelopmentStorage=true" else text
        parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
        name, key = parts.get("AccountName"), parts.get("AccountKey")
        if not name or not key:
            raise StorageSettingError(f"{setting} accepts a connection string with AccountName and AccountKey.")
        suffix = parts.get("EndpointSuffix", "core.windows.net")
        scheme = parts.get("DefaultEndpointsProtocol", "https")

        def endpoint(service: str) -> str:
            return parts.get(f"{service.capitalize()}Endpoint", f"{scheme}://{name}.{service}.{suffix}").rstrip("/")

        return cls(name, endpoint("table"), endpoint("queue"), endpoint("blob"), key)

    def credential(self) -> "AzureNamedKeyCredential | DefaultAzureCredential":
        """What the SDK's clients sign with."""
        if self.key is not None:
            from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415  # each costs a cold start

            return AzureNamedKeyCredential(self.account, self.key)
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415

        return DefaultAzureCredential()


def transport() -> Any:
    """An HTTP transport for one client, with room for many calls at once; made inside the running event loop."""
    import aiohttp  # noqa: PLC0415
    from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415

    connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS)
    session = aiohttp.ClientSession(connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
    return AioHttpTransport(session=session, connection_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS)
