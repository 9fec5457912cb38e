"""The HTTP function for probes: is the app ready, and which version is it. An extension of api.md; anybody may ask."""

from dataclasses import replace

import azure.functions as func

from functions.answering import answered
from functions.endpoint import ROUTES, Route
from functions.replies import Reply, refusal
from shared.bootstrap import slipway
from shared.domain.errors import Unavailable
from shared.domain.operations import ErrorResponse
from shared.domain.wire import Wire
from shared.resources.health import Health
from shared.version import VERSION

blueprint = func.Blueprint()


class Ready(Wire):
    """The app can serve."""

    ready: bool = True
    version: str = VERSION


class NotReady(ErrorResponse):
    """The app cannot serve now, and why."""

    ready: bool = False
    version: str = VERSION


_NOT_READY = Unavailable("The storage of this app does not answer; its log says why.", code="NotReady")

ROUTES.append(
    Route(
        "check_health",
        "GET",
        "health",
        "Whether the app is ready, which takes storage that answers, and its version.",
        None,
        {200: Ready, 503: NotReady},
        in_account=False,
    )
)


@blueprint.function_name("check_health")
@blueprint.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def check_health(req: func.HttpRequest) -> func.HttpResponse:
    """Answer 200 when the app can serve, else 503."""
    return await answered(req, "GET check_health", lambda: health_reply(slipway().health, req))


async def health_reply(health: Health, request: func.HttpRequest) -> Reply:
    """200 when the app can serve, else 503, an ErrorResponse that says so, too."""
    if await health.ready():
        return Reply(200, Ready())
    told = refusal(_NOT_READY, request)
    return replace(told, body=NotReady(code=_NOT_READY.code, message=_NOT_READY.message, status_code=told.status))
