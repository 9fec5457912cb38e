"""The parameter `since` of logs: a number of seconds before now, or a moment."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator


def _checked(text: str) -> str:
    try:
        moment_of(text, datetime.now(UTC))
    except (ValueError, OverflowError):
        raise ValueError("accepts a number of seconds, or a time with its zone such as 2026-01-31T12:00:00Z") from None
    return text


def moment_of(since: str, now: datetime) -> datetime:
    """Raises ValueError for what is neither, and OverflowError for a time that UTC has no date for."""
    if re.fullmatch("[0-9]{1,9}", since):
        return now - timedelta(seconds=int(since))
    moment = datetime.fromisoformat(since)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment.astimezone(UTC)


Since = Annotated[str, AfterValidator(_checked)]
