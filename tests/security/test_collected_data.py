"""What a driver gets for data collection: it adds to what is collected, and does nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from azure.storage.blob import BlobServiceClient

from local.azurite.server import Azurite
from local.compute.grants import Grants
from runtime.slipway_server.telling.teller import Teller
from shared.clock import SystemClock
from shared.domain.computing import CollectionTargets
from shared.domain.service_settings import ModelDataCollection, ServiceSettings
from shared.storage.collected_data import CollectedData
from shared.storage.connection import StorageSettingError
from tests.compute.images import make_image
from tests.compute.running import Service, counted, started
from tests.runtime.telling import Kept, answered, app
from tests.twins import ManualClock
from tests.waiting import until

type Capture = pytest.CaptureFixture[str]

RUNTIME = Path(__file__).parents[2] / "runtime"
COLLECTS = ServiceSettings(data_collection=ModelDataCollection(storage_enabled=True))
ECHO = "def run(body):\n    return body\n"
ATTACKER = """
import os, pathlib, urllib.error, urllib.request
def told():
    held = [os.environ["AML_MODEL_DC_STORAGE"], pathlib.Path(os.environ["SLIPWAY_KEYS"], "storage").read_text()]
    return [dict(part.split("=", 1) for part in text.split(";")) for text in held]
def tried(method, url, headers, body):
    request = urllib.request.Request(url, method=method, headers=headers, data=body.encode() if body else None)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
def run(body):
    if body == "environment":
        return dict(os.environ)
    method, path, query, headers, content = body
    urls = [f"{at['BlobEndpoint']}{path}?{query}&{at['SharedAccessSignature']}" for at in told()]
    return [tried(method, url, headers, content) for url in urls]
"""


@pytest.fixture
def everything(azurite: Azurite) -> Iterator[BlobServiceClient]:
    """The storage account with its key."""
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service


@pytest.fixture
async def granted(azurite: Azurite) -> AsyncIterator[str]:
    """What a driver gets."""
    data = CollectedData(azurite.connection_string, SystemClock())
    yield await data.current()
    await data.close()


@pytest.fixture
async def grants(azurite: Azurite, granted: str) -> AsyncIterator[tuple[str, str]]:
    """What a driver got a month ago, and what it gets now."""
    clock = ManualClock()
    clock.advance(datetime.now(UTC) - timedelta(days=30) - clock.now())
    data = CollectedData(azurite.connection_string, clock)
    yield await data.current(), granted
    await data.close()


def image_of(account: str, layout: Path, driver: str):
    described = {
        "accountContext": {"subscriptionId": "sub", "resourceGroupName": "group", "accountName": account},
        "models": {"iris": {"id": "0b5c", "version": 3}},
    }
    return make_image(
        layout / account, runtime=RUNTIME, **{"driver.py": driver, "model_config_map.json": json.dumps(described)}
    )


@pytest.fixture
async def two(azurite: Azurite, tmp_path: Path) -> AsyncIterator[tuple[Service, Service]]:
    """A service of account A that collects, and one of account B whose driver is up to no good; on one node."""
    targets = CollectionTargets(storage=azurite.connection_string)
    collecting = counted(1).but(
        data_collection=ModelDataCollection(storage_enabled=True),
        environment_variables={"SLIPWAY_COLLECTION_SECONDS": "0"},
    )
    async with started(tmp_path / "state", targets=targets) as node:
        honest, attacker = node.service("honest"), node.service("attacker")
        await honest.deploy(image_of("a", tmp_path, ECHO), collecting)
        await attacker.deploy(image_of("b", tmp_path, ATTACKER), collecting)
        yield honest, attacker


async def scored(service: Service, body: object) -> object:
    key = {"Authorization": "Bearer the primary key"}
    answer = await service.cluster.http.post(f"{service.address}/score", headers=key, json=body)
    assert answer.status_code == 200
    return answer.json()


async def test_a_driver_of_another_account_lists_reads_and_overwrites_in_vain(
    two: tuple[Service, Service], everything: BlobServiceClient, kept: Kept
) -> None:
    honest, attacker = two
    await scored(honest, {"age": 36})
    await kept.until("sub/group/a/honest/0b5c-iris-3/inputs", 1)
    (name,) = kept.names("sub/group/a/honest/0b5c-iris-3/inputs")
    text = kept.text(name)
    everything.create_container("other")
    block, there = {"x-ms-blob-type": "BlockBlob"}, f"/modeldata/{name}"
    attempts = [
        ("GET", "/", "comp=list", {}, ""),
        ("GET", "/modeldata", "restype=container&comp=list", {}, ""),
        ("GET", there, "x=y", {}, ""),
        ("HEAD", there, "x=y", {}, ""),
        ("GET", there, "comp=metadata", {}, ""),
        ("PUT", there, "x=y", block, "overwritten"),
        ("PUT", there, "x=y", {"x-ms-blob-type": "AppendBlob"}, ""),
        ("PUT", there, "comp=block&blockid=AAAA", {}, "overwritten"),
        ("PUT", there, "comp=metadata", {"x-ms-meta-a": "b"}, ""),
        ("PUT", there, "comp=properties", {"x-ms-blob-content-type": "text/html"}, ""),
        ("PUT", there, "comp=lease", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1"}, ""),
        ("DELETE", there, "x=y", {}, ""),
        ("DELETE", "/modeldata", "restype=container", {}, ""),
        ("PUT", "/mine", "restype=container", {}, ""),
        ("PUT", "/other/blob", "x=y", block, "new"),
    ]
    for attempt in attempts:
        assert await scored(attacker, attempt) == [403, 403], attempt
    assert kept.text(name) == text


async def test_a_driver_is_told_no_key_of_an_account(two: tuple[Service, Service], azurite: Azurite) -> None:
    told = await scored(two[1], "environment")
    key = azurite.connection_string.partition("AccountKey=")[2].partition(";")[0]
    assert key
    assert key not in json.dumps(told)
    (signature,) = [part for part in told["AML_MODEL_DC_STORAGE"].split(";") if part.startswith("SharedAccessSignature=")]
    allowed = parse_qs(signature.partition("=")[2])
    assert (allowed["sr"], allowed["sp"]) == (["c"], ["ac"])
    assert timedelta(days=6) < datetime.fromisoformat(allowed["se"][0]) - datetime.now(UTC) <= timedelta(days=7)


@pytest.fixture
def kept(azurite: Azurite) -> Iterator[Kept]:
    kept = Kept(azurite.connection_string)
    yield kept
    kept.close()


@pytest.fixture
async def collecting(tmp_path: Path) -> AsyncIterator[Callable[..., Teller]]:
    """Start the telling part of a replica."""
    tellers: list[Teller] = []

    def start(service: str, storage: str, **more: str) -> Teller:
        environment = {
            "AML_MODEL_DC_STORAGE_ENABLED": "true",
            "AML_MODEL_DC_STORAGE": storage,
            "SERVICE_NAME": service,
            "SLIPWAY_COLLECTION_SECONDS": "0.01",
            **more,
        }
        tellers.append(Teller(environment, app(tmp_path / "app")))
        return tellers[-1]

    yield start
    await asyncio.gather(*(teller.close() for teller in tellers))


async def test_what_a_stranger_writes_between_loses_and_doubles_no_row(
    collecting: Callable[..., Teller], granted: str, kept: Kept
) -> None:
    teller, start = collecting("disturbed", granted), "sub/group/account/disturbed/0b5c-iris-3"
    for number in range(4):
        answered(teller, [number], number, id=f"r{number}")
        await kept.until(start, 2 * number + (4 if number > 1 else 2))
        if number == 1:
            with BlobServiceClient.from_connection_string(granted) as stranger:
                for name in kept.names(start):
                    stranger.get_blob_client("modeldata", name).append_block(b"forged,,r9,9\r\n")
    rows = [row["$RequestId"] for row in kept.all_rows(f"{start}/inputs") if row["$Timestamp"] != "forged"]
    assert sorted(rows) == ["r0", "r1", "r2", "r3"]


async def until_said(capfd: Capture, text: str) -> None:
    said = ""

    async def is_said() -> bool:
        nonlocal said
        said += capfd.readouterr().out
        return text in said

    await until(is_said)


async def test_what_ends_is_renewed_by_the_file_beside_the_keys(
    collecting: Callable[..., Teller], grants: tuple[str, str], kept: Kept, capfd: Capture, tmp_path: Path
) -> None:
    ended, granted = grants
    teller = collecting("renewed", ended, SLIPWAY_KEYS=str(tmp_path))
    answered(teller, [1], 1, id="r1")
    await until_said(capfd, "storage does not answer: 403")
    assert kept.names("sub/group/account/renewed") == []
    (tmp_path / "storage").write_text(granted)
    rows = await kept.until("sub/group/account/renewed", 2)
    assert {row["$RequestId"] for row in rows} == {"r1"}


async def test_a_replica_s_file_changes_when_it_is_signed_anew(azurite: Azurite, tmp_path: Path) -> None:
    clock = ManualClock()
    data = CollectedData(azurite.connection_string, clock)
    grants = Grants(CollectionTargets(storage=azurite.connection_string), data, every=0.01)
    async with grants.kept_in(tmp_path, COLLECTS) as targets:
        assert (tmp_path / "storage").read_text() == targets.storage
        clock.advance(timedelta(days=1))

        async def is_renewed() -> bool:
            return (tmp_path / "storage").read_text() != targets.storage

        await until(is_renewed)
        assert (tmp_path / "storage").read_text() == await data.current()
    await data.close()


async def test_a_service_that_does_not_collect_gets_nothing_of_storage(azurite: Azurite, tmp_path: Path) -> None:
    data = CollectedData(azurite.connection_string, SystemClock())
    grants = Grants(CollectionTargets(storage=azurite.connection_string, app_insights="key"), data, every=60)
    async with grants.kept_in(tmp_path, ServiceSettings()) as targets:
        assert targets == CollectionTargets(app_insights="key")
    assert not (tmp_path / "storage").exists()
    await data.close()


async def test_one_day_s_signature_is_the_same_in_every_instance(azurite: Azurite) -> None:
    instances = [CollectedData(azurite.connection_string, ManualClock()) for _ in range(2)]
    one, other = [await each.current() for each in instances]
    assert one == other
    assert azurite.blob_endpoint in one
    for each in instances:
        await each.close()


async def test_a_signature_in_the_setting_is_handed_on_as_it_is() -> None:
    given = "BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sp=ac&sig=x"
    assert await CollectedData(given, ManualClock()).current() == given
    assert await CollectedData("", ManualClock()).current() == ""


@pytest.mark.parametrize("setting", ["nonsense", "AccountName=a;AccountKey=", "AccountKey=c2VjcmV0"])
def test_a_setting_that_is_no_connection_string_is_named_and_not_shown(setting: str) -> None:
    with pytest.raises(StorageSettingError, match="SLIPWAY_COLLECTION_STORAGE") as refused:
        CollectedData(setting, ManualClock())
    assert "c2VjcmV0" not in str(refused.value)
