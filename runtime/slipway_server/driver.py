"""The driver: a file with `init()` and `run(body)`, each of them synchronous or not (client-facts.md, 24 and 25)."""

import asyncio
import importlib.machinery
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from . import logs, old_sdk
from .body import BodyForm, form_for
from .encoding import encode
from .messages import Request, Response, failure
from .workers import Workers


class DriverFailed(Exception):
    """The driver cannot serve. The cause of this is what its import or its `init` raised, or says that it has no `run`."""


class Driver:
    """A driver that is ready to score."""

    def __init__(self, run: Callable[..., Any], workers: Workers) -> None:
        self._run = run
        self._workers = workers
        self._asynchronous = inspect.iscoroutinefunction(run)
        self._takes_headers = old_sdk.takes_headers(run)
        self.body_form = form_for(run)

    def start(self, request: Request) -> asyncio.Future[Response]:
        """Begin to answer. A driver that is asynchronous works in a task, which can be cancelled; any other in a thread."""
        if self._asynchronous:
            return asyncio.Task(self._answer(request), loop=asyncio.get_running_loop(), eager_start=True)
        return self._workers.submit(lambda: self._answer_in_thread(request))

    async def _answer(self, request: Request) -> Response:
        try:
            arguments, named = self._arguments(request)
            return Response(200, encode(await self._run(*arguments, **named)))
        except BaseException as error:  # noqa: BLE001  the driver may raise anything; cancelled, it logs where it was
            return _answer_to(error)
        finally:
            logs.flush()

    def _answer_in_thread(self, request: Request) -> Response:
        try:
            arguments, named = self._arguments(request)
            return Response(200, encode(_settled(self._run(*arguments, **named))))
        except BaseException as error:  # noqa: BLE001  the driver may raise anything
            return _answer_to(error)
        finally:
            logs.flush()

    def _arguments(self, request: Request) -> tuple[list[Any], dict[str, Any]]:
        try:
            body = self.body_form.of(request.body)
        except (ValueError, RecursionError) as error:
            raise _UnreadableBody(self.body_form, error) from error
        return [body], {"request_headers": request.headers} if self._takes_headers else {}


class _UnreadableBody(Exception):
    """Answered as what a driver may raise itself."""

    status_code = 400

    def __init__(self, form: BodyForm, error: Exception) -> None:
        kind = "JSON" if form is BodyForm.JSON else "UTF-8 text"
        self.message = f"The body of the request is not {kind}: {error}."
        super().__init__(self.message)


async def load(file: Path, workers: Workers) -> Driver:
    """Import the driver and run its `init`, off the event loop unless `init` is asynchronous.

    Raises DriverFailed.
    """
    module = await _off_the_loop(workers, lambda: _imported(file))
    init = getattr(module, "init", None)
    if inspect.iscoroutinefunction(init):
        await _initialized(init)
    elif init is not None:
        await _off_the_loop(workers, lambda: _settled(init()))
    return await _off_the_loop(workers, lambda: _ready(module, workers))


def _imported(file: Path) -> ModuleType:
    name = file.stem if file.stem not in sys.modules else f"driver_{file.stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(file))  # the file's name may end in anything
    spec = importlib.util.spec_from_loader(name, loader)
    if spec is None:
        raise ImportError(f"{file.name} cannot be imported.")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _ready(module: ModuleType, workers: Workers) -> Driver:
    if not callable(getattr(module, "run", None)):
        raise AttributeError(f"The driver {module.__name__} has no function named run.")
    old_sdk.adapt(module)
    return Driver(module.run, workers)


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


def _answer_to(error: BaseException) -> Response:
    """What an exception becomes: its own `status_code` and `message`, if it has them, or else a 500 that tells no detail."""
    logs.log("ERROR", "run failed.\n" + "".join(traceback.format_exception(error)))
    status, message = getattr(error, "status_code", None), getattr(error, "message", None)
    if isinstance(status, int) and 400 <= status <= 599 and isinstance(message, str):
        return failure(status, message)
    return failure(500, "The driver failed. Its log says why, under the id of this request.")
