"""The Functions entry point: one app that registers the blueprints. It reads all settings before it has any function."""

import azure.functions as func

from functions import (
    build_logs,
    commands,
    compute_resources,
    deployments,
    description,
    health,
    images,
    manifests,
    models,
    operations,
    queues,
    service_logs,
    services,
    timers,
    unknown,
)
from shared.bootstrap import slipway

slipway()  # a wrong setting is the reason why indexing fails, which the portal shows, and no answer to a caller

app = func.FunctionApp()
for module in (
    models,
    manifests,
    images,
    build_logs,
    services,
    service_logs,
    deployments,
    compute_resources,
    operations,
    description,
    health,
    unknown,
    queues,
    commands,
    timers,
):
    app.register_functions(module.blueprint)
