"""Random histories of builds into a registry that pages, refuses deletes, and fails at any call.

Builds of few manifests run side by side, are cancelled in mid-call, lose their workers, and meet tags of others; at times
all tables are lost, or restored as they were a while ago. In the end whatever a store calls Succeeded can be pulled whole,
by tag and by digest; what others put is what it was; and nothing else has a tag, but what an operation warns of.
"""

import asyncio
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from shared.domain.documents import Document
from shared.domain.errors import ServiceError
from shared.domain.images import Image
from shared.domain.manifests import Asset, Manifest, ManifestRequest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.operations import Operation, State
from shared.images.builder import LayeringImageBuilder, _account_name
from shared.registries.registries import Registries
from shared.registries.repository import referrers_tag
from tests.images.making import make_builder, no_identity
from tests.registries.habits import Habits, HabitualRegistry, digest_of, habitual
from tests.twins import ACCOUNT, World

LONG = os.environ.get("SLIPWAY_CHAOS") == "long"
SEEDS = range(300 if LONG else 24)
FOREIGN = json.dumps({"schemaVersion": 2, "manifests": [], "annotations": {"of": "others"}}).encode()


class BuildingWorld(World):
    """Slipway on twins, but for images: those are built, and go to a registry."""

    def __init__(self, builder: LayeringImageBuilder) -> None:
        super().__init__()
        self.builder = builder
        self.engine = self.process(self.clock)
        self.working: list[asyncio.Task[None]] = []

    async def registered(self, name: str, driver: str) -> Manifest:
        request = ManifestRequest(
            name=name,
            driver_program="driver",
            assets=(Asset(id="driver", url=driver),),
            model_ids=(),
            target_runtime=TargetRuntime(runtime_type=RuntimeType.PYTHON, properties=RuntimeProperties()),
        )
        return await self.manifests.register(ACCOUNT, request)

    async def every[D: Document](self, kind: type[D]) -> list[D]:
        return list((await self.rows.page(ACCOUNT, kind, {}, count=1000)).items)

    async def cancel_one(self, chance: random.Random) -> None:
        active = [operation for operation in await self.every(Operation) if not operation.state.terminal]
        if active:
            with suppress(ServiceError):
                await self.operations.cancel(ACCOUNT, chance.choice(active).id)

    async def work(self, workers: int) -> None:
        """Deliver that many wake-ups at once; workers may be stopped."""
        self.working = [asyncio.create_task(self._deliver()) for _ in range(workers)]
        await asyncio.gather(*self.working, return_exceptions=True)
        failures = [task.exception() for task in self.working if not task.cancelled()]
        assert not any(failures), failures

    async def _deliver(self) -> None:
        await self.deliver_next()

    async def finish(self) -> None:
        """All operations end; what was lost is found by the sweep."""
        while any(not operation.state.terminal for operation in await self.every(Operation)):
            self.clock.advance(timedelta(seconds=30))
            await self.engine.sweep(ACCOUNT)
            await self.settle(2000)

    def backup(self) -> Any:
        """All tables, as they are now."""
        return dict(self.rows._rows), dict(self.rows._written)

    def restore(self, backup: Any) -> None:
        """All tables, as they were then."""
        rows, written = backup
        self.rows._rows.update(rows)
        self.rows._written.update(written)


class History:
    """One history, by its seed."""

    def __init__(self, seed: int, make: Callable[[str], LayeringImageBuilder], driver: Callable[[str], str]) -> None:
        self.chance = random.Random(seed)
        self._make = make
        self._driver = driver
        self.worlds: list[BuildingWorld] = []
        self.troubled = False
        self.backup: Any = None
        self.habits = Habits(
            page=self.chance.choice([0, 1, 2, 5]),
            tag_delete=self.chance.choice([202, 400, 405, 403]),
            manifest_delete=self.chance.choice([202, 202, 405, 403]),
            digest_header=self.chance.random() < 0.7,
            chunked=self.chance.random() < 0.3,
            mount=self.chance.choice([201, 202, 500]),
            trouble=self._trouble,
        )

    async def _trouble(self, request: web.Request) -> str:
        if not self.troubled:
            return ""
        if self.chance.random() < 0.03:
            await self.worlds[-1].cancel_one(self.chance)
        if self.chance.random() < 0.01:
            self.chance.choice(self.worlds[-1].working).cancel()
        return self.chance.choice(["500", "503", "429", "lost", "lost"]) if self.chance.random() < 0.06 else ""

    async def run(self, registry: HabitualRegistry, host: str) -> None:
        """Begin and cancel builds, and let workers work; then let all end in peace."""
        for tables in self.chance.choice([["new"], ["new", "new"], ["new", "restored"]]):
            world = BuildingWorld(self._make(host))
            world.clock.advance(timedelta(days=len(self.worlds)))
            if tables == "restored":
                world.restore(self.backup)
            self.worlds.append(world)
            await self._live(world)

    async def _live(self, world: BuildingWorld) -> None:
        manifests = await world.every(Manifest)
        manifests = manifests or [await world.registered(name, self._driver(name)) for name in ("one", "two")]
        self.backup, self.troubled = world.backup(), True
        for _ in range(self.chance.randint(3, 6)):
            await world.building(self.chance.choice(manifests))
            await world.work(self.chance.randint(0, 3))
        for _ in range(self.chance.randint(0, 12)):
            self.backup = world.backup() if self.chance.random() < 0.2 else self.backup
            await world.work(self.chance.randint(1, 3))
        self.troubled = False
        await world.finish()


async def judged(history: History, registry: HabitualRegistry, name: str, host: str, others: dict[str, str]) -> int:
    """How many images are Succeeded; each of them is there, and nothing else that nobody told of."""
    tags, manifests, blobs = registry.tags[name], registry.manifests[name], registry.blobs.get(name, {})
    assert {tag: tags.get(tag) for tag in others} == others
    told: dict[str, str] = dict(others)
    warned: set[str] = set()
    count, restored = 0, set[str]()
    for world in reversed(history.worlds):
        operations = {operation.id: operation for operation in await world.every(Operation)}
        given = set(others)
        assert all(operation.state.terminal for operation in operations.values())
        for image in await world.every(Image):
            operation = operations[image.operation_id]
            if image.id in restored:
                warned.add(str(image.version))  # what became of it by tables that are lost, nobody knows
                continue
            restored.add(image.id)
            assert image.creation_state is operation.state
            if image.creation_state is not State.SUCCEEDED:
                assert operation.state is State.CANCELLED or operation.cause is not None
                warned |= {str(image.version)} if operation.warnings else set()
                continue
            count += 1
            assert image.image_location == f"{host}/{name}:{image.version}"
            assert tags[str(image.version)] == image.image_digest
            assert str(image.version) not in given, "two images have one tag"
            given.add(str(image.version))
            told[str(image.version)] = image.image_digest
            content = manifests[image.image_digest][0]
            assert digest_of(content) == image.image_digest
            manifest = json.loads(content)
            assert {manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])} <= blobs.keys()
            said = json.loads(manifests[tags[referrers_tag(image.image_digest)]][0])
            assert {entry["digest"] for entry in said["manifests"]} <= manifests.keys()
            assert said["manifests"]
    left = {tag for tag in tags if not tag.startswith("sha256-")} - told.keys()
    assert left <= warned, "a tag stays that no operation warns of"
    return count


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_an_image_that_succeeded_can_be_pulled_whole(seed, tmp_path, sources, package_cache):
    opened: list[Registries] = []
    keep: Any = None

    def make(host: str) -> LayeringImageBuilder:
        opened.append(registries := Registries({}, no_identity))
        folder = tmp_path / str(len(opened))
        return make_builder(folder, sources, package_cache, registries, registry=f"{host}/x", images=None, keep=keep)

    def driver(name: str) -> str:
        return sources.put(f"{name}.py", f"# {name}\ndef init(): pass\ndef run(body): return body\n".encode())

    history = History(seed, make, driver)
    async with habitual(history.habits) as (registry, host):
        name = f"x/{_account_name(ACCOUNT)}/digits"
        others = {tag: digest_of(FOREIGN) for tag in history.chance.sample(["1", "2", "3", "5", "latest"], 2)}
        registry.manifests[name] = {digest_of(FOREIGN): (FOREIGN, "application/vnd.oci.image.index.v1+json")}
        registry.tags[name] = dict(others)
        try:
            await history.run(registry, host)
            await judged(history, registry, name, host, others)
        finally:
            for registries in opened:
                await registries.close()
