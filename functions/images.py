"""HTTP functions of images: api.md, 7–9."""

import azure.functions as func

from functions.answers import PaginatedImageList, image_shown
from functions.endpoint import Call, endpoint
from functions.listing import listed
from functions.replies import Reply
from shared.domain.filters import ImageFilters
from shared.domain.images import Image, ImageRequest
from shared.domain.operations import Operation
from shared.identity.roles import Role

blueprint = func.Blueprint()


@endpoint(blueprint, "POST", "images", role=Role.CONTRIBUTOR, takes=ImageRequest, answers={202: None})
async def build_image(call: Call) -> Reply:
    """Build an image from a manifest; Operation-Location says where the build's state is shown."""
    request = call.body(ImageRequest)
    return call.accepted(await call.once(Operation, lambda once: call.slipway.images.build(call.account, request, once)))


@endpoint(blueprint, "GET", "images", filters=ImageFilters, paged=True, answers={200: PaginatedImageList})
async def list_images(call: Call) -> Reply:
    """List the account's images, newest first, in pages."""
    page = await listed(call, "images", ImageFilters, call.slipway.images.page)
    shown = tuple(image_shown(image, call.account_url) for image in page.items)
    return Reply(200, PaginatedImageList(value=shown, next_link=page.next_link))


@endpoint(blueprint, "GET", "images/{id}", answers={200: Image}, conditional=True)
async def get_image(call: Call) -> Reply:
    """One image, with an address of its build log made fresh."""
    image = await call.slipway.images.get(call.account, call.id)
    return call.shown(image, image_shown(image, call.account_url))


@endpoint(blueprint, "DELETE", "images/{id}", role=Role.CONTRIBUTOR, answers={200: None, 204: None}, conditional=True)
async def delete_image(call: Call) -> Reply:
    """Delete an image that no service runs."""
    return await call.deleted(call.slipway.images.delete)
