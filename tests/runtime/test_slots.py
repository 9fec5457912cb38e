"""Slots and the line for them."""

from collections.abc import Callable
from functools import partial

import pytest

from runtime.slipway_server.metrics import Metrics
from runtime.slipway_server.work.slots import Full, Slots


def slots(limit: int, places: int) -> Slots:
    return Slots(limit, places, Metrics().of(0))


def test_who_waits_is_served_in_order_and_who_left_is_not() -> None:
    of_two, begun = slots(2, 3), list[str]()
    calls: dict[str, Callable[[], None]] = {name: partial(begun.append, name) for name in "abcdef"}
    for name in "abcde":
        of_two.take(calls[name])
    with pytest.raises(Full):
        of_two.take(calls["f"])
    of_two.leave(calls["d"])
    assert begun == ["a", "b"]
    of_two.give_back()
    of_two.give_back()
    assert begun == ["a", "b", "c", "e"]


def test_a_long_line_of_what_is_done_at_once_is_worked_off() -> None:
    of_one, done = slots(1, 5000), list[int]()

    def work(number: int) -> None:
        done.append(number)
        of_one.give_back()

    of_one.take(lambda: None)
    for number in range(5000):
        of_one.take(partial(work, number))
    of_one.give_back()
    assert done == list(range(5000))
