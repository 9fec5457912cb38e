"""Builds that cannot succeed, as their callers see them: a failed operation, what to change, and nothing tagged."""

import io
import random
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.domain.manifests import Asset, Manifest, ManifestRequest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.models import Model
from shared.domain.operations import Operation, State
from shared.registries.logins import Login
from shared.registries.registries import Registries
from tests.images.bases import push_base, small_layer
from tests.images.making import DRIVER, make_builder, no_identity, tar_gz
from tests.images.sources import Sources
from tests.registries.running import TokenService, registry
from tests.twins import ACCOUNT, World


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as address:
        push_base(address, "base/python", small_layer())
        yield address


@dataclass
class Builds:
    """All of Slipway but its triggers, with a real builder in it that pushes to a real registry."""

    world: World
    sources: Sources
    host: str
    name: str

    async def manifest(
        self, *models: Model, requirements: str | None = None, assets: tuple[Asset, ...] = (), driver: str = "driver.py"
    ) -> Manifest:
        url = self.sources.put("requirements.txt", requirements.encode()) if requirements is not None else None
        self.sources.put("driver.py", DRIVER)
        request = ManifestRequest(
            name="digits",
            driver_program="driver",
            assets=(Asset(id="driver", url=self.sources.url(driver)), *assets),
            model_ids=tuple(model.id for model in models),
            target_runtime=TargetRuntime(
                runtime_type=RuntimeType.PYTHON, properties=RuntimeProperties(pip_requirements=url)
            ),
        )
        return await self.world.manifests.register(ACCOUNT, request)

    async def model(self, path: str, content: bytes, *, unpack: bool = False, **how: Any) -> Model:
        url = self.sources.put(path, content, **how)
        return await self.world.model(path.replace("/", "-"), url=url, unpack=unpack)

    async def built(self, manifest: Manifest) -> Operation:
        operation = await self.world.building(manifest)
        await self.world.settle()
        return await self.world.operation(operation)

    def tags(self) -> list[str]:
        """Of all repositories that images went to."""
        catalog = httpx.get(f"http://{self.host}/v2/_catalog?n=1000").json()["repositories"]
        mine = [name for name in catalog if name.startswith(self.name)]
        lists = [httpx.get(f"http://{self.host}/v2/{name}/tags/list").json().get("tags") for name in mine]
        return [tag for tags in lists for tag in tags or []]


@pytest.fixture
async def make(tmp_path, sources, package_cache) -> AsyncIterator[Callable[..., Builds]]:
    opened: list[Registries] = []

    def made(host: str, base: str = "base/python:1", login: Login | None = None, **settings: Any) -> Builds:
        registries, name = Registries({host: login} if login else {}, no_identity), f"t{uuid4().hex}"
        opened.append(registries)
        given = {"registry": f"{host}/{name}", "images": None, "bases": {RuntimeType.PYTHON: f"{host}/{base}"}}
        world = World()
        world.builder = make_builder(tmp_path / name, sources, package_cache, registries, **{**given, **settings})
        world.process(world.clock)
        return Builds(world, sources, host, name)

    yield made
    for registries in opened:
        await registries.close()


@pytest.fixture
def builds(make, host) -> Builds:
    return make(host)


async def told(builds: Builds, operation: Operation) -> str:
    """What the build's log says, when the operation failed as one must that its caller can mend."""
    error = operation.error
    image = await builds.world.images.get(ACCOUNT, operation.resource_id)
    log = builds.world.logs.text(ACCOUNT, operation.resource_id)
    assert (operation.state, image.creation_state) == (State.FAILED, State.FAILED)
    assert 400 <= error.status_code < 500
    assert error.details[0].message == f"images/{image.id}/logs"
    assert error.message in log
    assert "SECRET" not in log + error.message
    assert image.image_location is None
    assert builds.tags() == []
    return error.message


def bomb() -> bytes:
    return tar_gz({"bomb": bytes(400_000_000)})


def outside() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/passwd"))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("driver", "code", "said"),
    [
        (b"import pickle\n\ndef run(body:\n    return body\n", "DriverSyntaxError", "(driver.py), line 3: it is no Python"),
        (b"def init(): pass\ndef predict(body): pass\n", "DriverWithoutRun", "its functions are init, predict"),
    ],
)
async def test_a_driver_that_cannot_serve_fails_the_build_in_its_first_step(builds, driver, code, said):
    manifest = await builds.manifest(requirements="six==1.17.0\n")
    builds.sources.put("driver.py", driver)
    operation = await builds.built(manifest)
    assert said in await told(builds, operation)
    assert operation.error.code == code
    assert builds.sources.served("requirements.txt").asked == 0


async def test_an_expired_signature_says_so(builds):
    model = await builds.model("model.pkl", b"", status=403)
    said = await told(builds, await builds.built(await builds.manifest(model)))
    assert "model.pkl cannot be fetched" in said
    assert "register a URL with a fresh one (403)" in said


async def test_an_url_that_nobody_answers_at_is_tried_again_and_then_named(builds):
    model = await builds.world.model("model", url="http://127.0.0.1:1/model.pkl?sig=SECRET")
    assert "127.0.0.1 is no public address" in await told(builds, await builds.built(await builds.manifest(model)))
    away = await builds.model("away.pkl", b"", status=503)
    operation = await builds.built(await builds.manifest(away))
    assert sum(step.attempts for step in operation.steps) >= 8
    assert "its server answers 503" in await told(builds, operation)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"weights, not an archive", "is no tar, tar.gz, tar.bz2 or zip"),
        (outside, "its member '../../etc/passwd' is refused"),
        (bomb, "it unpacks to more than"),
        (lambda: tar_gz({"a": b"1" * 5000})[:-40], "cannot be unpacked"),
    ],
    ids=["wrong", "outside", "bomb", "cut"],
)
async def test_an_archive_that_must_not_be_unpacked_says_why(builds, content, said):
    model = await builds.model("m.tar.gz", content(), unpack=True)
    assert said in await told(builds, await builds.built(await builds.manifest(model)))


async def test_two_files_of_one_name_are_both_named(builds):
    models = [await builds.model(path, b"1") for path in ("a/model.pkl", "b/model.pkl")]
    said = await told(builds, await builds.built(await builds.manifest(*models)))
    assert "model a-model.pkl version 1 and model b-model.pkl" in said or "model b-model.pkl version 1 and model a-" in said


@pytest.mark.parametrize(
    ("requirements", "code", "said"),
    [
        ("no-such-package-of-slipways\n", "RequirementNotFound", "no-such-package-of-slipways"),
        ("requests==2.32.0\nurllib3==1.20\n", "DependencyConflict", "urllib3"),
        ("ujson==1.35\n", "NoWheel", "ujson"),
        ("six\n--index-url http://x/simple\n", "BadRequirements", "Line 2"),
    ],
)
async def test_requirements_that_cannot_be_had_say_what_to_change(builds, requirements, code, said):
    operation = await builds.built(await builds.manifest(requirements=requirements))
    assert said in await told(builds, operation)
    assert operation.error.code == code


async def test_a_conflict_says_who_asks_for_what(builds):
    operation = await builds.built(await builds.manifest(requirements="requests==2.32.0\nurllib3==1.20\n"))
    details = " ".join(detail.message for detail in operation.error.details)
    assert "requests" in details
    assert "urllib3" in details


async def test_a_base_image_that_is_not_there_is_named(make, host):
    builds = make(host, base="base/none:1")
    operation = await builds.built(await builds.manifest())
    assert f"There is no base image {host}/base/none:1" in await told(builds, operation)


async def test_a_driver_that_is_gone_is_named(builds):
    operation = await builds.built(await builds.manifest(driver="gone.py"))
    assert "gone.py cannot be fetched: there is nothing there (404)" in await told(builds, operation)


async def test_who_may_not_push_is_told_so(make, tmp_path):
    tokens = TokenService(permitted=("pull",))
    with registry(tmp_path, tokens.auth(tmp_path)) as host:
        builds = make(host, login=Login(*tokens.login), bases={})
        operation = await builds.built(await builds.manifest())
        assert (operation.state, operation.error.code) == (State.FAILED, "RegistryDenied")
        assert 400 <= operation.error.status_code < 500
        assert "does not permit it" in operation.error.message
    tokens.stop()


async def test_a_registry_that_is_full_or_away_is_an_outage_and_the_build_goes_on_when_it_is_over(make, tmp_path):
    with registry(tmp_path / "one", most_bytes=50_000) as host:
        builds = make(host, bases={})
        model = await builds.model("model.pkl", random.Random(7).randbytes(200_000))
        operation = await builds.world.building(await builds.manifest(model))
        await builds.world.deliver_next()
        waiting = await builds.world.operation(operation)
        assert (waiting.state, waiting.attempts) == (State.RUNNING, 1)
        assert "registry" in waiting.waiting_for
        port = int(host.rpartition(":")[2])
    await builds.world.deliver_next()
    waiting = await builds.world.operation(operation)
    assert (waiting.state, waiting.attempts) == (State.RUNNING, 2)
    assert "away" in waiting.waiting_for
    with registry(tmp_path / "one", port=port):
        await builds.world.settle()
        assert (await builds.world.operation(operation)).state is State.SUCCEEDED
        assert "1" in builds.tags()
