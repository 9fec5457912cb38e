"""Connection strings of Azure's services, by their form. What they hold is secret, and never shown."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared.settings.environment import Form

_DEVELOPMENT = "UseDevelopmentStorage=true"
_ACCOUNT = re.compile(r"[a-z0-9]{1,24}")
_ENDPOINTS = ("BlobEndpoint", "QueueEndpoint", "TableEndpoint")
_INSTRUMENTATION_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def parts_of(text: str) -> Mapping[str, str]:
    """The parts of a connection string by name; raises ValueError when it is none."""
    parts = [part.partition("=") for part in text.split(";") if part.strip()]
    if not parts or not all(name.strip() and equals for name, equals, _ in parts):
        raise ValueError
    return {name.strip(): value.strip() for name, _, value in parts}


def _storage_account(text: str) -> str:
    return _storage(text, signed=False)


def _storage_or_signature(text: str) -> str:
    return _storage(text, signed=True)


def _storage(text: str, *, signed: bool) -> str:
    parts = parts_of(text)
    if text.rstrip("; ") == _DEVELOPMENT:
        return text
    if parts.get("DefaultEndpointsProtocol", "https") not in ("http", "https"):
        raise ValueError
    for name in _ENDPOINTS:
        if name in parts and not _is_address(parts[name]):
            raise ValueError
    if signed and parts.get("SharedAccessSignature") and parts.get("BlobEndpoint"):
        return text
    key = base64.b64decode(parts.get("AccountKey", ""), validate=True)
    if not key or not _ACCOUNT.fullmatch(parts.get("AccountName", "")):
        raise ValueError
    return text


def _storage_name(text: str) -> str:
    """As a connection string that has no more to say."""
    if not _ACCOUNT.fullmatch(text):
        raise ValueError
    return f"AccountName={text}"


def _is_address(text: str) -> bool:
    return urlsplit(text).scheme in ("http", "https") and bool(urlsplit(text).hostname)


def _event_hub(text: str) -> str:
    parts = parts_of(text)
    signed = "SharedAccessSignature" in parts or {"SharedAccessKeyName", "SharedAccessKey"} <= parts.keys()
    endpoint = urlsplit(parts.get("Endpoint", ""))
    if endpoint.scheme != "sb" or not endpoint.hostname or not signed or not parts.get("EntityPath"):
        raise ValueError
    return text


def _app_insights(text: str) -> str:
    key = text if "=" not in text else parts_of(text).get("InstrumentationKey", "")
    endpoint = "https://x" if "=" not in text else parts_of(text).get("IngestionEndpoint", "https://x")
    if not _INSTRUMENTATION_KEY.fullmatch(key) or not _is_address(endpoint):
        raise ValueError
    return text


STORAGE_NAME = Form("the name of a storage account, which the app's identity is let into", _storage_name)
STORAGE_ACCOUNT = Form("a storage account's connection string, with AccountName and AccountKey", _storage_account)
STORAGE = Form("a storage account's connection string, with AccountKey or SharedAccessSignature", _storage_or_signature)
EVENT_HUB = Form("an event hub's connection string, with Endpoint=sb://…, a shared access key and EntityPath", _event_hub)
APP_INSIGHTS = Form("an Application Insights connection string, or its instrumentation key, a UUID", _app_insights)
