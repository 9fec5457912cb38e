"""Who is told of every answer, and tells the telling process."""

import asyncio
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

from ..http.messages import CURRENT, Request, Response
from .outlet import Outlet
from .process import TellingProcess
from .records import OVERHEAD, SCORED, Called, Collected, Logged, Record, handed, size
from .settings import TellingSettings

_HAND_OVER_SECONDS = 1.0


class Teller:
    """An observer that collects data and reports to Application Insights, as far as the settings say."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        """Start the telling process for the app in that folder. Raises ValueError for a setting that makes no sense."""
        self._settings = settings = TellingSettings.of(environment)
        self._process = TellingProcess(environment, folder)
        self._outlet = Outlet(self._process.control)
        self._reports = bool(settings.app_insights)

    def scored(self, request: Request, response: Response, began: float, seconds: float) -> None:
        """Tell of that answer. The data of one that failed is not collected."""
        collected = self._settings.collects and response.status < 400 and self._is_sampled(request.id)
        if not (collected or self._reports):
            return
        inputs, predictions = (request.body, response.body) if collected else (b"", b"")
        status, trace = int(response.status), request.trace_parent or ""
        told = (SCORED, began, seconds, request.id, trace, request.path, status, collected, inputs, predictions)
        self._outlet.put(told, OVERHEAD + len(inputs) + len(predictions))

    def collected(self, record: Collected) -> None:
        """Tell of rows that the driver collected by hand."""
        if self._settings.collects and (not record.request_id or self._is_sampled(record.request_id)):
            self._put(record)

    def logged(self, level: str, message: str) -> None:
        """Tell of a line that the driver logged, under the request that is being worked on."""
        if self._reports:
            request = CURRENT.get()
            ids = (request.id, request.trace_parent or "") if request else ("", "")
            self._put(Logged(time.time(), *ids, level, message))

    def called(self, record: Called) -> None:
        """Tell of an HTTP request that the driver made."""
        if self._reports:
            self._put(record)

    def metrics(self) -> str:
        """What was told and what was lost, in the text format of Prometheus: of all processes of this replica."""
        lines = self._process.totals.lines(self._settings.destinations, self._outlet.dropped)
        return "".join(f"{line}\n" for line in lines)

    async def close(self) -> None:
        """Tell what is not told yet. Takes some seconds, when Azure does."""
        await asyncio.to_thread(self._outlet.close, _HAND_OVER_SECONDS)
        await asyncio.to_thread(self._process.end)

    def _put(self, record: Record) -> None:
        self._outlet.put(handed(record), size(record))

    def _is_sampled(self, request_id: str) -> bool:
        """The same for all data of a request."""
        share = self._settings.sampling
        return share == 1 or zlib.crc32(request_id.encode()) < share * 2**32
