"""How a service runs: replicas, scaling, resources, what is collected, its environment; and what PUT makes of them.

Source: api.md; client-facts.md, 12–14. The environment is an extension.
"""

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator

from shared.domain.errors import InvalidRequest
from shared.domain.fields import INTEGER, ComputeResourceId, Described, any_case, whole
from shared.domain.reservations import ContainerResourceReservation
from shared.domain.wire import Wire

MOST_REPLICAS = 1000

Replicas = Annotated[int, Field(ge=0, le=MOST_REPLICAS), INTEGER]
AtLeastOne = Annotated[int, Field(ge=1, le=MOST_REPLICAS), INTEGER]


OF_THE_SERVER = frozenset(
    {
        "SLIPWAY_BATCH_MILLISECONDS",
        "SLIPWAY_BATCH_SIZE",
        "SLIPWAY_COLLECTION_EXCLUDE",
        "SLIPWAY_COLLECTION_SAMPLING",
        "SLIPWAY_COLLECTION_SECONDS",
        "SLIPWAY_MAX_BODY",
        "SLIPWAY_MAX_WAITING",
        "SLIPWAY_PROCESSES",
        "SLIPWAY_REQUEST_TIMEOUT",
    }
)
"""Variables of the scoring server that a service may set; the others say how it is run."""
_RESERVED = ("SLIPWAY_", "AML_", "SERVICE_", "KUBERNETES_")
_MOST_VARIABLES, _MOST_CHARACTERS = 64, 8192
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]{0,127}"
_VARIABLES_DESCRIBED = Described(
    maxProperties=_MOST_VARIABLES,
    propertyNames={
        "pattern": whole(_VARIABLE),
        "anyOf": [
            {"enum": sorted(OF_THE_SERVER)},
            {"not": {"pattern": f"^({'|'.join(map(any_case, _RESERVED))})"}},
        ],
    },
    additionalProperties={
        "anyOf": [{"type": "string", "maxLength": _MOST_CHARACTERS, "pattern": r"^[^\u0000]*$"}, {"type": "null"}]
    },
)


def _environment(variables: dict[str, str]) -> dict[str, str]:
    if len(variables) > _MOST_VARIABLES or sum(map(len, variables.values())) > _MOST_CHARACTERS:
        raise ValueError(f"accepts at most {_MOST_VARIABLES} variables, {_MOST_CHARACTERS} characters in all")
    for name, value in variables.items():
        if not re.fullmatch(_VARIABLE, name) or "\0" in value:
            raise ValueError("accepts names of letters, digits and '_', and values without the character zero")
        if name.upper().startswith(_RESERVED) and name not in OF_THE_SERVER:
            raise ValueError(
                f"accepts no names that begin with {', '.join(_RESERVED)}, but {', '.join(sorted(OF_THE_SERVER))}"
            )
    return variables


Environment = Annotated[dict[str, str], AfterValidator(_environment), _VARIABLES_DESCRIBED]


class ComputeType(StrEnum):
    """What kind of compute resource a service runs on."""

    CLUSTER = "Cluster"


class ComputeResource(Wire):
    """Where a service runs."""

    id: ComputeResourceId
    type: ComputeType | None = None


class AutoScaler(Wire):
    """How many replicas there are: utilization is the busy share of their request slots, in percent."""

    read_only: ClassVar[frozenset[str]] = frozenset({"state", "error"})

    autoscale_enabled: bool | None = None
    min_replicas: Replicas | None = None
    max_replicas: AtLeastOne | None = None
    target_utilization: Annotated[int, Field(ge=0, le=100), INTEGER] | None = None
    refresh_period_in_seconds: Annotated[int, Field(ge=1, le=86400), INTEGER] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, given: object) -> object:
        return (
            {name: value for name, value in given.items() if name not in cls.read_only} if isinstance(given, dict) else given
        )


class ModelDataCollection(Wire):
    """Whether inputs and predictions are kept, and where."""

    storage_enabled: bool | None = None
    event_hub_enabled: bool | None = None


class ServiceSettings(Wire):
    """How a service runs: what a create gives and an update changes."""

    num_replicas: Replicas | None = None
    auto_scaler: AutoScaler | None = None
    container_resource_reservation: ContainerResourceReservation | None = None
    max_concurrent_requests_per_container: AtLeastOne | None = None
    app_insights_enabled: bool | None = None
    data_collection: ModelDataCollection | None = None
    environment_variables: Environment | None = None
    """What drivers and the scoring server find in their environment, an extension of api.md. No place for secrets: it is
    shown. In an update, a variable with an empty value goes."""

    def settings(self) -> "ServiceSettings":
        """The settings alone, of a request that says more."""
        return ServiceSettings(**{name: getattr(self, name) for name in ServiceSettings.model_fields})

    def settled(self) -> "ServiceSettings":
        """The same with the defaults of client-facts.md, 12 to 14, filled in.

        Raises InvalidRequest when replicas are both counted and scaled, bounds cross, or no node can run what is reserved.
        """
        settled = self.filled()
        if self.container_resource_reservation is not None:
            self.container_resource_reservation.check()
        return settled

    def filled(self) -> "ServiceSettings":
        """The same with those defaults, of settings that were settled before: what is reserved may be what another version
        of this app took."""
        scaler = self.auto_scaler or AutoScaler()
        enabled = scaler.autoscale_enabled
        if enabled is None:
            enabled = self.num_replicas is None
        if enabled and self.num_replicas is not None:
            raise InvalidRequest(
                f"numReplicas: got {self.num_replicas} while autoScaler.autoscaleEnabled is true; accepts a number only "
                "when the autoscaler is off. Send autoScaler.autoscaleEnabled false with it, or leave numReplicas out."
            )
        filled = scaler.but(
            autoscale_enabled=enabled,
            min_replicas=1 if scaler.min_replicas is None else scaler.min_replicas,
            max_replicas=10 if scaler.max_replicas is None else scaler.max_replicas,
            target_utilization=70 if scaler.target_utilization is None else scaler.target_utilization,
            refresh_period_in_seconds=scaler.refresh_period_in_seconds or 1,
        )
        _refuse_crossed_bounds(filled)
        count = None if enabled else 1 if self.num_replicas is None else self.num_replicas
        slots = self.max_concurrent_requests_per_container or DEFAULT_CONCURRENCY
        return self.but(num_replicas=count, auto_scaler=filled, max_concurrent_requests_per_container=slots)

    def merged(self, update: "ServiceSettings") -> "ServiceSettings":
        """These settings with an update's laid over them, nested objects included, and settled.

        Turning the autoscaler on drops the count that it takes over. Raises InvalidRequest as `settled` does.
        """
        laid = {name: _laid_over(getattr(self, name), getattr(update, name)) for name in ServiceSettings.model_fields}
        if update.auto_scaler and update.auto_scaler.autoscale_enabled and update.num_replicas is None:
            laid["num_replicas"] = None
        return self.but(**laid).settled()


DEFAULT_CONCURRENCY = 10


def _refuse_crossed_bounds(scaler: AutoScaler) -> None:
    low, high = scaler.min_replicas, scaler.max_replicas
    if low is not None and high is not None and high < low:
        raise InvalidRequest(f"autoScaler.maxReplicas: got {high}; accepts at least autoScaler.minReplicas, which is {low}.")


def _laid_over(old: object, new: object) -> object:
    if isinstance(old, Wire) and isinstance(new, Wire):
        return old.but(**{name: value for name, value in new.__dict__.items() if value is not None})
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: value for name, value in {**old, **new}.items() if value}
    return old if new is None else new
