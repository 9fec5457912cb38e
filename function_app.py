"""The Functions entry point: one app that registers the blueprints. It reads all settings before it has any function."""

import azure.functions as func

from functions import (
    commands,
    compute_resources,
    deployments,
    description,
    images,
    manifests,
    models,
    operations,
    queues,
    service_logs,
    services,
    timers,
)
from shared.bootstrap import slipway

slipway()  # a wrong setting is the reason why indexing fails, which the portal shows, and no answer to a caller

app = func.FunctionApp()
for module in (
    models,
    manifests,
    images,
    services,
    service_logs,
    deployments,
    compute_resources,
    operations,
    description,
    queues,
    commands,
    timers,
):
    app.register_functions(module.blueprint)
