"""The seam to `azure-functions-runtime` 1.3.0, the published worker: its shapes are known here and nowhere else.

The runtime keeps its state in modules: one app a process.
"""

import itertools
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import azure_functions_runtime as runtime  # type: ignore[import-untyped]
from azure_functions_runtime.bindings.datumdef import Datum  # type: ignore[import-untyped]
from azure_functions_runtime.native_invocation import invocation_request_native  # type: ignore[import-untyped]

from local.host.refusal import Refused

__all__ = ["Datum", "Function", "Outcome", "Target", "Worker", "start"]

_log = logging.getLogger(__name__)

_REFUSALS = ("FunctionLoadError", "SettingError")

type Metadata = Mapping[str, Datum]

_MESSAGES = (
    "WorkerInitResponse",
    "WorkerMetadata",
    "FunctionMetadataResponse",
    "RpcFunctionMetadata",
    "RpcRetryOptions",
    "RpcException",
    "FunctionLoadResponse",
)
# Stands in for the protobuf module, as far as indexing uses it: messages that keep their arguments as attributes.
_PROTOS = SimpleNamespace(
    **{name: type(name, (SimpleNamespace,), {}) for name in _MESSAGES},
    StatusResult=type("StatusResult", (SimpleNamespace,), {"Failure": 0, "Success": 1, "Cancelled": 2}),
    BindingInfo=type(
        "BindingInfo",
        (SimpleNamespace,),
        {"in": 0, "out": 1, "inout": 2, "undefined": 0, "string": 1, "binary": 2, "stream": 3},
    ),
)


@dataclass(frozen=True)
class Function:
    """A function as the runtime indexed it; `bindings` are those of a function.json."""

    name: str
    id: str
    bindings: tuple[Mapping[str, Any], ...]
    retried: bool = False


@dataclass(frozen=True)
class Target:
    """What an invocation goes to: a function, and the parameter that takes the trigger's data."""

    name: str
    id: str
    parameter: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended; `returned` is None for a function without an output."""

    ok: bool
    returned: Datum | None


class Worker:
    """The app, indexed and ready."""

    def __init__(self, functions: tuple[Function, ...]) -> None:
        self.functions = functions
        self._series = str(uuid4())[:24]
        self._count = itertools.count()

    async def invoke(self, target: Target, data: Datum, metadata: Metadata, *, trace_parent: str = "") -> Outcome:
        """Run the function once. What it raises is logged, and told by the outcome."""
        invocation_id = f"{self._series}{next(self._count):012x}"  # a new uuid4 each time is a tenth of a bare call
        inputs = [(target.parameter, data)]
        ok, returned, _, _, trace = await invocation_request_native(
            invocation_id, target.id, inputs, metadata, trace_parent=trace_parent
        )
        if not ok:
            _log.error("%s failed, invocation %s: %s", target.name, invocation_id, trace)
        return Outcome(ok, returned)


async def start(folder: Path) -> Worker:
    """Import and index the app of that folder; raises Refused with the runtime's message when it cannot."""
    if not (folder / "function_app.py").is_file():
        raise Refused(f"{folder}: holds no function_app.py")
    sys.path.insert(0, str(folder))
    logging.getLogger("azure.functions").addFilter(_not_ours_to_repeat)
    runtime.start_threadpool_executor()
    begun = await runtime.worker_init_request(
        _request("worker_init_request", capabilities={}, function_app_directory=str(folder))
    )
    if begun.result.status != _PROTOS.StatusResult.Success:
        raise Refused(_reason(begun.result.exception))
    indexed = await runtime.functions_metadata_request(_request("functions_metadata_request"))
    functions = tuple(_function(metadata) for metadata in indexed.function_metadata_results or ())
    for function in functions:
        await runtime.function_load_request(_request("function_load_request", function_id=function.id))
    if not functions:
        raise Refused("function_app.py: holds no functions")
    return Worker(functions)


def _request(name: str, **fields: object) -> SimpleNamespace:
    return SimpleNamespace(
        request=SimpleNamespace(**{name: SimpleNamespace(**fields)}),
        properties={"host": "127.0.0.1", "protos": _PROTOS},
    )


def _reason(exception: Any) -> str:
    """The runtime's own refusals, and those of settings, say it all; for anything else the app's traceback is what helps."""
    message = str(exception.message)
    return message.removeprefix("SettingError: ") if message.startswith(_REFUSALS) else str(exception.stack_trace)


def _function(metadata: Any) -> Function:
    bindings = tuple(json.loads(text) for text in metadata.raw_bindings)
    return Function(metadata.name, metadata.function_id, bindings, metadata.retry_options is not None)


def _not_ours_to_repeat(record: logging.LogRecord) -> bool:
    """The runtime logs a failed invocation without saying which; `invoke` logs the same with both names."""
    return record.msg != "Native invocation failed"
