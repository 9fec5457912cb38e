"""Requests, dependencies, exceptions and log lines as OpenTelemetry, to Azure Monitor by its published exporter."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import batched
from typing import Any, Self

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ..records import Called, Logged, Record, Scored
from .delivery import Away, Refused

# Nothing goes anywhere but to the instance that was named, and its exporter is not governed from elsewhere.
_QUIET = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED",
)
_TOGETHER = 500
_ATTEMPTS = 10  # it does not say whether it ever will take what it did not take
_SEVERITIES = {
    "DEBUG": SeverityNumber.DEBUG,
    "INFO": SeverityNumber.INFO,
    "WARNING": SeverityNumber.WARN,
    "ERROR": SeverityNumber.ERROR,
    "CRITICAL": SeverityNumber.FATAL,
}
_TRACEBACK = "Traceback (most recent call last):\n"
_NAME = re.compile(r"[\w.]+")


@dataclass
class Reports:
    """What goes out together."""

    spans: Sequence[ReadableSpan] = ()
    lines: Sequence[ReadableLogRecord] = ()
    attempts: int = 0

    def __len__(self) -> int:
        """How many."""
        return len(self.spans) + len(self.lines)


class AppInsights:
    """One instance of Application Insights."""

    def __init__(self, spans: SpanExporter, lines: LogRecordExporter, resource: Resource) -> None:
        self._spans = spans
        self._lines = lines
        self._resource = resource

    @classmethod
    def connected(cls, key: str, service: str, version: str) -> Self:
        """By an instrumentation key or a connection string. Raises ValueError when it is neither."""
        os.environ.update(dict.fromkeys(_QUIET, "true"))
        from azure.monitor.opentelemetry.exporter import (  # noqa: PLC0415  it reads the environment
            AzureMonitorLogExporter,
            AzureMonitorTraceExporter,
        )

        text = key.rstrip("; ") if "=" in key else f"InstrumentationKey={key.lower()}"
        options: Mapping[str, Any] = {
            "connection_string": text,
            "disable_offline_storage": True,
            "retry_total": 0,
            "max_envelopes_per_second": 0,
        }
        named = {"service.name": service, "service.version": version, "service.instance.id": os.uname().nodename}
        return cls(AzureMonitorTraceExporter(**options), AzureMonitorLogExporter(**options), Resource(named))

    def parcels(self, records: Iterable[Record]) -> Iterator[Reports]:
        """The records, as OpenTelemetry knows them."""
        spans, lines = list[ReadableSpan](), list[ReadableLogRecord]()
        for record in records:
            match record:
                case Logged():
                    lines.append(self._line(record))
                case Scored() | Called():
                    spans.append(self._span(record))
        yield from (Reports(spans=part) for part in batched(spans, _TOGETHER, strict=False))
        yield from (Reports(lines=part) for part in batched(lines, _TOGETHER, strict=False))

    def send(self, reports: Reports) -> None:
        """Export them. Raises Away and Refused."""
        if reports.spans:
            taken = self._spans.export(reports.spans) is SpanExportResult.SUCCESS
        else:
            taken = self._lines.export(reports.lines) is LogRecordExportResult.SUCCESS
        reports.attempts += 1
        if not taken:
            raise Refused("It took it at no attempt") if reports.attempts == _ATTEMPTS else Away("It did not take it")

    def _span(self, record: Scored | Called) -> ReadableSpan:
        return self._request(record) if isinstance(record, Scored) else self._dependency(record)

    def _request(self, scored: Scored) -> ReadableSpan:
        trace = scored.trace_parent
        return ReadableSpan(
            f"POST {scored.path}",
            context=_of_request(scored),
            parent=_context(trace[3:35], trace[36:52], remote=True) if trace else None,
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR if scored.status >= 500 else StatusCode.UNSET),
            attributes={
                "http.request.method": "POST",
                "http.route": scored.path,
                "http.response.status_code": scored.status,
                "requestId": scored.request_id,
            },
            resource=self._resource,
            start_time=_nanoseconds(scored.began),
            end_time=_nanoseconds(scored.began + scored.seconds),
        )

    def _dependency(self, called: Called) -> ReadableSpan:
        parent = _of_request(called) if called.request_id else None
        trace = f"{parent.trace_id:032x}" if parent else os.urandom(16).hex()
        return ReadableSpan(
            f"{called.method} {called.path}",
            context=_context(trace, os.urandom(8).hex()),
            parent=parent,
            kind=SpanKind.CLIENT,
            status=Status(StatusCode.UNSET if 0 < called.status < 400 else StatusCode.ERROR),
            attributes={
                "http.request.method": called.method,
                "url.full": f"{called.scheme}://{called.host}:{called.port}{called.path}",
                "server.address": called.host,
                "server.port": called.port,
                "http.response.status_code": called.status,
                "requestId": called.request_id,
            },
            resource=self._resource,
            start_time=_nanoseconds(called.began),
            end_time=_nanoseconds(called.began + called.seconds),
        )

    def _line(self, logged: Logged) -> ReadableLogRecord:
        body, attributes = logged.message, {"requestId": logged.request_id}
        if raised := _raised(logged.message):
            name, text = raised
            body = text or name
            attributes |= {
                "exception.type": name,
                "exception.message": body,
                "exception.stacktrace": logged.message,
            }
        context = _of_request(logged) if logged.request_id else None
        record = LogRecord(
            timestamp=_nanoseconds(logged.at),
            trace_id=context.trace_id if context else None,
            span_id=context.span_id if context else None,
            severity_text=logged.level,
            severity_number=_SEVERITIES.get(logged.level, SeverityNumber.INFO),
            body=body,
            attributes=attributes,
        )
        return ReadableLogRecord(record, self._resource)


def _of_request(record: Scored | Called | Logged) -> SpanContext:
    """The span of a request: what belongs to it arrives before it does, so its ids come from what all of that knows."""
    seed = f"{record.request_id} {record.trace_parent}".encode()
    trace = record.trace_parent[3:35] or blake2b(seed, digest_size=16).hexdigest()
    return _context(trace, blake2b(seed, digest_size=8).hexdigest())


def _context(trace: str, span: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def _raised(message: str) -> tuple[str, str] | None:
    """The exception of a traceback in a message: its type, and what it says, from the last line that names one."""
    lines = message.partition(_TRACEBACK)[2].rstrip().split("\n")
    for place in range(len(lines) - 1, 0, -1):
        name, colon, text = lines[place].partition(": ")
        if _NAME.fullmatch(name) and (colon or place == len(lines) - 1):
            return name, "\n".join((text, *lines[place + 1 :])).strip()
    return None
