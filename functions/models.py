"""HTTP functions of models: api.md, 1–3."""

import azure.functions as func

from functions.answers import PaginatedModelList
from functions.endpoint import Call, endpoint
from functions.listing import listed
from functions.replies import Reply
from shared.domain.filters import ModelFilters
from shared.domain.models import Model, ModelRequest
from shared.identity.roles import Role

blueprint = func.Blueprint()


@endpoint(blueprint, "POST", "models", role=Role.CONTRIBUTOR, takes=ModelRequest, answers={200: Model})
async def register_model(call: Call) -> Reply:
    """Register a model; a second registration under one name makes a new version with a new id."""
    request = call.body(ModelRequest)
    return Reply(200, await call.once(Model, lambda once: call.slipway.models.register(call.account, request, once)))


@endpoint(blueprint, "GET", "models", filters=ModelFilters, paged=True, answers={200: PaginatedModelList})
async def list_models(call: Call) -> Reply:
    """List the account's models, newest first, in pages."""
    page = await listed(call, "models", ModelFilters, call.slipway.models.page)
    return Reply(200, PaginatedModelList(value=page.items, next_link=page.next_link))


@endpoint(blueprint, "GET", "models/{id}", answers={200: Model}, conditional=True)
async def get_model(call: Call) -> Reply:
    """One model."""
    return call.shown(await call.slipway.models.get(call.account, call.id))


@endpoint(blueprint, "DELETE", "models/{id}", role=Role.CONTRIBUTOR, answers={200: None, 204: None}, conditional=True)
async def delete_model(call: Call) -> Reply:
    """Delete a model that no manifest uses."""
    return await call.deleted(call.slipway.models.delete)
