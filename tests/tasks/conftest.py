from collections.abc import AsyncIterator, Iterator

import pytest

from shared.tasks.runs import TaskRuns
from tests.tasks.acr import Acr, Credential, task_runs


@pytest.fixture
def acr() -> Iterator[Acr]:
    with Acr() as serving:
        yield serving


@pytest.fixture
def credential() -> Credential:
    return Credential()


@pytest.fixture
async def runs(acr, credential) -> AsyncIterator[TaskRuns]:
    opened = task_runs(acr, credential)
    yield opened
    await opened.close()
