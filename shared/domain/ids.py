"""Ids: time-ordered UUIDs (RFC 9562, version 7) in canonical text."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

_CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALL_ONES = (1 << 128) - 1


def new_id(now: datetime, random_bits: Callable[[int], int]) -> str:
    """A UUIDv7 of that moment, to the millisecond; `random_bits(n)` gives n random bits."""
    milliseconds = round(now.timestamp() * 1000)
    value = milliseconds << 80 | 0x7 << 76 | random_bits(12) << 64 | 0b10 << 62 | random_bits(62)
    return _text(value)


def first_id(moment: datetime) -> str:
    """The id before all that were made at that moment or later."""
    return new_id(moment, lambda _: 0)


def canonical(text: str) -> str | None:
    """That id in canonical text, or None when it is not a UUID in the usual form (client-facts.md, 3)."""
    lowered = text.lower()
    return lowered if _CANONICAL.fullmatch(lowered) else None


def complement(identifier: str) -> str:
    """32 hex digits that sort the other way round, so that an ascending scan of keys is newest first."""
    return f"{_ALL_ONES ^ int(identifier.replace('-', ''), 16):032x}"


def in_order(identifier: str, number: int) -> str:
    """That id with its last eight digits counting down: newest first, those of one id come in the order of the numbers."""
    return f"{identifier[:-8]}{0xFFFFFFFF - number:08x}"


def created_at(identifier: str) -> datetime:
    """The moment in a UUIDv7: what was created then says so in its id."""
    return datetime.fromtimestamp((int(identifier.replace("-", ""), 16) >> 80) / 1000, UTC)


def _text(value: int) -> str:
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
