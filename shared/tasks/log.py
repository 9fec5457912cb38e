"""A run's log, line by line into ours. What it holds is foreign text: cleaned, and bounded."""

import re

from shared.domain.errors import foreign
from shared.domain.ports import BuildLog
from shared.tasks.signed import read

_PIECE = 1024 * 1024
_MOST = 8 * 1024 * 1024
_LINE_LENGTH = 1000
_TAIL, _TAIL_LINES, _TAIL_LENGTH = 4096, 5, 600
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0e-\x1f\x7f-\x9f]")


async def follow(url: str, start: int, run_id: str, log: BuildLog, *, ended: bool) -> int:
    """Add what is new from `start` on; where to go on. A line is added when it is whole, or when the run has ended.

    Of a longer log, the first 8 MiB are added. Raises Unavailable; lines that were added by then come again.
    """
    at = start
    while at < _MOST:
        piece = await read(url, at, _PIECE)
        last = ended and at + len(piece.content) >= piece.total
        taken = piece.content if last else _whole_lines(piece.content)
        for line in _lines(taken):
            log.line(f"{run_id}: {line}")
        at += len(taken)
        if last or not ended:
            break
    if start < _MOST <= at:
        log.line(f"{run_id}: the log is longer; the rest of it stays with the run")
    return at


async def tail(url: str) -> str:
    """The last lines of a log, on one line."""
    total = (await read(url, 0, 1)).total
    start = max(0, total - _TAIL)
    lines = _lines((await read(url, start, _TAIL)).content)
    return " / ".join(lines[-_TAIL_LINES:])[-_TAIL_LENGTH:]


def _whole_lines(content: bytes) -> bytes:
    """A piece without a line's end is taken as one."""
    end = content.rfind(b"\n") + 1
    return content[:end] if end or len(content) < _PIECE else content


def _lines(content: bytes) -> list[str]:
    text = _CONTROLS.sub("", content.decode(errors="replace"))
    return [foreign(line.rstrip(), _LINE_LENGTH) for line in text.splitlines() if line.strip()]
