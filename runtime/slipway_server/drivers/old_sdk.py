"""What drivers wrapped by the old client (azure-ml-api-sdk 0.1.0a11) miss today. Any other driver is left as it is."""

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..http.messages import CURRENT, Headers


def takes_headers(run: Callable[..., Any]) -> bool:
    """Whether it has a parameter for the request's headers (client-facts.md, 24)."""
    return "request_headers" in inspect.signature(run).parameters


def adapt(driver: ModuleType) -> None:
    """Make a wrapped driver, whose `init` has run, work as it did in its time."""
    user_run = getattr(driver, "user_run_func", None)
    if callable(user_run) and takes_headers(user_run) and not takes_headers(driver.run):
        driver.user_run_func = _given_headers(user_run)  # type: ignore[attr-defined]
    if arrays := sys.modules.get("azureml.api.schema.numpyUtil"):
        arrays.np = _NumPyOfTheTime(arrays.np)  # type: ignore[attr-defined]


def _given_headers(user_run: Callable[..., Any]) -> Callable[..., Any]:
    """The wrapper hands on what the schema names, and no headers."""

    def run(*arguments: Any, **named: Any) -> Any:
        request = CURRENT.get()
        return user_run(*arguments, **named, request_headers=request.headers if request else Headers())

    return run


class _NumPyOfTheTime:
    """NumPy, but `array(copy=False)` copies where it must, as before NumPy 2: so the SDK makes arrays of lists."""

    def __init__(self, numpy: ModuleType) -> None:
        self._numpy = numpy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)

    def array(self, *arguments: Any, copy: bool | None = True, **named: Any) -> Any:
        return self._numpy.array(*arguments, copy=copy or None, **named)
