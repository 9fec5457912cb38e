"""Azure on loopback: Resource Manager and a key vault, with the shapes of the published descriptions' examples.

Source: Azure's REST API specifications, Microsoft.ContainerService/managedClusters and KeyVault/secrets.
"""

import base64
import re
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AioHttpTransport

from shared.compute.kubernetes.azure import Azure

AKS_ID = (
    "/subscriptions/26fe00f8-9173-4872-9134-bb1d2e00343a/resourceGroups/rg1"
    "/providers/Microsoft.ContainerService/managedClusters/clustername1"
)
VAULT = "https://kv-sdk-test.vault.azure.net"
TOKEN = "the-identity-s-token"
_TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"


class AzureStandIn:
    """`secrets` of the vault, `kubeconfig` of the managed cluster; `status` in the place of any answer."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.kubeconfig = ""
        self.status = 200
        self.asked: list[str] = []
        self.identity = Identity()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{host}/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def azure(self) -> Azure:
        """The app's own view of it."""
        assert self._runner is not None
        origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return Azure(identity=lambda: self.identity, transport=lambda: Loopback(origin))

    async def _serve(self, request: web.Request) -> web.Response:
        host, path = request.match_info["host"], f"/{request.match_info['path']}"
        self.asked.append(f"{request.method} {host}{path}?{request.query_string}")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            challenge = f'Bearer authorization="https://login.windows.net/{_TENANT}", resource="https://vault.azure.net"'
            return web.json_response(
                {"error": {"code": "Unauthorized"}}, status=401, headers={"WWW-Authenticate": challenge}
            )
        if self.status != 200:
            said = {"code": "Forbidden", "message": "The user, group or application does not have secrets get permission."}
            return web.json_response({"error": said}, status=self.status)
        if host == "management.azure.com":
            value = base64.b64encode(self.kubeconfig.encode()).decode()
            return web.json_response({"kubeconfigs": [{"name": "clusterUser", "value": value}]})
        return self._secret(path.split("/")[2])

    def _secret(self, name: str) -> web.Response:
        if name not in self.secrets:
            said = f"A secret with (name/id) {name} was not found in this key vault."
            return web.json_response({"error": {"code": "SecretNotFound", "message": said}}, status=404)
        attributes = {
            "enabled": True,
            "created": 1493938410,
            "updated": 1493938410,
            "recoveryLevel": "Recoverable+Purgeable",
        }
        found = {"value": self.secrets[name], "id": f"{VAULT}/secrets/{name}/4387e9f3d6e14c459867679a90fd0f79"}
        return web.json_response({**found, "attributes": attributes})


class Loopback(AioHttpTransport):
    """The client's own transport; what is meant for a host of Azure's goes to the stand-in."""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self._origin = origin

    async def send(self, request: Any, **options: Any) -> Any:
        meant, request.url = request.url, re.sub(r"^https://", f"{self._origin}/", request.url)
        try:
            return await super().send(request, **options)
        finally:
            request.url = meant


class Identity:
    """The app's identity; `refused` when it has none, `ends` is when its tokens do."""

    def __init__(self) -> None:
        self.scopes: list[str] = []
        self.refused: Exception | None = None
        self.ends = 2**40
        self.open = 0

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if self.refused:
            raise self.refused
        self.scopes.extend(scopes)
        return AccessToken(TOKEN, self.ends)

    async def __aenter__(self) -> Self:
        self.open += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None = None, error: BaseException | None = None, trace: TracebackType | None = None
    ) -> None:
        self.open -= 1
