import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from shared.domain.building import Content, DependencyLayers, ImageSource, NotYet, PublishedImage, content_key
from shared.domain.errors import BuildFailed, Throttled, Unavailable
from shared.domain.manifests import Builder, RuntimeProperties
from shared.registries.registries import Registries
from shared.tasks.builder import TasksImageBuilder
from tests.registries.running import registry
from tests.tasks.acr import DENIED, SIGNATURE, TOKEN, Acr, Trouble
from tests.tasks.making import BASE, LAYER, MANIFEST_ID, OPERATION, WANTED, Inner, Log, nobody, push, source

KEY = content_key(MANIFEST_ID, "dependencies")
DIGEST = "sha256:" + "c3" * 32


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


class Build:
    """A builder, and one operation that is looked after as the workflow does it: what was left is given back."""

    def __init__(self, acr: Acr, builder: TasksImageBuilder, inner: Inner, place: str) -> None:
        self.acr, self.builder, self.inner = acr, builder, inner
        self.repository = f"{place}/dependencies"
        self.host = self.repository.partition("/")[0]
        self.log = Log()
        self.left: Any = {}

    async def look(self, wanted: ImageSource | None = None) -> DependencyLayers | NotYet:
        made = await self.builder.dependency_layers(replace(wanted or source(**WANTED), left=self.left), self.log)
        if isinstance(made, NotYet):
            self.left = json.loads(json.dumps(made.left))
        return made

    def ends(self, status: str = "Succeeded", log: bytes = b"", *, digest: str = DIGEST) -> None:
        """The run ends so, having pushed what it was asked to."""
        run = self.acr.run
        repository, _, tag = run.request["imageNames"][0].rpartition(":")
        run.status, run.log = status, log
        if digest:
            run.images = ({"registry": self.host, "repository": repository, "tag": tag, "digest": digest},)


@pytest.fixture
async def registries() -> AsyncIterator[Registries]:
    opened = Registries({}, lambda: pytest.fail("no registry here is Azure's"))
    yield opened
    await opened.close()


@pytest.fixture
def build(acr, runs, registries, host) -> Build:
    place, inner = f"{host}/{uuid4().hex}", Inner()

    async def requirements(wanted: ImageSource, log: Any) -> tuple[str, ...]:
        assert wanted.manifest.target_runtime.properties.pip_requirements == WANTED["pip_requirements"]
        return "six==1.17.0", "setuptools<81"

    made = TasksImageBuilder(inner, runs, registries, registry=place, platform="linux/amd64", requirements=requirements)
    return Build(acr, made, inner, place)


async def test_a_run_is_begun_under_the_operations_id_and_followed_to_its_end(build, acr):
    begun = await build.look()
    assert isinstance(begun, NotYet)
    assert (begun.delay.total_seconds(), begun.waiting_for) == (2, "the remote run yd1")
    assert list(acr.task_runs) == [OPERATION]
    acr.run.status, acr.run.log = "Running", b"Step 1/5 : FROM\nStep 2/5"
    assert isinstance(await build.look(), NotYet)
    build.ends(log=b"Step 1/5 : FROM\nStep 2/5 : USER root\nRun ID: yd1 was successful")
    made = await build.look()
    base = f"{build.repository}@{DIGEST}"
    assert made == DependencyLayers((LAYER,), base, {"y": Content("sha256:y"), KEY: Content(DIGEST)})
    ((_, asked),) = build.inner.asked
    assert (asked.base, asked.left, asked.manifest.target_runtime.properties) == (base, {}, RuntimeProperties())
    assert build.log.lines == [
        f"remote run yd1 for linux/amd64, on {BASE}",
        "it installs: gcc libgomp1 six==1.17.0 setuptools<81",
        "yd1: Step 1/5 : FROM",
        "yd1: Step 2/5 : USER root",
        "yd1: Run ID: yd1 was successful",
        f"dependencies: {base}, by the remote run yd1",
    ]


async def test_a_stage_that_is_repeated_begins_no_other_run(build, acr):
    await build.look()
    build.left = {}
    assert isinstance(await build.look(), NotYet)
    assert len(acr.runs) == 1
    assert sum(asked.startswith("PUT /taskRuns") for asked in acr.asked) == 1


async def test_looks_come_less_often_up_to_every_quarter_of_a_minute(build):
    delays = [(await build.look()).delay.total_seconds() for _ in range(8)]
    assert delays == [2, 3, 4.5, 6.75, 10, 15, 15, 15]


async def test_a_run_that_is_not_in_the_queue_yet_is_looked_for_again(build, acr):
    acr.task_runs[OPERATION] = None
    waiting = await build.look()
    assert (waiting.waiting_for, waiting.left) == ("the remote run to be queued", {})


async def test_packages_that_are_known_are_what_they_were(build, acr):
    digest = push(build.host, build.repository.partition("/")[2], "1")
    for no_cache in (False, True):
        wanted = replace(source(**WANTED, known={KEY: Content(digest)}), no_cache=no_cache)
        made = await build.look(wanted)
        assert (made.base, made.contents[KEY].digest) == (f"{build.repository}@{digest}", digest)
    assert acr.asked == []


async def test_packages_that_are_known_and_gone_are_not_replaced_by_others(build, acr):
    with pytest.raises(BuildFailed, match="Register the manifest again") as gone:
        await build.look(source(**WANTED, known={KEY: Content(DIGEST)}))
    assert gone.value.code == "DependenciesGone"
    assert acr.asked == []


async def test_an_image_of_the_same_packages_is_built_once(build, acr):
    await build.look()
    _, _, tag = acr.run.request["imageNames"][0].rpartition(":")
    build.left, before = {}, len(acr.asked)
    digest = push(build.host, build.repository.partition("/")[2], tag)
    other = replace(source(**WANTED, manifest_id=MANIFEST_ID[:-1] + "8"), operation_id=OPERATION[:-1] + "2")
    made = await build.look(other)
    assert made.base == f"{build.repository}@{digest}"
    assert len(acr.asked) == before
    assert "was built before, of the same packages" in build.log.lines[-1]


async def test_without_a_cache_it_is_built_anew(build, acr):
    await build.look()
    _, _, tag = acr.run.request["imageNames"][0].rpartition(":")
    push(build.host, build.repository.partition("/")[2], tag)
    build.left = {}
    anew = replace(source(**WANTED), no_cache=True, operation_id=OPERATION[:-1] + "2")
    assert isinstance(await build.look(anew), NotYet)
    assert [run.request["noCache"] for run in acr.runs.values()] == [False, True]


async def test_with_nothing_to_install_nothing_runs(build, acr):
    made = await build.look(source(builder=Builder.ACR_TASKS))
    assert made == DependencyLayers((LAYER,), BASE, {"y": Content("sha256:y")})
    assert acr.asked == []


async def test_an_image_that_the_run_does_not_name_is_found_by_its_tag(build, acr):
    await build.look()
    build.ends(digest="")
    with pytest.raises(Unavailable) as missing:
        await build.look()
    assert missing.value.code == "RemoteImageMissing"
    _, _, tag = acr.run.request["imageNames"][0].rpartition(":")
    digest = push(build.host, build.repository.partition("/")[2], tag)
    assert (await build.look()).base == f"{build.repository}@{digest}"


@pytest.mark.parametrize("status", ["Failed", "Canceled", "Error", "Timeout"])
async def test_a_run_that_fails_says_how_and_how_its_log_ends(build, acr, status):
    await build.look()
    url = f"https://storage/x.tar.gz?sig={SIGNATURE}"
    build.ends(status, f"start\nfetching {url}\nE: Unable to locate package libfoo\n".encode())
    acr.run.error = f"failed to run step: {url}"
    with pytest.raises(BuildFailed) as failed:
        await build.look()
    assert failed.value.code == "RemoteBuildFailed"
    assert failed.value.message == (
        f"The remote run yd1 ended as {status}: failed to run step: https://storage/x.tar.gz. "
        "Its log ends: start / fetching https://storage/x.tar.gz / E: Unable to locate package libfoo"
    )
    assert build.inner.asked == []


async def test_a_run_that_fails_says_so_even_when_its_log_cannot_be_read(build, acr):
    await build.look()
    build.ends("Failed", b"x\n")
    acr.troubles = [Trouble("POST", "/listLogSasUrl", 500, body=DENIED), Trouble("POST", "/listLogSasUrl", 403, body=DENIED)]
    with pytest.raises(BuildFailed) as failed:
        await build.look()
    assert failed.value.message == "The remote run yd1 ended as Failed"


async def test_a_run_that_failed_before_it_was_in_the_queue_is_a_failure(build, acr):
    acr.task_runs[OPERATION], acr.provisioning = None, "Failed"
    with pytest.raises(BuildFailed, match=r"^The remote run ended as Failed$"):
        await build.look()


async def test_a_log_that_cannot_be_read_for_the_moment_is_caught_up_with(build, acr):
    await build.look()
    acr.run.log = b"one\ntwo\n"
    acr.troubles = [Trouble("GET", "/rawtext.log", 503)]
    assert isinstance(await build.look(), NotYet)
    assert build.log.lines[-1] == "the log of the remote run yd1 cannot be read now: 127.0.0.1 answered 503."
    await build.look()
    assert build.log.lines[-2:] == ["yd1: one", "yd1: two"]


@pytest.mark.parametrize(
    ("trouble", "kind", "retry_after"),
    [
        (Trouble("GET", "/runs/yd1", 429, {"Retry-After": "30"}, DENIED), Throttled, 30.0),
        (Trouble("GET", "/runs/yd1", 500, body=DENIED), Unavailable, None),
        (Trouble("GET", "/runs/yd1", 403, body=DENIED), BuildFailed, None),
        (Trouble("POST", "/listLogSasUrl", 403, body=DENIED), BuildFailed, None),
    ],
)
async def test_trouble_between_two_looks_loses_nothing(build, acr, trouble, kind, retry_after):
    await build.look()
    left = build.left
    acr.troubles = [trouble]
    with pytest.raises(kind) as failed:
        await build.look()
    assert failed.value.retry_after == retry_after
    assert (failed.value.code == "RemoteBuilderDenied") == (kind is BuildFailed)
    build.left = left
    assert isinstance(await build.look(), NotYet)
    assert len(acr.runs) == 1


async def test_neither_log_nor_error_holds_a_signature_or_token(build, acr):
    await build.look()
    build.ends("Failed", f"curl https://h/?sig={SIGNATURE}\nBearer {TOKEN}\n".encode())
    with pytest.raises(BuildFailed) as failed:
        await build.look()
    said = "\n".join([*build.log.lines, failed.value.message])
    assert SIGNATURE not in said
    assert TOKEN not in said


async def test_a_cancelled_build_cancels_its_run_and_is_unpublished(build, acr):
    await build.look()
    for _ in range(2):
        await build.builder.ensure_unpublished(source(**WANTED), (LAYER,), build.log, nobody)
    assert (acr.run.status, acr.run.cancelled) == ("Canceled", 1)
    assert build.inner.unpublished == [(LAYER,), (LAYER,)]
    assert build.log.lines.count("cancelled the remote run yd1") == 1


async def test_a_build_that_began_no_run_is_unpublished_too(build, acr):
    await build.builder.ensure_unpublished(source(**WANTED), (), build.log, nobody)
    assert build.inner.unpublished == [()]
    assert acr.asked == [f"GET /taskRuns/{OPERATION}"]


async def test_content_and_publishing_are_the_other_builders(build):
    wanted = replace(source(**WANTED), base="x/y@" + DIGEST)
    assert (await build.builder.content_layers(wanted, build.log)).layers == (LAYER,)
    published = await build.builder.publish(wanted, (LAYER,), build.log)
    assert published == PublishedImage(f"over x/y@{DIGEST}", LAYER.digest)
    assert build.inner.calls == ["content_layers", "publish"]
