"""Reading a header from left to right, each character once."""

import re


def past(pattern: re.Pattern[str], text: str, place: int) -> int:
    """Where the pattern ends that begins at that place, or the place."""
    found = pattern.match(text, place)
    return found.end() if found else place
