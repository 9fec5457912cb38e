"""Entity tags: a change that is made only to what its caller has seen. Source: RFC 9110, 8.8.3 and 13."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.domain.errors import Detail, InvalidRequest, PreconditionFailed, foreign

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
_LONGEST = 8192
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"'
_BLANKS = r"[ \t]*+"
_LIST = re.compile(rf"(?:{_BLANKS},)*+{_BLANKS}{_TAG}{_BLANKS}(?:,{_BLANKS}(?:{_TAG}{_BLANKS})?+)*+")
"""Also with empty elements, RFC 9110, 5.6.1."""
_PLAIN_LIST, _MARK = r'(W/)?"[!#-~]*"', r"[ \t]*,[ \t]*"
DESCRIBED: Mapping[str, str | int | list[str]] = {
    "type": "string",
    "format": "entity-tags",
    "pattern": rf"^(\*|{_PLAIN_LIST}({_MARK}{_PLAIN_LIST})*)$",
    "maxLength": _LONGEST,
    "examples": ["*", '"an-etag-as-it-was-answered"'],
}
"""What the API's description says of these headers."""


@dataclass(frozen=True)
class Tags:
    """The tags that a header names; None means any, which a resource that is there has."""

    tags: frozenset[str] | None = None

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Those of that header; raises InvalidRequest."""
        text = text.strip(" \t")
        if text == "*":
            return cls()
        if len(text) > _LONGEST or not _LIST.fullmatch(text):
            got = f"got '{foreign(text, 80)}'" if text else "empty"
            message = f"{name}: {got}; accepts an ETag as it was answered, in its quotes, or *."
            raise InvalidRequest(message, details=[Detail("InvalidValue", message)])
        return cls(frozenset(re.findall(_TAG, text)))

    @property
    def text(self) -> str:
        """They in one order."""
        return "*" if self.tags is None else ", ".join(sorted(self.tags))

    def hold(self, tag: str) -> bool:
        """Whether that strong tag is among them, by the strong comparison: a weak one equals none."""
        return self.tags is None or tag in self.tags

    def hold_weakly(self, tag: str) -> bool:
        """Whether it is among them, by the weak comparison."""
        return self.tags is None or any(one.removeprefix("W/") == tag for one in self.tags)


@dataclass(frozen=True)
class Preconditions:
    """What a request asks of the resource it is about, before anything is done; without headers, nothing."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    @classmethod
    def parse(cls, if_match: str | None, if_none_match: str | None) -> Self:
        """Those of the headers, None for one that is not there; raises InvalidRequest for a malformed or an empty one."""
        return cls(
            None if if_match is None else Tags.parse(IF_MATCH, if_match),
            None if if_none_match is None else Tags.parse(IF_NONE_MATCH, if_none_match),
        )

    @property
    def text(self) -> str:
        """They as one text, the same for the same ones."""
        expected = "*" if self.if_match is None else self.if_match.text
        return expected if self.if_none_match is None else f"{expected}; not {self.if_none_match.text}"

    def check(self, tag: str | None) -> None:
        """Raises PreconditionFailed when a change must not be made to a resource of that tag, None for one not there."""
        refused = self.refusal(tag)
        if refused is not None:
            raise refused

    def refusal(self, tag: str | None) -> PreconditionFailed | None:
        """Why a change must not be made, None when it may be."""
        return self.mismatch(tag) or self._unwanted(tag)

    def mismatch(self, tag: str | None) -> PreconditionFailed | None:
        """Why the resource is not the one that If-Match wants, None when it is; to be asked of reads as well."""
        if self.if_match is None or (tag is not None and self.if_match.hold(tag)):
            return None
        if tag is None:
            return PreconditionFailed(f"{IF_MATCH}: there is no such resource, and so none of that tag.")
        return PreconditionFailed(
            f"{IF_MATCH}: the resource has changed since that tag was answered; it is {tag} now. Read it, then decide again."
        )

    def known(self, tag: str) -> bool:
        """Whether the caller of a read has what it would be answered."""
        return self.if_none_match is not None and self.if_none_match.hold_weakly(tag)

    def check_untagged(self) -> None:
        """Raises PreconditionFailed for what a resource without tags of its own, such as a list, can never meet."""
        if self.if_match is not None and self.if_match.tags is not None:
            raise PreconditionFailed(f"{IF_MATCH}: what this path names has no ETag; accepts *.")

    def _unwanted(self, tag: str | None) -> PreconditionFailed | None:
        if tag is None or not self.known(tag):
            return None
        return PreconditionFailed(f"{IF_NONE_MATCH}: the resource is there; it is {tag}.")


UNCONDITIONAL = Preconditions()
