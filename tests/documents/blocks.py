"""The fenced blocks of the documents, and what becomes of each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
_FENCE = re.compile(r" *(```+|~~~+) *(\w*)")
_NOT_RUN = re.compile(r" *<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block; `reason` says why it is not run, `shown` what it prints: the text of the block right below it."""

    document: str
    line: int
    language: str
    text: str
    reason: str = ""
    shown: str = ""

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: Path) -> list[Block]:
    """All of a document, in their order; what is shown of a block's output is with that block."""
    found: list[Block] = []
    below = 0
    for block, end in _fenced(document):
        if block.line == below and block.language in ("json", "text") and not block.reason:
            found[-1] = Block(**{**vars(found[-1]), "shown": block.text})
        else:
            found.append(block)
        below = end + 1
    return found


def every_block() -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document)]


def to_run(document: Path) -> list[Block]:
    return [block for block in blocks(document) if block.language == "bash" and not block.reason]


def _fenced(document: Path) -> Iterator[tuple[Block, int]]:
    """Each block, and the number of its last line."""
    lines = ["", *document.read_text().splitlines()]
    number = 1
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened:
            end = next(at for at in range(number + 1, len(lines)) if lines[at].strip() == opened[1])
            mark = _NOT_RUN.fullmatch(lines[number - 1])
            text = "\n".join(lines[number + 1 : end]) + "\n"
            name = str(document.relative_to(REPOSITORY))
            yield Block(name, number, opened[2], text, reason=mark[1] if mark else ""), end
            number = end
        number += 1
