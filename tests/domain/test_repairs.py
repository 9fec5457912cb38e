"""How often what is not as recorded is put back."""

from datetime import UTC, datetime, timedelta

from shared.domain.services import Repairs

NOW = datetime(2026, 3, 1, tzinfo=UTC)
IMAGE, REPLICAS = ("Deployment image",), ("Deployment replicas",)


def test_drift_that_comes_back_is_put_back_ever_less_often():
    repairs, pauses = None, []
    for _ in range(12):
        repairs = Repairs.after(repairs, IMAGE, NOW)
        pauses.append(repairs.not_before - NOW)
    assert pauses[0] == timedelta(0)
    assert pauses == sorted(pauses)
    assert pauses[1] < pauses[5] < pauses[-1] == timedelta(hours=6)


def test_other_drift_is_put_back_at_once():
    repairs = Repairs.after(Repairs.after(None, IMAGE, NOW), IMAGE, NOW)
    assert not repairs.may_follow(IMAGE, NOW)
    assert repairs.may_follow(IMAGE, repairs.not_before)
    assert repairs.may_follow(REPLICAS, NOW)
    assert Repairs.after(repairs, REPLICAS, NOW).count == 1
