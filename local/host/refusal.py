"""Why the host does not start."""


class Refused(Exception):
    """The app, or its settings, cannot be hosted; the message says what to change."""
