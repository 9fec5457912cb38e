"""What is read and checked when the app starts: all settings, by their form and as the adapters that use them take them."""

import logging
from collections.abc import Callable, Mapping

from shared.compute.kubernetes.endpoint import ConnectionInvalid
from shared.compute.kubernetes.kubeconfig import Kubeconfig
from shared.domain.errors import foreign
from shared.domain.ports import NO_TELEMETRY, Telemetry
from shared.settings import Settings
from shared.settings.app import app_settings
from shared.settings.environment import Environment, SettingError
from shared.settings.names import unknown

_logger = logging.getLogger(__name__)


def checked_settings(variables: Mapping[str, str]) -> Settings:
    """The settings of the app; raises SettingError with all that is wrong."""
    environment = Environment(variables)
    settings = app_settings(environment)
    for name, text in settings.compute.kubeconfigs.items():
        _check_kubeconfig(environment, name, text)
    environment.check()
    return settings


def settings_at_start(variables: Mapping[str, str]) -> Settings:
    """The same; names that are no settings are a line in the log, so that a version that does not know them yet runs."""
    settings = checked_settings(variables)
    if mistaken := unknown(variables):
        _logger.error("The environment names settings that are none: %s", " ".join(mistaken))
    return settings


def telemetry_at_start(settings: Settings) -> Callable[[], Telemetry]:
    """What sends traces and metrics where the settings say. OpenTelemetry refuses some of its variables when imported."""
    if not settings.telemetry:
        return lambda: NO_TELEMETRY
    try:
        from shared.telemetry.otlp import OtlpTelemetry  # noqa: PLC0415  # a quarter of a second of a cold start
    except ValueError as error:
        raise SettingError([f"A variable of OpenTelemetry's (OTEL_…) is wrong: {foreign(error)}."]) from error
    return OtlpTelemetry


def _check_kubeconfig(environment: Environment, name: str, text: str) -> None:
    try:
        Kubeconfig.parse(text, "given").endpoint()
    except ConnectionInvalid as error:
        environment.refuse(name, f" accepts a kubeconfig as `kubectl config view --flatten` prints it. {error.message}")
