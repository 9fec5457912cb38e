"""How many replicas a load wants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.compute.autoscaler import MeanLoad, ScalePolicy, Scaler

WINDOW = 60.0


@st.composite
def policies(draw: st.DrawFn) -> ScalePolicy:
    lowest = draw(st.integers(0, 20))
    return ScalePolicy(
        lowest=lowest,
        highest=draw(st.integers(max(lowest, 1), 40)),
        target_utilization=draw(st.integers(0, 100)),
        slots_per_replica=draw(st.integers(1, 50)),
        period=1,
    )


loads = st.floats(0, 5000)


def wanted(load: float, target: int = 70, slots: int = 10) -> int:
    return ScalePolicy(lowest=1, highest=10, target_utilization=target, slots_per_replica=slots, period=1).wanted(load)


def test_the_count_keeps_the_busy_share_at_the_target() -> None:
    assert [wanted(load) for load in (0, 1, 7, 7.1, 14, 21, 100)] == [1, 1, 1, 2, 2, 3, 10]
    assert wanted(1, target=0) == 10


@given(policies(), loads)
def test_the_count_is_within_bounds(policy: ScalePolicy, load: float) -> None:
    assert policy.lowest <= policy.wanted(load) <= policy.highest


@given(policies(), loads, loads)
def test_more_load_never_wants_fewer_replicas(policy: ScalePolicy, one: float, other: float) -> None:
    assert policy.wanted(min(one, other)) <= policy.wanted(max(one, other))


@given(policies(), loads)
def test_the_count_is_the_fewest_that_keep_the_target(policy: ScalePolicy, load: float) -> None:
    count = policy.wanted(load)
    if policy.lowest < count < policy.highest:
        share = policy.slots_per_replica * policy.target_utilization / 100
        assert (count - 1) * share < load
        assert load <= count * share * (1 + 1e-6)


@given(policies(), st.lists(loads, min_size=1, max_size=150))
def test_scaling_out_is_at_once_and_scaling_in_waits_for_the_window(policy: ScalePolicy, seen: list[float]) -> None:
    scaler = Scaler(policy, window=WINDOW, count=policy.lowest, now=0)
    for second, load in enumerate(seen, 1):
        count = scaler.observe(load, second)
        recent = seen[max(0, second - int(WINDOW)) : second]
        assert count == max(map(policy.wanted, recent))


def test_the_last_digit_of_a_mean_wants_no_replica() -> None:
    assert wanted(7.000000000000004) == 1


def test_the_count_it_began_with_stays_for_the_window() -> None:
    policy = ScalePolicy(lowest=1, highest=10, target_utilization=70, slots_per_replica=10, period=1)
    scaler = Scaler(policy, window=WINDOW, count=5, now=0)
    assert scaler.observe(0, 59) == 5
    assert scaler.observe(0, 60) == 1


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0.001, 10)), min_size=1))
def test_the_mean_load_weighs_each_load_by_its_time(spans: list[tuple[int, float]]) -> None:
    mean, now = MeanLoad(0), 0.0
    for load, seconds in spans:
        mean.note(load, now)
        now += seconds
    expected = sum(load * seconds for load, seconds in spans) / now
    assert abs(mean.take(now) - expected) <= 1e-6 * (1 + expected)
    assert mean.take(now + 1) == pytest.approx(spans[-1][0]), "it begins anew"
