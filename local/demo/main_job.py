"""Two models go from file to a scored service, step by step. Each step is one function."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from local.demo.client import Client, check
from local.demo.training import DRIVER, Trained, accuracy, train
from local.home import Home
from local.progress import Progress
from local.stack import Running, running_stack
from local.upload import Uploads


async def build(client: Client, uploads: Uploads, trained: Trained) -> str:
    """Register the model, a manifest of it, and build an image; the image's id."""
    url = await uploads.put("digits.pkl", trained.content)
    model_body = {"name": "digits", "url": url, "mimeType": "application/json", "tags": ["demo"]}
    model = (await client.call("POST", "models", model_body, status=200)).json()
    client.progress.done(f"registered model digits, version {model['version']}, {len(trained.content)} bytes")
    driver = await uploads.put("driver.py", DRIVER.encode())
    requirements = f"scikit-learn=={version('scikit-learn')}\n".encode()
    manifest_body: dict[str, Any] = {
        "name": "digits",
        "driverProgram": "driver",
        "assets": [{"id": "driver", "mimeType": "application/x-python", "url": driver}],
        "modelIds": [model["id"]],
        "targetRuntime": {
            "runtimeType": "Python",
            "properties": {"pipRequirements": await uploads.put("requirements.txt", requirements)},
        },
    }
    manifest = (await client.call("POST", "manifests", manifest_body, status=200)).json()
    client.progress.done(f"registered manifest digits, version {manifest['version']}")
    compute_id = client.running.compute_resource_id
    body = {"name": "digits", "manifestId": manifest["id"], "imageType": "Docker", "computeResourceId": compute_id}
    accepted = await client.call("POST", "images", body, status=202)
    image = await client.get(f"images/{await client.finished(accepted, 'building the image')}")
    client.progress.done(f"built image digits, version {image['version']}: {image['imageDigest'][:19]}…")
    log = await client.http.get(image["imageBuildLogUri"])
    print("".join(f"{'':27}| {line}\n" for line in log.text.splitlines()), end="")
    return str(image["id"])


async def create(client: Client, image_id: str) -> Any:
    """Run a service from that image, on two replicas."""
    resource = {"id": client.running.compute_resource_id, "type": "Cluster"}
    name = await free_name(client)
    body = {"name": name, "imageId": image_id, "computeResource": resource, "numReplicas": 2}
    accepted = await client.call("POST", "services", body, status=202)
    return await client.get(f"services/{await client.finished(accepted, 'starting two replicas')}")


async def free_name(client: Client) -> str:
    """The name `digits`, or one like it where an earlier demo, or somebody else, has a service of that name."""
    taken = (await client.get("services", serviceName="digits"))["value"]
    return f"digits-{uuid4().hex[:8]}" if taken else "digits"


@asynccontextmanager
async def scorer(client: Client, uri: str, key: str, rows: list[list[float]]) -> AsyncIterator[list[httpx.Response]]:
    """Four callers that score without a pause, until the context ends; all their answers."""
    answers: list[httpx.Response] = []

    async def ask() -> None:
        while True:
            answers.append(await client.score(uri, key, rows))

    callers = [asyncio.create_task(ask()) for _ in range(4)]
    try:
        yield answers
    finally:
        for caller in callers:
            caller.cancel()
        ended = await asyncio.gather(*callers, return_exceptions=True)
        broken = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
        check(not broken, f"a scoring call broke: {broken}")


async def update_under_load(client: Client, service: Any, key: str, image_id: str, change: tuple[Trained, Trained]) -> str:
    """PUT the new image while a scorer calls all the time; in words, how many calls met which model."""
    before, after = change
    rows = before.rows[:40]
    async with scorer(client, service["scoringUri"], key, rows) as answers:
        await seen(answers, before.predictions[:40])
        accepted = await client.call("PUT", f"services/{service['id']}", {"imageId": image_id}, status=202)
        await client.finished(accepted, "updating the service while it is called")
        await seen(answers, after.predictions[:40])
    statuses = {answer.status_code for answer in answers}
    check(statuses == {200}, f"calls failed during the update: {statuses}")
    new = [answer.json() == after.predictions[:40] for answer in answers]
    check(all(answer.json() in (before.predictions[:40], after.predictions[:40]) for answer in answers), "a wrong answer")
    return f"{len(answers)} calls, none failed; {new.count(False)} answered by version 1, {new.count(True)} by version 2"


async def seen(answers: list[httpx.Response], predictions: list[int]) -> None:
    """Wait until one of the coming answers is that."""
    start = len(answers)
    async with asyncio.timeout(60):
        while not any(answer.json() == predictions for answer in answers[start:]):  # noqa: ASYNC110  # what comes, comes
            await asyncio.sleep(0.02)


async def regenerate(client: Client, service: Any, keys: dict[str, str], rows: list[list[float]]) -> None:
    """Make the primary key anew: the old one is refused at once, the other goes on."""
    fresh = (
        await client.call("POST", f"services/{service['id']}/regenerateKeys", {"keyType": "Primary"}, status=200)
    ).json()
    expected = {keys["primaryKey"]: 401, keys["secondaryKey"]: 200, fresh["primaryKey"]: 200}
    for key, status in expected.items():
        answer = await client.score(service["scoringUri"], key, rows)
        check(answer.status_code == status, f"a key was answered {answer.status_code} instead of {status}")


async def delete(client: Client, service: Any, key: str, rows: list[list[float]]) -> None:
    """Delete the service: scoring stops answering, and the second delete finds nothing."""
    await client.call("DELETE", f"services/{service['id']}", status=200)
    answer = await client.score(service["scoringUri"], key, rows)
    check(answer.status_code == 404, f"a deleted service answered {answer.status_code}")
    await client.call("DELETE", f"services/{service['id']}", status=204)


async def main_job(running: Running, progress: Progress) -> None:
    """The whole road. Raises DemoFailed."""
    progress.begin("training two models")
    first, second = await asyncio.to_thread(lambda: (train(trees=3), train(trees=60)))
    progress.done(f"trained two models on digits: accuracy {first.accuracy:.4f} and {second.accuracy:.4f} on held-out rows")
    client, uploads = Client(running, progress), Uploads(running.blob_connection_string, running.blob_endpoint)
    async with client.http:
        service = await create(client, await build(client, uploads, first))
        progress.done(f"service {service['name']} is {service['state']} at {service['scoringUri']}")
        keys = await client.get(f"services/{service['id']}/keys")
        answer = await client.score(service["scoringUri"], keys["primaryKey"], first.rows)
        scored = accuracy(answer.json(), first.truth)
        check(scored == first.accuracy, f"the service's accuracy is {scored}, the model's {first.accuracy}")
        progress.done(
            f"scored {len(first.rows)} held-out rows: accuracy {scored:.4f}, the local model's own {first.accuracy:.4f}"
        )
        image_id = await build(client, uploads, second)
        told = await update_under_load(client, service, keys["primaryKey"], image_id, (first, second))
        progress.done(f"updated the service under load: {told}")
        for deployment in await client.get("deployments", serviceId=service["id"]):
            span = f"{deployment['createdAt']} … {deployment.get('expiredAt', 'now')}"
            progress.done(f"deployment {deployment['id']}: {deployment['status']}, {span}")
        await regenerate(client, service, keys, first.rows[:5])
        progress.done("regenerated the primary key: the old one is refused, the secondary still works")
        progress.begin("deleting the service")
        await delete(client, service, keys["secondaryKey"], first.rows[:5])
        progress.done("deleted the service: scoring stopped answering; the second delete answered 204")


async def on_a_stack(home: Home, port: int, cache: Path, progress: Progress) -> None:
    """The whole road, on a stack that is started for it and stopped after it. Raises DemoFailed and StackError."""
    async with running_stack(home, port, cache, progress) as running:
        progress.done(
            f"the stack is up at http://127.0.0.1:{port}: Azurite, the Functions host, the compute node, a token issuer"
        )
        await main_job(running, progress)
    progress.done("stopped everything")
