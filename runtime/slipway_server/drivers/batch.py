"""One call of `run_batch`: what it is given, and what each caller gets."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_args

from ..http.messages import CURRENT, Request, Response
from .encoding import listed
from .inputs import Inputs, hints_of
from .misfit import Misfit
from .outcomes import raised, returned


class Batch:
    """Requests that are scored together. Those whose input does not fit are answered without the others."""

    def __init__(self, requests: Sequence[Request], inputs: Inputs) -> None:
        self._requests = requests
        self._refused: dict[int, Misfit] = {}
        self.items: list[Any] = []
        for place, request in enumerate(requests):
            try:
                arguments, named = inputs.of(request)
                self.items.append(arguments[0] if arguments else named)
            except Misfit as misfit:
                self._refused[place] = misfit

    def answers(self, outcome: Any) -> list[Response]:
        """One answer for each request, in their order, of what `run_batch` returned, or of the exception it raised."""
        results = iter(self._results(outcome))
        return [
            _answer(request, self._refused[place] if place in self._refused else next(results))
            for place, request in enumerate(self._requests)
        ]

    def _results(self, outcome: Any) -> Sequence[Any]:
        if isinstance(outcome, BaseException):
            return [outcome] * len(self.items)
        try:
            return checked(outcome, len(self.items))
        except (TypeError, ValueError) as error:
            return [error] * len(self.items)


def checked(outcome: Any, count: int) -> Sequence[Any]:
    """The results of a batch of so many. Raises TypeError or ValueError for what is no list, or another number of them."""
    results = listed(outcome)
    if len(results) != count:
        raise ValueError(f"run_batch was given {count} items and returned {len(results)} results; each needs one.")
    return results


def alone(run_batch: Callable[..., Any]) -> Callable[..., Any]:
    """A `run` for a driver that has only `run_batch`: a batch of one."""

    async def run_asynchronously(body: Any) -> Any:
        return _only(await run_batch([body]))

    def run(body: Any) -> Any:
        return _only(run_batch([body]))

    made = run_asynchronously if inspect.iscoroutinefunction(run_batch) else run
    made.__annotations__ = {"body": next(iter(get_args(next(iter(hints_of(run_batch).values()), None))), Any)}
    return made


def _only(outcome: Any) -> Any:
    (result,) = checked(outcome, 1)
    if isinstance(result, BaseException):
        raise result
    return result


def _answer(request: Request, result: Any) -> Response:
    """What is logged of it has the id of its own request."""
    token = CURRENT.set(request)
    try:
        return raised(result) if isinstance(result, BaseException) else returned(result)
    except Exception as error:  # noqa: BLE001  a result that is no answer fails for its own caller only
        return raised(error)
    finally:
        CURRENT.reset(token)
