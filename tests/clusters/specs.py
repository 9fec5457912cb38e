"""Services and clusters to render: some telling ones, and any that there can be."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from shared.domain.accounts import Account
from shared.domain.compute_resources import (
    ClusterConnection,
    ClusterRegistry,
    ClusterSettings,
    FrontEnd,
    FrontEndKind,
    ScalerKind,
    Scaling,
    ScalingMetric,
)
from shared.domain.computing import CollectionTargets, ServiceSpec
from shared.domain.reservations import ContainerResourceReservation
from shared.domain.service_settings import AutoScaler, ModelDataCollection, ServiceSettings
from shared.domain.services import AuthKeys
from shared.domain.wire import Wire

SERVICE_ID = "6f1c2a0e-4f0b-4e34-9a52-2f3d6f0c9b11"
CONNECTION = ClusterConnection(in_cluster=True)
CLUSTER = ClusterSettings(connection=CONNECTION, front_end=FrontEnd(address="https://models.example.com"))
SPEC = ServiceSpec(
    account=Account("e8b2", "group", "account"),
    service_id=SERVICE_ID,
    service_name="fraud.v2",
    deployment_id="0d3f3a52-93a4-4a0f-8ad9-5f0c36f3a1de",
    image_location="registry.example.com:5000/models/fraud:7",
    image_digest="sha256:" + "ab" * 32,
    settings=ServiceSettings(num_replicas=2),
    keys=AuthKeys(primary_key="first", secondary_key="second"),
)


@dataclass(frozen=True)
class Case:
    """What is rendered."""

    spec: ServiceSpec = SPEC
    cluster: ClusterSettings = CLUSTER
    replicas: int = 2
    awake: bool = False


def _scaling(**scaling: object) -> ClusterSettings:
    return CLUSTER.but(scaling=Scaling.model_validate(scaling))


_SCALED = replace(
    SPEC,
    settings=ServiceSettings(
        auto_scaler=AutoScaler(min_replicas=2, max_replicas=8, target_utilization=70, refresh_period_in_seconds=5),
        container_resource_reservation=ContainerResourceReservation(cpu="1", memory="2Gi"),
    ),
)
_FROM_ZERO = replace(SPEC, settings=ServiceSettings(auto_scaler=AutoScaler(min_replicas=0)))
_COLLECTING = replace(
    SPEC,
    settings=ServiceSettings(
        num_replicas=1,
        app_insights_enabled=True,
        data_collection=ModelDataCollection(storage_enabled=True, event_hub_enabled=True),
        max_concurrent_requests_per_container=4,
    ),
    targets=CollectionTargets(storage="AccountName=a", app_insights="InstrumentationKey=b"),
)

CASES = {
    "minimal": Case(),
    "hpa-slots": Case(_SCALED, _scaling(kind=ScalerKind.HPA, metric=ScalingMetric.SLOTS)),
    "hpa-cpu": Case(_SCALED, _scaling(kind=ScalerKind.HPA, metric=ScalingMetric.CPU)),
    "keda-from-zero": Case(
        _FROM_ZERO,
        _scaling(
            kind=ScalerKind.KEDA,
            metric=ScalingMetric.SLOTS,
            prometheus_address="http://prometheus.monitoring:9090",
            activation_query='sum(rate(ingress_requests{service="{service}"}[1m]))',
        ),
        replicas=1,
    ),
    "gateway": Case(
        cluster=CLUSTER.but(
            front_end=FrontEnd(
                address="http://20.1.2.3", kind=FrontEndKind.GATEWAY, gateway="public", gateway_namespace="gateways"
            )
        )
    ),
    "tls-pull-secret-collection": Case(
        _COLLECTING,
        CLUSTER.but(
            registry=ClusterRegistry(host="mirror.example.com", pull_secret="pull"),
            front_end=FrontEnd(address="https://models.example.com", ingress_class="nginx", tls_secret="certificate"),
        ),
        replicas=1,
    ),
    "limited": Case(
        replace(
            SPEC,
            settings=ServiceSettings(
                num_replicas=2,
                container_resource_reservation=ContainerResourceReservation(cpu="500m", cpu_limit="2", memory_limit="256Mi"),
                environment_variables={"GREETING": "hello \U0001f600", "PATTERN": "^a$$"},
            ),
        )
    ),
    "parked": Case(replace(SPEC, settings=ServiceSettings(num_replicas=0)), replicas=0),
}


def _wire[T: Wire](kind: type[T], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    return st.fixed_dictionaries(fields).map(lambda drawn: kind(**drawn))


_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_labels = st.text(_LETTERS, min_size=1, max_size=63)
_names = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(_LETTERS),
    st.text(_LETTERS + ".-", min_size=1, max_size=30),
    st.sampled_from(_LETTERS),
)
_tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)
_cpu = st.from_regex(r"[1-9][0-9]{0,2}(\.5|m|e1|E-1)?", fullmatch=True)
_memory = st.from_regex(r"[1-9][0-9]{1,2}(\.5)?(Mi|Gi|M|G|e6|E9)", fullmatch=True)
_variables = st.dictionaries(
    st.from_regex("[A-Z][A-Z0-9_]{0,20}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200),
    max_size=5,
)
_optional_flags = st.none() | st.booleans()
_reservations = _wire(ContainerResourceReservation, cpu=st.none() | _cpu, memory=st.none() | _memory)
_collections = _wire(ModelDataCollection, storage_enabled=_optional_flags, event_hub_enabled=_optional_flags)


@st.composite
def _settings(draw: st.DrawFn) -> ServiceSettings:
    lowest = draw(st.integers(0, 50))
    scaler = _wire(
        AutoScaler,
        autoscale_enabled=st.just(True),
        min_replicas=st.just(lowest),
        max_replicas=st.integers(max(lowest, 1), 1000),
        target_utilization=st.integers(0, 100),
        refresh_period_in_seconds=st.integers(1, 86400),
    )
    scaled = draw(st.booleans())
    return ServiceSettings(
        num_replicas=None if scaled else draw(st.integers(0, 1000)),
        auto_scaler=draw(scaler) if scaled else None,
        container_resource_reservation=draw(st.none() | _reservations),
        max_concurrent_requests_per_container=draw(st.none() | st.integers(1, 1000)),
        app_insights_enabled=draw(_optional_flags),
        data_collection=draw(st.none() | _collections),
        environment_variables=draw(st.none() | _variables),
    )


specs = st.builds(
    ServiceSpec,
    account=st.builds(Account, st.text(), st.text(), st.text()),
    service_id=st.uuids().map(str),
    service_name=_names,
    deployment_id=st.uuids().map(str),
    image_location=st.builds("{}/{}:{}".format, st.sampled_from(["r.io", "r.io:5000", "10.0.0.1:5000"]), _labels, _tags),
    image_digest=st.binary(min_size=32, max_size=32).map(lambda digest: f"sha256:{digest.hex()}"),
    settings=_settings(),
    keys=_wire(AuthKeys, primary_key=st.text(min_size=1), secondary_key=st.text(min_size=1)),
    targets=st.builds(CollectionTargets, st.text(), st.text(), st.text()),
)
_addresses = st.builds(
    "{}://{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a.example.com", "Models.Example.COM:8443", "20.1.2.3", "[2001:db8::1]:8080", "under_score.com", "h."]),
)
_paths = st.sampled_from([None, "/{service}", "/{account}/{service}", "/v2.1/{scope}-{account}/x/{service}"])
_front_ends = _wire(
    FrontEnd, address=_addresses, ingress_class=st.none() | _labels, tls_secret=st.none() | _labels, path=_paths
) | _wire(
    FrontEnd,
    address=_addresses,
    path=_paths,
    kind=st.just(FrontEndKind.GATEWAY),
    gateway=_labels,
    gateway_namespace=st.none() | _labels,
)
_scalings = _wire(Scaling, kind=st.sampled_from(ScalerKind), metric=st.none() | st.sampled_from(ScalingMetric)) | _wire(
    Scaling,
    kind=st.just(ScalerKind.KEDA),
    prometheus_address=st.just("http://prometheus:9090"),
    activation_query=st.text(min_size=1),
)
clusters = _wire(
    ClusterSettings,
    connection=st.just(CONNECTION),
    namespace=_labels,
    registry=st.none() | _wire(ClusterRegistry, host=st.just("mirror.io"), pull_secret=st.none() | _labels),
    front_end=_front_ends,
    scaling=_scalings,
)
