"""NCRONTAB: when a timer is due."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.schedule import Schedule

SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment", "due"),
    [
        ("0 */5 * * * *", "2026-01-01T00:00:00", "2026-01-01T00:05:00"),
        ("0 */5 * * * *", "2026-01-01T00:04:59.999", "2026-01-01T00:05:00"),
        ("*/5 * * * *", "2026-01-01T00:04:59", "2026-01-01T00:05:00"),
        ("0 30 9 * * mon-fri", "2026-11-20T09:30:00", "2026-11-23T09:30:00"),
        ("30,10 0 0 1 JAN,jul *", "2026-01-01T00:00:10", "2026-01-01T00:00:30"),
        ("0 0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 13 * 5", "2026-01-01T00:00:00", "2026-02-13T00:00:00"),
        ("0 5/20 10-11 * * *", "2026-01-01T10:45:00", "2026-01-01T11:05:00"),
        ("59 59 23 31 12 *", "2026-12-31T23:59:59", "2027-12-31T23:59:59"),
    ],
)
def test_the_next_time_is(text, moment, due):
    assert Schedule.parse(text).after(at(moment)) == at(due)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("* * * *", "has 4 fields; accepts six"),
        ("60 * * * * *", "second: got '60'; accepts 0 to 59"),
        ("0 0 0 0 * *", "day: got '0'; accepts 1 to 31"),
        ("0 0 0 * * 7", "day of week: got '7'; accepts 0 to 6"),
        ("0 0 0 * foo *", "month: got 'foo'; accepts 1 to 12"),
        ("0 9-5 * * * *", "minute: got '9-5'"),
        ("0 */0 * * * *", "minute: got '\\*/0'"),
        ("0 */x * * * *", "minute: got '\\*/x'"),
        ("0 1,, * * * *", "minute: got ''"),
        ("0 0 0 31 2,4 *", "never comes due"),
    ],
)
def test_a_schedule_that_is_none_says_why(text, reason):
    with pytest.raises(ValueError, match=reason):
        Schedule.parse(text)


def test_only_a_schedule_of_several_seconds_is_within_a_minute():
    assert [Schedule.parse(text).within_a_minute for text in ("0 * * * * *", "0,30 * * * * *", "* * * * *")] == [
        False,
        True,
        False,
    ]


def fields(least: int, most: int) -> st.SearchStrategy[str]:
    values = st.integers(least, most)
    ranges = st.tuples(values, values).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.tuples(st.one_of(st.just("*"), values.map(str), ranges), st.integers(1, 30)).map(lambda p: f"{p[0]}/{p[1]}")
    return st.lists(st.one_of(st.just("*"), values.map(str), ranges, steps), min_size=1, max_size=3).map(",".join)


def fits(schedule: Schedule, moment: datetime) -> bool:
    return all(
        value in allowed
        for value, allowed in (
            (moment.second, schedule.seconds),
            (moment.minute, schedule.minutes),
            (moment.hour, schedule.hours),
            (moment.day, schedule.days),
            (moment.month, schedule.months),
            (moment.isoweekday() % 7, schedule.weekdays),
        )
    )


@given(
    st.tuples(fields(0, 59), fields(0, 59), fields(0, 23), st.just("*"), st.just("*"), fields(0, 6)).map(" ".join),
    st.integers(0, 10**9).map(lambda seconds: datetime.fromtimestamp(10**9 + seconds / 7, UTC)),
)
def test_the_next_time_fits_is_later_and_nothing_between_fits(text, moment):
    schedule = Schedule.parse(text)
    due = schedule.after(moment)
    assert due > moment
    assert fits(schedule, due)
    before = due - SECOND
    for _ in range(2000):
        if before <= moment:
            break
        assert not fits(schedule, before)
        before -= SECOND
