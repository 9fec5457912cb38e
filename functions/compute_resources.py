"""HTTP functions of compute resources, an extension of api.md."""

import azure.functions as func

from functions.answers import PaginatedComputeResourceList
from functions.endpoint import Call, endpoint
from functions.listing import listed
from functions.replies import Reply
from shared.domain.compute_resources import (
    ComputeResourceName,
    ComputeResourceRecord,
    ComputeResourceRequest,
    ComputeResourceResponse,
)
from shared.domain.filters import Filters
from shared.domain.wire import validate
from shared.identity.roles import Role

blueprint = func.Blueprint()


@endpoint(blueprint, "GET", "computeResources", paged=True, answers={200: PaginatedComputeResourceList})
async def list_compute_resources(call: Call) -> Reply:
    """List where the account's services can run, newest first, in pages."""
    page = await listed(call, "computeResources", Filters, call.slipway.compute_resources.page)
    shown = tuple(record.shown(call.account) for record in page.items)
    return Reply(200, PaginatedComputeResourceList(value=shown, next_link=page.next_link))


@endpoint(blueprint, "GET", "computeResources/{name}", answers={200: ComputeResourceResponse}, conditional=True)
async def get_compute_resource(call: Call) -> Reply:
    """One compute resource, by its name."""
    record = await call.slipway.compute_resources.get(call.account, call.request.route_params["name"])
    return call.shown(record, record.shown(call.account))


@endpoint(
    blueprint,
    "PUT",
    "computeResources/{name}",
    role=Role.CONTRIBUTOR,
    takes=ComputeResourceRequest,
    answers={200: ComputeResourceResponse},
    conditional=True,
)
async def put_compute_resource(call: Call) -> Reply:
    """Make or change a compute resource, when it can be reached and all that services need there is allowed."""
    name = validate(ComputeResourceName, {"name": call.request.route_params["name"]}).name
    request, put = call.body(ComputeResourceRequest), call.slipway.compute_resources.put
    record = await call.once(
        ComputeResourceRecord,
        lambda once: put(call.account, name, request, once, preconditions=call.preconditions),
    )
    return Reply(200, record.shown(call.account))


@endpoint(
    blueprint, "DELETE", "computeResources/{name}", role=Role.CONTRIBUTOR, answers={200: None, 204: None}, conditional=True
)
async def delete_compute_resource(call: Call) -> Reply:
    """Delete a compute resource on which no service runs."""
    name = call.request.route_params["name"]
    there_was = await call.slipway.compute_resources.delete(call.account, name, call.preconditions)
    return Reply(200 if there_was else 204)
