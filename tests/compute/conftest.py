"""A node in this process, with real replicas, and images made by hand for them to run."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.compute.images import Made, make_image
from tests.compute.running import Cluster, started

type Start = Callable[..., AbstractAsyncContextManager[Cluster]]


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., Made]:
    """Makes images in a layout of their own."""
    return partial(make_image, tmp_path / "layout")


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a node whose state outlives it."""
    return partial(started, tmp_path / "state")


@pytest.fixture
async def cluster(start: Start) -> AsyncIterator[Cluster]:
    """A node that runs."""
    async with start() as running:
        yield running
