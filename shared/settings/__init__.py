"""Settings: the environment of the app, read once, when it starts, with all that is wrong in one error."""

from shared.settings.app import EventSettings, Settings, TokenSettings, read_settings

__all__ = ["EventSettings", "Settings", "TokenSettings", "read_settings"]
