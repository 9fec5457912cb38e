"""How long whoever refuses asks to be left alone: `Retry-After`, of every server alike. Source: RFC 9110, 10.2.3.

Besides its seconds and dates, fractions and Unix times are in use: Docker Hub says the moment at which its limit is lifted.
"""

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,9})?")
_LONGEST_TEXT = 64
_MOMENT, _MOMENT_IN_MILLISECONDS = 1e9, 1e12
"""Numbers above these are moments: as a pause, the first would be thirty years."""


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds from now on that the headers of a refusal ask for; None when they do not say, or not intelligibly."""
    text = (headers.get("Retry-After") or headers.get("retry-after") or "").strip()
    if not text or len(text) > _LONGEST_TEXT:
        return None
    current = time.time() if now is None else now
    if _NUMBER.fullmatch(text):
        return _seconds(float(text), current)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - current)
    except (ValueError, TypeError, OverflowError):
        return None


def _seconds(number: float, now: float) -> float:
    if number < _MOMENT:
        return number
    return max(0.0, (number if number < _MOMENT_IN_MILLISECONDS else number / 1000) - now)
