"""Reading single settings from the environment."""

from collections.abc import Mapping

_MOST = 10_000_000


class SettingError(Exception):
    """A setting is missing or malformed; the message names it and says what it accepts."""


def required(environment: Mapping[str, str], name: str) -> str:
    """A setting that must be there; raises SettingError."""
    value = environment.get(name, "").strip()
    if not value:
        raise SettingError(f"The setting {name} is missing.")
    return value


def listed(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Several values with commas between them; none when it is not set."""
    return tuple(part.strip() for part in environment.get(name, "").split(",") if part.strip())


def number(environment: Mapping[str, str], name: str, default: int, most: int = _MOST) -> int:
    """A whole number from 1 on; raises SettingError."""
    text = environment.get(name, "").strip() or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise SettingError(f"{name} accepts a whole number from 1 to {most}.")
    return int(text)


def one_of[T: str](environment: Mapping[str, str], name: str, accepted: type[T], default: T) -> T:
    """One of a few words; raises SettingError."""
    text = environment.get(name, "").strip() or default
    words = [str(word) for word in accepted]  # type: ignore[attr-defined]  # an enumeration of words
    if text not in words:
        raise SettingError(f"{name} accepts {' or '.join(words)}.")
    return accepted(text)
