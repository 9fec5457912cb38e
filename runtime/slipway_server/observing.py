"""Who is told of every answer: what collects data, and what reports to Application Insights."""

from typing import Protocol

from .http.messages import Request, Response


class Observer(Protocol):
    """Is told of each answer to `/score`, after it was given.

    It is made before there is an event loop, and, where a replica has several processes, before they part: what belongs to
    one process, such as a thread, a task or a connection, it starts when it is first told of something.
    """

    def scored(self, request: Request, response: Response, began: float, seconds: float) -> None:
        """That request was answered so; it began at that time (Unix time) and took so long.

        It is called on the event loop: it neither waits nor raises.
        """

    def logged(self, level: str, message: str) -> None:
        """That was logged, by the driver or of it, under the request that is being worked on. Any thread calls this."""

    def metrics(self) -> str:
        """What it counts, of all processes of the replica: lines in the text format of Prometheus."""

    async def close(self) -> None:
        """Tell what is not told yet, in bounded time. No answer comes after this."""
