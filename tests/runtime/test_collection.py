"""Data collection into storage (client-facts.md, 31): what is kept, where, and what is lost when."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from local.azurite.server import Azurite
from runtime.slipway_server.telling.records import Collected, Scored
from runtime.slipway_server.telling.settings import TellingSettings
from runtime.slipway_server.telling.sinks.places import Places
from runtime.slipway_server.telling.sinks.storage import CollectedBlobs
from runtime.slipway_server.telling.teller import Teller
from tests.runtime.replicas import free_port
from tests.runtime.telling import MAP, Between, Kept, answered, app, at_work, count
from tests.waiting import until

NOON = 1_504_267_200.25  # 1 September 2017, 12:00 UTC
DAY = "2017/09/01"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

type Replica = Callable[..., Teller]


@pytest.fixture
def kept(azurite: Azurite) -> Iterator[Kept]:
    kept = Kept(azurite.connection_string)
    yield kept
    kept.close()


@pytest.fixture
async def replica(azurite: Azurite, tmp_path: Path) -> AsyncIterator[Replica]:
    """Start the telling part of a replica of a service."""
    tellers: list[Teller] = []

    def start(service: str, *, folder: Path | None = None, **more: str) -> Teller:
        environment = {
            "AML_MODEL_DC_STORAGE_ENABLED": "true",
            "AML_MODEL_DC_STORAGE": azurite.connection_string,
            "SERVICE_NAME": service,
            "SLIPWAY_COLLECTION_SECONDS": "0.05",
            **more,
        }
        tellers.append(Teller(environment, folder or app(tmp_path / "app")))
        return tellers[-1]

    yield start
    await asyncio.gather(*(teller.close() for teller in tellers))


async def test_inputs_and_predictions_land_where_clients_look_for_them(replica: Replica, kept: Kept) -> None:
    teller = replica("places")
    answered(teller, {"age": 36, "name": "Ada"}, [0.5], id="r1", at=NOON, traceparent=TRACE, authorization="Bearer secret")
    start = "sub/group/account/places/0b5c-iris-3"
    await kept.until(start, 2)
    assert kept.names(start) == [f"{start}/{identifier}/{DAY}/data.csv" for identifier in ("inputs", "predictions")]
    assert kept.text(f"{start}/inputs/{DAY}/data.csv") == (
        "$Timestamp,$CorrelationId,$RequestId,age,name\r\n"
        "2017-09-01T12:00:00.250000,0af7651916cd43dd8448eb211c80319c,r1,36,Ada\r\n"
    )
    assert kept.text(f"{start}/predictions/{DAY}/data.csv").splitlines()[1].endswith(",r1,0.5")


async def test_an_image_that_says_nothing_of_itself_collects_as_unknown(
    replica: Replica, kept: Kept, tmp_path: Path
) -> None:
    teller = replica("bare", folder=app(tmp_path / "bare", None))
    answered(teller, [1, 2], "yes", at=NOON)
    assert (await kept.until("unknown/bare/unknown-unknown-unknown/inputs", 1))[0]["c1"] == "2"


async def test_whatever_the_values_hold_the_file_is_well_formed(replica: Replica, kept: Kept) -> None:
    teller = replica("values")
    told = {'a,"b"': 'say "no"', "lines": "one\r\ntwo\nthree\r", "ü": "日本", "nothing": None, "list": [1, {"a": None}]}
    answered(teller, told, True, at=NOON)
    answered(teller, {**told, "lines": "=1+1", "ü": "\0\ud800"}, True, at=NOON)
    first, second = await kept.until("sub/group/account/values/0b5c-iris-3/inputs", 2)
    assert [first[name] for name in told] == ['say "no"', told["lines"], "日本", "", '[1, {"a": null}]']
    assert (second["lines"], second["ü"]) == ("=1+1", "\0\\ud800")


async def test_what_failed_is_not_collected(replica: Replica, kept: Kept) -> None:
    teller = replica("failures")
    answered(teller, {"bad": 1}, {"message": "no"}, status=400, at=NOON)
    answered(teller, {"good": 1}, 2, at=NOON)
    rows = await kept.until("sub/group/account/failures", 2)
    assert all("bad" not in row and "message" not in row for row in rows)


async def test_fields_that_are_not_to_be_kept_are_not_kept_at_any_depth(replica: Replica, kept: Kept) -> None:
    teller = replica("excluded", SLIPWAY_COLLECTION_EXCLUDE="ssn, Card")
    body = {"data": [{"SSN": "078-05-1120", "age": 1, "paid": {"card": "4111", "sum": 2}}]}
    answered(teller, body, {"ssn": "078-05-1120", "score": 1}, at=NOON)
    await kept.until("sub/group/account/excluded", 2)
    texts = [kept.text(name) for name in kept.names("sub/group/account/excluded")]
    assert not any(secret in text for text in texts for secret in ("078", "4111", "SSN"))
    assert '"{""sum"": 2}"' in texts[0]


async def test_a_share_of_the_requests_is_collected_whole(replica: Replica, kept: Kept) -> None:
    teller = replica("sampled", SLIPWAY_COLLECTION_SAMPLING="0.5")
    for number in range(200):
        answered(teller, [number], [number], id=f"r{number}", at=NOON)
    answered(teller, [-1], [-1], id="r0", at=NOON)
    teller.collected(Collected(NOON, "", "", "", "", "iris", "", "", "last", ["a"], [[1]]))  # of no request, so always
    await kept.until("sub/group/account/sampled/0b5c-iris-3/last", 1)
    ids = [[row["$RequestId"] for row in kept.all_rows(f"sub/group/account/sampled/0b5c-iris-3/{identifier}")]
           for identifier in ("inputs", "predictions")]  # fmt: skip
    assert ids[0] == ids[1]
    assert 60 < len(ids[0]) < 140


async def test_columns_that_are_new_begin_a_further_file_and_those_that_lack_are_empty(replica: Replica, kept: Kept) -> None:
    teller = replica("columns")
    start = f"sub/group/account/columns/0b5c-iris-3/inputs/{DAY}/data"
    for number, body in enumerate([{"a": 1, "b": 2}, {"b": 3}, {"c": 4}, {"a": 5, "c": 6}, {"b": 7}], 1):
        answered(teller, body, 0, at=NOON)
        await kept.until(f"sub/group/account/columns/0b5c-iris-3/inputs/{DAY}", number)
    first, second = kept.rows(f"{start}.csv"), kept.rows(f"{start}.2.csv")
    assert [(row["a"], row["b"]) for row in first] == [("1", "2"), ("", "3"), ("", "7")]
    assert [(row["a"], row["b"], row["c"]) for row in second] == [("", "", "4"), ("5", "", "6")]
    answered(teller, {"c": 8}, 0, at=NOON)
    await kept.until(f"{start}.2.csv", 3)


def test_rows_of_very_many_names_do_not_share_a_header() -> None:
    body = [b'{"%d": 1}' % number for number in range(2500)]
    records = [Scored(NOON, 0, f"r{n}", "", "/score", 200, True, one, b"0") for n, one in enumerate(body)]
    parcels = list(CollectedBlobs(str, Places("", "service", {}, frozenset())).parcels(records))
    inputs = [rows for rows in parcels if "/inputs/" in rows.folder]
    assert [len(rows.names) for rows in inputs] == [1000, 1000, 500]
    assert [row.standard[2] for rows in inputs for row in rows.left] == [f"r{n}" for n in range(2500)]


async def test_a_file_that_nothing_can_be_appended_to_is_followed_by_another(
    replica: Replica, kept: Kept, azurite: Azurite
) -> None:
    name = f"sub/group/account/taken/0b5c-iris-3/inputs/{DAY}/data.csv"
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        container = service.get_container_client("modeldata")
        if not container.exists():
            container.create_container()
        container.upload_blob(name, b"a block blob, which nothing can be appended to")
    answered(replica("taken"), [1], 0, at=NOON)
    assert (await kept.until(name.replace("data.csv", "data.2.csv"), 1))[0]["c0"] == "1"


async def test_replicas_of_one_service_have_a_file_each_and_lose_nothing_and_double_nothing(
    replica: Replica, kept: Kept
) -> None:
    tellers = [replica("together", SLIPWAY_COLLECTION_SECONDS="0.001") for _ in range(3)]
    for number in range(120):
        for place, teller in enumerate(tellers):
            answered(teller, [number], number, id=f"{place}-{number}", at=NOON)
        await asyncio.sleep(0.01)
    await asyncio.gather(*(at_work(teller) for teller in tellers))
    await asyncio.gather(*(teller.close() for teller in tellers))
    for identifier in ("inputs", "predictions"):
        start = f"sub/group/account/together/0b5c-iris-3/{identifier}"
        names = ["data.2.csv", "data.3.csv", "data.csv"]
        assert kept.names(start) == [f"{start}/{DAY}/{name}" for name in names]
        rows = kept.all_rows(start)
        assert sorted(row["$RequestId"] for row in rows) == sorted(f"{p}-{n}" for p in range(3) for n in range(120))


async def test_while_storage_is_away_answers_do_not_wait_and_what_fits_arrives_later(
    replica: Replica, kept: Kept, azurite: Azurite
) -> None:
    port = free_port()
    elsewhere = azurite.connection_string.replace(f":{azurite.address.blob}/", f":{port}/")
    teller = replica("away", AML_MODEL_DC_STORAGE=elsewhere)
    began = time.perf_counter()
    for number in range(2000):
        answered(teller, [number], number, id=f"r{number}", at=NOON)
    assert time.perf_counter() - began < 1

    async def told() -> bool:
        return count(teller, "told", "storage") == 4000

    async with Between(azurite.address.blob, port=port):
        await until(told)
    assert len(kept.all_rows("sub/group/account/away")) == 4000
    assert (count(teller, "lost", "storage"), count(teller, "dropped")) == (0, 0)


async def test_rows_whose_acknowledgement_was_lost_are_not_doubled(replica: Replica, kept: Kept, azurite: Azurite) -> None:
    async with Between(azurite.address.blob) as between:
        teller = replica("doubt", AML_MODEL_DC_STORAGE=between.in_place_of(azurite.connection_string))
        for number in range(4):
            between.lost_answers = 1 if number else 0
            answered(teller, [number], number, id=f"r{number}", at=NOON)
            await kept.until("sub/group/account/doubt", 2 * number + 2)
        await teller.close()
        assert between.lost_answers == 0
    start = "sub/group/account/doubt/0b5c-iris-3/inputs"
    assert [row["$RequestId"] for row in kept.all_rows(start)] == ["r0", "r1", "r2", "r3"]
    assert kept.names(start) == [f"{start}/{DAY}/data.csv"]


async def test_a_header_whose_acknowledgement_was_lost_doubles_no_row(
    replica: Replica, kept: Kept, azurite: Azurite
) -> None:
    async with Between(azurite.address.blob, lost_answers=2) as between:
        teller = replica("first", AML_MODEL_DC_STORAGE=between.in_place_of(azurite.connection_string))
        for number in range(3):
            answered(teller, [number], number, id=f"r{number}", at=NOON)
            await kept.until("sub/group/account/first", 2 * number + 2)
        await teller.close()
        assert between.lost_answers == 0
    rows = kept.all_rows("sub/group/account/first/0b5c-iris-3/inputs")
    assert [row["$RequestId"] for row in rows] == ["r0", "r1", "r2"]


async def test_a_file_that_takes_no_more_blocks_is_followed_by_another(
    replica: Replica, kept: Kept, azurite: Azurite
) -> None:
    start = "sub/group/account/blocks/0b5c-iris-3"
    async with Between(azurite.address.blob) as between:
        teller = replica("blocks", AML_MODEL_DC_STORAGE=between.in_place_of(azurite.connection_string))
        answered(teller, [0], 0, at=NOON)
        await kept.until(start, 2)
        between.full_blobs = 1
        answered(teller, [1], 1, at=NOON)
        await kept.until(start, 4)
        await teller.close()
    assert [name.rpartition("/")[2] for name in kept.names(f"{start}/inputs")] == ["data.2.csv", "data.csv"]


async def test_what_does_not_fit_is_dropped_and_counted(replica: Replica) -> None:
    nobody = f"BlobEndpoint=http://127.0.0.1:{free_port()}/a;AccountName=a;AccountKey=aa=="
    teller = replica("lost", AML_MODEL_DC_STORAGE=nobody)
    body = b"7" * 1_000_000
    for number in range(120):
        answered(teller, body, 0, id=f"r{number}", at=NOON)
        await asyncio.sleep(0)

    async def counted() -> bool:
        return count(teller, "dropped") + count(teller, "lost", "storage") > 0

    await until(counted)
    began = time.perf_counter()
    await teller.close()
    assert time.perf_counter() - began < 9
    assert count(teller, "told", "storage") == 0
    assert count(teller, "dropped") + count(teller, "lost", "storage") >= 120


async def test_a_row_that_is_too_large_for_a_block_costs_no_other(replica: Replica, kept: Kept) -> None:
    teller = replica("large", SLIPWAY_COLLECTION_SECONDS="0.5")
    for number, size in enumerate((1, 1, 4 * 1024 * 1024, 1)):
        answered(teller, {"image": "x" * size}, 0, id=f"r{number}", at=NOON)
    rows = await kept.until("sub/group/account/large/0b5c-iris-3/inputs", 3)
    assert [row["$RequestId"] for row in rows] == ["r0", "r1", "r3"]
    await teller.close()
    assert (count(teller, "told", "storage"), count(teller, "lost", "storage")) == (7, 1)


async def test_what_was_taken_is_kept_before_the_end(replica: Replica, kept: Kept) -> None:
    teller = replica("end", SLIPWAY_COLLECTION_SECONDS="60", SLIPWAY_COLLECTION_EXCLUDE="weight")
    answered(teller, {"c0": 0, "weight": "so much goes out at once" * 50_000}, 0, id="r0", at=NOON)
    await at_work(teller)
    for number in range(1, 50):
        answered(teller, [number], number, id=f"r{number}", at=NOON)
    began = time.perf_counter()
    await teller.close()
    assert time.perf_counter() - began < 7
    assert len(kept.all_rows("sub/group/account/end")) == 100


async def test_what_is_no_connection_string_is_said_without_saying_it(
    replica: Replica, capfd: pytest.CaptureFixture[str]
) -> None:
    teller = replica("nonsense", AML_MODEL_DC_STORAGE="AccountKey=c2VjcmV0")
    answered(teller, [1], 1)
    await at_work(teller)
    await teller.close()
    said = capfd.readouterr().out
    assert "storage was not told" in said
    assert "c2VjcmV0" not in said
    assert count(teller, "lost", "storage") == 1


@pytest.mark.parametrize("share", ["2", "-1", "half", "nan"])
def test_a_share_that_is_none_is_named(share: str) -> None:
    with pytest.raises(ValueError, match="SLIPWAY_COLLECTION_SAMPLING"):
        TellingSettings.of({"SLIPWAY_COLLECTION_SAMPLING": share})


async def test_of_several_models_the_first_by_name_is_whose_data_it_is(replica: Replica, kept: Kept, tmp_path: Path) -> None:
    models = {"scaler": {"id": "1", "version": 1}, "forest": {"id": "2", "version": 4}}
    teller = replica("several", folder=app(tmp_path / "several", {**MAP, "models": models}))
    answered(teller, [1], 1, at=NOON)
    await kept.until("sub/group/account/several/2-forest-4/inputs", 1)
