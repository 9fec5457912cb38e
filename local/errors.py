"""What a person is told in one line."""


class StackError(Exception):
    """The stack cannot run, or does not; the message says why, and what to do."""


class DemoFailed(Exception):
    """Something in the demo was not as it should be."""


def told(error: Exception) -> str:
    """The first line of what an error says; clients of servers add whole answers to it."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
