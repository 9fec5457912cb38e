"""What type hints mean: which values fit, and what is said of those that do not."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.slipway_server.drivers.kinds import kind_of
from runtime.slipway_server.drivers.misfit import Misfit


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Partial(TypedDict):
    name: str
    age: NotRequired[int]


@dataclass
class Flower:
    petals: list[float]
    color: Color = Color.RED
    scale: float = 1.5
    parts: "list[Flower]" = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.petals:
            raise ValueError("a flower has petals")


type Row = list[float]

FITTING: list[tuple[Any, Any, Any]] = [
    (int, 3, 3),
    (float, 3, 3),
    (float, 2.5, 2.5),
    (bool, True, True),
    (str, "a", "a"),
    (None | int, None, None),
    (Optional[int], 3, 3),  # noqa: UP045  drivers are written so, too
    (dict, {"a": 1}, {"a": 1}),
    (list, [1, "a"], [1, "a"]),
    (list[float], [1, 2.5], [1, 2.5]),
    (Sequence[int], [], []),
    (Row, [1.5], [1.5]),
    (list[list[int]], [[1], []], [[1], []]),
    (tuple, [1, 2], (1, 2)),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (Mapping[str, list[int]], {"a": [1]}, {"a": [1]}),
    (int | str, "a", "a"),
    (Literal["a", 1], 1, 1),
    (Annotated[int, "years"], 3, 3),
    (Color, "red", Color.RED),
    (Level, 1, Level.LOW),
    (date, "2017-09-01", date(2017, 9, 1)),
    (datetime, "2017-09-01T00:00:00Z", datetime(2017, 9, 1, tzinfo=UTC)),
    (Partial, {"name": "Ada", "more": 1}, {"name": "Ada", "more": 1}),
    (Flower, {"petals": [1], "parts": [{"petals": 2}]}, Flower([1], parts=[{"petals": 2}])),
    (Any, [{}], [{}]),
    (np.ndarray, [[1]], [[1]]),
]

MISFITTING: list[tuple[Any, Any, str]] = [
    (int, "3", "The body of the request: expected an integer, got text"),
    (int, True, "expected an integer, got true or false"),
    (int, 2.5, "expected an integer, got a number"),
    (bool, 1, "expected true or false, got an integer"),
    (list[float], {}, "expected a list, got an object"),
    (list[float], [1, "a"], "[1]: expected a number, got text"),
    (list[list[float]], [[1], [2, None]], "[1][1]: expected a number, got null"),
    (dict[str, int], {"a": 1, "b": []}, "b: expected an integer, got a list"),
    (tuple[int, str], [1], "expected 2 items, got 1"),
    (tuple[int, str], [1, 2], "[1]: expected text, got an integer"),
    (int | list[int], ["a"], "[0]: expected an integer, got text"),
    (Literal["a", 1], True, 'expected one of ["a", 1]'),
    (Color, "blue", 'expected one of ["red"]'),
    (date, 3, "expected text, got an integer"),
    (date, "yesterday", "The body of the request: Invalid isoformat string: 'yesterday'"),
    (Partial, {}, "name: it is required, and not there"),
    (list[Partial], [{"name": "Ada", "age": "old"}], "[0].age: expected an integer, got text"),
    (Flower, {"petals": [1], "size": 2}, "size: there is no such input"),
    (Flower, {"petals": []}, "The body of the request: a flower has petals"),
    (list[Flower], [{"petals": []}], "[0]: a flower has petals"),
]


@pytest.mark.parametrize(("hint", "value", "converted"), FITTING)
def test_a_value_that_fits_is_what_the_hint_says(hint: Any, value: Any, converted: Any) -> None:
    fitted = kind_of(hint).fit(value)
    assert (fitted, type(fitted)) == (converted, type(converted))


@pytest.mark.parametrize(("hint", "value", "said"), MISFITTING)
def test_a_value_that_does_not_fit_is_named_by_its_path(hint: Any, value: Any, said: str) -> None:
    with pytest.raises(Misfit) as misfit:
        kind_of(hint).fit(value)
    assert said in misfit.value.message


@pytest.mark.parametrize(("hint", "value"), [(hint, value) for hint, value, _ in FITTING])
def test_the_schema_takes_what_fits(hint: Any, value: Any) -> None:
    jsonschema.validate(json.loads(json.dumps(value)), kind_of(hint).schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("hint", "value"), [(hint, value) for hint, value, _ in MISFITTING if hint not in {date, Flower, list[Flower]}]
)
def test_the_schema_refuses_what_does_not_fit(hint: Any, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, kind_of(hint).schema, jsonschema.Draft202012Validator)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.sampled_from(["name", "age", "petals", "x"]), values),
)


@given(st.sampled_from([hint for hint, *_ in FITTING]), JSON_VALUES)
def test_any_value_fits_or_is_refused(hint: Any, value: Any) -> None:
    with contextlib.suppress(Misfit):
        kind_of(hint).fit(value)


def test_a_body_that_is_not_json_is_refused() -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(Misfit, match="it is not JSON"):
            kind_of(Any).read(body)
