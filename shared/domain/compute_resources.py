"""Compute resources: where the services of an account can run, and how a cluster is reached. An extension of api.md;
client-facts.md, 33 and 34."""

import hashlib
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from shared.domain.accounts import Account
from shared.domain.documents import Document, Term
from shared.domain.fields import PREFIX_DESCRIBED, SEGMENT, Described, Matching, Url, any_case
from shared.domain.wire import Timestamp, Wire

_AKS_ID = (
    f"{any_case('/subscriptions/')}{SEGMENT}{any_case('/resourceGroups/')}{SEGMENT}"
    f"{any_case('/providers/Microsoft.ContainerService/managedClusters/')}{SEGMENT}"
)
KUBECONFIG_SETTINGS = "SLIPWAY_KUBECONFIG_"
SERVICE_PATH = "/api/v1/service/{service}"
"""Where services are called, below the address of a front end (client-facts.md, 33)."""
_OF_PATHS = r"([A-Za-z0-9_~-]|\{account\}|\{scope\})"
_PATH = rf"(/\.*{_OF_PATHS}({_OF_PATHS}|\.)*)*/\{{service\}}"
"""No segment is of dots alone."""
_LONGEST_PATH = 120


def _prefix(text: str) -> str:
    if "?" in text or "#" in text:
        raise ValueError("accepts a URL without a query or fragment: paths are put at its end")
    return text


AksId = Annotated[
    str,
    Matching(
        _AKS_ID,
        "/subscriptions/{s}/resourceGroups/{rg}/providers/Microsoft.ContainerService/managedClusters/{name}",
        1024,
    ),
]
ServicePath = Annotated[
    str,
    Matching(
        _PATH,
        "a path such as /{account}/{service}: segments of letters, digits, '.', '_', '~', '-', {account} and "
        f"{{scope}}, the last one {{service}}, at most {_LONGEST_PATH} characters",
        _LONGEST_PATH,
    ),
]
ComputeName = Annotated[
    str, Matching(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}", "1 to 63 letters, digits, '-' and '_', the first a letter or digit")
]
Label = Annotated[
    str, Matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "1 to 63 lower-case letters, digits and '-', as a DNS label")
]
ObjectName = Annotated[
    str,
    Matching(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "1 to 253 lower-case letters, digits, '.' and '-'"),
]
RegistryHost = Annotated[str, Matching(r"[a-z0-9.-]+(:[0-9]{1,5})?", "the host of a registry, such as name.azurecr.io", 261)]
SettingName = Annotated[
    str,
    Matching(KUBECONFIG_SETTINGS + "[A-Z0-9_]{1,64}", f"the name of an app setting, {KUBECONFIG_SETTINGS}…"),
]
SecretName = Annotated[str, Matching("[a-zA-Z0-9-]{1,127}", "the name of a secret in the key vault of the settings")]


class ComputeKind(StrEnum):
    """What a compute resource is."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


class ClusterConnection(Wire):
    """How a cluster is reached: exactly one of these ways. Credentials are named here, and held elsewhere."""

    aks_resource_id: AksId | None = None
    """A managed cluster, by the app's own identity."""
    kubeconfig_setting: SettingName | None = None
    """The app setting that holds a kubeconfig, as YAML or JSON."""
    kubeconfig_secret: SecretName | None = None
    """The secret of the settings' key vault that holds one."""
    in_cluster: bool | None = None
    """The cluster in which the app itself runs, by the service account of its pod."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        ways = [name for name, value in self.__dict__.items() if value not in (None, False)]
        if len(ways) != 1:
            raise ValueError("accepts exactly one of aksResourceId, kubeconfigSetting, kubeconfigSecret and inCluster")
        return self


class ClusterRegistry(Wire):
    """Where the cluster pulls images from, and the secret in its namespace to do so with, if it needs one."""

    host: RegistryHost
    pull_secret: ObjectName | None = None


class FrontEndKind(StrEnum):
    """What routes calls to services."""

    INGRESS = "ingress"
    GATEWAY = "gateway"


class FrontEnd(Wire):
    """Where services are called: the address that callers use, and what routes it."""

    address: Annotated[Url, AfterValidator(_prefix), Described(pattern=PREFIX_DESCRIBED)]
    kind: FrontEndKind = FrontEndKind.INGRESS
    ingress_class: ObjectName | None = None
    """Of an ingress; absent is the cluster's default class."""
    tls_secret: ObjectName | None = None
    """Of an ingress: the certificate, in the namespace."""
    gateway: ObjectName | None = None
    """Of a gateway: the name of the Gateway that routes attach to."""
    gateway_namespace: Label | None = None
    path: ServicePath | None = None
    """Below the address, where `SERVICE_PATH` does not do: `{service}` stands for a service's name, `{account}` for that of
    its account, `{scope}` for eight digits of its subscription and resource group."""
    claim_namespace: Label | None = None
    """Where it is kept who has which path, when services of several namespaces share this front end; else their own."""

    def service_path(self, account: Account, service_name: str) -> str:
        """The path below which that service is called."""
        template = self.path or SERVICE_PATH
        return template.format(account=_segment(account.name), scope=_scope(account), service=service_name)

    def service_uri(self, account: Account, service_name: str) -> str:
        """The address below which that service is called, without a slash at its end."""
        return f"{self.address.rstrip('/')}{self.service_path(account, service_name)}"

    @model_validator(mode="after")
    def _gateway_named(self) -> Self:
        if (self.kind is FrontEndKind.GATEWAY) != (self.gateway is not None):
            raise ValueError("accepts gateway with kind gateway, and only then")
        return self


class ScalerKind(StrEnum):
    """What scales services: the cluster's own autoscaler, or KEDA."""

    HPA = "hpa"
    KEDA = "keda"


class ScalingMetric(StrEnum):
    """What is scaled on: the busy share of request slots (client-facts.md, 12), or processor time for want of it."""

    SLOTS = "slots"
    CPU = "cpu"


class Scaling(Wire):
    """How the number of replicas follows the load."""

    signed: ClassVar[frozenset[str]] = frozenset({"prometheus_address"})

    kind: ScalerKind = ScalerKind.HPA
    metric: ScalingMetric | None = None
    """Found out when the resource is put: slots where the cluster serves custom metrics, or KEDA reads them."""
    prometheus_address: Url | None = None
    """Of keda: where it asks how many calls there are while a service has no replica, which minReplicas 0 needs."""
    activation_query: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    """Of keda: the PromQL of that question; `{service}` in it stands for the service's name."""

    @model_validator(mode="after")
    def _activation(self) -> Self:
        given = (self.prometheus_address is not None, self.activation_query is not None)
        if given[0] != given[1] or (given[0] and self.kind is not ScalerKind.KEDA):
            raise ValueError("accepts prometheusAddress and activationQuery together, with kind keda")
        return self

    @property
    def from_zero(self) -> bool:
        """Whether a service without a replica gets one when it is called."""
        return self.activation_query is not None


class ClusterSettings(Wire):
    """A cluster, and how services run in it."""

    connection: ClusterConnection
    namespace: Label = "slipway"
    registry: ClusterRegistry | None = None
    front_end: FrontEnd
    scaling: Scaling = Scaling()


class ComputeResourceRequest(Wire):
    """What a caller says of a compute resource; `cluster` is of kind kubernetes only."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "name", "createdAt", "updatedAt"})

    kind: ComputeKind
    cluster: ClusterSettings | None = None

    @model_validator(mode="after")
    def _cluster_described(self) -> Self:
        if (self.kind is ComputeKind.KUBERNETES) != (self.cluster is not None):
            raise ValueError("accepts cluster with kind kubernetes, and only then")
        return self


class ComputeResourceName(Wire):
    """The name in a path."""

    name: ComputeName


class ComputeResourceResponse(ComputeResourceRequest):
    """A compute resource as its callers see it; `id` is what services name it by (client-facts.md, 34)."""

    id: str
    name: str
    created_at: Timestamp
    updated_at: Timestamp


class ComputeResourceRecord(Document):
    """A compute resource of an account, as it is kept."""

    kind: ClassVar[str] = "compute"
    narrowest: ClassVar[tuple[str, ...]] = ("name",)

    name: ComputeName
    created_at: Timestamp
    updated_at: Timestamp
    settings: ComputeResourceRequest

    def terms(self) -> Iterator[Term]:
        yield {"name": self.name.lower()}

    def shown(self, account: Account) -> ComputeResourceResponse:
        """It as its callers see it."""
        return ComputeResourceResponse(
            **self.settings.__dict__,
            id=compute_resource_id(account, self.name),
            name=self.name,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


def _segment(name: str) -> str:
    """An account's name as a segment of a path: names are compared without regard to case, and may hold anything."""
    plain = re.sub(r"[^a-z0-9_-]", "-", name.lower())[:63]
    return plain if plain and plain == name.lower() else f"{plain}-{_digits(name.lower())}"


def _scope(account: Account) -> str:
    return _digits(f"{account.subscription}/{account.resource_group}".lower())


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def compute_resource_id(account: Account, name: str) -> str:
    """The id that a service of the account names that compute resource by (client-facts.md, 34)."""
    return (
        f"/subscriptions/{account.subscription}/resourcegroups/{account.resource_group}"
        f"/providers/Microsoft.MachineLearningCompute/operationalizationClusters/{name}"
    )


def compute_name(resource_id: str) -> str:
    """The name in such an id, by which it is known without regard to case."""
    return resource_id.rpartition("/")[2].lower()
