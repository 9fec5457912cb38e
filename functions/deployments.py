"""HTTP functions of deployments: api.md, 17 and 18."""

import azure.functions as func

from functions.answers import DeploymentList
from functions.endpoint import Call, endpoint
from functions.listing import filters_of
from functions.replies import Reply
from shared.domain.deployments import Deployment
from shared.domain.filters import DeploymentFilters

blueprint = func.Blueprint()


@endpoint(blueprint, "GET", "deployments", filters=DeploymentFilters, answers={200: DeploymentList})
async def list_deployments(call: Call) -> Reply:
    """List deployments, newest first: the history of what ran behind each service. Not paged: a bare array."""
    deployments = await call.slipway.deployments.all(call.account, filters_of(call, DeploymentFilters))
    return Reply(200, DeploymentList(tuple(deployments)))


@endpoint(blueprint, "GET", "deployments/{id}", answers={200: Deployment}, conditional=True)
async def get_deployment(call: Call) -> Reply:
    """One deployment."""
    return call.shown(await call.slipway.deployments.get(call.account, call.id))
