"""What the columns and rows of collected inputs and predictions are."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.slipway_server.telling.records import Scored
from runtime.slipway_server.telling.settings import TellingSettings
from runtime.slipway_server.telling.sinks.features import features
from runtime.slipway_server.telling.sinks.places import Places

NONE: frozenset[str] = frozenset()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"age": 36, "name": "Ada"}, [{"age": 36, "name": "Ada"}]),
        ({"data": [[1, 2], [3, 4]]}, [{"c0": 1, "c1": 2}, {"c0": 3, "c1": 4}]),
        ([[1, 2], [3, 4]], [{"c0": 1, "c1": 2}, {"c0": 3, "c1": 4}]),
        ([1, 2], [{"c0": 1, "c1": 2}]),
        ({"input_df": [{"a": 1}, {"a": 2, "b": 3}]}, [{"a": 1}, {"a": 2, "b": 3}]),
        ({"columns": ["a", "b"], "index": [0], "data": [[1, 2]]}, [{"a": 1, "b": 2}]),
        ({"input_data": {"columns": ["a"], "data": [[1], [2]]}}, [{"a": 1}, {"a": 2}]),
        ({"data": [[1]], "method": "predict"}, [{"data": "[[1]]", "method": "predict"}]),
        ({"pixels": [1, 2], "label": {"a": "ü"}}, [{"pixels": "[1, 2]", "label": '{"a": "ü"}'}]),
        ("a text", [{"c0": "a text"}]),
        (json.dumps([[1, 2]]), [{"c0": 1, "c1": 2}]),
        (0.5, [{"c0": 0.5}]),
        (None, [{"c0": None}]),
        ([], []),
        ({}, []),
    ],
)
def test_the_shape_of_a_body_decides(body: Any, rows: Any) -> None:
    assert features(json.dumps(body).encode(), NONE) == rows


def test_predictions_are_a_row_each_when_there_are_as_many_as_inputs() -> None:
    assert features(b"[0, 1, 0]", NONE, inputs=3) == [{"c0": 0}, {"c0": 1}, {"c0": 0}]
    assert features(b'{"result": [0, 1]}', NONE, inputs=2) == [{"c0": 0}, {"c0": 1}]
    assert features(b"[0.1, 0.9]", NONE, inputs=1) == [{"c0": 0.1, "c1": 0.9}]


def test_what_is_no_json_is_one_text_and_what_is_no_text_is_not_kept() -> None:
    assert features(b"5.1,3.5\n", NONE) == [{"c0": "5.1,3.5\n"}]
    assert features(b"\x89PNG\r\n", NONE) == []
    assert features(b" ", NONE) == []
    assert features(b'{"a": NaN}', NONE) == [{"a": None}]


def test_a_row_of_very_many_values_is_one_value() -> None:
    [row] = features(json.dumps(list(range(5000))).encode(), NONE)
    assert json.loads(str(row["c0"])) == list(range(5000))
    [named] = features(json.dumps({f"pixel-{number}": number for number in range(5000)}).encode(), NONE)
    assert json.loads(str(named["c0"]))["pixel-7"] == 7


def test_excluded_fields_are_left_out_of_every_shape() -> None:
    secret = frozenset({"ssn", "c1"})
    assert features(b'{"SSN": 1, "a": {"b": [{"ssn": 2, "c": 3}]}}', secret) == [{"a": '{"b": [{"c": 3}]}'}]
    assert features(b'{"columns": ["ssn", "a"], "data": [[1, 2]]}', secret) == [{"a": 2}]
    assert features(b"[[1, 2, 3]]", secret) == [{"c0": 1, "c2": 3}]


def test_json_nested_without_measure_has_no_rows_and_harms_none() -> None:
    places = Places("", "service", {}, frozenset({"a"}))
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    scored = [Scored(0, 0, f"r{number}", "", "/score", 200, True, body, b"1") for number, body in enumerate([deep, b"2"])]
    assert {row.standard[2] for row in places.rows(scored)} >= {"r1"}


@given(VALUES, VALUES)
def test_every_value_gives_rows_that_csv_gives_back(value: Any, prediction: Any) -> None:
    places = Places("", "service", {}, NONE)
    bodies = [json.dumps(part).encode() for part in (value, prediction)]
    rows = list(places.rows([Scored(0, 0, "r", "", "/score", 200, True, bodies[0], bodies[1])]))
    for row in rows:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([list(row.features), list(row.features.values())])
        read = list(csv.DictReader(io.StringIO(text.getvalue(), newline=""), strict=True))
        expected = {name: "" if cell is None else str(cell) for name, cell in row.features.items()}
        assert read == [expected]


def test_what_is_switched_on_without_a_value_is_named() -> None:
    settings = TellingSettings.of({"AML_MODEL_DC_STORAGE_ENABLED": "True", "AML_APP_INSIGHTS_ENABLED": "false"})
    assert (settings.missing, settings.destinations, settings.collects) == (("AML_MODEL_DC_STORAGE",), (), False)
