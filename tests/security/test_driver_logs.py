"""A driver may print what it likes: the node keeps a bounded part, and serves everybody meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.compute.images import Made, make_image
from tests.compute.running import QUICK, Cluster, Service, counted, started

MEBIBYTES = 400
SAID_BY_THE_OTHER = 1024

type MakeImage = Callable[..., Made]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with started(tmp_path / "state") as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> MakeImage:
    return lambda **app: make_image(tmp_path / "layout", **app)


async def deployed(node: Cluster, image: MakeImage, name: str) -> Service:
    service = node.service(name)
    await service.deploy(image(), counted(1))
    return service


def size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # it was turned over just now
        return 0


def on_disk(node: Cluster) -> int:
    return sum(size(file) for file in node.files("logs/*/*"))


async def test_what_a_driver_prints_is_bounded_while_others_are_served(node: Cluster, image: MakeImage) -> None:
    noisy, other = await deployed(node, image, "noisy"), await deployed(node, image, "other")
    printing = asyncio.create_task(noisy.score(prints=MEBIBYTES))
    answers = 0
    while not printing.done():
        began = time.monotonic()
        await other.score()
        assert time.monotonic() - began < 5
        assert on_disk(node) <= 2 * QUICK.most_log + SAID_BY_THE_OTHER
        answers += 1
    await printing
    assert answers > 1
    assert QUICK.most_log < on_disk(node) <= 2 * QUICK.most_log + SAID_BY_THE_OTHER


async def test_a_driver_that_prints_for_ever_does_not_keep_the_node(tmp_path: Path, image: MakeImage) -> None:
    async with started(tmp_path / "state") as node:
        noisy = await deployed(node, image, "noisy")
        printing = await noisy.under_way(prints=1 << 40)
        began = time.monotonic()
    assert time.monotonic() - began < QUICK.grace + 3
    assert (await printing).status_code == 502
