"""Versions under contention: all callers want the next one of the same name."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

CALLERS = 32
REGISTRATIONS = 1000


def test_a_thousand_registrations_of_one_name_at_once_are_versions_1_to_1000(stack):
    body = {"name": f"m-{uuid4().hex}", "url": "http://store/x.pkl", "mimeType": "application/json"}
    tickets = itertools.count()

    def register_some() -> list[int]:
        versions = []
        with stack.client() as api:
            while next(tickets) < REGISTRATIONS:
                answer = api.post("models", json=body)
                assert answer.status_code == 200, answer.text
                versions.append(answer.json()["version"])
        return versions

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(register_some) for _ in range(CALLERS)]
    answered = sorted(version for caller in callers for version in caller.result())
    assert answered == list(range(1, REGISTRATIONS + 1))
