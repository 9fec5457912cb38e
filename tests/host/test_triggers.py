"""What is read from a function's bindings, and what of it this host refuses."""

import pytest

from local.host import triggers
from local.host.refusal import Refused
from local.host.worker import Function

HTTP = {"type": "httpTrigger", "name": "req", "authLevel": "ANONYMOUS", "route": "a", "methods": ["get"]}
ANSWER = {"type": "http", "name": "$return"}
QUEUE = {"type": "queueTrigger", "name": "message", "queueName": "%Q%-Suffix", "connection": "Store"}
TIMER = {"type": "timerTrigger", "name": "timer", "schedule": "%WHEN%"}
SETTINGS = {"Q": "Work", "Store": "secret", "WHEN": "0 * * * * *"}


def read(*bindings: dict, settings: dict[str, str] = SETTINGS) -> triggers.Trigger:
    (only,) = triggers.read([Function("f", "id", bindings)], settings)
    return only


def test_a_queue_name_is_resolved_and_in_lower_case_and_its_connection_is_not_shown():
    trigger = read(QUEUE)
    assert (trigger.queue, trigger.connection, trigger.target.parameter) == ("work-suffix", "secret", "message")
    assert "secret" not in repr(trigger)


def test_a_queue_without_a_connection_has_the_default_one():
    trigger = read({**QUEUE, "connection": ""}, settings={**SETTINGS, "AzureWebJobsStorage": "default"})
    assert trigger.connection == "default"


def test_methods_are_in_upper_case_and_a_route_left_out_is_the_name():
    assert read(HTTP, ANSWER).methods == {"GET"}
    assert read({**HTTP, "route": None}, ANSWER).route == "f"


@pytest.mark.parametrize(
    ("schedule", "asked", "monitored"),
    [("0 * * * * *", True, True), ("0 * * * * *", False, False), ("* * * * * *", True, False)],
)
def test_a_timer_is_monitored_when_asked_and_not_within_a_minute(schedule, asked, monitored):
    assert read({**TIMER, "schedule": schedule, "useMonitor": asked}).monitored == monitored


@pytest.mark.parametrize(
    ("bindings", "reason"),
    [
        ([{"type": "blobTrigger", "name": "blob"}], "f: has the bindings blobTrigger blob; the local host knows"),
        ([HTTP, ANSWER, {"type": "queue", "name": "out"}], "queue out; the local host knows"),
        ([HTTP, {"type": "http", "name": "res"}], "http res; the local host knows"),
        ([HTTP, TIMER], "timerTrigger timer; the local host knows"),
        ([{**HTTP, "authLevel": "FUNCTION"}, ANSWER], "authLevel is function; the local host has no function keys"),
        ([{**QUEUE, "queueName": "%NOWHERE%"}], "f: queueName: %NOWHERE% names an app setting that is not set"),
        ([{**QUEUE, "connection": "Nowhere"}], "f: the app setting 'Nowhere' that holds its connection string is not set"),
        ([{**TIMER, "schedule": "0 0 0 30 2 *"}], "f: schedule '0 0 0 30 2 \\*': never comes due"),
    ],
)
def test_what_this_host_cannot_do_is_refused_by_name(bindings, reason):
    with pytest.raises(Refused, match=reason):
        read(*bindings)
