"""How a measure is printed: `measure | value | target | ok` or `MISS`."""

import statistics
from collections.abc import Sequence


def at_least(measure: str, value: float, target: float) -> None:
    """A measure that is to be no less than its target."""
    print(f"{measure} | {value:.2f} | ≥ {target} | {'ok' if value >= target else 'MISS'}", flush=True)


def at_most(measure: str, value: float, target: float, unit: str = "") -> None:
    """A measure that is to be no more than its target."""
    print(f"{measure} | {value:.2f}{unit} | ≤ {target}{unit} | {'ok' if value <= target else 'MISS'}", flush=True)


def noted(measure: str, value: str) -> None:
    """What was measured for comparison, without a target."""
    print(f"{measure} | {value} | | ok", flush=True)


def milliseconds(seconds: Sequence[float]) -> str:
    """The median of those times."""
    return f"{statistics.median(seconds) * 1000:.1f} ms"
