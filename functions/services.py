"""HTTP functions of services: api.md, 10–16."""

import azure.functions as func

from functions.answers import PaginatedServiceList, service_response
from functions.endpoint import Call, Reply, endpoint
from functions.listing import listed
from shared.domain.filters import ServiceFilters
from shared.domain.services import (
    AuthKeys,
    ServiceCreateRequest,
    ServiceRegenerateKeyRequest,
    ServiceResponse,
    ServiceUpdateRequest,
)
from shared.identity.roles import Role

blueprint = func.Blueprint()


@endpoint(blueprint, "POST", "services", role=Role.CONTRIBUTOR, takes=ServiceCreateRequest, answers={202: None})
async def create_service(call: Call) -> Reply:
    """Create a web service from an image; Operation-Location says where its state is shown."""
    return call.accepted(await call.slipway.services.create(call.account, call.body(ServiceCreateRequest)))


@endpoint(blueprint, "GET", "services", filters=ServiceFilters, paged=True, answers={200: PaginatedServiceList})
async def list_services(call: Call) -> Reply:
    """List the account's services, newest first, in pages."""
    page = await listed(call, "services", ServiceFilters, call.slipway.services.page)
    return Reply(
        200, PaginatedServiceList(value=tuple(service_response(item) for item in page.items), next_link=page.next_link)
    )


@endpoint(blueprint, "GET", "services/{id}", answers={200: ServiceResponse})
async def get_service(call: Call) -> Reply:
    """One service."""
    return Reply(200, service_response(await call.slipway.services.get(call.account, call.id)))


@endpoint(blueprint, "PUT", "services/{id}", role=Role.CONTRIBUTOR, takes=ServiceUpdateRequest, answers={202: None})
async def update_service(call: Call) -> Reply:
    """Update a service; what is absent in the body stays as it is, and calls are answered all the while."""
    return call.accepted(await call.slipway.services.update(call.account, call.id, call.body(ServiceUpdateRequest)))


@endpoint(blueprint, "DELETE", "services/{id}", role=Role.CONTRIBUTOR, answers={200: None, 204: None})
async def delete_service(call: Call) -> Reply:
    """Delete a service; it takes no calls from the moment this answers."""
    return await call.deleted(call.slipway.services.delete)


@endpoint(blueprint, "GET", "services/{id}/keys", role=Role.CONTRIBUTOR, answers={200: AuthKeys})
async def get_service_keys(call: Call) -> Reply:
    """The keys callers score with; either one is good."""
    return Reply(200, await call.slipway.services.keys(call.account, call.id))


@endpoint(
    blueprint,
    "POST",
    "services/{id}/regenerateKeys",
    role=Role.CONTRIBUTOR,
    takes=ServiceRegenerateKeyRequest,
    answers={200: AuthKeys},
)
async def regenerate_service_key(call: Call) -> Reply:
    """Make one key anew and return both; the old one is refused from then on."""
    request = call.body(ServiceRegenerateKeyRequest)
    return Reply(200, await call.slipway.services.regenerate_key(call.account, call.id, request.key_type))
