"""What is read and checked when the app starts: all settings, by their form and as the adapters that use them take them."""

import logging
from collections.abc import Mapping

from shared.compute.kubernetes.endpoint import ConnectionInvalid
from shared.compute.kubernetes.kubeconfig import Kubeconfig
from shared.settings import Settings
from shared.settings.app import app_settings
from shared.settings.environment import Environment
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


def _check_kubeconfig(environment: Environment, name: str, text: str) -> None:
    try:
        Kubeconfig.parse(text, "given").endpoint()
    except ConnectionInvalid as error:
        environment.refuse(name, f" accepts a kubeconfig as `kubectl config view --flatten` prints it. {error.message}")
