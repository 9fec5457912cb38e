"""Being asked to stop: Ctrl-C, SIGTERM, or a terminal that closes."""

import asyncio
import signal

_ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def cancel_once_on_signal(task: asyncio.Task[None] | None) -> None:
    """Cancel that task when asked to stop. A second signal does not interrupt the stop that the first has begun."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in _ASKING:
            loop.add_signal_handler(number, lambda: None)
        if task is not None:
            task.cancel()

    for number in _ASKING:
        loop.add_signal_handler(number, stop)
