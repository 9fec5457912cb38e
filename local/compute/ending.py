"""The node's end, which nothing keeps off: a thread that copies a model cannot be cancelled, and a replica may hang."""

import logging
import os
import signal
import threading
from contextlib import suppress

from local.children import descendants

_logger = logging.getLogger(__name__)


def end_within(seconds: float) -> None:
    """End this process after so long, and all that it has started, unless it has ended by then."""
    timer = threading.Timer(seconds, _end, [seconds])
    timer.daemon = True
    timer.start()


def _end(seconds: float) -> None:
    _logger.warning("The node is still at work %g s after it was told to stop, and ends with its replicas.", seconds)
    for process in descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(1)
