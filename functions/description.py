"""The HTTP function of the API's own description: client-facts.md, 2."""

import json

import azure.functions as func

from functions.endpoint import ROUTES, Call, endpoint
from functions.openapi import described
from functions.replies import Reply
from shared.domain.documents import tag_of

blueprint = func.Blueprint()


@endpoint(blueprint, "GET", "swagger.json", role=None, answers={200: None}, conditional=True)
async def describe_api(call: Call) -> Reply:
    """The API's own description; its address, less the last segment, is the account's base URL."""
    text = json.dumps(described(ROUTES, call.account_url))
    return Reply(200, text, {"ETag": tag_of(text)})
