"""Rows of collected data, and where each of them belongs (client-facts.md, 31)."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from ..records import Collected, Record, Scored
from ..settings import TellingSettings
from .features import Features, features, without

STANDARD = ("$Timestamp", "$CorrelationId", "$RequestId")
_NO_REQUEST = "00000000-0000-0000-0000-000000000000"
_UNKNOWN = "unknown"
_MAP = "model_config_map.json"
_DAY = 24 * 60 * 60


class Row(NamedTuple):
    """One row: the folder it belongs in, the standard values and the features."""

    folder: str
    standard: tuple[str, str, str]
    features: Features


@dataclass(frozen=True)
class Places:
    """What the image knows of itself, and which data is not kept."""

    account: str
    """`<subscription>/<resource group>/<account>`, or empty."""
    service: str
    models: Mapping[str, tuple[str, str]]
    """The id and the version of each model, by its name."""
    excluded: frozenset[str]

    @classmethod
    def of(cls, folder: Path, settings: TellingSettings) -> Self:
        """Those of the app in that folder. A file that is not there, or not what it should be, says nothing."""
        account, models = "", dict[str, tuple[str, str]]()
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            described = json.loads((folder / _MAP).read_bytes())
            models = {name: (str(of["id"]), str(of["version"])) for name, of in described["models"].items()}
            context = described["accountContext"]
            account = f"{context['subscriptionId']}/{context['resourceGroupName']}/{context['accountName']}"
        return cls(account, settings.service, models, settings.excluded)

    def rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """The rows of those records. JSON that is nested without measure has none."""
        for record in records:
            with suppress(RecursionError):
                yield from list(self._scored(record) if isinstance(record, Scored) else self._collected(record))

    def _scored(self, scored: Scored) -> Iterator[Row]:
        """Its input's and its prediction's, under the first model by name: nothing says to which of several they belong."""
        model = min(self.models, default=_UNKNOWN)
        inputs = features(scored.inputs, self.excluded)
        predictions = features(scored.predictions, self.excluded, inputs=len(inputs))
        standard = (_timestamp(scored.began), scored.trace_parent[3:35], scored.request_id)
        of_model, day = self._of_model(model), _day(scored.began // _DAY)
        for identifier, rows in (("inputs", inputs), ("predictions", predictions)):
            folder = f"{of_model}/{identifier}/{day}"
            for row in rows:
                yield Row(folder, standard, row)

    def _collected(self, record: Any) -> Iterator[Row]:
        collected: Collected = record
        standard = (_timestamp(collected.at), collected.correlation_id, collected.request_id or _NO_REQUEST)
        folder = f"{self._of_model(collected.model, collected)}/{collected.identifier}/{_day(collected.at // _DAY)}"
        for row in collected.rows:
            yield Row(folder, standard, without(collected.columns, row, self.excluded))

    def _of_model(self, name: str, said: Collected | None = None) -> str:
        """The folder of a model; what the driver said counts where the image does not know."""
        account = self.account or (said.account if said else _UNKNOWN)
        service = said.service if said and self.service == _UNKNOWN else self.service
        model = self.models.get(name) or ((said.model_id, said.model_version) if said else (_UNKNOWN, _UNKNOWN))
        return f"{account}/{service}/{model[0]}-{name}-{model[1]}"


def _timestamp(at: float) -> str:
    """The time as the SDK of the time wrote it: UTC, without saying so."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")[:26]


@lru_cache(maxsize=4)
def _day(number: float) -> str:
    return time.strftime("%Y/%m/%d", time.gmtime(number * _DAY))
