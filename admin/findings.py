"""What a check found: a line for people."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Mark(StrEnum):
    """How bad it is; a note needs nobody."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One check: what was checked, and what came of it."""

    mark: Mark
    what: str
    said: str

    @classmethod
    def ok(cls, what: str, said: str) -> Self:
        """It is as it should be."""
        return cls(Mark.OK, what, said)

    @classmethod
    def note(cls, what: str, said: str) -> Self:
        """It works, and may not be meant."""
        return cls(Mark.NOTE, what, said)

    @classmethod
    def wrong(cls, what: str, said: str) -> Self:
        """It must be mended, and `said` says how."""
        return cls(Mark.WRONG, what, said)

    def __str__(self) -> str:
        return f"{self.mark:<6} {self.what}: {self.said}"
