"""The driver: a file with `init()` and `run(body)`, each of them synchronous or not (client-facts.md, 24 and 25)."""

import asyncio
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import logs
from ..http.messages import CURRENT, Request, Response
from ..work.workers import Workers
from . import azure_ml, old_sdk, spark
from .batch import Batch, alone
from .description import described
from .inputs import Call, Run, hints_of, inputs_of
from .outcomes import raised, returned


class DriverFailed(Exception):
    """The driver cannot serve. The cause of this is what its import or its `init` raised, or says that it has no `run`."""


class Driver:
    """A driver that is ready to score. `run_batch` takes a list of what `run` would be given one by one."""

    def __init__(self, run: Run, workers: Workers, folder: Path, run_batch: Run | None = None) -> None:
        self._run = run
        self._run_batch = run_batch
        self._workers = workers
        self._asynchronous = inspect.iscoroutinefunction(run)
        self._takes_headers = old_sdk.takes_headers(run)
        hints = hints_of(run)
        self._inputs = inputs_of(run, hints)
        self._description = described(run, hints, self._inputs, folder)

    @property
    def body_form(self) -> str:
        """What `run` takes, in words."""
        return str(self._inputs)

    @property
    def methods(self) -> tuple[str, ...]:
        """How it may be called."""
        return azure_ml.METHODS if isinstance(self._inputs, azure_ml.RawInput) else ("POST",)

    @property
    def swagger(self) -> bytes | None:
        """What it takes and gives, as a document of Swagger 2.0; None where nothing is known of it."""
        return self._description.swagger

    @property
    def openapi(self) -> bytes | None:
        """The same in OpenAPI 3.1."""
        return self._description.openapi

    @property
    def batched(self) -> bool:
        """Whether it can score several requests at once."""
        return self._run_batch is not None

    def start(self, request: Request) -> asyncio.Future[Response]:
        """Begin to answer. A driver that is asynchronous works in a task, which can be cancelled; any other in a thread."""
        if self._asynchronous:
            return asyncio.Task(self._answer(request), loop=asyncio.get_running_loop(), eager_start=True)
        return self._workers.submit(lambda: self._answer_in_thread(request))

    def start_batch(self, requests: Sequence[Request]) -> asyncio.Future[list[Response]]:
        """Begin to answer several requests by one call of `run_batch`: each gets an answer of its own, in their order.

        What the driver prints meanwhile has the id of the first of them.
        """
        assert self._run_batch is not None  # noqa: S101  whoever calls this has looked at `batched`
        if inspect.iscoroutinefunction(self._run_batch):
            return asyncio.Task(self._answer_batch(requests), loop=asyncio.get_running_loop(), eager_start=True)
        return self._workers.submit(lambda: self._answer_batch_in_thread(requests))

    async def _answer(self, request: Request) -> Response:
        try:
            arguments, named = self._arguments(request)
            return returned(await self._run(*arguments, **named))
        except BaseException as error:  # noqa: BLE001  the driver may raise anything; cancelled, it logs where it was
            return raised(error)
        finally:
            logs.flush()

    def _answer_in_thread(self, request: Request) -> Response:
        try:
            arguments, named = self._arguments(request)
            return returned(_settled(self._run(*arguments, **named)))
        except BaseException as error:  # noqa: BLE001  the driver may raise anything
            return raised(error)
        finally:
            logs.flush()

    async def _answer_batch(self, requests: Sequence[Request]) -> list[Response]:
        CURRENT.set(requests[0])
        batch = Batch(requests, self._inputs)
        try:
            outcome = await self._run_batch(batch.items) if batch.items else []  # type: ignore[misc]
        except BaseException as error:  # noqa: BLE001  the driver may raise anything; cancelled, it logs where it was
            outcome = error
        logs.flush()
        return batch.answers(outcome)

    def _answer_batch_in_thread(self, requests: Sequence[Request]) -> list[Response]:
        CURRENT.set(requests[0])
        batch = Batch(requests, self._inputs)
        try:
            outcome = _settled(self._run_batch(batch.items)) if batch.items else []  # type: ignore[misc]
        except BaseException as error:  # noqa: BLE001  the driver may raise anything
            outcome = error
        logs.flush()
        return batch.answers(outcome)

    def _arguments(self, request: Request) -> Call:
        arguments, named = self._inputs.of(request)
        return (arguments, {**named, "request_headers": request.headers}) if self._takes_headers else (arguments, named)


async def load(file: Path, workers: Workers) -> Driver:
    """Import the driver and run its `init`, off the event loop unless `init` is asynchronous.

    Its models are in its folder, which is what Azure ML's later contract asks AZUREML_MODEL_DIR for. Raises DriverFailed.
    """
    os.environ.setdefault("AZUREML_MODEL_DIR", str(file.parent))
    if os.environ.get("SLIPWAY_SPARK") == "1":
        await _off_the_loop(workers, spark.provide)
    module = await _off_the_loop(workers, lambda: _imported(file))
    init = getattr(module, "init", None)
    if inspect.iscoroutinefunction(init):
        await _initialized(init)
    elif init is not None:
        await _off_the_loop(workers, lambda: _settled(init()))
    return await _off_the_loop(workers, lambda: _ready(module, workers, file.parent))


def _imported(file: Path) -> ModuleType:
    name = file.stem if file.stem not in sys.modules else f"driver_{file.stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(file))  # the file's name may end in anything
    spec = importlib.util.spec_from_loader(name, loader)
    if spec is None:
        raise ImportError(f"{file.name} cannot be imported.")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _ready(module: ModuleType, workers: Workers, folder: Path) -> Driver:
    run_batch = _function(module, "run_batch")
    run = _function(module, "run") or (alone(run_batch) if run_batch else None)
    if run is None:
        raise AttributeError(f"The driver {module.__name__} has no function named run.")
    old_sdk.adapt(module)
    return Driver(run, workers, folder, run_batch)


def _function(module: ModuleType, name: str) -> Run | None:
    function = getattr(module, name, None)
    return function if callable(function) else None


async def _initialized(init: Callable[[], Any]) -> None:
    try:
        await init()
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise DriverFailed from error


async def _off_the_loop[T](workers: Workers, call: Callable[[], T]) -> T:
    def outcome() -> tuple[T | None, BaseException | None]:
        try:
            return call(), None
        except BaseException as error:  # noqa: BLE001  raised again below, where somebody waits for it
            return None, error
        finally:
            logs.flush()

    value, error = await workers.submit(outcome)
    if error is not None:
        raise DriverFailed from error
    return value  # type: ignore[return-value]  # there is a value where there is no error


def _settled(value: Any) -> Any:
    """What a function gave back, awaited when it is a coroutine: a decorator can hide that a function is asynchronous."""
    return asyncio.run(value) if inspect.iscoroutine(value) else value
