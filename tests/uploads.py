"""Blobs with shared-access signatures in the stack's own storage, as clients upload them; and the road to a service."""

import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobSasPermissions, BlobServiceClient, generate_blob_sas

from local.azurite.server import ACCOUNT

ECHO = b"def init(): pass\ndef run(body): return {'echo': body, 'version': 1}\n"


def upload(described: dict[str, Any], name: str, content: bytes) -> str:
    """Upload; a URL that reads it for an hour."""
    path = f"{uuid4().hex}/{name}"
    with BlobServiceClient.from_connection_string(described["blobConnectionString"]) as service:
        container = service.get_container_client("uploads")
        with contextlib.suppress(ResourceExistsError):
            container.create_container()
        container.upload_blob(path, content)
        key = service.credential.account_key
    signature = generate_blob_sas(
        ACCOUNT,
        "uploads",
        path,
        account_key=key,
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f"{described['blobEndpoint']}/uploads/{path}?{signature}"


def finished(api: httpx.Client, accepted: httpx.Response) -> dict[str, Any]:
    """Poll the operation to its end."""
    assert accepted.status_code == 202, accepted.text
    deadline = time.monotonic() + 120
    while True:
        operation = api.get(accepted.headers["Operation-Location"]).json()
        if operation["state"] not in ("NotStarted", "Running"):
            return operation
        assert time.monotonic() < deadline, operation
        time.sleep(0.1)


class Road:
    """The way from a driver to a service, on one stack."""

    def __init__(self, api: httpx.Client, described: dict[str, Any]) -> None:
        self.api = api
        self.described = described
        self.compute = {"id": described["computeResourceId"], "type": "Cluster"}

    def manifest(
        self, driver: bytes | str = ECHO, *, models: tuple[str, ...] = (), requirements: bytes | None = None
    ) -> str:
        """The id of a new manifest of that driver, or of the one at that URL."""
        url = driver if isinstance(driver, str) else upload(self.described, "driver.py", driver)
        properties = {} if requirements is None else {"pipRequirements": upload(self.described, "req.txt", requirements)}
        body = {
            "name": "echo",
            "description": None,
            "driverProgram": "driver",
            "assets": [{"id": "driver", "mimeType": "application/x-python", "url": url}],
            "modelIds": list(models),
            "targetRuntime": {"runtimeType": "Python", "properties": properties},
        }
        answer = self.api.post("manifests", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def build(self, manifest_id: str) -> httpx.Response:
        """Ask for an image of it."""
        body = {"name": "echo", "manifestId": manifest_id, "imageType": "Docker", "computeResourceId": self.compute["id"]}
        return self.api.post("images", json=body)

    def image(self, driver: bytes = ECHO, **manifest: Any) -> str:
        """The id of a built image of that driver."""
        operation = finished(self.api, self.build(self.manifest(driver, **manifest)))
        assert operation["state"] == "Succeeded", operation
        return operation["resourceLocation"].rpartition("/")[2]

    def create(self, image_id: str, name: str | None = None, **settings: Any) -> httpx.Response:
        """Ask for a service of that image, on one replica unless settings say otherwise."""
        body = {"name": name or f"s-{uuid4().hex[:20]}", "imageId": image_id, "computeResource": self.compute}
        return self.api.post("services", json={**body, **(settings or {"numReplicas": 1})})

    def service(self, image_id: str, **settings: Any) -> dict[str, Any]:
        """A running service of that image."""
        operation = finished(self.api, self.create(image_id, **settings))
        assert operation["state"] == "Succeeded", operation
        return self.api.get(operation["resourceLocation"]).json()

    def keys(self, service: dict[str, Any]) -> dict[str, str]:
        """Its keys."""
        return self.api.get(f"services/{service['id']}/keys").json()

    def score(self, service: dict[str, Any], body: Any, key: str | None = None) -> httpx.Response:
        """Ask the service."""
        key = key or self.keys(service)["primaryKey"]
        return httpx.post(service["scoringUri"], json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30)
