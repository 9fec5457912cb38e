"""host.json, and the app settings that bindings refer to.

Source: the host.json v2 reference; the storage queue extension's defaults.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.host.refusal import Refused

_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2}):(\d{1,2}(?:\.\d{1,7})?)")
_SETTING = re.compile(r"%([^%]+)%")
_MESSAGE_ENCODINGS = ("base64", "none")
LARGEST_BODY = 100 * 1024 * 1024
MOST_MESSAGES = 32  # what the storage service gives in one call


@dataclass(frozen=True)
class QueueOptions:
    """How queues are listened to; `max_polling` is 2 s here, as it is for the real host in development."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_polling: timedelta = timedelta(seconds=2)
    retry_delay: timedelta = timedelta(0)
    max_dequeue_count: int = 5
    base64: bool = True


@dataclass(frozen=True)
class HostConfig:
    """What this host takes from host.json."""

    route_prefix: str = "api"
    queues: QueueOptions = QueueOptions()


def largest_body(settings: Mapping[str, str]) -> int:
    """Bytes of a request's body, by the app setting that the real host reads, too; raises Refused."""
    text = settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "") or str(LARGEST_BODY)
    if not re.fullmatch("[0-9]{1,12}", text):
        raise Refused(f"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: got {text[:80]!r}; accepts a number of bytes")
    return int(text)


def read(folder: Path) -> HostConfig:
    """The host.json of an app; raises Refused when it is absent or says something impossible."""
    try:
        document = json.loads((folder / "host.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"host.json: cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("version") != "2.0":
        raise Refused('host.json: "version" must be "2.0"')
    http, queues = (_section(document, "extensions", name) for name in ("http", "queues"))
    return HostConfig(str(http.get("routePrefix", "api")).strip("/"), _queue_options(queues))


def _section(document: dict[str, Any], *path: str) -> dict[str, Any]:
    for name in path:
        document = document.get(name, {})
        if not isinstance(document, dict):
            raise Refused(f"host.json: {name!r} must be an object")
    return document


def _queue_options(section: dict[str, Any]) -> QueueOptions:
    batch_size = _number(section, "batchSize", 16, most=MOST_MESSAGES)
    encoding = str(section.get("messageEncoding", "base64")).lower()
    if encoding not in _MESSAGE_ENCODINGS:
        raise Refused(f"host.json: messageEncoding: got {encoding!r}; accepts base64 and none")
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=_number(section, "newBatchThreshold", batch_size // 2 * (os.cpu_count() or 1), least=0),
        max_polling=_time(section, "maxPollingInterval", QueueOptions.max_polling, least=timedelta(milliseconds=100)),
        retry_delay=_time(section, "visibilityTimeout", QueueOptions.retry_delay),
        max_dequeue_count=_number(section, "maxDequeueCount", QueueOptions.max_dequeue_count),
        base64=encoding == "base64",
    )


def _number(section: dict[str, Any], name: str, default: int, *, least: int = 1, most: int = 2**31 - 1) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(f"host.json: {name}: got {value!r}; accepts a whole number from {least} to {most}")
    return value


def _time(section: dict[str, Any], name: str, default: timedelta, *, least: timedelta = timedelta(0)) -> timedelta:
    value = section.get(name)
    if value is None:
        return default
    match = _TIME_SPAN.fullmatch(str(value))
    if match is None:
        raise Refused(f"host.json: {name}: got {value!r}; accepts a time as hh:mm:ss")
    days, hours, minutes, seconds = match.groups()
    span = timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    if span < least:
        raise Refused(f"host.json: {name}: got {value!r}; accepts at least {least}")
    return span


def resolved(text: str, settings: Mapping[str, str], where: str) -> str:
    """The text with each `%NAME%` replaced by the app setting of that name; raises Refused when there is none."""

    def setting(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise Refused(f"{where}: {match[0]} names an app setting that is not set")
        return settings[match[1]]

    return _SETTING.sub(setting, text)


def connection_string(name: str, settings: Mapping[str, str], where: str) -> str:
    """The storage connection a binding names, with or without the prefix `AzureWebJobs`; raises Refused when not set."""
    value = settings.get(f"AzureWebJobs{name}") or settings.get(name)
    if not value:
        raise Refused(f"{where}: the app setting {name!r} that holds its connection string is not set")
    return value
