"""NCRONTAB schedules: `second minute hour day month day-of-week`, or five fields without the second. In UTC.

Source: NCrontab, which the real host uses: Sunday is 0, and a day must fit both day fields, unlike in Unix cron.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_HORIZON = timedelta(days=366 * 40)  # the 29th of February on a given weekday may be that far away


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _WEEKDAYS),
)


@dataclass(frozen=True)
class Schedule:
    """When a timer is due."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Raises ValueError naming the field that is wrong, or saying that the schedule never comes due."""
        parts = text.split()
        if len(parts) == 5:
            parts = ["0", *parts]
        if len(parts) != 6:
            raise ValueError(f"has {len(parts)} fields; accepts six: second minute hour day month day-of-week")
        values = (tuple(sorted(_values(part, field))) for part, field in zip(parts, _FIELDS, strict=True))
        schedule = cls(text, *values)
        schedule.after(datetime.now(UTC))
        return schedule

    @property
    def within_a_minute(self) -> bool:
        """Whether two times can be less than a minute apart."""
        return len(self.seconds) > 1

    def after(self, moment: datetime) -> datetime:
        """The first time later than that moment, a whole second in UTC; raises ValueError when there is none."""
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        day, earliest = start.date(), start.time()
        while day < start.date() + _HORIZON:
            if self._fits(day) and (found := self._first_time(earliest)):
                return datetime.combine(day, found, UTC)
            day, earliest = day + timedelta(days=1), time.min
        raise ValueError("never comes due")

    def _fits(self, day: date) -> bool:
        return day.day in self.days and day.month in self.months and day.isoweekday() % 7 in self.weekdays

    def _first_time(self, earliest: time) -> time | None:
        least = (earliest.hour, earliest.minute, earliest.second)
        times = (
            time(hour, minute, second)
            for hour in self.hours
            if hour >= least[0]
            for minute in self.minutes
            if (hour, minute) >= least[:2]
            for second in self.seconds
            if (hour, minute, second) >= least
        )
        return next(times, None)


def _values(text: str, field: _Field) -> set[int]:
    return {value for part in text.split(",") for value in _range(part, field)}


def _range(part: str, field: _Field) -> range:
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    low = field.least if span == "*" else _value(first, field)
    high = _value(last, field) if dash else field.most if slash or span == "*" else low
    stride = int(step) if step.isascii() and step.isdigit() else 0 if slash else 1
    if low > high or stride < 1:
        raise ValueError(f"{field.name}: got {part!r}; accepts *, a value, a-b, and any of them with /step")
    return range(low, high + 1, stride)


def _value(text: str, field: _Field) -> int:
    if text.lower() in field.words:
        return field.words.index(text.lower()) + field.least
    if not (text.isascii() and text.isdigit()) or not field.least <= int(text) <= field.most:
        raise ValueError(f"{field.name}: got {text!r}; accepts {field.least} to {field.most}")
    return int(text)
