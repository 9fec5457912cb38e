"""HTTP functions of manifests: api.md, 4–6."""

import azure.functions as func

from functions.answers import PaginatedManifestList
from functions.endpoint import Call, endpoint
from functions.listing import listed
from functions.replies import Reply
from shared.domain.filters import ManifestFilters
from shared.domain.manifests import Manifest, ManifestRequest
from shared.identity.roles import Role

blueprint = func.Blueprint()


@endpoint(blueprint, "POST", "manifests", role=Role.CONTRIBUTOR, takes=ManifestRequest, answers={200: Manifest})
async def register_manifest(call: Call) -> Reply:
    """Register a manifest: a driver program, the registered models it uses and all its dependencies."""
    request = call.body(ManifestRequest)
    return Reply(200, await call.once(Manifest, lambda once: call.slipway.manifests.register(call.account, request, once)))


@endpoint(blueprint, "GET", "manifests", filters=ManifestFilters, paged=True, answers={200: PaginatedManifestList})
async def list_manifests(call: Call) -> Reply:
    """List the account's manifests, newest first, in pages."""
    page = await listed(call, "manifests", ManifestFilters, call.slipway.manifests.page)
    return Reply(200, PaginatedManifestList(value=page.items, next_link=page.next_link))


@endpoint(blueprint, "GET", "manifests/{id}", answers={200: Manifest}, conditional=True)
async def get_manifest(call: Call) -> Reply:
    """One manifest."""
    return call.shown(await call.slipway.manifests.get(call.account, call.id))


@endpoint(blueprint, "DELETE", "manifests/{id}", role=Role.CONTRIBUTOR, answers={200: None, 204: None}, conditional=True)
async def delete_manifest(call: Call) -> Reply:
    """Delete a manifest that no image was made from."""
    return await call.deleted(call.slipway.manifests.delete)
