"""Timers in a real host: on time, one at a time, and what was missed runs once."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from local.host.schedule import Schedule
from local.host.stopping import Stopping
from local.host.timers import Status, StatusFile, TimerListener
from local.host.triggers import TimerTrigger
from local.host.worker import Target

EACH_SECOND = """
@app.timer_trigger(arg_name="timer", schedule="%EACH_SECOND%")
async def each_second(timer: func.TimerRequest) -> None:
    logging.info("tick begins %s", time.time())
    await asyncio.sleep(1.2)
    logging.info("tick ends %s", timer.past_due)
    raise RuntimeError("which must not end the schedule")
"""
YEARLY = """
@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
async def yearly(timer: func.TimerRequest) -> None:
    logging.info("yearly ran %s", json.dumps({"late": timer.past_due, **timer.schedule_status}))
"""
ON_STARTUP = """
@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def yearly(timer: func.TimerRequest) -> None:
    logging.info("yearly ran %s", timer.past_due)
"""
NEXT_YEAR = datetime(datetime.now(UTC).year + 1, 1, 1, tzinfo=UTC).isoformat()
LAST_YEAR = datetime(datetime.now(UTC).year, 1, 1, tzinfo=UTC).isoformat()


@pytest.fixture
def status(tmp_path):
    return tmp_path / "timers" / "yearly.json"


def test_runs_follow_one_another_and_a_failure_does_not_end_them(host):
    hosted = host(EACH_SECOND, EACH_SECOND="* * * * * *")
    hosted.said("tick ends", 3)
    ticks = [message.split()[1] for message in hosted.said("tick")]
    assert ticks[:6] == ["begins", "ends"] * 3
    assert "each_second failed" in hosted.said("must not end the schedule")[0]


def test_the_first_start_waits_for_the_schedule_and_remembers_it(host, tmp_path, status):
    hosted = host(YEARLY, "--state", str(tmp_path))
    assert hosted.signalled() == 0
    assert json.loads(status.read_text()) == {"schedule": "0 0 0 1 1 *", "last": None, "next": NEXT_YEAR}
    assert not any("yearly" in message for message in hosted.messages)


def test_what_was_missed_runs_once_at_the_next_start(host, tmp_path, status):
    status.parent.mkdir()
    status.write_text(json.dumps({"schedule": "0 0 0 1 1 *", "last": None, "next": LAST_YEAR}))
    hosted = host(YEARLY, "--state", str(tmp_path))
    (message,) = hosted.said("yearly ran")
    told = json.loads(message.removeprefix("yearly ran "))
    assert (told["late"], told["Next"]) == (True, LAST_YEAR)
    assert hosted.signalled() == 0
    kept = json.loads(status.read_text())
    assert kept["next"] == NEXT_YEAR
    assert datetime.now(UTC) - datetime.fromisoformat(kept["last"]) < timedelta(minutes=1)
    again = host(YEARLY, "--state", str(tmp_path))
    assert again.signalled() == 0
    assert not any("yearly" in message for message in again.messages)


async def test_however_many_times_were_missed_they_run_as_one():
    """A run that lasts ten minutes of a timer that is due each minute."""
    stopping, started, due = Stopping(), [], []
    ahead = [datetime(2026, 1, 1, 11, 59, 59, 900_000, UTC)]

    class LongRun:
        async def invoke(self, target, data, metadata):
            due.append(json.loads(data.value)["ScheduleStatus"]["Next"])
            ahead[0] += timedelta(minutes=[10, 0, 0][len(due) - 1], seconds=[30, 29.8, 0][len(due) - 1])
            if len(due) == 3:
                stopping.ask()

    def now():
        started.append(time.monotonic())  # from the first look on, however late that comes
        return ahead[0] + timedelta(seconds=started[-1] - started[0])

    trigger = TimerTrigger(Target("f", "f", "timer"), Schedule.parse("0 * * * * *"), run_on_startup=False, monitored=False)
    await TimerListener(trigger, LongRun(), None, now).run(stopping)
    assert due == [f"2026-01-01T12:{minute}:00+00:00" for minute in ("00", "01", "11")]


def test_a_status_is_read_as_it_was_written(status):
    file = StatusFile(status, "0 0 0 1 1 *")
    for kept in (Status(None, datetime.now(UTC)), Status(datetime.now(UTC), datetime.now(UTC))):
        file.write(kept)
        assert file.read() == kept
    assert list(status.parent.iterdir()) == [status]


@pytest.mark.parametrize(
    "kept", ['{"schedule": "0 0 0 2 2 *", "last": null, "next": "2020-02-02T00:00:00+00:00"}', "no JSON", "{}", "[]"]
)
def test_a_status_of_another_schedule_or_of_none_counts_for_nothing(status, kept):
    status.parent.mkdir()
    status.write_text(kept)
    assert StatusFile(status, "0 0 0 1 1 *").read() is None


def test_a_timer_may_run_at_each_start(host):
    assert host(ON_STARTUP).said("yearly ran") == ["yearly ran False"]


def test_a_run_under_way_is_finished_before_the_host_stops(host):
    hosted = host(EACH_SECOND, EACH_SECOND="* * * * * *")
    hosted.said("tick begins")
    assert hosted.signalled() == 0
    assert len(hosted.said("tick ends")) == len(hosted.said("tick begins"))


def test_a_host_that_breaks_says_so_in_one_line(refusal, tmp_path):
    (tmp_path / "state").write_text("a file where a folder should be")
    assert refusal(YEARLY, "--state", str(tmp_path / "state")) == "the host broke"
