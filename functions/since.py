"""The parameter `since` of logs: a number of seconds before now, or a moment."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.domain.fields import Described, whole


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
    if not _ISO.fullmatch(since):
        raise ValueError("no time")
    moment = datetime.fromisoformat(since)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment.astimezone(UTC)


_ISO = re.compile("[0-9TWZ:.,+ -]{1,64}")
"""Of what ISO 8601 makes times. What reads them passes over more."""
_DAY = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_DATE = f"(19|20|21)[0-9]{{2}}-({_DAY})"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
Since = Annotated[
    str,
    Field(max_length=64),
    AfterValidator(_checked),
    Described(pattern=whole(f"[0-9]{{1,9}}|{_DATE}T{_TIME}"), examples=["3600", "2026-01-31T12:00:00Z"]),
]
"""Described is the usual form, RFC 3339; others of ISO 8601 are taken, too."""
