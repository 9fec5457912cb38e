"""What `run` may return, and what it becomes."""

import json
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.slipway_server.drivers.encoding import encode

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


class Frame:
    """What a pandas data frame looks like from outside."""

    columns = ("a", "b")

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{"a": np.int64(1), "b": np.float64("nan")}]


@given(JSON_VALUES)
def test_what_json_can_hold_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(encode(value), parse_constant=pytest.fail) == value


@pytest.mark.parametrize(
    ("returned", "answered"),
    [
        ((1, 2.5, True), [1, 2.5, True]),
        ({3: "ü"}, {"3": "ü"}),
        ([float("nan"), {"x": float("inf")}, 0.1], [None, {"x": None}, 0.1]),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        ([np.float32(0.5), np.int64(2), np.bool_(True), np.str_("s")], [0.5, 2, True, "s"]),
        ({np.int64(1): np.array([np.nan, 1])}, {"1": [None, 1.0]}),
        (np.array(["2017-09-01"], dtype="datetime64[ns]"), ["2017-09-01T00:00:00.000000000"]),
        (np.datetime64("2017-09-01"), "2017-09-01"),
        (np.array([["2017-09-01", "NaT"]], dtype="datetime64[D]"), [["2017-09-01", None]]),
        (np.datetime64("NaT", "s"), None),
        ([date(2017, 9, 1), datetime(2017, 9, 1, tzinfo=UTC)], ["2017-09-01", "2017-09-01T00:00:00+00:00"]),
        (Frame(), [{"a": 1, "b": None}]),
    ],
)
def test_what_json_does_not_know_becomes_what_it_knows(returned: Any, answered: Any) -> None:
    assert json.loads(encode(returned), parse_constant=pytest.fail) == answered


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, [b"bytes"], 1j])
def test_what_json_cannot_hold_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match=r"run returned a (object|set|bytes|complex), which JSON cannot hold\."):
        encode(value)
