"""Where an object in the cluster is not what is applied: the fields that Slipway owns, compared with those there are. Pure.

What the cluster adds is no difference: defaults, statuses, what others have put beside ours. Nor is another way of writing
one quantity. Source: Kubernetes' API reference, for the lists whose items are known by a key.
"""

from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from shared.compute.kubernetes.kinds import Object
from shared.domain.fields import quantity

_KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists that others may add to, and the property that tells their items apart."""
_WHOLE = ("selector", "podSelector", "labelSelector", "matchLabels", "nodeSelector")
"""Maps that are one value: whoever adds to one changes what it selects."""
_QUANTITIES = ("limits", "requests")
_NANO = Decimal("1e-9")


def differences(wanted: Object, live: Object) -> tuple[str, ...]:
    """The paths of the fields that are not as wanted; their values may be secret, and are in none of them."""
    return tuple(".".join(path) for path in _different(wanted, live, ()))


def _different(wanted: Any, live: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key, value in wanted.items():
            yield from _different(value, live.get(key), (*path, key))
        if path and path[-1] in _WHOLE and live.keys() - wanted.keys():
            yield path
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _in_lists(wanted, live, path)
    elif not _same(wanted, live, path):
        yield path


def _in_lists(wanted: Sequence[Any], live: Sequence[Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    key = _key(wanted, path)
    if key is not None:
        for item in wanted:  # another of the same name may stand beside it
            named = [one for one in live if one.get(key) == item[key]] or [None]
            yield from min((tuple(_different(item, one, (*path, str(item[key])))) for one in named), key=len)
    elif len(wanted) != len(live):
        yield path
    else:
        for number, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _different(one, other, (*path, str(number)))


def _key(items: Sequence[Any], path: tuple[str, ...]) -> str | None:
    """Ports that have names belong to such a list, too; those of a network policy have none, and are ours as a whole."""
    if path[-1] == "ports" and all("name" in item for item in items):
        return "name"
    return _KEYS.get(path[-1])


def _same(wanted: Any, live: Any, path: tuple[str, ...]) -> bool:
    if wanted == live:
        return True
    if live is None:
        return wanted in ("", {}, [])  # the cluster does not keep what is empty
    return _is_quantity(path) and isinstance(live, str) and _equal_quantities(wanted, live)


def _is_quantity(path: tuple[str, ...]) -> bool:
    return path[-1] == "averageValue" or (len(path) > 1 and path[-2] in _QUANTITIES)


def _equal_quantities(one: str, other: str) -> bool:
    """The API server keeps them to the nano, rounded up."""
    try:
        first, second = (quantity(text).quantize(_NANO, ROUND_CEILING) for text in (one, other))
    except (ValueError, ArithmeticError):
        return False
    return first == second
