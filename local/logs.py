"""Logs: one JSON object a line, on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import override

from shared.domain.errors import foreign

_LONGEST = 32_768  # a traceback stays whole


class JsonLines(logging.Formatter):
    """Each record as one line of JSON; the queries of URLs, which may hold signatures, are left out."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": foreign(record.getMessage(), _LONGEST, lines=True),
        }
        if record.exc_info:
            line["exception"] = foreign(self.formatException(record.exc_info), _LONGEST, lines=True)
        return json.dumps(line)


def configure() -> None:
    """The root logger at INFO; the libraries underneath only where they warn. What breaks the process is a line too."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("azure", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _log_what_broke


def last_words(file: Path) -> str:
    """What a program said last, in whatever form it logs."""
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - _LONGEST * 2))
        *_, line = log.read().decode(errors="replace").strip().splitlines() or ("nothing was said",)
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line


def _log_what_broke(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger(__name__).critical("the host broke", exc_info=(kind, error, trace))
