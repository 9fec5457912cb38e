"""The port Telemetry over OpenTelemetry, sent by OTLP. Source: the OpenTelemetry specification; W3C Trace Context."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.domain.tracing import trace_parent

_PROPAGATOR = TraceContextTextMapPropagator()


class OtlpTelemetry:
    """Spans and measurements, sent in batches to where OpenTelemetry's own environment variables say."""

    def __init__(self, processor: SpanProcessor | None = None, reader: PeriodicExportingMetricReader | None = None) -> None:
        resource = Resource.create({"service.name": "slipway"})
        traces = TracerProvider(resource=resource)
        traces.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        reader = reader or PeriodicExportingMetricReader(OTLPMetricExporter())
        self._tracer = traces.get_tracer("slipway")
        self._meter = MeterProvider([reader], resource=resource).get_meter("slipway")
        self._counter = cache(self._meter.create_counter)
        self._histogram = cache(self._meter.create_histogram)

    @contextmanager
    def span(self, name: str, parent: str | None, attributes: Mapping[str, str] | None = None) -> Iterator[None]:
        """What happens in the context is one span, below the current one, else below the `traceparent` given."""
        above = trace_parent.get() or parent
        context = _PROPAGATOR.extract({"traceparent": above} if above else {})
        with self._tracer.start_as_current_span(name, context, attributes=dict(attributes or {})) as span:
            here = span.get_span_context()
            flags = f"{int(here.trace_flags):02x}"
            token = trace_parent.set(f"00-{format_trace_id(here.trace_id)}-{format_span_id(here.span_id)}-{flags}")
            try:
                yield
            finally:
                trace_parent.reset(token)

    def count(self, name: str, attributes: Mapping[str, str] | None = None) -> None:
        """One more."""
        counter: Counter = self._counter(name)
        counter.add(1, dict(attributes or {}))

    def measure(self, name: str, value: float, attributes: Mapping[str, str] | None = None) -> None:
        """One measurement, in seconds."""
        histogram: Histogram = self._histogram(name, unit="s")
        histogram.record(value, dict(attributes or {}))
