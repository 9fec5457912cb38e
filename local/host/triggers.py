"""Triggers: what each function waits for, read from its bindings. What this host cannot do stops the start.

Source: the function.json schema of the HTTP, storage queue and timer bindings.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.host.config import connection_string, resolved
from local.host.refusal import Refused
from local.host.schedule import Schedule
from local.host.worker import Function, Target

type Settings = Mapping[str, str]
type Binding = Mapping[str, Any]


@dataclass(frozen=True)
class HttpTrigger:
    """Requests to a route; no methods means any."""

    target: Target
    route: str
    methods: frozenset[str]


@dataclass(frozen=True)
class QueueTrigger:
    """Messages of a storage queue."""

    target: Target
    queue: str
    connection: str = field(repr=False)


@dataclass(frozen=True)
class TimerTrigger:
    """A schedule. A monitored one runs at once when the host was away at its time."""

    target: Target
    schedule: Schedule
    run_on_startup: bool
    monitored: bool


type Trigger = HttpTrigger | QueueTrigger | TimerTrigger


def read(functions: Iterable[Function], settings: Settings) -> tuple[Trigger, ...]:
    """The trigger of each function; raises Refused for what this host cannot do, or a setting that is missing."""
    return tuple(_trigger(function, settings) for function in functions)


def _trigger(function: Function, settings: Settings) -> Trigger:
    if function.retried:
        raise Refused(f"{function.name}: the local host has no retry policies")
    triggers = [binding for binding in function.bindings if binding["type"] in _READERS]
    others = [binding for binding in function.bindings if binding["type"] not in _READERS]
    if len(triggers) != 1 or any((other["type"], other["name"]) != ("http", "$return") for other in others):
        kinds = ", ".join(f"{binding['type']} {binding['name']}" for binding in function.bindings)
        raise Refused(
            f"{function.name}: has the bindings {kinds}; the local host knows one httpTrigger (with http as $return), "
            "queueTrigger or timerTrigger a function"
        )
    (binding,) = triggers
    target = Target(function.name, function.id, binding["name"])
    return _READERS[binding["type"]](target, binding, settings)


def _http(target: Target, binding: Binding, _: Settings) -> HttpTrigger:
    level = str(binding.get("authLevel", "function")).lower()
    if level != "anonymous":
        raise Refused(f"{target.name}: authLevel is {level}; the local host has no function keys, so only anonymous works")
    methods = frozenset(str(method).upper() for method in binding.get("methods", ()))
    return HttpTrigger(target, binding.get("route") or target.name, methods)


def _queue(target: Target, binding: Binding, settings: Settings) -> QueueTrigger:
    queue = resolved(binding["queueName"], settings, f"{target.name}: queueName").lower()
    name = resolved(binding.get("connection") or "AzureWebJobsStorage", settings, f"{target.name}: connection")
    return QueueTrigger(target, queue, connection_string(name, settings, target.name))


def _timer(target: Target, binding: Binding, settings: Settings) -> TimerTrigger:
    text = resolved(binding["schedule"], settings, f"{target.name}: schedule")
    try:
        schedule = Schedule.parse(text)
    except ValueError as error:
        raise Refused(f"{target.name}: schedule {text!r}: {error}") from error
    # The real host monitors no schedule of less than a minute, whatever it was told.
    monitored = binding.get("useMonitor", True) and not schedule.within_a_minute
    return TimerTrigger(target, schedule, binding.get("runOnStartup", False), monitored)


_READERS: Mapping[str, Callable[[Target, Binding, Settings], Trigger]] = {
    "httpTrigger": _http,
    "queueTrigger": _queue,
    "timerTrigger": _timer,
}
