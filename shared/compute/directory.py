"""Which compute resources there are. Source: client-facts.md, 34."""

from collections.abc import Mapping

from shared.domain.errors import Detail, InvalidRequest, foreign
from shared.domain.ports import Compute


class ComputeDirectory:
    """Compute resources by the last segment of their resource id, compared without regard to case."""

    def __init__(self, computes: Mapping[str, Compute]) -> None:
        self._computes = {name.lower(): compute for name, compute in computes.items()}

    def find(self, resource_id: str, *, field: str) -> Compute:
        """The one of that id; raises InvalidRequest naming the field, and those there are."""
        compute = self._computes.get(resource_id.rpartition("/")[2].lower())
        if compute is None:
            there_are = ", ".join(f"…/operationalizationClusters/{name}" for name in self._computes) or "none"
            message = (
                f"{field}: got '{foreign(resource_id)}', no compute resource of this deployment; there are: {there_are}."
            )
            raise InvalidRequest(message, code="ComputeResourceNotFound", details=[Detail("InvalidReference", message)])
        return compute
