"""The life of one replica: listen, bring the driver up, answer, stop."""

import asyncio
import gc
import os
import socket
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from . import logs
from .drivers.driver import Driver, DriverFailed, load
from .isolation import leave_to_driver
from .metrics import Metrics
from .observing import Observer
from .processes import Processes, end_with, leave_signals_to_forks
from .scoring import Scoring
from .serving import BACKLOG, Serving, close
from .settings import Settings
from .telling import observers
from .work.workers import Workers
from .working_directory import mirror

_STDIN = 0


def main() -> int:
    """Serve until SIGTERM, and return 0; or 1 when the driver does not come up, or hangs.

    A driver that does not come up has its traceback as the last that is said.
    """
    try:
        settings = Settings.of(os.environ)
        if settings.working_directory:
            os.chdir(mirror(Path.cwd(), settings.working_directory))
        told_of_answers = observers(os.environ, Path.cwd())
    except ValueError as error:
        raise SystemExit(str(error)) from error
    leave_to_driver(Path.cwd(), settings.dependencies)
    if settings.exit_with_parent:
        end_with(_STDIN)
    leave_signals_to_forks()
    logs.capture()
    for observer in told_of_answers:
        logs.tell(observer.logged)
    try:
        return Replica(settings, told_of_answers).run()
    except DriverFailed as failed:
        logs.log("CRITICAL", f"The driver did not start: {_summary(failed.__cause__)}")
        asyncio.run(close(told_of_answers))
        traceback.print_exception(failed.__cause__, file=sys.__stderr__)
        return 1


def _summary(error: BaseException | None) -> str:
    return traceback.format_exception_only(error)[-1].strip()


class Replica:
    """One replica: one process, or several that share its port, its slots and the driver that was loaded once."""

    def __init__(self, settings: Settings, observers: Sequence[Observer]) -> None:
        self._settings = settings
        self._observers = observers
        self._metrics = Metrics(settings.processes)
        self._workers = Workers(settings.max_concurrency)
        self._listener = _listener(settings)

    def run(self) -> int:
        """Its exit code, once it has stopped. Raises DriverFailed when the driver does not come up."""
        if self._settings.processes == 1:
            return asyncio.run(self._serve())
        driver = asyncio.run(self._load_only())
        if driver is None:
            return asyncio.run(self._end(fit=True))
        self._workers.end()  # no thread is there after a fork
        share = partial(self._share, driver)
        parent = os.getpid()
        code = Processes(self._settings.processes, share, stopping=self._listener.close).run()
        if os.getpid() == parent:  # each of the others has done so
            asyncio.run(close(self._observers))
        return code

    async def _serve(self) -> int:
        async with self._serving(self._listener) as serving:
            driver = await serving.unless_stopped(self._load())
            fit = driver is None or await serving.score(driver, self._workers)
        return await self._end(fit=fit)

    async def _load_only(self) -> Driver | None:
        async with self._serving(self._listener.dup()) as serving:
            return await serving.unless_stopped(self._load())

    def _share(self, driver: Driver, process: int) -> int:
        return asyncio.run(self._serve_share(driver, process))

    async def _serve_share(self, driver: Driver, process: int) -> int:
        async with self._serving(self._listener, process) as serving:
            fit = await serving.score(driver, self._workers)
        return await self._end(fit=fit)

    def _serving(self, listener: socket.socket, process: int = 0) -> Serving:
        settings = self._settings.share(process)
        return Serving(settings, Scoring(settings, Path.cwd(), self._observers, self._metrics, process), listener)

    async def _load(self) -> Driver:
        driver = await load(Path.cwd() / self._settings.driver, self._workers)
        gc.collect()
        gc.freeze()  # a model is not garbage: the collector need not walk through it again and again
        logs.log("INFO", f"{self._settings.driver} is ready; its run takes {driver.body_form}.")
        return driver

    async def _end(self, *, fit: bool) -> int:
        await close(self._observers)
        if not fit:
            logs.write_now()
            os._exit(1)  # what hangs may not let it end in any other way
        return 0


def _listener(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SystemExit(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
