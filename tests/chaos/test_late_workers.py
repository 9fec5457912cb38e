"""A worker that was paused for longer than its lease: what it was about to write is not written any more."""

from pathlib import Path

import pytest

from shared.domain.images import Image
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import Operation, State
from tests.chaos.disturbance import Fault, Site
from tests.chaos.test_call_sites import REQUEST, work
from tests.chaos.worlds import ChaosWorld
from tests.twins import ACCOUNT


class PausedWorld(ChaosWorld):
    """Pauses whoever is about to register one thing more than so many, until what it works on is cancelled and has ended."""

    def __init__(self, registered: int) -> None:
        self.left = registered + 1
        super().__init__()

    def _disturb(self, site: Site) -> Fault | None:
        if (Path(site.file).name, site.call) == ("versions.py", "store.commit"):
            self.left -= 1
            return None if self.left else Fault.PAUSED
        return super()._disturb(site)

    async def _meanwhile(self, fault: Fault) -> None:
        for operation in await self.active():
            await self.ask_cancel(operation.id)
        await super()._meanwhile(fault)
        assert await self.active() == []


@pytest.mark.parametrize(("made", "kind"), list(enumerate([Model, Manifest, Image])))
async def test_a_paused_worker_adds_nothing_to_a_pipeline_that_was_cancelled_meanwhile(made, kind):
    world = PausedWorld(made)
    pipeline = await world.ask(Operation, lambda once: world.pipelines.run(ACCOUNT, REQUEST, once))
    await work(world)
    assert world.left == 0
    assert (await world.operation(pipeline)).state is State.CANCELLED
    assert await world.every(kind) == []
    assert [operation.id for operation in await world.every(Operation)] == [pipeline.id]
