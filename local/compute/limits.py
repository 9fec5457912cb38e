"""How long the node waits, and how much it takes. All in one place, so that a test can have a shorter minute."""

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Seconds, bytes and counts. Source of the defaults: client-facts.md, 12, 13 and 28."""

    request_timeout: float = 60
    """From the moment a request has arrived whole to its answer, waiting included."""
    head_timeout: float = 30
    """From a connection's start to the end of the first request's headers."""
    most_body: int = 100 * MEBIBYTE
    waiting_per_replica: int = 10

    start_timeout: float = 120
    """From a replica's start to its first healthy answer."""
    restarts_on_trial: int = 3
    """How often a replica of a deployment that never was healthy is started again."""
    trial_backoff: float = 0.25
    first_backoff: float = 1
    longest_backoff: float = 30
    healthy_again_after: float = 60
    """A replica that was healthy for so long begins with the first backoff again."""

    drain: float = 60
    """What requests under way are given when their replica is to stop."""
    grace: float = 6
    """From SIGTERM to SIGKILL."""
    stop_grace: float = 3.5
    """The same where the node itself stops."""
    stop: float = 7
    """From the node's own SIGTERM to its end, whatever it is still at."""

    scale_in_window: float = 60
    """How long a replica stays unneeded before it is stopped."""

    renewal: float = 600
    """How often it is looked whether what a replica may do with storage was signed anew."""

    most_log: int = 10 * MEBIBYTE
    """Of one replica: so much is kept, and as much of what was printed before."""
