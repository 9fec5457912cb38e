"""The Functions entry point: one app that registers the blueprints."""

import azure.functions as func

from functions import commands, deployments, description, images, manifests, models, operations, queues, services, timers

app = func.FunctionApp()
for module in (models, manifests, images, services, deployments, operations, description, queues, commands, timers):
    app.register_functions(module.blueprint)
