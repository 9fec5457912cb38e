"""Entity tags: a change that is made only to what its caller has seen. Source: RFC 9110, 8.8.3 and 13.1.1."""

import re
from dataclasses import dataclass
from typing import Self

from shared.domain.errors import InvalidRequest, PreconditionFailed, foreign

_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_LIST = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")


@dataclass(frozen=True)
class ExpectedTags:
    """The tags of which a resource must have one; None means that any will do."""

    tags: frozenset[str] | None = None

    @classmethod
    def parse(cls, header: str | None) -> Self:
        """Those of an If-Match header; raises InvalidRequest."""
        text = (header or "*").strip()
        if text == "*":
            return cls()
        if not _LIST.fullmatch(text):
            raise InvalidRequest(
                f"If-Match: got '{foreign(text, 80)}'; accepts an ETag as it was answered, in its quotes, or *."
            )
        return cls(frozenset(re.findall(_TAG, text)))

    @property
    def text(self) -> str:
        """They in one order."""
        return "*" if self.tags is None else ", ".join(sorted(self.tags))

    def met_by(self, tag: str) -> bool:
        """Whether a resource of that tag is as expected; a weak tag never is."""
        return self.tags is None or tag in self.tags


ANY_TAG = ExpectedTags()


def changed_meanwhile(tag: str) -> PreconditionFailed:
    """The refusal of a change to what is no longer as its caller has seen it."""
    return PreconditionFailed(
        f"If-Match: the resource has changed since that tag was answered; it is {tag} now. Read it, then decide again."
    )
