"""Telling Azure: data collection, to storage and event hubs, and reports to Application Insights.

What talks to Azure is a process of its own, started when a setting asks for it. So Azure's packages neither meet the
driver's nor weigh on the server, and nothing that happens there delays an answer: what cannot be handed over at once is
dropped, and counted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..logs import log
from ..observing import Observer
from . import by_hand
from .settings import TellingSettings


def observers(environment: Mapping[str, str], folder: Path) -> Sequence[Observer]:
    """Who is to be told of each answer, for the app in that folder; and makes `azureml.datacollector` importable.

    To be called once, before the import system is the driver's and before the server parts into processes. Raises
    ValueError, naming the variable, for a setting that makes no sense.
    """
    settings = TellingSettings.of(environment)
    for name in settings.missing:
        log("WARNING", f"{name} is not set, though it is switched on: it has no effect.")
    if not settings.destinations:
        by_hand.provide(None)
        return ()
    from .outgoing import watch  # noqa: PLC0415  most replicas need none of this, and start faster without
    from .teller import Teller  # noqa: PLC0415

    teller = Teller(environment, folder)
    by_hand.provide(teller if settings.collects else None)
    if settings.app_insights:
        watch(teller.called)
    return (teller,)
