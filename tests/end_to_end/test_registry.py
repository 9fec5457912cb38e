"""The whole road into a registry that pages and deletes no tags: what others have there, and what succeeded, stays."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from local.azurite.server import free_ports
from tests.conftest import Stack
from tests.images.bases import push_base, small_layer
from tests.registries.habits import Habits, HabitualRegistry, digest_of, habitual
from tests.uploads import ECHO, Road, finished

FOREIGN = json.dumps({"schemaVersion": 2, "manifests": [], "annotations": {"of": "others"}}).encode()
OTHERS = digest_of(FOREIGN)


class HaltedPut:
    """Lets the put of one tag wait until a build is cancelled."""

    def __init__(self) -> None:
        self.tag = ""
        self.came = threading.Event()
        self.cancelled = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def __call__(self, request: web.Request) -> str:
        if request.method == "PUT" and self.tag and request.path.endswith(f"/manifests/{self.tag}"):
            self.came.set()
            await self.cancelled.wait()
        return ""

    def cancelled_at(self, tag: str, road: Road, manifest: str) -> dict[str, Any]:
        """The operation of a build that is cancelled while that tag is put."""
        self.tag = tag
        self.came.clear()
        self._loop.call_soon_threadsafe(self.cancelled.clear)
        accepted = road.build(manifest)
        assert self.came.wait(60)
        place = accepted.headers["Operation-Location"]
        assert road.api.post(f"{place.partition('?')[0]}/cancel").status_code == 202
        self._loop.call_soon_threadsafe(self.cancelled.set)
        return finished(road.api, accepted)


@pytest.fixture
def stack_of(tmp_path, layer_cache, monkeypatch):
    """A stack whose images go to a registry; stopped in the end."""
    started: list[Stack] = []

    def start(host: str) -> Stack:
        push_base(host, "base/python", small_layer())
        monkeypatch.setenv("SLIPWAY_REGISTRY", f"{host}/x")
        monkeypatch.setenv("SLIPWAY_BASE_IMAGE_PYTHON", f"{host}/base/python:1")
        started.append(Stack(tmp_path / "home", layer_cache, free_ports(1)[0]))
        started[-1].start()
        return started[-1]

    yield start
    for stack in started:
        stack.stop()


async def test_what_succeeded_and_what_others_have_outlives_builds_that_fail_or_are_cancelled(stack_of):
    put = HaltedPut()
    async with habitual(Habits(page=2, tag_delete=405, trouble=put)) as (registry, host):
        await asyncio.to_thread(_road, stack_of, registry, host, put)


def _road(stack_of: Callable[[str], Stack], registry: HabitualRegistry, host: str, put: HaltedPut) -> None:
    stack = stack_of(host)
    with stack.client() as api:
        road = Road(api, stack.description)
        one, two = road.manifest(), road.manifest(ECHO + b"# another\n")

        def built(manifest: str) -> dict[str, Any]:
            operation = finished(api, road.build(manifest))
            assert operation["state"] == "Succeeded", str(operation)
            return api.get(operation["resourceLocation"]).json()

        first = built(one)
        name = first["imageLocation"].removeprefix(f"{host}/").removesuffix(":1")
        tags, manifests = registry.tags[name], registry.manifests[name]
        manifests[OTHERS] = (FOREIGN, "application/vnd.oci.image.index.v1+json")
        tags |= {"2": OTHERS, "3": OTHERS, "5": OTHERS}

        skipped = built(one)
        assert (skipped["version"], skipped["imageLocation"]) == (4, f"{host}/{name}:4")
        assert api.get(f"images/{skipped['id']}").json()["version"] == 4

        failed = finished(api, road.build(road.manifest("http://127.0.0.1:1/driver.py")))
        assert (failed["state"], "warnings" in failed) == ("Failed", False)
        assert "taken back" not in failed["error"]["message"]

        twin = put.cancelled_at("6", road, one)
        assert (twin["state"], twin.get("error")) == ("Cancelled", None)
        assert [warning["code"] for warning in twin["warnings"]] == ["TagStays"]

        alone = put.cancelled_at("7", road, two)
        assert (alone["state"], "warnings" in alone) == ("Cancelled", False)

    others = {"2": OTHERS, "3": OTHERS, "5": OTHERS}
    ours = dict.fromkeys(["1", "4", "6"], first["imageDigest"])
    assert {tag: digest for tag, digest in registry.tags[name].items() if not tag.startswith("sha256-")} == others | ours
    assert {OTHERS, first["imageDigest"]} <= registry.manifests[name].keys()
