"""HTTP functions of services: api.md, 10–16."""

import azure.functions as func

from functions.answers import PaginatedServiceList
from functions.endpoint import Call, endpoint
from functions.listing import listed
from functions.replies import Reply
from shared.domain.filters import ServiceFilters
from shared.domain.operations import Operation
from shared.domain.services import (
    AuthKeys,
    KeyGenerations,
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
    request = call.body(ServiceCreateRequest)
    return call.accepted(await call.once(Operation, lambda once: call.slipway.services.create(call.account, request, once)))


@endpoint(blueprint, "GET", "services", filters=ServiceFilters, paged=True, answers={200: PaginatedServiceList})
async def list_services(call: Call) -> Reply:
    """List the account's services, newest first, in pages."""
    page = await listed(call, "services", ServiceFilters, call.slipway.services.page)
    shown = tuple(service.shown() for service in page.items)
    return Reply(200, PaginatedServiceList(value=shown, next_link=page.next_link))


@endpoint(blueprint, "GET", "services/{id}", answers={200: ServiceResponse}, conditional=True)
async def get_service(call: Call) -> Reply:
    """One service; its ETag tells whether what is shown has changed."""
    service = await call.slipway.services.get(call.account, call.id)
    return call.shown(service, service.shown())


@endpoint(
    blueprint,
    "PUT",
    "services/{id}",
    role=Role.CONTRIBUTOR,
    takes=ServiceUpdateRequest,
    answers={202: None},
    conditional=True,
)
async def update_service(call: Call) -> Reply:
    """Update a service; what is absent in the body stays as it is, and calls are answered all the while."""
    identifier, request, update = call.id, call.body(ServiceUpdateRequest), call.slipway.services.update
    operation = await call.once(
        Operation, lambda once: update(call.account, identifier, request, once, preconditions=call.preconditions)
    )
    return call.accepted(operation)


@endpoint(blueprint, "DELETE", "services/{id}", role=Role.CONTRIBUTOR, answers={200: None, 204: None}, conditional=True)
async def delete_service(call: Call) -> Reply:
    """Delete a service; it takes no calls from the moment this answers."""
    return await call.deleted(call.slipway.services.delete)


@endpoint(blueprint, "GET", "services/{id}/keys", role=Role.CONTRIBUTOR, answers={200: AuthKeys}, conditional=True)
async def get_service_keys(call: Call) -> Reply:
    """The keys callers score with; either one is good."""
    generations = await call.slipway.services.key_generations(call.account, call.id)
    return call.shown(generations, call.slipway.services.keys_of(call.account, generations))


@endpoint(
    blueprint,
    "POST",
    "services/{id}/regenerateKeys",
    role=Role.CONTRIBUTOR,
    takes=ServiceRegenerateKeyRequest,
    answers={200: AuthKeys},
    conditional=True,
)
async def regenerate_service_key(call: Call) -> Reply:
    """Make one key anew and return both; the old one is refused from then on."""
    identifier, request, services = call.id, call.body(ServiceRegenerateKeyRequest), call.slipway.services
    generations = await call.once(
        KeyGenerations,
        lambda once: services.regenerate_key(
            call.account, identifier, request.key_type, once, preconditions=call.preconditions
        ),
    )
    await services.enforce_keys(call.account, identifier)
    return Reply(200, services.keys_of(call.account, generations))
