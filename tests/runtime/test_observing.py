"""Who is told of answers: each of them, once, and only after it was given."""

from pathlib import Path

import pytest

from runtime.slipway_server import logs
from runtime.slipway_server.drivers.driver import load
from runtime.slipway_server.http.messages import CURRENT, Headers, Request, Response
from runtime.slipway_server.metrics import Metrics
from runtime.slipway_server.scoring import Scoring
from runtime.slipway_server.serving import close
from runtime.slipway_server.settings import Settings
from runtime.slipway_server.work.workers import Workers

DRIVER = "async def run(body):\n    return 1 / body\n"


class Notes:
    """Takes notes of what it is told."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def scored(self, request: Request, response: Response, began: float, seconds: float) -> None:
        assert began > 1e9
        assert 0 < seconds < 60
        self.events.append((request.id, response.status))

    def logged(self, level: str, message: str) -> None:
        request = CURRENT.get()
        self.events.append((request and request.id, level, message.splitlines()[-1]))

    def metrics(self) -> str:
        return f"notes_total {len(self.events)}\n"

    async def close(self) -> None:
        self.events.append("closed")


@pytest.fixture
async def notes_and_scoring(tmp_path: Path) -> tuple[Notes, Scoring]:
    (tmp_path / "score.py").write_text(DRIVER)
    notes = Notes()
    scoring = Scoring(Settings(driver="score.py"), tmp_path, (notes,), Metrics(), 0)
    scoring.ready(await load(tmp_path / "score.py", Workers(1)))
    return notes, scoring


def asked(method: str, path: str, body: bytes = b"") -> Request:
    return Request.of(method, path, Headers([("x-request-id", "r1")]), body, keep_alive=True)


async def test_an_observer_is_told_of_each_answer_after_it_was_given(notes_and_scoring: tuple[Notes, Scoring]) -> None:
    notes, scoring = notes_and_scoring
    scoring.answer(asked("POST", "/score", b"2"), lambda response: notes.events.append(response.body))
    scoring.answer(asked("GET", "/"), lambda response: notes.events.append(response.body))
    assert notes.events == [b"0.5", ("r1", 200), b"Healthy"]


async def test_an_observer_is_told_what_is_logged_and_under_which_request(notes_and_scoring: tuple[Notes, Scoring]) -> None:
    notes, scoring = notes_and_scoring
    logs.tell(notes.logged)
    scoring.answer(asked("POST", "/score", b"0"), lambda _: None)
    assert notes.events == [("r1", "ERROR", "ZeroDivisionError: division by zero"), ("r1", 500)]


async def test_what_an_observer_counts_is_told_with_the_rest(notes_and_scoring: tuple[Notes, Scoring]) -> None:
    _, scoring = notes_and_scoring
    given: list[bytes] = []
    scoring.answer(asked("GET", "/metrics"), lambda response: given.append(response.body))
    assert given[0].endswith(b"notes_total 0\n")
    assert b"slipway_slots " in given[0]


async def test_an_observer_is_closed(notes_and_scoring: tuple[Notes, Scoring]) -> None:
    notes, _ = notes_and_scoring
    await close([notes])
    assert notes.events == ["closed"]
