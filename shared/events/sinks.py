"""Where events go: a queue, Event Grid, or any webhook, signed as Standard Webhooks has it."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from shared.domain.errors import Unavailable
from shared.domain.events import Event
from shared.domain.retry_after import retry_after
from shared.events.format import CONTENT_TYPE, event_text

_TIMEOUT = 15.0


class QueueSink:
    """The port EventSink over a queue."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send

    async def send(self, event: Event) -> None:
        """Send it; raises Unavailable."""
        await self._send(event_text(event))


class EndpointSink:
    """The port EventSink over HTTP: an Event Grid topic with its access key, or a webhook with a signing secret."""

    def __init__(self, url: str, key: str, *, event_grid: bool) -> None:
        self._url = url
        self._key = key
        self._event_grid = event_grid

    async def send(self, event: Event) -> None:
        """POST it; any answer of the 200s means that it has arrived. Raises Unavailable."""
        import aiohttp  # noqa: PLC0415  # a cold start that publishes nothing does without

        text = event_text(event)
        headers = {"Content-Type": CONTENT_TYPE, **self._authority(event, text)}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_TIMEOUT)) as session,
                session.post(self._url, data=text.encode(), headers=headers, allow_redirects=False) as answer,
            ):
                status, pause = answer.status, retry_after(answer.headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"The events endpoint is away: {type(error).__name__}.") from error
        if not 200 <= status < 300:
            raise Unavailable(f"The events endpoint answered {status}.", retry_after=pause)

    def _authority(self, event: Event, text: str) -> Mapping[str, str]:
        if self._event_grid:
            return {"aeg-sas-key": self._key}
        from standardwebhooks import Webhook  # noqa: PLC0415

        now = datetime.now(UTC)
        signature = Webhook(self._key).sign(msg_id=event.id, timestamp=now, data=text)
        return {"webhook-id": event.id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
