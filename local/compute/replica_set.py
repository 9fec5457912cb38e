"""The replicas of one deployment: as many as are wanted, each started again when it ends."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import replace

import aiohttp

from local.compute.background import Background
from local.compute.launcher import Launcher
from local.compute.limits import Limits
from local.compute.pool import Backend
from local.compute.replica import End, Replica
from local.compute.state import Deployment
from shared.domain.errors import DeployFailed, Detail, InsufficientStorage, foreign, out_of_room
from shared.domain.operations import ErrorResponse

_logger = logging.getLogger(__name__)


class ReplicaSet:
    """Keeps a number of replicas running.

    While it is `on_trial`, until all that were wanted first are healthy at once, one that fails too often fails the whole.
    """

    def __init__(
        self,
        service_id: str,
        deployment: Deployment,
        launcher: Launcher,
        session: aiohttp.ClientSession,
        limits: Limits,
        *,
        on_trial: bool,
        changed: Callable[[], None],
    ) -> None:
        self.deployment = deployment
        self._service_id = service_id
        self._launcher = launcher
        self._session = session
        self._limits = limits
        self._changed = changed
        self._drain = limits.drain
        self._background = Background()
        self._wanted: dict[int, asyncio.Task[None]] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._backends: list[Backend] = []
        self._verdict: asyncio.Future[ErrorResponse | None] = asyncio.get_running_loop().create_future()
        if not on_trial:
            self._verdict.set_result(None)

    @property
    def count(self) -> int:
        """How many replicas are wanted."""
        return len(self._wanted)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Those that answer."""
        return tuple(self._backends)

    @property
    def waiting_for(self) -> str:
        """What it lacks."""
        return f"replicas to be healthy: {len(self._backends)} of {self.count} are"

    async def verdict(self) -> ErrorResponse | None:
        """Wait for the end of the trial: None when it was passed. Cancelled when the set is stopped before."""
        return await self._verdict

    def scale(self, count: int) -> None:
        """From now on, that many. Those that are not wanted any more finish their requests and stop."""
        while len(self._wanted) < count:
            ordinal = next(n for n in itertools.count() if n not in self._wanted and n not in self._leaving)
            self._wanted[ordinal] = self._background.start(self._keep(ordinal))
        while len(self._wanted) > count:
            self._dismiss(*self._wanted.popitem())
        self._pass_when_complete()

    async def retire(self) -> None:
        """Stop all, each when its requests have finished or their time is up."""
        self._verdict.cancel()
        while self._wanted:
            self._dismiss(*self._wanted.popitem())
        await self._background.finished()

    async def stop(self) -> None:
        """Stop all now, also those that still finish their requests."""
        self._drain = 0
        for task in self._leaving.values():
            task.cancel()
        await self.retire()

    def _dismiss(self, ordinal: int, task: asyncio.Task[None]) -> None:
        self._leaving[ordinal] = task
        task.add_done_callback(lambda _: self._leaving.pop(ordinal))
        task.cancel()

    async def _keep(self, ordinal: int) -> None:
        """One replica after another, until cancelled: the first time it drains before it stops, the second time it stops."""
        failures = 0
        while True:
            end = await self._run(ordinal)
            failures = 1 if end.healthy_for > self._limits.healthy_again_after else failures + 1
            _logger.warning("service=%s replica=%s-%d: %s", self._service_id, self.deployment.id, ordinal, end.happened)
            if not self._verdict.done() and (end.timed_out or failures > self._limits.restarts_on_trial):
                self._verdict.set_result(_error(end, failures))
                return
            await asyncio.sleep(self._backoff(failures))

    async def _run(self, ordinal: int) -> End:
        """One replica, from its start to its end."""
        try:
            async with self._launcher.replica(self._service_id, self.deployment, ordinal) as replica:
                end = await replica.healthy(self._session, self._limits.start_timeout)
                return end or await self._serve(replica)
        except Exception as error:
            _logger.exception("service=%s replica=%s-%d broke", self._service_id, self.deployment.id, ordinal)
            happened = f"A replica could not be started: {type(error).__name__}: {foreign(error)}"
            return End(happened, "", out_of_room=out_of_room(error) is not None)

    async def _serve(self, replica: Replica) -> End:
        self._backends.append(replica.backend)
        self._pass_when_complete()
        self._changed()
        now = asyncio.get_running_loop().time
        began = now()
        try:
            end = await replica.ended()
            return replace(end, healthy_for=now() - began)
        finally:
            self._backends.remove(replica.backend)
            self._changed()
            replica.backend.end()
            await replica.backend.idle(self._drain)

    def _pass_when_complete(self) -> None:
        if not self._verdict.done() and len(self._backends) >= self.count:
            self._verdict.set_result(None)

    def _backoff(self, failures: int) -> float:
        first = self._limits.first_backoff if self._verdict.done() else self._limits.trial_backoff
        return min(first * (1 << min(failures - 1, 20)), self._limits.longest_backoff)


def _error(end: End, times: int) -> ErrorResponse:
    """The error of a deployment whose replica ended so; the codes are client-facts.md's, 19."""
    happened = end.happened if times == 1 else f"{end.happened}, {times} times"
    log = f" The last lines of its log:\n{end.log}" if end.log else ""
    message = foreign(f"{happened}.{log}", 2000, lines=True)
    if end.timed_out:
        detail = Detail("StartTimedOut", message)
        return ErrorResponse.of(DeployFailed(message, code="DeploymentTimedOut", status_code=504, details=[detail]))
    if end.out_of_room:
        full = InsufficientStorage()
        return ErrorResponse.of(DeployFailed(message, code=full.code, status_code=full.status_code))
    return ErrorResponse.of(DeployFailed(message, details=[Detail("CrashLoopBackOff", message)]))
