"""`azureml.datacollector`, as drivers of the time use it: in real replicas, and what it makes of what it is given."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from local.azurite.server import Azurite
from runtime.slipway_server.telling.by_hand import ModelDataCollector, provide
from runtime.slipway_server.telling.records import Collected
from runtime.slipway_server.telling.sinks.places import Places
from tests.runtime.replicas import Replica, Start
from tests.runtime.telling import Kept, app

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DRIVER = """
from azureml.datacollector import ModelDataCollector

def init():
    global inputs
    inputs = ModelDataCollector("iris", identifier="by-hand", feature_names=["length", "width"])

def run(body):
    inputs.collect(body, user_correlation_id="mine" if len(body) == 2 else "")
    return body
"""
PACKAGES = {
    "none": {},
    "the old SDK's": {
        "__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)",
        "api/__init__.py": "",
    },
    "one that knows of no other": {"__init__.py": "", "api/__init__.py": ""},
    "one without a file of its own": {"api/__init__.py": ""},
}


@pytest.fixture
def kept(azurite: Azurite) -> Iterator[Kept]:
    kept = Kept(azurite.connection_string)
    yield kept
    kept.close()


async def collecting(start: Start, azurite: Azurite, service: str, source: str = DRIVER, **settings: Any) -> Replica:
    environment = {
        "AML_MODEL_DC_STORAGE_ENABLED": "true",
        "AML_MODEL_DC_STORAGE": azurite.connection_string,
        "SERVICE_NAME": service,
        "SLIPWAY_COLLECTION_SECONDS": "0.05",
    }
    return await start(source, environment=environment, **settings).ready()


@pytest.mark.parametrize("brought", PACKAGES)
async def test_a_driver_collects_by_hand_whatever_azureml_its_packages_bring(
    start: Start, azurite: Azurite, kept: Kept, tmp_path: Path, brought: str
) -> None:
    packages = PACKAGES[brought]
    for name, text in packages.items():
        file = tmp_path / "packages" / "azureml" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    source = ("import azureml.api\n" if packages else "") + DRIVER
    service = f"by-hand-{len(brought)}"
    replica = await collecting(start, azurite, service, source, dependencies=tmp_path / "packages")
    assert (await replica.score([1, 2], headers={"x-request-id": "r1", "traceparent": TRACE})).status_code == 200
    assert (await replica.score([3], headers={"x-request-id": "r2", "traceparent": TRACE})).status_code == 200
    rows = await kept.until(f"unknown/{service}/unknown-iris-unknown/by-hand", 2)
    values = [(row["$CorrelationId"], row["$RequestId"], row["length"], row["width"]) for row in rows]
    assert values == [("mine", "r1", "1", "2"), ("0af7651916cd43dd8448eb211c80319c", "r2", "3", "")]


async def test_a_replica_collects_what_it_is_sent_and_what_it_answers(
    start: Start, azurite: Azurite, kept: Kept, tmp_path: Path
) -> None:
    files = {"model_config_map.json": (app(tmp_path / "described") / "model_config_map.json").read_text()}
    source = "def run(body):\n    return [2 * row[0] for row in body['data']]\n"
    replica = await collecting(start, azurite, "whole", source, files=files)
    await replica.score({"data": [[1, 5], [2, 6]]}, headers={"x-request-id": "r1"})
    inputs = await kept.until("sub/group/account/whole/0b5c-iris-3/inputs", 2)
    predictions = await kept.until("sub/group/account/whole/0b5c-iris-3/predictions", 2)
    replica.stop()
    assert replica.ended() == 0
    assert [(row["$RequestId"], row["c0"], row["c1"]) for row in inputs] == [("r1", "1", "5"), ("r1", "2", "6")]
    assert [(row["$RequestId"], row["c0"]) for row in predictions] == [("r1", "2"), ("r1", "4")]


async def test_all_processes_of_a_replica_collect(start: Start, azurite: Azurite, kept: Kept) -> None:
    source = "import os\ndef run(body):\n    return os.getpid()\n"
    replica = await collecting(start, azurite, "processes", source, processes=2)
    answers = [await replica.score([number], headers={"connection": "close"}) for number in range(40)]
    rows = await kept.until("unknown/processes/unknown-unknown-unknown/predictions", 40)
    assert sorted(int(row["c0"]) for row in rows) == sorted(answer.json() for answer in answers)


async def test_without_the_setting_the_collector_does_nothing_and_says_so(start: Start) -> None:
    replica = await start(DRIVER).ready()
    assert (await replica.score([1, 2])).json() == [1, 2]
    await replica.says("Data collection is not enabled")


class Collection:
    """Takes rows."""

    def __init__(self) -> None:
        self.records: list[Collected] = []

    def collected(self, record: Collected) -> None:
        self.records.append(record)


class Frame:
    """A data frame, as far as the collector looks at it; pandas' own is tested with the old client's drivers."""

    def __init__(self, columns: list[Any], rows: list[tuple[Any, ...]]) -> None:
        self.columns = columns
        self._rows = rows

    def itertuples(self, *, index: bool, name: None) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)


class SparkFrame:
    def toPandas(self) -> Frame:  # noqa: N802
        return Frame(["a"], [(1,), (2,)])


@pytest.fixture
def collection() -> Iterator[Collection]:
    taken = Collection()
    provide(taken)
    yield taken
    provide(None)


@pytest.mark.parametrize(
    ("data", "columns", "rows"),
    [
        ([1, "a", None, True], ["c0", "c1", "c2", "c3"], [[1, "a", None, True]]),
        ([[1, 2], [3]], ["c0", "c1"], [[1, 2], [3]]),
        (np.array([1.5, math.nan, math.inf]), ["c0", "c1", "c2"], [[1.5, None, "inf"]]),
        (np.array([[1, 2], [3, 4]]), ["c0", "c1"], [[1, 2], [3, 4]]),
        ([np.float32(0.5), np.str_("x"), np.bool_(True)], ["c0", "c1", "c2"], [[0.5, "x", True]]),
        (Frame(["a", 7], [(np.int64(1), "x"), (2, None)]), ["a", "7"], [[1, "x"], [2, None]]),
        (Frame(["a"], [(np.array([1, 2]),)]), ["a"], [[[1, 2]]]),
        (SparkFrame(), ["a"], [[1], [2]]),
    ],
)
def test_rows_of_any_kind_become_plain_values(collection: Collection, data: Any, columns: Any, rows: Any) -> None:
    ModelDataCollector("iris").collect(data)
    record = collection.records[0]
    assert (record.columns, record.rows, record.identifier) == (columns, rows, "default")
    assert {type(cell) for row in record.rows for cell in row} <= {str, int, float, bool, type(None), list}


def test_fields_that_are_not_to_be_kept_are_not_kept_of_what_is_nested(collection: Collection) -> None:
    ModelDataCollector("iris").collect([{"SSN": "078-05-1120", "paid": ({"ssn": 1, "sum": np.int64(2)},)}])
    [row] = Places("", "service", {}, frozenset({"ssn"})).rows(collection.records)
    assert row.features == {"c0": '{"paid": [{"sum": 2}]}'}


def test_what_is_nested_without_measure_is_warned_of(collection: Collection) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.warns(UserWarning, match="collect failed"):
        ModelDataCollector("iris").collect([endless])
    assert collection.records == []


def test_what_is_no_data_is_warned_of(collection: Collection) -> None:
    with pytest.warns(UserWarning, match="collect failed"):
        ModelDataCollector("iris").collect({"a": 1})
    assert collection.records == []


def test_what_the_driver_says_of_itself_counts_where_the_image_says_nothing(collection: Collection) -> None:
    collector = ModelDataCollector("iris", "inputs", ["a"], "sub/group/account", "service", "0b5c", "3")
    collector.collect([1])
    record = collection.records[0]
    assert (record.account, record.service, record.model_id, record.model_version) == (
        "sub/group/account", "service", "0b5c", "3",
    )  # fmt: skip
