"""The HTTP function of services' logs, an extension of api.md."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

import azure.functions as func
from pydantic import AfterValidator

from functions.endpoint import Call, endpoint
from functions.listing import filters_of
from functions.replies import Reply
from functions.since import Since, moment_of
from shared.domain.computing import LogQuery, ReplicaLog
from shared.domain.fields import Described, FilterText
from shared.domain.filters import Filters
from shared.domain.log_lines import readable

blueprint = func.Blueprint()

DEFAULT_TAIL, MOST_TAIL = 500, 10_000
_TAIL = Described(type="integer", minimum=1, maximum=MOST_TAIL, default=DEFAULT_TAIL)
_MOST_CHARACTERS = 8 * 1024 * 1024


def _tail(text: str) -> str:
    if not re.fullmatch("[0-9]{1,6}", text) or not 1 <= int(text) <= MOST_TAIL:
        raise ValueError(f"accepts a whole number from 1 to {MOST_TAIL}")
    return text


class LogParameters(Filters):
    """Of GET /services/{id}/logs."""

    tail: Annotated[str, AfterValidator(_tail), _TAIL] | None = None
    since: Since | None = None
    replica: FilterText | None = None

    def query(self, now: datetime) -> LogQuery:
        """What is asked for."""
        return LogQuery(int(self.tail or DEFAULT_TAIL), moment_of(self.since, now) if self.since else None, self.replica)


@endpoint(blueprint, "GET", "services/{id}/logs", filters=LogParameters, answers={200: str})
async def get_service_logs(call: Call) -> Reply:
    """What the service's replicas have printed, those that have crashed or failed included, as plain text."""
    query = filters_of(call, LogParameters).query(call.slipway.now())
    logs = await call.slipway.printed_logs.of(call.account, call.id, query)
    return Reply(200, _text(logs), mimetype="text/plain")


def _text(logs: Sequence[ReplicaLog]) -> str:
    return "".join(_lines(logs))[:_MOST_CHARACTERS]


def _lines(logs: Sequence[ReplicaLog]) -> Iterator[str]:
    for log in logs:
        yield f"==> {log.replica}{f' ({log.run})' if log.run else ''} <==\n"
        yield from (f"{shown}\n" for line in log.lines for shown in readable(line))
