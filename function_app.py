"""The Functions entry point: one app that registers the blueprints."""

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
