import gzip
import io
import logging
import tarfile
from datetime import timedelta

import pytest
from azure.core import AzureClouds
from azure.core.exceptions import ClientAuthenticationError

from shared.domain.errors import BuildFailed, ServiceError, Throttled, Unavailable
from shared.domain.fencing import LeaseLost, fenced
from shared.registries.resources import RegistryResource
from shared.tasks.context import packed
from shared.tasks.log import follow, tail
from shared.tasks.runs import Run, TaskRuns, cloud_of
from shared.tasks.signed import read
from tests.tasks.acr import DENIED, GROUP, REGISTRY, RESOURCE_ID, SIGNATURE, SUBSCRIPTION, TOKEN, Trouble, task_runs
from tests.tasks.making import Log

NAME = "0199aaaa-0000-7000-8000-000000000001"
DIGEST = "sha256:" + "c3" * 32


async def begun(runs: TaskRuns, *, no_cache: bool = False) -> Run:
    context = packed({"Dockerfile": "FROM x\n"})
    return await runs.begin(NAME, context=context, image="slipway/dependencies:1", platform="linux/amd64", no_cache=no_cache)


@pytest.mark.parametrize("text", [RESOURCE_ID, RESOURCE_ID.lower(), f"  {RESOURCE_ID}/"])
def test_a_registry_is_known_by_its_resource_id(text):
    found = RegistryResource.parse(text)
    assert (found.subscription, found.resource_group.lower(), found.name.lower()) == (
        SUBSCRIPTION,
        GROUP.lower(),
        REGISTRY.lower(),
    )


@pytest.mark.parametrize(
    "text",
    ["", REGISTRY, RESOURCE_ID + "/taskRuns/x", RESOURCE_ID.replace("ContainerRegistry", "Storage"), RESOURCE_ID + "?x"],
)
def test_what_is_no_registrys_resource_id_is_refused(text):
    with pytest.raises(ValueError, match="accepts /subscriptions/"):
        RegistryResource.parse(text)


async def test_a_run_builds_the_context_that_was_sent_and_pushes_it_under_the_name(acr, runs, credential):
    assert await begun(runs) == Run("yd1", "Queued")
    assert acr.run.request == {
        "type": "DockerBuildRequest",
        "dockerFilePath": "Dockerfile",
        "imageNames": ["slipway/dependencies:1"],
        "isPushEnabled": True,
        "noCache": False,
        "platform": {"os": "Linux", "architecture": "amd64"},
        "sourceLocation": "source/202601010000/0.tar.gz",
        "timeout": 1800,
    }
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(acr.contexts["source/202601010000/0.tar.gz"]))) as context:
        assert context.extractfile("Dockerfile").read() == b"FROM x\n"
    assert acr.asked[-1] == f"PUT /taskRuns/{NAME}"
    assert credential.scopes == {"https://management.azure.com/.default"}


async def test_a_run_is_found_by_the_name_it_was_begun_under(acr, runs):
    assert await runs.find(NAME) is None
    await begun(runs, no_cache=True)
    assert acr.run.request["noCache"] is True
    assert await runs.find(NAME) == Run("yd1", "Queued")


async def test_a_run_that_is_not_in_the_queue_yet_has_no_id(acr, runs):
    acr.task_runs[NAME] = None
    assert await runs.find(NAME) == Run("", "Creating")
    with pytest.raises(Unavailable):
        await runs.ensure_canceled(NAME)


@pytest.mark.parametrize("status", ["Queued", "Started", "Running", "Succeeded", "Failed", "Canceled", "Error", "Timeout"])
async def test_a_run_has_ended_when_its_status_says_so(acr, runs, status):
    await begun(runs)
    acr.run.status = status
    found = await runs.get("yd1")
    assert (found.status, found.ended) == (status, status not in ("Queued", "Started", "Running"))


async def test_a_run_tells_what_it_pushed_and_what_went_wrong(acr, runs):
    await begun(runs)
    image = {"registry": "myregistry.azurecr.io", "repository": "slipway/dependencies", "tag": "1", "digest": DIGEST}
    acr.run.images, acr.run.error = (image,), "failed to pull"
    assert await runs.get("yd1") == Run("yd1", "Queued", "failed to pull", (("slipway/dependencies:1", DIGEST),))


@pytest.mark.parametrize(("given", "asked"), [(timedelta(seconds=1), 300), (timedelta(days=30), 28800)])
async def test_the_time_a_run_has_is_within_what_the_service_takes(acr, credential, given, asked):
    runs = task_runs(acr, credential, timeout=given)
    await begun(runs)
    await runs.close()
    assert acr.run.request["timeout"] == asked


@pytest.mark.parametrize("status", [200, 202])
async def test_a_cancelled_run_is_cancelled_once(acr, runs, status):
    await begun(runs)
    acr.cancel_status = status
    assert (await runs.ensure_canceled(NAME)).id == "yd1"
    assert await runs.ensure_canceled(NAME) is None
    assert acr.run.cancelled == 1


async def test_cancelling_is_harmless_when_the_run_never_began_or_has_ended(acr, runs):
    assert await runs.ensure_canceled(NAME) is None
    await begun(runs)
    acr.run.status = "Failed"
    assert await runs.ensure_canceled(NAME) is None
    assert acr.run.cancelled == 0


async def test_cancelling_is_harmless_when_the_run_ends_meanwhile(acr, runs):
    await begun(runs)
    acr.cancel_status = 400
    assert await runs.ensure_canceled(NAME) is None


async def test_a_run_that_cannot_be_cancelled_is_an_error(acr, runs):
    await begun(runs)
    acr.troubles = [Trouble("POST", "/cancel", 400, body={"error": {"code": "BadRequest", "message": "no"}})]
    with pytest.raises(BuildFailed, match="no"):
        await runs.ensure_canceled(NAME)


async def test_a_worker_that_lost_its_lease_begins_and_cancels_nothing(acr, runs):
    await begun(runs)

    def lost() -> None:
        raise LeaseLost("somebody else's")

    with fenced(lost), pytest.raises(LeaseLost):
        await begun(runs)
    with fenced(lost), pytest.raises(LeaseLost):
        await runs.ensure_canceled(NAME)
    assert acr.run.cancelled == 0
    assert len(acr.contexts) == 1


AWAY, STORAGE_AWAY = "RemoteBuilderAway", "RemoteStorageAway"
DENIES, REFUSES = "RemoteBuilderDenied", "RemoteBuilderRefused"


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (Trouble("POST", "UploadUrl", 403, body=DENIED), DENIES),
        (Trouble("PUT", "taskRuns", 401, body=DENIED), DENIES),
        (Trouble("POST", "UploadUrl", 404, body=DENIED), REFUSES),
        (Trouble("PUT", "taskRuns", 400, body=DENIED), REFUSES),
        (Trouble("PUT", "taskRuns", 429, body=DENIED), "TooManyRequests"),
        (Trouble("PUT", "taskRuns", 409, body=DENIED), AWAY),
        (Trouble("POST", "UploadUrl", 503, body=DENIED), AWAY),
        (Trouble("POST", "UploadUrl", 502, body=b"<html>Bad Gateway"), AWAY),
        (Trouble("PUT", "taskRuns", 504), AWAY),
        (Trouble("POST", "UploadUrl", 0), AWAY),
        (Trouble("PUT", "taskRuns", 0), AWAY),
        (Trouble("PUT", "/container/", 503), STORAGE_AWAY),
        (Trouble("PUT", "/container/", 0), STORAGE_AWAY),
        (Trouble("PUT", "/container/", 403), STORAGE_AWAY),
    ],
    ids=lambda value: f"{value.path}-{value.status}" if isinstance(value, Trouble) else value,
)
async def test_each_trouble_says_whether_it_may_heal_and_gives_nothing_away(acr, runs, caplog, trouble, code):
    caplog.set_level(logging.DEBUG)
    acr.troubles = [trouble] if trouble.status else [trouble, trouble]  # the client itself asks again, once
    with pytest.raises(ServiceError) as failed:
        await begun(runs)
    assert failed.value.code == code
    assert failed.value.retryable == (code not in (DENIES, REFUSES))
    assert acr.runs == {}
    said = f"{failed.value!r} {failed.value} {failed.value.__cause__} {caplog.text}"
    assert TOKEN not in said
    assert SIGNATURE not in said
    acr.troubles.clear()
    assert await begun(runs) == Run("yd1", "Queued")


async def test_who_is_throttled_is_told_for_how_long(acr, runs):
    acr.troubles = [Trouble("POST", "UploadUrl", 429, {"Retry-After": "17"}, DENIED)]
    with pytest.raises(Throttled) as throttled:
        await begun(runs)
    assert throttled.value.retry_after == 17


async def test_an_identity_that_cannot_sign_in_may_be_able_to_later(acr, runs, credential):
    credential.refused = ClientAuthenticationError("no managed identity answers")
    with pytest.raises(BuildFailed, match="no managed identity answers") as failed:
        await runs.find(NAME)
    assert (failed.value.code, failed.value.retryable) == ("RemoteBuilderDenied", True)
    assert acr.asked == []


@pytest.mark.parametrize(
    ("host", "cloud"),
    [
        ("a.azurecr.io", AzureClouds.AZURE_PUBLIC_CLOUD),
        ("a.azurecr.us", AzureClouds.AZURE_US_GOVERNMENT),
        ("a.azurecr.cn", AzureClouds.AZURE_CHINA_CLOUD),
        ("ghcr.io", None),
        ("azurecr.io.example.org", None),
    ],
)
def test_the_registrys_host_says_whose_management_api_knows_it(host, cloud):
    assert cloud_of(host) is cloud


class Following:
    """A log that is followed look by look."""

    def __init__(self, acr, runs) -> None:
        self.acr, self.runs, self.log, self.read = acr, runs, Log(), 0

    async def look(self, log: bytes | None, *, ended: bool = False) -> list[str]:
        self.acr.run.log, before = log, len(self.log.lines)
        self.read = await follow(await self.runs.log_url("yd1"), self.read, "yd1", self.log, ended=ended)
        return self.log.lines[before:]


@pytest.fixture
async def following(acr, runs) -> Following:
    await begun(runs)
    return Following(acr, runs)


async def test_a_growing_log_is_added_line_by_line_each_once(following):
    assert await following.look(None) == []
    assert await following.look(b"") == []
    assert await following.look(b"Step 1\r\nSte") == ["yd1: Step 1"]
    assert await following.look(b"Step 1\r\nSte") == []
    assert await following.look(b"Step 1\r\nStep 2\r\n\r\nStep 3") == ["yd1: Step 2"]
    assert await following.look(b"Step 1\r\nStep 2\r\n\r\nStep 3", ended=True) == ["yd1: Step 3"]
    assert await following.look(b"Step 1\r\nStep 2\r\n\r\nStep 3", ended=True) == []


async def test_letters_that_arrive_in_parts_are_whole(following):
    text = "größer\n".encode()
    assert await following.look(text[:3]) == []
    assert await following.look(text) == ["yd1: größer"]


async def test_a_log_has_no_signatures_tokens_or_terminal_codes(following):
    text = (
        f"\x1b[31mGET\x1b[0m https://host/x?{SIGNATURE}\nAuthorization: Bearer {TOKEN}\nhttps://me:{TOKEN}@host/\n\x07done\n"
    )
    lines = await following.look(text.encode())
    assert lines == ["yd1: GET https://host/x", "yd1: Authorization: Bearer …", "yd1: https://host/", "yd1: done"]


async def test_of_a_long_log_all_is_added_at_its_end_and_of_an_endless_one_the_beginning(following):
    line = b"x" * 99 + b"\n"
    long = line * 30_000
    assert len(await following.look(long)) == 10_485
    assert len(await following.look(long, ended=True)) == 30_000 - 10_485
    endless = await following.look(line * 100_000, ended=True)
    assert endless[-1] == "yd1: the log is longer; the rest of it stays with the run"
    assert following.read < 9 * 1024 * 1024
    assert await following.look(line * 110_000, ended=True) == []


async def test_one_endless_line_is_cut(following):
    lines = await following.look(b"x" * 3_000_000, ended=True)
    assert len(lines) == 3
    assert max(len(line) for line in lines) < 1010


async def test_the_tail_of_a_log_is_its_last_lines(acr, runs):
    await begun(runs)
    url = await runs.log_url("yd1")
    assert await tail(url) == ""
    acr.run.log = b"first\n" * 5000 + b"gcc: error\nERROR: failed building wheel\nexit 1\n\n"
    assert await tail(url) == "first / first / gcc: error / ERROR: failed building wheel / exit 1"
    acr.run.log = ("x" * 900 + "y\n").encode() * 3
    assert len(await tail(url)) == 600


@pytest.mark.parametrize("status", [403, 500, 301, 200, 0])
async def test_a_log_that_cannot_be_read_is_away_and_its_url_stays_unknown(acr, runs, status):
    await begun(runs)
    acr.run.log = b"x\n"
    acr.troubles = [Trouble("GET", "/rawtext.log", status) for _ in range(1 if status else 2)]
    with pytest.raises(Unavailable) as failed:
        await read(await runs.log_url("yd1"), 0, 10)
    assert failed.value.code == "RemoteStorageAway"
    assert SIGNATURE not in f"{failed.value!r} {failed.value} {failed.value.__cause__}"
