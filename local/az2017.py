"""The `az ml` of 2017 on the stack of `make up`: `python az2017.py ml service create realtime …`, by its own Python 3.6.

The client (`azure-cli-ml` 0.1.0a27) stays as it was published. It asks Azure who is signed in, where the account's API is
and which storage it may upload to; here local.json answers. What it keeps of that lies in `.slipway/az2017`.
"""

import functools
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

HOME = Path(os.environ.get("SLIPWAY_HOME") or Path(__file__).resolve().parent.parent / ".slipway").resolve()
ACCOUNT, TENANT, USER = "devstoreaccount1", "slipway", "slipway"
CLIENT = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"  # the client's own id at Microsoft Entra
RESOURCE, AUTHORITY = "https://management.core.windows.net/", "https://login.microsoftonline.com/" + TENANT


def sign_in(folder: Path, described: Any) -> None:
    """Write what `az login`, `az ml account modelmanagement set` and `az ml env set` would have written."""
    _, _, subscription, _, group, *_, cluster = described["computeResourceId"].split("/")
    user = {"name": USER, "type": "user"}
    login = {"id": subscription, "name": "slipway", "state": "Enabled", "isDefault": True, "tenantId": TENANT, "user": user}
    token = {"accessToken": described["token"], "tokenType": "Bearer", "userId": USER, "_clientId": CLIENT}
    token.update(resource=RESOURCE, _authority=AUTHORITY, isMRRT=False, expiresOn="2099-01-01 00:00:00")
    account = {"id": "slipway", "model_management_swagger_location": described["baseUrl"] + "/swagger.json"}
    compute = {"subscription": subscription, "resource_group": group, "name": cluster, "current_execution_mode": "cluster"}
    files = {
        "azureProfile.json": {"subscriptions": [dict(login, environmentName="AzureCloud")]},
        "accessTokens.json": [token],
        "viennaModelManagementAccountProfile.json": account,
        "viennaOperationalizationComputeResource.json": compute,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(json.dumps(content))


def use_storage(described: Any) -> None:
    """Upload to the stack's own storage, and register what was uploaded under the address that it has there."""
    blobs: Any = importlib.import_module("azure.storage.blob")
    storage = described["blobConnectionString"]
    blobs.BlockBlobService = functools.partial(blobs.BlockBlobService, connection_string=storage)
    context = importlib.import_module("azure.cli.command_modules.ml._util").cli_context
    context.get_from_mlc = lambda _: ACCOUNT  # the one question to Azure Resource Manager
    context.http_call = _readdressing(
        context.http_call, f"http://{ACCOUNT}.blob.core.windows.net", described["blobEndpoint"]
    )


def _readdressing(call: Any, azure: str, here: str) -> Any:
    def readdressed(method: str, url: str, **options: Any) -> Any:
        body = json.loads(json.dumps(options.get("json")).replace(azure, here))
        return call(method, url, **dict(options, json=body))

    return readdressed


def main() -> Any:
    """What the client's own `az` does, once it is signed in."""
    if not (HOME / "local.json").exists():
        print(f"there is no {HOME / 'local.json'}: start the stack with `make up`", file=sys.stderr)
        return 1
    described = json.loads((HOME / "local.json").read_text())
    folder = HOME / "az2017" / ".azure"
    os.environ.update(HOME=str(folder.parent), AZURE_CONFIG_DIR=str(folder))
    sign_in(folder, described)
    use_storage(described)
    return importlib.import_module("azure.cli.main").main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
