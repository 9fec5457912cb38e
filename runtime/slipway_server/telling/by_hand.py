"""`azureml.datacollector`, by which drivers collect data by hand, with the interface of the old SDK (version 0.1.0a13).

It is found where nothing else provides it, whether or not the driver's packages bring an `azureml` of their own.
"""

import math
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any, ClassVar, Protocol

from ..http.messages import CURRENT
from .records import Cell, Collected

_PACKAGE = "azureml"
_MODULE = "azureml.datacollector"
_PLAIN = (str, int, float, bool)
_MISSING = {"NAType", "NaTType"}  # pandas' own
_INFINITE = (math.inf, -math.inf)  # which JSON does not know


class Collection(Protocol):
    """Who takes the rows."""

    def collected(self, record: Collected) -> None:
        """Takes them, or drops them: never waits."""


class ModelDataCollector:
    """Collects rows for one model under one identifier, such as `inputs` or `predictions`."""

    _collection: ClassVar[Collection | None] = None

    def __init__(  # noqa: PLR0917  the interface of the old SDK
        self,
        model_name: str,
        identifier: str = "default",
        feature_names: Sequence[str] | None = None,
        model_management_account_id: str = "unknown",
        webservice_name: str = "unknown",
        model_id: str = "unknown",
        model_version: str = "unknown",
    ) -> None:
        """`feature_names` are the columns of lists and arrays; what follows counts only where the image does not know it."""
        self._names = [str(name) for name in feature_names or ()]
        self._model = str(model_name)
        self._identifier = str(identifier)
        self._account, self._service = str(model_management_account_id), str(webservice_name)
        self._id, self._version = str(model_id), str(model_version)
        if self._collection is None:
            print("Data collection is not enabled. Set AML_MODEL_DC_STORAGE_ENABLED and AML_MODEL_DC_STORAGE.")  # noqa: T201

    def collect(self, input_data: Any, user_correlation_id: str = "") -> None:
        """Collect a row (a list, an array), or rows (a list of lists, an array, a data frame of pandas or Spark)."""
        try:
            self._collect(input_data, str(user_correlation_id))
        except RecursionError:
            warnings.warn("collect failed: the data is nested without measure.", stacklevel=2)

    def _collect(self, data: Any, correlation_id: str) -> None:
        table = _table(data) if self._collection else None
        if table is None or self._collection is None:
            return
        names, rows = table
        request = CURRENT.get()
        trace = (request and request.trace_parent) or ""
        record = Collected(
            at=time.time(),
            request_id=request.id if request else "",
            correlation_id=correlation_id or trace[3:35],
            account=self._account,
            service=self._service,
            model=self._model,
            model_id=self._id,
            model_version=self._version,
            identifier=self._identifier,
            columns=_columns(names or self._names, rows),
            rows=rows,
        )
        self._collection.collected(record)


def _columns(names: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The names, and one for each value that has none."""
    return [*names, *(f"c{number}" for number in range(len(names), max(map(len, rows), default=0)))]


def _table(data: Any) -> tuple[list[str], list[list[Cell]]] | None:
    """The columns' names, where the data has some, and its rows."""
    if hasattr(data, "toPandas"):
        data = data.toPandas()
    if hasattr(data, "itertuples") and hasattr(data, "columns"):
        return [str(name) for name in data.columns], _rows(data.itertuples(index=False, name=None))
    if hasattr(data, "tolist"):
        data = data.tolist()
    if isinstance(data, list):
        return [], _rows(data if data and all(isinstance(row, list | tuple) for row in data) else [data])
    warnings.warn("collect failed: the data is no list, array or data frame.", stacklevel=4)
    return None


def _rows(rows: Iterable[Iterable[Any]]) -> list[list[Cell]]:
    return [[_cell(value) for value in row] for row in rows]


def _cell(value: Any) -> Cell:
    """The value as plain Python; missing is missing, whatever library says so."""
    if type(value) not in _PLAIN and hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    match value:  # it stays nested: fields that are not to be kept are found in there by their names
        case dict():
            return {str(name): _cell(item) for name, item in value.items()}
        case list() | tuple():
            return [_cell(item) for item in value]
    if value is None or type(value).__name__ in _MISSING or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if type(value) in _PLAIN and value not in _INFINITE else str(value)


class _Finder(MetaPathFinder, Loader):
    """Asked last: the driver's own packages come first."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == _MODULE:
            return spec_from_loader(fullname, self)
        return ModuleSpec(fullname, None, is_package=True) if fullname == _PACKAGE else None

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = __doc__
        module.ModelDataCollector = ModelDataCollector  # type: ignore[attr-defined]


def provide(collection: Collection | None) -> None:
    """Make the module importable. Without `collection`, data collection is off, and the collector does nothing."""
    ModelDataCollector._collection = collection  # noqa: SLF001  it is this module's own
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
