"""`check`: whether the app can start with its settings, and reaches what they name. One line a check."""

import asyncio
import logging
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping

from admin.command import Command, source_of
from admin.findings import Finding, Mark
from admin.idle import idle_logins, idle_settings
from admin.network import network_findings
from shared.settings.environment import SettingError
from shared.settings.names import is_setting, unknown
from shared.startup import checked_settings, telemetry_at_start


def run(given: Namespace) -> int:
    """0 when nothing is wrong."""
    logging.disable()  # what libraries say of a failure is said again below, in a line
    source = source_of(given.home)
    print(f"The settings are those of {source.where}.", flush=True)
    return asyncio.run(_report(source.variables))


COMMAND = Command("check the settings, and the network behind them, without starting the app", run)


async def _report(variables: Mapping[str, str]) -> int:
    wrong = 0
    async for finding in _findings(variables):
        print(finding, flush=True)
        wrong += finding.mark is Mark.WRONG
    print(f"What is wrong: {wrong}." if wrong else "All is well.")
    return 1 if wrong else 0


async def _findings(variables: Mapping[str, str]) -> AsyncIterator[Finding]:
    for mistaken in unknown(variables):
        yield Finding.wrong("names", mistaken)
    try:
        settings = checked_settings(variables)
        telemetry_at_start(settings)
    except SettingError as error:
        for problem in error.problems:
            yield Finding.wrong("settings", problem)
        yield Finding.note("network", "not tried; mend the settings first.")
        return
    yield Finding.ok("settings", f"{sum(map(is_setting, variables))} are set, and are well formed.")
    for note in (*idle_settings(variables), *idle_logins(settings.images)):
        yield note
    async for finding in network_findings(settings):
        yield finding
