"""Callers of a service who go on calling while something happens to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.uploads import Road


class Callers:
    """Score that, each call on a connection of its own; `answers` are statuses and versions."""

    def __init__(self, road: Road, service: dict[str, Any], body: Any = 1) -> None:
        self._uri = service["scoringUri"]
        self._headers = {"Authorization": f"Bearer {road.keys(service)['primaryKey']}"}
        self._body = body
        self._done = threading.Event()
        self.answers: list[tuple[int, int]] = []

    @contextmanager
    def calling(self, callers: int, *, after: float = 0, once: bool = False) -> Iterator[None]:
        """So many at once until the context ends, or each of them once; one begins `after` seconds from the one before."""
        threads = [threading.Thread(target=self._call, args=(number * after, once)) for number in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _call(self, first: float, once: bool) -> None:
        self._done.wait(first)
        while not self._done.is_set():
            answer = httpx.post(self._uri, json=self._body, headers=self._headers, timeout=60)
            self.answers.append((answer.status_code, answer.json()["version"] if answer.status_code == 200 else 0))
            if once:
                return
            self._done.wait(0.05)
