"""The HTTP function of images' build logs, an extension of api.md."""

import azure.functions as func

from functions.endpoint import Call, endpoint
from functions.listing import filters_of
from functions.replies import Reply
from functions.since import Since, moment_of
from shared.domain.filters import Filters

blueprint = func.Blueprint()


class BuildLogParameters(Filters):
    """Of GET /images/{id}/logs."""

    since: Since | None = None


@endpoint(blueprint, "GET", "images/{id}/logs", filters=BuildLogParameters, answers={200: str})
async def get_image_logs(call: Call) -> Reply:
    """What the image's build has logged so far, as plain text."""
    since = filters_of(call, BuildLogParameters).since
    moment = moment_of(since, call.slipway.now()) if since else None
    return Reply(200, await call.slipway.images.log(call.account, call.id, moment), mimetype="text/plain")
