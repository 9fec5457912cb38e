"""Input that does not fit."""

from typing import Any, Self

_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    type(None): "null",
}
_LONGEST = 500


class Misfit(Exception):
    """The caller's input is not what the driver takes: a 400 that names the field by its path."""

    def __init__(self, reason: str, *path: str | int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    @classmethod
    def of(cls, expected: str, value: Any) -> Self:
        """For a value that is something else."""
        return cls(f"expected {expected}, got {_NAMES.get(type(value), type(value).__name__)}")

    @property
    def message(self) -> str:
        """What the caller is told."""
        path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        text = f"{path.removeprefix('.') or 'The body of the request'}: {self.reason}"
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
