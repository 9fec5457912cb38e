"""What one container is given, as Kubernetes quantities, and which of them a node can run. Source: api.md; the limits are an
extension."""

from decimal import Decimal

from shared.domain.errors import InvalidRequest
from shared.domain.fields import Quantity, quantity
from shared.domain.wire import Wire

_FIELD = "containerResourceReservation"
_LEAST_CPU, _MOST_CPU = "1m", "10k"
_LEAST_MEMORY, _MOST_MEMORY = "6Mi", "1Pi"
"""No container runtime starts a process in less than 6 MiB."""


class ContainerResourceReservation(Wire):
    """What one container is given: reserved, and at most."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    cpu_limit: Quantity | None = None
    """An extension of api.md: without it processor time is not limited."""
    memory_limit: Quantity | None = None
    """An extension of api.md: without it memory is limited to what is reserved."""

    def check(self) -> None:
        """Raises InvalidRequest, naming the field, for a quantity that no node can run, and for a limit below what is
        reserved."""
        for name, given in (("cpu", self.cpu), ("cpuLimit", self.cpu_limit)):
            _check_range(name, given, _LEAST_CPU, _MOST_CPU)
        for name, given in (("memory", self.memory), ("memoryLimit", self.memory_limit)):
            _check_range(name, given, _LEAST_MEMORY, _MOST_MEMORY)
            _check_whole(name, given)
        _check_order("cpu", self.cpu, self.cpu_limit)
        _check_order("memory", self.memory, self.memory_limit)


def smaller(one: str, other: str) -> str:
    """The smaller one of two quantities."""
    return one if quantity(one) <= quantity(other) else other


def _check_range(name: str, given: str | None, least: str, most: str) -> None:
    if given is not None and not quantity(least) <= quantity(given) <= quantity(most):
        raise InvalidRequest(f"{_FIELD}.{name}: got '{given}'; accepts at least {least} and at most {most}.")


def _check_whole(name: str, given: str | None) -> None:
    if given is not None and quantity(given) % Decimal(1):
        raise InvalidRequest(f"{_FIELD}.{name}: got '{given}'; accepts whole bytes, such as 512Mi.")


def _check_order(name: str, reserved: str | None, limit: str | None) -> None:
    if reserved is not None and limit is not None and quantity(limit) < quantity(reserved):
        raise InvalidRequest(f"{_FIELD}.{name}Limit: got '{limit}'; accepts at least {_FIELD}.{name}, which is {reserved}.")
